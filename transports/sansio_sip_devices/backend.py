"""What a back end of audio devices is. A front end (`sansio_sip_async.sound`) runs it."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sansio_sip.softphone.devices import AudioDevice

__all__ = ["AudioBackend", "DeviceError", "Int16", "Microphone", "Speaker"]

Int16 = npt.NDArray[np.int16]


class DeviceError(Exception):
    """A device cannot be opened, or has stopped.

    Attributes:
        name: as browsers call it: `NotFoundError`, `NotAllowedError`, `NotReadableError`.
    """

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name


class Microphone(Protocol):
    """An open input. Attributes: `rate`, Hz."""

    rate: int

    def read(self, seconds: float) -> Int16:
        """What has come since the last read, `seconds` ago, int16, shape (n,). It does not block.

        Raises DeviceError once the device has stopped.
        """

    def close(self) -> None: ...


class Speaker(Protocol):
    """An open output."""

    def write(self, samples: Int16, rate: int) -> None:
        """Plays int16 samples, shape (n,), after what was written before. It does not block.

        What the device is too slow for is dropped.

        Raises DeviceError once the device has stopped.
        """

    def close(self) -> None: ...


class AudioBackend(Protocol):
    """All methods may block: they are called in a thread, one at a time.

    Attributes:
        watch_interval: seconds after which `devices` is worth asking for again.
    """

    watch_interval: float

    def devices(self) -> tuple[AudioDevice, ...]:
        """Those that there are now. Ids and labels stay the same for as long as a device is there."""

    def open_microphone(self, device_id: str) -> Microphone:
        """`default`, or an id of `devices`. Raises DeviceError."""

    def open_speaker(self, device_id: str) -> Speaker:
        """As `open_microphone`."""

    def close(self) -> None:
        """Everything was closed; lets go of the hardware."""
