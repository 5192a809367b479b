"""How well a recording holds what was said: PESQ (ITU-T P.862), beside what the codec alone makes of it."""

import random
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip_media.codecs import make_decoder, make_encoder
from sansio_sip_media.codecs.opus_settings import OpusSettings
from sansio_sip_media.resample import Resampler

__all__ = ["Codec", "Heard", "judge"]

Int16 = npt.NDArray[np.int16]
Codec = Literal["opus", "pcmu"]

# Of what is compared, in Hz and as PESQ calls it.
BANDS = {"opus": (16_000, "wb"), "pcmu": (8_000, "nb")}

# How often a recording is judged, each time from a tenth of a second later on.
CUTS = 5


@dataclass(frozen=True, slots=True)
class Heard:
    """PESQ of a recording, and of the same words where nothing but the codec is between; 1.0 to 4.6."""

    score: float
    alone: float

    @property
    def good(self) -> bool:
        return self.score >= self.alone - 0.2


def judge(said: Int16, heard: Int16, rate: int, codec: Codec) -> Heard:
    """Compares a recording with what was said again and again; it may begin anywhere in it.

    Args:
        said: int16, shape (samples,), as `heard`; both at `rate` Hz.
        heard: no longer than twice what was said.
    """
    pesq = pytest.importorskip("pesq").pesq
    band, name = BANDS[codec]
    loop = np.tile(_at(said, rate, band), 3)
    piece = _at(heard, rate, band)
    size = 1 << (len(loop) + len(piece)).bit_length()
    spectra = np.fft.rfft(loop.astype(np.float64), size) * np.conj(np.fft.rfft(piece.astype(np.float64), size))
    begin = int(np.argmax(np.fft.irfft(spectra, size)[: len(loop) - len(piece)]))
    words, coded = loop[begin : begin + len(piece)], _coded(loop, band, codec)[begin : begin + len(piece)]
    # By where a recording is cut, PESQ says up to 0.25 more or less of the same sound: the cut in the middle counts.
    cuts = [slice(at, len(piece) - (CUTS - 1) * band // 10 + at) for at in range(0, CUTS * band // 10, band // 10)]
    return Heard(
        median(float(pesq(band, words[cut], piece[cut], name)) for cut in cuts),
        median(float(pesq(band, words[cut], coded[cut], name)) for cut in cuts),
    )


def _coded(samples: Int16, rate: int, codec: Codec) -> Int16:
    """Through the codec and back, at the same rate."""
    context = Context(Entropy(random.Random(1)))
    encoder = make_encoder(codec, context, OpusSettings(bitrate=32_000, complexity=5))
    decoder = make_decoder(codec, context)
    given = _at(samples, rate, encoder.sample_rate)
    frames = [given[at : at + encoder.frame] for at in range(0, len(given) - encoder.frame + 1, encoder.frame)]
    heard = np.concatenate([decoder.decode(encoder.encode(frame)) for frame in frames])
    return _at(heard, decoder.sample_rate, rate)


def _at(samples: Int16, rate: int, wanted: int) -> Int16:
    return samples if rate == wanted else Resampler(rate, wanted).process(samples)
