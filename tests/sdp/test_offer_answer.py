"""Offer and answer: the RFCs' examples, browsers' offers, every direction, and what must be refused."""

import copy
import itertools
from dataclasses import replace

import pytest
from sdp.corpus import REFUSED, Case, cases, read
from sdp.ends import FINGERPRINT, rtp_end, webrtc_end
from shared import require_shared

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sdp.model import Attribute, MediaDescription, SessionDescription
from sansio_sip.sdp.offer_answer import Codec, Negotiated, NegotiationError, OfferAnswer, State, profile_of
from sansio_sip.sdp.parser import parse_description

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
PCMU = Codec("pcmu", 0, 8000)
PCMA = Codec("pcma", 8, 8000)
TE_8000 = "a=rtpmap:96 telephone-event/8000"
TE_48000 = "a=rtpmap:97 telephone-event/48000"


def sdp(*lines: str) -> SessionDescription:
    head = ("v=0", "o=peer 7 1 IN IP4 198.51.100.9", "s=-", "c=IN IP4 198.51.100.9", "t=0 0")
    return parse_description("".join(f"{line}\r\n" for line in (*head, *lines)).encode())


def webrtc_sdp(*lines: str, setup: str = "actpass", formats: str = "111") -> SessionDescription:
    return sdp(
        f"m=audio 9 UDP/TLS/RTP/SAVPF {formats}",
        "a=ice-ufrag:peer",
        "a=ice-pwd:0123456789012345678901",
        f"a=fingerprint:{FINGERPRINT}",
        *([f"a=setup:{setup}"] if setup else []),
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        *lines,
    )


def heads(description: SessionDescription) -> list[str]:
    return [next(media.lines()) for media in description.media]


def values(description: SessionDescription, *names: str) -> list[str | None]:
    return [description.media[0].get(name) for name in names]


# RFC 4317: the offers' media lines as printed there, and the m= lines of the answer by an end that has PCMU and PCMA.
RFC_4317 = {
    "2.1": (
        (
            "m=audio 49170 RTP/AVP 0 8 97",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:97 iLBC/8000",
            "m=video 51372 RTP/AVP 31 32",
            "a=rtpmap:31 H261/90000",
            "a=rtpmap:32 MPV/90000",
        ),
        ["m=audio 4000 RTP/AVP 0 8", "m=video 0 RTP/AVP 31"],
    ),
    "2.2-second-offer": (
        ("m=audio 51372 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 0 RTP/AVP 31", "a=rtpmap:31 H261/90000"),
        ["m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31"],
    ),
    "2.3-telephone-event-beside": (
        (
            "m=audio 49170 RTP/AVP 0 97",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:97 iLBC/8000",
            "m=audio 49172 RTP/AVP 98",
            "a=rtpmap:98 telephone-event/8000",
            "a=sendonly",
        ),
        ["m=audio 4000 RTP/AVP 0", "m=audio 0 RTP/AVP 98"],
    ),
    "2.4-two-audio": (
        (
            "m=audio 49170 RTP/AVP 0",
            "a=rtpmap:0 PCMU/8000",
            "m=audio 51372 RTP/AVP 97 101",
            "a=rtpmap:97 iLBC/8000",
            "a=rtpmap:101 telephone-event/8000",
        ),
        ["m=audio 4000 RTP/AVP 0", "m=audio 0 RTP/AVP 97"],
    ),
    "2.4-the-second-suits": (
        (
            "m=audio 49170 RTP/AVP 97",
            "a=rtpmap:97 iLBC/8000",
            "m=audio 51372 RTP/AVP 0 101",
            "a=rtpmap:101 telephone-event/8000",
        ),
        ["m=audio 0 RTP/AVP 97", "m=audio 4000 RTP/AVP 0 101"],
    ),
    "3.1-hold": (("m=audio 49170 RTP/AVP 0 97", "a=sendonly"), ["m=audio 4000 RTP/AVP 0"]),
}


@pytest.mark.parametrize(("offer", "answer"), list(RFC_4317.values()), ids=list(RFC_4317))
def test_med_02_rfc_4317_examples(offer: tuple[str, ...], answer: list[str]) -> None:
    ours, _ = OfferAnswer(1).accept_offer(sdp(*offer), rtp_end(codecs=("pcmu", "pcma")))
    assert heads(ours) == answer


def test_rfc_3264_example_of_a_second_offer() -> None:
    """Section 10.1: a stream of audio for DTMF is added; the answer has a line for each."""
    require_shared("corpus/04-sdp")
    offer = parse_description(read(Case("rfc/rfc3264-04.sdp", "", "")))
    answer, negotiated = OfferAnswer(1).accept_offer(offer, rtp_end())
    assert heads(answer) == [
        "m=audio 4000 RTP/AVP 0",
        "m=video 0 RTP/AVP 31",
        "m=video 0 RTP/AVP 32",
        "m=audio 0 RTP/AVP 110",
    ]
    # `c=` holds a host name: to be learned from where the packets come from.
    assert negotiated.remote_address is None


