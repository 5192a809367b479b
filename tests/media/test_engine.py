"""The media engine: two of them, wire to wire in virtual time, with either profile; and what it does with bad input."""

import random

import numpy as np
import pytest
from engines.wire import DELAY, RATE, End, S, Wire, noise, options, talk
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, FlowId, OpenDatagram
from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone.media_plane import (
    AudioAvailable,
    DtmfReceived,
    LocalDescription,
    MediaConnected,
    MediaDisconnected,
    MediaFailed,
    MediaOptions,
    MediaProfile,
    TonesSent,
)
from sansio_sip_media.demux import Kind, classify
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.likeness import likeness
from sansio_sip_media.seeded_crypto import SeededCrypto

PROTECTION = {MediaProfile.WEBRTC: "DTLS-SRTP", MediaProfile.SRTP: "SDES-SRTP", MediaProfile.RTP: "none"}

both_profiles = pytest.mark.parametrize("profile", MediaProfile, ids=lambda profile: profile.value)


@both_profiles
@pytest.mark.parametrize("codec", ["opus", "g722", "pcmu"])
def test_each_end_hears_the_other(profile: MediaProfile, codec: str) -> None:
    wire = Wire(options(profile, codec), options(profile, codec))
    wire.negotiate()
    wire.run(1.0)
    heard = talk(wire)
    for index, end in enumerate(wire.ends):
        assert len(end.heard(MediaConnected)) == 1
        assert likeness(noise(1 - index), heard[index], RATE).same
        assert likeness(noise(index), heard[index], RATE).median < 0.3
        statistics = end.engine.statistics(S)
        assert statistics.codec.lower() == codec
        assert statistics.protection == PROTECTION[profile]
        assert statistics.packets_lost == 0
        assert statistics.rtt_ms is None or statistics.rtt_ms == pytest.approx(2 * DELAY * 1000, abs=1)
        assert statistics.rejected == ()


def test_the_peer_may_use_another_valid_pair_than_it_has_nominated() -> None:
    """As Chromium does; and it may change its mind in mid-handshake."""
    both = MediaOptions(profiles=(MediaProfile.WEBRTC,), codecs=("pcmu",), bind=("10.0.0.1", "10.0.0.3"))
    wire = Wire(both, options(MediaProfile.WEBRTC, "pcmu"))

    def the_other(end: End, flow: FlowId, data: bytes) -> FlowId:
        encrypted = classify(data) in (Kind.DTLS, Kind.RTP, Kind.RTCP)
        return next(other for other in end.flows if other != flow) if end is wire.ends[0] and encrypted else flow

    wire.route = the_other
    wire.negotiate()
    wire.run(1.0)
    heard = talk(wire)
    for index, end in enumerate(wire.ends):
        assert likeness(noise(1 - index), heard[index], RATE).same
        assert end.engine.statistics(S).protection == "DTLS-SRTP"


def test_dtls_of_strangers_is_not_read() -> None:
    wire = Wire(options(MediaProfile.WEBRTC), options(MediaProfile.WEBRTC))
    wire.negotiate()
    wire.run(1.0)
    end = wire.ends[1]
    hello, stranger = b"\x16\xfe\xfd" + bytes(10), Address("10.9.9.9", 9)
    wire.do(end, end.engine.receive_datagram, next(iter(end.flows)), hello, stranger)
    assert end.engine.statistics(S).rejected == (("DTLS from elsewhere", 1),)


@both_profiles
def test_digits_arrive_once_and_the_sender_hears_when_they_have_left(profile: MediaProfile) -> None:
    wire = Wire(options(profile), options(profile))
    wire.negotiate()
    wire.run(1.0)
    a, b = wire.ends
    wire.do(a, a.engine.send_dtmf, S, "12,#")
    wire.run(5.0)
    assert [event.digit for event in b.heard(DtmfReceived)] == ["1", "2", "#"]
    assert a.heard(TonesSent) == [TonesSent(S)]


@both_profiles
def test_a_muted_end_is_silent_and_goes_on_sending(profile: MediaProfile) -> None:
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    wire.negotiate()
    wire.run(1.0)
    a, b = wire.ends
    wire.do(a, a.engine.set_muted, S, True)
    before = a.engine.statistics(S).packets_sent
    heard = talk(wire)
    assert np.abs(heard[1]).max() < 64
    assert np.abs(heard[0]).max() > 1000
    assert a.engine.statistics(S).packets_sent - before == pytest.approx(250, abs=2)
    assert b.engine.statistics(S).concealed == 0


@both_profiles
def test_flushing_stops_speech_within_a_frame(profile: MediaProfile) -> None:
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    wire.negotiate()
    wire.run(1.0)
    a = wire.ends[0]
    wire.do(a, a.engine.write_audio, S, noise(0), RATE)
    wire.run(1.0)
    left = a.engine.audio_queued(S)
    assert left == pytest.approx(3.0, abs=0.05)
    assert wire.do(a, a.engine.flush_audio, S) == pytest.approx(left)
    assert a.engine.audio_queued(S) == 0


def test_a_profile_that_is_not_allowed_is_refused() -> None:
    wire = Wire(options(MediaProfile.RTP), options(MediaProfile.WEBRTC))
    wire.negotiate()
    (failed,) = wire.ends[1].heard(MediaFailed)
    assert failed.status == 488
    assert not wire.ends[1].heard(LocalDescription)


