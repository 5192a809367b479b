"""How Opus is to be encoded, whichever library does it."""

from dataclasses import dataclass

__all__ = ["OpusSettings"]


@dataclass(frozen=True, slots=True)
class OpusSettings:
    """How to encode.

    Attributes:
        bitrate: bits a second.
        complexity: 0 to 10; 5 takes two thirds of the work of 10.
        expected_loss: per cent of packets; above 0, each packet holds a coarse copy of the one before.
        dtx: silence is not sent, but for a packet each 400 ms.
        playback_rate: Hz; what lies above half of it is not coded.
        constant_bitrate: all packets have one size.
    """

    bitrate: int = 32_000
    complexity: int = 5
    expected_loss: int = 0
    dtx: bool = False
    playback_rate: int = 48_000
    constant_bitrate: bool = False
