"""What a machine said on a driver, for tests that wait for a part of it."""

from collections.abc import Callable
from typing import Any

__all__ = ["PATIENCE", "Observer"]

# Far longer than anything here takes: it turns a hang into a failure.
PATIENCE = 10.0


class Observer:
    """Collects what a machine says, and wakes whoever waits for a part of it."""

    def __init__(self, runtime: Any) -> None:
        self.seen: list[Any] = []
        self._runtime = runtime
        self._bell = runtime.Event()

    def __call__(self, event: Any) -> None:
        self.seen.append(event)
        self._bell.set()
        self._bell = self._runtime.Event()

    async def until(self, condition: Callable[[Any], bool]) -> Any:
        async def wait() -> Any:
            while not (found := [event for event in self.seen if condition(event)]):
                await self._bell.wait()
            return found[0]

        return await self._runtime.within(PATIENCE, wait)
