"""Keys in SIP INFO, as gateways write them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.dtmf.info import DTMF, DTMF_RELAY, InfoDigit, dtmf_body, parse_info, relay_body
from sansio_sip.dtmf.rfc4733 import DIGITS
from sansio_sip.errors import LocalProtocolError, ParseError


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (DTMF_RELAY, b"Signal=5\r\nDuration=160\r\n", InfoDigit("5", 160)),
        (DTMF_RELAY, b"Signal= 5\nDuration= 250\n", InfoDigit("5", 250)),
        (DTMF_RELAY, b"duration=80\r\nsignal=#", InfoDigit("#", 80)),
        (DTMF_RELAY, b"Signal=*\r\n", InfoDigit("*", 100)),
        (DTMF_RELAY, b"Signal=10\r\nDuration=100\r\n", InfoDigit("*", 100)),
        (DTMF_RELAY, b"Signal=11\r\nDuration=100\r\n", InfoDigit("#", 100)),
        (DTMF_RELAY, b"Signal=a\r\nDuration=100\r\n", InfoDigit("A", 100)),
        (DTMF_RELAY, b"Signal=1\r\nSignal=2\r\nDuration=999999999\r\n", InfoDigit("1", 60_000)),
        ("Application/DTMF-Relay; charset=utf-8", b"Signal=1\r\nDuration=100", InfoDigit("1", 100)),
        (DTMF, b"7", InfoDigit("7", 100)),
        (DTMF, b" #\r\n", InfoDigit("#", 100)),
        (DTMF, b"11", InfoDigit("#", 100)),
    ],
)
def test_bodies_seen(content_type: str, body: bytes, expected: InfoDigit) -> None:
    assert parse_info(content_type, body) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "status", "reason"),
    [
        ("application/sdp", b"v=0", 415, "not known"),
        ("", b"5", 415, "not known"),
        (DTMF_RELAY, b"", 400, "without Signal="),
        (DTMF_RELAY, b"Duration=100", 400, "without Signal="),
        (DTMF_RELAY, b"Signal=\r\nDuration=100", 400, "not a key"),
        (DTMF_RELAY, b"Signal=16\r\nDuration=100", 400, "not a key"),
        (DTMF_RELAY, b"Signal=55\r\nDuration=100", 400, "not a key"),
        (DTMF_RELAY, b"Signal=5\r\nDuration=long", 400, "not a number"),
        (DTMF_RELAY, b"Signal=5\r\nDuration=-1", 400, "not a number"),
        (DTMF_RELAY, b"Signal=5\r\nDuration=1" + b"0" * 40, 400, "not a number"),
        (DTMF, b"", 400, "not a key"),
        (DTMF, b"\xff", 400, "not a key"),
        (DTMF, b"5" * 1000, 400, "limit"),
    ],
)
def test_bodies_refused(content_type: str, body: bytes, status: int, reason: str) -> None:
    with pytest.raises(ParseError, match=reason) as caught:
        parse_info(content_type, body)
    assert caught.value.status == status


@given(digit=st.sampled_from(DIGITS), duration_ms=st.integers(0, 60_000))
def test_what_is_written_is_read_back(digit: str, duration_ms: int) -> None:
    assert parse_info(DTMF_RELAY, relay_body(digit, duration_ms)) == InfoDigit(digit, duration_ms)
    assert parse_info(DTMF, dtmf_body(digit)).digit == digit


@pytest.mark.parametrize("digit", ["", "12", ",", "x"])
def test_what_is_not_one_key_is_not_written(digit: str) -> None:
    with pytest.raises(LocalProtocolError):
        relay_body(digit)
    with pytest.raises(LocalProtocolError):
        dtmf_body(digit)


@settings(max_examples=200)
@given(
    st.sampled_from([DTMF, DTMF_RELAY, "x"]), st.binary(max_size=40) | st.binary(max_size=20).map(b"Signal=".__add__)
)
def test_any_octets_are_a_key_or_refused(content_type: str, body: bytes) -> None:
    try:
        parsed = parse_info(content_type, body)
    except ParseError:
        return
    assert parsed.digit in DIGITS
    assert 0 <= parsed.duration_ms <= 60_000
