"""Truncations of each message of the corpora, and flipped bits: no exception but the declared one, and never for long.

What must hold of each is what the fuzz target of its kind says. Bits are flipped as zzuf does: each with the same small
chance, from a seed. The default run takes a sample; all of it is marked `soak`.
"""

import random
import time
from collections.abc import Iterator
from functools import cache

import pytest
from fuzz.test_targets import load
from shared import require_shared

from fuzz.seeds import CORPORA, NOT_SEEDS, SIP

RATIOS = (0.0004, 0.004, 0.04)  # zzuf's own default is the middle one
SEEDS = 200
LIMIT = 0.050  # seconds of processor time for one message
MAX_MESSAGE = 16_384  # octets

TARGETS = {"fuzz_sip_message": SIP, **{f"fuzz_{name}": CORPORA[name] for name in ("sdp", "stun", "rtp")}}


@cache
def messages(target: str) -> tuple[bytes, ...]:
    found = []
    for name in TARGETS[target]:
        for path in sorted(require_shared(f"corpus/{name}").rglob("*")):
            if path.is_file() and path.suffix not in NOT_SEEDS and path.stat().st_size <= MAX_MESSAGE:
                found.append(path.read_bytes())
    return tuple(found)


def flipped(data: bytes, ratio: float, seed: int) -> bytes:
    """Each bit is turned over with a chance of `ratio`."""
    draws = random.Random(f"{ratio} {seed}")
    octets, place = bytearray(data), 0
    while (place := place + 1 + int(draws.expovariate(ratio))) <= 8 * len(octets):
        octets[(place - 1) // 8] ^= 1 << (place - 1) % 8
    return bytes(octets)


def truncations(target: str, step: int) -> Iterator[bytes]:
    for number, data in enumerate(messages(target)):
        for length in range(number % step, len(data), step):
            yield data[:length]


def mutations(target: str, seeds: int) -> Iterator[bytes]:
    for data in messages(target):
        for ratio in RATIOS:
            for seed in range(seeds):
                yield flipped(data, ratio, seed)


def sweep(target: str, damaged: Iterator[bytes]) -> tuple[int, float]:
    """How many there were, and the longest time that one took, in seconds."""
    one, count, longest = load(target), 0, 0.0
    for data in damaged:
        began = time.thread_time()
        one(data)
        took = time.thread_time() - began
        if took > LIMIT:  # once more: a collection of garbage is not the message's doing
            began = time.thread_time()
            one(data)
            took = time.thread_time() - began
        assert took <= LIMIT, f"{took * 1000:.0f} ms for {data[:200]!r}"
        count, longest = count + 1, max(longest, took)
    return count, longest


@pytest.mark.parametrize("target", TARGETS)
def test_some_truncations_and_flipped_bits(target: str) -> None:
    count = sweep(target, truncations(target, 97))[0] + sweep(target, mutations(target, 2))[0]
    assert count > 200


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_every_truncation(target: str) -> None:
    count, longest = sweep(target, truncations(target, 1))
    print(f"{target}: {count} truncations, the longest took {longest * 1000:.1f} ms")
    assert count == sum(map(len, messages(target)))


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_flipped_bits_from_every_seed(target: str) -> None:
    count, longest = sweep(target, mutations(target, SEEDS))
    print(f"{target}: {count} mutations, the longest took {longest * 1000:.1f} ms")
    assert count == len(messages(target)) * len(RATIOS) * SEEDS


def test_flipping_is_of_the_ratio_that_was_asked_for() -> None:
    data = bytes(10_000)
    for ratio in RATIOS:
        flips = sum(octet.bit_count() for octet in flipped(data, ratio, 1))
        assert 0.5 < flips / (80_000 * ratio) < 1.6
    assert flipped(data, 0.004, 1) == flipped(data, 0.004, 1) != flipped(data, 0.004, 2)
