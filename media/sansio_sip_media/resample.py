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

from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_RATE", "MIN_RATE", "Resampler"]

Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

# Periods of the lower rate that the filter spans. 48 of them under this window: flat to 0.42 of the lower rate (3.4 of
# 8 kHz), 60 dB down from half of it on.
SPAN = 48
KAISER_BETA = 5.65
CUTOFF = 0.463

# Fractions of a sample in a table that blends: the error of blending is far below one step of 16 bits.
FRACTIONS = 512

# Outputs computed at a time: a piece may be a whole file, and each output needs a window of its own.
CHUNK = 1_920

# Hz. What WAV files and sound cards have; also bounds the size of the filter.
MIN_RATE, MAX_RATE = 4_000, 384_000


@lru_cache(maxsize=16)
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


@lru_cache(maxsize=32)
def _plan(up: int, down: int, fraction: int, outputs: int) -> tuple[npt.NDArray[np.int64], Float32]:
    """For outputs from `fraction` / up on: the input sample under each, and its filter. A plan serves many frames."""
    whole, fractions = np.divmod(fraction + down * np.arange(outputs, dtype=np.int64), up)
    if up <= FRACTIONS:
        return whole, _filter(up, down, up)[fractions]
    table = _filter(up, down, FRACTIONS)
    place = fractions * (FRACTIONS / up)
    row = place.astype(np.int64)
    share = (place - row).astype(np.float32)[:, None]
    return whole, np.asarray(table[row] * (1 - share) + table[row + 1] * share)


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
        self._table = _filter(self._up, self._down, min(self._up, FRACTIONS))
        self._taps = self._table.shape[1]
        # Zeros stand for what came before; the first output is half a window behind the first input.
        self._tail: Float32 = np.zeros(self._taps - 1, dtype=np.float32)
        self._position = 0  # of the next output: in 1/up of an input sample, from the next piece's first sample

    @property
    def delay(self) -> float:
        """Seconds by which the output lags."""
        return 0.0 if self.rate_in == self.rate_out else self._taps / 2 / self.rate_in

    def process(self, samples: Int16) -> Int16:
        """The next piece, int16, shape (n,): gives int16, shape (m,), with n / m as the rates, on average exactly.

        How a stream is cut into pieces makes no difference to what comes out.
        """
        if self.rate_in == self.rate_out:
            return samples
        count = len(samples)
        outputs = max(0, -((self._position - count * self._up) // self._down))
        data = np.concatenate((self._tail, samples), dtype=np.float32)
        # Row i is the window that ends at input sample i; nothing is copied.
        windows: Float32 = np.ndarray((count, self._taps), np.float32, data, 0, (4, 4))
        result = self._filtered(windows, outputs) if outputs else np.zeros(0, dtype=np.float32)
        self._position += outputs * self._down - count * self._up
        self._tail = data[count:].copy()
        np.rint(result, out=result)
        np.clip(result, -32768, 32767, out=result)
        return result.astype(np.int16)

    def _filtered(self, windows: Float32, outputs: int) -> Float32:
        # einsum, not a product of matrices: BLAS rounds a row by how many there are beside it.
        if self._down == 1:
            # All fractions of each input sample in turn.
            return np.asarray(np.einsum("ij,kj->ik", windows, self._table[:-1]).reshape(-1))
        if self._up == 1:
            first = self._position
            chosen = windows[first : first + (outputs - 1) * self._down + 1 : self._down]
            return np.asarray(np.einsum("ij,j->i", chosen, self._table[0]))
        result = np.empty(outputs, dtype=np.float32)
        for start in range(0, outputs, CHUNK):
            base, fraction = divmod(self._position + start * self._down, self._up)
            whole, weights = _plan(self._up, self._down, fraction, min(CHUNK, outputs - start))
            np.einsum("ij,ij->i", windows[base:][whole], weights, out=result[start : start + len(whole)])
        return result
