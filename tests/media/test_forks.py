"""One offer, several answers: each far end has a session of its own on the same sockets."""

import random

import numpy as np
import pytest
from engines.wire import RATE, End, S, Wire, noise, options

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.parser import parse_description
from sansio_sip.softphone.media_plane import (
    LocalDescription,
    MediaConnected,
    MediaDisconnected,
    MediaFailed,
    MediaProfile,
    SessionId,
)
from sansio_sip_media.demux import Kind, classify
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.forks import MAX_FORKS
from sansio_sip_media.likeness import likeness
from sansio_sip_media.rtcp.packets import Bye, parse_compound
from sansio_sip_media.seeded_crypto import SeededCrypto

F = SessionId("f")
PROFILES = pytest.mark.parametrize("profile", MediaProfile, ids=lambda profile: profile.value)

GOODBYE = {
    MediaProfile.RTP: [Kind.RTCP],
    MediaProfile.SRTP: [Kind.RTCP],
    MediaProfile.WEBRTC: [Kind.RTCP, Kind.DTLS],
}
"""What says to the far end of a session that it is over."""


def description(end: End) -> SessionDescription:
    return parse_description(bytes(end.heard(LocalDescription)[-1].description))


class Fork(Wire):
    """Ends a, b and c; a has made an offer, which both others have answered. `answers` are theirs."""

    def __init__(self, profile: MediaProfile) -> None:
        super().__init__(options(profile, "pcmu"), options(profile, "pcmu"))
        self.ends.append(End("c", MediaEngine(Context(Entropy(random.Random("c"))), SeededCrypto("c")), "10.0.0.3"))
        a, b, c = self.ends
        self.do(c, c.engine.open_session, S, options(profile, "pcmu"))
        self.do(a, a.engine.create_offer, S)
        self.answers = []
        for end in (b, c):
            self.do(end, end.engine.apply_offer, S, description(a))
            self.answers.append(description(end))

    def take_first(self) -> None:
        a = self.ends[0]
        self.do(a, a.engine.apply_answer, S, self.answers[0])

    def take_second(self) -> None:
        a = self.ends[0]
        self.do(a, a.engine.fork_session, S, F)
        self.do(a, a.engine.apply_answer, F, self.answers[1])

    def close(self, session: SessionId) -> None:
        self.do(self.ends[0], self.ends[0].engine.close_session, session)

    def say(self, seconds: float = 3.0) -> dict[str, np.ndarray]:
        """Everybody speaks; what each has heard, by who it is, and of a by whom."""
        a, b, c = self.ends
        rows = [(a, S, "b"), (a, F, "c"), (b, S, "b hears"), (c, S, "c hears")]
        rows = [row for row in rows if row[1] in row[0].engine._sessions]
        for seed, (end, session, _) in enumerate(rows):
            self.do(end, end.engine.write_audio, session, noise(seed, seconds), RATE)
        said = {name: seed for seed, (_, _, name) in enumerate(rows)}
        self.sources = {name: noise(seed, seconds) for name, seed in said.items()}
        heard: dict[str, list[np.ndarray]] = {name: [] for name in said}
        for _ in range(int(seconds * 10)):
            self.run(0.1)
            for end, session, name in rows:
                heard[name].append(end.engine.read_audio(session, RATE))
        return {name: np.concatenate(pieces) for name, pieces in heard.items()}

    def like(self, heard: np.ndarray, source: np.ndarray) -> float:
        return likeness(source, heard, RATE).median


@PROFILES
@pytest.mark.parametrize("apart", [0.0, 1.5])
def test_each_far_end_is_heard_by_itself_and_hears_what_is_said_to_it(profile: MediaProfile, apart: float) -> None:
    wire = Fork(profile)
    wire.take_first()
    wire.run(apart)
    wire.take_second()
    wire.run(3.0)
    a = wire.ends[0]
    assert {output.session for output in a.heard(MediaConnected)} == {S, F}
    heard = wire.say()
    pairs = {"b": "b hears", "c": "c hears", "b hears": "b", "c hears": "c"}
    for hearer, speaker in pairs.items():
        assert wire.like(heard[hearer], wire.sources[speaker]) > 0.9, hearer
    assert wire.like(heard["b"], wire.sources["c hears"]) < 0.3
    first, second = (a.engine.statistics(session) for session in (S, F))
    assert first.local == second.local
    assert first.remote != second.remote


@PROFILES
@pytest.mark.parametrize("winner", [S, F])
def test_the_winner_goes_on_when_the_other_is_closed_and_its_sockets_live_as_long(
    profile: MediaProfile, winner: SessionId
) -> None:
    wire = Fork(profile)
    wire.take_first()
    wire.take_second()
    wire.run(3.0)
    a = wire.ends[0]
    sockets = dict(a.flows)
    wire.close(F if winner == S else S)
    assert a.flows == sockets
    wire.run(1.0)
    heard = wire.say()
    name = "b" if winner == S else "c"
    assert wire.like(heard[name], wire.sources[f"{name} hears"]) > 0.9
    assert wire.like(heard[f"{name} hears"], wire.sources[name]) > 0.9
    assert a.heard(MediaFailed) == []
    wire.close(winner)
    assert a.flows == {}
    wire.run(1.0)
    assert a.engine.next_timeout() is None


