"""The simulated network: what it does to packets, and that one seed gives one run."""

from typing import Any

import pytest
from drivers.echo import Echo, Heard, Lost, Opened
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.effects import Address, FlowId, SendDatagram, SendStream
from sansio_sip.simulation import Link, LinkState, World

ALICE, BOB = "10.0.0.1", "10.0.0.2"


def two_hosts(seed: int = 0, link: Link | None = None) -> tuple[World, Echo, Echo]:
    world = World(seed, link=link or Link())
    alice, bob = Echo(ALICE), Echo(BOB)
    world.add("alice", alice, ALICE)
    world.add("bob", bob, BOB)
    return world, alice, bob


def datagram_pair(seed: int, link: Link) -> tuple[World, Address]:
    world, alice, bob = two_hosts(seed, link)
    world.do("alice", alice.open_datagram, "a")
    world.do("bob", bob.open_datagram, "echo")
    world.run()
    (opened,) = world.outputs("bob", Opened)
    return world, opened.local


def test_a_datagram_goes_and_comes_back_after_two_delays() -> None:
    world, target = datagram_pair(0, Link(delay=0.025))
    alice: Any = world.hosts["alice"].machine
    world.do("alice", alice.do, SendDatagram(FlowId("a"), b"hello", target))
    world.run()
    assert [(round(row.time, 6), row.host, row.output) for row in world.log if isinstance(row.output, Heard)] == [
        (0.025, "bob", Heard(FlowId("echo"), b"hello")),
        (0.050, "alice", Heard(FlowId("a"), b"hello")),
    ]


def test_loss_takes_the_share_it_should() -> None:
    for burst in (0.0, 4.0):
        state = LinkState(7, "a>b", Link(loss=0.2, burst=burst))
        lost = sum(not state.datagram(100, 0.0) for _ in range(20_000))
        assert 0.18 < lost / 20_000 < 0.22


def test_bursts_are_as_long_as_asked() -> None:
    state = LinkState(7, "a>b", Link(loss=0.1, burst=5.0))
    fates = [bool(state.datagram(100, 0.0)) for _ in range(50_000)]
    bursts = "".join("." if arrived else "x" for arrived in fates).split(".")
    lengths = [len(burst) for burst in bursts if burst]
    assert 4.5 < sum(lengths) / len(lengths) < 5.5


def test_a_rate_makes_a_queue_and_the_queue_is_bounded() -> None:
    state = LinkState(0, "a>b", Link(delay=0.0, rate=1000.0, queue=0.25))
    arrivals = [state.datagram(100, 0.0) for _ in range(10)]
    assert [times[0] for times in arrivals if times] == pytest.approx([0.0, 0.1, 0.2])
    assert state.lost == 7


@given(seed=st.integers(0, 1000), extra=st.integers(0, 5))
@settings(max_examples=20)
def test_traffic_on_one_link_does_not_change_another(seed: int, extra: int) -> None:
    link = Link(loss=0.3, jitter=0.05, duplication=0.1)
    alone = LinkState(seed, "a>b", link)
    beside, other = LinkState(seed, "a>b", link), LinkState(seed, "c>d", link)
    for number in range(50):
        for _ in range(extra):
            other.datagram(10, 0.0)
        assert alone.datagram(10, float(number)) == beside.datagram(10, float(number))


@given(seed=st.integers(0, 50))
@settings(max_examples=20)
def test_a_stream_keeps_order_and_loses_nothing(seed: int) -> None:
    world, alice, bob = two_hosts(seed, Link(loss=0.3, jitter=0.2))
    world.do("bob", bob.listen, "echo")
    world.run()
    (opened,) = world.outputs("bob", Opened)
    world.do("alice", alice.connect, "s", opened.local)
    world.run()
    sent = [bytes([number]) * 10 for number in range(30)]
    for chunk in sent:
        world.do("alice", alice.do, SendStream(FlowId("s"), chunk))
    world.run()
    assert b"".join(heard.data for heard in world.outputs("bob", Heard)) == b"".join(sent)
    assert b"".join(heard.data for heard in world.outputs("alice", Heard)) == b"".join(sent)


def test_a_stream_to_nobody_is_refused_and_a_broken_one_is_lost_at_both_ends() -> None:
    world, alice, bob = two_hosts()
    world.do("alice", alice.connect, "s", Address(BOB, 5060))
    world.run()
    assert list(world.outputs("alice", Lost)) == [Lost(FlowId("s"), "Connection refused")]
    world.do("bob", bob.listen, "in")
    world.run()
    (listening,) = world.outputs("bob", Opened)
    world.do("alice", alice.connect, "t", listening.local)
    world.run()
    world.break_streams("alice")
    assert list(world.outputs("alice", Lost))[1:] == [Lost(FlowId("t"), "connection reset")]
    assert list(world.outputs("bob", Lost)) == [Lost(FlowId("in#1"), "connection reset")]


def test_a_cut_wire_passes_nothing_and_a_mended_one_does_again() -> None:
    world, target = datagram_pair(0, Link())
    alice: Any = world.hosts["alice"].machine
    world.cut("alice", "bob")
    world.do("alice", alice.do, SendDatagram(FlowId("a"), b"lost", target))
    world.run()
    world.cut("alice", "bob", cut=False)
    world.do("alice", alice.do, SendDatagram(FlowId("a"), b"heard", target))
    world.run()
    assert [heard.data for heard in world.outputs("bob", Heard)] == [b"heard"]


def test_a_skewed_clock_drifts_by_its_parts_per_million() -> None:
    world = World()
    fast = Echo()
    world.add("fast", fast, ALICE, skew=200e-6, epoch=1000.0)
    world.do("fast", fast.alarm, 3600.0)
    world.run()
    assert world.time == pytest.approx(3600.0 / (1 + 200e-6))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25)
def test_one_seed_gives_one_run(seed: int) -> None:
    def run() -> str:
        world, target = datagram_pair(seed, Link(loss=0.2, jitter=0.03, duplication=0.2, reordering=0.2))
        alice: Any = world.hosts["alice"].machine
        for number in range(20):
            world.at(number * 0.01, "alice", alice.do, SendDatagram(FlowId("a"), bytes([number]), target))
        world.run()
        return world.hash()

    assert run() == run()
