"""RTCP packets (RFC 3550 section 6): sender and receiver reports, source descriptions, goodbyes, and compounds of them.

Extended reports (RFC 3611) hold the blocks of `extended`. Feedback (RFC 4585) and application packets are kept as
`OtherPacket`, undecoded.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, unpack_from
from typing import TypeAlias

from sansio_sip.errors import ParseError

from .extended import XrBlock, parse_blocks

__all__ = [
    "Bye",
    "ExtendedReport",
    "OtherPacket",
    "PacketType",
    "ReceiverReport",
    "ReportBlock",
    "RtcpPacket",
    "SdesChunk",
    "SdesItem",
    "SenderReport",
    "SourceDescription",
    "parse_compound",
    "serialize_compound",
]


class PacketType(IntEnum):
    """RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2."""

    SENDER_REPORT = 200
    RECEIVER_REPORT = 201
    SOURCE_DESCRIPTION = 202
    BYE = 203
    TRANSPORT_FEEDBACK = 205
    PAYLOAD_FEEDBACK = 206
    EXTENDED_REPORT = 207


# The SDES item that names an endpoint (section 6.5.1).
CNAME = 1

# The header counts blocks, chunks and sources in 5 bits; an SDES item and a reason have one octet for their length.
MAX_COUNT = 31
MAX_TEXT = 255

# Octets: the SSRCs of whom it comes from and whom it is about (RFC 4585 section 6.1).
FEEDBACK_HEADER = 8

_HEADER = Struct("!BBH")
_BLOCK = Struct("!IB3sIIII")
_SENDER_INFO = Struct("!IQIII")
_WORD = Struct("!I")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells of one source (section 6.4.1).

    Attributes:
        ssrc: the source.
        fraction_lost: since the report before, in 1/256.
        cumulative_lost: 24 bits, signed.
        extended_highest_sequence: with the count of cycles above bit 16.
        jitter: in RTP clock units.
        last_sender_report: middle 32 bits of its NTP time; 0: none came yet.
        delay_since_last: in 1/65536 s.
    """

    ssrc: int
    fraction_lost: int = 0
    cumulative_lost: int = 0
    extended_highest_sequence: int = 0
    jitter: int = 0
    last_sender_report: int = 0
    delay_since_last: int = 0

    @classmethod
    def parse(cls, data: bytes, offset: int) -> "ReportBlock":
        ssrc, fraction, lost, highest, jitter, last, delay = _BLOCK.unpack_from(data, offset)
        return cls(ssrc, fraction, int.from_bytes(lost, "big", signed=True), highest, jitter, last, delay)

    def __bytes__(self) -> bytes:
        lost = self.cumulative_lost.to_bytes(3, "big", signed=True)
        return _BLOCK.pack(
            self.ssrc,
            self.fraction_lost,
            lost,
            self.extended_highest_sequence,
            self.jitter,
            self.last_sender_report,
            self.delay_since_last,
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR (section 6.4.1). `ntp_time` is the 64-bit NTP timestamp, `rtp_time` the same instant on the RTP clock."""

    ssrc: int
    ntp_time: int
    rtp_time: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""

    def __bytes__(self) -> bytes:
        info = _SENDER_INFO.pack(self.ssrc, self.ntp_time, self.rtp_time, self.packets, self.octets)
        return _packet(
            PacketType.SENDER_REPORT, len(self.reports), info + b"".join(map(bytes, self.reports)) + self.extension
        )


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR (section 6.4.2): of one who has sent nothing lately."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""

    def __bytes__(self) -> bytes:
        body = _WORD.pack(self.ssrc) + b"".join(map(bytes, self.reports)) + self.extension
        return _packet(PacketType.RECEIVER_REPORT, len(self.reports), body)


@dataclass(frozen=True, slots=True)
class SdesItem:
    """One item of a source description (section 6.5): its type (1 is CNAME) and its text, UTF-8, undecoded."""

    kind: int
    value: bytes


@dataclass(frozen=True, slots=True)
class SdesChunk:
    """What is said of one source."""

    ssrc: int
    items: tuple[SdesItem, ...] = ()

    def __bytes__(self) -> bytes:
        parts = [_WORD.pack(self.ssrc)]
        for item in self.items:
            if len(item.value) > MAX_TEXT or not 1 <= item.kind <= 0xFF:
                raise ValueError("an SDES item has a type of 1 to 255 and at most 255 octets of text")
            parts.append(bytes((item.kind, len(item.value))) + item.value)
        chunk = b"".join(parts)
        # "each chunk starts on a 32-bit boundary [...] terminated by one or more null octets" (section 6.5)
        return chunk + bytes(4 - len(chunk) % 4)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES (section 6.5)."""

    chunks: tuple[SdesChunk, ...] = ()

    @classmethod
    def of_cname(cls, ssrc: int, cname: str) -> "SourceDescription":
        """The one item that every compound must hold."""
        return cls((SdesChunk(ssrc, (SdesItem(CNAME, cname.encode()),)),))

    def cname(self, ssrc: int) -> str | None:
        """The canonical name of a source, or None."""
        for chunk in self.chunks:
            if chunk.ssrc == ssrc:
                for item in chunk.items:
                    if item.kind == CNAME:
                        return item.value.decode(errors="replace")
        return None

    def __bytes__(self) -> bytes:
        return _packet(PacketType.SOURCE_DESCRIPTION, len(self.chunks), b"".join(map(bytes, self.chunks)))


@dataclass(frozen=True, slots=True)
class Bye:
    """BYE (section 6.6): these sources are leaving. `reason` is UTF-8, undecoded."""

    sources: tuple[int, ...]
    reason: bytes = b""

    def __bytes__(self) -> bytes:
        body = b"".join(map(_WORD.pack, self.sources))
        if self.reason:
            if len(self.reason) > MAX_TEXT:
                raise ValueError("the reason of a BYE has at most 255 octets")
            text = bytes((len(self.reason),)) + self.reason
            body += text + bytes(-len(text) % 4)
        return _packet(PacketType.BYE, len(self.sources), body)


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """XR (RFC 3611 section 2)."""

    ssrc: int
    blocks: tuple[XrBlock, ...] = ()

    def __bytes__(self) -> bytes:
        body = _WORD.pack(self.ssrc) + b"".join(map(bytes, self.blocks))
        return _packet(PacketType.EXTENDED_REPORT, 0, body)


@dataclass(frozen=True, slots=True)
class OtherPacket:
    """Any other type of packet: `count` is the 5-bit field of the header (a format or a subtype)."""

    kind: int
    count: int
    body: bytes

    def __bytes__(self) -> bytes:
        return _packet(self.kind, self.count, self.body)


RtcpPacket: TypeAlias = SenderReport | ReceiverReport | SourceDescription | Bye | ExtendedReport | OtherPacket


def _packet(kind: int, count: int, body: bytes) -> bytes:
    if count > MAX_COUNT or len(body) % 4:
        raise ValueError("an RTCP packet has at most 31 blocks, and a body of whole 32-bit words")
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def serialize_compound(packets: Iterable[RtcpPacket]) -> bytes:
    """One datagram. Raises ValueError where a field does not fit its bits."""
    return b"".join(map(bytes, packets))


def parse_compound(data: bytes) -> tuple[RtcpPacket, ...]:
    """Reads one datagram. Raises ParseError.

    Section 6.1 wants a report in front; what begins with another packet is taken as well, because a peer may send
    feedback alone (RFC 5506).
    """
    if not data:
        raise ParseError("RTCP datagram is empty")
    packets: list[RtcpPacket] = []
    offset = 0
    while offset < len(data):
        if offset + 4 > len(data):
            raise ParseError("RTCP packet shorter than its header", offset=offset)
        first, kind, words = _HEADER.unpack_from(data, offset)
        if first >> 6 != 2:
            raise ParseError(f"RTCP version {first >> 6} is not 2", offset=offset)
        start, end = offset + 4, offset + 4 + 4 * words
        if end > len(data):
            raise ParseError("RTCP packet is longer than its datagram", offset=offset + 2)
        body = data[start:end]
        if first & 0x20:
            # "padding is only required on one individual packet [...] the last" (section 6.4.1)
            if end != len(data):
                raise ParseError("RTCP padding before the end of its compound", offset=offset)
            if not body or not 4 <= body[-1] <= len(body) or body[-1] % 4:
                raise ParseError("RTCP padding does not fit its packet", offset=end - 1)
            body = body[: -body[-1]]
        packets.append(_parse_body(kind, first & 0x1F, body, start))
        offset = end
    return tuple(packets)


def _parse_body(kind: int, count: int, body: bytes, offset: int) -> RtcpPacket:
    match kind:
        case PacketType.SENDER_REPORT:
            fixed = _SENDER_INFO.size
            reports, extension = _parse_reports(body, fixed, count, offset)
            ssrc, ntp_time, rtp_time, packets, octets = _SENDER_INFO.unpack_from(body)
            return SenderReport(ssrc, ntp_time, rtp_time, packets, octets, reports, extension)
        case PacketType.RECEIVER_REPORT:
            reports, extension = _parse_reports(body, _WORD.size, count, offset)
            return ReceiverReport(_WORD.unpack_from(body)[0], reports, extension)
        case PacketType.SOURCE_DESCRIPTION:
            return _parse_description(body, count, offset)
        case PacketType.BYE:
            return _parse_bye(body, count, offset)
        case PacketType.EXTENDED_REPORT:
            if len(body) < _WORD.size:
                raise ParseError("RTCP XR ends before its source", offset=offset + len(body))
            return ExtendedReport(_WORD.unpack_from(body)[0], parse_blocks(body[_WORD.size :], offset + _WORD.size))
        case PacketType.TRANSPORT_FEEDBACK | PacketType.PAYLOAD_FEEDBACK if len(body) < FEEDBACK_HEADER:
            raise ParseError("RTCP feedback ends before its two sources", offset=offset + len(body))
        case _:
            return OtherPacket(kind, count, body)


def _parse_reports(body: bytes, fixed: int, count: int, offset: int) -> tuple[tuple[ReportBlock, ...], bytes]:
    end = fixed + count * _BLOCK.size
    if len(body) < end:
        raise ParseError(f"RTCP report ends before its {count} blocks do", offset=offset + len(body))
    reports = tuple(ReportBlock.parse(body, start) for start in range(fixed, end, _BLOCK.size))
    return reports, body[end:]


def _parse_description(body: bytes, count: int, offset: int) -> SourceDescription:
    chunks = []
    position = 0
    for _ in range(count):
        if position + 4 > len(body):
            raise ParseError("SDES ends before its last chunk", offset=offset + position)
        (ssrc,) = _WORD.unpack_from(body, position)
        position += 4
        items = []
        while True:
            if position >= len(body):
                raise ParseError("SDES chunk has no end", offset=offset + position)
            kind = body[position]
            if kind == 0:
                # The null that ends the list, and those that fill the word.
                filled = position + 4 - position % 4
                if any(body[position:filled]):
                    raise ParseError("SDES chunk is filled with other than nulls", offset=offset + position)
                position = filled
                break
            if position + 2 > len(body) or position + 2 + body[position + 1] > len(body):
                raise ParseError("SDES item is longer than its packet", offset=offset + position)
            start = position + 2
            position = start + body[position + 1]
            items.append(SdesItem(kind, body[start:position]))
        chunks.append(SdesChunk(ssrc, tuple(items)))
    # aiortc ends each chunk with two nulls, whether or not the first one fills the word: a word of nulls too many.
    if any(body[position:]):
        raise ParseError("SDES goes on after its last chunk", offset=offset + position)
    return SourceDescription(tuple(chunks))


def _parse_bye(body: bytes, count: int, offset: int) -> Bye:
    if len(body) < 4 * count:
        raise ParseError("BYE ends before its last source", offset=offset + len(body))
    sources = unpack_from(f"!{count}I", body)
    rest = body[4 * count :]
    if not rest:
        return Bye(sources)
    if 1 + rest[0] > len(rest):
        raise ParseError("reason of BYE is longer than its packet", offset=offset + 4 * count)
    return Bye(sources, rest[1 : 1 + rest[0]])
