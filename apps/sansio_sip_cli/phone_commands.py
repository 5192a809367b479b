"""`register`, `call` and `answer`: one account, one plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sansio_sip.dtmf.rfc4733 import check_digits
from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone.call import checked_headers, target_uri
from sansio_sip.softphone.options import AccountOptions

from .account import SECONDS, account_options, build_account, warn_unless
from .answer_plan import AnswerPlan
from .audio import Recorder, load
from .build import Recording, build_phone
from .call_plan import CallPlan
from .later_steps import LaterSteps
from .output import Reporter
from .register_plan import RegisterPlan
from .runner import run_phone
from .runtimes import choose
from .scripted_phone import Plan, ScriptedPhone

__all__ = ["answer", "call", "register"]


@click.command()
@account_options
@click.option("--for", "stay", type=SECONDS, default=0.0, show_default=True, help="Seconds to stay registered.")
def register(stay: float, **options: Any) -> int:
    """Log ACCOUNT in, stay for a while, log out.

    ACCOUNT is a SIP address, such as sip:alice@example.com.
    """
    run = Run.of(options)
    if not run.registers:
        raise click.UsageError("--no-register leaves nothing to do: leave it out")
    return run.perform(RegisterPlan(run.account, stay=stay))


@click.command()
@account_options
@click.argument("target")
@click.option("--play", type=Path, metavar="WAV", help="Say this; then hang up, unless --duration says when.")
@click.option("--record", type=Path, metavar="WAV", help="Write what is heard.")
@click.option("--dtmf", default="", metavar="DIGITS", help="Keys to press first, such as 123#; a comma waits 2 s.")
@click.option("--duration", type=SECONDS, metavar="SECONDS", help="Hang up this long after the answer.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="An X-PH-... header; repeatable.")
@click.option(
    "--ring-timeout",
    type=SECONDS,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up when nobody has answered by then.",
)
@click.option("--hold-after", type=SECONDS, metavar="SECONDS", help="Put the call on hold this long after the answer.")
@click.option("--hold-for", type=SECONDS, metavar="SECONDS", help="Take it back from hold after so long.")
@click.option("--transfer-to", metavar="TARGET", help="Have the far end call TARGET instead (REFER); this call ends.")
@click.option(
    "--transfer-after",
    type=SECONDS,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Do so this long after the answer.",
)
def call(
    target: str,
    play: Path | None,
    record: Path | None,
    dtmf: str,
    duration: float | None,
    headers: tuple[str, ...],
    ring_timeout: float,
    hold_after: float | None,
    hold_for: float | None,
    transfer_to: str | None,
    transfer_after: float,
    **options: Any,
) -> int:
    """Have ACCOUNT call TARGET: a SIP URI, a number, or a name at the account's domain.

    ACCOUNT is a SIP address, such as sip:alice@example.com.
    """
    run = Run.of(options)
    extra = {}
    for header in headers:
        name, _, value = header.partition(":")
        extra[name.strip()] = value.strip()
    try:
        checked_headers(extra)
    except LocalProtocolError:
        raise click.UsageError(f"--header is {header!r}: give 'X-PH-Name: value'") from None
    try:
        check_digits(dtmf)
    except LocalProtocolError as error:
        raise click.UsageError(f"--dtmf is {dtmf!r}: {error}") from None
    try:
        target_uri(target, run.account.uri().host, by_address=not run.account.servers)
    except LocalProtocolError as error:
        raise click.UsageError(f"TARGET: {error}") from None
    if hold_for is not None and hold_after is None:
        raise click.UsageError("--hold-for needs a hold: give --hold-after as well")
    try:
        if transfer_to is not None:
            target_uri(transfer_to, run.account.uri().host, by_address=False)
    except LocalProtocolError as error:
        raise click.UsageError(f"--transfer-to: {error}") from None
    plan = CallPlan(
        run.account,
        target,
        register=run.registers,
        clip=load(play) if play is not None else None,
        recorder=Recorder(record) if record is not None else None,
        digits=dtmf,
        duration=duration,
        extra_headers=extra,
        ring_timeout=ring_timeout,
        steps=LaterSteps(
            hold_after=hold_after, hold_for=hold_for, transfer_to=transfer_to, transfer_after=transfer_after
        ),
    )
    return run.perform(plan)


@click.command()
@account_options
@click.option("--calls", type=click.IntRange(min=1), default=1, show_default=True, help="End after so many calls.")
@click.option("--play", type=Path, metavar="WAV", help="Say this.")
@click.option("--echo", is_flag=True, help="Say what is heard, press what is pressed.")
@click.option("--silence", is_flag=True, help="Say nothing; the default.")
@click.option("--record", type=Path, metavar="WAV", help="Write what is heard; a second call goes to NAME-2.")
@click.option(
    "--ring", type=SECONDS, default=0.0, show_default=True, metavar="SECONDS", help="Ring so long before answering."
)
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
) -> int:
    """Have ACCOUNT take calls.

    ACCOUNT is a SIP address, such as sip:alice@example.com.
    """
    if sum((play is not None, echo, silence)) > 1:
        raise click.UsageError("--play, --echo and --silence exclude each other: give one")
    if reject and ignore:
        raise click.UsageError("--reject and --ignore exclude each other: give one")
    run = Run.of(options, allow_multiple_incoming=calls > 1)
    if record is not None:
        Recorder(record).close()  # a path that cannot be written is said before any packet leaves

    def recorder(number: int) -> Recorder:
        assert record is not None
        return Recorder(record if number == 1 else record.with_name(f"{record.stem}-{number}{record.suffix}"))

    plan = AnswerPlan(
        run.account,
        register=run.registers,
        calls=calls,
        clip=load(play) if play is not None else None,
        echo=echo,
        recorder=recorder if record is not None else None,
        ring=ring,
        reject=reject,
        ignore=ignore,
        duration=duration,
    )
    return run.perform(plan)


@dataclass(frozen=True, slots=True)
class Run:
    """What the options say of the account, and of the run."""

    account: AccountOptions
    registers: bool
    runtime: str
    trace: str | None
    trace_audio: bool
    as_json: bool
    verbose: bool

    @classmethod
    def of(cls, options: dict[str, Any], *, allow_multiple_incoming: bool = False) -> "Run":
        """Takes the options apart. Raises click.UsageError."""
        run = {name: options.pop(name) for name in ("runtime", "trace", "trace_audio", "as_json", "verbose")}
        if run["trace_audio"] and run["trace"] is None:
            raise click.UsageError("--trace-audio needs a trace: give --trace FILE as well")
        account = build_account(**options, allow_multiple_incoming=allow_multiple_incoming)
        return cls(account, not options["no_register"], **run)

    def perform(self, plan: Plan) -> int:
        """Carries the plan out. Returns the exit status."""
        runtime = choose(self.runtime)
        warn_unless(tls_verify=self.account.tls_verify)
        recording = Recording(Path(self.trace), full=self.trace_audio) if self.trace is not None else None
        try:
            phone = ScriptedPhone(build_phone(recording=recording), plan)
            return run_phone(runtime, phone, Reporter(as_json=self.as_json, verbose=self.verbose))
        finally:
            plan.end()
            if recording is not None:
                recording.close()
