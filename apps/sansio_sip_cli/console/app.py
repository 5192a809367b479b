"""The console's web server: a page, and the state of the board over a WebSocket, in the loop of the SIP server."""

import asyncio
import base64
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sansio_sip.effects import Address

from .board import Board

__all__ = ["Console", "serving"]

# Seconds between two states on a WebSocket: people read no faster.
PACE = 0.25

# Seconds after which the state is sent though nothing has changed: durations, and whether we are there.
HEARTBEAT = 5.0

# Consoles open at a time.
MAX_WATCHERS = 20

# RFC 6455 section 7.4.1: policy violation.
REFUSED = 1008


class Console:
    """Serves a board to whoever has the token."""

    def __init__(self, board: Board, counters: Callable[[], dict[str, int]], token: str) -> None:
        self._board = board
        self._counters = counters
        self._token = token
        self._bells: set[asyncio.Event] = set()
        self._news = asyncio.Event()
        self._text = ""
        board.changed = self._news.set
        self._page, self._policy = _page()
        self.app = Starlette(routes=[Route("/", self._show), WebSocketRoute("/live", self._live)])

    async def _show(self, request: Request) -> Response:
        if not self._knows(request.query_params.get("token", "")):
            return PlainTextResponse("Open the URL that `sansio-sip serve --web` printed: it holds the token.\n", 401)
        headers = {
            "Content-Security-Policy": self._policy,
            "Cache-Control": "no-store",
            # The token is in the URL of the page.
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(self._page, headers=headers)

    async def _live(self, watcher: WebSocket) -> None:
        if not self._knows(watcher.query_params.get("token", "")) or len(self._bells) >= MAX_WATCHERS:
            await watcher.close(REFUSED)
            return
        await watcher.accept()
        bell = asyncio.Event()
        self._bells.add(bell)
        self._news.set()  # for the one who has just come
        gone = asyncio.ensure_future(_until_gone(watcher))
        try:
            while not gone.done():
                ringing = asyncio.ensure_future(bell.wait())
                await asyncio.wait([gone, ringing], return_when=asyncio.FIRST_COMPLETED)
                ringing.cancel()
                if bell.is_set():
                    bell.clear()
                    await watcher.send_text(self._text)
        except WebSocketDisconnect:
            pass
        finally:
            gone.cancel()
            self._bells.discard(bell)

    def _knows(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self._token.encode())

    async def keep_telling(self) -> None:
        """Until it is cancelled: makes the state a text when there is news, once for all who watch."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    await self._news.wait()
            self._news.clear()
            if self._bells:
                self._text = json.dumps(self._board.as_dict(self._counters()))
                for bell in self._bells:
                    bell.set()
            await asyncio.sleep(PACE)


class _Quiet(uvicorn.Server):
    """Leaves signals to the command, which knows what else has to end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(console: Console, address: Address, token: str) -> AsyncIterator[str]:
    """Serves for the length of the block; gives the URL to open. Raises OSError where it cannot listen."""
    # Opened here: uvicorn ends the process where it cannot listen.
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sockets = [socket.create_server(address, family=family)]
    config = uvicorn.Config(console.app, ws="wsproto", lifespan="off", log_level="error", access_log=False)
    server = _Quiet(config)
    task = asyncio.create_task(server.serve(sockets=sockets))
    telling = asyncio.create_task(console.keep_telling())
    host, port = sockets[0].getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{port}/?token={quote(token)}"
    finally:
        server.should_exit = True
        server.force_exit = True
        telling.cancel()
        await asyncio.wait([telling])
        await task
        for each in sockets:
            each.close()


async def _until_gone(watcher: WebSocket) -> None:
    """Reads until the watcher has left; what it says is of no interest."""
    try:
        while True:
            await watcher.receive_text()
    except (WebSocketDisconnect, KeyError, RuntimeError):
        return


def _page() -> tuple[str, str]:
    """The page with its script and style in it, and the policy that lets it do nothing but watch."""
    folder = files(__package__)
    script = folder.joinpath("console.js").read_text("utf-8")
    style = files("sansio_sip_cli.report").joinpath("page.css").read_text("utf-8")
    page = folder.joinpath("console.html").read_text("utf-8")
    digest = base64.b64encode(sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return page.replace("/* style */", style).replace("/* script */", script), policy
