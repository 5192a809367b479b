"""A peer's INVITE until it is answered: ringing, early answers that must arrive (RFC 3262), the 2xx.

Theory of operation
-------------------
`Invitation` writes the responses; when which of them is allowed is the session's affair. A 2xx waits while a
description in a reliable provisional response is not acknowledged: `accept` says False then, and `release` gives what
was kept back once the PRACK is there. Where the INVITE is worth no more, or a PRACK never comes, it says
`InvitationOver`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from sansio_sip.context import Context
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .answer_retransmission import Answers
from .body import description_headers, description_of, readable_description
from .call_events import CallEnd, EndKind, HeaderRows, ReofferAnswered
from .message import Request
from .reliable_provisional import NeverAcknowledged, ReliableProvisionals
from .renegotiation import FirstOffer, Renegotiation
from .screening import content_headers
from .session_timer import SessionTimer
from .transaction_user import SendResponse
from .transactions.outputs import TransactionId
from .transactions.timing import Timing
from .wire import Wire

__all__ = ["Invitation", "InvitationOver", "InvitationTimer"]

PROGRESS_INTERVAL = 60.0
"""Seconds. RFC 3261 section 13.3.1.1: "it will need to ask for an "extension" in order to prevent proxies from
canceling the transaction. A proxy has the option of canceling a transaction when there is a gap of 3 minutes between
responses [...]. To prevent this, the UAS MUST send a non-100 provisional response at every minute"."""


class InvitationTimer(Enum):
    EXPIRES = "the INVITE is worth no more"
    PROGRESS = "a provisional response is sent again"


@dataclass(frozen=True, slots=True)
class InvitationOver:
    """The last output: `status` is to refuse the INVITE, and the call ends so."""

    status: int
    end: CallEnd


