"""One signalling flow that is kept alive: resolved, opened, watched, and opened again when it breaks.

Theory of operation
-------------------
`connect` starts a *round*: each server of the list has its turn, each of its addresses an attempt. Where a server is
says `sip.locating` (RFC 3263), for a `sip:` URI its transport as well. A server that fails gives `ConnectionFailed`;
when all have failed there is a pause (exponential back-off with jitter, RFC 5626 section 4.5) and the next round. An
open flow that breaks gives `ConnectionLost`, a pause, and a round that starts with the same server. It goes on so until
`close`.

A server's turn has a deadline that covers name lookup, all addresses, TLS and the WebSocket handshake; the turns of a
list are cut so that a round in which nobody answers is over within ROUND_TIMEOUT.

On an open flow a ping leaves every 24 to 29 s. Its answer is due where the protocol promises one (WebSocket), or the
peer has shown that it answers (RFC 5626 pings); a peer that then falls silent is dead, and the flow lost.

Framing is the flow's own: WebSocket messages, Content-Length on TCP and TLS (`sip.parser.StreamFramer`), datagrams on
UDP. An account without a server has one UDP flow that nobody pings.
"""

from collections.abc import Iterator
from typing import assert_never

from .back_off import BackOff
from .connection_outputs import ConnectionFailed, ConnectionLost, ConnectionOpened, ConnectionOutput, MessageArrived
from .connection_state import TRANSITIONS, ConnectionState, Timer
from .context import Context
from .effects import (
    Address,
    CloseFlow,
    FlowId,
    OpenDatagram,
    OpenStream,
    Record,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
    TlsPolicy,
)
from .errors import LocalProtocolError, ParseError
from .keepalive import KeepaliveInterval
from .machine import Outbox
from .places import Places, is_in_reach
from .server_url import ServerUrl
from .sip.locating import MAX_ADDRESSES, Located, Locator, Target
from .sip.parser import Ping, Pong, StreamFramer
from .sip.transport import Hop
from .timers import TimerSet
from .tls_identity import identity_fault
from .web_socket import Closed, MessageReceived, Opened, PongReceived, SendData, WebSocketConnection

__all__ = [
    "MAX_ADDRESSES",
    "TRANSITIONS",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionOpened",
    "ConnectionOutput",
    "ConnectionState",
    "MessageArrived",
    "ServerUrl",
    "SignallingConnection",
]

ROUND_TIMEOUT = 9.0  # seconds for all servers together: a person waits for the verdict
MAX_TURN, MIN_TURN = 6.0, 1.0  # seconds for one server: three SYNs (0, 1, 3 s) of a lossy network, and one

# RFC 5626 section 4.5, with times for a person who waits rather than for a registrar that was restarted.
BASE_PAUSE, MAX_PAUSE = 2.0, 30.0
HURRIED_TURN = 2.5  # seconds; see `back_off.HURRIED_PAUSE`
STABLE = 30.0  # seconds that a flow must have lasted for its loss to count as the first

PONG_TIMEOUT = 10.0  # RFC 5626 section 4.4.1, after which "the client MUST treat the flow as failed"
DATAGRAM_PONG_TIMEOUT = 3.0
DATAGRAM_PINGS = 3  # a datagram may be lost; three in a row say that the peer is

PING, PONG = b"\r\n\r\n", b"\r\n"

ANY_ADDRESS = Address("0.0.0.0", 0)
# RFC 5737: an address that nobody has. Peer to peer over a wildcard, our own is that of the default route.
NOWHERE = Address("192.0.2.1", 5060)


