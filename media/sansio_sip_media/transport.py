"""The way of a session's packets to the peer, whichever profile it has: what a session asks of it, and what it says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sansio_sip.context import Private
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenStream, Resolve, SendDatagram, SendStream
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.negotiation import LocalMedia, Negotiated

from .demux import Kind

__all__ = [
    "Arrived",
    "Connected",
    "Failed",
    "Gathered",
    "Interrupted",
    "MediaTransport",
    "Path",
    "Relayed",
    "TransportOutput",
]


@dataclass(frozen=True, slots=True)
class Path:
    """Our socket and the peer's address. `local`: ours, where it is not that of the socket."""

    flow: FlowId
    remote: Address
    local: Address | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """Packets can flow both ways: for the first time, again, or along another path."""

    path: Path


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Nothing comes through for now; `Connected` follows if that changes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """There was never a way, and there will be none. `status` is the SIP answer that fits."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """What `is_gathering` was waited for is there. `problems`: which servers gave nothing, and why, for people."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A packet of RTP or RTCP that may be trusted, in plain. `size`: octets that it had on the wire."""

    kind: Kind
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Relayed:
    """A datagram came by a relay, whose flow that is: for whoever takes those of sockets."""

    flow: FlowId
    data: bytes
    source: Address


TransportOutput: TypeAlias = (
    SendDatagram
    | OpenStream
    | SendStream
    | CloseFlow
    | Resolve
    | Gathered
    | Relayed
    | Connected
    | Interrupted
    | Failed
    | Arrived
)


class MediaTransport(Protocol):
    """A machine: `WebRtcTransport`, `SdesTransport` or `PlainTransport`, each in the module of its name."""

    def fork(self) -> "MediaTransport":
        """The way to another peer who has the same description of us: the same sockets, credentials and keys."""

    def claims(self, flow: FlowId, data: bytes, source: Address, kind: Kind) -> int:
        """How sure it is that a datagram is of our peer: 0 it is not, 1 it may be, 2 it is."""

    def add_flow(self, flow: FlowId, local: Address, *, now: float) -> None:
        """A socket of ours is open."""

    def flow_lost(self, flow: FlowId, *, now: float) -> None: ...

    def restart(self, *, moved: bool, now: float) -> None:
        """There are other sockets: the next offer or answer says so. `moved`: the addresses of those from before are
        gone."""

    def prepare_answer(self, offer: SessionDescription, *, now: float) -> None:
        """An offer is about to be answered: take from it what changes our side of the answer."""

    def describe(self, media: LocalMedia) -> LocalMedia:
        """Adds to an offer or an answer what the peer must know of the way to us."""

    def settle(self, negotiated: Negotiated, *, now: float) -> None:
        """Offer and answer are both known: begin, or follow the change. Raises nothing."""

    def send(self, packet: Private, kind: Kind, *, now: float) -> bool:
        """Sends a packet of RTP or RTCP; False: there is no way for it now."""

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, kind: Kind, *, now: float) -> None: ...

    def close(self, *, now: float) -> None:
        """Says goodbye where the protocol has a word for it."""

    @property
    def path(self) -> Path | None: ...

    @property
    def protection(self) -> str:
        """`DTLS-SRTP`, `SDES-SRTP` or `none`."""

    @property
    def rtt(self) -> float | None:
        """Seconds there and back, where the transport itself measures it."""

    @property
    def stages(self) -> Mapping[str, float]:
        """When each stage of the set-up was done: `ice`, `dtls`."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """Datagrams that were refused, by cause."""

    def handle_timeout(self, *, now: float) -> None: ...

    def next_timeout(self) -> float | None: ...

    def poll_output(self) -> TransportOutput | None: ...

    def outputs(self) -> Iterator[TransportOutput]: ...
