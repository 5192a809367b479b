"""The receiving side of one RTP source: validity, loss and jitter (RFC 3550 appendices A.1, A.3 and A.8).

Theory of operation
-------------------
One receiver follows one source at a time. The first SSRC is the source; a packet with another SSRC starts a rival,
which must show two packets in sequence before it takes over (a PBX that changes its mixer does so; a straggler of the
source before does not). A new source starts with new counts, as a new SSRC is a new source to RTCP.

Sequence numbers go through A.1: small steps forward count, a big jump must be confirmed by the packet after it (a
restarted sender that kept its SSRC), small steps back are reordered or doubled packets and count as received.
"""

from dataclasses import dataclass

from .packet import RtpPacket
from .sequence import SEQUENCE_MODULUS, timestamp_distance

__all__ = ["ReceptionReport", "RtpReceiver"]

# RFC 3550 A.1: a gap of up to a minute at 50 packets a second is loss; more is a restart.
MAX_DROPOUT = 3000
MAX_MISORDER = 100
MIN_SEQUENTIAL = 2

# A.3: "this number is a signed 24-bit number".
LOST_MIN, LOST_MAX = -(1 << 23), (1 << 23) - 1

# Seconds. No network holds an audio packet back this long: such a step is a jump of the sender's timestamps, and would
# spoil the jitter for a minute.
MAX_TRANSIT_STEP = 5.0


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """What a report block says of a source (section 6.4.1), but for its last sender report.

    `fraction_lost` is a fixed point number in 1/256; `jitter` is in RTP clock units.
    """

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    extended_highest_sequence: int
    jitter: int


class _Source:
    """The state of appendix A.1 for one SSRC."""

    __slots__ = (
        "bad_sequence",
        "base_sequence",
        "cycles",
        "expected_prior",
        "max_sequence",
        "probation",
        "received",
        "received_prior",
        "ssrc",
    )

    def __init__(self, ssrc: int, sequence: int, probation: int) -> None:
        self.ssrc = ssrc
        self._restart(sequence)
        self.max_sequence = (sequence - 1) % SEQUENCE_MODULUS
        self.probation = probation

    def _restart(self, sequence: int) -> None:
        self.base_sequence = sequence
        self.max_sequence = sequence
        self.bad_sequence = SEQUENCE_MODULUS + 1  # so that no sequence number equals it
        self.cycles = 0
        self.received = 0
        self.received_prior = 0
        self.expected_prior = 0

    @property
    def extended_highest(self) -> int:
        return self.cycles + self.max_sequence

    @property
    def expected(self) -> int:
        return self.extended_highest - self.base_sequence + 1

    def update(self, sequence: int) -> bool:
        """`update_seq` of appendix A.1: whether the packet counts."""
        delta = (sequence - self.max_sequence) % SEQUENCE_MODULUS
        # "Source is not valid until MIN_SEQUENTIAL packets with sequential sequence numbers have been received."
        if self.probation:
            if delta != 1:
                self.probation = MIN_SEQUENTIAL - 1
                self.max_sequence = sequence
                return False
            self.probation -= 1
            self.max_sequence = sequence
            if self.probation:
                return False
            self._restart(sequence)
            self.received = 1
            return True
        if delta < MAX_DROPOUT:
            if sequence < self.max_sequence:
                self.cycles += SEQUENCE_MODULUS
            self.max_sequence = sequence
        elif delta <= SEQUENCE_MODULUS - MAX_MISORDER:
            # "The sequence number made a very large jump"
            if sequence != self.bad_sequence:
                self.bad_sequence = (sequence + 1) % SEQUENCE_MODULUS
                return False
            # "Two sequential packets -- assume that the other side restarted without telling us"
            self._restart(sequence)
        self.received += 1
        return True


