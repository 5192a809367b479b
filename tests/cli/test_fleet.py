"""`sansio-sip fleet`: phones that answer, behind the Kamailio of the examples; and both commands on a Ray cluster."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cli.phones import Served, account, complaint, serving
from interop.peers import Lines, absent, command, free_port, require, sansio_sip, wait_for

from sansio_sip_cli.fleet.command import Phone
from sansio_sip_cli.fleet.dispatcher import dispatcher_list, write_list
from sansio_sip_cli.load.arrivals import Arrivals
from sansio_sip_cli.load.job import Plan
from sansio_sip_cli.load.supervisor import DUE, UP, LoadPart, plans
from sansio_sip_cli.load.tally import Tally
from sansio_sip_cli.workers.process import ProcessWorker

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "examples" / "kamailio_dispatcher" / "kamailio.cfg"

# The tests' machine may be busy: whether the generator was late is a test of its own.
PATIENT = ("--max-late", "5000")
SIGNALLING = ("--signalling", "--hold", "0.3", "--ring-timeout", "20")


def test_the_list_of_phones_is_one_that_the_dispatcher_reads(tmp_path: Path) -> None:
    text = dispatcher_list([(1, "192.0.2.1", 5061), (3, "2001:db8::1", 5062)])
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert rows == [
        "1 sip:192.0.2.1:5061;transport=udp 0 0 duid=phone1",
        "1 sip:[2001:db8::1]:5062;transport=udp 0 0 duid=phone3",
    ]
    path = tmp_path / "phones.list"
    for each in (text, dispatcher_list([])):
        write_list(path, each)
        assert path.read_text() == each
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--echo", "--play", "x.wav"], "exclude each other"),
        (["--dispatcher", "list"], "--no-register"),
        (["--trace", "x"], "--trace"),
        (["--no-register", "--dispatcher", "/absent/list"], "/absent/list"),
        (["--no-register", "--listen", "192.0.2.1:0"], "--listen"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert what in complaint(capsys, "fleet", "sip:bot@127.0.0.1", *words)


def test_an_absent_package_is_named_with_its_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["fleet", "sip:bot@127.0.0.1", "--no-register", "--ray", "auto"]
    assert "sansio-sip[fleet]" in complaint(capsys, *words, status=2)


def part(arrivals: Arrivals, worker: int = 0, workers: int = 2) -> LoadPart:
    plan = plans(Plan({"account": "sip:a{n}@b.c"}, "bob", arrivals), workers)[worker]
    return LoadPart(worker, ProcessWorker("load", plan.as_dict()), plan)


def test_what_is_lost_with_a_worker_is_accounted_for_call_by_call() -> None:
    # Its share: at 0, 0.5, 1, ... It told last of five placed, of which two had ended, one had failed and two were up.
    each = part(Arrivals("constant", 4.0, 10.0))
    told = Tally()
    for number in range(5):
        told.count("placed", number // 2)
    told.counts["completed"] = 2
    told.fail("Busy (486)", 1)
    each.last = {"next": 5, "up": 2, "now": 2, "tally": told.as_dict()}
    assert each.write_off(0, 4.1) == 9  # due at 2.5, 3, 3.5 and 4
    counts = each.tally.counts
    assert each.tally.failures == {"Busy (486)": 1, UP: 2, DUE: 4}
    assert counts["placed"] == 9 == counts["completed"] + counts["failed"]
    # Lost again, before it told anything: what was due meanwhile, and no call twice.
    each.last = {}
    assert each.write_off(9, 6.0) == 12
    assert counts["placed"] == 12 == counts["completed"] + counts["failed"]


def test_a_lost_phone_is_accounted_for() -> None:
    phone = Phone(0, ProcessWorker("fleet", {}))
    phone.last = {"calls": 7, "answered": 6, "ended": 3, "failed": 1, "digits": 2, "up": 3}
    phone.write_off(0, 1.0)
    phone.done({"calls": 1, "answered": 1, "ended": 1, "failed": 0, "digits": 0})
    assert phone.counts == {"calls": 8, "answered": 7, "ended": 4, "failed": 1, "digits": 2, "lost calls": 3}


# Runs


def load(*words: str, status: int = 0) -> dict[str, Any]:
    """A run; its report."""
    with sansio_sip("load", *words, *PATIENT) as run:
        assert run.wait(120) == status, str(run)
    return run.rows[-1]


def add_up(report: dict[str, Any]) -> None:
    """The whole is the sum of its parts, and each call has come to one end."""
    for name in ("counts", "failures", "scenarios"):
        total: dict[str, int] = {}
        for each in report["parts"]:
            for key, count in each[name].items():
                total[key] = total.get(key, 0) + count
        assert total == report[name]
    counts, tally = report["counts"], Tally()
    tally.add(report)
    for name in ("setup", "late"):
        assert tally.measured(name) == sum(each["measured"].get(name, 0) for each in report["parts"])
    assert counts["placed"] == counts["completed"] + counts.get("failed", 0)
    assert counts.get("failed", 0) == sum(report["failures"].values())


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


@pytest.mark.realtime
def test_registered_phones_take_calls(served: Served) -> None:
    words = [*account("bob", served, scheme="udp"), "--workers", "2", "--media", "rtp"]
    with sansio_sip("fleet", *words) as fleet:
        for number in (1, 2):
            fleet.event("worker", worker=number, state="ready")
        report = load(*account("alice", served, scheme="udp"), "bob", *SIGNALLING, "--calls", "4", "--rate", "5")
        assert report["counts"]["completed"] == 4
        fleet.process.send_signal(signal.SIGINT)
        assert fleet.wait(60) == 130, str(fleet)
    summary = fleet.rows[-1]
    # Both are bob: each call rings at both, and one of them has it.
    assert summary["ended"] >= 4
    assert summary["calls"] == sum(each["calls"] for each in summary["parts"])
    assert summary["lost_workers"] == 0


@pytest.mark.realtime
def test_a_fleet_ends_when_its_time_is_over() -> None:
    with sansio_sip("fleet", "sip:bob@127.0.0.1", "--no-register", "--listen", "127.0.0.1:0", "--for", "0.2") as fleet:
        assert fleet.wait(60) == 0, str(fleet)
    assert fleet.rows[-1]["event"] == "summary"


@pytest.mark.realtime
def test_a_fleet_that_cannot_log_in_says_so(served: Served) -> None:
    with sansio_sip("fleet", *account("bob", served, scheme="udp", password="wrong"), "--workers", "2") as fleet:
        assert fleet.wait(60) == 3, str(fleet)
    assert "password" in fleet.errors[-1]


@contextmanager
def dispatching(phones: Path) -> Iterator[int]:
    """The Kamailio of the examples on a port of loopback."""
    require("kamailio")
    port = free_port(socket.SOCK_DGRAM)
    listen = ["-l", f"udp:127.0.0.1:{port}", "-m", "64", "-M", "8", "-P", str(phones.with_suffix(".pid"))]
    folders = ["-Y", str(phones.parent), "-w", str(phones.parent)]
    arguments = ["kamailio", "-DD", "-E", "-f", str(CONFIGURATION), *folders, *listen, "-A", f'PHONES="{phones}"']
    with command(arguments) as lines:
        wait_for(lambda: answers(port, lines), "Kamailio is up")
        yield port


def answers(port: int, lines: Lines) -> bool:
    """OPTIONS is answered there."""
    assert lines.process.poll() is None, f"Kamailio ended\n{lines}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.5)
        sock.connect(("127.0.0.1", port))
        here = f"127.0.0.1:{sock.getsockname()[1]}"
        head = (
            f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{os.urandom(4).hex()}\r\n"
        )
        rest = "From: <sip:t@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: up\r\nCSeq: 1 OPTIONS\r\n"
        try:
            sock.send(f"{head}{rest}Max-Forwards: 5\r\nContent-Length: 0\r\n\r\n".encode())
            return sock.recv(2000).startswith(b"SIP/2.0 200")
        except (TimeoutError, ConnectionError):
            return False


@pytest.mark.interop
@pytest.mark.realtime
def test_kamailio_spreads_calls_over_the_phones_and_passes_by_one_that_is_gone(tmp_path: Path) -> None:
    phones = tmp_path / "phones.list"
    words = ["sip:bot@127.0.0.1", "--no-register", "--media", "rtp", "--workers", "3", "--dispatcher", str(phones)]
    with sansio_sip("fleet", *words) as fleet:
        begun = [fleet.event("worker", worker=number, state="ready") for number in (1, 2, 3)]
        wait_for(lambda: phones.read_text().count("duid") == 3, "three phones in the list")
        assert all(f"sip:{row['address']};" in phones.read_text() for row in begun)
        with dispatching(phones) as port:
            who = ["sip:alice@127.0.0.1", f"sip:bot@127.0.0.1:{port}", "--no-register", *SIGNALLING]
            report = load(*who, "--calls", "9", "--rate", "5")
            assert report["counts"]["completed"] == 9
            # One goes in the middle of the next calls: those that find it silent are given to another.
            os.kill(begun[1]["pid"], signal.SIGKILL)
            report = load(*who, "--calls", "6", "--rate", "3")
            assert report["counts"]["completed"] == 6
            fleet.event("worker", worker=2, state="lost")
            wait_for(lambda: phones.read_text().count("duid") == 2, "two phones in the list")
            # All are gone: Kamailio has read so.
            fleet.process.send_signal(signal.SIGINT)
            assert fleet.wait(60) == 130, str(fleet)
            assert phones.read_text().count("duid") == 0
    parts = fleet.rows[-1]["parts"]
    assert [each["lost"] for each in parts] == [0, 1, 0]
    assert sum(each["ended"] for each in parts) >= 12  # without what the lost one did not live to tell
    assert all(each["calls"] >= 3 for each in parts if not each["lost"])
    assert fleet.rows[-1]["lost_workers"] == 1


@contextmanager
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes, one core each."""
    if find_spec("ray") is None:
        absent("ray is not installed: pip install 'sansio-sip[fleet]'")
    with command([sys.executable, str(ROOT / "tests" / "interop" / "ray_cluster.py")]) as lines:
        yield str(lines.event("up", 120)["address"])
        assert lines.process.stdin is not None
        lines.process.stdin.close()
        lines.wait(60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with ray_cluster() as address:
        yield address


def ended(target: Lines) -> int:
    """Calls that have ended there."""
    target.take_waiting()
    return sum(row.get("event") == "onCallTerminated" for row in target.rows)


@pytest.mark.soak
@pytest.mark.interop
@pytest.mark.realtime
@pytest.mark.timeout(400)
def test_a_worker_that_is_killed_on_ray_is_stood_in_for_and_the_report_adds_up(cluster: str, tmp_path: Path) -> None:
    """Scenarios come from a file that the workers read nothing of; audio is plain RTP of PCMU, each way."""
    scenario = tmp_path / "mine.py"
    scenario.write_text("async def stay(caller):\n    call = await caller.call()\n    await call.stay(caller.hold)\n")
    port = free_port(socket.SOCK_DGRAM)
    bob = ["sip:bob@127.0.0.1", "--no-register", "--media", "rtp", "--listen", f"127.0.0.1:{port}", "--calls", "9999"]
    with sansio_sip("answer", *bob) as target:
        words = ["sip:alice{n}@127.0.0.1", f"sip:bob@127.0.0.1:{port}", "--no-register", "--ray", cluster]
        words += ["--media", "rtp", "--codec", "pcmu", "--rate", "2", "--duration", "25", "--hold", "4"]
        with sansio_sip("load", *words, "--scenario", f"{scenario}:stay", *PATIENT) as run:
            begun = [run.event("worker", 120, worker=number, state="ready") for number in (1, 2)]
            assert {row["node"] for row in begun} == {"127.0.0.2", "127.0.0.3"}
            # In the middle: some calls have ended, and others are up.
            wait_for(lambda: ended(target) >= 4, "the first calls' end")
            os.kill(begun[0]["pid"], signal.SIGKILL)
            run.event("worker", worker=1, state="lost")
            back = run.event("worker", 90, worker=1, state="back")
            assert back["pid"] != begun[0]["pid"]
            assert run.wait(120) == 1, str(run)  # calls were lost
    report = run.rows[-1]
    add_up(report)
    counts, failures = report["counts"], report["failures"]
    assert counts["placed"] == 50  # every call that was due, whoever placed it
    assert set(failures) <= {UP, DUE}
    assert sum(failures.values()) >= 1
    first, second = report["parts"]
    assert (first["lost"], second["lost"]) == (1, 0)
    assert second["counts"]["completed"] == 25
    assert first["counts"]["completed"] > 0
    assert counts.get("one way", 0) == 0
    assert report["lost_workers"] == 1


@pytest.mark.soak
@pytest.mark.interop
@pytest.mark.realtime
@pytest.mark.timeout(400)
def test_a_phone_that_is_killed_on_ray_comes_back_and_is_called_again(cluster: str, tmp_path: Path) -> None:
    phones = tmp_path / "phones.list"
    words = ["sip:bot@127.0.0.1", "--no-register", "--media", "rtp", "--ray", cluster, "--dispatcher", str(phones)]
    with sansio_sip("fleet", *words) as fleet:
        begun = [fleet.event("worker", 120, worker=number, state="ready") for number in (1, 2)]
        # Each on its own machine's address.
        assert {row["address"].partition(":")[0] for row in begun} == {"127.0.0.2", "127.0.0.3"}
        wait_for(lambda: phones.read_text().count("duid") == 2, "two phones in the list")
        os.kill(begun[0]["pid"], signal.SIGKILL)
        back = fleet.event("worker", 90, worker=1, state="back")
        wait_for(lambda: f"sip:{back['address']};" in phones.read_text(), "its new place in the list")
        target = f"sip:bot@{back['address']}"
        report = load("sip:alice@127.0.0.1", target, "--no-register", *SIGNALLING, "--calls", "3", "--rate", "5")
        assert report["counts"]["completed"] == 3
        fleet.process.send_signal(signal.SIGINT)
        assert fleet.wait(60) == 130, str(fleet)
    summary = fleet.rows[-1]
    assert (summary["ended"], summary["lost_workers"]) == (3, 1)
    assert [each["ended"] for each in summary["parts"]] == [3, 0]


@pytest.mark.interop
def test_a_cluster_that_is_none_is_said_before_a_packet_leaves() -> None:
    if find_spec("ray") is None:
        absent("ray is not installed: pip install 'sansio-sip[fleet]'")
    with sansio_sip("load", "sip:alice@127.0.0.1", "sip:bob@127.0.0.1:9", "--no-register", "--ray", "nowhere") as run:
        assert run.wait(60) == 2, str(run)
    assert run.lines == []
    assert "ray start" in run.errors[-1]
