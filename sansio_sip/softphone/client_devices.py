"""A client's audio devices: which there are, which are used, and the sound that goes to and comes from them.

Theory of operation
-------------------
A client has no devices until somebody says which there are (`devices_changed`); the program then writes and reads the
audio of its call itself. From then on the microphone feeds the active call, and what is heard is played.

Who needs a device is asked again after whatever may change the answer (`_settle`), and devices are opened and closed to
match: the microphone for the active call, to try it out, and for a program that wants its frames; the speaker for the
active call and for tones; the ringtone's for the ringtone alone. A device that is lost is replaced by the default, and
the call goes on; where the default is lost too, nothing is tried again before devices change. One that was opened
before they changed last is tried once more: its loss is that very change, heard of late.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sansio_sip.errors import LocalProtocolError
from sansio_sip.trace import recorded

from . import client_events, events
from .audio_effects import CloseDevice, OpenDevice, PlayAudio
from .call_info import CallUuid
from .client_audio import AudioCommands
from .client_core import Timer
from .devices import DEFAULT, AudioDevice, DeviceBook, DeviceKind, Role
from .log_book import INFO
from .media_plane import Samples
from .softphone import SoftphoneOutput

__all__ = ["DEVICE_RATE", "DeviceChoice", "DeviceCommands"]

DEVICE_RATE = 48_000
"""Hz, of all that is played: what Opus has."""

# Seconds of captured audio that may wait to be sent: more is a microphone that runs faster than our clock.
MAX_BEHIND = 0.1

# What a filter of `available_devices` means; any other means all.
FILTERS: dict[object, DeviceKind] = {"input": "audioinput", "output": "audiooutput"}

NOT_FOUND = "NotFoundError"  # the name that browsers have for it


class DeviceChoice:
    """The device of one role (reference: microphoneDevices, speakerDevices, ringtoneDevices)."""

    def __init__(self, client: "DeviceCommands", role: Role) -> None:
        self._client = client
        self.role = role

    def set(self, device_id: str, *, now: float) -> bool:
        """Uses that device from now on, in a call too. False where there is none of that id."""
        return self._client.set_device(self.role, device_id, now=now)

    def get(self) -> str:
        """The id that was set; empty where none is."""
        return self._client.device(self.role)

    def reset(self, *, now: float) -> bool:
        """Uses the default again. True."""
        return self._client.reset_device(self.role, now=now)


class DeviceCommands(AudioCommands):
    """See `sansio_sip.softphone.Client`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._book = DeviceBook()
        self._has_devices = False  # whether somebody has told of any
        self._opened: dict[Role, str] = {}  # devices that are open, or being opened
        self._pending: set[Role] = set()  # roles whose device is being opened
        self._outdated: set[Role] = set()  # roles whose device was opened before devices changed last
        self._unusable: set[Role] = set()  # roles whose default could not be opened
        self._trying = False  # the microphone is opened to see whether it can be
        self._streams = False  # a program wants the microphone's frames
        self._permitted: bool | None = None
        self._captured_at: float | None = None
        self._deaf: CallUuid | None = None  # the call that gets nothing from the microphone

    # Commands

    def available_devices(self, filter: str | None = None) -> list[AudioDevice]:
        """The devices that there are (reference: availableDevices); empty where nobody has told of any.

        Args:
            filter: `input`, `output`, or anything else for all.
        """
        return self._book.filtered(FILTERS.get(filter))

    @recorded
    def reveal_audio_devices(self, arg: str | None = None, *, now: float) -> bool:
        """Tries the microphone out (reference: revealAudioDevices). Gives MediaPermission.

        Args:
            arg: `returnStream` leaves it open: each piece of sound is told as MicrophoneAudio until `close_stream`.

        Returns:
            False where nobody has told of devices.
        """
        if not self._has_devices:
            return self._cannot(
                "reveal_audio_devices", "there is no back end of audio devices; give the client one", now
            )
        self._unusable.discard(Role.MICROPHONE)
        self._permitted = None
        self._streams = self._streams or arg == "returnStream"
        self._try_microphone(now)
        return True

    @recorded
    def close_stream(self, *, now: float) -> None:
        """No MicrophoneAudio any more."""
        self._streams = False
        self._settle(now)

    @property
    def microphone_devices(self) -> DeviceChoice:
        """Where sound comes from (reference: microphoneDevices)."""
        return DeviceChoice(self, Role.MICROPHONE)

    @property
    def perm_on_click(self) -> bool:
        """As `Options.perm_on_click`."""
        return self._options.perm_on_click

    @recorded
    def set_device(self, role: Role, device_id: str, *, now: float) -> bool:
        """See `DeviceChoice.set`."""
        command = f"{role.value}_devices.set"
        if not isinstance(device_id, str) or self._book.find(role.kind, device_id) is None:
            known = ", ".join(repr(device.device_id) for device in self._book.filtered(role.kind)) or "none"
            return self._cannot(command, f"{device_id!r} is no {role.kind} device; give one of: {known}", now)
        self._book.choose(role, device_id)
        self._changed(role, now)
        return True

    @recorded
    def reset_device(self, role: Role, *, now: float) -> bool:
        """See `DeviceChoice.reset`."""
        self._book.reset(role)
        self._changed(role, now)
        return True

    def device(self, role: Role) -> str:
        """See `DeviceChoice.get`."""
        return self._book.chosen(role)

    def device_in_use(self, role: Role) -> str:
        """The id of the device that is open for a role; empty where none is."""
        return self._opened.get(role, "")

    # Inputs

    @recorded
    def devices_changed(self, devices: tuple[AudioDevice, ...], *, now: float) -> None:
        """The devices that there are now. Given once at the start, and again on each change."""
        first, self._has_devices = not self._has_devices, True
        added, removed = self._book.replace(tuple(devices))
        if not first:
            for change, found in (("removed", removed), ("added", added)):
                for device in found:
                    self._tell_change(change, device, now)
        if added or removed:
            self._unusable.clear()
            self._outdated = set(self._opened)
        for role, device_id in self._book.drop_choices():
            self._log(INFO, f"{role.value}: device {device_id!r} is gone; the default is used", now)
        if first and self._options.perm_on_click:
            self._put(client_events.MediaPermission(stream=False), now)
        elif first:
            self._try_microphone(now)
        self._settle(now)

    @recorded
    def device_opened(self, role: Role, device_id: str, *, now: float) -> None:
        """`OpenDevice` has succeeded."""
        if self._opened.get(role) != device_id:
            return
        self._pending.discard(role)
        if role is Role.MICROPHONE:
            self._trying = False
            self._permit("", now)
            self._settle(now)

    @recorded
    def device_lost(self, role: Role, device_id: str, reason: str, *, now: float) -> None:
        """A device could not be opened, or has stopped other than by `CloseDevice`. `reason` is an error's name."""
        if self._opened.get(role) != device_id:
            return
        outdated = role in self._outdated
        self._forget(role)
        gone = self._book.remove(role.kind, device_id) if device_id != DEFAULT else None
        if gone is None and outdated:
            self._log(INFO, f"{role.value}: {device_id!r} was lost: {reason}; it is tried again", now)
        elif gone is None:
            self._unusable.add(role)
            self._log(INFO, f"{role.value}: {device_id!r} cannot be used: {reason}", now)
            if role is Role.MICROPHONE:
                self._trying = False
                self._permit(reason or NOT_FOUND, now)
        else:
            self._tell_change("removed", gone, now)
            for other, chosen in self._book.drop_choices():
                self._log(INFO, f"{other.value}: device {chosen!r} is gone ({reason}); the default is used", now)
        self._settle(now)

    @recorded
    def microphone_captured(self, samples: Samples, rate: int, *, now: float) -> None:
        """Sound of the microphone, int16 of shape (n,) at `rate` Hz."""
        if Role.MICROPHONE not in self._opened or not len(samples):
            return
        self._captured_at = now
        if self._streams:
            self._outbox.put(client_events.MicrophoneAudio(samples, rate))
        if self._deaf is not None:
            self._tell_deaf(self._deaf, active=False)
            self._deaf = None
        if self._active is None:
            return
        try:
            behind = self._phone.audio_queued(self._active)
            if behind == 0.0:
                # One piece ahead, so that the next may come a little late and not be missed.
                self._phone.write_audio(self._active, samples * 0, rate, now=now)
            if behind <= MAX_BEHIND:
                self._phone.write_audio(self._active, samples, rate, now=now)
        except LocalProtocolError:
            return  # it has no audio yet
        self._drain(now)

    # What is heard

    def _note(self, output: SoftphoneOutput, now: float) -> bool:
        if isinstance(output, events.AudioReady) and self._has_devices:
            for call in output.calls:
                self._play_heard(call, now)
            return False
        return super()._note(output, now)

    def _play_heard(self, call: CallUuid, now: float) -> None:
        try:
            samples = self._phone.read_audio(call, DEVICE_RATE, now=now)
        except LocalProtocolError:
            return  # it has ended in the same breath
        if call == self._active and self._is_audible() and Role.SPEAKER in self._opened and len(samples):
            self._play_on_speaker(samples)

    def _is_audible(self) -> bool:
        """Whether the far end is to be heard; the class above has reasons against it."""
        return True

    def _play_on_speaker(self, samples: Samples) -> None:
        self._outbox.put(PlayAudio(Role.SPEAKER, samples, DEVICE_RATE))

    # Opening and closing

    def _roles_wanted(self) -> Iterator[Role]:
        if self._active is not None or self._trying or self._streams:
            yield Role.MICROPHONE
        if self._active is not None:
            yield Role.SPEAKER

    def _settle(self, now: float) -> None:
        """Opens and closes devices to match what is wanted."""
        if not self._has_devices:
            return
        wanted = set() if self._closing else set(self._roles_wanted()) - self._unusable
        for role in Role:
            device_id = self._book.device_for(role) if role in wanted else None
            before = self._opened.get(role)
            if before == device_id:
                continue
            if before is not None:
                self._forget(role)
                self._outbox.put(CloseDevice(role))
            if device_id is not None:
                self._opened[role] = device_id
                self._pending.add(role)
                self._outbox.put(OpenDevice(role, device_id))

    def _forget(self, role: Role) -> None:
        """Its device is open no longer."""
        del self._opened[role]
        self._pending.discard(role)
        self._outdated.discard(role)

    def _try_microphone(self, now: float) -> None:
        if not self._book.has(Role.MICROPHONE.kind):
            self._permit(NOT_FOUND, now)
        elif Role.MICROPHONE in self._opened and Role.MICROPHONE not in self._pending:
            self._permit("", now)
        else:
            self._trying = True
        self._settle(now)

    def _changed(self, role: Role, now: float) -> None:
        """Another device is to be used."""
        self._unusable.discard(role)
        if role is Role.MICROPHONE and self._active is not None:
            with suppress(LocalProtocolError):  # it has no audio yet
                self._phone.flush_audio(self._active, now=now)  # what the other one gave
        self._settle(now)
        report = self._reports.get(self._active) if self._active is not None else None
        if report is not None and role is not Role.RINGTONE:
            report.toggles += 1
            info = {"role": role.value, "device": self._book.device_for(role)}
            message = report.message("AUDIO_DEVICES_TOGGLE", now + self._context.unix_offset, deviceInfo=info)
            self._tell(message, report.call)

    # What is told

    def _permit(self, error: str, now: float) -> None:
        permitted = not error
        if permitted != self._permitted:
            self._permitted = permitted
            self._put(client_events.MediaPermission(stream=permitted, error=error), now)

    def _tell_change(self, change: str, device: AudioDevice, now: float) -> None:
        if device.device_id != DEFAULT:
            self._put(client_events.AudioDeviceChange(change, device.as_dict()), now)

    def _tell_deaf(self, call: CallUuid, *, active: bool) -> None:
        desc = "nothing comes from the microphone: look at its plug and at its permission"
        self._metric(call, "audio", "no_microphone_access", 0.0, active, desc, "None")

    def _put(self, event: client_events.ClientEvent, now: float) -> None:
        self._outbox.put(event)
        self._log_event(event, now)

    # The microphone of a call

    def _noted(self, output: SoftphoneOutput, now: float) -> None:
        super()._noted(output, now)
        match output:
            case events.CallAnswered() if output.call == self._active and self._has_devices:
                if self._options.automatic_gain_control:
                    with suppress(LocalProtocolError):  # it has ended by what came in the same octets
                        self._phone.set_automatic_gain(output.call, True, now=now)
                self._captured_at = now
                self._timers.arm(Timer.MICROPHONE, now + self._options.quality.microphone_timeout)
            case events.CallTerminated() | events.CallFailed() | events.IncomingCallCanceled():
                if self._active is None:
                    self._timers.cancel(Timer.MICROPHONE)
                    self._deaf = None
            case _:
                pass  # no matter of the microphone

    def _on_timer(self, timer: Timer, now: float) -> None:
        if timer is not Timer.MICROPHONE:
            super()._on_timer(timer, now)
            return
        patience = self._options.quality.microphone_timeout
        silent_since = self._captured_at if self._captured_at is not None else now
        if self._active is not None and self._deaf is None and now >= silent_since + patience:
            self._deaf = self._active
            self._tell_deaf(self._active, active=True)
        due = silent_since + patience
        self._timers.arm(Timer.MICROPHONE, due if due > now else now + patience)

    def _drain(self, now: float) -> None:
        super()._drain(now)
        self._settle(now)
