"""Workers side by side: begun together, followed to their end, and stood in for where one is lost and comes back."""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from .job import Row, Worker, WorkerLost

__all__ = ["Crew", "Part", "RunFailed"]

# Seconds from the word to start until a run begins: every worker has read it by then.
LEAD = 0.25

# Stand-ins that may end before they have begun, one after the other, and the seconds between them. Ray starts an actor
# again at once, and what kills each of them (a machine without memory, a package that is absent there) may pass.
MOST_STAND_INS = 20
STAND_IN_PAUSE = 1.0


class RunFailed(Exception):
    """A worker could not begin. `exit_status` as in the command's contract."""

    def __init__(self, exit_status: int, error: str) -> None:
        super().__init__(error)
        self.exit_status = exit_status


class Part:
    """What one worker did, and those that stood in for it. What is kept of that is a subclass's.

    Attributes:
        number: from 0.
        lost: how often its worker was lost, stand-ins that never began left out. away: it was lost for good.
        begun: what it said when it began.
        last: what it told last, of which no account has been given yet.
    """

    def __init__(self, number: int, worker: Worker) -> None:
        self.number = number
        self.worker = worker
        self.lost = 0
        self.away = False
        self.begun: Row = {}
        self.last: Row = {}

    def done(self, row: Row) -> None:
        """The last word of the worker."""

    def write_off(self, first: int, until: float) -> int:
        """Gives account of what is lost with the worker, by `last`.

        Args:
            first: where it began. until: seconds of the run that are over; what was due before then is lost as well.

        Returns:
            Where who stands in for it begins.
        """
        return first


PartT = TypeVar("PartT", bound=Part)


class Crew(Generic[PartT]):
    """All of them.

    Args:
        on_told: told of a part that has told something.
        on_worker: told of a part whose worker is `ready`, `lost`, or there again (`back`).
    """

    def __init__(
        self,
        parts: Sequence[PartT],
        on_told: Callable[[PartT], object],
        on_worker: Callable[[str, PartT], object],
    ) -> None:
        self.parts = parts
        self.interrupted = False
        self.interrupted_at = math.inf
        self._on_told = on_told
        self._on_worker = on_worker
        self._start = 0.0

    @property
    def lost(self) -> int:
        """How often a worker was lost."""
        return sum(part.lost for part in self.parts)

    @property
    def seconds(self) -> float:
        """Since the run began, or until it was interrupted."""
        return min(asyncio.get_running_loop().time(), self.interrupted_at) - self._start

    def interrupt(self) -> None:
        """Ends the run in order. Asked again, leaves the workers to themselves."""
        if self.interrupted:
            for part in self.parts:
                part.worker.kill()
        else:
            self.interrupted_at = asyncio.get_running_loop().time()
        self.interrupted = True
        for part in self.parts:
            part.worker.stop()

    async def run(self) -> None:
        """Returns when all have come to their end. Raises RunFailed."""
        try:
            begun = await asyncio.gather(*(self._begin(part) for part in self.parts), return_exceptions=True)
            for error in begun:
                if error is not None:
                    raise error
            self._start = asyncio.get_running_loop().time() + LEAD
            await asyncio.gather(*(self._follow(part) for part in self.parts))
        finally:
            await asyncio.gather(*(part.worker.end() for part in self.parts))

    async def _begin(self, part: PartT) -> None:
        try:
            row = await part.worker.begin()
        except WorkerLost as error:
            raise RunFailed(1, f"worker {part.number + 1} ended before it began: {error}") from None
        if row["event"] == "failed":
            raise RunFailed(int(row["exit"]), str(row["error"]))
        part.begun = row
        self._on_worker("ready", part)

    async def _follow(self, part: PartT) -> None:
        first = 0
        while not part.away:
            if self.interrupted:
                part.worker.stop()
            try:
                row = await part.worker.run(self._start, first, lambda row: self._note(part, row))
            except WorkerLost:
                first = await self._replace(part, first)
            else:
                part.last = {}
                part.done(row)
                return

    def _note(self, part: PartT, row: Row) -> None:
        part.last = row
        self._on_told(part)

    async def _replace(self, part: PartT, first: int) -> int:
        """Has a lost worker stood in for, where that can be; where that one begins."""
        lost_at = self.seconds
        part.lost += 1
        self._on_worker("lost", part)
        part.away = not await self._stand_in(part)
        first = part.write_off(first, lost_at if part.away else self.seconds)
        part.last = {}
        if not part.away:
            self._on_worker("back", part)
        return first

    async def _stand_in(self, part: PartT) -> bool:
        """Whether one has begun."""
        for _ in range(MOST_STAND_INS):
            if self.interrupted or not await part.worker.revive():
                return False
            with suppress(WorkerLost):
                part.begun = await part.worker.begin()
                return bool(part.begun["event"] != "failed")
            await asyncio.sleep(STAND_IN_PAUSE)
        return False
