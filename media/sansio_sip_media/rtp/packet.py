"""The RTP packet (RFC 3550 section 5.1): a value that parses and serializes."""

from dataclasses import dataclass
from struct import Struct, unpack_from

from sansio_sip.errors import ParseError

__all__ = ["HEADER_LENGTH", "HeaderExtension", "RtpPacket"]

HEADER_LENGTH = 12
VERSION = 2

# The header counts CSRCs in 4 bits, and the words of an extension in 16.
MAX_CSRCS = 15
MAX_EXTENSION_LENGTH = 4 * 0xFFFF

_HEADER = Struct("!BBHII")
_EXTENSION = Struct("!HH")


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """A header extension (section 5.3.1): what `profile` says, and `data` of whole 32-bit words."""

    profile: int
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) % 4 or len(self.data) > MAX_EXTENSION_LENGTH:
            raise ValueError(f"a header extension of {len(self.data)} octets is not whole 32-bit words below 2**16")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet.

    `RtpPacket.parse(bytes(packet)) == packet`; the other way round holds but for the octets within the padding,
    which are written as zeros.

    Attributes:
        payload_type: 0 to 127.
        sequence: 16 bits.
        timestamp: 32 bits, in units of the payload's RTP clock.
        ssrc: synchronisation source, 32 bits.
        payload: without padding.
        marker: for audio, the first packet after a silence (RFC 3551 section 4.1).
        csrcs: contributing sources, at most 15.
        extension: as received, undecoded.
        padding: octets of padding, the count included; 0: none.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: HeaderExtension | None = None
    padding: int = 0

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Reads one datagram. Raises ParseError."""
        length = len(data)
        if length < HEADER_LENGTH:
            raise ParseError("RTP packet shorter than its header", offset=length)
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        if first >> 6 != VERSION:
            raise ParseError(f"RTP version {first >> 6} is not 2")
        if first == 0x80:
            # Nearly all packets: no padding, no extension, no CSRC.
            return cls(second & 0x7F, sequence, timestamp, ssrc, data[HEADER_LENGTH:], second > 0x7F)
        start = HEADER_LENGTH
        csrcs: tuple[int, ...] = ()
        if count := first & 0x0F:
            start += 4 * count
            if start > length:
                raise ParseError("RTP packet ends within its CSRC list", offset=length)
            csrcs = unpack_from(f"!{count}I", data, HEADER_LENGTH)
        extension = None
        if first & 0x10:
            if start + 4 > length:
                raise ParseError("RTP packet ends within its header extension", offset=length)
            profile, words = _EXTENSION.unpack_from(data, start)
            start += 4
            if start + 4 * words > length:
                raise ParseError("RTP header extension is longer than its packet", offset=start - 2)
            extension = HeaderExtension(profile, data[start : start + 4 * words])
            start += 4 * words
        padding = 0
        if first & 0x20:
            padding = data[-1] if start < length else 0
            # "The last octet of the padding contains a count of how many padding octets should be ignored, including
            # itself." (section 5.1)
            if not 1 <= padding <= length - start:
                raise ParseError(f"RTP padding of {padding} octets does not fit its packet", offset=length - 1)
        payload = data[start : length - padding]
        return cls(second & 0x7F, sequence, timestamp, ssrc, payload, second > 0x7F, csrcs, extension, padding)

    def __bytes__(self) -> bytes:
        """The datagram. Raises ValueError where a field does not fit its bits."""
        if not 0 <= self.payload_type <= 0x7F or len(self.csrcs) > MAX_CSRCS or not 0 <= self.padding <= 0xFF:
            raise ValueError("an RTP packet has a 7-bit payload type, at most 15 CSRCs and 255 octets of padding")
        first = 0x80 | len(self.csrcs)
        second = self.payload_type | (0x80 if self.marker else 0)
        if not self.csrcs and self.extension is None and not self.padding:
            return _HEADER.pack(first, second, self.sequence, self.timestamp, self.ssrc) + self.payload
        parts = [b"".join(csrc.to_bytes(4, "big") for csrc in self.csrcs)]
        if self.extension is not None:
            first |= 0x10
            parts += [_EXTENSION.pack(self.extension.profile, len(self.extension.data) // 4), self.extension.data]
        parts.append(self.payload)
        if self.padding:
            first |= 0x20
            parts += [bytes(self.padding - 1), bytes((self.padding,))]
        return _HEADER.pack(first, second, self.sequence, self.timestamp, self.ssrc) + b"".join(parts)
