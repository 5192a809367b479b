"""The options that every command with an account takes, and what they make of it."""

import math
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip.softphone.ice_servers import TurnAccount
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import CODECS, DEFAULT_CODECS, AccountOptions

__all__ = ["SECONDS", "account_options", "address", "build_account", "warn_unless"]

F = TypeVar("F", bound=Callable[..., Any])

MEDIA = {profile.value: (profile,) for profile in MediaProfile}

# What AccountOptions calls a thing, and what it is called here.
OPTION_OF = {
    "address": "ACCOUNT",
    "servers": "--server",
    "flows": "--flows",
    "expires": "--expires",
    "stun_servers": "--stun",
    "turn_servers": "--turn",
    "relay_only": "--relay-only",
}


class Seconds(click.FloatRange):
    """A finite number of seconds, 0 or more."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds

    def _describe_range(self) -> str:
        return ""


SECONDS = Seconds()


def warn_unless(*, tls_verify: bool) -> None:
    """Says on standard error what --insecure means."""
    if not tls_verify:
        print("sansio-sip: --insecure: anybody can pretend to be this server", file=sys.stderr)


def account_options(command: F) -> F:
    """Adds the options of an account to a command."""
    for option in reversed(
        [
            click.argument("account"),
            click.option(
                "--server",
                metavar="URL",
                multiple=True,
                help="wss://, ws://, tls://, tcp:// or udp:// host:port, or sip:HOST; default: that of ACCOUNT."
                " May be given more than once: the next is tried where one fails.",
            ),
            click.option(
                "--flows",
                type=int,
                default=1,
                metavar="N",
                show_default=True,
                help="Stay connected to so many servers at once (RFC 5626): calls outlast the loss of one.",
            ),
            click.option(
                "--password",
                envvar="SANSIO_SIP_PASSWORD",
                default="",
                help="Better in SANSIO_SIP_PASSWORD, where no other user sees it.",
            ),
            click.option("--username", metavar="NAME", help="For authentication, where it is not that of ACCOUNT."),
            click.option("--no-register", is_flag=True, help="Do not log in; without --server, peer to peer over UDP."),
            click.option("--listen", metavar="HOST:PORT", help="Where we are, peer to peer; default: any free port."),
            click.option(
                "--codec",
                default=",".join(DEFAULT_CODECS),
                metavar="NAMES",
                show_default=True,
                help="In order of preference, of " + ", ".join(CODECS) + ".",
            ),
            click.option(
                "--media",
                type=click.Choice(sorted(MEDIA)),
                default="webrtc",
                show_default=True,
                help="ICE with DTLS-SRTP, or plain RTP, which anybody on the way can hear.",
            ),
            click.option("--bind", metavar="HOST", help="Local address for media; default: that of signalling."),
            click.option("--stun", metavar="URL", multiple=True, help="stun:host:port; may be given more than once."),
            click.option(
                "--turn",
                metavar="URL",
                help="turn:host:port, turn:host:port?transport=tcp or turns:host:port (TLS):"
                " a relay for where nothing else helps.",
            ),
            click.option("--turn-user", metavar="NAME", default="", help="For --turn."),
            click.option(
                "--turn-password",
                envvar="SANSIO_SIP_TURN_PASSWORD",
                default="",
                help="Better in SANSIO_SIP_TURN_PASSWORD, where no other user sees it.",
            ),
            click.option("--relay-only", is_flag=True, help="Media by way of --turn alone: hides our addresses."),
            click.option(
                "--expires",
                type=int,
                default=120,
                metavar="SECONDS",
                show_default=True,
                help="How long a registration lasts unless renewed.",
            ),
            click.option("--ca", metavar="FILE", help="PEM file of the authorities to trust; default: the system's."),
            click.option("--insecure", is_flag=True, help="Accept any TLS certificate. Warns each time."),
            click.option(
                "--runtime",
                type=click.Choice(["asyncio", "trio"]),
                default="asyncio",
                show_default=True,
                help="The event loop to run on.",
            ),
            click.option("--trace", metavar="FILE", help="Record the run for `replay`: no secrets, audio or digits."),
            click.option("--trace-audio", is_flag=True, help="Keep audio and digits in the trace as well."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output."),
            click.option("-v", "--verbose", is_flag=True, help="Say what the phone logs, on standard error."),
        ]
    ):
        command = option(command)
    return command


def build_account(
    account: str,
    *,
    server: tuple[str, ...],
    password: str,
    username: str | None,
    no_register: bool,
    listen: str | None,
    codec: str,
    media: str,
    bind: str | None,
    expires: int,
    ca: str | None,
    insecure: bool,
    flows: int = 1,
    stun: tuple[str, ...] = (),
    turn: str | None = None,
    turn_user: str = "",
    turn_password: str = "",
    relay_only: bool = False,
    allow_multiple_incoming: bool = False,
) -> AccountOptions:
    """The account that the options describe. Raises click.UsageError, which names option and remedy."""
    if listen is not None and (server or not no_register):
        raise click.UsageError("--listen is for peer to peer: give --no-register as well, and no --server")
    if not server and not no_register:
        scheme = "sips" if account.lower().startswith("sips:") else "sip"
        server = (f"{scheme}:{account.rpartition('@')[2].partition(';')[0]}",)
    codecs = tuple(name.strip().lower() for name in codec.split(","))
    if unknown := [name for name in codecs if name not in CODECS]:
        raise click.UsageError(f"--codec has {unknown[0]!r}: give one or more of {','.join(CODECS)}")
    if len(set(codecs)) < len(codecs):
        raise click.UsageError(f"--codec is {codec!r}: give each codec once")
    if turn is not None and not turn_user:
        raise click.UsageError("--turn needs --turn-user: relays are for those who log on")
    local = address(listen, "--listen") if listen is not None else Address("0.0.0.0", 0)
    try:
        options = AccountOptions(
            address=account,
            password=Secret(password),
            username=username,
            servers=tuple(server),
            flows=flows,
            bind=local,
            expires=expires,
            profiles=MEDIA[media],
            codecs=codecs,
            media_addresses=(bind,) if bind is not None else (),
            stun_servers=stun,
            turn_servers=() if turn is None else (TurnAccount(turn, turn_user, Secret(turn_password)),),
            relay_only=relay_only,
            allow_multiple_incoming=allow_multiple_incoming,
            ca_file=ca,
            tls_verify=not insecure,
        )
    except ValueError as error:
        field, _, rest = str(error).partition(" ")
        raise click.UsageError(f"{OPTION_OF.get(field, field)} {rest}") from None
    if listen is not None:
        check_local(local, f"--listen is {listen!r}")
    if bind is not None:
        check_local(Address(bind, 0), f"--bind is {bind!r}")
    if ca is not None:
        check_authorities(ca)
    return options


def address(text: str, option: str) -> Address:
    """`host:port`, or `[host]:port` for IPv6."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535 or not host:
        raise click.UsageError(f"{option} is {text!r}: give HOST:PORT, as in 127.0.0.1:5060")
    return Address(host.strip("[]"), int(port))


def check_local(local: Address, what: str) -> None:
    """Whether a UDP socket can be bound there: better said now than when the call is on its way."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in local.host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(local)
    except socket.gaierror:
        raise click.UsageError(f"{what}: give an IP address of this host") from None
    except OSError as error:
        remedy = "another port" if local.port else "an IP address of this host"
        raise click.UsageError(f"{what}: {error.strerror}; give {remedy}") from None


def check_authorities(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise click.UsageError(f"--ca is {path!r}, which holds no certificate; give a PEM file") from None
    except OSError as error:
        raise click.UsageError(f"--ca is {path!r}: {error.strerror}; give a PEM file that exists") from None
