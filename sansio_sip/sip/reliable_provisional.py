"""Provisional responses that must arrive (RFC 3262): ours to an INVITE, sent again until their PRACK comes.

Theory of operation
-------------------
One is under way at a time; those that follow wait for its PRACK. `blocks_answer` says that a 2xx has to wait as well,
because the description in the one under way must be known to have arrived first (section 3). After the final response
nothing is sent again, but late PRACKs are still known.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .headers import RAck
from .message import Response
from .transaction_user import SendResponse
from .transactions.outputs import TransactionId
from .transactions.timing import RFC_TIMING, Timing

__all__ = ["NeverAcknowledged", "ProvisionalOutput", "ReliableProvisionals"]

MAX_WAITING = 8
"""Responses that wait for the PRACK of the one before; ringing anew each minute makes a few at most."""


class Timer(Enum):
    AGAIN = "the response is sent again"
    GIVE_UP = "no PRACK in 64*T1"


@dataclass(frozen=True, slots=True)
class NeverAcknowledged:
    """Refuse the INVITE."""


ProvisionalOutput: TypeAlias = SendResponse | NeverAcknowledged


class ReliableProvisionals:
    """The machine of one INVITE."""

    def __init__(self, context: Context, timing: Timing = RFC_TIMING) -> None:
        self._context = context
        self._timing = timing
        self._number = 0
        self._interval = timing.t1
        self._under_way: SendResponse | None = None
        self._waiting: deque[SendResponse] = deque(maxlen=MAX_WAITING)
        self._unacknowledged: set[int] = set()  # of the last, once there is a final response
        self._outbox: Outbox[ProvisionalOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()

    @property
    def blocks_answer(self) -> bool:
        rows = (self._under_way, *self._waiting)
        return any(row is not None and row.response.body for row in rows)

    def send(self, transaction: TransactionId, response: Response, *, now: float) -> None:
        """Sends a provisional response, not 100, as soon as the one before has arrived."""
        row = SendResponse(transaction, response)
        # Section 3: "the UAS MUST NOT send a second reliable provisional response until the first is acknowledged."
        if self._under_way is not None:
            self._waiting.append(row)
        else:
            self._begin(row, now)

    def acknowledged(self, rack: RAck, *, now: float) -> bool:
        """A PRACK has come. False where it is for none of ours (481)."""
        row = self._under_way
        if row is not None and (rack.response_number, rack.cseq_number, rack.method.upper()) == (
            self._number,
            row.response.cseq.number,
            "INVITE",
        ):
            self._under_way = None
            self._timers.clear()
            if self._waiting:
                self._begin(self._waiting.popleft(), now)
            return True
        if rack.response_number in self._unacknowledged:
            self._unacknowledged.discard(rack.response_number)
            return True
        return False

    def stop(self) -> None:
        """The final response has gone."""
        # Section 3: "If the UAS does send a final response when reliable provisional responses are still unacknowledged
        # [...] it SHOULD NOT continue to retransmit the unacknowledged reliable provisional responses, but it MUST be
        # prepared to process PRACK requests for those outstanding responses."
        if self._under_way is not None:
            self._unacknowledged = {self._number}
        self._under_way = None
        self._waiting.clear()
        self._timers.clear()

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.AGAIN:
                    assert self._under_way is not None
                    # "[...] retransmitted [...] with an interval that starts at T1 seconds and doubles".
                    self._interval *= 2
                    self._timers.arm(Timer.AGAIN, now + self._interval)
                    self._outbox.put(self._under_way)
                case Timer.GIVE_UP:
                    # "If a reliable provisional response is retransmitted for 64*T1 seconds without reception of a
                    # corresponding PRACK, the UAS SHOULD reject the original request with a 5xx response."
                    self.stop()
                    self._outbox.put(NeverAcknowledged())
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> ProvisionalOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[ProvisionalOutput]:
        return self._outbox.drain()

    def _begin(self, row: SendResponse, now: float) -> None:
        if not self._number:
            # "The value of the header field for the first reliable provisional response in a transaction MUST be
            # between 1 and 2**31 - 1. It is RECOMMENDED that it be chosen uniformly in this range."
            self._number = 1 + int(self._context.entropy.fraction("rseq") * (2**31 - 1 - 2**16))
        else:
            self._number += 1
        response = row.response.copy()
        response.headers.add("Require", "100rel")
        response.headers.add("RSeq", str(self._number))
        self._under_way = SendResponse(row.transaction, response)
        self._interval = self._timing.t1
        self._timers.arm(Timer.AGAIN, now + self._interval)
        self._timers.arm(Timer.GIVE_UP, now + self._timing.timeout)
        self._outbox.put(self._under_way)
