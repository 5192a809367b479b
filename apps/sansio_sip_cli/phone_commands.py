"""`register`, `call` and `answer`: one account, one plan."""

import sys
from pathlib import Path
from typing import Any

import click

from sansio_sip.softphone.options import AccountOptions

from .account import account_options, build_account
from .audio import Recorder, load
from .build import Recording, build_phone
from .output import Reporter
from .plans import AnswerPlan, CallPlan, RegisterPlan
from .runner import run_phone
from .runtimes import choose
from .scripted_phone import Plan, ScriptedPhone

__all__ = ["answer", "call", "register"]

SECONDS = click.FloatRange(min=0)


@click.command()
@account_options
@click.option("--for", "stay", type=SECONDS, default=0.0, show_default=True, help="Seconds to stay registered.")
def register(stay: float, **options: Any) -> None:
    """Log ACCOUNT in, stay for a while, log out."""
    account, rest = _account(options)
    _run(RegisterPlan(account, stay=stay), rest)


@click.command()
@account_options
@click.argument("target")
@click.option("--play", type=Path, metavar="WAV", help="Say this; then hang up, unless --duration says when.")
@click.option("--record", type=Path, metavar="WAV", help="Write what is heard.")
@click.option("--dtmf", default="", metavar="DIGITS", help="Keys to press first, such as 123#; a comma waits 2 s.")
@click.option("--duration", type=SECONDS, metavar="SECONDS", help="Hang up this long after the answer.")
@click.option("--header", "headers", multiple=True, metavar="NAME: VALUE", help="An X-PH-... header; repeatable.")
@click.option("--ring-timeout", type=SECONDS, default=60.0, show_default=True, metavar="SECONDS")
def call(
    target: str,
    play: Path | None,
    record: Path | None,
    dtmf: str,
    duration: float | None,
    headers: tuple[str, ...],
    ring_timeout: float,
    **options: Any,
) -> None:
    """Have ACCOUNT call TARGET: a SIP URI, a number, or a name at the account's domain."""
    account, rest = _account(options)
    extra = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip().lower().startswith("x-ph-"):
            raise click.UsageError(f"--header is {header!r}: give 'X-PH-Name: value'")
        extra[name.strip()] = value.strip()
    plan = CallPlan(
        account,
        target,
        register=not rest["no_register"],
        clip=load(play) if play is not None else None,
        recorder=Recorder(record) if record is not None else None,
        digits=dtmf,
        duration=duration,
        extra_headers=extra,
        ring_timeout=ring_timeout,
    )
    _run(plan, rest)


@click.command()
@account_options
@click.option("--calls", type=click.IntRange(min=1), default=1, show_default=True, help="End after so many calls.")
@click.option("--play", type=Path, metavar="WAV", help="Say this.")
@click.option("--echo", is_flag=True, help="Say what is heard.")
@click.option("--silence", is_flag=True, help="Say nothing; the default.")
@click.option("--record", type=Path, metavar="WAV", help="Write what is heard; a second call goes to NAME-2.")
@click.option("--ring", type=SECONDS, default=0.0, show_default=True, metavar="SECONDS", help="Ring before answering.")
@click.option("--reject", is_flag=True, help="Refuse (486).")
@click.option("--ignore", is_flag=True, help="Let it ring at the caller, do nothing here.")
@click.option("--duration", type=SECONDS, metavar="SECONDS", help="Hang up this long after the answer.")
def answer(
    calls: int,
    play: Path | None,
    echo: bool,
    silence: bool,
    record: Path | None,
    ring: float,
    reject: bool,
    ignore: bool,
    duration: float | None,
    **options: Any,
) -> None:
    """Have ACCOUNT take calls."""
    if sum((play is not None, echo, silence)) > 1:
        raise click.UsageError("--play, --echo and --silence exclude each other: give one")
    if reject and ignore:
        raise click.UsageError("--reject and --ignore exclude each other: give one")
    account, rest = _account(options, allow_multiple_incoming=calls > 1)
    if record is not None:
        Recorder(record).close()  # a path that cannot be written is said before any packet leaves

    def recorder(number: int) -> Recorder:
        assert record is not None
        return Recorder(record if number == 1 else record.with_name(f"{record.stem}-{number}{record.suffix}"))

    plan = AnswerPlan(
        account,
        register=not rest["no_register"],
        calls=calls,
        clip=load(play) if play is not None else None,
        echo=echo,
        recorder=recorder if record is not None else None,
        ring=ring,
        reject=reject,
        ignore=ignore,
        duration=duration,
    )
    _run(plan, rest)


def _account(
    options: dict[str, Any], *, allow_multiple_incoming: bool = False
) -> tuple[AccountOptions, dict[str, Any]]:
    """The account that the options describe, and the options that are about the run."""
    run = {name: options.pop(name) for name in ("runtime", "trace", "trace_audio", "as_json", "verbose")}
    run["no_register"] = options["no_register"]
    run["insecure"] = options["insecure"]
    return build_account(**options, allow_multiple_incoming=allow_multiple_incoming), run


def _run(plan: Plan, options: dict[str, Any]) -> None:
    runtime = choose(options["runtime"])
    if options["insecure"]:
        print("sansio-sip: --insecure: anybody can pretend to be this server", file=sys.stderr)
    if options["trace_audio"] and options["trace"] is None:
        raise click.UsageError("--trace-audio needs a trace: give --trace FILE as well")
    trace = options["trace"]
    recording = Recording(Path(trace), full=options["trace_audio"]) if trace is not None else None
    try:
        phone = ScriptedPhone(build_phone(recording=recording), plan)
        sys.exit(run_phone(runtime, phone, Reporter(as_json=options["as_json"], verbose=options["verbose"])))
    finally:
        plan.end()
        if recording is not None:
            recording.close()
