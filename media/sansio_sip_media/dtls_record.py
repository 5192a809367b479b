"""Records of DTLS 1.2 (RFC 6347 section 4.1): where they begin and end in a datagram, and which datagram they go in.

Nothing here decrypts. OpenSSL works on byte streams, which keep no datagram boundaries, so what it writes is cut into
records and packed into datagrams again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["HEADER", "MTU", "ContentType", "Record", "is_dtls", "pack_records", "split_records", "well_formed"]

# struct { ContentType type; ProtocolVersion version; uint16 epoch; uint48 sequence_number; uint16 length; }
HEADER = 13

# Octets of a datagram's payload. 1280 is what IPv6 promises; this leaves room for its headers, UDP's and a tunnel's.
MTU = 1200

# DTLS versions count down from 254: 1.0 is {254, 255}, 1.2 is {254, 253}.
MAJOR = 254

# "The length MUST NOT exceed 2^14 + 2048" (RFC 5246 section 6.2.3).
MAX_FRAGMENT = (1 << 14) + 2048


class ContentType(IntEnum):
    """RFC 5246 section 6.2.1."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `type` is an int, for there are content types that we do not know; `sequence` has 48 bits."""

    type: int
    epoch: int
    sequence: int
    fragment: bytes
    version: int = 0xFEFD

    def __bytes__(self) -> bytes:
        return (
            self.type.to_bytes(1, "big")
            + self.version.to_bytes(2, "big")
            + self.epoch.to_bytes(2, "big")
            + self.sequence.to_bytes(6, "big")
            + len(self.fragment).to_bytes(2, "big")
            + self.fragment
        )


def is_dtls(data: bytes) -> bool:
    """Whether a datagram is DTLS by its first octet (RFC 7983 section 7)."""
    return bool(data) and 20 <= data[0] <= 63


def split_records(data: bytes) -> Iterator[Record]:
    """The records of a datagram, up to the first that is cut off or is none. Never raises."""
    for start, end in _bounds(data):
        yield Record(
            data[start],
            int.from_bytes(data[start + 3 : start + 5], "big"),
            int.from_bytes(data[start + 5 : start + 11], "big"),
            data[start + HEADER : end],
            int.from_bytes(data[start + 1 : start + 3], "big"),
        )


def well_formed(data: bytes) -> bytes:
    """The part of a datagram that is whole records; empty where it is no DTLS."""
    return data[: max((end for _, end in _bounds(data)), default=0)]


def pack_records(stream: bytes, mtu: int = MTU) -> tuple[bytes, ...]:
    """Packs consecutive records into as few datagrams of at most `mtu` octets as their order allows.

    RFC 6347 section 4.1.1: "Multiple DTLS records may be placed in a single datagram. They are simply encoded
    consecutively." A record larger than `mtu` goes alone.
    """
    datagrams: list[bytes] = []
    first = last = 0
    for start, end in _bounds(stream):
        if end - first > mtu and start > first:
            datagrams.append(stream[first:start])
            first = start
        last = end
    if last > first:
        datagrams.append(stream[first:last])
    return tuple(datagrams)


def _bounds(data: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    while len(data) - start >= HEADER:
        length = int.from_bytes(data[start + 11 : start + HEADER], "big")
        end = start + HEADER + length
        if not is_dtls(data[start : start + 1]) or data[start + 1] != MAJOR or length > MAX_FRAGMENT or end > len(data):
            return
        yield start, end
        start = end
