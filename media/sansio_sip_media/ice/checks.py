"""Requests of ours under way: which pair each is for, why it was sent, and when it is due."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from sansio_sip.timers import Deadlines

from .pair import CandidatePair
from .transaction import StunTransaction

__all__ = ["Check", "Checks", "Purpose"]


WORN = 3
"""Sendings after which a request counts as worn: the next one is 2 s away, then 4, 8 and 16."""


class Purpose(Enum):
    """Why a request was sent."""

    CHECK = "check"
    NOMINATION = "nomination"
    CONSENT = "consent"


@dataclass(slots=True, eq=False)
class Check:
    """One request. `controlling`, `priority`: the role and PRIORITY that it stated."""

    transaction: StunTransaction
    pair: CandidatePair
    purpose: Purpose
    controlling: bool
    priority: int


class Checks:
    """Checks by transaction id.

    Not bounded by a constant: a new one starts each Ta at most, and a cancelled one is forgotten after 16 RTO.
    """

    __slots__ = ("_by_id", "_deadlines")

    def __init__(self) -> None:
        self._by_id: dict[bytes, Check] = {}
        self._deadlines: Deadlines[bytes] = Deadlines()

    def __contains__(self, transaction_id: bytes) -> bool:
        return transaction_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def send(self, check: Check, *, now: float) -> bytes:
        """Takes a new check under way and returns what to send."""
        data = check.transaction.send(now)
        self._by_id[check.transaction.transaction_id] = check
        self._touch(check)
        return data

    def take(self, transaction_id: bytes) -> Check:
        """Removes a check that has its answer."""
        self._deadlines.remove(transaction_id)
        return self._by_id.pop(transaction_id)

    def get(self, transaction_id: bytes) -> Check | None:
        return self._by_id.get(transaction_id)

    def next_timeout(self) -> float | None:
        return self._deadlines.next()

    def due(self, *, now: float) -> Iterator[tuple[Check, bytes | None]]:
        """Checks whose deadline has come, each with what to send again, or None when it has failed and is removed."""
        for transaction_id in self._deadlines.due(now):
            check = self._by_id[transaction_id]
            data = check.transaction.poll(now)
            if data is None:
                self.take(transaction_id)
            else:
                self._touch(check)
            yield check, data

    def is_under_way(self, pair: CandidatePair, purpose: Purpose) -> bool:
        return any(check.pair is pair and check.purpose is purpose for check in self._by_id.values())

    def is_worn(self, pair: CandidatePair) -> bool:
        """Whether the pair's nomination has been sent so often that its next retransmission is far away."""
        mine = [check for check in self._by_id.values() if check.pair is pair and check.purpose is Purpose.NOMINATION]
        return bool(mine) and all(check.transaction.sends >= WORN for check in mine)

    def stop_retransmitting(self, pair: CandidatePair | None = None, *, now: float) -> None:
        """Of one pair's checks, or of all: sends nothing again, yet an answer still counts (section 7.3.1.4)."""
        for check in self._by_id.values():
            if check.purpose is not Purpose.CONSENT and pair in (None, check.pair):
                check.transaction.stop_retransmitting(now)
                self._touch(check)

    def drop(self, pair: CandidatePair) -> None:
        """Forgets all requests of a pair."""
        for transaction_id in [key for key, check in self._by_id.items() if check.pair is pair]:
            self.take(transaction_id)

    def clear(self) -> None:
        for transaction_id in self._by_id:
            self._deadlines.remove(transaction_id)
        self._by_id.clear()

    def _touch(self, check: Check) -> None:
        self._deadlines.update(check.transaction.transaction_id, check.transaction.deadline)
