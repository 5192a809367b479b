"""What the engine asks of a codec."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Decoder", "Encoder", "Int16"]

Int16 = npt.NDArray[np.int16]


class Encoder(Protocol):
    """Turns frames of 20 ms into payloads."""

    @property
    def clock_rate(self) -> int:
        """Samples and RTP clock units a second."""

    @property
    def frame(self) -> int:
        """Samples in a frame."""

    def encode(self, samples: Int16) -> bytes:
        """The payload of one frame: int16, shape (frame,). Raises ValueError for another shape."""


class Decoder(Protocol):
    """Turns payloads into samples, and makes up those that are lost. Never raises on what a peer sends.

    Attributes:
        errors: payloads that could not be decoded; they are made up like lost ones.
    """

    errors: int

    @property
    def clock_rate(self) -> int:
        """Samples and RTP clock units a second."""

    @property
    def frame(self) -> int:
        """Samples in a frame."""

    def decode(self, payload: bytes | None, following: bytes | None = None) -> Int16:
        """Samples of one payload, int16, shape (n,). None: one frame is made up.

        `following` is the payload after a lost one, if it has come: it may hold a copy of what was lost. It is to be
        decoded in its own turn all the same.
        """

    def duration(self, payload: bytes) -> int:
        """RTP clock units that a payload lasts."""
