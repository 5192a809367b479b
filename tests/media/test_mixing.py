"""The conference: each the sum of the others; the limiter; gain control by level, time and gate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip_media.agc import ATTACK, RELEASE, AutomaticGain
from sansio_sip_media.levels import level_dbov
from sansio_sip_media.mixing import KNEE, limit, mix_minus_one


def test_each_hears_the_others() -> None:
    frames = np.array([[1, 10], [2, -20], [4, 30]], np.int16)
    assert mix_minus_one(frames).tolist() == [[6, 10], [5, 40], [3, -10]]


def test_one_alone_hears_nothing_and_two_hear_each_other() -> None:
    frames = np.array([[100, -200], [300, 400]], np.int16)
    assert not mix_minus_one(frames[:1]).any()
    assert mix_minus_one(frames).tolist() == frames[::-1].tolist()


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_seats_do_not_matter_and_nothing_wraps(parties: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    frames = draw.integers(-32768, 32768, (parties, 40)).astype(np.int16)
    mixed, order = mix_minus_one(frames), draw.permutation(parties)
    assert np.array_equal(mix_minus_one(frames[order]), mixed[order])
    sums = frames.sum(axis=0, dtype=np.int64) - frames
    assert ((np.sign(mixed) == np.sign(sums)) | (mixed == 0)).all()


def test_the_limiter_passes_what_is_quiet_and_never_turns_back() -> None:
    sums = np.arange(-400_000, 400_001, 13, dtype=np.int32)
    bent = limit(sums).astype(int)
    quiet = np.abs(sums) <= KNEE
    assert np.array_equal(bent[quiet], sums[quiet])
    assert (np.diff(bent) >= 0).all()
    assert np.abs(bent).max() <= 32767
    assert np.array_equal(limit(-sums), -limit(sums))
    steps = np.diff(limit(np.arange(0, 40_000, dtype=np.int32)).astype(int))
    assert steps.max() <= 1


# Gain control


def tone(dbov: float, seconds: float) -> np.ndarray:
    at = np.arange(int(8000 * seconds)) / 8000
    return np.round(32768 * np.sqrt(2) * 10 ** (dbov / 20) * np.sin(2 * np.pi * 500 * at)).astype(np.int16)


def run(gain: AutomaticGain, samples: np.ndarray) -> np.ndarray:
    return np.concatenate([gain.process(frame[None], 8000)[0] for frame in samples.reshape(-1, 160)])


@pytest.mark.parametrize("level", [-45.0, -30.0, -23.0, -10.0])
def test_every_voice_comes_to_the_target(level: float) -> None:
    out = run(AutomaticGain(), tone(level, 6.0))
    assert level_dbov(out[-1600:]) == pytest.approx(-23.0, abs=0.3)


def test_down_at_once_and_up_slowly() -> None:
    gain = AutomaticGain()
    run(gain, tone(-10.0, 0.1))
    assert gain.gain_db[0] == pytest.approx(-ATTACK * 0.1)
    gain = AutomaticGain()
    run(gain, tone(-40.0, 0.5))
    assert gain.gain_db[0] == pytest.approx(RELEASE * 0.5)


def test_silence_does_not_move_the_gain() -> None:
    gain = AutomaticGain()
    run(gain, tone(-35.0, 1.0))
    before = gain.gain_db.copy()
    run(gain, tone(-60.0, 5.0))
    assert np.array_equal(gain.gain_db, before)


def test_gain_is_bounded() -> None:
    gain = AutomaticGain(target_dbov=0.0)
    run(gain, tone(-49.0, 10.0))
    assert gain.gain_db[0] == 24.0


@given(st.integers(1, 5))
@settings(max_examples=10)
def test_rows_do_not_influence_each_other(rows: int) -> None:
    batch = np.random.default_rng(rows).integers(-9000, 9000, (5, rows, 160)).astype(np.int16)
    together, alone = AutomaticGain(rows), [AutomaticGain() for _ in range(rows)]
    for frame in batch:
        out = together.process(frame, 8000)
        for row in range(rows):
            assert np.array_equal(out[row], alone[row].process(frame[row : row + 1], 8000)[0])