class SignallingConnection:
    """The machine of one signalling flow.

    Args:
        name: first part of the names of its flows.
        servers: in order of preference; empty: one UDP flow without a far end.
        bind: local address of a UDP flow.
        pause: seconds, base-time and max-time of RFC 5626 section 4.5, between rounds.
        ca_file: PEM file with the authorities to trust; None: the system's.
        tls_verify: False accepts any certificate.
        places: where the other flows of the account are; none is opened to the same address.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        servers: tuple[ServerUrl, ...],
        *,
        bind: Address = ANY_ADDRESS,
        pause: tuple[float, float] = (BASE_PAUSE, MAX_PAUSE),
        ca_file: str | None = None,
        tls_verify: bool = True,
        places: Places | None = None,
    ) -> None:
        self.state = ConnectionState.IDLE
        self._context = context
        self._name = name
        self._servers = servers
        self._bind = bind
        self._back_off = BackOff(context, *pause)
        self._ca_file = ca_file
        self._tls_verify = tls_verify
        self._places = places or Places()
        self._keepalive = KeepaliveInterval(context)
        self._sole = False  # there is one address in all, which the flows of the account must share
        self._outbox: Outbox[ConnectionOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()
        self._turn = 0  # index of the server that is tried or in use
        self._moved: ServerUrl | None = None  # the server that another has sent us to
        self._failed = 0  # servers that have failed in this round
        self._targets: list[Target] = []  # places of the server, not tried yet
        self._locator: Locator | None = None
        self._query = 0
        self._flows = 0
        self._flow: FlowId | None = None
        self._hop: Hop | None = None
        self._web_socket: WebSocketConnection | None = None
        self._framer: StreamFramer | None = None
        self._opened_at = self._paused_at = 0.0
        self._answers = False  # whether the peer has answered a ping on this flow
        self._half = False  # whether that is known from a CRLF that may yet turn out to be half of a ping
        self._unanswered = 0

    @property
    def is_connecting(self) -> bool:
        """Whether the flow is being opened; a pause between two rounds is none of it."""
        return self.state in (ConnectionState.RESOLVING, ConnectionState.OPENING, ConnectionState.UPGRADING)

    # Commands

    def connect(self, *, now: float) -> None:
        """Opens the flow and keeps it open. Harmless when it is open or on its way; a pause is cut short."""
        if self.state in (ConnectionState.IDLE, ConnectionState.WAITING):
            self._timers.cancel(Timer.RETRY)
            self._back_off.failures = 0
            self._try_server(now)

    def close(self, *, now: float) -> None:
        """Closes the flow for good. Gives ConnectionLost (1000) where it was open. Harmless when idle."""
        was_open = self.state is ConnectionState.OPEN
        if was_open and self._web_socket is not None:
            self._web_socket.close(1000, now=now)
            for output in self._web_socket.outputs():
                if isinstance(output, SendData):
                    self._send_stream(output.data)
        self._drop_flow()
        self._timers.clear()
        self._targets.clear()
        self._moved = None
        self._failed = self._back_off.failures = 0
        if self.state is not ConnectionState.IDLE:
            self._enter(ConnectionState.IDLE)
        if was_open:
            self._outbox.put(ConnectionLost(1000, "closed on our side", None))

    def hurry(self, on: bool) -> None:
        """Whether tries to open the flow follow each other closely. A pause that is under way is shortened."""
        self._back_off.hurried = on
        retry_at = self._timers.deadline(Timer.RETRY)
        if on and retry_at is not None:
            self._timers.arm(Timer.RETRY, min(retry_at, self._paused_at + self._back_off.short_pause()))

    def flow_timer(self, seconds: float | None, *, now: float) -> None:
        """After so much silence the server gives the present flow up (RFC 5626 section 4.4); None: it has not said."""
        if seconds != self._keepalive.flow_timer and Timer.KEEPALIVE in self._timers:
            self._keepalive.flow_timer = seconds
            self._arm_keepalive(now)

    def fail_over(self, reason: str, *, now: float) -> bool:
        """Leaves a server that has said it cannot serve for its next address, or for the next server of the list
        (RFC 3263 section 4.3). Gives ConnectionLost. False where all have had their turn: then nothing changes.
        """
        if self.state is not ConnectionState.OPEN:
            return False
        if now - self._opened_at >= STABLE:
            self._failed = 0
        moved, self._moved = self._moved, None
        if not self._targets and moved is None and self._failed + 1 >= len(self._servers):
            return False
        self._drop_flow()
        self._timers.clear()
        self._outbox.put(ConnectionLost(1006, reason, 0.0))
        if self._targets:
            self._arm_turn(now)
            self._try_target(now)
        else:
            if moved is None:
                self._failed += 1
                self._turn = (self._turn + 1) % len(self._servers)
            self._try_server(now)
        return True

    def reopen(self, reason: str, *, now: float) -> None:
        """Opens the flow anew at once, as its local address is gone; cuts a pause short. Nothing where nobody wants a
        flow. Gives ConnectionLost where it was open."""
        if self.state is ConnectionState.IDLE:
            return
        was_open = self.state is ConnectionState.OPEN
        self._drop_flow()
        self._timers.clear()
        self._targets.clear()
        self._failed = self._back_off.failures = 0
        if was_open:
            self._outbox.put(ConnectionLost(1006, reason, 0.0))
        self._try_server(now)

    def move(self, server: ServerUrl, reason: str, *, now: float) -> None:
        """Leaves the server for another, as it has asked us to (301, 302), and comes back to the list when that fails.
        Gives ConnectionLost where a flow was open."""
        was_open = self.state is ConnectionState.OPEN
        self._drop_flow()
        self._timers.clear()
        self._targets.clear()
        self._failed = 0
        self._moved = server
        if was_open:
            self._outbox.put(ConnectionLost(1000, reason, 0.0))
        self._try_server(now)

    def send(self, data: bytes, address: Address | None = None, *, now: float) -> None:
        """Sends one message.

        Args:
            address: where to, on UDP; None: the server.

        Raises:
            LocalProtocolError: the flow is not open, or there is nowhere to send to.
        """
        if self.state is not ConnectionState.OPEN or self._hop is None:
            raise LocalProtocolError(f"cannot send: {self._name} is {self.state.value}; wait for ConnectionOpened")
        if self._web_socket is not None:
            self._web_socket.send(data, now=now)
            self._drain_web_socket(now)
        elif self._framer is not None:
            self._send_stream(data)
        else:
            destination = address or self._hop.address
            if destination is None:
                raise LocalProtocolError(f"cannot send: {self._name} has no server; give an address")
            self._send_datagram(data, destination)

    # Inputs

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        """The answer to `Resolve`; one to an earlier question is ignored."""
        if self.state is ConnectionState.RESOLVING and self._locator is not None:
            self._locator.resolved(query, records)
            self._drain_locator(now)

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        if flow != self._flow or self.state is not ConnectionState.OPENING:
            return
        server = self._server()
        assert self._hop is not None
        if server is None or not self._hop.reliable:
            self._hop = Hop("UDP", self._hop.address, local, flow)
            self._opened(now)
            return
        if self._hop.secure and self._tls_verify and (fault := identity_fault(peer, server)) is not None:
            self._address_failed(fault, now)
            return
        self._hop = Hop(self._hop.transport, remote or self._hop.address, local, flow)
        if server.web_socket:
            self._enter(ConnectionState.UPGRADING)
            self._web_socket = WebSocketConnection.client(
                self._context, host=server.authority, target=server.target, now=now
            )
            self._drain_web_socket(now)
        else:
            self._framer = StreamFramer()
            self._opened(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if flow != self._flow:
            return
        self._flow = None
        self._broken(1006, reason, now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if flow != self._flow or self._hop is None:
            return
        self._alive()
        if self._web_socket is not None:
            self._web_socket.receive(data, now=now)
            self._drain_web_socket(now)
        elif self._framer is None:
            return
        elif not data:
            self._broken(1006, "the peer closed the stream", now)
        else:
            self._framer.receive(data)
            self._drain_framer(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if flow != self._flow or self.state is not ConnectionState.OPEN or self._hop is None:
            return
        if source == self._hop.address:
            self._alive()
        if data == PING:
            self._send_datagram(PONG, source)
        elif data == PONG:
            self._answers = self._answers or source == self._hop.address
        elif data.strip(b"\r\n\0"):  # what is nothing else is some server's way to keep a NAT open
            self._outbox.put(MessageArrived(data, Hop("UDP", source, self._hop.local, flow)))

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.ATTEMPT:
                    self._address_failed("no answer in time", now)
                case Timer.TURN:
                    self._targets.clear()
                    self._address_failed("no answer in time", now)
                case Timer.RETRY:
                    self._try_server(now)
                case Timer.KEEPALIVE:
                    self._unanswered = 0
                    self._ping(now)
                    self._arm_keepalive(now)
                case Timer.PONG:
                    self._on_pong_missed(now)
                case _:
                    assert_never(timer)
        if self._web_socket is not None:
            self._web_socket.handle_timeout(now=now)
            self._drain_web_socket(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._timers.next(), self._web_socket.next_timeout() if self._web_socket is not None else None)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> ConnectionOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[ConnectionOutput]:
        return self._outbox.drain()

    # Rounds, turns, attempts

    def _server(self) -> ServerUrl | None:
        return self._moved or (self._servers[self._turn] if self._servers else None)

    def _try_server(self, now: float) -> None:
        server = self._server()
        self._arm_turn(now)
        if server is None:
            self._open_datagram(None)
            return
        self._locator = Locator(
            self._context,
            server.host,
            server.port or None,
            secure=server.scheme == "sips",
            transport=server.transport or None,
            transports=("TLS", "TCP", "UDP") if server.is_located else (server.transport,),
            first_query=self._query + 1,
        )
        self._drain_locator(now)

    def _arm_turn(self, now: float) -> None:
        share = ROUND_TIMEOUT / max(len(self._servers), 1)
        longest = HURRIED_TURN if self._back_off.hurried else MAX_TURN
        self._timers.arm(Timer.TURN, now + max(MIN_TURN, min(longest, share)))

    def _drain_locator(self, now: float) -> None:
        assert self._locator is not None
        self._query = self._locator.next_query - 1
        for output in self._locator.outputs():
            match output:
                case Resolve():
                    if self.state is not ConnectionState.RESOLVING:
                        self._enter(ConnectionState.RESOLVING)
                    self._outbox.put(output)
                case Located():
                    self._locator = None
                    self._sole = len(self._servers) == len(output.targets) == 1
                    self._targets = [each for each in output.targets if is_in_reach(each, self._bind)]
                    if self._targets:
                        self._try_target(now)
                    else:
                        self._server_failed(output.reason or "the name has no address", now)
                case _:
                    assert_never(output)

    def _try_target(self, now: float) -> None:
        """Gives the next address an equal part of what is left of the server's turn."""
        self._targets = [each for each in self._targets if self._sole or self._places.is_free(each, self._name)]
        if not self._targets:
            self._server_failed("each address of it has a flow of this account", now)
            return
        server, target = self._server(), self._targets.pop(0)
        assert server is not None
        deadline = self._timers.deadline(Timer.TURN)
        assert deadline is not None
        self._timers.arm(Timer.ATTEMPT, now + max(0.0, deadline - now) / (len(self._targets) + 1))
        address = target.address
        if target.transport == "UDP":
            self._open_datagram(address)
            return
        hop = Hop(target.transport, address)
        # RFC 5922 section 7.3: the identity asked for is the domain that was looked up, not what the DNS made of it.
        policy = TlsPolicy(server.host, self._ca_file, self._tls_verify) if hop.secure else None
        self._outbox.put(OpenStream(self._new_flow(hop), address.host, address.port, policy))

    def _open_datagram(self, address: Address | None) -> None:
        bind = self._bind
        if bind.host == "0.0.0.0" and address is not None and ":" in address.host:
            bind = Address("::", bind.port)
        towards = address
        if address is None and bind.host == "0.0.0.0":
            towards = NOWHERE
        flow = self._new_flow(Hop("UDP", address))
        self._outbox.put(OpenDatagram(flow, bind, towards))

    def _new_flow(self, hop: Hop) -> FlowId:
        self._flows += 1
        self._flow = FlowId(f"{self._name}.{self._flows}")
        self._hop = hop
        self._places.take(self._name, hop.address)
        self._enter(ConnectionState.OPENING)
        return self._flow

    def _address_failed(self, reason: str, now: float) -> None:
        self._drop_flow()
        if self._targets:
            self._try_target(now)
        else:
            self._server_failed(reason, now)

    def _server_failed(self, reason: str, now: float) -> None:
        server = self._server()
        self._timers.cancel(Timer.ATTEMPT, Timer.TURN)
        if self._moved is not None:
            self._moved = None
            self._outbox.put(ConnectionFailed(f"{server}: {reason}", 0.0))
            self._try_server(now)
            return
        self._failed += 1
        if self._servers:
            self._turn = (self._turn + 1) % len(self._servers)
        text = f"{server}: {reason}" if server is not None else reason
        if self._failed < len(self._servers):
            self._outbox.put(ConnectionFailed(text, 0.0))
            self._try_server(now)
        else:
            self._outbox.put(ConnectionFailed(text, self._pause(now)))

    def _pause(self, now: float) -> float:
        """Waits for the next round; returns the seconds."""
        delay = self._back_off.pause()
        self._failed, self._paused_at = 0, now
        self._enter(ConnectionState.WAITING)
        self._timers.arm(Timer.RETRY, now + delay)
        return delay

    # The open flow

    def _opened(self, now: float) -> None:
        assert self._hop is not None
        self._timers.cancel(Timer.ATTEMPT, Timer.TURN)
        self._enter(ConnectionState.OPEN)
        self._opened_at = now
        self._answers, self._half, self._unanswered = self._web_socket is not None, False, 0
        self._keepalive.flow_timer = None
        if self._hop.address is not None:
            self._arm_keepalive(now)
        self._outbox.put(ConnectionOpened(self._hop))

    def _broken(self, code: int, reason: str, now: float) -> None:
        """The flow has ended, or the peer has ended it."""
        if self.state is not ConnectionState.OPEN:
            self._address_failed(reason, now)
            return
        self._drop_flow()
        self._timers.clear()
        if now - self._opened_at >= STABLE:
            self._back_off.failures = 0
        elif self._servers and self._moved is None:
            self._turn = (self._turn + 1) % len(self._servers)
        self._moved = None
        self._outbox.put(ConnectionLost(code, reason, self._pause(now)))

    def _arm_keepalive(self, now: float) -> None:
        self._timers.arm(Timer.KEEPALIVE, now + self._keepalive.draw())

    def _ping(self, now: float) -> None:
        assert self._hop is not None
        self._unanswered += 1
        if self._answers:
            timeout = PONG_TIMEOUT if self._hop.reliable else DATAGRAM_PONG_TIMEOUT
            self._timers.arm(Timer.PONG, now + timeout)
        if self._web_socket is not None:
            self._web_socket.ping(now=now)
            self._drain_web_socket(now)
        elif self._framer is not None:
            self._send_stream(PING)
        elif self._hop.address is not None:
            self._send_datagram(PING, self._hop.address)

    def _on_pong_missed(self, now: float) -> None:
        assert self._hop is not None
        if not self._hop.reliable and self._unanswered < DATAGRAM_PINGS:
            self._ping(now)
        else:
            self._broken(1006, "the server does not answer any more", now)

    def _alive(self) -> None:
        """Whatever arrives shows that the peer is there."""
        self._timers.cancel(Timer.PONG)

    # Framing

    def _drain_web_socket(self, now: float) -> None:
        web_socket = self._web_socket
        if web_socket is None:
            return
        for output in web_socket.outputs():
            match output:
                case SendData():
                    self._send_stream(output.data)
                case Opened():
                    self._opened(now)
                case MessageReceived():
                    self._on_web_socket_message(output.data, now)
                case PongReceived():
                    self._alive()
                case Closed():
                    self._broken(output.code, output.reason or f"WebSocket closed with {output.code}", now)
                case _:
                    assert_never(output)

    def _on_web_socket_message(self, data: bytes, now: float) -> None:
        assert self._hop is not None
        if data == PING:
            assert self._web_socket is not None
            self._web_socket.send(PONG, now=now)
        elif data.strip(b"\r\n\0"):
            self._outbox.put(MessageArrived(data, self._hop))

    def _drain_framer(self, now: float) -> None:
        assert self._framer is not None
        assert self._hop is not None
        for frame in self._framer.frames():
            match frame:
                case bytes():
                    self._outbox.put(MessageArrived(frame, self._hop))
                case Pong():
                    # It may be half of a ping: then the other half takes back what we have learnt.
                    self._half = not self._answers and self._unanswered > 0
                    self._answers = self._answers or self._half
                case Ping():
                    self._answers = self._answers and not self._half
                    self._half = False
                    self._send_stream(PONG)
                case ParseError():
                    self._broken(1006, f"the server's octets cannot be cut into messages: {frame}", now)
                    return
                case _:
                    assert_never(frame)

    # Small helpers

    def _enter(self, state: ConnectionState) -> None:
        assert state in TRANSITIONS[self.state], (self.state, state)
        self.state = state

    def _send_stream(self, data: bytes) -> None:
        assert self._flow is not None
        self._outbox.put(SendStream(self._flow, data))

    def _send_datagram(self, data: bytes, destination: Address) -> None:
        assert self._flow is not None
        self._outbox.put(SendDatagram(self._flow, data, destination))

    def _drop_flow(self) -> None:
        if self._flow is not None:
            self._outbox.put(CloseFlow(self._flow))
        self._places.leave(self._name)
        self._flow = None
        self._hop = None
        self._locator = None
        self._web_socket = None
        self._framer = None
