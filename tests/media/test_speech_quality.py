"""How speech sounds after a bad network: in-band FEC and concealment beside silence, with loss, bursts and jitter.

The judge is PESQ (ITU-T P.862) where the package `pesq` is installed, which needs a compiler and so belongs to the
extra `interop`. Where it is not, the difference of the spectra in dB judges: coarser, but of the same opinion.
"""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip_media.codecs import OpusEncoder, make_decoder, make_encoder
from sansio_sip_media.codecs.base import Decoder
from sansio_sip_media.codecs.libopus import load
from sansio_sip_media.codecs.opus_settings import OpusSettings
from sansio_sip_media.jitter_buffer import Frame, JitterBuffer
from sansio_sip_media.playout import decode_frame
from sansio_sip_media.resample import Resampler
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.rtp.sender import RtpSender
from sansio_sip_media.wav import read_wav

try:
    from pesq import pesq
except ImportError:
    pesq = None

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"
TICK = 0.020
JITTER = 0.050

needs_libopus = pytest.mark.skipif(load() is None, reason="libopus was found neither in PyAV's wheel nor in the system")
needs_pesq = pytest.mark.skipif(pesq is None, reason="pesq is not installed: pip install sansio-sip[interop]")


@cache
def voice(rate: int) -> np.ndarray:
    """Both of the demo's voices, one after the other, int16, shape (n,)."""
    parts = []
    for name in ("alice", "bob"):
        samples, own = read_wav((SPEECH / f"{name}.wav").read_bytes())
        parts.append(Resampler(own, rate).process(samples))
    return np.concatenate(parts)


def losses(count: int, share: float, burst: float, seed: int) -> list[bool]:
    """Which packets are lost: each for itself, or in runs of `burst` packets on average (Gilbert's model)."""
    draw = random.Random(seed)
    lost, bad = [], False
    leave = 1 / burst
    enter = leave * share / (1 - share)
    for _ in range(count):
        bad = draw.random() >= leave if bad else draw.random() < enter
        lost.append(bad if burst > 1 else draw.random() < share)
    return lost


def silent(decoder: Decoder, frame: Frame) -> np.ndarray:
    """What is missing is silence."""
    if frame.payload is None:
        return np.zeros(decoder.frame, np.int16)
    return decode_frame(decoder, frame)


def carried(
    codec: str,
    share: float,
    burst: float,
    play: Callable[[Decoder, Frame], np.ndarray],
    *,
    seed: int = 1,
    fec: bool = True,
) -> tuple[np.ndarray, np.ndarray, JitterBuffer]:
    """Speech as it is heard beyond a network, the speech itself, and the jitter buffer between."""
    context = Context(Entropy(random.Random(1)))
    encoder, decoder = make_encoder(codec, context), make_decoder(codec, context)
    if isinstance(encoder, OpusEncoder):
        encoder.settings = OpusSettings(expected_loss=min(30, round(100 * share)) if fec else 0)
    source = voice(encoder.sample_rate)
    frames = source[: len(source) - len(source) % encoder.frame].reshape(-1, encoder.frame)
    lost, draw = losses(len(frames), share, burst, seed), random.Random(seed + 1)
    sender = RtpSender(1, 1000, 0)
    arrivals: list[tuple[float, RtpPacket]] = []
    for index, frame in enumerate(frames):
        packet = sender.packet(96, encoder.encode(frame), samples=encoder.clock_rate // 50)
        if not lost[index]:
            arrivals.append((index * TICK + draw.uniform(0, JITTER), packet))
    arrivals.sort(key=lambda arrival: arrival[0])
    buffer = JitterBuffer(encoder.clock_rate, encoder.clock_rate // 50, duration=decoder.duration)
    heard = []
    for tick in range(len(frames) + 10):
        while arrivals and arrivals[0][0] <= tick * TICK:
            when, packet = arrivals.pop(0)
            buffer.put(packet, now=when)
        while (each := buffer.pop(now=tick * TICK)) is not None:
            heard.append(play(decoder, each))
    return np.concatenate(heard), source, buffer


def score(codec: str, *args: Any, **more: Any) -> float:
    """PESQ of a run, wide band for what is; the mean of three seeds."""
    scores = []
    for seed in (1, 2, 3):
        heard, source, _ = carried(codec, *args, seed=seed, **more)
        rate = {"pcmu": 8_000, "pcma": 8_000, "g722": 16_000, "opus": 48_000}[codec]
        band, wanted = ("nb", 8_000) if rate == 8_000 else ("wb", 16_000)
        scores.append(
            pesq(wanted, Resampler(rate, wanted).process(source), Resampler(rate, wanted).process(heard), band)
        )
    return float(np.mean(scores))


def spectra(samples: np.ndarray, rate: int) -> np.ndarray:
    """dB of 20 ms in bands of 200 Hz up to 3.4 kHz, shape (frames, 17)."""
    size = rate // 50
    windows = samples[: len(samples) - len(samples) % size].reshape(-1, size) * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(windows)))[:, :68].reshape(len(windows), 17, 4).sum(axis=2)
    return np.asarray(10 * np.log10(power / rate + 1e4))


