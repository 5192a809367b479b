"""Keys in the description: the lines of RFC 4568, and how offer and answer settle on one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sdp.negotiation import LocalMedia, NegotiationError, profile_of
from sansio_sip.sdp.offer_answer import OfferAnswer
from sansio_sip.sdp.parser import parse_description
from sansio_sip.sdp.security_descriptions import CryptoAttribute, choose_crypto, usable_crypto
from sansio_sip.trace_codec import redact

CM, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"
KEY_30 = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"  # RFC 4568 section 9.1
KEY_28 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw=="
OTHER = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"  # section 10.1's second example


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"1 {CM} inline:{KEY_30}|2^20|1:32", None, id="6.1-mki"),
        pytest.param(f"1 {CM} inline:{KEY_30}|2^20", (1, CM, KEY_30), id="6.1-lifetime"),
        pytest.param(f"1 {CM} inline:{KEY_30}|1048576", (1, CM, KEY_30), id="6.1-lifetime-decimal"),
        pytest.param(f"999999999 {CM} inline:{KEY_30} WSH=128", (999_999_999, CM, KEY_30), id="6.3.7-window"),
        pytest.param(f"2 {GCM} INLINE:{KEY_28}", (2, GCM, KEY_28), id="7714-14.1"),
        pytest.param(f"1 {CM} inline:{KEY_30};inline:{OTHER}", None, id="two-keys"),
        pytest.param(f"1 {CM} inline:{KEY_30} UNENCRYPTED_SRTP", None, id="6.3.2"),
        pytest.param(f"1 {CM} inline:{KEY_30} KDR=1", None, id="6.3.1"),
        pytest.param(f"1 {CM} inline:{KEY_28}", None, id="short-key"),
        pytest.param(f"1 {CM} inline:{KEY_30[:-1]}", None, id="no-base64"),
        pytest.param(f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY_30}", None, id="6.2.2-not-ours"),
        pytest.param(f"1 F8_128_HMAC_SHA1_80 inline:{KEY_30}", None, id="6.2.3-not-ours"),
        pytest.param(f"x {CM} inline:{KEY_30}", None, id="tag"),
        pytest.param(f"1 {CM} https://example.com/key", None, id="method"),
        pytest.param("", None, id="empty"),
    ],
)
def test_lines(text: str, expected: tuple[int, str, str] | None) -> None:
    if expected is None:
        with pytest.raises(ParseError):
            CryptoAttribute.parse(text)
        assert usable_crypto([text]) == ()
    else:
        tag, suite, key = expected
        line = CryptoAttribute.parse(text)
        assert line == CryptoAttribute(tag, suite, Secret(key))
        assert str(line) == f"{tag} {suite} inline:{key}"
        assert CryptoAttribute.parse(str(line)) == line


@given(st.text(max_size=120) | st.builds(lambda key: f"1 {CM} inline:{key}", st.text("AQ+/=|:^ ;", max_size=60)))
def test_any_text_is_read_or_refused(text: str) -> None:
    for line in usable_crypto([text]):
        assert len(line.octets()) in (28, 30)


def line(tag: int, suite: str, key: str) -> CryptoAttribute:
    return CryptoAttribute(tag, suite, Secret(key))


def end(*crypto: CryptoAttribute, host: str = "192.0.2.1") -> LocalMedia:
    return LocalMedia("srtp", Address(host, 4000), codecs=("pcmu",), cname="c", ssrc=1, crypto=crypto)


OURS = (line(1, CM, KEY_30), line(2, GCM, KEY_28))


def test_the_most_preferred_common_line_is_chosen() -> None:
    theirs = (line(7, GCM, KEY_28), line(8, CM, OTHER))
    assert choose_crypto(theirs, OURS) == (theirs[0], replace(OURS[1], tag=7))
    assert choose_crypto(theirs[1:], OURS) == (theirs[1], replace(OURS[0], tag=8))
    assert choose_crypto(theirs[:1], OURS[:1]) is None


def test_offer_and_answer_agree_on_two_keys_of_one_suite() -> None:
    one, other = OfferAnswer(1), OfferAnswer(2)
    offer = parse_description(bytes(one.create_offer(end(*OURS))))
    assert offer.media[0].protocol == "RTP/SAVP"
    assert offer.media[0].get_all("crypto") == (f"1 {CM} inline:{KEY_30}", f"2 {GCM} inline:{KEY_28}")
    assert profile_of(offer, ("srtp",)) == "srtp"
    answer, theirs = other.accept_offer(offer, end(line(1, CM, OTHER), host="192.0.2.2"))
    assert answer.media[0].get_all("crypto") == (f"1 {CM} inline:{OTHER}",)
    ours = one.accept_answer(parse_description(bytes(answer)))
    assert (ours.local_crypto, ours.remote_crypto) == (line(1, CM, KEY_30), line(1, CM, OTHER))
    assert (theirs.local_crypto, theirs.remote_crypto) == (line(1, CM, OTHER), line(1, CM, KEY_30))
    assert ours.remote_address == Address("192.0.2.2", 4000)


@pytest.mark.parametrize(
    "crypto",
    [
        pytest.param((), id="none"),
        pytest.param((f"3 {CM} inline:{OTHER}",), id="tag"),
        pytest.param((f"2 {CM} inline:{OTHER}",), id="suite-of-another-tag"),
        pytest.param((f"1 {CM} inline:{OTHER}", f"2 {GCM} inline:{KEY_28}"), id="two"),
    ],
)
def test_an_answer_with_another_line_is_refused(crypto: tuple[str, ...]) -> None:
    """RFC 4568 section 5.1.3."""
    one = OfferAnswer(1)
    one.create_offer(end(*OURS))
    head = ("v=0", "o=- 1 1 IN IP4 192.0.2.2", "s=-", "c=IN IP4 192.0.2.2", "t=0 0", "m=audio 4000 RTP/SAVP 0")
    rows = (*head, *(f"a=crypto:{text}" for text in crypto), "")
    answer = parse_description("\r\n".join(rows).encode())
    with pytest.raises(NegotiationError):
        one.accept_answer(answer)


def test_an_offer_without_a_common_suite_is_refused() -> None:
    offer = OfferAnswer(1).create_offer(end(OURS[1]))
    with pytest.raises(NegotiationError, match="suite"):
        OfferAnswer(2).accept_offer(offer, end(OURS[0]))


def test_without_keys_there_is_no_description() -> None:
    with pytest.raises(LocalProtocolError, match="keys"):
        OfferAnswer(1).create_offer(end())


def test_plain_rtp_with_crypto_lines_is_not_taken_for_srtp() -> None:
    """No downgrade by a lie, and no upgrade either: the protocol of the m= line decides."""
    offer = OfferAnswer(1).create_offer(end(*OURS))
    plain = replace(offer, media=(replace(offer.media[0], protocol="RTP/AVP"),))
    assert profile_of(plain, ("rtp", "srtp")) == "rtp"


def test_keys_are_in_no_repr_and_in_no_trace() -> None:
    one = OfferAnswer(1)
    offer = one.create_offer(end(*OURS))
    assert KEY_30 not in repr(offer) + repr(OURS) + repr(one.__dict__)
    shown = redact(b"INVITE sip:b@example.com SIP/2.0\r\n\r\n" + bytes(offer))
    for key in (KEY_30, KEY_28):
        assert key.encode() not in shown
    assert len(shown) == len(b"INVITE sip:b@example.com SIP/2.0\r\n\r\n" + bytes(offer))
    again = parse_description(shown.partition(b"\r\n\r\n")[2])
    assert len(usable_crypto(again.media[0].get_all("crypto"))) == 2, "what is left can still be negotiated"
