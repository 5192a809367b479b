"""A back end of audio devices for a client in a world: what each device was given, and microphones that play tones."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from softphone.phones import ClientPhone, Scene

from sansio_sip.softphone.audio_effects import AUDIO_EFFECTS, CloseDevice, LoadSound, OpenDevice, PlayAudio
from sansio_sip.softphone.devices import AudioDevice, DeviceKind, Role

__all__ = ["HEADSET", "STANDARD", "SoundHost", "level", "pitch", "sine"]

Int16 = npt.NDArray[np.int16]

RATE, PIECE = 16_000, 0.020


def devices(kind: DeviceKind, *names: str) -> Iterator[AudioDevice]:
    for name in names:
        yield AudioDevice(name, kind, name.title(), name)


STANDARD = (*devices("audioinput", "default", "desk"), *devices("audiooutput", "default", "desk"))
HEADSET = (*devices("audioinput", "headset"), *devices("audiooutput", "headset"))


def sine(frequency: float, seconds: float, rate: int = RATE, start: int = 0) -> Int16:
    at = np.arange(start, start + round(seconds * rate)) / rate
    return np.asarray(np.rint(8000 * np.sin(2 * np.pi * frequency * at)), dtype=np.int16)


def pitch(samples: Int16, rate: int) -> float:
    """The strongest frequency in Hz; 0 in silence."""
    if not len(samples) or not samples.any():
        return 0.0
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate / len(samples)


def level(samples: Int16) -> float:
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64))))) if len(samples) else 0.0


class SoundHost:
    """Drives the devices of one client. Microphones give tones; `played` is what came out, by device.

    Attributes:
        tones: Hz, of the microphone of that id; None: it gives nothing.
        refused: error names by the ids of devices that cannot be opened.
        media: samples and rate by source.
    """

    def __init__(self, scene: Scene, client: ClientPhone, listed: tuple[AudioDevice, ...] = STANDARD) -> None:
        self.scene = scene
        self.client = client
        self.tones: dict[str, float | None] = {"default": 440.0, "desk": 700.0, "headset": 1000.0}
        self.refused: dict[str, str] = {}
        self.media: dict[str, tuple[Int16, int]] = {}
        self.opened: dict[Role, str] = {}
        self.history: list[tuple[str, Role, str]] = []
        self.played: dict[str, list[Int16]] = defaultdict(list)
        self.rate = 0
        self._position = 0
        scene.world.on_output(client.name, self._on_output)
        client.do(client.machine.devices_changed, listed)

    def _on_output(self, output: Any, now: float) -> None:
        machine = self.client.machine
        match output:
            case OpenDevice(role, device_id):
                self.history.append(("open", role, device_id))
                if device_id in self.refused:
                    machine.device_lost(role, device_id, self.refused[device_id], now=now)
                else:
                    self.opened[role] = device_id
                    machine.device_opened(role, device_id, now=now)
            case CloseDevice(role):
                self.history.append(("close", role, self.opened.pop(role, "")))
            case PlayAudio(role, samples, rate):
                self.rate = rate
                self.played[self.opened[role]].append(samples)
            case LoadSound(request, source) if source in self.media:
                machine.sound_loaded(request, *self.media[source], now=now)
            case LoadSound(request, source):
                machine.sound_failed(request, f"no such file: {source}", now=now)
            case _:
                assert not isinstance(output, AUDIO_EFFECTS)

    def lose(self, role: Role, reason: str = "unplugged") -> None:
        """The device of a role stops."""
        self.client.do(self.client.machine.device_lost, role, self.opened.pop(role), reason)

    def forget(self) -> None:
        self.played.clear()

    def heard(self, device_id: str = "default") -> Int16:
        """What that device has played since `forget`."""
        pieces = self.played[device_id]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)


def run(scene: Scene, seconds: float, *hosts: SoundHost) -> None:
    """Lets time pass, with microphones giving 20 ms at a time."""
    for _ in range(round(seconds / PIECE)):
        for host in hosts:
            frequency = host.tones.get(host.opened.get(Role.MICROPHONE, ""))
            if frequency is not None:
                host.client.do(
                    host.client.machine.microphone_captured, sine(frequency, PIECE, start=host._position), RATE
                )
            host._position += round(PIECE * RATE)
        scene.wait(PIECE)
