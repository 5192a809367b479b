"""Attributes as values: what is read, what is written, and how the finders pass over what cannot be read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.errors import ParseError
from sansio_sip.sdp.attributes import (
    Direction,
    Fingerprint,
    Fmtp,
    Group,
    Rtcp,
    RtpMap,
    direction_of,
    fingerprints_of,
    format_parameters,
    is_ip_address,
    packet_time,
    rtp_maps,
)
from sansio_sip.sdp.model import Attribute, MediaDescription, Origin, SessionDescription

SESSION = SessionDescription(Origin("-", 1, 1, "192.0.2.1"))


def section(*attributes: str, formats: str = "0") -> MediaDescription:
    rows = []
    for text in attributes:
        name, colon, value = text.partition(":")
        rows.append(Attribute(name, value if colon else None))
    return MediaDescription("audio", 9, "RTP/AVP", tuple(formats.split()), attributes=tuple(rows))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (RtpMap, "111 opus/48000/2", RtpMap(111, "opus", 48000, 2)),
        (RtpMap, "0 PCMU/8000/1", RtpMap(0, "PCMU", 8000)),
        (Fmtp, "111 minptime=10;useinbandfec=1", Fmtp(111, "minptime=10;useinbandfec=1")),
        (Fmtp, "120   a=1;  b=2", Fmtp(120, "a=1;  b=2")),
        (Fingerprint, "SHA-256 aa:0B", Fingerprint("sha-256", "AA:0B")),
        (Rtcp, "9", Rtcp(9)),
        (Rtcp, "9 IN IP6 ::1", Rtcp(9, "::1")),
        (Group, "BUNDLE audio video", Group("BUNDLE", ("audio", "video"))),
        (Group, "BUNDLE", Group("BUNDLE", ())),
    ],
)
def test_values_read(kind: type[RtpMap], text: str, expected: object) -> None:
    value = kind.parse(text)
    assert value == expected
    assert kind.parse(str(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((RtpMap, text) for text in ["", "111", "111 opus", "111 opus/", "111 /8000", "x opus/8000", "128 a/8000"]),
        *((RtpMap, text) for text in ["1 a/0", "1 a/8000/0", "1 a/8000/1/1", "1 a/-1", "1 a/99999999999", "٣ a/8000"]),
        *((Fmtp, text) for text in ["", "x a=1", "300 a=1"]),
        *((Fingerprint, text) for text in ["", "sha-256", "sha-256 A", "sha-256 AA:", "sha-256 GG", " AA"]),
        *((Rtcp, text) for text in ["", "x", "65536", "9 IN", "9 IN IP7 X", "9 ATM IP4 x"]),
        *((Group, text) for text in ["", " "]),
    ],
)
def test_values_refused(kind: type[RtpMap], text: str) -> None:
    with pytest.raises(ParseError) as caught:
        kind.parse(text)
    assert caught.value.status == 488


@settings(max_examples=100)
@given(
    st.integers(0, 127),
    st.text("ABCxyz019-.", min_size=1, max_size=8),
    st.integers(1, 10_000_000),
    st.integers(1, 255),
)
def test_rtpmap_is_read_back_as_written(payload_type: int, name: str, rate: int, channels: int) -> None:
    row = RtpMap(payload_type, name, rate, channels)
    assert RtpMap.parse(str(row)) == row


def test_finders_pass_over_what_they_cannot_read() -> None:
    media = section(
        "rtpmap:nonsense",
        "rtpmap:96 opus/48000/2",
        "rtpmap:96 other/8000",
        "fmtp:x",
        "fmtp:96 a=1",
        "fmtp:96 b=2",
        "fingerprint:bad",
        "fingerprint:sha-1 AA",
        formats="96 0 096 x 300 97 ٣ 96",
    )
    assert rtp_maps(media) == {96: RtpMap(96, "opus", 48000, 2), 0: RtpMap(0, "PCMU", 8000)}
    assert list(rtp_maps(media)) == [96, 0]
    assert format_parameters(media) == {96: "a=1;b=2"}
    assert fingerprints_of(SESSION, media) == (Fingerprint("sha-1", "AA"),)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ((), Direction.SENDRECV),
        (("recvonly",), Direction.RECVONLY),
        (("sendonly:x",), Direction.SENDRECV),
        (("inactive", "sendrecv"), Direction.INACTIVE),
    ],
)
def test_direction(attributes: tuple[str, ...], expected: Direction) -> None:
    assert direction_of(SESSION, section(*attributes)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20", 20), ("20.5", 20), (" 20", 20), ("", None), ("x", None), ("-1", None), ("9" * 6, None)],
)
def test_packet_time(text: str, expected: int | None) -> None:
    assert packet_time(section(f"ptime:{text}")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("192.0.2.1", True), ("::1", True), ("example.com", False), ("fe80::1%eth0", False), ("", False), ("1", False)],
)
def test_ip_address(text: str, expected: bool) -> None:
    assert is_ip_address(text) is expected