@pytest.mark.parametrize(("offered", "wish"), list(itertools.product(DIRECTIONS, DIRECTIONS)))
def test_every_pair_of_directions(offered: str, wish: str) -> None:
    sends = {"sendrecv", "sendonly"}
    receives = {"sendrecv", "recvonly"}
    expected = {
        (True, True): "sendrecv",
        (True, False): "sendonly",
        (False, True): "recvonly",
        (False, False): "inactive",
    }[wish in sends and offered in receives, wish in receives and offered in sends]

    answer, negotiated = OfferAnswer(1).accept_offer(sdp("m=audio 5000 RTP/AVP 0", f"a={offered}"), rtp_end(wish))
    assert answer.media[0].has(expected)
    assert negotiated.direction == expected

    # The other end of the same exchange comes to the opposite.
    offerer = OfferAnswer(2)
    offer = offerer.create_offer(rtp_end(offered))
    assert offer.media[0].has(offered)
    answer, answered = OfferAnswer(1).accept_offer(offer, rtp_end(wish))
    mirror = {"sendonly": "recvonly", "recvonly": "sendonly"}
    assert offerer.accept_answer(answer).direction == mirror.get(answered.direction, answered.direction)


def test_direction_of_the_session_holds_where_the_media_has_none() -> None:
    offer = replace(sdp("m=audio 5000 RTP/AVP 0"), attributes=(Attribute("sendonly"),))
    answer, _ = OfferAnswer(1).accept_offer(offer, rtp_end())
    assert answer.media[0].has("recvonly")


def test_hold_by_address_stops_our_media() -> None:
    offer = sdp("m=audio 5000 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=sendrecv")
    answer, negotiated = OfferAnswer(1).accept_offer(offer, rtp_end())
    assert answer.media[0].has("recvonly")
    assert (negotiated.direction, negotiated.remote_address, negotiated.remote_rtcp) == ("recvonly", None, None)


def test_med_01_plain_rtp_answer_has_the_numbers_of_the_offer() -> None:
    offer = sdp("m=audio 5000 RTP/AVP 8 0 96", "a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-16", "a=ptime:30")
    answer, negotiated = OfferAnswer(41).accept_offer(offer, rtp_end())
    assert bytes(answer).decode().splitlines() == [
        "v=0",
        "o=- 41 1 IN IP4 192.0.2.1",
        "s=-",
        "c=IN IP4 192.0.2.1",
        "t=0 0",
        "m=audio 4000 RTP/AVP 8 0 96",
        "a=sendrecv",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:96 telephone-event/8000",
        "a=fmtp:96 0-15",
        "a=ptime:20",
        "a=maxptime:60",
    ]
    assert negotiated == Negotiated(
        profile="rtp",
        codecs=(PCMA, PCMU),
        receive_payload_types={8: PCMA, 0: PCMU, 96: Codec("telephone-event", 96, 8000, 1, "0-15")},
        dtmf=Codec("telephone-event", 96, 8000, 1, "0-16"),
        direction="sendrecv",
        remote_address=Address("198.51.100.9", 5000),
        remote_rtcp=Address("198.51.100.9", 5001),
        rtcp_mux=False,
        ptime=30,
    )


def test_webrtc_offer_whole() -> None:
    assert bytes(OfferAnswer(42).create_offer(webrtc_end())).decode().splitlines() == [
        "v=0",
        "o=- 42 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=ice-options:ice2",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111 0 8 13 110 101",
        "c=IN IP4 192.0.2.1",
        "a=mid:0",
        "a=sendrecv",
        "a=ice-ufrag:ourf",
        "a=ice-pwd:ourpasswordourpassword12",
        f"a=fingerprint:{FINGERPRINT}",
        "a=setup:actpass",
        "a=rtcp-mux",
        "a=rtcp-mux-only",
        "a=rtcp-xr:voip-metrics",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:13 CN/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=fmtp:110 0-15",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=maxptime:60",
        "a=msid:alice alice-audio",
        "a=ssrc:1234 cname:alice",
        "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host",
        "a=end-of-candidates",
    ]


def test_chrome_offer_is_answered_in_its_own_terms() -> None:
    require_shared("corpus/04-sdp")
    offer = parse_description(read(Case("aiortc/audio_chrome.sdp", "", "")))
    assert profile_of(offer, ("webrtc",)) == "webrtc"
    answer, negotiated = OfferAnswer(1).accept_offer(offer, webrtc_end())
    assert heads(answer) == ["m=audio 4000 UDP/TLS/RTP/SAVPF 111 0 8 13 110 126"]
    assert answer.get("group") == "BUNDLE audio"
    assert values(answer, "mid", "rtcp-mux", "setup", "rtcp-mux-only") == ["audio", "", "active", None]
    assert [codec.payload_type for codec in negotiated.codecs] == [111, 0, 8]
    assert negotiated.dtmf == Codec("telephone-event", 110, 48000)
    assert negotiated.dtls_role == "client"
    assert negotiated.ice is not None
    assert (negotiated.ice.ufrag, len(negotiated.ice.candidates), negotiated.ice.lite) == ("5+Ix", 4, False)
    assert negotiated.fingerprints[0].value.startswith("6B:8B:5D")


@pytest.mark.parametrize(
    ("file", "fact"),
    [
        ("aiortc/audio_dtls_session_level.sdp", "fingerprints"),
        ("libwebrtc-fuzz-sdp/firefox-2.sdp", "fingerprints"),
    ],
)
def test_what_stands_at_the_session_level_counts_for_the_media(file: str, fact: str) -> None:
    offer = parse_description(require_shared(f"corpus/04-sdp/{file}").read_bytes())
    _, negotiated = OfferAnswer(1).accept_offer(offer, webrtc_end())
    assert getattr(negotiated, fact)


