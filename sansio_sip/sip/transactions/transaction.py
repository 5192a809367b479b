"""What the four transaction machines share: a state that moves by a table, named timers, one queue of outputs."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Generic, TypeVar

from sansio_sip.machine import Outbox
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.transport import Hop
from sansio_sip.timers import TimerSet

from .outputs import Ended, FailureReason, GivenUp, PassedUp, SendMessage, TransactionOutput
from .timing import Timer, Timing

__all__ = ["Transaction"]

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741


class Transaction(Generic[S, I]):
    """State, timers and outputs of one transaction.

    Attributes:
        state: of the machine's own `State` enum.
        request: the request that the transaction is about.
        hop: where its messages go.
    """

    __slots__ = ("_outbox", "_table", "_timers", "_timing", "hop", "request", "state")

    def __init__(self, state: S, table: Mapping[tuple[S, I], S], request: Request, hop: Hop, timing: Timing) -> None:
        self.state = state
        self.request = request
        self.hop = hop
        self._table = table
        self._timing = timing
        self._timers: TimerSet[Timer] = TimerSet()
        self._outbox: Outbox[TransactionOutput] = Outbox()

    @property
    def is_terminated(self) -> bool:
        return self.state.name == "TERMINATED"

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> TransactionOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[TransactionOutput]:
        return self._outbox.drain()

    def _step(self, happened: I) -> bool:
        """Moves along the row for (state, input). False, and nothing changes, where the table has none."""
        after = self._table.get((self.state, happened))
        if after is None:
            return False
        self.state = after
        if self.is_terminated:
            self._timers.clear()
        return True

    def _send(self, message: Request | Response) -> None:
        self._outbox.put(SendMessage(message, self.hop))

    def _pass_up(self, message: Message) -> None:
        self._outbox.put(PassedUp(message))

    def _end(self) -> None:
        self._outbox.put(Ended())

    def _give_up(self, reason: FailureReason) -> None:
        self._outbox.put(GivenUp(reason))
        self._outbox.put(Ended())
