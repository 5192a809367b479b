"""PCMU and PCMA: ITU-T G.711 by table (RFC 3551 section 4.5.14).

The tables are computed from the law itself; the tests compare all 65536 codes with those of the ITU-T's software tools.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from sansio_sip_media.concealment import Concealer

from .base import PACKET_TIMES, Int16, check_frame

__all__ = ["G711Decoder", "G711Encoder", "decode_table", "encode_table"]

CLOCK_RATE = 8_000
FRAME = 160

# A payload that is longer than this many samples is no voice packet of ours or of a sane peer's: 200 ms.
MAX_PAYLOAD = 1_600

LAWS = ("pcmu", "pcma")


def _expand_mu(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    bits = ~codes & 0xFF
    magnitude = ((((bits & 0x0F) << 3) + 0x84) << ((bits >> 4) & 7)) - 0x84
    return np.where(bits & 0x80, -magnitude, magnitude)


def _expand_a(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    bits = codes ^ 0x55
    segment, steps = (bits >> 4) & 7, (bits & 0x0F) << 4
    magnitude = np.where(segment == 0, steps + 8, (steps + 0x108) << np.maximum(segment - 1, 0))
    return np.where(bits & 0x80, magnitude, -magnitude)


def _compress_mu(linear: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # The law has 14 bits: negative values are rounded as ones' complement.
    negative = linear < 0
    magnitude = np.minimum((np.where(negative, ~linear, linear) >> 2) + 33, 0x1FFF)
    segment = np.zeros_like(magnitude)
    for bound in (0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF):
        segment += magnitude > bound
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F)
    return np.asarray(~np.where(negative, code | 0x80, code) & 0xFF)


def _compress_a(linear: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    negative = linear < 0
    magnitude = np.where(negative, ~linear, linear) >> 4
    segment = np.zeros_like(magnitude)
    for bound in (0x0F, 0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF):
        segment += magnitude > bound
    code = np.where(segment <= 1, magnitude, (magnitude >> np.maximum(segment - 1, 0)) & 0x0F)
    code = np.where(segment == 0, code, (segment << 4) | (code & 0x0F))
    return np.where(negative, code, code | 0x80) ^ 0x55


@cache
def decode_table(law: str) -> Int16:
    """int16, shape (256,): the sample of each code. `law` is `pcmu` or `pcma`."""
    codes = np.arange(256, dtype=np.int64)
    return (_expand_mu(codes) if law == "pcmu" else _expand_a(codes)).astype(np.int16)


@cache
def encode_table(law: str) -> npt.NDArray[np.uint8]:
    """uint8, shape (65536,): the code of each sample, indexed by its two's complement as uint16."""
    linear = np.arange(65536, dtype=np.int64)
    linear = np.where(linear >= 32768, linear - 65536, linear)
    return (_compress_mu(linear) if law == "pcmu" else _compress_a(linear)).astype(np.uint8)


class G711Encoder:
    """Stateless but for its law."""

    sample_rate = clock_rate = CLOCK_RATE
    frame = FRAME
    packet_times = PACKET_TIMES

    def __init__(self, law: str) -> None:
        self._table = encode_table(law)

    def encode(self, samples: Int16) -> bytes:
        check_frame(samples, CLOCK_RATE, PACKET_TIMES, "G.711")
        return self._table[samples.view(np.uint16)].tobytes()


class G711Decoder:
    """Decodes packets of any length; a lost one is made up from the pitch before it."""

    sample_rate = clock_rate = CLOCK_RATE
    frame = FRAME

    def __init__(self, law: str) -> None:
        self._table = decode_table(law)
        self._concealer = Concealer(CLOCK_RATE)
        self.errors = 0

    def decode(self, payload: bytes | None, following: bytes | None = None) -> Int16:
        if payload is None:
            return self._concealer.lost(FRAME)
        if not 0 < len(payload) <= MAX_PAYLOAD:
            self.errors += 1
            return self._concealer.lost(FRAME)
        return self._concealer.good(self._table[np.frombuffer(payload, dtype=np.uint8)])

    def duration(self, payload: bytes) -> int:
        return len(payload) if 0 < len(payload) <= MAX_PAYLOAD else FRAME
