"""Faults that other SIP stacks had, each given to ours (see SECURITY.md)."""

import contextlib

import pytest

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.sdp.offer_answer import LocalMedia, NegotiationError, OfferAnswer
from sansio_sip.sdp.parser import parse_description
from sansio_sip.sip.headers import Challenge
from sansio_sip.sip.parser import StreamParser, parse_message
from sansio_sip.sip.uri import OtherUri

REQUEST = (
    "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    "From: <sip:b@example.com>;tag=1\r\n"
    "To: <sip:a@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
)


def octets(more: str = "", *, length: str = "0") -> bytes:
    return f"{REQUEST}{more}Content-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize("name", ["To\x01", "\x0bTo", "To\x00", "To ;x", "T o"])
def test_junk_before_the_colon_is_no_header(name: str) -> None:
    with pytest.raises(ParseError):
        parse_message(octets(f"{name}: <sip:evil@example.com>\r\n"))


@pytest.mark.parametrize("row", ["To: <sip:x@example.com>;tag=", "t: <sip:x@example.com>", "From: <sip:x@y>;tag=2"])
def test_a_second_mandatory_header_is_refused(row: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_message(octets(f"{row}\r\n"))
    assert caught.value.status == 400


@pytest.mark.parametrize("length", ["-1", "+1", "0x10", "4294967296", "99999999999999999999", "1 1", "1e3", "٣"])
def test_a_content_length_that_is_none_frames_nothing(length: str) -> None:
    data = octets(length=length)
    with pytest.raises(ParseError):
        parse_message(data)
    stream = StreamParser()
    stream.receive(data + octets())
    assert isinstance(next(iter(stream.messages())), ParseError)


def test_a_missing_to_is_refused() -> None:
    with pytest.raises(ParseError):
        parse_message(octets().replace(b"To: <sip:a@example.com>\r\n", b""))


def test_a_foreign_scheme_is_a_typed_value() -> None:
    message = parse_message(octets().replace(b"<sip:b@example.com>", b"<x-thing:b>"))
    assert message.from_.uri == OtherUri("x-thing", "b")


@pytest.mark.parametrize(
    "value", ["Digest", "Digest realm", 'Digest realm="a', "Digest =a", "Digest realm=a,,=", "\xff"]
)
def test_malformed_parameters_of_authorization(value: str) -> None:
    with contextlib.suppress(ParseError):
        assert Challenge.parse(value).scheme == "Digest"


@pytest.mark.parametrize("ptime", ["0", "-20", "99999999999", "1e9", "nan", ""])
def test_a_packet_time_of_any_size_is_kept_in_bounds(ptime: str) -> None:
    offer = parse_description(
        f"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
        f"a=ptime:{ptime}\r\na=maxptime:{ptime}\r\n".encode()
    )
    try:
        _, negotiated = OfferAnswer(1).accept_offer(offer, LocalMedia("rtp", Address("192.0.2.1", 4000), ("pcmu",)))
    except NegotiationError:
        return
    assert 10 <= negotiated.ptime <= 200
