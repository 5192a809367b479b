"""SIPp on the other side, over UDP with plain RTP."""

import re
import subprocess
from pathlib import Path
from socket import SOCK_DGRAM

import pytest
from interop.peers import SPEECH, command, free_port, require, sansio_sip
from interop.sipp import answers, calls, sipp

from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop


def media_port() -> str:
    """An even port, as RTP has them."""
    return str(free_port(SOCK_DGRAM) & ~1)


def test_we_call_a_sipp_that_echoes(tmp_path: Path) -> None:
    port = free_port(SOCK_DGRAM)
    uas_command = sipp(tmp_path, "uas", answers(), "-p", str(port), "-mp", media_port(), "-rtp_echo")
    with command(uas_command, cwd=tmp_path) as uas:
        with sansio_sip(
            "call",
            "sip:alice@127.0.0.1",
            f"sip:echo@127.0.0.1:{port}",
            "--no-register",
            "--media",
            "rtp",
            "--play",
            str(SPEECH / "alice.wav"),
            "--record",
            str(tmp_path / "heard.wav"),
        ) as phone:
            assert phone.wait() == 0, str(phone)
        assert uas.wait() == 0, str(uas)
    (call,) = phone.event("summary")["calls"]
    assert call["codec"] == "PCMU"
    # The echo is our own voice, so it must be like what we said.
    assert likeness(load(SPEECH / "alice.wav").samples, load(tmp_path / "heard.wav").samples, 16_000).same


def test_a_sipp_calls_us_and_speaks(tmp_path: Path) -> None:
    require("sox")
    subprocess.run(["sox", str(SPEECH / "bob.wav"), "-t", "ul", "-r", "8000", str(tmp_path / "audio.ul")], check=True)
    ours = free_port(SOCK_DGRAM)
    with sansio_sip(
        "answer",
        "sip:bob@127.0.0.1",
        "--no-register",
        "--listen",
        f"127.0.0.1:{ours}",
        "--media",
        "rtp",
        "--record",
        str(tmp_path / "heard.wav"),
    ) as phone:
        phone.event("onConnectionChange", state="connected")
        arguments = [
            f"127.0.0.1:{ours}",
            "-p",
            str(free_port(SOCK_DGRAM)),
            "-mp",
            media_port(),
            "-d",
            "9000",
            "-s",
            "bob",
            "-key",
            "from",
            "sipp",
            "-key",
            "domain",
            "127.0.0.1",
        ]
        with command(sipp(tmp_path, "uac", calls(stream="audio.ul"), *arguments), cwd=tmp_path) as uac:
            assert uac.wait() == 0, str(uac)
        assert phone.wait() == 0, str(phone)
    assert re.fullmatch(r"\d+\.\d+|\d+", str(phone.event("summary")["calls"][0]["duration_s"]))
    assert likeness(load(SPEECH / "bob.wav").samples, load(tmp_path / "heard.wav").samples, 16_000).same
