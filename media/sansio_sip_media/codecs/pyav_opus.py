"""Opus by PyAV, where libopus cannot be reached by its C interface.

PyAV has no loss concealment and no FEC, so lost frames are made up by `concealment`; and FFmpeg's encoder has no DTX
that would work, so silence is sent.
"""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from sansio_sip_media.concealment import Concealer

from .base import Int16
from .opus_settings import OpusSettings

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
    """One encoder, mono 48 kHz, tuned for voice. FFmpeg takes settings at the start only: new ones begin it anew."""

    def __init__(self, settings: OpusSettings) -> None:
        self._settings = settings
        self._codec: AudioCodecContext | None = None
        self._frame = 0
        self._samples = 0

    def configure(self, settings: OpusSettings) -> None:
        """May be called between any two packets."""
        self._settings, self._codec = settings, None

    def _open(self, frame: int) -> "AudioCodecContext":
        settings = self._settings
        codec = self._codec = _codec("w")
        self._frame = frame
        codec.time_base = Fraction(1, RATE)
        codec.bit_rate = settings.bitrate
        codec.options = {
            "application": "voip",
            "compression_level": str(settings.complexity),
            "frame_duration": str(1000 * frame // RATE),
            "fec": str(int(settings.expected_loss > 0)),
            "packet_loss": str(settings.expected_loss),
            "vbr": "off" if settings.constant_bitrate else "on",
        }
        return codec

    def encode(self, samples: bytes) -> bytes:
        """The packet of 10, 20, 40 or 60 ms, given as the octets of int16 in the machine's order."""
        import av

        pcm = np.frombuffer(samples, dtype=np.int16).reshape(1, -1)
        codec = self._codec
        if codec is None or pcm.shape[1] != self._frame:
            codec = self._open(pcm.shape[1])
        frame = av.AudioFrame.from_ndarray(pcm, "s16", "mono")
        frame.sample_rate = RATE
        frame.time_base = Fraction(1, RATE)
        frame.pts = self._samples
        self._samples += pcm.shape[1]
        return b"".join(bytes(packet) for packet in codec.encode(frame))


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
