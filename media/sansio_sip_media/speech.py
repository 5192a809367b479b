"""Whether somebody speaks: by level over a floor of noise that is learnt, with a hangover; and speaking while muted."""

import numpy as np
import numpy.typing as npt

from .levels import SILENCE_DBOV

__all__ = ["SpeakingOnMute", "VoiceActivityDetector", "levels_dbov"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

OVERLOAD = 32768.0

# dB over the floor at which speech begins. The loudest 20 ms of steady noise lie 3 dB over their mean.
MARGIN = 9.0

# dBov. Below it nobody is heard, however quiet the room is.
QUIETEST = -55.0

# The floor follows what is quieter at once, and what is louder by so many dB a second: a word does not lift it, a fan
# that is switched on is learnt in some seconds.
RISE = 3.0

# Seconds: of speech that is needed to begin, and that speech outlasts its level, so that words are not cut in pieces.
ONSET, HANGOVER = 0.040, 0.200


def levels_dbov(samples: Int16) -> Float64:
    """The RMS levels of frames, int16, shape (rows, n): float64, shape (rows,), -127.0 to 0.0 dBov."""
    power = np.square(samples.astype(np.float64) / OVERLOAD).mean(axis=1)
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-13)), SILENCE_DBOV))


class VoiceActivityDetector:
    """Watches `rows` streams, frame by frame. State: floor, and times of speech and hangover, of each."""

    def __init__(self, rows: int = 1) -> None:
        self.floor: Float64 = np.full(rows, np.nan)
        """dBov of the noise, as far as it is known; NaN before the first frame."""
        self._speech: Float64 = np.zeros(rows)  # seconds in a row over the threshold
        self._hangover: Float64 = np.zeros(rows)

    def process(self, samples: Int16, rate: int) -> Bool:
        """Takes a frame of 10 to 30 ms, int16, shape (rows, n), at `rate` Hz: whether each row has speech, (rows,)."""
        seconds = samples.shape[1] / rate
        level = levels_dbov(samples)
        # What begins with a voice has no floor yet: then a quiet room is taken for granted.
        first = np.minimum(level, QUIETEST - MARGIN)
        floor = np.where(np.isnan(self.floor), first, self.floor)
        self.floor = np.where(level < floor, level, np.minimum(level, floor + RISE * seconds))
        loud = (level > self.floor + MARGIN) & (level > QUIETEST)
        self._speech = np.where(loud, self._speech + seconds, 0.0)
        speaks = self._speech >= ONSET - 1e-9
        self._hangover = np.where(speaks, HANGOVER, np.maximum(self._hangover - seconds, 0.0))
        return speaks | (self._hangover > 1e-9)


class SpeakingOnMute:
    """Notices that a muted person speaks: once in each time of being muted (facts section 8.3)."""

    # Seconds of speech, pauses between words not counted: a cough is no speech.
    ENOUGH = 0.5

    def __init__(self) -> None:
        self._detector = VoiceActivityDetector()
        self._spoken = 0.0
        self._told = False

    def process(self, samples: Int16, rate: int, *, muted: bool) -> bool:
        """Takes a frame of the microphone, int16, shape (n,). True: this has just been noticed."""
        speaks = bool(self._detector.process(samples[None], rate)[0])
        if not muted:
            self._spoken, self._told = 0.0, False
            return False
        if speaks:
            self._spoken += len(samples) / rate
        if self._told or self._spoken < self.ENOUGH:
            return False
        self._told = True
        return True
