"""RTP packets: RFC 3550 section 5.1, the corpus of other stacks, and all octets there are."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shared import require_shared

from sansio_sip.errors import ParseError
from sansio_sip_media.demux import Kind, classify
from sansio_sip_media.rtp.packet import HeaderExtension, RtpPacket
from sansio_sip_media.rtp.sender import RtpSender
from sansio_sip_media.rtp.sequence import (
    TIMESTAMP_MODULUS,
    Unwrapper,
    add_sequence,
    add_timestamp,
    sequence_distance,
    timestamp_distance,
)

CORPUS = "corpus/07-rtp-srtp"

uint16 = st.integers(0, 0xFFFF)
uint32 = st.integers(0, 0xFFFFFFFF)
extensions = st.builds(
    HeaderExtension, uint16, st.binary(max_size=40).map(lambda data: data[: len(data) - len(data) % 4])
)
packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=uint16,
    timestamp=uint32,
    ssrc=uint32,
    payload=st.binary(max_size=60),
    marker=st.booleans(),
    csrcs=st.lists(uint32, max_size=15).map(tuple),
    extension=st.none() | extensions,
    padding=st.integers(0, 255),
)


@given(packets)
def test_parsing_undoes_serializing(packet: RtpPacket) -> None:
    assert RtpPacket.parse(bytes(packet)) == packet


@given(st.binary(max_size=100) | st.binary(min_size=11, max_size=100).map(lambda data: b"\xb0" + data))
@example(b"\xa0" + bytes(11))
@example(b"\x90" + bytes(11) + b"\xbe\xde\xff\xff")
def test_any_octets_give_a_packet_or_a_parse_error(data: bytes) -> None:
    try:
        packet = RtpPacket.parse(data)
    except ParseError:
        return
    again = bytes(packet)
    assert len(again) == len(data)
    assert RtpPacket.parse(again) == packet


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param("80", "shorter than its header", id="one octet"),
        pytest.param("40" + "00" * 11, "version 1", id="version 1"),
        pytest.param("81" + "00" * 11, "within its CSRC list", id="CSRC list cut"),
        pytest.param("90" + "00" * 11, "within its header extension", id="no extension header"),
        pytest.param("90" + "00" * 11 + "bede0001", "longer than its packet", id="extension cut"),
        pytest.param("a0" + "00" * 12, "padding of 0", id="padding of nothing"),
        pytest.param("a0" + "00" * 11 + "02", "padding of 2", id="padding longer than the rest"),
    ],
)
def test_malformed_packets_are_refused_with_a_reason(octets: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        RtpPacket.parse(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(128, 0, 0, 0, b""),
        RtpPacket(0, 0, 0, 0, b"", csrcs=(0,) * 16),
        RtpPacket(0, 0, 0, 0, b"", padding=256),
    ],
)
def test_fields_that_do_not_fit_their_bits_raise(packet: RtpPacket) -> None:
    with pytest.raises(ValueError, match="7-bit payload type"):
        bytes(packet)


def test_an_extension_of_broken_words_raises() -> None:
    with pytest.raises(ValueError, match="whole 32-bit words"):
        HeaderExtension(0xBEDE, b"abc")


def test_the_corpus_of_other_stacks_is_judged_as_they_do() -> None:
    folder = require_shared(CORPUS)
    judged = 0
    for case in json.loads((folder / "cases.json").read_text()):
        name, verdict = case["file"], case["expect"]
        if not name.startswith(("aiortc/rtp_", "aiortc/derived-rtp_", "pion-rtp/")):
            continue
        data = (folder / name).read_bytes()
        judged += 1
        if verdict.startswith("reject"):
            with pytest.raises(ParseError):
                RtpPacket.parse(data)
        else:
            assert verdict.startswith("parse ok"), name
            assert RtpPacket.parse(bytes(RtpPacket.parse(data))) == RtpPacket.parse(data)
    assert judged == 15


def test_a_telephone_event_of_another_stack_reads_as_it_says() -> None:
    data = require_shared(f"{CORPUS}/aiortc/rtp_dtmf.bin").read_bytes()
    packet = RtpPacket.parse(data)
    assert (packet.payload_type, packet.marker, packet.sequence, packet.timestamp) == (101, True, 24152, 4021352124)
    assert len(packet.payload) == 4
    assert bytes(packet) == data


def test_a_padded_packet_of_another_stack_has_no_payload() -> None:
    data = require_shared(f"{CORPUS}/aiortc/rtp_only_padding_with_header_extensions.bin").read_bytes()
    packet = RtpPacket.parse(data)
    assert (packet.payload_type, packet.sequence, packet.payload, packet.padding) == (98, 22138, b"", 224)
    assert packet.extension is not None
    assert packet.extension.profile == 0xBEDE


# Wrap-around


@given(uint16, st.integers(-32768, 32767))
def test_sequence_distance_undoes_add_sequence(start: int, steps: int) -> None:
    assert sequence_distance(add_sequence(start, steps), start) == steps


@given(uint32, st.integers(-(2**31), 2**31 - 1))
def test_timestamp_distance_undoes_add_timestamp(start: int, units: int) -> None:
    assert timestamp_distance(add_timestamp(start, units), start) == units


@given(uint32, st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=20))
def test_unwrapped_numbers_keep_every_step(start: int, steps: list[int]) -> None:
    unwrapper = Unwrapper(TIMESTAMP_MODULUS)
    place = unwrapper.unwrap(start)
    for step in steps:
        place += step
        assert unwrapper.unwrap(place % TIMESTAMP_MODULUS) == place


# The sender


def test_a_sender_counts_and_wraps() -> None:
    sender = RtpSender(7, 0xFFFF, 0xFFFFFF60)
    first = sender.packet(0, b"x" * 160, samples=160, marker=True)
    second = sender.packet(0, b"y" * 160, samples=160)
    assert first == RtpPacket(0, 0xFFFF, 0xFFFFFF60, 7, b"x" * 160, True)
    assert second == RtpPacket(0, 0, 0, 7, b"y" * 160)
    assert (sender.packets, sender.octets, sender.sequence, sender.timestamp) == (2, 320, 1, 160)


def test_a_held_timestamp_lets_the_clock_run_on() -> None:
    sender = RtpSender(7, 1, 1000)
    held = [sender.packet(101, b"tone", samples=160, timestamp=1000).timestamp for _ in range(3)]
    assert (held, sender.timestamp) == ([1000] * 3, 1480)
    sender.skip(160)
    assert sender.packet(0, b"", samples=160).timestamp == 1640


# Demultiplexing: RFC 7983 section 7, RFC 5761 section 4


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.UNKNOWN),
        (b"\x00\x01", Kind.STUN),
        (b"\x03", Kind.STUN),
        (b"\x04", Kind.UNKNOWN),
        (b"\x10", Kind.ZRTP),
        (b"\x13", Kind.ZRTP),
        (b"\x14", Kind.DTLS),
        (b"\x16\xfe\xfd", Kind.DTLS),
        (b"\x3f", Kind.DTLS),
        (b"\x40", Kind.TURN_CHANNEL),
        (b"\x4f", Kind.TURN_CHANNEL),
        (b"\x50", Kind.UNKNOWN),
        (b"\x7f", Kind.UNKNOWN),
        (b"\x80", Kind.UNKNOWN),
        (b"\x80\x00", Kind.RTP),
        (b"\x80\xbf", Kind.RTP),
        (b"\x80\xc0", Kind.RTCP),
        (b"\x80\xc8", Kind.RTCP),
        (b"\xbf\xdf", Kind.RTCP),
        (b"\x80\xe0", Kind.RTP),
        (b"\xc0\xc8", Kind.UNKNOWN),
    ],
)
def test_datagrams_are_told_apart(data: bytes, kind: Kind) -> None:
    assert classify(data) is kind


@given(packets)
def test_a_packet_of_rtp_is_known_as_such_unless_its_type_is_reserved(packet: RtpPacket) -> None:
    reserved = packet.marker and 64 <= packet.payload_type <= 95
    assert classify(bytes(packet)) is (Kind.RTCP if reserved else Kind.RTP)