BURSTS = [pytest.param(1.0, id="random"), pytest.param(3.0, id="bursty")]


def missing(codec: str, lost: list[bool]) -> tuple[float, float]:
    """Mean difference in dB from what was lost: of what is made up, and of silence. Without jitter, frame by frame."""
    context = Context(Entropy(random.Random(1)))
    encoder, decoder, whole = (
        make_encoder(codec, context),
        make_decoder(codec, context),
        make_decoder(codec, context),
    )
    if isinstance(encoder, OpusEncoder):
        encoder.settings = OpusSettings(expected_loss=10)
    payloads = [
        encoder.encode(voice(encoder.sample_rate)[index * encoder.frame : (index + 1) * encoder.frame])
        for index in range(len(lost))
    ]
    truth, made = [], []
    for index, payload in enumerate(payloads):
        true = whole.decode(payload)
        following = payloads[index + 1] if index + 1 < len(lost) and not lost[index + 1] else None
        heard = decoder.decode(None, following) if lost[index] else decoder.decode(payload)
        if lost[index]:
            truth.append(true)
            made.append(heard)
    rate = encoder.sample_rate
    wanted = spectra(np.concatenate(truth), rate)
    nothing = spectra(np.zeros(len(truth) * encoder.frame, np.int16), rate)
    return (
        float(np.abs(spectra(np.concatenate(made), rate) - wanted).mean()),
        float(np.abs(nothing - wanted).mean()),
    )


@needs_libopus
@pytest.mark.parametrize("codec", ["opus", "g722", "pcmu"])
@pytest.mark.parametrize("burst", BURSTS)
@pytest.mark.parametrize("share", [0.05, 0.10, 0.20])
def test_what_is_made_up_is_nearer_to_what_was_lost_than_silence(codec: str, share: float, burst: float) -> None:
    made, nothing = missing(codec, losses(800, share, burst, 1))
    assert made < (0.85 if burst > 1 else 0.7) * nothing, f"{made:.1f} dB off, silence {nothing:.1f} dB"


@pytest.mark.parametrize(("share", "burst"), [(0.05, 1.0), (0.2, 1.0), (0.1, 3.0)])
def test_losses_are_as_many_and_as_long_as_they_should_be(share: float, burst: float) -> None:
    lost = np.array(losses(100_000, share, burst, 3))
    runs = int(lost[0]) + int((lost[1:] & ~lost[:-1]).sum())
    assert lost.mean() == pytest.approx(share, rel=0.1)
    assert lost.sum() / runs == pytest.approx(burst if burst > 1 else 1 / (1 - share), rel=0.05)


@needs_libopus
@needs_pesq
@pytest.mark.interop
def test_fec_and_concealment_beat_silence_by_half_a_point_at_ten_per_cent() -> None:
    assert score("opus", 0.10, 1.0, decode_frame) - score("opus", 0.10, 1.0, silent, fec=False) >= 0.5


@needs_libopus
@needs_pesq
@pytest.mark.interop
@pytest.mark.parametrize("codec", ["opus", "g722", "pcmu"])
@pytest.mark.parametrize("burst", BURSTS)
@pytest.mark.parametrize("share", [0.05, 0.10, 0.20])
def test_concealment_is_never_worse_than_silence(codec: str, share: float, burst: float) -> None:
    assert score(codec, share, burst, decode_frame) > score(codec, share, burst, silent, fec=False) + 0.1
