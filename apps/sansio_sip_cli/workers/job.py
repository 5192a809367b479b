"""What a worker does, and the way to one, wherever it is: a process of this machine, or an actor of a Ray cluster."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import click

__all__ = ["TELL_EVERY", "Job", "Row", "Worker", "WorkerLost", "on_node", "open_job"]

# What crosses between processes and machines: values that JSON has.
Row: TypeAlias = dict[str, Any]

# In --listen and --bind: the address of the machine that a worker runs on.
NODE = "{node}"

# Seconds between what a worker tells of itself.
TELL_EVERY = 0.5


class WorkerLost(Exception):
    """The process of a worker has ended without its last word."""


class Job(Protocol):
    """The work itself, on the event loop of the worker's process."""

    async def begin(self) -> Row:
        """Opens a phone and brings its account up: `{"event": "ready"}`, or `failed` with `exit` and `error`."""

    async def run(self, start: float, first: int) -> Row:
        """Works to the end.

        Args:
            start: when the run begins, by the clock of this loop; it may be past.
            first: what was given out before it is not for this worker: it stands in for one that was lost.
        """

    def progress(self) -> Row:
        """What has been done by now, of which account can be given should there be no last word."""

    def stop(self) -> None:
        """Has `run` come to its end soon."""


class Worker(Protocol):
    """A job somewhere, from outside. What waits raises WorkerLost.

    Attributes:
        about: where it is, as soon as it has begun: `node` and `pid`.
    """

    about: Row

    async def begin(self) -> Row:
        """As `Job.begin`."""

    async def run(self, start: float, first: int, on_progress: Callable[[Row], object]) -> Row:
        """As `Job.run`; `start` is by the clock of the loop here."""

    async def revive(self) -> bool:
        """After it was lost: waits until it is there again, to begin once more. False: it will not be."""

    def stop(self) -> None:
        """As `Job.stop`, at any time."""

    def kill(self) -> None:
        """Ends it at once."""

    async def end(self) -> None:
        """Leaves nothing of it behind."""


def on_node(options: Row, node: str) -> Row:
    """The options of an account on the machine of that address."""
    return {name: value.replace(NODE, node) if isinstance(value, str) else value for name, value in options.items()}


async def open_job(kind: str, plan: Row, node: str) -> tuple[Job | None, Row]:
    """Begins the job of a plan, `load` or `fleet`: the job, if it did begin, and what it said.

    `node` is the address of this machine.
    """
    plan = {**plan, "options": on_node(plan["options"], node)}
    job: Job
    try:
        if kind == "load":
            from sansio_sip_cli.load.job import LoadJob, Plan

            job = LoadJob(Plan.of(plan))
        else:
            from sansio_sip_cli.fleet.job import FleetJob, FleetPlan

            job = FleetJob(FleetPlan(**plan))
    except click.ClickException as error:  # what is well where the command runs need not be so here
        return None, {"event": "failed", "exit": error.exit_code, "error": f"on {node}: {error.format_message()}"}
    row = await job.begin()
    return (None if row["event"] == "failed" else job), row
