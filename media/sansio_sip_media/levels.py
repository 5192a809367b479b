"""Levels of sound in dBov: decibels relative to the overload point of 16-bit audio (RFC 6464 section 3, RFC 6465)."""

from collections import deque

import numpy as np
import numpy.typing as npt

from sansio_sip.context import Context

__all__ = ["SILENCE_DBOV", "MeanLevel", "audio_level", "level_dbov"]

Int16 = npt.NDArray[np.int16]

OVERLOAD = 32768.0

# "-127 dBov [...] digital silence" (RFC 6465 section 3)
SILENCE_DBOV = -127.0


def level_dbov(samples: Int16) -> float:
    """The RMS level of int16 samples, shape (n,), from -127.0 to 0.0. A sine at full scale has -3.01."""
    if not len(samples):
        return SILENCE_DBOV
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    if power <= 0.0:
        return SILENCE_DBOV
    return max(SILENCE_DBOV, min(0.0, 10.0 * float(np.log10(power / OVERLOAD**2))))


class MeanLevel:
    """The mean level of a stream over the last 5 s, read once a second as the reference's is (facts section 8.1).

    A trace may be without audio, so it holds the readings: what follows from them comes again.
    """

    READ_EVERY, READINGS = 1.0, 5  # seconds; number kept

    def __init__(self, context: Context) -> None:
        self._context = context
        self._readings: deque[float] = deque(maxlen=self.READINGS)
        self._heard: Int16 = np.zeros(0, np.int16)  # of it, `_filled` samples count
        self._filled = 0
        self._seconds = 0.0

    def add(self, samples: Int16, rate: int) -> None:
        """The next piece, int16, shape (n,), at `rate` Hz; an empty one counts for nothing.

        It is copied until a second is full: one sum over all of it costs a tenth of a sum each tick, and the array
        that it is a part of need not stay.
        """
        if not len(samples):
            return
        filled = self._filled + len(samples)
        if filled > len(self._heard):
            room = np.zeros(max(filled, round(rate * self.READ_EVERY) + len(samples)), np.int16)
            room[: self._filled] = self._heard[: self._filled]
            self._heard = room
        self._heard[self._filled : filled] = samples
        self._filled = filled
        self._seconds += len(samples) / rate
        if self._seconds >= self.READ_EVERY:
            self._readings.append(self._context.oracle.consult("audio.level", self._read))
            self._filled = 0
            self._seconds = 0.0

    def _read(self) -> float:
        return round(level_dbov(self._heard[: self._filled]), 1)

    @property
    def mean(self) -> float | None:
        """dBov, the mean of the powers that were read; None before the first reading."""
        if not self._readings:
            return None
        power = sum(10 ** (reading / 10) for reading in self._readings) / len(self._readings)
        return round(10.0 * float(np.log10(power)), 1)


def audio_level(samples: Int16) -> int:
    """The level as the client-to-mixer header extension carries it: 0 (loudest) to 127 (silence)."""
    return round(-level_dbov(samples))
