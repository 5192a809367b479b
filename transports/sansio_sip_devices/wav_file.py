"""WAV files on disk. Both block: call them in a thread."""

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sansio_sip_media.wav import read_wav, wav_header

__all__ = ["WavWriter", "read_wav_file"]

Int16 = npt.NDArray[np.int16]


def read_wav_file(path: str | Path) -> tuple[Int16, int]:
    """Samples, int16, shape (n,), and their rate in Hz. Raises OSError, or ParseError where it is no WAV file."""
    return read_wav(Path(path).read_bytes())


class WavWriter:
    """A WAV file that grows. Its header is put right at each flush, so a killed process leaves a playable file.

    Raises OSError where it cannot be written.
    """

    # Half a second at 16 kHz: few enough writes not to matter, little enough to lose.
    FLUSH_AFTER = 8_000

    def __init__(self, path: str | Path, rate: int) -> None:
        self.path = Path(path)
        self.rate = rate
        self.samples = 0
        self._flushed = 0
        self._file: BinaryIO = self.path.open("wb")
        self._file.write(wav_header(0, rate))
        self._file.flush()

    def write(self, samples: Any) -> None:
        """Appends int16 samples, shape (n,)."""
        self._file.write(np.ascontiguousarray(samples, dtype="<i2").tobytes())
        self.samples += len(samples)
        if self.samples - self._flushed >= self.FLUSH_AFTER:
            self.flush()

    def flush(self) -> None:
        end = self._file.tell()
        self._file.seek(0)
        self._file.write(wav_header(2 * self.samples, self.rate))
        self._file.seek(end)
        self._file.flush()
        self._flushed = self.samples

    def close(self) -> None:
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> "WavWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
