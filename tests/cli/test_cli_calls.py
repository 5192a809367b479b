"""Calls between two phones, each the command in a process of its own."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from socket import SOCK_DGRAM
from struct import unpack

import pytest
from cli.phones import SPEECH, Served, account, python, serving
from interop.peers import Lines, free_port, sansio_sip, wait_for

from sansio_sip_cli.audio import load

pytestmark = pytest.mark.realtime

RUNTIMES = ["asyncio", "trio"]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One server for all calls here: each test has its own phones."""
    with serving() as server:
        yield server


@contextmanager
def waiting(served: Served, *options: str) -> Iterator[Lines]:
    """Bob, registered."""
    with sansio_sip("answer", *account("bob", served), *options) as bob:
        bob.event("onLogin")
        yield bob


@contextmanager
def talking(served: Served, alice_options: list[str], bob_options: list[str]) -> Iterator[tuple[Lines, Lines]]:
    """Alice and bob in a call with media both ways."""
    with (
        waiting(served, *bob_options) as bob,
        sansio_sip("call", *account("alice", served), "bob", "--duration", "60", *alice_options) as alice,
    ):
        for phone in (alice, bob):
            phone.event("onMediaConnected")
            phone.event("onCallAnswered")
        yield alice, bob


def removals(served: Served) -> int:
    """How often a user has un-registered: a flow that is just lost does not count."""
    return sum(row["event"] == "onBindingRemoved" and row["reason"] == "removed" for row in served.lines.rows)


def wait_for_removals(served: Served, number: int) -> None:
    served.lines.until(lambda _: removals(served) >= number, f"{number} un-registrations")


# Peer to peer


@pytest.mark.parametrize(
    ("media", "runtime", "protection"),
    [("webrtc", "asyncio", "DTLS-SRTP"), ("rtp", "trio", "none")],
)
def test_two_phones_without_a_server(tmp_path: Path, media: str, runtime: str, protection: str) -> None:
    port = free_port(SOCK_DGRAM)
    common = ["--no-register", "--media", media, "--runtime", runtime]
    heard = tmp_path / "heard.wav"
    with sansio_sip("answer", "sip:bob@127.0.0.1", "--listen", f"127.0.0.1:{port}", "--echo", *common) as bob:
        bob.event("onConnectionChange", state="connected")
        with sansio_sip(
            "call",
            "sip:alice@127.0.0.1",
            f"sip:bob@127.0.0.1:{port}",
            *("--dtmf", "12", "--duration", "2.5", "--play", str(SPEECH / "alice.wav"), "--record", str(heard)),
            *("--codec", "pcma,opus", "--bind", "127.0.0.1"),
            *common,
        ) as alice:
            assert alice.wait() == 0, str(alice)
        assert bob.wait() == 0, str(bob)
    (call,) = bob.event("summary")["calls"]
    assert (call["codec"], call["media"], call["dtmf_received"]) == ("PCMA", protection, "12")
    assert call["state"] == "ended"
    assert bob.event("onCallTerminated")["hangupInfo"]["originator"] == "remote"
    assert load(heard).seconds > 1


# Calls that come to nothing


def test_a_busy_callee(served: Served) -> None:
    with waiting(served, "--reject") as bob:
        with sansio_sip("call", *account("alice", served), "bob") as alice:
            assert alice.wait() == 1, str(alice)
        assert bob.wait() == 0, str(bob)
    (call,) = alice.event("summary")["calls"]
    assert (call["code"], call["state"], call["reason"]) == (486, "failed", "Busy")
    assert "Busy (486)" in alice.errors[-1]


@pytest.mark.parametrize("target", ["nobody", "bob"])
def test_nobody_there(served: Served, target: str) -> None:
    """Not a user, or one who is not registered."""
    with sansio_sip("call", *account("alice", served), target) as alice:
        assert alice.wait() == 1, str(alice)
    (call,) = alice.event("summary")["calls"]
    assert call["code"] == (404 if target == "nobody" else 480)
    assert f"call to {target} failed" in alice.errors[-1]


