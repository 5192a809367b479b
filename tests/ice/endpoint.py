"""An agent and a gatherer put together, as a media engine does it, with a little data on top."""

from collections.abc import Iterator
from typing import Any

from ice.network import Network, context

from sansio_sip.effects import Address, CloseFlow, FlowId, OpenStream, SendDatagram, SendStream, TlsPeer
from sansio_sip_media.ice.agent import IceAgent, PairSelected, is_stun
from sansio_sip_media.ice.candidate import CandidateType
from sansio_sip_media.ice.gathering import (
    CandidateFound,
    CandidateLost,
    DatagramReceived,
    Gatherer,
    GatheringFinished,
    TurnServer,
)

__all__ = ["Endpoint"]


class Endpoint:
    """`kinds`: the types of candidates that are told and used; others are left out."""

    def __init__(
        self,
        network: Network,
        name: str,
        address: Address,
        *,
        controlling: bool,
        stun_servers: tuple[Address, ...] = (),
        turn_servers: tuple[TurnServer, ...] = (),
        kinds: tuple[CandidateType, ...] = tuple(CandidateType),
    ) -> None:
        self.network = network
        self.agent = IceAgent(context(f"agent {name}"), controlling=controlling)
        self.gatherer = Gatherer(context(f"gatherer {name}"), stun_servers=stun_servers, turn_servers=turn_servers)
        self.kinds = kinds
        self.selected: PairSelected | None = None
        self.finished_at: float | None = None
        self.received: list[bytes] = []
        self.lost: list[CandidateLost] = []
        self._out: list[Any] = []
        node = network.node(name, self)
        self.flow = network.socket(node, name, address)
        if CandidateType.HOST in kinds:
            self.agent.add_local_candidate(self.flow, address, now=network.now)
        self.gatherer.add_flow(self.flow, address, now=network.now)
        network.settle()

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if self.gatherer.is_for(flow, data, source):
            self.gatherer.receive_datagram(flow, data, source, now=now)
        else:
            self._take(flow, data, source, now)
        self._drain(now)

    def flow_opened(self, flow: FlowId, local: Address, remote: Address, peer: TlsPeer | None, *, now: float) -> None:
        self.gatherer.stream_opened(flow, peer, now=now)
        self._drain(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self.gatherer.stream_lost(flow, reason, now=now)
        self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self.gatherer.receive_stream(flow, data, now=now)
        self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        self.gatherer.handle_timeout(now=now)
        self.agent.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        deadlines = (self.gatherer.next_timeout(), self.agent.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def outputs(self) -> Iterator[Any]:
        self._drain(self.network.now)
        out, self._out = self._out, []
        return iter(out)

    def start(self, other: "Endpoint") -> None:
        self.agent.set_remote(
            other.agent.local_ufrag, other.agent.local_pwd, other.agent.local_candidates, now=self.network.now
        )
        self.network.settle()

    def send(self, data: bytes) -> None:
        assert self.selected is not None
        self._send(SendDatagram(self.selected.flow, data, self.selected.remote), self.network.now)
        self.network.settle()

    def _take(self, flow: FlowId, data: bytes, source: Address, now: float) -> None:
        if is_stun(data):
            self.agent.receive_datagram(flow, data, source, now=now)
        else:
            self.received.append(data)

    def _send(self, output: SendDatagram, now: float) -> None:
        if self.gatherer.owns(output.flow):
            self.gatherer.send(output.flow, output.data, output.destination, now=now)
        else:
            self._out.append(output)

    def _drain(self, now: float) -> None:
        again = True
        while again:
            again = False
            for output in self.gatherer.outputs():
                again = True
                match output:
                    case SendDatagram() | OpenStream() | SendStream() | CloseFlow():
                        self._out.append(output)
                    case CandidateFound(flow, address, kind, base, streamed):
                        if kind in self.kinds:
                            self.agent.add_local_candidate(
                                flow, address, kind=kind, base=base, streamed=streamed, now=now
                            )
                    case CandidateLost(flow):
                        self.lost.append(output)
                        self.agent.flow_lost(flow, now=now)
                    case DatagramReceived(flow, data, source):
                        self._take(flow, data, source, now)
                    case GatheringFinished():
                        self.finished_at = now
            for said in self.agent.outputs():
                again = True
                if isinstance(said, SendDatagram):
                    self._send(said, now)
                elif isinstance(said, PairSelected):
                    self.selected = said
                    self.gatherer.selected(said.flow, said.remote, now=now)
                    self.gatherer.conclude(now=now)
