"""Opus: mono, 48 kHz, packets of 10 to 60 ms (RFC 6716, RFC 7587).

Encoding and decoding are the work of libopus, so each call passes through the oracle: a recorded run can be run again
where there is no libopus, or another version. Which library does it is decided within the oracle too (see `libopus`
and `pyav_opus`), so that it shows in nothing but the sound.
"""

from typing import Protocol

import numpy as np

from sansio_sip.context import Audio, Context, Disclosure

from . import libopus, pyav_opus
from .base import Int16, check_frame
from .opus_settings import OpusSettings

__all__ = ["OpusDecoder", "OpusEncoder", "OpusSettings", "payload_duration"]

CLOCK_RATE = 48_000
FRAME = 960

# Milliseconds that one frame of the codec may last (RFC 6716 section 2.1.4), of those that peers ask for.
PACKET_TIMES = (10, 20, 40, 60)

# Octets. In DTX the encoder gives a bare table of contents for what need not be sent ("opus_encode": "If the return
# value is 2 bytes or less, then the packet does not need to be transmitted").
UNSENT = 2

# Samples: "120 ms, the maximum" that one packet may last (RFC 6716 section 3.2.5).
MAX_DURATION = 5_760

# Octets: RFC 6716 section 3.2.1, 1275 in each of at most 48 frames; no datagram we take is longer than this.
MAX_PAYLOAD = 1_500

# Frame sizes in samples at 48 kHz, by the configuration in the first octet (RFC 6716 section 3.1, table 2).
_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)
_FRAME_SIZES = _SILK * 3 + _HYBRID * 2 + _CELT * 4


class OpusEncoderBackend(Protocol):
    """A library that encodes."""

    def configure(self, settings: OpusSettings) -> None: ...

    def encode(self, samples: bytes) -> bytes: ...


class OpusDecoderBackend(Protocol):
    """A library that decodes; `None` where it cannot."""

    def decode(self, payload: bytes | None, following: bytes | None) -> Int16 | None: ...


def payload_duration(payload: bytes) -> int:
    """Samples at 48 kHz of a packet, from its first two octets (RFC 6716 section 3.1); 0: not a valid packet."""
    if not payload:
        return 0
    size = _FRAME_SIZES[payload[0] >> 3]
    match payload[0] & 3:
        case 0:
            count = 1
        case 1 | 2:
            count = 2
        case _:
            count = payload[1] & 0x3F if len(payload) > 1 else 0
    duration = size * count
    return duration if duration <= MAX_DURATION else 0


def _encoder_backend(settings: OpusSettings) -> OpusEncoderBackend:
    if libopus.load() is not None:
        return libopus.LibOpusEncoder(settings)
    return pyav_opus.PyAvEncoder(settings)


def _decoder_backend() -> OpusDecoderBackend:
    return libopus.LibOpusDecoder() if libopus.load() is not None else pyav_opus.PyAvDecoder()


class OpusEncoder:
    """Encodes one stream. `settings` may be assigned to at any time; they count from the next packet on."""

    sample_rate = clock_rate = CLOCK_RATE
    frame = FRAME
    packet_times = PACKET_TIMES

    def __init__(self, context: Context, settings: OpusSettings | None = None) -> None:
        self._context = context
        self.settings = settings or OpusSettings()
        self._applied: OpusSettings | None = None
        self._backend: OpusEncoderBackend | None = None

    def encode(self, samples: Int16) -> bytes:
        check_frame(samples, CLOCK_RATE, PACKET_TIMES, "Opus")
        octets = Audio(samples.tobytes())
        return self._context.oracle.consult(
            "opus.encode", lambda: self._encode(octets), octets, disclosure=Disclosure.PRIVATE
        )

    def _encode(self, octets: bytes) -> bytes:
        if self._backend is None:
            self._backend = _encoder_backend(self.settings)
        elif self._applied is not self.settings and self._applied != self.settings:
            self._backend.configure(self.settings)
        self._applied = self.settings
        payload = self._backend.encode(octets)
        return Audio(b"" if self.settings.dtx and len(payload) <= UNSENT else payload)


class OpusDecoder:
    """Decodes one stream. Lost frames are made up by libopus itself, or by pitch where only PyAV is there."""

    sample_rate = clock_rate = CLOCK_RATE
    frame = FRAME

    def __init__(self, context: Context) -> None:
        self._context = context
        self._backend: OpusDecoderBackend | None = None
        self.errors = 0

    def decode(self, payload: bytes | None, following: bytes | None = None) -> Int16:
        samples = self._consult(payload, None) if payload is not None else None
        if samples is None:
            self.errors += payload is not None
            samples = self._consult(None, following)
        return samples if samples is not None else np.zeros(FRAME, dtype=np.int16)

    def _consult(self, payload: bytes | None, following: bytes | None) -> Int16 | None:
        first = None if payload is None else Audio(payload)
        second = None if following is None else Audio(following)
        return self._context.oracle.consult(
            "opus.decode", lambda: self._decode(first, second), first, second, disclosure=Disclosure.PRIVATE
        )

    def _decode(self, payload: bytes | None, following: bytes | None) -> Int16 | None:
        if payload is not None and not (0 < len(payload) <= MAX_PAYLOAD and payload_duration(payload)):
            return None
        if self._backend is None:
            self._backend = _decoder_backend()
        return self._backend.decode(payload, following)

    def duration(self, payload: bytes) -> int:
        # Through the oracle, for a trace of signalling alone has no octets of the payload to tell it from.
        return self._context.oracle.consult("opus.duration", lambda: payload_duration(payload) or FRAME, Audio(payload))
