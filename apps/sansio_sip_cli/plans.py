"""What `register`, `call` and `answer` have a phone do.

All three begin alike: add the account, then log in, or connect, or just be there (peer to peer). They end alike as
well: close the phone, which hangs up and un-registers first. In between each has an alarm for the next thing due, kept
as a small table of deadlines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import AccountId, CallState, CallUuid
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone

from .audio import Clip, Recorder

__all__ = ["AnswerPlan", "CallPlan", "RegisterPlan"]

DONE, CALL_FAILED, LOGIN_FAILED, UNREACHABLE, INTERRUPTED = 0, 1, 3, 4, 130

# How often audio is topped up, and how much may wait in the engine: enough to ride out a stall of the process.
TOP_UP_EVERY, QUEUED = 0.5, 2.0

RECORD_RATE = 16_000


class _Alarms:
    """Named deadlines of a plan."""

    def __init__(self) -> None:
        self._set: dict[str, float] = {}

    def set(self, name: str, deadline: float) -> None:
        self._set[name] = deadline

    def drop(self, name: str) -> None:
        self._set.pop(name, None)

    def due(self, now: float) -> list[str]:
        names = [name for name, deadline in self._set.items() if deadline <= now]
        for name in names:
            del self._set[name]
        return names

    def next(self) -> float | None:
        return min(self._set.values(), default=None)


class _AccountPlan:
    """Brings an account up and, in the end, down. `ready` is called once calls can be made or taken."""

    def __init__(self, options: AccountOptions, *, register: bool) -> None:
        self.options = options
        self.exit_status = DONE
        self.error = ""
        self.account: AccountId | None = None
        self._register = register
        self._alarms = _Alarms()
        self._is_ready = False
        self._closing = False

    @property
    def alarm(self) -> float | None:
        return None if self._closing else self._alarms.next()

    def begin(self, phone: Softphone, *, now: float) -> None:
        self.account = phone.add_account(self.options, now=now)
        if self._register and self.options.servers:
            phone.login(self.account, now=now)
        elif self.options.servers:
            phone.connect(self.account, now=now)
        self._alarms.set("reach", now + self.options.login_timeout)

    def account_event(self, phone: Softphone, event: Any, ready: Callable[[], None], *, now: float) -> None:
        match event:
            case events.Login():
                self._become_ready(ready)
            case events.ConnectionChange(state="connected") if not (self._register and self.options.servers):
                self._become_ready(ready)
            case events.LoginFailed() if event.status:
                self.finish(phone, LOGIN_FAILED, f"login failed: {event.cause} ({event.status}); {_advice(event)}", now)
            case events.LoginFailed():
                self.finish(phone, UNREACHABLE, self._unreachable(event.cause), now)
            case _:
                pass

    def account_alarm(self, phone: Softphone, name: str, *, now: float) -> None:
        if name == "reach":
            self.finish(phone, UNREACHABLE, self._unreachable("no answer"), now)

    def on_interrupt(self, phone: Softphone, *, now: float) -> None:
        self.finish(phone, INTERRUPTED, "", now)

    def end(self) -> None:
        """A plan without files has nothing to close."""

    def finish(self, phone: Softphone, exit_status: int, error: str, now: float) -> None:
        """Closes the phone; the first reason given is the one that counts."""
        if self._closing:
            return
        self._closing = True
        self.exit_status, self.error = exit_status, error
        phone.close(now=now)

    def _become_ready(self, ready: Callable[[], None]) -> None:
        if not self._is_ready and not self._closing:
            self._is_ready = True
            self._alarms.drop("reach")
            ready()

    def _unreachable(self, cause: str) -> str:
        where = ", ".join(self.options.servers) or str(self.options.bind)
        return f"no server could be reached at {where}: {cause}; check the address, or that the server is up"


class RegisterPlan(_AccountPlan):
    """Logs in, stays for a while, logs out."""

    def __init__(self, options: AccountOptions, *, stay: float) -> None:
        super().__init__(options, register=True)
        self._stay = stay

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None:
        self.account_event(phone, event, lambda: self._alarms.set("leave", now + self._stay), now=now)

    def on_alarm(self, phone: Softphone, *, now: float) -> None:
        for name in self._alarms.due(now):
            if name == "leave":
                self.finish(phone, DONE, "", now)
            else:
                self.account_alarm(phone, name, now=now)


@dataclass(slots=True)
class _Talk:
    """What one call plays and hears."""

    clip: Clip | None
    recorder: Recorder | None
    echo: bool = False
    position: int = 0
    digits: list[str] = field(default_factory=list)

    def top_up(self, phone: Softphone, call: CallUuid, *, now: float) -> None:
        """Gives the engine the next stretch of the clip."""
        if self.clip is None:
            return
        while self.position < len(self.clip.samples) and phone.audio_queued(call) < QUEUED:
            chunk = self.clip.samples[self.position : self.position + self.clip.rate]
            taken = phone.write_audio(call, chunk, self.clip.rate, now=now)
            self.position += taken
            if taken < len(chunk):
                return

    def listen(self, phone: Softphone, call: CallUuid, *, now: float) -> None:
        """Takes what was heard: to the file, and back where an echo was asked for."""
        heard = phone.read_audio(call, RECORD_RATE, now=now)
        if self.recorder is not None:
            self.recorder.write(heard)
        if self.echo and len(heard):
            phone.write_audio(call, np.ascontiguousarray(heard), RECORD_RATE, now=now)

    def play_left(self, phone: Softphone, call: CallUuid) -> float:
        """Seconds until the clip has been said."""
        if self.clip is None:
            return 0.0
        return (len(self.clip.samples) - self.position) / self.clip.rate + phone.audio_queued(call)


class CallPlan(_AccountPlan):
    """Places one call: plays, records, sends digits, hangs up after a while, or when the clip has been said."""

    def __init__(
        self,
        options: AccountOptions,
        target: str,
        *,
        register: bool = True,
        clip: Clip | None = None,
        recorder: Recorder | None = None,
        digits: str = "",
        duration: float | None = None,
        extra_headers: Mapping[str, str] | None = None,
        ring_timeout: float = 60.0,
        mute: bool = False,
    ) -> None:
        super().__init__(options, register=register)
        self._target = target
        self._digits = digits
        self._duration = duration
        self._extra_headers = dict(extra_headers or {})
        self._ring_timeout = ring_timeout
        self._mute = mute
        self._talk = _Talk(clip, recorder)
        self._call: CallUuid | None = None
        self._digits_pending = bool(digits)
        self._answered = False
        self._media = False

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None:
        self.account_event(phone, event, lambda: self._place(phone, now), now=now)
        match event:
            case events.CallAnswered():
                self._answered = True
                self._alarms.drop("ring")
                if self._duration is not None:
                    self._alarms.set("hang up", now + self._duration)
                self._talk_now(phone, now)
            case events.MediaConnected():
                self._media = True
                self._talk_now(phone, now)
            case events.AudioReady() if self._call in event.calls and is_up(self._call, phone):
                self._talk.listen(phone, self._call, now=now)
            case events.DtmfSent():
                self._digits_pending = False
                self._keep_talking(phone, now)
            case events.CallFailed():
                code = event.call_info.code
                self.finish(phone, CALL_FAILED, f"call to {self._target} failed: {event.cause} ({code})", now)
            case events.CallTerminated():
                self.finish(phone, DONE, "", now)
            case _:
                pass

    def on_alarm(self, phone: Softphone, *, now: float) -> None:
        for name in self._alarms.due(now):
            match name:
                case "ring":
                    self.finish(phone, CALL_FAILED, f"call to {self._target} failed: nobody answered in time", now)
                case "hang up":
                    self.finish(phone, DONE, "", now)
                case "talk" if is_up(self._call, phone):
                    self._keep_talking(phone, now)
                case "talk":
                    pass
                case _:
                    self.account_alarm(phone, name, now=now)

    def end(self) -> None:
        if self._talk.recorder is not None:
            self._talk.recorder.close()

    def _place(self, phone: Softphone, now: float) -> None:
        assert self.account is not None
        try:
            self._call = phone.call(self.account, self._target, extra_headers=self._extra_headers, now=now)
        except LocalProtocolError as error:
            self.finish(phone, CALL_FAILED, str(error), now)
            return
        self._alarms.set("ring", now + self._ring_timeout)
        if self._mute:
            phone.mute(self._call, now=now)

    def _talk_now(self, phone: Softphone, now: float) -> None:
        """Once the call is answered and audio can flow, whichever comes last: presses the keys, then speaks."""
        if not (self._answered and self._media and self._call is not None):
            return
        if self._digits:
            digits, self._digits = self._digits, ""
            try:
                phone.send_dtmf(self._call, digits, now=now)
            except LocalProtocolError as error:
                self._digits_pending = False
                self.error = str(error)
        if not self._digits_pending:
            self._keep_talking(phone, now)

    def _keep_talking(self, phone: Softphone, now: float) -> None:
        assert self._call is not None
        self._talk.top_up(phone, self._call, now=now)
        left = self._talk.play_left(phone, self._call)
        if self._duration is None and not self._digits_pending and left <= 0:
            # Without a duration the call lasts as long as we have something to say, and a moment for it to arrive.
            self._alarms.set("hang up", now + 0.5)
        else:
            self._alarms.set("talk", now + min(TOP_UP_EVERY, max(left, 0.02)))


class AnswerPlan(_AccountPlan):
    """Takes calls: answers after a while of ringing, or rejects or ignores them; ends after so many calls."""

    def __init__(
        self,
        options: AccountOptions,
        *,
        register: bool = True,
        calls: int = 1,
        clip: Clip | None = None,
        echo: bool = False,
        recorder: Callable[[int], Recorder] | None = None,
        ring: float = 0.0,
        reject: bool = False,
        ignore: bool = False,
        duration: float | None = None,
        mute: bool = False,
    ) -> None:
        super().__init__(options, register=register)
        self._left = calls
        self._clip = clip
        self._echo = echo
        self._recorder = recorder
        self._ring = ring
        self._reject = reject
        self._ignore = ignore
        self._duration = duration
        self._mute = mute
        self._talks: dict[CallUuid, _Talk] = {}
        self._answered: set[CallUuid] = set()
        self._media: set[CallUuid] = set()
        self._count = 0
        self.recorders: list[Recorder] = []

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None:
        self.account_event(phone, event, lambda: None, now=now)
        match event:
            case events.IncomingCall():
                self._on_incoming(phone, event, now)
            case events.CallAnswered():
                self._answered.add(event.call)
                if self._duration is not None:
                    self._alarms.set(f"hang up {event.call}", now + self._duration)
                self._talk(phone, event.call, now)
            case events.MediaConnected():
                self._media.add(event.call)
                self._talk(phone, event.call, now)
            case events.AudioReady():
                for call in event.calls:
                    if (talk := self._talks.get(call)) is not None and is_up(call, phone):
                        talk.listen(phone, call, now=now)
            case events.CallTerminated() | events.CallFailed() | events.IncomingCallCanceled():
                self._on_end(phone, event, now)
            case _:
                pass

    def on_alarm(self, phone: Softphone, *, now: float) -> None:
        for name in self._alarms.due(now):
            what, _, call = name.rpartition(" ")
            uuid = CallUuid(call)
            if what and not is_up(uuid, phone):
                continue
            match what:
                case "answer":
                    self._answer(phone, uuid, now)
                case "hang up":
                    phone.hangup(uuid, now=now)
                case "talk":
                    self._talk(phone, uuid, now)
                case _:
                    self.account_alarm(phone, name, now=now)

    def end(self) -> None:
        for recorder in self.recorders:
            recorder.close()

    def _on_incoming(self, phone: Softphone, event: events.IncomingCall, now: float) -> None:
        self._count += 1
        if self._reject:
            phone.reject(event.call, now=now)
        elif self._ignore:
            phone.ignore(event.call, now=now)
        elif self._ring > 0:
            self._alarms.set(f"answer {event.call}", now + self._ring)
        else:
            self._answer(phone, event.call, now)

    def _answer(self, phone: Softphone, call: CallUuid, now: float) -> None:
        recorder = self._recorder(self._count) if self._recorder is not None else None
        if recorder is not None:
            self.recorders.append(recorder)
        self._talks[call] = _Talk(self._clip, recorder, self._echo)
        phone.answer(call, now=now)
        if self._mute:
            phone.mute(call, now=now)

    def _talk(self, phone: Softphone, call: CallUuid, now: float) -> None:
        talk = self._talks.get(call)
        if talk is None or call not in self._answered or call not in self._media:
            return
        talk.top_up(phone, call, now=now)
        if talk.clip is not None and talk.position < len(talk.clip.samples):
            self._alarms.set(f"talk {call}", now + TOP_UP_EVERY)

    def _on_end(
        self,
        phone: Softphone,
        event: events.CallTerminated | events.CallFailed | events.IncomingCallCanceled,
        now: float,
    ) -> None:
        for what in ("answer", "hang up", "talk"):
            self._alarms.drop(f"{what} {event.call}")
        talk = self._talks.pop(event.call, None)
        if talk is not None and talk.recorder is not None:
            talk.recorder.close()
        self._answered.discard(event.call)
        self._media.discard(event.call)
        self._left -= 1
        if self._left <= 0:
            wanted = self._reject or self._ignore or event.call_info.state is CallState.ENDED
            self.finish(phone, DONE if wanted else CALL_FAILED, "" if wanted else f"call failed: {_cause(event)}", now)


def is_up(call: CallUuid | None, phone: Softphone) -> TypeGuard[CallUuid]:
    """Whether a call can still be given commands: it may have ended since the event that spoke of it was made."""
    return call is not None and any(info.call_uuid == call for info in phone.calls())


def _cause(event: events.CallTerminated | events.CallFailed | events.IncomingCallCanceled) -> str:
    return event.cause if isinstance(event, events.CallFailed) else event.call_info.reason


def _advice(event: events.LoginFailed) -> str:
    if event.status in (401, 403, 407):
        return "check user name and password"
    if event.status == 404:
        return "check the account's address: the server does not know it"
    return "the server refused; ask its operator"
