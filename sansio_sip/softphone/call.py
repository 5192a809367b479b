"""One call of the phone, as a row: which account and media sessions it has, and what may be told of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sip.call_events import CallEnd, CallId, EndKind
from sansio_sip.sip.headers import NameAddress
from sansio_sip.sip.uri import SipUri, parse_uri

from .call_info import AccountId, CallDirection, CallInfo, CallState, CallUuid
from .early_dialog import EarlyDialog
from .media_plane import SessionId

__all__ = [
    "LOCAL_CODES",
    "Call",
    "Referral",
    "checked_headers",
    "end_state",
    "identity",
    "target_uri",
    "visible_headers",
]

# Names of extra headers that a caller may add; everything else is the stack's own (reference: extraHeaders).
EXTRA_HEADER_PREFIX = "x-ph-"

# What the reference gives as `code` for an end on our side (its table of local causes). Every other cause has
# a SIP status, so that `code` is an int always.
LOCAL_CODES: Mapping[str, int] = MappingProxyType(
    {"No Answer": 3000, "Canceled": 1000, "Rejected": 3020, "Terminated": 11001, "Ignored": 11002}
)


@dataclass(frozen=True, slots=True)
class Referral:
    """A peer's wish that we call somebody (REFER).

    Attributes:
        account, sip: the call in which it was said, under the number `refer`; it may end before this one.
        replaces, referred_by: header values that go into the INVITE.
    """

    account: AccountId
    sip: CallId
    refer: int
    target: SipUri
    replaces: str | None = None
    referred_by: str | None = None

    def headers(self) -> tuple[tuple[str, str], ...]:
        rows = (("Replaces", self.replaces), ("Referred-By", self.referred_by))
        return tuple((name, value) for name, value in rows if value is not None)


@dataclass(slots=True)
class Call:
    """A call from its first breath to its end. Held by the softphone alone; programs see `info`.

    Attributes:
        sip: the user agent's name for it; None until the INVITE can be sent.
        session: the media session that is heard; None for an incoming call that was not answered yet.
        offer: what the INVITE brought: SDP to be answered.
        delayed_offer: the INVITE brought no offer: ours is in the 200, the answer comes in the ACK.
        described: our first offer or answer was made.
        answering: `answer` was asked for, and our SDP is being made.
        held: we want the call to be on hold. on_hold: it is, as far as offer and answer go.
        held_by_peer: her last offer has put us on hold.
        offering: a later offer of ours is being made, or waits for its answer. offered_hold: what it asks for.
        settling: its answer has been given to media.
        renewal_due: an offer is to be made though we wish for nothing new.
        answering_offer: a later offer of the peer waits for our SDP. offered: what she has said last.
        answer_due: it asked for an offer of ours, whose answer comes in the ACK.
        sessions: all media sessions that it has; more than one only while it rings at several phones.
        trunk: the session that has made the offer of our INVITE. trunk_taken: an answer was given to it.
        early: the dialogs of a call of ours by branch, in the order of their answers; one is left once it is answered.
        ringing: branches that have described nothing, or more than we hear; the user agent knows a bounded number.
        early_answer: our answer, as it went out before the call was answered.
        transfers: REFERs of ours by number; an attended one names the other call.
        asked: a wish of the peer that waits for our decision. referral: the wish by which this call was placed.
        replaces: a call that ends when this one is answered.
        failure: a cause of our own, which stands before the one that SIP gives.
    """

    uuid: CallUuid
    account: AccountId
    direction: CallDirection
    src: str
    dest: str
    sip: CallId | None = None
    session: SessionId | None = None
    state: CallState = CallState.INITIALIZED
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    sip_headers: tuple[tuple[str, str], ...] = ()
    offer: bytes | None = None
    delayed_offer: bool = False
    described: bool = False
    answering: bool = False
    held: bool = False
    on_hold: bool = False
    held_by_peer: bool = False
    offering: bool = False
    offered_hold: bool = False
    settling: bool = False
    renewal_due: bool = False
    answering_offer: bool = False
    offered: SessionDescription | None = None
    answer_due: bool = False
    transfers: dict[int, CallUuid | None] = field(default_factory=dict)
    asked: Referral | None = None
    referral: Referral | None = None
    replaces: CallUuid | None = None
    sessions: list[SessionId] = field(default_factory=list)
    trunk: SessionId | None = None
    trunk_taken: bool = False
    early: dict[str, EarlyDialog] = field(default_factory=dict)
    ringing: set[str] = field(default_factory=set)
    early_answer: bytes = b""
    muted: bool = False
    ended: bool = False
    failure: str = ""
    reason: str = "none"
    protocol: str = "none"
    code: int = -1
    originator: str = "local"
    stir_shaken_state: str = "Not_applicable"
    started_at: float = 0.0
    answered_at: float | None = None

    @property
    def info(self) -> CallInfo:
        return CallInfo(
            call_uuid=self.uuid,
            direction=self.direction,
            src=self.src,
            dest=self.dest,
            state=self.state,
            extra_headers=self.extra_headers,
            reason=self.reason,
            protocol=self.protocol,
            code=self.code,
            originator=self.originator,
            stir_shaken_state=self.stir_shaken_state,
        )

    @property
    def is_negotiating(self) -> bool:
        """Whether a later offer of either end is under way."""
        return self.offering or self.answering_offer or self.settling

    def finish(self, end: CallEnd) -> None:
        """Takes down how the call ended."""
        self.state = end_state(self.state, end)
        self.originator = end.by
        cause = self.failure or end.cause
        if end.by == "remote" and end.reason is not None:
            self.protocol = end.reason.protocol
            self.reason = end.reason.text or cause
            self.code = end.reason.cause if end.reason.cause is not None else end.status
        elif end.by == "remote":
            self.protocol, self.reason, self.code = "SIP", cause, end.status
        else:
            self.reason = cause
            self.code = LOCAL_CODES.get(cause, end.status)
        self.ended = True


def end_state(state: CallState, end: CallEnd) -> CallState:
    """The state in which a call ends: what it was, and how it went."""
    if state is CallState.ANSWERED:
        return CallState.ENDED
    match end.how:
        case EndKind.REJECTED:
            return CallState.REJECTED
        case EndKind.CANCELED:
            return CallState.CANCELED
        case _:
            return CallState.FAILED


def visible_headers(headers: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """The extra headers that a program is shown: those named `X-PH-...` (reference: extraHeaders)."""
    return MappingProxyType({name: value for name, value in headers if name.lower().startswith(EXTRA_HEADER_PREFIX)})


def checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Extra headers as a program gives them. Raises LocalProtocolError for one that must not be sent."""
    for name, value in headers.items():
        if not name.lower().startswith(EXTRA_HEADER_PREFIX) or any(c in name + value for c in "\r\n\0"):
            raise LocalProtocolError(
                f"cannot call: extra header {name!r} is none to add; give one-line `X-PH-...` headers"
            )
    return MappingProxyType(dict(headers))


