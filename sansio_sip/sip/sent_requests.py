"""The requests of one call whose client transactions are alive."""

from dataclasses import dataclass, field
from enum import Enum

from sansio_sip.context import Context

from .authorization import Answered, Authenticator
from .body import description_headers
from .call_events import HeaderRows
from .dialog import Dialog
from .headers import CSeq
from .message import Request, Response
from .transaction_user import SendAck, SendRequest
from .uri import SipUri

__all__ = ["Purpose", "Sent", "SentRequests"]


class Purpose(Enum):
    """What a request is for."""

    INVITE = "INVITE"
    REOFFER = "re-INVITE"
    BYE = "BYE"
    SURPLUS_BYE = "BYE to a branch that answered too late"
    INFO = "INFO"
    MESSAGE = "MESSAGE"
    NOTIFY = "NOTIFY"
    PRACK = "PRACK"
    REFER = "REFER"
    UPDATE = "UPDATE"


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

    def sending(self, key: int) -> SendRequest:
        """What to put on the wire for a request that was made here."""
        return SendRequest(key, self._rows[key].request)

    def forget(self, key: int) -> None:
        self._rows.pop(key, None)

    def any(self, purpose: Purpose) -> bool:
        """Whether there is one for `purpose`."""
        return any(sent.purpose is purpose for sent in self._rows.values())

    def waits(self, purpose: Purpose) -> bool:
        """Whether one for `purpose` has no final response yet."""
        return any(sent.purpose is purpose and not sent.done for sent in self._rows.values())

    def open(self, purpose: Purpose) -> tuple[int, ...]:
        """The keys of those for `purpose` that have no final response yet."""
        return tuple(key for key, sent in self._rows.items() if sent.purpose is purpose and not sent.done)

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
        return self._add_again(sent, request)

    def repeat(self, sent: Sent, headers: HeaderRows) -> SendRequest:
        """The request once more, with these rows in place of those of the same names."""
        request = sent.request.copy()
        for name, value in headers:
            request.headers.set(name, value)
        return self._add_again(sent, request)

    def redirect(self, sent: Sent, uri: SipUri) -> SendRequest:
        """The INVITE once more, to somebody else (RFC 3261 section 8.1.3.4): "It is RECOMMENDED that the UAC reuse the
        same To, From, and Call-ID used in the original redirected request". Credentials were for the first one."""
        request = sent.request.copy()
        request.uri = uri
        request.headers.remove("Authorization")
        return self._add_again(sent, request)

    def acknowledge(self, sent: Sent, dialog: Dialog, tag: str, body: bytes = b"") -> SendAck:
        """The ACK to a 2xx, with our answer where the 2xx made the offer: the same again for each copy of it."""
        ack = sent.acks.get(tag)
        if ack is None:
            # RFC 3261 section 13.2.2.4: "The ACK MUST contain the same credentials as the INVITE."
            names = ("authorization", "proxy-authorization")
            credentials = tuple(row for row in sent.request.headers if row[0].lower() in names)
            headers = (*credentials, *description_headers(body))
            request = dialog.ack(sent.request.cseq.number, headers, body)
            ack = sent.acks[tag] = SendAck(request, self._context.entropy.branch())
        return ack

    def _add_again(self, sent: Sent, request: Request) -> SendRequest:
        if sent.dialog is not None:
            request = sent.dialog.again(request)
        else:
            request.headers.set("CSeq", str(CSeq(sent.request.cseq.number + 1, request.method)))
        return self._add(Sent(sent.purpose, request, sent.dialog, sent.answered))

    def _add(self, sent: Sent) -> SendRequest:
        self._serial += 1
        self._rows[self._serial] = sent
        return SendRequest(self._serial, sent.request)
