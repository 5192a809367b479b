"""What the parts of one session share: who it is, what it has sent, and the one queue of all that it says."""

from typing import TypeAlias

from sansio_sip.machine import Outbox

from .call_events import CallEvent, CallId, HeaderRows
from .dialog import Dialog
from .identity import Identity
from .message import Request
from .sent_requests import Purpose, SentRequests
from .transaction_user import SendResponse, UserRequest
from .transactions.outputs import TransactionId

__all__ = ["SessionOutput", "Wire"]

SessionOutput: TypeAlias = UserRequest | CallEvent


class Wire:
    """Writes the messages of one session."""

    def __init__(self, call: CallId, local_tag: str, identity: Identity, sent: SentRequests) -> None:
        self.call = call
        self.local_tag = local_tag
        self.identity = identity
        self.sent = sent
        self.outbox: Outbox[SessionOutput] = Outbox()

    def put(self, output: SessionOutput) -> None:
        self.outbox.put(output)

    def request(
        self, purpose: Purpose, dialog: Dialog, method: str, headers: HeaderRows = (), body: bytes = b""
    ) -> int:
        """Sends the next request of a dialog; returns its CSeq number."""
        send = self.sent.in_dialog(purpose, dialog, method, headers, body)
        self.outbox.put(send)
        return send.request.cseq.number

    def respond(
        self,
        transaction: TransactionId,
        request: Request,
        status: int,
        headers: HeaderRows = (),
        body: bytes = b"",
    ) -> None:
        response = request.response(status, to_tag=self.local_tag, headers=headers, body=body)
        self.outbox.put(SendResponse(transaction, response))