def test_ice_lite_is_told() -> None:
    offer = parse_description(require_shared("corpus/04-sdp/aiortc/audio_ice_lite.sdp").read_bytes())
    _, negotiated = OfferAnswer(1).accept_offer(offer, webrtc_end())
    assert negotiated.ice is not None
    assert negotiated.ice.lite


def test_jsep_offer_with_a_bundled_data_channel() -> None:
    """RFC 8829 section 7.2: the data channel is refused, so it leaves the bundle."""
    offer = parse_description(require_shared("corpus/04-sdp/rfc/rfc8829-02.sdp").read_bytes())
    answer, negotiated = OfferAnswer(1).accept_offer(offer, webrtc_end())
    assert heads(answer) == [
        "m=audio 4000 UDP/TLS/RTP/SAVPF 96 0 8 97 98",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ]
    assert answer.get("group") == "BUNDLE a1"
    assert [media.get("mid") for media in answer.media] == ["a1", "d1"]
    assert answer.media[0].has("rtcp-mux-only")
    assert negotiated.dtmf == Codec("telephone-event", 98, 48000, 1, "0-15")


# How many descriptions of the corpus are refused, by the beginning of the reason; the others are answered.
CORPUS_REFUSALS = {
    "the offer has no audio": 53,
    "no codec in common": 27,
    "profile RTP/SAVPF is none": 20,
    "profile RTP/SAVP is none": 10,
    "no certificate fingerprint": 2,
    "media for a group": 1,
    "WebRTC without rtcp-mux": 1,
    "ICE user name or password": 1,
}


def test_each_offer_of_the_corpus_gets_an_answer_or_a_reason() -> None:
    require_shared("corpus/04-sdp")
    refusals: dict[str, int] = dict.fromkeys(CORPUS_REFUSALS, 0)
    answered = 0
    for case in cases():
        if case.file in REFUSED:
            continue
        offer = parse_description(read(case))
        refusal = _answer_or_reason(offer)
        if refusal is None:
            answered += 1
            continue
        assert refusal.status == 488
        refusals[next(start for start in CORPUS_REFUSALS if refusal.reason.startswith(start))] += 1
    assert (answered, refusals) == (91, CORPUS_REFUSALS)


def _answer_or_reason(offer: SessionDescription) -> NegotiationError | None:
    try:
        local = webrtc_end() if profile_of(offer) == "webrtc" else rtp_end()
        answer, negotiated = OfferAnswer(1).accept_offer(offer, local)
    except NegotiationError as error:
        return error
    assert parse_description(bytes(answer)) == answer
    assert [(media.kind, media.protocol) for media in answer.media] == [
        (media.kind, media.protocol) for media in offer.media
    ]
    accepted = [index for index, media in enumerate(answer.media) if media.port]
    assert len(accepted) == 1
    section = offer.media[accepted[0]]
    assert set(answer.media[accepted[0]].formats) <= set(section.formats)
    assert all(str(codec.payload_type) in section.formats for codec in negotiated.codecs)
    assert answer.media[accepted[0]].get("mid") == section.get("mid")
    return None


@pytest.mark.parametrize(
    ("offered", "wish", "answered", "role"),
    [
        ("actpass", "actpass", "active", "client"),
        ("actpass", "active", "active", "client"),
        ("actpass", "passive", "passive", "server"),
        ("active", "actpass", "passive", "server"),
        ("passive", "actpass", "active", "client"),
        ("", "actpass", "active", "client"),
    ],
)
def test_dtls_role_of_the_answerer(offered: str, wish: str, answered: str, role: str) -> None:
    answer, negotiated = OfferAnswer(1).accept_offer(webrtc_sdp(setup=offered), webrtc_end(setup=wish))
    assert values(answer, "setup") == [answered]
    assert negotiated.dtls_role == role


@pytest.mark.parametrize(
    ("offered", "answered", "role"),
    [
        ("actpass", "active", "server"),
        ("actpass", "passive", "client"),
        ("actpass", "", "server"),
        ("active", "passive", "client"),
        ("active", "", "client"),
        ("passive", "active", "server"),
    ],
)
def test_dtls_role_of_the_offerer(offered: str, answered: str, role: str) -> None:
    ours = OfferAnswer(1)
    ours.create_offer(webrtc_end(setup=offered))
    assert ours.accept_answer(webrtc_sdp(setup=answered)).dtls_role == role


@pytest.mark.parametrize(
    ("offered", "answered"), [("actpass", "actpass"), ("active", "active"), ("actpass", "holdconn")]
)
def test_setup_that_does_not_fit_is_refused(offered: str, answered: str) -> None:
    ours = OfferAnswer(1)
    ours.create_offer(webrtc_end(setup=offered))
    with pytest.raises(NegotiationError, match="setup"):
        ours.accept_answer(webrtc_sdp(setup=answered))


def test_dtls_role_stays_when_the_peer_offers_again() -> None:
    ours = OfferAnswer(1)
    ours.create_offer(webrtc_end())
    assert ours.accept_answer(webrtc_sdp(setup="active")).dtls_role == "server"
    answer, negotiated = ours.accept_offer(webrtc_sdp(setup="actpass"), webrtc_end())
    assert values(answer, "setup") == ["passive"]
    assert negotiated.dtls_role == "server"


