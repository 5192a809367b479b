"""Floods during a call: garbage, INVITEs, registrations. Counters rise, answers stay bounded, and the call goes on."""

import gc
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from simulation.phones import HOSTS, RATE, SERVER_HOST, Network, Phone, pitch, tone

from sansio_sip.effects import Address, SendDatagram
from sansio_sip.simulation import Host, World
from sansio_sip.sip.limits import Limits
from sansio_sip.softphone.call_info import CallState

# RFC 5737 and RFC 2544: addresses of nobody.
ONE = "203.0.113.7"
ATTACKERS = (ONE, *(f"198.18.{number // 250}.{number % 250}" for number in range(1000)))

SECONDS = 4
A_SECOND = 150  # messages
LIMITS = Limits(rate=20.0, burst=40)  # below what one of them sends

# Of a request that nobody acknowledges: 100, the refusal, and its copies until Timer H (RFC 3261 section 17.2.1).
COPIES = 12

# Octets that a flood may leave in the machines' memory: a rate for each of a thousand sources.
SLACK = 600_000


class Watched(World):
    """Counts what is sent to attackers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.answers = self.octets = 0

    def _perform(self, host: Host, effect: Any) -> None:
        if isinstance(effect, SendDatagram) and effect.destination.host.startswith(("203.", "198.")):
            self.answers += 1
            self.octets += len(effect.data)
        super()._perform(host, effect)


def request(method: str, user: str, host: str, number: int, source: Address) -> bytes:
    body = f"v=0\r\no=- 1 1 IN IP4 {source.host}\r\ns=-\r\nc=IN IP4 {source.host}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
    content = body if method == "INVITE" else ""
    return (
        f"{method} sip:{user}@{host} SIP/2.0\r\nVia: SIP/2.0/UDP {source};branch=z9hG4bK{number}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:x{number}@example.com>;tag={number}\r\n"
        f"To: <sip:{user}@example.com>\r\nCall-ID: {number}@flood\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:x@{source}>\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: {len(content)}\r\n\r\n{content}"
    ).encode()


def talking(**options: Any) -> tuple[Network, Phone, Phone]:
    """Two phones in a call."""
    network = Network(5, world=Watched)
    network.server._flows.gate.limits = LIMITS
    alice, bob = network.phone("alice", limits=LIMITS, **options), network.phone("bob")
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    network.pass_time(0.5)
    bob.answer()
    network.pass_time(1.0)
    return network, alice, bob


def flood(network: Network, target: Address, make: Callable[[int, Address], bytes], seconds: int = SECONDS) -> int:
    """Sends `A_SECOND` messages a second, half of them from one address. Returns their octets."""
    octets = 0
    draws = random.Random(str(target))
    first = round(network.world.time * 1e6)
    for number in range(seconds * A_SECOND):
        if number % 20 == 0:
            network.pass_time(20 / A_SECOND)
        host = ONE if number % 2 else draws.choice(ATTACKERS)
        source = Address(host, draws.randrange(1024, 65536))
        data = make(first + number, source)
        octets += len(data)
        assert network.world.inject(target, data, source)
    return octets


def still_talking(network: Network, alice: Phone, bob: Phone, say: float) -> None:
    """What alice said is heard."""
    assert alice.calls
    assert bob.calls
    heard = bob.everything_heard()
    assert len(heard) > say * RATE * 0.9
    assert abs(pitch(heard[-3 * RATE : -RATE]) - 440.0) < 5


def twice(network: Network, target: Address, make: Callable[[int, Address], bytes]) -> None:
    """A second flood leaves nothing behind; without a call, whose media would take most of the time."""
    network.pass_time(40.0)
    tracemalloc.start(1)
    try:
        flood(network, target, make)
        network.pass_time(40.0)
        assert held(network) < SLACK
    finally:
        tracemalloc.stop()
    network.close()


def held(network: Network) -> int:
    """Octets that the machines have taken since tracing began, and hold."""
    for phone in network.phones:
        phone.heard.clear()
    gc.collect()
    inside = [tracemalloc.Filter(True, f"*/{part}/*") for part in ("sansio_sip", "sansio_sip_media")]
    outside = [tracemalloc.Filter(False, "*/simulation/*")]
    snapshot = tracemalloc.take_snapshot().filter_traces(inside).filter_traces(outside)
    return sum(trace.size for trace in snapshot.traces)


def garbage(number: int, source: Address) -> bytes:
    """Noise, or a request with a few octets changed."""
    draws = random.Random(number)
    if number % 3 == 0:
        return draws.randbytes(draws.randrange(1, 300))
    data = bytearray(request("OPTIONS", "alice", "10.0.0.1", number, source))
    for _ in range(draws.randrange(1, 6)):
        data[draws.randrange(len(data))] = draws.randrange(256)
    return bytes(data)


def counters_of(phone: Phone) -> Any:
    return phone.machine._accounts[phone.account].gate.counters


def test_garbage_at_a_phone() -> None:
    network, alice, bob = talking()
    alice.say(tone(440.0, SECONDS))
    received = flood(network, Address(HOSTS["alice"], 5060), garbage)
    still_talking(network, alice, bob, SECONDS)
    counters = counters_of(alice)
    assert counters.malformed > 100
    assert counters.over_rate > 100
    assert network.world.answers <= SECONDS * A_SECOND  # type: ignore[attr-defined]
    assert network.world.octets <= 1.5 * received  # type: ignore[attr-defined]
    alice.hang_up()
    twice(network, Address(HOSTS["alice"], 5060), garbage)


@pytest.mark.parametrize("several", [False, True])
def test_invites_at_a_phone(several: bool) -> None:
    """Busy, or one that takes several calls: then no more than it was told to."""
    network, alice, bob = talking(allow_multiple_incoming=several)
    alice.machine._calls.incoming._max_calls = 5
    target = Address(HOSTS["alice"], 5060)

    def invite(number: int, source: Address) -> bytes:
        return request("INVITE", "alice", str(target), number, source)

    alice.say(tone(440.0, SECONDS))
    flood(network, target, invite)
    assert len(alice.calls) <= 5
    talk = next(call for call in alice.calls if alice.machine.call_info(call).state is CallState.ANSWERED)
    assert counters_of(alice).over_rate > 100
    assert bob.calls
    assert abs(pitch(bob.everything_heard()[-3 * RATE : -RATE]) - 440.0) < 5
    alice.hang_up(talk)
    network.pass_time(40.0)
    assert network.world.answers <= COPIES * SECONDS * A_SECOND  # type: ignore[attr-defined]
    twice(network, target, invite)


def test_registrations_and_calls_at_the_server() -> None:
    network, alice, bob = talking()
    target = Address(SERVER_HOST, 5060)

    def register(number: int, source: Address) -> bytes:
        if number % 2:
            return request("REGISTER", f"user{number}", "example.com", number, source)
        return request("INVITE", "bob", "example.com", number, source)

    alice.say(tone(440.0, SECONDS))
    received = flood(network, target, register)
    still_talking(network, alice, bob, SECONDS)
    counters = network.server.counters
    assert counters["over_rate"] > 100
    # A challenge is said once and kept by nobody; it may be larger than what it answers, by its two headers.
    assert network.world.answers <= SECONDS * A_SECOND  # type: ignore[attr-defined]
    assert network.world.octets <= 2.0 * received  # type: ignore[attr-defined]
    carol = network.phone("carol")
    assert carol.login(), "an honest phone is kept out"
    alice.hang_up()
    twice(network, target, register)
