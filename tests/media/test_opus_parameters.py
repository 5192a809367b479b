"""The fmtp of Opus both ways, FEC by reported loss, and what the encoder makes of its settings (RFC 7587)."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.context import Context, Entropy
from sansio_sip_media.codecs import FecControl, OpusParameters, OpusSettings, libopus, make_decoder, make_encoder
from sansio_sip_media.codecs.libopus import load
from sansio_sip_media.codecs.opus import OpusEncoder

needs_libopus = pytest.mark.skipif(load() is None, reason="libopus was found neither in PyAV's wheel nor in the system")


def encoder_of(settings: OpusSettings) -> OpusEncoder:
    return OpusEncoder(Context(Entropy(random.Random(1))), settings)


def voice(seconds: float) -> np.ndarray:
    """Noise in syllables, 48 kHz."""
    at = np.arange(int(48_000 * seconds))
    shaped = np.random.default_rng(1).normal(0, 4000, len(at)) * (np.sin(at / 6000) > 0)
    return np.clip(shaped, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", OpusParameters(), id="6.1-defaults"),
        pytest.param(
            "maxplaybackrate=16000; sprop-maxcapturerate=16000; maxaveragebitrate=20000; stereo=1; "
            "useinbandfec=1; usedtx=0",
            OpusParameters(20_000, 16_000, use_inband_fec=True),
            id="7-example",
        ),
        pytest.param("minptime=10;useinbandfec=1", OpusParameters(use_inband_fec=True), id="browser"),
        pytest.param("usedtx=1;cbr=1", OpusParameters(use_dtx=True, constant_bitrate=True), id="dtx-cbr"),
        pytest.param("maxaveragebitrate=5999;maxplaybackrate=48001", OpusParameters(), id="out-of-bounds"),
        pytest.param("maxaveragebitrate=-1;useinbandfec=yes;;=;usedtx", OpusParameters(), id="unreadable"),
    ],
)
def test_parameters_are_read(text: str, expected: OpusParameters) -> None:
    assert OpusParameters.parse(text) == expected


@given(st.text(max_size=60))
def test_any_text_gives_parameters(text: str) -> None:
    assert OpusParameters.parse(text).settings(OpusSettings()).bitrate <= 510_000


def test_the_peers_wishes_bound_ours() -> None:
    wish = OpusSettings(bitrate=64_000, expected_loss=10)
    parse = OpusParameters.parse
    assert parse("maxaveragebitrate=20000").settings(wish) == OpusSettings(bitrate=20_000)
    assert parse("maxaveragebitrate=96000;useinbandfec=1").settings(wish) == wish
    assert parse("usedtx=1;maxplaybackrate=8000").settings(OpusSettings()) == OpusSettings(dtx=True, playback_rate=8000)


def test_fec_follows_the_reported_loss() -> None:
    """On at 2 %, off once a falling mean is below 1 %."""
    control = FecControl()
    assert [control.report(loss) for loss in (0.0, 0.019, 0.02, 0.0, 0.0, 0.0, 0.0)] == [0, 0, 2, 2, 1, 0, 0]
    assert control.report(1.0) == 30
    quiet = [control.report(0.0) for _ in range(12)]
    assert quiet[0] == 22
    assert quiet[-1] == 0


@needs_libopus
def test_the_bit_rate_changes_live() -> None:
    encoder = encoder_of(OpusSettings(bitrate=16_000))
    frames = voice(4.0).reshape(-1, 960)
    sizes = []
    for index, frame in enumerate(frames):
        if index == 100:
            encoder.settings = OpusSettings(bitrate=64_000)
        sizes.append(len(encoder.encode(frame)))
    assert sum(sizes[100:]) > 2.5 * sum(sizes[:100])


@needs_libopus
def test_fec_can_be_switched_on_between_packets() -> None:
    encoder = encoder_of(OpusSettings())
    for frame in voice(0.2).reshape(-1, 960):
        encoder.encode(frame)
    encoder.settings = OpusSettings(expected_loss=15)
    payloads = [encoder.encode(frame) for frame in voice(1.0).reshape(-1, 960)]
    decoder, other = (make_decoder("opus", Context(Entropy(random.Random(1)))) for _ in range(2))
    for payload in payloads[:5]:
        decoder.decode(payload)
        other.decode(payload)
    assert np.abs(decoder.decode(None, payloads[6]).astype(int) - other.decode(None)).max() > 100


@needs_libopus
def test_dtx_sends_nothing_in_silence() -> None:
    encoder = encoder_of(OpusSettings(dtx=True))
    sent = [len(encoder.encode(frame)) for frame in np.zeros((150, 960), np.int16)]
    assert sent[:3] != [0, 0, 0]
    assert sum(size == 0 for size in sent) > 100
    assert 0 < sum(size > 0 for size in sent[50:]) < 12  # one each 400 ms
    encoder = encoder_of(OpusSettings())
    assert all(encoder.encode(frame) for frame in np.zeros((50, 960), np.int16))


@pytest.mark.parametrize("library", ["libopus", "pyav"])
@pytest.mark.parametrize("time", [10, 20, 40, 60])
def test_packets_of_each_time(library: str, time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "pyav":
        monkeypatch.setattr(libopus, "load", lambda: None)
    elif load() is None:
        pytest.skip("no libopus")
    encoder = make_encoder("opus", Context(Entropy(random.Random(1))))
    decoder = make_decoder("opus", Context(Entropy(random.Random(1))))
    for frame in voice(0.24).reshape(-1, 48 * time):
        payload = encoder.encode(frame)
        assert decoder.duration(payload) == 48 * time
        assert len(decoder.decode(payload)) == 48 * time