def test_no_socket_is_a_failure_with_the_address() -> None:
    engine = MediaEngine(Context(Entropy(random.Random(1))), SeededCrypto(1))
    engine.open_session(S, options(MediaProfile.WEBRTC), now=0.0)
    engine.create_offer(S, now=0.0)
    (opening,) = engine.outputs()
    assert isinstance(opening, OpenDatagram)
    engine.flow_lost(opening.flow, "Cannot assign requested address", now=0.0)
    (failed,) = engine.outputs()
    assert isinstance(failed, MediaFailed)
    assert failed.status == 500
    assert "10.0.0.0" in failed.reason
    assert "Cannot assign" in failed.reason


@both_profiles
def test_a_dead_wire_is_noticed_and_a_mended_one_too(profile: MediaProfile) -> None:
    wire = Wire(options(profile, "pcmu", disconnect_timeout=10.0), options(profile, "pcmu", disconnect_timeout=10.0))
    wire.negotiate()
    wire.run(1.0)
    a = wire.ends[0]
    wire.keep = lambda end, data: False
    wire.run(12.0)
    assert len(a.heard(MediaDisconnected)) == 1
    wire.keep = lambda end, data: True
    wire.run(12.0)
    assert len(a.heard(MediaConnected)) == 2


@both_profiles
def test_hold_by_direction_stops_one_way_and_resume_starts_it_again(profile: MediaProfile) -> None:
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    wire.negotiate()
    wire.run(1.0)
    a, b = wire.ends
    wire.negotiate("sendonly")
    wire.run(1.0)
    before = b.engine.statistics(S).packets_sent
    wire.run(1.0)
    assert b.engine.statistics(S).packets_sent == before
    wire.negotiate()
    wire.run(1.0)
    assert b.engine.statistics(S).packets_sent == pytest.approx(before + 50, abs=2)
    assert a.engine.statistics(S).packets_lost == 0


def test_a_late_tick_makes_up_three_frames_and_no_more() -> None:
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    wire.negotiate()
    wire.run(0.5)
    a = wire.ends[0]
    for late, frames in ((0.05, 3), (10.0, 1)):
        before = a.engine.statistics(S).packets_sent
        deadline = a.engine.next_timeout()
        assert deadline is not None
        a.engine.handle_timeout(now=deadline + late)
        assert a.engine.statistics(S).packets_sent - before == frames
    assert a.engine.late_ticks == 1


def test_audio_is_announced_once_until_it_is_read() -> None:
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    wire.negotiate()
    wire.run(1.0)
    a = wire.ends[0]
    assert a.heard(AudioAvailable) == [AudioAvailable((S,))]
    assert len(a.engine.read_audio(S, 8000)) > 0
    wire.run(0.1)
    assert a.heard(AudioAvailable) == [AudioAvailable((S,))] * 2


def test_unread_audio_and_unsent_audio_are_bounded() -> None:
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    wire.negotiate()
    wire.run(30.0)
    a = wire.ends[0]
    assert len(a.engine.read_audio(S, 8000)) <= 8000 * 10.1
    minute = np.zeros(60 * RATE, dtype=np.int16)
    assert wire.do(a, a.engine.write_audio, S, minute, RATE) <= 30 * RATE
    assert wire.do(a, a.engine.write_audio, S, minute, RATE) == 0


def test_commands_on_a_session_that_is_not_there_say_so() -> None:
    engine = MediaEngine(Context(Entropy(random.Random(1))), SeededCrypto(1))
    for command in (
        lambda: engine.create_offer(S, now=0.0),
        lambda: engine.read_audio(S, 8000),
        lambda: engine.close_session(S, now=0.0),
        lambda: engine.statistics(S),
    ):
        with pytest.raises(LocalProtocolError, match="no media session"):
            command()
    engine.open_session(S, options(MediaProfile.WEBRTC), now=0.0)
    with pytest.raises(LocalProtocolError, match="no audio was negotiated"):
        engine.send_dtmf(S, "1", now=0.0)


def test_closing_leaves_nothing_armed_and_nothing_open() -> None:
    for profile in MediaProfile:
        wire = Wire(options(profile), options(profile))
        wire.negotiate()
        wire.run(1.0)
        for end in wire.ends:
            wire.do(end, end.engine.close_session, S)
            assert end.flows == {}
        wire.run(1.0)
        assert all(end.engine.next_timeout() is None for end in wire.ends)


@both_profiles
@given(junk=st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 255)), max_size=20))
@settings(max_examples=15)
def test_junk_is_counted_and_the_call_goes_on(profile: MediaProfile, junk: list[tuple[bytes, int]]) -> None:
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    wire.negotiate()
    wire.run(0.5)
    a, b = wire.ends
    (flow,) = a.flows
    for tail, head in junk:
        wire.do(a, a.engine.receive_datagram, flow, bytes([head]) + tail, Address("10.0.0.9", 4444))
        wire.do(a, a.engine.receive_datagram, flow, bytes([head]) + tail, next(iter(b.flows.values())))
    before = a.engine.statistics(S).packets_received
    wire.run(0.5)
    assert a.engine.statistics(S).packets_received >= before + 20
    assert not a.heard(MediaFailed)
