"""Plain RTP: no checks, no keys. Only where the account asks for it.

Packets go to the address in the peer's SDP. They are taken from there, or, once, from the first source that sends a
payload type that was negotiated: behind a NAT the address in the SDP is not the one that packets come from (symmetric
RTP, RFC 4961). Whoever comes later is refused. Where a later description names another address, the same goes for the
new one; packets of whoever was there before are still on their way then, and are not taken for the newcomer's.

RTCP shares the socket where the peer agrees (RFC 5761). Where it does not, RTCP has a socket of its own, and the same
is true of it: the peer's address is the one of its description (RFC 3605), or once that of the first packet.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType

from sansio_sip.context import Private
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.machine import Outbox
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.negotiation import LocalMedia, Negotiated
from sansio_sip.timers import TimerSet

from .demux import Kind
from .transport import Arrived, Connected, Interrupted, Path, TransportOutput

__all__ = ["PlainTransport"]


FAREWELL = 1.0
"""Seconds for which the source before a change of address is refused: longer than a packet is on its way."""


class Timer(Enum):
    SILENCE = "silence"  # nothing has arrived for a while


class PlainTransport:
    """The machine. `silence`: seconds without any packet after which the peer counts as lost."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._outbox: Outbox[TransportOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()
        self._flows: list[FlowId] = []
        self._remote: Address | None = None
        self._announced: Address | None = None
        self._announced_rtcp: Address | None = None
        self._latched = False
        self._former: tuple[Address, float] | None = None  # and until when it is refused
        self._rtcp_flow: FlowId | None = None
        self._rtcp_remote: Address | None = None
        self._rtcp_latched = False
        self._lost = False
        self._negotiated: Negotiated | None = None
        self._rejected: Counter[str] = Counter()

    protection = "none"
    rtt: float | None = None
    stages: Mapping[str, float] = MappingProxyType({})

    @property
    def path(self) -> Path | None:
        return Path(self._flows[-1], self._remote) if self._flows and self._remote is not None else None

    @property
    def rejected(self) -> Mapping[str, int]:
        return MappingProxyType(self._rejected)

    def fork(self) -> "PlainTransport":
        other = PlainTransport(self._silence)
        other._flows, other._rtcp_flow = list(self._flows), self._rtcp_flow
        return other

    def claims(self, flow: FlowId, data: bytes, source: Address, kind: Kind) -> int:
        is_rtcp = flow == self._rtcp_flow
        remote, latched = (self._rtcp_remote, self._rtcp_latched) if is_rtcp else (self._remote, self._latched)
        if remote is None or source == remote:
            return 0 if remote is None else 2
        return 1 if source.host == remote.host and not latched else 0

    def add_flow(self, flow: FlowId, local: Address, *, now: float) -> None:
        self._flows.append(flow)

    def add_rtcp_flow(self, flow: FlowId) -> None:
        """A socket for RTCP alone is open."""
        self._rtcp_flow = flow

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        if flow == self._rtcp_flow:
            self._rtcp_flow = None
            return
        if flow in self._flows:
            self._flows.remove(flow)
        if not self._flows:
            self._interrupt("the socket was lost")

    def restart(self, *, moved: bool, now: float) -> None:
        """The next description carries the new address; until the peer answers, the newest socket is used."""

    def prepare_answer(self, offer: SessionDescription, *, now: float) -> None:
        """An answer depends on nothing in the offer here."""

    def describe(self, media: LocalMedia) -> LocalMedia:
        return media

    def settle(self, negotiated: Negotiated, *, now: float) -> None:
        first = self._negotiated is None
        self._negotiated = negotiated
        if negotiated.remote_address != self._announced:
            self._announced = negotiated.remote_address
            self._former = (self._remote, now + FAREWELL) if self._remote is not None else None
            self._latched = False
            if negotiated.remote_address is not None:
                self._remote = negotiated.remote_address
        if first or negotiated.remote_rtcp != self._announced_rtcp:
            self._announced_rtcp = self._rtcp_remote = negotiated.remote_rtcp
            self._rtcp_latched = False
        if (path := self.path) is not None:
            self._outbox.put(Connected(path))
        if first:
            self._timers.arm(Timer.SILENCE, now + self._silence)

    def send(self, packet: bytes, kind: Kind, *, now: float) -> bool:
        path = self.path
        if path is None or self._negotiated is None:
            return False
        if kind is Kind.RTCP and not self._negotiated.rtcp_mux:
            if self._rtcp_flow is None or self._rtcp_remote is None:
                return False
            self._outbox.put(SendDatagram(self._rtcp_flow, packet, self._rtcp_remote))
            return True
        self._outbox.put(SendDatagram(path.flow, packet, path.remote))
        return True

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, kind: Kind, *, now: float) -> None:
        if self._negotiated is None or kind not in (Kind.RTP, Kind.RTCP):
            self._rejected[f"unexpected {kind.value}"] += 1
        elif flow == self._rtcp_flow:
            self._receive_rtcp(data, source, kind)
        elif source != self._remote and not self._latch(source, data, kind, now):
            self._rejected["from elsewhere"] += 1
        else:
            self._latched = self._latched or kind is Kind.RTP
            self._timers.arm(Timer.SILENCE, now + self._silence)
            if self._lost and (path := self.path) is not None:
                self._lost = False
                self._outbox.put(Connected(path))
            self._outbox.put(Arrived(kind, Private(data), len(data)))

    def _receive_rtcp(self, data: bytes, source: Address, kind: Kind) -> None:
        """On the socket that is for RTCP. Reports alone do not keep a call alive: nothing arms the timer here."""
        if kind is not Kind.RTCP:
            self._rejected[f"unexpected {kind.value}"] += 1
        elif source != self._rtcp_remote and self._rtcp_latched:
            self._rejected["from elsewhere"] += 1
        else:
            self._rtcp_latched = True
            self._rtcp_remote = source
            self._outbox.put(Arrived(kind, Private(data), len(data)))

    def _latch(self, source: Address, data: bytes, kind: Kind, now: float) -> bool:
        """Whether an unknown source may be the peer behind a NAT."""
        assert self._negotiated is not None
        if self._latched or kind is not Kind.RTP or data[1] & 0x7F not in self._negotiated.receive_payload_types:
            return False
        if self._former is not None and source == self._former[0] and now < self._former[1]:
            return False
        self._remote = source
        return True

    def close(self, *, now: float) -> None:
        self._timers.clear()

    def handle_timeout(self, *, now: float) -> None:
        for _ in self._timers.due(now):
            self._interrupt(f"nothing has arrived for {self._silence:.0f} s")

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> TransportOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[TransportOutput]:
        return self._outbox.drain()

    def _interrupt(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._outbox.put(Interrupted(reason))
