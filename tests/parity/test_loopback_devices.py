"""Devices, tones and keys over real sockets, on asyncio and on trio: microphones and speakers that are no hardware."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from parity.bench import PATIENCE, Bench, Next, bench
from parity.sound_host import level, pitch, sine

from sansio_sip.softphone import client_events, events
from sansio_sip.softphone.devices import Role
from sansio_sip.softphone.quality import QualityOptions
from sansio_sip_devices import DeviceError, Pipe, Recording, VirtualDevices
from sansio_sip_devices.wav_file import WavWriter, read_wav_file

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name),
]

LONG = 60.0  # seconds of a tone: more than any of these tests


def run(runtime: Any, main: Callable[[], Awaitable[None]]) -> None:
    runtime.run(main)


class Desk:
    """A user with devices: two microphones, two speakers."""

    def __init__(self, client: Any, first: float = 440.0, second: float = 700.0) -> None:
        self.client = client
        self.speaker, self.other = Recording(), Recording()
        self.devices = VirtualDevices(
            {"first": (sine(first, LONG), 16_000), "second": (sine(second, LONG), 16_000)},
            {"speaker": self.speaker, "other": self.other},
        )


async def desks(pbx: Bench, *users: str, **options: Any) -> list[Desk]:
    found = []
    for number, client in enumerate(await pbx.users(*users, **options)):
        desk = Desk(client, 440.0 + 500 * number, 700.0 + 500 * number)
        await client.use_devices(desk.devices)
        found.append(desk)
    return found


async def call(runtime: Any, caller: Desk, callee: Desk) -> None:
    ringing, answered = Next(callee.client, events.IncomingCall), Next(caller.client, events.CallAnswered)
    assert caller.client.call("bob")
    await ringing
    assert callee.client.answer()
    await answered
    await until(runtime, lambda: level(callee.speaker.samples[-4_800:]) > 500)


async def until(runtime: Any, condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE / 0.05)):
        if condition():
            return
        await runtime.sleep(0.05)
    raise AssertionError("it did not come")


async def tone_on(runtime: Any, recording: Recording, *frequencies: float) -> None:
    """Waits until a device plays one of these, for a fifth of a second."""

    def plays() -> bool:
        found = pitch(recording.samples[-9_600:], 48_000)
        return len(recording.samples) >= 9_600 and any(abs(found - each) < 30 for each in frequencies)

    recording.clear()
    await until(runtime, plays)


async def sound_on(runtime: Any, recording: Recording) -> None:
    await until(runtime, lambda: level(recording.samples) > 300)


async def silence_on(runtime: Any, recording: Recording) -> None:
    recording.clear()
    await runtime.sleep(0.3)
    assert level(recording.samples[-4_800:]) < 50


def test_A01_A02_E15_devices_are_listed_and_tried(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            bare = await pbx.client()
            with pytest.raises(DeviceError, match="no back end"):
                await bare.reveal_audio_devices()
            assert bare.available_devices() == []
            (alice,) = await desks(pbx, "alice")
            client = alice.client
            assert [each.device_id for each in client.available_devices("input")] == ["default", "first", "second"]
            assert len(client.available_devices()) == 6
            assert await client.reveal_audio_devices() == "success"
            stream = await client.reveal_audio_devices("returnStream")
            frames = [await anext(stream) for _ in range(10)]
            heard = np.concatenate([frame.samples for frame in frames])
            assert pitch(heard, frames[0].rate) == pytest.approx(440, abs=10)
            client.close_stream()
            denied = await pbx.client()
            told = Next(denied, client_events.MediaPermission)
            await denied.use_devices(VirtualDevices())
            assert (await told).as_dict() == {"status": "failure", "error": "NotFoundError"}
            with pytest.raises(DeviceError, match="NotFoundError"):
                await denied.reveal_audio_devices()

    run(runtime, main)


def test_A03_A04_A05_A06_A07_A08_microphone_and_speaker_change_in_a_call(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await desks(pbx, "alice", "bob")
            await call(runtime, alice, bob)
            await tone_on(runtime, bob.speaker, 440)
            await tone_on(runtime, alice.speaker, 940)
            microphones, speakers = alice.client.microphone_devices, alice.client.speaker_devices
            assert microphones.set("nothing") is False
            assert microphones.set("second") is True
            assert microphones.get() == "second"
            await tone_on(runtime, bob.speaker, 700)
            assert microphones.reset() is True
            await tone_on(runtime, bob.speaker, 440)
            assert speakers.set("other") is True
            assert speakers.get() == "other"
            await tone_on(runtime, alice.other, 940)
            await silence_on(runtime, alice.speaker)
            assert speakers.reset() is True
            await tone_on(runtime, alice.speaker, 940)

    run(runtime, main)


def test_M15_M16_A09_A10_A11_A12_A13_ringtone_and_ringback(runtime: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with WavWriter(tmp_path / "ring.wav", 16_000) as file:
            file.write(sine(600, 0.5))
        async with bench(runtime) as pbx:
            alice, bob = await desks(pbx, "alice", "bob")
            ring = bob.client.ringtone_devices
            element = ring.media()
            element.play()
            await tone_on(runtime, bob.speaker, 1250)
            element.pause()
            await silence_on(runtime, bob.speaker)
            assert element.paused
            assert ring.set("other") is True
            assert ring.get() == "other"
            ringing = Next(bob.client, events.IncomingCall)
            assert alice.client.call("bob")
            await ringing
            await tone_on(runtime, bob.other, 1250)
            await tone_on(runtime, alice.speaker, 440, 480)
            assert not len(bob.speaker.samples)
            assert bob.client.set_ring_tone(str(tmp_path / "ring.wav"))
            await tone_on(runtime, bob.other, 600)
            assert bob.client.set_ring_tone(False)
            await silence_on(runtime, bob.other)
            assert bob.client.set_ring_tone(True)
            await tone_on(runtime, bob.other, 1250)
            assert ring.reset() is True
            await tone_on(runtime, bob.speaker, 1250)
            assert alice.client.set_ring_tone_back(False)
            await silence_on(runtime, alice.speaker)
            assert alice.client.set_ring_tone_back(True)
            await tone_on(runtime, alice.speaker, 440, 480)
            ended = Next(bob.client, events.IncomingCallCanceled)
            assert alice.client.hangup()
            await ended
            await silence_on(runtime, bob.speaker)
            key = alice.client.speaker_devices.media("dtmf")
            alice.speaker.clear()
            key.play()
            await until(runtime, lambda: level(alice.speaker.samples) > 500)

    run(runtime, main)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """A test has nothing to say of it."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder by HTTP, on a port of this host."""
    handler = partial(Quiet, directory=str(folder))
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_M17_M16_fault24_dial_tone_and_a_ringback_by_url(runtime: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with WavWriter(tmp_path / "back.wav", 16_000) as file:
            file.write(sine(555, 0.5))
        async with bench(runtime) as pbx:
            alice, bob = await desks(pbx, "alice", "bob", tone_country="de")
            # The server is kept from reading the INVITE: the far end is being looked for.
            server: Any = pbx.server
            reads, kept = server.receive_stream, []
            server.receive_stream = lambda *args, **kwargs: kept.append((args, kwargs))
            assert alice.client.call("bob")
            await tone_on(runtime, alice.speaker, 425)
            assert alice.client.set_connect_tone(False)
            await silence_on(runtime, alice.speaker)
            assert alice.client.set_connect_tone(True)
            await tone_on(runtime, alice.speaker, 425)
            with served(tmp_path) as url:
                assert alice.client.set_ring_tone_back(f"{url}/back.wav")
                ringing = Next(bob.client, events.IncomingCall)
                server.receive_stream = reads
                for args, _ in kept:
                    pbx.driver.feed(reads, *args)
                await ringing
                await tone_on(runtime, alice.speaker, 555)
            assert bob.client.answer()
            await tone_on(runtime, alice.speaker, 940)

    run(runtime, main)


def test_E18_a_device_that_is_unplugged(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await desks(pbx, "alice", "bob")
            headset = Recording()
            added = Next(alice.client, client_events.AudioDeviceChange)
            alice.devices.plug("headset", source=(sine(1_700, LONG), 16_000), sink=headset)
            assert (await added).change == "added"
            assert alice.client.microphone_devices.set("headset")
            assert alice.client.speaker_devices.set("headset")
            await call(runtime, alice, bob)
            await tone_on(runtime, bob.speaker, 1_700)
            await tone_on(runtime, headset, 940)
            removed = Next(alice.client, client_events.AudioDeviceChange)
            alice.devices.unplug("headset")
            change = (await removed).as_dict()
            assert (change["change"], change["device"]["deviceId"]) == ("removed", "headset")
            await tone_on(runtime, bob.speaker, 440)
            await tone_on(runtime, alice.speaker, 940)
            assert alice.client.microphone_devices.get() == ""
            assert alice.client.get_call_uuid() is not None

    run(runtime, main)


def test_Q7_E17_a_microphone_that_gives_nothing(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            quality = QualityOptions(microphone_timeout=0.5)
            alice, bob = await desks(pbx, "alice", "bob", quality=quality)
            await call(runtime, alice, bob)
            booth = alice.client._booth
            microphone = booth._opened[Role.MICROPHONE]
            read = microphone.read
            told = Next(alice.client, client_events.MediaMetrics)
            microphone.read = lambda seconds: read(seconds)[:0]
            raised = await told
            assert (raised.type, raised.active) == ("no_microphone_access", True)
            told = Next(alice.client, client_events.MediaMetrics)
            microphone.read = read
            cleared = await told
            assert (cleared.type, cleared.active) == ("no_microphone_access", False)

    run(runtime, main)


def test_M12_E23_fault24_keys_by_sound_and_by_info(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            for way in ("INBAND", "INFO"):
                (alice,) = await desks(pbx, "alice", dtmf_options=(way,))
                (bob,) = await desks(pbx, "bob")
                assert alice.client.mute() is False  # the next call begins muted: a key is heard all the same
                ringing, answered = Next(bob.client, events.IncomingCall), Next(alice.client, events.CallAnswered)
                assert alice.client.call(bob.client.get_contact_uri())
                await ringing
                assert bob.client.answer()
                await answered
                await runtime.sleep(0.3)
                key = Next(bob.client, events.DtmfReceived)
                bob.speaker.clear()
                alice.speaker.clear()
                alice.client.send_dtmf("5")
                if way == "INFO":
                    assert (await key).tone == "5"
                else:
                    await sound_on(runtime, bob.speaker)
                    heard = bob.speaker.samples
                    spectrum = np.abs(np.fft.rfft(heard.astype(np.float64)))
                    places = np.argsort(spectrum)[-6:] * 48_000 / len(heard)
                    assert any(abs(place - 770) < 30 for place in places)
                    assert any(abs(place - 1336) < 30 for place in places)
                await sound_on(runtime, alice.speaker)  # it sounds here too
                ended = Next(bob.client, events.CallTerminated)
                assert alice.client.hangup()
                await ended

    run(runtime, main)


def test_M23_M24_noise_is_taken_out_of_a_microphone_in_a_call(runtime: Any) -> None:
    async def main() -> None:
        noise = (np.random.default_rng(1).standard_normal(int(LONG * 16_000)) * 600).astype(np.int16)
        async with bench(runtime) as pbx:
            options = {"enable_noise_reduction": True, "automatic_gain_control": False}
            alice, bob = await desks(pbx, "alice", "bob", **options)
            alice.devices.plug("noisy", source=(noise, 16_000))
            await until(runtime, lambda: len(alice.client.available_devices("input")) == 4)
            await call(runtime, alice, bob)
            assert alice.client.microphone_devices.set("noisy")

            async def loudness() -> float:
                await runtime.sleep(1.0)
                bob.speaker.clear()
                await runtime.sleep(0.5)
                return level(bob.speaker.samples)

            before = await loudness()
            assert alice.client.start_noise_reduction()
            during = await loudness()
            assert alice.client.stop_noise_reduction()
            after = await loudness()
            assert during < before / 2
            assert after > 1.5 * during

    run(runtime, main)


def test_A02_what_is_played_can_be_listened_to_and_files_are_devices(runtime: Any, tmp_path: Path) -> None:
    async def main() -> None:
        with WavWriter(tmp_path / "said.wav", 16_000) as file:
            file.write(sine(800, 3.0))
        async with bench(runtime) as pbx:
            alice, bob = await pbx.users("alice", "bob")
            pipe = Pipe()
            await alice.use_devices(VirtualDevices({"file": tmp_path / "said.wav"}, {"file": tmp_path / "heard.wav"}))
            await bob.use_devices(VirtualDevices({"pipe": pipe}, {"ear": Recording()}))
            played = bob.played(Role.SPEAKER)
            answered = Next(alice, events.CallAnswered)
            ringing = Next(bob, events.IncomingCall)
            assert alice.call("bob")
            await ringing
            assert bob.answer()
            await answered
            pipe.write(sine(1_000, 1.0))
            pieces = [(await anext(played)).samples for _ in range(50)]
            assert pitch(np.concatenate(pieces[20:]), 48_000) == pytest.approx(800, abs=20)
            await runtime.sleep(0.7)
            assert alice.hangup()
            await runtime.sleep(0.3)
            heard, rate = read_wav_file(tmp_path / "heard.wav")
            assert rate == 48_000
            assert level(heard) > 500

    run(runtime, main)
