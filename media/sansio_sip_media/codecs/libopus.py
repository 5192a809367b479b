"""libopus by its C interface: what PyAV cannot do with the same library is concealment and in-band FEC.

The library is the one in PyAV's own wheel, or the system's. Where there is neither, `load` gives None.
"""

import ctypes
import weakref
from functools import cache
from importlib import metadata

import numpy as np

from .base import Int16
from .opus_settings import RATES, OpusSettings

__all__ = ["LibOpusDecoder", "LibOpusEncoder", "load"]

RATE = 48_000
FRAME = 960

# opus_defines.h
_APPLICATION_VOIP = 2048
_SET_BITRATE, _SET_MAX_BANDWIDTH, _SET_VBR, _SET_COMPLEXITY = 4002, 4004, 4006, 4010
_SET_INBAND_FEC, _SET_PACKET_LOSS_PERC, _SET_DTX = 4012, 4014, 4016

# OPUS_BANDWIDTH_NARROWBAND to _FULLBAND, by the sample rate that each needs.
_BANDWIDTHS = dict(zip(RATES, range(1101, 1106), strict=True))

# Octets. RFC 6716 section 3.2.1: no frame of 20 ms needs more, and three of them make 60 ms.
_MAX_PACKET = 3 * 1276

# Samples: 120 ms, the longest packet.
_MAX_SAMPLES = 5_760

_SYSTEM_NAMES = ("libopus.so.0", "libopus.0.dylib", "opus.dll")


def _candidates() -> list[str]:
    """File names to try: those that PyAV's wheel lists, then the loader's."""
    try:
        files = metadata.files("av") or []
    except metadata.PackageNotFoundError:
        files = []
    bundled = [str(file.locate()) for file in files if file.name.startswith(("libopus-", "libopus.", "opus-"))]
    return [*bundled, *_SYSTEM_NAMES]


@cache
def load() -> ctypes.CDLL | None:
    """The library with its functions declared, or None. Looked for once."""
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
            _declare(library)
        except (OSError, AttributeError):
            continue
        return library
    return None


def _declare(library: ctypes.CDLL) -> None:
    state, octets, samples = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    number, error = ctypes.c_int, ctypes.POINTER(ctypes.c_int)
    library.opus_encoder_create.argtypes = [ctypes.c_int32, number, number, error]
    library.opus_encoder_create.restype = state
    # Variadic: what follows these two is given as c_int in the call.
    library.opus_encoder_ctl.argtypes = [state, number]
    library.opus_encode.argtypes = [state, octets, number, ctypes.c_void_p, ctypes.c_int32]
    library.opus_encode.restype = ctypes.c_int32
    library.opus_encoder_destroy.argtypes = [state]
    library.opus_encoder_destroy.restype = None
    library.opus_decoder_create.argtypes = [ctypes.c_int32, number, error]
    library.opus_decoder_create.restype = state
    library.opus_decode.argtypes = [state, octets, ctypes.c_int32, samples, number, number]
    library.opus_decoder_destroy.argtypes = [state]
    library.opus_decoder_destroy.restype = None


def _library() -> ctypes.CDLL:
    library = load()
    if library is None:
        raise RuntimeError("libopus was not found; install PyAV from its wheel, or the system's libopus")
    return library


def _check(state: int | None, error: ctypes.c_int) -> int:
    if not state:
        raise RuntimeError(f"libopus refused to make a state (error {error.value})")
    return state


class LibOpusEncoder:
    """One encoder, mono 48 kHz, tuned for voice."""

    def __init__(self, settings: OpusSettings) -> None:
        self._library = _library()
        error = ctypes.c_int()
        create = self._library.opus_encoder_create
        self._state = _check(create(RATE, 1, _APPLICATION_VOIP, ctypes.byref(error)), error)
        weakref.finalize(self, self._library.opus_encoder_destroy, self._state)
        self._packet = ctypes.create_string_buffer(_MAX_PACKET)
        self.configure(settings)

    def configure(self, settings: OpusSettings) -> None:
        """May be called between any two packets."""
        bandwidth = max(rate for rate in _BANDWIDTHS if rate <= max(settings.playback_rate, 8_000))
        for setting, value in (
            (_SET_BITRATE, settings.bitrate),
            (_SET_COMPLEXITY, settings.complexity),
            (_SET_INBAND_FEC, int(settings.expected_loss > 0)),
            (_SET_PACKET_LOSS_PERC, settings.expected_loss),
            (_SET_DTX, int(settings.dtx)),
            (_SET_MAX_BANDWIDTH, _BANDWIDTHS[bandwidth]),
            (_SET_VBR, int(not settings.constant_bitrate)),
        ):
            if self._library.opus_encoder_ctl(self._state, setting, ctypes.c_int(value)) != 0:
                raise ValueError(f"libopus refused {value} for setting {setting}")

    def encode(self, samples: bytes) -> bytes:
        """The packet of 10, 20, 40 or 60 ms, given as the octets of int16 in the machine's order."""
        length = self._library.opus_encode(self._state, samples, len(samples) // 2, self._packet, _MAX_PACKET)
        if length < 0:
            raise RuntimeError(f"libopus could not encode (error {length})")
        return self._packet.raw[:length]


class LibOpusDecoder:
    """One decoder, mono 48 kHz."""

    def __init__(self) -> None:
        self._library = _library()
        error = ctypes.c_int()
        self._state = _check(self._library.opus_decoder_create(RATE, 1, ctypes.byref(error)), error)
        weakref.finalize(self, self._library.opus_decoder_destroy, self._state)
        self._samples = np.empty(_MAX_SAMPLES, dtype=np.int16)
        self._address = self._samples.ctypes.data

    def decode(self, payload: bytes | None, following: bytes | None) -> Int16 | None:
        """int16, shape (n,), of a packet; of a lost one (None) 20 ms, from the copy in `following` if it has one.

        None: the packet is not valid.
        """
        decode = self._library.opus_decode
        if payload is not None:
            count = decode(self._state, payload, len(payload), self._address, _MAX_SAMPLES, 0)
        elif following is not None:
            count = decode(self._state, following, len(following), self._address, FRAME, 1)
        else:
            count = decode(self._state, None, 0, self._address, FRAME, 0)
        return self._samples[:count].copy() if count > 0 else None
