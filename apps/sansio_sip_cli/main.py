"""The command `sansio-sip`."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from sansio_sip import __version__

from .exit_status import BAD_USAGE, FAILED, INTERRUPTED

__all__ = ["main"]

# Name, module, and what `--help` says of it: a command is imported when it is used, for they are heavy.
COMMANDS = {
    "demo": ("demo", "Place a real call between two phones here."),
    "serve": ("serve", "Run a registrar and proxy."),
    "register": ("phone_commands", "Log in, stay for a while, log out."),
    "call": ("phone_commands", "Call somebody: speak, record, press keys."),
    "answer": ("phone_commands", "Take calls."),
    "parse": ("parse", "Judge SIP messages and SDP."),
    "conform": ("conform", "Try a user agent or registrar by the RFCs."),
    "replay": ("replay", "Run a recorded trace again, and compare."),
    "phone": ("terminal.command", "A telephone in the terminal."),
    "load": ("load.command", "Place many calls at a rate, and measure."),
    "fleet": ("fleet.command", "Phones that answer, on one machine or several."),
    "preflight": ("preflight.command", "Say whether an account works from here."),
    "ladder": ("ladder", "Draw the SIP messages of a trace."),
    "report": ("report.command", "Make one HTML page of a trace."),
    "export": ("ladder", "Write a trace as pcapng for Wireshark."),
}

# Packages that the library does without, and the extra that brings each.
OPTIONAL = {
    "rich": "cli",
    "textual": "phone",
    "hdrh": "load",
    "starlette": "web",
    "uvicorn": "web",
    "sounddevice": "devices",
    "dpkt": "pcap",
}


class Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            module = import_module(f".{COMMANDS[cmd_name][0]}", __package__)
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            if name not in OPTIONAL:
                raise
            extra = cmd_name if cmd_name in ("load", "phone", "fleet") else OPTIONAL[name]
            raise click.ClickException(f"{name} is not installed; pip install 'sansio-sip[{extra}]'") from None
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="sansio-sip")
def cli() -> None:
    """A softphone: calls, takes calls, serves a domain, and judges SIP.

    Exit status: 0 all as asked, 1 a call failed, 2 bad usage or input, 3 login failed, 4 server unreachable, 130
    interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; leaves by `sys.exit` with its status. Errors are one line: what was wrong, what to do."""
    try:
        status = cli.main(arguments, prog_name="sansio-sip", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
    except click.ClickException as error:
        _leave(_one_line(error), BAD_USAGE)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _leave_without_reader()
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _leave(f"the operating system says: {error.strerror or error}{where}; see to that and try again", FAILED)


def _one_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    if not isinstance(error, click.UsageError):
        return text
    ctx = error.ctx
    path = ctx.command_path if ctx is not None else "sansio-sip"
    return f"{text.rstrip('.')} (see {path} --help)"


def _leave(message: str, status: int) -> None:
    print(f"sansio-sip: {message}", file=sys.stderr)
    sys.exit(status)


def _leave_without_reader() -> None:
    """Whoever read our output has gone: nothing to say, and nobody to say it to."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # what was left in its buffer
            stream.close()
    sys.exit(FAILED)
