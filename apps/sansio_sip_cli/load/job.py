"""One worker of a run: a phone, its share of the calls, and the tally of them."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId, SendDatagram, SendStream
from sansio_sip.errors import LocalProtocolError
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import AccountId, CallUuid
from sansio_sip.softphone.options import SoftphoneOptions
from sansio_sip.softphone.softphone import Softphone
from sansio_sip_asyncio.driver import Driver, open_driver
from sansio_sip_cli.account import build_account
from sansio_sip_cli.account_plan import advice
from sansio_sip_cli.audio import SPEECH, Clip, load
from sansio_sip_cli.build import build_engine, build_phone
from sansio_sip_cli.exit_status import LOGIN_FAILED, UNREACHABLE
from sansio_sip_cli.workers.job import Row
from sansio_sip_media.engine import MediaEngine

from .arrivals import Arrivals
from .caller import Call, Caller, CallRefused, ScenarioFailed
from .quiet_media import QuietMedia
from .scenarios import Scenario, choose, load_scenario
from .tally import Tally

__all__ = ["LoadJob", "Plan"]

# Seconds that calls which are still up have to end by themselves after the last arrival, beside what they last.
GRACE = 40.0


@dataclass(slots=True)
class Plan:
    """What a run is.

    Attributes:
        options: those of an account, as on the command line.
        sources: of the files that scenarios are in, by path: a worker need not have them.
        worker, workers: which of how many this one is, from 0.
    """

    options: dict[str, Any]
    target: str
    arrivals: Arrivals
    scenarios: tuple[str, ...] = ("hold",)
    hold: float = 3.0
    signalling: bool = False
    limit: int = 1000
    ring_timeout: float = 60.0
    sources: dict[str, str] = field(default_factory=dict)
    worker: int = 0
    workers: int = 1

    def as_dict(self) -> Row:
        return asdict(self)

    @classmethod
    def of(cls, row: Row) -> "Plan":
        return cls(**{**row, "arrivals": Arrivals(**row["arrivals"]), "scenarios": tuple(row["scenarios"])})


class _Clocked:
    """A phone on its way to the driver, which remembers when the input came that it is working on, and when it spoke.

    So times are those of the wire: what it takes us to read a message and to write the next is not the far end's.
    """

    def __init__(self, phone: Softphone) -> None:
        self.input_at = 0.0
        self.spoke_at: float | None = 0.0
        """When it first had something to send since this was None."""
        self._phone = phone
        self._time = asyncio.get_running_loop().time
        self.next_timeout = phone.next_timeout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._phone, name)

    def poll_output(self) -> Any:
        output = self._phone.poll_output()
        if self.spoke_at is None and isinstance(output, SendDatagram | SendStream):
            self.spoke_at = self._time()
        return output

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self.input_at = now
        self._phone.receive_datagram(flow, data, source, now=now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self.input_at = now
        self._phone.receive_stream(flow, data, now=now)

    def handle_timeout(self, *, now: float) -> None:
        self.input_at = now
        self._phone.handle_timeout(now=now)


class LoadJob:
    """Runs its share of a plan. Only where an event loop runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scenarios = [load_scenario(text, plan.sources) for text in plan.scenarios]
        self.tally = Tally()
        self.has_media = not plan.signalling
        self.account_options = build_account(**plan.options)
        self.phone = build_phone(
            f"worker{plan.worker + 1}",
            options=SoftphoneOptions(max_calls=plan.limit + 1),
            media=self._media,
        )
        self.clocked = _Clocked(self.phone)
        self.clip = _clip()
        self.driver: Driver[Any] | None = None
        self.account: AccountId | None = None
        self.stopped = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self._calls: dict[CallUuid, Call] = {}
        self._placing: Call | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0
        self._start = self._began = 0.0
        self._stack = AsyncExitStack()

    def _media(self, context: Context) -> MediaEngine:
        self.engine = QuietMedia(context) if self.plan.signalling else build_engine(context)
        return self.engine

    # For scenarios

    def now(self) -> float:
        """Seconds, of the loop's clock."""
        return asyncio.get_running_loop().time()

    def second(self, now: float) -> int:
        """Of the run."""
        return max(0, int(now - self._start))

    def command(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Gives the phone a command. Raises LocalProtocolError."""
        assert self.driver is not None
        try:
            return getattr(self.phone, name)(*args, **kwargs, now=self.driver.now())
        finally:
            self.driver.flush()

    def place(self, target: str, headers: Any) -> Call:
        """Begins a call. Raises CallRefused where that cannot be."""
        now = self.now()
        call = self._placing = Call(self, now)
        self.tally.count("placed", self.second(now))
        self.clocked.spoke_at = None
        try:
            call.uuid = self.command("call", self.account, target, extra_headers=headers)
            # What else there was to do after the INVITE had left is not the far end's.
            call.sent(self.clocked.spoke_at or self.now())
        except LocalProtocolError as error:
            self.tally.fail(f"not placed: {error}", self.second(now))
            raise CallRefused(str(error)) from None
        finally:
            self._placing = None
        return call

    # The run

    async def begin(self) -> Row:
        """Adds the account and waits until calls can be placed."""
        self.driver = await self._stack.enter_async_context(open_driver(self.clocked, self.deliver))
        try:
            await self._log_in()
        except ConnectionError as error:
            await self._stack.aclose()
            return {"event": "failed", "exit": error.errno, "error": error.strerror}
        except TimeoutError:
            await self._stack.aclose()
            where = ", ".join(self.account_options.servers)
            return {"event": "failed", "exit": UNREACHABLE, "error": f"no answer from {where}; check the address"}
        return {"event": "ready"}

    async def _log_in(self) -> None:
        """Raises ConnectionError with (exit status, words)."""
        self.account = self.command("add_account", self.account_options)
        if self.account_options.servers:
            registers = not self.plan.options["no_register"]
            self.command("login" if registers else "connect", self.account)
        async with asyncio.timeout(self.account_options.login_timeout):
            await self.ready

    async def run(self, start: float, first: int) -> Row:
        """Places the calls of its share from number `first`, each at its time; returns when all have ended."""
        try:
            await self._place_all(start, first)
            self.command("close")
            with suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await self.closed.wait()
        finally:
            await self._stack.aclose()
        return {**self.progress(), "event": "done"}

    def stop(self) -> None:
        """Ends the run: calls are hung up."""
        self.stopped.set()

    async def _place_all(self, start: float, first: int) -> None:
        self._start, self._next = start, first
        self._began = max(start, self.now())
        plan = self.plan
        for index, moment in enumerate(islice(plan.arrivals.share(plan.worker, plan.workers), first, None), first):
            number = plan.worker + index * plan.workers
            if not await self._wait_until(start + moment):
                break
            self.tally.record("late", max(0.0, self.now() - start - moment) * 1000)
            if len(self._tasks) >= plan.limit:
                # Placed it counts as, like one that the phone refuses: shares are of the calls that were due.
                self.tally.count("placed", self.second(self.now()))
                self.tally.fail(f"more than {plan.limit} at a time", self.second(self.now()))
                self._next = index + 1
                continue
            scenario = choose(self.scenarios, plan.arrivals.seed, number)
            task = asyncio.get_running_loop().create_task(self._run_one(scenario, number, index))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            # Until the run is over, though the last call has begun: who stops it then stops what is left of it.
            await self._end_of_tasks(plan.hold + GRACE)
        for info in self.phone.calls():
            with suppress(LocalProtocolError):
                self.command("hangup", info.call_uuid)
        await self._end_of_tasks(GRACE)

    async def _wait_until(self, moment: float) -> bool:
        """False: the run was stopped."""
        if self.stopped.is_set():
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout_at(moment):
                await self.stopped.wait()
        return not self.stopped.is_set()

    async def _end_of_tasks(self, patience: float) -> None:
        end = self.now() + patience
        while self._tasks and self.now() < end:
            stopped = asyncio.ensure_future(self.stopped.wait())
            waited = [*self._tasks] if self.stopped.is_set() else [*self._tasks, stopped]
            await asyncio.wait(waited, timeout=end - self.now(), return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if self.stopped.is_set():
                for info in self.phone.calls():
                    with suppress(LocalProtocolError):
                        self.command("hangup", info.call_uuid)
                end = min(end, self.now() + 5.0)

    async def _run_one(self, scenario: Scenario, number: int, index: int) -> None:
        self._next = index + 1
        self.tally.scenarios[scenario.name] += 1
        caller = Caller(self, number)
        try:
            await scenario.run(caller)
        except CallRefused:
            pass  # counted where it was noticed
        except ScenarioFailed as error:
            self.tally.fail(f"{scenario.name}: {error}", self.second(self.now()))
        except LocalProtocolError as error:
            if not self.stopped.is_set():
                self.tally.fail(f"{scenario.name}: {error}", self.second(self.now()))
        except Exception as error:
            # A program of the user's: what it raises is a result of the run.
            self.tally.fail(f"{scenario.name}: {type(error).__name__}: {error}"[:200], self.second(self.now()))
        finally:
            await caller.leave()

    def deliver(self, event: Any) -> None:
        """An event of the phone."""
        now = self.clocked.input_at or self.now()
        match event:
            case events.Login():
                self._is_ready()
            case events.ConnectionChange(state="connected") if self.plan.options["no_register"]:
                self._is_ready()
            case events.LoginFailed() if not self.ready.done():
                words = f"login failed: {event.cause} ({event.status}); {advice(event)}"
                where = ", ".join(self.account_options.servers)
                silent = f"no server could be reached at {where}: {event.detail or event.cause}; check the address"
                status = LOGIN_FAILED if event.status else UNREACHABLE
                self.ready.set_exception(ConnectionError(status, words if event.status else silent))
            case events.Closed():
                self.closed.set()
            case events.IncomingCall():
                self.command("reject", event.call)
            case _ if (info := getattr(event, "call_info", None)) is not None:
                if self._placing is not None and info.call_uuid not in self._calls:
                    self._calls[info.call_uuid] = self._placing
                    self._placing.uuid = info.call_uuid
                call = self._calls.get(info.call_uuid)
                if call is not None:
                    call.take(event, now)
                    if isinstance(event, events.CallTerminated | events.CallFailed):
                        del self._calls[info.call_uuid]
            case _:
                pass

    def progress(self) -> Row:
        """The tally by now; `next`: the call of its share that is due next; `up`: calls whose end is to come."""
        counts = self.tally.counts
        counts["seconds"], counts["late ticks"] = max(0, int(self.now() - self._began)), self.engine.late_ticks
        up = sum(call.is_open for call in self._calls.values())
        tally = self.tally.as_dict()
        return {"event": "progress", "next": self._next, "now": len(self._tasks), "up": up, "tally": tally}

    def _is_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)


def _clip() -> Clip:
    """Two seconds of speech, as often as wanted."""
    whole = load(SPEECH / "alice.wav")
    return Clip(np.ascontiguousarray(whole.samples[: 2 * whole.rate]), whole.rate)
