"""New offers in an established session: re-INVITE out and in, and what happens when both want to (RFC 3261 section 14).

Theory of operation
-------------------
At most one offer is open at a time, ours or the peer's. `Reoffer` keeps that rule for one session; the session builds
the messages. When two offers cross, each side refuses the other's with 491 and tries again after a random time, the
owner of the Call-ID later than the other, so that they do not meet a second time (section 14.1).

    offer()            -> SendOffer          response(2xx)      -> ReofferAnswered
    request()          -> ReofferReceived    answer(), reject() -> Respond
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .call_events import CallId, HeaderRows, ReofferAnswered, ReofferReceived, ReofferRejected
from .message import Request
from .status import cause_of
from .transactions.outputs import TransactionId

__all__ = ["MAX_GLARES", "Reoffer", "ReofferOutput", "ReofferState", "Respond", "RetryTimer", "SendOffer"]

MAX_GLARES = 10
"""Times that one offer is tried again after 491. Two peers that follow the RFC meet again with odds under one in ten;
one that says 491 for ever must not be asked for ever."""


class ReofferState(Enum):
    """RFC 3261 section 14::

            +----------------------- IDLE <-----------------------+
            | offer()                 |  ^ final response         | ACK, or 64*T1
            v                 request |  |                        |
    +--> OFFERED --other final--------|--+                        |
    |       | 491                     v       answer()            |
    |       v         request     RECEIVED ----------------> ANSWERED
    +--- WAITING ---------------->    |
     timer                            | reject(), CANCEL
                                      +--> IDLE
    """

    IDLE = "idle"
    OFFERED = "offered"
    WAITING = "waiting to offer again"
    RECEIVED = "received an offer"
    ANSWERED = "answered, not acknowledged"


class RetryTimer(Enum):
    RETRY = "an offer refused with 491 is made again"


@dataclass(frozen=True, slots=True)
class SendOffer:
    """Send a re-INVITE with this body."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Respond:
    """Respond to the peer's re-INVITE. A 2xx is to be sent again until its ACK comes."""

    transaction: TransactionId
    request: Request
    status: int
    body: bytes | None = None
    headers: HeaderRows = ()


ReofferOutput: TypeAlias = SendOffer | Respond | ReofferReceived | ReofferAnswered | ReofferRejected


