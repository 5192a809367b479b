"""Invariant: any octets are a packet or a ParseError, and a packet that was read is written and read as the same."""

from contextlib import suppress

from sansio_sip.errors import ParseError
from sansio_sip_media.rtcp.packets import parse_compound, serialize_compound
from sansio_sip_media.rtp.packet import RtpPacket


def one(data: bytes) -> None:
    with suppress(ParseError):  # the only exception allowed
        packet = RtpPacket.parse(data)
        assert RtpPacket.parse(bytes(packet)) == packet
    with suppress(ParseError):
        packets = parse_compound(data)
        assert parse_compound(serialize_compound(packets)) == packets
