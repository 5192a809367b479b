"""Media by path or URL, read whole: what a ringtone may be. It blocks: call it in a thread."""

from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from sansio_sip.errors import ParseError

from .backend import Int16
from .wav_file import read_wav_file

__all__ = ["read_medium"]

# Seconds that are read; a ringtone is played over and over anyway.
MAX_SECONDS = 300.0

# Seconds for a server to say something, and to have said all: a trickle must not keep a thread for ever.
PATIENCE = 10.0
DEADLINE = 30.0

RATE = 48_000  # Hz, of what was compressed

URLS = ("http://", "https://")


def read_medium(source: str) -> tuple[Int16, int]:
    """Samples, int16, shape (n,), and their rate in Hz. WAV is read here, all else by FFmpeg (PyAV).

    It takes PATIENCE beyond DEADLINE at most. Raises OSError or ValueError where it cannot be had, or is no sound.
    """
    if not source.lower().startswith(URLS):
        try:
            samples, rate = read_wav_file(Path(source))
        except ParseError:
            pass  # it is something else than WAV
        else:
            return samples[: int(MAX_SECONDS * rate)], rate
    return _decode(source)


def _decode(source: str) -> tuple[Int16, int]:
    import av  # takes long to load, and few have it read anything

    try:
        return _decode_container(av, source)
    except av.FFmpegError as error:
        # Some kinds of it, such as the answer 404 of a server, are no OSError.
        raise OSError(f"{source}: {error.strerror}") from error


def _decode_container(av: Any, source: str) -> tuple[Int16, int]:
    latest = monotonic() + DEADLINE
    options = {"protocol_whitelist": "file,http,https,tcp,tls,crypto"}
    with av.open(source, timeout=PATIENCE, options=options) as container:
        audio = next(iter(container.streams.audio), None)
        if audio is None:
            raise ValueError(f"{source}: there is no sound in it")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        pieces: list[Int16] = []
        count = 0
        for packet in container.demux():  # of all its streams, so that a long video is noticed
            if monotonic() > latest:
                raise TimeoutError(f"{source}: it is not there after {DEADLINE:.0f} s")
            for frame in packet.decode() if packet.stream is audio else ():
                for made in resampler.resample(frame):
                    piece = np.asarray(made.to_ndarray(), dtype=np.int16).reshape(-1)
                    pieces.append(piece)
                    count += len(piece)
            if count >= MAX_SECONDS * RATE:
                break
    if not pieces:
        raise ValueError(f"{source}: there is no sound in it")
    return np.concatenate(pieces)[: int(MAX_SECONDS * RATE)], RATE
