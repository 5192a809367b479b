"""The tones of telephone networks: dial, ringback, busy, congestion, the bell, and the keys.

What each country's network plays is a table (ITU-T E.180 supplement 2), in the notation that exchanges are configured
with: frequencies and milliseconds, `440+480/2000,0/4000` is two tones for 2 s and 4 s of silence, over and over.
`400*25` is 400 Hz swelling 25 times a second; `f` alone goes on for ever.

A tone is a function of time: `tone_samples` gives any piece of it, at any rate, and pieces fit without a click.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "COUNTRIES",
    "DTMF_HIGH",
    "DTMF_LOW",
    "Segment",
    "Tone",
    "ToneGenerator",
    "ToneKind",
    "dtmf_tone",
    "national_tone",
    "parse_tone",
    "tone_samples",
]

Int16 = npt.NDArray[np.int16]

ToneKind: TypeAlias = Literal["dial", "ringback", "busy", "congestion", "ringing"]

KINDS = ("dial", "ringback", "busy", "congestion")

# By ISO 3166 country: dial, ringback, busy, congestion.
COUNTRIES: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {
        "au": (
            "413+438",
            "413+438/400,0/200,413+438/400,0/2000",
            "425/375,0/375",
            "425/375,0/375,420/375,0/375",
        ),
        "br": ("425", "425/1000,0/4000", "425/250,0/250", "425/250,0/250,425/750,0/250"),
        "ch": ("425", "425/1000,0/4000", "425/500,0/500", "425/200,0/200"),
        "cn": ("450", "450/1000,0/4000", "450/350,0/350", "450/700,0/700"),
        "de": ("425", "425/1000,0/4000", "425/480,0/480", "425/240,0/240"),
        "es": ("425", "425/1500,0/3000", "425/200,0/200", "425/200,0/200,425/200,0/200,425/200,0/600"),
        "fr": ("440", "440/1500,0/3500", "440/500,0/500", "440/250,0/250"),
        "in": ("400*25", "400*25/400,0/200,400*25/400,0/2000", "400/750,0/750", "400/250,0/250"),
        "it": ("425/200,0/200,425/600,0/1000", "425/1000,0/4000", "425/500,0/500", "425/200,0/200"),
        "jp": ("400", "400*16/1000,0/2000", "400/500,0/500", "400/500,0/500"),
        "nl": ("425", "425/1000,0/4000", "425/500,0/500", "425/250,0/250"),
        "ru": ("425", "425/1000,0/4000", "425/350,0/350", "425/175,0/175"),
        "uk": (
            "350+440",
            "400+450/400,0/200,400+450/400,0/2000",
            "400/375,0/375",
            "400/400,0/350,400/225,0/525",
        ),
        "us": ("350+440", "440+480/2000,0/4000", "480+620/500,0/500", "480+620/250,0/250"),
    }
)

# Hz: what an electronic bell plays in place of each tone of the ringback, swelling like a clapper.
BELL = "1250*20"

# ITU-T Q.23: the frequencies of rows and columns of the keypad, Hz.
DTMF_LOW = (697.0, 770.0, 852.0, 941.0)
DTMF_HIGH = (1209.0, 1336.0, 1477.0, 1633.0)
KEYPAD = "123A456B789C*0#D"

# dBov, of each frequency on its own: about -13 dBm0, what E.180 asks of tones. DTMF: -7 dBm0 for the lower, and the
# higher 2 dB above it, since lines weaken it more (Q.24's bounds are -25 to 0 dBm).
TONE_LEVEL = -19.0
DTMF_LEVEL, DTMF_TWIST = -13.0, 2.0

OVERLOAD = 32768.0

# Seconds over which a tone rises and falls: no click, and far below any cadence.
RAMP = 0.002


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a tone.

    Attributes:
        frequencies: Hz, sounding together; none: silence.
        seconds: how long; None: for ever.
        swell: times a second that the sound swells and ebbs, 0: it does not.
        twist_db: level of the second frequency over the first.
    """

    frequencies: tuple[float, ...]
    seconds: float | None = None
    swell: float = 0.0
    twist_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Tone:
    """Segments one after the other. `repeats`: over and over; else silence follows the last.

    `level_dbov` is that of the first frequency on its own.
    """

    segments: tuple[Segment, ...]
    repeats: bool = True
    level_dbov: float = TONE_LEVEL

    @property
    def seconds(self) -> float | None:
        """Of one round; None: it has no end."""
        lengths = [segment.seconds for segment in self.segments]
        return None if None in lengths else sum(length for length in lengths if length is not None)


