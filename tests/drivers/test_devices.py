"""Back ends of audio devices, and media that are read, without a client."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import trio
from drivers.runtimes import Asyncio, Trio
from parity.bench import FRONTS, PATIENCE

from sansio_sip.softphone import Options, SoftphoneOptions, events
from sansio_sip.softphone.audio_effects import OpenDevice
from sansio_sip.softphone.devices import AudioDevice, Role
from sansio_sip_async import front_end
from sansio_sip_async.runtime import Bell
from sansio_sip_async.sound import SoundBooth
from sansio_sip_devices import DeviceError, Pipe, Recording, VirtualDevices, media_file
from sansio_sip_devices.media_file import read_medium
from sansio_sip_devices.virtual import MAX_PIPE, VirtualMicrophone, VirtualSpeaker
from sansio_sip_devices.wav_file import WavWriter, read_wav_file

OPTIONS = Options(domain="example.invalid", servers=("ws://127.0.0.1:9",))
COUNT = np.arange(16_000, dtype=np.int16)


def taken(microphone: VirtualMicrophone, *seconds: float) -> list[int]:
    return [int(sample) for piece in seconds for sample in microphone.read(piece)]


def test_devices_are_listed_with_a_default_first() -> None:
    devices = VirtualDevices({"a": (COUNT, 16_000), "b": (COUNT, 16_000)}, {"x": Recording()})
    listed = [(device.device_id, device.kind) for device in devices.devices()]
    assert listed == [
        ("default", "audioinput"),
        ("a", "audioinput"),
        ("b", "audioinput"),
        ("default", "audiooutput"),
        ("x", "audiooutput"),
    ]
    assert VirtualDevices().devices() == ()
    named = VirtualDevices({"a": (COUNT, 16_000), "default": (COUNT, 8_000)})
    assert [device.device_id for device in named.devices()] == ["default", "a"]
    assert named.open_microphone("default").rate == 8_000


def test_an_array_goes_at_the_pace_of_time_and_then_is_silent() -> None:
    microphone = VirtualDevices({"a": (COUNT, 16_000)}).open_microphone("default")
    assert taken(microphone, 0.02, 0.00003125, 0.00003125) == list(range(321))
    assert len(microphone.read(0.99)) == 15_840
    assert not microphone.read(0.02).any()
    microphone.close()


def test_a_function_is_asked_for_so_much() -> None:
    asked: list[int] = []

    def source(count: int) -> np.ndarray:
        asked.append(count)
        return np.ones(count // 2, dtype=np.int16)

    microphone = VirtualDevices({"f": source}).open_microphone("f")
    assert microphone.read(0.02).sum() == 160
    assert asked == [320]


def test_a_pipe_gives_what_was_written_and_no_more_than_it_holds() -> None:
    pipe = Pipe(8_000)
    microphone = VirtualDevices({"p": pipe}).open_microphone("p")
    assert microphone.rate == 8_000
    pipe.write(COUNT[:100])
    pipe.write(COUNT[100:200])
    assert taken(microphone, 0.02, 0.02) == [*range(200), *[0] * 120]
    pipe.write(np.ones(int(8_000 * MAX_PIPE) + 5_000, dtype=np.int16))
    assert len(pipe(1_000_000)) == 8_000 * MAX_PIPE


def test_a_recording_keeps_the_latest() -> None:
    recording = Recording(limit=1.0)
    for _ in range(100):
        recording(COUNT[:320], 16_000)
    assert len(recording.samples) == 16_000
    recording.clear()
    assert not len(recording.samples)


def test_files_are_devices(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "in.wav", 16_000) as file:
        file.write(COUNT[:640])
    devices = VirtualDevices({"in": tmp_path / "in.wav"}, {"out": str(tmp_path / "out.wav")})
    microphone, speaker = devices.open_microphone("in"), devices.open_speaker("out")
    speaker.write(microphone.read(0.02), microphone.rate)
    speaker.write(microphone.read(0.02), microphone.rate)
    speaker.close()
    samples, rate = read_wav_file(tmp_path / "out.wav")
    assert rate == 16_000
    assert np.array_equal(samples, COUNT[:640])
    VirtualDevices({}, {"out": tmp_path / "never.wav"}).open_speaker("out").close()
    assert not (tmp_path / "never.wav").exists()


@pytest.mark.parametrize("content", [b"", b"no sound"])
def test_a_file_that_is_none_cannot_be_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    for path in (tmp_path / "bad.wav", tmp_path / "missing.wav"):
        with pytest.raises(DeviceError, match="NotReadableError"):
            VirtualDevices({"a": path}).open_microphone("a")
    speaker = VirtualDevices({}, {"a": tmp_path / "no such folder" / "x.wav"}).open_speaker("a")
    with pytest.raises(DeviceError, match="NotReadableError"):
        speaker.write(COUNT, 16_000)


def test_what_is_unplugged_stops() -> None:
    devices = VirtualDevices({"a": (COUNT, 16_000)}, {"a": Recording()})
    microphone, speaker = devices.open_microphone("a"), devices.open_speaker("default")
    devices.unplug("a")
    devices.plug("a", source=(COUNT, 16_000))
    with pytest.raises(DeviceError, match="unplugged"):
        microphone.read(0.02)
    with pytest.raises(DeviceError, match="unplugged"):
        speaker.write(COUNT, 16_000)
    with pytest.raises(DeviceError, match="NotFoundError"):
        devices.open_speaker("default")
    assert devices.open_microphone("a").rate == 16_000


def test_media_are_read_whatever_their_format(tmp_path: Path) -> None:
    time = np.arange(48_000) / 48_000
    tone = np.rint(8_000 * np.sin(2 * np.pi * 500 * time)).astype(np.int16)
    with WavWriter(tmp_path / "tone.wav", 48_000) as file:
        file.write(tone)
    for name, codec in (("tone.flac", "flac"), ("tone.ogg", "libopus")):
        with av.open(str(tmp_path / name), "w") as container:
            stream: Any = container.add_stream(codec, rate=48_000)
            stream.layout = "mono"
            frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            frame.sample_rate = 48_000
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
    for name in ("tone.wav", "tone.flac", "tone.ogg"):
        samples, rate = read_medium(str(tmp_path / name))
        assert len(samples) / rate == pytest.approx(1.0, abs=0.05)
        spectrum = np.abs(np.fft.rfft(samples.astype(np.float64)))
        assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(500, abs=5)


@pytest.mark.parametrize(
    "name", ["missing.mp3", "text.mp3", "http://127.0.0.1:9/x.mp3", "concat:a|b", "rtp://127.0.0.1:9"]
)
def test_what_is_no_medium_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.mp3").write_text("this is no music " * 100)
    with pytest.raises((OSError, ValueError)):
        read_medium(name if ":" in name else str(tmp_path / name))


class Refusing(BaseHTTPRequestHandler):
    """Answers with the status that the path names; `/trickle` is a WAV without end, at the pace of speech or slower."""

    def do_GET(self) -> None:
        if self.path != "/trickle":
            self.send_error(int(self.path.strip("/")))
            return
        self.send_response(200)
        self.end_headers()
        header = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data"
        try:
            self.wfile.write(header + b"\xff\xff\xff\x7f" + bytes(100_000))
            while not self.server.over.wait(0.05):  # type: ignore[attr-defined]
                self.wfile.write(bytes(800))
        except OSError:
            return

    def log_message(self, *args: Any) -> None:
        """A test has nothing to say of it."""


@pytest.fixture
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.over = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [400, 401, 404, 503])
def test_a_server_that_refuses_is_an_error_of_the_system(refusing: str, status: int) -> None:
    with pytest.raises(OSError, match=f"/{status}: "):
        read_medium(f"{refusing}/{status}")


def test_a_server_that_trickles_is_given_up(refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_file, "DEADLINE", 0.3)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="not there after"):
        read_medium(f"{refusing}/trickle")
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_a_client_outlives_a_ringtone_that_is_refused(runtime: Any, refusing: str) -> None:
    async def main() -> None:
        devices = VirtualDevices({"a": (COUNT, 16_000)}, {"x": Recording()})
        async with FRONTS[runtime.name].open_client(OPTIONS, devices=devices) as client:
            for status in (404, 503):
                told = client.events()
                assert client.set_ring_tone(f"{refusing}/{status}")

                async def failed(told: Any = told) -> str:
                    async for event in told:
                        if isinstance(event, events.LogLine) and "cannot be read" in event.text:
                            return event.text
                    return ""

                assert f"/{status}" in await runtime.within(PATIENCE, failed)

    runtime.run(main)


class Stuck(VirtualDevices):
    """A back end whose list, or whose speaker, is there only once `go` is set."""

    watch_interval = 0.01

    def __init__(self) -> None:
        super().__init__({"a": (COUNT, 16_000)}, {"x": Recording()})
        self.go = threading.Event()
        self.go.set()
        self.slow = threading.Event()  # somebody waits in here
        self.busy = self.most = self.closed = 0

    def devices(self) -> tuple[AudioDevice, ...]:
        self.wait()
        return super().devices()

    def open_microphone(self, device_id: str) -> VirtualMicrophone:
        self.wait()
        raise DeviceError("NotAllowedError")

    def open_speaker(self, device_id: str) -> VirtualSpeaker:
        self.wait()
        devices = self

        class Counted(VirtualSpeaker):
            def close(self) -> None:
                devices.closed += 1
                raise OSError("the disk is full")

        return Counted(self, "x", Recording())

    def wait(self) -> None:
        self.busy += 1
        self.most = max(self.most, self.busy)
        if not self.go.is_set():
            self.slow.set()
        self.go.wait(10 * PATIENCE)
        self.busy -= 1


@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_a_client_is_left_though_its_hardware_hangs(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    front = FRONTS[runtime.name]
    monkeypatch.setattr(front_end, "SoftphoneOptions", lambda: SoftphoneOptions(close_timeout=0.1))
    devices = Stuck()

    async def main() -> None:
        try:
            async with front.open_client(OPTIONS, devices=devices):
                devices.go.clear()
                while not devices.slow.is_set():
                    await runtime.sleep(0.01)
                began = time.monotonic()
            assert time.monotonic() - began < PATIENCE
        finally:
            devices.go.set()

    runtime.run(main)


@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_what_was_cancelled_keeps_its_turn_until_it_is_done(runtime: Any, caplog: pytest.LogCaptureFixture) -> None:
    front = FRONTS[runtime.name]
    devices = Stuck()

    async def main() -> None:
        async with front.open_client(OPTIONS) as client:
            booth = SoundBooth(client.machine, devices, client.driver, front.RUNTIME, Bell(front.RUNTIME))
            devices.go.clear()
            for _ in range(2):
                with pytest.raises(TimeoutError if runtime is Asyncio else trio.TooSlowError):
                    await runtime.within(0.1, booth.start)
            devices.go.set()
            await runtime.within(PATIENCE, booth.start)

            # One is being opened when the client is closed, and one is open.
            booth.perform(OpenDevice(Role.SPEAKER, "x"))
            while Role.SPEAKER not in booth._opened:
                await runtime.sleep(0.01)
            devices.go.clear()
            devices.slow.clear()
            booth.perform(OpenDevice(Role.RINGTONE, "x"))
            while not devices.slow.is_set():
                await runtime.sleep(0.01)
            with pytest.raises(TimeoutError if runtime is Asyncio else trio.TooSlowError):
                await runtime.within(0.1, booth.aclose)
            devices.go.set()
            await runtime.within(PATIENCE, booth.aclose)
        assert devices.most == 1
        assert devices.closed == 2
        assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
            "an audio device cannot be closed: the disk is full"
        ] * 2

    runtime.run(main)


@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_a_stream_that_nobody_got_is_forgotten(runtime: Any) -> None:
    devices = Stuck()

    async def main() -> None:
        async with FRONTS[runtime.name].open_client(OPTIONS, devices=devices) as client:
            while client.machine._permitted is None:  # it is tried once by itself
                await runtime.sleep(0.01)
            with pytest.raises(DeviceError, match="NotAllowedError"):
                await client.reveal_audio_devices("returnStream")
            assert client._streams == []
            assert client.machine._streams is False
            devices.go.clear()
            with pytest.raises(TimeoutError if runtime is Asyncio else trio.TooSlowError):
                await runtime.within(0.1, partial(client.reveal_audio_devices, "returnStream"))
            devices.go.set()
            assert client._streams == []
            assert client.machine._streams is False

    runtime.run(main)
