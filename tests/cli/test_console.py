"""`sansio-sip serve --web`: what the console is told, who may look, and what it looks like with a call on it."""

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cli.browsing import look_at
from cli.phones import DOMAIN, SPEECH, Served, account, serving
from interop.peers import sansio_sip
from simulation.phones import Network

from sansio_sip.server.events import BindingAdded
from sansio_sip_cli.console.board import MAX_CALLS, MAX_ENDED, MAX_MESSAGES, MAX_ROWS, Board, WatchedServer

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from starlette.websockets import WebSocketDisconnect

from sansio_sip_cli.console import app


class Console:
    """A server with its console."""

    def __init__(self, served: Served) -> None:
        self.served = served
        row = served.lines.event("onConsoleOpened")
        self.url = str(row["url"])
        parts = urlsplit(self.url)
        self.address = parts.netloc
        self.token = parse_qs(parts.query)["token"][0]

    def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    with serving("--web", "0") as served:
        yield Console(served)


@pytest.fixture
def watched() -> tuple[Network, Board]:
    """A simulated server, and the board of what it does."""
    network = Network(5)
    board = Board(lambda: network.world.time)
    host = network.world.hosts["server"]
    host.machine = WatchedServer(network.server, board)
    return network, board


def test_the_board_knows_who_is_registered_and_who_talks(watched: tuple[Network, Board]) -> None:
    network, board = watched
    alice, bob = network.phone("alice"), network.phone("bob")
    assert alice.login()
    assert bob.login()
    addresses = {each["address"] for each in board.as_dict({})["registrations"]}
    assert addresses == {"sip:alice@example.com", "sip:bob@example.com"}

    alice.call("bob")
    network.pass_time(0.5)
    (call,) = board.as_dict({})["calls"]
    assert (call["from"], call["to"], call["state"]) == ("sip:alice@example.com", "sip:bob@example.com", "ringing")
    bob.answer()
    network.pass_time(2.0)
    (call,) = board.as_dict({})["calls"]
    assert call["state"] == "talking"
    assert call["answered"] > call["began"]
    alice.hang_up()
    network.pass_time(1.0)
    state = board.as_dict({"retransmissions": 3, "nothing": 0})
    assert state["calls"] == []
    assert [call["state"] for call in state["ended"]] == ["ended"]
    assert state["counts"]["calls"] == state["counts"]["answered"] == 1
    assert state["counts"]["retransmissions"] == 3
    assert "nothing" not in state["counts"]

    bob.do(bob.machine.logout, bob.account)
    network.pass_time(1.0)
    assert [each["address"] for each in board.as_dict({})["registrations"]] == ["sip:alice@example.com"]


def test_the_board_tells_how_a_call_failed(watched: tuple[Network, Board]) -> None:
    network, board = watched
    alice, bob = network.phone("alice"), network.phone("bob")
    assert alice.login()
    assert bob.login()
    for end in ("reject", "hang_up"):
        alice.call("bob")
        network.pass_time(0.5)
        if end == "reject":
            bob.do(bob.machine.reject, bob.only_call)
        else:
            alice.hang_up()
        network.pass_time(1.0)
    state = board.as_dict({})
    assert [call["state"] for call in state["ended"]] == ["487 Request Terminated", "486 Busy Here"]
    assert state["counts"]["failed"] == 2
    assert state["calls"] == []


def test_the_past_is_bounded(watched: tuple[Network, Board]) -> None:
    network, board = watched
    alice, bob = network.phone("alice"), network.phone("bob")
    assert alice.login()
    assert bob.login()
    for _ in range(MAX_ENDED + 3):
        alice.call("bob")
        network.pass_time(0.2)
        alice.hang_up()
        network.pass_time(0.5)
    state = board.as_dict({})
    assert len(state["ended"]) == MAX_ENDED
    assert len(state["messages"]) == MAX_MESSAGES
    assert MAX_CALLS < 10_000
    times = [message["at"] for message in state["messages"]]
    assert times == sorted(times, reverse=True)


def test_a_state_is_bounded_and_tells_how_much_there_is(watched: tuple[Network, Board]) -> None:
    _, board = watched
    for number in range(MAX_ROWS + 5):
        board.take(BindingAdded(f"sip:{number}@example.com", f"sip:{number}@192.0.2.1", "UDP", 120))
    state = board.as_dict({})
    assert len(state["registrations"]) == MAX_ROWS
    assert state["registered"] == MAX_ROWS + 5


