"""Calls with sound in real time on both loops, while everything breaks: flows are killed, the server is started anew,
datagrams are damaged. Each call that begins at an end has one end there, and what is held does not grow.

`SANSIO_SIP_SOAK_SECONDS` says for how long, `SANSIO_SIP_SOAK_CALLS` how many at a time; else ten minutes, ten calls.
Less than a minute sees no server started anew, and fails.
"""

import gc
import os
import random
import socket
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from interop.tcp_relay import TcpRelay

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, FlowId
from sansio_sip.errors import LocalProtocolError
from sansio_sip.server import Server, ServerOptions
from sansio_sip.server.events import ServerListening
from sansio_sip.softphone import AccountOptions, MediaProfile, Softphone, events
from sansio_sip.softphone.call_info import AccountId, CallUuid
from sansio_sip_media.engine import MediaEngine

SECONDS = float(os.environ.get("SANSIO_SIP_SOAK_SECONDS", "600"))
PAIRS = int(os.environ.get("SANSIO_SIP_SOAK_CALLS", "10"))  # of accounts, and so at most so many calls
DOMAIN = "example.invalid"
RATE = 8_000
DAMAGED = 0.02  # of datagrams, SIP and RTP alike
TALK = 6.0  # seconds on average
KILL_EVERY, RESTART_EVERY = 15.0, 45.0  # seconds
SETTLING = 70.0  # seconds: what nobody answers is given up after 64*T1, and a call without signalling after 64 s

# Octets that may be held more at the end than after a third: the counters of this test, and caches of the interpreter.
# One call that stayed would be several thousand, its media session a hundred thousand.
SLACK = 1_500_000

BEGINNINGS = (events.Calling, events.IncomingCall)
ENDS = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled)
TONE = np.round(6_000 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.int16)


class Rough(Softphone):
    """Flips bits of what arrives."""

    draws = random.Random("damage")
    damaged = 0

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if self.draws.random() < DAMAGED:
            Rough.damaged += 1
            octets = bytearray(data)
            for _ in range(self.draws.randrange(1, 8)):
                octets[self.draws.randrange(len(octets))] ^= 1 << self.draws.randrange(8)
            data = bytes(octets)
        super().receive_datagram(flow, data, source, now=now)


class Side:
    """A phone with half of the accounts: the callers, or the callees."""

    def __init__(self, name: str, servers: list[str], *, calls: bool) -> None:
        self.calls = calls
        self.machine = Rough(Context(Entropy(random.Random(name)), unix_offset=time.time()), self._engine(name))
        self.driver: Any = None
        self.begun: Counter[CallUuid] = Counter()
        self.ended: Counter[CallUuid] = Counter()
        self.answered = self.with_media = 0
        self.busy: dict[AccountId, float] = {}  # until when an account talks, or rests
        self.up: dict[CallUuid, float] = {}  # answered calls, and when they are to end
        self.draws = random.Random(f"{name} draws")
        self.accounts: list[AccountId] = []
        self.targets: dict[AccountId, str] = {}
        for number in range(PAIRS):
            options = AccountOptions(
                address=f"{name}{number}@{DOMAIN}",
                password=Secret("pw"),
                servers=(servers[number % len(servers)],),
                bind=Address("127.0.0.1", 0),
                expires=20,
                profiles=(MediaProfile.RTP,),
                codecs=("pcmu",),
                media_addresses=("127.0.0.1",),
                allow_multiple_incoming=True,
                reconnect=(0.5, 2.0),
                reregister=(1.0, 5.0),
            )
            account = self.machine.add_account(options, now=0.0)
            self.accounts.append(account)
            self.targets[account] = f"callee{number}"

    def _engine(self, name: str) -> MediaEngine:
        return MediaEngine(Context(Entropy(random.Random(f"{name} media")), unix_offset=time.time()), None)

    def deliver(self, event: Any) -> None:
        if isinstance(event, BEGINNINGS):
            self.begun[event.call] += 1
        if isinstance(event, ENDS):
            self.ended[event.call] += 1
            self.up.pop(event.call, None)
        match event:
            case events.IncomingCall():
                self.do("answer", event.call)
            case events.CallAnswered():
                self.answered += 1
                self.up[event.call] = self.driver.now() + self.draws.expovariate(1 / TALK)
                self.do("write_audio", event.call, TONE, RATE)
            case events.MediaConnected():
                self.with_media += 1
            case _:
                pass

    def do(self, command: str, *args: Any) -> None:
        """A command, which may come too late: flows and calls end at any time."""
        with suppress(LocalProtocolError):
            getattr(self.machine, command)(*args, now=self.driver.now())
        self.driver.flush()

    def beat(self, *, calling: bool) -> None:
        """Logs in who is not, calls where nobody talks, ends what has been talked out."""
        now = self.driver.now()
        talking = {info.call_uuid for info in self.machine.calls()}
        for call, until in list(self.up.items()):
            if until <= now and call in talking:
                self.do("hangup", call)
        for account in self.accounts:
            if self.busy.get(account, 0.0) > now:
                continue
            if not self.machine.is_registered(account):
                self.busy[account] = now + 2.0
                self.do("login", account)
            elif self.calls and calling:
                self.busy[account] = now + self.draws.uniform(1.0, 2 * TALK)
                self.do("call", account, self.targets[account])


