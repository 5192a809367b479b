"""A peer's INVITE until it is answered: ringing, early answers that must arrive (RFC 3262), the 2xx.

Theory of operation
-------------------
`Invitation` writes the responses; when which of them is allowed is the session's affair. A 2xx waits while a
description in a reliable provisional response is not acknowledged: `accept` says False then, and `release` gives what
was kept back once the PRACK is there.
"""

from sansio_sip.context import Context
from sansio_sip.errors import ParseError

from .answer_retransmission import Answers
from .body import description_headers, description_of, readable_description
from .call_events import HeaderRows, ReofferAnswered
from .message import Request
from .reliable_provisional import ReliableProvisionals
from .renegotiation import FirstOffer, Renegotiation
from .screening import content_headers
from .session_timer import SessionTimer
from .transaction_user import SendResponse
from .transactions.outputs import TransactionId
from .transactions.timing import Timing
from .wire import Wire

__all__ = ["Invitation"]


class Invitation:
    """The peer's side of a call's first INVITE.

    Attributes:
        request, transaction: of the INVITE.
        provisionals: the reliable ones; their outputs are the session's to take.
        answer_waits: a 2xx is kept back.
    """

    def __init__(
        self, context: Context, wire: Wire, transaction: TransactionId, request: Request, timing: Timing
    ) -> None:
        self.request = request
        self.transaction = transaction
        self.provisionals = ReliableProvisionals(context, timing)
        self._wire = wire
        self._kept: bytes | None = None

    @property
    def answer_waits(self) -> bool:
        return self._kept is not None

    @property
    def wants_offer(self) -> bool:
        """Whether it has none, and asks for ours."""
        return readable_description(self.request) is None

    def ring(self, offers: Renegotiation, status: int, body: bytes, *, now: float) -> None:
        """Sends a provisional response."""
        headers = (*self._wire.identity.capabilities(), *description_headers(body))
        response = self.request.response(status, to_tag=self._wire.local_tag, headers=headers, body=body)
        if not self._is_reliable(bool(body)):
            offers.described(body)
            self._wire.put(SendResponse(self.transaction, response))
        elif body or offers.pending is FirstOffer.THEIRS or not self.wants_offer:
            offers.described(body)
            if body:
                # RFC 3262 section 5: of provisional responses only a reliable one makes or answers an offer.
                offers.pending = FirstOffer.OURS if self.wants_offer else FirstOffer.NONE
            self.provisionals.send(self.transaction, response, now=now)
        # Else nothing may be said: the first reliable response to an INVITE without an offer must make one.

    def accept(self, offers: Renegotiation, timer: SessionTimer, answers: Answers, body: bytes, *, now: float) -> bool:
        """Sends the 2xx; False where it has to wait."""
        if self.provisionals.blocks_answer:
            # RFC 3262 section 3: "If the UAS [...] sent a session description in any reliable provisional response
            # that is unacknowledged when the final response is to be sent", the 2xx has to wait for the PRACK.
            self._kept = body
            return False
        self.provisionals.stop()
        offers.described(body)
        if body:
            offers.pending = FirstOffer.OURS if self.wants_offer else FirstOffer.NONE
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
        if self._kept is None or self.provisionals.blocks_answer:
            return None
        body, self._kept = self._kept, None
        return body

    def respond(self, status: int, headers: HeaderRows = ()) -> None:
        """Sends a final response that refuses."""
        self.provisionals.stop()
        self._kept = None
        self._wire.respond(self.transaction, self.request, status, headers)

    def acknowledge(self, offers: Renegotiation, transaction: TransactionId, prack: Request, *, now: float) -> None:
        """A PRACK has come."""
        try:
            rack = prack.rack
            description = description_of(prack)
        except ParseError as error:
            self._wire.respond(transaction, prack, error.status or 400, content_headers(error.status))
            return
        if rack is None or not self.provisionals.acknowledged(rack, now=now):
            # RFC 3262 section 3: "If a PRACK request is received by the UA core that does not match any unacknowledged
            # reliable provisional response, the UAS MUST respond to the PRACK with a 481 response."
            self._wire.respond(transaction, prack, 481)
        elif description is None:
            self._wire.respond(transaction, prack, 200)
        elif offers.pending is FirstOffer.OURS:
            offers.pending = FirstOffer.NONE
            offers.learn(prack)
            self._wire.respond(transaction, prack, 200)
            self._wire.put(ReofferAnswered(self._wire.call, description))
        else:
            # Section 5: a PRACK may make a new offer, which its 2xx answers, as that of an UPDATE does.
            offers.request(transaction, prack, confirmed=True, now=now)

    def _is_reliable(self, described: bool) -> bool:
        """Whether a provisional response is to be acknowledged (RFC 3262 section 3)."""
        wish = self._wire.identity.config.reliability
        required = any(option.lower() == "100rel" for option in self.request.require)
        known = required or any(option.lower() == "100rel" for option in self.request.supported)
        return wish != "none" and known and (required or described or wish == "required")
