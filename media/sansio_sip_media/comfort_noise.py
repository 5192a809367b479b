"""Comfort noise (RFC 3389): what a room sounds like where the far end has stopped sending it.

A payload holds the level of the noise and the reflection coefficients of an all-pole model of its spectrum. White noise
shaped by that model is made once for each payload, as a loop; what is played goes round in it.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["ComfortNoise", "reflection_to_prediction", "white_noise"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]

OVERLOAD = 32768.0

# Samples: a second at 8 kHz; nobody hears that noise repeats after so long.
LOOP = 8_192

# Section 3.2: any order may come; models of speech codecs have 10, and beyond 12 a telephone line has no more shape.
MAX_ORDER = 12

# "k_i = 258*(N_i-127) / 32768" (section 3.2), for the highest octet just above 1; a filter with 1 would ring for ever.
SCALE = 258 / 32768
LARGEST = 0.98


@cache
def white_noise() -> Float64:
    """float64, shape (LOOP,): nearly Gaussian, RMS 1, the same each time: sums of hashed numbers (SplitMix64)."""
    mixed = np.arange(1, 4 * LOOP + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = (mixed >> np.uint64(11)).astype(np.float64) / (1 << 53) - 0.5
    noise = uniform.reshape(4, LOOP).sum(axis=0)
    noise -= noise.mean()
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))))


def reflection_to_prediction(reflections: Float64) -> Float64:
    """The polynomial A(z), shape (order + 1,), of reflection coefficients, shape (order,): the step-up recursion."""
    polynomial = np.ones(1)
    for reflection in reflections:
        padded = np.concatenate((polynomial, (0.0,)))
        polynomial = padded + reflection * padded[::-1]
    return polynomial


class ComfortNoise:
    """Makes the noise of one stream. State: the loop, and how far it has been played."""

    def __init__(self) -> None:
        self._loop: Float64 | None = None
        self._position = 0

    @property
    def active(self) -> bool:
        """Whether noise is what should be heard where nothing comes."""
        return self._loop is not None

    def update(self, payload: bytes) -> None:
        """Takes a payload of RFC 3389; an empty one changes nothing. The highest bit of the level is reserved."""
        if not payload:
            return
        shaped = white_noise()
        octets = np.frombuffer(payload[1 : 1 + MAX_ORDER], dtype=np.uint8).astype(np.float64)
        if len(octets):
            reflections = np.clip((octets - 127) * SCALE, -LARGEST, LARGEST)
            response = np.fft.rfft(reflection_to_prediction(reflections), LOOP)
            shaped = np.fft.irfft(np.fft.rfft(shaped) / response, LOOP)
        level = OVERLOAD * 10 ** (-(payload[0] & 0x7F) / 20)
        self._loop = shaped * (level / np.sqrt(np.mean(np.square(shaped))))

    def stop(self) -> None:
        """Speech has come back: until the next payload, what is missing is lost."""
        self._loop = None

    def samples(self, count: int) -> Int16:
        """The next `count`, int16, shape (count,); silence before the first payload."""
        if self._loop is None:
            return np.zeros(count, dtype=np.int16)
        at = np.arange(self._position, self._position + count) % LOOP
        self._position = (self._position + count) % LOOP
        return np.clip(np.rint(self._loop[at]), -32768, 32767).astype(np.int16)
