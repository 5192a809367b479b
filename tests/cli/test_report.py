"""`sansio-sip report`: the page of a simulated call that goes bad and recovers, and of the demo's."""

import importlib
import json
import pkgutil
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from cli.browsing import look_at
from interop.peers import sansio_sip as sansio_sip_run
from simulation.phones import SIP_WS, Network, tone

import sansio_sip
import sansio_sip_media
from sansio_sip.simulation import Link
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.timers import TimerSet
from sansio_sip.trace import TraceWriter
from sansio_sip_cli.main import main
from sansio_sip_cli.report.markup import Html, element
from sansio_sip_cli.report.plots import Series, plot, ticks
from sansio_sip_cli.report.story import Story
from sansio_sip_cli.report.timers import watched_timers, why
from sansio_sip_cli.report.watch import read_story
from sansio_sip_media.wav import wav_header

# A caller's name is the peer's to choose.
EVIL = "<script>alert('x')</script>\"><img src=http://example.com/x>"


class Elements(HTMLParser):
    """Every element of a page, with its attributes; and the text of it all."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of a call of 42 s, of which 16 lose half their packets; and a recording beside it."""
    path = tmp_path_factory.mktemp("report")
    lines: list[str] = []
    network = Network(7, sip=SIP_WS, trace=TraceWriter(lines.append, full=True))
    alice = network.phone("alice", MediaProfile.WEBRTC, display_name=EVIL)
    bob = network.phone("bob", MediaProfile.WEBRTC)
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    network.pass_time(0.5)
    bob.answer()
    assert network.wait(lambda: alice.has_media and bob.has_media, 10)
    for loss, seconds in ((0.0, 6.0), (0.5, 16.0), (0.0, 20.0)):
        network.world.connect("alice", "bob", Link(loss=loss))
        alice.say(tone(440, 2.0))
        network.pass_time(seconds)
    alice.hang_up()
    network.pass_time(1.0)
    (path / "call.jsonl").write_text("".join(lines))
    samples = tone(440, 1.0)
    (path / "alice-heard.wav").write_bytes(wav_header(2 * len(samples), 8000) + samples.tobytes())
    (path / "unrelated.wav").write_bytes(b"nothing")
    return path


@pytest.fixture(scope="module")
def story(folder: Path) -> Story:
    return read_story(folder / "call.jsonl")


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    out = folder / "report.html"
    with pytest.raises(SystemExit) as left:
        main(["report", str(folder / "call.jsonl"), "-o", str(out)])
    assert left.value.code == 0
    return out


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    elements = Elements(page.read_text())
    for tag, attributes in elements.found:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:audio/wav;base64,")) or not value, (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert "link" not in tags
    (policy,) = [each["content"] for tag, each in elements.found if each.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_what_a_peer_says_stays_text(page: Path) -> None:
    text = page.read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert EVIL in Elements(text).text


def test_the_story_of_a_call_that_goes_bad_and_recovers(story: Story) -> None:
    assert story.replay.different == 0
    assert {arrow.label for arrow in story.arrows} >= {"REGISTER", "INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE"}
    assert {call.machine for call in story.calls} == {"alice", "bob"}
    for call in story.calls:
        assert call.answered is not None
        assert call.connected is not None
        assert call.ended is not None
        assert call.answered < call.ended
        times = [sample.time for sample in call.samples]
        assert times == sorted(times)
        assert len(times) > 100
        losses = [sample.since.remote_loss or 0.0 for sample in call.samples]
        assert np.mean(losses[:20]) < 0.1
        assert np.mean(losses[30:80]) > 0.3
        for kind in ("high_packetloss", "low_mos"):
            assert [metric.active for _, metric in call.warnings if metric.type == kind] == [True, False], kind
    heard = [sample.levels for sample in story.calls[1].samples if sample.levels is not None]
    assert max(level[1] for level in heard) > -20
    assert min(level[1] for level in heard) < -60


def test_pairs_and_timers_are_told(story: Story) -> None:
    used = [pair for pair in story.pairs if pair.nominated]
    assert {pair.machine for pair in used} == {"alice", "bob"}
    for pair in used:
        assert pair.answered > 1
        assert pair.rtt_ms == pytest.approx(40, abs=5)
        assert story.kinds[str(pair.local)] == "host"
    timers = {(each.timer, each.owner) for each in story.fired}
    assert any(timer == "REPORT" and "rtcp session" in owner for timer, owner in timers)
    assert all(each.late_ms < 1 for each in story.fired)


def test_every_timer_of_every_machine_has_a_reason() -> None:
    found: set[Enum] = set()
    for package in (sansio_sip, sansio_sip_media):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found.update(_timers(importlib.import_module(module.name)))
    assert len(found) > 40
    for timer in found:
        assert " " in why(timer), f"{type(timer).__module__}: {timer.name} is {why(timer)!r}"


def _timers(module: ModuleType) -> set[Enum]:
    return {
        timer
        for name, kind in vars(module).items()
        if name.endswith("Timer") and isinstance(kind, type) and issubclass(kind, Enum)
        for timer in kind
    }


def test_timers_are_watched_for_the_block_alone() -> None:
    class Name(Enum):
        ONE = "one"
        TWO = "two"

    timers: TimerSet[Name] = TimerSet()
    told: list[tuple[Enum, float]] = []
    with watched_timers(lambda _, timer, deadline: told.append((timer, deadline))):
        timers.arm(Name.ONE, 1.0)
        timers.arm(Name.TWO, 2.0)
        assert list(timers.due(1.5)) == [Name.ONE]
        assert list(timers.due(3.0)) == [Name.TWO]
    timers.arm(Name.ONE, 1.0)
    assert list(timers.due(3.0)) == [Name.ONE]
    assert told == [(Name.ONE, 1.0), (Name.TWO, 2.0)]


def test_recordings_beside_the_trace_are_on_the_page(page: Path) -> None:
    elements = Elements(page.read_text())
    sounds = [each["src"] for tag, each in elements.found if tag == "audio"]
    assert len(sounds) == 1
    assert "alice-heard.wav" in elements.text


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A trace of signalling alone: a call to nobody."""
    lines: list[str] = []
    network = Network(3, trace=TraceWriter(lines.append, full=False))
    alice = network.phone("alice")
    assert alice.login()
    alice.call("nobody")
    network.pass_time(1.0)
    path = tmp_path / "short.jsonl"
    path.write_text("".join(lines))
    return path


def test_a_trace_without_audio_says_so(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = short.with_suffix(".html")
    with pytest.raises(SystemExit) as left:
        main(["report", str(short), "-o", str(out), "--json"])
    assert left.value.code == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["calls"], counts["different"], counts["pairs"]) == (1, 0, 0)
    text = Elements(out.read_text()).text
    assert "recorded without audio and digits" in text
    assert "call failed: Not Found (404)" in text


def test_a_trace_that_was_edited_is_told(short: Path, tmp_path: Path) -> None:
    text = short.read_text()
    at = text.index('"data"', text.index('"i":"receive_datagram"')) + 20
    (tmp_path / "x.jsonl").write_text(text[:at] + ("B" if text[at] != "B" else "C") + text[at + 1 :])
    with pytest.raises(SystemExit) as left:
        main(["report", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "x.html")])
    assert left.value.code == 1
    assert "The replay differs" in (tmp_path / "x.html").read_text()


def test_a_recording_that_cannot_be_read(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty one beside the trace, as a call that was never answered leaves it, is told of on the page."""
    out = short.with_suffix(".html")
    wav = short.with_suffix(".wav")
    wav.write_bytes(wav_header(0, 16_000))
    for words, status in (([], 0), (["--recording", str(wav)], 2)):
        with pytest.raises(SystemExit) as left:
            main(["report", str(short), "-o", str(out), *words])
        assert left.value.code == status
    assert "holds no audio" in Elements(out.read_text()).text
    assert "holds no audio" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{}\n", '{"trace": 1}\n[]\n', "\xff\xfe"])
def test_what_is_no_trace_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text(content, encoding="latin-1")
    with pytest.raises(SystemExit) as left:
        main(["report", str(tmp_path / "x"), "-o", str(tmp_path / "y")])
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "y").exists()


