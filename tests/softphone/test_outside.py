"""Texts and subscriptions outside of calls, between phones through the real server."""

from typing import Any

import pytest
from softphone.phones import PBX, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation.link import Link
from sansio_sip.sip.message_summary import CONTENT_TYPE
from sansio_sip.sip.subscription import Notified, SubscriptionId
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import AccountId
from sansio_sip.softphone.outside import events_of


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


BODY = b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.com\r\nVoice-Message: 2/8 (0/2)\r\n"


def test_messages_that_wait_are_told_as_they_came_and_as_they_read() -> None:
    notified = Notified(SubscriptionId("s"), "message-summary", "active", CONTENT_TYPE, BODY)
    told, waiting = events_of(AccountId("a"), notified)
    assert told == events.Notified(AccountId("a"), SubscriptionId("s"), "message-summary", "active", CONTENT_TYPE, BODY)
    assert isinstance(waiting, events.MessagesWaiting)
    assert (waiting.summary.waiting, waiting.summary.account) == (True, "sip:alice@example.com")
    assert [(kind.kind, kind.new, kind.old, kind.old_urgent) for kind in waiting.summary.messages] == [
        ("voice-message", 2, 8, 2)
    ]


@pytest.mark.parametrize(
    ("content_type", "body"), [(CONTENT_TYPE, b"no such line"), ("application/dialog-info+xml", BODY)]
)
def test_what_is_no_summary_of_messages_is_told_as_it_came_alone(content_type: str, body: bytes) -> None:
    notified = Notified(SubscriptionId("s"), "message-summary", "active", content_type, body)
    assert [type(event) for event in events_of(AccountId("a"), notified)] == [events.Notified]
