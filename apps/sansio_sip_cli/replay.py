"""`replay`: runs a recorded trace again and says whether every output is the same; plays a capture to a phone."""

import json
from pathlib import Path

import click

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError

from .account import address
from .build import replay_file
from .capture import SUFFIXES
from .capture_replay import play_capture
from .exit_status import DONE, FAILED

__all__ = ["replay"]


@click.command()
@click.argument("trace", type=Path)
@click.option("--to", metavar="HOST:PORT", help="Of a capture: whose place our phone takes; the first that is called.")
@click.option("--answer", is_flag=True, help="Of a capture: have the phone answer.")
@click.option("--json", "as_json", is_flag=True, help="The report as a JSON object.")
def replay(trace: Path, to: str | None, answer: bool, as_json: bool) -> int:
    """Run TRACE again, without network and without crypto. Exit status 1 where an output differs.

    A capture (.pcap, .pcapng) is played to a phone of ours: what was sent to one address is what it hears. Exit status
    1 where it answers a request with another class of status than the phone that was captured.
    """
    if trace.name.endswith(SUFFIXES):
        return _play(trace, address(to, "--to") if to is not None else None, answer, as_json)
    if to is not None or answer:
        raise click.UsageError("--to and --answer are for captures (.pcap, .pcapng): leave them out")
    try:
        report = replay_file(trace)
    except OSError as error:
        raise click.UsageError(f"cannot read {trace}: {error.strerror}; give a file that `--trace` wrote") from None
    except (ParseError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{trace} is not a trace: {error}") from None
    if as_json:
        row = {
            "inputs": report.inputs,
            "identical": report.identical,
            "opaque": report.opaque,
            "different": report.different,
            "differences": report.differences,
        }
        print(json.dumps(row))
    else:
        counts = f"{report.identical} outputs identical, {report.opaque} opaque (DTLS, SRTP)"
        print(f"{report.inputs} inputs: {counts}, {report.different} different")
        for difference in report.differences:
            print(f"  {difference}")
    return FAILED if report.different else DONE


def _play(capture: Path, to: Address | None, answer: bool, as_json: bool) -> int:
    report = play_capture(capture, to, answer=answer)
    different = report.different()
    if as_json:
        row = {
            "phone": str(report.phone),
            "heard": report.heard,
            "malformed": report.malformed,
            "steps": [{"t": round(time, 6), "what": what.strip()} for time, what in report.rows],
            "different": different,
        }
        print(json.dumps(row))
    else:
        for time, what in report.rows:
            print(f"{time:9.3f}  {what}")
        heard = f"{report.heard} messages, {report.malformed} malformed, {len(different)} answered otherwise"
        print(f"{report.phone}: {heard}")
        for line in different:
            print(f"  {line}")
    return FAILED if different else DONE
