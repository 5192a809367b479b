"""`sansio-sip phone`: driven as a person would, in 80 columns, with a real call to an echo."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from cli.browsing import look_at
from cli.phones import DOMAIN, SPEECH, Served, account, complaint, serving
from interop.peers import Lines, sansio_sip, wait_for
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, RichLog, Static, TabbedContent

from sansio_sip.context import Secret
from sansio_sip.softphone.options import AccountOptions
from sansio_sip_asyncio.driver import open_driver
from sansio_sip_cli.build import build_phone
from sansio_sip_cli.terminal.line import MAX_LINES, Line
from sansio_sip_cli.terminal.screen import PhoneScreen
from sansio_sip_cli.terminal.sound import backend, pump
from sansio_sip_devices import AudioBackend, VirtualDevices

pytestmark = pytest.mark.realtime

SIZE = (80, 24)
PATIENCE = 25.0


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture
def echo(served: Served) -> Iterator[Lines]:
    with sansio_sip("answer", *account("bob", served), "--echo", "--calls", "9") as bob:
        bob.event("onLogin")
        yield bob


@asynccontextmanager
async def telephone(
    served: Served, name: str = "alice", password: str = "", devices: AudioBackend | None = None
) -> AsyncIterator[tuple[Line, Pilot[None]]]:
    """A phone on a screen of 80 columns, that speaks a file unless it is given devices."""
    options = AccountOptions(
        f"sip:{name}@{DOMAIN}",
        password=Secret(password or f"pw-{name}"),
        servers=(served.urls["ws"],),
        allow_multiple_incoming=True,
    )
    line = Line(build_phone(), options, registers=True)
    devices = devices or backend(str(SPEECH / "alice.wav"))
    assert devices is not None
    async with open_driver(line.machine, line.deliver) as driver:
        line.open(driver)
        sound = asyncio.create_task(pump(line, devices))
        async with PhoneScreen(line).run_test(size=SIZE) as pilot:
            yield line, pilot
        sound.cancel()
        await line.part(3.0)
    assert line.closed.is_set()


async def until(pilot: Pilot[None], condition: Callable[[], Any], what: str) -> None:
    end = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < end, (what, shown(pilot, "log"))
        await pilot.pause(0.05)


def shown(pilot: Pilot[None], name: str) -> str:
    log = pilot.app.query_one(f"#{name}", RichLog)
    return "\n".join(strip.text for strip in log.lines)


def cells(pilot: Pilot[None]) -> list[list[str]]:
    table = pilot.app.query_one("#calls", DataTable)
    return [[str(cell) for cell in table.get_row(key)] for key in table.rows]


def state(line: Line) -> str:
    return "" if line.chosen is None else line.chosen.state


def test_a_call_from_dial_to_good_bye(served: Served, echo: Lines, tmp_path: Path) -> None:
    async def main() -> str:
        async with telephone(served) as (line, pilot):
            await until(pilot, lambda: line.is_ready, "registered")
            await pilot.press(*"bob", "enter")
            await until(pilot, lambda: state(line) == "talking", "an answer")
            party = line.chosen
            assert party is not None
            assert cells(pilot)[0][:2] == [f"bob@{DOMAIN}", "talking"]
            assert pilot.app.query_one("#target", Input).value == ""

            for key in ("5", "star", "pound"):
                await pilot.click(f"#key-{key}")
            await until(pilot, lambda: party.digits == "5*#", "the echo of the keys")
            await until(pilot, lambda: line.levels.output_dbov > -40, "the echo of the voice")
            await until(pilot, lambda: len(party.mos) >= 3, "figures of quality")
            await pilot.pause(0.5)
            assert "MOS 4" in str(pilot.app.query_one("#figures", Static).render())
            assert "jitter" in str(pilot.app.query_one("#figures", Static).render())
            assert "█" in str(pilot.app.query_one("#mos", Static).render())
            assert "answered" in shown(pilot, "log")
            picture = pilot.app.export_screenshot(title="sansio-sip phone")

            await pilot.press("f6")
            assert state(line) == "muted"
            echo.take_waiting()
            await pilot.press("f6", "f5")
            await until(pilot, lambda: state(line) == "on hold", "hold")
            await pilot.click("#hold")
            await until(pilot, lambda: state(line) == "talking", "no hold")

            await pilot.press("f8")
            assert pilot.app.query_one("#tabs", TabbedContent).active == "sip"
            await pilot.pause(0.2)
            ladder = shown(pilot, "ladder")
            for message in ("REGISTER", "INVITE", "180 INVITE", "200 INVITE", "ACK"):
                assert f" {message} " in ladder, ladder
            (tmp_path / "ladder.svg").write_text(pilot.app.export_screenshot(title="sansio-sip phone"))
            await pilot.press("f4")
            await until(pilot, lambda: not line.parties, "the end")
            await pilot.pause(0.1)
            assert cells(pilot) == []
            return picture

    picture = asyncio.run(main())
    (tmp_path / "phone.svg").write_text(picture)
    assert "Hang" in picture
    echo.event("onDtmfReceived", tone="#")


def test_a_call_that_comes_in(served: Served) -> None:
    async def main() -> None:
        async with telephone(served) as (line, pilot):
            await until(pilot, lambda: line.is_ready, "registered")
            for end in ("f3", "f4"):
                words = [*account("bob", served), "alice", "--duration", "8"]
                with sansio_sip("call", *words) as bob:
                    await until(pilot, lambda: state(line) == "rings here", "a call")
                    await pilot.press(end)
                    if end == "f3":
                        await until(pilot, lambda: state(line) == "talking", "an answer")
                    await until(pilot, lambda: not line.parties, "the end")
                    status = await asyncio.to_thread(bob.wait)
                assert status == (0 if end == "f3" else 1)

    asyncio.run(main())


def test_the_far_end_is_transferred(served: Served, echo: Lines) -> None:
    async def main() -> None:
        async with telephone(served) as (line, pilot):
            await until(pilot, lambda: line.is_ready, "registered")
            await pilot.press(*"bob", "enter")
            await until(pilot, lambda: state(line) == "talking", "an answer")
            await pilot.press(*"nobody", "f7")
            # `answer` declines to be sent elsewhere; the call goes on.
            await until(pilot, lambda: "ransfer" in "\n".join(line.log), "word of the transfer")
            assert state(line) == "talking"
            await pilot.press(*"bob", "f2")
            await until(pilot, lambda: len(line.parties) == 2 and state(line) == "talking", "a second call")
            assert sorted(party.state for party in line.parties.values()) == ["on hold", "talking"]
            assert any(row[0].startswith("▸") for row in cells(pilot))
            first = next(iter(line.parties))
            pilot.app.query_one("#calls", DataTable).focus()
            await pilot.press("home", "enter")
            await until(pilot, lambda: line.chosen is line.parties[first], "the first call chosen")

    asyncio.run(main())


def test_what_cannot_be_done_is_said(served: Served) -> None:
    async def main() -> None:
        async with telephone(served) as (line, pilot):
            await until(pilot, lambda: line.is_ready, "registered")
            await pilot.press("f2", "f3", "f4", "f5", "f6", "f7")
            await pilot.click("#key-7")
            assert pilot.app.query_one("#target", Input).value == "7"  # nobody to press it for
            log = "\n".join(line.log)
            for words in ("whom?", "nobody calls", "no call to hang up", "no call to hold", "no call to mute"):
                assert words in log
            pilot.app.query_one("#target", Input).focus()
            pilot.app.query_one("#target", Input).value = "sip:[b]x"
            await pilot.press("enter")
            await until(pilot, lambda: "call failed" in "\n".join(line.log) or "cannot" in line.log[-1], "a failure")

    asyncio.run(main())


def test_a_login_that_fails_says_what_to_do(served: Served) -> None:
    async def main() -> None:
        async with telephone(served, password="wrong") as (line, pilot):
            await until(pilot, lambda: "password" in "\n".join(line.log), "advice")
            await pilot.pause(0.1)
            assert "not registered" in str(pilot.app.query_one("#top", Static).render())

    asyncio.run(main())


class Devices(VirtualDevices):
    """Silence, and a speaker; remembers which microphones were let go."""

    def __init__(self, *, has_speaker: bool) -> None:
        speakers = {"speaker": lambda samples, rate: None} if has_speaker else {}
        super().__init__(inputs={"silence": lambda count: np.zeros(count, np.int16)}, outputs=speakers)
        self.closed: list[Any] = []

    def open_microphone(self, device_id: str) -> Any:
        microphone: Any = super().open_microphone(device_id)
        microphone.close = lambda: self.closed.append(microphone)
        return microphone


def test_a_speaker_that_is_unplugged_ends_the_sound_and_not_the_phone(served: Served, echo: Lines) -> None:
    async def main() -> None:
        devices = Devices(has_speaker=True)
        async with telephone(served, devices=devices) as (line, pilot):
            await until(pilot, lambda: line.is_ready, "registered")
            await pilot.press(*"bob", "enter")
            await until(pilot, lambda: state(line) == "talking", "an answer")
            await pilot.pause(0.5)
            assert not devices.closed
            devices.unplug("speaker")
            await until(pilot, lambda: "no sound any more" in "\n".join(line.log), "word of the speaker")
            assert state(line) == "talking"
            assert len(devices.closed) == 1
            await pilot.press("f4")
            await until(pilot, lambda: not line.parties, "the end")

    asyncio.run(main())


def test_without_a_speaker_the_microphone_is_let_go(served: Served) -> None:
    async def main() -> None:
        devices = Devices(has_speaker=False)
        async with telephone(served, devices=devices) as (line, pilot):
            await until(pilot, lambda: "no sound: NotFoundError" in "\n".join(line.log), "word of the speaker")
        assert len(devices.closed) == 1

    asyncio.run(main())


def test_a_mistyped_target_leaves_the_call_as_it_is(served: Served, echo: Lines) -> None:
    async def main() -> None:
        async with telephone(served) as (line, pilot):
            await until(pilot, lambda: line.is_ready, "registered")
            line.call("bob")
            await until(pilot, lambda: state(line) == "talking", "an answer")
            before = len(line.ladder)
            line.call("sip:")
            await pilot.pause(0.5)
            assert state(line) == "talking"
            assert len(line.ladder) == before  # no re-INVITE
            assert len(line.parties) == 1

    asyncio.run(main())


def test_the_log_is_bounded_and_written_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = RichLog.write

    def counted(self: RichLog, content: Any, *args: Any, **kwargs: Any) -> RichLog:
        written.append(str(content))
        return write(self, content, *args, **kwargs)

    monkeypatch.setattr(RichLog, "write", counted)

    async def main() -> None:
        async with telephone(served) as (line, pilot):
            await until(pilot, lambda: line.is_ready, "registered")
            for number in range(MAX_LINES + 20):
                line.tell(f"line {number}")
            await pilot.pause(0.2)
            log = pilot.app.query_one("#log", RichLog)
            assert len(line.log) == len(log.lines) == MAX_LINES
            assert log.lines[-1].text.strip().endswith(f"line {MAX_LINES + 19}")
        assert sum(line.endswith(f"  line {MAX_LINES + 19}") for line in written) == 1

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal_it_hangs_up(served: Served, echo: Lines, number: signal.Signals) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "sansio_sip_cli", "phone", *account("alice", served), "--audio", "none"]
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    drawn = bytearray()

    def read() -> None:
        with suppress(OSError):  # it has gone
            while piece := os.read(ours, 65_536):
                drawn.extend(piece)

    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        reader = Thread(target=read)
        reader.start()
        try:
            wait_for(lambda: b"registered" in drawn, "a phone that is registered")
            os.write(ours, b"bob\r")
            echo.event("onCallAnswered")
            process.send_signal(number)
            assert process.wait(30) == 130
            assert echo.event("onCallTerminated")["hangupInfo"]["originator"] == "remote"
        finally:
            process.kill()
            reader.join()
            os.close(ours)


@pytest.mark.interop
def test_the_screen_in_80_columns(served: Served, echo: Lines, tmp_path: Path) -> None:
    test_a_call_from_dial_to_good_bye(served, echo, tmp_path)
    for name in ("phone", "ladder"):
        page = tmp_path / f"{name}.html"
        page.write_text(f"<!doctype html><meta charset=utf-8><body>{(tmp_path / f'{name}.svg').read_text()}</body>")
        look_at(page.as_uri(), tmp_path / name)
        assert (tmp_path / f"{name}-1280.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("words", "what"),
    [(["--json"], "--json"), (["--runtime", "trio"], "trio"), (["--audio", "/absent.wav"], "absent.wav")],
)
def test_what_cannot_be_meant(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert what in complaint(capsys, "phone", "sip:alice@example.com", *words)
