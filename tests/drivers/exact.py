"""Both runtimes with virtual time that is exact: it stands at the very numbers that deadlines are.

The virtual clocks of `runtimes` add up waits, so that a deadline is met to within a rounding error. That is as good as
any real clock, but two runs cannot be compared octet for octet by it. These jump to the deadline itself.
"""

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import trio

import sansio_sip_asyncio.driver
import sansio_sip_trio.driver

__all__ = ["EXACT_RUNTIMES", "ExactAsyncio", "ExactTrio"]

T = TypeVar("T")

# Virtual seconds: whoever waits for what never comes is there at once.
LIMIT = 100_000.0


class _ExactSelector(selectors.DefaultSelector):
    """Where the loop would wait, has it step to its next timer."""

    loop: "_ExactLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self.loop.step()
        return ready


class _ExactLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = 0.0
        self._alarms: list[float] = []
        selector = _ExactSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._clock

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]  # typeshed counts its arguments
        heapq.heappush(self._alarms, when)
        return super().call_at(when, callback, *args, context=context)

    def step(self) -> None:
        while self._alarms and self._alarms[0] <= self._clock:
            heapq.heappop(self._alarms)
        if not self._alarms:
            raise RuntimeError("the virtual loop would wait for ever")
        self._clock = self._alarms[0]


class ExactAsyncio:
    name = "asyncio"
    driver = sansio_sip_asyncio.driver

    @staticmethod
    def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def limited() -> T:
            async with asyncio.timeout(LIMIT):
                return await main()

        with asyncio.Runner(loop_factory=_ExactLoop) as runner:
            return runner.run(limited())

    @staticmethod
    async def sleep_until(time: float) -> None:
        """Returns at that very time; at once where it is now."""
        loop = asyncio.get_running_loop()
        if time > loop.time():
            reached = loop.create_future()
            loop.call_at(time, reached.set_result, None)
            await reached

    Event = asyncio.Event


class _ExactClock(trio.abc.Clock):
    """Trio asks how long it may sleep when nothing else is left to do: then it is later already."""

    def __init__(self) -> None:
        self._time = 0.0

    def start_clock(self) -> None:
        self._time = 0.0

    def current_time(self) -> float:
        return self._time

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline == float("inf"):
            return 1.0  # trio itself is at work, as it is at the end of a run
        self._time = max(self._time, deadline)
        return 0.0


class ExactTrio:
    name = "trio"
    driver = sansio_sip_trio.driver

    @staticmethod
    def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def limited() -> T:
            with trio.fail_after(LIMIT):
                return await main()

        return trio.run(limited, clock=_ExactClock())

    @staticmethod
    async def sleep_until(time: float) -> None:
        """Returns at that very time; at once where it is now."""
        if time > trio.current_time():
            await trio.sleep_until(time)

    Event = trio.Event


EXACT_RUNTIMES = [ExactAsyncio, ExactTrio]
