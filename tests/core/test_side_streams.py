"""Large requests by TCP beside a UDP flow (RFC 3261 section 18.1.1)."""

import pytest

from sansio_sip import side_streams as module
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenStream, SendDatagram, SendStream
from sansio_sip.side_streams import MAX_DATAGRAM, SideStreams, StreamMessage
from sansio_sip.sip.message import Request
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.transport import Hop

LOCAL, FAR = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)
FLOW = FlowId("a.tcp1")


def make() -> SideStreams:
    side = SideStreams("a")
    side.flow_ready(Hop("UDP", FAR, LOCAL, FlowId("a.1")))
    return side


def request(method: str = "INVITE", *, branch: str = "z9hG4bK1", size: int = MAX_DATAGRAM + 1) -> bytes:
    """A request of just that many octets, or as few as it has."""
    head = (
        f"{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport\r\n"
        f"From: <sip:a@b>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\nSubject: "
    )
    tail = "\r\nContent-Length: 0\r\n\r\n"
    return (head + "x" * max(1, size - len(head) - len(tail)) + tail).encode()


def by_tcp(data: bytes) -> bytes:
    return data.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP", 1)


def opened(side: SideStreams, now: float = 0.0) -> None:
    side.flow_opened(FLOW, Address(LOCAL.host, 40_000), FAR, now=now)


@pytest.mark.parametrize(("size", "by_stream"), [(MAX_DATAGRAM, False), (MAX_DATAGRAM + 1, True), (6_000, True)])
def test_the_limit_is_1300_octets(size: int, by_stream: bool) -> None:
    side = make()
    data = request(size=size)
    assert len(data) == size
    assert side.send(data, FAR, now=0.0) == by_stream
    assert list(side.outputs()) == ([OpenStream(FLOW, FAR.host, FAR.port)] if by_stream else [])
    if by_stream:
        opened(side)
        (sent,) = side.outputs()
        assert sent == SendStream(FLOW, by_tcp(data))
        message = parse_message(sent.data)
        assert (message.top_via.transport, message.top_via.branch) == ("TCP", "z9hG4bK1")


def test_a_large_response_stays_a_datagram() -> None:
    side = make()
    message = parse_message(request())
    assert isinstance(message, Request)
    response = message.response(200, headers=(("X", "y" * 2000),))
    assert not side.send(bytes(response), FAR, now=0.0)
    assert not side.send(b"x" * 2000, FAR, now=0.0)
    assert list(side.outputs()) == []


def test_copies_are_dropped_and_what_belongs_to_the_request_goes_the_same_way() -> None:
    side = make()
    invite, cancel, ack = request(), request("CANCEL", size=0), request("ACK", size=0)
    assert side.send(invite, FAR, now=0.0)
    assert side.send(invite, FAR, now=0.5)
    opened(side)
    assert side.send(invite, FAR, now=1.5)
    assert side.send(cancel, FAR, now=2.0)
    assert side.send(cancel, FAR, now=2.5)
    assert side.send(ack, FAR, now=3.0)
    assert side.send(ack, FAR, now=3.5)
    assert not side.send(request("BYE", branch="z9hG4bK2", size=0), FAR, now=4.0)
    assert list(side.outputs())[1:] == [SendStream(FLOW, by_tcp(data)) for data in (invite, cancel, ack, ack)]


def test_one_stream_serves_all_large_requests_to_one_place() -> None:
    side = make()
    assert side.send(request(branch="z9hG4bK1"), FAR, now=0.0)
    assert side.send(request(branch="z9hG4bK2"), FAR, now=0.0)
    assert side.send(request(branch="z9hG4bK3"), Address("192.0.2.3", 5060), now=0.0)
    assert [type(output) for output in side.outputs()] == [OpenStream, OpenStream]
    opened(side)
    assert len(list(side.outputs())) == 2


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_where_nobody_takes_the_stream_it_is_a_datagram_after_all(how: str) -> None:
    side = make()
    data = request()
    side.send(data, FAR, now=0.0)
    side.send(request("CANCEL", size=0), FAR, now=0.1)
    list(side.outputs())
    if how == "refused":
        side.flow_lost(FLOW, now=0.2)
        closed = []
    else:
        assert side.next_timeout() == module.OPEN_TIMEOUT
        side.handle_timeout(now=module.OPEN_TIMEOUT)
        closed = [CloseFlow(FLOW)]
    flow = FlowId("a.1")
    cancel = request("CANCEL", size=0)
    assert list(side.outputs()) == [*closed, SendDatagram(flow, data, FAR), SendDatagram(flow, cancel, FAR)]
    assert side.counters.fallbacks == 2
    # For a while it is not tried again, not for others either; then it is.
    assert not side.send(data, FAR, now=1.0)
    assert not side.send(request(branch="z9hG4bK9"), FAR, now=600.0)
    assert side.send(request(branch="z9hG4bK9"), FAR, now=603.0)
    assert [type(output) for output in side.outputs()] == [OpenStream]


