"""Volume as the reference shows it; speech found, and speech while muted."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip_media.resample import Resampler
from sansio_sip_media.speech import SpeakingOnMute, VoiceActivityDetector, levels_dbov
from sansio_sip_media.volume import VolumeMeter
from sansio_sip_media.wav import read_wav

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech" / "alice.wav"


def speech(rate: int, dbov: float = -20.0) -> np.ndarray:
    """The demo's voice; its loud parts at this RMS level."""
    samples, own = read_wav(SPEECH.read_bytes())
    voice = Resampler(own, rate).process(samples).astype(float)
    frames = voice[: len(voice) - len(voice) % (rate // 50)].reshape(-1, rate // 50)
    power = np.square(frames).mean(axis=1)
    active = power[power > power.max() / 1000].mean()
    return np.clip(voice * 32768 * 10 ** (dbov / 20) / np.sqrt(active), -32768, 32767).astype(np.int16)


def noise(seconds: float, dbov: float, rate: int = 16_000) -> np.ndarray:
    drawn = np.random.default_rng(3).normal(0, 32768 * 10 ** (dbov / 20), int(rate * seconds))
    return drawn.clip(-32768, 32767).astype(np.int16)


def frames_of(samples: np.ndarray, rate: int = 16_000) -> np.ndarray:
    return samples[: len(samples) - len(samples) % (rate // 50)].reshape(-1, rate // 50)


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_speech_at_20_dbov_fills_a_third_to_four_fifths_and_silence_nothing(rate: int) -> None:
    meter = VolumeMeter()
    volumes = [float(meter.process(frame[None])[0]) for frame in frames_of(speech(rate), rate)]
    loud = [volume for volume in volumes if volume > 0.05]
    assert 0.3 < np.median(loud) < 0.8
    for _ in range(60):
        last = float(meter.process(np.zeros((1, rate // 50), np.int16))[0])
    assert last == 0.0


def test_a_full_scale_sine_in_the_middle_of_a_bin_has_the_closed_form() -> None:
    """Blackman's window spreads it over 5 bins: 0.42, 0.25 and 0.04 of half its height."""
    meter = VolumeMeter()
    sine = np.round(32767 * np.sin(2 * np.pi * 16 * np.arange(1280) / 128)).astype(np.int16)
    for frame in sine.reshape(10, -1):
        volume = float(meter.process(frame[None])[0])
    settled = 1 - 0.8**10
    expected = [0.42 / 2, 0.25 / 2, 0.25 / 2, 0.04 / 2, 0.04 / 2]
    octets = [min(255, 255 * (20 * np.log10(each * settled) + 100) / 70) for each in expected]
    assert volume >= sum(np.floor(octets)) / 64 / 255
    assert volume < 0.2  # beside the five, only what rounding to 16 bits leaves


@given(st.integers(1, 5), st.integers(1, 300))
@settings(max_examples=20, deadline=None)
def test_rows_do_not_influence_each_other(rows: int, size: int) -> None:
    batch = np.random.default_rng(rows).integers(-9000, 9000, (4, rows, size)).astype(np.int16)
    meter, alone = VolumeMeter(rows), [VolumeMeter() for _ in range(rows)]
    detector, single = VoiceActivityDetector(rows), [VoiceActivityDetector() for _ in range(rows)]
    for frame in batch:
        volumes, speaks = meter.process(frame), detector.process(frame, 8000)
        for row in range(rows):
            assert volumes[row] == alone[row].process(frame[row : row + 1])[0]
            assert speaks[row] == single[row].process(frame[row : row + 1], 8000)[0]


# Speech


def test_levels_are_those_of_the_closed_form() -> None:
    sine = np.round(32767 * np.sin(2 * np.pi * np.arange(160) / 16)).astype(np.int16)
    assert levels_dbov(np.stack([sine, np.zeros(160, np.int16)])) == pytest.approx([-3.01, -127.0], abs=0.01)


@pytest.mark.parametrize("floor", [None, -60.0, -45.0])
def test_speech_is_found_and_silence_is_not(floor: float | None) -> None:
    voice = speech(16_000)
    background = noise(len(voice) / 16_000 + 12, floor) if floor is not None else np.zeros(len(voice) + 192_000, int)
    signal = background.astype(int)
    signal[96_000 : 96_000 + len(voice)] += voice
    detector = VoiceActivityDetector()
    frames = frames_of(np.clip(signal, -32768, 32767).astype(np.int16))
    found = np.array([detector.process(frame[None], 16_000)[0] for frame in frames])
    levels = np.array([levels_dbov(frame[None])[0] for frame in frames_of(voice)])
    loud = np.flatnonzero(levels > -30) + 300
    assert found[loud].mean() > 0.97
    assert found[250:300].mean() < 0.02
    assert found[-250:].mean() < 0.05


def test_steady_noise_is_learnt() -> None:
    detector = VoiceActivityDetector()
    found = [bool(detector.process(frame[None], 16_000)[0]) for frame in frames_of(noise(20.0, -40.0))]
    assert not any(found[600:])


def test_speech_while_muted_is_noticed_once_in_each_time_of_being_muted() -> None:
    watch, voice = SpeakingOnMute(), frames_of(speech(16_000))
    assert not any(watch.process(frame, 16_000, muted=False) for frame in voice)
    assert sum(watch.process(frame, 16_000, muted=True) for frame in voice) == 1
    assert not any(watch.process(frame, 16_000, muted=False) for frame in voice)
    assert sum(watch.process(frame, 16_000, muted=True) for frame in voice) == 1


def test_a_muted_room_is_not_speech() -> None:
    watch = SpeakingOnMute()
    frames = frames_of(noise(10.0, -60.0))
    assert not any(watch.process(frame, 16_000, muted=True) for frame in frames)