def target_uri(target: str, domain: str, *, by_address: bool) -> SipUri:
    """Whom to call: a SIP URI, `user@host`, or a number or name at `domain`.

    Args:
        by_address: there is no server: the host itself is asked, looked up where it is a name (RFC 3263); nor is there
            TLS.

    Raises:
        LocalProtocolError: it is none of these.
    """
    text = target.strip()
    if ":" in text and "@" not in text and not text.lower().startswith(("sip:", "sips:")):
        raise LocalProtocolError(f"cannot call {target!r}: its scheme is not sip; give a number or a SIP URI")
    if not text.lower().startswith(("sip:", "sips:")):
        text = f"sip:{text}" if "@" in text else f"sip:{text}@{domain}"
    try:
        uri = parse_uri(text)
    except ParseError as error:
        raise LocalProtocolError(f"cannot call {target!r}: {error.reason}; give a number or a SIP URI") from None
    if not isinstance(uri, SipUri):
        raise LocalProtocolError(f"cannot call {target!r}: its scheme is not sip; give a number or a SIP URI")
    if by_address and uri.scheme == "sips":
        raise LocalProtocolError(
            f"cannot call {target!r}: the account has no server, and without one nothing goes over TLS; "
            "give the account a `tls:` or `wss:` server, or a `sip:` URI"
        )
    return uri


def identity(caller: NameAddress) -> str:
    """`user@host` of an address, or the URI itself where it is no SIP URI."""
    uri = caller.uri
    if isinstance(uri, SipUri):
        return f"{uri.user}@{uri.host}" if uri.user else uri.host
    return str(uri)
