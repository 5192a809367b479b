"""The asyncio driver: runs any root machine on the event loop.

It moves bytes and time and knows nothing of SIP or media. `sansio_sip_trio.driver` is the same file for trio: the same
names in the same order. Sockets are in `network.py`; a test may put another network in their place.

Platforms: those whose loop has `add_reader` (all but the Proactor loop of Windows).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from sansio_sip.effects import (
    CloseFlow,
    Effect,
    Listen,
    OpenDatagram,
    OpenStream,
    Resolve,
    SendDatagram,
    SendStream,
)
from sansio_sip.machine import RootMachine
from sansio_sip_sockets import WATCH_INTERVAL, local_addresses

from .network import SocketNetwork

__all__ = ["Driver", "Network", "open_driver"]

EventT = TypeVar("EventT")

EFFECTS = (SendDatagram, SendStream, OpenDatagram, OpenStream, Listen, CloseFlow, Resolve)


class Network(Protocol):
    """Performs effects, and reports what comes of them by `Driver.feed`, never from inside `perform`."""

    def perform(self, effect: Effect) -> None: ...

    async def aclose(self) -> None: ...


class Driver(Generic[EventT]):
    """One root machine, its timer and its network. Not for use from another thread: see `call_soon`.

    Args:
        machine: the root machine.
        deliver: called with each output that is no effect, in order; it must not block.
        network: makes the network; the default has real sockets.
    """

    def __init__(
        self,
        machine: RootMachine[Any],
        deliver: Callable[[EventT], None],
        *,
        network: "Callable[[Driver[Any]], Network] | None" = None,
    ) -> None:
        self.machine = machine
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._network: Network = SocketNetwork(self) if network is None else network(self)
        # The handle cannot be asked for its time: what uvloop gives for a deadline that has passed has none.
        self._timer: asyncio.Handle | None = None
        self._deadline: float | None = None
        self._finished: asyncio.Future[None] = self._loop.create_future()
        self._flushing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._addresses: tuple[str, ...] = ()

    def now(self) -> float:
        """The time to give to every input and command."""
        return self._loop.time()

    def feed(self, method: Callable[..., Any], *args: Any) -> None:
        """Gives one input to the machine and acts on what it says."""
        try:
            method(*args, now=self.now())
            self.flush()
        except BaseException as error:
            self.fail(error)

    def flush(self) -> None:
        """Performs effects and delivers events, until there are none; then sets the timer. Call it after commands."""
        if self._flushing or self._finished.done():
            return  # a command given from inside `deliver`: the loop below takes its outputs too
        self._flushing = True
        try:
            while (output := self.machine.poll_output()) is not None:
                if isinstance(output, EFFECTS):
                    self._network.perform(output)
                else:
                    self._deliver(output)
        finally:
            self._flushing = False
        self._arm()

    def flush_soon(self) -> None:
        """`flush`, once the task that gave a command waits: what it waits for by then is not missed."""
        self._loop.call_soon(self.feed, _nothing)

    def call_soon(self, command: Callable[..., Any], *args: Any) -> None:
        """Gives a command (a method that takes `now`) to the machine: the one entry for other threads."""
        self._loop.call_soon_threadsafe(self.feed, command, *args)

    def spawn(self, main: Callable[[], Awaitable[None]]) -> None:
        """Runs a task beside the machine until the driver is closed; what it raises ends the driver."""
        task = self._loop.create_task(self._run(main))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fail(self, error: BaseException) -> None:
        """Ends the driver with an error: whoever waits in `finished` gets it."""
        if not self._finished.done():
            self._finished.set_exception(error)

    def finish(self) -> None:
        """Ends the driver: `finished` returns."""
        if not self._finished.done():
            self._finished.set_result(None)

    async def finished(self) -> None:
        """Waits for `finish`; raises what went wrong in machine or `deliver`. Cancelling it stops only the wait."""
        await asyncio.shield(self._finished)

    def start(self) -> None:
        """Tells the machine the addresses of this host and performs what it has to say already."""
        self._look_at_addresses()
        self._tasks.add(self._loop.create_task(self._watch_addresses()))

    async def aclose(self) -> None:
        """Closes every socket at once. To part politely, have the machine close first."""
        self.finish()
        for task in self._tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await self._network.aclose()
        if not self._finished.cancelled():
            self._finished.exception()  # seen: it was raised from `finished`, or nobody asked

    def _arm(self) -> None:
        deadline = self.machine.next_timeout()
        if deadline == self._deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._on_timer)

    async def _run(self, main: Callable[[], Awaitable[None]]) -> None:
        try:
            await main()
        except Exception as error:
            self.fail(error)

    def _look_at_addresses(self) -> None:
        """Tells the machine where this host's addresses have changed."""
        addresses = local_addresses()
        if addresses != self._addresses:
            self._addresses = addresses
            self.feed(self.machine.interfaces_changed, addresses)

    async def _watch_addresses(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            self._look_at_addresses()

    def _on_timer(self) -> None:
        self._timer = self._deadline = None
        self.feed(self.machine.handle_timeout)


def _nothing(*, now: float) -> None:
    """No input."""


@asynccontextmanager
async def open_driver(
    machine: RootMachine[Any],
    deliver: Callable[[EventT], None],
    *,
    network: Callable[[Driver[Any]], Network] | None = None,
) -> AsyncIterator[Driver[EventT]]:
    """Runs a root machine for the length of the block; then its sockets are closed, however the block ended."""
    driver: Driver[EventT] = Driver(machine, deliver, network=network)
    try:
        driver.start()
        yield driver
    finally:
        await driver.aclose()
