"""asyncio and trio behind one face, for the few places where a command has to wait."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

import click

from sansio_sip.machine import RootMachine

__all__ = ["RUNTIMES", "Event", "Runtime", "choose", "go_first"]

T = TypeVar("T")

# As `nice -n -10`: half-way to the top, as sound servers have it.
PRIORITY = -10


class Event(Protocol):
    def set(self) -> Any: ...

    def wait(self) -> Awaitable[Any]: ...


class Runtime(Protocol):
    """What a command needs of an event loop."""

    name: str

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T: ...

    def now(self) -> float:
        """The loop's clock, which is the machines'."""

    def event(self) -> Event: ...

    def open_driver(
        self, machine: RootMachine[Any], deliver: Callable[[Any], None]
    ) -> AbstractAsyncContextManager[Any]: ...

    def interrupts(self, callback: Callable[[], object]) -> AbstractAsyncContextManager[None]:
        """Calls back on SIGINT, SIGTERM and a closed terminal for the length of the block."""


def _signals() -> tuple[signal.Signals, ...]:
    # Under nohup, who closes the terminal wants the run to go on.
    hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hang_up)


class _Asyncio:
    name = "asyncio"

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(main())

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def event(self) -> Event:
        return asyncio.Event()

    def open_driver(
        self, machine: RootMachine[Any], deliver: Callable[[Any], None]
    ) -> AbstractAsyncContextManager[Any]:
        from sansio_sip_asyncio.driver import open_driver

        return open_driver(machine, deliver)

    @asynccontextmanager
    async def interrupts(self, callback: Callable[[], object]) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        signals = _signals()
        for number in signals:
            loop.add_signal_handler(number, callback)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


class _Trio:
    name = "trio"

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        import trio

        return trio.run(main)

    def now(self) -> float:
        import trio

        return trio.current_time()

    def event(self) -> Event:
        import trio

        return trio.Event()

    def open_driver(
        self, machine: RootMachine[Any], deliver: Callable[[Any], None]
    ) -> AbstractAsyncContextManager[Any]:
        from sansio_sip_trio.driver import open_driver

        return open_driver(machine, deliver)

    @asynccontextmanager
    async def interrupts(self, callback: Callable[[], object]) -> AsyncIterator[None]:
        import trio

        async def listen() -> None:
            with trio.open_signal_receiver(*_signals()) as arrived:
                async for _ in arrived:
                    callback()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()


def go_first() -> None:
    """Has this process go before others: audio has a deadline every 20 ms, and most work has none.

    Where the system does not allow it (it asks for CAP_SYS_NICE), all goes on as before.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


RUNTIMES: dict[str, Runtime] = {"asyncio": _Asyncio(), "trio": _Trio()}


def choose(name: str) -> Runtime:
    """The runtime of that name. Raises click.ClickException where its package is missing."""
    if name == "trio":
        try:
            import trio  # noqa: F401  # only to see that it is there
        except ImportError:
            raise click.ClickException("trio is not installed; pip install 'sansio-sip[trio]'") from None
    return RUNTIMES[name]
