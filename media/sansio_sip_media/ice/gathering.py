"""Gathering of server-reflexive and relayed candidates, and the road to and from the relays (RFC 8445 section 5.1.1).

Theory of operation
-------------------
`add_flow` is told of each host socket. Every STUN server of the same address family is asked from it for our mapped
address, and every TURN server for a relayed one; the requests start `TA` apart. What is found comes out as
`CandidateFound`, to be given to `IceAgent.add_local_candidate`. `GatheringFinished` comes when all have answered or
failed, or at `limit`: a call need not wait for a dead server, and what is found later may still be trickled. Which
server it was that gave nothing, `problems` says. A flow or a server that is added later begins anew.

A relayed candidate has a flow of its own, named `<flow>/relay<n>`, that no socket stands for: whoever sees a
`SendDatagram` of the agent by such a flow (`owns`) calls `send`; what arrives by it comes out as `DatagramReceived`.
Datagrams of a real flow belong here if `is_for` says so.

A TURN server that is reached over TCP or TLS has a stream of its own, `<flow>/turn<n>`: `OpenStream` asks for it, and
`flow_opened`, `stream_lost` and `receive_stream` tell of it. One that breaks under an allocation is opened again.

Until `conclude`, mapped addresses are kept alive by asking again (RFC 8445 section 5.1.1.4).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenStream, SendDatagram, SendStream, TlsPeer
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import Deadlines, TimerSet
from sansio_sip.tls_identity import host_fault

from . import stun
from .candidate import CandidateType
from .stun import Attribute, StunClass, StunMessage, StunMethod
from .transaction import RTO, StunTransaction
from .turn import (
    Allocated,
    AllocationFailed,
    AllocationLost,
    RelayedData,
    Released,
    TurnClient,
    TurnOutput,
    TurnServer,
    TurnState,
)

__all__ = [
    "CandidateFound",
    "CandidateLost",
    "DatagramReceived",
    "Gatherer",
    "GathererOutput",
    "GatheringFinished",
    "TurnServer",
]

TA = 0.05
"""Seconds between the starts of two requests (RFC 8445 section 14.2)."""

LIMIT = 2.0
"""Seconds after which gathering counts as finished; browsers' softphones cut it there too."""

KEEPALIVE = 15.0
"""Seconds between requests that keep a mapping alive (RFC 8445 section 11)."""


MAX_REOPENED = 5
"""How often the stream to a server is opened again in the life of a gatherer: one that keeps breaking is no help."""


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """Arguments of `IceAgent.add_local_candidate`."""

    flow: FlowId
    address: Address
    kind: CandidateType
    base: Address
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class CandidateLost:
    """The flow of a relayed candidate is gone: for `IceAgent.flow_lost`. `reason` is for people."""

    flow: FlowId
    reason: str


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """A datagram came by a relay: for whoever takes those of real flows."""

    flow: FlowId
    data: bytes
    source: Address


@dataclass(frozen=True, slots=True)
class GatheringFinished:
    """No more candidates are waited for."""


GathererOutput: TypeAlias = (
    SendDatagram
    | OpenStream
    | SendStream
    | CloseFlow
    | CandidateFound
    | CandidateLost
    | DatagramReceived
    | GatheringFinished
)


class Timer(Enum):
    """PACE: the next request may start. LIMIT: waiting ends. KEEPALIVE: mappings are refreshed."""

    PACE = "pace"
    LIMIT = "limit"
    KEEPALIVE = "keepalive"


@dataclass(slots=True)
class _Binding:
    """Asks one STUN server from one flow. `mapped` is what it said."""

    flow: FlowId
    local: Address
    server: Address
    mapped: Address | None = None
    settled: bool = False
    failure: str = ""


@dataclass(slots=True)
class _Relay:
    """An allocation, and the flow that stands for it. `generation` counts allocations, each with a flow of its own.
    `stream` is that of a server over TCP or TLS while it is opening or open; `reopened` counts its repetitions."""

    flow: FlowId
    number: int
    server: TurnServer
    client: TurnClient
    stream: FlowId | None = None
    reopened: int = 0
    generation: int = 0
    own_flow: FlowId | None = None
    settled: bool = False
    failure: str = ""


