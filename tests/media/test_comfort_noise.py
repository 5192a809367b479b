"""Comfort noise: level and spectrum as the payload says (RFC 3389), and its place in a call."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip_media.codecs.g711 import G711Decoder, G711Encoder
from sansio_sip_media.comfort_noise import ComfortNoise, reflection_to_prediction, white_noise
from sansio_sip_media.jitter_buffer import Frame, JitterBuffer
from sansio_sip_media.levels import level_dbov
from sansio_sip_media.playout import decode_frame
from sansio_sip_media.rtp.packet import RtpPacket

CN = 13


@pytest.mark.parametrize("level", [20, 35, 50, 60])
def test_noise_has_the_level_of_the_payload(level: int) -> None:
    noise = ComfortNoise()
    noise.update(bytes((level,)))
    assert level_dbov(noise.samples(8000)) == pytest.approx(-level, abs=0.5)


def test_the_white_noise_is_white() -> None:
    power = np.square(np.abs(np.fft.rfft(white_noise())))[1:4097].reshape(16, -1).mean(axis=1)
    assert 10 * np.log10(power.max() / power.min()) < 2.0


def test_one_reflection_coefficient_is_the_classic_one_pole_spectrum() -> None:
    """k1 = -0.9: A(z) = 1 - 0.9 z^-1; from 0 Hz to 4 kHz the power falls by 20 log10(1.9 / 0.1) = 25.6 dB."""
    assert np.allclose(reflection_to_prediction(np.array([-0.9])), [1.0, -0.9])
    noise = ComfortNoise()
    noise.update(bytes((30, 127 - 114)))  # 258 * -114 / 32768 = -0.8976
    power = np.square(np.abs(np.fft.rfft(noise.samples(8192).astype(float))))
    fall = 10 * np.log10(power[1:50].mean() / power[-50:].mean())
    assert fall == pytest.approx(25.4, abs=2.5)


def test_the_step_up_recursion_of_two_coefficients() -> None:
    """a1 = k1 (1 + k2), a2 = k2."""
    assert np.allclose(reflection_to_prediction(np.array([0.5, -0.25])), [1.0, 0.5 * 0.75, -0.25])


@given(payload=st.binary(max_size=30))
def test_any_payload_gives_finite_noise(payload: bytes) -> None:
    noise = ComfortNoise()
    noise.update(payload)
    samples = noise.samples(160)
    assert samples.dtype == np.int16
    if payload and 10 <= (level := payload[0] & 0x7F) <= 85:
        assert level_dbov(noise.samples(8192)) == pytest.approx(-level, abs=2.0)


def test_a_stream_that_stops_with_comfort_noise_is_not_lost() -> None:
    """Speech, a silence indicator, 30 frames of nothing, speech again: nothing is made up, and the noise is heard."""
    encoder, decoder, noise = G711Encoder("pcmu"), G711Decoder("pcmu"), ComfortNoise()
    buffer = JitterBuffer(8000, 160, noise_type=CN)
    voice = encoder.encode((8000 * np.sin(np.arange(160) / 3)).astype(np.int16))
    packets = {index: RtpPacket(0, index, index * 160, 1, voice) for index in range(50)}
    packets[50] = RtpPacket(CN, 50, 50 * 160, 1, bytes((40,)))
    packets |= {index: RtpPacket(0, index - 30, index * 160, 1, voice) for index in range(81, 120)}
    levels = []
    for tick in range(120):
        if tick in packets:
            buffer.put(packets[tick], now=tick * 0.02)
        while (frame := buffer.pop(now=tick * 0.02)) is not None:
            levels.append(level_dbov(decode_frame(decoder, frame, noise)))
    assert buffer.concealed == 0
    assert buffer.late == 0
    quiet = [level for level in levels if level == pytest.approx(-40, abs=1.5)]
    assert 29 <= len(quiet) <= 31  # the delay may become a frame shorter in the pause
    assert sum(level > -20 for level in levels) >= 85


def test_without_noise_a_pause_is_left_to_the_decoder() -> None:
    decoder, noise = G711Decoder("pcmu"), ComfortNoise()
    assert not decode_frame(decoder, Frame(None, 160, pause=True), noise).any()
