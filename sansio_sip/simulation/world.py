"""Root machines on a simulated network, in virtual time.

Theory of operation
-------------------
A world holds hosts; a host has an IP address and runs one root machine. The world does for a machine what a driver does
in production: it performs effects and reports what came of them, it hands in packets, and it calls `handle_timeout`
when a deadline has come. It moves from one event to the next, so an hour of silence costs nothing, and one seed gives
one run, octet for octet.

Datagrams are lost, delayed and doubled as their `Link` says. Streams keep order and lose nothing: loss on the way makes
them late, as TCP does. A host's clock may run fast or slow (`skew`), as two sound cards do.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from heapq import heappop, heappush
from typing import Any

from sansio_sip.effects import (
    Address,
    CloseFlow,
    FlowId,
    Listen,
    NaptrRecord,
    OpenDatagram,
    OpenStream,
    Record,
    RecordType,
    Resolve,
    SendDatagram,
    SendStream,
    SrvRecord,
    TlsPeer,
)
from sansio_sip.machine import RootMachine
from sansio_sip.timers import Deadlines

from .link import Link, LinkState
from .nat import Nat

__all__ = ["Host", "Logged", "World"]

# The first port given out where a machine leaves the choice to the host.
FIRST_PORT = 40_000

# A machine that asks again and again for the same moment would stop time; this many rounds show that it does.
MAX_ROUNDS = 10_000

EFFECTS = (OpenStream, OpenDatagram, Listen, SendStream, SendDatagram, CloseFlow, Resolve)

WILDCARDS = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Logged:
    """An output that is no effect: when (seconds of the world), of which host, and what."""

    time: float
    host: str
    output: Any


@dataclass(slots=True)
class Stream:
    """One end of a TCP connection."""

    local: Address
    remote: Address
    peer_host: str
    peer_flow: FlowId
    open: bool = True
    arrives_after: float = 0.0


@dataclass(slots=True)
class Host:
    """A machine with its address, sockets and clock.

    Attributes:
        skew: how much faster its clock runs; 100e-6 is 100 ppm.
        epoch: what its clock showed when the world began.
    """

    name: str
    address: str
    machine: RootMachine[Any]
    skew: float = 0.0
    epoch: float = 0.0
    tls: TlsPeer | None = None
    nat: Nat | None = None
    datagrams: dict[FlowId, Address] = field(default_factory=dict)
    listeners: dict[FlowId, Address] = field(default_factory=dict)
    accepted: dict[FlowId, int] = field(default_factory=dict)
    streams: dict[FlowId, Stream] = field(default_factory=dict)
    next_port: int = FIRST_PORT

    def clock(self, time: float) -> float:
        """The host's clock at a time of the world."""
        return self.epoch + time * (1 + self.skew)

    def time(self, clock: float) -> float:
        """The time of the world at which the host's clock shows this."""
        return (clock - self.epoch) / (1 + self.skew)

    def port(self, asked: int) -> int:
        if asked:
            return asked
        self.next_port += 1
        return self.next_port - 1


