"""The signalling flow: reaching a server, staying there, coming back; and every order in which flow events may come."""

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sansio_sip import connection as module
from sansio_sip.connection import (
    TRANSITIONS,
    ConnectionFailed,
    ConnectionLost,
    ConnectionOpened,
    ConnectionOutput,
    ConnectionState,
    MessageArrived,
    ServerUrl,
    SignallingConnection,
)
from sansio_sip.context import Context, Entropy
from sansio_sip.effects import (
    Address,
    CloseFlow,
    FlowId,
    OpenDatagram,
    OpenStream,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
    TlsPolicy,
)
from sansio_sip.errors import LocalProtocolError
from sansio_sip.keepalive import EARLIEST, LATEST
from sansio_sip.sip.transport import Hop
from sansio_sip.web_socket import MessageReceived, WebSocketConnection

LOCAL = Address("10.0.0.1", 40_000)
OPTIONS = (
    b"OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.2;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


def context(seed: int = 1) -> Context:
    return Context(Entropy(random.Random(seed)))


def make(*servers: str, seed: int = 1, **options: Any) -> SignallingConnection:
    return SignallingConnection(context(seed), "a", tuple(map(ServerUrl.parse, servers)), **options)


def drained(connection: SignallingConnection) -> list[ConnectionOutput]:
    return list(connection.outputs())


class Peer:
    """The other end of a WebSocket flow: the server side of our machine, which tests of its own hold to the RFC."""

    def __init__(self) -> None:
        self.end = WebSocketConnection.server(context(9), now=0.0)
        self.received: list[bytes] = []

    def exchange(self, connection: SignallingConnection, now: float) -> list[ConnectionOutput]:
        """Carries octets both ways until there are none; returns what the connection said besides."""
        said: list[ConnectionOutput] = []
        while True:
            for output in connection.outputs():
                if isinstance(output, SendStream):
                    self.end.receive(output.data, now=now)
                else:
                    said.append(output)
            octets = b""
            for answer in self.end.outputs():
                if isinstance(answer, MessageReceived):
                    self.received.append(answer.data)
                octets += getattr(answer, "data", b"") if type(answer).__name__ == "SendData" else b""
            if not octets:
                return said
            connection.receive_stream(FlowId(flow(connection)), octets, now=now)


def flow(connection: SignallingConnection) -> str:
    assert connection._flow is not None
    return connection._flow


def open_web_socket(url: str = "ws://10.0.0.2:8080/sip", **options: Any) -> tuple[SignallingConnection, Peer]:
    connection, peer = make(url, **options), Peer()
    connection.connect(now=0.0)
    opening = drained(connection)[-1]
    assert isinstance(opening, OpenStream)
    names = TlsPeer(("10.0.0.2",), verified=True)
    connection.flow_opened(opening.flow, LOCAL, Address("10.0.0.2", 8080), names, now=0.0)
    assert [type(output) for output in peer.exchange(connection, 0.0)] == [ConnectionOpened]
    return connection, peer


def open_plain(url: str) -> SignallingConnection:
    """A TCP or UDP flow that is up."""
    connection = make(url)
    connection.connect(now=0.0)
    connection.flow_opened(drained(connection)[-1].flow, LOCAL, now=0.0)  # type: ignore[union-attr]
    assert [type(output) for output in connection.outputs()] == [ConnectionOpened]
    return connection


# Opening


def test_a_name_is_resolved_and_the_web_socket_opened() -> None:
    connection = make("wss://PBX.example.com:8443/sip", ca_file="ca.pem")
    connection.connect(now=0.0)
    assert drained(connection) == [Resolve(1, "pbx.example.com")]
    connection.resolved(1, (Address("10.0.0.2", 0),), now=0.1)
    policy = TlsPolicy("pbx.example.com", "ca.pem", True)
    assert drained(connection) == [OpenStream(FlowId("a.1"), "10.0.0.2", 8443, policy)]
    peer = Peer()
    remote = Address("10.0.0.2", 8443)
    connection.flow_opened(FlowId("a.1"), LOCAL, remote, TlsPeer(("pbx.example.com",), verified=True), now=0.2)
    assert connection.state is ConnectionState.UPGRADING
    assert peer.exchange(connection, 0.3) == [ConnectionOpened(Hop("WSS", remote, LOCAL, FlowId("a.1")))]
    assert connection.state is ConnectionState.OPEN


def test_connect_again_changes_nothing_while_it_is_on_its_way_or_open() -> None:
    connection = make("tcp://10.0.0.2")
    connection.connect(now=0.0)
    assert drained(connection) == [OpenStream(FlowId("a.1"), "10.0.0.2", 5060)]
    connection.connect(now=0.1)
    connection.flow_opened(FlowId("a.1"), LOCAL, now=0.2)
    connection.connect(now=0.3)
    assert drained(connection) == [ConnectionOpened(Hop("TCP", Address("10.0.0.2", 5060), LOCAL, FlowId("a.1")))]


@pytest.mark.parametrize(
    ("url", "bind", "expected"),
    [
        (
            "udp://10.0.0.2",
            module.ANY_ADDRESS,
            OpenDatagram(FlowId("a.1"), Address("0.0.0.0", 0), Address("10.0.0.2", 5060)),
        ),
        ("udp://[::1]", module.ANY_ADDRESS, OpenDatagram(FlowId("a.1"), Address("::", 0), Address("::1", 5060))),
        (
            "udp://10.0.0.2:7",
            Address("10.0.0.1", 5),
            OpenDatagram(FlowId("a.1"), Address("10.0.0.1", 5), Address("10.0.0.2", 7)),
        ),
        (None, Address("10.0.0.1", 5060), OpenDatagram(FlowId("a.1"), Address("10.0.0.1", 5060), None)),
        (None, module.ANY_ADDRESS, OpenDatagram(FlowId("a.1"), Address("0.0.0.0", 0), module.NOWHERE)),
    ],
)
def test_a_udp_flow_is_bound_as_told(url: str | None, bind: Address, expected: OpenDatagram) -> None:
    connection = make(*([url] if url else []), bind=bind)
    connection.connect(now=0.0)
    assert drained(connection) == [expected]
    connection.flow_opened(FlowId("a.1"), LOCAL, now=0.0)
    far = expected.towards if url else None
    assert drained(connection) == [ConnectionOpened(Hop("UDP", far, LOCAL, FlowId("a.1")))]


def test_a_bound_udp_socket_tries_only_addresses_of_its_family() -> None:
    connection = make("udp://pbx", bind=Address("10.0.0.1", 0))
    connection.connect(now=0.0)
    connection.resolved(1, (Address("::1", 0), Address("10.0.0.2", 0)), now=0.0)
    opening = drained(connection)[-1]
    assert isinstance(opening, OpenDatagram)
    assert opening.towards == Address("10.0.0.2", 5060)


def test_each_address_of_a_name_is_tried_then_the_next_server() -> None:
    connection = make("tcp://one", "tcp://10.0.0.9")
    connection.connect(now=0.0)
    connection.resolved(1, (Address("::1", 0), Address("10.0.0.2", 0)), now=0.0)
    connection.flow_lost(FlowId("a.1"), "Connection refused", now=0.5)
    connection.flow_lost(FlowId("a.2"), "Network is unreachable", now=0.6)
    assert drained(connection) == [
        Resolve(1, "one"),
        OpenStream(FlowId("a.1"), "::1", 5060),
        OpenStream(FlowId("a.2"), "10.0.0.2", 5060),
        ConnectionFailed("tcp://one: Network is unreachable", 0.0),
        OpenStream(FlowId("a.3"), "10.0.0.9", 5060),
    ]


def test_an_address_that_does_not_answer_leaves_time_for_the_others() -> None:
    connection = make("tcp://one")
    connection.connect(now=0.0)
    connection.resolved(1, tuple(Address(f"10.0.0.{n}", 0) for n in range(2, 50)), now=0.0)
    opened = 0
    while (deadline := connection.next_timeout()) is not None and connection.state is ConnectionState.OPENING:
        opened += sum(isinstance(output, OpenStream) for output in connection.outputs())
        connection.handle_timeout(now=deadline)
    assert opened == module.MAX_ADDRESSES
    failed = drained(connection)[-1]
    assert isinstance(failed, ConnectionFailed)
    assert connection.next_timeout() is not None


def test_a_name_without_an_address_fails_the_server() -> None:
    connection = make("wss://nowhere.example.com")
    connection.connect(now=0.0)
    drained(connection)
    connection.resolved(7, (Address("10.0.0.2", 0),), now=0.0)  # somebody else's question
    connection.resolved(1, (), now=0.0)
    (failed,) = drained(connection)
    assert isinstance(failed, ConnectionFailed)
    assert failed.reason == "wss://nowhere.example.com: the name has no address"


@pytest.mark.parametrize("count", [0, 1, 2, 5, 9])
@pytest.mark.parametrize("host", ["10.0.0.{}", "name{}"])
def test_where_nobody_answers_the_verdict_comes_within_ten_seconds(count: int, host: str) -> None:
    connection = make(*(f"wss://{host.format(n + 2)}" for n in range(count)))
    connection.connect(now=0.0)
    failures, now = 0, 0.0
    while connection.state is not ConnectionState.WAITING:
        deadline = connection.next_timeout()
        assert deadline is not None
        now = deadline
        connection.handle_timeout(now=now)
        failures += sum(isinstance(output, ConnectionFailed) for output in connection.outputs())
    assert failures == max(count, 1)
    assert now <= 10.0


def test_a_server_that_accepts_and_says_nothing_fails_in_time() -> None:
    connection = make("ws://10.0.0.2")
    connection.connect(now=0.0)
    connection.flow_opened(FlowId("a.1"), LOCAL, now=0.1)
    drained(connection)
    assert connection.next_timeout() == module.MAX_TURN
    connection.handle_timeout(now=module.MAX_TURN)
    closed, failed = drained(connection)
    assert closed == CloseFlow(FlowId("a.1"))
    assert isinstance(failed, ConnectionFailed)
    assert failed.reason == "ws://10.0.0.2: no answer in time"


def test_a_server_that_refuses_the_web_socket_fails_with_its_answer() -> None:
    connection = make("ws://10.0.0.2")
    connection.connect(now=0.0)
    connection.flow_opened(FlowId("a.1"), LOCAL, now=0.1)
    drained(connection)
    connection.receive_stream(FlowId("a.1"), b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", now=0.2)
    closed, failed = drained(connection)
    assert closed == CloseFlow(FlowId("a.1"))
    assert isinstance(failed, ConnectionFailed)
    assert failed.reason == "ws://10.0.0.2: the server answered 503 where 101 was due"


# Identity


@pytest.mark.parametrize("scheme", ["wss", "tls"])
@pytest.mark.parametrize(
    "peer", [None, TlsPeer(), TlsPeer(("pbx.example.com",)), TlsPeer(("other.example.com",), verified=True)]
)
def test_a_peer_that_is_not_the_server_gets_not_one_octet(scheme: str, peer: TlsPeer | None) -> None:
    connection = make(f"{scheme}://pbx.example.com")
    connection.connect(now=0.0)
    connection.resolved(1, (Address("10.0.0.2", 0),), now=0.0)
    drained(connection)
    connection.flow_opened(FlowId("a.1"), LOCAL, None, peer, now=0.1)
    closed, failed = drained(connection)
    assert closed == CloseFlow(FlowId("a.1"))
    assert isinstance(failed, ConnectionFailed)
    assert "certificate" in failed.reason


def test_without_verification_any_certificate_will_do() -> None:
    connection = make("tls://10.0.0.2", tls_verify=False)
    connection.connect(now=0.0)
    assert drained(connection) == [
        OpenStream(FlowId("a.1"), "10.0.0.2", 5061, TlsPolicy("10.0.0.2", None, verify=False))
    ]
    connection.flow_opened(FlowId("a.1"), LOCAL, None, TlsPeer(), now=0.1)
    assert [type(output) for output in connection.outputs()] == [ConnectionOpened]


# Coming back


def test_the_pause_doubles_with_jitter_up_to_its_bound() -> None:
    connection = make("tcp://10.0.0.2")
    connection.connect(now=0.0)
    now, pauses = 0.0, []
    for _ in range(40):
        opening = drained(connection)[-1]
        assert isinstance(opening, OpenStream)
        connection.flow_lost(opening.flow, "Connection refused", now=now)
        (failed,) = drained(connection)
        assert isinstance(failed, ConnectionFailed)
        assert failed.retry_in is not None
        pauses.append(failed.retry_in)
        now += failed.retry_in
        assert connection.next_timeout() == pytest.approx(now)
        connection.handle_timeout(now=now)
    for index, pause in enumerate(pauses):
        upper = min(module.MAX_PAUSE, module.BASE_PAUSE * 2 ** min(index, 10))
        assert upper / 2 <= pause < upper
    assert len(set(pauses)) == len(pauses)


def test_a_round_asks_every_server_before_it_pauses() -> None:
    connection = make("tcp://10.0.0.2", "tcp://10.0.0.3", "tcp://10.0.0.4")
    connection.connect(now=0.0)
    for number in (1, 2, 3):
        connection.flow_lost(FlowId(f"a.{number}"), "refused", now=0.0)
    *outputs, last = drained(connection)
    assert outputs == [
        OpenStream(FlowId("a.1"), "10.0.0.2", 5060),
        ConnectionFailed("tcp://10.0.0.2: refused", 0.0),
        OpenStream(FlowId("a.2"), "10.0.0.3", 5060),
        ConnectionFailed("tcp://10.0.0.3: refused", 0.0),
        OpenStream(FlowId("a.3"), "10.0.0.4", 5060),
    ]
    assert isinstance(last, ConnectionFailed)
    assert last.retry_in is not None
    assert connection.next_timeout() == last.retry_in > 0


def test_connect_cuts_the_pause_short() -> None:
    connection = make("tcp://10.0.0.2")
    connection.connect(now=0.0)
    connection.flow_lost(FlowId("a.1"), "Connection refused", now=0.0)
    drained(connection)
    connection.connect(now=0.1)
    assert drained(connection) == [OpenStream(FlowId("a.2"), "10.0.0.2", 5060)]


def test_a_lost_flow_is_opened_again_at_the_same_server() -> None:
    connection = make("tcp://10.0.0.2", "tcp://10.0.0.3")
    connection.connect(now=0.0)
    connection.flow_opened(FlowId("a.1"), LOCAL, now=0.0)
    drained(connection)
    connection.flow_lost(FlowId("a.1"), "Connection reset by peer", now=100.0)
    (lost,) = drained(connection)
    assert isinstance(lost, ConnectionLost)
    assert (lost.code, lost.reason) == (1006, "Connection reset by peer")
    assert lost.retry_in is not None
    assert module.BASE_PAUSE / 2 <= lost.retry_in < module.BASE_PAUSE
    connection.handle_timeout(now=100.0 + lost.retry_in)
    assert drained(connection) == [OpenStream(FlowId("a.2"), "10.0.0.2", 5060)]


def test_a_server_that_hangs_up_at_once_is_asked_ever_more_rarely_and_others_are_asked() -> None:
    connection = make("tcp://10.0.0.2", "tcp://10.0.0.3")
    connection.connect(now=0.0)
    now, pauses, hosts = 0.0, [], []
    for _ in range(8):
        opening = drained(connection)[-1]
        assert isinstance(opening, OpenStream)
        hosts.append(opening.host)
        connection.flow_opened(opening.flow, LOCAL, now=now)
        connection.receive_stream(opening.flow, b"", now=now + 0.1)
        lost = drained(connection)[-1]
        assert isinstance(lost, ConnectionLost)
        assert lost.retry_in is not None
        pauses.append(lost.retry_in)
        now += 0.1 + lost.retry_in
        connection.handle_timeout(now=now)
    assert pauses[-1] > 4 * pauses[0]
    assert hosts == ["10.0.0.2", "10.0.0.3"] * 4


def test_a_close_frame_gives_its_code() -> None:
    connection, peer = open_web_socket()
    peer.end.close(1011, "out of order", now=1.0)
    said = peer.exchange(connection, 1.0)
    assert said[0] == CloseFlow(FlowId("a.1"))
    assert isinstance(said[1], ConnectionLost)
    assert (said[1].code, said[1].reason) == (1011, "out of order")


# Closing


def test_close_says_so_on_the_web_socket_and_is_the_end() -> None:
    connection, peer = open_web_socket()
    connection.close(now=1.0)
    sent, closed, lost = drained(connection)
    assert isinstance(sent, SendStream)
    peer.end.receive(sent.data, now=1.0)
    assert "Closed(code=1000, reason='')" in map(str, peer.end.outputs())
    assert (closed, lost) == (CloseFlow(FlowId("a.1")), ConnectionLost(1000, "closed on our side", None))
    assert connection.next_timeout() is None
    connection.flow_lost(FlowId("a.1"), "late", now=2.0)
    connection.receive_stream(FlowId("a.1"), b"late", now=2.0)
    connection.close(now=2.0)
    assert drained(connection) == []


@pytest.mark.parametrize("state", ["resolving", "opening", "upgrading", "waiting"])
def test_close_gives_up_whatever_was_under_way(state: str) -> None:
    connection = make("ws://pbx")
    connection.connect(now=0.0)
    if state != "resolving":
        connection.resolved(1, (Address("10.0.0.2", 0),), now=0.0)
    if state == "upgrading":
        connection.flow_opened(FlowId("a.1"), LOCAL, now=0.0)
    if state == "waiting":
        connection.flow_lost(FlowId("a.1"), "Connection refused", now=0.0)
    assert connection.state.value == state
    drained(connection)
    connection.close(now=1.0)
    assert drained(connection) == ([CloseFlow(FlowId("a.1"))] if state in ("opening", "upgrading") else [])
    connection.resolved(1, (Address("10.0.0.2", 0),), now=2.0)
    assert (connection.state, connection.next_timeout()) == (ConnectionState.IDLE, None)


def test_send_before_it_is_open_names_state_and_remedy() -> None:
    connection = make("tcp://10.0.0.2")
    with pytest.raises(LocalProtocolError, match="a is idle; wait for ConnectionOpened"):
        connection.send(OPTIONS, now=0.0)


# Messages


def test_messages_over_a_web_socket() -> None:
    connection, peer = open_web_socket()
    connection.send(OPTIONS, now=1.0)
    peer.end.send(OPTIONS, now=1.0)
    peer.end.send_bytes(OPTIONS + b"\xff", now=1.0)
    peer.end.send(b"\r\n", now=1.0)
    hop = Hop("WS", Address("10.0.0.2", 8080), LOCAL, FlowId("a.1"))
    assert peer.exchange(connection, 1.0) == [MessageArrived(OPTIONS, hop), MessageArrived(OPTIONS + b"\xff", hop)]
    assert peer.received == [OPTIONS]
    peer.end.send(b"\r\n\r\n", now=1.0)
    assert peer.exchange(connection, 1.0) == []
    assert peer.received == [OPTIONS, b"\r\n"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_messages_over_tcp_however_they_are_cut_up(size: int) -> None:
    connection = open_plain("tcp://10.0.0.2")
    octets = b"\r\n\r\n" + OPTIONS + OPTIONS + b"\r\n\r\n" + OPTIONS
    for start in range(0, len(octets), size):
        connection.receive_stream(FlowId("a.1"), octets[start : start + size], now=1.0)
    hop = Hop("TCP", Address("10.0.0.2", 5060), LOCAL, FlowId("a.1"))
    arrived, pong = MessageArrived(OPTIONS, hop), SendStream(FlowId("a.1"), b"\r\n")
    assert drained(connection) == [pong, arrived, arrived, pong, arrived]
    connection.send(OPTIONS, now=1.0)
    assert drained(connection) == [SendStream(FlowId("a.1"), OPTIONS)]


def test_octets_that_cannot_be_cut_into_messages_end_the_flow() -> None:
    connection = open_plain("tcp://10.0.0.2")
    connection.receive_stream(FlowId("a.1"), b"HTTP/1.1 200 OK\r\n\r\n", now=1.0)
    closed, lost = drained(connection)
    assert closed == CloseFlow(FlowId("a.1"))
    assert isinstance(lost, ConnectionLost)
    assert "cannot be cut into messages" in lost.reason


def test_messages_over_udp_go_where_they_are_told() -> None:
    connection = open_plain("udp://10.0.0.2")
    stranger = Address("10.0.0.3", 5070)
    connection.send(OPTIONS, now=1.0)
    connection.send(OPTIONS, stranger, now=1.0)
    connection.receive_datagram(FlowId("a.1"), OPTIONS, stranger, now=1.0)
    for keepalive in (b"\r\n", b"\0\0\0\0", b"", b"\r\n\r\n"):
        connection.receive_datagram(FlowId("a.1"), keepalive, stranger, now=1.0)
    assert drained(connection) == [
        SendDatagram(FlowId("a.1"), OPTIONS, Address("10.0.0.2", 5060)),
        SendDatagram(FlowId("a.1"), OPTIONS, stranger),
        MessageArrived(OPTIONS, Hop("UDP", stranger, LOCAL, FlowId("a.1"))),
        SendDatagram(FlowId("a.1"), b"\r\n", stranger),
    ]


def test_peer_to_peer_has_no_default_destination_and_no_keepalive() -> None:
    connection = make()
    connection.connect(now=0.0)
    connection.flow_opened(FlowId("a.1"), LOCAL, now=0.0)
    drained(connection)
    assert connection.next_timeout() is None
    with pytest.raises(LocalProtocolError, match="no server; give an address"):
        connection.send(OPTIONS, now=1.0)


# Keepalive


def test_a_web_socket_that_answers_is_kept_for_a_week() -> None:
    connection, peer = open_web_socket()
    now, pings = 0.0, 0
    while now < 7 * 86_400:
        deadline = connection.next_timeout()
        assert deadline is not None
        assert EARLIEST <= deadline - now < LATEST
        now, pings = deadline, pings + 1
        connection.handle_timeout(now=now)
        assert peer.exchange(connection, now) == []
    assert connection.state is ConnectionState.OPEN
    assert pings > 20_000


def test_a_web_socket_that_does_not_answer_is_dead_within_forty_seconds() -> None:
    connection, _ = open_web_socket()
    now = 0.0
    said: list[Any] = []
    while not said:
        deadline = connection.next_timeout()
        assert deadline is not None
        now = deadline
        connection.handle_timeout(now=now)
        said = [output for output in connection.outputs() if not isinstance(output, SendStream)]
    assert now <= 40.0
    assert said[0] == CloseFlow(FlowId("a.1"))
    assert isinstance(said[1], ConnectionLost)
    assert (said[1].code, said[1].reason) == (1006, "the server does not answer any more")


def test_any_octets_show_that_the_peer_lives() -> None:
    connection, peer = open_web_socket()
    deadline = connection.next_timeout()
    assert deadline is not None
    connection.handle_timeout(now=deadline)
    drained(connection)  # the ping is lost
    peer.end.send(OPTIONS, now=deadline)
    peer.exchange(connection, deadline + 5)
    connection.handle_timeout(now=deadline + module.PONG_TIMEOUT)
    assert drained(connection) == []
    assert connection.state is ConnectionState.OPEN


def answer_pings(connection: SignallingConnection, now: float, *, answering: bool) -> bool:
    """Answers what pings there are, or not; returns whether there were any."""
    pinged = False
    for output in connection.outputs():
        if isinstance(output, SendStream | SendDatagram) and output.data == b"\r\n\r\n":
            pinged = True
            if answering and isinstance(output, SendStream):
                connection.receive_stream(output.flow, b"\r\n", now=now)
            elif answering and isinstance(output, SendDatagram):
                connection.receive_datagram(output.flow, b"\r\n", output.destination, now=now)
    return pinged


@pytest.mark.parametrize("url", ["tcp://10.0.0.2", "udp://10.0.0.2"])
def test_a_peer_that_never_answers_pings_is_not_thought_dead(url: str) -> None:
    connection, now = open_plain(url), 0.0
    while now < 3600:
        deadline = connection.next_timeout()
        assert deadline is not None
        now = deadline
        connection.handle_timeout(now=now)
        assert answer_pings(connection, now, answering=False)
    assert connection.state is ConnectionState.OPEN


@pytest.mark.parametrize(("url", "pings"), [("tcp://10.0.0.2", 1), ("udp://10.0.0.2", 3)])
def test_trn_01_a_peer_that_has_answered_and_stops_is_dead(url: str, pings: int) -> None:
    connection, now, count = open_plain(url), 0.0, 0
    silent_since = 300.0
    while connection.state is ConnectionState.OPEN:
        deadline = connection.next_timeout()
        assert deadline is not None
        now = deadline
        connection.handle_timeout(now=now)
        if connection.state is ConnectionState.OPEN:
            count += answer_pings(connection, now, answering=now < silent_since) and now >= silent_since
    assert count == pings
    assert now <= silent_since + 40
    assert [type(output) for output in connection.outputs()] == [CloseFlow, ConnectionLost]


def test_a_peer_that_pings_but_does_not_answer_is_not_thought_dead() -> None:
    connection, now = open_plain("tcp://10.0.0.2"), 0.0
    while now < 600:
        deadline = connection.next_timeout()
        assert deadline is not None
        now = deadline
        connection.handle_timeout(now=now)
        if now < 200:
            connection.receive_stream(FlowId("a.1"), b"\r\n\r\n", now=now)
    assert connection.state is ConnectionState.OPEN


# All orders of events

NOISE = st.sampled_from([b"\r\n", b"\r\n\r\n", OPTIONS, b"junk\r\n\r\n", b"", b"\x81\x02hi", b"HTTP/1.1 101 X\r\n\r\n"])


class FlowEvents(RuleBasedStateMachine):
    """Gives a connection whatever a driver may report, in any order, and holds its outputs to a model of the flows."""

    @initialize(
        servers=st.lists(
            st.sampled_from(["ws://pbx", "wss://10.0.0.2", "tcp://10.0.0.3", "udp://10.0.0.4"]), max_size=3
        )
    )
    def start(self, servers: list[str]) -> None:
        self.connection = make(*servers)
        self.servers = servers
        self.now = 0.0
        self.live: set[FlowId] = set()  # flows that a driver holds
        self.ever: list[FlowId] = []
        self.queries = 0
        self.open = False

    def drain(self) -> None:
        for output in self.connection.outputs():
            match output:
                case OpenStream() | OpenDatagram():
                    assert output.flow not in self.ever
                    assert not self.live, "a second flow beside one that is not closed"
                    self.live.add(output.flow)
                    self.ever.append(output.flow)
                case SendStream() | SendDatagram():
                    assert output.flow in self.live
                case CloseFlow():
                    self.live.remove(output.flow)
                case Resolve():
                    assert output.query == self.queries + 1
                    self.queries = output.query
                case ConnectionOpened():
                    assert not self.open
                    assert output.hop.flow in self.live
                    self.open = True
                case ConnectionLost():
                    assert self.open
                    self.open = False
                case ConnectionFailed():
                    assert not self.open
                case MessageArrived():
                    assert self.open
                    assert output.data.strip(b"\r\n\0")

    @rule()
    def connect(self) -> None:
        self.connection.connect(now=self.now)
        self.drain()

    @rule()
    def close(self) -> None:
        self.connection.close(now=self.now)
        self.drain()
        assert not self.live
        assert self.connection.next_timeout() is None

    @rule(good=st.booleans(), which=st.integers(0, 3))
    def flow_opened(self, good: bool, which: int) -> None:
        if self.ever:
            peer = TlsPeer(("10.0.0.2",), verified=good)
            self.connection.flow_opened(self.ever[-1 - which % len(self.ever)], LOCAL, None, peer, now=self.now)
            self.drain()

    @rule(which=st.integers(0, 3))
    def flow_lost(self, which: int) -> None:
        if self.ever:
            flow = self.ever[-1 - which % len(self.ever)]
            self.live.discard(flow)
            self.connection.flow_lost(flow, "lost", now=self.now)
            self.drain()

    @rule(count=st.integers(0, 6), which=st.integers(0, 1))
    def resolved(self, count: int, which: int) -> None:
        addresses = tuple(Address(f"10.0.1.{n}", 0) for n in range(count))
        self.connection.resolved(self.queries - which, addresses, now=self.now)
        self.drain()

    @rule(data=NOISE, which=st.integers(0, 2))
    def receive_stream(self, data: bytes, which: int) -> None:
        if self.ever:
            self.connection.receive_stream(self.ever[-1 - which % len(self.ever)], data, now=self.now)
            self.drain()

    @rule(data=NOISE, server=st.booleans())
    def receive_datagram(self, data: bytes, server: bool) -> None:
        if self.ever:
            source = Address("10.0.0.4" if server else "10.0.0.5", 5060)
            self.connection.receive_datagram(self.ever[-1], data, source, now=self.now)
            self.drain()

    @precondition(lambda self: self.connection.state is ConnectionState.UPGRADING)
    @rule(extra=NOISE)
    def upgrade(self, extra: bytes) -> None:
        web_socket = self.connection._web_socket
        assert web_socket is not None
        peer = Peer()
        key = web_socket._key
        peer.end.receive(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
            + key
            + b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
            now=self.now,
        )
        answer = b"".join(getattr(output, "data", b"") for output in peer.end.outputs())
        self.connection.receive_stream(FlowId(flow(self.connection)), answer + extra, now=self.now)
        self.drain()

    @rule()
    def time_passes(self) -> None:
        deadline = self.connection.next_timeout()
        if deadline is not None:
            assert deadline >= self.now - 1e-9
            self.now = max(self.now, deadline)
        self.connection.handle_timeout(now=self.now)
        self.drain()

    @rule(seconds=st.floats(0, 100))
    def more_time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.connection.handle_timeout(now=self.now)
        self.drain()

    @rule()
    def send(self) -> None:
        if self.open:
            self.connection.send(OPTIONS, Address("10.0.0.4", 5060), now=self.now)
            self.drain()
        else:
            with pytest.raises(LocalProtocolError):
                self.connection.send(OPTIONS, now=self.now)

    @invariant()
    def is_consistent(self) -> None:
        if not hasattr(self, "connection"):
            return
        state = self.connection.state
        assert self.open == (state is ConnectionState.OPEN)
        assert len(self.live) == (state in (ConnectionState.OPENING, ConnectionState.UPGRADING, ConnectionState.OPEN))
        waits = state is not ConnectionState.IDLE and not (state is ConnectionState.OPEN and not self.servers)
        assert (self.connection.next_timeout() is not None) == waits, "it would hang, or never come to rest"


FlowEvents.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFlowEvents = FlowEvents.TestCase


def test_the_table_names_every_state_and_each_can_be_left_for_idle() -> None:
    assert set(TRANSITIONS) == set(ConnectionState)
    for state in ConnectionState:
        assert state is ConnectionState.IDLE or ConnectionState.IDLE in TRANSITIONS[state]
