"""The requests of one call whose client transactions are alive."""

from dataclasses import dataclass, field
from enum import Enum

from sansio_sip.context import Context

from .authorization import Answered, Authenticator
from .call_events import HeaderRows
from .dialog import Dialog
from .headers import CSeq
from .message import Request, Response
from .transaction_user import SendAck, SendRequest

__all__ = ["Purpose", "Sent", "SentRequests"]


class Purpose(Enum):
    """What a request is for."""

    INVITE = "INVITE"
    REOFFER = "re-INVITE"
    BYE = "BYE"
    SURPLUS_BYE = "BYE to a branch that answered too late"
    INFO = "INFO"


@dataclass(slots=True)
class Sent:
    """A request and what has come of it.

    Attributes:
        dialog: within which it was sent; None for the INVITE that begins the call.
        answered: the challenges that this request, or the one it repeats, has answered.
        done: it has its final response, or will get none.
        acks: the ACKs to its 2xx by To tag, for copies of the 2xx.
    """

    purpose: Purpose
    request: Request
    dialog: Dialog | None
    answered: Answered
    done: bool = False
    acks: dict[str, SendAck] = field(default_factory=dict)


class SentRequests:
    """Sends the requests of a session, with credentials, and remembers them until their transactions end."""

    __slots__ = ("_authenticator", "_context", "_rows", "_serial")

    def __init__(self, context: Context, authenticator: Authenticator) -> None:
        self._context = context
        self._authenticator = authenticator
        self._rows: dict[int, Sent] = {}
        self._serial = 0

    def __bool__(self) -> bool:
        return bool(self._rows)

    def get(self, key: int) -> Sent | None:
        return self._rows.get(key)

    def forget(self, key: int) -> None:
        self._rows.pop(key, None)

    def any(self, purpose: Purpose) -> bool:
        """Whether there is one for `purpose`."""
        return any(sent.purpose is purpose for sent in self._rows.values())

    def waits(self, purpose: Purpose) -> bool:
        """Whether one for `purpose` has no final response yet."""
        return any(sent.purpose is purpose and not sent.done for sent in self._rows.values())

    def invite(self, request: Request) -> SendRequest:
        """The INVITE that begins the call."""
        return self._add(Sent(Purpose.INVITE, self._authenticator.preempt(request), None, Answered()))

    def in_dialog(
        self, purpose: Purpose, dialog: Dialog, method: str, headers: HeaderRows, body: bytes = b""
    ) -> SendRequest:
        """The next request of a dialog."""
        request = dialog.request(method, headers, body)
        if dialog.role == "callee":
            return self._add(Sent(purpose, request, dialog, Answered(in_call_of_peer=True)))
        return self._add(Sent(purpose, self._authenticator.preempt(request), dialog, Answered()))

    def again(self, sent: Sent, response: Response) -> SendRequest | None:
        """The request once more, with an answer to the challenge that it got; None where there is no answer."""
        request = self._authenticator.authorize(sent.request, response, sent.answered)
        if request is None:
            return None
        # RFC 3261 section 22.2: "it MUST increment the CSeq header field value as it would normally when sending an
        # updated request."
        if sent.dialog is not None:
            request = sent.dialog.again(request)
        else:
            request.headers.set("CSeq", str(CSeq(sent.request.cseq.number + 1, request.method)))
        return self._add(Sent(sent.purpose, request, sent.dialog, sent.answered))

    def acknowledge(self, sent: Sent, dialog: Dialog, tag: str) -> SendAck:
        """The ACK to a 2xx: the same again for each copy of it."""
        ack = sent.acks.get(tag)
        if ack is None:
            # RFC 3261 section 13.2.2.4: "The ACK MUST contain the same credentials as the INVITE."
            names = ("authorization", "proxy-authorization")
            credentials = tuple(row for row in sent.request.headers if row[0].lower() in names)
            request = dialog.ack(sent.request.cseq.number, credentials)
            ack = sent.acks[tag] = SendAck(request, self._context.entropy.branch())
        return ack

    def _add(self, sent: Sent) -> SendRequest:
        self._serial += 1
        self._rows[self._serial] = sent
        return SendRequest(self._serial, sent.request)
