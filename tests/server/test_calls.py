"""Real user agents call each other through the real server, over a simulated network that loses and reorders."""

import random

import pytest
from server.phone import Phone

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.server import BindingAdded, BindingRemoved, Server, ServerOptions
from sansio_sip.simulation.link import Link
from sansio_sip.simulation.world import World
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone.options import AccountOptions

DOMAIN = "example.com"
USERS = {"alice": Secret("wonderland"), "bob": Secret("builder"), "carol": Secret("christmas")}
URLS = {"udp": "udp://10.0.0.1:5060", "ws": "ws://10.0.0.1:8080", "tcp": "tcp://10.0.0.1:5060"}

GOOD = Link(delay=0.02)
BAD = Link(delay=0.02, jitter=0.05, loss=0.3, duplication=0.05, reordering=0.1)


def context(seed: int, name: str) -> Context:
    return Context(Entropy(random.Random(f"{seed}/{name}")))


class Town:
    """A server and phones, each a host of one world."""

    def __init__(self, seed: int = 1, link: Link = GOOD) -> None:
        self.seed = seed
        self.world = World(seed, link=link)
        options = ServerOptions(domain=DOMAIN, listen=tuple(URLS.values()), users=USERS)
        self.server = Server(context(seed, "server"), options)
        self.world.add("server", self.server, "10.0.0.1")

    def phone(
        self, name: str, transport: str, *, answers: bool | int | None = True, address: str = "", password: str = ""
    ) -> Phone:
        user = name.rstrip("0123456789")
        options = AccountOptions(
            f"sip:{user}@{DOMAIN}",
            password=Secret(password) if password else USERS[user],
            servers=(URLS[transport],),
            login_timeout=60.0,
        )
        phone = Phone(context(self.seed, name), options, answers=answers)
        self.world.add(name, phone, address or f"10.0.0.{len(self.world.hosts) + 1}")
        self.world.do(name, phone.login)
        assert self.world.run(until=self.world.time + 60.0, stop=lambda: phone.account.registered)
        return phone

    def call(self, name: str, phone: Phone, user: str) -> None:
        self.world.do(name, phone.call, SipUri(DOMAIN, user))

    def settle(self, seconds: float = 120.0) -> None:
        self.world.run(until=self.world.time + seconds)

    def becomes_idle(self) -> bool:
        """Whether the server comes to rest between two refreshes of registrations."""
        return self.world.run(until=self.world.time + 200.0, stop=self.server.is_idle)

    def events(self, *kinds: type) -> list[object]:
        return list(self.world.outputs("server", *kinds))


@pytest.mark.parametrize("callee", ["udp", "ws", "tcp"])
@pytest.mark.parametrize("caller", ["udp", "ws", "tcp"])
def test_a_call_from_each_transport_to_each(caller: str, callee: str) -> None:
    town = Town()
    alice, bob = town.phone("alice", caller), town.phone("bob", callee)
    town.call("alice", alice, "bob")
    assert town.world.run(until=town.world.time + 10.0, stop=lambda: alice.answered == bob.answered == 1)
    town.settle(30.0)
    town.world.do("bob", bob.hangup)
    town.settle()
    assert (alice.ended, bob.ended) == ([("remote", 200)], [("local", 200)])
    for name, phone in (("alice", alice), ("bob", bob)):
        town.world.do(name, phone.logout)
    town.settle()
    assert len(town.events(BindingAdded)) == len(town.events(BindingRemoved)) == 2
    assert town.becomes_idle()


@pytest.mark.parametrize("seed", range(6))
def test_a_call_over_a_network_that_loses_every_third_packet(seed: int) -> None:
    town = Town(seed, BAD)
    kinds = ("udp", "ws")
    alice, bob = town.phone("alice", kinds[seed % 2]), town.phone("bob", "udp")
    town.call("alice", alice, "bob")
    town.settle(60.0)
    if alice.answered:
        town.world.do("alice", alice.hangup)
    town.settle(200.0)
    # Each end hears of exactly one end, whatever was lost; most calls are answered first.
    assert len(alice.ended) == 1
    assert len(bob.ended) == len(bob.calls)
    assert town.becomes_idle()


def test_most_calls_over_a_bad_network_are_answered() -> None:
    answered = 0
    for seed in range(100, 112):
        town = Town(seed, BAD)
        alice, bob = town.phone("alice", "udp"), town.phone("bob", "udp")
        town.call("alice", alice, "bob")
        town.settle(60.0)
        answered += alice.answered and bob.answered
    assert answered >= 10


def test_a_refusal_reaches_the_caller() -> None:
    town = Town()
    alice = town.phone("alice", "ws")
    town.phone("bob", "udp", answers=486)
    town.call("alice", alice, "bob")
    town.settle()
    assert alice.ended == [("remote", 486)]


def test_a_caller_who_gives_up_stops_the_ringing() -> None:
    town = Town()
    alice = town.phone("alice", "udp")
    bob = town.phone("bob", "ws", answers=None)
    town.call("alice", alice, "bob")
    town.settle(5.0)
    town.world.do("alice", alice.hangup)
    town.settle()
    assert (alice.ended, bob.ended) == ([("local", 487)], [("remote", 487)])
    assert town.becomes_idle()


def test_all_devices_of_a_user_ring_and_one_is_talked_to() -> None:
    town = Town()
    alice = town.phone("alice", "ws")
    desk = town.phone("bob1", "udp", answers=None)
    browser = town.phone("bob2", "ws", answers=True)
    town.call("alice", alice, "bob")
    town.settle()
    assert (alice.answered, desk.answered, browser.answered) == (1, 0, 1)
    assert [end[0] for end in desk.ended] == ["remote"]
    assert len(desk.calls) == 1


def test_a_call_to_nobody_fails_and_a_wrong_password_registers_nothing() -> None:
    town = Town()
    alice = town.phone("alice", "udp")
    for user, status in (("nobody", 404), ("carol", 480)):
        town.call("alice", alice, user)
        town.settle()
        assert alice.ended[-1] == ("remote", status)
    with pytest.raises(AssertionError):
        town.phone("carol", "udp", password="wrong")
    assert len(town.events(BindingAdded)) == 1


def test_a_browser_that_loses_its_web_socket_comes_back_and_can_be_called() -> None:
    town = Town()
    alice, bob = town.phone("alice", "udp"), town.phone("bob", "ws")
    town.world.break_streams("bob")
    town.settle(1.0)
    assert len(town.events(BindingRemoved)) == 1
    assert town.world.run(until=town.world.time + 120.0, stop=lambda: len(town.events(BindingAdded)) == 3)
    town.call("alice", alice, "bob")
    town.settle(10.0)
    assert (alice.answered, bob.answered) == (1, 1)


def test_registrations_are_refreshed_for_hours() -> None:
    town = Town()
    alice = town.phone("alice", "udp")
    town.phone("bob", "ws")
    town.settle(4 * 3600.0)
    assert len(town.events(BindingAdded)) == 2
    assert not town.events(BindingRemoved)
    town.call("alice", alice, "bob")
    town.settle(10.0)
    assert alice.answered == 1


def test_one_seed_gives_one_run() -> None:
    def run() -> str:
        town = Town(7, BAD)
        alice = town.phone("alice", "udp")
        town.phone("bob", "ws")
        town.call("alice", alice, "bob")
        town.settle()
        return town.world.hash()

    assert run() == run()
