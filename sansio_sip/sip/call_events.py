"""What a user agent says about a call."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal, NewType, TypeAlias

from .headers import NameAddress, Reason
from .session_headers import Replaces
from .uri import SipUri

__all__ = [
    "NO_ANSWER",
    "NO_FLOW",
    "CallAccepted",
    "CallConfirmed",
    "CallEnd",
    "CallEnded",
    "CallEvent",
    "CallId",
    "CallProgress",
    "CallRedirected",
    "DescriptionChanged",
    "EndKind",
    "HeaderRows",
    "IncomingCall",
    "InfoAnswered",
    "InfoReceived",
    "MessageReceived",
    "ReferProgress",
    "ReferReceived",
    "ReofferAnswered",
    "ReofferReceived",
    "ReofferRejected",
]

CallId = NewType("CallId", str)
"""Names a call within one user agent. It is the Call-ID wherever that is not taken."""

HeaderRows: TypeAlias = tuple[tuple[str, str], ...]
"""All header rows of a message, in order, names as received."""


class EndKind(Enum):
    """How a call ended. The first three are ends before the call was confirmed, or where something broke."""

    REJECTED = "rejected"  # the callee refused it (403, 603; or our own `reject`)
    CANCELED = "canceled"  # the caller gave up
    FAILED = "failed"  # any other failure
    HUNG_UP = "hung up"  # BYE


@dataclass(frozen=True, slots=True)
class CallEnd:
    """Why a call ended.

    Attributes:
        by: whose doing it was; `system` is a time-out or a lost flow.
        status: the SIP status that fits: the response's, 200 for BYE, 487 for CANCEL, 408, 503.
        cause: one of the reference's cause words.
        reason: the Reason header (RFC 3326) of the BYE, CANCEL or response, if it had one.
    """

    how: EndKind
    by: Literal["local", "remote", "system"]
    status: int
    cause: str
    reason: Reason | None = None


NO_ANSWER = CallEnd(EndKind.FAILED, "system", 408, "Request Timeout")
"""No response has come to a request."""

NO_FLOW = CallEnd(EndKind.FAILED, "system", 503, "Connection Error")
"""The flow was lost before the call was answered (RFC 3261 section 8.1.3.1: as if a 503 had come)."""


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """An INVITE has come. `ring`, `answer` or `reject` it. Nothing but 100 is sent until then.

    `description` is the caller's offer; None asks us to make the offer in our answer. `replaces` is a call of ours
    whose place it is to take (RFC 3891): who answers it hangs that one up.
    """

    call: CallId
    caller: NameAddress
    headers: HeaderRows
    description: bytes | None
    replaces: CallId | None = None


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A provisional response with a To tag. `branch` is that tag: it tells the ways of a forked call apart.

    `is_offer`: our INVITE had no offer, and the description is one: `answer_offer` it.
    """

    call: CallId
    status: int
    branch: str
    description: bytes | None
    headers: HeaderRows = ()
    is_offer: bool = False


@dataclass(frozen=True, slots=True)
class CallAccepted:
    """The callee has answered, and the ACK has left. `branch` is the To tag of the way that won.

    `is_offer`: our INVITE had no offer, and the description is one: `answer_offer` it; the ACK waits for that.
    """

    call: CallId
    branch: str
    description: bytes | None
    headers: HeaderRows = ()
    is_offer: bool = False


@dataclass(frozen=True, slots=True)
class CallRedirected:
    """A 3xx is followed, as the policy allows: the call goes on to `target`, and its branches so far are over."""

    call: CallId
    target: str


@dataclass(frozen=True, slots=True)
class CallConfirmed:
    """The ACK to our answer has come. `description` is the caller's answer where the offer was ours."""

    call: CallId
    description: bytes | None


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The last that is said of a call; said once."""

    call: CallId
    end: CallEnd


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO in a call, already answered. `content_type` is `type/subtype` in lower case, empty without a body."""

    call: CallId
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class InfoAnswered:
    """An INFO of ours has its final response: `status`, or 408 or 503 where none came."""

    call: CallId
    status: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A MESSAGE (RFC 3428), already answered. `call` is None outside of calls; `content_type` is `type/subtype`."""

    call: CallId | None
    sender: NameAddress
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ReferReceived:
    """The peer asks us to call `target` (RFC 3515). `accept_refer` or `reject_refer` it, by its number, at once.

    `replaces` is the dialog whose place the new call is to take; it goes into the INVITE.
    """

    call: CallId
    refer: int
    target: SipUri
    replaces: Replaces | None
    referred_by: NameAddress | None


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """How a `refer` of ours goes, as the peer says; `final` comes once, the last.

    `status` is that of the call that the peer has made, or of a refusal of the REFER itself; 408 where she has told
    nothing for too long. It goes on after `CallEnded`.
    """

    call: CallId
    refer: int
    status: int
    final: bool = False


@dataclass(frozen=True, slots=True)
class DescriptionChanged:
    """The answer to a refresh of the session was another than before: make a new offer to find out what is so now."""

    call: CallId


@dataclass(frozen=True, slots=True)
class ReofferReceived:
    """A re-INVITE or UPDATE. `answer_reoffer` or `reject_reoffer` it. Without a `description` it asks for our offer."""

    call: CallId
    description: bytes | None


@dataclass(frozen=True, slots=True)
class ReofferAnswered:
    """The answer to our offer in an established call: to `reoffer`, or to a re-INVITE that asked for our offer."""

    call: CallId
    description: bytes | None


@dataclass(frozen=True, slots=True)
class ReofferRejected:
    """Our offer in an established call came to nothing; the session is as it was.

    `status` is the response's, 408 or 503 where none came. `overtaken` (491): an offer of the peer was first, and comes
    next.
    """

    call: CallId
    status: int
    cause: str
    overtaken: bool = False


CallEvent: TypeAlias = (
    IncomingCall
    | CallProgress
    | CallAccepted
    | CallConfirmed
    | CallEnded
    | CallRedirected
    | InfoAnswered
    | InfoReceived
    | MessageReceived
    | ReferReceived
    | ReferProgress
    | DescriptionChanged
    | ReofferReceived
    | ReofferAnswered
    | ReofferRejected
)
