"""The judge of recordings must pass what a telephone does to a voice, and nothing else."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sansio_sip_media.likeness import likeness

Int16 = npt.NDArray[np.int16]
SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"


def speech(name: str) -> Int16:
    return np.frombuffer((SPEECH / f"{name}.wav").read_bytes()[44:], dtype="<i2")


def test_a_delayed_and_slightly_noisy_copy_is_the_same() -> None:
    source = speech("alice")
    noise = np.random.default_rng(1).normal(0, 30, len(source) + 4000)
    recording = np.concatenate([np.zeros(4000), source]) * 0.9 + noise
    verdict = likeness(source, recording.astype(np.int16), 16000)
    assert verdict.same
    assert verdict.delay == pytest.approx(0.25, abs=0.002)
    assert verdict.gain_db == pytest.approx(-0.9, abs=0.1)


def test_one_lost_frame_and_a_shift_in_the_middle_do_not_spoil_it() -> None:
    source = speech("bob")
    middle = 4 * 16000  # where one window ends and the next begins
    recording = np.concatenate([source[:middle], source[middle + 320 :]])
    assert likeness(source, recording, 16000).same


def test_another_voice_silence_and_noise_are_not_the_same() -> None:
    source = speech("alice")
    assert likeness(source, speech("bob"), 16000).median < 0.3
    assert not likeness(source, np.zeros_like(source), 16000).same
    noise = np.random.default_rng(2).normal(0, 3000, len(source)).astype(np.int16)
    assert likeness(source, noise, 16000).median < 0.3


def test_half_as_loud_is_not_the_same() -> None:
    source = speech("alice")
    assert not likeness(source, source // 2, 16000).same


def test_a_third_that_is_missing_is_not_the_same() -> None:
    source = speech("alice").copy()
    recording = source.copy()
    recording[len(source) // 3 : 2 * len(source) // 3] = 0
    assert not likeness(source, recording, 16000).same
