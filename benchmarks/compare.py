"""Times two ways of doing the same thing in turns, so that whatever else the machine does falls on both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Row", "compare", "table"]

ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. Times in microseconds of CPU; `limit`: the ratio we hold ourselves to, or None."""

    what: str
    peer: str
    ours: float
    theirs: float
    limit: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def compare(
    what: str, peer: str, ours: Callable[[], object], theirs: Callable[[], object], limit: float | None = None
) -> Row:
    """Medians of rounds in turns, each long enough for the clock."""
    times: tuple[list[float], list[float]] = ([], [])
    counts = [_enough(each) for each in (ours, theirs)]
    for _ in range(ROUNDS):
        for each, count, taken in zip((ours, theirs), counts, times, strict=True):
            start = time.process_time()
            for _ in range(count):
                each()
            taken.append((time.process_time() - start) / count * 1e6)
    return Row(what, peer, statistics.median(times[0]), statistics.median(times[1]), limit)


def _enough(function: Callable[[], object]) -> int:
    """How often to call it for 50 ms."""
    count = 1
    while True:
        start = time.process_time()
        for _ in range(count):
            function()
        taken = time.process_time() - start
        if taken > 0.01:
            return max(1, int(count * 0.05 / taken))
        count *= 4


def table(rows: list[Row], unit: str = "us") -> str:
    """A Markdown table."""
    lines = [f"| what | peer | ours {unit} | peer {unit} | ratio | at most |", "|---|---|---|---|---|---|"]
    for row in rows:
        limit = "" if row.limit is None else f"{row.limit:.2f}"
        lines.append(f"| {row.what} | {row.peer} | {row.ours:.1f} | {row.theirs:.1f} | {row.ratio:.2f} | {limit} |")
    return "\n".join(lines)
