"""Two ends that offer, answer, roll back and collide in any order always agree."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sdp.ends import rtp_end, webrtc_end

from sansio_sip.sdp.attributes import Direction
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.offer_answer import LocalMedia, Negotiated, NegotiationError, OfferAnswer, State
from sansio_sip.sdp.parser import parse_description

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
ENDS = st.sampled_from([0, 1])
CODECS = st.permutations(["opus", "pcmu", "pcma"]).map(tuple)


def across(description: SessionDescription) -> SessionDescription:
    """What the other end reads of it."""
    return parse_description(bytes(description))


class TwoEnds(RuleBasedStateMachine):
    """`offers[n]` is the offer that end n has made and not seen answered; it may be under way, taken, or refused."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = (OfferAnswer(100), OfferAnswer(200))
        self.offers: list[SessionDescription | None] = [None, None]
        self.taken = [False, False]
        self.versions = [0, 0]
        self.meanings: list[dict[int, str]] = [{}, {}]
        self.profile: Any = webrtc_end

    def _local(self, end: int, direction: str, codecs: tuple[str, ...]) -> LocalMedia:
        return self.profile(direction, codecs=codecs, port=4000 + end)

    def _sent(self, end: int, description: SessionDescription) -> None:
        version = description.origin.session_version
        assert description.origin.session_id == (100, 200)[end]
        assert version >= self.versions[end]
        self.versions[end] = version
        for text in description.media[0].get_all("rtpmap"):
            number, meaning = text.split(" ", 1)
            assert self.meanings[end].setdefault(int(number), meaning) == meaning

    @precondition(lambda self: not any(self.offers) and not self.versions[0] and not self.versions[1])
    @rule(webrtc=st.booleans())
    def choose_profile(self, webrtc: bool) -> None:
        self.profile = webrtc_end if webrtc else rtp_end

    @precondition(lambda self: State.STABLE in (self.ends[0].state, self.ends[1].state))
    @rule(end=ENDS, direction=st.sampled_from(DIRECTIONS), codecs=CODECS)
    def offer(self, end: int, direction: str, codecs: tuple[str, ...]) -> None:
        if self.ends[end].state is not State.STABLE:
            end = 1 - end
        before = self.versions[end]
        offer = self.ends[end].create_offer(self._local(end, direction, codecs))
        self._sent(end, offer)
        assert self.versions[end] == before + 1
        self.offers[end] = across(offer)

    @precondition(lambda self: any(self.offers))
    @rule(end=ENDS)
    def offer_arrives(self, end: int) -> None:
        """End `end` receives what the other one offers; while it has an offer open itself, that is glare."""
        offer = self.offers[1 - end]
        if offer is None or self.taken[1 - end]:
            return
        state = self.ends[end].state
        try:
            self.ends[end].receive_offer(offer)
        except NegotiationError as error:
            refusal = error
        else:
            assert state is State.STABLE
            self.taken[1 - end] = True
            return
        assert (refusal.status, self.ends[end].state) == (491, state)
        assert state is State.HAVE_LOCAL_OFFER
        self._roll_back(1 - end)

    @precondition(lambda self: any(self.taken))
    @rule(direction=st.sampled_from(DIRECTIONS), codecs=CODECS)
    def answer(self, direction: str, codecs: tuple[str, ...]) -> None:
        offerer = self.taken.index(True)
        answerer = 1 - offerer
        answer, answered = self.ends[answerer].create_answer(self._local(answerer, direction, codecs))
        self._sent(answerer, answer)
        offered = self.ends[offerer].accept_answer(across(answer))
        self.offers[offerer] = None
        self.taken[offerer] = False
        agree(offered, answered, (4000 + offerer, 4000 + answerer))

    @precondition(lambda self: any(self.offers))
    @rule(end=ENDS)
    def roll_back(self, end: int) -> None:
        """The offer of `end` is refused, or taken back: both ends forget it."""
        if self.offers[end] is None:
            return
        if self.taken[end]:
            self.ends[1 - end].rollback()
        self._roll_back(end)

    def _roll_back(self, end: int) -> None:
        self.ends[end].rollback()
        self.offers[end] = None
        self.taken[end] = False

    @invariant()
    def states_fit_what_is_open(self) -> None:
        for end in (0, 1):
            expected = (
                State.HAVE_LOCAL_OFFER
                if self.offers[end] is not None
                else State.HAVE_REMOTE_OFFER
                if self.taken[1 - end]
                else State.STABLE
            )
            assert self.ends[end].state is expected


def agree(offered: Negotiated, answered: Negotiated, ports: tuple[int, int]) -> None:
    """Each sends what the other receives, in the same order of preference, where the other is."""
    assert [codec.name for codec in offered.codecs] == [codec.name for codec in answered.codecs]
    for sender, receiver in ((offered, answered), (answered, offered)):
        for codec in (*sender.codecs, *([sender.dtmf] if sender.dtmf else [])):
            assert receiver.receive_payload_types[codec.payload_type].name == codec.name
        assert sender.dtmf is not None
        assert sender.dtmf.clock_rate == sender.codecs[0].clock_rate
        assert Direction(sender.direction).sends == Direction(receiver.direction).receives
    assert offered.remote_address is not None
    assert answered.remote_address is not None
    assert (answered.remote_address.port, offered.remote_address.port) == ports
    assert offered.rtcp_mux
    assert answered.rtcp_mux
    roles = {offered.dtls_role, answered.dtls_role}
    assert roles == ({"client", "server"} if offered.profile == "webrtc" else {None})


TestTwoEnds = TwoEnds.TestCase
TestTwoEnds.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
