"""The workers of a run, and the sum of what they tell."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice, takewhile

from sansio_sip_cli.workers.crew import Crew, Part
from sansio_sip_cli.workers.job import Row, Worker

from .job import Plan
from .tally import Tally

__all__ = ["LoadPart", "Supervisor", "plans"]

UP = "the worker was lost during the call"
DUE = "the worker was lost or away when the call was due"


class LoadPart(Part):
    """The tally of one worker, and of those that stood in for it."""

    def __init__(self, number: int, worker: Worker, plan: Plan) -> None:
        super().__init__(number, worker)
        self.plan = plan
        self.tally = Tally()

    def done(self, row: Row) -> None:
        self.tally.add(row["tally"])

    def write_off(self, first: int, until: float) -> int:
        """What was told last stands; calls that were up then have failed, and so have those that were due since."""
        if self.last:
            self.tally.add(self.last["tally"])
            for _ in range(self.last["up"]):
                self.tally.fail(UP, int(until))
            first = self.last["next"]
        share = islice(self.plan.arrivals.share(self.plan.worker, self.plan.workers), first, None)
        for moment in takewhile(lambda moment: moment < until, share):
            self.tally.count("placed", int(moment))
            self.tally.fail(DUE, int(moment))
            first += 1
        return first

    def count(self, name: str) -> int:
        """By now."""
        told = self.last["tally"]["counts"].get(name, 0) if self.last else 0
        return self.tally.counts[name] + int(told)

    def as_dict(self) -> Row:
        """For the report; of each histogram, how many values it has."""
        row = self.tally.as_dict()
        measured = {name: self.tally.measured(name) for name in row["histograms"]}
        kept = {name: row[name] for name in ("counts", "failures", "scenarios")}
        return {"worker": self.number + 1, **self.worker.about, "lost": self.lost, **kept, "measured": measured}


def plans(plan: Plan, workers: int) -> list[Plan]:
    """The plan of each worker; {n} in the account is its number, from 1."""
    account = plan.options["account"]
    return [
        replace(
            plan,
            options={**plan.options, "account": account.replace("{n}", str(number + 1))},
            worker=number,
            workers=workers,
        )
        for number in range(workers)
    ]


class Supervisor:
    """One run.

    Args:
        each: the plan of each worker. workers: who carries them out.
        on_progress: told the sum of what they have done, and the seconds of the run, a few times a second.
        on_worker: told of a part whose worker is `ready`, `lost`, or there again (`back`).
    """

    def __init__(
        self,
        each: Sequence[Plan],
        workers: Sequence[Worker],
        on_progress: Callable[[dict[str, int], float], object],
        on_worker: Callable[[str, LoadPart], object] = lambda state, part: None,
    ) -> None:
        pairs = enumerate(zip(workers, each, strict=True))
        self.parts = [LoadPart(number, worker, plan) for number, (worker, plan) in pairs]
        self.crew = Crew(self.parts, self._told, on_worker)
        self.tally = Tally()
        self.seconds = 0.0
        self._span = each[0].arrivals.span
        self._on_progress = on_progress

    async def run(self) -> None:
        """Returns when all calls have ended; `tally` is the sum of the parts then. Raises RunFailed."""
        await self.crew.run()
        # Calls were placed for so long: the end of the last ones is not part of the rate.
        self.seconds = max(0.0, min(self._span, self.crew.seconds))
        for part in self.parts:
            self.tally.add(part.tally.as_dict())

    def _told(self, _: LoadPart) -> None:
        counts = {name: sum(part.count(name) for part in self.parts) for name in ("placed", "answered", "failed")}
        counts["now"] = sum(int(part.last.get("now", 0)) for part in self.parts)
        self._on_progress(counts, self.crew.seconds)