class Reoffer:
    """The machine of one session's later offers.

    Attributes:
        transaction: of the peer's re-INVITE that waits for our answer.
    """

    def __init__(self, context: Context, call: CallId, role: Literal["caller", "callee"]) -> None:
        self.state = ReofferState.IDLE
        self.transaction: TransactionId | None = None
        self._context = context
        self._call = call
        self._role = role
        self._body = b""
        self._glares = 0
        self._received: Request | None = None
        self._offer_is_ours = False
        self._quiet = False
        self._queued = False  # an offer of ours waits for the ACK of the peer's
        self._outbox: Outbox[ReofferOutput] = Outbox()
        self._timers: TimerSet[RetryTimer] = TimerSet()

    # Ours

    def offer(self, body: bytes, *, quiet: bool = False, now: float) -> None:
        """Sends a new offer, as soon as an answer of ours is acknowledged. Gives ReofferAnswered or ReofferRejected.

        Args:
            quiet: nobody is to be told what comes of it.

        Raises:
            LocalProtocolError: another offer is open.
        """
        # RFC 3261 section 14.1: "a UAC MUST NOT initiate a new INVITE transaction within a dialog while another
        # INVITE transaction is in progress in either direction."
        answered = self.state is ReofferState.ANSWERED and not self._offer_is_ours and not self._queued
        if self.state is not ReofferState.IDLE and not answered:
            raise LocalProtocolError(f"cannot offer again in call {self._call}: one is {self.state.value}; wait for it")
        self._body = body
        self._glares = 0
        self._quiet = quiet
        if answered:
            self._queued = True  # the peer's exchange is over but for its ACK
        else:
            self._send_offer()

    def response(self, status: int, description: bytes | None, *, now: float) -> None:
        """The final response to our offer, 2xx already acknowledged; 408 or 503 where there is none."""
        if self.state is not ReofferState.OFFERED:
            return
        if status == 491 and self._glares < MAX_GLARES:
            self._glares += 1
            self.state = ReofferState.WAITING
            self._timers.arm(RetryTimer.RETRY, now + self._back_off())
            return
        self.state = ReofferState.IDLE
        if 200 <= status < 300:
            self._tell(ReofferAnswered(self._call, description))
        else:
            self._tell(ReofferRejected(self._call, status, cause_of(status)))

    # The peer's

    def request(self, transaction: TransactionId, request: Request, description: bytes | None, *, now: float) -> None:
        """A re-INVITE has come, or an UPDATE with an offer."""
        match self.state:
            case ReofferState.OFFERED:
                # RFC 3261 section 14.2: "A UAS that receives an INVITE on a dialog while an INVITE it had sent on
                # that dialog is in progress MUST return a 491 (Request Pending) response to the received INVITE."
                self._outbox.put(Respond(transaction, request, 491))
                return
            case ReofferState.RECEIVED:
                # "A UAS that receives a second INVITE before it sends the final response to a first INVITE with a
                # lower CSeq sequence number on the same dialog MUST return a 500 (Server Internal Error) response
                # to the second INVITE and MUST include a Retry-After header field with a randomly chosen value of
                # between 0 and 10 seconds."
                seconds = int(self._context.entropy.fraction("retry_after") * 11)
                headers = (("Retry-After", str(seconds)),)
                self._outbox.put(Respond(transaction, request, 500, headers=headers))
                return
            case ReofferState.ANSWERED if self._offer_is_ours:
                # Our offer is in a 2xx whose ACK brings the answer: it is still open (RFC 6337 section 2.2).
                self._outbox.put(Respond(transaction, request, 491))
                return
            case ReofferState.WAITING:
                # The peer was first. Its offer overtakes ours, which may be worth nothing after it.
                self._timers.clear()
                self._tell(ReofferRejected(self._call, 491, cause_of(491), overtaken=True))
            case ReofferState.ANSWERED if self._queued:
                self._queued = False
                self._tell(ReofferRejected(self._call, 491, cause_of(491), overtaken=True))
            case ReofferState.IDLE | ReofferState.ANSWERED:
                pass
            case _:
                assert_never(self.state)
        self.state = ReofferState.RECEIVED
        self.transaction = transaction
        self._received = request
        self._offer_is_ours = description is None
        self._outbox.put(ReofferReceived(self._call, description))

    def answer(self, body: bytes, *, now: float) -> None:
        """Answers the peer's offer. Nothing is sent where the peer has withdrawn it meanwhile."""
        if self.state is ReofferState.RECEIVED:
            assert self._received is not None
            # Only the answer to an INVITE is acknowledged.
            over = self._received.method != "INVITE"
            self._respond(200, body)
            self.state = ReofferState.IDLE if over else ReofferState.ANSWERED

    def reject(self, status: int, *, now: float) -> None:
        """Refuses the peer's offer. Nothing is sent where the peer has withdrawn it meanwhile.

        Raises:
            LocalProtocolError: `status` refuses nothing.
        """
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"cannot refuse an offer with {status}: give a status from 300 to 699")
        if self.state is ReofferState.RECEIVED:
            self._respond(status, None)
            self.state = ReofferState.IDLE

    def acknowledged(self, description: bytes | None) -> None:
        """The ACK to our 2xx has come; it brings the answer where the offer was ours."""
        if self.state is ReofferState.ANSWERED:
            self.state = ReofferState.IDLE
            if self._offer_is_ours:
                self._outbox.put(ReofferAnswered(self._call, description))
            elif self._queued:
                self._queued = False
                self._send_offer()

    def abandon(self) -> None:
        """The session is over: nothing waits any more."""
        if self.state is ReofferState.RECEIVED:
            # RFC 3261 section 15.1.2: "The UAS MUST still respond to any pending requests received for that dialog.
            # It is RECOMMENDED that a 487 (Request Terminated) response be generated to those pending requests."
            self._respond(487, None)
        self.state = ReofferState.IDLE
        self._queued = False
        self._timers.clear()

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case RetryTimer.RETRY:
                    self._send_offer()
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> ReofferOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[ReofferOutput]:
        return self._outbox.drain()

    def _tell(self, outcome: ReofferAnswered | ReofferRejected) -> None:
        """What has become of our offer."""
        if not self._quiet:
            self._outbox.put(outcome)

    def _send_offer(self) -> None:
        self.state = ReofferState.OFFERED
        self._outbox.put(SendOffer(self._body))

    def _respond(self, status: int, body: bytes | None) -> None:
        assert self.transaction is not None
        assert self._received is not None
        self._outbox.put(Respond(self.transaction, self._received, status, body))
        self.transaction = None
        self._received = None

    def _back_off(self) -> float:
        """Seconds until an offer refused with 491 is made again."""
        # RFC 3261 section 14.1: "If the UAC is the owner of the Call-ID of the dialog ID (meaning it generated the
        # value), T has a randomly chosen value between 2.1 and 4 seconds in units of 10 ms. If the UAC is not the
        # owner [...], T has a randomly chosen value of between 0 and 2 seconds in units of 10 ms."
        fraction = self._context.entropy.fraction("glare")
        if self._role == "caller":
            return (210 + int(fraction * 191)) / 100
        return int(fraction * 201) / 100
