"""Opus by PyAV, where libopus cannot be reached by its C interface.

PyAV has no loss concealment and no FEC, so lost frames are made up by `concealment`.
"""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from sansio_sip_media.concealment import Concealer

from .base import Int16

if TYPE_CHECKING:
    from av import AudioCodecContext

__all__ = ["PyAvDecoder", "PyAvEncoder"]

RATE = 48_000
FRAME = 960


def _codec(mode: str) -> "AudioCodecContext":
    # Imported here: a replay, and a phone that speaks G.711 only, need no PyAV.
    import av

    codec = av.AudioCodecContext.create("libopus", mode)  # type: ignore[call-overload]
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate = RATE
    codec.layout = "mono"
    codec.format = "s16"
    return codec


class PyAvEncoder:
    """One encoder, mono 48 kHz, tuned for voice."""

    def __init__(self, bitrate: int, complexity: int, expected_loss: int = 0) -> None:
        self._codec = _codec("w")
        self._codec.time_base = Fraction(1, RATE)
        self._codec.bit_rate = bitrate
        self._codec.options = {
            "application": "voip",
            "compression_level": str(complexity),
            "frame_duration": "20",
            "fec": str(int(expected_loss > 0)),
            "packet_loss": str(expected_loss),
        }
        self._samples = 0

    def encode(self, samples: bytes) -> bytes:
        """The packet of 20 ms, given as the octets of int16 in the machine's order."""
        import av

        frame = av.AudioFrame.from_ndarray(np.frombuffer(samples, dtype=np.int16).reshape(1, -1), "s16", "mono")
        frame.sample_rate = RATE
        frame.time_base = Fraction(1, RATE)
        frame.pts = self._samples
        self._samples += FRAME
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


class PyAvDecoder:
    """One decoder, mono 48 kHz."""

    def __init__(self) -> None:
        self._codec = _codec("r")
        self._concealer = Concealer(RATE)

    def decode(self, payload: bytes | None, following: bytes | None) -> Int16 | None:
        """int16, shape (n,), of a packet; a lost one (None) is made up, 20 ms. None: the packet is not valid."""
        import av

        if payload is None:
            return self._concealer.lost(FRAME)
        try:
            frames = self._codec.decode(av.Packet(payload))
        except av.FFmpegError:
            return None
        parts = [np.asarray(frame.to_ndarray(), dtype=np.int16).reshape(-1) for frame in frames]
        return self._concealer.good(np.concatenate(parts)) if parts else None
