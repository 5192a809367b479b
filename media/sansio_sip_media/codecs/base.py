"""What the engine asks of a codec."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["PACKET_TIMES", "Decoder", "Encoder", "Int16", "check_frame"]

Int16 = npt.NDArray[np.int16]

# Milliseconds: what a peer may ask for in `a=ptime`.
PACKET_TIMES = (10, 20, 30, 40, 60)


def check_frame(samples: Int16, sample_rate: int, packet_times: tuple[int, ...], codec: str) -> None:
    """Raises ValueError unless this is int16 of shape (n,) that lasts one of the packet times."""
    milliseconds, rest = divmod(1000 * len(samples), sample_rate)
    if samples.dtype != np.int16 or samples.ndim != 1 or rest or milliseconds not in packet_times:
        shapes = ", ".join(f"({time * sample_rate // 1000},)" for time in packet_times)
        raise ValueError(f"a frame of {codec} is int16 of shape {shapes}, not {samples.dtype} of {samples.shape}")


class Encoder(Protocol):
    """Turns frames into payloads."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""

    @property
    def clock_rate(self) -> int:
        """RTP clock units a second; for G.722 half of the sample rate."""

    @property
    def frame(self) -> int:
        """Samples in 20 ms."""

    @property
    def packet_times(self) -> tuple[int, ...]:
        """Milliseconds that a packet may last."""

    def encode(self, samples: Int16) -> bytes:
        """The payload of one packet: int16, shape (n,), one of the packet times. Raises ValueError for another shape.

        Octets that need not be sent (silence, where the peer agreed to do without) are none: `b""`.
        """


class Decoder(Protocol):
    """Turns payloads into samples, and makes up those that are lost. Never raises on what a peer sends.

    Attributes:
        errors: payloads that could not be decoded; they are made up like lost ones.
    """

    errors: int

    @property
    def sample_rate(self) -> int:
        """Samples a second."""

    @property
    def clock_rate(self) -> int:
        """RTP clock units a second; for G.722 half of the sample rate."""

    @property
    def frame(self) -> int:
        """Samples in 20 ms: what is made up for a lost packet."""

    def decode(self, payload: bytes | None, following: bytes | None = None) -> Int16:
        """Samples of one payload, int16, shape (n,). None: one frame is made up.

        `following` is the payload after a lost one, if it has come: it may hold a copy of what was lost. It is to be
        decoded in its own turn all the same.
        """

    def duration(self, payload: bytes) -> int:
        """RTP clock units that a payload lasts."""