@PROFILES
def test_the_answer_that_counts_may_come_when_the_first_was_closed_already(profile: MediaProfile) -> None:
    wire = Fork(profile)
    wire.take_first()
    wire.run(1.0)
    a = wire.ends[0]
    wire.do(a, a.engine.fork_session, S, F)
    wire.close(S)
    wire.do(a, a.engine.apply_answer, F, wire.answers[1])
    wire.run(3.0)
    heard = wire.say()
    assert wire.like(heard["c"], wire.sources["c hears"]) > 0.9


def test_a_fork_needs_an_offer_and_their_number_is_bounded() -> None:
    wire = Wire(options(MediaProfile.RTP), options(MediaProfile.RTP))
    a = wire.ends[0]
    with pytest.raises(LocalProtocolError, match="has made no offer"):
        wire.do(a, a.engine.fork_session, S, F)
    wire.do(a, a.engine.create_offer, S)
    for number in range(MAX_FORKS - 1):
        wire.do(a, a.engine.fork_session, S, SessionId(f"f{number}"))
    with pytest.raises(LocalProtocolError, match="share its offer"):
        wire.do(a, a.engine.fork_session, S, F)
    wire.do(a, a.engine.close_session, SessionId("f0"))
    wire.do(a, a.engine.fork_session, S, F)


def test_plain_rtp_of_an_unknown_host_takes_nobodys_place() -> None:
    wire = Fork(MediaProfile.RTP)
    wire.take_first()
    wire.take_second()
    wire.run(0.5)
    a = wire.ends[0]
    before = [a.engine.statistics(session) for session in (S, F)]
    (flow,) = (flow for flow in a.flows if a.engine._sessions[S]._sockets.open.get(flow))
    wire.do(
        a, a.engine.receive_datagram, flow, b"\x80\x00\x00\x01" + bytes(8) + bytes(160), Address("203.0.113.9", 4000)
    )
    wire.run(0.5)
    after = [a.engine.statistics(session) for session in (S, F)]
    assert [row.remote for row in before] == [row.remote for row in after]


def test_what_is_muted_and_treated_is_handed_over_and_old_sound_is_forgotten() -> None:
    wire = Fork(MediaProfile.RTP)
    wire.take_first()
    wire.take_second()
    a = wire.ends[0]
    wire.do(a, a.engine.set_muted, S, True)
    wire.do(a, a.engine.set_automatic_gain, S, True)
    wire.do(a, a.engine.watch_levels, S, True)
    wire.run(2.0)
    wire.do(a, a.engine.hand_over, S, F)
    assert len(a.engine.read_audio(F, RATE)) == 0
    assert a.engine._sessions[F].audio.muted
    wire.run(0.2)
    assert a.engine.audio_levels(F).output_dbov <= 0
    assert 0 < len(a.engine.read_audio(F, RATE)) < RATE


@PROFILES
@pytest.mark.parametrize("first", [S, F])
def test_whoever_is_closed_says_goodbye(profile: MediaProfile, first: SessionId) -> None:
    wire = Fork(profile)
    wire.take_first()
    wire.take_second()
    wire.run(3.0)
    a = wire.ends[0]
    for session in (first, F if first == S else S):
        leaving: list[bytes] = []

        def keep(end: End, data: bytes, leaving: list[bytes] = leaving) -> bool:
            leaving.append(data)
            return True

        wire.keep = keep
        wire.close(session)
        assert [kind for data in leaving if (kind := classify(data)) in (Kind.RTCP, Kind.DTLS)] == GOODBYE[profile]
        if profile is MediaProfile.RTP:
            (packet,) = leaving
            assert any(isinstance(part, Bye) for part in parse_compound(packet))
    assert a.flows == {}


@PROFILES
def test_nothing_more_is_told_of_a_session_that_is_closed_before_its_forks(profile: MediaProfile) -> None:
    wire = Fork(profile)
    wire.take_first()
    wire.take_second()
    wire.run(3.0)
    wire.close(S)
    a = wire.ends[0]
    told = len(a.said)
    wire.run(40.0)  # longer than the silence after which a far end counts as lost
    (flow,) = (flow for flow in a.flows if a.engine._sessions[F]._sockets.open.get(flow))
    wire.do(a, a.engine.flow_lost, flow, "gone")
    wire.run(1.0)
    assert [output for output in a.said[told:] if getattr(output, "session", F) != F] == []
    assert {output.session for output in a.heard(MediaDisconnected)} <= {F}


@PROFILES
def test_a_fork_that_has_gone_to_sockets_of_its_own_closes_them(profile: MediaProfile) -> None:
    wire = Fork(profile)
    wire.take_first()
    wire.take_second()
    wire.run(3.0)
    wire.close(S)
    a = wire.ends[0]
    before = set(a.flows)
    wire.do(a, a.engine.rebind, F, ("10.0.0.1",))
    assert set(a.flows) > before
    wire.close(F)
    assert a.flows == {}
    assert a.engine._flows == {}
