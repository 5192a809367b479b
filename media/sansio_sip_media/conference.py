"""A conference of sessions: what each hears of the others, tick by tick.

Sessions differ in rate, and in what a tick brings: a jitter buffer gives a frame, none, or two. So what each has heard
waits in a short queue, at one rate, and 20 ms of every queue are mixed at each tick.
"""

from collections.abc import Mapping

import numpy as np

from sansio_sip.softphone.media_plane import SessionId

from .codecs.base import Int16
from .mixing import mix_minus_one
from .resample import Resampler

__all__ = ["RATE", "Conference"]

RATE = 48_000
"""Hz, of what is mixed: the highest of any codec."""

FRAME = RATE // 50

# Samples that may wait of one party: a burst after a gap must not stay as a delay.
MAX_WAITING = 3 * FRAME

SILENT: Int16 = np.zeros(0, dtype=np.int16)


class Conference:
    """Who is in it, and what each has said that was not mixed yet."""

    def __init__(self, sessions: tuple[SessionId, ...]) -> None:
        self.sessions = sessions
        self._waiting: dict[SessionId, Int16] = {}
        self._resamplers: dict[SessionId, Resampler] = {}

    def tick(self, heard: Mapping[SessionId, tuple[Int16, int]]) -> dict[SessionId, Int16]:
        """What each party is to be told, int16, shape (FRAME,) at `RATE`.

        Args:
            heard: samples, int16, shape (n,), and their rate, of those that have said anything.
        """
        frames = np.zeros((len(self.sessions), FRAME), dtype=np.int16)
        for row, session in enumerate(self.sessions):
            samples, rate = heard.get(session, (SILENT, RATE))
            waiting = np.concatenate((self._waiting.get(session, SILENT), self._resampled(session, samples, rate)))
            waiting = waiting[-MAX_WAITING:]
            frames[row, : min(FRAME, len(waiting))] = waiting[:FRAME]
            self._waiting[session] = waiting[FRAME:]
        return dict(zip(self.sessions, mix_minus_one(frames), strict=True))

    def _resampled(self, session: SessionId, samples: Int16, rate: int) -> Int16:
        if rate == RATE or not len(samples):
            return samples
        resampler = self._resamplers.get(session)
        if resampler is None or resampler.rate_in != rate:
            resampler = self._resamplers[session] = Resampler(rate, RATE)
        return resampler.process(samples)
