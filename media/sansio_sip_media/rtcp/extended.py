"""Report blocks of RTCP XR (RFC 3611 section 4): round trips of receivers, and the metrics of a VoIP call.

Runs of losses and duplicates, times of receipt, summaries and whatever came later are kept as `OtherBlock`, undecoded:
"a receiver [...] MUST ignore" what it does not know (section 3), and so it does a block of a length that its type has
not.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TypeAlias

from sansio_sip.errors import ParseError

__all__ = [
    "UNAVAILABLE",
    "BlockType",
    "DelaySinceLast",
    "DelaySinceLastBlock",
    "OtherBlock",
    "ReceiverReferenceTime",
    "VoipMetrics",
    "XrBlock",
    "parse_blocks",
]

UNAVAILABLE = 127
"""Of levels, return loss, ratings and scores: not measured."""

_HEADER = Struct("!BBH")
_REFERENCE_TIME = Struct("!Q")
_DELAY = Struct("!III")
_VOIP = Struct("!I4B4H2b2B4BBx3H")


class BlockType(IntEnum):
    """Section 4."""

    RECEIVER_REFERENCE_TIME = 4
    DELAY_SINCE_LAST = 5
    VOIP_METRICS = 7


@dataclass(frozen=True, slots=True)
class ReceiverReferenceTime:
    """Section 4.4: the time of one who sends nothing, as a 64-bit NTP timestamp."""

    ntp_time: int

    def __bytes__(self) -> bytes:
        return _block(BlockType.RECEIVER_REFERENCE_TIME, 0, _REFERENCE_TIME.pack(self.ntp_time))


@dataclass(frozen=True, slots=True)
class DelaySinceLast:
    """For one receiver: the middle 32 bits of its reference time, and 1/65536 s since that came."""

    ssrc: int
    last_reference: int
    delay: int


@dataclass(frozen=True, slots=True)
class DelaySinceLastBlock:
    """DLRR (section 4.5): the answer to reference times."""

    receivers: tuple[DelaySinceLast, ...] = ()

    def __bytes__(self) -> bytes:
        rows = (_DELAY.pack(each.ssrc, each.last_reference, each.delay) for each in self.receivers)
        return _block(BlockType.DELAY_SINCE_LAST, 0, b"".join(rows))


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """Section 4.7, from the beginning of reception on.

    Attributes:
        ssrc: of the source that is reported on.
        loss_rate, discard_rate, burst_density, gap_density: in 1/256.
        burst_duration, gap_duration: mean, ms.
        round_trip_delay, end_system_delay: ms; 0: the round trip is not known.
        signal_level, noise_level: dBm0. residual_echo_return_loss: dB. `UNAVAILABLE`: not measured, as below.
        gmin: packets in order between two losses from which on these are of different bursts.
        r_factor, external_r_factor: 0 to 100. mos_listening, mos_conversational: tenths, 10 to 50.
        receiver_configuration: concealment, kind and rate of the jitter buffer (section 4.7.6).
        jitter_buffer_nominal, jitter_buffer_maximum, jitter_buffer_absolute_maximum: ms.
    """

    ssrc: int
    loss_rate: int = 0
    discard_rate: int = 0
    burst_density: int = 0
    gap_density: int = 0
    burst_duration: int = 0
    gap_duration: int = 0
    round_trip_delay: int = 0
    end_system_delay: int = 0
    signal_level: int = UNAVAILABLE
    noise_level: int = UNAVAILABLE
    residual_echo_return_loss: int = UNAVAILABLE
    gmin: int = 16
    r_factor: int = UNAVAILABLE
    external_r_factor: int = UNAVAILABLE
    mos_listening: int = UNAVAILABLE
    mos_conversational: int = UNAVAILABLE
    receiver_configuration: int = 0
    jitter_buffer_nominal: int = 0
    jitter_buffer_maximum: int = 0
    jitter_buffer_absolute_maximum: int = 0

    @classmethod
    def parse(cls, body: bytes) -> "VoipMetrics":
        return cls(*_VOIP.unpack(body))

    def __bytes__(self) -> bytes:
        body = _VOIP.pack(
            self.ssrc,
            self.loss_rate,
            self.discard_rate,
            self.burst_density,
            self.gap_density,
            self.burst_duration,
            self.gap_duration,
            self.round_trip_delay,
            self.end_system_delay,
            self.signal_level,
            self.noise_level,
            self.residual_echo_return_loss,
            self.gmin,
            self.r_factor,
            self.external_r_factor,
            self.mos_listening,
            self.mos_conversational,
            self.receiver_configuration,
            self.jitter_buffer_nominal,
            self.jitter_buffer_maximum,
            self.jitter_buffer_absolute_maximum,
        )
        return _block(BlockType.VOIP_METRICS, 0, body)


@dataclass(frozen=True, slots=True)
class OtherBlock:
    """Any other block: `specific` is the octet of the header that each type uses as it likes."""

    kind: int
    specific: int
    body: bytes

    def __bytes__(self) -> bytes:
        return _block(self.kind, self.specific, self.body)


XrBlock: TypeAlias = ReceiverReferenceTime | DelaySinceLastBlock | VoipMetrics | OtherBlock


def parse_blocks(body: bytes, offset: int) -> tuple[XrBlock, ...]:
    """Reads what follows the SSRC of an extended report. `offset`: where that is in the datagram, for errors.

    Raises ParseError where a block is longer than its packet.
    """
    blocks = []
    position = 0
    while position < len(body):
        # A packet has whole words, so there is a header.
        kind, specific, words = _HEADER.unpack_from(body, position)
        start, position = position + 4, position + 4 + 4 * words
        if position > len(body):
            raise ParseError("RTCP XR block is longer than its packet", offset=offset + start - 2)
        blocks.append(_parse_block(kind, specific, body[start:position]))
    return tuple(blocks)


def _parse_block(kind: int, specific: int, body: bytes) -> XrBlock:
    match kind:
        case BlockType.RECEIVER_REFERENCE_TIME if len(body) == _REFERENCE_TIME.size:
            return ReceiverReferenceTime(_REFERENCE_TIME.unpack(body)[0])
        case BlockType.DELAY_SINCE_LAST if len(body) % _DELAY.size == 0:
            return DelaySinceLastBlock(tuple(DelaySinceLast(*row) for row in _DELAY.iter_unpack(body)))
        case BlockType.VOIP_METRICS if len(body) == _VOIP.size:
            return VoipMetrics.parse(body)
        case _:
            return OtherBlock(kind, specific, body)


def _block(kind: int, specific: int, body: bytes) -> bytes:
    if len(body) % 4:
        raise ValueError("an RTCP XR block has whole 32-bit words")
    return _HEADER.pack(kind, specific, len(body) // 4) + body
