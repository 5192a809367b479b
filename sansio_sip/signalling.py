"""All signalling of one account: the flow to its server, or its UDP port; streams beside it; names looked up.

Theory of operation
-------------------
`Signalling` joins `SignallingConnection`, which keeps the flow, with `SideStreams`, which carries what is too large for
a datagram, and looks up the names of peers. Messages go in with the hop that they are for:

- a hop that names a stream beside the flow: they take it;
- a hop whose address is a host name (peer to peer, `sip:bob@example.com`): it is looked up as RFC 3263 says, for TCP
  alone where the hop is TCP, and they wait; `Unreachable` says that it has no address;
- any other: the flow, or a stream where the flow is UDP and the message too large.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from .connection import ConnectionOutput, MessageArrived, ServerUrl, SignallingConnection
from .connection_outputs import ConnectionLost, ConnectionOpened
from .context import Context
from .effects import (
    Address,
    CloseFlow,
    FlowId,
    Listen,
    OpenStream,
    Record,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
)
from .machine import Outbox
from .places import Places
from .server_url import is_ip_address
from .side_streams import SideStreamCounters, SideStreams, StreamMessage
from .sip.locating import Located, Locator, Target
from .sip.transport import Hop

__all__ = ["Signalling", "SignallingOutput", "Unreachable"]

MAX_NAMES = 64
"""Names of peers that are remembered; the oldest is asked again when it is met again. Were all of them being looked up,
the oldest is given up: what waits for it is told that it is unreachable."""

KEPT_FOR = 300.0
"""Seconds for which an answer holds; the records' own time is not known here. Nothing, where there was none."""

MAX_WAITING = 16
"""Messages that wait for one name; more are dropped, and counted as `unsent`."""

MAX_PORTS = 4
"""Ports tried after the first, where any will do, until one is free for datagrams and for streams."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No message can go to `address`, whose host is a name: it has no address, or too many are looked up at once."""

    address: Address
    reason: str


SignallingOutput: TypeAlias = ConnectionOutput | Listen | Unreachable

_Place: TypeAlias = tuple[Address, str | None]
"""A peer's name and port, and the transport that its URI demands; None: whichever its records name."""


@dataclass(slots=True)
class _Name:
    """What is known of a peer's name."""

    locator: Locator | None
    target: Target | None = None
    known_until: float = 0.0
    waiting: list[bytes] = field(default_factory=list)


