"""Calls with a page of JsSIP in Chromium, one after the other: what each end hears is compared with what was said."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from interop.hearing import Codec, Heard, judge
from interop.peers import SPEECH, Kamailio, Lines, kamailio, page, require, sansio_sip
from interop.relay import PASSWORD, coturn

from sansio_sip_cli.audio import load
from sansio_sip_media.resample import Resampler

pytestmark = pytest.mark.interop

RATE, PAGE_RATE = 16_000, 48_000

# Seconds of a recording that are judged: PESQ wants eight at most.
JUDGED = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """`ours`: we call. `relay`: both ends may use coturn alone, reached so. `hold`: the page holds and resumes."""

    codec: Codec = "opus"
    ours: bool = True
    relay: str = ""
    hold: bool = False

    def __str__(self) -> str:
        words = [self.codec, "ours" if self.ours else "theirs", self.relay and f"relay-{self.relay}"]
        return "-".join(filter(None, [*words, "hold" if self.hold else ""]))


KINDS = [
    Kind("opus"),
    Kind("pcmu", ours=False),
    Kind("opus", ours=False, hold=True),
    Kind("pcmu", hold=True),
    Kind("opus", relay="udp"),
    Kind("opus", ours=False, relay="tcp"),
    Kind("pcmu", ours=False, relay="udp"),
    Kind("pcmu", relay="tcp"),
]


class Booth:
    """Kamailio, relays and the browser with Bob's page, for any number of calls between it and our command."""

    def __init__(self, folder: Path, peer: Kamailio, browser: Lines, relays: dict[str, tuple[str, ...]]) -> None:
        self._folder = folder
        self._peer = peer
        self._browser = browser
        self._relays = relays
        self._said = {name: load(SPEECH / f"{name}.wav").samples for name in ("alice", "bob")}

    def call(self, kind: Kind) -> tuple[Heard, Heard]:
        """One call; what we heard, and what the page heard."""
        browser = self._browser
        browser.take_waiting()
        browser.rows.clear()
        heard, taped = self._folder / "heard.wav", self._folder / "taped.raw"
        options = ["--server", self._peer.server("ws"), "--password", "pw-alice", "--codec", kind.codec]
        options += ["--play", str(self._folder / "alice.wav"), "--record", str(heard)]
        options += self._relays.get(kind.relay, ())
        browser.say({"do": "relay", "url": self._relays[kind.relay][1] if kind.relay else ""})
        alice, bob = (f"sip:{name}@{self._peer.domain}" for name in ("alice", "bob"))
        with sansio_sip(*(["call", alice, bob] if kind.ours else ["answer", alice]), *options, env=PASSWORD) as phone:
            if kind.ours:
                browser.event("incoming", detail="alice")
                browser.say({"do": "answer"})
            else:
                phone.event("onLogin")
                browser.say({"do": "call", "target": alice})
            phone.event("onMediaConnected")
            browser.event("confirmed")
            if kind.hold:
                self._hold()
            self._record(taped, JUDGED + 2)
            if kind.relay:
                browser.say({"do": "stats"})
                assert "relay" in browser.event("stats")["local"]
            browser.say({"do": "bye"})
            assert phone.wait() == 0, str(phone)
            browser.event("ended")
        # The end of ours, which is of the time of the page's recording.
        ours = load(heard).samples[-int((JUDGED + 0.5) * RATE) : -int(0.5 * RATE)]
        theirs = np.fromfile(taped, np.int16)[-JUDGED * PAGE_RATE :]
        return (
            judge(self._said["bob"], ours, RATE, kind.codec),
            judge(self._said["alice"], Resampler(PAGE_RATE, RATE).process(theirs), RATE, kind.codec),
        )

    def _hold(self) -> None:
        """The page holds the call and hears nothing, then resumes it."""
        self._browser.say({"do": "hold", "on": True})
        self._browser.event("hold")
        silence = self._folder / "silence.raw"
        self._record(silence, 2)
        self._browser.rows.clear()
        level = np.abs(np.fromfile(silence, np.int16)[PAGE_RATE:].astype(np.int32)).max()
        self._browser.say({"do": "hold", "on": False})
        self._browser.event("unhold")
        assert level < 100, f"{level} of 32768 was heard during the hold"

    def _record(self, path: Path, seconds: int) -> None:
        self._browser.say({"do": "record", "seconds": seconds, "path": str(path)})
        self._browser.event("recorded")


@pytest.fixture
def booth(tmp_path: Path) -> Iterator[Booth]:
    require("sox")
    # Both have a minute to say. Chromium's fake microphone takes 48 kHz and begins anew by itself, but some
    # milliseconds early, which would be judged as a fault of ours.
    speech = tmp_path / "microphone.wav"
    whole = ["-r", str(PAGE_RATE), "-b", "16", str(speech), "repeat", "6"]
    subprocess.run(["sox", str(SPEECH / "bob.wav"), *whole], check=True)
    subprocess.run(["sox", str(SPEECH / "alice.wav"), str(tmp_path / "alice.wav"), "repeat", "6"], check=True)
    (tmp_path / "kamailio").mkdir()
    with ExitStack() as stack:
        relays = {name: stack.enter_context(coturn(tmp_path / f"turn-{name}", name))[1] for name in ("udp", "tcp")}
        peer = stack.enter_context(kamailio(tmp_path / "kamailio"))
        browser = stack.enter_context(page(tmp_path / "www", "bob", peer, speech))
        yield Booth(tmp_path, peer, browser, relays)


def check(kind: Kind, ours: Heard, theirs: Heard, *, stretched: float = 0.0) -> None:
    """`stretched`: what the page may lose besides, as Chromium stretches and shortens what it plays out."""
    assert ours.good, f"{kind}: we heard {ours}"
    assert theirs.score >= theirs.alone - 0.2 - stretched, f"{kind}: the page heard {theirs}"


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_both_ends_hear_all_that_the_codec_leaves(kind: Kind, booth: Booth) -> None:
    check(kind, *booth.call(kind), stretched=0.3)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_twenty_calls_in_a_row(booth: Booth) -> None:
    heard = [(kind, *booth.call(kind)) for kind in islice(cycle(KINDS), 20)]
    for kind, ours, theirs in heard:
        print(f"{kind!s:24} ours {ours.score:.2f} of {ours.alone:.2f}, theirs {theirs.score:.2f} of {theirs.alone:.2f}")
    for row in heard:
        check(*row)
