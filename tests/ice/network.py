"""A network in virtual time for machines that speak by datagrams: loss, delay, reordering, duplicates, mappings.

What happens to a datagram depends on (seed, source, destination, its number on that link) alone, so one more datagram
elsewhere changes nothing here.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Protocol, cast

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenStream, SendDatagram, SendStream, TlsPeer

__all__ = ["Network", "Node", "context"]


class Source(random.Random):
    """A seeded source that a deep copy of a machine takes along."""

    def draw(self, name: str, bits: int) -> int:
        return self.getrandbits(bits)


def context(seed: object) -> Context:
    return Context(Entropy(Source(f"{seed}")))


class Machine(Protocol):
    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None: ...
    def handle_timeout(self, *, now: float) -> None: ...
    def next_timeout(self) -> float | None: ...
    def outputs(self) -> Iterator[Any]: ...


class StreamServer(Protocol):
    """Who listens for streams; a client is known by its address."""

    def stream_accepted(self, client: Address, send: Callable[[bytes], None]) -> None: ...
    def receive_stream(self, client: Address, data: bytes, *, now: float) -> None: ...
    def stream_closed(self, client: Address) -> None: ...


@dataclass
class Node:
    """A machine, the sockets that it has, and what it has said other than datagrams."""

    name: str
    machine: Machine
    flows: dict[FlowId, Address] = field(default_factory=dict)
    events: list[tuple[float, object]] = field(default_factory=list)

    def said(self, kind: type) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]


class Network:
    """`mapped` is a NAT: what leaves a private address is seen to come from the public one, and goes back by it.
    `passes` may drop datagrams: it is given the source (as seen), destination, data and time."""

    def __init__(
        self, seed: object = 0, *, loss: float = 0.0, delay: float = 0.02, jitter: float = 0.0, duplicates: float = 0.0
    ) -> None:
        self.seed, self.loss, self.delay, self.jitter, self.duplicates = seed, loss, delay, jitter, duplicates
        self.now = 0.0
        self.nodes: list[Node] = []
        self.mapped: dict[Address, Address] = {}
        self.passes: Callable[[Address, Address, bytes, float], bool] = lambda *_: True
        self.sent: list[tuple[float, Address, Address, bytes]] = []
        self._sockets: dict[Address, tuple[Node, FlowId]] = {}
        self._under_way: list[tuple[float, int, Address, Address, bytes]] = []
        self._links: Counter[tuple[Address, Address]] = Counter()
        self._serial = 0
        self._listening: dict[Address, tuple[StreamServer, TlsPeer | None]] = {}
        self._streams: dict[tuple[str, FlowId], tuple[Address, StreamServer]] = {}
        self._actions: list[tuple[float, int, Callable[[], None]]] = []

    def listen(self, address: Address, server: StreamServer, peer: TlsPeer | None = None) -> None:
        """Takes streams at an address; over TLS the server is `peer`."""
        self._listening[address] = (server, peer)

    def break_streams(self, reason: str = "connection reset") -> None:
        """Breaks all; both ends are told."""
        for (name, flow), (client, server) in list(self._streams.items()):
            del self._streams[name, flow]
            server.stream_closed(client)
            node = next(node for node in self.nodes if node.name == name)
            node.machine.flow_lost(flow, reason, now=self.now)  # type: ignore[attr-defined]
        self.settle()

    def node(self, name: str, machine: Machine) -> Node:
        node = Node(name, machine)
        self.nodes.append(node)
        return node

    def socket(self, node: Node, flow: str, address: Address) -> FlowId:
        node.flows[FlowId(flow)] = address
        self._sockets[address] = (node, FlowId(flow))
        return FlowId(flow)

    def send(self, source: Address, data: bytes, destination: Address) -> None:
        source = self.mapped.get(source, source)
        self.sent.append((self.now, source, destination, data))
        link = (source, destination)
        self._links[link] += 1
        fate = random.Random(f"{self.seed}|{source}|{destination}|{self._links[link]}")
        if fate.random() < self.loss or not self.passes(source, destination, data, self.now):
            return
        for _ in range(2 if fate.random() < self.duplicates else 1):
            self._serial += 1
            when = self.now + self.delay + self.jitter * fate.random()
            heappush(self._under_way, (when, self._serial, source, destination, data))

    def settle(self) -> None:
        """Takes the outputs of all nodes."""
        for node in self.nodes:
            for output in node.machine.outputs():
                if isinstance(output, SendDatagram):
                    if output.flow in node.flows:
                        self.send(node.flows[output.flow], output.data, output.destination)
                elif isinstance(output, (OpenStream, SendStream, CloseFlow)):
                    self._stream_effect(node, output)
                else:
                    node.events.append((self.now, output))

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Runs to the time `until`, or until `stop`; returns whether it stopped."""
        self.settle()
        while not stop():
            when = self.next_event()
            if when is None or when > until:
                self.now = max(self.now, until)
                return stop()
            self.now = max(self.now, when)
            self.step()
        return True

    def next_event(self) -> float | None:
        times = [node.machine.next_timeout() for node in self.nodes]
        if self._under_way:
            times.append(self._under_way[0][0])
        if self._actions:
            times.append(self._actions[0][0])
        return min((time for time in times if time is not None), default=None)

    def step(self) -> None:
        """Delivers what has arrived by now and fires what is due."""
        private = {public: inside for inside, public in self.mapped.items()}
        while self._under_way and self._under_way[0][0] <= self.now:
            _, _, source, destination, data = heappop(self._under_way)
            known = self._sockets.get(private.get(destination, destination))
            if known is not None:
                node, flow = known
                if flow in node.flows:
                    node.machine.receive_datagram(flow, data, source, now=self.now)
            self.settle()
        while self._actions and self._actions[0][0] <= self.now:
            heappop(self._actions)[2]()
            self.settle()
        for node in self.nodes:
            due = node.machine.next_timeout()
            if due is not None and due <= self.now:
                node.machine.handle_timeout(now=self.now)
        self.settle()

    # Streams: each octet arrives, in order, in pieces of any size

    def _stream_effect(self, node: Node, effect: OpenStream | SendStream | CloseFlow) -> None:
        key, machine = (node.name, effect.flow), cast(Any, node.machine)
        match effect:
            case OpenStream(flow, host, port):
                remote = Address(host, port)
                found = self._listening.get(remote)
                if found is None:
                    self._later(lambda: machine.flow_lost(flow, "connection refused", now=self.now))
                    return
                server, peer = found
                client = Address(next(iter(node.flows.values())).host, 40_000 + self._serial)
                self._streams[key] = (client, server)
                server.stream_accepted(client, lambda data: self._to_client(node, flow, data))
                said = peer if effect.tls is not None else None
                self._later(lambda: machine.flow_opened(flow, client, remote, said, now=self.now))
            case SendStream(_, data) if key in self._streams:
                client, server = self._streams[key]
                for piece in self._pieces(data):
                    self._later(lambda piece=piece: server.receive_stream(client, piece, now=self.now))  # type: ignore[misc]
            case CloseFlow() if key in self._streams:
                client, server = self._streams.pop(key)
                self._later(lambda: server.stream_closed(client))
            case _:
                pass

    def _to_client(self, node: Node, flow: FlowId, data: bytes) -> None:
        def deliver(piece: bytes) -> None:
            if (node.name, flow) in self._streams:
                cast(Any, node.machine).receive_stream(flow, piece, now=self.now)

        for piece in self._pieces(data):
            self._later(lambda piece=piece: deliver(piece))  # type: ignore[misc]

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        fate = random.Random(f"{self.seed}|pieces|{self._serial}")
        while data:
            size = fate.randint(1, len(data))
            yield data[:size]
            data = data[size:]

    def _later(self, action: Callable[[], None]) -> None:
        self._serial += 1
        heappush(self._actions, (self.now + self.delay, self._serial, action))
