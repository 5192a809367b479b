"""What the front ends need of an event loop, and the one way in which they wait."""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["AsyncRuntime", "Bell", "Event", "Subscription"]

T = TypeVar("T")


class Event(Protocol):
    """Both loops' event: set once, wakes all."""

    def set(self) -> Any: ...

    def wait(self) -> Awaitable[Any]: ...


class AsyncRuntime(Protocol):
    """An event loop."""

    def event(self) -> Event: ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Any]:
        """Raises `TimeoutError` out of the block after so long; None: never."""

    def last_words(self, seconds: float) -> AbstractAsyncContextManager[Any]:
        """A block that is left after so long at the latest, and in which one may wait in a cancelled task."""

    async def sleep(self, seconds: float) -> None: ...

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Runs what blocks (a file) where it does not hold up the loop. Cancelling it leaves the thread to itself."""


class Bell:
    """Wakes everybody who waits, again and again. What they wait for they look at themselves."""

    def __init__(self, runtime: AsyncRuntime) -> None:
        self._runtime = runtime
        self._event = runtime.event()

    def ring(self) -> None:
        self._event.set()
        self._event = self._runtime.event()

    async def until(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Waits until `condition` holds. Raises TimeoutError. Cancelling it stops only the wait."""
        async with self._runtime.timeout(timeout):
            while not condition():
                await self._event.wait()


class Subscription(Generic[T]):
    """A queue of what somebody wants to hear of, as an async iterator; it ends with the phone.

    What is not read is kept up to `limit`; more ends the iteration with an error, since a gap would go unseen.
    """

    def __init__(self, bell: Bell, limit: int = 10_000) -> None:
        self._bell = bell
        self._limit = limit
        self._queue: deque[T] = deque()
        self._closed = False
        self._overflow = False

    def put(self, item: T) -> None:
        if len(self._queue) >= self._limit:
            self._overflow = True
        else:
            self._queue.append(item)

    def close(self) -> None:
        self._closed = True

    def __aiter__(self) -> "Subscription[T]":
        return self

    async def __anext__(self) -> T:
        await self._bell.until(lambda: bool(self._queue) or self._closed or self._overflow)
        if self._queue:
            return self._queue.popleft()
        if self._overflow:
            raise RuntimeError(f"over {self._limit} items were not read in time; read them as they come")
        raise StopAsyncIteration