@pytest.mark.parametrize(
    ("lines", "formats", "event"),
    [
        pytest.param((TE_8000, TE_48000), "111 96 97", 97, id="opus"),
        pytest.param((TE_48000, TE_8000), "0 111 97 96", 96, id="g711"),
        pytest.param((TE_8000,), "111 96", 96, id="other-rate-alone"),
        pytest.param((), "111", None, id="none"),
    ],
)
def test_med_06_telephone_event_has_the_clock_rate_of_the_codec(
    lines: tuple[str, ...], formats: str, event: int | None
) -> None:
    answer, negotiated = OfferAnswer(1).accept_offer(webrtc_sdp(*lines, formats=formats), webrtc_end())
    assert (negotiated.dtmf.payload_type if negotiated.dtmf else None) == event
    # An event at a clock rate of no codec in the answer is left out where there is a better one.
    assert set(formats.split()) - set(answer.media[0].formats) == ({"96"} if formats == "111 96 97" else set())


def test_answer_with_other_payload_types_sends_with_them_and_receives_ours() -> None:
    ours = OfferAnswer(1)
    ours.create_offer(webrtc_end())
    negotiated = ours.accept_answer(
        webrtc_sdp(
            "a=rtpmap:100 opus/48000/2",
            "a=fmtp:100 useinbandfec=1;stereo=0",
            "a=rtpmap:102 telephone-event/48000",
            formats="100 102",
            setup="active",
        )
    )
    assert negotiated.codecs == (Codec("opus", 100, 48000, 2, "useinbandfec=1;stereo=0"),)
    assert negotiated.dtmf == Codec("telephone-event", 102, 48000)
    assert {number: codec.name for number, codec in negotiated.receive_payload_types.items()} == {
        111: "opus",
        110: "telephone-event",
        100: "opus",
        102: "telephone-event",
    }


def test_payload_types_stay_with_their_codec_in_later_offers() -> None:
    ours = OfferAnswer(1)
    offer = webrtc_sdp("a=rtpmap:101 OPUS/48000/2", "a=rtpmap:111 telephone-event/48000", formats="101 0 113")
    ours.accept_offer(
        replace(offer, media=(replace(offer.media[0], formats=("101", "0"), attributes=_without(offer, "111")),)),
        webrtc_end(),
    )
    again = ours.create_offer(webrtc_end())
    rows = again.media[0].get_all("rtpmap")
    assert rows[0] == "101 opus/48000/2"
    assert len({row.split()[0] for row in rows}) == len(rows) == 6


def test_payload_type_that_the_peer_gives_to_another_codec_is_not_used_twice() -> None:
    ours = OfferAnswer(1)
    ours.accept_offer(sdp("m=audio 5000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2"), rtp_end())
    ours.accept_offer(sdp("m=audio 5000 RTP/AVP 0 96", "a=rtpmap:96 telephone-event/8000"), rtp_end())
    formats = ours.create_offer(rtp_end()).media[0].formats
    assert len(set(formats)) == len(formats) == 6


def _without(offer: SessionDescription, payload_type: str) -> tuple[Attribute, ...]:
    return tuple(
        row
        for row in offer.media[0].attributes
        if row.name != "rtpmap" or not (row.value or "").startswith(payload_type)
    )


def test_opus_without_its_channels_is_opus() -> None:
    answer, negotiated = OfferAnswer(1).accept_offer(
        sdp("m=audio 5000 RTP/AVP 102", "a=rtpmap:102 opus/48000"), rtp_end()
    )
    assert negotiated.codecs == (Codec("opus", 102, 48000, 2),)
    assert answer.media[0].get("rtpmap") == "102 opus/48000/2"


def test_payload_types_of_rtcp_are_not_taken_with_mux() -> None:
    offer = webrtc_sdp("a=rtpmap:72 opus/48000/2", "a=rtpmap:35 opus/48000/2", formats="72 35")
    _, negotiated = OfferAnswer(1).accept_offer(offer, webrtc_end())
    assert [codec.payload_type for codec in negotiated.codecs] == [35]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), 20),
        (("a=ptime:10",), 10),
        (("a=ptime:40",), 40),
        (("a=ptime:60", "a=maxptime:30"), 30),
        (("a=ptime:20", "a=maxptime:5"), 10),
        (("a=ptime:1000",), 20),
        (("a=ptime:x",), 20),
        (("a=ptime:30.0",), 30),
    ],
)
def test_ptime(lines: tuple[str, ...], expected: int) -> None:
    _, negotiated = OfferAnswer(1).accept_offer(sdp("m=audio 5000 RTP/AVP 0", *lines), rtp_end())
    assert negotiated.ptime == expected


@pytest.mark.parametrize(
    ("lines", "rtcp"),
    [
        ((), Address("198.51.100.9", 5001)),
        (("a=rtcp-mux",), Address("198.51.100.9", 5000)),
        (("a=rtcp:6000",), Address("198.51.100.9", 6000)),
        (("a=rtcp:6000 IN IP4 198.51.100.7",), Address("198.51.100.7", 6000)),
        (("a=rtcp:6000 IN IP4 224.0.0.1",), None),
        (("a=rtcp:0",), None),
        (("a=rtcp:x",), Address("198.51.100.9", 5001)),
    ],
)
def test_where_rtcp_goes(lines: tuple[str, ...], rtcp: Address | None) -> None:
    answer, negotiated = OfferAnswer(1).accept_offer(sdp("m=audio 5000 RTP/AVP 0", *lines), rtp_end())
    assert negotiated.remote_rtcp == rtcp
    assert negotiated.rtcp_mux == answer.media[0].has("rtcp-mux") == ("a=rtcp-mux" in lines)


