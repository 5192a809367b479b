"""Workers that are actors of a Ray cluster. Ray places them, a core for each, and starts those again that are lost."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import click

from sansio_sip_cli.runtimes import go_first

from .job import TELL_EVERY, Job, Row, WorkerLost, open_job

__all__ = ["ClusterWorker", "connected"]

# Seconds that Ray may take to find a core for a worker, at first and after a loss.
PLACEMENT = 60.0

# Seconds between questions to an actor that is being started again.
ASK_AGAIN = 0.25

# Octets that a cluster of our own keeps for objects: the least that Ray takes. Ours are some kB.
OBJECT_STORE = 80 * 1024 * 1024

# Seconds that a worker that was told to stop may take: BYEs without an answer, and the end of a registration.
PARTING = 60.0


class Actor:
    """What runs in the cluster: one job on the event loop of its process."""

    def __init__(self, kind: str, plan: Row) -> None:
        import ray

        self._kind = kind
        self._plan = plan
        self._node = ray.util.get_node_ip_address()
        self._job: Job | None = None

    async def about(self) -> Row:
        """Where it is; `clock`: the time of its loop, which another machine's is not."""
        return {"node": self._node, "pid": os.getpid(), "clock": asyncio.get_running_loop().time()}

    async def begin(self) -> Row:
        go_first()
        if self._job is not None:
            self._job.stop()  # it could not be reached for a while, was written off, and begins anew
        self._job, row = await open_job(self._kind, self._plan, self._node)
        return row

    async def run(self, start: float, first: int) -> Row:
        assert self._job is not None
        return await self._job.run(start, first)

    async def progress(self) -> Row:
        assert self._job is not None
        return self._job.progress()

    async def stop(self) -> None:
        if self._job is not None:
            self._job.stop()


class ClusterWorker:
    """An actor, from outside. Only between `connected`.

    Args:
        restarts: how often Ray starts it again; -1: always.
    """

    def __init__(self, kind: str, plan: Row, restarts: int) -> None:
        import ray

        self.about: Row = {}
        self._is_lost = ray.exceptions.RayActorError
        self._is_lost_for_good = ray.exceptions.ActorDiedError
        self._kill = ray.kill
        # Methods are called while another waits: run, progress, stop.
        make = ray.remote(Actor).options(num_cpus=1, max_restarts=restarts, max_concurrency=8)
        self._actor: Any = make.remote(kind, plan)
        self._offset = 0.0
        self._stopped = False
        self._to_end = False

    async def begin(self) -> Row:
        try:
            async with asyncio.timeout(PLACEMENT):
                await self._measure()
        except TimeoutError:
            error = f"Ray found no core within {PLACEMENT:.0f} s; give fewer --workers, or see `ray status`"
            return {"event": "failed", "exit": 1, "error": error}
        except self._is_lost as error:
            raise WorkerLost(_last_line(error)) from None
        row = await self._ask(self._actor.begin)
        self._to_end = row["event"] != "failed"
        return row

    async def run(self, start: float, first: int, on_progress: Callable[[Row], object]) -> Row:
        run = asyncio.ensure_future(self._ask(self._actor.run, start + self._offset, first))
        try:
            if self._stopped:
                self.stop()
            while not run.done():
                row = await self._ask(self._actor.progress)
                if not run.done():
                    on_progress(row)
                await asyncio.wait([run], timeout=TELL_EVERY)
            return await run
        finally:
            self._to_end = False
            run.cancel()
            await asyncio.wait([run])
            if not run.cancelled():
                run.exception()  # seen: whoever asked for progress has met the same

    async def revive(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(PLACEMENT):
                while not self._stopped:
                    try:
                        await self._measure()
                    except self._is_lost_for_good:
                        return False
                    except self._is_lost:
                        await asyncio.sleep(ASK_AGAIN)
                    else:
                        return True
        return False

    def stop(self) -> None:
        self._stopped = True
        self._actor.stop.remote()

    def kill(self) -> None:
        self._kill(self._actor)

    async def end(self) -> None:
        if self._to_end:
            self.stop()
            with suppress(WorkerLost, TimeoutError):
                async with asyncio.timeout(PARTING):
                    await self._ask(self._actor.run, 0.0, 0)
        self.kill()

    async def _measure(self) -> None:
        """Where it is, and how far its clock is from ours: it answered half-way between question and answer."""
        clock = asyncio.get_running_loop().time
        # The first answer waits for Ray to place the actor; the second comes at once.
        for _ in range(2):
            asked = clock()
            about = await self._actor.about.remote()
            self._offset = about.pop("clock") - (asked + clock()) / 2
        self.about = about

    async def _ask(self, method: Any, *arguments: Any) -> Row:
        try:
            row: Row = await method.remote(*arguments)
        except self._is_lost as error:
            raise WorkerLost(_last_line(error)) from None
        return row


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


@contextmanager
def connected(address: str) -> Iterator[int]:
    """Joins the cluster at HOST:PORT, the one of this machine (`auto`), or one of our own (`local`).

    Gives the number of its cores. What Ray prints meanwhile goes to standard error. Raises click.ClickException.
    """
    # A cluster of our own tells nobody of itself.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise click.ClickException("ray is not installed; pip install 'sansio-sip[fleet]'") from None
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE} if address == "local" else {}
    with redirect_stdout(sys.stderr):
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level="ERROR",
                # Actors have the loop of asyncio itself: uvloop's timers are of whole milliseconds.
                runtime_env={"env_vars": {"RAY_USE_UVLOOP": "0"}},
                **own,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            words = " ".join(str(error).split())[:200]
            raise click.ClickException(
                f"--ray is {address!r}: {words}; start a cluster with `ray start --head`"
            ) from None
        try:
            yield int(ray.cluster_resources().get("CPU", 0))
        finally:
            ray.shutdown()
