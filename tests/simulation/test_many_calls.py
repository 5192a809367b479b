"""Many calls at once for half an hour of virtual time, while everything breaks: flows, the server, packets.

The phones have no media, so that the time goes into signalling. Each call that begins at an end has one end there; when
all is over, nobody holds anything; and what the machines hold in memory does not grow.
"""

import gc
import random
import tracemalloc
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from server.phone import Phone

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.server import Server, ServerOptions
from sansio_sip.simulation import Link, World
from sansio_sip.sip.call_events import CallConfirmed, CallEnded, CallId, IncomingCall
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone.options import AccountOptions

DOMAIN, SERVER = "example.com", "10.0.0.1"
URLS = (f"udp://{SERVER}:5060", f"tcp://{SERVER}:5060", f"ws://{SERVER}:8080")
LINK = Link(delay=0.020, jitter=0.010, loss=0.02, duplication=0.01, reordering=0.02)

CORRUPTED = 0.03  # of datagrams have bits flipped on their way
TALK = 60.0  # seconds that a call lasts, on average
BREAK_EVERY, RESTART_EVERY = 20.0, 240.0  # seconds
SESSION_EXPIRES = 90  # seconds, the least that RFC 4028 allows: what a lost BYE leaves behind is gone after so long

# Octets that may be held more after the last quarter than before it: calls come and go, and the harness keeps the name
# of each. A session or a transaction that stayed would be several thousand.
SLACK, A_CALL = 1_000_000, 700


