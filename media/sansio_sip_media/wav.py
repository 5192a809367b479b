"""WAV files as octets: RIFF WAVE to samples, and the header of one that is being written.

Reading and writing files is left to whoever has them; here is only the format (Microsoft and IBM, 1991; the extensible
format of 2001).
"""

from struct import Struct

import numpy as np
import numpy.typing as npt

from sansio_sip.errors import ParseError

from .codecs.g711 import decode_table

__all__ = ["read_wav", "wav_header"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]

_CHUNK = Struct("<4sI")
_FORMAT = Struct("<HHIIHH")
_HEADER = Struct("<4sI4s4sIHHIIHH4sI")

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_LAWS = {_A_LAW: "pcma", _MU_LAW: "pcmu"}

# Hz and channels: what a telephone call may be fed with. Beyond is a damaged header.
MIN_RATE, MAX_RATE = 4_000, 384_000
MAX_CHANNELS = 32

# A size of 32 bits: a file that grew beyond it says this.
MAX_SIZE = 0xFFFFFFFF


def wav_header(octets: int, rate: int) -> bytes:
    """The 44 octets before `octets` of mono 16-bit samples at `rate` Hz."""
    size = min(octets, MAX_SIZE - 36)
    return _HEADER.pack(b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, _PCM, 1, rate, 2 * rate, 2, 16, b"data", size)


def read_wav(data: bytes) -> tuple[Int16, int]:
    """The samples, int16, mono, shape (n,), and their rate in Hz. Channels are averaged.

    Takes PCM of 8, 16, 24 and 32 bits, float of 32 and 64, and G.711. A file that ends early (its writer was killed, or
    never came to put its header right) gives what is there. Raises ParseError.
    """
    if len(data) < 12 or data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        raise ParseError("not a WAV file: it does not begin with RIFF and WAVE")
    layout: tuple[int, int, int, int] | None = None
    offset = 12
    while offset + _CHUNK.size <= len(data):
        name, size = _CHUNK.unpack_from(data, offset)
        start = offset + _CHUNK.size
        if name == b"fmt ":
            layout = _layout(data[start : start + size], start)
        elif name == b"data":
            if layout is None:
                raise ParseError("a WAV file with data before its format", offset=offset)
            # A size of 0 at the end of the file, or beyond it, was never put right.
            end = len(data) if start + size > len(data) or size == 0 else start + size
            return _mono(data[start:end], *layout[:3], offset=start), layout[3]
        offset = start + size + size % 2
    raise ParseError("a WAV file without data", offset=len(data))


def _layout(chunk: bytes, offset: int) -> tuple[int, int, int, int]:
    """Format, bits, channels, rate."""
    if len(chunk) < _FORMAT.size:
        raise ParseError("a WAV file with a format that is too short", offset=offset)
    kind, channels, rate, _, block, bits = _FORMAT.unpack_from(chunk)
    if kind == _EXTENSIBLE:
        if len(chunk) < 26:
            raise ParseError("a WAV file with a format that is too short", offset=offset)
        # The first two octets of the sub-format's GUID are the old number.
        kind = int.from_bytes(chunk[24:26], "little")
    if not 1 <= channels <= MAX_CHANNELS:
        raise ParseError(f"a WAV file with {channels} channels", offset=offset + 2)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ParseError(f"a WAV file at {rate} Hz", offset=offset + 4)
    # 12 bits in 2 octets stand at the top of them: the size of a sample is what counts.
    size = block // channels
    allowed = {_PCM: (1, 2, 3, 4), _FLOAT: (4, 8), _A_LAW: (1,), _MU_LAW: (1,)}
    if kind not in allowed:
        raise ParseError(f"a WAV file of format {kind}, which is neither PCM, float nor G.711", offset=offset)
    if size not in allowed[kind] or block != size * channels or not 0 < bits <= 8 * size:
        raise ParseError(f"a WAV file with {bits} bits in {block} octets for {channels} channels", offset=offset + 12)
    return kind, size, channels, rate


def _mono(octets: bytes, kind: int, size: int, channels: int, *, offset: int) -> Int16:
    whole = len(octets) - len(octets) % (size * channels)
    octets = octets[:whole]
    if kind == _PCM and size == 2 and channels == 1:
        return np.frombuffer(octets, dtype="<i2").astype(np.int16)
    samples: Float64
    if kind in _LAWS:
        samples = decode_table(_LAWS[kind])[np.frombuffer(octets, dtype=np.uint8)].astype(np.float64)
    elif kind == _FLOAT:
        samples = np.frombuffer(octets, dtype=f"<f{size}").astype(np.float64)
        samples = np.nan_to_num(np.clip(samples, -1.0, 1.0), nan=0.0) * 32768.0
    elif size == 1:
        samples = (np.frombuffer(octets, dtype=np.uint8).astype(np.float64) - 128.0) * 256.0
    elif size == 3:
        # The octets of each sample as the upper ones of 32 bits.
        wide = np.zeros((len(octets) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(octets, dtype=np.uint8).reshape(-1, 3)
        samples = wide.reshape(-1).view("<i4").astype(np.float64) / 65536.0
    else:
        samples = np.frombuffer(octets, dtype=f"<i{size}").astype(np.float64) / 256.0 ** (size - 2)
    mixed = samples.reshape(-1, channels).mean(axis=1)
    return np.asarray(np.clip(np.rint(mixed), -32768, 32767), dtype=np.int16)
