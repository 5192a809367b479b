"""The console as `serve` has it: a board beside the server, and a web server for the board."""

import ipaddress
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import click

from sansio_sip.effects import Address
from sansio_sip.server import Server

from .app import Console, serving
from .board import Board, WatchedServer

__all__ = ["WebConsole"]


class WebConsole:
    """`watch` the server first, then `open`."""

    def __init__(self, address: Address, token: str | None) -> None:
        self._address = address
        self._token = token or secrets.token_urlsafe(18)
        self._board = Board(time.time)
        self._server: Server | None = None

    def watch(self, server: Server) -> WatchedServer:
        """The server to give to the driver."""
        self._server = server
        return WatchedServer(server, self._board)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Serves for the length of the block; gives the URL. Raises click.UsageError where it cannot listen."""
        assert self._server is not None
        if not _is_loopback(self._address.host):
            print("sansio-sip: --web is not on loopback: token and console go in the clear", file=sys.stderr)
        server = self._server
        console = Console(self._board, lambda: server.counters, self._token)
        async with AsyncExitStack() as stack:
            try:
                url = await stack.enter_async_context(serving(console, self._address, self._token))
            except OSError as error:
                where = f"{self._address}: {error.strerror or error}"
                raise click.UsageError(f"--web cannot listen at {where}; choose another port") from None
            yield url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
