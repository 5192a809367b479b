"""The figures of a run, whether it counts, and what it was to keep (SLOs)."""

import re
from dataclasses import dataclass
from typing import Any

from .tally import HISTOGRAMS, Tally, percent

__all__ = ["Figures", "Goal"]

PERCENTILES = (50, 90, 95, 99)

# More ticks of 20 ms than this, per cent, that came too late to be made up for: audio was not what it seemed.
MAX_LATE_TICKS = 1.0

GOAL = re.compile(r"([a-z_]+[0-9]*)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*(?:ms|%)?")


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and its bound, such as `setup_p95<=500`, `failed<1%`, `mos_p5>=4`."""

    figure: str
    relation: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Goal":
        """Raises ValueError, which says what is allowed."""
        match = GOAL.fullmatch(text.strip())
        if match is None or match[1] not in Figures.names():
            known = (
                "failed, one_way, rate, and setup, ring, media, dtmf, mos, loss, jitter, rtt with _mean, _p5, _p95..."
            )
            raise ValueError(f"give FIGURE<=VALUE or FIGURE>=VALUE, with {known}")
        return cls(match[1], match[2], float(match[3]))

    def __str__(self) -> str:
        return f"{self.figure}{self.relation}{self.bound:g}"

    def is_kept(self, figures: dict[str, float | None]) -> bool:
        """A figure that was never measured keeps nothing."""
        value = figures[self.figure]
        if value is None:
            return False
        match self.relation:
            case "<=":
                return value <= self.bound
            case ">=":
                return value >= self.bound
            case "<":
                return value < self.bound
            case _:
                return value > self.bound


class Figures:
    """What a tally comes to.

    Args:
        seconds: that calls were to be placed for.
        max_late_ms: the 99th percentile of the generator's own lateness beyond which nothing of the run counts.
        interrupted: the run was ended before its time.
    """

    def __init__(self, tally: Tally, seconds: float, max_late_ms: float, *, interrupted: bool = False) -> None:
        self.tally = tally
        self.seconds = seconds
        self.interrupted = interrupted
        self._max_late_ms = max_late_ms

    @staticmethod
    def names() -> set[str]:
        """What a goal may be about."""
        named = {f"{name}_p{each}" for name in HISTOGRAMS for each in (1, 5, 10, *PERCENTILES)}
        return (
            named
            | {f"{name}_mean" for name in HISTOGRAMS}
            | {f"{name}_max" for name in HISTOGRAMS}
            | {
                "failed",
                "one_way",
                "rate",
            }
        )

    def all(self) -> dict[str, float | None]:
        """By name; None where nothing was measured. Units as in `HISTOGRAMS`, shares in per cent."""
        counts = self.tally.counts
        found: dict[str, float | None] = {
            "failed": percent(counts["failed"], counts["placed"]) if counts["placed"] else None,
            "one_way": percent(counts["one way"], counts["with media"]) if counts["with media"] else None,
            "rate": counts["placed"] / self.seconds if self.seconds else None,
        }
        for name in HISTOGRAMS:
            found[f"{name}_mean"] = self.tally.mean(name)
            found[f"{name}_max"] = self.tally.at(name, 100)
            for each in (1, 5, 10, *PERCENTILES):
                found[f"{name}_p{each}"] = self.tally.at(name, each)
        return {name: None if value is None else round(value, 4) for name, value in found.items()}

    @property
    def fault(self) -> str:
        """Why the run does not count: the generator itself was late. Empty where it does."""
        late = self.tally.at("late", 99) or 0.0
        if late > self._max_late_ms:
            return (
                f"the generator began its calls late (99th percentile {late:.0f} ms, allowed {self._max_late_ms:g} ms);"
                " give it more --workers, or a lower rate"
            )
        ticks = 50 * self.tally.counts["seconds"]
        share = percent(self.tally.counts["late ticks"], ticks)
        if share > MAX_LATE_TICKS:
            return (
                f"the generator's audio was late ({share:.1f} % of its ticks, allowed {MAX_LATE_TICKS:g} %); "
                "give it more --workers, or fewer calls"
            )
        return ""

    def as_dict(self, goals: list[Goal]) -> dict[str, Any]:
        """The report as JSON has it."""
        figures = self.all()
        return {
            "event": "summary",
            "valid": not self.fault,
            "fault": self.fault,
            "interrupted": self.interrupted,
            "lasted": round(self.seconds, 3),
            "figures": figures,
            "goals": [{"goal": str(goal), "kept": goal.is_kept(figures)} for goal in goals],
            **self.tally.as_dict(),
        }

    def lines(self, goals: list[Goal]) -> list[str]:
        """For a terminal of 80 columns."""
        counts = self.tally.counts
        rate = counts["placed"] / max(self.seconds, 1e-9)
        lines = [f"{counts['placed']} calls placed in {self.seconds:.1f} s, {rate:.1f} a second"]
        lines.append(f"{counts['answered']} answered, {counts['failed']} failed")
        lines += [f"  {count} x {cause}" for cause, count in self.tally.failures.most_common(10)]
        lines.append(f"{'':<12}{'n':>8}{'mean':>10}{'p50':>10}{'p95':>10}{'p99':>10}{'max':>10}")
        for name, (unit, _) in HISTOGRAMS.items():
            if self.tally.measured(name):
                values = [self.tally.mean(name), *(self.tally.at(name, each) for each in (50, 95, 99, 100))]
                cells = "".join(f"{value:>10.2f}" for value in values if value is not None)
                lines.append(f"{name + (f' {unit}' if unit else ''):<12}{self.tally.measured(name):>8}{cells}")
        if counts["with media"]:
            lines.append(f"{counts['one way']} of {counts['with media']} calls were heard one way only")
        figures = self.all()
        for goal in goals:
            value = figures[goal.figure]
            shown = "not measured" if value is None else f"{value:g}"
            lines.append(f"{'kept  ' if goal.is_kept(figures) else 'MISSED'} {goal} ({shown})")
        if self.fault:
            lines.append(f"INVALID: {self.fault}")
        return lines
