"""The sounds that a telephone makes itself, mixed with what is heard. See `sansio_sip.softphone.sound_plane`."""

from collections import deque

import numpy as np

from sansio_sip.softphone.media_plane import Sound, SoundKind

from .codecs.base import Int16
from .mixing import limit
from .resample import Resampler
from .tones import ToneGenerator, ToneKind, dtmf_tone, national_tone

__all__ = ["SoundDesk"]

# Seconds that a key sounds (the reference's media are as long).
KEY_SECONDS = 0.2

# Seconds of a medium that are kept: nobody lets a telephone ring for longer, and it is data of somebody else.
MAX_MEDIUM = 60.0

# Media kept at a time: the rings, and one for each key.
MAX_MEDIA = 32

# Hz; any that audio has would do.
REFERENCE_RATE = 8_000

# Seconds of what is heard that may wait to be mixed.
MAX_WAITING = 0.2

SILENT: Int16 = np.zeros(0, dtype=np.int16)

TONES: dict[SoundKind, ToneKind] = {
    SoundKind.RINGING: "ringing",
    SoundKind.RINGBACK: "ringback",
    SoundKind.DIAL: "dial",
    SoundKind.BUSY: "busy",
    SoundKind.CONGESTION: "congestion",
}


class _MediumPlayer:
    """Plays samples, once or over and over. State: how far it has come."""

    def __init__(self, samples: Int16, *, repeats: bool) -> None:
        self._samples = samples
        self._repeats = repeats and len(samples) > 0
        self._position = 0

    @property
    def finished(self) -> bool:
        return not self._repeats and self._position >= len(self._samples)

    def samples(self, count: int) -> Int16:
        places = np.arange(self._position, self._position + count)
        self._position += count
        if self._repeats:
            self._position %= len(self._samples)
            return self._samples[places % len(self._samples)]
        found = self._samples[places[places < len(self._samples)]]
        return np.concatenate((found, np.zeros(count - len(found), dtype=np.int16)))


class SoundDesk:
    """Implements `sansio_sip.softphone.sound_plane.SoundPlane`."""

    def __init__(self) -> None:
        self._media: dict[str, tuple[Int16, int]] = {}
        self._sounds: dict[str, Sound] = {}
        self._players: dict[str, tuple[int, ToneGenerator | _MediumPlayer]] = {}
        self._heard: deque[Int16] = deque()
        self._waiting = 0

    # Media

    def keep(self, medium: str, samples: Int16, rate: int) -> None:
        if len(self._media) >= MAX_MEDIA and medium not in self._media:
            self.forget(next(iter(self._media)))
        Resampler(rate, REFERENCE_RATE)  # raises ValueError for what is no rate of audio
        kept = np.asarray(samples, dtype=np.int16).reshape(-1)[: int(MAX_MEDIUM * rate)]
        self._media[medium] = (kept, rate)

    def forget(self, medium: str) -> None:
        self._media.pop(medium, None)
        for player in [each for each, sound in self._sounds.items() if sound.medium == medium]:
            self._players.pop(player, None)

    # Players

    def start(self, player: str, sound: Sound) -> None:
        if sound.kind is not SoundKind.MEDIUM:
            self._generator(sound, REFERENCE_RATE)  # raises for what there is not, before anything has changed
        self._sounds[player] = sound
        self._players.pop(player, None)

    def stop(self, player: str) -> None:
        self._sounds.pop(player, None)
        self._players.pop(player, None)

    def is_over(self, player: str) -> bool:
        if player not in self._sounds:
            return True
        return player in self._players and self._players[player][1].finished

    # Sound

    def hear(self, samples: Int16, rate: int) -> None:
        self._heard.append(samples)
        self._waiting += len(samples)
        while self._waiting > MAX_WAITING * rate:
            self._waiting -= len(self._heard.popleft())

    def frame(self, players: tuple[str, ...], seconds: float, rate: int) -> Int16:
        count = round(seconds * rate)
        parts = [self._playing(player, count, rate) for player in players if player in self._sounds]
        total = np.zeros(count, dtype=np.int32)
        for part in (self._take(count), *parts):
            total[: len(part)] += part
        return limit(total)

    def rest(self) -> Int16:
        return self._take(self._waiting)

    def _playing(self, player: str, count: int, rate: int) -> Int16:
        made = self._players.get(player)
        if made is None or made[0] != rate:
            made = self._players[player] = (rate, self._generator(self._sounds[player], rate))
        return made[1].samples(count)

    def _generator(self, sound: Sound, rate: int) -> ToneGenerator | _MediumPlayer:
        if sound.kind is SoundKind.KEY:
            return ToneGenerator(dtmf_tone(sound.key, KEY_SECONDS), rate)
        if sound.kind is not SoundKind.MEDIUM:
            return ToneGenerator(national_tone(TONES[sound.kind], sound.country), rate)
        samples, own = self._media.get(sound.medium, (SILENT, rate))
        if own != rate and len(samples):
            samples = Resampler(own, rate).process(samples)
            self._media[sound.medium] = (samples, rate)  # once for all the times that it is played
        return _MediumPlayer(samples, repeats=sound.repeats)

    def _take(self, count: int) -> Int16:
        """The first of what was heard, int16, shape (up to count,)."""
        parts: list[Int16] = []
        while count and self._heard:
            chunk = self._heard.popleft()
            if len(chunk) > count:
                self._heard.appendleft(chunk[count:])
                chunk = chunk[:count]
            parts.append(chunk)
            count -= len(chunk)
            self._waiting -= len(chunk)
        return np.concatenate(parts) if parts else SILENT
