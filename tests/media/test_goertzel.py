"""The detector of keys against the limits of ITU-T Q.24, noise, speech, and rows beside each other."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip_media.codecs.g711 import decode_table, encode_table
from sansio_sip_media.goertzel import DtmfDetector, KeyHeard
from sansio_sip_media.resample import Resampler
from sansio_sip_media.tones import KEYPAD, ToneGenerator, dtmf_tone
from sansio_sip_media.wav import read_wav

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"
LOW, HIGH = (697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0, 1633.0)


def key(
    digit: str, ms: float, *, level: float = -16.0, twist: float = 0.0, off: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """A press: `level` in dBov of the lower frequency, `twist` in dB of the higher over it, `off` as shares."""
    place, at = KEYPAD.index(digit), np.arange(round(8 * ms)) / 8000
    amplitude = 32768 * 10 ** (level / 20) * np.sqrt(2)
    low = np.sin(2 * np.pi * LOW[place // 4] * (1 + off[0]) * at + 1.0)
    high = 10 ** (twist / 20) * np.sin(2 * np.pi * HIGH[place % 4] * (1 + off[1]) * at + 2.0)
    return amplitude * (low + high)


def pause(ms: float) -> np.ndarray:
    return np.zeros(round(8 * ms))


def heard(*parts: np.ndarray, noise: float | None = None, lead: int = 0) -> str:
    """What the detector makes of the parts; `noise` in dBov; `lead`: samples before all."""
    signal = np.concatenate((np.zeros(lead), *parts, pause(100)))
    if noise is not None:
        signal = signal + np.random.default_rng(lead).normal(0, 32768 * 10 ** (noise / 20), len(signal))
    samples = np.clip(signal, -32768, 32767).astype(np.int16)
    return "".join(event.digit for event in DtmfDetector().process(samples[None]))


@pytest.mark.parametrize("digit", KEYPAD)
def test_each_key_of_our_own_is_heard_through_g711(digit: str) -> None:
    samples = ToneGenerator(dtmf_tone(digit, 0.1, gap=0.1), 8000).samples(1600)
    coded = decode_table("pcmu")[encode_table("pcmu")[samples.view(np.uint16)]]
    (event,) = DtmfDetector().process(coded[None])
    assert event.digit == digit
    assert event.duration_ms == pytest.approx(100, abs=20)


@pytest.mark.parametrize("lead", [0, 13, 40, 77])
@pytest.mark.parametrize("digit", "1D*8")
def test_40_ms_are_a_key_and_23_ms_are_none(digit: str, lead: int) -> None:
    assert heard(key(digit, 40), lead=lead) == digit
    assert heard(key(digit, 23), lead=lead) == ""


@pytest.mark.parametrize("lead", [0, 13, 40, 77])
def test_a_pause_of_40_ms_parts_two_presses_and_a_gap_of_10_ms_none(lead: int) -> None:
    assert heard(key("5", 60), pause(40), key("5", 60), lead=lead) == "55"
    assert heard(key("5", 60), pause(10), key("5", 60), lead=lead) == "5"
    assert heard(key("5", 60), key("6", 60), lead=lead) == "56"


@pytest.mark.parametrize("digit", KEYPAD)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_frequency_1_5_per_cent_off_is_a_key_and_3_5_per_cent_is_none(digit: str, sign: int) -> None:
    for low, high in ((0.015, 0.0), (0.0, 0.015), (0.015, 0.015), (0.015, -0.015)):
        assert heard(key(digit, 60, off=(sign * low, sign * high)), lead=21) == digit
    for low, high in ((0.035, 0.0), (0.0, 0.035), (0.035, 0.035)):
        assert heard(key(digit, 60, off=(sign * low, sign * high)), lead=21) == ""


@pytest.mark.parametrize(("twist", "accepted"), [(4, True), (-8, True), (0, True), (8, False), (-13, False)])
def test_twist(twist: float, accepted: bool) -> None:
    assert heard(key("7", 60, twist=twist)) == ("7" if accepted else "")


@pytest.mark.parametrize(("level", "accepted"), [(-9, True), (-31, True), (-45, False)])
def test_level(level: float, accepted: bool) -> None:
    assert heard(key("2", 60, level=level)) == ("2" if accepted else "")


def test_keys_are_heard_at_15_db_over_noise() -> None:
    for index, digit in enumerate(KEYPAD * 4):
        assert heard(key(digit, 50, level=-20), noise=-20 + 3 - 15, lead=7 * index) == digit


def test_one_frequency_or_three_are_no_key() -> None:
    at = np.arange(800) / 8000
    assert heard(5000 * np.sin(2 * np.pi * 770 * at)) == ""
    assert heard(key("5", 100) + 7000 * np.sin(2 * np.pi * 1100 * at)) == ""


@pytest.mark.parametrize("name", ["alice.wav", "bob.wav"])
def test_speech_presses_no_key(name: str) -> None:
    """Talk-off: the demo's voices, at several speeds, which shifts every pitch and formant."""
    samples, rate = read_wav((SPEECH / name).read_bytes())
    for speed in (0.8, 0.9, 1.0, 1.1, 1.25):
        voice = Resampler(round(rate * speed), 8000).process(samples)
        loud = np.clip(voice.astype(float) * (20_000 / np.abs(voice).max()), -32768, 32767).astype(np.int16)
        assert DtmfDetector().process(loud[None]) == []


def test_noise_and_music_of_chance_press_no_key() -> None:
    draw = np.random.default_rng(5)
    white = draw.normal(0, 5000, (20, 80_000)).clip(-32768, 32767).astype(np.int16)
    assert DtmfDetector(20).process(white) == []


@given(
    digits=st.lists(st.sampled_from(KEYPAD), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    rows=st.integers(1, 4),
)
@settings(max_examples=12, deadline=None)
def test_rows_and_pieces_make_no_difference(digits: list[str], sizes: list[int], rows: int) -> None:
    draw = random.Random("".join(digits))
    signals = []
    for row in range(rows):
        parts = [part for digit in digits for part in (key(digit, 45 + 5 * row), pause(50))]
        signals.append(np.concatenate((np.zeros(10 * row), *parts, pause(400)))[: 800 * len(digits) + 400])
    batch = np.stack(signals).astype(np.int16)
    whole = DtmfDetector(rows).process(batch)
    assert [event.digit for event in whole if event.row == 0] == digits
    pieces: list[KeyHeard] = []
    detector, start = DtmfDetector(rows), 0
    while start < batch.shape[1]:
        size = draw.choice(sizes)
        pieces.extend(detector.process(batch[:, start : start + size]))
        start += size
    assert pieces == whole
    for row in range(rows):
        alone = DtmfDetector().process(batch[row : row + 1])
        assert [(event.digit, event.duration_ms) for event in alone] == [
            (event.digit, event.duration_ms) for event in whole if event.row == row
        ]