class World:
    """The simulated world.

    Args:
        seed: of every draw of the network. Machines have their own entropy.
        link: of every pair of hosts that `connect` was not told about.
        names: host names for `Resolve`, with their addresses.
        records: SRV and NAPTR records, by name.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        link: Link | None = None,
        names: Mapping[str, tuple[str, ...]] | None = None,
        records: Mapping[str, tuple[Record, ...]] | None = None,
    ) -> None:
        self.time = 0.0
        self.log: list[Logged] = []
        self.hosts: dict[str, Host] = {}
        self._seed = seed
        self._link = link or Link()
        self._names = dict(names or {})
        self._records = dict(records or {})
        self._links: dict[tuple[str, str], LinkState] = {}
        self._by_address: dict[str, Host] = {}
        self._nats: dict[str, Nat] = {}
        self._bound: dict[Address, tuple[Host, FlowId]] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._deadlines: Deadlines[str] = Deadlines()
        self._handlers: dict[str, Callable[[Any, float], None]] = {}
        self._digest = sha256()

    # Setting up

    def add(
        self,
        name: str,
        machine: RootMachine[Any],
        address: str,
        *,
        skew: float = 0.0,
        epoch: float = 0.0,
        tls: TlsPeer | None = None,
        nat: Nat | None = None,
    ) -> Host:
        """Adds a host and tells its machine the address. `tls` is the certificate that its listeners show; its
        datagrams to and from hosts that are not behind the same `nat` are translated."""
        host = self.hosts[name] = Host(name, address, machine, skew=skew, epoch=epoch, tls=tls, nat=nat)
        if nat is not None:
            self._nats[nat.address] = nat
        self._by_address[address] = host
        self.do(name, machine.interfaces_changed, (address,))
        return host

    def connect(self, one: str, other: str, link: Link) -> None:
        """Sets the link between two hosts, both directions."""
        for source, target in ((one, other), (other, one)):
            self.link(source, target).link = link

    def link(self, source: str, target: str) -> LinkState:
        """One direction between two hosts, by name."""
        key = (self.hosts[source].address, self.hosts[target].address)
        if key not in self._links:
            self._links[key] = LinkState(self._seed, f"{key[0]}>{key[1]}", self._link)
        return self._links[key]

    def cut(self, one: str, other: str, *, cut: bool = True) -> None:
        """Cuts (or mends) the wire between two hosts: nothing passes, and nobody is told."""
        self.link(one, other).cut = self.link(other, one).cut = cut

    def readdress(self, name: str, address: str) -> None:
        """Takes a host to another network: what was bound to its old address is heard by nobody any more, and nobody
        is told but the host's machine, of its new address."""
        host = self.hosts[name]
        for local in [local for local in self._bound if local.host == host.address]:
            del self._bound[local]
        if self._by_address.get(host.address) is host:
            del self._by_address[host.address]
        host.address = address
        self._by_address[address] = host
        self.do(name, host.machine.interfaces_changed, (address,))

    def on_output(self, name: str, handler: Callable[[Any, float], None]) -> None:
        """Calls `handler(output, now)` with each output of a host that is no effect; it may give commands."""
        self._handlers[name] = handler

    # Acting

    def do(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Gives a command or an input to a host's machine, at its own time."""
        host = self.hosts[name]
        try:
            return method(*args, **kwargs, now=host.clock(self.time))
        finally:
            self._drain(host)

    def at(self, time: float, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Has a command given at a time of the world."""
        self._schedule(time, lambda: self.do(name, method, *args, **kwargs))

    def break_streams(self, name: str, reason: str = "connection reset") -> None:
        """Breaks all streams of a host; both ends are told."""
        host = self.hosts[name]
        for flow in list(host.streams):
            stream = host.streams.get(flow)
            if stream is not None:
                peer = self.hosts[stream.peer_host]
                self._lose_stream(host, flow, reason)
                self._lose_stream(peer, stream.peer_flow, reason)

    def inject(self, target: Address, data: bytes, source: Address) -> bool:
        """Puts a datagram of anyone's making into a socket, at once. False: nobody is bound there."""
        found = self._bound.get(target)
        if found is None:
            return False
        host, flow = found
        self.do(host.name, host.machine.receive_datagram, flow, data, source)
        return True

    # Running

    def run(self, *, until: float | None = None, stop: Callable[[], bool] | None = None) -> bool:
        """Lets time pass: until a time, until `stop()` holds, or until nothing is left to happen.

        Returns whether `stop()` held, or True where there was none.
        """
        rounds, moment = 0, self.time
        while True:
            if stop is not None and stop():
                return True
            event = self._events[0][0] if self._events else None
            alarm = self._deadlines.next()
            times = [each for each in (event, alarm) if each is not None]
            if not times or (until is not None and min(times) > until):
                self.time = max(self.time, until) if until is not None else self.time
                return stop is None
            self.time = max(self.time, min(times))
            rounds, moment = (rounds + 1, moment) if moment == self.time else (0, self.time)
            if rounds > MAX_ROUNDS:
                raise AssertionError(f"time stands still at {self.time:.6f}: {list(self._deadlines.due(self.time))}")
            if event is not None and event <= self.time:
                heappop(self._events)[2]()
            else:
                for name in list(self._deadlines.due(self.time)):
                    host = self.hosts[name]
                    self.do(name, host.machine.handle_timeout)

    def idle(self) -> bool:
        """Whether nothing is left to happen."""
        return not self._events and self._deadlines.next() is None

    # What happened

    def outputs(self, name: str, *kinds: type) -> Iterator[Any]:
        """The logged outputs of a host, of the kinds given."""
        for row in self.log:
            if row.host == name and (not kinds or isinstance(row.output, kinds)):
                yield row.output

    def hash(self) -> str:
        """Over every output of every host, effects included, with its time."""
        return self._digest.hexdigest()

    # Effects

    def _drain(self, host: Host) -> None:
        while (output := host.machine.poll_output()) is not None:
            self._digest.update(f"{self.time!r} {host.name} {output!r}\n".encode())
            if isinstance(output, EFFECTS):
                self._perform(host, output)
            else:
                self.log.append(Logged(self.time, host.name, output))
                if (handler := self._handlers.get(host.name)) is not None:
                    handler(output, host.clock(self.time))
        deadline = host.machine.next_timeout()
        self._deadlines.update(host.name, None if deadline is None else max(self.time, host.time(deadline)))

    def _perform(self, host: Host, effect: Any) -> None:
        match effect:
            case SendDatagram(flow, data, destination):
                self._send_datagram(host, flow, data, destination)
            case SendStream(flow, data):
                self._send_stream(host, flow, data)
            case OpenDatagram(flow, bind):
                self._open_datagram(host, flow, bind)
            case OpenStream():
                self._open_stream(host, effect)
            case Listen(listener, bind):
                self._listen(host, listener, bind)
            case CloseFlow(flow):
                self._close(host, flow)
            case Resolve(query, name, RecordType.ADDRESS):
                addresses = tuple(Address(each, 0) for each in self._names.get(name, ()))
                self._soon(0.001, host, host.machine.resolved, query, addresses)
            case Resolve(query, name, kind):
                wanted = SrvRecord if kind is RecordType.SRV else NaptrRecord
                rows = tuple(each for each in self._records.get(name, ()) if isinstance(each, wanted))
                self._soon(0.001, host, host.machine.resolved, query, rows)
            case _:
                raise AssertionError(effect)

    def _open_datagram(self, host: Host, flow: FlowId, bind: Address) -> None:
        local = Address(host.address, host.port(bind.port))
        if bind.host not in (*WILDCARDS, host.address):
            self._soon(0.0, host, host.machine.flow_lost, flow, "Cannot assign requested address")
        elif local in self._bound:
            self._soon(0.0, host, host.machine.flow_lost, flow, "Address already in use")
        else:
            self._bound[local] = (host, flow)
            host.datagrams[flow] = local
            self._soon(0.0, host, host.machine.flow_opened, flow, local)

    def _send_datagram(self, host: Host, flow: FlowId, data: bytes, destination: Address) -> None:
        local = host.datagrams.get(flow)
        if local is None or local.host != host.address:
            return
        source, destination, target = self._translated(host, local, destination)
        if target is None:
            return
        data = bytes(data)
        for arrival in self.link(host.name, target.name).datagram(len(data), self.time):
            self._schedule(arrival, lambda: self._arrive(destination, data, source))

    def _translated(self, host: Host, local: Address, destination: Address) -> tuple[Address, Address, Host | None]:
        """Source as the target sees it, where it arrives, and the target; None where translators let nothing pass."""
        target = self._by_address.get(destination.host)
        if target is not None and target.nat is host.nat:
            return local, destination, target
        source = local if host.nat is None else host.nat.outbound(local, destination)
        far = self._nats.get(destination.host)
        if far is None:
            # A private address has no meaning but behind its own translator.
            return source, destination, None if target is not None and target.nat is not None else target
        inside = far.inbound(destination, source)
        if inside is None or (far is host.nat and not far.hairpin):
            return source, destination, None
        return source, inside, self._by_address.get(inside.host)

    def _arrive(self, destination: Address, data: bytes, source: Address) -> None:
        found = self._bound.get(destination)
        if found is not None:
            host, flow = found
            self.do(host.name, host.machine.receive_datagram, flow, data, source)

    def _listen(self, host: Host, listener: FlowId, bind: Address) -> None:
        local = Address(host.address, host.port(bind.port))
        if bind.host not in (*WILDCARDS, host.address) or local in host.listeners.values():
            self._soon(0.0, host, host.machine.flow_lost, listener, "Address already in use")
            return
        host.listeners[listener] = local
        host.accepted[listener] = 0
        self._soon(0.0, host, host.machine.flow_opened, listener, local)

    def _open_stream(self, host: Host, effect: OpenStream) -> None:
        names = self._names.get(effect.host, (effect.host,))
        target = self._by_address.get(names[0]) if names else None
        if target is None:
            self._soon(0.0, host, host.machine.flow_lost, effect.flow, "Network is unreachable")
            return
        arrival = self.link(host.name, target.name).segment(60, self.time)
        if arrival is None:
            return  # as TCP does: it tries on, and tells nobody for minutes
        self._schedule(arrival, lambda: self._connect(host, effect, target))
        host.streams[effect.flow] = Stream(
            Address(host.address, host.port(0)), Address(target.address, effect.port), target.name, FlowId(""), False
        )

    def _connect(self, host: Host, effect: OpenStream, target: Host) -> None:
        stream = host.streams.get(effect.flow)
        if stream is None:
            return  # closed while it was being opened
        remote = Address(target.address, effect.port)
        listener = next((flow for flow, address in target.listeners.items() if address == remote), None)
        back = self.link(target.name, host.name).segment(60, self.time)
        if back is None:
            return
        if listener is None:
            host.streams.pop(effect.flow)
            self._schedule(back, lambda: self._report(host, host.machine.flow_lost, effect.flow, "Connection refused"))
            return
        target.accepted[listener] += 1
        accepted = FlowId(f"{listener}#{target.accepted[listener]}")
        stream.peer_flow = accepted
        target.streams[accepted] = Stream(remote, stream.local, host.name, effect.flow, arrives_after=back)
        peer = target.tls if effect.tls is not None else None
        self._schedule(back, lambda: self._connected(host, effect.flow, stream, peer))
        self.do(target.name, target.machine.flow_accepted, listener, accepted, remote, stream.local)

    def _connected(self, host: Host, flow: FlowId, stream: Stream, peer: TlsPeer | None) -> None:
        if flow in host.streams:
            stream.open = True
            self.do(host.name, host.machine.flow_opened, flow, stream.local, stream.remote, peer)

    def _send_stream(self, host: Host, flow: FlowId, data: bytes) -> None:
        stream = host.streams.get(flow)
        if stream is None or not stream.open or stream.local.host != host.address:
            return
        arrival = self.link(host.name, stream.peer_host).segment(len(data), self.time)
        if arrival is None:
            return  # lost with the wire: a mended one gets a new connection
        arrival = stream.arrives_after = max(arrival, stream.arrives_after)
        peer = self.hosts[stream.peer_host]
        self._schedule(arrival, lambda: self._deliver(peer, stream.peer_flow, data))

    def _deliver(self, host: Host, flow: FlowId, data: bytes) -> None:
        if flow in host.streams and host.streams[flow].local.host == host.address:
            self.do(host.name, host.machine.receive_stream, flow, data)

    def _close(self, host: Host, flow: FlowId) -> None:
        if (local := host.datagrams.pop(flow, None)) is not None:
            self._bound.pop(local, None)
        elif host.listeners.pop(flow, None) is None and (stream := host.streams.pop(flow, None)) is not None:
            peer = self.hosts[stream.peer_host]
            arrival = self.link(host.name, stream.peer_host).segment(60, self.time)
            if arrival is not None:
                arrival = max(arrival, stream.arrives_after)
                self._schedule(arrival, lambda: self._hear_end(peer, stream.peer_flow))

    def _hear_end(self, host: Host, flow: FlowId) -> None:
        if flow in host.streams:
            self.do(host.name, host.machine.receive_stream, flow, b"")
            self._lose_stream(host, flow, "the peer closed the connection")

    def _lose_stream(self, host: Host, flow: FlowId, reason: str) -> None:
        if host.streams.pop(flow, None) is not None:
            self.do(host.name, host.machine.flow_lost, flow, reason)

    # Time

    def _schedule(self, time: float, action: Callable[[], None]) -> None:
        self._serial += 1
        heappush(self._events, (time, self._serial, action))

    def _soon(self, delay: float, host: Host, method: Callable[..., Any], *args: Any) -> None:
        self._schedule(self.time + delay, lambda: self._report(host, method, *args))

    def _report(self, host: Host, method: Callable[..., Any], *args: Any) -> None:
        self.do(host.name, method, *args)
