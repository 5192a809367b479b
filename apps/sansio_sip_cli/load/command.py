"""`load`: many calls at a rate, and what became of them."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import click

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone.call import target_uri
from sansio_sip_cli.account import SECONDS, account_options, warn_unless
from sansio_sip_cli.exit_status import DONE, FAILED, INTERRUPTED
from sansio_sip_cli.phone_commands import Run
from sansio_sip_cli.progress import Bar
from sansio_sip_cli.workers.crew import RunFailed
from sansio_sip_cli.workers.options import Teller, as_of_first, place, run_crew, worker_options

__all__ = ["load"]

RATE = click.FloatRange(min=0, min_open=True, max=10_000)


@click.command()
@account_options
@click.argument("target")
@click.option("--rate", type=RATE, metavar="N", help="Calls a second, equally far apart.  [default: 1]")
@click.option("--poisson", type=RATE, metavar="N", help="Calls a second on average, each for itself.")
@click.option("--ramp", metavar="FROM:TO", help="Calls a second, rising (or falling) over the run.")
@click.option(
    "--duration", type=SECONDS, default=10.0, show_default=True, metavar="SECONDS", help="To place calls for."
)
@click.option("--calls", type=click.IntRange(min=0), default=0, metavar="N", help="At most so many.")
@click.option("--hold", type=SECONDS, default=3.0, show_default=True, metavar="SECONDS", help="That a call lasts.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="[WEIGHT*]NAME",
    help="hold, talk, keys, or FILE.py:FUNCTION; several make a mix.  [default: hold]",
)
@click.option("--signalling", is_flag=True, help="No audio at all: descriptions alone are exchanged.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Calls at a time, a worker.")
@click.option("--ring-timeout", type=SECONDS, default=30.0, show_default=True, help="Seconds to wait for an answer.")
@worker_options
@click.option("--seed", type=int, default=1, show_default=True, help="Of --poisson, and of the mix.")
@click.option(
    "--slo", "goals", multiple=True, metavar="GOAL", help="Such as 'setup_p95<=500' or 'failed<1%'; repeatable."
)
@click.option(
    "--max-late",
    type=click.FloatRange(min=0),
    default=50.0,
    show_default=True,
    metavar="MS",
    help="How late the generator may be (99th percentile) for the run to count.",
)
@click.option("-o", "--output", "outputs", type=Path, multiple=True, help="FILE.json or FILE.html; repeatable.")
def load(
    target: str,
    rate: float | None,
    poisson: float | None,
    ramp: str | None,
    duration: float,
    calls: int,
    hold: float,
    scenarios: tuple[str, ...],
    signalling: bool,
    limit: int,
    ring_timeout: float,
    workers: int | None,
    ray: str | None,
    seed: int,
    goals: tuple[str, ...],
    max_late: float,
    outputs: tuple[Path, ...],
    **options: Any,
) -> int:
    """Have ACCOUNT call TARGET at a rate, and say how that went.

    In ACCOUNT, {n} is the number of the worker. Exit status 1 where a goal was missed, no call was answered, or the
    run does not count because the generator itself was late. Ctrl-C ends the run and tells what ran.
    """
    try:
        from .figures import Figures, Goal
        from .job import Plan
        from .page import page
        from .scenarios import load_scenario
        from .supervisor import Supervisor, plans
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("hdrh"):
            raise
        raise click.ClickException("hdrhistogram is not installed; pip install 'sansio-sip[load]'") from None
    arrivals = _arrivals(rate, poisson, ramp, duration, calls, seed)
    if options["trace"] is not None or options["runtime"] != "asyncio":
        raise click.UsageError("load neither records traces nor runs on trio: leave --trace and --runtime out")
    chosen = []
    for text in goals:
        try:
            chosen.append(Goal.parse(text))
        except ValueError as error:
            raise click.UsageError(f"--slo is {text!r}: {error}") from None
    for output in outputs:
        if output.suffix not in (".json", ".html"):
            raise click.UsageError(f"--output is {str(output)!r}: give FILE.json or FILE.html")
    sources: dict[str, str] = {}
    for text in scenarios:
        load_scenario(text, sources)
    raw = dict(options)
    run = Run.of(as_of_first(options))
    try:
        target_uri(target, run.account.uri().host, by_address=not run.account.servers)
    except LocalProtocolError as error:
        raise click.UsageError(f"TARGET: {error}") from None
    for name in ("runtime", "trace", "trace_audio", "as_json", "verbose"):
        raw.pop(name)
    for output in outputs:
        _write(output, "a", "")  # what cannot be written is said before a call is placed
    warn_unless(tls_verify=run.account.tls_verify)
    plan = Plan(raw, target, arrivals, scenarios or ("hold",), hold, signalling, limit, ring_timeout, sources)
    bar = Bar(quiet=run.as_json)

    def show(counts: dict[str, int], seconds: float) -> None:
        words = (
            f"{counts['placed']} placed, {counts['answered']} answered, {counts['failed']} failed, {counts['now']} up"
        )
        bar.show(words, seconds, duration + hold)

    # Ray prints too, and not here.
    teller = Teller(ray is not None and run.as_json, sys.stdout)
    with place(ray, workers) as placed:
        each = plans(plan, placed.workers)
        supervisor = Supervisor(
            each,
            [placed.make("load", one.as_dict()) for one in each],
            show,
            teller.tell,
        )
        bar.start()
        try:
            run_crew(supervisor.run, supervisor.crew)
        except RunFailed as error:
            click.echo(f"sansio-sip: {error}", err=True)
            return INTERRUPTED if supervisor.crew.interrupted else error.exit_status
        finally:
            bar.stop()
    interrupted, lost = supervisor.crew.interrupted, supervisor.crew.lost
    figures = Figures(supervisor.tally, supervisor.seconds, max_late, interrupted=interrupted)
    row = figures.as_dict(chosen)
    about = f"{options['account']} calls {target}, {_words(arrivals)}, {', '.join(plan.scenarios)}" + (
        ", signalling alone" if signalling else f", {options['media']}"
    )
    missed = [goal for goal in row["goals"] if not goal["kept"]]
    answered = supervisor.tally.counts["answered"]
    status = INTERRUPTED if interrupted else DONE
    if figures.fault or missed or lost or (supervisor.tally.counts["placed"] and not answered):
        status = status or FAILED
    row |= {"workers": placed.workers, "lost_workers": lost, "about": about, "exit": status}
    row["parts"] = [part.as_dict() for part in supervisor.parts]
    if run.as_json:
        print(json.dumps(row))
    else:
        for line in figures.lines(chosen):
            print(line)
    for output in outputs:
        text = page(figures, chosen, about) if output.suffix == ".html" else json.dumps(row, indent=1) + "\n"
        _write(output, "w", text)
    if lost:
        click.echo(f"sansio-sip: {lost} workers were lost, and their calls with them", err=True)
    return status


def _write(path: Path, mode: str, text: str) -> None:
    """Raises click.UsageError where that cannot be."""
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}; give a writable path") from None


def _arrivals(
    rate: float | None, poisson: float | None, ramp: str | None, seconds: float, calls: int, seed: int
) -> Any:
    from .arrivals import Arrivals

    if sum(each is not None for each in (rate, poisson, ramp)) > 1:
        raise click.UsageError("--rate, --poisson and --ramp exclude each other: give one")
    if not seconds:
        raise click.UsageError("--duration is 0: give the seconds to place calls for")
    if ramp is not None:
        first, _, last = ramp.partition(":")
        try:
            begin, end = (float(RATE(text)) for text in (first, last))
        except click.BadParameter:
            raise click.UsageError(f"--ramp is {ramp!r}: give FROM:TO, calls a second, as in 1:20") from None
        return Arrivals("ramp", begin, seconds, last=end, calls=calls, seed=seed)
    kind: Literal["poisson", "constant"] = "constant" if poisson is None else "poisson"
    return Arrivals(kind, rate or poisson or 1.0, seconds, calls=calls, seed=seed)


def _words(arrivals: Any) -> str:
    if arrivals.kind == "ramp":
        return f"{arrivals.rate:g} to {arrivals.last:g} calls a second for {arrivals.seconds:g} s"
    how = " (Poisson)" if arrivals.kind == "poisson" else ""
    return f"{arrivals.rate:g} calls a second{how} for {arrivals.seconds:g} s"
