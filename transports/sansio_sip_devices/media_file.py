"""Media by path or URL, read whole: what a ringtone may be. It blocks: call it in a thread."""

from pathlib import Path

import numpy as np

from sansio_sip.errors import ParseError

from .backend import Int16
from .wav_file import read_wav_file

__all__ = ["read_medium"]

# Seconds that are read; a ringtone is played over and over anyway.
MAX_SECONDS = 300.0

# Seconds for a server to say something.
PATIENCE = 10.0

RATE = 48_000  # Hz, of what was compressed

URLS = ("http://", "https://")


def read_medium(source: str) -> tuple[Int16, int]:
    """Samples, int16, shape (n,), and their rate in Hz. WAV is read here, all else by FFmpeg (PyAV).

    Raises OSError or ValueError where it cannot be had, or is no sound.
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

    options = {"protocol_whitelist": "file,http,https,tcp,tls,crypto"}
    with av.open(source, timeout=PATIENCE, options=options) as container:
        if not container.streams.audio:
            raise ValueError(f"{source}: there is no sound in it")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        pieces: list[Int16] = []
        count = 0
        for frame in container.decode(audio=0):
            for made in resampler.resample(frame):
                piece = np.asarray(made.to_ndarray(), dtype=np.int16).reshape(-1)
                pieces.append(piece)
                count += len(piece)
            if count >= MAX_SECONDS * RATE:
                break
    if not pieces:
        raise ValueError(f"{source}: there is no sound in it")
    return np.concatenate(pieces)[: int(MAX_SECONDS * RATE)], RATE
