"""What the command prints: a readable timeline, or one JSON object a line; and the summary at the end."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import CallInfo, CallUuid
from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip.softphone.quality import mos

from .scripted_phone import Finished

__all__ = ["CallReport", "Reporter", "words"]

QUIET = (events.AudioReady, events.Closed, events.DtmfSent, Finished)


@dataclass(slots=True)
class CallReport:
    """What one call came to."""

    info: CallInfo
    began: float
    answered: float | None = None
    ended: float | None = None
    digits: str = ""
    statistics: MediaStatistics | None = None

    def as_dict(self) -> dict[str, Any]:
        """The keys of the command's contract."""
        statistics = self.statistics or MediaStatistics()
        expected = statistics.packets_received + statistics.packets_lost
        loss = statistics.packets_lost / expected if expected else 0.0
        score = mos(statistics.rtt_ms, statistics.jitter_ms, loss, codec=statistics.codec) if expected else None
        return {
            "callUUID": self.info.call_uuid,
            "direction": self.info.direction.value,
            "state": self.info.state.value,
            "setup_ms": None if self.answered is None else round((self.answered - self.began) * 1000),
            "duration_s": (
                round(self.ended - self.answered, 3) if self.answered is not None and self.ended is not None else 0.0
            ),
            "codec": statistics.codec,
            "media": statistics.protection,
            "packets_sent": statistics.packets_sent,
            "packets_received": statistics.packets_received,
            "lost": statistics.packets_lost,
            "jitter_ms": round(statistics.jitter_ms, 2),
            "rtt_ms": None if statistics.rtt_ms is None else round(statistics.rtt_ms, 2),
            "mos": score,
            "dtmf_received": self.digits,
            "code": self.info.code,
            "reason": self.info.reason,
        }


@dataclass(slots=True)
class Reporter:
    """Takes every event of a phone and prints it on standard output.

    Attributes:
        who: stands at the head of each line where several phones share a terminal.
        reader_gone: nobody reads standard output any more; `on_reader_gone` was told so.
    """

    as_json: bool = False
    verbose: bool = False
    who: str = ""
    origin: float | None = None
    calls: dict[CallUuid, CallReport] = field(default_factory=dict)
    reader_gone: bool = False
    on_reader_gone: Callable[[], object] = lambda: None

    def event(self, event: Any, now: float) -> None:
        """Keeps account of an event, and prints it unless it is of no interest."""
        self.keep(event, now)
        if isinstance(event, events.LogLine):
            if self.verbose:
                print(event.text, file=sys.stderr)
            return
        if isinstance(event, QUIET):
            return
        if self.as_json:
            self.row({"t": self._since(now), "event": event.name, **event.as_dict()})
        else:
            self.say(words(event), now)

    def say(self, text: str, now: float) -> None:
        """A line of the timeline."""
        if not self.as_json:
            who = f"{self.who:<6} " if self.who else ""
            self._print(f"{self._since(now):8.3f}  {who}{text}")

    def row(self, row: dict[str, Any]) -> None:
        """A line of JSON; `who` is among its keys where there are several phones."""
        if self.as_json:
            extra = {"who": self.who} if self.who else {}
            self._print(json.dumps({**row, **extra}, ensure_ascii=False))

    def summary(self, exit_status: int, now: float) -> None:
        """The last line: the exit status and what each call came to."""
        calls = [call.as_dict() for call in self.calls.values()]
        self.row({"t": self._since(now), "event": "summary", "exit": exit_status, "calls": calls})
        for call in calls:
            for line in _call_lines(call):
                self.say(line, now)

    def _print(self, line: str) -> None:
        if self.reader_gone:
            return
        try:
            print(line, flush=True)
        except BrokenPipeError:
            # The call is not cut off in the middle of a word: whoever runs the phone has it part.
            self.reader_gone = True
            self.on_reader_gone()

    def _since(self, now: float) -> float:
        if self.origin is None:
            self.origin = now
        return round(now - self.origin, 3)

    def keep(self, event: Any, now: float) -> None:
        """Keeps account of an event, and prints nothing."""
        info = getattr(event, "call_info", None)
        if info is None:
            return
        call = self.calls.setdefault(info.call_uuid, CallReport(info, now))
        call.info = info
        match event:
            case events.CallAnswered():
                call.answered = now
            case events.DtmfReceived():
                call.digits += event.tone
            case events.CallTerminated():
                call.ended, call.statistics = now, event.statistics
            case _:
                pass


def words(event: Any) -> str:
    """An event of a phone, for people."""
    match event:
        case events.Login():
            return "registered"
        case events.LoginFailed():
            again = "" if event.retry_after is None else f"; the server asks to be asked again in {event.retry_after} s"
            return f"login failed: {event.cause}{again}"
        case events.Logout():
            return "un-registered"
        case events.WebSocketConnected():
            return "WebSocket open"
        case events.ConnectionChange():
            return f"signalling {event.state}" + (f": {event.event_reason}" if event.event_reason else "")
        case events.Calling():
            return f"calling {event.call_info.dest}"
        case events.IncomingCall():
            name = f" ({event.caller_name})" if event.caller_name else ""
            return f"incoming call from {event.caller_id}{name}"
        case events.CallRemoteRinging():
            return "ringing"
        case events.CallAnswered():
            return "answered"
        case events.MediaConnected():
            return "media connected"
        case events.MediaDisconnected():
            return f"media lost: {event.reason}"
        case events.DtmfReceived():
            return f"digit {event.tone} ({event.duration} ms)"
        case events.CallTerminated():
            return f"call ended by {event.hangup_info.originator}: {event.hangup_info.reason}"
        case events.CallFailed():
            return f"call failed: {event.cause} ({event.call_info.code})"
        case events.IncomingCallCanceled():
            return "caller gave up"
        case _:
            return str(event.name)


def _call_lines(call: dict[str, Any]) -> list[str]:
    """Three lines that fit a terminal of 80 columns."""
    direction = call["direction"].lower()
    if not call["packets_sent"]:
        return [f"{direction} call: {call['state']}, {call['reason']} ({call['code']})"]
    rtt = "" if call["rtt_ms"] is None else f", round trip {call['rtt_ms']} ms"
    score = "" if call["mos"] is None else f", MOS {call['mos']:.2f}"
    media = "plain RTP" if call["media"] == "none" else call["media"]
    return [
        f"{direction} call: {call['duration_s']:.1f} s of {call['codec']} over {media}",
        f"packets {call['packets_sent']} sent, {call['packets_received']} received, {call['lost']} lost",
        f"jitter {call['jitter_ms']} ms{rtt}{score}",
    ]
