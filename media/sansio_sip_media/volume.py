"""Volume as the reference shows it: what a browser's analyser makes of the last 128 samples (facts section 8.4).

"FFT size 128 -> 64 byte bins (0..255 spans -100..-30 dB, default smoothing 0.8); value = mean(bins)/255". The steps
between are those of the Web Audio API: a Blackman window, magnitudes over the size of the transform, smoothing over
time, decibels, octets.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["VolumeMeter"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]

SIZE = 128
BINS = SIZE // 2
SMOOTHING = 0.8
LOWEST, HIGHEST = -100.0, -30.0  # dB of a bin
OVERLOAD = 32768.0

# Web Audio API, section 1.8.6: alpha 0.16.
_AT = np.arange(SIZE) / SIZE
WINDOW: Float64 = 0.42 - 0.5 * np.cos(2 * np.pi * _AT) + 0.08 * np.cos(4 * np.pi * _AT)


class VolumeMeter:
    """Meters `rows` streams. State: the last 128 samples and the smoothed spectrum of each."""

    def __init__(self, rows: int = 1) -> None:
        self._last: Float64 = np.zeros((rows, SIZE))
        self._smoothed: Float64 = np.zeros((rows, BINS))

    def process(self, samples: Int16) -> Float64:
        """The volume after these samples, int16, shape (rows, n): float64, shape (rows,), 0.0 to 1.0.

        Call it once a frame of the display, or once a tick: each call smooths once.
        """
        recent = samples[:, -SIZE:].astype(np.float64) / OVERLOAD
        self._last = np.concatenate((self._last[:, recent.shape[1] :], recent), axis=1)
        magnitudes = np.abs(np.fft.rfft(self._last * WINDOW, axis=1))[:, :BINS] / SIZE
        self._smoothed = SMOOTHING * self._smoothed + (1 - SMOOTHING) * magnitudes
        decibels = 20 * np.log10(np.maximum(self._smoothed, 1e-12))
        octets = np.clip(np.floor(255 * (decibels - LOWEST) / (HIGHEST - LOWEST)), 0, 255)
        return np.asarray(octets.mean(axis=1) / 255)
