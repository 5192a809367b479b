"""What the front ends need of an event loop, and the one way in which they wait."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

__all__ = ["AsyncRuntime", "Bell", "Event"]

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
        if timeout is None:  # as with each frame of audio: there is nothing to set up
            await self._until(condition)
            return
        async with self._runtime.timeout(timeout):
            await self._until(condition)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._event.wait()
