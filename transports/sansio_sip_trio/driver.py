"""The trio driver: runs any root machine in a nursery.

It moves bytes and time and knows nothing of SIP or media. `sansio_sip_asyncio.driver` is the same file for asyncio: the
same names in the same order. Sockets are in `network.py`; a test may put another network in their place.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

import trio

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
from sansio_sip_sockets import PARTING, WATCH_INTERVAL, local_addresses

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
        nursery: where its tasks live.
        network: makes the network; the default has real sockets.
    """

    def __init__(
        self,
        machine: RootMachine[Any],
        deliver: Callable[[EventT], None],
        *,
        nursery: trio.Nursery,
        network: "Callable[[Driver[Any]], Network] | None" = None,
    ) -> None:
        self.machine = machine
        self.nursery = nursery
        self._deliver = deliver
        self._token = trio.lowlevel.current_trio_token()
        self._network: Network = SocketNetwork(self) if network is None else network(self)
        self._timer = trio.CancelScope()
        self._timer_deadline: float | None = None
        self._finished = trio.Event()
        self._error: BaseException | None = None
        self._flushing = False
        self._addresses: tuple[str, ...] = ()

    def now(self) -> float:
        """The time to give to every input and command."""
        return trio.current_time()

    def feed(self, method: Callable[..., Any], *args: Any) -> None:
        """Gives one input to the machine and acts on what it says."""
        try:
            method(*args, now=self.now())
            self.flush()
        except BaseException as error:
            self.fail(error)

    def flush(self) -> None:
        """Performs effects and delivers events, until there are none; then sets the timer. Call it after commands."""
        if self._flushing or self._finished.is_set():
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
        self._token.run_sync_soon(self.feed, _nothing)

    def call_soon(self, command: Callable[..., Any], *args: Any) -> None:
        """Gives a command (a method that takes `now`) to the machine: the one entry for other threads."""
        self._token.run_sync_soon(self.feed, command, *args)

    def spawn(self, main: Callable[[], Awaitable[None]]) -> None:
        """Runs a task beside the machine until the driver is closed; what it raises ends the driver."""
        self.nursery.start_soon(self._run, main)

    def fail(self, error: BaseException) -> None:
        """Ends the driver with an error: whoever waits in `finished` gets it."""
        if not self._finished.is_set():
            self._error = error
            self._finished.set()

    def finish(self) -> None:
        """Ends the driver: `finished` returns."""
        self._finished.set()

    async def finished(self) -> None:
        """Waits for `finish`; raises what went wrong in machine or `deliver`. Cancelling it stops only the wait."""
        await self._finished.wait()
        if self._error is not None:
            raise self._error

    def start(self) -> None:
        """Tells the machine the addresses of this host and performs what it has to say already."""
        self.nursery.start_soon(self._run_timer)
        self._look_at_addresses()
        self.nursery.start_soon(self._watch_addresses)

    async def aclose(self) -> None:
        """Closes every socket at once. To part politely, have the machine close first."""
        self.finish()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + PARTING):
            await self._network.aclose()
        self.nursery.cancel_scope.cancel()

    def _arm(self) -> None:
        deadline = self.machine.next_timeout()
        if deadline == self._timer_deadline:
            return
        self._timer_deadline = deadline
        self._timer.deadline = float("inf") if deadline is None else deadline

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
            await trio.sleep(WATCH_INTERVAL)
            self._look_at_addresses()

    async def _run_timer(self) -> None:
        while True:
            deadline = self._timer_deadline
            with trio.CancelScope(deadline=float("inf") if deadline is None else deadline) as self._timer:
                await trio.sleep_forever()
            self._timer_deadline = None
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
    async with trio.open_nursery() as nursery:
        driver: Driver[EventT] = Driver(machine, deliver, nursery=nursery, network=network)
        try:
            driver.start()
            yield driver
        finally:
            await driver.aclose()
