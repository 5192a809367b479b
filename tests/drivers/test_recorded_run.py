"""The inputs of a recorded run, given to each phone and the server through the real drivers: the same trace again.

A call is run in simulation and recorded. Then each of its machines is built anew and run by a driver in virtual time,
on an in-memory network that hands in what was recorded, when it was; the timer is the driver's own. The driver records
as well, and what it has recorded must be what the simulation has, row by row: each output, draw and input, at its time.
"""

import json
import random
from collections.abc import Mapping
from functools import cache, partial
from hashlib import sha256
from typing import Any

import pytest
from drivers.exact import EXACT_RUNTIMES
from simulation.calls import LOSSY, Plan, run_call
from simulation.phones import UNIX_OFFSET

from sansio_sip.context import Context
from sansio_sip.effects import Effect
from sansio_sip.server import Server
from sansio_sip.softphone.softphone import Softphone
from sansio_sip.trace import TraceWriter
from sansio_sip.trace_codec import TraceCodec
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

PLAN = Plan(3, LOSSY, seconds=1.5)


@cache
def recording() -> tuple[str, ...]:
    lines: list[str] = []
    assert run_call(PLAN, TraceWriter(lines.append, full=True)).good
    return tuple(lines)


def rows_of(name: str, lines: tuple[str, ...] | list[str]) -> list[str]:
    return [line for line in lines if json.loads(line).get("m") == name]


class RecordedNetwork:
    """Performs nothing: what comes of each effect is in the recording, and so is when."""

    async def aclose(self) -> None:
        """Has nothing open."""

    def perform(self, effect: Effect) -> None:
        """The recorder has seen it as an output."""


class Alarmed:
    """Lets the feeder wait until the driver's timer has called; otherwise the machine itself."""

    def __init__(self, machine: Any, runtime: Any) -> None:
        self._machine = machine
        self._runtime = runtime
        self.fired = 0
        self._bell = runtime.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def handle_timeout(self, *, now: float) -> None:
        self._machine.handle_timeout(now=now)
        self.fired += 1
        self._bell.set()
        self._bell = self._runtime.Event()

    async def until_fired(self, times: int) -> None:
        while self.fired < times:
            await self._bell.wait()


def make(name: str, kind: str, options: Mapping[str, Any], context: Context) -> Any:
    if kind == "server":
        return Server(context, options["options"])
    return Softphone(context, MediaEngine(context, SeededCrypto(f"{PLAN.seed}/{name}")), options["options"])


def run_by(runtime: Any, name: str, recorded: list[str], secrets: Mapping[str, Any]) -> list[str]:
    """Runs one machine by a driver; the rows that it has recorded."""
    written: list[str] = []
    codec = TraceCodec(full=True, array=rebuild_array)
    rows = [json.loads(line) for line in recorded]
    inputs = [row for row in rows if "i" in row]
    trace = TraceWriter(written.append, full=True).machine(name, rows[0]["kind"], secrets[name])
    context = trace.context(random.Random(f"{PLAN.seed}/{name}"), UNIX_OFFSET)

    async def main() -> None:
        machine = Alarmed(make(name, rows[0]["kind"], secrets[name], context), runtime)
        async with runtime.driver.open_driver(
            machine, lambda event: None, network=lambda driver: RecordedNetwork()
        ) as driver:
            timeouts = 0
            for row in inputs[1:]:  # the driver has given the first, `interfaces_changed`, itself
                if row["i"] == "handle_timeout":
                    timeouts += 1
                    await machine.until_fired(timeouts)
                    continue
                await runtime.sleep_until(row["t"])
                arguments = codec.decode_fields(row["a"])
                driver.feed(partial(getattr(machine, row["i"]), **secret_fields(arguments, secrets)))
            driver.finish()
            await driver.finished()

    runtime.run(main)
    return rows_of(name, written)
