"""`fleet`: phones that answer, as many as there are workers."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sansio_sip_cli.account import SECONDS, account_options, warn_unless
from sansio_sip_cli.audio import load
from sansio_sip_cli.exit_status import DONE, FAILED, INTERRUPTED
from sansio_sip_cli.phone_commands import Run
from sansio_sip_cli.progress import Bar
from sansio_sip_cli.workers.crew import Crew, Part, RunFailed
from sansio_sip_cli.workers.job import Row, Worker
from sansio_sip_cli.workers.options import Teller, as_of_first, place, run_crew, worker_options

from .dispatcher import dispatcher_list, write_list
from .job import FleetPlan

__all__ = ["fleet"]

COUNTS = ("calls", "answered", "ended", "failed", "digits")


class Phone(Part):
    """One phone of the fleet. `counts`: of what it did and, by `lost calls`, what was up when it was lost."""

    def __init__(self, number: int, worker: Worker) -> None:
        super().__init__(number, worker)
        self.counts = dict.fromkeys((*COUNTS, "lost calls"), 0)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it is called, while it is there and peer to peer."""
        where = self.begun.get("address")
        return None if where is None else (str(where[0]), int(where[1]))

    def done(self, row: Row) -> None:
        for name in COUNTS:
            self.counts[name] += row[name]

    def write_off(self, first: int, until: float) -> int:
        if self.last:
            self.done(self.last)
            self.counts["lost calls"] += self.last["up"]
        return first

    def as_dict(self) -> Row:
        return {"worker": self.number + 1, **self.worker.about, "lost": self.lost, **self.counts}


class Clock:
    """Has a fleet end so many seconds after `begin`. `is_over`: they have passed."""

    def __init__(self, crew: Crew[Phone], seconds: float | None) -> None:
        self.is_over = False
        self._crew = crew
        self._seconds = seconds
        self._begun = False

    def begin(self) -> None:
        """All phones are ready. Told again, changes nothing."""
        if self._seconds is not None and not self._begun:
            asyncio.get_running_loop().call_later(self._seconds, self._end)
        self._begun = True

    def _end(self) -> None:
        if not self._crew.interrupted:
            self.is_over = True
            self._crew.interrupt()


@click.command()
@account_options
@worker_options
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Calls at a time, a phone.")
@click.option("--echo", is_flag=True, help="Say what is heard, press what is pressed.")
@click.option("--play", type=Path, metavar="WAV", help="Say this; the file is on every machine.")
@click.option("--ring", type=SECONDS, default=0.0, show_default=True, metavar="SECONDS", help="Ring before answering.")
@click.option("--duration", type=SECONDS, metavar="SECONDS", help="Hang up this long after the answer.")
@click.option("--for", "stay", type=SECONDS, metavar="SECONDS", help="End so long after all are ready.")
@click.option("--dispatcher", type=Path, metavar="FILE", help="Keep the list of phones for Kamailio's dispatcher.")
def fleet(
    workers: int | None,
    ray: str | None,
    limit: int,
    echo: bool,
    play: Path | None,
    ring: float,
    duration: float | None,
    stay: float | None,
    dispatcher: Path | None,
    **options: Any,
) -> int:
    """Have phones answer calls, one for each worker, until interrupted.

    In ACCOUNT, {n} is the number of the phone; in --listen and --bind, {node} is the address of the machine that it
    runs on. With --no-register phones are called directly, each at a port of its own, and
    --dispatcher tells Kamailio where.
    """
    if options["trace"] is not None or options["runtime"] != "asyncio":
        raise click.UsageError("fleet neither records traces nor runs on trio: leave --trace and --runtime out")
    if echo and play is not None:
        raise click.UsageError("--echo and --play exclude each other: give one")
    if play is not None and ray is None:
        load(play)
    direct = options["no_register"] and not options["server"]
    if dispatcher is not None and not direct:
        raise click.UsageError("--dispatcher is for phones called directly: give --no-register, and no --server")
    if direct and options["listen"] is None:
        options["listen"] = "{node}:0"
    plan = FleetPlan(dict(options), ring, duration, echo, None if play is None else str(play), limit)
    run = Run.of(as_of_first(options), allow_multiple_incoming=True)
    for name in ("runtime", "trace", "trace_audio", "as_json", "verbose"):
        plan.options.pop(name)
    warn_unless(tls_verify=run.account.tls_verify)
    bar = Bar(quiet=run.as_json)
    teller = Teller(run.as_json, sys.stdout)
    with place(ray, workers, restarts=-1) as placed:
        phones = [
            Phone(number, placed.make("fleet", _plan_of(plan, number).as_dict())) for number in range(placed.workers)
        ]
        there: set[int] = set()

        def keep_list() -> None:
            if dispatcher is not None:
                known = [(phone.number + 1, phone.address) for phone in phones if phone.number in there]
                text = dispatcher_list((number, *address) for number, address in known if address is not None)
                _write(dispatcher, text)

        def on_worker(state: str, phone: Phone) -> None:
            (there.discard if state == "lost" else there.add)(phone.number)
            if len(there) == len(phones) or state != "ready":
                keep_list()
            if len(there) == len(phones):
                clock.begin()
            where = {} if phone.address is None else {"address": "{}:{}".format(*phone.address)}
            teller.tell(state, phone, where)

        def on_told(_: Phone) -> None:
            up, calls = (sum(int(phone.last.get(name, 0)) for phone in phones) for name in ("up", "calls"))
            bar.show(f"{len(there)} phones, {calls} calls, {up} up", crew.seconds, stay or crew.seconds)

        keep_list()  # what cannot be written is said before a phone is started
        crew = Crew(phones, on_told, on_worker)
        clock = Clock(crew, stay)
        bar.start()
        try:
            run_crew(crew.run, crew)
        except RunFailed as error:
            click.echo(f"sansio-sip: {error}", err=True)
            return INTERRUPTED if crew.interrupted else error.exit_status
        finally:
            bar.stop()
            there.clear()
            keep_list()
    status = FAILED if all(phone.away for phone in phones) else DONE
    if crew.interrupted and not clock.is_over:
        status = INTERRUPTED
    total = {name: sum(phone.counts[name] for phone in phones) for name in phones[0].counts}
    if run.as_json:
        row = {"event": "summary", "exit": status, **total, "lost_workers": crew.lost}
        print(json.dumps({**row, "parts": [phone.as_dict() for phone in phones]}))
    else:
        print(", ".join(f"{count} {name}" for name, count in total.items()))
    return status


def _plan_of(plan: FleetPlan, number: int) -> FleetPlan:
    """The plan of a phone."""
    account = plan.options["account"].replace("{n}", str(number + 1))
    return replace(plan, options={**plan.options, "account": account}, worker=number)


def _write(path: Path, text: str) -> None:
    """Raises click.UsageError where that cannot be."""
    try:
        write_list(path, text)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}; give a writable path") from None
