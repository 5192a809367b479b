"""Runs a trace again and writes down what happens inside: the machines tell what no packet shows.

Theory of operation
-------------------
`replay` builds each machine of the trace and gives it the recorded inputs. Here every machine is handed over in a shell
(`_Watched`) that passes all on and looks on: at timers that fire, at outputs, and now and then at the statistics of the
calls. Nothing is asked that changes a machine, but for its levels to be measured, which no output depends on.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from functools import wraps
from math import log10
from pathlib import Path
from typing import Any, cast

from sansio_sip.context import Context
from sansio_sip.effects import SendDatagram, SendStream
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import RootMachine
from sansio_sip.pcapng import packets_of
from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import AudioLevels, MediaStatistics
from sansio_sip.softphone.quality import QualityOptions, QualityWatch, sample_between
from sansio_sip.softphone.softphone import Softphone
from sansio_sip.timers import TimerSet
from sansio_sip.trace import replay
from sansio_sip_cli.build import rebuild
from sansio_sip_cli.ladder import arrows_of, messages_in
from sansio_sip_cli.output import words
from sansio_sip_cli.serve import server_words
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.demux import Kind, classify

from .pairs import candidate_kinds, pairs_of
from .story import CallStory, Fired, Happening, Sample, Story
from .timers import owner_of, watched_timers, why

__all__ = ["read_story"]

# Points of a curve: more than there are pixels would show nothing more. Seconds between them at least.
POINTS, STEP = 400, 0.25

# Rows of one table, and messages of the ladder: beyond it a browser is slow and nobody reads.
MAX_ROWS = 2_000

# Seconds within which a report of the peer comes (RFC 3550 section 6.2: 5 s, times 0.5 to 1.5).
REPORTS = 7.5

ENDS = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled, events.IncomingCallIgnored)
QUIET = (events.AudioReady, events.LogLine, events.DtmfSent)


def read_story(path: Path) -> Story:
    """The story of a trace. Raises OSError, UnicodeDecodeError, and ParseError where it is none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    packets = list(packets_of(lines))
    begun, times, full = _outline(lines)
    arrows = list(arrows_of(packets))
    kinds = candidate_kinds(arrow.message for arrow in arrows)
    start = min(times, default=0.0)
    story = Story(
        path,
        start,
        max(times, default=start) - start,
        full,
        {name: kind for name, kind, _ in begun},
        arrows[:MAX_ROWS],
        pairs_of(packets),
        {str(address): kind for address, kind in kinds.items()},
    )
    if len(arrows) > MAX_ROWS:
        story.shortened["messages"] = len(arrows) - MAX_ROWS
    watch = _Watch(story, begun)
    with watched_timers(watch.on_timer):
        story.replay = replay(lines, watch.build, array=rebuild_array)
    return story


