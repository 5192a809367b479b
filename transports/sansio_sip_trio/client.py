"""Phones and clients on trio. See `sansio_sip_asyncio.client`: the same names in the same order."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from sansio_sip_async.front_end import FrontEnd

from .driver import open_driver

__all__ = ["open_client", "open_softphone"]

T = TypeVar("T")


class Runtime:
    """See `sansio_sip_async.runtime.AsyncRuntime` and `front_end.EventLoop`."""

    def event(self) -> trio.Event:
        return trio.Event()

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[None]:
        try:
            with trio.fail_after(float("inf") if seconds is None else seconds):
                yield
        except trio.TooSlowError:
            raise TimeoutError from None

    @asynccontextmanager
    async def last_words(self, seconds: float) -> AsyncIterator[None]:
        with trio.move_on_after(seconds, shield=True):
            yield

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def in_thread(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)

    def now(self) -> float:
        return trio.current_time()

    open_driver = staticmethod(open_driver)


RUNTIME = Runtime()

_front_end = FrontEnd(RUNTIME)
open_softphone, open_client = _front_end.open_softphone, _front_end.open_client