def test_nobody_answers_in_time(served: Served) -> None:
    with waiting(served, "--ignore") as bob:
        with sansio_sip("call", *account("alice", served), "bob", "--ring-timeout", "0.5") as alice:
            assert alice.wait() == 1, str(alice)
        assert "nobody answered in time" in alice.errors[-1]
        assert bob.wait() == 0, str(bob)


# Interruptions


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupted_caller_parts_politely(
    served: Served, tmp_path: Path, runtime: str, number: signal.Signals
) -> None:
    heard = tmp_path / "heard.wav"
    before = removals(served)
    with talking(served, ["--record", str(heard), "--runtime", runtime], ["--play", str(SPEECH / "bob.wav")]) as (
        alice,
        bob,
    ):
        wait_for(lambda: heard.stat().st_size > 20_000, "something is heard")
        alice.process.send_signal(number)
        assert alice.wait() == 130, str(alice)
        assert bob.wait() == 0, str(bob)
    assert alice.event("summary")["exit"] == 130
    assert bob.event("onCallTerminated")["hangupInfo"]["originator"] == "remote"
    wait_for_removals(served, before + 2)
    content = heard.read_bytes()
    riff, data = unpack("<I", content[4:8])[0], unpack("<I", content[40:44])[0]
    assert (riff, data) == (len(content) - 8, len(content) - 44)
    assert load(heard).samples.any()


def test_an_interrupted_callee_hangs_up(served: Served) -> None:
    with talking(served, [], []) as (alice, bob):
        bob.process.send_signal(signal.SIGINT)
        assert bob.wait() == 130, str(bob)
        assert alice.wait() == 0, str(alice)
    assert alice.event("onCallTerminated")["hangupInfo"]["originator"] == "remote"


def test_a_caller_interrupted_while_it_rings_cancels(served: Served) -> None:
    with waiting(served, "--ring", "30") as bob:
        with sansio_sip("call", *account("alice", served), "bob") as alice:
            alice.event("onCallRemoteRinging")
            alice.process.send_signal(signal.SIGINT)
            assert alice.wait() == 130, str(alice)
        bob.event("onIncomingCallCanceled")
        assert bob.wait() == 1, str(bob)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_interrupted_twice_it_leaves_at_once(runtime: str) -> None:
    """Over a server that has gone quiet, parting would take the phone's whole deadline."""
    with socket.socket(socket.AF_INET, SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        arguments = ["call", "sip:alice@127.0.0.1", f"sip:bob@127.0.0.1:{server.getsockname()[1]}", "--no-register"]
        with sansio_sip(*arguments, "--runtime", runtime) as alice:
            alice.event("onCalling")
            server.recv(65_535)
            alice.process.send_signal(signal.SIGINT)
            alice.event("onCallFailed")
            alice.process.send_signal(signal.SIGINT)
            assert alice.wait(5) == 130, str(alice)
            assert not alice.errors
            assert alice.rows[-1]["exit"] == 130


def test_an_interrupted_demo_ends_whole(tmp_path: Path) -> None:
    with sansio_sip("demo", "--dir", str(tmp_path)) as demo:
        demo.event("onMediaConnected", who="bob")
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait() == 130, str(demo)
    with sansio_sip("replay", str(tmp_path / "trace.jsonl")) as replay:
        assert replay.wait() == 0, str(replay)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_call_whose_output_nobody_reads_ends_politely(served: Served, runtime: str) -> None:
    words = [sys.executable, "-m", "sansio_sip_cli", "call", *account("alice", served), "bob", "--duration", "60"]
    with (
        waiting(served, "--ring", "0.5") as bob,
        subprocess.Popen([*words, "--runtime", runtime], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as alice,
    ):
        assert alice.stdout is not None
        assert alice.stderr is not None
        while b"ringing" not in alice.stdout.readline():
            pass
        alice.stdout.close()
        assert bob.wait() == 0, str(bob)
        assert alice.wait(10) == 1
        assert alice.stderr.read() == b""
    assert bob.event("onCallTerminated")["hangupInfo"]["originator"] == "remote"


# What comes from outside


def datagram_ports(process: subprocess.Popen[str]) -> list[tuple[str, int]]:
    """Where the UDP sockets of a process are bound."""
    inodes = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        if (found := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))) is not None:
            inodes.add(found[1])
    places = []
    for line in Path(f"/proc/{process.pid}/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            host, port = fields[1].split(":")
            places.append((socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16)))
    return places


