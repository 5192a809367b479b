"""TURN on a stream: where one message ends and the next begins (RFC 8656 section 12.5, RFC 8489 section 6.2.2).

Both kinds of message say how long they are. ChannelData is padded to a multiple of four octets, which its length does
not count; STUN messages are a multiple of four by themselves.
"""

from collections.abc import Iterator

from sansio_sip.context import Opaque

__all__ = ["TurnFramer", "padded"]

STUN_HEADER, CHANNEL_HEADER = 20, 4
MAGIC_COOKIE = b"\x21\x12\xa4\x42"

MAX_PIECES = 65_536
"""Octets fed at once: with one message of 65,555 at most still open, this bounds what is held."""


class TurnFramer:
    """Takes octets in any split and gives whole messages, without padding.

    `broken`: something came that is neither STUN nor ChannelData. Nothing tells where the next message begins.
    """

    __slots__ = ("_buffer", "broken")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.broken = False

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Feeds what has arrived; gives the messages that are complete by it."""
        for start in range(0, len(data), MAX_PIECES):
            if self.broken:
                return
            self._buffer += data[start : start + MAX_PIECES]
            yield from self._messages()

    def _messages(self) -> Iterator[bytes]:
        buffer = self._buffer
        while len(buffer) >= CHANNEL_HEADER and not self.broken:
            length = int.from_bytes(buffer[2:4], "big")
            kind = buffer[0] >> 6
            if kind == 1:
                size = CHANNEL_HEADER + length
            elif kind == 0 and length % 4 == 0 and MAGIC_COOKIE.startswith(buffer[4:8]):
                size = STUN_HEADER + length
            else:
                self.broken = True
                buffer.clear()
                return
            whole = size + -size % 4
            if len(buffer) < whole:
                return
            message = bytes(buffer[:size])
            del buffer[:whole]
            yield message


def padded(packet: bytes) -> bytes:
    """A message as a stream carries it. RFC 8656 section 12.5: "Over TCP and TLS-over-TCP, the ChannelData message MUST
    be padded to a multiple of four bytes in order to ensure the alignment of subsequent messages."
    """
    missing = -len(packet) % 4
    if not missing:
        return packet
    whole = packet + bytes(missing)
    return Opaque(whole) if isinstance(packet, Opaque) else whole
