"""The WebSocket machine: against wsproto's own ends, against its other end, and against anything at all."""

import os
import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
import wsproto
import wsproto.events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from sansio_sip import web_socket
from sansio_sip.context import Context, Entropy
from sansio_sip.errors import LocalProtocolError
from sansio_sip.web_socket import (
    Closed,
    MessageReceived,
    Opened,
    PongReceived,
    SendData,
    WebSocketConnection,
    WebSocketOutput,
    WebSocketState,
)

NOW = 0.0
# RFC 6455 section 1.3: the example of the handshake.
RFC_KEY, RFC_ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

SMALL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def context(seed: int = 1) -> Context:
    return Context(Entropy(random.Random(seed)))


def client(seed: int = 1, host: str = "pbx.example.com", target: str = "/ws") -> WebSocketConnection:
    return WebSocketConnection.client(context(seed), host=host, target=target, now=NOW)


def server() -> WebSocketConnection:
    return WebSocketConnection.server(context(2), now=NOW)


def sent(outputs: Iterable[WebSocketOutput]) -> bytes:
    return b"".join(output.data for output in outputs if isinstance(output, SendData))


def settle(*ends: WebSocketConnection) -> list[list[WebSocketOutput]]:
    """Carries octets between two ends until both are silent; returns what each said besides."""
    said: list[list[WebSocketOutput]] = [[], []]
    moved = True
    while moved:
        moved = False
        for index, end in enumerate(ends):
            for output in end.outputs():
                if isinstance(output, SendData):
                    moved = True
                    ends[1 - index].receive(output.data, now=NOW)
                else:
                    said[index].append(output)
    return said


def pair() -> tuple[WebSocketConnection, WebSocketConnection]:
    ends = client(), server()
    assert settle(*ends) == [[Opened("/ws")], [Opened("/ws")]]
    return ends


def request(*, drop: str = "", **changed: str) -> bytes:
    """A good request, but for the rows dropped or changed (`sec_websocket_key="x"`)."""
    rows = {
        "Host": "pbx.example.com",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": RFC_KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "chat, sip",
    }
    first = changed.pop("first", "GET /ws HTTP/1.1")
    rows.pop(drop, None)
    rows |= {name.replace("_", "-"): value for name, value in changed.items()}
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in rows.items()), "", ""]).encode()


def response(key: bytes, **changed: str) -> bytes:
    rows = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": web_socket._accept(key).decode(),
        "Sec-WebSocket-Protocol": "sip",
    }
    first = changed.pop("first", "HTTP/1.1 101 Switching Protocols")
    rows |= {name.replace("_", "-"): value for name, value in changed.items()}
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in rows.items() if value), "", ""]).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes | None = None) -> bytes:
    """A frame written by hand from RFC 6455 section 5.2."""
    head = bytes([fin << 7 | opcode])
    bit = 0x80 if mask is not None else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + len(payload).to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload))


def opened_client(seed: int = 1) -> WebSocketConnection:
    """A client whose handshake is done."""
    end = client(seed)
    sent(end.outputs())
    end.receive(response(end._key), now=NOW)
    assert list(end.outputs()) == [Opened("/ws")]
    return end


# The opening handshake


def test_trn_05_the_request_is_that_of_rfc_7118() -> None:
    end = client()
    head, _, rest = sent(end.outputs()).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"GET /ws HTTP/1.1",
        b"Host: pbx.example.com",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: " + end._key,
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Protocol: sip",
    ]
    assert rest == b""


