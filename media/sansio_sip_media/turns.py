"""Whose turn it is: when the far end begins to speak, and when it has finished.

    quiet --speech--> speaking --`pause` seconds without--> quiet
             TurnBegan                          TurnEnded

A turn holds what was said from a little before speech was noticed to where it ended, pauses between words included.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .levels import level_dbov
from .speech import HANGOVER, VoiceActivityDetector

__all__ = ["FRAME", "TurnBegan", "TurnDetector", "TurnEnded", "VoiceFrame", "VoiceMarker"]

Int16 = npt.NDArray[np.int16]

FRAME = 0.020
"""Seconds of a frame with its marks."""

# Seconds kept from before speech was noticed: what notices it needs 40 ms, and a word begins softly.
BEFORE = 0.300


@dataclass(frozen=True, slots=True, eq=False)
class VoiceFrame:
    """Twenty milliseconds of what is heard.

    Attributes:
        samples: int16, shape (n,), n = rate / 50.
        rate: Hz.
        level: RMS, dBov: -127.0 (digital silence) to 0.0.
        voice: somebody speaks, by level over the noise of the line; it outlasts a word by 0.2 s.
    """

    samples: Int16
    rate: int
    level: float
    voice: bool


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """The far end speaks. `at`: seconds since listening began."""

    at: float


@dataclass(frozen=True, slots=True, eq=False)
class TurnEnded:
    """The far end has finished, or has spoken for as long as a turn may last.

    Attributes:
        at: seconds since listening began.
        samples: what was said, int16, shape (n,), at `rate` Hz.
        complete: whether a pause ended it; what is cut for its length goes on in the next turn.
    """

    at: float
    samples: Int16
    rate: int
    complete: bool = True


class VoiceMarker:
    """Cuts a stream at `rate` Hz into frames of 20 ms, and marks each."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._size = rate // 50
        self._rest: Int16 = np.zeros(0, dtype=np.int16)
        self._detector = VoiceActivityDetector()

    def process(self, samples: Int16) -> Iterator[VoiceFrame]:
        """The next piece, int16, shape (n,), any n: gives the frames that are full."""
        data = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        whole = len(data) // self._size * self._size
        self._rest = data[whole:].copy()
        for start in range(0, whole, self._size):
            frame = data[start : start + self._size]
            voice = bool(self._detector.process(frame[None], self.rate)[0])
            yield VoiceFrame(frame, self.rate, level_dbov(frame), voice)


class TurnDetector:
    """Tells turns from marked frames.

    Args:
        pause: seconds without speech that end a turn: under half a second cuts people short, over one feels slow.
        longest: seconds after which a turn is handed over although it goes on: bounds what is kept.

    Raises ValueError for a `pause` that is not longer than the 0.2 s by which a mark of speech outlasts it.
    """

    def __init__(self, *, pause: float = 0.6, longest: float = 60.0) -> None:
        if not pause > HANGOVER:
            raise ValueError(f"a turn cannot end after {pause} s: speech is taken to last {HANGOVER} s over each word")
        self._pause = pause
        self._longest = longest
        self._before: deque[VoiceFrame] = deque(maxlen=round(BEFORE / FRAME))
        self._turn: list[VoiceFrame] = []
        self._frames = 0
        self._silent = 0  # frames without speech at the end of the turn
        self._speaking = False

    def process(self, frame: VoiceFrame) -> TurnBegan | TurnEnded | None:
        """The next frame, and what it has made plain."""
        self._frames += 1
        if not self._speaking:
            return self._listen(frame)
        self._turn.append(frame)
        self._silent = 0 if frame.voice else self._silent + 1
        if HANGOVER + self._silent * FRAME >= self._pause - 1e-9:
            return self._end(complete=True)
        if len(self._turn) * FRAME >= self._longest - 1e-9:
            return self._end(complete=False)
        return None

    def _listen(self, frame: VoiceFrame) -> TurnBegan | None:
        self._before.append(frame)
        if not frame.voice:
            return None
        self._speaking = True
        self._turn = list(self._before)
        self._silent = 0
        return TurnBegan(self._frames * FRAME)

    def _end(self, *, complete: bool) -> TurnEnded:
        turn = self._turn[: len(self._turn) - self._silent]
        ended = TurnEnded(
            self._frames * FRAME, np.concatenate([frame.samples for frame in turn]), turn[0].rate, complete
        )
        self._before.clear()
        self._turn = []
        self._silent = 0
        self._speaking = False
        return ended
