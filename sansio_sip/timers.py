"""Deadlines of a machine, and of a machine's children.

Two containers. `TimerSet` holds the few named timers of one machine. `Deadlines` holds the earliest deadline of each
of many children, so that asking a parent "when next?" costs the same with one call as with a thousand.
"""

from collections.abc import Hashable, Iterator
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

__all__ = ["Deadlines", "TimerSet", "earlier"]

T = TypeVar("T", bound=Enum)
K = TypeVar("K", bound=Hashable)


def earlier(one: float | None, other: float | None) -> float | None:
    """The earlier of two deadlines, of which either may be none: without the cost of a loop, with each packet."""
    if one is None or other is None:
        return other if one is None else one
    return one if one <= other else other


class TimerSet(Generic[T]):
    """Maps the RFC's timer names to deadlines (seconds, monotonic). Ties fire in the order of the names."""

    __slots__ = ("_deadlines",)

    def __init__(self) -> None:
        self._deadlines: dict[T, float] = {}

    def arm(self, timer: T, deadline: float) -> None:
        """Sets or moves a timer."""
        self._deadlines[timer] = deadline

    def cancel(self, *timers: T) -> None:
        """Takes timers away; those not armed are passed over."""
        for timer in timers:
            self._deadlines.pop(timer, None)

    def clear(self) -> None:
        self._deadlines.clear()

    def __contains__(self, timer: T) -> bool:
        return timer in self._deadlines

    def __bool__(self) -> bool:
        return bool(self._deadlines)

    def deadline(self, timer: T) -> float | None:
        return self._deadlines.get(timer)

    def next(self) -> float | None:
        """The earliest deadline."""
        return min(self._deadlines.values()) if self._deadlines else None

    def due(self, now: float) -> Iterator[T]:
        """Takes and yields the timers due at `now`, in (deadline, name) order.

        One that the consumer cancels or moves into the future while iterating does not fire; one that it arms for
        `now` or earlier does, so a late call catches up completely.
        """
        while self._deadlines:
            timer = min(self._deadlines, key=lambda t: (self._deadlines[t], t.name))
            if self._deadlines[timer] > now:
                return
            del self._deadlines[timer]
            yield timer


class Deadlines(Generic[K]):
    """The earliest deadline of each child, kept in a heap with lazy deletion.

    A parent calls `update` each time it has touched a child, with the child's `next_timeout()`.
    Ties come out in the order in which the children were first added.
    """

    __slots__ = ("_current", "_heap", "_ranks", "_serial")

    def __init__(self) -> None:
        self._current: dict[K, float] = {}
        self._ranks: dict[K, int] = {}
        self._serial = 0
        self._heap: list[tuple[float, int, K]] = []

    def update(self, child: K, deadline: float | None) -> None:
        """Sets the deadline of a child; None says that it waits for nothing."""
        if deadline is None:
            self._current.pop(child, None)
            return
        if self._current.get(child) == deadline:
            return
        rank = self._ranks.get(child)
        if rank is None:
            rank = self._ranks[child] = self._serial
            self._serial += 1
        self._current[child] = deadline
        heappush(self._heap, (deadline, rank, child))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._current):
            self._heap = [(when, self._ranks[key], key) for key, when in self._current.items()]
            heapify(self._heap)

    def remove(self, child: K) -> None:
        """Forgets a child that has ended."""
        self._current.pop(child, None)
        self._ranks.pop(child, None)

    def next(self) -> float | None:
        """The earliest deadline of all children."""
        heap = self._heap
        while heap and self._stale(heap[0]):
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> Iterator[K]:
        """Yields each child whose deadline has come; the consumer touches it and calls `update`.

        A child is yielded once a call, so one that keeps a deadline in the past cannot spin.
        """
        seen: set[K] = set()
        held: list[tuple[float, int, K]] = []
        while (deadline := self.next()) is not None and deadline <= now:
            entry = heappop(self._heap)
            child = entry[2]
            if child in seen:
                held.append(entry)
                continue
            seen.add(child)
            del self._current[child]
            yield child
        for entry in held:
            heappush(self._heap, entry)

    def _stale(self, entry: tuple[float, int, K]) -> bool:
        deadline, rank, child = entry
        return self._current.get(child) != deadline or self._ranks.get(child) != rank
