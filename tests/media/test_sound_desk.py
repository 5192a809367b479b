"""The desk that mixes tones, media and what is heard."""

import numpy as np
import pytest

from sansio_sip.softphone.media_plane import Sound, SoundKind
from sansio_sip_media.mixing import limit
from sansio_sip_media.sound_desk import MAX_MEDIA, MAX_MEDIUM, MAX_WAITING, SoundDesk
from sansio_sip_media.tones import dtmf_tone, national_tone, tone_samples

RATE = 16_000


def sine(count: int, size: int = 8_000) -> np.ndarray:
    return np.rint(size * np.sin(2 * np.pi * 500 * np.arange(count) / RATE)).astype(np.int16)


def frames(desk: SoundDesk, player: str, seconds: float) -> np.ndarray:
    return np.concatenate([desk.frame((player,), 0.02, RATE) for _ in range(round(seconds / 0.02))])


@pytest.mark.parametrize("kind", ["ringing", "ringback", "dial", "busy", "congestion"])
def test_a_tone_comes_piece_by_piece_as_the_table_has_it(kind: str) -> None:
    desk = SoundDesk()
    desk.start("one", Sound(SoundKind(kind), "de"))
    made = frames(desk, "one", 1.0)
    assert np.array_equal(made, tone_samples(national_tone(kind, "de"), RATE, 0, RATE))  # type: ignore[arg-type]
    assert not desk.is_over("one")
    desk.start("one", Sound(SoundKind(kind), "de"))
    assert np.array_equal(frames(desk, "one", 0.1), made[:1_600])  # from its beginning
    desk.stop("one")
    assert desk.is_over("one")
    assert not desk.frame(("one",), 0.02, RATE).any()


def test_a_key_ends_by_itself() -> None:
    desk = SoundDesk()
    desk.start("key", Sound(SoundKind.KEY, key="5"))
    assert not desk.is_over("key")
    made = frames(desk, "key", 0.2)
    assert np.array_equal(made, limit(tone_samples(dtmf_tone("5", 0.2), RATE, 0, 3_200).astype(np.int32)))
    assert desk.is_over("key")


@pytest.mark.parametrize("sound", [Sound(SoundKind.DIAL, "xx"), Sound(SoundKind.KEY, key="x"), Sound(SoundKind.KEY)])
def test_what_there_is_not_changes_nothing(sound: Sound) -> None:
    desk = SoundDesk()
    desk.start("one", Sound(SoundKind.DIAL))
    before = frames(desk, "one", 0.02)
    with pytest.raises(ValueError, match=r"there is no|there are no"):
        desk.start("one", sound)
    assert before.any()
    assert desk.frame(("one",), 0.02, RATE).any()


@pytest.mark.parametrize("repeats", [True, False])
def test_a_medium_is_played_once_or_over_and_over(repeats: bool) -> None:
    desk = SoundDesk()
    medium = sine(1_000)
    desk.keep("m", medium, RATE)
    desk.start("one", Sound(SoundKind.MEDIUM, medium="m", repeats=repeats))
    made = frames(desk, "one", 0.2)
    expected = np.resize(medium, 3_200) if repeats else np.concatenate((medium, np.zeros(2_200, np.int16)))
    assert np.array_equal(made, expected)
    assert desk.is_over("one") is not repeats


def test_a_medium_of_another_rate_keeps_its_pitch() -> None:
    desk = SoundDesk()
    time = np.arange(8_000) / 8_000
    desk.keep("m", np.rint(8_000 * np.sin(2 * np.pi * 500 * time)).astype(np.int16), 8_000)
    desk.start("one", Sound(SoundKind.MEDIUM, medium="m"))
    made = frames(desk, "one", 0.5).astype(np.float64)
    assert np.argmax(np.abs(np.fft.rfft(made))) * RATE / len(made) == pytest.approx(500, abs=3)


def test_a_medium_that_is_not_kept_is_silent() -> None:
    desk = SoundDesk()
    desk.start("one", Sound(SoundKind.MEDIUM, medium="m"))
    assert not frames(desk, "one", 0.1).any()


def test_what_is_heard_is_mixed_without_clipping_and_not_kept_for_long() -> None:
    desk = SoundDesk()
    desk.hear(sine(320, 30_000), RATE)
    desk.start("one", Sound(SoundKind.DIAL))
    mixed = desk.frame(("one",), 0.02, RATE)
    assert len(mixed) == 320
    assert np.abs(mixed.astype(int)).max() < 32_767
    for _ in range(100):
        desk.hear(sine(320), RATE)
    assert len(desk.rest()) <= MAX_WAITING * RATE
    assert not len(desk.rest())
    desk.hear(sine(500), RATE)
    assert np.array_equal(desk.frame((), 0.02, RATE), sine(500)[:320])
    assert np.array_equal(desk.rest(), sine(500)[320:])


def test_media_are_bounded() -> None:
    desk = SoundDesk()
    for number in range(MAX_MEDIA + 10):
        desk.keep(str(number), sine(100), RATE)
    assert len(desk._media) == MAX_MEDIA
    desk.keep("long", np.zeros(int((MAX_MEDIUM + 1) * 4_000), np.int16), 4_000)
    assert len(desk._media["long"][0]) == MAX_MEDIUM * 4_000
    desk.forget("long")
    desk.forget("long")
    assert "long" not in desk._media
