"""What `answer` has a phone do."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import CallState, CallUuid
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone

from .account_plan import AccountPlan
from .audio import Clip, Recorder
from .exit_status import DONE, FAILED
from .talk import TOP_UP_EVERY, Talk

__all__ = ["AnswerPlan"]

End = events.CallTerminated | events.CallFailed | events.IncomingCallCanceled


class AnswerPlan(AccountPlan):
    """Takes calls: answers after a while of ringing, or rejects or ignores them; ends after so many calls.

    `recorder` makes the file of the first call, the second, and so on.
    """

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
        self._talks: dict[CallUuid, Talk] = {}
        self._count = 0

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None:
        self.became_ready(phone, event, now=now)
        match event:
            case events.IncomingCall():
                self._on_incoming(phone, event, now)
            case events.CallAnswered() if (talk := self._talks.get(event.call)) is not None:
                talk.answered = True
                if self._duration is not None:
                    self._alarms.set("hang up", now + self._duration, event.call)
                self._talk(phone, event.call, now)
            case events.MediaConnected() if (talk := self._talks.get(event.call)) is not None:
                talk.media = True
                self._talk(phone, event.call, now)
            case events.AudioReady():
                live = self._live(phone)
                for call in event.calls:
                    if call in live:
                        self._talks[call].listen(phone, call, now=now)
            case events.DtmfReceived() if self._echo and event.call in self._live(phone):
                with suppress(LocalProtocolError):  # the far end takes none
                    phone.send_dtmf(event.call, event.tone, now=now)
            case events.CallTerminated() | events.CallFailed() | events.IncomingCallCanceled():
                self._on_end(phone, event, now)
            case _:
                pass

    def on_alarm(self, phone: Softphone, *, now: float) -> None:
        for name, call in self._alarms.due(now):
            if call is None:
                self.account_alarm(phone, name, now=now)
            elif name == "answer" and any(info.call_uuid == call for info in phone.calls()):
                self._answer(phone, call, now)
            elif name == "hang up" and call in self._live(phone):
                phone.hangup(call, now=now)
            elif name == "talk":
                self._talk(phone, call, now)

    def end(self) -> None:
        for talk in self._talks.values():
            talk.close()

    def _live(self, phone: Softphone) -> set[CallUuid]:
        """The calls that we talk in and that commands can still be given to."""
        return self._talks.keys() & {info.call_uuid for info in phone.calls()}

    def _on_incoming(self, phone: Softphone, event: events.IncomingCall, now: float) -> None:
        self._count += 1
        if self._reject:
            phone.reject(event.call, now=now)
        elif self._ignore:
            phone.ignore(event.call, now=now)
        elif self._ring > 0:
            self._alarms.set("answer", now + self._ring, event.call)
        else:
            self._answer(phone, event.call, now)

    def _answer(self, phone: Softphone, call: CallUuid, now: float) -> None:
        recorder = self._recorder(self._count) if self._recorder is not None else None
        self._talks[call] = Talk(self._clip, recorder, self._echo)
        phone.answer(call, now=now)
        if self._mute:
            phone.mute(call, now=now)

    def _talk(self, phone: Softphone, call: CallUuid, now: float) -> None:
        if call not in self._live(phone):
            return
        talk = self._talks[call]
        if not talk.is_up:
            return
        talk.top_up(phone, call, now=now)
        if talk.clip is not None and talk.position < len(talk.clip.samples):
            self._alarms.set("talk", now + TOP_UP_EVERY, call)

    def _on_end(self, phone: Softphone, event: End, now: float) -> None:
        self._alarms.drop_call(event.call)
        talk = self._talks.pop(event.call, None)
        if talk is not None:
            talk.close()
        self._left -= 1
        if self._left > 0:
            return
        if self._reject or self._ignore or event.call_info.state is CallState.ENDED:
            self.finish(phone, DONE, "", now)
        else:
            self.finish(phone, FAILED, f"call failed: {_cause(event)}", now)


def _cause(event: End) -> str:
    return event.cause if isinstance(event, events.CallFailed) else event.call_info.reason
