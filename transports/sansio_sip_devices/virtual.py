"""Devices that are no hardware: files, arrays and functions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TypeAlias, TypeVar

import numpy as np

from sansio_sip.errors import ParseError
from sansio_sip.softphone.devices import DEFAULT, AudioDevice

from .backend import DeviceError, Int16
from .wav_file import WavWriter, read_wav_file

__all__ = ["Pipe", "Recording", "VirtualDevices"]

T = TypeVar("T")

RATE = 16_000  # Hz, of functions that are asked for samples, and of pipes

# Seconds that a pipe holds: beyond, the oldest goes.
MAX_PIPE = 30.0


class Pipe:
    """A microphone that a program speaks into, from any thread. What it has not written is silence.

    Args:
        rate: Hz, of what is written.
    """

    def __init__(self, rate: int = RATE) -> None:
        self.rate = rate
        self._samples: Int16 = np.zeros(0, dtype=np.int16)
        self._lock = Lock()

    def write(self, samples: Int16) -> None:
        """Appends int16 samples, shape (n,)."""
        with self._lock:
            self._samples = np.concatenate((self._samples, samples))[-int(MAX_PIPE * self.rate) :]

    def __call__(self, count: int) -> Int16:
        with self._lock:
            taken, self._samples = self._samples[:count], self._samples[count:]
        return taken


class Recording:
    """A speaker that keeps what it is given, up to `limit` seconds, the latest."""

    def __init__(self, limit: float = 600.0) -> None:
        self.rate = 0
        self._limit = limit
        self._pieces: list[Int16] = []
        self._kept = 0

    def __call__(self, samples: Int16, rate: int) -> None:
        self.rate = rate
        self._pieces.append(samples)
        self._kept += len(samples)
        while self._kept > self._limit * rate:
            self._kept -= len(self._pieces.pop(0))

    @property
    def samples(self) -> Int16:
        """All of it: int16, shape (n,), at `rate` Hz."""
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.int16)

    def clear(self) -> None:
        self._pieces.clear()
        self._kept = 0


Source: TypeAlias = str | Path | tuple[Int16, int] | Callable[[int], Int16]
"""A WAV file; samples, int16 of shape (n,), and their rate in Hz; or a function of a number of samples at 16 kHz (or at
its own attribute `rate`) that gives so many or fewer. What is at its end is silent."""

Sink: TypeAlias = str | Path | Callable[[Int16, int], object]
"""A WAV file to be written, or a function of samples and their rate in Hz."""


class VirtualDevices:
    """Devices by id. The first of each kind is the default, whatever it is called.

    Args:
        inputs, outputs: what is behind each id; a WAV file is begun again when its device is opened again.
    """

    watch_interval = 0.2

    def __init__(self, inputs: Mapping[str, Source] | None = None, outputs: Mapping[str, Sink] | None = None) -> None:
        self._inputs = dict(inputs or {})
        self._outputs = dict(outputs or {})

    # Plugging

    def plug(self, device_id: str, *, source: Source | None = None, sink: Sink | None = None) -> None:
        """Adds a device: an input, an output, or both in one box."""
        if source is not None:
            self._inputs[device_id] = source
        if sink is not None:
            self._outputs[device_id] = sink

    def unplug(self, device_id: str) -> None:
        """Takes a device away; whoever has it open loses it."""
        self._inputs.pop(device_id, None)
        self._outputs.pop(device_id, None)

    def holds(self, device_id: str, behind: object) -> bool:
        """Whether the device is still there, and still the same."""
        return any(table.get(device_id) is behind for table in (self._inputs, self._outputs))

    # AudioBackend

    def devices(self) -> tuple[AudioDevice, ...]:
        found = []
        for kind, table in (("audioinput", self._inputs), ("audiooutput", self._outputs)):
            names = dict.fromkeys([DEFAULT, *table] if table else [])
            found += [AudioDevice(name, kind, name, "" if name == DEFAULT else name) for name in names]  # type: ignore[arg-type]
        return tuple(found)

    def open_microphone(self, device_id: str) -> "VirtualMicrophone":
        name, source = self._find(self._inputs, device_id)
        return VirtualMicrophone(self, name, source)

    def open_speaker(self, device_id: str) -> "VirtualSpeaker":
        name, sink = self._find(self._outputs, device_id)
        return VirtualSpeaker(self, name, sink)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _find(self, table: dict[str, T], device_id: str) -> tuple[str, T]:
        name = next(iter(table), device_id) if device_id == DEFAULT and DEFAULT not in table else device_id
        if name not in table:
            raise DeviceError("NotFoundError", f"there is no device {device_id!r}")
        return name, table[name]


class VirtualMicrophone:
    """Gives what is behind it at its own pace: as much as time has passed."""

    def __init__(self, devices: VirtualDevices, name: str, source: Source) -> None:
        self._devices, self._name, self._source = devices, name, source
        self._owed = 0.0  # samples that are due and were not whole yet
        self._position = 0
        if callable(source):
            self.rate = int(getattr(source, "rate", RATE))
            self._next = source
            return
        try:
            self._samples, self.rate = source if isinstance(source, tuple) else read_wav_file(source)
        except (OSError, ParseError) as error:
            raise DeviceError("NotReadableError", str(error)) from error
        self._next = self._take

    def read(self, seconds: float) -> Int16:
        if not self._devices.holds(self._name, self._source):
            raise DeviceError("NotFoundError", f"{self._name!r} was unplugged")
        self._owed += seconds * self.rate
        count = int(self._owed)
        self._owed -= count
        given = np.asarray(self._next(count), dtype=np.int16)[:count]
        return np.concatenate((given, np.zeros(count - len(given), dtype=np.int16)))

    def close(self) -> None:
        """There is nothing to let go of."""

    def _take(self, count: int) -> Int16:
        self._position += count
        return self._samples[self._position - count : self._position]


class VirtualSpeaker:
    """Hands everything on to what is behind it."""

    def __init__(self, devices: VirtualDevices, name: str, sink: Sink) -> None:
        self._devices, self._name, self._sink = devices, name, sink
        self._file: WavWriter | None = None

    def write(self, samples: Int16, rate: int) -> None:
        if not self._devices.holds(self._name, self._sink):
            raise DeviceError("NotFoundError", f"{self._name!r} was unplugged")
        if callable(self._sink):
            self._sink(samples, rate)
            return
        try:
            if self._file is None:
                self._file = WavWriter(self._sink, rate)
            self._file.write(samples)
        except OSError as error:
            raise DeviceError("NotReadableError", str(error)) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
