"""A page with JsSIP in headless Chromium on the other side, through Kamailio."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from interop.peers import SPEECH, Lines, kamailio, page, require, sansio_sip

from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Bob's speech as Chromium's fake microphone takes it: 48 kHz."""
    require("sox")
    path = tmp_path / "microphone.wav"
    subprocess.run(["sox", str(SPEECH / "bob.wav"), "-r", "48000", "-b", "16", str(path)], check=True)
    return path


def flows(browser: Lines) -> dict[str, object]:
    """The page's statistics, once it hears us."""
    browser.say({"do": "stats"})
    stats = browser.event("stats")
    browser.rows.remove(stats)
    return stats


def judge(recording: Path) -> None:
    """Our recording holds the page's voice. The page repeats it, so it may begin anywhere."""
    heard = load(recording).samples
    said = np.tile(load(SPEECH / "bob.wav").samples, 3)
    begin = 16_000  # the first second holds the start of the stream
    piece = heard[begin : begin + 4 * 16_000]
    found = likeness(piece, said, 16_000)
    assert found.median >= 0.9, found


def test_we_call_a_page(tmp_path: Path, spoken: Path) -> None:
    (tmp_path / "kamailio").mkdir()
    with kamailio(tmp_path / "kamailio") as peer, page(tmp_path / "www", "bob", peer, spoken) as browser:
        with sansio_sip(
            "call",
            f"sip:alice@{peer.domain}",
            f"sip:bob@{peer.domain}",
            "--server",
            peer.server("ws"),
            "--password",
            "pw-alice",
            "--play",
            str(SPEECH / "alice.wav"),
            "--record",
            str(tmp_path / "heard.wav"),
        ) as phone:
            browser.event("incoming", detail="alice")
            browser.say({"do": "answer"})
            phone.event("onMediaConnected")
            browser.event("confirmed")
            browser.say({"do": "press", "digits": "589"})
            for tone in "589":
                phone.event("onDtmfReceived", tone=tone)
            stats = flows(browser)
            assert stats["conn"] == "connected"
            assert phone.wait() == 0, str(phone)
            browser.event("ended")
    assert int(str(stats["inPkts"])) > 20, stats
    assert stats["codec"] == "audio/opus"
    judge(tmp_path / "heard.wav")


def test_a_page_calls_us(tmp_path: Path, spoken: Path) -> None:
    (tmp_path / "kamailio").mkdir()
    with kamailio(tmp_path / "kamailio") as peer, page(tmp_path / "www", "bob", peer, spoken) as browser:
        with sansio_sip(
            "answer",
            f"sip:alice@{peer.domain}",
            "--server",
            peer.server("ws"),
            "--password",
            "pw-alice",
            "--play",
            str(SPEECH / "alice.wav"),
            "--record",
            str(tmp_path / "heard.wav"),
        ) as phone:
            phone.event("onLogin")
            browser.say({"do": "call", "target": f"sip:alice@{peer.domain}"})
            browser.event("confirmed")
            phone.event("onMediaConnected")
            browser.say({"do": "press", "digits": "12#"})
            for tone in "12#":
                phone.event("onDtmfReceived", tone=tone)
            phone.until(lambda row: row.get("t", 0) > 0, "time")
            levels = [float(str(flows(browser)["level"])) for _ in range(40)]
            browser.say({"do": "bye"})
            assert phone.wait() == 0, str(phone)
            ended = phone.event("onCallTerminated")
    assert ended["hangupInfo"]["originator"] == "remote"
    assert max(levels) > 0.01, levels
