"""What a run has counted and measured. Tallies of workers add up to the tally of the run."""

from collections import Counter
from typing import Any

from hdrh.histogram import HdrHistogram

__all__ = ["HISTOGRAMS", "Tally", "percent"]

# Name, unit, and how many of what is kept (an integer) make one of the unit.
HISTOGRAMS = {
    "setup": ("ms", 1000),  # INVITE sent to answer acknowledged
    "ring": ("ms", 1000),  # INVITE sent to the first 180
    "media": ("ms", 1000),  # answer to the moment audio can flow
    "dtmf": ("ms", 1000),  # key pressed to the same key back
    "mos": ("", 1000),
    "loss": ("%", 10_000),
    "jitter": ("ms", 1000),
    "rtt": ("ms", 1000),
    "late": ("ms", 1000),  # call due to call begun, in the generator itself
}

# An hour in microseconds, at three significant digits: about 200 kB a histogram.
HIGHEST, DIGITS = 3_600_000_000, 3


class Tally:
    """Counters and histograms.

    Attributes:
        counts: of calls placed, answered, ended by us..., by name.
        failures: calls that failed, by cause. scenarios: runs of each.
        seconds: placed, answered and failed calls by the second of the run.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.scenarios: Counter[str] = Counter()
        self.seconds: dict[str, Counter[int]] = {name: Counter() for name in ("placed", "answered", "failed")}
        self.histograms: dict[str, Any] = {}

    def record(self, name: str, value: float) -> None:
        """A value in the unit of the histogram."""
        if name not in self.histograms:
            self.histograms[name] = HdrHistogram(1, HIGHEST, DIGITS)
        self.histograms[name].record_value(min(max(0, round(value * HISTOGRAMS[name][1])), HIGHEST))

    def count(self, name: str, second: int | None = None) -> None:
        self.counts[name] += 1
        if second is not None and name in self.seconds:
            self.seconds[name][second] += 1

    def fail(self, cause: str, second: int) -> None:
        self.failures[cause] += 1
        self.count("failed", second)

    def measured(self, name: str) -> int:
        """How many values a histogram has."""
        return int(self.histograms[name].get_total_count()) if name in self.histograms else 0

    def at(self, name: str, percentile: float) -> float | None:
        """A percentile in the unit of the histogram; None where nothing was measured."""
        if not self.measured(name):
            return None
        return float(self.histograms[name].get_value_at_percentile(percentile)) / HISTOGRAMS[name][1]

    def mean(self, name: str) -> float | None:
        if not self.measured(name):
            return None
        return float(self.histograms[name].get_mean_value()) / HISTOGRAMS[name][1]

    def bars(self, name: str) -> list[tuple[float, int]]:
        """Each value that was recorded, with its count."""
        if name not in self.histograms:
            return []
        scale = HISTOGRAMS[name][1]
        return [
            (each.value_iterated_to / scale, each.count_at_value_iterated_to)
            for each in self.histograms[name].get_recorded_iterator()
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `add` takes it again. Histograms are in the compressed HDR format, version 2."""
        return {
            "counts": dict(self.counts),
            "failures": dict(self.failures),
            "scenarios": dict(self.scenarios),
            "seconds": {name: {str(at): count for at, count in row.items()} for name, row in self.seconds.items()},
            "histograms": {name: each.encode().decode("ascii") for name, each in self.histograms.items()},
        }

    def add(self, other: dict[str, Any]) -> None:
        """Adds what `as_dict` of another tally gave."""
        self.counts.update(other["counts"])
        self.failures.update(other["failures"])
        self.scenarios.update(other["scenarios"])
        for name, row in other["seconds"].items():
            self.seconds[name].update({int(at): count for at, count in row.items()})
        for name, text in other["histograms"].items():
            if name not in self.histograms:
                self.histograms[name] = HdrHistogram(1, HIGHEST, DIGITS)
            self.histograms[name].decode_and_add(text.encode("ascii"))


def percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0
