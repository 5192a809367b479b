"""Workers that are processes of this machine.

One is told what to do by rows of JSON on standard input: the job first, then `{"start": TIME, "first": 0}` and perhaps
`{"stop": true}`; it tells what it does by rows on standard output.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from sansio_sip_cli.exit_status import DONE, FAILED
from sansio_sip_cli.runtimes import go_first

from .job import TELL_EVERY, Job, Row, WorkerLost, open_job

__all__ = ["HERE", "ProcessWorker", "main"]

# Seconds that a worker that was told to stop may take: BYEs without an answer, and the end of a registration.
PARTING = 60.0

HERE = "127.0.0.1"


class ProcessWorker:
    """One of them, from outside."""

    def __init__(self, kind: str, plan: Row) -> None:
        self.about: Row = {}
        self._order = {"kind": kind, "plan": plan}
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self) -> Row:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sansio_sip_cli.workers.process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Ctrl-C is for this process: it tells the workers.
            start_new_session=True,
        )
        self.about = {"node": HERE, "pid": self._process.pid}
        self._say(self._order)
        return await self._row("ready", "failed")

    async def run(self, start: float, first: int, on_progress: Callable[[Row], object]) -> Row:
        self._say({"start": start, "first": first})
        while (row := await self._row("progress", "done"))["event"] == "progress":
            on_progress(row)
        return row

    async def revive(self) -> bool:
        return False

    def stop(self) -> None:
        self._say({"stop": True})

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def end(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()

    async def _row(self, *wanted: str) -> Row:
        """The next row of one of these kinds."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            row: Row = json.loads(line)
            if row["event"] in wanted:
                return row
        raise WorkerLost("see its words above")

    def _say(self, row: Row) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        with suppress(ConnectionError, RuntimeError):
            self._process.stdin.write(json.dumps(row).encode() + b"\n")


def _own_output() -> TextIO:
    """Standard output, for rows alone: what scenarios and programs that they start print goes to standard error."""
    rows = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr
    return rows


async def _serve(rows: TextIO) -> int:
    def tell(row: Row) -> None:
        print(json.dumps(row), file=rows, flush=True)

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    order = json.loads(await reader.readline())
    job, row = await open_job(order["kind"], order["plan"], HERE)
    tell(row)
    if job is None:
        return FAILED
    order = json.loads(await reader.readline() or b"{}")
    if "start" not in order:
        job.stop()
    beside = [loop.create_task(_listen(reader, job)), loop.create_task(_report(job, tell))]
    row = await job.run(float(order.get("start", loop.time())), int(order.get("first", 0)))
    for task in beside:
        task.cancel()
    tell(row)
    return DONE


async def _listen(reader: asyncio.StreamReader, job: Job) -> None:
    """Anything more on standard input, its end too, stops the run."""
    await reader.readline()
    job.stop()


async def _report(job: Job, tell: Callable[[Row], None]) -> None:
    while True:
        tell(job.progress())
        await asyncio.sleep(TELL_EVERY)


def main() -> None:
    """`python -m sansio_sip_cli.workers.process`."""
    go_first()
    sys.exit(asyncio.run(_serve(_own_output())))


if __name__ == "__main__":
    main()
