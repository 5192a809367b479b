"""What `call` has a phone do."""

from collections.abc import Mapping
from typing import Any

from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import CallUuid
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone

from .account_plan import AccountPlan
from .audio import Clip, Recorder
from .exit_status import DONE, FAILED
from .later_steps import LaterSteps
from .talk import TOP_UP_EVERY, Talk

__all__ = ["CallPlan"]

# What was said last has to arrive before we hang up.
LAST_WORDS = 0.5


class CallPlan(AccountPlan):
    """Places one call: plays, records, sends digits; hangs up after a while, or when the clip has been said."""

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
        steps: LaterSteps | None = None,
    ) -> None:
        super().__init__(options, register=register)
        self._target = target
        self._digits = digits
        self._duration = duration
        self._extra_headers = dict(extra_headers or {})
        self._ring_timeout = ring_timeout
        self._mute = mute
        self._steps = steps or LaterSteps()
        self._talk = Talk(clip, recorder)
        self._call: CallUuid | None = None
        self._digits_pending = bool(digits)

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None:
        if self.became_ready(phone, event, now=now):
            self._place(phone, now)
        if (failure := self._steps.heard(event, self._alarms, now=now)) and self._live(phone):
            self._fail(phone, failure, now)
            return
        match event:
            case events.CallAnswered():
                self._talk.answered = True
                self._alarms.drop("ring")
                if self._duration is not None:
                    self._alarms.set("hang up", now + self._duration)
                self._steps.answered(self._alarms, now=now)
                self._begin_to_talk(phone, now)
            case events.MediaConnected():
                self._talk.media = True
                self._begin_to_talk(phone, now)
            case events.AudioReady() if self._call in event.calls and (call := self._live(phone)):
                self._talk.listen(phone, call, now=now)
            case events.DtmfSent():
                self._digits_pending = False
                self._keep_talking(phone, now)
            case events.CallFailed():
                self._fail(phone, f"{event.cause} ({event.call_info.code})", now)
            case events.CallTerminated():
                self.finish(phone, DONE, "", now)
            case _:
                pass

    def on_alarm(self, phone: Softphone, *, now: float) -> None:
        for name, _ in self._alarms.due(now):
            match name:
                case "ring":
                    self._fail(phone, "nobody answered in time", now)
                case "hang up":
                    self.finish(phone, DONE, "", now)
                case "talk":
                    self._keep_talking(phone, now)
                case "hold" | "resume" | "transfer" if (call := self._live(phone)) is not None:
                    if failure := self._steps.due(name, phone, call, now=now):
                        self._fail(phone, failure, now)
                case _:
                    self.account_alarm(phone, name, now=now)

    def end(self) -> None:
        self._talk.close()

    def _live(self, phone: Softphone) -> CallUuid | None:
        """The call, if commands can still be given to it: it may have ended since the event that spoke of it."""
        return next((info.call_uuid for info in phone.calls() if info.call_uuid == self._call), None)

    def _place(self, phone: Softphone, now: float) -> None:
        assert self.account is not None
        try:
            self._call = phone.call(self.account, self._target, extra_headers=self._extra_headers, now=now)
        except LocalProtocolError as error:
            self.finish(phone, FAILED, str(error), now)
            return
        self._alarms.set("ring", now + self._ring_timeout)
        if self._mute:
            phone.mute(self._call, now=now)

    def _begin_to_talk(self, phone: Softphone, now: float) -> None:
        """Once the call is answered and audio can flow, whichever comes last: presses the keys, then speaks."""
        if not self._talk.is_up or (call := self._live(phone)) is None:
            return
        if self._digits:
            digits, self._digits = self._digits, ""
            try:
                phone.send_dtmf(call, digits, now=now)
            except LocalProtocolError as error:
                self._fail(phone, str(error), now)
                return
        if not self._digits_pending:
            self._keep_talking(phone, now)

    def _keep_talking(self, phone: Softphone, now: float) -> None:
        if (call := self._live(phone)) is None:
            return
        self._talk.top_up(phone, call, now=now)
        left = self._talk.seconds_left(phone, call)
        busy = self._digits_pending or self._steps.are_under_way
        if self._duration is None and not busy and left <= 0:
            # Without a duration the call lasts as long as we have something to say.
            self._alarms.set("hang up", now + LAST_WORDS)
        else:
            self._alarms.set("talk", now + min(TOP_UP_EVERY, max(left, 0.02)))

    def _fail(self, phone: Softphone, cause: str, now: float) -> None:
        self.finish(phone, FAILED, f"call to {self._target} failed: {cause}", now)