GOOD_FINGERPRINT = f"a=fingerprint:{FINGERPRINT}"


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        pytest.param(sdp(), "no audio", id="no-media"),
        pytest.param(sdp("m=video 5000 RTP/AVP 31"), "no audio", id="video-alone"),
        pytest.param(sdp("m=audio 0 RTP/AVP 0"), "no audio", id="audio-switched-off"),
        pytest.param(sdp("m=audio 5000 RTP/SAVP 0", "a=crypto:1 X inline:x"), "profile RTP/SAVP", id="sdes"),
        pytest.param(sdp("m=audio 5000 TCP/RTP/AVP 0"), "profile TCP/RTP/AVP", id="unknown-profile"),
        pytest.param(sdp("m=audio 5000 RTP/AVP 0"), "none of those allowed: webrtc", id="profile-not-allowed"),
    ],
)
def test_offer_without_a_section_for_us_is_488(offer: SessionDescription, reason: str) -> None:
    with pytest.raises(NegotiationError, match=reason) as caught:
        profile_of(offer, ("webrtc",))
    assert caught.value.status == 488
    with pytest.raises(NegotiationError, match=reason):
        OfferAnswer(1).accept_offer(offer, webrtc_end())


@pytest.mark.parametrize(
    ("drop", "add", "reason"),
    [
        pytest.param("rtcp-mux", (), "rtcp-mux", id="no-mux"),
        pytest.param("ice-ufrag", (), "ICE", id="no-ufrag"),
        pytest.param("ice-pwd", (), "ICE", id="no-pwd"),
        pytest.param("ice-pwd", ("a=ice-pwd:short",), "ICE", id="short-pwd"),
        pytest.param("ice-ufrag", ("a=ice-ufrag:\u00e9\u00e9\u00e9\u00e9",), "characters", id="ufrag-of-other-letters"),
        pytest.param("fingerprint", (), "fingerprint", id="no-fingerprint"),
        pytest.param("fingerprint", ("a=fingerprint:sha-256 AA:BB",), "fingerprint", id="short-fingerprint"),
        pytest.param("fingerprint", ("a=fingerprint:md5 " + ":".join(["AA"] * 16),), "fingerprint", id="md5"),
        pytest.param("setup", ("a=setup:holdconn",), "holdconn", id="holdconn"),
        pytest.param("rtpmap", ("a=rtpmap:111 opus/16000/2",), "codec", id="opus-of-another-rate"),
        pytest.param("rtpmap", ("a=rtpmap:111 PCMU/8000/2",), "codec", id="pcmu-of-two-channels"),
        pytest.param("rtpmap", ("a=rtpmap:111 G729/8000",), "codec", id="other-codec"),
        pytest.param("rtpmap", ("a=rtpmap:111 telephone-event/8000",), "codec", id="events-alone"),
    ],
)
def test_webrtc_offer_that_lacks_something_is_488(drop: str, add: tuple[str, ...], reason: str) -> None:
    offer = webrtc_sdp(*add)
    section = offer.media[0]
    rows = [row for row in section.attributes[: len(section.attributes) - len(add)] if row.name != drop]
    rows += section.attributes[len(section.attributes) - len(add) :]
    offer = replace(offer, media=(replace(section, attributes=tuple(rows)),))
    ours = OfferAnswer(1)
    with pytest.raises(NegotiationError, match=reason) as caught:
        ours.accept_offer(offer, webrtc_end())
    assert caught.value.status == 488
    assert ours.state is State.STABLE


def test_multicast_is_refused() -> None:
    with pytest.raises(NegotiationError, match="multicast"):
        OfferAnswer(1).accept_offer(sdp("m=audio 5000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"), rtp_end())


def test_only_the_best_hash_counts() -> None:
    offer = webrtc_sdp("a=fingerprint:sha-1 " + ":".join(["BB"] * 20), "a=fingerprint:sha-256 " + ":".join(["CC"] * 32))
    _, negotiated = OfferAnswer(1).accept_offer(offer, webrtc_end())
    assert [row.algorithm for row in negotiated.fingerprints] == ["sha-256", "sha-256"]


ANSWER = ("m=audio 5000 RTP/AVP 0",)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(("m=audio 0 RTP/AVP 0",), "refuses our audio", id="port-0"),
        pytest.param((), "0 m= lines", id="no-media"),
        pytest.param((*ANSWER, *ANSWER), "2 m= lines", id="too-many"),
        pytest.param(("m=video 5000 RTP/AVP 31",), "'video'", id="other-kind"),
        pytest.param(("m=audio 5000 RTP/SAVP 0",), "profile", id="other-profile"),
        pytest.param(("m=audio 5000 RTP/AVP 18",), "codec", id="codec-not-offered"),
        pytest.param(("m=audio 5000 RTP/AVP 96", "a=rtpmap:96 opus/48000/2"), "codec", id="codec-of-ours-not-offered"),
    ],
)
def test_answer_that_does_not_fit_is_488_and_the_offer_stands(answer: tuple[str, ...], reason: str) -> None:
    ours = OfferAnswer(1)
    ours.create_offer(rtp_end(codecs=("pcmu", "pcma")))
    with pytest.raises(NegotiationError, match=reason) as caught:
        ours.accept_answer(sdp(*answer))
    assert caught.value.status == 488
    assert ours.state is State.HAVE_LOCAL_OFFER
    assert ours.accept_answer(sdp(*ANSWER)).codecs == (PCMU,)


