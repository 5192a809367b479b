"""Who has answered: somebody, or a machine; and the beep after which a machine listens.

People answer with a word or two and wait for ours; machines speak a sentence and more, and then beep. That is a habit,
not a protocol: the verdict is right often, not always, and whoever acts on it had better be kind to people taken for
machines. A beep is much surer.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from .resample import Resampler
from .speech import HANGOVER
from .turns import FRAME, VoiceFrame

__all__ = ["AnswerDetector", "AnsweredBy", "Beep", "BeepDetector"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]

RATE = 8_000  # Hz at which a beep is looked for

# A look each 20 ms at 40 ms: 25 Hz between two points of the transform.
WINDOW, HOP = 320, 160

# Hz. Beeps of machines lie here; what hums (mains, a low voice) lies below.
LOWEST, HIGHEST = 380.0, 2_600.0

# Share of the power that one frequency holds: under the window it takes two points to each side. Speech has harmonics,
# keys have two tones.
PURITY = 0.90

# dBov of the tone.
QUIETEST = -40.0

# Hz by which one look may differ from the one before.
STEADY = 12.0

# Seconds. Held vowels are shorter; dial tones and test tones are longer.
SHORTEST, LONGEST = 0.120, 2.500


class AnsweredBy(Enum):
    """What answered a call, by how it greets."""

    HUMAN = "human"
    MACHINE = "machine"
    SILENCE = "silence"  # nobody said anything in time


@dataclass(frozen=True, slots=True)
class Beep:
    """A beep is over: its frequency in Hz, its length in seconds (to 40 ms or so)."""

    frequency: float
    seconds: float


class BeepDetector:
    """Looks for single steady tones in one stream at `rate` Hz. Busy tones are beeps too: it tells of each."""

    def __init__(self, rate: int) -> None:
        self._resampler = Resampler(rate, RATE)
        self._rest: Int16 = np.zeros(0, dtype=np.int16)
        self._window: Float64 = np.hanning(WINDOW + 1)[:-1]
        self._frequency = 0.0  # of the tone that goes on; 0.0: none
        self._looks = 0

    def process(self, samples: Int16) -> list[Beep]:
        """The next piece, int16, shape (n,), any n: gives the beeps that are over."""
        data = np.concatenate((self._rest, self._resampler.process(samples)))
        beeps: list[Beep] = []
        start = 0
        while start + WINDOW <= len(data):
            if (beep := self._look(data[start : start + WINDOW])) is not None:
                beeps.append(beep)
            start += HOP
        self._rest = data[start:].copy()
        return beeps

    def _look(self, samples: Int16) -> Beep | None:
        frequency = self._tone(samples)
        if frequency and self._frequency and abs(frequency - self._frequency) <= STEADY:
            self._frequency = frequency
            self._looks += 1
            return None
        seconds = (self._looks - 1) * HOP / RATE + WINDOW / RATE if self._looks else 0.0
        over = Beep(self._frequency, seconds) if SHORTEST <= seconds <= LONGEST and self._looks > 2 else None
        self._frequency, self._looks = frequency, 1 if frequency else 0
        return over

    def _tone(self, samples: Int16) -> float:
        """The frequency, Hz, of what is nothing else than a tone; else 0.0."""
        spectrum = np.square(np.abs(np.fft.rfft(samples / 32768.0 * self._window)))
        total = float(spectrum.sum())
        # A sine of power P gives a sum of P * sum(window ** 2) * WINDOW / 2 over the positive frequencies.
        power = total / float(np.square(self._window).sum()) / (WINDOW / 2)
        if 10 * np.log10(max(power, 1e-15)) < QUIETEST:
            return 0.0
        peak = int(np.argmax(spectrum))
        if not 2 <= peak < len(spectrum) - 2 or float(spectrum[peak - 2 : peak + 3].sum()) < PURITY * total:
            return 0.0
        # Where between two points the tone lies: the middle of the power is near enough.
        points = np.arange(peak - 2, peak + 3)
        middle = float((points * spectrum[points]).sum() / spectrum[points].sum())
        frequency = middle * RATE / WINDOW
        return frequency if LOWEST <= frequency <= HIGHEST else 0.0


class AnswerDetector:
    """Judges who has answered, from marked frames, beginning at the answer.

    Args:
        greeting: seconds of speech from which on it is a machine that speaks.
        pause: seconds of silence after which a greeting is over.
        patience: seconds in which somebody has to begin.

    Raises ValueError for a `pause` that is not longer than the 0.2 s by which a mark of speech outlasts it.
    """

    def __init__(self, rate: int, *, greeting: float = 1.8, pause: float = 0.8, patience: float = 4.0) -> None:
        if not pause > HANGOVER:
            raise ValueError(f"a greeting cannot end after {pause} s: speech lasts {HANGOVER} s over each word")
        self._greeting = greeting
        self._pause = pause
        self._patience = patience
        self._beeps = BeepDetector(rate)
        self._time = self._spoken = self._silent = 0.0

    def process(self, frame: VoiceFrame) -> AnsweredBy | None:
        """The next frame: the verdict, as soon as there is one."""
        self._time += FRAME
        if self._beeps.process(frame.samples):
            return AnsweredBy.MACHINE
        if frame.voice:
            # A pause that ended nothing is part of what is spoken.
            self._spoken += FRAME + (self._silent if self._spoken else 0.0)
            self._silent = 0.0
            return AnsweredBy.MACHINE if self._spoken - HANGOVER >= self._greeting else None
        self._silent += FRAME
        if self._spoken and HANGOVER + self._silent >= self._pause - 1e-9:
            return AnsweredBy.HUMAN
        return AnsweredBy.SILENCE if not self._spoken and self._time >= self._patience - 1e-9 else None
