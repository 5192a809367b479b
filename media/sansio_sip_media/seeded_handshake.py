"""Handshake messages of DTLS 1.2 for the stand-in of OpenSSL: cut into fragments, and put together again.

RFC 6347 section 4.2.2: a message has a number of its own, and may come in pieces, out of order, twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["HEADER", "BadFragmentError", "Inbox", "Message", "MessageType", "Repeated", "fragments"]

# struct { HandshakeType msg_type; uint24 length; uint16 message_seq; uint24 fragment_offset; uint24 fragment_length; }
HEADER = 12

# Octets of a message; OpenSSL's own bound on a certificate list is five times that.
MAX_MESSAGE = 1 << 14

# Messages kept that came before their turn: the largest flight has five.
MAX_AHEAD = 10


class MessageType(IntEnum):
    """RFC 5246 section 7.4."""

    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20


class BadFragmentError(Exception):
    """The peer's fragment contradicts itself or the one before."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message. `type` is an int, for the peer chooses it; `epoch` is that of the records that it came in."""

    type: int
    sequence: int
    body: bytes
    epoch: int = 0

    def __bytes__(self) -> bytes:
        """Unfragmented: what the transcript is made of."""
        return _header(self, 0, len(self.body)) + self.body


@dataclass(frozen=True, slots=True)
class Repeated:
    """A fragment of a message that was handed out before."""

    type: int


def fragments(message: Message, room: int) -> Iterator[bytes]:
    """A message in pieces of at most `room` octets, headers included."""
    size = room - HEADER
    for offset in range(0, max(len(message.body), 1), size):
        piece = message.body[offset : offset + size]
        yield _header(message, offset, len(piece)) + piece


def _header(message: Message, offset: int, length: int) -> bytes:
    return (
        message.type.to_bytes(1, "big")
        + len(message.body).to_bytes(3, "big")
        + message.sequence.to_bytes(2, "big")
        + offset.to_bytes(3, "big")
        + length.to_bytes(3, "big")
    )


@dataclass(slots=True)
class _Partial:
    type: int
    epoch: int
    body: bytearray
    missing: set[int]


class Inbox:
    """Puts messages together and hands them out in the order of their numbers."""

    def __init__(self) -> None:
        self._next = 0
        self._partial: dict[int, _Partial] = {}

    def add(self, data: bytes, epoch: int) -> Iterator[Message | Repeated]:
        """Takes the fragments in a record; yields the messages whose turn it is.

        Raises:
            BadFragmentError: a fragment reaches out of its message, or does not go with the ones before.
        """
        while data:
            if len(data) < HEADER:
                raise BadFragmentError
            length, offset, size = (int.from_bytes(data[at : at + 3], "big") for at in (1, 6, 9))
            sequence = int.from_bytes(data[4:6], "big")
            piece = data[HEADER : HEADER + size]
            if len(piece) < size or offset + size > length or length > MAX_MESSAGE:
                raise BadFragmentError
            if sequence < self._next:
                yield Repeated(data[0])
            elif sequence < self._next + MAX_AHEAD:
                self._put(data[0], epoch, sequence, length, offset, piece)
                yield from self._ready()
            data = data[HEADER + size :]

    def _put(self, kind: int, epoch: int, sequence: int, length: int, offset: int, piece: bytes) -> None:
        partial = self._partial.get(sequence)
        if partial is None:
            partial = self._partial[sequence] = _Partial(kind, epoch, bytearray(length), set(range(length)))
        if (partial.type, partial.epoch, len(partial.body)) != (kind, epoch, length):
            raise BadFragmentError
        partial.body[offset : offset + len(piece)] = piece
        partial.missing.difference_update(range(offset, offset + len(piece)))

    def _ready(self) -> Iterator[Message]:
        while (partial := self._partial.get(self._next)) is not None and not partial.missing:
            sequence = self._next
            self._next += 1
            del self._partial[sequence]
            yield Message(partial.type, sequence, bytes(partial.body), partial.epoch)