def test_ticks_are_round() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(-70, 0, 4) == [-60, -40, -20, 0]
    assert ticks(5, 5) == [5]


def test_a_curve_has_a_gap_where_nothing_was_measured() -> None:
    drawn = plot("x", "ms", [Series("a", "sent", [(0, 1.0), (1, None), (2, 3.0)])], span=(0, 2))
    (path,) = [each["d"] for tag, each in Elements(drawn).found if tag == "path"]
    assert path is not None
    assert path.count("M") == 2
    nothing = plot("x", "ms", [Series("a", "sent", [(0, None)])], span=(0, 2))
    assert "not measured" in nothing


def test_only_markup_is_markup() -> None:
    assert element("p", "<b>", Html("<i></i>"), title='"') == '<p title="&quot;">&lt;b&gt;<i></i></p>'


@pytest.mark.interop
def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    script = """(async () => {
        const sound = document.querySelector('audio');
        document.querySelector('.recording button').click();
        await new Promise((done) => sound.addEventListener('timeupdate', () => sound.currentTime > 0 && done()));
        document.querySelectorAll('.ladder summary')[3].click();
        const small = [...document.querySelectorAll('svg text, td, dd, figcaption, pre')]
          .map((each) => parseFloat(getComputedStyle(each).fontSize)).reduce((a, b) => Math.min(a, b));
        return { seconds: sound.duration, curves: document.querySelectorAll('.curve').length, small,
                 opened: document.querySelectorAll('.ladder details[open] pre').length };
    })()"""
    look = look_at(page.as_uri(), tmp_path / "report", script=script, widths=(1280, 600))
    assert not look.errors
    assert [url for url in look.requests if not url.startswith(("file:", "data:"))] == []
    assert look.answer["seconds"] == pytest.approx(1.0, abs=0.1)
    assert look.answer["curves"] >= 18
    assert look.answer["opened"] == 1
    assert look.answer["small"] >= 12
    assert all(overflow <= 0 for overflow in look.overflow.values()), look.overflow
    assert (tmp_path / "report-1280.png").stat().st_size > 50_000


@pytest.mark.realtime
def test_the_demo_can_be_seen(tmp_path: Path) -> None:
    with sansio_sip_run("demo", "--dir", str(tmp_path)) as run:
        assert run.wait(60) in (0, 1), str(run)  # what was heard is the concern of the demo's own test
    out = tmp_path / "report.html"
    with sansio_sip_run("report", str(tmp_path / "trace.jsonl"), "-o", str(out), "--json") as run:
        assert run.wait(60) == 0, str(run)
    counts = run.rows[0]
    assert counts["calls"] == 2
    assert counts["pairs"] >= 2
    assert counts["different"] == 0
    elements = Elements(out.read_text())
    assert sum(tag == "audio" for tag, _ in elements.found) == 4
