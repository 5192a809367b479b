"""One seed gives one run, octet for octet, whatever process it runs in; and what was recorded runs again."""

import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import pytest
from simulation.calls import LOSSY, Plan, run_call
from simulation.phones import SIP_WS, USERS, Network, build, tone
from simulation.relay_host import RelayHost

from sansio_sip.context import Secret
from sansio_sip.simulation import Link
from sansio_sip.softphone.ice_servers import TurnAccount
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.trace import TraceWriter, replay
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.crypto import SrtpProfile
from sansio_sip_media.seeded_crypto import SeededCrypto

# Long enough for the digits, which take 0.17 s each.
SHORT = 1.5

IN_A_FRESH_PROCESS = """
from simulation.test_determinism import hashes, WEBRTC_UDP
print(*hashes(WEBRTC_UDP))
"""

RTP_UDP = Plan(2, LOSSY, seconds=SHORT)
WEBRTC_UDP = Plan(3, LOSSY, seconds=SHORT)
WEBRTC_WS = Plan(1, LOSSY, sip=SIP_WS, seconds=SHORT)
SRTP_WS = Plan(2, LOSSY, sip=SIP_WS, seconds=SHORT, profile=MediaProfile.SRTP)
SRTP_UDP = Plan(2, LOSSY, seconds=SHORT, profile=MediaProfile.SRTP)
OPUS = Plan(5, LOSSY, codec="opus", seconds=SHORT)


def recorded(plan: Plan, *, full: bool) -> tuple[list[str], str]:
    """The rows of the trace, and the hash of the world."""
    lines: list[str] = []
    outcome = run_call(plan, TraceWriter(lines.append, full=full))
    assert outcome.good, outcome
    return lines, outcome.hash


def unmasked(octets: bytes) -> bytes:
    """The payloads of the masked frames of a WebSocket (RFC 6455 section 5.2) that are in here."""
    found = b""
    for frame in re.finditer(rb"[\x81\x82]\xfe(..)(....)", octets, re.DOTALL):
        length, mask = int.from_bytes(frame[1], "big"), frame[2]
        payload = octets[frame.end() : frame.end() + length]
        found += bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload))
    return found


def hashes(plan: Plan) -> tuple[str, str]:
    """Of the trace and of the world."""
    lines, world = recorded(plan, full=True)
    return sha256("".join(lines).encode()).hexdigest(), world


def run_fresh(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS], env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout.split()


def test_one_seed_gives_one_trace_in_fresh_processes_with_other_hash_seeds() -> None:
    first, second = run_fresh("1"), run_fresh("271828")
    assert len(first) == 2
    assert first == second


def test_another_seed_gives_another_run() -> None:
    assert run_call(RTP_UDP).hash != run_call(Plan(RTP_UDP.seed + 4, LOSSY, seconds=SHORT)).hash


def test_recording_changes_nothing() -> None:
    assert recorded(RTP_UDP, full=True)[1] == run_call(RTP_UDP).hash


@pytest.mark.parametrize("full", [True, False], ids=["full", "signalling"])
@pytest.mark.parametrize(
    "plan",
    [RTP_UDP, WEBRTC_UDP, WEBRTC_WS, OPUS, SRTP_UDP, SRTP_WS],
    ids=["rtp", "webrtc", "web-socket", "opus", "srtp", "srtp-web-socket"],
)
def test_a_recorded_call_runs_again_without_a_difference(plan: Plan, full: bool) -> None:
    lines, _ = recorded(plan, full=full)
    report = replay(lines, build, array=rebuild_array)
    assert report.differences == []
    assert report.different == 0
    assert report.inputs > 300
    assert report.identical > 200


@pytest.mark.parametrize("url", ["turn:10.0.0.8", "turn:10.0.0.8?transport=tcp"], ids=["udp", "tcp"])
def test_a_recorded_call_by_a_relay_runs_again_without_a_difference(url: str) -> None:
    lines: list[str] = []
    network = Network(7, link=Link(delay=0.02, jitter=0.01), trace=TraceWriter(lines.append, full=False))
    relay = RelayHost("10.0.0.8")
    network.world.add("relay", relay, "10.0.0.8")
    options: dict[str, Any] = {"turn_servers": (TurnAccount(url, "turn", Secret("pw")),), "relay_only": True}
    alice, bob = (network.phone(name, MediaProfile.WEBRTC, **options) for name in ("alice", "bob"))
    network.pass_time(0.1)
    assert bob.login()
    assert alice.login()
    alice.call("bob")
    assert network.wait(lambda: bool(bob.calls), 5.0)
    bob.answer()
    assert network.wait(lambda: alice.has_media and bob.has_media, 10.0)
    alice.say(tone(440.0, 1.0))
    network.pass_time(1.5)
    alice.hang_up()
    assert network.wait(lambda: not bob.calls, 5.0)
    network.pass_time(3.0)
    assert relay.server.relayed
    report = replay(lines, build, array=rebuild_array)
    assert report.differences == []
    assert report.different == 0
    assert report.identical > 100


@pytest.mark.parametrize("full", [True, False], ids=["full", "signalling"])
def test_no_secret_is_in_a_trace(full: bool) -> None:
    text = "".join(recorded(WEBRTC_WS, full=full)[0])
    for password in USERS.values():
        assert password.reveal() not in text


@pytest.mark.parametrize("full", [True, False], ids=["full", "signalling"])
@pytest.mark.parametrize("plan", [SRTP_UDP, SRTP_WS], ids=["udp", "web-socket"])
def test_no_key_of_srtp_is_in_a_trace(plan: Plan, full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[bytes] = []
    drawn = SeededCrypto.sdes_key

    def watched(self: SeededCrypto, profile: SrtpProfile) -> Secret:
        key = drawn(self, profile)
        keys.append(b64encode(bytes.fromhex(key.reveal())).rstrip(b"="))
        return key

    monkeypatch.setattr(SeededCrypto, "sdes_key", watched)
    lines = recorded(plan, full=full)[0]
    assert len(keys) == 4
    octets = b"".join(b64decode(text) for line in lines for text in re.findall(r'"b": ?"([^"]*)"', line))
    assert b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:0000" in octets + unmasked(octets)
    for key in keys:
        assert key.decode() not in "".join(lines)
        assert key not in octets
        assert key not in unmasked(octets)