def test_telephone_event_that_was_not_offered_is_not_used() -> None:
    ours = OfferAnswer(1)
    ours.create_offer(rtp_end(codecs=("pcmu",)))
    negotiated = ours.accept_answer(sdp("m=audio 5000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/16000"))
    assert negotiated.dtmf is None


def test_version_rises_with_each_change_and_the_rest_of_the_origin_stays() -> None:
    ours = OfferAnswer(9)
    versions = []
    offer = sdp("m=audio 5000 RTP/AVP 0")
    versions.append(ours.accept_offer(offer, rtp_end())[0].origin)
    versions.append(ours.accept_offer(offer, rtp_end())[0].origin)
    versions.append(ours.accept_offer(offer, rtp_end("sendonly"))[0].origin)
    versions.append(ours.create_offer(replace(rtp_end(), address=Address("192.0.2.77", 6000))).origin)
    ours.rollback()
    versions.append(ours.create_offer(rtp_end("sendonly")).origin)
    assert [origin.session_version for origin in versions] == [1, 1, 2, 3, 4]
    assert {replace(origin, session_version=0) for origin in versions} == {replace(versions[0], session_version=0)}


def test_refused_sections_keep_their_place_in_our_later_offers() -> None:
    ours = OfferAnswer(1)
    ours.accept_offer(sdp("m=video 6000 RTP/AVP 31", "a=mid:v", "m=audio 5000 RTP/AVPF 0"), rtp_end())
    offer = ours.create_offer(rtp_end("sendonly"))
    assert [(media.kind, media.port, media.protocol) for media in offer.media] == [
        ("video", 0, "RTP/AVP"),
        ("audio", 4000, "RTP/AVPF"),
    ]
    negotiated = ours.accept_answer(sdp("m=video 0 RTP/AVP 31", "m=audio 5000 RTP/AVPF 0", "a=recvonly"))
    assert negotiated.direction == "sendonly"


def test_later_offer_keeps_the_peers_mid_and_else_takes_a_free_one() -> None:
    ours = OfferAnswer(1)
    ours.accept_offer(webrtc_sdp("a=mid:audio7"), webrtc_end())
    offer = ours.create_offer(webrtc_end())
    assert (offer.get("group"), offer.media[0].get("mid")) == ("BUNDLE audio7", "audio7")

    ours = OfferAnswer(1)
    refused = MediaDescription("video", 9, "UDP/TLS/RTP/SAVPF", ("96",), attributes=(Attribute("mid", "0"),))
    first = webrtc_sdp()
    ours.accept_offer(replace(first, media=(*first.media, refused)), webrtc_end())
    offer = ours.create_offer(webrtc_end())
    assert (offer.get("group"), [media.get("mid") for media in offer.media]) == ("BUNDLE 1", ["1", "0"])


def test_section_in_use_is_preferred_when_the_peer_offers_again() -> None:
    two = ("m=audio 5000 RTP/AVP 18", "m=audio 5002 RTP/AVP 0")
    ours = OfferAnswer(1)
    ours.accept_offer(sdp(*two), rtp_end())
    answer, _ = ours.accept_offer(sdp("m=audio 5000 RTP/AVP 0", "m=audio 5002 RTP/AVP 0"), rtp_end())
    assert [media.port for media in answer.media] == [0, 4000]


def test_glare_is_491_and_rollback_gives_way() -> None:
    ours = OfferAnswer(1)
    ours.create_offer(rtp_end())
    with pytest.raises(NegotiationError) as caught:
        ours.accept_offer(sdp("m=audio 5000 RTP/AVP 0"), rtp_end())
    assert caught.value.status == 491
    assert ours.state is State.HAVE_LOCAL_OFFER
    ours.rollback()
    ours.receive_offer(sdp("m=audio 5000 RTP/AVP 0"))
    assert ours.state is State.HAVE_REMOTE_OFFER
    ours.create_answer(rtp_end())
    assert ours.state is State.STABLE


def test_turns_out_of_order_are_local_errors_that_name_state_and_remedy() -> None:
    ours = OfferAnswer(1)
    with pytest.raises(LocalProtocolError, match=r"state is stable; make an offer first"):
        ours.accept_answer(sdp(*ANSWER))
    with pytest.raises(LocalProtocolError, match=r"no offer to answer"):
        ours.create_answer(rtp_end())
    with pytest.raises(LocalProtocolError, match=r"no offer is under way"):
        ours.rollback()
    ours.create_offer(rtp_end())
    with pytest.raises(LocalProtocolError, match=r"state is have-local-offer"):
        ours.create_offer(rtp_end())