class RtpReceiver:
    """Statistics of what arrives.

    Args:
        clock_rate: of the payload, Hz. Assign to it when the codec changes to one with another clock.
        min_sequential: packets in a row before the first source counts. 1 by default: a source that has been
            authenticated, or came from the address in the SDP, needs no proof, and its first packet is audio.

    Attributes:
        octets: sum of the payloads taken.
        source_changes: how often another SSRC took over.
        refused: packets for which `receive` gave False.
    """

    __slots__ = (
        "_arrival",
        "_clock_rate",
        "_jitter",
        "_min_sequential",
        "_rival",
        "_source",
        "_timestamp",
        "octets",
        "refused",
        "source_changes",
    )

    def __init__(self, clock_rate: int, *, min_sequential: int = 1) -> None:
        self._clock_rate = clock_rate
        self._min_sequential = min_sequential
        self._source: _Source | None = None
        self._rival: _Source | None = None
        self._arrival: float | None = None
        self._timestamp: int | None = None
        self._jitter = 0.0
        self.octets = 0
        self.refused = 0
        self.source_changes = 0

    @property
    def clock_rate(self) -> int:
        return self._clock_rate

    @clock_rate.setter
    def clock_rate(self, clock_rate: int) -> None:
        if clock_rate != self._clock_rate:
            self._jitter *= clock_rate / self._clock_rate
            self._clock_rate = clock_rate
            self._arrival = None

    @property
    def ssrc(self) -> int | None:
        """The source, once it counts."""
        source = self._source
        return source.ssrc if source is not None and not source.probation else None

    @property
    def packets_received(self) -> int:
        """Of this source, doubled and late ones included."""
        return self._source.received if self._source is not None else 0

    @property
    def cumulative_lost(self) -> int:
        """Expected less received (A.3); below 0 where packets were doubled."""
        source = self._source
        if source is None or source.probation:
            return 0
        return min(max(source.expected - source.received, LOST_MIN), LOST_MAX)

    @property
    def packets_lost(self) -> int:
        """As `cumulative_lost`, not below 0."""
        return max(self.cumulative_lost, 0)

    @property
    def extended_highest_sequence(self) -> int:
        """The highest sequence number, with the count of its cycles above bit 16; 0 before the first packet."""
        source = self._source
        return source.extended_highest if source is not None and not source.probation else 0

    @property
    def jitter(self) -> float:
        """Interarrival jitter (A.8), in RTP clock units."""
        return self._jitter

    @property
    def jitter_ms(self) -> float:
        return 1000 * self._jitter / self._clock_rate

    def receive(self, packet: RtpPacket, *, now: float) -> bool:
        """Takes note of a packet. False: it is not (yet) of a valid source, and should not be played."""
        source = self._source
        if source is None:
            source = self._source = _Source(packet.ssrc, packet.sequence, self._min_sequential)
        if packet.ssrc != source.ssrc:
            if not self._rival_wins(packet):
                self.refused += 1
                return False
        else:
            self._rival = None
            if not source.update(packet.sequence):
                self.refused += 1
                return False
        self.octets += len(packet.payload)
        self._update_jitter(packet.timestamp, now)
        return True

    def _rival_wins(self, packet: RtpPacket) -> bool:
        rival = self._rival
        if rival is None or rival.ssrc != packet.ssrc:
            rival = self._rival = _Source(packet.ssrc, packet.sequence, MIN_SEQUENTIAL)
        if not rival.update(packet.sequence):
            return False
        self._source, self._rival = rival, None
        self._arrival = self._timestamp = None
        self._jitter = 0.0
        self.source_changes += 1
        return True

    def _update_jitter(self, timestamp: int, now: float) -> None:
        # A telephone event repeats its timestamp: the packets after the first say nothing about transit.
        if timestamp == self._timestamp:
            return
        arrival = now * self._clock_rate
        if self._arrival is not None and self._timestamp is not None:
            # D(i-1,i) of section 6.4.1, taken apart so that only the timestamps wrap.
            step = (arrival - self._arrival) - timestamp_distance(timestamp, self._timestamp)
            if abs(step) <= MAX_TRANSIT_STEP * self._clock_rate:
                # "J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16"
                self._jitter += (abs(step) - self._jitter) / 16
        self._arrival = arrival
        self._timestamp = timestamp

    def take_report(self) -> ReceptionReport | None:
        """The figures for a report block; the interval for `fraction_lost` starts anew (A.3). None: no source yet."""
        source = self._source
        if source is None or source.probation:
            return None
        expected = source.expected
        expected_interval = expected - source.expected_prior
        received_interval = source.received - source.received_prior
        lost_interval = expected_interval - received_interval
        source.expected_prior = expected
        source.received_prior = source.received
        fraction = (lost_interval << 8) // expected_interval if expected_interval > 0 and lost_interval > 0 else 0
        return ReceptionReport(
            ssrc=source.ssrc,
            # All of an interval lost would be 256, which 8 bits do not hold.
            fraction_lost=min(fraction, 255),
            cumulative_lost=self.cumulative_lost,
            extended_highest_sequence=source.extended_highest & 0xFFFFFFFF,
            jitter=int(self._jitter),
        )
