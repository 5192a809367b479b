"""A root machine small enough to see through, for the tests of the drivers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.effects import (
    Address,
    CloseFlow,
    Effect,
    FlowId,
    Listen,
    OpenDatagram,
    OpenStream,
    Record,
    RecordType,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
)
from sansio_sip.machine import Outbox

__all__ = ["Echo", "Heard", "Lost", "Opened", "Output", "Rang"]


@dataclass(frozen=True, slots=True)
class Opened:
    flow: FlowId
    local: Address
    remote: Address | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    flow: FlowId
    data: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    flow: FlowId
    reason: str


@dataclass(frozen=True, slots=True)
class Rang:
    """The alarm, and how late it was."""

    late: float


@dataclass(frozen=True, slots=True)
class Found:
    records: tuple[Record, ...]


Output: TypeAlias = Effect | Opened | Heard | Lost | Rang | Found


class Echo:
    """Opens what it is told to, says what it hears, and sends back what comes to a flow named `echo...`."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self._outbox: Outbox[Output] = Outbox()
        self._alarm: float | None = None
        self.addresses: tuple[str, ...] = ()

    def do(self, *effects: Effect, now: float) -> None:
        for effect in effects:
            self._outbox.put(effect)

    def alarm(self, delay: float, *, now: float) -> None:
        self._alarm = now + delay

    def open_datagram(self, flow: str, *, now: float) -> None:
        self.do(OpenDatagram(FlowId(flow), Address(self._host, 0)), now=now)

    def listen(self, listener: str, *, now: float) -> None:
        self.do(Listen(FlowId(listener), Address(self._host, 0)), now=now)

    def connect(self, flow: str, address: Address, *, now: float) -> None:
        self.do(OpenStream(FlowId(flow), address.host, address.port), now=now)

    def resolve(self, name: str, *, now: float) -> None:
        self.do(Resolve(1, name, RecordType.ADDRESS), now=now)

    def close(self, flow: FlowId, *, now: float) -> None:
        self.do(CloseFlow(flow), now=now)

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        self._outbox.put(Opened(flow, local, remote))

    def flow_accepted(
        self,
        listener: FlowId,
        flow: FlowId,
        local: Address,
        remote: Address,
        peer: TlsPeer | None = None,
        *,
        now: float,
    ) -> None:
        self._outbox.put(Opened(flow, local, remote))

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._outbox.put(Lost(flow, reason))

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._outbox.put(Heard(flow, data))
        if flow.startswith("echo") and data:
            self._outbox.put(SendStream(flow, data))

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if data == b"explode":
            raise RuntimeError("a fault of the machine")
        self._outbox.put(Heard(flow, data))
        if flow.startswith("echo"):
            self._outbox.put(SendDatagram(flow, data, source))

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self._outbox.put(Found(records))

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        self.addresses = addresses

    def handle_timeout(self, *, now: float) -> None:
        if self._alarm is not None and now >= self._alarm:
            late, self._alarm = now - self._alarm, None
            self._outbox.put(Rang(late))

    def next_timeout(self) -> float | None:
        return self._alarm

    def poll_output(self) -> Output | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[Output]:
        return self._outbox.drain()
