"""What an ICE agent says."""

from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.softphone.media_plane import IceState

__all__ = ["ConsentLost", "IceOutput", "PairSelected", "StateChanged"]


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


IceOutput: TypeAlias = SendDatagram | StateChanged | PairSelected | ConsentLost
