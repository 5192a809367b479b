"""The reference's client with pages of JsSIP in Chromium as the far end, on asyncio and on trio.

Through Kamailio: three calls that ring at once, a redirect to another device, a WebSocket killed in a call. Through our
own server: a login by access token, and a redirect that the server follows.
"""

import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from interop.peers import SPEECH, Kamailio, Lines, kamailio, page, require
from interop.tcp_relay import TcpRelay
from parity.bench import DOMAIN, FRONTS, Next, bench, token

from sansio_sip.softphone import MediaProfile, Options, events
from sansio_sip_cli.audio import load

pytestmark = [
    pytest.mark.interop,
    pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name),
]

PATIENCE = 30.0
HEARING = 15.0  # seconds for what takes one or two
RATE = 16_000


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Bob's speech as Chromium's fake microphone takes it: 48 kHz."""
    require("sox")
    path = tmp_path / "microphone.wav"
    subprocess.run(["sox", str(SPEECH / "bob.wav"), "-r", "48000", "-b", "16", str(path)], check=True)
    return path


class Pages:
    """Pages of several users in one browser."""

    def __init__(self, runtime: Any, lines: Lines) -> None:
        self._in_thread = FRONTS[runtime.name].RUNTIME.in_thread
        self._lines = lines
        self.last: dict[str, Any] = {}  # of the statistics of a page

    def say(self, user: str, do: str, **fields: str) -> None:
        self._lines.say({"do": do, "user": user, **fields})

    async def next(self, user: str, name: str) -> dict[str, Any]:
        """The first event of that name that was not taken yet."""
        row: dict[str, Any] = await self._in_thread(partial(self._lines.event, name, user=user))
        self._lines.rows.remove(row)
        return row

    def seen(self, user: str, name: str) -> bool:
        self._lines.take_waiting()
        return any(row.get("event") == name and row.get("user") == user for row in self._lines.rows)

    async def hears(self, user: str, client: Any) -> bool:
        """Whether the page hears within some seconds what the client says."""
        speech = load(SPEECH / "alice.wav").samples[: 4 * RATE]
        begin, before = time.monotonic(), None
        while time.monotonic() < begin + HEARING:
            if client.get_peer_connection()["pc"] is not None and self._says_nothing(client):
                client.write_audio(speech, RATE)
            self.say(user, "stats")
            self.last = await self.next(user, "stats")
            energy = self.last.get("energy")
            if energy is not None and before is not None and energy > before + 0.0005:
                return True
            before = energy if before is None else before
        return False

    @staticmethod
    def _says_nothing(client: Any) -> bool:
        return bool(client.machine._phone.audio_queued(client.get_call_uuid()) == 0)


async def hears(runtime: Any, client: Any) -> bool:
    """Whether the client hears within some seconds what the page says."""
    client.read_audio(RATE)
    begin = time.monotonic()
    while time.monotonic() < begin + HEARING:
        await runtime.sleep(0.1)
        if np.abs(client.read_audio(RATE).astype(np.float64)).max(initial=0.0) > 1_000:
            return True
    return False


@contextmanager
def setting(folder: Path, runtime: Any, spoken: Path, *users: str) -> Iterator[tuple[Kamailio, Pages]]:
    """Kamailio, and pages of users that are registered there."""
    (folder / "kamailio").mkdir()
    with kamailio(folder / "kamailio") as peer, page(folder / "www", ",".join(users), peer, spoken) as lines:
        for user in users:
            lines.event("registered", user=user)
        yield peer, Pages(runtime, lines)


@asynccontextmanager
async def client(runtime: Any, peer: Kamailio, user: str, server: str = "", **options: Any) -> AsyncIterator[Any]:
    """A client whose user is logged in."""
    made = Options(domain=peer.domain, servers=(server or peer.server("ws"),), **options)
    async with FRONTS[runtime.name].open_client(made) as found:
        assert found.login(user, f"pw-{user}")
        await found.wait_for(events.Login, timeout=PATIENCE)
        yield found


async def answered(runtime: Any, pages: Pages, user: str, found: Any) -> None:
    """The call between them is up, and each hears the other."""
    await pages.next(user, "confirmed")
    heard = await pages.hears(user, found)
    statistics = found.machine._phone.statistics(found.get_call_uuid())
    assert heard, (statistics, pages.last)
    assert await hears(runtime, found), statistics


async def three_calls(runtime: Any, peer: Kamailio, pages: Pages, action: str) -> None:
    # A user for each: no page may ring at a binding that was left behind.
    async with client(runtime, peer, f"alice{action}", allow_multiple_incoming_calls=True) as alice:
        for caller in ("bob", "carol", "dave"):
            ringing = Next(alice, events.IncomingCall)
            pages.say(caller, "call", target=f"sip:alice{action}@{peer.domain}")
            await ringing
        calls = {info.src.partition("@")[0]: info.call_uuid for info in alice.get_incoming_calls()}
        assert list(calls) == ["bob", "carol", "dave"]
        told = alice.events()
        assert alice.answer(calls["carol"], action)
        await answered(runtime, pages, "carol", alice)
        left = [info.src.partition("@")[0] for info in alice.get_incoming_calls()]
        active = "carol"
        match action:
            case "reject":
                for caller in ("bob", "dave"):
                    assert (await pages.next(caller, "failed"))["detail"] == "remote Busy"
                assert left == []
            case "ignored":
                ignored = [event.call for event in told._queue if isinstance(event, events.IncomingCallIgnored)]
                assert ignored == [calls["bob"], calls["dave"]]
                assert left == []
                for caller in ("bob", "dave"):
                    assert not pages.seen(caller, "failed")  # it still rings there
                    pages.say(caller, "bye")
                    assert (await pages.next(caller, "failed"))["detail"] == "local Canceled"
            case _:
                assert left == ["bob", "dave"]
                assert not pages.seen("bob", "failed")
                assert not pages.seen("dave", "failed")
                assert alice.answer(calls["bob"])
                assert (await pages.next("carol", "ended"))["detail"].startswith("remote")
                assert (await pages.next("dave", "failed"))["detail"] == "remote Busy"
                await answered(runtime, pages, "bob", alice)
                active = "bob"
        over = Next(alice, events.CallTerminated)
        pages.say(active, "bye")
        assert (await over).hangup_info.originator == "remote"
        await pages.next(active, "ended")


def test_three_pages_ring_at_once(tmp_path: Path, spoken: Path, runtime: Any) -> None:
    with setting(tmp_path, runtime, spoken, "bob", "carol", "dave") as (peer, pages):

        async def main() -> None:
            for action in ("reject", "ignored", "letring"):
                await three_calls(runtime, peer, pages, action)

        runtime.run(main)


def test_a_call_is_redirected_to_a_second_client_of_the_user(tmp_path: Path, spoken: Path, runtime: Any) -> None:
    """JsSIP follows no 302, so whoever steers the page calls the Contact of it."""
    with setting(tmp_path, runtime, spoken, "carol") as (peer, pages):

        async def main() -> None:
            async with client(runtime, peer, "bob") as first, client(runtime, peer, "bob") as second:
                ringing = Next(first, events.IncomingCall)
                pages.say("carol", "call", target=first.get_contact_uri())
                await ringing
                assert second.get_incoming_calls() == []
                gone = Next(first, events.CallFailed)
                assert first.redirect(second.get_contact_uri())
                assert (await gone).cause == "Redirected"
                contact = re.fullmatch(r"<(.*)>.*", (await pages.next("carol", "redirected"))["detail"])
                assert contact is not None
                # Kamailio adds to it on the way from which connection it came.
                assert re.sub(r";alias=[^;]*", "", contact[1]) == second.get_contact_uri()
                ringing = Next(second, events.IncomingCall)
                pages.say("carol", "call", target=contact[1])
                await ringing
                assert first.get_incoming_calls() == []
                assert second.answer()
                await answered(runtime, pages, "carol", second)
                assert second.hangup()
                await pages.next("carol", "ended")

        runtime.run(main)


def test_audio_is_back_within_five_seconds_of_the_return_of_the_server(
    tmp_path: Path, spoken: Path, runtime: Any
) -> None:
    with setting(tmp_path, runtime, spoken, "bob") as (peer, pages):
        relay = TcpRelay(peer.ws_port)

        async def main() -> None:
            async with client(runtime, peer, "alice", f"ws://127.0.0.1:{relay.port}") as alice:
                assert alice.call("bob")
                await pages.next("bob", "incoming")
                pages.say("bob", "answer")
                await answered(runtime, pages, "bob", alice)
                lost = Next(alice, events.ConnectionChange)
                relay.cut()
                assert (await lost).state == "disconnected"
                # Several tries have failed by then, and each failure makes a patient client more so.
                await runtime.sleep(6.0)
                assert not alice.is_connected()
                back, connected = Next(alice, events.ConnectionChange), Next(alice, events.MediaConnected)
                relay.mend()
                mended = time.monotonic()
                assert (await back).state == "connected"
                await pages.next("bob", "reinvite")
                await connected
                assert await hears(runtime, alice)
                assert await pages.hears("bob", alice)
                assert time.monotonic() - mended < 5.0
                assert alice.is_registered()
                # What the page sends us goes by the new connection.
                over = Next(alice, events.CallTerminated)
                pages.say("bob", "bye")
                assert (await over).hangup_info.originator == "remote"

        try:
            runtime.run(main)
        finally:
            relay.cut()


def test_a_holder_of_a_token_talks_to_a_page_through_our_server(tmp_path: Path, spoken: Path, runtime: Any) -> None:
    webrtc = {"profiles": (MediaProfile.WEBRTC,), "codecs": ("opus",)}

    async def main() -> None:
        in_thread = FRONTS[runtime.name].RUNTIME.in_thread
        with ExitStack() as stack:
            async with bench(runtime, users={"bob": "pw-bob"}) as pbx:
                peer: Any = SimpleNamespace(server=lambda transport: pbx.url, domain=DOMAIN)
                browser = page(tmp_path / "www", "bob", peer, spoken)
                # Entered in a thread: the page registers at the server that runs in this one.
                pages = Pages(runtime, await in_thread(partial(stack.enter_context, browser)))
                alice = await pbx.client(**webrtc)
                assert alice.login_with_access_token(token())
                await alice.wait_for(events.Login, timeout=PATIENCE)

                assert alice.call("bob")
                assert (await pages.next("bob", "incoming"))["detail"] == "alice_MA1"
                pages.say("bob", "answer")
                await answered(runtime, pages, "bob", alice)
                assert alice.hangup()
                await pages.next("bob", "ended")

                # A second device of the holder, and a redirect that the server follows: the page learns nothing of it.
                second = await pbx.client(**webrtc)
                assert second.login_with_access_token(token())
                await second.wait_for(events.Login, timeout=PATIENCE)
                ringing, moved = Next(alice, events.IncomingCall), Next(second, events.IncomingCall)
                pages.say("bob", "call", target=alice.get_contact_uri())
                await ringing
                assert alice.redirect(second.get_contact_uri())
                await moved
                assert second.answer()
                await answered(runtime, pages, "bob", second)
                assert not pages.seen("bob", "redirected")
                over = Next(second, events.CallTerminated)
                pages.say("bob", "bye")
                await over

    runtime.run(main)
