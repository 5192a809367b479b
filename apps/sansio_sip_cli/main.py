"""The command `sansio-sip`."""

import sys
from collections.abc import Sequence

import click

from sansio_sip import __version__

from .audio import UnreadableAudio
from .demo import demo
from .parse import parse
from .phone_commands import answer, call, register
from .replay import replay
from .serve import serve

__all__ = ["main"]

BAD_USAGE, INTERRUPTED = 2, 130


@click.group()
@click.version_option(__version__, prog_name="sansio-sip")
def cli() -> None:
    """A softphone: call, answer, serve, and look at SIP."""


for command in (demo, serve, register, call, answer, parse, replay):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; leaves by `sys.exit` with its status. Errors are one line: what was wrong, what to do."""
    try:
        cli.main(arguments, prog_name="sansio-sip", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
    except click.ClickException as error:
        where = "" if error.__class__ is click.ClickException else " (see --help)"
        print(f"sansio-sip: {error.format_message()}{where}", file=sys.stderr)
        sys.exit(BAD_USAGE)
    except (UnreadableAudio, ImportError) as error:
        print(f"sansio-sip: {error}", file=sys.stderr)
        sys.exit(BAD_USAGE)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: nothing to say, and nobody to say it to
        sys.exit(1)
