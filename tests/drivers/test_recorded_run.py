"""The inputs of a recorded run, given to each phone and the server through the real drivers: the same trace again.

A call is run in simulation and recorded. Then each of its machines is built anew and run by a driver in virtual time,
on an in-memory network that hands in what was recorded, when it was; the timer is the driver's own. The driver records
as well, and what it has recorded must be what the simulation has, row by row: each output, draw and input, at its time.
"""

import json
import random
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from typing import Any

import pytest
from drivers.exact import EXACT_RUNTIMES
from simulation.calls import LOSSY, Plan, run_call
from simulation.phones import UNIX_OFFSET, USERS

from sansio_sip import trace_codec
from sansio_sip.context import Context
from sansio_sip.effects import Effect
from sansio_sip.server import Server, ServerOptions
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone
from sansio_sip.trace import TraceWriter
from sansio_sip.trace_codec import TraceCodec
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

PLAN = Plan(3, LOSSY, seconds=1.5)


@pytest.fixture(autouse=True)
def _with_digest_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace has no answers to challenges, and a server that is really asked cannot do without."""
    monkeypatch.setattr(trace_codec, "redact", lambda data: data)


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


def with_secrets(name: str, value: Any) -> Any:
    """Options as they were: a trace has no passwords."""
    match value:
        case AccountOptions():
            return replace(value, password=USERS[name])
        case ServerOptions():
            return replace(value, users=USERS)
        case _:
            return value


def make(name: str, kind: str, options: Any, context: Context) -> Any:
    if kind == "server":
        return Server(context, options)
    return Softphone(context, MediaEngine(context, SeededCrypto(f"{PLAN.seed}/{name}")), options)


def run_by(runtime: Any, name: str, recorded: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs one machine by a driver; the rows that it has recorded."""
    written: list[str] = []
    codec = TraceCodec(full=True, array=rebuild_array)
    rows = [json.loads(line) for line in recorded]
    kind, inputs = rows[0]["kind"], [row for row in rows if "i" in row]
    options = with_secrets(name, codec.decode(rows[0]["options"])["options"])
    trace = TraceWriter(written.append, full=True).machine(name, kind, {"options": options})
    context = trace.context(random.Random(f"{PLAN.seed}/{name}"), UNIX_OFFSET)
    # The driver tells the machine the addresses of this host: they shall be those of the simulated one.
    assert inputs[0]["i"] == "interfaces_changed"
    addresses = codec.decode(inputs[0]["a"]["addresses"])
    monkeypatch.setattr(runtime.driver, "local_addresses", lambda: addresses)

    async def main() -> None:
        await runtime.sleep_until(inputs[0]["t"])
        machine = Alarmed(make(name, kind, options, context), runtime)
        network = RecordedNetwork()
        async with runtime.driver.open_driver(machine, lambda event: None, network=lambda driver: network) as driver:
            timeouts = 0
            for row in inputs[1:]:
                if row["i"] == "handle_timeout":
                    timeouts += 1
                    await machine.until_fired(timeouts)
                    continue
                await runtime.sleep_until(row["t"])
                arguments = {key: with_secrets(name, value) for key, value in codec.decode_fields(row["a"]).items()}
                driver.feed(partial(getattr(machine, row["i"]), **arguments))
            driver.finish()
            await driver.finished()

    runtime.run(main)
    return rows_of(name, written)


@pytest.mark.parametrize("name", ["alice", "bob", "server"])
@pytest.mark.parametrize("runtime", EXACT_RUNTIMES, ids=lambda runtime: runtime.name)
def test_a_recorded_run_through_a_driver_gives_the_same_trace(
    runtime: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = rows_of(name, recording())
    assert len(recorded) > 50
    again = run_by(runtime, name, recorded, monkeypatch)
    first_difference = next((pair for pair in zip(recorded, again, strict=False) if pair[0] != pair[1]), None)
    assert first_difference is None
    assert sha256("".join(again).encode()).digest() == sha256("".join(recorded).encode()).digest()
