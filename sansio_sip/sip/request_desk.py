"""What a user agent does with each request of a peer (RFC 3261 section 8.2): whom it is for, or why it is refused.

Theory of operation
-------------------
Within a dialog a request goes to the session, or to the subscription, that it belongs to; else it is looked at here,
and an INVITE that the `Doorkeeper` lets in begins a session. `receive` returns the session that was touched, which is
the caller's to drain, after what is said here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.context import Context
from sansio_sip.machine import Outbox

from .call_events import CallId, HeaderRows, MessageReceived
from .doorkeeper import Doorkeeper, Invited, refuse_outside
from .identity import Identity
from .invite_session import InviteSession
from .message import Request
from .screening import content_headers, refuse
from .sessions import Sessions
from .standalone import Standalone
from .transaction_user import SendResponse
from .transactions.outputs import RequestReceived, TransactionId
from .transport import Hop

__all__ = ["DeskOutput", "RequestDesk", "UserAgentCounters"]

DeskOutput: TypeAlias = SendResponse | MessageReceived


@dataclass(slots=True)
class UserAgentCounters:
    """How often something came that was of no use, since the user agent was made."""

    malformed: int = 0
    stray_responses: int = 0
    refused_requests: int = 0


class RequestDesk:
    """The machine. It has no time of its own."""

    def __init__(
        self,
        context: Context,
        identity: Identity,
        sessions: Sessions,
        standalone: Standalone,
        counters: UserAgentCounters,
    ) -> None:
        self._counters = counters
        self._context = context
        self._identity = identity
        self._sessions = sessions
        self._standalone = standalone
        self._doorkeeper = Doorkeeper(identity.config, sessions)
        self._servers: dict[TransactionId, CallId] = {}  # INVITEs that sessions have to answer
        self._outbox: Outbox[DeskOutput] = Outbox()

    def __len__(self) -> int:
        """Transactions that it remembers."""
        return len(self._servers) + len(self._doorkeeper)

    def receive(
        self, output: RequestReceived, invite: TransactionId | None = None, *, now: float
    ) -> InviteSession | None:
        """A request has come. `invite`: the transaction of the INVITE that a CANCEL is about."""
        request, transaction = output.request, output.transaction
        session = self._sessions.of_dialog(request)
        if session is not None:
            self._sessions.heard(session.call, output.hop, makes_dialog=False)
        if transaction is None:
            if session is not None:
                session.receive_ack(request, now=now)
            return session
        if request.method == "CANCEL":
            return self._on_cancel(transaction, request, invite, now)
        refusal = refuse(request, self._identity.supported)
        if refusal is not None:
            self._refuse(transaction, request, *refusal)
            return None
        if request.to.tag is None:
            return self._on_new_request(transaction, request, output.hop, now)
        if session is None:
            notify = request.method == "NOTIFY"
            if not notify or not self._standalone.notified(transaction, request, now=now):
                # RFC 3261 section 12.2.2: "If the UAS wishes to reject the request because it does not wish to recreate
                # the dialog, it MUST respond to the request with a 481".
                self._refuse(transaction, request, 481)
            return None
        if request.method == "INVITE":
            self._servers[transaction] = session.call
        session.receive_request(transaction, request, now=now)
        return session

    def session_of(self, transaction: TransactionId) -> InviteSession | None:
        """The session that has to answer the INVITE of that transaction."""
        call = self._servers.get(transaction)
        return self._sessions.find(call) if call is not None else None

    def forget(self, transaction: TransactionId) -> None:
        """A server transaction has ended."""
        self._servers.pop(transaction, None)
        self._doorkeeper.forget(transaction)

    def poll_output(self) -> DeskOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[DeskOutput]:
        return self._outbox.drain()

    # Requests outside of any dialog

    def _on_new_request(
        self, transaction: TransactionId, request: Request, hop: Hop, now: float
    ) -> InviteSession | None:
        if self._doorkeeper.merges(transaction, request):
            self._refuse(transaction, request, 482)
            return None
        match request.method:
            case "INVITE":
                return self._on_invite(transaction, request, hop, now)
            case "OPTIONS":
                self._respond(transaction, request, 200, self._identity.options())
            case "MESSAGE":
                self._on_message(transaction, request)
            case _:
                self._refuse(transaction, request, *refuse_outside(request))
        return None

    def _on_invite(self, transaction: TransactionId, request: Request, hop: Hop, now: float) -> InviteSession | None:
        admitted = self._doorkeeper.admit(request, len(self._sessions))
        if not isinstance(admitted, Invited):
            self._refuse(transaction, request, *admitted)
            return None
        session = self._sessions.add(request.call_id, "callee")
        self._servers[transaction] = session.call
        self._sessions.heard(session.call, hop, makes_dialog=True)
        session.receive(transaction, request, admitted.description, replaces=admitted.replaces, now=now)
        return session

    def _on_message(self, transaction: TransactionId, request: Request) -> None:
        media_type = request.content_type
        if media_type is None and request.body:
            self._refuse(transaction, request, 415, content_headers(415))
            return
        self._respond(transaction, request, 200)
        essence = media_type.essence if media_type is not None else ""
        self._outbox.put(MessageReceived(None, request.from_, essence, request.body))

    def _on_cancel(
        self, transaction: TransactionId, request: Request, invite: TransactionId | None, now: float
    ) -> InviteSession | None:
        if invite is None:
            # RFC 3261 section 9.2: "If the UAS did not find a matching transaction for the CANCEL according to the
            # procedure above, it SHOULD respond to the CANCEL with a 481".
            self._refuse(transaction, request, 481)
            return None
        session = self.session_of(invite)
        # "[...] the To tag of the response to the CANCEL and the To tag in the response to the original request SHOULD
        # be the same."
        tag = session.local_tag if session is not None else self._context.entropy.tag()
        self._outbox.put(SendResponse(transaction, request.response(200, to_tag=tag)))
        if session is not None:
            session.receive_cancel(invite, request, now=now)
        return session

    # Small helpers

    def _refuse(self, transaction: TransactionId, request: Request, status: int, headers: HeaderRows = ()) -> None:
        self._counters.refused_requests += 1
        self._respond(transaction, request, status, headers)

    def _respond(self, transaction: TransactionId, request: Request, status: int, headers: HeaderRows = ()) -> None:
        tag = self._context.entropy.tag()
        self._outbox.put(SendResponse(transaction, request.response(status, to_tag=tag, headers=headers)))
