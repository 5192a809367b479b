"""What a program may know of a call: the reference's CallInfo, and how a call ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import NewType

__all__ = ["AccountId", "CallDirection", "CallInfo", "CallState", "CallUuid", "HangupInfo"]

AccountId = NewType("AccountId", str)
CallUuid = NewType("CallUuid", str)


class CallDirection(Enum):
    INCOMING = "INCOMING"
    OUTGOING = "OUTGOING"


class CallState(Enum):
    """The reference's states, and INITIALIZED for an outgoing call of which nobody has heard yet.

    INITIALIZED --> RINGING --> ANSWERED --> ENDED
         |             |
         +-------------+--> REJECTED, IGNORED, CANCELED, FAILED
    """

    INITIALIZED = "initialized"
    RINGING = "ringing"
    ANSWERED = "answered"
    REJECTED = "rejected"
    IGNORED = "ignored"
    CANCELED = "canceled"
    FAILED = "failed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class CallInfo:
    """A snapshot of one call, given with each event about it (reference: CallInfo).

    Attributes:
        call_uuid: names the call in every command.
        src, dest: who calls, and who is called: our own end by its SIP URI, a caller as `user@host`, whom we call by
            the URI that the INVITE goes to.
        reason, protocol, code: why the call ended; `protocol` is `Q.850`, `SIP` or `none`. `code` is -1 until then.
        originator: `local`, `remote` or `system`: who ended it.
        stir_shaken_state: `verified`, `not_verified` or `Not_applicable`.
    """

    call_uuid: CallUuid
    direction: CallDirection
    src: str
    dest: str
    state: CallState
    extra_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = "none"
    protocol: str = "none"
    code: int = -1
    originator: str = "local"
    stir_shaken_state: str = "Not_applicable"

    def as_dict(self) -> dict[str, object]:
        """The reference's keys."""
        return {
            "callUUID": self.call_uuid,
            "direction": self.direction.value,
            "src": self.src,
            "dest": self.dest,
            "state": self.state.value,
            "extraHeaders": dict(self.extra_headers),
            "Reason": self.reason,
            "Protocol": self.protocol,
            "Code": self.code,
            "Originator": self.originator,
            "stirShakenState": self.stir_shaken_state,
        }


@dataclass(frozen=True, slots=True)
class HangupInfo:
    """The first argument of onCallTerminated."""

    originator: str
    reason: str

    def as_dict(self) -> dict[str, object]:
        return {"originator": self.originator, "reason": self.reason}
