"""Runs a scripted phone to its end on either runtime, and reports on it."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from .exit_status import FAILED, INTERRUPTED
from .output import Reporter
from .runtimes import Runtime, go_first
from .scripted_phone import Finished, ScriptedPhone

OnEvent = Callable[[Any, float], None]

__all__ = ["Running", "run_phone", "started"]


class Running:
    """A phone on a driver, from `started`."""

    def __init__(self, runtime: Runtime, phone: ScriptedPhone, on_event: OnEvent) -> None:
        self.phone = phone
        self.driver: Any = None
        self.outcome: Finished | None = None
        self._runtime = runtime
        self._on_event = on_event
        self.interrupted = False

    def deliver(self, event: Any) -> None:
        if isinstance(event, Finished):
            self.outcome = event
            if self.driver is not None:
                self.driver.finish()
        self._on_event(event, self._runtime.now())

    def interrupt(self) -> None:
        """Has the phone part politely; asked again, leaves at once."""
        if self.interrupted:
            self.driver.finish()
        self.interrupted = True
        self.driver.feed(self.phone.interrupt)

    async def finished(self) -> Finished:
        """Waits for the end of the plan. Raises what went wrong in the machines."""
        await self.driver.finished()
        return self.outcome or Finished(INTERRUPTED)


@asynccontextmanager
async def started(runtime: Runtime, phone: ScriptedPhone, on_event: OnEvent) -> AsyncIterator[Running]:
    """Drives a phone for the length of the block; `on_event(event, now)` is told all it says, `Finished` too."""
    running = Running(runtime, phone, on_event)
    async with runtime.open_driver(phone, running.deliver) as driver:
        running.driver = driver
        if running.outcome is not None:
            driver.finish()
        yield running


def run_phone(runtime: Runtime, phone: ScriptedPhone, reporter: Reporter) -> int:
    """Runs a phone until its plan is done; Ctrl-C has it part politely. Returns the exit status."""

    async def main() -> Finished:
        async with started(runtime, phone, reporter.event) as running, runtime.interrupts(running.interrupt):
            reporter.on_reader_gone = running.interrupt
            if reporter.reader_gone:
                running.interrupt()
            outcome = await running.finished()
            reporter.summary(outcome.exit_status, runtime.now())
            return outcome

    go_first()
    outcome = runtime.run(main)
    if reporter.reader_gone:
        return FAILED
    if outcome.error:
        print(f"sansio-sip: {outcome.error}", file=sys.stderr)
    return outcome.exit_status
