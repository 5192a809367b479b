"""What somebody wants to hear of, as something to iterate over: events, calls, keys, audio.

Theory of operation
-------------------
Whoever iterates over a `Subscription` holds it; those who put into it hold it weakly. One that nobody holds any more is
gone, without a word of whoever has left its loop. `aclose` says that word: it leaves at once, for
`contextlib.aclosing`, and for a loop in another task.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from sansio_sip_media.resample import Resampler

from .runtime import Bell

__all__ = ["AudioStream", "Subscription"]

T = TypeVar("T")

Int16 = npt.NDArray[np.int16]

# Seconds of heard audio kept for a reader that lags, and the least that comes at a time.
MAX_UNREAD, PIECE = 60.0, 0.020


class Subscription(Generic[T]):
    """A queue as an async iterator; it ends with the phone, the client or the call that it is of.

    What is not read is kept up to a limit; more ends the iteration with a RuntimeError, since a gap would go unseen.
    """

    def __init__(self, bell: Bell, limit: int = 10_000, *, left: Callable[[], object] | None = None) -> None:
        self._bell = bell
        self._limit = limit
        self._left = left
        self._queue: deque[T] = deque()
        self._closed = False
        self._overflow = False

    def put(self, item: T) -> None:
        """From whoever has it; nothing more is taken once it is closed."""
        if self._closed:
            return
        if len(self._queue) >= self._limit:
            self._overflow = True
        else:
            self._queue.append(item)

    def close(self) -> None:
        """There is no more to come: it ends once all has been read. Whoever calls it rings the bell."""
        self._closed = True

    async def aclose(self) -> None:
        """Leaves at once: what was not read is dropped, and whoever iterates over it comes to the end."""
        self._closed, self._overflow = True, False
        self._queue.clear()
        if self._left is not None:
            self._left()
        self._bell.ring()

    def __aiter__(self) -> "Subscription[T]":
        return self

    async def __anext__(self) -> T:
        await self._bell.until(lambda: bool(self._queue) or self._closed or self._overflow)
        if self._queue:
            return self._queue.popleft()
        if self._overflow:
            raise RuntimeError(f"over {self._limit} items were not read in time; read them as they come")
        raise StopAsyncIteration


class AudioStream(Subscription[Int16]):
    """What is heard in a call: int16, shape (n,), at `rate` Hz. A minute of it is kept for a reader that lags."""

    def __init__(self, bell: Bell, rate: int) -> None:
        super().__init__(bell, limit=int(MAX_UNREAD / PIECE))
        self.rate = rate
        self._resampler: Resampler | None = None

    def hear(self, samples: Int16, rate: int) -> None:
        """Takes a piece that was heard, at any rate."""
        if rate != self.rate:
            if self._resampler is None or self._resampler.rate_in != rate:
                self._resampler = Resampler(rate, self.rate)
            samples = self._resampler.process(samples)
        if len(samples):
            self.put(samples)
