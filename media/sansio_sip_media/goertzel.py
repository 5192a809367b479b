"""Keys heard in the sound itself: a detector of DTMF (ITU-T Q.23, with the limits of Q.24).

Theory of operation
-------------------
Every 5 ms, the last 20 ms are measured at the eight frequencies (one point of a Fourier transform each, which is what
Goertzel's recursion gives; here as a product with a table, for all rows at once). Such a *look* is good when

    each group's loudest frequency is loud enough, the two are of like level (twist), they hold nearly all of the power,
    and each is where it should be: how far its phase has turned since the look before says so to a fraction of a Hz.

Five good looks of one key after the other make a press: a tone of 40 ms always gives them, one of 23 ms never. Six bad
ones end it: a pause of 40 ms always gives them, a gap of 10 ms never. Speech fails by purity and by frequency.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from .tones import DTMF_HIGH, DTMF_LOW, KEYPAD

__all__ = ["RATE", "DtmfDetector", "KeyHeard"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]

RATE = 8_000
"""Hz, of the samples that the detector takes."""

WINDOW, HOP = 160, 40
GOOD, BAD = 5, 6
MS = 1000 * HOP // RATE

OVERLOAD = 32768.0

# Each frequency, dBov. Q.24: receivers take -25 dBm0, which is -31 dBov, and must not take -45 dBm.
QUIETEST = -35.0

# The higher over the lower, dB. Q.24: up to 4 dB above, up to 8 dB below; a decibel more for noise.
TWIST = (-9.0, 5.0)

# The share of the power that the two hold. What is left of a key at 15 dB signal to noise is 0.97; a window of which
# 14 ms are tone has 0.75.
PURITY = 0.75

# Share of the frequency. Q.24: within 1.5 % is a key, 3.5 % off is none.
OFF = 0.025


@dataclass(frozen=True, slots=True)
class KeyHeard:
    """A key was pressed in this row. `duration_ms` is known to 10 ms or so. Told when it is over."""

    row: int
    digit: str
    duration_ms: int


@cache
def _tables() -> tuple[Float64, npt.NDArray[np.complex128]]:
    """The window, shape (WINDOW,), and the transform, shape (8, WINDOW)."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
    turns = np.array((*DTMF_LOW, *DTMF_HIGH))[:, None] * np.arange(WINDOW) / RATE
    return window, window * np.exp(-2j * np.pi * turns)


class DtmfDetector:
    """Watches `rows` streams at 8 kHz. Rows do not influence each other."""

    def __init__(self, rows: int = 1) -> None:
        self._tail: Float64 = np.zeros((rows, 0))
        self._before: npt.NDArray[np.complex128] = np.zeros((rows, 8), dtype=np.complex128)
        self._candidate = np.full(rows, -1)  # of the looks in a row
        self._good = np.zeros(rows, dtype=np.int64)
        self._bad = np.zeros(rows, dtype=np.int64)
        self._pressed = np.full(rows, -1)
        self._looks = np.zeros(rows, dtype=np.int64)  # since the press began

    def process(self, samples: Int16) -> list[KeyHeard]:
        """The next piece: int16, shape (rows, n), any n. Gives the presses that are over, in time's order."""
        data = np.concatenate((self._tail, samples.astype(np.float64) / OVERLOAD), axis=1)
        heard: list[KeyHeard] = []
        start = 0
        while start + WINDOW <= data.shape[1]:
            heard.extend(self._look(data[:, start : start + WINDOW]))
            start += HOP
        self._tail = data[:, start:].copy()
        return heard

    def _look(self, frames: Float64) -> list[KeyHeard]:
        """One look at each row's `frames`, shape (rows, WINDOW)."""
        key = self._keys(frames)
        same = (key >= 0) & (key == self._candidate)
        self._good = np.where(same, self._good + 1, np.where(key >= 0, 1, 0))
        self._candidate = key
        changed = (self._good >= GOOD) & (key != self._pressed)
        self._bad = np.where((key >= 0) & (key == self._pressed), 0, self._bad + 1)
        over = (self._pressed >= 0) & ((self._bad >= BAD) | changed)
        self._looks = self._looks + (self._pressed >= 0)
        heard = [
            # From the first good look to the last; the window itself is longer than the hop by what is not whole.
            KeyHeard(int(row), KEYPAD[self._pressed[row]], int(self._looks[row] - self._bad[row] + 1) * MS)
            for row in np.flatnonzero(over)
        ]
        self._pressed = np.where(over, -1, self._pressed)
        begun = (self._good >= GOOD) & (self._pressed < 0)
        self._pressed = np.where(begun, key, self._pressed)
        self._looks = np.where(begun, GOOD, self._looks)
        self._bad = np.where(begun, 0, self._bad)
        return heard

    def _keys(self, frames: Float64) -> npt.NDArray[np.int64]:
        """The key in each row, -1: none; shape (rows,)."""
        window, transform = _tables()
        # Elementwise and a sum along the row: a product of matrices would round by how many rows there are.
        points = (frames[:, None, :] * transform).sum(axis=2)
        before, self._before = self._before, points
        rows = np.arange(len(frames))
        low = np.argmax(np.abs(points[:, :4]), axis=1)
        high = 4 + np.argmax(np.abs(points[:, 4:]), axis=1)
        nominal = np.array((*DTMF_LOW, *DTMF_HIGH))
        good = np.ones(len(frames), dtype=bool)
        powers = []
        for chosen in (low, high):
            point, last, frequency = points[rows, chosen], before[rows, chosen], nominal[chosen]
            expected = np.exp(-2j * np.pi * frequency * HOP / RATE)
            offset = np.angle(point * np.conj(last) * expected) / (2 * np.pi * HOP / RATE)
            good &= (np.abs(offset) <= OFF * frequency) & (np.abs(last) > 0)
            # What the window takes from a tone beside its middle, given back.
            bins = np.clip(np.abs(offset) * WINDOW / RATE, 1e-6, 0.9)
            response = np.sinc(bins) / (1 - np.square(bins))
            powers.append(2 * np.square(np.abs(point) / (window.sum() * response)))
        total = np.square(frames * window).sum(axis=1) / np.square(window).sum()
        levels = [10 * np.log10(np.maximum(power, 1e-15)) for power in powers]
        twist = levels[1] - levels[0]
        good &= (levels[0] >= QUIETEST) & (levels[1] >= QUIETEST)
        good &= (twist >= TWIST[0]) & (twist <= TWIST[1])
        good &= powers[0] + powers[1] >= PURITY * total
        return np.where(good, 4 * low + (high - 4), -1)
