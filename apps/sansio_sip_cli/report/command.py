"""`report`: a trace as one HTML page."""

import json
from pathlib import Path

import click

from sansio_sip.errors import ParseError
from sansio_sip_cli.exit_status import DONE, FAILED

from .page import page
from .watch import read_story
from .waveforms import beside

__all__ = ["report"]


@click.command()
@click.argument("trace", type=Path)
@click.option("-o", "--output", type=Path, required=True, help="The HTML file to write.")
@click.option(
    "--recording",
    "recordings",
    type=Path,
    multiple=True,
    metavar="WAV",
    help="To be heard on the page; repeatable. Default: those beside TRACE that are named for it or its phones.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what is on the page as a JSON object.")
def report(trace: Path, output: Path, recordings: tuple[Path, ...], as_json: bool) -> int:
    """Make one HTML page of TRACE, which `--trace` wrote: what each call did, sounded like, and why.

    The trace is run again for it. The page needs nothing but itself. Exit status 1 where the replay differs.
    """
    try:
        story = read_story(trace)
    except OSError as error:
        raise click.UsageError(f"cannot read {trace}: {error.strerror}; give a file that `--trace` wrote") from None
    except (ParseError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{trace} is not a trace: {error}") from None
    text = page(story, recordings, () if recordings else beside(trace, story.machines))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"cannot write {output}: {error.strerror}; give a writable path") from None
    counts = {
        "calls": len(story.calls),
        "messages": len(story.arrows),
        "pairs": len(story.pairs),
        "timers": len(story.fired),
        "warnings": sum(len(call.warnings) for call in story.calls),
        "different": story.replay.different,
    }
    if as_json:
        print(json.dumps({"file": str(output), **counts}))
    else:
        print(f"{output}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return FAILED if story.replay.different else DONE