@pytest.mark.parametrize(
    "local",
    [
        replace(rtp_end(), profile="sdes"),
        rtp_end(codecs=()),
        rtp_end(codecs=("g729",)),
        rtp_end("both"),
        webrtc_end(setup="holdconn"),
        replace(webrtc_end(), fingerprint=None),
    ],
    ids=["profile", "no-codecs", "codec", "direction", "setup", "fingerprint"],
)
def test_own_part_that_does_not_hold_together_is_a_local_error(local: object) -> None:
    ours = OfferAnswer(1)
    with pytest.raises(LocalProtocolError):
        ours.create_offer(local)  # type: ignore[arg-type]  # the row's type is that of all rows
    assert ours.state is State.STABLE


def test_it_can_be_copied_in_any_state() -> None:
    ours = OfferAnswer(1)
    ours.create_offer(rtp_end())
    other = copy.deepcopy(ours)
    answer = sdp("m=audio 5000 RTP/AVP 0")
    assert other.accept_answer(answer) == ours.accept_answer(answer) == copy.deepcopy(other_result(answer))


def other_result(answer: SessionDescription) -> Negotiated:
    third = OfferAnswer(1)
    third.create_offer(rtp_end())
    return third.accept_answer(answer)


def test_ipv6_and_a_separate_rtcp_port_are_written() -> None:
    local = replace(rtp_end(), address=Address("2001:db8::1", 4000), rtcp_port=4007)
    offer = OfferAnswer(1).create_offer(local)
    assert str(offer.origin) == "- 1 1 IN IP6 2001:db8::1"
    assert str(offer.connection) == "IN IP6 2001:db8::1"
    assert offer.media[0].get("rtcp") == "4007"
    _, negotiated = OfferAnswer(2).accept_offer(replace(offer, media=(_without_mux(offer.media[0]),)), rtp_end())
    assert negotiated.remote_address == Address("2001:db8::1", 4000)
    assert negotiated.remote_rtcp == Address("2001:db8::1", 4007)


def _without_mux(section: MediaDescription) -> MediaDescription:
    return replace(section, attributes=tuple(row for row in section.attributes if row.name != "rtcp-mux"))


def test_candidates_of_a_peer_are_bounded() -> None:
    many = [f"a=candidate:{number} 1 udp 1 198.51.100.9 {number} typ host" for number in range(1, 200)]
    _, negotiated = OfferAnswer(1).accept_offer(webrtc_sdp("a=candidate:" + "x" * 600, *many), webrtc_end())
    assert negotiated.ice is not None
    assert len(negotiated.ice.candidates) == 64
    assert negotiated.ice.candidates[0].startswith("1 1 udp")


def test_credentials_do_not_show_in_repr() -> None:
    _, negotiated = OfferAnswer(1).accept_offer(webrtc_sdp(), webrtc_end())
    assert "01234567890123" not in repr(negotiated)
    assert "ourpassword" not in repr(webrtc_end())


def test_g722_has_its_static_type_and_the_clock_of_rfc_3551() -> None:
    ours, theirs = OfferAnswer(1), OfferAnswer(2)
    local = replace(rtp_end(), codecs=("g722", "pcma"))
    offer = ours.create_offer(local)
    assert offer.media[0].formats[:3] == ("9", "8", "13")
    assert "9 G722/8000" in offer.media[0].get_all("rtpmap")
    bare = sdp("m=audio 5000 RTP/AVP 9 8 13")
    answer, negotiated = theirs.accept_offer(bare, local)
    assert answer.media[0].formats == ("9", "8", "13")
    assert negotiated.codecs[0] == Codec("g722", 9, 8000)
    assert negotiated.receive_payload_types[13].name == "cn"
    assert negotiated.dtmf is None
    assert ours.accept_answer(answer).receive_payload_types[13].name == "cn"


def test_comfort_noise_is_not_taken_with_opus_alone() -> None:
    offer = sdp("m=audio 5000 RTP/AVP 96 13", "a=rtpmap:96 opus/48000/2")
    answer, negotiated = OfferAnswer(1).accept_offer(offer, rtp_end())
    assert answer.media[0].formats == ("96",)
    assert set(negotiated.receive_payload_types) == {96}


def test_our_own_parameters_replace_the_catalogues() -> None:
    local = replace(rtp_end(), codecs=("opus",), parameters=(("opus", "usedtx=1"),))
    assert OfferAnswer(1).create_offer(local).media[0].get_all("fmtp")[0] == "111 usedtx=1"


@pytest.mark.parametrize("offered", [True, False])
def test_med_08_rtcp_mux_is_answered_where_it_is_offered(offered: bool) -> None:
    offer = sdp("m=audio 5000 RTP/AVP 0", *(("a=rtcp-mux",) if offered else ()))
    answer, negotiated = OfferAnswer(1).accept_offer(offer, rtp_end())
    assert answer.media[0].has("rtcp-mux") is offered
    assert negotiated.rtcp_mux is offered


# What is refused is said in words


def test_turns_out_of_order_are_refused_with_their_remedy() -> None:
    session = OfferAnswer(1)
    with pytest.raises(LocalProtocolError) as early:
        session.accept_answer(sdp("m=audio 4 RTP/AVP 0"))
    assert str(early.value) == "cannot accept an answer: state is stable; make an offer first"
    with pytest.raises(LocalProtocolError) as nothing:
        session.rollback()
    assert str(nothing.value) == "cannot roll back: no offer is under way"
    session.create_offer(rtp_end())
    with pytest.raises(LocalProtocolError) as twice:
        session.create_offer(rtp_end())
    assert str(twice.value) == (
        "cannot make an offer: state is have-local-offer; finish the exchange under way or roll it back"
    )


