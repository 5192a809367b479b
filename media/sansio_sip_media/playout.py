"""From what the jitter buffer gives to what is heard."""

import numpy as np
import numpy.typing as npt

from .codecs.base import Decoder
from .concealment import fold
from .jitter_buffer import Frame

__all__ = ["decode_frame"]


def decode_frame(decoder: Decoder, frame: Frame) -> npt.NDArray[np.int16]:
    """The samples of a frame, int16, shape (n,): decoded, made up, or two folded into the time of one."""
    samples = decoder.decode(frame.payload, frame.following)
    if frame.folded is None:
        return samples
    return fold(samples, decoder.decode(frame.folded), decoder.clock_rate)
