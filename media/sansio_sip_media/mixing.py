"""A local conference: each hears the sum of all others, without clipping."""

import numpy as np
import numpy.typing as npt

__all__ = ["limit", "mix_minus_one"]

Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]

FULL = 32767.0

# Below it a sum passes unchanged; above it the rest of the way to full scale is approached, and never left. -4.4 dBov.
KNEE = 0.6 * FULL


def limit(sums: Int32) -> Int16:
    """A soft limiter, sample by sample: int32 of any shape to int16 of the same, odd, rising, at most full scale."""
    sums64 = sums.astype(np.float64)
    size = np.abs(sums64)
    bent = KNEE + (FULL - KNEE) * np.tanh((size - KNEE) / (FULL - KNEE))
    return np.asarray(np.rint(np.sign(sums64) * np.where(size > KNEE, bent, size)), dtype=np.int16)


def mix_minus_one(frames: Int16) -> Int16:
    """What each of n parties hears: int16, shape (n, samples), to the same shape; row i is the sum of all but row i.

    Integers add up the same in any order, so it does not matter who sits where.
    """
    total = frames.sum(axis=0, dtype=np.int32)
    return limit(total - frames.astype(np.int32))
