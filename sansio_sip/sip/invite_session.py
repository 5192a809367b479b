"""One call: from its INVITE to its end (RFC 3261 sections 13, 14 and 15).

Theory of operation
-------------------
A session is made by an INVITE, ours (`place`) or a peer's (`receive`). It says what to send (`transaction_user`), and
what becomes of the call (`call_events`). `CallEnded` is said exactly once, at the moment at which the call is over for
whoever uses it: when we hang up, no later. What is left to say on the wire goes on behind it, in the states CANCELING
and LEAVING, and `is_over` tells when nothing is left. Even then the session answers late copies: each 2xx to its
INVITE gets an ACK, and one that comes from another branch of a forked call gets a BYE as well.

What couples to what: the INVITE's transactions outlive the INVITE's meaning (each is forgotten at
`transaction_ended`); early dialogs (`branch`), by To tag, give way to the one that answers first; provisional responses
of ours may have to arrive before a 2xx may go (`invitation`), and that is sent again until its ACK comes
(`answer_retransmission`). Later offers, REFER, the session timer and the BYE are parts of their own (`renegotiation`,
`transfer`, `session_timer`, `farewell`), which say what they have to say through the same `wire`; what they have asked
the peer comes back to them by `request_outcomes`.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.errors import LocalProtocolError

from . import call_events as events
from .answer_retransmission import Answers, NotAcknowledged
from .authorization import Authenticator
from .body import readable_description
from .branch import Branch
from .call_events import NO_ANSWER, NO_FLOW, CallEnd, CallId, EndKind, HeaderRows
from .dialog import Dialog
from .farewell import Farewell
from .headers import NameAddress, Reason
from .identity import Identity
from .in_dialog import answer_at_once
from .invitation import Invitation
from .message import Request, Response
from .outgoing_invite import OutgoingInvite
from .renegotiation import FirstOffer, Renegotiation
from .request_outcomes import RequestOutcomes
from .screening import readable_reason
from .sent_requests import Purpose, Sent, SentRequests
from .session_state import ENDED_STATES, TRANSITIONS, SessionState
from .session_timer import RefreshDue, SessionExpired, SessionTimer
from .status import cause_of
from .transaction_user import CancelRequest, SendResponse
from .transactions.outputs import FailureReason, TransactionId
from .transactions.timing import RFC_TIMING, Timing
from .transfer import Referrals
from .uri import SipUri
from .wire import SessionOutput, Wire

__all__ = ["InviteSession", "SessionOutput"]

_Part: TypeAlias = Answers | SessionTimer | Referrals | Farewell | Invitation | Renegotiation


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
        self._context = context
        self._identity = identity
        self._timing = timing
        self._sent = SentRequests(context, authenticator)
        self._wire = Wire(call, self.local_tag, identity, self._sent)
        self._answers = Answers(timing)
        self._timer = SessionTimer(identity.config.session_expires, identity.config.min_se)
        self._referrals = Referrals(self._wire, identity.config.policy)
        self._outgoing = OutgoingInvite(context, self._wire, self._answers, self._timer)
        self._branch: Branch | None = None  # of the dialog that counts
        self._invitation: Invitation | None = None  # of the peer
        self._farewell = Farewell(self._wire, timing)
        self._outcomes = RequestOutcomes(self._wire, self._referrals)

    @property
    def dialog(self) -> Dialog | None:
        """The one that counts."""
        return self._branch.dialog if self._branch is not None else None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to say."""
        return self.state is SessionState.TERMINATED and not self._sent.waits(Purpose.SURPLUS_BYE)

    @property
    def may_be_forgotten(self) -> bool:
        """Whether it is over, no late copy of a response can come any more, and no REFER is under way."""
        return self.is_over and not self._sent and not self._referrals

    # Commands: the caller's

    def place(self, target: SipUri, body: bytes, headers: HeaderRows, *, now: float) -> None:
        """Sends the INVITE (RFC 3261 section 13.2.1)."""
        self._outgoing.place(target, self.call_id, body, headers)

    def answer_offer(self, branch: str, body: bytes, *, now: float) -> None:
        """Answers the offer in a response to our INVITE, which had none. The answer goes in PRACK or ACK.

        Raises:
            LocalProtocolError: no offer waits on that branch.
        """
        if not self._outgoing.answer(branch, body):
            raise LocalProtocolError(f"cannot answer: no offer waits on branch {branch!r} of call {self.call}")

    # Commands: the callee's

    def receive(
        self,
        transaction: TransactionId,
        request: Request,
        description: bytes | None,
        *,
        replaces: CallId | None = None,
        now: float,
    ) -> None:
        """Takes a peer's INVITE (RFC 3261 section 13.3.1). Gives IncomingCall."""
        self._branch = branch = Branch.of_invite(self._context, self._wire, request, self._answers, self._timer)
        offers = branch.renegotiation
        offers.pending = FirstOffer.THEIRS if description is not None else FirstOffer.NONE
        self._invitation = Invitation(self._context, self._wire, transaction, request, offers, self._timing, now=now)
        event = events.IncomingCall(self.call, request.from_, tuple(request.headers), description, replaces)
        self._wire.put(event)

    def ring(self, status: int = 180, body: bytes = b"", *, now: float) -> None:
        """Tells the caller how it goes: 180, or 183 with our answer for early media.

        Raises:
            LocalProtocolError: the call does not wait for our answer, or `status` is none from 101 to 199.
        """
        if not 101 <= status <= 199:
            raise LocalProtocolError(f"cannot ring with {status}: give a status from 101 to 199")
        self._demand("ring", SessionState.RINGING)
        assert self._invitation is not None
        self._invitation.ring(status, body, now=now)
        self.settle(now=now)

    def answer(self, body: bytes, *, now: float) -> None:
        """Accepts the call. Gives CallConfirmed when the caller's ACK has come.

        Raises:
            LocalProtocolError: the call does not wait for our answer.
        """
        self._demand("answer", SessionState.RINGING)
        assert self._invitation is not None
        if self._invitation.answer_waits:
            raise LocalProtocolError(f"cannot answer: call {self.call} was answered; a PRACK is to come first")
        self._accept(body, now)

    def reject(self, status: int, *, headers: HeaderRows = (), now: float) -> None:
        """Refuses the call, or sends it elsewhere by 3xx and Contact. Gives CallEnded.

        Raises:
            LocalProtocolError: the call does not wait for our answer, or `status` refuses nothing.
        """
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"cannot reject call {self.call} with {status}: give a status from 300 to 699")
        self._demand("reject", SessionState.RINGING)
        self._respond_to_invite(status, headers)
        self._terminate(now, CallEnd(EndKind.REJECTED, "local", status, "Redirected" if status < 400 else "Rejected"))

    # Commands: anybody's

    def hangup(self, reason: Reason | None = None, *, now: float) -> None:
        """Ends the call by CANCEL, 480 or BYE. Gives CallEnded at once, and does nothing where that was said."""
        headers = (("Reason", str(reason)),) if reason is not None else ()
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

    def send(self, purpose: Purpose, headers: HeaderRows, body: bytes, *, now: float) -> None:
        """Sends an INFO (RFC 6086) or MESSAGE (RFC 3428).

        Raises:
            LocalProtocolError: the call is not confirmed.
        """
        self._demand(f"send {purpose.value}", SessionState.CONFIRMED)
        assert self.dialog is not None
        contact: HeaderRows = (("Contact", str(self._identity.contact)),) if purpose is Purpose.INFO else ()
        self._wire.request(purpose, self.dialog, purpose.value, (*contact, *headers), body)

    def refer(self, target: NameAddress, *, now: float) -> int:
        """Asks the peer to call somebody else. Gives ReferProgress with the number that is returned.

        Raises:
            LocalProtocolError: the call is not confirmed, or too many REFERs are under way.
        """
        self._demand("transfer", SessionState.CONFIRMED)
        assert self.dialog is not None
        return self._referrals.refer(self.dialog, target, now=now)

    @property
    def referrals(self) -> Referrals:
        """The peer's REFERs, to be accepted or rejected."""
        return self._referrals

    def confirmed(self, what: str) -> Renegotiation:
        """The later offers of a call that may make some. Raises LocalProtocolError unless it is confirmed."""
        self._demand(what, SessionState.CONFIRMED)
        return self.offers

    @property
    def offers(self) -> Renegotiation:
        """The later offers of this call. Raises LocalProtocolError where there can be none yet."""
        if self._branch is None:
            raise LocalProtocolError(f"call {self.call} is {self.state.value}: nobody has made a later offer in it")
        return self._branch.renegotiation

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
        if sent.done and (ack := sent.acks.get(response.to.tag or "")) is not None:
            # RFC 3261 section 13.2.2.4: "the ACK [...] MUST be passed to the client transport every time a
            # retransmission of the 2xx final response that triggered the ACK arrives."
            self._wire.put(ack)
            return
        sent.done = True
        if response.status in (401, 407) and self._answer_challenge(sent, response):
            return
        match sent.purpose:
            case Purpose.INVITE:
                self._on_invite_response(sent, response, now)
            case Purpose.BYE:
                self._terminate(now)
            case _:
                self._end_dialog(self._outcomes.answered(sent, response, self._branch, now=now), now)

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
            case Purpose.BYE:
                if timed_out or self.dialog is None or self._identity.hop is not None:
                    self._terminate(now)
                else:
                    # The flow broke under it. Another may come, and the peer should not be left talking.
                    self._send_bye(self.dialog, (), now)
            case _:
                self._end_dialog(self._outcomes.failed(sent, reason, self._branch, now=now), now)

    def transaction_ended(self, key: int) -> None:
        """The client transaction of `key` is gone; no copy of its response comes any more."""
        self._sent.forget(key)

    def response_failed(self, transaction: TransactionId, reason: FailureReason, *, now: float) -> None:
        """A response of ours cannot be given: its way back is gone."""
        if transaction == self._invite_transaction and self.state is SessionState.RINGING:
            self._terminate(now, NO_FLOW)

    def flow_ready(self, *, now: float) -> None:
        """`identity` has a flow again."""
        self._farewell.flow_ready(now=now)

    # Inputs: requests of the peer

    def receive_request(self, transaction: TransactionId, request: Request, *, now: float) -> None:
        """A request within a dialog of this call; not ACK, not CANCEL."""
        branch = self.branch_of(request.from_.tag or "")
        dialog = branch.dialog if branch is not None else None
        over = self.state in ENDED_STATES and not (request.method == "NOTIFY" and self._referrals)
        if dialog is None or (over and self.state is SessionState.TERMINATED):
            self._wire.respond(transaction, request, 481)
        elif dialog.admit(request):
            self._wire.respond(transaction, request, 500)
        elif request.method == "BYE":
            self._on_bye(dialog, transaction, request, now)
        elif over and self.state is SessionState.LEAVING:
            self._wire.respond(transaction, request, 481)
        else:
            self._on_request(dialog, transaction, request, now)
        self.settle(now=now)

    def receive_ack(self, ack: Request, *, now: float) -> None:
        """The ACK to a 2xx of ours."""
        if not self._answers.acknowledged(ack.cseq.number):
            return
        description = readable_description(ack)
        if self._invitation is not None and ack.cseq.number == self._invitation.request.cseq.number:
            if self.state is SessionState.ANSWERED:
                self._enter(SessionState.CONFIRMED)
                self._wire.put(events.CallConfirmed(self.call, description))
                if self._branch is not None:
                    self._branch.renegotiation.pending = FirstOffer.NONE
                    self._branch.renegotiation.learn(ack)
            elif self.state is SessionState.LEAVING and self.dialog is not None:
                self._send_bye(self.dialog, (), now)
        elif self._branch is not None:
            self._branch.renegotiation.acknowledged(ack, now=now)
        self.settle(now=now)

    def receive_cancel(self, invite: TransactionId, cancel: Request, *, now: float) -> None:
        """A CANCEL for the INVITE of a server transaction of this call; it has been answered already."""
        # RFC 3261 section 9.2: "If the UAS has already sent a final response for that request, the CANCEL request has
        # no effect on the processing of the original request".
        if invite == self._invite_transaction and self.state is SessionState.RINGING:
            self._respond_to_invite(487)
            self._terminate(now, CallEnd(EndKind.CANCELED, "remote", 487, "Canceled", readable_reason(cancel)))
        elif self._branch is not None and invite == self._branch.renegotiation.transaction:
            self._branch.renegotiation.abandon(now=now)
        self.settle(now=now)

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for part in self._parts:
            part.handle_timeout(now=now)
        self.settle(now=now)

    def next_timeout(self) -> float | None:
        deadlines = (part.next_timeout() for part in self._parts)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> SessionOutput | None:
        return self._wire.outbox.poll()

    def outputs(self) -> Iterator[SessionOutput]:
        return self._wire.outbox.drain()

    @property
    def _parts(self) -> tuple[_Part, ...]:
        parts: list[_Part] = [self._answers, self._timer, self._referrals, self._farewell]
        if self._invitation is not None:
            parts.append(self._invitation)
        if self._branch is not None:
            parts.append(self._branch.renegotiation)
        return tuple(parts)

    def settle(self, *, now: float) -> None:
        """Takes what the parts that know nothing of the wire have said. To be called after each touch of one."""
        for answer in self._answers.outputs():
            match answer:
                case SendResponse():
                    self._wire.put(answer)
                case NotAcknowledged():
                    self._on_no_ack(now)
                case _:
                    assert_never(answer)
        for over in self._invitation.outputs() if self._invitation is not None else ():
            self._respond_to_invite(over.status)
            self._terminate(now, over.end)
        for _ in self._farewell.outputs():  # nobody can be told
            self._terminate(now)
        for output in self._timer.outputs():
            match output:
                case RefreshDue():
                    if self._branch is not None and self.state is SessionState.CONFIRMED:
                        self._branch.renegotiation.refresh(now=now)
                        self.settle(now=now)
                case SessionExpired():
                    if self.state in (SessionState.ANSWERED, SessionState.CONFIRMED):
                        self._leave(CallEnd(EndKind.FAILED, "system", 408, "Session Expired"), now, acknowledged=True)
                case _:
                    assert_never(output)

    # The caller's INVITE

    def _on_invite_response(self, sent: Sent, response: Response, now: float) -> None:
        status = response.status
        if status < 300:
            self._on_accepted(sent, response, now)
            return
        if self.state is SessionState.CANCELING:
            self._terminate(now)
        if self.state not in (SessionState.CALLING, SessionState.PROCEEDING):
            return
        if self._outgoing.retried(sent, response):
            self._call_again()
            return
        cause = cause_of(status)
        how = EndKind.REJECTED if cause == "Rejected" else EndKind.FAILED
        self._terminate(now, CallEnd(how, "remote", status, cause, readable_reason(response)))

    def _call_again(self) -> None:
        """The INVITE has gone again."""
        if self.state is not SessionState.CALLING:
            self._enter(SessionState.CALLING)

    def _on_progress(self, sent: Sent, response: Response) -> None:
        if self.state is SessionState.CALLING:
            self._enter(SessionState.PROCEEDING)
        # A 1xx without a tag makes no dialog (RFC 3261 section 12.1), and the reference takes no notice of it.
        tag = response.to.tag
        if self.state is SessionState.PROCEEDING and response.status > 100 and tag:
            self._outgoing.progress(sent, response, tag)

    def _on_accepted(self, sent: Sent, response: Response, now: float) -> None:
        if self.state in (SessionState.CALLING, SessionState.PROCEEDING):
            # The first to answer is the callee. "[...] the UAC core considers the other early dialogs terminated".
            self._branch = self._outgoing.accepted(sent, response, now=now)
            self._enter(SessionState.CONFIRMED)
            return
        branch = self._outgoing.surplus(sent, response)
        if branch is None:
            return
        if self.state is SessionState.CANCELING:
            # The answer has crossed our CANCEL (RFC 3261 section 9.1): there is a call, and nobody wants it.
            self._branch = branch
            self._enter(SessionState.LEAVING)
            self._send_bye(branch.dialog, (), now)
        else:
            # "If, after acknowledging any 2xx response to an INVITE, the UAC does not want to continue with that
            # dialog, then the UAC MUST terminate the dialog by sending a BYE request".
            self._wire.request(Purpose.SURPLUS_BYE, branch.dialog, "BYE")

    # Later requests

    def _on_request(self, dialog: Dialog, transaction: TransactionId, request: Request, now: float) -> None:
        """A request of the peer that is in order, and no BYE."""
        confirmed = self.state is SessionState.CONFIRMED
        match request.method:
            case "INVITE" | "UPDATE":
                branch = self.branch_of(request.from_.tag or "")
                assert branch is not None
                branch.renegotiation.request(transaction, request, confirmed=confirmed, now=now)
            case "PRACK":
                if self._invitation is None:
                    self._wire.respond(transaction, request, 481)
                    return
                self._invitation.acknowledge(transaction, request, now=now)
                body = self._invitation.release()
                if body is not None and self.state is SessionState.RINGING:
                    self._accept(body, now)
            case "REFER" if confirmed or self.state is SessionState.ANSWERED:
                self._referrals.request(transaction, request, dialog)
            case "NOTIFY":
                self._referrals.notify(transaction, request, now=now)
            case _:
                answer_at_once(self._wire, transaction, request)

    # The callee's answer

    def _accept(self, body: bytes, now: float) -> None:
        assert self._invitation is not None
        if self._invitation.accept(self._timer, self._answers, body, now=now):
            self._enter(SessionState.ANSWERED)
        self.settle(now=now)

    def _on_no_ack(self, now: float) -> None:
        if self.state in (SessionState.ANSWERED, SessionState.CONFIRMED):
            self._leave(CallEnd(EndKind.FAILED, "remote", 408, "No ACK"), now, acknowledged=True)
        elif self.state is SessionState.LEAVING and self.dialog is not None:
            self._send_bye(self.dialog, (), now)

    # Ends

    def _on_bye(self, dialog: Dialog, transaction: TransactionId, request: Request, now: float) -> None:
        self._wire.respond(transaction, request, 200)
        reason = readable_reason(request)
        match self.state:
            case SessionState.PROCEEDING:
                # A callee may not end an early dialog: she has answered, each 2xx was lost, and she has given up.
                self._outgoing.branches.take(dialog.id.remote_tag)
                if not self._outgoing.branches:
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

    def _end_dialog(self, end: CallEnd | None, now: float) -> None:
        """What has become of a request may end its dialog."""
        self.settle(now=now)
        if end is not None and self.state is SessionState.CONFIRMED:
            self._leave(end, now)

    def _leave(self, end: CallEnd, now: float, headers: HeaderRows = (), *, acknowledged: bool = False) -> None:
        """Ends an answered call: by BYE, at once or as soon as that is allowed."""
        # RFC 3261 section 15: "the callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK
        # for its 2xx response or until the server transaction times out."
        waits = self.state is SessionState.ANSWERED and not acknowledged
        self._outgoing.leave_unanswered()
        self._enter(SessionState.LEAVING)
        self._end_parts(now)
        self._wire.put(events.CallEnded(self.call, end))
        if not waits:
            assert self.dialog is not None
            self._send_bye(self.dialog, headers, now)

    def _give_up_invite(self, end: CallEnd, headers: HeaderRows = ()) -> None:
        self._outgoing.end()
        self._enter(SessionState.CANCELING)
        self._wire.put(CancelRequest(self._outgoing.key, headers))
        self._wire.put(events.CallEnded(self.call, end))

    def _send_bye(self, dialog: Dialog, headers: HeaderRows, now: float) -> None:
        self._answers.clear()
        self._farewell.say(dialog, headers, now=now)

    def _terminate(self, now: float, end: CallEnd | None = None) -> None:
        """The last state. `end` is said unless one has been said."""
        if self.state is SessionState.TERMINATED:
            return
        said = self.state in ENDED_STATES
        self._enter(SessionState.TERMINATED)
        self._answers.clear()
        self._outgoing.end()
        if self._invitation is not None:
            self._invitation.stop()
        self._farewell.stop()
        self._end_parts(now)
        # An offer of ours that the peer has left unanswered behind a provisional response would wait for ever.
        for key in self._sent.open(Purpose.REOFFER):
            self._wire.put(CancelRequest(key))
        if self.dialog is not None:
            self.dialog.terminate()
        if end is not None and not said:
            self._wire.put(events.CallEnded(self.call, end))

    def _end_parts(self, now: float) -> None:
        self._timer.stop()
        self._referrals.end()
        if self._branch is not None:
            self._branch.renegotiation.abandon(now=now)

    # Small helpers

    def _answer_challenge(self, sent: Sent, response: Response) -> bool:
        """Sends a request again. False where it has no answer to its challenge, or is not wanted any more."""
        first = sent.purpose is Purpose.INVITE
        if first and self.state not in (SessionState.CALLING, SessionState.PROCEEDING):
            return False
        again = self._sent.again(sent, response)
        if again is None:
            return False
        if first:
            self._outgoing.again(again.key)
            self._call_again()
            return True
        if sent.purpose is Purpose.REFER:
            self._referrals.repeated(sent.request.cseq.number, again.request.cseq.number)
        self._wire.put(again)
        return True

    def branch_of(self, tag: str) -> Branch | None:
        """The dialog, early or not, in which the peer has that tag."""
        if self._branch is not None and self._branch.dialog.id.remote_tag == tag:
            return self._branch
        return self._outgoing.branches.get(tag)

    @property
    def _invite_transaction(self) -> TransactionId | None:
        return self._invitation.transaction if self._invitation is not None else None

    def _respond_to_invite(self, status: int, headers: HeaderRows = ()) -> None:
        assert self._invitation is not None
        self._invitation.respond(status, headers)

    def _demand(self, what: str, state: SessionState) -> None:
        if self.state is not state:
            raise LocalProtocolError(
                f"cannot {what}: call {self.call} is {self.state.value}; that needs a call that is {state.value}"
            )

    def _enter(self, state: SessionState) -> None:
        assert state in TRANSITIONS[self.state], (self.state, state)
        self.state = state
