"""Neither end of a WebSocket raises, whatever comes: before the handshake and after it; how it was cut changes nothing.

Once it is closed, nothing more comes out, and no timer is armed. The first octet says which end it is, whether the
handshake is done, and how large the pieces are.
"""

import random

from sansio_sip.context import Context, Entropy
from sansio_sip.web_socket import MessageReceived, SendData, WebSocketConnection, WebSocketOutput, WebSocketState


def end_of(server: bool, handshake: bool) -> WebSocketConnection:
    """One end; with its handshake done, the other end has helped it there."""
    contexts = [Context(Entropy(random.Random(seed))) for seed in (1, 2)]
    ends = [WebSocketConnection.server(contexts[1], now=0.0)] if server or handshake else []
    if handshake or not server:
        ends.append(WebSocketConnection.client(contexts[0], host="example.com", now=0.0))
    for sender, receiver in ((ends[1], ends[0]), (ends[0], ends[1])) if handshake else ():
        receiver.receive(b"".join(each.data for each in sender.outputs() if isinstance(each, SendData)), now=0.0)
    return ends[0] if server else ends[-1]


def said(end: WebSocketConnection, data: bytes, size: int) -> list[WebSocketOutput]:
    list(end.outputs())
    for start in range(0, len(data), size):
        end.receive(data[start : start + size], now=1.0)
    if end.state is WebSocketState.CLOSED:
        assert end.next_timeout() is None
    return list(end.outputs())


def one(data: bytes) -> None:
    choice, data = data[0] if data else 0, data[1:]
    whole, cut = (end_of(bool(choice & 1), bool(choice & 2)) for _ in range(2))
    outputs = said(whole, data, max(1, len(data)))
    assert len(outputs) <= len(data) // 2 + 4
    others = said(cut, data, 1 + (choice >> 2))
    messages, same = ([one for one in each if isinstance(one, MessageReceived)] for each in (outputs, others))
    assert messages == same