class Gatherer:
    """Finds candidates for one session. Outputs: `GathererOutput`."""

    def __init__(
        self,
        context: Context,
        *,
        stun_servers: tuple[Address, ...] = (),
        turn_servers: tuple[TurnServer, ...] = (),
        limit: float = LIMIT,
    ) -> None:
        self._context = context
        self._servers: list[Address | TurnServer] = [*stun_servers, *turn_servers]
        self._flows: dict[FlowId, Address] = {}
        self._limit = limit
        self._waiting: list[_Binding | _Relay] = []
        self._bindings: list[_Binding] = []
        self._relays: list[_Relay] = []
        self._numbers: Counter[FlowId] = Counter()
        self._requests: dict[bytes, tuple[StunTransaction, _Binding]] = {}
        self._deadlines: Deadlines[bytes] = Deadlines()
        self._timers: TimerSet[Timer] = TimerSet()
        self._last_start: float | None = None
        self._finished = False
        self._concluded = False
        self._outbox: Outbox[GathererOutput] = Outbox()
        self.counters: Counter[str] = Counter()

    # Commands

    def add_flow(self, flow: FlowId, local: Address, *, now: float) -> None:
        """A host socket is open: asks all servers from it."""
        self._flows[flow] = local
        self._begin([(flow, server) for server in self._servers], now)

    def add_server(self, server: Address | TurnServer, *, now: float) -> None:
        """The address of one more server is known: asks it from all sockets."""
        self._servers.append(server)
        self._begin([(flow, server) for flow in self._flows], now)

    def remove_flow(self, flow: FlowId, *, now: float) -> None:
        """A host socket is gone, and the allocations on it."""
        self._flows.pop(flow, None)
        self._waiting = [waiting for waiting in self._waiting if waiting.flow != flow]
        self._bindings = [binding for binding in self._bindings if binding.flow != flow]
        for transaction_id in [key for key, (_, binding) in self._requests.items() if binding.flow == flow]:
            self._take(transaction_id)
        gone = [relay for relay in self._relays if relay.flow == flow]
        self._relays = [relay for relay in self._relays if relay.flow != flow]
        for relay in gone:
            self._lost(relay, "its socket is gone")
            self._close_stream(relay)
        self._finish_if_settled()

    @property
    def flows(self) -> tuple[FlowId, ...]:
        """Those of host sockets."""
        return tuple(self._flows)

    def owns(self, flow: FlowId) -> bool:
        """Whether this is the flow of a relayed candidate."""
        return any(relay.own_flow == flow for relay in self._relays)

    def socket_of(self, flow: FlowId) -> FlowId:
        """The flow of the socket that carries it: its own, but for one of a relayed candidate."""
        return next((relay.flow for relay in self._relays if relay.own_flow == flow), flow)

    @property
    def is_settled(self) -> bool:
        """Whether every server has answered or failed."""
        return all(one.settled for one in self._bindings) and all(one.settled for one in self._relays)

    @property
    def problems(self) -> tuple[str, ...]:
        """What each server that has given nothing is called, and why, for people."""
        found = [f"STUN server {one.server}: {one.failure}" for one in self._bindings if one.failure]
        found += [f"TURN server {one.server}: {one.failure}" for one in self._relays if one.failure]
        found += [f"STUN server {one.server}: no answer yet" for one in self._bindings if not one.settled]
        found += [f"TURN server {one.server}: no answer yet" for one in self._relays if not one.settled]
        return tuple(dict.fromkeys(found))

    def send(self, flow: FlowId, data: bytes, destination: Address, *, now: float) -> None:
        """Sends by the flow of a relayed candidate."""
        for relay in self._relays:
            if relay.own_flow == flow:
                relay.client.send(data, destination, now=now)
                self._drain(relay, now)

    def selected(self, flow: FlowId, remote: Address, *, now: float) -> None:
        """The pair of these was selected: a relay binds a channel for it."""
        for relay in self._relays:
            if relay.own_flow == flow:
                relay.client.bind_channel(remote, now=now)
                self._drain(relay, now)

    def conclude(self, *, now: float) -> None:
        """ICE has selected a pair: its checks keep what is used alive, mappings are not refreshed any more."""
        self._concluded = True
        self._timers.cancel(Timer.KEEPALIVE)

    def release(self, flow: FlowId | None = None, *, now: float) -> None:
        """Gives relays back, that of `flow` or all of them."""
        for relay in self._relays:
            if flow is None or relay.own_flow == flow:
                relay.client.close(now=now)
                self._drain(relay, now)
        if flow is None:
            self._waiting.clear()
            self._timers.clear()

    # Inputs

    def is_for(self, flow: FlowId, data: bytes, source: Address) -> bool:
        """Whether a datagram is an answer of a server or comes by a relay."""
        if not self._relays and not self._requests:
            return False
        if stun.is_stun(data) and data[8:20] in self._requests:
            return True
        # From a relay's address come ChannelData, indications and responses; never a check of the peer.
        is_request = stun.is_stun(data) and not (data[0] & 0x01 or data[1] & 0x10)
        return not is_request and self._relay_at(flow, source) is not None

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        """Takes a datagram that `is_for` this. Anything that is not right is counted."""
        if data[8:20] in self._requests and stun.is_stun(data):
            self._receive_binding(flow, data, source, now)
        else:
            relay = self._relay_at(flow, source)
            if relay is not None:
                relay.client.receive_datagram(data, now=now)
                self._drain(relay, now)
        self._finish_if_settled()

    def owns_stream(self, flow: FlowId) -> bool:
        """Whether this is the stream to a server."""
        return self._relay_on(flow) is not None

    def stream_opened(self, flow: FlowId, peer: TlsPeer | None, *, now: float) -> None:
        """The stream to a server is open; over TLS, `peer` is who it is said to be."""
        relay = self._relay_on(flow)
        if relay is None or relay.client.state is not TurnState.NEW:
            return
        tls = relay.server.tls
        fault = host_fault(peer, tls.server_name) if tls is not None and tls.verify else None
        if fault is not None:
            relay.client.flow_lost(fault)
        else:
            relay.client.start(now=now)
        self._drain(relay, now)
        self._finish_if_settled()

    def stream_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        """The stream to a server could not be opened, or has ended."""
        relay = self._relay_on(flow)
        if relay is None:
            return
        relay.stream = None
        if relay.client.state is TurnState.ALLOCATED and relay.reopened < MAX_REOPENED:
            self._lost(relay, reason)
            relay.reopened += 1
            relay.client = TurnClient(self._context, relay.server, self._stream_of(relay))
            self._waiting.append(relay)
            self._run(now)
        else:
            relay.client.flow_lost(reason)
            self._drain(relay, now)
        self._finish_if_settled()

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        """Octets of a server; `b""`: it sends no more."""
        relay = self._relay_on(flow)
        if relay is None:
            return
        if not data:
            self._outbox.put(CloseFlow(flow))
            self.stream_lost(flow, "the server has closed the connection", now=now)
            return
        relay.client.receive_stream(data, now=now)
        self._drain(relay, now)
        self._finish_if_settled()

    def handle_timeout(self, *, now: float) -> None:
        for transaction_id in self._deadlines.due(now):
            transaction, binding = self._requests[transaction_id]
            data = transaction.poll(now)
            if data is not None:
                self._outbox.put(SendDatagram(transaction.flow, data, transaction.destination))
                self._deadlines.update(transaction_id, transaction.deadline)
            else:
                self._take(transaction_id)
                self.counters["no answer"] += 1
                binding.settled, binding.failure = True, "no answer"
        for relay in list(self._relays):
            relay.client.handle_timeout(now=now)
            self._drain(relay, now)
        for timer in self._timers.due(now):
            match timer:
                case Timer.PACE:
                    self._run(now)
                case Timer.LIMIT:
                    self._finish()
                case Timer.KEEPALIVE:
                    self._waiting.extend(binding for binding in self._bindings if binding.mapped is not None)
                    self._timers.arm(Timer.KEEPALIVE, now + KEEPALIVE)
                    self._run(now)
        self._finish_if_settled()

    def next_timeout(self) -> float | None:
        deadlines = [self._deadlines.next(), self._timers.next()]
        deadlines += [relay.client.next_timeout() for relay in self._relays]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def outputs(self) -> Iterator[GathererOutput]:
        return self._outbox.drain()

    # Within

    def _begin(self, asked: list[tuple[FlowId, Address | TurnServer]], now: float) -> None:
        """Each of these flows asks its server, in turn."""
        for flow, server in asked:
            at = server.address if isinstance(server, TurnServer) else server
            if not _same_family(self._flows[flow], at):
                continue
            if isinstance(server, TurnServer):
                relay = _Relay(flow, self._numbers[flow], server, TurnClient(self._context, server, flow))
                if server.streamed:
                    relay.client = TurnClient(self._context, server, self._stream_of(relay))
                self._numbers[flow] += 1
                self._relays.append(relay)
                self._waiting.append(relay)
            else:
                binding = _Binding(flow, self._flows[flow], at)
                self._bindings.append(binding)
                self._waiting.append(binding)
            self._finished = self._concluded = False
        if Timer.LIMIT not in self._timers and not self._finished:
            self._timers.arm(Timer.LIMIT, now + self._limit)
        self._run(now)
        self._finish_if_settled()

    def _run(self, now: float) -> None:
        """Starts the next request if Ta has passed."""
        due = now if self._last_start is None else max(now, self._last_start + TA)
        if self._waiting and due <= now:
            self._last_start = now
            due = now + TA
            waiting = self._waiting.pop(0)
            if isinstance(waiting, _Relay):
                self._approach(waiting, now)
            else:
                self._ask(waiting, now)
        if self._waiting:
            self._timers.arm(Timer.PACE, due)
        else:
            self._timers.cancel(Timer.PACE)

    def _approach(self, relay: _Relay, now: float) -> None:
        server = relay.server
        if server.streamed:
            relay.stream = self._stream_of(relay)
            self._outbox.put(OpenStream(relay.stream, server.address.host, server.address.port, server.tls))
        else:
            relay.client.start(now=now)
            self._drain(relay, now)

    def _ask(self, binding: _Binding, now: float) -> None:
        transaction_id = self._context.entropy.stun_transaction_id()
        request = stun.encode(StunMessage(StunMethod.BINDING, StunClass.REQUEST, transaction_id))
        # RFC 8445 section 14.3: RTO = MAX(500 ms, Ta * number of requests of gathering).
        rto = max(RTO, TA * (len(self._bindings) + len(self._relays)))
        transaction = StunTransaction(transaction_id, request, binding.flow, binding.server, rto)
        self._requests[transaction_id] = (transaction, binding)
        self._outbox.put(SendDatagram(binding.flow, transaction.send(now), binding.server))
        self._deadlines.update(transaction_id, transaction.deadline)

    def _receive_binding(self, flow: FlowId, data: bytes, source: Address, now: float) -> None:
        transaction, binding = self._requests[data[8:20]]
        try:
            message = stun.parse(data)
        except ParseError:
            self.counters["malformed"] += 1
            return
        if (flow, stun.canonical_address(source)) != (transaction.flow, binding.server):
            self.counters["answer of another"] += 1
            return
        self._take(message.transaction_id)
        binding.settled = True
        mapped = message.address(Attribute.XOR_MAPPED_ADDRESS) or message.address(Attribute.MAPPED_ADDRESS)
        if message.kind is not StunClass.SUCCESS or mapped is None:
            self.counters["refused"] += 1
            binding.failure = "refused"
        elif mapped != binding.mapped:
            binding.mapped = mapped
            # Without a NAT it is the host candidate again: redundant (RFC 8445 section 5.1.3).
            if mapped != binding.local:
                found = CandidateFound(binding.flow, mapped, CandidateType.SERVER_REFLEXIVE, binding.local)
                self._outbox.put(found)
        if binding.mapped is not None and not self._concluded and Timer.KEEPALIVE not in self._timers:
            self._timers.arm(Timer.KEEPALIVE, now + KEEPALIVE)

    def _relay_at(self, flow: FlowId, source: Address) -> _Relay | None:
        relays = [relay for relay in self._relays if relay.flow == flow and not relay.server.streamed]
        server = stun.canonical_address(source) if relays else None
        return next((relay for relay in relays if relay.server.address == server), None)

    def _relay_on(self, stream: FlowId) -> _Relay | None:
        return next((relay for relay in self._relays if relay.stream == stream), None)

    @staticmethod
    def _stream_of(relay: _Relay) -> FlowId:
        return FlowId(f"{relay.flow}/turn{relay.number}{f'.{relay.reopened}' if relay.reopened else ''}")

    def _close_stream(self, relay: _Relay) -> None:
        if relay.stream is not None:
            self._outbox.put(CloseFlow(relay.stream))
            relay.stream = None

    def _drain(self, relay: _Relay, now: float) -> None:
        for output in relay.client.outputs():
            self._relay_said(relay, output)

    def _relay_said(self, relay: _Relay, output: TurnOutput) -> None:
        match output:
            case SendDatagram() | SendStream():
                self._outbox.put(output)
            case Allocated(relayed, mapped):
                relay.settled = True
                suffix = f".{relay.generation}" if relay.generation else ""
                relay.own_flow = FlowId(f"{relay.flow}/relay{relay.number}{suffix}")
                relay.generation += 1
                streamed = relay.server.streamed
                self._outbox.put(CandidateFound(relay.own_flow, relayed, CandidateType.RELAYED, mapped, streamed))
            case RelayedData(data, source):
                if relay.own_flow is not None:
                    self._outbox.put(DatagramReceived(relay.own_flow, data, source))
            case AllocationLost():
                self._lost(relay, "the server has forgotten the allocation")
            case AllocationFailed(status, reason):
                relay.settled = True
                self.counters["no relay"] += 1
                relay.failure = f"{status or ''} {reason}".strip()
                self._lost(relay, f"{status} {reason}".strip())
                self._close_stream(relay)
            case Released():
                relay.settled = True
                relay.own_flow = None
                self._close_stream(relay)
            case _:
                assert_never(output)

    def _lost(self, relay: _Relay, reason: str) -> None:
        if relay.own_flow is not None:
            self._outbox.put(CandidateLost(relay.own_flow, reason))
            relay.own_flow = None

    def _finish_if_settled(self) -> None:
        if self.is_settled:
            self._finish()

    def _finish(self) -> None:
        self._timers.cancel(Timer.LIMIT)
        if not self._finished:
            self._finished = True
            self._outbox.put(GatheringFinished())

    def _take(self, transaction_id: bytes) -> None:
        del self._requests[transaction_id]
        self._deadlines.remove(transaction_id)


def _same_family(one: Address, other: Address) -> bool:
    return (":" in one.host) == (":" in other.host)
