"""From what the jitter buffer gives to what is heard."""

import numpy as np
import numpy.typing as npt

from .codecs.base import Decoder
from .comfort_noise import ComfortNoise
from .concealment import fold
from .jitter_buffer import Frame

__all__ = ["decode_frame"]


def decode_frame(decoder: Decoder, frame: Frame, noise: ComfortNoise | None = None) -> npt.NDArray[np.int16]:
    """The samples of a frame, int16, shape (n,): decoded, made up, comfort noise, or two folded into the time of one.

    `noise` is the stream's, where it may have some.
    """
    if noise is not None:
        if frame.noise is not None:
            noise.update(frame.noise)
        elif frame.payload is not None:
            noise.stop()
        if noise.active and frame.pause:
            return noise.samples(decoder.frame)
    samples = decoder.decode(frame.payload, frame.following)
    if frame.folded is None:
        return samples
    return fold(samples, decoder.decode(frame.folded), decoder.sample_rate)
