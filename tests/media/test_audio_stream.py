"""One session's audio: packet times, a codec whose clock is not its sample rate, changes of codec, keys, bit rate."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip.sdp.negotiation import Codec, Negotiated
from sansio_sip_media.audio_stream import AudioStream
from sansio_sip_media.likeness import likeness
from sansio_sip_media.rtp.packet import RtpPacket

CODECS = {
    "opus": Codec("opus", 111, 48_000, 2, "useinbandfec=1"),
    "g722": Codec("g722", 9, 8_000),
    "pcmu": Codec("pcmu", 0, 8_000),
    "pcma": Codec("pcma", 8, 8_000),
}
EVENT = Codec("telephone-event", 101, 8_000)
NOISE = Codec("cn", 13, 8_000)
RATE = 16_000


def negotiated(*names: str, **more: object) -> Negotiated:
    codecs = tuple(CODECS[name] for name in names)
    known = {codec.payload_type: codec for codec in (*CODECS.values(), EVENT, NOISE)}
    base = Negotiated("rtp", codecs, known, EVENT, "sendrecv", None, None, True)
    return replace(base, **more)  # type: ignore[arg-type]


def stream(seed: int = 1) -> AudioStream:
    return AudioStream(Context(Entropy(random.Random(seed))))


def tone(seconds: float, rate: int = RATE) -> np.ndarray:
    """A sweep in syllables: something that likeness can place."""
    at = np.arange(int(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * (300 + 250 * at) * at) * (0.6 + 0.4 * np.sin(20 * at))).astype(np.int16)


def talk(one: AudioStream, other: AudioStream, ticks: int, start: int = 0) -> list[RtpPacket]:
    sent = []
    for tick in range(start, start + ticks):
        now = tick * 0.02
        for packet in one.tick(now=now):
            sent.append(packet)
            other.receive(RtpPacket.parse(bytes(packet)), now=now)
        other.tick(now=now)
    return sent


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
@pytest.mark.parametrize("name", ["pcmu", "g722", "opus"])
def test_packets_last_as_long_as_the_peer_asks_for(name: str, ptime: int) -> None:
    one, other = stream(1), stream(2)
    one.configure(negotiated(name, ptime=ptime))
    other.configure(negotiated(name))
    speech = tone(3.0)
    one.write(speech, RATE)
    sent = talk(one, other, 165)
    lasts = 20 if (name, ptime) == ("opus", 30) else ptime  # Opus has no frame of 30 ms
    clock = CODECS[name].clock_rate
    steps = {second.timestamp - first.timestamp for first, second in pairwise(sent)}
    assert steps == {clock * lasts // 1000}
    assert len(sent) == 165 * 20 // lasts
    if name != "opus":
        assert {len(packet.payload) for packet in sent} == {8 * lasts}
    assert [packet.marker for packet in sent[:3]] == [True, False, False]
    assert likeness(speech, other.read(RATE), RATE).median > 0.9


def test_g722_carries_the_upper_band() -> None:
    """A tone of 5 kHz does not exist at 8 kHz."""
    one, other = stream(1), stream(2)
    for each in (one, other):
        each.configure(negotiated("g722"))
    at = np.arange(2 * RATE) / RATE
    one.write((6000 * np.sin(2 * np.pi * 5000 * at)).astype(np.int16), RATE)
    talk(one, other, 90)
    heard = other.read(RATE)[RATE // 2 : RATE].astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * RATE / len(heard) == pytest.approx(5000, abs=5)


def test_the_peer_may_change_between_negotiated_codecs() -> None:
    one, other = stream(1), stream(2)
    one.configure(negotiated("pcmu"))
    other.configure(negotiated("opus", "pcmu", "g722"))
    speech = tone(4.0)
    one.write(speech, RATE)
    talk(one, other, 60)
    first = other.read(RATE)
    one.configure(negotiated("g722"))
    one.write(speech, RATE)
    talk(one, other, 100, start=60)
    assert np.abs(first.astype(int)).max() > 4000
    assert np.abs(other.read(RATE).astype(int)).max() > 4000


def test_a_key_press_adds_nothing_to_what_was_lost() -> None:
    one, other = stream(1), stream(2)
    for each in (one, other):
        each.configure(negotiated("pcmu"))
    one.write(tone(6.0), RATE)
    talk(one, other, 60)
    before = other.concealed
    for index in range(4):
        one.send_dtmf("5", 100 + 60 * index, 70)
        talk(one, other, 40, start=60 + 40 * index)
    assert other.concealed == before == 0
    assert [digit.digit for digit in other.digits(now=10.0)] == ["5"] * 4
    assert other.receiver is not None
    assert other.receiver.packets_lost == 0


def test_a_lost_packet_beside_a_key_press_is_still_made_up() -> None:
    one, other = stream(1), stream(2)
    for each in (one, other):
        each.configure(negotiated("pcmu"))
    one.write(tone(6.0), RATE)
    talk(one, other, 60)
    one.send_dtmf("5", 100, 70)
    lost = 0
    for tick in range(60, 120):
        for packet in one.tick(now=tick * 0.02):
            if tick == 90:
                lost += 1
            else:
                other.receive(packet, now=tick * 0.02)
        other.tick(now=tick * 0.02)
    assert (other.concealed, lost) == (1, 1)


def test_reported_loss_switches_fec_where_the_peer_wants_it() -> None:
    one = stream()
    one.configure(negotiated("opus"))
    one.outgoing.report_loss(0.12)
    assert one.outgoing.settings is not None
    assert one.outgoing.settings.expected_loss == 12
    deaf = replace(CODECS["opus"], parameters="useinbandfec=0;maxaveragebitrate=12000")
    one.configure(negotiated("opus", codecs=(deaf,)))
    assert (one.outgoing.settings.expected_loss, one.outgoing.settings.bitrate) == (0, 12_000)
    one.outgoing.set_bitrate(8_000)
    assert one.outgoing.settings.bitrate == 8_000


def test_silence_that_is_not_sent_lets_the_clock_run_on() -> None:
    one, other = stream(1), stream(2)
    quiet = replace(CODECS["opus"], parameters="usedtx=1")
    one.configure(negotiated("opus", codecs=(quiet,)))
    other.configure(negotiated("opus"))
    one.write(tone(1.0), RATE)
    sent = talk(one, other, 150)
    one.write(tone(1.0), RATE)
    sent += talk(one, other, 60, start=150)
    assert len(sent) < 160
    assert any(packet.marker for packet in sent[10:])
    assert {(packet.timestamp - sent[0].timestamp) % 960 for packet in sent} == {0}
    assert other.concealed == 0
