"""Who may come in: what a user agent says to requests outside of any dialog before a session sees them.

Merged requests (RFC 3261 section 8.2.2.2), the bound on calls, extensions that an INVITE must know (RFC 3262, RFC
4028), and whose place it may take (RFC 3891).
"""

from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.errors import ParseError

from .body import description_of
from .call_events import CallId
from .dialog import is_readable
from .identity import AccountConfig
from .message import Request
from .policy import Consent
from .screening import Refusal, content_headers
from .session_headers import Replaces
from .session_timer import SessionTimer
from .sessions import Sessions
from .transactions.outputs import TransactionId

__all__ = ["Doorkeeper", "Invited", "refuse_outside"]

_MergeKey: TypeAlias = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Invited:
    """An INVITE that may ring: its offer, and the call whose place it is to take."""

    description: bytes | None
    replaces: CallId | None


class Doorkeeper:
    """Remembers the requests that are being processed, as long as their transactions live."""

    def __init__(self, config: AccountConfig, sessions: Sessions) -> None:
        self._config = config
        self._sessions = sessions
        self._merging: dict[_MergeKey, TransactionId] = {}
        self._keys: dict[TransactionId, _MergeKey] = {}

    def __len__(self) -> int:
        return len(self._merging)

    def merges(self, transaction: TransactionId, request: Request) -> bool:
        """Whether the same request has come before, by another way; else it is remembered."""
        # RFC 3261 section 8.2.2.2: "If the request has no tag in the To header field, the UAS core MUST check the
        # request against ongoing transactions. If the From tag, Call-ID, and CSeq exactly match those associated with
        # an ongoing transaction, but the request does not match that transaction [...], the UAS core SHOULD generate
        # a 482 (Loop Detected) response".
        key = (request.from_.tag or "", request.call_id, request.cseq.number, request.method)
        if key in self._merging:
            return True
        self._merging[key] = transaction
        self._keys[transaction] = key
        return False

    def forget(self, transaction: TransactionId) -> None:
        key = self._keys.pop(transaction, None)
        if key is not None:
            self._merging.pop(key, None)

    def admit(self, request: Request, calls: int) -> Invited | Refusal:
        """Whether an INVITE may ring, where there are so many `calls` already."""
        if calls >= self._config.limits.dialogs:
            return 486, ()
        try:
            description = description_of(request)
            replaces = Replaces.of(request)
        except ParseError as error:
            status = error.status or 400
            return status, content_headers(status)
        if not is_readable(request):
            return 400, ()
        known = {option.lower() for option in (*request.supported, *request.require)}
        if self._config.reliability == "required" and "100rel" not in known:
            # RFC 3261 section 21.4.16.
            return 421, (("Require", "100rel"),)
        too_small = SessionTimer(self._config.session_expires, self._config.min_se).refusal(request)
        if too_small is not None:
            return 422, too_small
        if replaces is None:
            return Invited(description, None)
        found = self._sessions.to_replace(replaces)
        if isinstance(found, int):
            return found, ()
        if self._config.policy.replaces is Consent.REFUSE:
            return 603, ()
        return Invited(description, found.call)


def refuse_outside(request: Request) -> Refusal:
    """What is said to a request that makes no sense outside of a call of ours."""
    match request.method:
        case "SUBSCRIBE":
            # RFC 6665 section 4.2.1.1: "If the event package name [...] is not understood, the notifier MUST return a
            # 489 (Bad Event) response to the SUBSCRIBE." The one package that we have is subscribed to by REFER.
            return 489, (("Allow-Events", "refer"),)
        case "REFER":
            # It would have us call a stranger for a stranger.
            return 603, ()
        case _:
            return 481, ()
