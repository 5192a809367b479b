"""What an ICE agent says, and tells when asked."""

from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.softphone.media_plane import IceState

from .candidate import Candidate
from .pair import CandidatePair, PairState

__all__ = ["ConsentLost", "IceOutput", "PairReport", "PairSelected", "StateChanged"]


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent is in another state."""

    state: IceState


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Send media by `flow` to `remote` from now on. `local` is our address as the peer sees it."""

    flow: FlowId
    local: Address
    remote: Address


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """Nothing may be sent to `remote` any more (RFC 7675 section 5.1)."""

    flow: FlowId
    remote: Address


@dataclass(frozen=True, slots=True)
class PairReport:
    """One pair of the check list, for statistics."""

    flow: FlowId
    local: Candidate
    remote: Candidate
    state: PairState
    priority: int
    selected: bool

    @classmethod
    def of(cls, pair: CandidatePair, *, selected: bool) -> "PairReport":
        local = pair.valid_local or pair.local
        return cls(pair.local.flow, local.candidate, pair.remote, pair.state, pair.priority, selected)


IceOutput: TypeAlias = SendDatagram | StateChanged | PairSelected | ConsentLost
