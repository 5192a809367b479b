"""Starts the workers of a run, keeps them in step, and adds up what they tell."""

import asyncio
import json
import math
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from .tally import Tally
from .worker import Plan

__all__ = ["RunFailed", "Supervisor"]

# Seconds from the word to start until the first call: every worker has read it by then.
LEAD = 0.25

# Seconds that a worker that was told to stop may take: BYEs without an answer, and the end of a registration.
PARTING = 60.0


class RunFailed(Exception):
    """A worker could not begin. `exit_status` as in the command's contract."""

    def __init__(self, exit_status: int, error: str) -> None:
        super().__init__(error)
        self.exit_status = exit_status


class Supervisor:
    """One run. `on_progress(counts)` is told the sum of what the workers have done, a few times a second."""

    def __init__(self, plan: Plan, workers: int, on_progress: Callable[[dict[str, int], float], object]) -> None:
        self.tally = Tally()
        self.lost = 0
        """Workers that ended without their tally."""
        self.seconds = 0.0
        self.interrupted = False
        self._plan = plan
        self._workers = workers
        self._on_progress = on_progress
        self._processes: list[asyncio.subprocess.Process] = []
        self._progress: dict[int, dict[str, int]] = {}
        self._start = 0.0
        self._interrupted_at = math.inf

    def interrupt(self) -> None:
        """Ends the run: calls are hung up, and what ran is told. Asked again, leaves the workers to themselves."""
        if self.interrupted:
            for process in self._processes:
                with suppress(ProcessLookupError):
                    process.kill()
        else:
            self._interrupted_at = asyncio.get_running_loop().time()
        self.interrupted = True
        for process in self._processes:
            self._say(process, {"stop": True})

    async def run(self) -> None:
        """Returns when all calls have ended; `tally` is whole then. Raises RunFailed."""
        async with AsyncExitStack() as stack:
            for number in range(self._workers):
                self._processes.append(await self._spawn(number))
            stack.push_async_callback(self._end)
            ready = await asyncio.gather(*(self._row(process, "ready") for process in self._processes))
            for number, row in enumerate(ready):
                if row.get("event") == "failed":
                    raise RunFailed(int(row["exit"]), str(row["error"]))
                if not row:
                    raise RunFailed(1, f"worker {number + 1} ended before it began; see its words above")
            loop = asyncio.get_running_loop()
            self._start = loop.time() + LEAD
            for process in self._processes:
                self._say(process, {"stop": True} if self.interrupted else {"start": self._start})
            await asyncio.gather(*(self._follow(number, process) for number, process in enumerate(self._processes)))
            # Calls were placed for so long: the end of the last ones is not part of the rate.
            self.seconds = max(0.0, min(self._plan.arrivals.span, self._interrupted_at - self._start))

    async def _spawn(self, number: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sansio_sip_cli.load.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Ctrl-C is for this process: it tells the workers.
            start_new_session=True,
        )
        options = {**self._plan.options, "account": self._plan.options["account"].replace("{n}", str(number + 1))}
        self._say(process, replace(self._plan, options=options, worker=number, workers=self._workers).as_dict())
        return process

    async def _row(self, process: asyncio.subprocess.Process, *wanted: str) -> dict[str, Any]:
        """The next row of one of these kinds, or that it failed; {} where it has ended."""
        assert process.stdout is not None
        async for line in process.stdout:
            row: dict[str, Any] = json.loads(line)
            if row["event"] in (*wanted, "failed"):
                return row
        return {}

    async def _follow(self, number: int, process: asyncio.subprocess.Process) -> None:
        while row := await self._row(process, "progress", "done"):
            if row["event"] == "done":
                self.tally.add(row["tally"])
                return
            self._progress[number] = row
            names = ("placed", "answered", "failed", "now")
            counts = {name: sum(each[name] for each in self._progress.values()) for name in names}
            self._on_progress(counts, asyncio.get_running_loop().time() - self._start)
        self.lost += 1
        self._write_off(self._progress.get(number, {}))

    def _write_off(self, last: dict[str, int]) -> None:
        """Calls of a lost worker, as it last told of them: those that were up have failed."""
        counts = self.tally.counts
        for name in ("placed", "answered", "failed"):
            counts[name] += last.get(name, 0)
        if last.get("failed"):
            self.tally.failures["unknown: the worker was lost"] += last["failed"]
        if last.get("now"):
            counts["failed"] += last["now"]
            self.tally.failures["the worker was lost during the call"] += last["now"]

    @property
    def pids(self) -> list[int]:
        """Of the workers that run."""
        return [process.pid for process in self._processes if process.returncode is None]

    def _say(self, process: asyncio.subprocess.Process, row: dict[str, Any]) -> None:
        assert process.stdin is not None
        with suppress(ConnectionError, RuntimeError):
            process.stdin.write(json.dumps(row).encode() + b"\n")

    async def _end(self) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            with suppress(TimeoutError):
                async with asyncio.timeout(PARTING):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