def parse_tone(text: str, *, level_dbov: float = TONE_LEVEL) -> Tone:
    """A tone in the notation of exchanges. Raises ValueError."""
    segments = []
    for part in text.split(","):
        sound, _, milliseconds = part.strip().partition("/")
        carrier, _, swell = sound.partition("*")
        frequencies = tuple(float(frequency) for frequency in carrier.split("+") if float(frequency))
        seconds = float(milliseconds) / 1000 if milliseconds else None
        if seconds is not None and seconds <= 0:
            raise ValueError(f"a tone with a piece of {milliseconds} ms: {text!r}")
        segments.append(Segment(frequencies, seconds, float(swell) if swell else 0.0))
    if any(segment.seconds is None for segment in segments[:-1]):
        raise ValueError(f"a tone with something after what never ends: {text!r}")
    return Tone(tuple(segments), level_dbov=level_dbov)


@cache
def national_tone(kind: ToneKind, country: str = "us") -> Tone:
    """What that country's network plays. `ringing` is a bell in the rhythm of its ringback. Raises ValueError."""
    row = COUNTRIES.get(country.lower())
    if row is None:
        raise ValueError(
            f"there are no tones of country {country!r}; there are those of {', '.join(sorted(COUNTRIES))}"
        )
    if kind != "ringing":
        return parse_tone(row[KINDS.index(kind)])
    bell = parse_tone(BELL).segments[0]
    segments = tuple(
        Segment(bell.frequencies, each.seconds, bell.swell) if each.frequencies else each
        for each in parse_tone(row[KINDS.index("ringback")]).segments
    )
    return Tone(segments)


def dtmf_tone(digit: str, seconds: float, *, gap: float = 0.0) -> Tone:
    """The two frequencies of a key (ITU-T Q.23), once, with silence after them. Raises ValueError for another key."""
    place = KEYPAD.find(digit.upper()) if len(digit) == 1 else -1
    if place < 0:
        raise ValueError(f"there is no key {digit!r}; the keys are {KEYPAD}")
    pair = (DTMF_LOW[place // 4], DTMF_HIGH[place % 4])
    silence = (Segment((), gap),) if gap else ()
    return Tone((Segment(pair, seconds, twist_db=DTMF_TWIST), *silence), repeats=False, level_dbov=DTMF_LEVEL)


def tone_samples(tone: Tone, rate: int, start: int, count: int) -> Int16:
    """Samples `start` to `start + count` of the tone at `rate` Hz: int16, shape (count,)."""
    at = np.arange(start, start + count, dtype=np.float64) / rate
    whole = tone.seconds
    place = at % whole if tone.repeats and whole is not None else at
    sound = np.zeros(count)
    begin = 0.0
    for segment in tone.segments:
        end = np.inf if segment.seconds is None else begin + segment.seconds
        inside = (place >= begin) & (place < end)
        if segment.frequencies and inside.any():
            sound[inside] += _segment(segment, at[inside], place[inside] - begin, end - begin)
        begin = end
    amplitude = OVERLOAD * 10 ** (tone.level_dbov / 20) * np.sqrt(2)
    return np.asarray(np.clip(np.rint(amplitude * sound), -32768, 32767), dtype=np.int16)


def _segment(
    segment: Segment, at: npt.NDArray[np.float64], into: npt.NDArray[np.float64], length: float
) -> npt.NDArray[np.float64]:
    """The sound at times `at`, which lie `into` the segment: a frequency goes on beneath the silences."""
    sound = np.zeros(len(at))
    for index, frequency in enumerate(segment.frequencies):
        weight = 10 ** (segment.twist_db / 20) if index == 1 else 1.0
        sound += weight * np.sin(2 * np.pi * ((frequency * at) % 1.0))
    if segment.swell:
        sound *= 0.5 - 0.5 * np.cos(2 * np.pi * ((segment.swell * at) % 1.0))
    if np.isfinite(length):
        sound *= np.clip(np.minimum(into, length - into) / RAMP, 0.0, 1.0)
    return sound


class ToneGenerator:
    """Plays a tone piece by piece. `rate`: Hz. State: how far it has come."""

    def __init__(self, tone: Tone, rate: int) -> None:
        self.tone = tone
        self.rate = rate
        self._position = 0

    @property
    def finished(self) -> bool:
        """Whether nothing but silence is to come."""
        seconds = self.tone.seconds
        return not self.tone.repeats and seconds is not None and self._position >= round(seconds * self.rate)

    def samples(self, count: int) -> Int16:
        """The next `count`, int16, shape (count,)."""
        samples = tone_samples(self.tone, self.rate, self._position, count)
        self._position += count
        return samples
