"""Whom an account may call, and how often, whoever asks for it."""

from typing import Any

import pytest
from softphone.phones import PBX, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import events


def test_only_what_begins_as_allowed_is_called() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice", outgoing_prefixes=("+49", "b"))
    for target in ("carol", "sip:+1900@example.com", "sip:example.com"):
        with pytest.raises(LocalProtocolError, match=r"outgoing_prefixes allows \+49, b; add it there"):
            alice.call(target)
    assert alice.events(events.Calling) == []
    alice.call("bob")
    alice.call("sip:%2B49301234@example.com")  # escapes hide nothing
    assert [event.call_info.dest for event in alice.events(events.Calling)] == [
        "sip:bob@example.com",
        "sip:+49301234@example.com",
    ]


def test_so_many_calls_a_minute_and_then_the_next_when_the_first_is_a_minute_old() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice", outgoing_per_minute=2, outgoing_prefixes=("bob",))
    began = scene.world.time
    for seconds in (0.0, 20.0):
        scene.wait(seconds)
        with pytest.raises(LocalProtocolError, match="outgoing_prefixes"):
            alice.call("carol")  # refused ones do not count
        alice.call("bob")
    with pytest.raises(LocalProtocolError, match=r"2 calls within a minute, .*; wait 40 s"):
        alice.call("bob")
    scene.wait(began + 60.1 - scene.world.time)
    alice.call("bob")
    with pytest.raises(LocalProtocolError, match="wait 20 s"):
        alice.call("bob")
    assert len(alice.events(events.Calling)) == 3


def test_a_transfer_cannot_have_us_call_whom_we_may_not() -> None:
    scene = Scene()
    policy = CallPolicy(refer=Consent.ALLOW)
    options: dict[str, Any] = {"server": f"udp://{PBX}", "policy": policy, "outgoing_prefixes": ("bob",)}
    alice, carol = scene.logged_in("alice", "carol")
    (bob,) = scene.logged_in("bob", **options)
    mine, _ = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(5.0)
    assert bob.events(events.Calling) == []
    assert carol.events(events.IncomingCall) == []
    assert len(bob.machine.calls()) == 1  # the call that it came in goes on


@pytest.mark.parametrize(("prefixes", "called"), [(("bob",), 0), (("bob", "car"), 1), ((), 1)])
def test_a_redirection_cannot_have_us_call_whom_we_may_not(prefixes: tuple[str, ...], called: int) -> None:
    """Peer to peer: a server of ours would go there in our place."""
    scene = Scene(server=False)
    policy = CallPolicy(redirect=Consent.ALLOW)
    alice = scene.phone("alice", None, policy=policy, outgoing_prefixes=prefixes)
    bob, carol = (scene.phone(name, None) for name in ("bob", "carol"))
    scene.wait(0.1)
    alice.call(bob.uri)
    scene.wait(1.0)
    bob.do(bob.machine.redirect, bob.only_call, carol.uri)
    scene.wait(1.0)
    assert len(carol.events(events.IncomingCall)) == called
    assert len(alice.events(events.CallRedirected)) == called
    assert len(alice.machine.calls()) == called  # the one that is not followed has ended


@pytest.mark.parametrize("calls", [-1, 6001])
def test_a_bound_must_be_one(calls: int) -> None:
    with pytest.raises(ValueError, match=f"^outgoing_per_minute is {calls}: allowed are 0 to 6000"):
        Scene().phone("alice", outgoing_per_minute=calls)


@pytest.mark.parametrize("prefixes", ["+49", ("",)])
def test_prefixes_are_texts_that_say_something(prefixes: Any) -> None:
    with pytest.raises(ValueError, match=r"^outgoing_prefixes is "):
        Scene().phone("alice", outgoing_prefixes=prefixes)