def _outline(lines: list[str]) -> tuple[list[tuple[str, str, float]], list[float], bool]:
    """Name, kind and clock of each machine; the Unix time of each input; whether there is audio."""
    begun: list[tuple[str, str, float]] = []
    offsets: dict[str, float] = {}
    times: list[float] = []
    full = False
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            full = full or bool(row.get("full"))
            if "kind" in row:
                offsets[row["m"]] = float(row["unix"])
                begun.append((str(row["m"]), str(row["kind"]), float(row["unix"])))
            elif "i" in row:
                times.append(offsets[row["m"]] + float(row["t"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ParseError(f"line {number} is no row of a trace ({type(error).__name__}: {error})") from None
    return begun, times, full


class _Watch:
    """Looks on at all machines of a trace, and writes it into the story."""

    def __init__(self, story: Story, begun: list[tuple[str, str, float]]) -> None:
        self.story = story
        self.step = max(STEP, story.duration / POINTS)
        self._begun = iter(begun)
        self._active: _Watched | None = None

    def build(self, kind: str, options: Mapping[str, Any], context: Context) -> RootMachine[Any]:
        name, _, offset = next(self._begun)  # machines are built in the order of their rows
        watched = _Watched(self, name, rebuild(kind, options, context), offset - self.story.start)
        self._active = watched  # a machine may have timers from its beginning on
        return cast(RootMachine[Any], watched)

    def enter(self, watched: "_Watched") -> None:
        self._active = watched

    def on_timer(self, timers: TimerSet[Any], timer: Enum, deadline: float) -> None:
        if self._active is not None:
            self._active.on_timer(timers, timer, deadline)

    def add(self, rows: list[Any], row: Any, what: str) -> None:
        if len(rows) < MAX_ROWS:
            rows.append(row)
        else:
            self.story.shortened[what] = self.story.shortened.get(what, 0) + 1


class _Watched:
    """A machine in its shell. Inputs and commands pass through; between them the calls are looked at."""

    def __init__(self, watch: _Watch, name: str, machine: RootMachine[Any], clock: float) -> None:
        self._watch = watch
        self._name = name
        self._machine = machine
        self._clock = clock
        self._now = 0.0
        self._fired: list[Fired] = []
        self._owners: dict[int, tuple[TimerSet[Any], str]] = {}
        self._calls: dict[str, _CallWatch] = {}
        self._next_sample = float("-inf")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._machine, name)
        return self._passed(method) if hasattr(method, "__wrapped__") else method

    def _passed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*, now: float, **arguments: Any) -> Any:
            self._flush()
            self._now = now
            self._watch.enter(self)
            result = method(**arguments, now=now)
            self._look(now)
            return result

        return call

    def outputs(self) -> Iterator[Any]:
        """What `replay` drains after each input."""
        done: list[str] = []
        for output in self._machine.outputs():
            done.extend(_deeds(output))
            if hasattr(output, "as_dict") and not isinstance(output, QUIET):
                self._note(output)
            yield output
        self._flush(tuple(dict.fromkeys(done)))

    def on_timer(self, timers: TimerSet[Any], timer: Enum, deadline: float) -> None:
        known = self._owners.get(id(timers))
        if known is None:
            known = self._owners[id(timers)] = (timers, owner_of(timers, self._machine))
        late = max(0.0, self._now - deadline) * 1000
        time = self._clock + self._now
        self._fired.append(Fired(time, self._name, known[1], timer.name, why(timer), late))

    def _flush(self, then: tuple[str, ...] = ()) -> None:
        for fired in self._fired:
            row = Fired(fired.time, fired.machine, fired.owner, fired.timer, fired.why, fired.late_ms, then)
            self._watch.add(self._watch.story.fired, row, "timers")
        self._fired.clear()

    def _note(self, event: Any) -> None:
        time = self._clock + self._now
        said = words(event) if isinstance(self._machine, Softphone) else server_words(event)
        self._watch.add(self._watch.story.happenings, Happening(time, self._name, event.name, said), "events")
        info = getattr(event, "call_info", None)
        if info is None:
            return
        watch = self._calls.get(info.call_uuid)
        if watch is None:
            watch = self._calls[info.call_uuid] = _CallWatch(CallStory(self._name, info, time))
            self._watch.add(self._watch.story.calls, watch.story, "calls")
        call, call_info = watch.story, info
        call.info = call_info
        match event:
            case events.CallAnswered():
                call.answered = time
            case events.MediaConnected() if call.connected is None:
                call.connected = time
            case _ if isinstance(event, ENDS):
                call.ended, call.end = time, said
            case _:
                pass

    def _look(self, now: float) -> None:
        """Listens in on every call that has media, and samples it when it is time."""
        if not self._calls or not isinstance(self._machine, Softphone):
            return
        is_time = now >= self._next_sample
        if is_time:
            self._next_sample = now + self._watch.step
        for info in self._machine.calls():
            watch = self._calls.get(info.call_uuid)
            if watch is None:
                continue
            if self._watch.story.full:
                watch.listen(self._machine, now)
            statistics = self._machine.statistics(info.call_uuid) if is_time else None
            if statistics is not None and statistics.packets_sent + statistics.packets_received:
                watch.take(self._clock + now, statistics)


class _CallWatch:
    """The curves of one call, and the warnings that a client would have had."""

    def __init__(self, story: CallStory) -> None:
        self.story = story
        self._options = QualityOptions()
        self._quality = QualityWatch(self._options)
        self._judged: tuple[float, MediaStatistics] | None = None
        self._listens = False
        self._heard: AudioLevels | None = None
        self._powers: list[tuple[float, float]] = []
        self._reported: tuple[float, MediaStatistics, float | None] = (story.began, MediaStatistics(), None)

    def listen(self, phone: Softphone, now: float) -> None:
        """Adds the levels of the last frame, where there was one since."""
        call = self.story.info.call_uuid
        try:
            if not self._listens:
                phone.watch_levels(call, True, now=now)
                self._listens = True
            levels = phone.audio_levels(call)
        except LocalProtocolError:
            self._listens = False  # it has no media yet, or others than before
            return
        if levels is not self._heard:
            self._heard = levels
            self._powers.append((10 ** (levels.input_dbov / 10), 10 ** (levels.output_dbov / 10)))

    def take(self, time: float, statistics: MediaStatistics) -> None:
        before = self.story.samples[-1].statistics if self.story.samples else MediaStatistics()
        since = replace(sample_between(before, statistics), local_loss=self._reported_loss(time, statistics))
        self.story.samples.append(Sample(time, statistics, since, self._mean_levels()))
        if self._judged is None:
            self._judged = (time, statistics)
        elif time - self._judged[0] >= self._options.interval:
            metrics = self._quality.take(sample_between(self._judged[1], statistics))
            self.story.warnings.extend((time, metric) for metric in metrics)
            self._judged = (time, statistics)

    def _reported_loss(self, time: float, statistics: MediaStatistics) -> float | None:
        """What the peer has told in its last report, for the packets since the one before."""
        since, before, _ = self._reported
        news = (statistics.remote_lost, statistics.remote_jitter_ms) != (before.remote_lost, before.remote_jitter_ms)
        if news or time - since > REPORTS:
            self._reported = (time, statistics, sample_between(before, statistics).local_loss)
        return self._reported[2]

    def _mean_levels(self) -> tuple[float, float] | None:
        powers, self._powers = self._powers, []
        if not powers:
            return None
        sent, heard = (sum(column) / len(powers) for column in zip(*powers, strict=True))
        return 10 * log10(sent), 10 * log10(heard)


def _deeds(output: Any) -> Iterator[str]:
    """What an output is, in a word or two: consequences of a timer. Audio is not: it leaves each 20 ms anyway."""
    match output:
        case SendDatagram() | SendStream():
            is_stream = isinstance(output, SendStream)
            found = [f"sends {_label(message)}" for message in messages_in(output.data, is_stream=is_stream)]
            if found or is_stream:
                yield from found or ["sends on its connection"]
            elif any(output.data) and (kind := classify(output.data)) not in (Kind.RTP, Kind.UNKNOWN):
                yield f"sends {kind.name}"
        case events.AudioReady() | events.LogLine():
            pass
        case _ if hasattr(output, "as_dict"):
            yield f"says {output.name}"
        case _:
            pass


def _label(message: Any) -> str:
    return message.method if hasattr(message, "method") else f"{message.status} {message.cseq.method}"
