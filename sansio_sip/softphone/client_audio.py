"""What a client does with the sound of its call: volume, speech while muted, noise reduction.

Theory of operation
-------------------
Volume is asked of the media engine 60 times a second while somebody wants it; what the engine knows changes with each
of its ticks. While the active call is muted it is asked ten times a second whether somebody speaks: that is told
once for each time that he was muted.
"""

from typing import Any

from sansio_sip.errors import LocalProtocolError
from sansio_sip.trace import recorded

from . import client_events, events
from .call_info import CallUuid
from .client_core import Timer
from .client_quality import QualityCommands
from .media_plane import AudioLevels
from .softphone import SoftphoneOutput

__all__ = ["AudioCommands"]

VOLUME_PERIOD, SPEECH_PERIOD = 1 / 60, 0.1  # seconds


class AudioCommands(QualityCommands):
    """See `sansio_sip.softphone.Client`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._volume_wanted = False
        self._spoken: CallUuid | None = None  # the muted call in which somebody has spoken
        self._noise_reduction = False
        self._watching: CallUuid | None = None

    # Commands

    @recorded
    def watch_volume(self, on: bool, *, now: float) -> None:
        """Has Volume told 60 times a second while a call is active, or no more (reference: the event volume)."""
        self._volume_wanted = on
        self._follow(now)

    @recorded
    def start_noise_reduction(self, *, now: float) -> bool:
        """Takes noise out of what the far end hears, in this call and later ones (reference: startNoiseReduction).

        Returns:
            False where `Options.enable_noise_reduction` is, nobody is logged in, or it was started already.
        """
        if not self._options.enable_noise_reduction:
            return self._cannot(
                "start_noise_reduction", "Options.enable_noise_reduction is False; make a client with it", now
            )
        if not self._logged_in:
            return self._cannot("start_noise_reduction", "nobody is logged in; log in first", now)
        return self._set_noise_reduction(True, "start_noise_reduction", now)

    @recorded
    def stop_noise_reduction(self, *, now: float) -> bool:
        """The opposite (reference: stopNoiseReduction). False where it was not started."""
        return self._set_noise_reduction(False, "stop_noise_reduction", now)

    # Inside

    def _set_noise_reduction(self, on: bool, command: str, now: float) -> bool:
        if self._noise_reduction == on:
            return self._cannot(
                command, f"noise reduction is {'on already; stop' if on else 'off already; start'} it first", now
            )
        self._noise_reduction = on
        self._apply_noise_reduction(now)
        return True

    def _apply_noise_reduction(self, now: float) -> None:
        if self._active is None:
            return
        try:
            self._phone.set_noise_reduction(self._active, self._noise_reduction, now=now)
        except LocalProtocolError:
            return  # it has no audio yet: CallAnswered comes

    def _noted(self, output: SoftphoneOutput, now: float) -> None:
        super()._noted(output, now)
        match output:
            case events.Login() if self._options.enable_noise_reduction and output.account == self._account:
                self._outbox.put(client_events.NoiseReductionReady())
            case events.Logout():
                self._noise_reduction = False
            case events.CallAnswered() if output.call == self._active:
                if self._noise_reduction:
                    self._apply_noise_reduction(now)
                self._follow(now)
            case events.CallTerminated() | events.CallFailed():
                self._follow(now)
            case _:
                pass  # the sound stays as it is

    def _mute_changed(self, now: float) -> None:
        super()._mute_changed(now)
        if not self.is_call_muted and self._spoken is not None:
            self._tell_speaking(self._spoken, active=False)
        self._spoken = None
        self._follow(now)

    def _follow(self, now: float) -> None:
        """Measures what is wanted, of the call that is active."""
        call = self._active if self._last == self._active else None
        speech = call is not None and self.is_call_muted
        if call != self._watching or call is None:
            self._watching = None
        if call is not None and (self._volume_wanted or speech) and self._watching is None:
            try:
                self._phone.watch_levels(call, True, now=now)
                self._watching = call
            except LocalProtocolError:
                return  # it has no audio yet
        for timer, wanted, period in (
            (Timer.VOLUME, self._volume_wanted and call is not None, VOLUME_PERIOD),
            (Timer.SPEECH, speech, SPEECH_PERIOD),
        ):
            if not wanted:
                self._timers.cancel(timer)
            elif self._timers.deadline(timer) is None:
                self._timers.arm(timer, now + period)

    def _on_timer(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.VOLUME:
                levels = self._levels()
                if levels is not None:
                    self._outbox.put(client_events.Volume(levels.input_volume, levels.output_volume))
                self._follow(now)
            case Timer.SPEECH:
                levels = self._levels()
                if levels is not None and levels.speaking_on_mute and self._spoken is None:
                    self._spoken = self._active
                    if self._active is not None:
                        self._tell_speaking(self._active, active=True)
                self._follow(now)
            case _:
                super()._on_timer(timer, now)

    def _levels(self) -> AudioLevels | None:
        call = self._active
        if call is None:
            return None
        try:
            # A trace may be without audio: what follows from its levels comes again all the same.
            return self._context.oracle.consult("audio.levels", lambda: self._phone.audio_levels(call))
        except LocalProtocolError:
            return None

    def _tell_speaking(self, call: CallUuid, *, active: bool) -> None:
        desc = "User is trying to speak on mute"
        self._metric(call, "audio", "speaking_on_mute", 0.0, active, desc, "None")
