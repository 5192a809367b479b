"""Whatever a peer describes, an end answers, accepts, or refuses with a reason; and stays usable."""

from hypothesis import given, settings
from hypothesis import strategies as st
from sdp.corpus import REFUSED, cases, read
from sdp.ends import rtp_end, webrtc_end
from shared import require_shared

from sansio_sip.errors import ParseError
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.offer_answer import LocalMedia, Negotiated, NegotiationError, OfferAnswer, State, profile_of
from sansio_sip.sdp.parser import parse_description

CASES = [case for case in cases() if case.file not in REFUSED]
WORDS = [
    b"",
    b"0",
    b"96",
    b"111",
    b"sendonly",
    b"rtcp-mux",
    b"actpass",
    b"opus/48000/2",
    b"RTP/AVP",
    b"::1",
    b"\xff",
    b"-1",
]


@st.composite
def mutated(draw: st.DrawFn) -> SessionDescription | None:
    """A description of the corpus with words exchanged, lines dropped, doubled and moved."""
    lines = read(draw(st.sampled_from(CASES))).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                words = lines[index].split(b" ")
                words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(WORDS))
                lines[index] = b" ".join(words)
            case 1 if len(lines) > 1:
                del lines[index]
            case 2:
                lines.insert(draw(st.integers(0, len(lines))), lines[index])
            case _:
                name, colon, _ = lines[index].partition(b":")
                lines[index] = name + colon + draw(st.sampled_from(WORDS))
    try:
        return parse_description(b"\r\n".join(lines) + b"\r\n")
    except ParseError:
        return None


def check(negotiated: Negotiated) -> None:
    assert negotiated.codecs
    assert {codec.name for codec in negotiated.codecs} <= {"opus", "pcmu", "pcma"}
    assert negotiated.ptime in (10, 20, 30, 40, 60)
    if negotiated.profile == "webrtc":
        assert negotiated.ice is not None
        assert negotiated.fingerprints
        assert negotiated.dtls_role in ("client", "server")


def local_for(description: SessionDescription) -> LocalMedia:
    try:
        return webrtc_end() if profile_of(description) == "webrtc" else rtp_end()
    except NegotiationError:
        return rtp_end()


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_offer_is_answered_or_refused(data: st.DataObject) -> None:
    require_shared("corpus/04-sdp")
    ours = OfferAnswer(1)
    for _ in range(2):
        offer = data.draw(mutated())
        if offer is None:
            continue
        local = local_for(offer)
        try:
            answer, negotiated = ours.accept_offer(offer, local)
        except NegotiationError as error:
            refusal = error
        else:
            check(negotiated)
            assert parse_description(bytes(answer)) == answer
            assert len(answer.media) == len(offer.media)
            continue
        assert (refusal.status, ours.state) == (488, State.STABLE)
    # However the peer behaved, our next offer is whole.
    offer = ours.create_offer(rtp_end())
    assert parse_description(bytes(offer)) == offer
    assert len({row.split()[0] for row in offer.media[0].get_all("rtpmap")} | {""}) <= 7


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_answer_is_accepted_or_refused(data: st.DataObject) -> None:
    require_shared("corpus/04-sdp")
    answer = data.draw(mutated())
    if answer is None:
        return
    ours = OfferAnswer(1)
    ours.create_offer(local_for(answer))
    try:
        negotiated = ours.accept_answer(answer)
    except NegotiationError as error:
        refusal = error
    else:
        check(negotiated)
        assert ours.state is State.STABLE
        return
    assert (refusal.status, ours.state) == (488, State.HAVE_LOCAL_OFFER)