def test_the_accept_value_is_the_one_of_rfc_6455_section_1_3() -> None:
    end = server()
    end.receive(request(), now=NOW)
    answer = sent(end.outputs())
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert f"Sec-WebSocket-Accept: {RFC_ACCEPT}\r\n".encode() in answer
    assert b"Sec-WebSocket-Protocol: sip\r\n" in answer


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        pytest.param(request(first="POST /ws HTTP/1.1"), 400, id="POST"),
        pytest.param(request(first="GET /ws HTTP/1.0"), 400, id="HTTP/1.0"),
        pytest.param(request(drop="Host"), 400, id="no Host"),
        pytest.param(request(drop="Upgrade"), 426, id="no Upgrade"),
        pytest.param(request(Upgrade="h2c"), 426, id="other Upgrade"),
        pytest.param(request(Connection="close"), 426, id="no Connection: Upgrade"),
        pytest.param(request(Sec_WebSocket_Version="8"), 426, id="version 8"),
        pytest.param(request(drop="Sec-WebSocket-Version"), 426, id="no version"),
        pytest.param(request(drop="Sec-WebSocket-Key"), 400, id="no key"),
        pytest.param(request(Sec_WebSocket_Key="c2hvcnQ="), 400, id="short key"),
        pytest.param(request(Sec_WebSocket_Key="*" * 24), 400, id="key not base64"),
        pytest.param(request(drop="Sec-WebSocket-Protocol"), 400, id="no subprotocol"),
        pytest.param(request(Sec_WebSocket_Protocol="SIP, xmpp"), 400, id="other subprotocols"),
        pytest.param(request(Content_Length="3") + b"abc", 400, id="a body"),
        pytest.param(request(Transfer_Encoding="chunked"), 400, id="a chunked body"),
        pytest.param(b"INVITE sip:a@b SIP/2.0\r\n\r\n", 400, id="SIP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", 400, id="a TLS ClientHello"),
        pytest.param(request(X=("x" * 20_000)), 431, id="too long"),
    ],
)
def test_a_bad_request_is_answered_with(octets: bytes, status: int) -> None:
    end = server()
    end.receive(octets, now=NOW)
    outputs = list(end.outputs())
    answer = sent(outputs)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Upgrade: websocket" in answer) == (status == 426)
    assert isinstance(outputs[-1], Closed)
    assert outputs[-1].code == 1006
    assert end.next_timeout() is None


def test_another_version_is_told_which_one_is_spoken() -> None:
    end = server()
    end.receive(request(Sec_WebSocket_Version="8"), now=NOW)
    assert b"Sec-WebSocket-Version: 13\r\n" in sent(end.outputs())


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"first": "HTTP/1.1 200 OK"}, id="200"),
        pytest.param({"first": "HTTP/1.1 403 Forbidden"}, id="403"),
        pytest.param({"first": "HTTP/1.1 301 Moved", "Location": "/other"}, id="301"),
        pytest.param({"Upgrade": ""}, id="no Upgrade"),
        pytest.param({"Connection": "close"}, id="no Connection: Upgrade"),
        pytest.param({"Sec_WebSocket_Accept": RFC_ACCEPT}, id="Accept of another key"),
        pytest.param({"Sec_WebSocket_Accept": ""}, id="no Accept"),
        pytest.param({"Sec_WebSocket_Protocol": ""}, id="no subprotocol"),
        pytest.param({"Sec_WebSocket_Protocol": "chat"}, id="another subprotocol"),
        pytest.param({"Sec_WebSocket_Extensions": "permessage-deflate"}, id="an extension"),
        pytest.param({"first": "SIP/2.0 200 OK"}, id="SIP"),
        pytest.param({"X": "x" * 20_000}, id="too long"),
    ],
)
def test_a_bad_response_closes_and_says_nothing(changed: dict[str, str]) -> None:
    end = client()
    sent(end.outputs())
    end.receive(response(end._key, **changed), now=NOW)
    (closed,) = end.outputs()
    assert isinstance(closed, Closed)
    assert closed.code == 1006
    with pytest.raises(LocalProtocolError, match="closed"):
        end.send(b"REGISTER", now=NOW)


def test_a_provisional_response_before_the_101_is_passed_over() -> None:
    end = client()
    sent(end.outputs())
    end.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(end._key), now=NOW)
    assert list(end.outputs()) == [Opened("/ws")]


@pytest.mark.parametrize("make", [client, server])
def test_a_silent_peer_is_given_up_at_the_deadline(make: Any) -> None:
    end = make()
    sent(end.outputs())
    assert end.next_timeout() == web_socket.OPEN_TIMEOUT
    end.handle_timeout(now=web_socket.OPEN_TIMEOUT - 0.001)
    assert list(end.outputs()) == []
    end.handle_timeout(now=web_socket.OPEN_TIMEOUT)
    assert [type(output) for output in end.outputs()] == [Closed]


