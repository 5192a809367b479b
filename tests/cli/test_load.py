"""`sansio-sip load`: what it counts and measures, and whether that is true."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from cli.browsing import look_at
from cli.phones import DOMAIN, Served, account, complaint, serving
from interop.peers import Lines, command, free_port, sansio_sip, wait_for
from interop.sipp import answers, sipp

from sansio_sip_cli.load.arrivals import Arrivals
from sansio_sip_cli.load.figures import Figures, Goal
from sansio_sip_cli.load.job import Plan
from sansio_sip_cli.load.scenarios import choose, load_scenario
from sansio_sip_cli.load.supervisor import DUE, UP, Supervisor, plans
from sansio_sip_cli.load.tally import HISTOGRAMS, Tally
from sansio_sip_cli.workers.process import ProcessWorker

# The tests' machine may be busy: whether the generator was late is a test of its own.
PATIENT = ("--max-late", "5000")


def test_calls_at_a_constant_rate_are_equally_far_apart() -> None:
    moments = list(Arrivals("constant", 4.0, 2.0))
    assert moments == [number / 4 for number in range(8)]
    assert list(Arrivals("constant", 4.0, 2.0, calls=3)) == moments[:3]


def test_a_poisson_process_has_its_rate_and_comes_again() -> None:
    moments = list(Arrivals("poisson", 50.0, 100.0, seed=3))
    assert len(moments) == pytest.approx(5000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance**0.5 == pytest.approx(mean, rel=0.05)  # of an exponential distribution both are the same
    assert moments == list(Arrivals("poisson", 50.0, 100.0, seed=3))
    assert moments != list(Arrivals("poisson", 50.0, 100.0, seed=4))


@pytest.mark.parametrize(("first", "last"), [(1.0, 9.0), (9.0, 1.0), (5.0, 5.0)])
def test_a_ramp_goes_from_one_rate_to_another(first: float, last: float) -> None:
    arrivals = Arrivals("ramp", first, 10.0, last=last)
    moments = list(arrivals)
    assert len(moments) == pytest.approx(arrivals.expected, abs=1)
    assert moments == sorted(moments)
    begin, end = (sum(1 for moment in moments if low <= moment < low + 2) for low in (0, 8))
    assert begin == pytest.approx(2 * first + (last - first) / 5, abs=1.5)
    assert end == pytest.approx(2 * last - (last - first) / 5, abs=1.5)


def test_calls_are_placed_until_the_next_had_its_turn() -> None:
    assert Arrivals("constant", 20.0, 10.0, calls=4).span == pytest.approx(0.2)
    assert Arrivals("constant", 20.0, 10.0, calls=400).span == Arrivals("constant", 20.0, 10.0).span == 10.0
    moments = list(Arrivals("poisson", 20.0, 10.0))
    assert Arrivals("poisson", 20.0, 10.0, calls=4).span == moments[4]
    assert Arrivals("ramp", 5.0, 2.0, calls=99).span == 2.0  # there are fewer


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_the_shares_of_workers_are_the_whole(workers: int) -> None:
    arrivals = Arrivals("poisson", 20.0, 10.0)
    shares = [list(arrivals.share(worker, workers)) for worker in range(workers)]
    assert sorted(moment for share in shares for moment in share) == list(arrivals)


def test_tallies_add_up() -> None:
    whole, parts = Tally(), [Tally(), Tally()]
    for number in range(2000):
        for tally in (whole, parts[number % 2]):
            tally.count("placed", number // 100)
            tally.scenarios["hold"] += 1
            tally.record("setup", number * 0.731)
            tally.record("mos", 1 + number % 35 / 10)
            if number % 7 == 0:
                tally.fail(f"Busy ({486 + number % 2})", number // 100)
    merged = Tally()
    for part in parts:
        merged.add(json.loads(json.dumps(part.as_dict())))
    assert {**merged.as_dict(), "histograms": {}} == {**whole.as_dict(), "histograms": {}}
    for name in ("setup", "mos"):
        assert merged.bars(name) == whole.bars(name)
        assert merged.mean(name) == whole.mean(name)
    assert whole.at("setup", 50) == pytest.approx(731, rel=0.01)
    assert whole.at("mos", 100) == pytest.approx(4.4, rel=0.001)
    assert whole.at("dtmf", 50) is None


def test_goals_are_kept_or_missed() -> None:
    tally = Tally()
    for number in range(100):
        tally.count("placed", 0)
        tally.record("setup", 10 * number)
        if number < 3:
            tally.fail("Busy (486)", 0)
    figures = Figures(tally, 10.0, 50.0).all()
    for text, kept in (
        ("failed<=3%", True),
        ("failed<3", False),
        ("rate>=10", True),
        ("setup_p95 <= 1000 ms", True),
        ("setup_p50<100", False),
        ("setup_max>900", True),
        ("dtmf_p95<=1000", False),  # never measured
    ):
        assert Goal.parse(text).is_kept(figures) is kept, text
    for text in ("setup<3", "failed", "failed=3", "failed<=x", "banana_p95<3"):
        with pytest.raises(ValueError, match="FIGURE"):
            Goal.parse(text)


def test_a_run_whose_generator_was_late_does_not_count() -> None:
    tally = Tally()
    for _ in range(97):
        tally.record("late", 1.0)
    assert Figures(tally, 10.0, 50.0).fault == ""
    for _ in range(3):
        tally.record("late", 400.0)
    assert "400 ms" in Figures(tally, 10.0, 50.0).fault
    assert Figures(tally, 10.0, 500.0).fault == ""
    ticking = Tally()
    ticking.counts.update({"seconds": 10, "late ticks": 4})
    assert Figures(ticking, 10.0, 50.0).fault == ""
    ticking.counts["late ticks"] = 50
    assert "audio" in Figures(ticking, 10.0, 50.0).fault


def test_a_mix_is_taken_by_weight() -> None:
    mix = [load_scenario("3*talk"), load_scenario("hold")]
    names = [choose(mix, 1, number).name for number in range(1000)]
    assert names.count("talk") == pytest.approx(750, abs=60)
    assert names == [choose(mix, 1, number).name for number in range(1000)]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--rate", "1", "--poisson", "2"], "exclude each other"),
        (["--rate", "0"], "--rate"),
        (["--ramp", "5"], "--ramp"),
        (["--scenario", "nothing"], "FILE.py:FUNCTION"),
        (["--scenario", "0*talk"], "weight"),
        (["--scenario", "absent.py:main"], "cannot read"),
        (["--slo", "setup<3"], "--slo"),
        (["-o", "report.txt"], "FILE.json or FILE.html"),
        (["--trace", "x"], "--trace"),
        (["--duration", "0"], "--duration"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert what in complaint(capsys, "load", "sip:alice@example.com", "bob", *words)


def test_a_report_that_cannot_be_written_is_said_before_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    # Nobody is there: were a call placed, or a login tried, that would be what is said.
    who = ["sip:alice@example.com", "bob", "--server", "tcp://127.0.0.1:1"]
    assert "/absent/report.html" in complaint(capsys, "load", *who, "-o", "/absent/report.html")


def test_a_scenario_must_be_an_async_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def talk(caller):\n    pass\n\nbroken = 1\n")
    assert "no async function" in complaint(capsys, "load", "sip:a@b.c", "bob", "--scenario", f"{path}:talk")
    path.write_text("1 / 0\n")
    assert "ZeroDivisionError" in complaint(capsys, "load", "sip:a@b.c", "bob", "--scenario", f"{path}:talk")


# Runs


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def echo(served: Served) -> Iterator[Lines]:
    """Bob echoes audio and keys of as many calls as come."""
    words = ["--echo", "--calls", "10000", "--media", "rtp"]
    with sansio_sip("answer", *account("bob", served, scheme="udp"), *words) as bob:
        bob.event("onLogin")
        yield bob


def load(served: Served, *words: str, status: int = 0, target: str = "bob", runs: int = 1) -> dict[str, Any]:
    """A run; its report."""
    who = account("alice", served, scheme="udp")
    with sansio_sip("load", *who, target, *PATIENT, *words) as run:
        assert run.wait(90) == status, str(run)
    assert len(run.rows) == runs
    return run.rows[0]


def count_of(report: dict[str, Any], name: str) -> int:
    tally = Tally()
    tally.add(report)
    return tally.measured(name)


@pytest.mark.realtime
def test_signalling_alone(served: Served, echo: Lines) -> None:
    report = load(served, "--signalling", "--rate", "10", "--duration", "3", "--hold", "0.5", "--slo", "failed<=0")
    assert report["counts"]["placed"] == report["counts"]["answered"] == report["counts"]["completed"] == 30
    assert report["scenarios"] == {"hold": 30}
    assert report["valid"]
    assert report["goals"] == [{"goal": "failed<=0", "kept": True}]
    assert count_of(report, "setup") == 30
    assert "with media" not in report["counts"]
    assert report["figures"]["mos_mean"] is None


@pytest.mark.realtime
def test_audio_keys_and_two_workers(served: Served, echo: Lines, tmp_path: Path) -> None:
    out = tmp_path / "report"
    mix = ["--scenario", "talk", "--scenario", "keys", "--media", "rtp", "--workers", "2", "--hold", "2"]
    report = load(served, "--rate", "2", "--duration", "3", *mix, "-o", f"{out}.json", "-o", f"{out}.html")
    counts = report["counts"]
    assert (counts["placed"], counts["answered"], counts["with media"]) == (6, 6, 6)
    assert sum(report["scenarios"].values()) == 6
    assert report["workers"] == 2
    assert report["lost_workers"] == 0
    assert counts["packets received"] > 100
    assert counts.get("one way", 0) == 0
    for name, at_least in (("setup", 6), ("loss", 6), ("late", 6), ("dtmf", report["scenarios"].get("keys", 0))):
        assert count_of(report, name) >= at_least, name
    assert 50 < report["figures"]["dtmf_p50"] < 3000
    assert json.loads(out.with_suffix(".json").read_text())["counts"] == counts
    assert sum(report["seconds"]["placed"].values()) == 6


@pytest.mark.realtime
def test_failures_are_told_by_cause(served: Served) -> None:
    report = load(served, "--signalling", "--calls", "4", "--rate", "20", target="nobody", status=1)
    assert report["failures"] == {"Not Found (404)": 4}
    assert report["counts"]["failed"] == 4
    assert "answered" not in report["counts"]
    assert report["seconds"]["failed"]
    assert report["figures"]["rate"] == pytest.approx(20)


@pytest.mark.realtime
def test_calls_beyond_the_limit_have_failed(served: Served, echo: Lines) -> None:
    words = ["--signalling", "--calls", "5", "--rate", "20", "--hold", "2", "--limit", "2"]
    report = load(served, *words)
    assert report["counts"]["placed"] == 5
    assert report["failures"] == {"more than 2 at a time": 3}
    assert report["figures"]["failed"] == 60


@pytest.mark.realtime
def test_a_scenario_of_ones_own(served: Served, echo: Lines, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    # What it prints, or a program that it starts, is no report of ours.
    path.write_text(
        "import os\n"
        "print('read')\n"
        "async def twice(caller):\n"
        "    print('called')\n"
        "    os.system('echo said')\n"
        "    first = await caller.call(headers={'X-PH-Number': str(caller.number)})\n"
        "    await first.hang_up()\n"
        "    second = await caller.call()\n"
        "    await second.stay(0.1)\n"
        "    if caller.number == 1:\n"
        "        raise ValueError('not today')\n"
    )
    report = load(served, "--signalling", "--calls", "3", "--rate", "10", "--scenario", f"{path}:twice")
    assert report["counts"]["placed"] == report["counts"]["answered"] == report["counts"]["completed"] == 6
    assert report["failures"] == {"mine.py:twice: ValueError: not today": 1}
    assert report["scenarios"] == {"mine.py:twice": 3}


@pytest.mark.realtime
def test_goals_and_lateness_are_in_the_exit_status(served: Served, echo: Lines) -> None:
    words = ["--signalling", "--calls", "2", "--rate", "10", "--hold", "0.1"]
    report = load(served, *words, "--slo", "setup_p95<=0", status=1)
    assert report["goals"] == [{"goal": "setup_p95<=0", "kept": False}]
    who = account("alice", served, scheme="udp")
    with sansio_sip("load", *who, "bob", *words, "--max-late", "0") as run:
        assert run.wait(60) == 1, str(run)
    assert not run.rows[0]["valid"]
    assert "late" in run.rows[0]["fault"]


@pytest.mark.realtime
def test_interrupted_it_tells_what_ran(served: Served, echo: Lines) -> None:
    who = account("alice", served, scheme="udp")
    words = ["--signalling", "--rate", "5", "--duration", "60", "--hold", "60", "--workers", "2"]
    echo.take_waiting()
    before = len(echo.rows)
    with sansio_sip("load", *who, "bob", *PATIENT, *words) as run:

        def three_calls() -> bool:
            echo.take_waiting()
            return sum(row.get("event") == "onCallAnswered" for row in echo.rows[before:]) >= 3

        wait_for(three_calls, "three calls")
        run.process.send_signal(signal.SIGINT)
        assert run.wait(60) == 130, str(run)
    report = run.rows[0]
    assert report["interrupted"]
    assert report["counts"]["answered"] >= 3
    assert report["counts"]["completed"] == report["counts"]["answered"]
    assert report["seconds"]["placed"]


@pytest.mark.realtime
def test_calls_of_a_worker_that_is_lost_are_written_off(served: Served, echo: Lines) -> None:
    options = {
        "account": f"sip:alice@{DOMAIN}",
        "server": [served.urls["udp"]],
        "password": "pw-alice",
        "username": None,
        "no_register": False,
        "listen": None,
        "codec": "pcmu",
        "media": "rtp",
        "bind": None,
        "expires": 120,
        "ca": None,
        "insecure": False,
    }
    plan = Plan(options, "bob", Arrivals("constant", 4.0, 6.0), hold=1.0, signalling=True)

    async def main() -> Supervisor:
        killed: list[int] = []

        def on_progress(counts: dict[str, int], seconds: float) -> None:
            if counts["answered"] >= 6 and not killed:
                killed.append(supervisor.parts[0].worker.about["pid"])
                os.kill(killed[0], signal.SIGKILL)

        each = plans(plan, 2)
        workers = [ProcessWorker("load", one.as_dict()) for one in each]
        supervisor = Supervisor(each, workers, on_progress)
        await supervisor.run()
        assert killed
        return supervisor

    supervisor = asyncio.run(main())
    counts, failures = supervisor.tally.counts, supervisor.tally.failures
    assert supervisor.crew.lost == 1
    assert 12 < counts["placed"] < 24  # the other worker's share, and what was due of the lost one's
    assert counts["completed"] >= 12
    assert set(failures) <= {UP, DUE}
    assert counts["placed"] == counts["completed"] + counts["failed"]
    assert counts["failed"] == sum(failures.values()) > 0


@pytest.mark.realtime
def test_a_login_that_fails_ends_it(served: Served) -> None:
    who = account("alice", served, scheme="udp", password="wrong")
    with sansio_sip("load", *who, "bob", "--signalling", "--workers", "2") as run:
        assert run.wait(60) == 3, str(run)
    assert "password" in run.errors[-1]
    who = [f"sip:alice@{DOMAIN}", "--server", f"tcp://127.0.0.1:{free_port()}"]
    with sansio_sip("load", *who, "bob", "--signalling") as run:
        assert run.wait(60) == 4, str(run)


@pytest.mark.interop
@pytest.mark.realtime
def test_audio_that_comes_one_way_only_is_noticed(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    deaf = sipp(tmp_path, "uas", answers(), "-p", str(port), "-mp", str(free_port(socket.SOCK_DGRAM) & ~1), calls=2)
    with command(deaf, cwd=tmp_path):
        who = ["sip:alice@127.0.0.1", f"sip:bob@127.0.0.1:{port}", "--no-register", "--media", "rtp"]
        with sansio_sip("load", *who, *PATIENT, "--scenario", "talk", "--calls", "2", "--hold", "2") as run:
            assert run.wait(60) == 0, str(run)
    assert run.rows[0]["counts"]["one way"] == 2
    assert run.rows[0]["figures"]["one_way"] == 100


@pytest.mark.interop
def test_the_page_of_a_run_is_legible(tmp_path: Path) -> None:
    from sansio_sip_cli.load.page import page

    tally = Tally()
    for number in range(500):
        tally.count("placed", number // 10)
        tally.count("answered", number // 10)
        for name in HISTOGRAMS:
            tally.record(name, 1 + (number * 37 % 97) / 30)
    tally.fail("<b>Busy</b> (486)", 3)
    tally.scenarios["hold"] += 500
    path = tmp_path / "load.html"
    path.write_text(page(Figures(tally, 50.0, 1.0), [Goal.parse("setup_p95<=3")], "sip:alice@example.com calls bob"))
    script = """[...document.querySelectorAll('svg text, td, dd, figcaption')]
        .map((each) => parseFloat(getComputedStyle(each).fontSize)).reduce((a, b) => Math.min(a, b))"""
    look = look_at(path.as_uri(), tmp_path / "load", script=script, widths=(1280, 600))
    assert not look.errors
    assert look.answer >= 12
    assert [url for url in look.requests if not url.startswith("file:")] == []
    assert all(overflow <= 0 for overflow in look.overflow.values()), look.overflow
    assert "&lt;b&gt;Busy" in path.read_text()


def test_moments_are_made_as_they_are_asked_for() -> None:
    assert len(list(islice(Arrivals("constant", 10_000.0, 1e9), 5))) == 5
