"""Every fuzz target, about a second: over the corpora beside the checkout, and over mutations that hypothesis makes."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.seeds import seeds

ROOT = Path(__file__).resolve().parents[2]
TARGETS = sorted(path.stem for path in (ROOT / "fuzz").glob("fuzz_*.py"))


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
    for seed in seeds(target.removeprefix("fuzz_")):
        one(seed)


@pytest.mark.parametrize("target", TARGETS)
def test_mutations_are_taken(target: str) -> None:
    one, originals = load(target), seeds(target.removeprefix("fuzz_"))

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
