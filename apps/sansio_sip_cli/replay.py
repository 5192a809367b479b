"""`replay`: runs a recorded trace again and says whether every output is the same."""

import json
from pathlib import Path

import click

from sansio_sip.errors import ParseError

from .build import replay_file
from .exit_status import DONE, FAILED

__all__ = ["replay"]


@click.command()
@click.argument("trace", type=Path)
@click.option("--json", "as_json", is_flag=True, help="The report as a JSON object.")
def replay(trace: Path, as_json: bool) -> int:
    """Run TRACE again, without network and without crypto. Exit status 1 where an output differs."""
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