@pytest.mark.realtime
def test_a_flood_of_news_is_made_a_text_once_for_all_who_watch() -> None:
    made = 0

    def counters() -> dict[str, int]:
        nonlocal made
        made += 1
        return {"made": made}

    class Watcher:
        """What the console uses of a WebSocket."""

        def __init__(self) -> None:
            self.query_params = {"token": "token"}
            self.told: list[int] = []
            self.gone = asyncio.Event()

        async def accept(self) -> None:
            pass

        async def send_text(self, text: str) -> None:
            self.told.append(json.loads(text)["counts"]["made"])

        async def receive_text(self) -> str:
            await self.gone.wait()
            raise WebSocketDisconnect

    async def main() -> None:
        board = Board(lambda: 0.0)
        console = app.Console(board, counters, "token")
        watchers = [Watcher() for _ in range(10)]
        live = [asyncio.create_task(console._live(watcher)) for watcher in watchers]  # type: ignore[arg-type]
        telling = asyncio.create_task(console.keep_telling())
        while len(watchers[0].told) < 3:
            board.changed()
            await asyncio.sleep(0)
        for watcher in watchers:
            watcher.gone.set()
        await asyncio.gather(*live)
        telling.cancel()
        await asyncio.wait([telling])
        assert made == 3
        assert all(watcher.told[:2] == [1, 2] for watcher in watchers)

    asyncio.run(main())


@pytest.mark.realtime
def test_only_who_has_the_token_may_look(console: Console) -> None:
    assert console.address.startswith("127.0.0.1:")
    assert len(console.token) >= 20
    for path in ("/", "/?token=", f"/?token={console.token}x"):
        status, text, _ = console.get(path)
        assert status == 401
        assert "registrations" not in text
    status, text, headers = console.get(f"/?token={console.token}")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "http:" not in text
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert console.get("/live?token=wrong", **upgrade, **key)[0] == 403


@pytest.mark.interop
@pytest.mark.realtime
def test_a_browser_shows_a_call_while_it_lasts(console: Console, tmp_path: Path) -> None:
    served = console.served
    script = """(async () => {
        const state = () => [...document.querySelectorAll('#calls .badge')].map((each) => each.textContent);
        while (!state().includes('talking')) await new Promise((done) => setTimeout(done, 100));
        const small = [...document.querySelectorAll('td, th, p, .card')]
          .map((each) => parseFloat(getComputedStyle(each).fontSize)).reduce((a, b) => Math.min(a, b));
        const text = (id) => document.getElementById(id).innerText;
        return { small, state: text('state'), calls: text('calls'), registrations: text('registrations'),
                 messages: text('messages') };
    })()"""
    with sansio_sip("answer", *account("bob", served), "--echo") as bob:
        bob.event("onLogin")
        words = [*account("alice", served), "bob", "--duration", "40", "--play", str(SPEECH / "alice.wav")]
        with sansio_sip("call", *words) as alice:
            alice.event("onCallAnswered")
            look = look_at(console.url, tmp_path / "console", script=script, widths=(1280, 600))
    assert not look.errors
    assert {urlsplit(url).netloc for url in look.requests} == {console.address}
    assert look.answer["state"] == "live"
    assert f"sip:alice@{DOMAIN}" in look.answer["calls"]
    assert f"sip:bob@{DOMAIN}" in look.answer["registrations"]
    assert "200 INVITE" in look.answer["messages"]
    assert look.answer["small"] >= 14
    assert all(overflow <= 0 for overflow in look.overflow.values()), look.overflow
    assert (tmp_path / "console-1280.png").stat().st_size > 20_000


@pytest.mark.interop
@pytest.mark.realtime
def test_what_comes_from_the_network_stays_text(console: Console, tmp_path: Path) -> None:
    target = "sip:%3Cimg%20src=x%20onerror=alert(1)%3E@" + DOMAIN
    with sansio_sip("call", *account("alice", console.served), target) as alice:
        assert alice.wait() == 1
    script = """(async () => {
        const rows = () => document.querySelectorAll('#messages tr td + td').length;
        while (!rows()) await new Promise((done) => setTimeout(done, 100));
        return document.querySelectorAll('img').length;
    })()"""
    look = look_at(console.url, tmp_path / "evil", script=script)
    assert look.answer == 0
    assert not look.errors


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("words", "what"),
    [(["--web", "0", "--runtime", "trio"], "asyncio"), (["--web", "x"], "--web"), (["--web", "192.0.2.1:1"], "--web")],
)
def test_what_cannot_be_is_said(words: list[str], what: str) -> None:
    with sansio_sip("serve", "--ws", "127.0.0.1:0", *words) as run:
        assert run.wait() == 2, str(run)
    assert what in run.errors[-1]


@pytest.mark.realtime
def test_a_token_of_ones_own_and_the_end() -> None:
    with serving("--web", "0", "--web-token", "a token & more") as served:
        console = Console(served)
        assert console.token == "a token & more"
        began = time.monotonic()
    assert time.monotonic() - began < 8
