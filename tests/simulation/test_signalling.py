"""Phones on a simulated network: large requests, peers by name, servers by the DNS, without a port in sight."""

import random
from dataclasses import replace
from typing import Any

import pytest
from server.phone import Phone

from sansio_sip.connection_outputs import ConnectionOpened
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import (
    Address,
    CloseFlow,
    FlowId,
    Listen,
    NaptrRecord,
    OpenDatagram,
    OpenStream,
    Resolve,
    SendDatagram,
    SrvRecord,
)
from sansio_sip.server import Server, ServerOptions
from sansio_sip.signalling import MAX_NAMES, MAX_PORTS, MAX_WAITING, Signalling, Unreachable
from sansio_sip.simulation import World
from sansio_sip.simulation.link import Link
from sansio_sip.sip.call_events import CallEnded
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone.account_outputs import LoggedIn
from sansio_sip.softphone.options import AccountOptions

HOSTS = {"alice": "10.0.0.1", "bob": "10.0.0.2", "pbx": "10.0.0.9"}
LARGE = "x" * 1400


class Watched(World):
    """A world that remembers the streams that were opened in it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.streams: list[OpenStream] = []

    def _open_stream(self, host: Any, effect: OpenStream) -> None:
        self.streams.append(effect)
        super()._open_stream(host, effect)


def context(seed: int) -> Context:
    return Context(Entropy(random.Random(seed)))


def peers(world: World) -> tuple[Phone, Phone]:
    """Two phones that need no server, on the standard port."""
    phones = []
    for number, name in enumerate(("alice", "bob")):
        phone = Phone(context(number), AccountOptions(f"sip:{name}@{name}.example.com", bind=Address("0.0.0.0", 5060)))
        world.add(name, phone, HOSTS[name])
        world.do(name, lambda *, now, phone=phone: (phone.account.connect(now=now), phone._drain(now)))
        phones.append(phone)
    world.run(until=1.0)
    return phones[0], phones[1]


def call(world: World, phone: Phone, uri: str, *, large: bool = False) -> None:
    host, _, port = uri.partition(":")
    target = SipUri(host, "bob", port=int(port) if port else None)
    headers = (("Subject", LARGE),) if large else ()

    def place(*, now: float) -> None:
        phone.calls.append(phone.account.user_agent.invite(target, b"v=0 offer\r\n", headers=headers, now=now))
        phone._touched(now)

    world.do("alice", place)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("names", "records"),
    [
        ({"bob.example.com": (HOSTS["bob"],)}, {}),
        (
            {"host.example.com": ("10.0.0.77", HOSTS["bob"])},
            {"_sip._udp.bob.example.com": (SrvRecord(0, 0, 5060, "host.example.com"),)},
        ),
    ],
)
def test_a_peer_is_called_by_name(large: bool, names: dict[str, Any], records: dict[str, Any]) -> None:
    names = {name: addresses[-1:] for name, addresses in names.items()}
    world = Watched(1, link=Link(delay=0.02), names=names, records=records)
    alice, bob = peers(world)
    call(world, alice, "bob.example.com", large=large)
    assert world.run(until=10.0, stop=lambda: bob.answered == 1)
    assert len(world.streams) == large
    world.do("alice", alice.hangup)
    world.run(until=60.0)
    assert [row[0] for row in bob.ended] == ["remote"]


def test_a_name_that_nobody_has_ends_the_call_at_once() -> None:
    world = Watched(1)
    alice, _ = peers(world)
    call(world, alice, "nowhere.example.com")
    assert world.run(until=2.0, stop=lambda: bool(alice.ended))
    (ended,) = world.outputs("alice", CallEnded)
    assert ended.end.by == "system"
    world.run(until=200.0)
    assert world.idle()


def test_a_call_given_up_while_its_name_is_looked_up_leaves_nothing() -> None:
    world = Watched(1, names={"bob.example.com": (HOSTS["bob"],)})
    alice, bob = peers(world)
    call(world, alice, "bob.example.com")
    world.do("alice", alice.hangup)
    world.run(until=200.0)
    assert world.idle()
    assert len(alice.ended) == 1
    assert len(bob.ended) == len(bob.calls)


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("tcp", [True, False])
def test_a_large_invite_reaches_a_server_with_tcp_and_without(tcp: bool, loss: float) -> None:
    users = {name: Secret(name) for name in ("alice", "bob")}
    listen = ("udp://10.0.0.9:5060", *(("tcp://10.0.0.9:5060",) if tcp else ()))
    server = Server(context(9), ServerOptions(domain="example.com", listen=listen, users=users))
    world = Watched(3, link=Link(delay=0.02, loss=loss))
    world.add("pbx", server, HOSTS["pbx"])
    phones = {}
    for number, name in enumerate(users):
        options = AccountOptions(f"sip:{name}@example.com", password=users[name], servers=("udp://10.0.0.9",))
        phones[name] = phone = Phone(context(number), options)
        world.add(name, phone, HOSTS[name])
        world.do(name, phone.login)
    assert world.run(until=30.0, stop=lambda: len(list(world.outputs("bob", LoggedIn))) == 1)
    assert world.run(until=30.0, stop=lambda: len(list(world.outputs("alice", LoggedIn))) == 1)
    alice, bob = phones["alice"], phones["bob"]
    call(world, alice, "example.com", large=True)
    assert world.run(until=world.time + 32.0, stop=lambda: bob.answered == 1)
    assert len(world.streams) == 1
    counters = alice.account._flows._rows[1].counters
    assert (counters.fallbacks == 0) == tcp
    world.do("alice", alice.hangup)
    world.run(until=world.time + 70.0)
    assert [row[0] for row in bob.ended] == ["remote"]


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_server_is_found_by_the_dns_and_the_next_one_when_it_is_down(loss: float) -> None:
    users = {"alice": Secret("alice")}
    server = Server(context(9), ServerOptions(domain="example.com", listen=("tcp://10.0.0.9:5070",), users=users))
    records = {
        "example.com": (NaptrRecord(1, 1, "s", "SIP+D2T", "", "_sip._tcp.example.com"),),
        "_sip._tcp.example.com": (
            SrvRecord(2, 0, 5070, "two.example.com"),
            SrvRecord(1, 0, 5070, "one.example.com"),
        ),
    }
    names = {"one.example.com": ("10.0.0.8",), "two.example.com": ("10.0.0.9",)}
    world = Watched(2, link=Link(delay=0.02, loss=loss), names=names, records=records)
    world.add("pbx", server, HOSTS["pbx"])
    world.add("down", Phone(context(5), AccountOptions("sip:x@example.com")), "10.0.0.8")
    phone = Phone(
        context(1), AccountOptions("sip:alice@example.com", password=users["alice"], servers=("sip:example.com",))
    )
    world.add("alice", phone, HOSTS["alice"])
    world.do("alice", phone.login)
    assert world.run(until=8.0, stop=lambda: len(list(world.outputs("alice", LoggedIn))) == 1)
    assert [each.host for each in world.streams] == ["10.0.0.8", "10.0.0.9"]


def test_a_peer_whose_uri_says_tcp_is_called_by_a_stream() -> None:
    world = Watched(1, link=Link(delay=0.02))
    alice, bob = peers(world)
    target = SipUri(HOSTS["bob"], "bob", port=5060, parameters=(("transport", "tcp"),))

    def place(*, now: float) -> None:
        alice.calls.append(alice.account.user_agent.invite(target, b"v=0 offer\r\n", now=now))
        alice._touched(now)

    world.do("alice", place)
    assert world.run(until=10.0, stop=lambda: bob.answered == 1)
    assert [(each.host, each.port) for each in world.streams] == [(HOSTS["bob"], 5060)]
    world.do("alice", alice.hangup)
    world.run(until=400.0)
    assert [row[0] for row in bob.ended] == ["remote"]


@pytest.mark.parametrize(
    "records", [{}, {"_sip._tcp.bob.example.com": (SrvRecord(0, 0, 5060, "host.example.com"),)}], ids=["A", "SRV"]
)
def test_a_peer_by_name_is_called_over_tcp_where_its_uri_says_so(records: dict[str, Any]) -> None:
    names = {("host" if records else "bob") + ".example.com": (HOSTS["bob"],)}
    # By UDP there is nobody, and a service for it is not asked for.
    wrong = {"_sip._udp.bob.example.com": (SrvRecord(0, 0, 5060, "nowhere.example.com"),)}
    world = Watched(1, link=Link(delay=0.02), names=names, records={**wrong, **records})
    alice, bob = peers(world)
    world.do("alice", alice.call, SipUri("bob.example.com", "bob", parameters=(("transport", "TCP"),)))
    assert world.run(until=10.0, stop=lambda: bob.answered == 1)
    assert [(effect.host, effect.port) for effect in world.streams] == [(HOSTS["bob"], 5060)]
    world.do("alice", alice.hangup)
    world.run(until=60.0)
    assert [row[0] for row in bob.ended] == ["remote"]


def test_nothing_for_a_sips_uri_goes_out_in_the_clear() -> None:
    world = Watched(1, names={"bob.example.com": (HOSTS["bob"],)})
    alice, bob = peers(world)
    for host in ("bob.example.com", HOSTS["bob"]):
        world.do("alice", alice.call, SipUri(host, "bob", scheme="sips"))
    world.run(until=60.0)
    assert bob.calls == []
    assert [event.end.by for event in world.outputs("alice", CallEnded)] == ["system"] * 2
    assert not list(world.outputs("alice", SendDatagram))


def test_too_many_names_are_told_to_those_that_wait_for_them() -> None:
    signalling = Signalling(context(1), "account", (), bind=Address("0.0.0.0", 5060), pause=(1.0, 2.0))
    signalling.connect(now=0.0)
    (opened,) = (each for each in signalling.outputs() if isinstance(each, OpenDatagram))
    signalling.flow_opened(opened.flow, Address(HOSTS["alice"], 5060), now=0.0)
    (listen,) = (each for each in signalling.outputs() if isinstance(each, Listen))
    signalling.flow_opened(listen.listener, listen.bind, now=0.0)
    (hop,) = (each.hop for each in signalling.outputs() if isinstance(each, ConnectionOpened))

    def send(number: int, data: bytes) -> list[Any]:
        named = replace(hop, address=Address(f"{number}.example.com", 0))
        signalling.send(data, named, now=1.0)
        return list(signalling.outputs())

    # The first name is known, and is forgotten before those that somebody waits for.
    (asked,) = send(0, b"known")
    signalling.resolved(asked.query, (), now=1.0)
    while questions := [each for each in signalling.outputs() if isinstance(each, Resolve)]:
        for question in questions:
            signalling.resolved(question.query, (Address(HOSTS["bob"], 0),), now=1.0)
    for number in range(1, MAX_NAMES + 1):
        assert not [each for each in send(number, b"first") if isinstance(each, Unreachable)]
    assert signalling.counters.unsent == 0
    send(1, b"second")
    send(1, b"second")  # sent again
    said = [each for each in send(MAX_NAMES + 1, b"first") if isinstance(each, Unreachable)]
    assert [each.address for each in said] == [Address("1.example.com", 0)]
    assert signalling.counters.unsent == 2

    for number in range(MAX_WAITING + 3):
        send(2, b"%d" % number)
    assert signalling.counters.unsent == 2 + 4


def drained(signalling: Signalling) -> list[Any]:
    return list(signalling.outputs())


def listening(port: int) -> tuple[Signalling, list[Any]]:
    """A phone without a server whose socket for datagrams has just been bound, and what it wants next."""
    signalling = Signalling(context(1), "s", (), bind=Address("10.0.0.1", port), pause=(1.0, 30.0))
    signalling.connect(now=0.0)
    (datagrams,) = drained(signalling)
    assert isinstance(datagrams, OpenDatagram)
    signalling.flow_opened(datagrams.flow, Address("10.0.0.1", port or 40_000), now=0.0)
    return signalling, drained(signalling)


def test_nobody_hears_of_an_open_flow_before_its_port_listens_too() -> None:
    signalling, (listen,) = listening(0)
    assert listen == Listen(listen.listener, Address("10.0.0.1", 40_000))
    assert signalling.is_connecting
    signalling.flow_opened(listen.listener, listen.bind, now=0.0)
    (opened,) = drained(signalling)
    assert isinstance(opened, ConnectionOpened)
    assert not signalling.is_connecting


def test_a_port_that_is_taken_for_streams_is_exchanged_for_another_where_any_will_do() -> None:
    signalling, outputs = listening(0)
    for attempt in range(MAX_PORTS):
        (listen,) = outputs
        signalling.flow_lost(listen.listener, "Address already in use", now=0.0)
        closed, datagrams = drained(signalling)
        assert (closed, datagrams.bind.port) == (CloseFlow(FlowId(f"s.{attempt + 1}")), 0)
        signalling.flow_opened(datagrams.flow, Address("10.0.0.1", 40_001 + attempt), now=0.0)
        outputs = drained(signalling)
    (listen,) = outputs
    signalling.flow_lost(listen.listener, "Address already in use", now=0.0)
    (opened,) = drained(signalling)
    assert opened.hop.local == Address("10.0.0.1", 40_000 + MAX_PORTS)


def test_a_port_that_was_asked_for_is_kept_though_it_is_taken_for_streams() -> None:
    signalling, (listen,) = listening(5060)
    signalling.flow_lost(listen.listener, "Address already in use", now=0.0)
    (opened,) = drained(signalling)
    assert opened.hop.local == Address("10.0.0.1", 5060)


def test_a_flow_that_was_not_said_to_be_open_is_not_said_to_be_lost() -> None:
    signalling, (listen,) = listening(0)
    signalling.close(now=0.0)
    assert {type(output) for output in drained(signalling)} == {CloseFlow}
    signalling.flow_opened(listen.listener, listen.bind, now=0.0)
    assert not drained(signalling)
    assert not signalling.is_connecting
