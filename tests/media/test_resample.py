"""Resampling judged by tones: what passes, what must not, and how long it takes in samples."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip_media.resample import Resampler

Int16 = npt.NDArray[np.int16]

PAIRS = [
    (48_000, 16_000), (16_000, 48_000), (48_000, 8_000), (8_000, 48_000), (16_000, 8_000), (8_000, 16_000),
    (44_100, 48_000), (48_000, 44_100), (44_100, 8_000), (22_050, 16_000), (11_025, 48_000), (24_000, 16_000),
    (48_000, 11_024),
]  # fmt: skip


def sine(frequency: float, rate: int, seconds: float = 1.0, amplitude: float = 10_000) -> Int16:
    time = np.arange(round(seconds * rate)) / rate
    return np.asarray(amplitude * np.sin(2 * np.pi * frequency * time), dtype=np.int16)


def in_frames(resampler: Resampler, samples: Int16) -> Int16:
    size = resampler.rate_in // 50
    return np.concatenate([resampler.process(samples[at : at + size]) for at in range(0, len(samples), size)])


def level(samples: Int16) -> float:
    """dB relative to the sines above; the edges, where the filter fills, are left out."""
    middle = samples[len(samples) // 5 : -len(samples) // 5].astype(float)
    return float(10 * np.log10(np.mean(np.square(middle)) / (10_000**2 / 2) + 1e-12))


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("share", [0.05, 0.25, 0.42])
def test_tones_below_the_edge_pass_unchanged(rate_in: int, rate_out: int, share: float) -> None:
    frequency = round(share * min(rate_in, rate_out))
    resampler = Resampler(rate_in, rate_out)
    heard = in_frames(resampler, sine(frequency, rate_in))
    time = np.arange(len(heard)) / rate_out - resampler.delay
    expected = 10_000 * np.sin(2 * np.pi * frequency * time)
    middle = slice(len(heard) // 5, -len(heard) // 5)
    error = heard[middle] - expected[middle]
    assert 10 * np.log10(np.mean(np.square(error)) / (10_000**2 / 2)) < -50


@pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if pair[0] > pair[1]])
@pytest.mark.parametrize("place", [0.02, 0.3, 0.9])
def test_tones_that_would_alias_are_rejected_by_50_db(rate_in: int, rate_out: int, place: float) -> None:
    lowest, highest = rate_out / 2, rate_in / 2
    frequency = lowest + place * (highest - lowest)
    assert level(in_frames(Resampler(rate_in, rate_out), sine(frequency, rate_in))) < -50


@pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if 1.2 * pair[0] < pair[1]])
def test_images_above_the_old_edge_are_50_db_down(rate_in: int, rate_out: int) -> None:
    frequency = 0.42 * rate_in
    heard = in_frames(Resampler(rate_in, rate_out), sine(frequency, rate_in)).astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.blackman(len(heard))))
    frequencies = np.fft.rfftfreq(len(heard), 1 / rate_out)
    assert 20 * np.log10(spectrum[frequencies > 0.55 * rate_in].max() / spectrum.max()) < -50


@pytest.mark.parametrize(("rate_in", "rate_out"), [*PAIRS, (8_000, 8_000), (44_100, 47_999)])
def test_the_ratio_is_exact_in_the_long_run(rate_in: int, rate_out: int) -> None:
    resampler = Resampler(rate_in, rate_out)
    piece = np.zeros(997, np.int16)
    taken = given_out = 0
    for _ in range(500):
        given_out += len(resampler.process(piece))
        taken += len(piece)
        assert given_out == -(-taken * rate_out // rate_in)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(48_000, 8_000), (8_000, 48_000), (44_100, 48_000), (16_000, 44_101)]
)
@given(cuts=st.lists(st.integers(0, 700), max_size=8), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_how_a_stream_is_cut_makes_no_difference(rate_in: int, rate_out: int, cuts: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-32768, 32768, 2000).astype(np.int16)
    whole = Resampler(rate_in, rate_out).process(samples)
    resampler = Resampler(rate_in, rate_out)
    parts = [resampler.process(part) for part in np.split(samples, np.cumsum(cuts).clip(0, 2000))]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_constant_stays_and_the_loudest_clips_without_wrapping(rate_in: int, rate_out: int) -> None:
    quiet = in_frames(Resampler(rate_in, rate_out), np.full(rate_in // 5, 1234, np.int16))
    assert np.abs(quiet[len(quiet) // 2 :].astype(int) - 1234).max() <= 1
    square = np.repeat(np.tile(np.array([32767, -32768], np.int16), 20), rate_in // 400)
    heard = in_frames(Resampler(rate_in, rate_out), square)
    # The plateaus overshoot: a value that wrapped would have the other sign.
    assert (np.sign(heard[np.abs(heard) > 20_000].astype(int)) != 0).all()
    assert heard.max() == 32767
    assert heard.min() == -32768


def test_equal_rates_pass_through() -> None:
    samples = sine(440, 8_000)
    resampler = Resampler(8_000, 8_000)
    assert resampler.process(samples) is samples
    assert resampler.delay == 0.0


def test_the_delay_is_a_few_milliseconds() -> None:
    assert max(Resampler(*pair).delay for pair in PAIRS) <= 0.0031


@pytest.mark.parametrize("rates", [(0, 8_000), (8_000, 0), (8_000, 10**9), (-1, 8_000)])
def test_rates_that_are_no_audio_are_refused(rates: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot resample audio at"):
        Resampler(*rates)


def test_half_a_minute_at_once_is_taken_in_bounded_memory() -> None:
    samples = sine(1000, 44_100, 30.0)
    heard = Resampler(44_100, 48_000).process(samples)
    assert len(heard) == 30 * 48_000
