"""Addresses that somebody has changed on the way: `a=ice-mismatch` (RFC 8839 section 4.2.5)."""

import pytest

from sansio_sip.effects import Address
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.negotiation import LocalMedia, NegotiationError
from sansio_sip.sdp.offer_answer import OfferAnswer
from sansio_sip.sdp.parser import parse_description

HERE = Address("192.0.2.1", 40_000)
HOST = "a=candidate:1 1 UDP 2130706431 198.51.100.7 4000 typ host"
MAPPED = "a=candidate:2 1 UDP 1694498815 203.0.113.7 5000 typ srflx raddr 198.51.100.7 rport 4000"
RTCP = "a=candidate:1 2 UDP 2130706430 198.51.100.9 4001 typ host"
V6 = "a=candidate:3 1 UDP 2130706431 2001:DB8::7 4000 typ host"
CREDENTIALS = ("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv")
PRINT = Fingerprint("sha-256", ":".join(["AB"] * 32))


def offer(connection: str, port: int, *rows: str, protocol: str = "RTP/AVP") -> SessionDescription:
    lines = ["v=0", "o=- 1 1 IN IP4 198.51.100.7", "s=-", f"c=IN {connection}", "t=0 0", f"m=audio {port} {protocol} 0"]
    return parse_description("".join(f"{line}\r\n" for line in (*lines, *CREDENTIALS, *rows)).encode())


def answered(description: SessionDescription) -> SessionDescription:
    answer, _ = OfferAnswer(1).accept_offer(description, LocalMedia("rtp", HERE, codecs=("pcmu",)))
    return answer


@pytest.mark.parametrize(
    ("connection", "port", "rows", "mismatch"),
    [
        ("IP4 198.51.100.7", 4000, (HOST,), False),
        ("IP4 203.0.113.7", 5000, (HOST, MAPPED), False),
        ("IP6 2001:db8::7", 4000, (HOST, V6), False),
        ("IP4 198.51.100.7", 4000, (), False),  # no candidates: no ICE, nothing to compare
        ("IP4 198.51.100.7", 4000, (RTCP,), False),  # none of the component in question
        ("IP4 0.0.0.0", 9, (HOST,), False),  # more candidates are to follow
        ("IP4 0.0.0.0", 4000, (HOST,), False),
        ("IP4 198.51.100.99", 9, (HOST,), False),
        ("IP4 phone.example.com", 4000, (HOST,), False),
        ("IP4 203.0.113.99", 4000, (HOST,), True),  # a gateway has put itself between
        ("IP4 198.51.100.7", 4002, (HOST,), True),
        ("IP4 203.0.113.7", 5000, (HOST,), True),
        ("IP4 198.51.100.9", 4001, (HOST, RTCP), True),
        ("IP4 198.51.100.8", 4000, (HOST, "a=candidate:short 1"), True),
    ],
)
def test_med_05_a_default_address_that_is_no_candidate_is_answered_with_ice_mismatch(
    connection: str, port: int, rows: tuple[str, ...], mismatch: bool
) -> None:
    (section,) = answered(offer(connection, port, *rows)).media
    assert section.has("ice-mismatch") is mismatch
    # Either way the answer is one without ICE: media takes the addresses of c= and m=.
    assert section.port == HERE.port
    assert not any(section.has(name) for name in ("ice-ufrag", "ice-pwd", "candidate"))


def webrtc(port: int, *rows: str) -> SessionDescription:
    return offer(
        "IP4 203.0.113.99", port, "a=rtcp-mux", f"a=fingerprint:{PRINT}", "a=setup:actpass", *rows,
        protocol="UDP/TLS/RTP/SAVPF",
    )  # fmt: skip


def ours() -> LocalMedia:
    return LocalMedia(
        "webrtc", HERE, codecs=("pcmu",), ice_ufrag="wxyz", ice_pwd="p" * 22, fingerprint=PRINT,
        candidates=("1 1 udp 2130706431 192.0.2.1 40000 typ host",),
    )  # fmt: skip


def test_med_05_webrtc_goes_by_candidates_alone() -> None:
    answer, negotiated = OfferAnswer(1).accept_offer(webrtc(4000, HOST), ours())
    assert not answer.media[0].has("ice-mismatch")
    assert answer.media[0].has("candidate")
    assert negotiated.ice is not None


def test_med_05_an_answer_that_says_mismatch_ends_what_cannot_do_without_ice() -> None:
    turns = OfferAnswer(1)
    turns.create_offer(ours())
    with pytest.raises(NegotiationError, match="ICE mismatch"):
        turns.accept_answer(webrtc(4000, "a=ice-mismatch"))
    # Without ICE it says nothing that concerns us.
    turns = OfferAnswer(1)
    turns.create_offer(LocalMedia("rtp", HERE, codecs=("pcmu",)))
    negotiated = turns.accept_answer(offer("IP4 198.51.100.7", 4000, "a=ice-mismatch"))
    assert negotiated.remote_address == Address("198.51.100.7", 4000)
