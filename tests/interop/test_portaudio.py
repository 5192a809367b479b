"""Sound hardware through PortAudio: a call over the loudspeaker and microphone of a real sound server, whose only
device plays what it is given into its own microphone."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from interop.peers import absent
from parity.bench import Next, bench
from parity.sound_host import level, pitch, sine

from sansio_sip.softphone import client_events, events
from sansio_sip_devices import DeviceError, PortAudioDevices, Recording, VirtualDevices

pytestmark = [pytest.mark.interop, pytest.mark.realtime]

PATIENCE = 15.0


@pytest.fixture
def sound_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """PulseAudio with nothing but a null sink; PortAudio's default device is it, through ALSA."""
    if shutil.which("pulseaudio") is None:
        absent("pulseaudio is not installed")
    if find_spec("sounddevice") is None:
        absent("sounddevice is not installed: pip install sansio-sip[devices]")
    (tmp_path / "asound.conf").write_text("</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\n")
    socket = tmp_path / "native"
    monkeypatch.setenv("PULSE_SERVER", f"unix:{socket}")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PULSE_RUNTIME_PATH": str(tmp_path / "run")}
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--system=no"]
    for module in (
        "module-null-sink sink_name=desk rate=48000",
        f"module-native-protocol-unix socket={socket} auth-anonymous=1",
    ):
        command += ["-L", module]
    with subprocess.Popen(command, env={**os.environ, **home}, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + PATIENCE
            while not socket.exists() and time.monotonic() < deadline and server.poll() is None:
                time.sleep(0.05)
            if not socket.exists():
                absent("pulseaudio does not start here")
            yield server
        finally:
            server.kill()


@pytest.fixture
def hardware(sound_server: subprocess.Popen[bytes]) -> PortAudioDevices:
    try:
        devices = PortAudioDevices()
    except DeviceError as error:
        absent(str(error))
    if not devices.devices():
        absent("PortAudio finds no device: it was built without ALSA, or ALSA without PulseAudio")
    return devices


def test_what_the_loudspeaker_plays_comes_back(hardware: PortAudioDevices) -> None:
    listed = [(device.device_id, device.kind) for device in hardware.devices()]
    assert ("default", "audioinput") in listed
    assert ("default", "audiooutput") in listed
    assert hardware.devices() == hardware.devices()
    with pytest.raises(DeviceError, match="NotFoundError"):
        hardware.open_microphone("nothing")
    microphone, speaker = hardware.open_microphone("default"), hardware.open_speaker("default")
    tone = sine(440, 1.0, 48_000)  # whole periods: it can be said again and again
    heard, first, begin = np.zeros(0, np.int16), 0.0, time.monotonic()
    for piece in range(round(PATIENCE / 0.02)):
        speaker.write(np.roll(tone, -960 * piece)[:960], 48_000)
        time.sleep(max(0.0, begin + 0.02 * (piece + 1) - time.monotonic()))
        heard = np.concatenate((heard, microphone.read(0.02)))
        now = time.monotonic()
        if len(heard) and not first:  # the sound server takes its time to begin
            heard, first = heard[:0], now
        if first and now - first >= 2.0:
            break
    microphone.close()
    speaker.close()
    assert 1.0 < len(heard) / microphone.rate < 2.5  # what a busy machine does not fetch in time is dropped
    assert pitch(heard[-microphone.rate // 4 :], microphone.rate) == pytest.approx(440, abs=10)


async def until(runtime: Any, condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE / 0.05)):
        if condition():
            return
        await runtime.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_a_call_over_sound_hardware(
    runtime: Any, hardware: PortAudioDevices, sound_server: subprocess.Popen[bytes]
) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            (alice,) = await pbx.users("alice", automatic_gain_control=False)
            (bob,) = await pbx.users("bob")
            told = Next(alice, client_events.MediaPermission)
            await alice.use_devices(hardware)
            assert (await told).as_dict() == {"status": "success", "stream": True}
            ear = Recording()
            await bob.use_devices(VirtualDevices({"voice": (sine(900, 60.0), 16_000)}, {"ear": ear}))
            ringing, answered = Next(bob, events.IncomingCall), Next(alice, events.CallAnswered)
            assert alice.call("bob")
            await ringing
            assert bob.answer()
            await answered

            # Bob's voice leaves Alice's loudspeaker, enters her microphone, and comes back to him.
            def comes_back() -> bool:
                last = ear.samples[-9_600:]
                return level(last) > 300 and abs(pitch(last, 48_000) - 900) < 30

            await until(runtime, comes_back)
            lost = Next(alice, client_events.MediaPermission)
            sound_server.kill()
            assert (await lost).as_dict()["status"] == "failure"
            assert alice.get_call_uuid() is not None
            ended = Next(bob, events.CallTerminated)
            assert alice.hangup()
            await ended

    runtime.run(main)
