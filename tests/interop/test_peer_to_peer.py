"""Two of our phones without a server, as two processes: by IPv4 and by IPv6."""

import socket
from pathlib import Path

import pytest
from interop.peers import SPEECH, free_port, sansio_sip

from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop


def heard(recording: Path, said: str) -> bool:
    return likeness(load(SPEECH / f"{said}.wav").samples, load(recording).samples, 16_000).same


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
@pytest.mark.parametrize("media", ["webrtc", "rtp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_two_phones_call_without_a_server(tmp_path: Path, host: str, media: str, runtime: str) -> None:
    port = free_port(socket.SOCK_DGRAM)
    options = ["--no-register", "--media", media, "--runtime", runtime]
    alice_files, bob_files = (
        ["--play", str(SPEECH / f"{name}.wav"), "--record", str(tmp_path / f"{name}.wav")] for name in ("alice", "bob")
    )
    with sansio_sip("answer", f"sip:bob@{host}", "--listen", f"{host}:{port}", *bob_files, *options) as bob:
        bob.event("onConnectionChange", state="connected")
        with sansio_sip(
            "call",
            f"sip:alice@{host}",
            f"sip:bob@{host}:{port}",
            "--listen",
            f"{host}:0",
            "--dtmf",
            "12#",
            *alice_files,
            *options,
        ) as alice:
            assert alice.wait() == 0, str(alice)
        assert bob.wait() == 0, str(bob)
    (call,) = bob.event("summary")["calls"]
    assert call["dtmf_received"] == "12#"
    assert call["media"] == ("DTLS-SRTP" if media == "webrtc" else "none")
    assert heard(tmp_path / "bob.wav", "alice")
    assert heard(tmp_path / "alice.wav", "bob")
