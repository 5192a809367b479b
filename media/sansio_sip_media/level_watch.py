"""How loud each direction of a session is, and who speaks: for a display, and for a hint to who speaks while muted."""

import numpy as np

from sansio_sip.softphone.media_plane import AudioLevels

from .codecs.base import Int16
from .levels import SILENCE_DBOV, level_dbov
from .speech import SpeakingOnMute, VoiceActivityDetector
from .volume import VolumeMeter

__all__ = ["LevelWatch"]


class LevelWatch:
    """Watches one session. It costs two small transforms a tick, so it is there only while somebody asks."""

    def __init__(self) -> None:
        self._volumes = {"input": VolumeMeter(), "output": VolumeMeter()}
        self._detectors = {"input": VoiceActivityDetector(), "output": VoiceActivityDetector()}
        self._on_mute = SpeakingOnMute()
        self._speaking_on_mute = False
        self._figures = {"input": (0.0, SILENCE_DBOV, False), "output": (0.0, SILENCE_DBOV, False)}

    def sent(self, samples: Int16, rate: int) -> None:
        """What goes out, int16, shape (n,): silence while muted."""
        self._measure("input", samples, rate)

    def heard(self, samples: Int16, rate: int) -> None:
        """What is played, int16, shape (n,)."""
        self._measure("output", samples, rate)

    def spoken(self, samples: Int16, rate: int, *, muted: bool) -> None:
        """What the microphone gives, muted or not, int16, shape (n,)."""
        noticed = self._on_mute.process(samples, rate, muted=muted)
        self._speaking_on_mute = muted and (self._speaking_on_mute or noticed)

    def _measure(self, way: str, samples: Int16, rate: int) -> None:
        if not len(samples):
            return
        row = np.asarray(samples)[None]
        volume = float(self._volumes[way].process(row)[0])
        self._figures[way] = (volume, level_dbov(samples), bool(self._detectors[way].process(row, rate)[0]))

    @property
    def levels(self) -> AudioLevels:
        """As of the last tick."""
        ours, theirs = self._figures["input"], self._figures["output"]
        return AudioLevels(ours[0], theirs[0], ours[1], theirs[1], ours[2], theirs[2], self._speaking_on_mute)
