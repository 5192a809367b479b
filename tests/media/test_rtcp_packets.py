"""RTCP on the wire: RFC 3550 section 6, the corpus of other stacks, and all octets there are."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shared import require_shared

from sansio_sip.errors import ParseError
from sansio_sip_media.rtcp.extended import (
    DelaySinceLast,
    DelaySinceLastBlock,
    OtherBlock,
    ReceiverReferenceTime,
    VoipMetrics,
)
from sansio_sip_media.rtcp.packets import (
    Bye,
    ExtendedReport,
    OtherPacket,
    PacketType,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesChunk,
    SdesItem,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)

CORPUS = "corpus/07-rtp-srtp"

uint32 = st.integers(0, 0xFFFFFFFF)
words = st.binary(max_size=16).map(lambda data: data[: len(data) - len(data) % 4])
blocks = st.builds(
    ReportBlock, uint32, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), uint32, uint32, uint32, uint32
)
block_lists = st.lists(blocks, max_size=4).map(tuple)
items = st.builds(SdesItem, st.integers(1, 255), st.binary(max_size=255))
chunks = st.builds(SdesChunk, uint32, st.lists(items, max_size=3).map(tuple))
octet, word, level = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(-128, 127)
metrics = st.builds(
    VoipMetrics, uint32, *[octet] * 4, *[word] * 4, level, level, *[octet] * 4, *[octet] * 3, *[word] * 3
)
extended_blocks = (
    st.builds(ReceiverReferenceTime, st.integers(0, 2**64 - 1))
    | st.builds(DelaySinceLastBlock, st.lists(st.builds(DelaySinceLast, uint32, uint32, uint32), max_size=3).map(tuple))
    | metrics
    | st.builds(OtherBlock, st.sampled_from([0, 1, 2, 3, 6, 8, 255]), octet, words)
)
compounds = st.lists(
    st.builds(SenderReport, uint32, st.integers(0, 2**64 - 1), uint32, uint32, uint32, block_lists, words)
    | st.builds(ReceiverReport, uint32, block_lists, words)
    | st.builds(SourceDescription, st.lists(chunks, max_size=3).map(tuple))
    | st.builds(Bye, st.lists(uint32, max_size=4).map(tuple), st.binary(max_size=255))
    | st.builds(ExtendedReport, uint32, st.lists(extended_blocks, max_size=4).map(tuple))
    | st.builds(OtherPacket, st.sampled_from([192, 204]), st.integers(0, 31), words),
    min_size=1,
    max_size=4,
).map(tuple)


@given(compounds)
def test_parsing_undoes_serializing(compound: tuple[RtcpPacket, ...]) -> None:
    assert parse_compound(serialize_compound(compound)) == compound


@given(
    st.binary(max_size=80)
    | st.builds(
        lambda count, kind, body: bytes((0x80 | count, kind, 0, len(body) // 4)) + body,
        st.integers(0, 63),
        st.integers(200, 207),
        st.binary(max_size=80).map(lambda data: data[: len(data) - len(data) % 4]),
    )
)
@example(b"\x81\xca\x00\x02" + bytes(4) + b"\x01\x08ab")
@example(b"\xa0\xc9\x00\x00")
def test_any_octets_give_packets_or_a_parse_error(data: bytes) -> None:
    try:
        packets = parse_compound(data)
    except ParseError:
        return
    assert parse_compound(serialize_compound(packets)) == packets


def test_cumulative_loss_is_signed_in_24_bits() -> None:
    octets = bytes(ReportBlock(1, cumulative_lost=-1))
    assert octets[5:8] == b"\xff\xff\xff"
    assert ReportBlock.parse(octets, 0).cumulative_lost == -1


def test_a_chunk_ends_with_a_null_on_a_word_even_when_it_fits() -> None:
    """ "terminated by one or more null octets" (section 6.5): eight octets of items need four more."""
    assert bytes(SdesChunk(1, (SdesItem(1, b"abcdef"),))) == b"\0\0\0\1" + b"\1\6abcdef" + bytes(4)
    assert bytes(SdesChunk(1, (SdesItem(1, b"abcde"),))) == b"\0\0\0\1" + b"\1\5abcde" + bytes(1)


def test_a_word_of_nulls_too_many_is_passed_over() -> None:
    """aiortc writes it; to refuse it would be to lose its reports."""
    data = b"\x81\xca\x00\x04" + b"\0\0\0\1" + b"\1\5alice" + bytes(5)
    assert parse_compound(data) == (SourceDescription.of_cname(1, "alice"),)


def test_a_cname_is_found() -> None:
    description = SourceDescription.of_cname(7, "böb@example")
    assert description.cname(7) == "böb@example"
    assert description.cname(8) is None
    assert SourceDescription((SdesChunk(7, (SdesItem(2, b"Bob"),)),)).cname(7) is None


def test_padding_of_the_last_packet_is_taken_off() -> None:
    data = bytes(ReceiverReport(1)) + b"\xa1\xcb\x00\x02" + b"\0\0\0\1" + b"\0\0\0\4"
    assert parse_compound(data) == (ReceiverReport(1), Bye((1,)))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("", "empty"),
        ("80c9", "shorter than its header"),
        ("40c90000", "version 1"),
        ("80c90001", "longer than its datagram"),
        ("80c90000", "ends before its 0 blocks"),
        ("81c9000100000001", "ends before its 1 blocks"),
        ("a0c900020000000100000004" + "80c9000100000001", "before the end of its compound"),
        ("a0c900020000000100000003", "padding does not fit"),
        ("a0c900020000000100000010", "padding does not fit"),
        ("a0c90000", "padding does not fit"),
        ("81ca0000", "before its last chunk"),
        ("81ca000100000001", "has no end"),
        ("81ca0002000000010108abcd", "longer than its packet"),
        ("81ca0002000000010000ab00", "other than nulls"),
        ("80ca000100000001", "after its last chunk"),
        ("81cb0000", "before its last source"),
        ("81cb0002000000010461626300"[:24], "longer than its packet"),
        ("81cd000100000001", "before its two sources"),
    ],
)
def test_malformed_compounds_are_refused_with_a_reason(octets: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parse_compound(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "packet",
    [
        Bye((1,), b"x" * 256),
        Bye((1,) * 32),
        SourceDescription((SdesChunk(1, (SdesItem(1, b"x" * 256),)),)),
        SourceDescription((SdesChunk(1, (SdesItem(0, b""),)),)),
        OtherPacket(204, 0, b"abc"),
    ],
)
def test_fields_that_do_not_fit_raise(packet: RtcpPacket) -> None:
    with pytest.raises(ValueError, match="at most"):
        bytes(packet)


# Rows of pion whose length field counts octets, or more words than there are: their unit test looks at the body alone.
# RFC 3550 appendix A.2: "The length fields of the individual RTCP packets must add up to the overall length".
LENGTH_WRONG = frozenset({
    "pion-rtcp/goodbye-valid.bin",
    "pion-rtcp/goodbye-short_reason.bin",
    "pion-rtcp/goodbye-empty_packet.bin",
    "pion-rtcp/source_description-two_items.bin",
    "pion-rtcp/source_description-two_chunks.bin",
    "pion-rtcp/header-valid.bin",
    "pion-rtcp/header-also_valid.bin",
})  # fmt: skip

# Feedback is kept undecoded, so what is wrong inside is not seen.
UNDECODED = frozenset({"pion-rtcp/transport_layer_nack-bad_length.bin"})


def test_the_corpus_of_other_stacks_is_judged_as_they_do() -> None:
    folder = require_shared(CORPUS)
    judged = 0
    for case in json.loads((folder / "cases.json").read_text()):
        name, verdict = case["file"], case["expect"]
        if not name.startswith(("aiortc/rtcp_", "pion-rtcp/")):
            continue
        data = (folder / name).read_bytes()
        if name in LENGTH_WRONG or (verdict.startswith("reject") and name not in UNDECODED):
            with pytest.raises(ParseError):
                parse_compound(data)
            judged += 1
        elif verdict.startswith("parse ok") or name in UNDECODED:
            assert serialize_compound(parse_compound(data)) == data, name
            judged += 1
    assert judged == 27


def test_seeds_of_other_fuzzers_give_packets_or_a_parse_error() -> None:
    folder = require_shared(CORPUS)
    seeds = [*folder.glob("libwebrtc-fuzz/*"), *folder.glob("pjsip-fuzz-seeds/*"), *folder.glob("pion-rtcp/fuzz-*")]
    assert len(seeds) > 60
    for seed in seeds:
        test_any_octets_give_packets_or_a_parse_error.hypothesis.inner_test(seed.read_bytes())  # type: ignore[attr-defined]


def test_a_sender_report_of_another_stack_reads_as_it_says() -> None:
    packets = parse_compound(require_shared(f"{CORPUS}/aiortc/rtcp_sr.bin").read_bytes())
    assert packets == (
        SenderReport(
            1831097322, 16016567581311369308, 1722342718, 269, 13557, (ReportBlock(2398654957, 0, 0, 246, 127, 0, 0),)
        ),
    )


def test_a_receiver_report_of_another_stack_reads_as_it_says() -> None:
    packets = parse_compound(require_shared(f"{CORPUS}/aiortc/rtcp_rr.bin").read_bytes())
    assert packets == (ReceiverReport(817267719, (ReportBlock(1200895919, 0, 0, 630, 1906, 0, 0),)),)


def test_a_description_of_another_stack_reads_as_it_says() -> None:
    (packet,) = parse_compound(require_shared(f"{CORPUS}/aiortc/rtcp_sdes.bin").read_bytes())
    assert isinstance(packet, SourceDescription)
    assert packet.cname(packet.chunks[0].ssrc) == "{63f459ea-41fe-4474-9d33-9707c9ee79d1}"


def test_feedback_is_kept_as_it_is() -> None:
    (packet,) = parse_compound(require_shared(f"{CORPUS}/aiortc/rtcp_rtpfb.bin").read_bytes())
    assert isinstance(packet, OtherPacket)
    assert (packet.kind, packet.count, len(packet.body)) == (PacketType.TRANSPORT_FEEDBACK, 1, 48)
