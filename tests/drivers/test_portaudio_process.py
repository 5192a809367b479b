"""What the clients of one process share of PortAudio. Its library is a stand-in: no sound hardware is needed."""

import sys
from typing import Any

import pytest

from sansio_sip_devices import DeviceError
from sansio_sip_devices.portaudio import PortAudioDevices


class PortAudioError(Exception):
    pass


class Stream:
    active = True

    def __init__(self, **arguments: Any) -> None:
        """Takes what sounddevice does."""

    def start(self) -> None:
        if Library.refuses:
            raise PortAudioError("it is in use")

    def close(self, ignore_errors: bool) -> None:
        self.active = False


class Library:
    """What `sansio_sip_devices.portaudio` calls of sounddevice."""

    refuses = False
    lost = False
    running = True  # sounddevice begins PortAudio when it is imported
    broken = False

    def __init__(self) -> None:
        self.begun = 0
        self.PortAudioError = PortAudioError
        self.InputStream = self.OutputStream = Stream

    def _terminate(self) -> None:
        """Ends all streams of the process."""
        if not self.running:
            raise PortAudioError("PortAudio not initialized")
        self.running = False

    def _initialize(self) -> None:
        if self.broken:
            raise PortAudioError("no sound system")
        self.running = True
        self.begun += 1

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "ALSA"}]

    def query_devices(self, index: int | None = None, kind: str = "") -> Any:
        if self.lost:
            raise PortAudioError("the sound system has gone")
        row = {"name": "Desk", "hostapi": 0, "max_input_channels": 1, "max_output_channels": 2}
        return {"default_samplerate": 48_000.0} if kind else [row]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setitem(sys.modules, "sounddevice", made)
    return made


def test_a_look_for_devices_leaves_the_streams_of_another_client_alone(library: Library) -> None:
    ours, others = PortAudioDevices(), PortAudioDevices()
    listed = ours.devices()
    assert [device.device_id for device in listed] == ["default", "ALSA: Desk"] * 2
    assert library.begun == 1
    speaker = ours.open_speaker("default")
    microphone = others.open_microphone("ALSA: Desk")
    assert others.devices() == ours.devices() == listed
    speaker.close()
    assert ours.devices() == listed
    assert library.begun == 1
    microphone.close()
    ours.devices()
    assert library.begun == 2


def test_a_stream_that_does_not_start_is_not_counted(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = PortAudioDevices()
    monkeypatch.setattr(Library, "refuses", True)
    with pytest.raises(DeviceError, match="in use"):
        devices.open_speaker("default")
    devices.devices()
    assert library.begun == 1


def test_there_are_no_devices_without_a_sound_system(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "lost", True)
    assert PortAudioDevices().devices() == ()


def test_devices_are_found_once_portaudio_can_begin_again(library: Library) -> None:
    devices = PortAudioDevices()
    library.broken = True
    assert devices.devices() == devices.devices() == ()
    library.broken = False
    assert devices.devices()
