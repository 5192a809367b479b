"""Making up what was lost, and joining sound without clicks: pure numpy on whole frames.

Speech repeats itself from pitch period to pitch period, so the last period, repeated and faded, covers for a lost
frame (ITU-T G.711 Appendix I works so; here without its delay of 3.75 ms). The joints are cross-faded.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Concealer", "fold"]

Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

# Seconds. The pitch of voices lies within 66 to 400 Hz; two periods of the lowest must be kept.
SHORTEST_PERIOD, LONGEST_PERIOD = 0.0025, 0.015
HISTORY = 0.045

# Seconds: repeated in full, then fading in a straight line to nothing (Appendix I: 10 ms, 60 ms).
HOLD, FADE = 0.010, 0.050

# Seconds over which a real frame takes over from a made-up one.
TAKE_OVER = 0.005

# Correlation is looked for on every n-th sample, at about this rate: pitch needs no more.
SEARCH_RATE = 8_000


class Concealer:
    """Makes up lost frames of one stream at `rate` Hz from what was played before.

    State: 45 ms of history, the period that is being repeated, how far it has come, and how loud it is.
    """

    __slots__ = ("_history", "_made_up", "_offset", "_period", "rate")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._history: Float32 = np.zeros(round(HISTORY * rate), dtype=np.float32)
        self._period: Float32 | None = None
        self._offset = np.float32(0.0)  # the step at the joint, led back to nothing
        self._made_up = 0  # samples since the loss began

    def good(self, samples: Int16) -> Int16:
        """A decoded frame, shape (n,): remembered, and after a loss faded in over what would have been made up."""
        if self._period is None:
            self._remember(samples.astype(np.float32))
            return samples
        length = min(round(TAKE_OVER * self.rate), len(samples))
        made_up = self._synthesize(length)
        rise = (np.arange(1, length + 1, dtype=np.float32)) / np.float32(length + 1)
        joined = samples.astype(np.float32)
        joined[:length] = made_up * (1 - rise) + joined[:length] * rise
        self._period, self._made_up = None, 0
        self._remember(joined)
        return _int16(joined)

    def lost(self, count: int) -> Int16:
        """`count` samples in place of a lost frame."""
        if self._period is None:
            self._start()
        samples = self._synthesize(count)
        self._made_up += count
        self._remember(samples)
        return _int16(samples)

    def _start(self) -> None:
        history = self._history
        period = _pitch_period(history, self.rate)
        cycle = history[-period:].copy()
        # The end of the cycle is led into what came before its beginning, so that it can be repeated.
        overlap = min(period // 4, len(history) - period)
        if overlap:
            rise = np.arange(1, overlap + 1, dtype=np.float32) / np.float32(overlap + 1)
            cycle[-overlap:] = cycle[-overlap:] * (1 - rise) + history[-period - overlap : -period] * rise
        self._period = cycle
        self._made_up = 0
        # The unfaded end of the history meets the start of the cycle: any step there is led back to nothing.
        self._offset = np.float32(history[-1] - history[-period - 1]) if len(history) > period else np.float32(0.0)

    def _synthesize(self, count: int) -> Float32:
        """The continuation from `_made_up` on; does not move it."""
        assert self._period is not None
        at = np.arange(self._made_up, self._made_up + count)
        samples = self._period[at % len(self._period)]
        lead = round(TAKE_OVER * self.rate)
        samples = samples + self._offset * np.maximum(1 - (at + 1) / np.float32(lead), 0).astype(np.float32)
        hold, fade = HOLD * self.rate, FADE * self.rate
        gain = np.clip(1 - (at - hold) / fade, 0.0, 1.0).astype(np.float32)
        return np.asarray(samples * gain, dtype=np.float32)

    def _remember(self, samples: Float32) -> None:
        size = len(self._history)
        if len(samples) >= size:
            self._history = samples[-size:].copy()
        else:
            self._history = np.concatenate((self._history[len(samples) :], samples))


def _pitch_period(history: Float32, rate: int) -> int:
    """Samples of the period in which the end of `history` is most like what came before."""
    step = max(1, rate // SEARCH_RATE)
    # Averaging over the step is low-pass enough for a search of pitch.
    usable = len(history) - len(history) % step
    coarse = history[len(history) - usable :].reshape(-1, step).mean(axis=1, dtype=np.float64)
    shortest, longest = round(SHORTEST_PERIOD * rate / step), round(LONGEST_PERIOD * rate / step)
    scores = _scores(coarse, np.arange(shortest, longest + 1), len(coarse) - longest)
    # Of peaks nearly as high the first: a multiple of the pitch would repeat a whole word's melody.
    high = scores >= 0.95 * scores.max()
    first = int(np.argmax(high))
    width = int(np.argmin(high[first:])) or len(high) - first
    best = shortest + first + int(np.argmax(scores[first : first + width]))
    if step == 1:
        return best
    lags = np.arange((best - 1) * step, (best + 1) * step + 1)
    return int(lags[np.argmax(_scores(history.astype(np.float64), lags, len(history) - int(lags[-1])))])


def _scores(signal: npt.NDArray[np.float64], lags: npt.NDArray[np.int64], span: int) -> npt.NDArray[np.float64]:
    """How like the last `span` samples are to those each lag before: their product over the norm of the latter."""
    template = signal[-span:]
    starts = len(signal) - lags - span
    first = int(starts.min())
    products = np.correlate(signal[first : int(starts.max()) + span], template, "valid")[starts - first]
    sums = np.concatenate(([0.0], np.cumsum(np.square(signal))))
    return np.asarray(products / np.sqrt(np.maximum(sums[starts + span] - sums[starts], 1.0)))


def fold(first: Int16, second: Int16, rate: int) -> Int16:
    """Two frames in the time of one, so that neither end shows a step: shape (n,) and (n,) give (n,).

    The first leads over into the second where the two are most alike, within half a pitch period.
    """
    count = len(first)
    if count != len(second) or count < 8:
        return second
    both = np.concatenate((first, second)).astype(np.float32)
    overlap = min(count // 2, round(TAKE_OVER * rate))
    # The cut takes `count` samples out, starting at `cut`: both[cut] is followed by both[cut + count].
    cuts = np.arange(0, count - overlap + 1, max(1, rate // SEARCH_RATE))
    windows = np.lib.stride_tricks.sliding_window_view(both, overlap)
    ahead, behind = windows[cuts], windows[cuts + count]
    distances = np.square(ahead - behind).sum(axis=1)
    cut = int(cuts[int(np.argmin(distances))])
    rise = np.arange(1, overlap + 1, dtype=np.float32) / np.float32(overlap + 1)
    joint = both[cut : cut + overlap] * (1 - rise) + both[cut + count : cut + count + overlap] * rise
    return _int16(np.concatenate((both[:cut], joint, both[cut + count + overlap :])))


def _int16(samples: Float32) -> Int16:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
