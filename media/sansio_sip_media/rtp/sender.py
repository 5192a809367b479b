"""The sending side of one RTP source: numbers packets and keeps the media clock (RFC 3550 section 5.1)."""

from .packet import RtpPacket
from .sequence import add_sequence, add_timestamp, sequence_distance, timestamp_distance

__all__ = ["RtpSender"]

# Packets, 10 s of them at 20 ms: no way there and back is longer. And the units of the longest one, 60 ms of Opus.
RECENT = 512
LONGEST = 2_880


class RtpSender:
    """Makes packets of one SSRC.

    Args:
        ssrc, sequence, timestamp: drawn at random by the caller ("The initial value of the sequence number SHOULD be
            random (unpredictable)", section 5.1).

    Attributes:
        packets, octets: how many were made, and the sum of their payloads: what a sender report tells (section 6.4.1).
    """

    __slots__ = ("_sequence", "_timestamp", "octets", "packets", "ssrc")

    def __init__(self, ssrc: int, sequence: int, timestamp: int) -> None:
        self.ssrc = ssrc
        self._sequence = sequence
        self._timestamp = timestamp
        self.packets = 0
        self.octets = 0

    @property
    def sequence(self) -> int:
        """The number of the next packet."""
        return self._sequence

    @property
    def timestamp(self) -> int:
        """The media clock: the RTP timestamp of the next packet."""
        return self._timestamp

    def packet(
        self, payload_type: int, payload: bytes, *, samples: int, marker: bool = False, timestamp: int | None = None
    ) -> RtpPacket:
        """The next packet; the media clock then goes on by `samples` units.

        A `timestamp` replaces the clock's in this packet alone: a telephone event repeats the time of its start while
        the clock runs on (RFC 4733 section 2.2).
        """
        stamp = self._timestamp if timestamp is None else timestamp
        packet = RtpPacket(payload_type, self._sequence, stamp, self.ssrc, payload, marker)
        self._sequence = add_sequence(self._sequence, 1)
        self._timestamp = add_timestamp(self._timestamp, samples)
        self.packets += 1
        self.octets += len(payload)
        return packet

    def has_sent(self, packet: RtpPacket) -> bool:
        """Whether a packet with our SSRC is one of our own that has come back: both its numbers were ours of late.

        Those of another source that drew the same SSRC lie anywhere: one in 300,000 would be taken for ours.
        """
        return (
            packet.ssrc == self.ssrc
            and 0 < sequence_distance(self._sequence, packet.sequence) <= RECENT
            and 0 < timestamp_distance(self._timestamp, packet.timestamp) <= RECENT * LONGEST
        )

    def skip(self, units: int) -> None:
        """Lets the media clock go on without a packet: a silence that is not sent, or a late tick."""
        self._timestamp = add_timestamp(self._timestamp, units)
