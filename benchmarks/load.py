"""`sansio-sip load` beside SIPp: the same calls at the same rate to the same target, in turns.

Two targets. Set-up times are compared at Kamailio with `sansio-sip answer` behind it, where each INVITE is challenged,
and beside what each generator says stands what tshark saw of its calls; what a call costs the generator, at SIPp's own
answering scenario, which costs next to nothing itself.
"""

import csv
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the peers and scenarios of the tests

from interop.peers import Kamailio, command, free_port, kamailio, require, wait_for  # noqa: E402
from interop.sipp import calls as calling  # noqa: E402
from interop.sipp import sipp  # noqa: E402

from sansio_sip_cli.runtimes import PRIORITY  # noqa: E402

__all__ = ["run"]

# Of set-up times: runs of each generator in turns, so that whatever else the machine does falls on both.
ROUNDS = 5

# Seconds of ringing: none, where much of what is measured is the generator; and as little as a telephone rings.
RINGS = (0.0, 0.2)

# Seconds that a call lasts: long enough for ACK and BYE to have their own time.
HOLD = 0.3


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: calls that went through, mean and median of set-up in ms, CPU seconds of the generator a call.

    `wire` is the median as tshark saw it.
    """

    calls: int
    mean: float
    median: float
    cpu: float
    wire: float = 0.0


def run(calls: int = 1000, rate: float = 10.0, cost_rate: float = 100.0) -> str:
    """Runs both, and gives a table.

    Args:
        calls: of each run. rate: calls a second, for set-up times. cost_rate: likewise, for what a call costs.
    """
    require("kamailio", "sipp", "tshark")
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ring in RINGS:
            with target(folder, ring) as peer:
                theirs, ours = [], []
                server = ["--server", peer.server("udp")]
                for _ in range(ROUNDS):
                    with wire(peer.port) as seen:
                        one = by_sipp(folder, f"127.0.0.1:{peer.port}", calls, rate, domain=peer.domain)
                    theirs.append(replace(one, wire=statistics.median(seen)))
                    with wire(peer.port) as seen:
                        one = by_us(server, f"sip:bob@{peer.domain}", calls, rate, peer.domain)
                    ours.append(replace(one, wire=statistics.median(seen)))
            lines.append(_set_up(theirs, ours, rate, ring))
        port = free_port(socket.SOCK_DGRAM)
        with command(["sipp", "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-nostdin"], cwd=folder):
            there = f"127.0.0.1:{port}"
            theirs = [by_sipp(folder, there, calls, cost_rate)]
            start = by_us([], f"sip:bob@{there}", 1, cost_rate).cpu
            ours = [by_us([], f"sip:bob@{there}", calls, cost_rate, start=start)]
        lines.append(_cost(theirs[0], ours[0], cost_rate))
    return "\n\n".join(lines)


@contextmanager
def target(folder: Path, ring: float) -> Iterator[Kamailio]:
    """Kamailio, and Bob behind it who answers all after so many seconds of ringing."""
    place = Path(tempfile.mkdtemp(dir=folder))
    with kamailio(place) as peer:
        words = ["--server", peer.server("udp"), "--password", "pw-bob", "--media", "rtp", "--calls", "1000000"]
        words += ["--ring", f"{ring:g}"]
        # Into a file: were it a pipe, the target would wait for whoever reads it.
        said = place / "answer.jsonl"
        own = [sys.executable, "-m", "sansio_sip_cli", "answer", f"sip:bob@{peer.domain}", *words, "--json"]
        with command(["sh", "-c", 'exec "$@" > "$0"', str(said), *own], env=_environment()):
            wait_for(lambda: said.exists() and "onLogin" in said.read_text(), "the target is registered")
            yield peer


@contextmanager
def wire(port: int) -> Iterator[list[float]]:
    """Milliseconds from the first INVITE of each call that comes to this port until its answer leaves it, by tshark.

    The list is filled when the block ends.
    """
    times: list[float] = []
    fields = ("frame.time_epoch", "sip.Call-ID", "udp.srcport", "udp.dstport", "sip.Status-Code")
    reading = ["-d", f"udp.port=={port},sip", "-Y", 'sip.CSeq.method == "INVITE"', "-T", "fields"]
    names = [word for name in fields for word in ("-e", name)]
    with command(["tshark", "-l", "-n", "-i", "lo", "-f", f"udp port {port}", *reading, *names]) as lines:
        lines.until_error("Capturing on")
        yield times
    lines.take_waiting()
    begun: dict[str, tuple[float, str]] = {}
    for line in lines.lines:
        moment, call, source, destination, status = line.split("\t")
        if call not in begun:
            if not status:
                begun[call] = float(moment), source
        elif status == "200" and destination == begun[call][1]:
            times.append(1000 * (float(moment) - begun[call][0]))
            begun[call] = 0.0, ""  # that answer may come again


def by_sipp(folder: Path, where: str, calls: int, rate: float, *, domain: str = "127.0.0.1") -> Measured:
    """SIPp's run. Both ends say `inactive`, as `load --signalling` does."""
    text = calling().replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 PCMU/8000\na=inactive")
    for old in folder.glob("*_rtt.csv"):
        old.unlink()
    words = ["-s", "bob", "-key", "from", "alice", "-key", "domain", domain, "-au", "alice", "-ap", "pw-alice"]
    words += ["-p", str(free_port(socket.SOCK_DGRAM)), "-d", str(round(HOLD * 1000)), "-r", f"{rate:g}"]
    arguments = sipp(folder, "uac", text, where, *words, "-trace_rtt", "-rtt_freq", "1", calls=calls)
    before = _cpu()
    status, _, said = _first(arguments, cwd=folder)
    if status not in (0, 1):  # 1: some of its calls failed, which a busy target may do
        raise RuntimeError(f"SIPp ended with {status}: {said[-500:]}")
    spent = _cpu() - before
    with next(folder.glob("*_rtt.csv")).open() as rows:
        times = [float(row["response_time_ms"]) for row in csv.DictReader(rows, delimiter=";")]
    # SIPp cuts to whole milliseconds: on average half of one is missing.
    return Measured(len(times), statistics.mean(times) + 0.5, statistics.median(times) + 0.5, spent / calls)


