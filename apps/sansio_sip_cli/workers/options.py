"""What `load` and `fleet` have in common on the command line: where workers are, and word of them."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

import click

from sansio_sip_cli.runtimes import RUNTIMES

from .crew import Crew, Part
from .job import Row, Worker, on_node
from .process import HERE, ProcessWorker

__all__ = ["Placed", "Teller", "as_of_first", "place", "run_crew", "worker_options"]

F = TypeVar("F", bound=Callable[..., Any])

STATES = {
    "ready": "ready",
    "lost": "lost, and its calls with it",
    "back": "there again",
}


def worker_options(command: F) -> F:
    """Adds --workers and --ray."""
    where = click.option(
        "--ray",
        metavar="ADDRESS",
        help="Workers are actors of a Ray cluster: HOST:PORT, auto (that of this machine), or local (one of our own).",
    )
    how_many = click.option(
        "--workers",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Processes; with --ray, actors.  [default: 1; with --ray, one a core]",
    )
    return how_many(where(command))


def as_of_first(options: dict[str, Any]) -> dict[str, Any]:
    """The options of an account as the first worker of this machine would have them: to be checked."""
    first = on_node(options, HERE)
    first["account"] = first["account"].replace("{n}", "1")
    return first


@dataclass(frozen=True, slots=True)
class Placed:
    """How many workers there will be, and how one is made of the kind and plan of its job."""

    workers: int
    make: Callable[[str, Row], Worker]


@contextmanager
def place(ray: str | None, workers: int | None, *, restarts: int = 3) -> Iterator[Placed]:
    """Where workers will be; `restarts`: how often Ray starts each again. Raises click.ClickException."""
    if ray is None:
        yield Placed(workers or 1, ProcessWorker)
        return
    from .cluster import ClusterWorker, connected

    with connected(ray) as cores:
        yield Placed(workers or max(1, cores), lambda kind, plan: ClusterWorker(kind, plan, restarts))


def run_crew(run: Callable[[], Coroutine[Any, Any, None]], crew: Crew[Any]) -> None:
    """Runs a crew to its end; Ctrl-C has it end before. Raises RunFailed."""

    async def main() -> None:
        async with RUNTIMES["asyncio"].interrupts(crew.interrupt):
            await run()

    asyncio.run(main())


@dataclass(frozen=True, slots=True)
class Teller:
    """Says what becomes of workers: as rows of JSON on `rows`, or, but for their beginning, on standard error."""

    as_json: bool
    rows: TextIO

    def tell(self, state: str, part: Part, more: Row | None = None) -> None:
        number, about = part.number + 1, part.worker.about
        if self.as_json:
            row = {"event": "worker", "worker": number, "state": state, **about, **(more or {})}
            print(json.dumps(row), file=self.rows, flush=True)
        elif state != "ready":
            click.echo(f"sansio-sip: worker {number} on {about['node']} is {STATES[state]}", err=True)
