"""Later offers of one dialog on the wire: re-INVITE (RFC 3261 section 14) and UPDATE (RFC 3311), both ways.

Theory of operation
-------------------
`Reoffer` knows when an offer may be made; here its wishes become messages, and messages its inputs. Both kinds of
request also refresh the remote target and the session timer, with or without an offer. `pending` tells whose first
offer is open, if any: until that is answered no other may be made (RFC 3311 section 5.2, RFC 6337 section 3.1).
"""

from enum import Enum
from typing import Literal, assert_never

from sansio_sip.context import Context
from sansio_sip.errors import ParseError

from . import call_events as events
from .answer_retransmission import Answers
from .body import description_headers, description_of, readable_description
from .call_events import HeaderRows
from .dialog import Dialog
from .message import Message, Request, Response
from .reoffer import Reoffer, ReofferState, Respond, SendOffer
from .screening import content_headers
from .sent_requests import Purpose, Sent
from .session_timer import SessionTimer
from .transactions.outputs import TransactionId
from .wire import Wire

__all__ = ["FirstOffer", "Renegotiation"]


class FirstOffer(Enum):
    """Whose offer, of those in INVITE, its provisional responses, PRACK and 2xx, waits for an answer."""

    NONE = "none"
    OURS = "ours"
    THEIRS = "theirs"


