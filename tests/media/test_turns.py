"""Turns, marks, beeps and who has answered, with real voices and made-up tones."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip_media.answering_machine import AnswerDetector, AnsweredBy, Beep, BeepDetector
from sansio_sip_media.codecs import make_decoder, make_encoder
from sansio_sip_media.resample import Resampler
from sansio_sip_media.tones import DTMF_HIGH, DTMF_LOW
from sansio_sip_media.turns import TurnBegan, TurnDetector, TurnEnded, VoiceMarker
from sansio_sip_media.wav import read_wav

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"
RATES = pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])


@cache
def said(name: str, rate: int) -> Any:
    """A voice of the demo, int16, shape (n,)."""
    samples, own = read_wav((SPEECH / f"{name}.wav").read_bytes())
    return Resampler(own, rate).process(samples)


def tone(seconds: float, rate: int, *frequencies: float, level: float = 6000.0) -> Any:
    at = np.arange(int(seconds * rate)) / rate
    return sum(level * np.sin(2 * np.pi * frequency * at) for frequency in frequencies or (440.0,)).astype(np.int16)  # type: ignore[union-attr]


def silence(seconds: float, rate: int, level: float = 4.0) -> Any:
    """As lines have it: noise 78 dB below overload."""
    return np.random.default_rng(3).normal(0, level, int(seconds * rate)).astype(np.int16)


def beeps(samples: Any, rate: int, piece: int = 160) -> list[Beep]:
    detector = BeepDetector(rate)
    return [
        beep for start in range(0, len(samples), piece) for beep in detector.process(samples[start : start + piece])
    ]


@RATES
def test_a_frame_has_20_ms_whatever_the_pieces(rate: int) -> None:
    data = np.concatenate((silence(0.5, rate), tone(0.5, rate), silence(0.5, rate)))
    whole = list(VoiceMarker(rate).process(data))
    marker = VoiceMarker(rate)
    pieces = [frame for start in range(0, len(data), 137) for frame in marker.process(data[start : start + 137])]
    assert {len(frame.samples) for frame in whole} == {rate // 50}
    assert np.array_equal(np.concatenate([frame.samples for frame in whole]), data)
    assert [(frame.level, frame.voice) for frame in pieces] == [(frame.level, frame.voice) for frame in whole]
    assert whole[10].level < -70
    assert whole[35].level == pytest.approx(20 * np.log10(6000 / 32768) - 3.01, abs=0.1)
    marks = [frame.voice for frame in whole]
    assert (marks[10], marks[35], marks[70]) == (False, True, False)


@RATES
def test_a_turn_begins_at_once_and_ends_after_the_pause(rate: int) -> None:
    data = np.concatenate(
        (silence(1.0, rate), tone(0.8, rate), silence(0.3, rate), tone(0.4, rate), silence(1.5, rate))
    )
    marker, turns = VoiceMarker(rate), TurnDetector(pause=0.6)
    events = [event for frame in marker.process(data) if (event := turns.process(frame)) is not None]
    began, ended = events
    assert isinstance(began, TurnBegan)
    assert isinstance(ended, TurnEnded)
    assert began.at == pytest.approx(1.04, abs=0.021)
    assert ended.at == pytest.approx(2.5 + 0.6, abs=0.041)
    assert ended.complete
    # From 0.3 s before to the end of the last word, over which a mark lasts by 0.2 s.
    assert len(ended.samples) / rate == pytest.approx(0.26 + 1.5 + 0.2, abs=0.041)
    sounds = np.abs(ended.samples.astype(np.float64)) > 1000
    assert np.flatnonzero(sounds)[0] / rate == pytest.approx(0.26, abs=0.03)


def test_a_turn_that_never_ends_is_handed_over_in_parts() -> None:
    marker, turns = VoiceMarker(16_000), TurnDetector(longest=2.0)
    data = np.concatenate((silence(0.5, 16_000), *[said("alice", 16_000)[:80_000]] * 2))
    events = [event for frame in marker.process(data) if (event := turns.process(frame)) is not None]
    ended = [event for event in events if isinstance(event, TurnEnded)]
    assert len(ended) >= 3
    assert all(len(event.samples) <= 2.0 * 16_000 for event in ended)
    assert not all(event.complete for event in ended)


def test_a_pause_shorter_than_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.2 s over each word"):
        TurnDetector(pause=0.2)
    with pytest.raises(ValueError, match=r"0\.2 s over each word"):
        AnswerDetector(8_000, pause=0.1)


@RATES
@pytest.mark.parametrize("frequency", [440.0, 853.0, 1000.0, 1400.0, 2130.0])
@pytest.mark.parametrize("seconds", [0.15, 0.5, 1.5])
def test_a_beep_after_a_greeting_is_found(rate: int, frequency: float, seconds: float) -> None:
    greeting = said("bob", rate)[: 3 * rate]
    data = np.concatenate((greeting, silence(0.2, rate), tone(seconds, rate, frequency), silence(0.4, rate)))
    (beep,) = beeps(data, rate)
    assert beep.frequency == pytest.approx(frequency, abs=6)
    assert beep.seconds == pytest.approx(seconds, abs=0.045)


@pytest.mark.parametrize("codec", ["opus", "pcmu", "g722"])
def test_a_beep_survives_its_codec(codec: str) -> None:
    context = Context(Entropy(random.Random(1)))
    encoder, decoder = make_encoder(codec, context), make_decoder(codec, context)
    rate = encoder.sample_rate
    data = np.concatenate((silence(0.4, rate), tone(0.4, rate, 1000.0), silence(0.6, rate)))
    size = rate // 50
    heard = [decoder.decode(encoder.encode(data[start : start + size])) for start in range(0, len(data) - size, size)]
    (beep,) = beeps(np.concatenate(heard), rate)
    assert beep.frequency == pytest.approx(1000, abs=6)
    assert beep.seconds == pytest.approx(0.4, abs=0.06)


def test_voices_keys_and_lasting_tones_are_no_beeps() -> None:
    rate = 16_000
    assert not beeps(said("alice", rate), rate)
    assert not beeps(said("bob", rate), rate)
    keys = [np.concatenate((tone(0.2, rate, low, high), silence(0.1, rate))) for low in DTMF_LOW for high in DTMF_HIGH]
    assert not beeps(np.concatenate(keys), rate)
    dial_tone = np.concatenate((tone(4.0, rate, 425.0), silence(0.5, rate)))
    assert not beeps(dial_tone, rate)
    ringback = np.concatenate((tone(2.0, rate, 440.0, 480.0), silence(0.5, rate)))
    assert not beeps(ringback, rate)
    click = np.concatenate((silence(0.3, rate), tone(0.06, rate, 1000.0), silence(0.3, rate)))
    assert not beeps(click, rate)
    assert not beeps(np.random.default_rng(1).normal(0, 3000, 5 * rate).astype(np.int16), rate)


def judged(*pieces: Any, rate: int = 16_000) -> tuple[AnsweredBy | None, float]:
    """The verdict, and when it came."""
    marker, detector = VoiceMarker(rate), AnswerDetector(rate)
    for number, frame in enumerate(marker.process(np.concatenate(pieces))):
        if (verdict := detector.process(frame)) is not None:
            return verdict, (number + 1) * 0.020
    return None, 0.0


def test_who_has_answered() -> None:
    rate = 16_000
    hello = said("alice", rate)[: int(0.7 * rate)]
    assert judged(silence(0.6, rate), hello, silence(1.5, rate))[0] is AnsweredBy.HUMAN
    verdict, at = judged(silence(0.4, rate), said("bob", rate)[: 6 * rate], silence(1.0, rate))
    assert verdict is AnsweredBy.MACHINE
    assert at < 4.5
    verdict, at = judged(silence(8.0, rate))
    assert (verdict, at) == (AnsweredBy.SILENCE, pytest.approx(4.0))
    # A machine that only beeps.
    verdict, at = judged(silence(0.5, rate), tone(0.5, rate, 1000.0), silence(0.5, rate))
    assert verdict is AnsweredBy.MACHINE
    assert at < 1.2
    assert judged(silence(3.0, rate)) == (None, 0.0)
