"""rtpengine between two phones of ours: one speaks WebRTC by WebSocket, the other plain RTP by UDP."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from interop.hearing import judge
from interop.peers import SPEECH, Kamailio, command, free_port, kamailio, require, sansio_sip, wait_for

from sansio_sip_cli.audio import load

pytestmark = pytest.mark.interop

RATE = 16_000
JUDGED = 5


@contextmanager
def rtpengine(folder: Path) -> Iterator[str]:
    """One of its own, without its kernel module: the socket that Kamailio asks it by."""
    require("rtpengine")
    port = free_port(socket.SOCK_DGRAM)
    arguments = [
        "rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=5", "--table=-1",
        "--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{port}", "--port-min=18000", "--port-max=18400",
        f"--pidfile={folder / 'rtpengine.pid'}", "--num-threads=2", "--delete-delay=0", "--timeout=60",
    ]  # fmt: skip
    with command(arguments) as lines, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.connect(("127.0.0.1", port))

        def answers() -> bool:
            assert lines.process.poll() is None, f"rtpengine ended\n{lines}"
            try:
                asking.send(b"1 d7:command4:pinge")
                return b"pong" in asking.recv(1000)
            except OSError:
                return False

        wait_for(answers, "rtpengine answers")
        yield f"udp:127.0.0.1:{port}"


def options(name: str, peer: Kamailio, folder: Path, *, web: bool) -> list[str]:
    found = ["--server", peer.server("ws" if web else "udp"), "--password", f"pw-{name}", "--codec", "pcmu"]
    found += [] if web else ["--media", "rtp"]
    return [*found, "--play", str(folder / f"{name}.wav"), "--record", str(folder / f"{name} heard.wav")]


@pytest.mark.parametrize("caller_is_web", [True, False], ids=["webrtc-calls-rtp", "rtp-calls-webrtc"])
def test_webrtc_and_plain_rtp_hear_each_other(tmp_path: Path, caller_is_web: bool) -> None:
    require("sox")
    (tmp_path / "kamailio").mkdir()
    for name in ("alice", "bob"):
        subprocess.run(["sox", str(SPEECH / f"{name}.wav"), str(tmp_path / f"{name}.wav"), "repeat", "1"], check=True)
    with (
        rtpengine(tmp_path) as bridge,
        kamailio(tmp_path / "kamailio", rtpengine=bridge) as peer,
        sansio_sip("answer", f"sip:bob@{peer.domain}", *options("bob", peer, tmp_path, web=not caller_is_web)) as bob,
    ):
        bob.event("onLogin")
        to = [f"sip:{name}@{peer.domain}" for name in ("alice", "bob")]
        with sansio_sip("call", *to, *options("alice", peer, tmp_path, web=caller_is_web)) as alice:
            assert alice.wait(60) == 0, str(alice)
            assert bob.wait() == 0, str(bob)
    for hears, says in (("alice", "bob"), ("bob", "alice")):
        recording = load(tmp_path / f"{hears} heard.wav").samples
        piece = recording[2 * RATE : (2 + JUDGED) * RATE]
        found = judge(load(SPEECH / f"{says}.wav").samples, piece, RATE, "pcmu")
        assert found.good, f"{hears} heard {found}"
