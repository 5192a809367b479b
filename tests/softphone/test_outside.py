"""Texts and subscriptions outside of calls, between phones through the real server."""

from typing import Any

import pytest
from softphone.phones import PBX, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation.link import Link
from sansio_sip.softphone import events


@pytest.mark.parametrize("server", [f"udp://{PBX}", f"ws://{PBX}:8080"])
def test_a_text_reaches_whom_it_is_for(server: str) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", server=server)
    number = alice.do(alice.machine.send_message, alice.account, "bob", "grüß dich")
    scene.wait(1.0)
    (received,) = bob.events(events.MessageReceived)
    assert (received.call, received.sender, received.content_type) == (None, "alice@example.com", "text/plain")
    assert received.as_dict()["body"] == "grüß dich"
    (answered,) = alice.events(events.RequestAnswered)
    assert (answered.request, answered.status) == (number, 200)


@pytest.mark.parametrize("seed", range(5))
def test_a_text_over_a_lossy_line_comes_once(seed: int) -> None:
    scene = Scene(seed)
    alice, bob = scene.logged_in("alice", "bob", server=f"udp://{PBX}")
    for phone in (alice, bob):
        scene.world.connect(phone.name, "pbx", Link(delay=0.02, jitter=0.02, loss=0.3, reordering=0.1))
    number = alice.do(alice.machine.send_message, alice.account, "bob", "hello")
    scene.wait(40.0)
    assert len(bob.events(events.MessageReceived)) <= 1
    (answered,) = alice.events(events.RequestAnswered)
    assert answered.request == number
    if answered.status == 200:
        assert len(bob.events(events.MessageReceived)) == 1


def test_a_text_to_nobody() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    alice.do(alice.machine.send_message, alice.account, "nobody", "hello")
    scene.wait(1.0)
    (answered,) = alice.events(events.RequestAnswered)
    assert answered.status in (404, 480)


def test_a_subscription_that_nobody_serves_is_told_to_be_over() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    name: Any = alice.do(alice.machine.subscribe, alice.account, "dialog", "bob")
    scene.wait(1.0)
    (ended,) = alice.events(events.SubscriptionEnded)
    assert (ended.subscription, ended.status) == (name, 489)
    assert bob.events(events.MessageReceived) == []
    with pytest.raises(LocalProtocolError, match="no subscription"):
        alice.do(alice.machine.unsubscribe, alice.account, name)


def test_texts_and_subscriptions_need_a_way() -> None:
    scene = Scene()
    alice = scene.phone("alice")
    with pytest.raises(LocalProtocolError, match="no signalling flow"):
        alice.do(alice.machine.send_message, alice.account, "bob", "hello")
    with pytest.raises(LocalProtocolError, match="no signalling flow"):
        alice.do(alice.machine.subscribe, alice.account, "message-summary")
