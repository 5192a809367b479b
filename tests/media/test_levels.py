"""Levels in dBov, and arrays that come out of a trace."""

import base64
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.context import Context, Entropy
from sansio_sip.errors import ParseError
from sansio_sip.trace_codec import TraceCodec
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.levels import MeanLevel, audio_level, level_dbov


@pytest.mark.parametrize(
    ("amplitude", "level"),
    [
        pytest.param(32767, -3.01, id="a sine at full scale"),
        pytest.param(3276.7, -23.01, id="a tenth"),
        pytest.param(327.67, -43.01, id="a hundredth"),
    ],
)
def test_a_sine_has_its_level(amplitude: float, level: float) -> None:
    samples = np.rint(amplitude * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).astype(np.int16)
    assert level_dbov(samples) == pytest.approx(level, abs=0.02)
    assert audio_level(samples) == round(-level)


def test_a_square_at_full_scale_is_the_overload_point() -> None:
    assert level_dbov(np.tile(np.array([-32768, 32767], np.int16), 80)) == pytest.approx(0.0, abs=0.001)
    assert level_dbov(np.full(160, -32768, np.int16)) == 0.0


@pytest.mark.parametrize("samples", [np.zeros(160, np.int16), np.zeros(0, np.int16)])
def test_silence_has_the_lowest_level(samples: np.typing.NDArray[np.int16]) -> None:
    assert level_dbov(samples) == -127.0
    assert audio_level(samples) == 127


@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_a_level_fits_seven_bits(samples: list[int]) -> None:
    assert 0 <= audio_level(np.array(samples, dtype=np.int16)) <= 127


def test_a_mean_level_is_read_once_a_second_and_remembers_five() -> None:
    mean = MeanLevel(Context(Entropy(random.Random(1))))
    loud, quiet = (np.tile(np.array([-size, size], np.int16), 80) for size in (32767, 3277))
    for _ in range(49):
        mean.add(loud, 8000)
        mean.add(np.zeros(0, np.int16), 8000)
        assert mean.mean is None
    mean.add(loud, 8000)
    assert mean.mean == 0.0
    for _ in range(50):
        mean.add(quiet, 8000)
    assert mean.mean == pytest.approx(-3.0, abs=0.05)  # the mean of the two powers
    for _ in range(4 * 50):
        mean.add(quiet, 8000)
    assert mean.mean == -20.0


@pytest.mark.parametrize("sizes", [[160], [160, 1, 479], [5000], [20_000, 7]], ids=str)
def test_a_mean_level_is_of_all_that_was_added_in_pieces_of_any_length_and_rate(sizes: list[int]) -> None:
    """What is read is of the second that was full with the last piece, whatever is done to the pieces afterwards."""
    mean = MeanLevel(Context(Entropy(random.Random(1))))
    source = np.random.default_rng(1)
    kept: list[np.ndarray] = []
    expected: list[float] = []
    seconds = 0.0
    for number in range(400):
        rate = 8000 if number % 100 < 50 else 48_000
        piece = source.integers(-3000, 3000, sizes[number % len(sizes)], dtype=np.int16)
        kept.append(piece.copy())
        mean.add(piece, rate)
        piece[:] = 0
        seconds += len(piece) / rate
        if seconds >= 1.0:
            expected.append(round(level_dbov(np.concatenate(kept)), 1))
            kept.clear()
            seconds = 0.0
    assert expected
    assert list(mean._readings) == expected[-MeanLevel.READINGS :]


def test_a_mean_level_holds_a_second_and_no_more() -> None:
    mean = MeanLevel(Context(Entropy(random.Random(1))))
    longer = np.ones(480_000, np.int16)
    for _ in range(500):
        mean.add(longer[:960], 48_000)
    room = mean._heard
    assert len(room) <= 48_000 + 960
    for _ in range(500):
        mean.add(longer[:960], 48_000)
    assert mean._heard is room


@given(st.lists(st.integers(-32768, 32767), max_size=50), st.booleans())
def test_an_array_comes_back_from_a_trace(samples: list[int], full: bool) -> None:
    array = np.array(samples, dtype=np.int16)
    codec = TraceCodec(full=full, array=rebuild_array)
    again = codec.decode(codec.encode(array))
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert np.array_equal(again, array if full else np.zeros_like(array))
    again[:] = 1  # it can be written to, as the first one could


def test_an_array_keeps_its_shape() -> None:
    codec = TraceCodec(full=True, array=rebuild_array)
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(codec.decode(codec.encode(array)), array)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"array": "object", "shape": [1], "data": ""},
        {"array": "int16", "shape": [-1], "data": ""},
        {"array": "int16", "shape": [2**40]},
        {"array": "int16", "shape": [3], "data": base64.b64encode(b"ab").decode()},
        {"array": "int16", "shape": [1], "data": "?"},
        {"array": ["int16"], "shape": [1]},
        {"array": "int16", "shape": "x"},
    ],
)
def test_a_damaged_row_is_a_parse_error(row: dict[str, object]) -> None:
    with pytest.raises(ParseError, match="array"):
        rebuild_array(row)
