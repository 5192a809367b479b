"""`conform`: tries a user agent or a registrar with the conformance kit, and writes the matrix."""

import sys
from pathlib import Path
from typing import Any

import click

from sansio_sip.conformance import CaseFinished, CaseStarted, Matrix, Role, RunFinished
from sansio_sip.conformance.matrix import FORMATS
from sansio_sip_conformance.setting import ANYWHERE, BadSetting, Setting

from .account import address, check_authorities, check_local, warn_unless
from .exit_status import DONE, FAILED, INTERRUPTED, UNREACHABLE
from .runtimes import Runtime, choose

__all__ = ["conform"]

NO_PORT = "with --as uac the target has to know where to call: give --listen HOST:PORT"


@click.command()
@click.option(
    "--target", metavar="URL", help="Where it is: udp:HOST:PORT, tcp:HOST:PORT, tls:HOST:PORT, ws://HOST:PORT."
)
@click.option(
    "--as",
    "role",
    type=click.Choice([role.value for role in Role]),
    default="uas",
    show_default=True,
    help="What it is: uas takes our calls, uac calls us, registrar registers us.",
)
@click.option("--uri", metavar="URI", help="Whom requests are for; the address that is registered.")
@click.option("--password", envvar="SANSIO_SIP_PASSWORD", default="", metavar="WORD", help="For its challenges.")
@click.option("--listen", metavar="HOST:PORT", help="Where a target that calls us finds us (--as uac).")
@click.option(
    "--corpus", type=Path, metavar="PATH", help="Try the messages in this folder too; it must answer or drop them."
)
@click.option("--only", multiple=True, metavar="WORD", help="Only cases with this in their names; repeatable.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60.0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="In which an answer is due.",
)
@click.option("--ca", metavar="FILE", help="PEM file of authorities to trust.")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(FORMATS)),
    default="text",
    show_default=True,
    help="Of what is written.",
)
@click.option("-o", "--output", type=Path, metavar="FILE", help="Write there, not to standard output.")
@click.option(
    "--runtime", type=click.Choice(["asyncio", "trio"]), default="asyncio", show_default=True, help="Event loop."
)
@click.option("-v", "--verbose", is_flag=True, help="Say on standard error what each case came to.")
def conform(
    target: str | None,
    role: str,
    uri: str | None,
    password: str,
    listen: str | None,
    corpus: Path | None,
    only: tuple[str, ...],
    timeout: float,
    ca: str | None,
    insecure: bool,
    form: str,
    output: Path | None,
    runtime: str,
    verbose: bool,
) -> int:
    """Try a user agent or registrar with messages and flows of RFC 3261, 3665, 4475, 5118 and others.

    It is one of yours: the cases hold calls, and messages that are made to be hard to read. Written is a matrix, RFC
    section by verdict (pass, fail, not applicable, silent where silence is allowed). Exit status 1 where a case fails.
    """
    wanted = Role(role)
    if (listen is not None) != (wanted is Role.UAC):
        raise click.UsageError(NO_PORT if listen is None else "--listen is for --as uac: leave it out")
    local = address(listen, "--listen") if listen is not None else ANYWHERE
    if listen is not None:
        check_local(local, "--listen")
    if ca is not None:
        check_authorities(ca)
    try:
        setting = Setting.of(
            target=target,
            role=wanted,
            uri=uri,
            password=password,
            timeout=timeout,
            bind=local,
            corpus=corpus,
            only=only,
            ca_file=ca,
            tls_verify=not insecure,
        )
    except BadSetting as error:
        raise click.UsageError(str(error)) from None
    warn_unless(tls_verify=not insecure)
    loop = choose(runtime)
    _write(output, "")  # what cannot be written is said before any packet leaves
    finished, interrupted = _drive(loop, setting, verbose)
    matrix = Matrix(setting.name, finished.results)
    text = FORMATS[form](matrix)
    if output is None:
        print(text, end="")
    else:
        _write(output, text)
        print(f"{setting.name}: {matrix.summary()}; written to {output}", file=sys.stderr)
    if finished.error:
        print(f"sansio-sip: {finished.error}; see that it is there, and try again", file=sys.stderr)
        return UNREACHABLE
    if interrupted:
        return INTERRUPTED
    return DONE if matrix.passed else FAILED


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}; give a path that can be written") from None


def _drive(loop: Runtime, setting: Setting, verbose: bool) -> tuple[RunFinished, bool]:
    """Runs all cases. Returns their end, and whether it was asked for."""
    run = setting.run()
    ends: list[RunFinished] = []
    drivers: list[Any] = []
    interrupted: list[bool] = []

    def deliver(output: Any) -> None:
        match output:
            case CaseStarted(case, number, total):
                if sys.stderr.isatty() and not verbose:
                    print(f"\r\x1b[K{number}/{total} {case.name}", end="", file=sys.stderr, flush=True)
            case CaseFinished(result):
                if verbose:
                    words = f"{result.verdict.value:<14}  {result.case.name}  {result.detail}"
                    print(words.rstrip(), file=sys.stderr, flush=True)
            case RunFinished():
                if sys.stderr.isatty() and not verbose:
                    print("\r\x1b[K", end="", file=sys.stderr)
                ends.append(output)
                for driver in drivers:
                    driver.finish()

    async def main() -> None:
        async with loop.open_driver(run, deliver) as driver:
            drivers.append(driver)

            def interrupt() -> None:
                interrupted.append(True)
                driver.feed(run.interrupt)

            if ends:
                driver.finish()
            async with loop.interrupts(interrupt):
                await driver.finished()

    loop.run(main)
    return (ends[0] if ends else RunFinished((), "the run has come to no end")), bool(interrupted)