@pytest.mark.skipif(not Path("/proc/net/udp").exists(), reason="/proc/net/udp says where sockets are bound")
def test_junk_at_every_socket_and_the_call_goes_on(served: Served) -> None:
    draw = Random(1)
    first = [0x00, 0x01, 0x16, 0x17, 0x40, 0x80, 0x90, 0xBF, 0xFF]  # as STUN, DTLS, TURN, RTP and RTCP begin
    with talking(served, ["--dtmf", "1"], ["--echo"]) as (alice, bob), socket.socket(type=SOCK_DGRAM) as sock:
        bob.event("onDtmfReceived", tone="1")
        for phone in (alice, bob):
            places = datagram_ports(phone.process)
            assert places
            for host, port in places:
                for _ in range(100):
                    octets = bytes([draw.choice(first)]) + draw.randbytes(draw.randrange(400))
                    sock.sendto(octets, ("127.0.0.1" if host == "0.0.0.0" else host, port))
                sock.sendto(b"", ("127.0.0.1" if host == "0.0.0.0" else host, port))
        alice.process.send_signal(signal.SIGINT)
        assert alice.wait() == 130, str(alice)
        assert bob.wait() == 0, str(bob)
        (call,) = bob.event("summary")["calls"]
        assert call["lost"] == 0
        assert bob.event("onCallTerminated")["hangupInfo"]["originator"] == "remote"


# Traces


@pytest.mark.parametrize("media", ["webrtc", "rtp"])
def test_a_trace_of_signalling_replays_and_holds_no_secret(served: Served, tmp_path: Path, media: str) -> None:
    traces = {name: tmp_path / f"{name}.jsonl" for name in ("alice", "bob")}
    with waiting(served, "--trace", str(traces["bob"]), "--media", media) as bob:
        with sansio_sip(
            "call",
            *account("alice", served),
            "bob",
            *("--dtmf", "73#", "--play", str(SPEECH / "alice.wav"), "--duration", "1.5"),
            *("--trace", str(traces["alice"]), "--media", media),
        ) as alice:
            assert alice.wait() == 0, str(alice)
        assert bob.wait() == 0, str(bob)
    assert bob.event("summary")["calls"][0]["dtmf_received"] == "73#"
    for name, trace in traces.items():
        text = trace.read_text()
        assert f"pw-{name}" not in text
        assert not re.search(r'response=\\?"?[0-9a-f]{16}', text)
        assert set(re.findall(r'"digits":"([^"]*)"', text)) <= {"000"}
        assert set(re.findall(r'"tone":"([^"]*)"', text)) <= {"0"}
        assert len(text) < 4_000_000
        with sansio_sip("replay", str(trace)) as replay:
            assert replay.wait() == 0, str(replay)
        (report,) = replay.rows
        assert report["different"] == 0
        assert report["identical"] > 50
        assert media == "rtp" or report["opaque"] > 10


def test_no_library_of_the_other_runtime_is_needed() -> None:
    """trio is an extra: without it everything but --runtime trio works, and that says what is missing."""
    result = python(
        "import sys\nsys.modules['trio'] = None\nfrom sansio_sip_cli.main import main\n"
        "main(['register', 'sip:a@127.0.0.1', '--server', 'ws://127.0.0.1:9', '--runtime', 'trio'])",
    )
    assert result.returncode == 2, result
    assert "pip install 'sansio-sip[trio]'" in result.stderr
