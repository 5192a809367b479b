"""One call: from its INVITE to its end (RFC 3261 sections 13, 14 and 15).

Theory of operation
-------------------
A session is made by an INVITE, ours (`place`) or a peer's (`receive`). It says what to send (`transaction_user`), and
what becomes of the call (`call_events`). `CallEnded` is said exactly once, at the moment at which the call is over for
whoever uses it: when we hang up, no later. What is left to say on the wire goes on behind it, in the states CANCELING
and LEAVING, and `is_over` tells when nothing is left. Even then the session answers late copies: each 2xx to its
INVITE gets an ACK, and one that comes from another branch of a forked call gets a BYE as well.

What couples to what: the INVITE's transactions outlive the INVITE's meaning (each is forgotten at
`transaction_ended`); early dialogs, by To tag, give way to the one that answers first; a 2xx of ours is sent again
until its ACK comes (`answer_retransmission`); later offers obey `reoffer`.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from . import call_events as events
from .answer_retransmission import Answers, NotAcknowledged
from .authorization import Authenticator
from .body import description_headers, description_of, readable_description
from .call_events import NO_ANSWER, NO_FLOW, CallEnd, CallEvent, CallId, EndKind, HeaderRows
from .dialog import Dialog
from .headers import Reason
from .identity import Identity
from .message import Request, Response
from .reoffer import Reoffer, Respond, SendOffer
from .screening import content_headers, readable_reason
from .sent_requests import Purpose, Sent, SentRequests
from .session_state import ENDED_STATES, MAX_BRANCHES, PROGRESS_INTERVAL, TRANSITIONS, SessionState, SessionTimer
from .status import cause_of
from .transaction_user import CancelRequest, SendResponse, UserRequest
from .transactions.outputs import FailureReason, TransactionId
from .transactions.timing import RFC_TIMING, Timing
from .uri import SipUri

__all__ = ["InviteSession", "SessionOutput"]

SessionOutput: TypeAlias = UserRequest | CallEvent


class InviteSession:
    """The machine of one call."""

    def __init__(
        self,
        context: Context,
        call: CallId,
        identity: Identity,
        authenticator: Authenticator,
        *,
        call_id: str,
        role: Literal["caller", "callee"],
        timing: Timing = RFC_TIMING,
    ) -> None:
        self.call = call
        self.call_id = call_id
        self.local_tag = context.entropy.tag()
        self.state = SessionState.CALLING if role == "caller" else SessionState.RINGING
        self.dialog: Dialog | None = None  # the one that counts
        self._early: dict[str, Dialog] = {}  # a caller's, by remote tag
        self._context = context
        self._identity = identity
        self._timing = timing
        self._outbox: Outbox[SessionOutput] = Outbox()
        self._timers: TimerSet[SessionTimer] = TimerSet()
        self._reoffer = Reoffer(context, call, role)
        self._sent = SentRequests(context, authenticator)
        self._invite_key = 0
        self._invite: Request | None = None
        self._invite_transaction: TransactionId | None = None
        self._answers = Answers(timing)
        self._bye_is_due = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to say."""
        return self.state is SessionState.TERMINATED and not self._sent.waits(Purpose.SURPLUS_BYE)

    @property
    def may_be_forgotten(self) -> bool:
        """Whether it is over, and no late copy of a response can come any more."""
        return self.is_over and not self._sent

    # Commands: the caller's

    def place(self, target: SipUri, body: bytes, headers: HeaderRows, *, now: float) -> None:
        """Sends the INVITE (RFC 3261 section 13.2.1)."""
        request = self._identity.invite(target, self.call_id, self.local_tag, body, headers)
        self._outbox.put(output := self._sent.invite(request))
        self._invite_key = output.key

    # Commands: the callee's

    def receive(self, transaction: TransactionId, request: Request, description: bytes | None, *, now: float) -> None:
        """Takes a peer's INVITE (RFC 3261 section 13.3.1). Gives IncomingCall."""
        self._invite, self._invite_transaction = request, transaction
        self.dialog = Dialog.as_callee(request, self.local_tag)
        if request.expires is not None:
            # "If the invitation expires before the UAS has generated a final response, a 487 (Request Terminated)
            # response SHOULD be generated."
            self._timers.arm(SessionTimer.EXPIRES, now + request.expires)
        self._outbox.put(events.IncomingCall(self.call, request.from_, tuple(request.headers), description))

    def ring(self, *, now: float) -> None:
        """Tells the caller that we ring (180).

        Raises:
            LocalProtocolError: the call does not wait for our answer.
        """
        self._demand("ring", SessionState.RINGING)
        self._respond_to_invite(180, (("Contact", str(self._identity.contact)),))
        self._timers.arm(SessionTimer.PROGRESS, now + PROGRESS_INTERVAL)

    def answer(self, body: bytes, *, now: float) -> None:
        """Accepts the call. Gives CallConfirmed when the caller's ACK has come.

        Raises:
            LocalProtocolError: the call does not wait for our answer.
        """
        self._demand("answer", SessionState.RINGING)
        assert self._invite is not None
        assert self._invite_transaction is not None
        self._timers.clear()
        self._enter(SessionState.ANSWERED)
        self._accept(self._invite_transaction, self._invite, body, now)

    def reject(self, status: int, *, now: float) -> None:
        """Refuses the call. Gives CallEnded.

        Raises:
            LocalProtocolError: the call does not wait for our answer, or `status` refuses nothing.
        """
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"cannot reject call {self.call} with {status}: give a status from 300 to 699")
        self._demand("reject", SessionState.RINGING)
        self._respond_to_invite(status)
        self._terminate(now, CallEnd(EndKind.REJECTED, "local", status, "Rejected"))

    # Commands: anybody's

    def hangup(self, reason: Reason | None = None, *, now: float) -> None:
        """Ends the call by CANCEL, 480 or BYE. Gives CallEnded at once, and does nothing where that was said."""
        headers: HeaderRows = (("Reason", str(reason)),) if reason is not None else ()
        match self.state:
            case SessionState.CALLING | SessionState.PROCEEDING:
                self._give_up_invite(CallEnd(EndKind.CANCELED, "local", 487, "Canceled"), headers)
            case SessionState.RINGING:
                self.reject(480, now=now)
            case SessionState.ANSWERED | SessionState.CONFIRMED:
                self._leave(CallEnd(EndKind.HUNG_UP, "local", 200, "Terminated"), now, headers)
            case SessionState.CANCELING | SessionState.LEAVING | SessionState.TERMINATED:
                pass
            case _:
                assert_never(self.state)

    def send_info(self, content_type: str, body: bytes, *, now: float) -> None:
        """Sends an INFO (RFC 6086).

        Raises:
            LocalProtocolError: the call is not confirmed.
        """
        self._demand("send INFO", SessionState.CONFIRMED)
        assert self.dialog is not None
        headers = (("Contact", str(self._identity.contact)), ("Content-Type", content_type))
        self._outbox.put(self._sent.in_dialog(Purpose.INFO, self.dialog, "INFO", headers, body))

    def reoffer(self, body: bytes, *, now: float) -> None:
        """Sends a re-INVITE. Gives ReofferAnswered or ReofferRejected.

        Raises:
            LocalProtocolError: the call is not confirmed, or another offer is open.
        """
        self._demand("offer again", SessionState.CONFIRMED)
        self._reoffer.offer(body, now=now)
        self._drain_reoffer(now)

    def answer_reoffer(self, body: bytes, *, now: float) -> None:
        """Answers the peer's re-INVITE. Nothing is sent where it was withdrawn, or the call has ended, meanwhile."""
        self._reoffer.answer(body, now=now)
        self._drain_reoffer(now)

    def reject_reoffer(self, status: int, *, now: float) -> None:
        """Refuses the peer's re-INVITE; the session stays as it was.

        Raises:
            LocalProtocolError: `status` refuses nothing.
        """
        self._reoffer.reject(status, now=now)
        self._drain_reoffer(now)

    # Inputs: responses to our requests

    def receive_response(self, key: int, response: Response, *, now: float) -> None:
        """A response to the request sent as `key`."""
        sent = self._sent.get(key)
        if sent is None or (sent.done and not 200 <= response.status < 300):
            return
        if response.status < 200:
            if sent.purpose is Purpose.INVITE:
                self._on_progress(sent, response)
            return
        sent.done = True
        if response.status in (401, 407) and self._answer_challenge(sent, response):
            return
        match sent.purpose:
            case Purpose.INVITE:
                self._on_invite_response(sent, response, now)
            case Purpose.REOFFER:
                self._on_reoffer_response(sent, response, now)
            case Purpose.BYE:
                self._terminate(now)
            case Purpose.INFO:
                self._check_dialog(response.status, "remote", now)
            case Purpose.SURPLUS_BYE:
                pass
            case _:
                assert_never(sent.purpose)

    def request_failed(self, key: int, reason: FailureReason, *, now: float) -> None:
        """The request sent as `key` gets no final response."""
        sent = self._sent.get(key)
        if sent is None or sent.done:
            return
        sent.done = True
        timed_out = reason is FailureReason.TIMEOUT
        match sent.purpose:
            case Purpose.INVITE:
                if self.state in (SessionState.CALLING, SessionState.PROCEEDING, SessionState.CANCELING):
                    self._terminate(now, NO_ANSWER if timed_out else NO_FLOW)
            case Purpose.REOFFER:
                self._reoffer.response(408 if timed_out else 503, None, now=now)
                self._drain_reoffer(now)
                if timed_out:
                    self._check_dialog(408, "system", now)
            case Purpose.BYE:
                if timed_out or self.dialog is None or self._identity.hop is not None:
                    self._terminate(now)
                else:
                    # The flow broke under it. Another may come, and the peer should not be left talking.
                    self._send_bye(self.dialog, (), now)
            case Purpose.INFO if timed_out:
                self._check_dialog(408, "system", now)
            case Purpose.INFO | Purpose.SURPLUS_BYE:
                pass
            case _:
                assert_never(sent.purpose)

    def transaction_ended(self, key: int) -> None:
        """The client transaction of `key` is gone; no copy of its response comes any more."""
        self._sent.forget(key)

    def response_failed(self, transaction: TransactionId, reason: FailureReason, *, now: float) -> None:
        """A response of ours cannot be given: its way back is gone."""
        if transaction == self._invite_transaction and self.state is SessionState.RINGING:
            self._terminate(now, NO_FLOW)

    def flow_ready(self, *, now: float) -> None:
        """`identity` has a flow again."""
        if self._bye_is_due and self.dialog is not None:
            self._send_bye(self.dialog, (), now)

    # Inputs: requests of the peer

    def receive_request(self, transaction: TransactionId, request: Request, *, now: float) -> None:
        """A request within a dialog of this call; not ACK, not CANCEL."""
        dialog = self._dialog_of(request)
        if dialog is None or self.state is SessionState.TERMINATED:
            self._respond(transaction, request, 481)
        elif dialog.admit(request):
            self._respond(transaction, request, 500)
        elif request.method == "BYE":
            self._on_bye(dialog, transaction, request, now)
        elif self.state is SessionState.LEAVING:
            self._respond(transaction, request, 481)
        elif request.method == "INVITE":
            self._on_reinvite(dialog, transaction, request, now)
        elif request.method == "INFO":
            self._on_info(transaction, request)
        elif request.method == "OPTIONS":
            self._respond(transaction, request, 200, self._identity.options())
        else:
            # NOTIFY of a subscription that we do not have (RFC 6665 section 4.1.3).
            self._respond(transaction, request, 481)

    def receive_ack(self, ack: Request, *, now: float) -> None:
        """The ACK to a 2xx of ours."""
        if not self._answers.acknowledged(ack.cseq.number):
            return
        description = readable_description(ack)
        if self._invite is not None and ack.cseq.number == self._invite.cseq.number:
            if self.state is SessionState.ANSWERED:
                self._enter(SessionState.CONFIRMED)
                self._outbox.put(events.CallConfirmed(self.call, description))
            elif self.state is SessionState.LEAVING and self.dialog is not None:
                self._send_bye(self.dialog, (), now)
        else:
            self._reoffer.acknowledged(description)
            self._drain_reoffer(now)

    def receive_cancel(self, invite: TransactionId, cancel: Request, *, now: float) -> None:
        """A CANCEL for the INVITE of a server transaction of this call; it has been answered already."""
        # RFC 3261 section 9.2: "If the UAS has already sent a final response for that request, the CANCEL request has
        # no effect on the processing of the original request".
        if invite == self._invite_transaction and self.state is SessionState.RINGING:
            self._respond_to_invite(487)
            self._terminate(now, CallEnd(EndKind.CANCELED, "remote", 487, "Canceled", readable_reason(cancel)))
        elif invite == self._reoffer.transaction:
            self._reoffer.abandon()
            self._drain_reoffer(now)

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case SessionTimer.EXPIRES:
                    self._respond_to_invite(487)
                    self._terminate(now, CallEnd(EndKind.FAILED, "system", 487, "Expires"))
                case SessionTimer.PROGRESS:
                    self.ring(now=now)
                case SessionTimer.GIVE_UP:
                    self._terminate(now)
                case _:
                    assert_never(timer)
        self._reoffer.handle_timeout(now=now)
        self._drain_reoffer(now)
        self._answers.handle_timeout(now=now)
        self._drain_answers(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._timers.next(), self._reoffer.next_timeout(), self._answers.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> SessionOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SessionOutput]:
        return self._outbox.drain()

    # The caller's INVITE

    def _on_invite_response(self, sent: Sent, response: Response, now: float) -> None:
        if response.status < 300:
            self._on_accepted(sent, response, now)
        elif self.state is SessionState.CANCELING:
            self._terminate(now)
        elif self.state in (SessionState.CALLING, SessionState.PROCEEDING):
            cause = cause_of(response.status)
            how = EndKind.REJECTED if cause == "Rejected" else EndKind.FAILED
            self._terminate(now, CallEnd(how, "remote", response.status, cause, readable_reason(response)))

    def _on_progress(self, sent: Sent, response: Response) -> None:
        if self.state is SessionState.CALLING:
            self._enter(SessionState.PROCEEDING)
        # A 1xx without a tag makes no dialog (RFC 3261 section 12.1), and the reference takes no notice of it.
        tag = response.to.tag
        if self.state is not SessionState.PROCEEDING or response.status == 100 or not tag:
            return
        if tag not in self._early:
            if len(self._early) >= MAX_BRANCHES:
                return
            self._early[tag] = Dialog.as_caller(sent.request, response)
        headers = tuple(response.headers)
        self._outbox.put(events.CallProgress(self.call, response.status, tag, readable_description(response), headers))

    def _on_accepted(self, sent: Sent, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in sent.acks:
            # RFC 3261 section 13.2.2.4: "the ACK [...] MUST be passed to the client transport every time a
            # retransmission of the 2xx final response that triggered the ACK arrives."
            self._outbox.put(sent.acks[tag])
            return
        if len(sent.acks) >= MAX_BRANCHES:
            return
        dialog = self._early.pop(tag, None) or Dialog.as_caller(sent.request, response)
        dialog.confirm(response)
        self._outbox.put(self._sent.acknowledge(sent, dialog, tag))
        if self.state in (SessionState.CALLING, SessionState.PROCEEDING):
            # The first to answer is the callee. "[...] the UAC core considers the other early dialogs terminated".
            self.dialog = dialog
            self._early.clear()
            self._enter(SessionState.CONFIRMED)
            headers = tuple(response.headers)
            self._outbox.put(events.CallAccepted(self.call, tag, readable_description(response), headers))
        elif self.state is SessionState.CANCELING:
            # The answer has crossed our CANCEL (RFC 3261 section 9.1): there is a call, and nobody wants it.
            self.dialog = dialog
            self._enter(SessionState.LEAVING)
            self._send_bye(dialog, (), now)
        else:
            # "If, after acknowledging any 2xx response to an INVITE, the UAC does not want to continue with that
            # dialog, then the UAC MUST terminate the dialog by sending a BYE request".
            self._outbox.put(self._sent.in_dialog(Purpose.SURPLUS_BYE, dialog, "BYE", ()))

    # Later offers

    def _on_reoffer_response(self, sent: Sent, response: Response, now: float) -> None:
        status, tag = response.status, response.to.tag or ""
        if 200 <= status < 300:
            if tag in sent.acks:
                self._outbox.put(sent.acks[tag])
                return
            assert sent.dialog is not None
            if tag != (sent.dialog.remote.tag or ""):
                return
            sent.dialog.refresh_target(response)
            self._outbox.put(self._sent.acknowledge(sent, sent.dialog, tag))
        self._reoffer.response(status, readable_description(response), now=now)
        self._drain_reoffer(now)
        self._check_dialog(status, "remote", now)

    def _on_reinvite(self, dialog: Dialog, transaction: TransactionId, request: Request, now: float) -> None:
        if self.state is not SessionState.CONFIRMED:
            # The offer of the first INVITE is open until its ACK is there, or its 2xx.
            self._respond(transaction, request, 491)
            return
        try:
            description = description_of(request)
        except ParseError as error:
            self._respond(transaction, request, error.status, content_headers(error.status))
            return
        dialog.refresh_target(request)
        self._reoffer.request(transaction, request, description, now=now)
        self._drain_reoffer(now)

    def _drain_reoffer(self, now: float) -> None:
        for output in self._reoffer.outputs():
            match output:
                case SendOffer():
                    assert self.dialog is not None
                    headers = (*self._identity.capabilities(), *description_headers(output.body))
                    self._outbox.put(self._sent.in_dialog(Purpose.REOFFER, self.dialog, "INVITE", headers, output.body))
                case Respond(status=200):
                    self._accept(output.transaction, output.request, output.body or b"", now)
                case Respond():
                    self._respond(output.transaction, output.request, output.status, output.headers)
                case events.ReofferReceived() | events.ReofferAnswered() | events.ReofferRejected():
                    self._outbox.put(output)
                case _:
                    assert_never(output)

    # Answers of ours, until they are acknowledged

    def _accept(self, transaction: TransactionId, request: Request, body: bytes, now: float) -> None:
        headers = (*self._identity.capabilities(), *description_headers(body))
        response = request.response(200, to_tag=self.local_tag, headers=headers, body=body)
        self._answers.send(request.cseq.number, transaction, response, now=now)
        self._drain_answers(now)

    def _drain_answers(self, now: float) -> None:
        for output in self._answers.outputs():
            match output:
                case SendResponse():
                    self._outbox.put(output)
                case NotAcknowledged():
                    self._on_no_ack(now)
                case _:
                    assert_never(output)

    def _on_no_ack(self, now: float) -> None:
        if self.state in (SessionState.ANSWERED, SessionState.CONFIRMED):
            self._leave(CallEnd(EndKind.FAILED, "remote", 408, "No ACK"), now, acknowledged=True)
        elif self.state is SessionState.LEAVING and self.dialog is not None:
            self._send_bye(self.dialog, (), now)

    # Ends

    def _on_bye(self, dialog: Dialog, transaction: TransactionId, request: Request, now: float) -> None:
        self._respond(transaction, request, 200)
        reason = readable_reason(request)
        match self.state:
            case SessionState.PROCEEDING:
                # A callee may not end an early dialog: she has answered, each 2xx was lost, and she has given up.
                self._early.pop(dialog.id.remote_tag, None)
                if not self._early:
                    self._give_up_invite(CallEnd(EndKind.HUNG_UP, "remote", 200, "Terminated", reason))
            case SessionState.RINGING:
                # RFC 3261 section 15.1.2: "The UAS MUST still respond to any pending requests received for that
                # dialog. It is RECOMMENDED that a 487 (Request Terminated) response be generated".
                self._respond_to_invite(487)
                self._terminate(now, CallEnd(EndKind.CANCELED, "remote", 487, "Canceled", reason))
            case SessionState.ANSWERED | SessionState.CONFIRMED:
                self._terminate(now, CallEnd(EndKind.HUNG_UP, "remote", 200, "Terminated", reason))
            case SessionState.LEAVING if not self._sent.any(Purpose.BYE):
                self._terminate(now)  # ours still waited for an ACK: there is nobody left to send it to
            case _:
                pass

    def _on_info(self, transaction: TransactionId, request: Request) -> None:
        media_type = request.content_type
        if media_type is None and request.body:
            self._respond(transaction, request, 415, content_headers(415))
            return
        self._respond(transaction, request, 200)
        essence = media_type.essence if media_type is not None else ""
        self._outbox.put(events.InfoReceived(self.call, essence, request.body))

    def _check_dialog(self, status: int, by: Literal["remote", "system"], now: float) -> None:
        # RFC 3261 section 12.2.1.2: "If the response for a request within a dialog is a 481 [...] or a 408 [...], the
        # UAC SHOULD terminate the dialog. A UAC SHOULD also terminate a dialog if no response at all is received".
        if status in (408, 481) and self.state is SessionState.CONFIRMED:
            cause = "Request Timeout" if status == 408 else "Dialog Error"
            self._leave(CallEnd(EndKind.FAILED, by, status, cause), now)

    def _leave(self, end: CallEnd, now: float, headers: HeaderRows = (), *, acknowledged: bool = False) -> None:
        """Ends an answered call: by BYE, at once or as soon as that is allowed."""
        # RFC 3261 section 15: "the callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK
        # for its 2xx response or until the server transaction times out."
        waits = self.state is SessionState.ANSWERED and not acknowledged
        self._enter(SessionState.LEAVING)
        self._reoffer.abandon()
        self._drain_reoffer(now)
        self._outbox.put(events.CallEnded(self.call, end))
        if not waits:
            assert self.dialog is not None
            self._send_bye(self.dialog, headers, now)

    def _give_up_invite(self, end: CallEnd, headers: HeaderRows = ()) -> None:
        self._early.clear()
        self._enter(SessionState.CANCELING)
        self._outbox.put(CancelRequest(self._invite_key, headers))
        self._outbox.put(events.CallEnded(self.call, end))

    def _send_bye(self, dialog: Dialog, headers: HeaderRows, now: float) -> None:
        self._answers.clear()
        if self._identity.hop is None:
            if not self._bye_is_due:
                self._bye_is_due = True
                self._timers.arm(SessionTimer.GIVE_UP, now + self._timing.timeout)
            return
        self._bye_is_due = False
        self._timers.cancel(SessionTimer.GIVE_UP)
        self._outbox.put(self._sent.in_dialog(Purpose.BYE, dialog, "BYE", headers))

    def _terminate(self, now: float, end: CallEnd | None = None) -> None:
        """The last state. `end` is said unless one has been said."""
        if self.state is SessionState.TERMINATED:
            return
        said = self.state in ENDED_STATES
        self._enter(SessionState.TERMINATED)
        self._timers.clear()
        self._answers.clear()
        self._early.clear()
        self._bye_is_due = False
        self._reoffer.abandon()
        self._drain_reoffer(now)
        if self.dialog is not None:
            self.dialog.terminate()
        if end is not None and not said:
            self._outbox.put(events.CallEnded(self.call, end))

    # Small helpers

    def _answer_challenge(self, sent: Sent, response: Response) -> bool:
        """Sends a request again. False where it has no answer to its challenge, or is not wanted any more."""
        first = sent.purpose is Purpose.INVITE
        if first and self.state not in (SessionState.CALLING, SessionState.PROCEEDING):
            return False
        again = self._sent.again(sent, response)
        if again is None:
            return False
        self._outbox.put(again)
        if first:
            self._invite_key = again.key
            self._early.clear()  # they went with the refused INVITE
            if self.state is not SessionState.CALLING:
                self._enter(SessionState.CALLING)
        return True

    def _dialog_of(self, request: Request) -> Dialog | None:
        tag = request.from_.tag or ""
        if self.dialog is not None and (self.dialog.remote.tag or "") == tag:
            return self.dialog
        return self._early.get(tag)

    def _respond(self, transaction: TransactionId, request: Request, status: int, headers: HeaderRows = ()) -> None:
        response = request.response(status, to_tag=self.local_tag, headers=headers)
        self._outbox.put(SendResponse(transaction, response))

    def _respond_to_invite(self, status: int, headers: HeaderRows = ()) -> None:
        assert self._invite is not None
        assert self._invite_transaction is not None
        self._respond(self._invite_transaction, self._invite, status, headers)

    def _demand(self, what: str, state: SessionState) -> None:
        if self.state is not state:
            raise LocalProtocolError(
                f"cannot {what}: call {self.call} is {self.state.value}; that needs a call that is {state.value}"
            )

    def _enter(self, state: SessionState) -> None:
        assert state in TRANSITIONS[self.state], (self.state, state)
        self.state = state
