"""What a client asks of whoever makes sounds: tones of networks, keys and media, mixed with what is heard.

The desk is injected with the media engine (`MediaPlane.sounds`), so that the core needs no numpy. It has no time of its
own: the client asks for the next piece of sound when one is due.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

__all__ = ["Sound", "SoundKind", "SoundPlane"]


class SoundKind(Enum):
    RINGING = "ringing"  # the bell of a telephone, in the rhythm of the country's ringback
    RINGBACK = "ringback"
    DIAL = "dial"
    BUSY = "busy"
    CONGESTION = "congestion"
    KEY = "key"  # the two tones of a key
    MEDIUM = "medium"  # what was kept under a name


@dataclass(frozen=True, slots=True)
class Sound:
    """Something to be heard.

    Attributes:
        country: ISO 3166, whose network's tone it is.
        key: of a KEY, one of `0-9 * # A-D`.
        medium: of a MEDIUM, the name under which it is kept.
        repeats: a medium begins again at its end; tones have rhythms of their own.
    """

    kind: SoundKind
    country: str = "us"
    key: str = ""
    medium: str = ""
    repeats: bool = True


class SoundPlane(Protocol):
    """Players, by name, each with one sound. Samples are int16 of shape (n,) at `rate` Hz."""

    def keep(self, medium: str, samples: Any, rate: int) -> None:
        """Keeps a medium under a name. Raises ValueError for a rate that no audio has."""

    def forget(self, medium: str) -> None:
        """Lets a medium go; what plays it falls silent."""

    def start(self, player: str, sound: Sound) -> None:
        """Plays a sound from its beginning. Raises ValueError for a country or key that there is not."""

    def stop(self, player: str) -> None:
        """Harmless where nothing plays."""

    def is_over(self, player: str) -> bool:
        """Whether nothing is to come of it."""

    def hear(self, samples: Any, rate: int) -> None:
        """Keeps what the far end says for the next `frame`. The queue is bounded, drop-oldest."""

    def frame(self, players: tuple[str, ...], seconds: float, rate: int) -> Any:
        """The next piece of what is heard and what these players play, together, without clipping."""

    def rest(self) -> Any:
        """Takes what is heard and waits for a frame."""
