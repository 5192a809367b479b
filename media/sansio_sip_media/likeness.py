"""How much a recording is like what was sent: the judge of the demo and of the tests.

Whole-file correlation punishes one late frame as much as a wrong voice. So the recording is judged by windows of a
second: each is looked for in the source, near where it should be, by the peak of the normalised cross-correlation.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Likeness", "likeness"]

Int16 = npt.NDArray[np.int16]
Float = npt.NDArray[np.float64]

BAND = (100.0, 3400.0)  # Hz: what every telephone codec carries
WINDOW, LAG = 1.0, 0.2  # seconds

# A window quieter than this share of the loudest one is a pause; it has no shape to compare.
PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Likeness:
    """The verdict over all windows of the source that hold sound.

    Attributes:
        median: of the windows' peaks, 0.0 to 1.0.
        good: share of windows whose peak is 0.7 or more.
        gain_db: level of the recording over that of the source.
        delay: seconds by which the recording lags, over the whole of it.
        windows: how many there were.
    """

    median: float
    good: float
    gain_db: float
    delay: float
    windows: int

    @property
    def same(self) -> bool:
        """Whether this is the source, heard over a telephone."""
        return self.windows > 0 and self.median >= 0.9 and self.good >= 0.95 and abs(self.gain_db) <= 3.0


def likeness(source: Int16, recording: Int16, rate: int) -> Likeness:
    """Compares int16 mono arrays of shape (n,) at the same `rate` in Hz. The recording may begin late or early."""
    nothing = Likeness(0.0, 0.0, float("-inf"), 0.0, 0)
    if len(source) < rate * WINDOW or len(recording) < rate * WINDOW:
        return nothing
    sent, heard = _band(source, rate), _band(recording, rate)
    if not heard.any() or not sent.any():
        return nothing
    offset = _lag(sent, heard)
    size, reach = int(WINDOW * rate), int(LAG * rate)
    loudest = max(_level(sent[start : start + size]) for start in range(0, len(sent) - size + 1, size))
    peaks, levels = [], []
    for start in range(0, len(sent) - size + 1, size):
        window = sent[start : start + size]
        if _level(window) < PAUSE * loudest:
            continue
        low = max(0, start + offset - reach)
        stretch = heard[low : max(0, start + offset + size + reach)]
        if len(stretch) < size:
            # The call ended within this window: what was never sent cannot be heard.
            if start + offset + size > len(heard):
                continue
            peaks.append(0.0)
            continue
        peak, where = _peak(window, stretch)
        peaks.append(peak)
        levels.append((_level(window), _level(stretch[where : where + size])))
    if not peaks:
        return nothing
    ours, theirs = (
        (float(np.sqrt(np.mean(np.square(column)))) for column in zip(*levels, strict=True)) if levels else (1, 0)
    )
    gain = 20 * float(np.log10(theirs / ours)) if ours and theirs else float("-inf")
    scores = np.array(peaks)
    return Likeness(float(np.median(scores)), float(np.mean(scores >= 0.7)), gain, offset / rate, len(peaks))


def _band(samples: Int16, rate: int) -> Float:
    spectrum = np.fft.rfft(samples.astype(np.float64))
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    spectrum[(frequencies < BAND[0]) | (frequencies > BAND[1])] = 0
    return np.asarray(np.fft.irfft(spectrum, len(samples)))


def _lag(source: Float, recording: Float) -> int:
    """Samples by which the recording lags the source."""
    size = 1 << (len(source) + len(recording)).bit_length()
    product = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(source, size))
    best = int(np.argmax(np.fft.irfft(product, size)))
    return best if best < size // 2 else best - size


def _peak(window: Float, stretch: Float) -> tuple[float, int]:
    """The best normalised match of `window` within `stretch`, and where it begins."""
    products = np.correlate(stretch, window, "valid") if len(window) < 512 else _correlate(stretch, window)
    squares = np.concatenate(([0.0], np.cumsum(np.square(stretch))))
    energy = squares[len(window) :] - squares[: -len(window)]
    norm = np.sqrt(np.maximum(energy, 1e-9) * float(np.sum(np.square(window))))
    scores = products / norm
    where = int(np.argmax(scores))
    return float(np.clip(scores[where], 0.0, 1.0)), where


def _correlate(stretch: Float, window: Float) -> Float:
    size = 1 << (len(stretch) + len(window)).bit_length()
    product = np.fft.rfft(stretch, size) * np.conj(np.fft.rfft(window, size))
    return np.asarray(np.fft.irfft(product, size))[: len(stretch) - len(window) + 1]


def _level(samples: Float) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
