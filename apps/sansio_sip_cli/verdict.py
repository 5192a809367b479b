"""The demo's verdict: whether each phone heard what the other said, and whether the digits arrived."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip_media.likeness import Likeness, likeness

from .audio import Clip, UnreadableAudio, load

__all__ = ["Verdict"]

# A phone that hears its own voice passes no test by that.
MAX_OWN_LIKENESS = 0.3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one phone heard.

    Attributes:
        other: who was to be heard.
        heard: the recording against what the other said.
        own: the recording against what this phone said itself.
        statistics: of the call's media.
    """

    other: str
    heard: Likeness
    own: Likeness
    statistics: MediaStatistics

    @classmethod
    def of(cls, recording: Path, other: str, said: Clip, own: Clip, statistics: MediaStatistics) -> "Verdict":
        """Listens to a recording. All are at one rate."""
        samples = load_or_silence(recording, said.rate).samples
        return cls(
            other,
            likeness(said.samples, samples, said.rate),
            likeness(own.samples, samples, own.rate),
            statistics,
        )

    @property
    def good(self) -> bool:
        return self.heard.same and self.own.median < MAX_OWN_LIKENESS

    def lines(self) -> list[str]:
        """In words, for a terminal of 80 columns."""
        heard, statistics = self.heard, self.statistics
        word = "good" if self.good else "NOT GOOD"
        return [
            f"media after {_ms(statistics.setup_ms)} (ICE {_ms(statistics.ice_ms)}, DTLS {_ms(statistics.dtls_ms)})",
            f"heard {self.other}: likeness {heard.median:.3f}, itself {self.own.median:.3f}: {word}",
            f"of {heard.windows} windows of 1 s, {heard.good:.0%} at 0.7 or more; gain {heard.gain_db:+.1f} dB",
        ]

    def as_dict(self) -> dict[str, Any]:
        heard, statistics = self.heard, self.statistics
        return {
            "heard": self.other,
            "median": round(heard.median, 4),
            "good": round(heard.good, 4),
            "gain_db": round(heard.gain_db, 2) if heard.windows else None,
            "own": round(self.own.median, 4),
            "ice_ms": statistics.ice_ms,
            "dtls_ms": statistics.dtls_ms,
            "media_ms": statistics.setup_ms,
            "same": self.good,
        }


def load_or_silence(path: Path, rate: int) -> Clip:
    """A recording; an empty one counts as silence."""
    try:
        return load(path)
    except UnreadableAudio:
        return Clip(np.zeros(rate, dtype=np.int16), rate)


def _ms(milliseconds: float | None) -> str:
    return "?" if milliseconds is None else f"{milliseconds:.0f} ms"
