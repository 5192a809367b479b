"""What a client plays here besides the far end: the ringtone, ringback, dial and busy tones, and the sound of keys.

Theory of operation
-------------------
Each tone has a *player*; what each is to play follows from the calls and from what was set (`_wanted`), and is asked
again after whatever may change the answer. While anything plays, a timer of 20 ms takes the next piece from the media
engine's desk, mixed with what is heard, and hands it to the device. The ringtone has a device of its own.

A tone that was set to a medium is the default tone until the medium has been read, and if it cannot be.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from sansio_sip.trace import recorded

from . import events
from .audio_effects import LoadSound, PlayAudio
from .call_info import CallDirection, CallUuid
from .client_core import Timer
from .client_devices import DEVICE_RATE, DeviceChoice, DeviceCommands
from .devices import Role
from .log_book import ERROR
from .media_plane import Samples, Sound, SoundKind
from .softphone import SoftphoneOutput

__all__ = ["Player", "SpeakerChoice", "ToneCommands", "ToneElement"]

PIECE = 0.020  # seconds

# Seconds of lateness that are made up for; beyond them time starts anew, as a burst would help nobody.
MAX_LATE = 0.100

BUSY_SECONDS = 3.0

# The reference's key by which `media("dtmf")` can be tried.
TEST_KEY = "*"


class Player(Enum):
    RINGTONE = "ringtone"
    RINGBACK = "ringback"
    CONNECT = "connect"
    BUSY = "busy"
    KEY = "dtmf"

    @property
    def role(self) -> Role:
        return Role.RINGTONE if self is Player.RINGTONE else Role.SPEAKER


class ToneElement:
    """A tone that can be tried out at any time (reference: the audio element that `media` gives).

    Attributes:
        player: which one it is.
    """

    def __init__(self, client: "ToneCommands", player: Player) -> None:
        self._client = client
        self.player = player

    def play(self, *, now: float) -> None:
        """Plays it until `pause`; a key sounds once."""
        self._client.play_tone(self.player, now=now)

    def pause(self, *, now: float) -> None:
        """Stops what `play` has begun."""
        self._client.pause_tone(self.player, now=now)

    @property
    def paused(self) -> bool:
        """Whether it is not to be heard now."""
        return not self._client.is_playing(self.player)


class SpeakerChoice(DeviceChoice):
    """A device choice with the tones that are played there."""

    _client: "ToneCommands"

    def media(self, source: str = "ringback") -> ToneElement:
        """What is played there: of the speaker `dtmf`, or `ringback` for anything else; else the ringtone."""
        if self.role is Role.RINGTONE:
            return ToneElement(self._client, Player.RINGTONE)
        return ToneElement(self._client, Player.KEY if source == "dtmf" else Player.RINGBACK)


class ToneCommands(DeviceCommands):
    """See `sansio_sip.softphone.Client`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tones: dict[Player, bool | str] = {
            Player.RINGTONE: True,
            Player.RINGBACK: True,
            Player.CONNECT: True,
            Player.BUSY: self._options.busy_tone,
        }
        self._key_tones: dict[str, bool | str] = {}
        self._playing: dict[Player, Sound] = {}
        self._tried: set[Player] = set()
        self._key = ""  # the one that sounds
        self._next_piece = 0.0
        self._dialling: CallUuid | None = None  # the call of ours whose far end is being looked for
        self._alerting: CallUuid | None = None  # the call of ours that rings there
        self._failed = SoundKind.BUSY  # what a call has failed by
        self._loads = 0
        self._loading: dict[int, str] = {}
        self._loaded: dict[str, bool] = {}  # whether a medium could be read; False as well while it is being read

    # Commands

    @recorded
    def set_ring_tone(self, value: bool | str | None, *, now: float) -> bool:
        """What is played while a call rings here (reference: setRingTone), at once where one does.

        Args:
            value: True: the bell of `Options.tone_country`; False or None: nothing; or the path or URL of a medium.
        """
        return self._set_tone("set_ring_tone", Player.RINGTONE, value, now)

    @recorded
    def set_ring_tone_back(self, value: bool | str | None, *, now: float) -> bool:
        """What is played while a call of ours rings there (reference: setRingToneBack); values as for `set_ring_tone`.

        With anything but False the far end is not heard before it has answered.
        """
        return self._set_tone("set_ring_tone_back", Player.RINGBACK, value, now)

    @recorded
    def set_connect_tone(self, value: bool | str | None, *, now: float) -> bool:
        """What is played from the call until it rings there (reference: setConnectTone); as for `set_ring_tone`."""
        return self._set_tone("set_connect_tone", Player.CONNECT, value, now)

    @recorded
    def set_dtmf_tone(self, digit: str | int, value: bool | str | None, *, now: float) -> bool:
        """What is heard here when a key is sent (reference: setDtmfTone).

        Args:
            digit: one of `0-9 * #`.
            value: True: its two tones; False: nothing; or the path or URL of a medium.
        """
        if len(str(digit)) != 1 or str(digit) not in "0123456789*#":
            return self._cannot("set_dtmf_tone", f"{digit!r} is no key; give one of 0123456789*#", now)
        if not self._is_tone("set_dtmf_tone", value, now):
            return False
        self._key_tones[str(digit)] = self._fresh(value)
        if self._key == str(digit):
            self._key = ""  # it does not sound on as it was
        self._load_media()
        return True

    @recorded
    def send_dtmf(self, digit: str | int, *, now: float) -> None:
        """Sends one key, `0` to `9`, `*` or `#`, in the active call (reference: sendDtmf), and sounds it here.

        Gives DtmfSent. How it is sent is `Options.dtmf_options`.
        """
        if self._send_key(digit, now):
            self._sound_key(str(digit), now)

    @property
    def speaker_devices(self) -> SpeakerChoice:
        """Where the far end and tones are heard (reference: speakerDevices)."""
        return SpeakerChoice(self, Role.SPEAKER)

    @property
    def ringtone_devices(self) -> SpeakerChoice:
        """Where the ringtone is heard (reference: ringtoneDevices)."""
        return SpeakerChoice(self, Role.RINGTONE)

    @recorded
    def play_tone(self, player: Player, *, now: float) -> None:
        """See `ToneElement.play`."""
        if player is Player.KEY:
            self._sound_key(TEST_KEY, now)
        else:
            self._tried.add(player)
            self._settle(now)

    @recorded
    def pause_tone(self, player: Player, *, now: float) -> None:
        """See `ToneElement.pause`."""
        self._tried.discard(player)
        if player is Player.KEY:
            self._key = ""
        self._settle(now)

    def is_playing(self, player: Player) -> bool:
        """Whether a player has something to play now."""
        return player in self._playing

    # Inputs

    @recorded
    def sound_loaded(self, request: int, samples: Samples, rate: int, *, now: float) -> None:
        """A medium has been read: int16 of shape (n,) at `rate` Hz."""
        source = self._loading.pop(request, None)
        if source is None or source not in self._media_wanted():
            return
        try:
            self._media.sounds.keep(source, samples, rate)
        except ValueError as error:
            self._not_loaded(source, str(error), now)
            return
        self._loaded[source] = True
        self._settle(now)

    @recorded
    def sound_failed(self, request: int, reason: str, *, now: float) -> None:
        """A medium cannot be read."""
        source = self._loading.pop(request, None)
        if source is not None:
            self._not_loaded(source, reason, now)

    def _not_loaded(self, source: str, reason: str, now: float) -> None:
        self._log(ERROR, f"medium {source!r} cannot be read: {reason}; the default tone is played", now)

    # What is to be heard

    def _wanted(self) -> Iterator[tuple[Player, Sound]]:
        country = self._options.tone_country
        rings = bool(self._ringing) and self._active is None
        active = self._active
        rows = (
            (Player.RINGTONE, rings, SoundKind.RINGING),
            (Player.RINGBACK, active is not None and self._alerting == active, SoundKind.RINGBACK),
            (Player.CONNECT, active is not None and self._dialling == active, SoundKind.DIAL),
            (Player.BUSY, self._timers.deadline(Timer.BUSY) is not None, self._failed),
        )
        for player, due, kind in rows:
            value = self._tones[player]
            if (due and value is not False) or player in self._tried:
                medium = value if isinstance(value, str) and self._loaded.get(value) else ""
                yield player, Sound(SoundKind.MEDIUM, medium=medium) if medium else Sound(kind, country)
        if self._key:
            value = self._key_tones.get(self._key, True)
            if isinstance(value, str) and self._loaded.get(value):
                yield Player.KEY, Sound(SoundKind.MEDIUM, medium=value, repeats=False)
            elif value is not False:
                yield Player.KEY, Sound(SoundKind.KEY, key=self._key)

    def _roles_wanted(self) -> Iterator[Role]:
        yield from super()._roles_wanted()
        for player, _ in self._wanted():
            yield player.role

    def _settle(self, now: float) -> None:
        """Starts and stops players besides."""
        if self._has_devices and not self._closing:
            self._load_media()
            wanted = dict(self._wanted())
            for player in [each for each, sound in self._playing.items() if wanted.get(each) != sound]:
                self._media.sounds.stop(player.value)
                del self._playing[player]
            for player, sound in wanted.items():
                if player not in self._playing:
                    self._media.sounds.start(player.value, sound)
                    self._playing[player] = sound
        super()._settle(now)
        if not self._playing or self._closing:
            self._timers.cancel(Timer.SOUND)
        elif self._timers.deadline(Timer.SOUND) is None:
            self._next_piece = now
            self._timers.arm(Timer.SOUND, now)

    def _players(self, role: Role) -> tuple[str, ...]:
        return tuple(player.value for player in self._playing if player.role is role)

    def _is_audible(self) -> bool:
        """The ringback that is played here takes the place of the far end's."""
        return self._last == self._active or self._tones[Player.RINGBACK] is False

    def _play_on_speaker(self, samples: Samples) -> None:
        sounds = self._media.sounds
        if self._players(Role.SPEAKER):
            sounds.hear(samples, DEVICE_RATE)
            return
        rest = sounds.rest()
        if len(rest):
            super()._play_on_speaker(rest)
        super()._play_on_speaker(samples)

    def _sound_key(self, key: str, now: float) -> None:
        self._key = ""
        self._settle(now)  # a key that is pressed twice sounds twice
        self._key = key if self._has_devices else ""
        self._settle(now)

    # Time

    def _noted(self, output: SoftphoneOutput, now: float) -> None:
        super()._noted(output, now)
        match output:
            case events.Calling():
                self._dialling, self._alerting = output.call, None
            case events.CallRemoteRinging() if output.call == self._dialling:
                self._dialling, self._alerting = None, output.call
            case events.CallAnswered() if output.call in (self._dialling, self._alerting):
                self._dialling = self._alerting = None
            case events.CallFailed() if self._tones[Player.BUSY] and (
                output.call_info.direction is CallDirection.OUTGOING and output.call_info.originator != "local"
            ):
                self._failed = SoundKind.BUSY if output.cause == "Busy" else SoundKind.CONGESTION
                self._timers.arm(Timer.BUSY, now + BUSY_SECONDS)
            case _:
                pass  # nothing is to be heard of it

    def _on_timer(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.SOUND:
                self._play_pieces(now)
                self._timers.arm(Timer.SOUND, self._next_piece)
                over = Player.KEY in self._playing and self._media.sounds.is_over(Player.KEY.value)
                if over or Role.SPEAKER in self._unusable:  # nor does it wait for a speaker
                    self._key = ""
                self._settle(now)
            case Timer.BUSY:
                self._settle(now)
            case _:
                super()._on_timer(timer, now)

    def _play_pieces(self, now: float) -> None:
        """All that are due: a timer that comes late must leave no gap."""
        if now - self._next_piece > MAX_LATE:
            self._next_piece = now
        while self._next_piece <= now:
            self._next_piece += PIECE
            for role in (Role.SPEAKER, Role.RINGTONE):
                players = self._players(role)
                if players and role in self._opened:
                    samples = self._media.sounds.frame(players, PIECE, DEVICE_RATE)
                    self._outbox.put(PlayAudio(role, samples, DEVICE_RATE))

    # Media

    def _set_tone(self, command: str, player: Player, value: bool | str | None, now: float) -> bool:
        if not self._is_tone(command, value, now):
            return False
        self._tones[player] = self._fresh(value)
        self._settle(now)
        return True

    def _is_tone(self, command: str, value: object, now: float) -> bool:
        if value is None or isinstance(value, bool) or (isinstance(value, str) and value):
            return True
        return self._cannot(command, f"{value!r} is no tone; give True, False, or a path or URL", now)

    def _fresh(self, value: bool | str | None) -> bool | str:
        """A medium that could not be read is tried again when it is set again."""
        if isinstance(value, str) and not self._loaded.get(value, True) and value not in self._loading.values():
            del self._loaded[value]
        return value if value is not None else False

    def _media_wanted(self) -> set[str]:
        return {value for value in (*self._tones.values(), *self._key_tones.values()) if isinstance(value, str)}

    def _load_media(self) -> None:
        """Has media read that are new, lets those go that nobody wants any more."""
        wanted = self._media_wanted()
        for source in [each for each in self._loaded if each not in wanted]:
            self._media.sounds.forget(source)
            del self._loaded[source]
        if not self._has_devices:
            return
        for source in sorted(wanted - self._loaded.keys()):
            self._loads += 1
            self._loading[self._loads] = source
            self._loaded[source] = False
            self._outbox.put(LoadSound(self._loads, source))
