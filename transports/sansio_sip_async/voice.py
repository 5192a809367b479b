"""What is heard in a call, made sense of: frames with marks, turns, and who has answered."""

from collections import deque
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from sansio_sip_media.answering_machine import AnswerDetector, AnsweredBy, Beep, BeepDetector
from sansio_sip_media.turns import TurnBegan, TurnDetector, TurnEnded, VoiceFrame, VoiceMarker

from .subscription import AudioStream

__all__ = ["Turns", "VoiceFrames", "first_beep", "who_answered"]

Int16 = npt.NDArray[np.int16]


class VoiceFrames:
    """Pieces of audio at `rate` Hz as marked frames of 20 ms."""

    def __init__(self, pieces: AudioStream) -> None:
        self.rate = pieces.rate
        self._pieces = pieces
        self._marker = VoiceMarker(pieces.rate)
        self._frames: deque[VoiceFrame] = deque()

    def __aiter__(self) -> "VoiceFrames":
        return self

    async def __anext__(self) -> VoiceFrame:
        while not self._frames:
            self._frames.extend(self._marker.process(await anext(self._pieces)))
        return self._frames.popleft()

    async def aclose(self) -> None:
        """Leaves at once, as `AudioStream.aclose`."""
        self._frames.clear()
        await self._pieces.aclose()


class Turns:
    """What a far end says, turn by turn, as an async iterator."""

    def __init__(self, frames: VoiceFrames, pause: float) -> None:
        self._frames = frames
        self._detector = TurnDetector(pause=pause)

    def __aiter__(self) -> "Turns":
        return self

    async def __anext__(self) -> TurnBegan | TurnEnded:
        while True:
            event = self._detector.process(await anext(self._frames))
            if event is not None:
                return event

    async def aclose(self) -> None:
        """Leaves at once, as `AudioStream.aclose`."""
        await self._frames.aclose()


async def who_answered(frames: AsyncIterator[VoiceFrame]) -> AnsweredBy | None:
    """The verdict; None where the call has ended before it."""
    detector: AnswerDetector | None = None
    async for frame in frames:
        detector = detector or AnswerDetector(frame.rate)
        if (verdict := detector.process(frame)) is not None:
            return verdict
    return None


async def first_beep(pieces: AsyncIterator[Int16], rate: int) -> Beep | None:
    """The first beep, once it is over; None where the call has ended before it."""
    detector = BeepDetector(rate)
    async for piece in pieces:
        for beep in detector.process(piece):
            return beep
    return None
