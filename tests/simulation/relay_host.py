"""The STUN and TURN server of the ICE tests as a host of a world."""

from collections.abc import Iterator
from typing import Any

from ice.turn_server import FakeServer

from sansio_sip.effects import Address, CloseFlow, FlowId, Listen, OpenDatagram, SendDatagram, SendStream
from sansio_sip.machine import Outbox

__all__ = ["RelayHost"]


class RelayHost:
    """A root machine. `server` has the log of what it did."""

    def __init__(self, host: str) -> None:
        self._outbox: Outbox[Any] = Outbox()
        self._flows: dict[Address, FlowId] = {}
        self._clients: dict[FlowId, Address] = {}
        self._outbox.put(Listen(FlowId("streams"), Address(host, 3478)))
        self.server = FakeServer(self, Address(host, 3478))  # type: ignore[arg-type]  # it asks for the two below

    # What the server asks of its network

    def node(self, name: str, machine: object) -> None: ...

    def socket(self, node: object, flow: str, address: Address) -> FlowId:
        self._flows[address] = FlowId(flow)
        self._outbox.put(OpenDatagram(FlowId(flow), address))
        return FlowId(flow)

    def send(self, source: Address, data: bytes, destination: Address) -> None:
        self._outbox.put(SendDatagram(self._flows[source], data, destination))

    # Inputs

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self.server.receive_datagram(flow, data, source, now=now)

    def flow_opened(self, *args: object, now: float) -> None: ...

    def flow_accepted(
        self, listener: FlowId, flow: FlowId, local: Address, remote: Address, peer: object = None, *, now: float
    ) -> None:
        self._clients[flow] = remote
        self.server.stream_accepted(remote, lambda data: self._outbox.put(SendStream(flow, data)))

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if data:
            self.server.receive_stream(self._clients[flow], data, now=now)
        else:
            self._outbox.put(CloseFlow(flow))
            self.server.stream_closed(self._clients.pop(flow))

    def resolved(self, query: int, records: object, *, now: float) -> None: ...

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if (client := self._clients.pop(flow, None)) is not None:
            self.server.stream_closed(client)

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None: ...

    def handle_timeout(self, *, now: float) -> None: ...

    def next_timeout(self) -> float | None:
        return None

    def poll_output(self) -> Any:
        return self._outbox.poll()

    def outputs(self) -> Iterator[Any]:
        return self._outbox.drain()