def by_us(
    server: list[str], target: str, calls: int, rate: float, domain: str = "127.0.0.1", *, start: float = 0.0
) -> Measured:
    """Our run; `start`: CPU seconds that it costs to begin, which are taken off."""
    words = ["--signalling", "--rate", f"{rate:g}", "--calls", str(calls), "--duration", "100000"]
    way = [*server, "--password", "pw-alice"] if server else ["--no-register"]
    arguments = ["load", f"sip:alice@{domain}", target, *way, *words, "--hold", f"{HOLD:g}", "--max-late", "1000"]
    before = _cpu()
    status, printed, said = _first([sys.executable, "-m", "sansio_sip_cli", *arguments, "--json"], cwd=ROOT)
    if status not in (0, 1):
        raise RuntimeError(f"load ended with {status}: {said[-500:]}")
    report = json.loads(printed.splitlines()[-1])
    figures, answered = report["figures"], report["counts"].get("answered", 0)
    return Measured(answered, figures["setup_mean"], figures["setup_p50"], (_cpu() - before - start) / calls)


def _first(arguments: list[str], *, cwd: Path) -> tuple[int, str, str]:
    """Runs a generator before all else, where that is allowed: what waits for a processor measures the machine.

    Gives its status, and what it printed on standard output and standard error.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(arguments, cwd=cwd, env=_environment(), text=True, stdout=pipe, stderr=pipe)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, PRIORITY)
    printed, said = process.communicate()
    return process.returncode, printed, said


def _set_up(theirs: list[Measured], ours: list[Measured], rate: float, ring: float) -> str:
    count = sum(each.calls for each in ours)
    title = f"{rate:g} calls a second, {len(ours)} runs of each in turns, {count} calls of ours"
    rows = [
        f"Set-up at Kamailio with `sansio-sip answer --ring {ring:g}`: {title}.",
        "",
        "| generator | median ms | from run to run | mean ms | from run to run | by tshark: median ms |",
        "|---|---|---|---|---|---|",
    ]
    typical, seen = [], []
    for name, runs in (("SIPp", theirs), ("sansio-sip load", ours)):
        medians, means = [each.median for each in runs], [each.mean for each in runs]
        typical.append(statistics.median(medians))
        seen.append(statistics.median(each.wire for each in runs))
        spread, wide = f"{min(medians):.2f} to {max(medians):.2f}", f"{min(means):.2f} to {max(means):.2f}"
        mean = statistics.median(means)
        rows.append(f"| {name} | {typical[-1]:.2f} | {spread} | {mean:.2f} | {wide} | {seen[-1]:.2f} |")
    said, true = (100 * (ours / theirs - 1) for theirs, ours in (typical, seen))
    return "\n".join([*rows, "", f"difference of the medians {said:+.1f} %, of those by tshark {true:+.1f} %"])


def _cost(theirs: Measured, ours: Measured, rate: float) -> str:
    ratio = theirs.cpu / ours.cpu
    rows = [
        f"Signalling alone, {rate:g} calls a second at SIPp's answering scenario, one core:",
        "",
        "| generator | CPU ms a call | calls a CPU second |",
        "|---|---|---|",
        f"| SIPp | {1000 * theirs.cpu:.3f} | {1 / theirs.cpu:.0f} |",
        f"| sansio-sip load | {1000 * ours.cpu:.3f} | {1 / ours.cpu:.0f} |",
        "",
        f"ratio of calls a second, ours to SIPp's: {ratio:.3f}",
    ]
    return "\n".join(rows)


def _cpu() -> float:
    """CPU seconds of all children that have ended, and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _environment() -> dict[str, str]:
    folders = [str(ROOT), *(str(ROOT / name) for name in ("transports", "media", "apps"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
