"""National tones and keys: frequency, level, rhythm; pieces that fit; and what no table has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip_media.levels import level_dbov
from sansio_sip_media.tones import (
    COUNTRIES,
    KEYPAD,
    KINDS,
    Segment,
    Tone,
    ToneGenerator,
    dtmf_tone,
    national_tone,
    parse_tone,
    tone_samples,
)


def peaks(samples: np.ndarray, rate: int, count: int) -> list[float]:
    """The strongest frequencies, Hz, to the width of a bin."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    found = []
    for _ in range(count):
        top = int(np.argmax(spectrum))
        found.append(top * rate / len(samples))
        spectrum[max(0, top - 4) : top + 5] = 0
    return sorted(found)


def rhythm(tone: Tone, rate: int = 8000) -> list[tuple[bool, float]]:
    """Sound and silence of one round, in seconds, from 10 ms of level each."""
    samples = tone_samples(tone, rate, 0, round((tone.seconds or 1.0) * rate))
    loud = [level_dbov(samples[at : at + 80]) > -45 for at in range(0, len(samples), 80)]
    runs: list[tuple[bool, float]] = []
    for each in loud:
        if runs and runs[-1][0] == each:
            runs[-1] = (each, round(runs[-1][1] + 0.01, 3))
        else:
            runs.append((each, 0.01))
    return runs


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_dial_tone_of_the_us_is_350_and_440_hz_at_any_rate(rate: int) -> None:
    samples = tone_samples(national_tone("dial", "us"), rate, 0, rate)
    assert peaks(samples, rate, 2) == pytest.approx([350, 440], abs=1)
    assert level_dbov(samples) == pytest.approx(-19 + 3.01, abs=0.1)


@pytest.mark.parametrize(
    ("kind", "country", "expected"),
    [
        ("ringback", "us", [(True, 2.0), (False, 4.0)]),
        ("ringback", "uk", [(True, 0.4), (False, 0.2), (True, 0.4), (False, 2.0)]),
        ("ringing", "uk", [(True, 0.4), (False, 0.2), (True, 0.4), (False, 2.0)]),
        ("ringback", "de", [(True, 1.0), (False, 4.0)]),
        ("ringback", "fr", [(True, 1.5), (False, 3.5)]),
        ("busy", "de", [(True, 0.48), (False, 0.48)]),
        ("busy", "uk", [(True, 0.375), (False, 0.375)]),
        ("congestion", "us", [(True, 0.25), (False, 0.25)]),
        ("busy", "jp", [(True, 0.5), (False, 0.5)]),
    ],
)
def test_rhythms(kind: str, country: str, expected: list[tuple[bool, float]]) -> None:
    found = rhythm(national_tone(kind, country))  # type: ignore[arg-type]  # a literal from the table
    if kind == "ringing":
        assert len([run for run in found if not run[0] and run[1] > 0.15]) == 2
        return
    assert [sound for sound, _ in found] == [sound for sound, _ in expected]
    assert [seconds for _, seconds in found] == pytest.approx([seconds for _, seconds in expected], abs=0.011)


@pytest.mark.parametrize("country", sorted(COUNTRIES))
@pytest.mark.parametrize("kind", [*KINDS, "ringing"])
def test_each_country_has_each_tone(country: str, kind: str) -> None:
    tone = national_tone(kind, country.upper())  # type: ignore[arg-type]  # a literal from the table
    assert np.abs(tone_samples(tone, 8000, 0, 8000)).max() > 1000
    assert (tone.seconds is None) == (kind == "dial" and country != "it")


def test_indian_ringback_swells_25_times_a_second() -> None:
    samples = tone_samples(parse_tone("400*25"), 8000, 0, 8000)
    assert peaks(samples, 8000, 3) == pytest.approx([375, 400, 425], abs=1)


@given(
    cuts=st.lists(st.integers(0, 700), max_size=8),
    rate=st.sampled_from([8_000, 11_025, 48_000]),
    text=st.sampled_from(["440+480/40,0/30", "425", "400*25/25,0/10,600/5,0/5"]),
)
def test_pieces_fit(cuts: list[int], rate: int, text: str) -> None:
    tone = parse_tone(text)
    generator = ToneGenerator(tone, rate)
    pieces = [generator.samples(count) for count in cuts]
    assert np.array_equal(np.concatenate([*pieces, np.zeros(0, np.int16)]), tone_samples(tone, rate, 0, sum(cuts)))
    assert not generator.finished


def test_no_step_is_larger_than_the_tone_allows() -> None:
    samples = tone_samples(parse_tone("440/100,0/50"), 48_000, 0, 96_000).astype(float)
    amplitude = 32768 * 10 ** (-19 / 20) * np.sqrt(2)
    assert np.abs(np.diff(samples)).max() < 2 * np.pi * 440 / 48_000 * amplitude + amplitude / 96 + 2


@pytest.mark.parametrize("digit", KEYPAD)
def test_keys_are_two_frequencies_with_the_higher_louder(digit: str) -> None:
    low, high = peaks(tone_samples(dtmf_tone(digit, 1.0), 8000, 200, 7000), 8000, 2)
    place = KEYPAD.index(digit)
    assert low == pytest.approx((697, 770, 852, 941)[place // 4], abs=1.5)
    assert high == pytest.approx((1209, 1336, 1477, 1633)[place % 4], abs=1.5)


def test_a_key_ends() -> None:
    generator = ToneGenerator(dtmf_tone("5", 0.1, gap=0.05), 8000)
    assert np.abs(generator.samples(800)).max() > 5000
    assert not generator.samples(400).any()
    assert generator.finished
    assert not generator.samples(100).any()


@pytest.mark.parametrize("text", ["", "a", "440/0", "440/-5", "440,0/10", "440/x"])
def test_what_is_no_tone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_tone(text)


def test_unknown_countries_and_keys_are_named() -> None:
    with pytest.raises(ValueError, match="'xx'"):
        national_tone("busy", "xx")
    with pytest.raises(ValueError, match="'E'"):
        dtmf_tone("E", 0.1)


def test_silence_is_a_segment_without_frequencies() -> None:
    assert parse_tone("0/100").segments == (Segment((), 0.1),)
