"""When calls begin: seconds from the start of a run, the same for every worker that asks with the same seed."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

__all__ = ["Arrivals"]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A process of arrivals.

    Attributes:
        kind: `constant`, equally far apart; `poisson`, each for itself; `ramp`, from `rate` to `last` over the run.
        rate, last: calls a second.
        seconds: of the run. calls: at most so many; 0 for as many as there is time for.
        seed: of a Poisson process.
    """

    kind: Literal["constant", "poisson", "ramp"]
    rate: float
    seconds: float
    last: float = 0.0
    calls: int = 0
    seed: int = 1

    def __iter__(self) -> Iterator[float]:
        for number, moment in enumerate(self._moments()):
            if moment >= self.seconds or (self.calls and number >= self.calls):
                return
            yield moment

    def share(self, worker: int, workers: int) -> Iterator[float]:
        """Each n-th arrival: the shares of all workers together are the whole."""
        return (moment for number, moment in enumerate(self) if number % workers == worker)

    @property
    def expected(self) -> float:
        """How many there will be, by the rate."""
        mean = (self.rate + self.last) / 2 if self.kind == "ramp" else self.rate
        count = mean * self.seconds
        return min(count, self.calls) if self.calls else count

    @property
    def span(self) -> float:
        """Seconds that calls are placed for: where `calls` ends it, until the moment that the next one had its turn."""
        if not self.calls:
            return self.seconds
        return min(self.seconds, next(islice(self._moments(), self.calls, None), self.seconds))

    def _moments(self) -> Iterator[float]:
        match self.kind:
            case "constant":
                number = 0
                while True:
                    yield number / self.rate
                    number += 1
            case "poisson":
                draw = random.Random(self.seed)
                moment = draw.expovariate(self.rate)
                while True:
                    yield moment
                    moment += draw.expovariate(self.rate)
            case "ramp":
                # Call n begins when the area under the rate is n: rate t + slope t^2 / 2 = n.
                slope = (self.last - self.rate) / self.seconds
                number = 0
                while True:
                    root = self.rate**2 + 2 * slope * number
                    if root < 0:
                        return
                    yield number / self.rate if slope == 0 else (math.sqrt(root) - self.rate) / slope
                    number += 1
