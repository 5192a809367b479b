"""The report as one HTML page that asks nothing of anybody: its style, its script, drawings and audio are all in it.

Its Content-Security-Policy forbids it to load anything, and any script but its own.
"""

import base64
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from sansio_sip.softphone.quality import QualityOptions
from sansio_sip_cli.audio import UnreadableAudio

from .ladder import ladder
from .markup import Child, Html, element, joined
from .plots import Series, plot, ticks
from .story import CallStory, Story
from .waveforms import MAX_AUDIO, waveform

__all__ = ["page"]

LIMITS = QualityOptions()

# dBov below which a curve of levels is not drawn: silence.
FLOOR = -70.0

SECTIONS = (
    ("calls", "Calls"),
    ("timeline", "Timeline"),
    ("ladder", "SIP messages"),
    ("quality", "Quality"),
    ("recordings", "Recordings"),
    ("warnings", "Warnings"),
    ("ice", "ICE pairs"),
    ("timers", "Timers"),
    ("events", "Events"),
)


def page(story: Story, recordings: Iterable[Path], beside: Iterable[Path] = ()) -> str:
    """The whole page. Raises UnreadableAudio for one of `recordings` that is none; shows why for one of `beside`."""
    style, script = (files(__package__).joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    allowed = base64.b64encode(sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; media-src data:"
    bodies = {
        "calls": _calls(story),
        "timeline": _timeline(story),
        "ladder": ladder(story),
        "quality": _quality(story),
        "recordings": _recordings(recordings, beside),
        "warnings": _warnings(story),
        "ice": _ice(story),
        "timers": _timers(story),
        "events": _events(story),
    }
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Calls in {story.source.name}"),
        element("style", Html(style)),
    )
    links = [element("a", title, href=f"#{name}") for name, title in SECTIONS]
    sections = [element("section", element("h2", title), bodies[name], id=name) for name, title in SECTIONS]
    body = element("body", _header(story), element("nav", *links), *sections, element("script", Html(script)))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _header(story: Story) -> Html:
    replay = story.replay
    machines = ", ".join(f"{name} ({kind})" for name, kind in story.machines.items())
    if replay.different:
        first = replay.differences[0] if replay.differences else ""
        verdict = element(
            "p",
            element("span", "The replay differs", class_="poor"),
            f" from what was recorded in {replay.different} places: what follows may be wrong. {first}",
        )
    else:
        verdict = element(
            "p",
            element("span", "Replayed", class_="good"),
            f": {replay.inputs} inputs, {replay.identical} outputs identical, {replay.opaque} opaque.",
        )
    audio = "" if story.full else " It was recorded without audio and digits."
    lost = [f"{count} more {what} are not shown." for what, count in story.shortened.items()]
    return element(
        "header",
        element("h1", f"Calls in {story.source.name}"),
        element("p", f"{story.duration:.1f} s of {machines}.{audio} ", *lost, class_="soft"),
        verdict,
    )


def _calls(story: Story) -> Html:
    if not story.calls:
        return element("p", "No call was placed or taken.", class_="soft")
    return element("div", *(_card(call) for call in story.calls), class_="cards")


def _card(call: CallStory) -> Html:
    last = call.samples[-1].statistics if call.samples else None
    rows: list[tuple[str, Child]] = [
        ("from", call.info.src),
        ("to", call.info.dest),
        ("began", _clock(call.began)),
        ("answered", "never" if call.answered is None else f"after {1000 * (call.answered - call.began):.0f} ms"),
    ]
    if last is not None:
        way = f"{last.local} to {last.remote}" if last.local is not None else "unknown"
        rows += [
            ("audio", f"{last.codec}, {'plain RTP' if last.protection == 'none' else last.protection}"),
            (
                "media up",
                "never"
                if last.setup_ms is None
                else f"after {last.setup_ms:.0f} ms (ICE {_ms(last.ice_ms)}, DTLS {_ms(last.dtls_ms)})",
            ),
            ("way", way),
            ("packets", f"{last.packets_sent} sent, {last.packets_received} received, {last.packets_lost} lost"),
            ("made up", f"{last.concealed} frames; {last.discarded} packets too late or twice"),
        ]
        if last.rejected:
            rows.append(("rejected", ", ".join(f"{count} × {cause}" for cause, count in last.rejected)))
    end = "goes on" if call.ended is None else f"{call.end} at {_clock(call.ended)}"
    rows.append(("end", end))
    cells = [part for name, value in rows for part in (element("dt", name), element("dd", value))]
    title = f"{call.machine}: {call.info.direction.value.lower()} call"
    return element("div", element("b", title), element("dl", *cells), class_="card")


def _timeline(story: Story) -> Html:
    """Each call as a bar: ringing, talking, media up, warnings."""
    if not story.calls:
        return element("p", "Nothing to draw.", class_="soft")
    width, left, lane = 1160, 150, 34
    span = max(story.duration, 0.1)

    def x(time: float) -> float:
        return round(left + (width - left - 20) * time / span, 1)

    rows: list[Html] = []
    for number, call in enumerate(story.calls):
        y = number * lane + 6
        end = story.duration if call.ended is None else call.ended
        answered = end if call.answered is None else call.answered
        parts = [element("text", f"{call.machine} {call.info.direction.value.lower()}", x=0, y=y + 15)]
        for name, since, until in (("ringing", call.began, answered), ("talking", answered, end)):
            wide = max(1.0, round(x(until) - x(since), 1))
            tip = element("title", f"{name} {until - since:.2f} s")
            parts.append(element("rect", tip, x=x(since), y=y, width=wide, height=20, rx=3, class_=f"bar {name}"))
        if call.connected is not None:
            at = x(call.connected)
            parts.append(
                element(
                    "line",
                    element("title", f"media up at {_clock(call.connected)}"),
                    x1=at,
                    x2=at,
                    y1=y - 3,
                    y2=y + 23,
                    class_="mark",
                )
            )
        for since, until in _warned(call):
            wide = max(2.0, round(x(until) - x(since), 1))
            parts.append(element("rect", x=x(since), y=y + 14, width=wide, height=6, class_="warned"))
        rows.append(element("g", *parts, class_="lane"))
    floor = len(story.calls) * lane + 6
    for time in ticks(0, span, about=10):
        rows.append(element("line", x1=x(time), x2=x(time), y1=0, y2=floor, class_="grid"))
        rows.append(element("text", f"{time:g} s", x=x(time), y=floor + 16, class_="below"))
    note = "Grey: until the answer. Blue: talking. Green mark: audio can flow. Red: a warning stood."
    drawing = element("svg", *rows, viewBox=f"0 0 {width} {floor + 24}", role="img", aria_label="calls over time")
    return joined(
        element("div", drawing, class_="scroll lanes"),
        element("p", note, class_="soft"),
    )


def _quality(story: Story) -> Html:
    parts: list[Html] = []
    for call in story.calls:
        if not call.samples:
            continue
        parts.append(element("h3", f"{call.machine}, {call.info.direction.value.lower()} call"))
        parts.append(element("div", *_plots(call), class_="plots"))
    if not parts:
        return element("p", "No audio was sent or received.", class_="soft")
    note = (
        "Sent: what the far end hears, by its reports. Heard: what arrived here. Figures: least / mean / most. Dashes "
        "across: where a client warns."
    )
    return joined(element("p", note, class_="soft"), *parts)


def _plots(call: CallStory) -> list[Html]:
    samples = call.samples
    span = (samples[0].time, samples[-1].time)

    def spans(kind: str) -> list[tuple[float, float]]:
        return list(_warned(call, kind))

    def curve(label: str, kind: str, value: object) -> Series:
        assert callable(value)
        return Series(label, kind, [(sample.time, value(sample)) for sample in samples])

    loss = LIMITS.loss_opus if samples[-1].statistics.codec.lower() == "opus" else LIMITS.loss_other
    return [
        plot(
            "MOS",
            "1 to 4.5",
            [
                curve("sent", "sent", lambda s: s.since.local_mos),
                curve("heard", "heard", lambda s: s.since.remote_mos),
            ],
            span=span,
            low=1.0,
            high=4.6,
            bad=LIMITS.mos,
            spans=spans("low_mos"),
        ),
        plot(
            "Jitter",
            "ms",
            [
                curve("sent", "sent", lambda s: s.since.local_jitter_ms),
                curve("heard", "heard", lambda s: s.since.remote_jitter_ms),
            ],
            span=span,
            bad=LIMITS.jitter_ms,
            spans=spans("high_jitter"),
        ),
        plot(
            "Loss",
            "% of packets",
            [
                curve("sent", "sent", lambda s: _per_cent(s.since.local_loss)),
                curve("heard", "heard", lambda s: _per_cent(s.since.remote_loss)),
            ],
            span=span,
            bad=100 * loss,
            spans=spans("high_packetloss"),
        ),
        plot(
            "Round trip",
            "ms",
            [curve("both ways", "both", lambda s: s.since.rtt_ms)],
            span=span,
            spans=spans("high_rtt"),
        ),
        plot(
            "Level",
            "dBov",
            [
                curve("sent", "sent", lambda s: None if s.levels is None else max(FLOOR, s.levels[0])),
                curve("heard", "heard", lambda s: None if s.levels is None else max(FLOOR, s.levels[1])),
            ],
            span=span,
            low=FLOOR,
            high=0.0,
            spans=spans("no_audio_received"),
        ),
    ]


def _warned(call: CallStory, kind: str = "") -> Iterable[tuple[float, float]]:
    """From when to when a warning stood: one of that kind, or any."""
    raised: dict[tuple[str, str], float] = {}
    last = call.samples[-1].time if call.samples else call.began
    for time, metric in call.warnings:
        key = (metric.type, metric.stream)
        if kind and metric.type != kind:
            continue
        if metric.active:
            raised[key] = time
        elif key in raised:
            yield raised.pop(key), time
    for since in raised.values():
        yield since, last


def _recordings(named: Iterable[Path], beside: Iterable[Path]) -> Html:
    room, parts = MAX_AUDIO, []
    for paths, is_strict in ((named, True), (beside, False)):
        for path in paths:
            try:
                drawn, taken = waveform(path, room)
            except UnreadableAudio as error:
                if is_strict:
                    raise
                caption = element("figcaption", element("b", path.name), f" {error.message}")
                drawn, taken = element("figure", caption, class_="recording"), 0
            room -= taken
            parts.append(drawn)
    if not parts:
        return element("p", "None lie beside the trace; name them with --recording.", class_="soft")
    return joined(*parts)


def _warnings(story: Story) -> Html:
    rows = [(time, call.machine, metric) for call in story.calls for time, metric in call.warnings]
    rows.sort(key=lambda row: row[0])
    if not rows:
        needed = LIMITS.interval * LIMITS.bad
        return element(
            "p",
            f"None. A warning needs {LIMITS.bad} bad samples of {LIMITS.interval:g} s ({needed:g} s).",
            class_="soft",
        )
    return _table(
        ("at", "machine", "what", "which way", "value", "warning"),
        [
            (
                _clock(time),
                machine,
                metric.type.replace("_", " "),
                {"local": "sent", "remote": "heard"}.get(metric.stream, "both ways"),
                f"{metric.value:g}",
                element("span", "raised" if metric.active else "cleared", class_="poor" if metric.active else "good"),
            )
            for time, machine, metric in rows
        ],
    )


def _ice(story: Story) -> Html:
    if not story.pairs:
        return element("p", "None: media went without ICE, or there was none.", class_="soft")
    in_use = {
        (call.machine, call.samples[-1].statistics.local, call.samples[-1].statistics.remote)
        for call in story.calls
        if call.samples
    }

    def end(address: object) -> str:
        kind = story.kinds.get(str(address))
        return f"{address} ({kind})" if kind else str(address)

    rows = []
    for pair in story.pairs:
        works = pair.answered > 0
        used = (pair.machine, pair.local, pair.remote) in in_use
        outcome = joined(element("span", pair.outcome, class_="good" if works else "poor"), "; in use" if used else "")
        rows.append(
            (
                _clock(pair.first - story.start),
                pair.machine,
                end(pair.local) + (f" by way of {pair.relay}" if pair.relay is not None else ""),
                f"STUN server {pair.remote}" if pair.server else end(pair.remote),
                f"{pair.sent} / {pair.answered}",
                pair.received,
                _ms(pair.rtt_ms),
                outcome,
            )
        )
    names = ("first", "machine", "local", "remote", "asked / answered", "was asked", "round trip", "outcome")
    return _table(names, rows)


def _timers(story: Story) -> Html:
    if not story.fired:
        return element("p", "None fired.", class_="soft")
    rows = [
        (
            _clock(each.time),
            each.machine,
            each.owner,
            element("b", each.timer),
            each.why,
            f"{each.late_ms:.1f} ms",
            ", ".join(each.then),
        )
        for each in story.fired
    ]
    return _table(("at", "machine", "of", "timer", "why", "late", "then the machine"), rows)


def _events(story: Story) -> Html:
    rows = [(_clock(each.time), each.machine, each.name, each.words) for each in story.happenings]
    return _table(("at", "machine", "event", "in words"), rows)


def _table(names: tuple[str, ...], rows: Iterable[tuple[Child, ...]]) -> Html:
    head = element(
        "tr", *(element("th", name, class_="time" if not number else None) for number, name in enumerate(names))
    )
    body = [
        element("tr", *(element("td", cell, class_="time" if not number else None) for number, cell in enumerate(row)))
        for row in rows
    ]
    table = element("table", element("thead", head), element("tbody", *body))
    return element("div", table, class_="scroll tall" if len(body) > 20 else "scroll")


def _clock(seconds: float) -> str:
    return f"{seconds:.3f} s"


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f} ms"


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share
