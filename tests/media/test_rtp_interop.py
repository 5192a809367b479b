"""Our packets as aiortc reads them, and aiortc's as we do."""

import pytest

from sansio_sip_media.rtcp.packets import (
    Bye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)
from sansio_sip_media.rtp.packet import HeaderExtension, RtpPacket

rtp = pytest.importorskip("aiortc.rtp", reason="aiortc is not installed; `make interop` installs it")

pytestmark = pytest.mark.interop


@pytest.mark.parametrize(
    "packet",
    [
        RtpPacket(111, 1, 2, 3, b"payload"),
        RtpPacket(0, 65535, 2**32 - 1, 2**32 - 1, b"", True, (1, 2, 3), None, 7),
    ],
)
def test_aiortc_reads_our_rtp_and_writes_it_alike(packet: RtpPacket) -> None:
    theirs = rtp.RtpPacket.parse(bytes(packet))
    assert (theirs.payload_type, theirs.sequence_number, theirs.timestamp, theirs.ssrc, theirs.payload) == (
        packet.payload_type,
        packet.sequence,
        packet.timestamp,
        packet.ssrc,
        packet.payload,
    )
    assert (bool(theirs.marker), tuple(theirs.csrc), theirs.padding_size) == (
        packet.marker,
        packet.csrcs,
        packet.padding,
    )
    again = RtpPacket.parse(theirs.serialize())
    assert (again.payload, again.csrcs, again.padding) == (packet.payload, packet.csrcs, packet.padding)


def test_we_read_aiortcs_header_extensions_undecoded() -> None:
    theirs = rtp.RtpPacket(payload_type=111, sequence_number=1, timestamp=2, ssrc=3, payload=b"payload")
    extensions = rtp.HeaderExtensionsMap()
    theirs.extensions.mid = "0"
    extensions._HeaderExtensionsMap__ids.mid = 1
    packet = RtpPacket.parse(theirs.serialize(extensions))
    assert packet.payload == b"payload"
    assert packet.extension == HeaderExtension(0xBEDE, b"\x100\0\0")


def test_aiortc_reads_our_rtcp_and_writes_it_alike() -> None:
    compound = (
        SenderReport(1, 2, 3, 4, 5, (ReportBlock(6, 7, 8, 9, 10, 11, 12),)),
        SourceDescription.of_cname(1, "alice"),
        Bye((1,)),
    )
    theirs = rtp.RtcpPacket.parse(serialize_compound(compound))
    sender_report, description, bye = theirs
    assert sender_report.ssrc == 1
    assert (sender_report.sender_info.packet_count, sender_report.sender_info.octet_count) == (4, 5)
    assert (sender_report.reports[0].packets_lost, sender_report.reports[0].jitter) == (8, 10)
    assert description.chunks[0].items == [(1, b"alice")]
    assert bye.sources == [1]
    assert parse_compound(b"".join(bytes(each) for each in theirs)) == compound


def test_aiortc_reads_a_negative_loss_as_we_do() -> None:
    (theirs,) = rtp.RtcpPacket.parse(bytes(ReceiverReport(1, (ReportBlock(2, cumulative_lost=-3),))))
    assert theirs.reports[0].packets_lost == -3