class Renegotiation:
    """The machine of one dialog. It says what it has to say through the session's `Wire`.

    Attributes:
        dialog: whose requests it writes.
        pending: see `FirstOffer`.
    """

    def __init__(
        self,
        context: Context,
        wire: Wire,
        dialog: Dialog,
        role: Literal["caller", "callee"],
        answers: Answers,
        timer: SessionTimer,
    ) -> None:
        self.dialog = dialog
        self.pending = FirstOffer.NONE
        self._context = context
        self._wire = wire
        self._answers = answers
        self._timer = timer
        self._reoffer = Reoffer(context, wire.call, role)
        self._local = b""  # the descriptions last said, ours and the peer's
        self._remote = b""
        self._peer_updates = False
        self._refreshing = False  # the offer that is open only says again what was said

    @property
    def transaction(self) -> TransactionId | None:
        """Of the peer's re-INVITE or UPDATE that waits for our answer."""
        return self._reoffer.transaction

    def learn(self, message: Message) -> None:
        """Takes note of what the peer can do, and of her description."""
        try:
            if message.allow:
                self._peer_updates = "UPDATE" in message.allow
        except ParseError:
            pass
        self._remote = readable_description(message) or self._remote

    def described(self, body: bytes) -> None:
        """We have said this in a first offer or answer."""
        self._local = body or self._local

    # Ours

    def offer(self, body: bytes, *, now: float) -> None:
        """Sends a re-INVITE. Raises LocalProtocolError where another offer is open."""
        self._reoffer.offer(body, now=now)
        self._local = body
        self._refreshing = False
        self._drain(now)

    def refresh(self, *, now: float) -> None:
        """Sends an UPDATE, or a re-INVITE that says again what was said, to show that the session lives."""
        # RFC 4028 section 7.4: "It is RECOMMENDED that the UPDATE request not contain an offer", and "If a UAC knows
        # that its peer supports the UPDATE method, it is RECOMMENDED that UPDATE be used instead of a re-INVITE."
        if self._peer_updates:
            headers = (*self._wire.identity.capabilities(), *self._timer.request_headers())
            self._wire.request(Purpose.UPDATE, self.dialog, "UPDATE", headers)
        elif self._reoffer.state is ReofferState.IDLE and self.pending is FirstOffer.NONE and self._local:
            self._reoffer.offer(self._local, quiet=True, now=now)
            self._refreshing = True
            self._drain(now)
        else:
            self._timer.put_off(now=now)  # another exchange is under way, and refreshes as well

    def response(self, sent: Sent, response: Response, *, now: float) -> None:
        """A final response to a re-INVITE or UPDATE of ours."""
        status = response.status
        if status == 422 and self._timer.too_small(response):
            self._wire.put(self._wire.sent.repeat(sent, self._timer.request_headers()))
            return
        success = 200 <= status < 300
        if success:
            self.learn_target(response)
            self._timer.accepted(response, now=now)
        if sent.purpose is Purpose.UPDATE:
            if not success:
                # Whatever is the matter with UPDATE, a re-INVITE may do.
                self._peer_updates = False
                self._timer.put_off(now=now)
            return
        if success:
            tag = response.to.tag or ""
            self._wire.put(self._wire.sent.acknowledge(sent, self.dialog, tag))
        description = readable_description(response)
        before, self._remote = self._remote, description or self._remote
        self._reoffer.response(status, description, now=now)
        if self._refreshing and self._reoffer.state is ReofferState.IDLE:
            self._refreshing = False
            self._finish_refresh(success, description is not None and description != before, now)
        self._drain(now)

    def failed(self, status: int, *, now: float) -> None:
        """A request of ours gets no response; `status` is 408 or 503."""
        self._timer.put_off(now=now)
        self._reoffer.response(status, None, now=now)
        if self._refreshing and self._reoffer.state is ReofferState.IDLE:
            self._refreshing = False
        self._drain(now)

    # The peer's

    def request(self, transaction: TransactionId, request: Request, *, confirmed: bool, now: float) -> None:
        """A re-INVITE or UPDATE has come."""
        update = request.method == "UPDATE"
        if not confirmed and not update:
            # The offer of the first INVITE is open until its ACK is there, or its 2xx.
            self._wire.respond(transaction, request, 491)
            return
        too_small = self._timer.refusal(request)
        if too_small is not None:
            self._wire.respond(transaction, request, 422, too_small)
            return
        try:
            description = description_of(request)
        except ParseError as error:
            self._wire.respond(transaction, request, error.status, content_headers(error.status))
            return
        self.learn_target(request)
        if update and description is None:
            # RFC 3311 section 5.2: without an offer it changes nothing but the target, and the session timer.
            self._accept(transaction, request, b"", now)
        elif update and (self.pending is FirstOffer.OURS or (self.dialog.role == "caller" and not confirmed)):
            # "If an UPDATE is received that contains an offer, and the UAS has generated an offer (in an UPDATE, PRACK
            # or INVITE) to which it has not yet received an answer, the UAS MUST reject the UPDATE with a 491". One in
            # an early dialog of a call of ours waits as well: which of them counts is not known yet.
            self._wire.respond(transaction, request, 491)
        elif update and self.pending is FirstOffer.THEIRS:
            # "[...] has received an offer (in an UPDATE, PRACK, or INVITE) to which it has not yet generated an answer,
            # the UAS MUST reject the UPDATE with a 500 response, and MUST include a Retry-After header field with a
            # randomly chosen value between 0 and 10 seconds."
            self._wire.respond(transaction, request, 500, self.retry_after())
        else:
            self._remote = description or self._remote
            self._refreshing = False
            self._reoffer.request(transaction, request, description, now=now)
            self._drain(now)

    def answer(self, body: bytes, *, now: float) -> None:
        self._local = body or self._local
        self._reoffer.answer(body, now=now)
        self._drain(now)

    def reject(self, status: int, *, now: float) -> None:
        """Raises LocalProtocolError where `status` refuses nothing."""
        self._reoffer.reject(status, now=now)
        self._drain(now)

    def acknowledged(self, ack: Request, *, now: float) -> None:
        """The ACK to our 2xx to a re-INVITE."""
        description = readable_description(ack)
        self._remote = description or self._remote
        self._reoffer.acknowledged(description)
        self._drain(now)

    def abandon(self, *, now: float) -> None:
        """The session is over, or the peer has cancelled her re-INVITE."""
        self._reoffer.abandon()
        self._drain(now)

    # Time

    def handle_timeout(self, *, now: float) -> None:
        self._reoffer.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        return self._reoffer.next_timeout()

    # Small helpers

    def learn_target(self, message: Message) -> None:
        self.dialog.refresh_target(message)
        try:
            if message.allow:
                self._peer_updates = "UPDATE" in message.allow
        except ParseError:
            pass

    def retry_after(self) -> HeaderRows:
        return (("Retry-After", str(int(self._context.entropy.fraction("retry_after") * 11))),)

    def _finish_refresh(self, success: bool, changed: bool, now: float) -> None:
        """A re-INVITE that said nothing new has been answered: nobody asked for it, so nobody is told."""
        if not success:
            self._timer.put_off(now=now)
        elif changed:
            self._wire.put(events.DescriptionChanged(self._wire.call))

    def _accept(self, transaction: TransactionId, request: Request, body: bytes, now: float) -> None:
        headers = (
            *self._wire.identity.capabilities(),
            *self._timer.answer_headers(request, now=now),
            *description_headers(body),
        )
        if request.method != "INVITE":
            self._wire.respond(transaction, request, 200, headers, body)
            return
        response = request.response(200, to_tag=self._wire.local_tag, headers=headers, body=body)
        self._answers.send(request.cseq.number, transaction, response, now=now)

    def _drain(self, now: float) -> None:
        for output in self._reoffer.outputs():
            match output:
                case SendOffer():
                    headers = (
                        *self._wire.identity.capabilities(),
                        *self._timer.request_headers(),
                        *description_headers(output.body),
                    )
                    self._wire.request(Purpose.REOFFER, self.dialog, "INVITE", headers, output.body)
                case Respond(status=200):
                    self._accept(output.transaction, output.request, output.body or b"", now)
                case Respond():
                    self._wire.respond(output.transaction, output.request, output.status, output.headers)
                case events.ReofferReceived() | events.ReofferAnswered() | events.ReofferRejected():
                    self._wire.put(output)
                case _:
                    assert_never(output)
