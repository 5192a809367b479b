"""Sound hardware, through PortAudio (the extra `devices`: the package sounddevice, and the library it finds).

Theory of operation
-------------------
PortAudio calls back in a thread of its own, with a piece to play or one that was captured; it must not wait. A queue of
pieces lies between that thread and the event loop: `deque` needs no lock for one reader and one writer.

Its list of devices is made once for the process; a new one takes closing all streams. So devices are looked for again
while none is open that was opened here, by whichever client, and one that stops while it is open says so itself.
Streams that the program opens with sounddevice by itself cannot be seen: a look for devices would close them.
"""

from collections import deque
from contextlib import suppress
from threading import Lock
from typing import Any

import numpy as np

from sansio_sip.softphone.devices import DEFAULT, AudioDevice, DeviceKind
from sansio_sip_media.resample import Resampler

from .backend import DeviceError, Int16

__all__ = ["PortAudioDevices"]

# Seconds of sound on their way between a device and the event loop: what a busy loop is late by, and little to hear.
MAX_QUEUE = 0.2

# Seconds that are waited for before a speaker begins, or begins again after it ran dry: pieces come unevenly.
CUSHION = 0.04

# Seconds that the device itself holds: less is asking for gaps on a machine that has other things to do.
LATENCY = 0.060

# Seconds asked for at a time.
PIECE = 0.010

LOWEST, HIGHEST = 8_000, 48_000  # Hz


class _Process:
    """What all clients of this process share: PortAudio is begun and ended for all of it. Use it under `lock`."""

    lock = Lock()
    open_streams = 0


class PortAudioDevices:
    """All devices of the system. Raises DeviceError where sounddevice or PortAudio is missing."""

    watch_interval = 5.0  # a look opens every sound card

    def __init__(self) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:
            raise DeviceError("NotFoundError", f"no PortAudio: {error}; install sansio-sip[devices]") from error
        self._sound: Any = sounddevice

    def devices(self) -> tuple[AudioDevice, ...]:
        try:
            with _Process.lock:
                if not _Process.open_streams:
                    # PortAudio looks once, when it begins. One that could not begin cannot be ended.
                    with suppress(self._sound.PortAudioError):
                        self._sound._terminate()
                    self._sound._initialize()
                hosts = self._sound.query_hostapis()
                all_rows = list(self._sound.query_devices())
        except self._sound.PortAudioError:
            return ()  # there is no sound system, now
        found: list[AudioDevice] = []
        kinds: tuple[tuple[DeviceKind, str], ...] = (
            ("audioinput", "max_input_channels"),
            ("audiooutput", "max_output_channels"),
        )
        for kind, channels in kinds:
            rows = [row for row in all_rows if row[channels] > 0]
            if rows:
                found.append(AudioDevice(DEFAULT, kind, "Default"))
            seen: set[str] = set()
            for row in rows:
                name = _device_id(row, hosts)
                if name not in seen and name != DEFAULT:  # the same name twice cannot be told apart after a new start
                    seen.add(name)
                    found.append(AudioDevice(name, kind, row["name"], hosts[row["hostapi"]]["name"]))
        return tuple(found)

    def open_microphone(self, device_id: str) -> "PortAudioMicrophone":
        return PortAudioMicrophone(self, device_id)

    def open_speaker(self, device_id: str) -> "PortAudioSpeaker":
        return PortAudioSpeaker(self, device_id)

    def close(self) -> None:
        """PortAudio ends with the process."""

    def stream(self, kind: DeviceKind, device_id: str, **arguments: Any) -> tuple[Any, int]:
        """A stream that waits to be started, and its rate in Hz. Raises DeviceError."""
        with _Process.lock:
            made = self._made(kind, device_id, **arguments)
            _Process.open_streams += 1
        return made

    def _made(self, kind: DeviceKind, device_id: str, **arguments: Any) -> tuple[Any, int]:
        made = self._sound.InputStream if kind == "audioinput" else self._sound.OutputStream
        try:
            index = self._index(kind, device_id)
            info = self._sound.query_devices(index, "input" if kind == "audioinput" else "output")
        except (self._sound.PortAudioError, ValueError) as error:
            raise DeviceError("NotFoundError", f"{device_id!r}: {error}") from error
        try:
            rate = min(max(int(info["default_samplerate"]), LOWEST), HIGHEST)
            stream = made(
                samplerate=rate,
                device=index,
                channels=1,
                dtype="int16",
                blocksize=round(PIECE * rate),
                latency=LATENCY,
                **arguments,
            )
        except (self._sound.PortAudioError, ValueError) as error:
            raise DeviceError("NotReadableError", str(error)) from error
        return stream, rate

    def start(self, stream: Any) -> None:
        """Raises DeviceError."""
        try:
            stream.start()
        except self._sound.PortAudioError as error:
            stream.close(ignore_errors=True)
            self.closed()
            raise DeviceError("NotReadableError", str(error)) from error

    def closed(self) -> None:
        """A stream is gone."""
        with _Process.lock:
            _Process.open_streams -= 1

    def _index(self, kind: DeviceKind, device_id: str) -> int | None:
        """The number of a device; None is PortAudio's for the default."""
        if device_id == DEFAULT:
            return None
        hosts = self._sound.query_hostapis()
        channels = "max_input_channels" if kind == "audioinput" else "max_output_channels"
        for number, row in enumerate(self._sound.query_devices()):
            if row[channels] > 0 and _device_id(row, hosts) == device_id:
                return number
        raise DeviceError("NotFoundError", f"there is no device {device_id!r}")


