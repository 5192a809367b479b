"""A stand-in for SRTP in simulation: sizes, windows and refusals of RFC 3711, a cipher of the standard library.

Theory of operation
-------------------
Keystream by SHAKE-128, tag by keyed BLAKE2b: equal bytes from equal keys, on each machine, in each process. A packet
that was changed is refused, one that comes twice is refused, octets that are not the key holder's are refused: all that
a simulation is to find out. Whoever wants secrecy takes `openssl_crypto`.

A session is plain values, so `copy.deepcopy` forks it; libsrtp's cannot be copied.
"""

import hashlib
import hmac
from dataclasses import dataclass

from sansio_sip.context import Secret

from .crypto import SrtpFailure, SrtpProfile
from .rtp.sequence import sequence_distance

__all__ = ["SeededSrtpSession", "derive", "seal", "unseal"]

# As in production (see `openssl_crypto`).
REPLAY_WINDOW = 128

# "the SRTCP index [...] is a 31-bit counter" (RFC 3711 section 3.4); the bit before it says: this packet is encrypted.
ENCRYPTED = 1 << 31
INDEX_LENGTH = 4

RTP_HEADER = 12
RTCP_HEADER = 8


def derive(key: bytes, label: str, length: int) -> bytes:
    """Octets that follow from a key and a label, and from nothing else."""
    return hashlib.shake_128(len(key).to_bytes(2, "big") + key + label.encode()).digest(length)


def seal(key: bytes, nonce: bytes, header: bytes, plain: bytes, tag_length: int) -> bytes:
    """Encrypts `plain` and appends a tag over it and `header`. No nonce twice with a key."""
    sealed = _mask(key, nonce, plain)
    return sealed + _tag(key, nonce, header, sealed, tag_length)


def unseal(key: bytes, nonce: bytes, header: bytes, sealed: bytes, tag_length: int) -> bytes | None:
    """What was sealed; None where header, nonce, key or a single bit is another."""
    body, tag = sealed[: len(sealed) - tag_length], sealed[len(sealed) - tag_length :]
    if not hmac.compare_digest(tag, _tag(key, nonce, header, body, tag_length)):
        return None
    return _mask(key, nonce, body)


def _mask(key: bytes, nonce: bytes, data: bytes) -> bytes:
    stream = hashlib.shake_128(key + nonce).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _tag(key: bytes, nonce: bytes, header: bytes, sealed: bytes, length: int) -> bytes:
    framed = len(header).to_bytes(2, "big") + nonce + header + sealed
    return hashlib.blake2b(framed, digest_size=length, key=key).digest()


@dataclass(slots=True)
class _Window:
    """Indices seen: bit n of `seen` is `newest - n` (RFC 3711 section 3.3.2)."""

    newest: int
    seen: int = 0

    def fresh(self, index: int) -> bool:
        age = self.newest - index
        return age < 0 or (age < REPLAY_WINDOW and not self.seen >> age & 1)

    def add(self, index: int) -> None:
        if index > self.newest:
            # Shifting by more than the window clears it; a number from far away must not cost memory.
            self.seen = self.seen << min(index - self.newest, REPLAY_WINDOW) & (1 << REPLAY_WINDOW) - 1
            self.newest = index
        self.seen |= 1 << self.newest - index


class SeededSrtpSession:
    """See `crypto.SrtpSession`."""

    def __init__(self, key: Secret, profile: SrtpProfile) -> None:
        material = bytes.fromhex(key.reveal())
        self._rtp_key = derive(material, "rtp", 32)
        self._rtcp_key = derive(material, "rtcp", 32)
        self._tag_length = profile.tag_length
        # By SSRC; only packets with a right tag make an entry.
        self._rtp: dict[bytes, _Window] = {}
        self._rtcp: dict[bytes, _Window] = {}
        self._rtcp_index: dict[bytes, int] = {}

    def protect(self, packet: bytes) -> bytes | SrtpFailure:
        size = _header_size(packet)
        if size is None:
            return SrtpFailure.MALFORMED
        index, window = self._place(packet)
        if not window.fresh(index):
            return SrtpFailure.REPLAY
        header = packet[:size]
        sealed = seal(self._rtp_key, _nonce(packet[8:12], index), header, packet[size:], self._tag_length)
        self._remember(self._rtp, packet[8:12], window, index)
        return header + sealed

    def unprotect(self, packet: bytes) -> bytes | SrtpFailure:
        size = _header_size(packet)
        if size is None or len(packet) < size + self._tag_length:
            return SrtpFailure.MALFORMED
        index, window = self._place(packet)
        if index < 0 or not window.fresh(index):
            return SrtpFailure.REPLAY
        header = packet[:size]
        plain = unseal(self._rtp_key, _nonce(packet[8:12], index), header, packet[size:], self._tag_length)
        if plain is None:
            return SrtpFailure.AUTHENTICATION
        self._remember(self._rtp, packet[8:12], window, index)
        return header + plain

    def protect_rtcp(self, packet: bytes) -> bytes | SrtpFailure:
        if len(packet) < RTCP_HEADER or len(packet) % 4:
            return SrtpFailure.MALFORMED
        source, header = packet[4:8], packet[:RTCP_HEADER]
        index = self._rtcp_index[source] = self._rtcp_index.get(source, 0) + 1
        trailer = (ENCRYPTED | index).to_bytes(INDEX_LENGTH, "big")
        sealed = seal(self._rtcp_key, _nonce(source, index), header, packet[RTCP_HEADER:], self._tag_length)
        return header + sealed + trailer

    def unprotect_rtcp(self, packet: bytes) -> bytes | SrtpFailure:
        if len(packet) < RTCP_HEADER + self._tag_length + INDEX_LENGTH:
            return SrtpFailure.MALFORMED
        source, header = packet[4:8], packet[:RTCP_HEADER]
        trailer = int.from_bytes(packet[-INDEX_LENGTH:], "big")
        index = trailer & ~ENCRYPTED
        window = self._rtcp.get(source, _Window(index))
        if not window.fresh(index):
            return SrtpFailure.REPLAY
        sealed = packet[RTCP_HEADER:-INDEX_LENGTH]
        plain = unseal(self._rtcp_key, _nonce(source, index), header, sealed, self._tag_length)
        if plain is None or not trailer & ENCRYPTED:
            return SrtpFailure.AUTHENTICATION
        self._remember(self._rtcp, source, window, index)
        return header + plain

    def _place(self, packet: bytes) -> tuple[int, _Window]:
        """The 48-bit index of a packet, as near to the newest as it can be (RFC 3711 section 3.3.1)."""
        sequence = int.from_bytes(packet[2:4], "big")
        window = self._rtp.get(packet[8:12])
        if window is None:
            return sequence, _Window(sequence)
        return window.newest + sequence_distance(sequence, window.newest & 0xFFFF), window

    def _remember(self, windows: dict[bytes, _Window], source: bytes, window: _Window, index: int) -> None:
        window.add(index)
        windows[source] = window


def _nonce(source: bytes, index: int) -> bytes:
    return source + index.to_bytes(8, "big")


def _header_size(packet: bytes) -> int | None:
    """Octets that stay in clear: fixed header, CSRCs and extension (RFC 3550 section 5.1). None: not all there."""
    if len(packet) < RTP_HEADER:
        return None
    size = RTP_HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if len(packet) < size + 4:
            return None
        size += 4 + 4 * int.from_bytes(packet[size + 2 : size + 4], "big")
    return size if size <= len(packet) else None