def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    end = client()
    sent(end.outputs())
    end.receive(response(end._key) + frame(1, b"OPTIONS"), now=NOW)
    assert list(end.outputs()) == [Opened("/ws"), MessageReceived(b"OPTIONS")]


# Messages


@pytest.mark.parametrize("message", [b"", b"x", b"\xc3\xa9", b"\xff\x00binary", b"y" * 65_535, b"z" * 65_536])
def test_a_message_goes_there_and_back(message: bytes) -> None:
    here, there = pair()
    here.send(message, now=NOW)
    there.send(message, now=NOW)
    assert settle(here, there) == [[MessageReceived(message)], [MessageReceived(message)]]


def test_utf_8_leaves_as_text_and_anything_else_as_binary() -> None:
    _, end = pair()
    end.send("OPTIONS é".encode(), now=NOW)
    end.send(b"\xff", now=NOW)
    assert sent(end.outputs()) == frame(1, "OPTIONS é".encode()) + frame(2, b"\xff")


def test_a_client_masks_each_frame_with_its_own_draw() -> None:
    end = opened_client()
    for _ in range(2):
        end.send_bytes(b"same", now=NOW)
    octets = sent(end.outputs())
    first, second = octets[: len(octets) // 2], octets[len(octets) // 2 :]
    assert first != second
    assert first == frame(2, b"same", mask=first[2:6])
    assert second == frame(2, b"same", mask=second[2:6])


def test_all_randomness_comes_from_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a new wsproto writes frames by another way than the one that we take the mask from."""

    def forbidden(_: int) -> bytes:
        raise AssertionError("os.urandom was asked")

    monkeypatch.setattr(os, "urandom", forbidden)

    def run() -> bytes:
        end = opened_client()
        end.send_text("text", now=NOW)
        end.send_bytes(b"binary" * 50, now=NOW)
        end.send_bytes(b"long" * 20_000, now=NOW)
        end.ping(b"ping", now=NOW)
        end.receive(frame(9, b"pong"), now=NOW)
        end.close(1000, "done", now=NOW)
        return sent(end.outputs())

    assert run() == run()
    assert len(run()) > 80_300


def test_wsproto_still_writes_its_frames_by_the_name_that_is_replaced() -> None:
    assert callable(getattr(FrameProtocol, "_serialize_frame", None))
    for writer in ("close", "ping", "pong", "send_data"):
        assert "_serialize_frame" in getattr(FrameProtocol, writer).__code__.co_names


@pytest.mark.parametrize("fragments", [1, 2, 255, 256])
def test_fragments_are_put_together(fragments: int) -> None:
    end = opened_client()
    for index in range(fragments):
        end.receive(frame(0 if index else 1, b"ab", fin=index == fragments - 1), now=NOW)
        end.receive(frame(9), now=NOW)  # control frames may come in between
    said = [output for output in end.outputs() if not isinstance(output, SendData)]
    assert said == [MessageReceived(b"ab" * fragments)]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param(frame(2, b"x" * 65_537), 1009, id="a long message"),
        pytest.param(frame(2, b"x" * 65_537)[:10], 1009, id="the header of a long message"),
        pytest.param(frame(2, b"x" * 40_000, fin=False) + frame(0, b"x" * 40_000), 1009, id="long in two fragments"),
        pytest.param(frame(2, b"", fin=False) + frame(0, b"", fin=False) * 300, 1009, id="empty fragments for ever"),
        pytest.param(frame(1, b"\xff"), 1007, id="text that is not UTF-8"),
        pytest.param(frame(1, b"x", mask=b"abcd"), 1002, id="a masked frame for a client"),
        pytest.param(frame(3, b"x"), 1002, id="an unknown opcode"),
        pytest.param(bytes([0xC1, 1]) + b"x", 1002, id="a reserved bit"),
        pytest.param(frame(0, b"x"), 1002, id="a continuation of nothing"),
        pytest.param(frame(1, b"x", fin=False) + frame(1, b"y"), 1002, id="a message inside a message"),
        pytest.param(frame(9, b"x" * 126), 1002, id="a long ping"),
        pytest.param(frame(9, fin=False), 1002, id="a ping in fragments"),
        pytest.param(frame(8, b"\x03"), 1002, id="half a close code"),
        pytest.param(frame(8, b"\x03\xee"), 1002, id="a close code that must not be sent"),
    ],
)
def test_a_broken_rule_closes_with(octets: bytes, code: int) -> None:
    end = opened_client()
    end.receive(octets, now=NOW)
    outputs = list(end.outputs())
    closed = outputs[-1]
    assert isinstance(closed, Closed)
    assert closed.code == code
    octets = sent(outputs)
    mask = octets[2:6]
    assert bytes(octet ^ mask[index % 4] for index, octet in enumerate(octets[6:8])) == code.to_bytes(2, "big")


def test_an_unmasked_frame_for_a_server_is_a_broken_rule() -> None:
    _, end = pair()
    end.receive(frame(1, b"x"), now=NOW)
    outputs = list(end.outputs())
    assert isinstance(outputs[-1], Closed)
    assert outputs[-1].code == 1002


def test_a_message_after_a_long_one_of_another_kind_starts_counting_anew() -> None:
    end = opened_client()
    for _ in range(3):
        end.receive(frame(2, b"x" * 65_536), now=NOW)
    assert [type(output) for output in end.outputs()] == [MessageReceived] * 3


def test_the_count_of_fragments_starts_anew_with_each_message() -> None:
    end = opened_client()
    end.receive(frame(1, b"x") * 1000, now=NOW)
    assert [type(output) for output in end.outputs()] == [MessageReceived] * 1000


# Ping and close


def test_a_ping_is_answered_by_its_payload() -> None:
    here, there = pair()
    here.ping(b"are you there", now=NOW)
    assert settle(here, there) == [[PongReceived(b"are you there")], []]


def test_a_close_is_answered_with_its_code() -> None:
    here, there = pair()
    here.close(3001, "good night", now=NOW)
    assert here.state is WebSocketState.CLOSING
    assert settle(here, there) == [[Closed(3001, "good night")], [Closed(3001, "good night")]]
    assert here.next_timeout() is there.next_timeout() is None


def test_closes_that_cross_end_both_sides() -> None:
    here, there = pair()
    here.close(1000, "a", now=NOW)
    there.close(1001, "b", now=NOW)
    assert settle(here, there) == [[Closed(1000, "a")], [Closed(1001, "b")]]


def test_a_close_without_a_code_counts_as_1005() -> None:
    end = opened_client()
    end.receive(frame(8), now=NOW)
    assert list(end.outputs())[-1] == Closed(1005, "")


def test_a_peer_that_does_not_answer_a_close_is_given_up() -> None:
    end = opened_client()
    end.close(now=1.0)
    sent(end.outputs())
    end.receive(frame(1, b"late"), now=1.5)
    assert end.next_timeout() == 1.0 + web_socket.CLOSE_TIMEOUT
    end.handle_timeout(now=1.0 + web_socket.CLOSE_TIMEOUT)
    (closed,) = end.outputs()
    assert isinstance(closed, Closed)
    assert closed.code == 1006


def test_the_end_of_the_stream_is_1006_unless_we_were_closing() -> None:
    end = opened_client()
    end.receive(b"", now=NOW)
    assert list(end.outputs()) == [Closed(1006, "the peer closed the stream")]
    end = opened_client()
    end.close(1001, "leaving", now=NOW)
    end.receive(b"", now=NOW)
    assert list(end.outputs())[-1] == Closed(1001, "leaving")


def test_nothing_follows_closed() -> None:
    end = opened_client()
    end.receive(frame(8) + frame(1, b"after"), now=NOW)
    assert isinstance(list(end.outputs())[-1], Closed)
    end.receive(frame(1, b"later"), now=NOW)
    end.receive(b"", now=NOW)
    end.close(now=NOW)
    end.handle_timeout(now=100.0)
    assert list(end.outputs()) == []


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 5000])
def test_a_code_that_must_not_be_sent_is_refused(code: int) -> None:
    end = opened_client()
    with pytest.raises(LocalProtocolError, match="must not be sent"):
        end.close(code, now=NOW)
    assert list(end.outputs()) == []
    assert end.state is WebSocketState.OPEN


def test_commands_before_the_handshake_name_state_and_remedy() -> None:
    end = client()
    sent(end.outputs())
    with pytest.raises(LocalProtocolError, match="connecting; wait for Opened"):
        end.send(b"x", now=NOW)
    with pytest.raises(LocalProtocolError, match="connecting; wait for Opened"):
        end.ping(now=NOW)
    end.close(now=NOW)
    assert [type(output) for output in end.outputs()] == [Closed]


# Strangers


def test_our_client_against_the_server_of_wsproto() -> None:
    end, stranger = client(), wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    stranger.receive_data(sent(end.outputs()))
    (asked,) = stranger.events()
    assert isinstance(asked, wsproto.events.Request)
    assert (asked.host, asked.target, asked.subprotocols) == ("pbx.example.com", "/ws", ["sip"])
    end.receive(stranger.send(wsproto.events.AcceptConnection(subprotocol="sip")), now=NOW)
    assert list(end.outputs()) == [Opened("/ws")]

    end.send(b"REGISTER", now=NOW)
    end.send(b"\xff\xfe", now=NOW)
    end.ping(b"p", now=NOW)
    stranger.receive_data(sent(end.outputs()))
    text, binary, ping = stranger.events()
    assert isinstance(text, wsproto.events.TextMessage)
    assert isinstance(binary, wsproto.events.BytesMessage)
    assert (text.data, binary.data) == ("REGISTER", b"\xff\xfe")
    assert isinstance(ping, wsproto.events.Ping)
    end.receive(stranger.send(ping.response()), now=NOW)
    end.receive(stranger.send(wsproto.events.BytesMessage(data=b"SIP/2.0 200", message_finished=False)), now=NOW)
    end.receive(stranger.send(wsproto.events.BytesMessage(data=b" OK")), now=NOW)
    assert list(end.outputs()) == [PongReceived(b"p"), MessageReceived(b"SIP/2.0 200 OK")]

    end.receive(stranger.send(wsproto.events.CloseConnection(code=1001, reason="restart")), now=NOW)
    outputs = list(end.outputs())
    stranger.receive_data(sent(outputs))
    assert outputs[-1] == Closed(1001, "restart")
    assert [type(event) for event in stranger.events()] == [wsproto.events.CloseConnection]
    assert stranger.state is wsproto.connection.ConnectionState.CLOSED


def test_our_server_against_the_client_of_wsproto() -> None:
    end, stranger = server(), wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    asked = wsproto.events.Request(host="pbx.example.com", target="/sip?x=1", subprotocols=["chat", "sip"])
    end.receive(stranger.send(asked), now=NOW)
    first, opened = end.outputs()
    assert opened == Opened("/sip?x=1")
    stranger.receive_data(sent([first]))
    (accepted,) = stranger.events()
    assert isinstance(accepted, wsproto.events.AcceptConnection)
    assert accepted.subprotocol == "sip"

    end.receive(stranger.send(wsproto.events.TextMessage(data="é" * 40_00)), now=NOW)
    end.receive(stranger.send(wsproto.events.Ping(payload=b"x")), now=NOW)
    received, pong = end.outputs()
    assert received == MessageReceived(("é" * 40_00).encode())
    end.send(b"OPTIONS", now=NOW)
    end.close(1000, "bye", now=NOW)
    stranger.receive_data(sent([pong, *end.outputs()]))
    events = list(stranger.events())
    assert [type(event) for event in events] == [
        wsproto.events.Pong,
        wsproto.events.TextMessage,
        wsproto.events.CloseConnection,
    ]
    closing = events[-1]
    assert isinstance(closing, wsproto.events.CloseConnection)
    assert closing.code == 1000
    end.receive(stranger.send(closing.response()), now=NOW)
    assert list(end.outputs()) == [Closed(1000, "bye")]


def test_our_client_is_turned_away_by_the_server_of_wsproto() -> None:
    end, stranger = client(), wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    stranger.receive_data(sent(end.outputs()))
    list(stranger.events())
    end.receive(stranger.send(wsproto.events.RejectConnection(status_code=403)), now=NOW)
    assert list(end.outputs()) == [Closed(1006, "the server answered 403 where 101 was due")]


# All inputs

FRAMES = st.lists(
    st.one_of(
        st.builds(
            frame,
            st.sampled_from([0, 1, 2, 8, 9, 10]),
            st.one_of(st.binary(max_size=300), st.text(max_size=40).map(str.encode)),
            fin=st.booleans(),
        ),
        st.binary(max_size=4),
        st.just(frame(2, b"x" * 65_536, fin=False)),
    ),
    max_size=8,
).map(b"".join)
CUTS = st.lists(st.integers(0, 70_000), max_size=12)


def cut(octets: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[a:b] for a, b in pairwise(edges) if b > a]


def run_pieces(end: WebSocketConnection, pieces: list[bytes]) -> tuple[list[WebSocketOutput], WebSocketState]:
    for piece in pieces:
        end.receive(piece, now=NOW)
    return list(end.outputs()), end.state


@SMALL
@given(octets=FRAMES, cuts=CUTS)
def test_any_cutting_of_a_clients_octets_gives_the_same_outputs(octets: bytes, cuts: list[int]) -> None:
    first, second = client(), client()
    octets = response(first._key) + octets
    assert run_pieces(first, [octets]) == run_pieces(second, cut(octets, cuts))


@SMALL
@given(
    head=st.sampled_from(
        [
            request(),
            request(Sec_WebSocket_Version="8"),
            request(drop="Host"),
            request(Transfer_Encoding="chunked"),
            request(X="x" * 16_100),
            request(X="x" * 17_000),
            b"GARBAGE\r\n\r\n",
        ]
    ),
    octets=FRAMES,
    cuts=CUTS,
)
def test_any_cutting_of_a_servers_octets_gives_the_same_outputs(head: bytes, octets: bytes, cuts: list[int]) -> None:
    whole = run_pieces(server(), [head + octets])
    assert whole == run_pieces(server(), cut(head + octets, cuts))


@pytest.mark.parametrize("octets", [frame(1, b"ab\xffcd"), frame(1, b"\xc3", fin=False) + frame(0, b"(")])
def test_what_is_not_utf_8_is_told_in_the_same_words_however_it_is_cut_up(octets: bytes) -> None:
    whole = run_pieces(opened_client(), [octets])
    assert whole == run_pieces(opened_client(), [bytes([octet]) for octet in octets])
    assert whole[0][-1] == Closed(1007, "text that is not UTF-8")


def test_one_octet_at_a_time_gives_the_same_outputs() -> None:
    octets = request(X="x" * 500) + frame(1, b"\xc3\xa9" * 100, mask=b"abcd") + frame(8, b"\x03\xe8", mask=b"efgh")
    assert run_pieces(server(), [octets]) == run_pieces(server(), [bytes([octet]) for octet in octets])


@SMALL
@given(pieces=st.lists(st.binary(max_size=200), max_size=8), opened=st.booleans())
def test_no_octets_ever_raise(pieces: list[bytes], opened: bool) -> None:
    for end in (client(), server()):
        if opened:
            end.receive(response(end._key) if end.is_client else request(), now=NOW)
        outputs, state = run_pieces(end, pieces)
        assert sum(isinstance(output, Closed) for output in outputs) <= 1
        assert (state is WebSocketState.CLOSED) == any(isinstance(output, Closed) for output in outputs)
        if state is WebSocketState.CLOSED:
            assert isinstance(outputs[-1], Closed)
            assert end.next_timeout() is None


@SMALL
@given(messages=st.lists(st.one_of(st.binary(max_size=400), st.text(max_size=100).map(str.encode)), max_size=6))
def test_every_message_arrives_whole_and_in_order(messages: list[bytes]) -> None:
    here, there = pair()
    for message in messages:
        here.send(message, now=NOW)
        there.send(message, now=NOW)
    expected: list[WebSocketOutput] = [MessageReceived(message) for message in messages]
    assert settle(here, there) == [expected, expected]
