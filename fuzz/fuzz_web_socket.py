"""Neither end of a WebSocket raises, whatever comes: before the handshake and after it; how it was cut changes nothing.

Once it is closed, nothing more comes out, and no timer is armed.
"""

import random

from sansio_sip.context import Context, Entropy
from sansio_sip.web_socket import MessageReceived, SendData, WebSocketConnection, WebSocketOutput, WebSocketState


def ends(handshake: bool) -> tuple[WebSocketConnection, WebSocketConnection]:
    client = WebSocketConnection.client(Context(Entropy(random.Random(1))), host="example.com", now=0.0)
    server = WebSocketConnection.server(Context(Entropy(random.Random(2))), now=0.0)
    for sender, receiver in ((client, server), (server, client)) if handshake else ():
        receiver.receive(b"".join(each.data for each in sender.outputs() if isinstance(each, SendData)), now=0.0)
    return client, server


def said(end: WebSocketConnection, data: bytes, size: int) -> list[WebSocketOutput]:
    list(end.outputs())
    for start in range(0, len(data), size):
        end.receive(data[start : start + size], now=1.0)
    if end.state is WebSocketState.CLOSED:
        assert end.next_timeout() is None
    return list(end.outputs())


def one(data: bytes) -> None:
    for handshake in (False, True):
        for whole, cut in zip(ends(handshake), ends(handshake), strict=True):
            outputs = said(whole, data, max(1, len(data)))
            assert len(outputs) <= len(data) // 2 + 4
            others = said(cut, data, 1 + len(data) // 5)
            messages, same = ([one for one in each if isinstance(one, MessageReceived)] for each in (outputs, others))
            assert messages == same
