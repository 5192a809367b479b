"""What is made up, and the joints: no click, a fade, the right pitch."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip_media.concealment import Concealer, fold

Int16 = npt.NDArray[np.int16]


def tone(pitch: float, count: int, rate: int, start: int = 0) -> Int16:
    """Three harmonics."""
    time = (start + np.arange(count)) / rate
    waves = [np.sin(2 * np.pi * k * pitch * time + k) / k for k in (1, 2, 3)]
    return np.asarray(6000 * sum(waves), dtype=np.int16)


def steepest(samples: Int16) -> int:
    return int(np.abs(np.diff(samples.astype(int))).max())


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("pitch", [80, 123, 200, 330])
def test_a_lost_frame_of_a_tone_goes_on_in_its_pitch(rate: int, pitch: int) -> None:
    concealer, frame = Concealer(rate), rate // 50
    for index in range(5):
        concealer.good(tone(pitch, frame, rate, index * frame))
    made_up = concealer.lost(frame)
    expected = tone(pitch, frame, rate, 5 * frame)
    hold = rate // 100
    match = np.corrcoef(made_up[:hold], expected[:hold])[0, 1]
    assert match > 0.95


@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_no_joint_is_steeper_than_the_tone_itself(rate: int, lost: int) -> None:
    concealer, frame = Concealer(rate), rate // 50
    heard = []
    for index in range(20):
        if 8 <= index < 8 + lost:
            heard.append(concealer.lost(frame))
        else:
            heard.append(concealer.good(tone(133, frame, rate, index * frame)))
    assert steepest(np.concatenate(heard)) <= 1.3 * steepest(tone(133, 20 * frame, rate))


def test_it_fades_to_silence_in_sixty_milliseconds_and_stays_there() -> None:
    concealer = Concealer(8_000)
    for index in range(5):
        concealer.good(tone(100, 160, 8_000, index * 160))
    levels = [float(np.abs(concealer.lost(160).astype(int)).mean()) for _ in range(6)]
    assert levels[0] > levels[1] > levels[2] > 0
    assert levels[3:] == [0.0, 0.0, 0.0]


def test_silence_is_made_up_from_silence_or_nothing() -> None:
    concealer = Concealer(8_000)
    assert not concealer.lost(160).any()
    concealer.good(np.zeros(160, np.int16))
    assert not concealer.lost(160).any()


def test_good_frames_pass_untouched() -> None:
    concealer = Concealer(8_000)
    frame = tone(100, 160, 8_000)
    assert concealer.good(frame) is frame


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 2**32 - 1), st.sampled_from([1, 40, 160, 960]))
@settings(max_examples=40, deadline=None)
def test_any_sound_and_any_loss_give_frames_within_range(kept: list[bool], seed: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    concealer = Concealer(8_000)
    for good in kept:
        samples = draw.integers(-32768, 32768, size).astype(np.int16)
        heard = concealer.good(samples) if good else concealer.lost(size)
        assert (heard.dtype, heard.shape) == (np.int16, (size,))


# Folding two frames into one


@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("pitch", [90, 133, 250])
def test_folding_keeps_both_ends_and_makes_no_click(rate: int, pitch: int) -> None:
    frame = rate // 50
    whole = tone(pitch, 4 * frame, rate)
    folded = fold(whole[frame : 2 * frame], whole[2 * frame : 3 * frame], rate)
    assert (folded.dtype, folded.shape) == (np.int16, (frame,))
    heard = np.concatenate((whole[:frame], folded, whole[3 * frame :]))
    assert steepest(heard) <= 1.4 * steepest(whole)


def test_folding_silence_and_equal_frames_changes_nothing() -> None:
    silence = np.zeros(160, np.int16)
    assert np.array_equal(fold(silence, silence, 8_000), silence)
    constant = np.full(160, 500, np.int16)
    assert np.array_equal(fold(constant, constant, 8_000), constant)


def test_frames_that_cannot_be_folded_give_the_second() -> None:
    first, second = np.zeros(160, np.int16), np.ones(80, np.int16)
    assert fold(first, second, 8_000) is second
    assert fold(second[:2], second[:2], 8_000).tolist() == [1, 1]


@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 9, 40, 160, 960]))
@settings(max_examples=30, deadline=None)
def test_folding_starts_with_the_first_and_ends_with_the_second(seed: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    first, second = (draw.integers(-32768, 32768, size).astype(np.int16) for _ in range(2))
    folded = fold(first, second, 8_000)
    assert folded.shape == (size,)
