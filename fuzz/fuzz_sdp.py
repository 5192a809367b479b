"""Octets are refused with ParseError, or read, written and read again the same, and answered whole or not at all."""

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.sdp.offer_answer import LocalMedia, NegotiationError, OfferAnswer, profile_of
from sansio_sip.sdp.parser import parse_description

HERE, SHA_256 = Address("192.0.2.1", 4000), Fingerprint("sha-256", ":".join(["00"] * 32))


def one(data: bytes) -> None:
    try:
        offer = parse_description(data)
        assert parse_description(bytes(offer)) == offer
        local = LocalMedia(profile_of(offer), HERE, ice_ufrag="ufrag", ice_pwd="p" * 22, fingerprint=SHA_256)
        answer, _ = OfferAnswer(1).accept_offer(offer, local)
    except (ParseError, NegotiationError):
        return
    assert parse_description(bytes(answer)) == answer
    assert len(answer.media) == len(offer.media)
