"""`serve`: the embedded registrar and proxy, until it is told to stop."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from sansio_sip.context import Secret
from sansio_sip.server import ServerOptions
from sansio_sip.server.events import BindingAdded, BindingRemoved, ServerFailed, ServerListening

from .account import address
from .build import Recording, build_server
from .exit_status import BAD_USAGE, DONE
from .runtimes import choose

__all__ = ["serve", "server_words"]

DEFAULT = "ws://127.0.0.1:5080"


@click.command()
@click.option("--ws", multiple=True, metavar="HOST:PORT", help="Listen for SIP over WebSocket; port 0: any.")
@click.option("--udp", multiple=True, metavar="HOST:PORT", help="Listen on UDP.")
@click.option("--tcp", multiple=True, metavar="HOST:PORT", help="Listen on TCP.")
@click.option("--tls", multiple=True, metavar="HOST:PORT", help="Listen on TLS; needs --certificate and --key.")
@click.option("--wss", multiple=True, metavar="HOST:PORT", help="Listen for SIP over secure WebSocket; as --tls.")
@click.option("--certificate", metavar="FILE", default="", help="PEM file of the certificate, with its chain.")
@click.option("--key", metavar="FILE", default="", help="PEM file of its private key.")
@click.option("--domain", default="localhost", show_default=True, help="Of the users' addresses.")
@click.option("--user", "users", multiple=True, metavar="NAME:PASSWORD", help="A user; repeatable.")
@click.option(
    "--runtime", type=click.Choice(["asyncio", "trio"]), default="asyncio", show_default=True, help="Event loop."
)
@click.option(
    "--web",
    metavar="[HOST:]PORT",
    help="A console: who is registered, who talks. On loopback unless HOST says otherwise; port 0: any.",
)
@click.option("--web-token", envvar="SANSIO_SIP_WEB_TOKEN", help="To open it with.  [default: a new one each time]")
@click.option("--trace", type=Path, metavar="FILE", help="Record the run, for `replay`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def serve(
    ws: tuple[str, ...],
    udp: tuple[str, ...],
    tcp: tuple[str, ...],
    tls: tuple[str, ...],
    wss: tuple[str, ...],
    certificate: str,
    key: str,
    domain: str,
    users: tuple[str, ...],
    runtime: str,
    web: str | None,
    web_token: str | None,
    trace: Path | None,
    as_json: bool,
) -> int:
    """Run a registrar and proxy, by default on ws://127.0.0.1:5080. Ctrl-C stops it.

    Each user logs in with NAME and PASSWORD and has the address sip:NAME@DOMAIN.
    """
    listen = tuple(
        f"{scheme}://{address(text, f'--{scheme}')}"
        for scheme, texts in (("ws", ws), ("udp", udp), ("tcp", tcp), ("tls", tls), ("wss", wss))
        for text in texts
    )
    if (tls or wss) and not (certificate and key):
        raise click.UsageError("--tls and --wss need a certificate: give --certificate FILE and --key FILE")
    known = {}
    for user in users:
        name, colon, password = user.partition(":")
        if not colon or not name:
            raise click.UsageError(f"--user is {name!r}: give NAME:PASSWORD")
        known[name] = Secret(password)
    try:
        options = ServerOptions(
            domain=domain,
            listen=listen or (DEFAULT,),
            certificate_file=certificate,
            key_file=key,
            users=known,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    loop = choose(runtime)
    console = _console(web, web_token, runtime)
    recording = Recording(trace) if trace is not None else None
    server: Any = build_server(options, recording=recording)
    if console is not None:
        server = console.watch(server)
    failures: list[ServerFailed] = []

    def say(row: dict[str, Any], words: str) -> None:
        print(json.dumps(row) if as_json else words, flush=True)

    async def main() -> None:
        box: list[Any] = []

        def deliver(event: Any) -> None:
            say({"event": event.name, **event.as_dict()}, server_words(event))
            if isinstance(event, ServerFailed):
                failures.append(event)
                for driver in box:
                    driver.finish()

        async with loop.open_driver(server, deliver) as driver:
            box.append(driver)
            if failures:
                driver.finish()
            async with (
                loop.interrupts(driver.finish),
                console.open() if console is not None else nullcontext("") as url,
            ):
                if url:
                    say({"event": "onConsoleOpened", "url": url}, f"console at {url}")
                await driver.finished()

    try:
        loop.run(main)
    finally:
        if recording is not None:
            recording.close()
    if failures:
        first = failures[0]
        print(f"sansio-sip: cannot listen at {first.url}: {first.reason}; choose another port", file=sys.stderr)
        return BAD_USAGE
    return DONE


def _console(web: str | None, token: str | None, runtime: str) -> Any:
    """The console that was asked for, if any. Raises click.UsageError."""
    if web is None:
        return None
    if runtime != "asyncio":
        raise click.UsageError("--web needs asyncio: leave out --runtime trio")
    where = address(web if ":" in web else f"127.0.0.1:{web}", "--web")
    try:
        from .console.open import WebConsole
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise click.ClickException(f"{error.name} is not installed; pip install 'sansio-sip[web]'") from None
    return WebConsole(where, token)


def server_words(event: Any) -> str:
    """An event of the server, for people."""
    match event:
        case ServerListening():
            return f"listening at {event.url}"
        case ServerFailed():
            return f"not listening at {event.url}: {event.reason}"
        case BindingAdded():
            return f"{event.address} is at {event.contact} by {event.transport} for {event.expires} s"
        case BindingRemoved():
            return f"{event.address} is no longer at {event.contact}: {event.reason}"
        case _:
            return str(event.name)