class Signalling:
    """The machine of an account's signalling. See `SignallingConnection` for the arguments and the commands."""

    def __init__(
        self,
        context: Context,
        name: str,
        servers: tuple[ServerUrl, ...],
        *,
        bind: Address,
        pause: tuple[float, float],
        ca_file: str | None = None,
        tls_verify: bool = True,
        places: Places | None = None,
    ) -> None:
        self._context = context
        self._name = name
        self._listens = not servers
        self._connection = SignallingConnection(
            context,
            name,
            servers,
            bind=bind,
            pause=pause,
            ca_file=ca_file,
            tls_verify=tls_verify,
            places=places,
        )
        self._side = SideStreams(name)
        self._outbox: Outbox[SignallingOutput] = Outbox()
        self._hop: Hop | None = None
        self._listener: FlowId | None = None
        self._opened: ConnectionOpened | None = None  # not said yet: whether its port is free for streams, is not known
        self._ports_tried = 0
        self._any_port = bind.port == 0
        self._names: dict[_Place, _Name] = {}
        self._queries: dict[int, tuple[_Place | None, int]] = {}  # whose question, and its number there
        self._query = 0

    @property
    def counters(self) -> SideStreamCounters:
        return self._side.counters

    @property
    def is_connecting(self) -> bool:
        """Whether the flow is being opened: resolved, connected, upgraded, listened beside. A pause between two rounds
        is none of it."""
        return self._opened is not None or self._connection.is_connecting

    # Commands

    def connect(self, *, now: float) -> None:
        self._connection.connect(now=now)
        self._drain(now)

    def close(self, *, now: float) -> None:
        self._connection.close(now=now)
        self._drain(now)

    def fail_over(self, reason: str, *, now: float) -> bool:
        moved = self._connection.fail_over(reason, now=now)
        self._drain(now)
        return moved

    def reopen(self, reason: str, *, now: float) -> None:
        self._connection.reopen(reason, now=now)
        self._drain(now)

    def move(self, server: ServerUrl, reason: str, *, now: float) -> None:
        self._connection.move(server, reason, now=now)
        self._drain(now)

    def hurry(self, on: bool) -> None:
        self._connection.hurry(on)

    def flow_timer(self, seconds: float | None, *, now: float) -> None:
        """After so much silence the server gives the flow up, where it has said so."""
        self._connection.flow_timer(seconds, now=now)

    def send(self, data: bytes, hop: Hop, *, now: float) -> None:
        """Sends one message. One whose stream has gone is dropped: its sender was told, or will hear of it in time."""
        if hop.flow is not None and self._side.owns(hop.flow):
            self._side.respond(hop.flow, data)
        elif self._hop is None:
            return
        elif hop.address is not None and not is_ip_address(hop.address.host):
            demanded = hop.transport if hop.transport != self._hop.transport else None
            self._send_to_name(data, (hop.address, demanded), now)
        elif hop.transport == self._hop.transport:
            self._send_to(data, hop.address or self._hop.address, now)
        elif hop.transport == "TCP" and not self._hop.reliable:
            self._send_to(data, hop.address, now, by_stream=True)
        self._drain(now)

    # Inputs

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        place, asked = self._queries.pop(query, (None, 0))
        if place is None:
            self._connection.resolved(asked, records, now=now)
        elif (name := self._names.get(place)) is not None and name.locator is not None:
            name.locator.resolved(asked, records)
            self._drain_locator(place, name, now)
        self._drain(now)

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        if self._side.owns(flow):
            self._side.flow_opened(flow, local, remote, now=now)
        elif flow == self._listener:
            self._say_opened()
        else:
            self._connection.flow_opened(flow, local, remote, peer, now=now)
        self._drain(now)

    def flow_accepted(self, flow: FlowId, local: Address, remote: Address, *, now: float) -> None:
        """A peer has connected to where we listen."""
        self._side.flow_accepted(flow, local, remote, now=now)
        self._drain(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if flow == self._listener:
            self._on_listener_lost(now)
        elif self._side.owns(flow):
            self._side.flow_lost(flow, now=now)
        else:
            self._connection.flow_lost(flow, reason, now=now)
        self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if self._side.owns(flow):
            self._side.receive_stream(flow, data, now=now)
        else:
            self._connection.receive_stream(flow, data, now=now)
        self._drain(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._connection.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        self._connection.handle_timeout(now=now)
        self._side.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._connection.next_timeout(), self._side.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> SignallingOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SignallingOutput]:
        return self._outbox.drain()

    # Children

    def _drain(self, now: float) -> None:
        for output in self._connection.outputs():
            match output:
                case ConnectionOpened():
                    self._on_opened(output.hop)
                    if self._listener is not None:
                        self._opened = output
                        continue
                case ConnectionLost():
                    self._on_lost()
                    if self._opened is not None:
                        self._opened = None  # nor does anybody hear that it is lost
                        continue
                case Resolve():
                    self._ask(output, None)
                    continue
                case _:
                    pass
            self._outbox.put(output)
        for said in self._side.outputs():
            match said:
                case StreamMessage():
                    self._outbox.put(MessageArrived(said.data, said.hop))
                case OpenStream() | SendStream() | SendDatagram() | CloseFlow():
                    self._outbox.put(said)
                case _:
                    assert_never(said)

    def _on_opened(self, hop: Hop) -> None:
        self._hop = hop
        if hop.reliable:
            return
        self._side.flow_ready(hop)
        if self._listens and hop.local is not None and hop.flow is not None:
            self._listener = FlowId(f"{hop.flow}.listen")
            self._outbox.put(Listen(self._listener, hop.local))

    def _say_opened(self) -> None:
        if self._opened is not None:
            self._outbox.put(self._opened)
            self._opened, self._ports_tried = None, 0

    def _on_listener_lost(self, now: float) -> None:
        """Somebody else has the port. RFC 3261 section 18.1.1 wants both, so where any port will do it is another one;
        otherwise datagrams do without."""
        self._listener = None
        if self._opened is None or not self._any_port or self._ports_tried >= MAX_PORTS:
            self._say_opened()
        else:
            self._ports_tried += 1
            self._connection.reopen("its port is taken for streams", now=now)

    def _on_lost(self) -> None:
        self._hop = None
        if self._listener is not None:
            self._outbox.put(CloseFlow(self._listener))
            self._listener = None
        self._side.close()
        self._names.clear()

    def _send_to(self, data: bytes, destination: Address | None, now: float, *, by_stream: bool = False) -> None:
        beside = self._hop is not None and not self._hop.reliable and destination is not None
        if beside and destination is not None and self._side.send(data, destination, by_stream=by_stream, now=now):
            return
        self._connection.send(data, destination, now=now)

    # Names

    def _send_to_name(self, data: bytes, place: _Place, now: float) -> None:
        name = self._names.get(place)
        if name is None or (name.locator is None and name.known_until <= now):
            if name is None:
                self._make_room()
            address, transport = place
            locator = Locator(
                self._context,
                address.host,
                address.port or None,
                transport=transport,
                transports=("UDP", "TCP"),
                first_query=self._query + 1,
            )
            name = self._names[place] = _Name(locator)
            self._drain_locator(place, name, now)
        if name.locator is not None:
            if data in name.waiting:
                return  # sent again, because there was no answer
            if len(name.waiting) < MAX_WAITING:
                name.waiting.append(data)
            else:
                self.counters.unsent += 1
        elif name.target is not None:
            self._send_to(data, name.target.address, now, by_stream=name.target.transport == "TCP")

    def _make_room(self) -> None:
        """Forgets the oldest name, rather one that nobody waits for."""
        while len(self._names) >= MAX_NAMES:
            known = (place for place, name in self._names.items() if name.locator is None)
            oldest = next(known, next(iter(self._names)))
            name = self._names.pop(oldest)
            if name.waiting:
                self.counters.unsent += len(name.waiting)
                self._outbox.put(Unreachable(oldest[0], f"more than {MAX_NAMES} names are being looked up"))

    def _drain_locator(self, place: _Place, name: _Name, now: float) -> None:
        assert name.locator is not None
        for output in name.locator.outputs():
            match output:
                case Resolve():
                    self._ask(output, place)
                case Located():
                    usable = [each for each in output.targets if self._usable(each)]
                    name.locator = None
                    name.target = usable[0] if usable else None
                    name.known_until = now + KEPT_FOR if usable else now
                    waiting, name.waiting = name.waiting, []
                    if usable:
                        for data in waiting:
                            self._send_to_name(data, place, now)
                    else:
                        self._outbox.put(Unreachable(place[0], output.reason or "it has no address that we can reach"))
                case _:
                    assert_never(output)

    def _usable(self, target: Target) -> bool:
        """Whether the family of our own address can reach it."""
        local = self._hop.local if self._hop is not None else None
        return local is None or (":" in local.host) == (":" in target.address.host)

    def _ask(self, question: Resolve, place: _Place | None) -> None:
        self._query += 1
        self._queries[self._query] = (place, question.query)
        self._outbox.put(Resolve(self._query, question.name, question.kind))