class Rough(World):
    """Flips bits of datagrams."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, link=LINK)
        self.draws = random.Random(f"rough {seed}")
        self.corrupted = 0

    def _arrive(self, destination: Address, data: bytes, source: Address) -> None:
        if self.draws.random() < CORRUPTED:
            self.corrupted += 1
            octets = bytearray(data)
            for _ in range(self.draws.randrange(1, 8)):
                octets[self.draws.randrange(len(octets))] ^= 1 << self.draws.randrange(8)
            data = bytes(octets)
        super()._arrive(destination, data, source)


class Exchange:
    """A server, callers and callees, and as many calls as there shall be."""

    def __init__(self, seed: int, calls: int) -> None:
        self.draws = random.Random(f"exchange {seed}")
        self.wanted = calls
        self.world = Rough(seed)
        self.names = [f"{side}{number}" for number in range(max(2, calls // 10)) for side in ("caller", "callee")]
        self.options = ServerOptions(
            domain=DOMAIN, listen=URLS, users={name: Secret(name) for name in self.names}, min_expires=30
        )
        self.begun: Counter[tuple[str, CallId]] = Counter()
        self.ended: Counter[tuple[str, CallId]] = Counter()
        self.up: dict[tuple[str, CallId], None] = {}
        self.statuses: Counter[int] = Counter()
        self.confirmed = self.restarts = self.broken = 0
        self.most = 0
        self.world.add("server", self._server(), SERVER)
        self.phones = {name: self._phone(name, number) for number, name in enumerate(self.names)}
        self.run(10.0)

    def _context(self, name: str) -> Context:
        return Context(Entropy(random.Random(f"{self.draws.random()} {name}")), unix_offset=1.7e9)

    def _server(self) -> Server:
        return Server(self._context("server"), self.options)

    def _phone(self, name: str, number: int) -> Phone:
        options = AccountOptions(
            f"sip:{name}@{DOMAIN}",
            password=Secret(name),
            servers=(URLS[number // 2 % len(URLS)],),
            expires=60,
            session_expires=SESSION_EXPIRES,
            login_timeout=60.0,
        )
        phone = Phone(self._context(name), options)
        self.world.add(name, phone, f"10.0.{1 + number // 200}.{1 + number % 200}")
        self.world.on_output(name, partial(self._hear, name))
        self.world.do(name, phone.login)
        return phone

    def _hear(self, name: str, output: Any, now: float) -> None:
        match output:
            case IncomingCall(call):
                self._begins(name, call)
            case CallConfirmed():
                self.confirmed += 1
            case CallEnded(call, end):
                self.ended[name, call] += 1
                self.statuses[end.status] += 1
                self.up.pop((name, call), None)
            case _:
                pass

    def _begins(self, name: str, call: CallId) -> None:
        self.begun[name, call] += 1
        self.up[name, call] = None
        self.most = max(self.most, len(self.up) // 2)
        if name.startswith("caller") or self.draws.random() < 0.5:
            self.world.at(self.world.time + self.draws.expovariate(1 / TALK), name, self._hang_up, name, call)

    def _hang_up(self, name: str, call: CallId, *, now: float) -> None:
        phone = self.phones[name]
        with suppress(LocalProtocolError):  # it has ended by now
            phone.account.user_agent.hangup(call, now=now)
            phone._touched(now)

    def _place(self, name: str, *, now: float) -> None:
        phone, before = self.phones[name], len(self.phones[name].calls)
        callee = self.draws.choice([each for each in self.names if each.startswith("callee")])
        with suppress(LocalProtocolError):  # its flow is lost just now
            phone.call(SipUri(DOMAIN, callee), now=now)
        if len(phone.calls) > before:
            self._begins(name, phone.calls[-1])

    # What happens

    def run(self, seconds: float) -> None:
        self.world.run(until=self.world.time + seconds)
        self.world.log.clear()

    def trade(self, seconds: float) -> None:
        """Keeps as many calls up as there shall be, and breaks things."""
        end = self.world.time + seconds
        callers = [name for name in self.names if name.startswith("caller")]
        while self.world.time < end:
            for _ in range(min(self.wanted - len(self.up) // 2, max(1, self.wanted // 5))):
                name = self.draws.choice(callers)
                self.world.do(name, self._place, name)
            self.run(1.0)
            if self.draws.random() < 1 / BREAK_EVERY:
                self.broken += 1
                self.world.break_streams(self.draws.choice(self.names))
            if self.draws.random() < 1 / RESTART_EVERY:
                self.restart()

    def restart(self) -> None:
        """The server is gone, with all it knew, and comes back after two seconds."""
        self.restarts += 1
        self.world.break_streams("server")
        host = self.world.hosts["server"]
        for local in host.datagrams.values():
            self.world._bound.pop(local, None)
        for table in (host.datagrams, host.listeners, host.accepted, host.streams):
            table.clear()  # type: ignore[attr-defined]
        self.run(2.0)
        host.machine = self._server()
        self.world.do("server", host.machine.interfaces_changed, (SERVER,))

    def finish(self) -> None:
        """All hang up, and whatever was begun comes to its end."""
        for name, call in list(self.up):
            self.world.do(name, self._hang_up, name, call)
        self.run(3 * SESSION_EXPIRES + 100.0)
        for name, phone in self.phones.items():
            self.world.do(name, phone.logout)
        self.run(700.0)

    def check(self) -> None:
        assert self.begun == self.ended, f"not accounted for: {(self.begun - self.ended) + (self.ended - self.begun)}"
        assert not self.up
        server = self.world.hosts["server"].machine
        assert isinstance(server, Server)
        assert server.is_idle()
        for name, phone in self.phones.items():
            agent = phone.account.user_agent
            assert not len(agent._sessions), f"{name} holds calls still"
            assert not len(agent._layer), f"{name} holds transactions still"

    def summary(self) -> str:
        return (
            f"{sum(self.begun.values())} calls at both ends together, {self.most} at one time, {self.confirmed} ends"
            f" confirmed, {self.restarts} restarts, {self.broken} flows broken, {self.world.corrupted} datagrams"
            f" corrupted; ended by {dict(self.statuses.most_common(6))}"
        )


def held() -> int:
    """Octets that the machines hold."""
    gc.collect()
    inside = [tracemalloc.Filter(True, "*/sansio_sip/*")]
    outside = [tracemalloc.Filter(False, "*/simulation/*")]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(inside).filter_traces(outside).traces)


def soak(seed: int, calls: int, seconds: float) -> Exchange:
    exchange = Exchange(seed, calls)
    exchange.trade(seconds / 2)
    tracemalloc.start(1)  # from here on, for it takes its time; by the next quarter all calls are others
    try:
        exchange.trade(seconds / 4)
        before, begun = held(), sum(exchange.begun.values())
        exchange.trade(seconds / 4)
        assert held() - before < SLACK + A_CALL * (sum(exchange.begun.values()) - begun)
    finally:
        tracemalloc.stop()
    exchange.finish()
    print(exchange.summary())
    exchange.check()
    return exchange


def test_a_few_calls_for_a_few_minutes() -> None:
    exchange = soak(1, 20, 160.0)  # a quarter outlasts 64*T1, for which a transaction keeps its message
    assert exchange.world.corrupted > 3
    assert exchange.confirmed > 30


@pytest.mark.soak
def test_200_calls_for_half_an_hour() -> None:
    exchange = soak(2, 200, 1800.0)
    assert exchange.most >= 200
    assert exchange.restarts >= 3
    assert exchange.broken >= 40
    assert exchange.world.corrupted > 500
    assert exchange.confirmed > 2500