class Invitation:
    """The peer's side of a call's first INVITE.

    Attributes:
        request, transaction: of the INVITE.
        answer_waits: a 2xx is kept back.
    """

    def __init__(
        self,
        context: Context,
        wire: Wire,
        transaction: TransactionId,
        request: Request,
        offers: Renegotiation,
        timing: Timing,
        *,
        now: float,
    ) -> None:
        self.request = request
        self.transaction = transaction
        self._provisionals = ReliableProvisionals(context, timing)
        self._wire = wire
        self._offers = offers
        self._kept: bytes | None = None
        self._timers: TimerSet[InvitationTimer] = TimerSet()
        self._outbox: Outbox[InvitationOver] = Outbox()
        if request.expires is not None:
            # "If the invitation expires before the UAS has generated a final response, a 487 (Request Terminated)
            # response SHOULD be generated."
            self._timers.arm(InvitationTimer.EXPIRES, now + request.expires)

    @property
    def answer_waits(self) -> bool:
        return self._kept is not None

    @property
    def wants_offer(self) -> bool:
        """Whether it has none, and asks for ours."""
        return readable_description(self.request) is None

    def ring(self, status: int, body: bytes, *, now: float) -> None:
        """Sends a provisional response, and again each minute."""
        self._timers.arm(InvitationTimer.PROGRESS, now + PROGRESS_INTERVAL)
        headers = (*self._wire.identity.capabilities(), *description_headers(body))
        response = self.request.response(status, to_tag=self._wire.local_tag, headers=headers, body=body)
        if not self._is_reliable(bool(body)):
            self._offers.described(body)
            self._wire.put(SendResponse(self.transaction, response))
        elif body or self._offers.pending is FirstOffer.THEIRS or not self.wants_offer:
            self._offers.described(body)
            if body:
                # RFC 3262 section 5: of provisional responses only a reliable one makes or answers an offer.
                self._offers.pending = FirstOffer.OURS if self.wants_offer else FirstOffer.NONE
            self._provisionals.send(self.transaction, response, now=now)
            self._drain()
        # Else nothing may be said: the first reliable response to an INVITE without an offer must make one.

    def accept(self, timer: SessionTimer, answers: Answers, body: bytes, *, now: float) -> bool:
        """Sends the 2xx; False where it has to wait."""
        if self._provisionals.blocks_answer:
            # RFC 3262 section 3: "If the UAS [...] sent a session description in any reliable provisional response
            # that is unacknowledged when the final response is to be sent", the 2xx has to wait for the PRACK.
            self._kept = body
            return False
        self.stop()
        self._offers.described(body)
        if body:
            self._offers.pending = FirstOffer.OURS if self.wants_offer else FirstOffer.NONE
        headers = (
            *self._wire.identity.capabilities(),
            *timer.answer_headers(self.request, now=now),
            *description_headers(body),
        )
        response = self.request.response(200, to_tag=self._wire.local_tag, headers=headers, body=body)
        answers.send(self.request.cseq.number, self.transaction, response, now=now)
        return True

    def release(self) -> bytes | None:
        """What `accept` kept back, once it may go."""
        if self._kept is None or self._provisionals.blocks_answer:
            return None
        body, self._kept = self._kept, None
        return body

    def respond(self, status: int, headers: HeaderRows = ()) -> None:
        """Sends a final response that refuses."""
        self.stop()
        self._wire.respond(self.transaction, self.request, status, headers)

    def stop(self) -> None:
        """The final response has gone, or nobody wants one."""
        self._timers.clear()
        self._provisionals.stop()
        self._kept = None

    def acknowledge(self, transaction: TransactionId, prack: Request, *, now: float) -> None:
        """A PRACK has come."""
        try:
            rack = prack.rack
            description = description_of(prack)
        except ParseError as error:
            self._wire.respond(transaction, prack, error.status or 400, content_headers(error.status))
            return
        if rack is None or not self._provisionals.acknowledged(rack, now=now):
            # RFC 3262 section 3: "If a PRACK request is received by the UA core that does not match any unacknowledged
            # reliable provisional response, the UAS MUST respond to the PRACK with a 481 response."
            self._wire.respond(transaction, prack, 481)
        elif description is None:
            self._wire.respond(transaction, prack, 200)
        elif self._offers.pending is FirstOffer.OURS:
            self._offers.pending = FirstOffer.NONE
            self._offers.learn(prack)
            self._wire.respond(transaction, prack, 200)
            self._wire.put(ReofferAnswered(self._wire.call, description))
        else:
            # Section 5: a PRACK may make a new offer, which its 2xx answers, as that of an UPDATE does.
            self._offers.request(transaction, prack, confirmed=True, now=now)
        self._drain()

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case InvitationTimer.EXPIRES:
                    self._outbox.put(InvitationOver(487, CallEnd(EndKind.FAILED, "system", 487, "Expires")))
                case InvitationTimer.PROGRESS:
                    if not self.answer_waits:
                        self.ring(180, b"", now=now)
                case _:
                    assert_never(timer)
        self._provisionals.handle_timeout(now=now)
        self._drain()

    def next_timeout(self) -> float | None:
        deadlines = (self._timers.next(), self._provisionals.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> InvitationOver | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[InvitationOver]:
        return self._outbox.drain()

    def _drain(self) -> None:
        for output in self._provisionals.outputs():
            match output:
                case SendResponse():
                    self._wire.put(output)
                case NeverAcknowledged():
                    self._outbox.put(InvitationOver(504, CallEnd(EndKind.FAILED, "remote", 504, "No PRACK")))
                case _:
                    assert_never(output)

    def _is_reliable(self, described: bool) -> bool:
        """Whether a provisional response is to be acknowledged (RFC 3262 section 3)."""
        wish = self._wire.identity.config.reliability
        required = any(option.lower() == "100rel" for option in self.request.require)
        known = required or any(option.lower() == "100rel" for option in self.request.supported)
        return wish != "none" and known and (required or described or wish == "required")
