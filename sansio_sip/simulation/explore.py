"""Bounded model checking: every order in which things can happen to some machines, up to a bound.

Theory of operation
-------------------
A *subject* holds machines and what is on the wire between them. It says which moves are possible now, and makes one of
them. `explore` starts from one subject and goes breadth first: each move is made on a copy, every
property is asked of the state that comes out, and a state that was seen before is not gone into again. So the first
violation found is one of the shortest, and is told as the list of moves that leads to it.

States are equal when their machines are, clocks apart: `canonical` walks through all attributes and writes times
relative to now. A time is told from other numbers by its size, for a subject's clock starts at `EPOCH`. Sources of
random bits are left out: what was drawn stands in the state where it matters.

`Wire` is a network without mercy: whatever is on the way may arrive next, or never, or twice, within a budget of each.
"""

import random
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, Protocol, Self, TypeVar

from sansio_sip.timers import Deadlines

__all__ = ["EPOCH", "Exploration", "Subject", "Violation", "Wire", "canonical", "explore"]

EPOCH = 1_000_000.0
"""Where the clocks of subjects begin, seconds. Any float from a half of this on is a time."""

# Counters only grow, and what a machine is made with never changes: states that differ in these alone are equal.
IGNORED = frozenset({"counters", "_context", "_table", "_timing", "hop"})


class Subject(Protocol):
    """What is explored.

    Attributes:
        now: seconds, from `EPOCH` on.
    """

    now: float

    def moves(self) -> list[str]:
        """What can happen now, each by a name of its own; none: the state is a final one."""

    def make(self, move: str) -> None:
        """Lets it happen."""

    def state(self) -> object:
        """What tells this state from others: the machines, the wire, and what properties look at."""

    def fork(self) -> Self:
        """A copy that goes its own way: `copy.deepcopy(self)`, or a cheaper one that shares what nobody changes."""


SubjectT = TypeVar("SubjectT", bound=Subject)
ItemT = TypeVar("ItemT")


class Violation(AssertionError):
    """A property that does not hold, or an exception, and the moves that lead there."""

    def __init__(self, name: str, path: tuple[str, ...]) -> None:
        super().__init__(f"{name}, after {' > '.join(path) or 'nothing'}")
        self.path = path


@dataclass(slots=True)
class Exploration:
    """What was explored.

    Attributes:
        states, transitions: different ones, and moves made.
        depth: the longest of the shortest ways to a state.
        final: states in which nothing can happen any more.
        complete: whether no state was left out for the bounds.
        properties: names of what was asked in every state, and of what was asked in final ones.
    """

    name: str
    states: int = 0
    transitions: int = 0
    depth: int = 0
    final: int = 0
    complete: bool = True
    properties: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        extent = "all of them" if self.complete else f"all within {self.depth} moves"
        head = f"{self.name}: {self.states} states ({extent}), {self.transitions} transitions, {self.final} final"
        return "\n".join([head, *(f"  holds: {name}" for name in self.properties)])


def canonical(value: Any, now: float) -> Hashable:
    """A value that is equal for equal states, times being relative to `now`."""
    if value is None or isinstance(value, str | bytes | bool | int):
        return value
    if isinstance(value, float):
        return round(value - now, 6) if value >= EPOCH / 2 else value
    if isinstance(value, Enum):
        return value.name
    if hasattr(value, "__bytes__"):
        return bytes(value)
    if isinstance(value, random.Random) or callable(value):
        return None
    if isinstance(value, Deadlines):
        return canonical(value._current, now)
    if isinstance(value, Mapping):
        return tuple([(canonical(key, now), canonical(each, now)) for key, each in value.items()])
    if isinstance(value, set | frozenset):
        return tuple(sorted(repr(canonical(each, now)) for each in value))
    if isinstance(value, list | tuple | deque):
        return tuple([canonical(each, now) for each in value])
    return (type(value).__name__, *(canonical(each, now) for each in _attributes(value)))


def _attributes(value: Any) -> Iterator[object]:
    for kind in type(value).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if name not in IGNORED and hasattr(value, name):
                yield getattr(value, name)
    for name, each in getattr(value, "__dict__", {}).items():
        if name not in IGNORED:
            yield each


class Wire(Generic[ItemT]):
    """What is on the way. An item may overtake others; `losses` of all may be lost, `doubles` come twice.

    What is put on a full wire is lost, as it would be in a router whose queue is full.
    """

    def __init__(self, *, capacity: int, losses: int = 0, doubles: int = 0) -> None:
        self.items: list[tuple[str, ItemT]] = []
        self.capacity = capacity
        self.losses = losses
        self.doubles = doubles

    def put(self, to: str, item: ItemT) -> None:
        if len(self.items) < self.capacity:
            self.items.append((to, item))

    def moves(self) -> list[str]:
        """Equal items are one and the same move."""
        names: list[str] = []
        seen: list[tuple[str, ItemT]] = []
        for number, item in enumerate(self.items):
            if item in seen:
                continue
            seen.append(item)
            names.append(f"deliver {number} to {item[0]}")
            if self.losses:
                names.append(f"lose {number} to {item[0]}")
            if self.doubles:
                names.append(f"double {number} to {item[0]}")
        return names

    def make(self, move: str) -> tuple[str, ItemT] | None:
        """What arrives by the move, if anything does."""
        what, number = move.split()[:2]
        if what == "double":
            self.doubles -= 1
            return self.items[int(number)]
        item = self.items.pop(int(number))
        if what == "lose":
            self.losses -= 1
            return None
        return item


def explore(
    name: str,
    subject: SubjectT,
    always: Mapping[str, Callable[[SubjectT], bool]],
    finally_: Mapping[str, Callable[[SubjectT], bool]] | None = None,
    *,
    max_states: int = 100_000,
    max_depth: int = 1000,
) -> Exploration:
    """Explores all that can happen.

    Args:
        always: properties of every state, by name.
        finally_: properties of states in which nothing can happen any more.
        max_states, max_depth: bounds; where one is met, the exploration is not complete, and says so.

    Raises:
        Violation: a property does not hold, or a move raised.
    """
    finally_ = finally_ or {}
    done = Exploration(name, properties=[*always, *(f"at the end: {each}" for each in finally_)])

    def check(one: SubjectT, moves: list[str], path: tuple[str, ...]) -> None:
        for words, holds in always.items():
            if not holds(one):
                raise Violation(f"does not hold: {words}", path)
        for words, holds in finally_.items() if not moves else ():
            if not holds(one):
                raise Violation(f"does not hold at the end: {words}", path)
        done.states += 1
        done.depth = max(done.depth, len(path))
        done.final += not moves

    def key(one: SubjectT) -> Hashable:
        return canonical(one.state(), one.now)

    first_moves = subject.moves()
    check(subject, first_moves, ())
    seen = {key(subject)}
    frontier: deque[tuple[SubjectT, list[str], tuple[str, ...]]] = deque([(subject, first_moves, ())])
    while frontier:
        one, moves, path = frontier.popleft()
        if len(path) >= max_depth:
            done.complete &= not moves
            continue
        for move in moves:
            if done.states >= max_states:
                done.complete = False
                return done
            fork = one.fork()
            way = (*path, move)
            try:
                fork.make(move)
            except Exception as error:
                raise Violation(f"raised {error!r}", way) from error
            done.transitions += 1
            if (reached := key(fork)) not in seen:
                seen.add(reached)
                next_moves = fork.moves()
                check(fork, next_moves, way)
                frontier.append((fork, next_moves, way))
    return done
