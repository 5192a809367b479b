"""Automatic gain control: everybody as loud as everybody else, and silence left in peace."""

import numpy as np
import numpy.typing as npt

from .mixing import limit
from .speech import levels_dbov

__all__ = ["AutomaticGain"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]

# dBov of speech, RMS: what a telephone's own circuits aim at (ITU-T P.56 speech of -26 dBov, and a little).
TARGET = -23.0

# dB.
HIGHEST_GAIN, LOWEST_GAIN = 24.0, -18.0

# dBov: what is quieter is no speech, and leaves the gain where it is.
GATE = -50.0

# dB a second: down before it hurts, up so slowly that nobody hears it.
ATTACK, RELEASE = 60.0, 6.0


class AutomaticGain:
    """Levels `rows` streams. State: the gain of each, dB.

    Args:
        target_dbov: RMS of frames of speech to be reached.
    """

    def __init__(self, rows: int = 1, *, target_dbov: float = TARGET) -> None:
        self.target_dbov = target_dbov
        self.gain_db: Float64 = np.zeros(rows)

    def process(self, samples: Int16, rate: int) -> Int16:
        """A frame of 10 to 60 ms, int16, shape (rows, n), at `rate` Hz: the same, levelled and limited."""
        seconds = samples.shape[1] / rate
        level = levels_dbov(samples)
        wanted = np.clip(self.target_dbov - level, LOWEST_GAIN, HIGHEST_GAIN)
        step = np.clip(wanted - self.gain_db, -ATTACK * seconds, RELEASE * seconds)
        before = self.gain_db
        self.gain_db = np.where(level > GATE, before + step, before)
        # From the old gain to the new one in a straight line of dB: no step, no click.
        share = np.arange(1, samples.shape[1] + 1) / samples.shape[1]
        gain = 10 ** ((before[:, None] + (self.gain_db - before)[:, None] * share) / 20)
        return limit(np.rint(samples * gain).astype(np.int32))
