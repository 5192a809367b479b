"""One worker of a fleet: a phone that takes calls until it is told to stop."""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sansio_sip.softphone import events
from sansio_sip.softphone.options import SoftphoneOptions
from sansio_sip_asyncio.driver import Driver, open_driver
from sansio_sip_cli.account import build_account
from sansio_sip_cli.answer_plan import AnswerPlan
from sansio_sip_cli.audio import load
from sansio_sip_cli.build import build_phone
from sansio_sip_cli.exit_status import FAILED
from sansio_sip_cli.scripted_phone import Finished, ScriptedPhone
from sansio_sip_cli.workers.job import Row

__all__ = ["FleetJob", "FleetPlan"]

# Seconds that the ends of calls and of a registration may take.
PARTING = 33.0


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What a phone of a fleet does. `options` are those of an account, as on the command line."""

    options: dict[str, Any]
    ring: float = 0.0
    duration: float | None = None
    echo: bool = False
    play: str | None = None
    limit: int = 100
    worker: int = 0

    def as_dict(self) -> Row:
        return asdict(self)


class FleetJob:
    """Takes calls. Only where an event loop runs."""

    def __init__(self, plan: FleetPlan) -> None:
        self._plan = plan
        account = build_account(**plan.options, allow_multiple_incoming=True)
        answers = AnswerPlan(
            account,
            register=not plan.options["no_register"],
            calls=sys.maxsize,
            clip=None if plan.play is None else load(Path(plan.play)),
            echo=plan.echo,
            ring=plan.ring,
            duration=plan.duration,
        )
        options = SoftphoneOptions(max_calls=plan.limit)
        self._answers = answers
        self._phone = ScriptedPhone(build_phone(f"phone{plan.worker + 1}", options=options), answers)
        self._driver: Driver[Any] | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        self._counts = {"calls": 0, "answered": 0, "ended": 0, "failed": 0, "digits": 0}
        self._stack = AsyncExitStack()

    async def begin(self) -> Row:
        self._driver = await self._stack.enter_async_context(open_driver(self._phone, self._deliver))
        either: list[asyncio.Future[Any]] = [self._ready, self._finished]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._finished.done():
            await self._stack.aclose()
            outcome = self._finished.result()
            return {"event": "failed", "exit": outcome.exit_status or FAILED, "error": outcome.error}
        assert self._answers.account is not None
        local = self._phone.phone.local_address(self._answers.account)
        return {"event": "ready", "address": None if local is None else list(local)}

    async def run(self, start: float, first: int) -> Row:
        try:
            await self._finished
        finally:
            self._answers.end()
            await self._stack.aclose()
        return {**self.progress(), "event": "done"}

    def progress(self) -> Row:
        return {"event": "progress", **self._counts, "up": len(self._phone.phone.calls())}

    def stop(self) -> None:
        """Calls are hung up, and the account is taken down."""
        assert self._driver is not None
        self._driver.feed(self._phone.interrupt)
        asyncio.get_running_loop().call_later(PARTING, self._deliver, Finished(FAILED))

    def _deliver(self, event: Any) -> None:
        match event:
            case Finished():
                if not self._finished.done():
                    self._finished.set_result(event)
            case events.Login() | events.ConnectionChange(state="connected"):
                registers = not self._plan.options["no_register"]
                if not self._ready.done() and isinstance(event, events.Login) is registers:
                    self._ready.set_result(None)
            case events.IncomingCall():
                self._counts["calls"] += 1
            case events.CallAnswered():
                self._counts["answered"] += 1
            case events.DtmfReceived():
                self._counts["digits"] += 1
            case events.CallTerminated():
                self._counts["ended"] += 1
            case events.CallFailed() | events.IncomingCallCanceled():
                self._counts["failed"] += 1
            case _:
                pass
