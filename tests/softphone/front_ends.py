"""Front ends of the drivers in a simulated world: phones, calls and clients that can be waited for, in virtual time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from softphone.phones import Scene

__all__ = ["WAITS", "WorldDriver", "WorldRuntime"]

T = TypeVar("T")

WAITS = object()
"""What `WorldRuntime.run` gives where a coroutine still waits at the end."""

STEP = 0.05  # seconds of the world between two turns of a coroutine


class _Turn:
    def __await__(self) -> Generator[None, None, None]:
        yield


class WorldEvent:
    def __init__(self, runtime: "WorldRuntime") -> None:
        self._runtime = runtime
        self._set = False

    def set(self) -> None:
        self._set = True

    async def wait(self) -> None:
        while not self._set:
            await self._runtime.turn()


class WorldRuntime:
    """See `sansio_sip_async.runtime.AsyncRuntime`; one coroutine at a time is run, and what it spawns beside it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.beside: list[Coroutine[Any, Any, Any]] = []
        self._deadline = float("inf")

    def event(self) -> WorldEvent:
        return WorldEvent(self)

    async def turn(self) -> None:
        await _Turn()
        if self.scene.world.time >= self._deadline:
            raise TimeoutError

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[None]:
        before = self._deadline
        if seconds is not None:
            self._deadline = min(before, self.scene.world.time + seconds)
        try:
            yield
        finally:
            self._deadline = before

    @asynccontextmanager
    async def last_words(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with self.timeout(seconds):
                yield
        except TimeoutError:
            return

    async def sleep(self, seconds: float) -> None:
        end = self.scene.world.time + seconds
        while self.scene.world.time < end:
            await self.turn()

    async def in_thread(self, function: Callable[[], T]) -> T:
        return function()

    def run(self, coroutine: Coroutine[Any, Any, T], driver: "WorldDriver", patience: float = 3.0) -> T | object:
        """What it returns, or WAITS after `patience` seconds of the world; raises what it raises."""
        end = self.scene.world.time + patience
        try:
            while self.scene.world.time < end:
                try:
                    coroutine.send(None)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
                driver.flush()
                self._run_beside()
                self.scene.wait(STEP)
        finally:
            coroutine.close()
        return WAITS

    def close(self) -> None:
        """Ends what runs beside."""
        for each in self.beside:
            each.close()

    def _run_beside(self) -> None:
        for each in list(self.beside):
            try:
                each.send(None)
            except StopIteration:
                self.beside.remove(each)


class WorldDriver:
    """What front ends need of a driver, over a host of the world."""

    def __init__(self, runtime: WorldRuntime, name: str, deliver: Callable[[Any], None]) -> None:
        self._runtime = runtime
        self._name = name
        runtime.scene.world.on_output(name, lambda output, now: deliver(output))

    def now(self) -> float:
        return self._runtime.scene.world.time

    def flush(self) -> None:
        self._runtime.scene.world.do(self._name, _nothing)

    def flush_soon(self) -> None:
        """At the next turn: what a task waits for by then is not missed."""

    def feed(self, method: Callable[..., Any], *args: Any) -> None:
        self._runtime.scene.world.do(self._name, method, *args)

    def call_soon(self, command: Callable[..., Any], *args: Any) -> None:
        self.feed(command, *args)

    def spawn(self, main: Callable[[], Awaitable[None]]) -> None:
        async def wait() -> None:
            await main()

        self._runtime.beside.append(wait())


def _nothing(*, now: float) -> None:
    """No input."""