def test_a_refused_answer_is_told_apart() -> None:
    session = OfferAnswer(1)
    session.create_offer(rtp_end())
    with pytest.raises(NegotiationError) as refused:
        session.accept_answer(sdp("m=audio 0 RTP/AVP 0"))
    assert str(refused.value) == "the answer refuses our audio"


def test_rfc_3264_section_8_the_same_offer_again_is_a_new_version() -> None:
    session = OfferAnswer(1)
    first = session.create_offer(rtp_end())
    session.accept_answer(sdp("m=audio 4 RTP/AVP 0"))
    second = session.create_offer(rtp_end())
    assert second.origin.session_version == first.origin.session_version + 1
    session.rollback()
    third = session.create_offer(rtp_end())
    assert third.origin.session_version == second.origin.session_version + 1


def test_what_we_receive_has_our_parameters_and_not_the_peers() -> None:
    session = OfferAnswer(1)
    session.create_offer(webrtc_end(codecs=("opus",)))
    answer = webrtc_sdp("a=fmtp:111 maxplaybackrate=8000", setup="active")
    negotiated = session.accept_answer(answer)
    (received,) = {codec.parameters for codec in negotiated.receive_payload_types.values() if codec.name == "opus"}
    assert "maxplaybackrate=8000" not in received
    assert negotiated.codecs[0].parameters != received


def test_a_role_that_the_offer_leaves_us_not_is_refused() -> None:
    with pytest.raises(NegotiationError) as refused:
        OfferAnswer(1).accept_offer(webrtc_sdp(setup="active"), webrtc_end(setup="active"))
    assert str(refused.value) == "the offer's setup:active leaves us no setup:active"
    answer, negotiated = OfferAnswer(1).accept_offer(webrtc_sdp(setup="active"), webrtc_end(setup="passive"))
    assert (values(answer, "setup"), negotiated.dtls_role) == (["passive"], "server")


def test_plain_rtp_has_no_dtls_role() -> None:
    session = OfferAnswer(1)
    session.create_offer(rtp_end())
    negotiated = session.accept_answer(sdp("m=audio 4 RTP/AVP 0", "a=setup:active"))
    assert (negotiated.dtls_role, negotiated.remote_crypto, negotiated.local_crypto) == (None, None, None)


def test_an_offer_that_forks_is_answered_on_each_way_and_each_goes_on_by_itself() -> None:
    session = OfferAnswer(7)
    session.create_offer(rtp_end())
    other = session.fork()
    assert other.state is State.HAVE_LOCAL_OFFER
    first = session.accept_answer(sdp("m=audio 4 RTP/AVP 0"))
    second = other.accept_answer(sdp("m=audio 6 RTP/AVP 8"))
    assert ([codec.name for codec in first.codecs], [codec.name for codec in second.codecs]) == (["pcmu"], ["pcma"])
    assert (first.remote_address, second.remote_address) == (Address("198.51.100.9", 4), Address("198.51.100.9", 6))
    again, its = session.create_offer(rtp_end()), other.create_offer(rtp_end())
    # RFC 3264 section 8: each goes on from the offer that both have heard.
    assert (again.origin.session_id, its.origin.session_id) == (7, 7)
    assert again.origin.session_version == its.origin.session_version == 2
    session.rollback()
    assert (session.state, other.state) == (State.STABLE, State.HAVE_LOCAL_OFFER)


def test_a_fork_in_a_webrtc_session_keeps_role_layout_and_payload_types() -> None:
    session = OfferAnswer(7)
    answer, negotiated = session.accept_offer(webrtc_sdp("a=mid:x", setup="active"), webrtc_end())
    other = session.fork()
    offer = other.create_offer(webrtc_end())
    assert heads(offer)[0].split()[:1] == heads(answer)[0].split()[:1]
    assert values(offer, "mid") == ["x"]
    assert "a=rtpmap:111 opus/48000/2" in [str(line) for line in offer.media[0].lines()]
    agreed = other.accept_answer(webrtc_sdp("a=mid:x", setup=""))
    assert (negotiated.dtls_role, agreed.dtls_role) == ("server", "server")


def test_rfc_8842_section_5_3_a_later_offer_that_leaves_the_choice_keeps_the_role() -> None:
    session = OfferAnswer(1)
    session.accept_offer(webrtc_sdp(setup="active"), webrtc_end())
    answer, negotiated = session.accept_offer(webrtc_sdp(setup="actpass"), webrtc_end())
    assert (values(answer, "setup"), negotiated.dtls_role) == (["passive"], "server")


@pytest.mark.parametrize(
    ("group", "bundled"), [("BUNDLE x", True), ("BUNDLE y", False), ("LS x", False), (None, False)]
)
def test_the_answer_bundles_what_the_offer_has_bundled(group: str | None, bundled: bool) -> None:
    offer = webrtc_sdp("a=mid:x")
    if group is not None:
        offer = replace(offer, attributes=(*offer.attributes, Attribute("group", group)))
    answer, _ = OfferAnswer(1).accept_offer(offer, webrtc_end())
    assert answer.get_all("group") == (("BUNDLE x",) if bundled else ())
