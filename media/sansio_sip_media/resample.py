"""Change of sample rate: a streaming polyphase filter, any rate to any rate.

Theory of operation
-------------------
With `up / down` the ratio of the rates in lowest terms, output sample n lies at input position n * down / up. Integers
say where that is, so the long-run ratio is exact and nothing drifts: after N input samples there have been
ceil(N * up / down) output samples, whatever the sizes of the pieces.

Each output sample is a window of input samples times one row of a table: the low-pass filter (a sinc under a Kaiser
window) at the fraction of a sample where the output lies. Where `up` is small the table holds every fraction there is;
else it holds 512 of them, and the two nearest are blended.

The window reaches half its length back and half forward, so the output lags by `delay`.
"""

from functools import cache
from math import gcd

import numpy as np
import numpy.typing as npt

__all__ = ["Resampler"]

Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

# Periods of the lower rate that the filter spans. 48 of them under this window: flat to 0.42 of the lower rate (3.4 of
# 8 kHz), 60 dB down from half of it on.
SPAN = 48
KAISER_BETA = 5.65
CUTOFF = 0.463

# Fractions of a sample in a table that blends: the error of blending is far below one step of 16 bits.
FRACTIONS = 512

# Hz. What WAV files and sound cards have; also bounds the size of the filter.
MIN_RATE, MAX_RATE = 4_000, 384_000


@cache
def _filter(up: int, down: int, fractions: int) -> Float32:
    """The table, shape (fractions + 1, taps); row k is for an output that lies k / fractions past an input sample.

    Row 0 and row `fractions` are the same filter, one sample apart.
    """
    scale = min(1.0, up / down)  # of the lower rate to the input's
    half = int(np.ceil(SPAN / 2 / scale))
    # Column j weighs the input sample that lies j - half + 1 after the output's base position.
    offsets = np.arange(-half + 1, half + 1)[None, :] - np.arange(fractions + 1)[:, None] / fractions
    cutoff = 2 * CUTOFF * scale
    reach = np.clip(offsets / half, -1.0, 1.0)
    window = np.i0(KAISER_BETA * np.sqrt(1 - np.square(reach))) / np.i0(KAISER_BETA)
    taps = cutoff * np.sinc(cutoff * offsets) * window
    # Each row passes a constant unchanged.
    return np.asarray(taps / taps.sum(axis=1, keepdims=True), dtype=np.float32)


class Resampler:
    """One stream from `rate_in` to `rate_out`, both Hz.

    State: the last window of input, and the position of the next output. Raises ValueError for rates that are no audio.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        for rate in (rate_in, rate_out):
            if not MIN_RATE <= rate <= MAX_RATE:
                raise ValueError(f"cannot resample audio at {rate} Hz; the rate must lie in {MIN_RATE} to {MAX_RATE}")
        self.rate_in = rate_in
        self.rate_out = rate_out
        divisor = gcd(rate_in, rate_out)
        self._up, self._down = rate_out // divisor, rate_in // divisor
        self._blends = self._up > FRACTIONS
        self._table = _filter(self._up, self._down, FRACTIONS if self._blends else self._up)
        self._taps = self._table.shape[1]
        # Zeros stand for what came before; the first output is half a window behind the first input.
        self._tail: Float32 = np.zeros(self._taps - 1, dtype=np.float32)
        self._position = 0  # of the next output: in 1/up of an input sample, from the next piece's first sample

    @property
    def delay(self) -> float:
        """Seconds by which the output lags."""
        return 0.0 if self.rate_in == self.rate_out else self._taps / 2 / self.rate_in

    def process(self, samples: Int16) -> Int16:
        """The next piece, int16, shape (n,): gives int16, shape (m,), with n / m as the rates, on average exactly."""
        if self.rate_in == self.rate_out:
            return samples
        count = len(samples)
        if not count:
            return np.zeros(0, dtype=np.int16)
        data = np.concatenate((self._tail, samples), dtype=np.float32)
        outputs = max(0, -((self._position - count * self._up) // self._down))
        windows = np.lib.stride_tricks.sliding_window_view(data, self._taps)
        if self._down == 1:
            # All fractions of each input sample in turn.
            result = (windows @ self._table[:-1].T).reshape(-1)
        elif self._up == 1:
            start = self._position
            result = windows[start : start + (outputs - 1) * self._down + 1 : self._down] @ self._table[0]
        else:
            result = self._general(windows, outputs)
        self._position += outputs * self._down - count * self._up
        self._tail = data[count:]
        return np.asarray(np.clip(np.rint(result), -32768, 32767), dtype=np.int16)

    def _general(self, windows: Float32, outputs: int) -> Float32:
        whole, fraction = np.divmod(self._position + self._down * np.arange(outputs, dtype=np.int64), self._up)
        chosen = windows[whole]
        if not self._blends:
            return np.asarray(np.einsum("ij,ij->i", chosen, self._table[fraction]))
        place = fraction * (FRACTIONS / self._up)
        row = place.astype(np.int64)
        share = (place - row).astype(np.float32)
        lower = np.einsum("ij,ij->i", chosen, self._table[row])
        upper = np.einsum("ij,ij->i", chosen, self._table[row + 1])
        return np.asarray(lower * (1 - share) + upper * share, dtype=np.float32)
