"""The runtimes behind one small face, so that each test of a driver is written once."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

import trio
import trio.testing

import sansio_sip_asyncio.driver
import sansio_sip_trio.driver

__all__ = ["RUNTIMES", "Asyncio", "Trio", "Uvloop"]

T = TypeVar("T")


class _VirtualSelector(selectors.DefaultSelector):
    """Sleeps by moving the loop's clock instead of waiting, as soon as no socket has anything."""

    clock = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the virtual loop would wait for ever")
            self.clock += max(timeout, 0)
        return ready


class Asyncio:
    """Runs a test on asyncio; `virtual` gives a loop whose time jumps to the next timer."""

    name = "asyncio"
    driver = sansio_sip_asyncio.driver

    @staticmethod
    def run(main: Callable[[], Coroutine[Any, Any, T]], *, virtual: bool = False) -> T:
        if not virtual:
            return asyncio.run(main())
        selector = _VirtualSelector()
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.clock  # type: ignore[method-assign]  # the documented way is to override it
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main())

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)

    @staticmethod
    async def within(seconds: float, awaitable: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(seconds):
            return await awaitable()

    @staticmethod
    async def together(*tasks: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs all at once until each has ended."""
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task())

    Event = asyncio.Event


class Trio:
    name = "trio"
    driver = sansio_sip_trio.driver

    @staticmethod
    def run(main: Callable[[], Coroutine[Any, Any, T]], *, virtual: bool = False) -> T:
        clock = trio.testing.MockClock(autojump_threshold=0) if virtual else None
        return trio.run(main, clock=clock)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await trio.sleep(seconds)

    @staticmethod
    async def within(seconds: float, awaitable: Callable[[], Awaitable[T]]) -> T:
        with trio.fail_after(seconds):
            return await awaitable()

    @staticmethod
    async def together(*tasks: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs all at once until each has ended."""
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)

    Event = trio.Event


class Uvloop(Asyncio):
    """The asyncio driver on another event loop. Its clock cannot be replaced, so virtual time is asyncio's own."""

    name = "uvloop"

    @staticmethod
    def run(main: Callable[[], Coroutine[Any, Any, T]], *, virtual: bool = False) -> T:
        if virtual:
            return Asyncio.run(main, virtual=True)
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())


RUNTIMES = [Asyncio, Trio, *([Uvloop] if find_spec("uvloop") is not None else [])]
