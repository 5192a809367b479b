"""G.722: wideband voice at 64 kbit/s, 16 kHz (RFC 3551 section 4.5.2).

"Even though the actual sampling rate for G.722 audio is 16,000 Hz, the RTP clock rate for the G722 payload format is
8,000 Hz because that value was erroneously assigned in RFC 1890 and must remain unchanged for backward compatibility."

The work is done by PyAV, so each call passes through the oracle, as with Opus.
"""

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from sansio_sip.context import Audio, Context, Disclosure
from sansio_sip_media.concealment import Concealer

from .base import PACKET_TIMES, Int16, check_frame

if TYPE_CHECKING:
    from av import AudioCodecContext

__all__ = ["G722Decoder", "G722Encoder"]

SAMPLE_RATE = 16_000
CLOCK_RATE = 8_000
FRAME = 320

# Samples that the encoder takes at a time: 10 ms, of which every packet time is a multiple. G.722 codes sample by
# sample, so that a payload may be cut anywhere.
PIECE = 160

# Octets, two samples each: 200 ms.
MAX_PAYLOAD = 1_600


def _codec(mode: str) -> "AudioCodecContext":
    # Imported here: a replay, and a phone that speaks something else, need no PyAV.
    import av

    codec = av.AudioCodecContext.create("g722", mode)  # type: ignore[call-overload]
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate = SAMPLE_RATE
    codec.layout = "mono"
    codec.format = "s16"
    if mode == "w":
        codec.time_base = Fraction(1, SAMPLE_RATE)
        codec.options = {"frame_size": str(PIECE)}
    return codec


class G722Encoder:
    """Encodes one stream: the state of the adaptive predictors goes from frame to frame."""

    sample_rate = SAMPLE_RATE
    clock_rate = CLOCK_RATE
    frame = FRAME
    packet_times = PACKET_TIMES

    def __init__(self, context: Context) -> None:
        self._context = context
        self._codec: AudioCodecContext | None = None
        self._samples = 0

    def encode(self, samples: Int16) -> bytes:
        check_frame(samples, SAMPLE_RATE, PACKET_TIMES, "G.722")
        octets = Audio(samples.tobytes())
        return self._context.oracle.consult(
            "g722.encode", lambda: self._encode(octets), octets, disclosure=Disclosure.PRIVATE
        )

    def _encode(self, octets: bytes) -> bytes:
        import av

        if self._codec is None:
            self._codec = _codec("w")
        payload = bytearray()
        for piece in np.frombuffer(octets, dtype=np.int16).reshape(-1, 1, PIECE):
            frame = av.AudioFrame.from_ndarray(piece, "s16", "mono")
            frame.sample_rate = SAMPLE_RATE
            frame.time_base = Fraction(1, SAMPLE_RATE)
            frame.pts = self._samples
            self._samples += PIECE
            for packet in self._codec.encode(frame):
                payload += bytes(packet)
        return Audio(payload)


class G722Decoder:
    """Decodes packets of any length; a lost one is made up from the pitch before it."""

    sample_rate = SAMPLE_RATE
    clock_rate = CLOCK_RATE
    frame = FRAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self._codec: AudioCodecContext | None = None
        self._concealer = Concealer(SAMPLE_RATE)
        self.errors = 0

    def decode(self, payload: bytes | None, following: bytes | None = None) -> Int16:
        if payload is None:
            return self._concealer.lost(FRAME)
        if not 0 < len(payload) <= MAX_PAYLOAD:
            self.errors += 1
            return self._concealer.lost(FRAME)
        octets = Audio(payload)
        samples = self._context.oracle.consult(
            "g722.decode", lambda: self._decode(octets), octets, disclosure=Disclosure.PRIVATE
        )
        return self._concealer.good(samples)

    def _decode(self, payload: bytes) -> Int16:
        import av

        if self._codec is None:
            self._codec = _codec("r")
        frames = self._codec.decode(av.Packet(payload))
        return np.concatenate([np.asarray(frame.to_ndarray(), dtype=np.int16).reshape(-1) for frame in frames])

    def duration(self, payload: bytes) -> int:
        # One octet is two samples, and one unit of the clock.
        return len(payload) if 0 < len(payload) <= MAX_PAYLOAD else CLOCK_RATE // 50
