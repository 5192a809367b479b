"""Audio files of the command: read whole before anything is sent, written so that they are whole at any moment."""

from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import click
import numpy as np
import numpy.typing as npt

from sansio_sip.errors import ParseError
from sansio_sip_media.wav import read_wav, wav_header

__all__ = ["SPEECH", "Clip", "Recorder", "UnreadableAudio", "load"]

# The folder of the recordings that the demo speaks, `alice.wav` and `bob.wav`.
SPEECH = Path(__file__).parent / "speech"

Int16 = npt.NDArray[np.int16]


class UnreadableAudio(click.ClickException):
    """A file that cannot be played or recorded, with the remedy."""


class Clip:
    """Mono audio in memory: `samples` int16, shape (n,), at `rate` Hz."""

    def __init__(self, samples: Int16, rate: int) -> None:
        self.samples = samples
        self.rate = rate

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def load(path: Path) -> Clip:
    """Reads a WAV file. Raises UnreadableAudio."""
    try:
        samples, rate = read_wav(path.read_bytes())
    except OSError as error:
        raise UnreadableAudio(f"cannot read {path}: {error.strerror}; give a WAV file that exists") from None
    except ParseError as error:
        raise UnreadableAudio(f"cannot play {path}: {error.reason}; give a WAV file with PCM or float audio") from None
    if not len(samples):
        raise UnreadableAudio(f"cannot play {path}: it holds no audio; give a WAV file that is not empty")
    return Clip(samples, rate)


class Recorder:
    """A WAV file that grows. Its header is put right at each flush, so a killed process leaves a playable file."""

    # Half a second at 16 kHz: few enough writes not to matter, little enough to lose.
    FLUSH_AFTER = 8_000

    def __init__(self, path: Path, rate: int = 16_000) -> None:
        self.path = path
        self.rate = rate
        self.samples = 0
        self._written = 0
        try:
            self._file: BinaryIO = path.open("wb")
            self.flush()
        except OSError as error:
            raise UnreadableAudio(f"cannot record to {path}: {error.strerror or error}; give a file") from None

    def write(self, samples: Any) -> None:
        self._file.write(np.ascontiguousarray(samples, dtype="<i2").tobytes())
        self.samples += len(samples)
        if self.samples - self._written >= self.FLUSH_AFTER:
            self.flush()

    def flush(self) -> None:
        self._file.seek(0)
        self._file.write(wav_header(2 * self.samples, self.rate))
        self._file.seek(0, SEEK_END)
        self._file.flush()
        self._written = self.samples

    def close(self) -> None:
        if not self._file.closed:
            self.flush()
            self._file.close()