@asynccontextmanager
async def serving(runtime: Any, udp: int, ws: int, serial: int) -> AsyncIterator[None]:
    names = [f"{side}{number}" for side in ("caller", "callee") for number in range(PAIRS)]
    options = ServerOptions(
        domain=DOMAIN,
        listen=(f"udp://127.0.0.1:{udp}", f"ws://127.0.0.1:{ws}"),
        users={name: Secret("pw") for name in names},
        min_expires=5,
    )
    machine = Server(Context(Entropy(random.Random(serial)), unix_offset=time.time()), options)
    up = runtime.Event()
    listening: list[str] = []

    def deliver(event: Any) -> None:
        if isinstance(event, ServerListening):
            listening.append(event.url)
            if len(listening) == len(options.listen):
                up.set()

    async with runtime.driver.open_driver(machine, deliver):
        await runtime.within(10.0, up.wait)
        yield


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.soak
@pytest.mark.realtime
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_every_call_has_its_end_whatever_breaks(runtime: Any, capsys: pytest.CaptureFixture[str]) -> None:
    udp, ws = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    relay = TcpRelay(ws)
    servers = [f"ws://127.0.0.1:{relay.port}", f"udp://127.0.0.1:{udp}"]
    figures: dict[str, Any] = {"killed": 0, "restarts": 0}
    Rough.damaged = 0
    tracemalloc.start()

    async def main() -> None:
        sides = [Side("caller", servers, calls=True), Side("callee", servers, calls=False)]
        async with AsyncExitStack() as stack:
            for side in sides:
                side.driver = await stack.enter_async_context(runtime.driver.open_driver(side.machine, side.deliver))
            clock = sides[0].driver.now
            began = clock()
            kill_at, restart_at = began + KILL_EVERY, began + RESTART_EVERY
            while (now := clock()) < began + SECONDS:
                for side in sides:
                    side.beat(calling=True)
                if now >= kill_at:
                    kill_at = now + KILL_EVERY
                    figures["killed"] += 1
                    relay.cut()
                    await runtime.sleep(0.5)
                    relay.mend()
                if now >= restart_at:
                    restart_at = now + RESTART_EVERY
                    figures["restarts"] += 1
                if "after a third" not in figures and now >= began + SECONDS / 3:
                    figures["after a third"] = held()
                await runtime.sleep(0.1)
            settled = clock() + SETTLING
            while any(side.machine.calls() for side in sides) and clock() < settled:
                for side in sides:
                    for info in side.machine.calls():
                        side.do("hangup", info.call_uuid)
                    side.beat(calling=False)
                await runtime.sleep(0.5)
            figures["at the end"] = held()
            for side in sides:
                assert not side.machine.calls(), "a call has no end"
                assert side.begun == side.ended
        caller, callee = sides
        figures["calls"] = (len(caller.begun), len(callee.begun))
        figures["answered"] = (caller.answered, callee.answered)
        figures["with media"] = (caller.with_media, callee.with_media)

    async def serve() -> None:
        """Servers, one after the other, in a task of their own: none of them is there when its successor comes."""
        while not over:
            serial = figures["restarts"]
            async with serving(runtime, udp, ws, serial):
                while not over and figures["restarts"] == serial:
                    await runtime.sleep(0.1)
            await runtime.sleep(1.0)

    async def call() -> None:
        try:
            await main()
        finally:
            over.append(True)

    async def both() -> None:
        await runtime.together(serve, call)

    over: list[bool] = []
    files = open_files()
    try:
        runtime.run(both)
    finally:
        relay.cut()
        tracemalloc.stop()
    figures["damaged"] = Rough.damaged
    with capsys.disabled():
        print(f"\n{runtime.name}, {SECONDS:.0f} s: {figures}")
    assert open_files() <= files
    # Each account calls once in a while of `TALK` and a rest as long, but for the time that everything is broken.
    least = SECONDS * PAIRS / (12 * TALK)
    assert min(figures["calls"]) > least
    assert min(figures["with media"]) > least / 2
    assert figures["killed"] >= SECONDS // KILL_EVERY - 2
    assert figures["restarts"] >= 1
    assert figures["damaged"] > least / 2
    assert figures["at the end"] - figures["after a third"] < SLACK
