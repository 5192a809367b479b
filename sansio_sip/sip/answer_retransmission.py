"""A 2xx of ours to an INVITE, sent again until its ACK comes (RFC 3261 section 13.3.1.4).

Theory of operation
-------------------
Proxies pass a 2xx on without keeping it, so its sender alone can mend a loss, whatever the transport to the first hop
is. Made when the 2xx has left; says `SendAgain` at T1, then at doubling intervals up to T2, and `NotAcknowledged`
when 64*T1 have gone by. The owner drops it when the ACK is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .message import Response
from .transaction_user import SendResponse
from .transactions.outputs import TransactionId
from .transactions.timing import RFC_TIMING, Timing

__all__ = ["AnswerRetransmission", "AnswerTimer", "Answers", "NotAcknowledged", "RetransmissionOutput", "SendAgain"]


class AnswerTimer(Enum):
    AGAIN = "the 2xx is sent again"
    GIVE_UP = "no ACK in 64*T1"


@dataclass(frozen=True, slots=True)
class SendAgain:
    """The interval is over."""


@dataclass(frozen=True, slots=True)
class NotAcknowledged:
    """The last output: nobody acknowledges."""


RetransmissionOutput: TypeAlias = SendAgain | NotAcknowledged


class AnswerRetransmission:
    """The machine of one 2xx."""

    __slots__ = ("_interval", "_outbox", "_timers", "_timing", "response", "transaction")

    def __init__(
        self, transaction: TransactionId, response: Response, timing: Timing = RFC_TIMING, *, now: float
    ) -> None:
        self.transaction = transaction
        self.response = response
        self._timing = timing
        self._interval = timing.t1
        self._outbox: Outbox[RetransmissionOutput] = Outbox()
        self._timers: TimerSet[AnswerTimer] = TimerSet()
        self._timers.arm(AnswerTimer.AGAIN, now + self._interval)
        self._timers.arm(AnswerTimer.GIVE_UP, now + timing.timeout)

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case AnswerTimer.AGAIN:
                    # "The 2xx response is passed to the transport with an interval that starts at T1 seconds and
                    # doubles for each retransmission until it reaches T2 seconds [...]. Response retransmissions
                    # cease when an ACK request for the response is received. This is independent of whatever
                    # transport protocols are used to send the response."
                    self._interval = min(2 * self._interval, self._timing.t2)
                    self._timers.arm(AnswerTimer.AGAIN, now + self._interval)
                    self._outbox.put(SendAgain())
                case AnswerTimer.GIVE_UP:
                    # "If the server retransmits the 2xx response for 64*T1 seconds without receiving an ACK, the
                    # dialog is confirmed, but the session SHOULD be terminated. This is accomplished with a BYE".
                    self._timers.clear()
                    self._outbox.put(NotAcknowledged())
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> RetransmissionOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[RetransmissionOutput]:
        return self._outbox.drain()


class Answers:
    """The 2xx of one session that wait for their ACKs, by the CSeq number of their INVITE: one or two at a time."""

    __slots__ = ("_outbox", "_rows", "_timing")

    def __init__(self, timing: Timing = RFC_TIMING) -> None:
        self._timing = timing
        self._rows: dict[int, AnswerRetransmission] = {}
        self._outbox: Outbox[SendResponse | NotAcknowledged] = Outbox()

    def send(self, number: int, transaction: TransactionId, response: Response, *, now: float) -> None:
        """Sends a 2xx, and again until `acknowledged`."""
        self._rows[number] = AnswerRetransmission(transaction, response, self._timing, now=now)
        self._outbox.put(SendResponse(transaction, response))

    def acknowledged(self, number: int) -> bool:
        """An ACK has come. False where nothing waits for it (any more)."""
        return self._rows.pop(number, None) is not None

    def clear(self) -> None:
        self._rows.clear()

    def handle_timeout(self, *, now: float) -> None:
        for number, answer in list(self._rows.items()):
            answer.handle_timeout(now=now)
            for output in answer.outputs():
                match output:
                    case SendAgain():
                        self._outbox.put(SendResponse(answer.transaction, answer.response))
                    case NotAcknowledged():
                        self._rows.pop(number, None)
                        self._outbox.put(output)
                    case _:
                        assert_never(output)

    def next_timeout(self) -> float | None:
        deadlines = (answer.next_timeout() for answer in self._rows.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> SendResponse | NotAcknowledged | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SendResponse | NotAcknowledged]:
        return self._outbox.drain()
