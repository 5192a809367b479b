"""Every fuzz target, about a second: over the corpora beside the checkout, and over mutations that hypothesis makes."""

import importlib
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared import shared_dir
from simulation.phones import Network

from sansio_sip.trace import TraceWriter

ROOT = Path(__file__).resolve().parents[2]
TARGETS = sorted(path.stem for path in (ROOT / "fuzz").glob("fuzz_*.py"))

# Which corpora a target starts from; the whole machines and the rest start from SIP.
SIP = ("01-rfc4475", "02-rfc5118", "03-sip-messages")
CORPORA = {
    "fuzz_sdp": ("04-sdp",),
    "fuzz_offer_answer": ("04-sdp",),
    "fuzz_stun": ("06-stun-ice",),
    "fuzz_turn": ("06-stun-ice",),
    "fuzz_rtp": ("07-rtp-srtp",),
    "fuzz_rtcp": ("07-rtp-srtp",),
    "fuzz_dtls": ("07-rtp-srtp",),
    "fuzz_softphone": (*SIP, "06-stun-ice", "07-rtp-srtp"),
}
NOT_SEEDS = (".md", ".json", ".csv", ".py")
MAX_SEED = 4096  # octets; long ones take the time of many short ones
SEEDS_A_TARGET = 60

INVITE = (
    b"INVITE sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    b"From: <sip:bob@example.com>;tag=1\r\nTo: <sip:alice@10.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:bob@10.0.0.9>\r\nContent-Type: application/sdp\r\nContent-Length: 106\r\n\r\n"
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    b"a=rtpmap:0 PCMU/8000\r\n"
)
OWN_SEEDS = (b"", INVITE, INVITE + b"\0\0\x0d\0\0\x09\0\0\x0c", b"\0\0\x0b".join([INVITE] * 3), b'{"sub": "a"}')


@cache
def recorded() -> bytes:
    """A trace of two phones and a server that log in and have a call."""
    lines: list[str] = []
    network = Network(1, trace=TraceWriter(lines.append, full=False))
    alice, bob = network.phone("alice"), network.phone("bob")
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    network.pass_time(0.3)
    bob.hang_up()
    network.pass_time(0.3)
    return "".join(lines).encode()


@cache
def seeds(target: str) -> tuple[bytes, ...]:
    if target == "fuzz_trace":
        return (*OWN_SEEDS, recorded())
    found = []
    folder = shared_dir()
    for name in CORPORA.get(target, SIP) if folder is not None else ():
        for path in sorted((folder / "corpus" / name).rglob("*")):  # type: ignore[operator]  # there is a folder here
            if path.is_file() and path.suffix not in NOT_SEEDS and path.stat().st_size <= MAX_SEED:
                found.append(path.read_bytes())
    random.Random(target).shuffle(found)
    return (*OWN_SEEDS, *found[:SEEDS_A_TARGET])


def load(target: str) -> Callable[[bytes], None]:
    one: Callable[[bytes], None] = importlib.import_module(f"fuzz.{target}").one
    return one


def test_there_are_targets() -> None:
    assert len(TARGETS) >= 16


@pytest.mark.parametrize("target", TARGETS)
def test_the_target_states_its_invariant_and_needs_no_atheris(target: str) -> None:
    text = (ROOT / "fuzz" / f"{target}.py").read_text()
    assert text.startswith('"""')
    assert "atheris" not in text


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_taken(target: str) -> None:
    one = load(target)
    for seed in seeds(target):
        one(seed)


@pytest.mark.parametrize("target", TARGETS)
def test_mutations_are_taken(target: str) -> None:
    one, originals = load(target), seeds(target)

    @given(data=st.data())
    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
    )
    def run(data: st.DataObject) -> None:
        octets = bytearray(data.draw(st.sampled_from(originals)))
        for _ in range(data.draw(st.integers(0, 4))):
            place = data.draw(st.integers(0, len(octets)))
            match data.draw(st.sampled_from(["flip", "cut", "insert", "join", "then"])):
                case "flip" if place < len(octets):
                    octets[place] ^= 1 << data.draw(st.integers(0, 7))
                case "cut":
                    del octets[place : place + data.draw(st.integers(1, 16))]
                case "insert":
                    octets[place:place] = data.draw(st.binary(max_size=8))
                case "join":
                    octets += data.draw(st.sampled_from(originals))
                case _:
                    octets += b"\0\0" + bytes([data.draw(st.integers(0, 15))]) + data.draw(st.sampled_from(originals))
        one(bytes(octets))

    run()
