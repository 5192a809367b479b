"""Phones and clients on asyncio. `sansio_sip_trio.client` is the same file for trio, name by name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sansio_sip_async.front_end import FrontEnd

from .driver import open_driver

__all__ = ["open_client", "open_softphone"]

T = TypeVar("T")


class Runtime:
    """See `sansio_sip_async.runtime.AsyncRuntime` and `front_end.EventLoop`."""

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[None]:
        async with asyncio.timeout(seconds):
            yield

    @asynccontextmanager
    async def last_words(self, seconds: float) -> AsyncIterator[None]:
        # A cancelled task of asyncio may wait as it likes; only a second cancellation cuts this short.
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            return

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    open_driver = staticmethod(open_driver)


RUNTIME = Runtime()

_front_end = FrontEnd(RUNTIME)
open_softphone, open_client = _front_end.open_softphone, _front_end.open_client
