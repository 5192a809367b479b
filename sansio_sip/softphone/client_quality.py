"""What a client tells of the quality of its calls: mediaMetrics and statistics.

Theory of operation
-------------------
A report is kept of every call from its first event to its last. The active call is sampled each 5 s from its answer
on: a sample gives a CALL_STATS message, goes to the watch that raises and clears metrics, and says whether anything
arrives at all (RemoteAudioStatus). Whether messages and metrics are told says `Options.enable_quality_tracking`.
"""

from typing import Any

from sansio_sip.errors import LocalProtocolError

from . import client_events, events
from .call_info import CallUuid
from .call_report import CallReport, failure_message
from .client_calls import CallCommands
from .client_core import Timer
from .media_plane import MediaStatistics
from .quality import QualityWatch, sample_between
from .softphone import SoftphoneOutput

__all__ = ["QualityCommands"]

BEGINNINGS = (events.Calling, events.IncomingCall)
HOLDS = (events.CallHeld, events.RemoteHold)
RESUMES: dict[type[object], type[object]] = {
    events.CallResumed: events.CallHeld,
    events.RemoteResumed: events.RemoteHold,
}
ENDS = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled)


class QualityCommands(CallCommands):
    """See `sansio_sip.softphone.Client`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reports: dict[CallUuid, CallReport] = {}
        self._watch: QualityWatch | None = None
        self._watched: CallUuid | None = None
        self._snapshot: MediaStatistics | None = None
        self._arriving = True  # whether packets have come since the sample before
        self._holds: set[tuple[CallUuid, type[object]]] = set()  # ours by CallHeld, those of far ends by RemoteHold
        self._was_held = False  # at the sample before
        self._broken: set[CallUuid] = set()  # calls whose media is away
        tracking = self._options.enable_quality_tracking.upper()
        self._tells_metrics = tracking == "LOCALONLY" or (tracking == "ALL" and self._options.enable_tracking)
        self._tells_statistics = tracking == "REMOTEONLY" or (tracking == "ALL" and self._options.enable_tracking)

    # From the phone

    def _noted(self, output: SoftphoneOutput, now: float) -> None:
        super()._noted(output, now)
        unix = now + self._context.unix_offset
        if isinstance(output, BEGINNINGS):
            self._reports[output.call] = CallReport(output.call, self._username, self._options.domain, unix)
            if isinstance(output, events.Calling):
                self._time_gathering(now)
        if isinstance(output, events.ConnectionChange) and output.state == "connected":
            self._on_reconnected(unix)
        report = self._reports.get(getattr(output, "call", None) or CallUuid(""))
        if report is None:
            return
        match output:
            case events.IncomingCall() | events.CallRemoteRinging():
                report.ringing = unix
                self._tell(report.milestone("CALL_RINGING", output.call_info, unix), report.call)
            case events.CallAnswered():
                report.answered = unix
                self._tell(report.milestone("CALL_ANSWERED", output.call_info, unix), report.call)
                if output.call == self._active:
                    self._begin_watch(output.call, now)
            case events.MediaConnected():
                report.connected = report.connected or unix
                self._on_media_connected(output.call)
            case events.MediaDisconnected():
                self._on_media_disconnected(output.call)
            case events.CallHeld() | events.RemoteHold():
                self._holds.add((output.call, type(output)))
            case events.CallResumed() | events.RemoteResumed():
                self._holds.discard((output.call, RESUMES[type(output)]))
            case events.CallTerminated() | events.CallFailed() | events.IncomingCallCanceled():
                self._on_end(report, output, unix)
            case _:
                pass  # it is no part of the story

    def _on_timer(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.SAMPLE:
                self._sample(now)
            case Timer.ICE:
                if self._active is not None and self._phone.is_gathering(self._active):
                    timeout_ms = self._options.quality.ice_timeout * 1000
                    desc = "Possible NAT/Firewall issue"
                    self._metric(self._active, "network", "ice_timeout", timeout_ms, True, desc, "None")
            case _:
                super()._on_timer(timer, now)

    def _answering(self, now: float) -> None:
        super()._answering(now)
        self._time_gathering(now)

    def _time_gathering(self, now: float) -> None:
        """Our candidates are being gathered from here on, for an INVITE or for its answer."""
        self._timers.arm(Timer.ICE, now + self._options.quality.ice_timeout)

    def _on_reconnected(self, unix: float) -> None:
        for report in self._reports.values():
            if report.answered is not None:
                report.network_changed = True
                self._tell(
                    report.message("NETWORK_CHANGE", unix, reconnectionTimestamp=round(unix * 1000)), report.call
                )

    def _on_media_connected(self, call: CallUuid) -> None:
        if call in self._broken:
            self._broken.discard(call)
            self._metric(call, "network", "ice_connection", "connected", False, "network drop", "None")

    def _on_media_disconnected(self, call: CallUuid) -> None:
        if call not in self._broken:
            self._broken.add(call)
            self._metric(call, "network", "ice_connection", "disconnected", True, "network drop", "None")

    def _on_end(
        self,
        report: CallReport,
        output: events.CallTerminated | events.CallFailed | events.IncomingCallCanceled,
        unix: float,
    ) -> None:
        info = output.call_info
        report.ended = unix
        report.hangup_party, report.hangup_reason = info.originator, info.reason
        if isinstance(output, events.CallFailed):
            report.errors.append(
                {"timestamp": round(unix * 1000), "error_code": info.code, "error_description": output.cause}
            )
        snapshot = output.statistics if isinstance(output, events.CallTerminated) else None
        cause = output.cause if isinstance(output, events.CallFailed) else info.reason
        if failure := failure_message(cause):
            self._tell(report.message(failure, unix, error=cause), report.call)
            if failure == "ICE_FAILURE":
                self._metric(report.call, "network", "ice_connection", "failed", True, "network drop", "None")
        if snapshot is not None:
            self._tell(report.dump(snapshot, unix), report.call)
        self._tell(report.summary(info, snapshot, unix), report.call)
        del self._reports[report.call]
        self._broken.discard(report.call)
        self._holds -= {(report.call, hold) for hold in HOLDS}
        if report.call == self._watched:
            self._watch = self._watched = self._snapshot = None
            self._timers.cancel(Timer.SAMPLE)
        if self._active is None:
            self._timers.cancel(Timer.ICE)

    # Samples

    def _begin_watch(self, call: CallUuid, now: float) -> None:
        self._watched, self._watch = call, QualityWatch(self._options.quality)
        self._snapshot, self._arriving = self._statistics(call) or MediaStatistics(), True
        self._was_held = False
        self._timers.arm(Timer.SAMPLE, now + self._options.quality.interval)

    def _sample(self, now: float) -> None:
        call, watch, before = self._watched, self._watch, self._snapshot
        if call is None or watch is None or before is None:
            return
        self._timers.arm(Timer.SAMPLE, now + self._options.quality.interval)
        after = self._snapshot = self._statistics(call)
        if after is None:
            return
        held, was_held = any((call, hold) in self._holds for hold in HOLDS), self._was_held
        self._was_held = held
        if not held and not was_held:  # else nothing need arrive for the whole interval
            self._watch_arrivals(call, arriving=after.packets_received > before.packets_received)
        sample = sample_between(before, after)
        report = self._reports[call]
        self._tell(report.statistics(sample, after, now + self._context.unix_offset), call)
        for metric in watch.take(sample):
            if metric.type == "no_audio_received" and metric.stream == "local" and metric.active and self.is_call_muted:
                continue  # silence is what was asked for
            self._metric(call, metric.group, metric.type, metric.value, metric.active, metric.desc, metric.stream)

    def _watch_arrivals(self, call: CallUuid, *, arriving: bool) -> None:
        """Tells of a far end that has fallen silent for a whole interval, as the service's own INFO would."""
        if arriving == self._arriving or self._account is None:
            return
        self._arriving = arriving
        self._outbox.put(events.RemoteAudioStatus(self._account, self._phone.call_info(call), arriving))

    def _statistics(self, call: CallUuid) -> MediaStatistics | None:
        try:
            return self._phone.statistics(call)
        except LocalProtocolError:
            return None

    def _mute_changed(self, now: float) -> None:
        super()._mute_changed(now)
        report = self._reports.get(self._active) if self._active is not None else None
        if report is not None:
            action = "mute" if self.is_call_muted else "unmute"
            self._tell(report.message("TOGGLE_MUTE", now + self._context.unix_offset, action=action), report.call)

    def _cannot(self, command: str, why: str, now: float) -> bool:
        report = self._reports.get(self._active) if self._active is not None else None
        if report is not None:
            unix = now + self._context.unix_offset
            self._tell(report.message("ERROR_EVENT", unix, name="refused", info=why, method=command), report.call)
        return super()._cannot(command, why, now)

    def _tell(self, message: dict[str, Any], call: CallUuid) -> None:
        if self._tells_statistics:
            self._outbox.put(client_events.CallStatistics(call, message))

    def _metric(
        self, call: CallUuid, group: str, kind: str, value: float | str, active: bool, desc: str, stream: str
    ) -> None:
        if self._tells_metrics:
            self._outbox.put(client_events.MediaMetrics(call, group, kind, value, active, desc, stream))