def _device_id(row: Any, hosts: Any) -> str:
    """Its name, and the system that it belongs to: numbers change whenever something is plugged in."""
    return f"{hosts[row['hostapi']]['name']}: {row['name']}" if row["name"] != DEFAULT else DEFAULT


class _Stream:
    """What both directions have in common: a stream that may stop, and a queue."""

    def __init__(self) -> None:
        self._stopped = self._closing = False
        self._queue: deque[Int16] = deque()
        self._stream: Any = None
        self._devices: PortAudioDevices

    def _on_finished(self) -> None:
        self._stopped = not self._closing

    def _check(self) -> None:
        if self._stopped or not self._stream.active:
            raise DeviceError("NotFoundError", "the device has stopped")

    def close(self) -> None:
        self._closing = True
        self._stream.close(ignore_errors=True)
        self._devices.closed()


class PortAudioMicrophone(_Stream):
    """See `backend.Microphone`."""

    def __init__(self, devices: PortAudioDevices, device_id: str) -> None:
        super().__init__()
        self._devices = devices
        self._queue = deque(maxlen=round(MAX_QUEUE / PIECE))
        self._stream, self.rate = devices.stream(
            "audioinput", device_id, callback=self._on_piece, finished_callback=self._on_finished
        )
        devices.start(self._stream)

    def read(self, seconds: float) -> Int16:
        self._check()
        pieces = [self._queue.popleft() for _ in range(len(self._queue))]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int16)

    def _on_piece(self, data: Any, count: int, time: Any, status: Any) -> None:
        self._queue.append(data[:, 0].copy())


class PortAudioSpeaker(_Stream):
    """See `backend.Speaker`."""

    def __init__(self, devices: PortAudioDevices, device_id: str) -> None:
        super().__init__()
        self._devices = devices
        self._resampler: Resampler | None = None
        self._rest: Int16 = np.zeros(0, dtype=np.int16)  # of the piece that is being played
        self._dry = True
        self._stream, self._rate = devices.stream(
            "audiooutput", device_id, callback=self._on_piece, finished_callback=self._on_finished
        )
        devices.start(self._stream)  # from here on it calls back

    def write(self, samples: Int16, rate: int) -> None:
        self._check()
        if self._resampler is None or self._resampler.rate_in != rate:
            self._resampler = Resampler(rate, self._rate)
        if sum(map(len, tuple(self._queue))) < MAX_QUEUE * self._rate:
            self._queue.append(self._resampler.process(samples))

    def _on_piece(self, data: Any, count: int, time: Any, status: Any) -> None:
        data[:] = 0
        waiting = len(self._rest) + sum(map(len, tuple(self._queue)))
        if self._dry and waiting < CUSHION * self._rate:
            return
        self._dry = waiting < count
        filled = 0
        while filled < count and (len(self._rest) or self._queue):
            if not len(self._rest):
                self._rest = self._queue.popleft()
            taken = self._rest[: count - filled]
            data[filled : filled + len(taken), 0] = taken
            filled += len(taken)
            self._rest = self._rest[len(taken) :]
