"""What an account says, effects aside (see `account`), and what it reads in a registrar's answer."""

from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.auth import ERROR_HEADER, TOKEN_HEADER, parse_expiry
from sansio_sip.effects import Effect
from sansio_sip.sip.call_events import CallEvent, CallId, HeaderRows
from sansio_sip.sip.standalone import StandaloneEvent
from sansio_sip.sip.transport import Hop

__all__ = [
    "AccountOutput",
    "Back",
    "CallSaid",
    "Down",
    "LoggedIn",
    "LoggedOut",
    "LoginRefused",
    "Noted",
    "OutsideSaid",
    "Strayed",
    "Traced",
    "Up",
    "flow_timer",
    "token_error",
    "token_expires",
]


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The first binding after `login`, or the first with a new token. `token_expires`: Unix time, by the server."""

    token_expires: int | None = None


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """`status` is 0 where no server answered, `code` where it said nothing of an access token (`auth`).

    `detail` says why no server could be reached, in the system's words; `retry_after`, in seconds, when a server that
    has refused wants to be asked again.
    """

    cause: str
    status: int
    code: int = 0
    detail: str = ""
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The binding is gone. `reason` is empty where that was our wish; else what is wrong with the access token."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Traced:
    """A SIP message that left or came, without its secrets."""

    text: str


@dataclass(frozen=True, slots=True)
class Up:
    """The signalling flow is usable."""

    hop: Hop


@dataclass(frozen=True, slots=True)
class Noted:
    """What has come of one flow where another lives, for the log."""

    text: str
    is_loss: bool


@dataclass(frozen=True, slots=True)
class Strayed:
    """The flow of these calls is gone, and another lives."""

    calls: tuple[CallId, ...]


@dataclass(frozen=True, slots=True)
class Down:
    """The signalling flow is gone, or could not be opened. `retry_in`: seconds, None when nobody tries again."""

    code: int
    reason: str
    was_up: bool
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class CallSaid:
    """What the user agent says about a call."""

    event: CallEvent


@dataclass(frozen=True, slots=True)
class OutsideSaid:
    """What the user agent says about requests of ours outside of calls."""

    event: StandaloneEvent


@dataclass(frozen=True, slots=True)
class Back:
    """Signalling has a way: a flow, and a binding on it where the account is logged in."""


AccountOutput: TypeAlias = (
    Effect | Back | CallSaid | OutsideSaid | LoggedIn | LoginRefused | LoggedOut | Noted | Strayed | Traced | Up | Down
)


def token_error(headers: HeaderRows) -> int:
    """The code by which a registrar says what is wrong with an access token; 0 where it does not.

    401 is no such code: it repeats the status of a challenge.
    """
    text = next((value for name, value in headers if name.lower() == ERROR_HEADER.lower()), "")
    code = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
    return 0 if code == 401 else code


def token_expires(headers: HeaderRows) -> int | None:
    text = next((value for name, value in headers if name.lower() == TOKEN_HEADER.lower()), "")
    return parse_expiry(text)


def flow_timer(headers: HeaderRows) -> float | None:
    """Seconds of silence after which the server gives the flow up (RFC 5626 section 10); None where it does not say."""
    text = next((value for name, value in headers if name.lower() == "flow-timer"), "").strip()
    return float(text) if text.isascii() and text.isdigit() and 0 < len(text) <= 6 else None
