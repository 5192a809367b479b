"""The options that every command with an account takes, and what they make of it."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import AccountOptions

__all__ = ["account_options", "address", "build_account"]

F = TypeVar("F", bound=Callable[..., Any])

MEDIA = {"webrtc": (MediaProfile.WEBRTC,), "rtp": (MediaProfile.RTP,)}


def account_options(command: F) -> F:
    """Adds the options of an account to a command."""
    for option in reversed(
        [
            click.argument("account"),
            click.option("--server", help="wss://, ws:// or udp:// host:port of the server; default: from ACCOUNT."),
            click.option("--password", envvar="SANSIO_SIP_PASSWORD", default="", help="Or SANSIO_SIP_PASSWORD."),
            click.option("--username", help="User name for authentication, where it is not that of ACCOUNT."),
            click.option("--no-register", is_flag=True, help="Do not log in; without --server, peer to peer."),
            click.option("--listen", metavar="HOST:PORT", help="Local UDP address, peer to peer."),
            click.option("--codec", default="opus,pcmu,pcma", show_default=True, help="In order of preference."),
            click.option("--media", type=click.Choice(sorted(MEDIA)), default="webrtc", show_default=True),
            click.option("--bind", metavar="HOST", help="Local address for media; default: that of signalling."),
            click.option("--expires", type=int, default=120, show_default=True, help="Seconds of a registration."),
            click.option("--ca", metavar="FILE", help="PEM file of authorities to trust."),
            click.option("--insecure", is_flag=True, help="Accept any TLS certificate. Warns each time."),
            click.option("--runtime", type=click.Choice(["asyncio", "trio"]), default="asyncio", show_default=True),
            click.option("--trace", metavar="FILE", help="Record the run, for `replay`."),
            click.option("--trace-audio", is_flag=True, help="Keep audio and digits in the trace as well."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
            click.option("-v", "--verbose", is_flag=True),
        ]
    ):
        command = option(command)
    return command


def build_account(
    account: str,
    *,
    server: str | None,
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
    allow_multiple_incoming: bool = False,
) -> AccountOptions:
    """The account that the options describe. Raises click.UsageError, which names option and remedy."""
    if listen is not None and not no_register:
        raise click.UsageError("--listen is for peer to peer: give --no-register as well")
    if server is None and not no_register:
        host = account.rpartition("@")[2].partition(";")[0]
        server = f"udp://{host}"
    try:
        return AccountOptions(
            address=account,
            password=Secret(password),
            username=username,
            servers=() if server is None else (server,),
            bind=address(listen, "--listen") if listen is not None else Address("0.0.0.0", 0),
            expires=expires,
            profiles=MEDIA[media],
            codecs=tuple(name.strip().lower() for name in codec.split(",")),
            media_addresses=(bind,) if bind is not None else (),
            allow_multiple_incoming=allow_multiple_incoming,
            ca_file=ca,
            tls_verify=not insecure,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def address(text: str, option: str) -> Address:
    """`host:port`, or `[host]:port` for IPv6."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535 or not host:
        raise click.UsageError(f"{option} is {text!r}: give HOST:PORT, as in 127.0.0.1:5060")
    return Address(host.strip("[]"), int(port))
