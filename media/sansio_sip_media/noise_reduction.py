"""Noise reduction: a Wiener gate on the short-time spectrum, over a floor of noise that is tracked all the time.

Theory of operation
-------------------
Frames of 20 ms, half overlapping, under the square root of a Hann window before and after: with gains of 1 they add up
to what went in, 20 ms later. In each frame and each bin

    floor   follows the smoothed power down quickly and up slowly, so that it lies where the noise is and not the voice
    prior   SNR, by the decision-directed rule of Ephraim and Malah (1984): mostly the last frame's cleaned power over
            the floor, partly what this frame has over it. That keeps noise from twittering.
    gain    prior / (1 + prior), Wiener's, not below -18 dB: a room that falls quite silent sounds like a dead line

Rows are streams; none influences another.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["NoiseReducer"]

Int16 = npt.NDArray[np.int16]
Float64 = npt.NDArray[np.float64]
Complex128 = npt.NDArray[np.complex128]

# Seconds.
HOP = 0.010

# Share of the last frame's estimate in the prior SNR, and its lowest value.
DIRECTED = 0.95
LOWEST_PRIOR = 10 ** (-22 / 10)

LOWEST_GAIN = 10 ** (-18 / 20)

# Smoothing of the power from frame to frame, before the floor is looked for.
SMOOTHING = 0.75

# dB a second by which the floor rises where the power lies above it. A syllable of 0.2 s lifts it by half a dB.
RISE = 3.0

# The floor lies at the valleys of the smoothed power; its mean is so many times higher.
BIAS = 1.5

# Frames before the floor may only rise slowly: what a stream begins with is taken for noise.
LEARNING = 10


class NoiseReducer:
    """Cleans `rows` streams at `rate` Hz.

    Attributes:
        gain: of the last frame, shape (rows, bins), 0.13 to 1.0.
        delay: samples by which the output lags.
    """

    def __init__(self, rate: int, rows: int = 1) -> None:
        self.hop = round(HOP * rate)
        self.delay = 2 * self.hop
        size = 2 * self.hop
        bins = size // 2 + 1
        self._window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size))
        self._rise = 10 ** (RISE * HOP / 10)
        self._input: Float64 = np.zeros((rows, self.hop))  # the last hop of samples, then what is no whole hop yet
        self._tail: Float64 = np.zeros((rows, self.hop))  # of the last frame, to be added to the next
        self._output: Float64 = np.zeros((rows, self.hop))  # made, and not given yet
        self._power: Float64 = np.zeros((rows, bins))
        self._floor: Float64 = np.zeros((rows, bins))
        self._clean: Float64 = np.zeros((rows, bins))
        self._frames = 0
        self.gain: Float64 = np.ones((rows, bins))

    def process(self, samples: Int16) -> Int16:
        """The next piece, int16, shape (rows, n), any n: as many cleaned samples, `delay` later."""
        count = samples.shape[1]
        self._input = np.concatenate((self._input, samples.astype(np.float64)), axis=1)
        made = [self._output]
        while self._input.shape[1] >= 2 * self.hop:
            made.append(self._frame(self._input[:, : 2 * self.hop]))
            self._input = self._input[:, self.hop :]
        output = np.concatenate(made, axis=1)
        self._output = output[:, count:]
        return np.clip(np.rint(output[:, :count]), -32768, 32767).astype(np.int16)

    def _frame(self, frame: Float64) -> Float64:
        """Cleans one frame, shape (rows, 2 * hop); gives the hop that is now complete."""
        spectrum: Complex128 = np.fft.rfft(frame * self._window, axis=1)
        self.gain = self._gains(np.square(np.abs(spectrum)))
        clean = np.fft.irfft(spectrum * self.gain, frame.shape[1], axis=1) * self._window
        done = self._tail + clean[:, : self.hop]
        self._tail = clean[:, self.hop :]
        return np.asarray(done)

    def _gains(self, power: Float64) -> Float64:
        """The gain for each bin of a frame's power, shape (rows, bins)."""
        self._frames += 1
        if self._frames == 1:
            self._power = power
        self._power = SMOOTHING * self._power + (1 - SMOOTHING) * power
        if self._frames <= LEARNING:
            self._floor = self._power.copy() if self._frames == 1 else 0.7 * self._floor + 0.3 * self._power
        else:
            self._floor = np.minimum(np.maximum(self._power, 1e-3), self._floor * self._rise)
        noise = np.maximum(BIAS * self._floor, 1e-3)
        over = np.maximum(power / noise - 1, 0.0)
        prior = np.maximum(DIRECTED * self._clean / noise + (1 - DIRECTED) * over, LOWEST_PRIOR)
        gain = np.maximum(prior / (1 + prior), LOWEST_GAIN)
        self._clean = np.square(gain) * power
        return np.asarray(gain)
