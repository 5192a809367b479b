"""Noise reduction in figures: what the gains do to speech and to noise apart, and that nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip_media.likeness import likeness
from sansio_sip_media.noise_reduction import NoiseReducer
from sansio_sip_media.resample import Resampler
from sansio_sip_media.wav import read_wav

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"
RATE = 16_000
HOP = 160


def voice(name: str = "alice") -> np.ndarray:
    samples, rate = read_wav((SPEECH / f"{name}.wav").read_bytes())
    return Resampler(rate, RATE).process(samples).astype(float)


def noise_like(signal: np.ndarray, kind: str) -> np.ndarray:
    drawn = np.random.default_rng(7).normal(size=len(signal))
    if kind == "white":
        return drawn
    spectrum = np.fft.rfft(drawn)
    frequencies = np.maximum(np.fft.rfftfreq(len(drawn), 1 / RATE), 50)
    return np.fft.irfft(spectrum / np.sqrt(frequencies), len(drawn))  # pink: fans, cars


def power_db(signal: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(signal))))


def mixed(name: str, kind: str, snr: float) -> tuple[np.ndarray, np.ndarray]:
    """Speech, and noise `snr` dB below it over the whole."""
    clean = voice(name)
    noise = noise_like(clean, kind)
    return clean, noise * 10 ** ((power_db(clean) - power_db(noise) - snr) / 20)


def shadow(clean: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the gains found on the mixture do to speech and noise apart: they are linear once they are known."""
    reducer = NoiseReducer(RATE)
    window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(2 * HOP) + 0.5) / (2 * HOP)))
    mixture = np.clip(clean + noise, -32768, 32767).astype(np.int16)
    outputs = [np.zeros(len(clean) + HOP), np.zeros(len(clean) + HOP)]
    sources = [np.concatenate((np.zeros(HOP), each)) for each in (clean, noise)]
    for start in range(0, len(clean) - HOP + 1, HOP):
        reducer.process(mixture[None, start : start + HOP])
        for output, source in zip(outputs, sources, strict=True):
            spectrum = np.fft.rfft(source[start : start + 2 * HOP] * window)
            output[start : start + 2 * HOP] += np.fft.irfft(spectrum * reducer.gain[0], 2 * HOP) * window
    return outputs[0][HOP:], outputs[1][HOP:]


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("name", ["alice", "bob"])
def test_noise_at_5_db_falls_by_6_db_more_than_speech_does(name: str, kind: str) -> None:
    clean, noise = mixed(name, kind, 5.0)
    speech_out, noise_out = shadow(clean, noise)
    settled = slice(RATE, len(clean) - HOP)
    before = power_db(clean[settled]) - power_db(noise[settled])
    after = power_db(speech_out[settled]) - power_db(noise_out[settled])
    distortion = power_db(clean[settled]) - power_db(speech_out[settled] - clean[settled])
    loudness = power_db(speech_out[settled]) - power_db(clean[settled])
    assert after - before >= 6.0, f"{after - before:.1f} dB gained"
    assert distortion >= 8.0, f"speech to distortion is {distortion:.1f} dB"
    assert abs(loudness) < 1.5


def test_clean_speech_stays_what_it_is() -> None:
    clean = voice().astype(np.int16)
    out = NoiseReducer(RATE).process(clean[None])[0]
    verdict = likeness(clean, out, RATE)
    assert verdict.median > 0.98
    assert abs(verdict.gain_db) < 1.0


def test_steady_noise_alone_falls_by_12_db() -> None:
    noise = (1000 * noise_like(np.zeros(10 * RATE), "white")).clip(-32768, 32767).astype(np.int16)
    out = NoiseReducer(RATE).process(noise[None])[0]
    assert power_db(noise[5 * RATE :].astype(float)) - power_db(out[5 * RATE :].astype(float)) > 12


def test_a_louder_noise_is_learnt() -> None:
    draw = noise_like(np.zeros(20 * RATE), "white")
    draw[: 4 * RATE] *= 100
    draw[4 * RATE :] *= 1000
    noise = draw.clip(-32768, 32767).astype(np.int16)
    out = NoiseReducer(RATE).process(noise[None])[0]
    assert power_db(noise[-2 * RATE :].astype(float)) - power_db(out[-2 * RATE :].astype(float)) > 10


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_what_comes_out_is_as_much_and_a_frame_later(rate: int) -> None:
    """With the gains at 1, two root-Hann windows add up to the signal itself."""
    reducer = NoiseReducer(rate)
    reducer._gains = np.ones_like  # type: ignore[method-assign, assignment]
    samples = np.random.default_rng(1).integers(-9000, 9000, (1, rate // 2)).astype(np.int16)
    out = reducer.process(samples)
    assert out.shape == samples.shape
    wanted = samples[0, : -reducer.delay].astype(int)
    assert np.abs(out[0, reducer.delay :] - wanted).max() <= 1


@given(rows=st.integers(1, 4), sizes=st.lists(st.integers(1, 500), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_rows_and_pieces_make_no_difference(rows: int, sizes: list[int]) -> None:
    batch = np.random.default_rng(rows).integers(-9000, 9000, (rows, sum(sizes))).astype(np.int16)
    whole = NoiseReducer(8000, rows).process(batch)
    for row in range(rows):
        assert np.array_equal(NoiseReducer(8000).process(batch[row : row + 1])[0], whole[row])
    reducer, start = NoiseReducer(8000, rows), 0
    for size in sizes:
        assert np.array_equal(reducer.process(batch[:, start : start + size]), whole[:, start : start + size])
        start += size


def test_silence_stays_silent() -> None:
    assert not NoiseReducer(8000).process(np.zeros((1, 8000), np.int16)).any()
