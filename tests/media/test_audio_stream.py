"""One session's audio: packet times, a codec whose clock is not its sample rate, changes of codec, keys, bit rate."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sdp.negotiation import Codec, Negotiated
from sansio_sip.softphone.media_plane import AudioLevels
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
        one.hear(now=now)
        for packet in one.say():
            sent.append(packet)
            other.receive(RtpPacket.parse(bytes(packet)), now=now)
        other.hear(now=now)
        other.say()
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
        one.hear(now=tick * 0.02)
        for packet in one.say():
            if tick == 90:
                lost += 1
            else:
                other.receive(packet, now=tick * 0.02)
        other.hear(now=tick * 0.02)
        other.say()
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


@pytest.mark.parametrize(
    ("written", "coded", "configurations"),
    [
        pytest.param(8_000, 8_000, range(4), id="narrowband"),
        pytest.param(16_000, 16_000, range(8, 12), id="wideband"),
        pytest.param(22_050, 24_000, range(12, 14), id="super-wideband"),
        pytest.param(44_100, 48_000, range(14, 16), id="fullband"),
    ],
)
def test_opus_codes_no_more_than_there_is_in_what_was_written(written: int, coded: int, configurations: range) -> None:
    one = stream()
    one.configure(negotiated("opus"))
    one.write(tone(1.0, written), written)
    assert one.outgoing.settings is not None
    assert one.outgoing.settings.playback_rate == coded
    packets = [packet for _ in range(20) for packet in one.say()]
    # RFC 6716 section 3.1, table 2: the bandwidth is in the first octet.
    assert {packet.payload[0] >> 3 for packet in packets} <= set(configurations)


def test_others_in_a_conference_are_coded_as_wide_as_they_sound_unless_the_peer_hears_less() -> None:
    one = stream()
    one.configure(negotiated("opus"))
    one.write(tone(0.5, 16_000), 16_000)
    one.outgoing.mix(tone(0.02, 48_000), 48_000)
    assert one.outgoing.settings is not None
    assert one.outgoing.settings.playback_rate == 48_000
    one.configure(negotiated("opus", codecs=(replace(CODECS["opus"], parameters="maxplaybackrate=8000"),)))
    assert one.outgoing.settings.playback_rate == 8_000


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


@pytest.mark.parametrize("name", ["pcmu", "opus", "g722"])
def test_keys_sounded_in_band_are_heard_where_there_are_no_events(name: str) -> None:
    one = stream(1)
    other = AudioStream(Context(Entropy(random.Random(2))), in_band_dtmf=True)
    for each in (one, other):
        each.configure(negotiated(name, dtmf=None))
    one.write(tone(4.0), RATE)
    one.send_dtmf("19#D", 80, 60, in_band=True)
    assert one.sending_dtmf
    talk(one, other, 60)
    assert not one.sending_dtmf
    assert [key.digit for key in other.digits(now=2.0)] == ["1", "9", "#", "D"]


def test_keys_in_band_pause_at_a_comma_and_are_refused_before_the_answer() -> None:
    one = stream()
    with pytest.raises(LocalProtocolError, match="no audio"):
        one.send_dtmf("1", 100, 70, in_band=True)
    one.configure(negotiated("pcmu"))
    with pytest.raises(LocalProtocolError, match="'X'"):
        one.send_dtmf("1x", 100, 70, in_band=True)
    one.send_dtmf("1,2", 100, 70, in_band=True)
    ticks = 0
    while one.sending_dtmf:
        one.hear(now=ticks * 0.02)
        one.say()
        ticks += 1
    assert ticks * 0.02 == pytest.approx(2 * 0.17 + 2.0, abs=0.07)


def test_where_events_were_negotiated_the_sound_is_not_searched() -> None:
    one, other = stream(1), AudioStream(Context(Entropy(random.Random(2))), in_band_dtmf=True)
    for each in (one, other):
        each.configure(negotiated("pcmu"))
    one.send_dtmf("5", 100, 70, in_band=True)
    talk(one, other, 40)
    assert list(other.digits(now=1.0)) == []


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples.astype(float))) + 1e-9))


def test_noise_reduction_comes_and_goes_in_the_middle_of_a_call() -> None:
    one, other = stream(1), stream(2)
    for each in (one, other):
        each.configure(negotiated("pcma"))
    noise = np.random.default_rng(1).normal(0, 1000, 16 * RATE).clip(-32768, 32767).astype(np.int16)
    one.write(noise, RATE)
    heard = []
    for part, on in enumerate((False, True, False)):
        one.outgoing.set_noise_reduction(on)
        talk(one, other, 200, start=200 * part)
        heard.append(other.read(8000))
    levels = [power_db(piece[8000:-800]) for piece in heard]
    assert levels[0] - levels[1] > 10
    assert levels[2] == pytest.approx(levels[0], abs=0.5)
    whole = np.concatenate(heard).astype(int)
    assert np.abs(np.diff(whole)).max() <= np.abs(np.diff(heard[0].astype(int))).max() * 1.3


def test_levels_are_there_while_somebody_watches() -> None:
    one, other = stream(1), stream(2)
    for each in (one, other):
        each.configure(negotiated("pcmu"))
    one.write(tone(8.0), RATE)
    talk(one, other, 40)
    assert one.levels == AudioLevels()
    for each in (one, other):
        each.watch_levels(True)
    talk(one, other, 40, start=40)
    ours, theirs = one.levels, other.levels
    assert 0.05 < ours.input_volume <= 1.0
    assert ours.output_volume == 0.0
    assert theirs.output_volume == pytest.approx(ours.input_volume, abs=0.15)
    assert -25 < ours.input_dbov < -10
    assert (ours.speaking, theirs.remote_speaking, theirs.speaking) == (True, True, False)
    one.muted = True
    talk(one, other, 60, start=80)
    assert (one.levels.speaking_on_mute, one.levels.input_volume) == (True, 0.0)
    one.muted = False
    talk(one, other, 5, start=140)
    assert not one.levels.speaking_on_mute
    one.watch_levels(False)
    assert one.levels == AudioLevels()
