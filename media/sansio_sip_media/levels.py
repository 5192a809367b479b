"""Levels of sound in dBov: decibels relative to the overload point of 16-bit audio (RFC 6464 section 3, RFC 6465)."""

import numpy as np
import numpy.typing as npt

__all__ = ["SILENCE_DBOV", "audio_level", "level_dbov"]

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


def audio_level(samples: Int16) -> int:
    """The level as the client-to-mixer header extension carries it: 0 (loudest) to 127 (silence)."""
    return round(-level_dbov(samples))