def test_an_open_stream_that_breaks_is_opened_anew() -> None:
    side = make()
    side.send(request(), FAR, now=0.0)
    opened(side)
    list(side.outputs())
    side.flow_lost(FLOW, now=1.0)
    assert list(side.outputs()) == []
    assert side.send(request(), FAR, now=2.0)
    assert [type(output) for output in side.outputs()] == [OpenStream]


def test_messages_come_by_the_stream_and_pings_are_answered() -> None:
    side = make()
    side.send(request(), FAR, now=0.0)
    opened(side)
    list(side.outputs())
    message = request("BYE", size=0)
    side.receive_stream(FLOW, b"\r\n\r\n" + message[:50], now=1.0)
    side.receive_stream(FLOW, message[50:] + b"\r\n\r\n", now=1.0)
    hop = Hop("TCP", FAR, Address(LOCAL.host, 40_000), FLOW)
    pong = SendStream(FLOW, b"\r\n")
    assert list(side.outputs()) == [pong, StreamMessage(message, hop), pong]
    assert side.respond(FLOW, b"response")
    assert list(side.outputs()) == [SendStream(FLOW, b"response")]
    assert not side.respond(FlowId("other"), b"response")


def test_octets_that_are_no_messages_end_the_stream() -> None:
    side = make()
    side.flow_accepted(FlowId("l#1"), LOCAL, FAR, now=0.0)
    side.receive_stream(FlowId("l#1"), b"GET / HTTP/1.1\r\nContent-Length: 9" + b"9" * 40 + b"\r\n\r\n", now=0.0)
    assert list(side.outputs()) == [CloseFlow(FlowId("l#1"))]
    assert side.counters.malformed == 1


def test_our_stream_is_kept_alive_and_a_silent_guest_is_let_go() -> None:
    side = make()
    side.send(request(), FAR, now=0.0)
    opened(side)
    side.flow_accepted(FlowId("l#1"), LOCAL, FAR, now=0.0)
    list(side.outputs())
    for number in range(1, 4):
        assert side.next_timeout() == number * module.KEEPALIVE
        side.handle_timeout(now=number * module.KEEPALIVE)
        assert list(side.outputs()) == [SendStream(FLOW, b"\r\n\r\n")]
    side.handle_timeout(now=4 * module.KEEPALIVE)
    assert set(side.outputs()) == {SendStream(FLOW, b"\r\n\r\n"), CloseFlow(FlowId("l#1"))}


def test_bounds() -> None:
    side = make()
    for number in range(module.MAX_STREAMS + 10):
        side.flow_accepted(FlowId(f"l#{number}"), LOCAL, Address("192.0.2.9", number + 1), now=0.0)
    assert [type(output) for output in side.outputs()] == [CloseFlow] * 10
    assert side.counters.refused_streams == 10
    for number in range(module.MAX_BRANCHES + 10):
        assert side.send(request(branch=f"z9hG4bK{number}"), FAR, now=0.0)
    assert len(side._branches) == module.MAX_BRANCHES
    # The oldest guest had to go for ours.
    assert [type(output) for output in side.outputs()] == [CloseFlow, OpenStream]
    opened(side)
    assert len(list(side.outputs())) == module.MAX_WAITING
    side.close()
    assert side.next_timeout() is None
    assert {type(output) for output in side.outputs()} == {CloseFlow}
