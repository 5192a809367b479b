"""Speech over a bad network, from samples to samples, in virtual time."""

import random
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip_media.codecs import make_decoder, make_encoder
from sansio_sip_media.jitter_buffer import JitterBuffer
from sansio_sip_media.likeness import Likeness, likeness
from sansio_sip_media.playout import decode_frame
from sansio_sip_media.resample import Resampler
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.rtp.sender import RtpSender
from sansio_sip_media.wav import read_wav

Int16 = npt.NDArray[np.int16]

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"
PERIOD = 0.020


@cache
def said(name: str, rate: int) -> Int16:
    samples, own_rate = read_wav((SPEECH / f"{name}.wav").read_bytes())
    return Resampler(own_rate, rate).process(samples)


def carry(
    codec: str, *, spread: float, loss: float, drift: float = 0.0, seed: int = 1
) -> tuple[Likeness, JitterBuffer]:
    """Alice's words through a network; `drift` is how much faster than nominal she sends."""
    context = Context(Entropy(random.Random(1)))
    encoder, decoder = make_encoder(codec, context), make_decoder(codec, context)
    source = said("alice", encoder.sample_rate)
    sender, draw = RtpSender(1, 65_500, 2**32 - 5000), random.Random(1)
    arrivals: list[tuple[float, RtpPacket]] = []
    for index in range(len(source) // encoder.frame):
        payload = encoder.encode(source[index * encoder.frame : (index + 1) * encoder.frame])
        packet = sender.packet(0, payload, samples=encoder.clock_rate // 50)
        if draw.random() >= loss:
            arrivals.append((index * PERIOD / (1 + drift) + draw.uniform(0, spread), RtpPacket.parse(bytes(packet))))
    arrivals.sort(key=lambda arrival: arrival[0])
    buffer = JitterBuffer(encoder.clock_rate, encoder.clock_rate // 50, duration=decoder.duration)
    heard = []
    for tick in range(len(source) // encoder.frame + 10):
        now = tick * PERIOD
        while arrivals and arrivals[0][0] <= now:
            when, packet = arrivals.pop(0)
            buffer.put(packet, now=when)
        while (frame := buffer.pop(now=now)) is not None:
            heard.append(decode_frame(decoder, frame))
    assert decoder.errors == 0
    return likeness(source, np.concatenate(heard), encoder.sample_rate), buffer


@pytest.mark.parametrize("codec", ["opus", "g722", "pcmu", "pcma"])
def test_a_good_network_changes_nothing_that_is_heard(codec: str) -> None:
    verdict, buffer = carry(codec, spread=0.0, loss=0.0)
    assert verdict.same
    assert verdict.delay < 0.1
    assert buffer.concealed <= 10  # after the last packet


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_jitter_of_two_packets_is_not_heard(codec: str) -> None:
    verdict, buffer = carry(codec, spread=0.045, loss=0.0)
    assert verdict.same
    assert buffer.late <= 3


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_a_packet_lost_in_thirty_leaves_the_words_whole(codec: str) -> None:
    verdict, _ = carry(codec, spread=0.020, loss=0.03)
    assert verdict.median > 0.9
    assert verdict.good >= 0.85
    assert abs(verdict.gain_db) < 1.5


@pytest.mark.parametrize("drift", [-0.005, 0.005])
def test_a_clock_that_is_off_by_half_a_per_cent_leaves_the_words_whole(drift: float) -> None:
    """Two or three frames are folded or made up in eight seconds."""
    verdict, buffer = carry("pcmu", spread=0.0, loss=0.0, drift=drift)
    assert verdict.median > 0.9
    assert verdict.good >= 0.85
    assert buffer.late == 0
