"""Bursts and gaps of loss (RFC 3611 section 4.7.2 and appendix A.2): how losses come, not only how many.

A *burst* begins and ends with a loss, and holds no `GMIN` packets in a row that were played; all else is *gap*. Lost
and discarded packets count alike: neither was played. The counts are of steps between the appendix's four states: 1
played in a gap, 4 lost alone in a gap, 3 lost in a burst, 2 played in a burst.
"""

from dataclasses import dataclass

__all__ = ["GMIN", "BurstGap", "BurstReport"]

GMIN = 16


@dataclass(frozen=True, slots=True)
class BurstReport:
    """Densities from 0.0 to 1.0; mean durations in packets; `ratio` is BurstR of G.107: 1.0 where losses are random."""

    burst_density: float
    gap_density: float
    burst_length: float
    gap_length: float
    ratio: float


class BurstGap:
    """Counts. `missed` and `played` in the order in which packets were due."""

    __slots__ = ("_c11", "_c13", "_c14", "_c22", "_c23", "_c33", "_lost", "_run")

    def __init__(self) -> None:
        self._c11 = self._c13 = self._c14 = self._c22 = self._c23 = self._c33 = 0
        self._run = 0  # packets played since the last loss
        self._lost = 0  # losses of the burst that may be under way

    def played(self) -> None:
        self._run += 1

    def missed(self) -> None:
        if self._run >= GMIN or not self._lost:
            if self._lost == 1:
                self._c14 += 1  # the one before stood alone
            elif self._lost:
                self._c13 += 1  # the burst before is over
            self._lost = 1
            self._c11 += self._run
        else:
            self._lost += 1
            if self._run:
                self._c23 += 1
                self._c22 += self._run - 1
            else:
                self._c33 += 1
        self._run = 0

    def report(self) -> BurstReport | None:
        """None: nothing has been due yet. What is under way counts as if it were over."""
        c11 = self._c11 + self._run
        c13, c14 = self._c13 + (self._lost > 1), self._c14 + (self._lost == 1)
        c31, c32 = c13, self._c23
        total = c11 + c14 + c13 + self._c22 + self._c23 + c31 + c32 + self._c33
        losses = c14 + c13 + self._c23 + self._c33
        if not total:
            return None
        gap_density = c14 / (c11 + c14) if c14 else 0.0
        if not c13:
            return BurstReport(0.0, gap_density, 0.0, float(total), 1.0)
        p32 = c32 / (c31 + c32 + self._c33)
        p23 = 1 - self._c22 / (self._c22 + self._c23) if self._c22 else 1.0
        gap_length = (c11 + c14 + c13) / c13
        share = losses / total
        return BurstReport(
            burst_density=p23 / (p23 + p32),
            gap_density=gap_density,
            burst_length=total / c13 - gap_length,
            gap_length=gap_length,
            ratio=max(losses / (losses - self._c33) * (1 - share), 1.0) if losses > self._c33 else 1.0,
        )
