"""Early media, forked calls, offers that come late, and addresses that others can use."""

import pytest
from softphone.phones import PBX, Phone, Scene
from softphone.test_transfer import hears

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.transport import Hop
from sansio_sip.softphone import CallUuid, events
from sansio_sip.softphone.account import reachable


def forked(server: str = f"udp://{PBX}", **options: object) -> tuple[Scene, Phone, Phone, Phone]:
    """Alice, and two phones of Bob's."""
    scene = Scene()
    alice, desk, mobile = (
        scene.phone(user, server, **options)
        for user in ("alice", "bob", "bob")  # type: ignore[arg-type]
    )
    for phone in (alice, desk, mobile):
        phone.login()
    return scene, alice, desk, mobile


def ringing(scene: Scene, alice: Phone) -> CallUuid:
    call = alice.call("bob")
    scene.wait(1.0)
    return call


@pytest.mark.parametrize("server", [f"udp://{PBX}", f"ws://{PBX}:8080"])
def test_early_media_is_heard_before_the_answer_and_after_it(server: str) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", server=server)
    call = ringing(scene, alice)
    bob.do(bob.machine.progress, bob.only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)
    assert alice.names()[-1] == "onMediaConnected"
    bob.do(bob.machine.answer, bob.only_call)
    scene.wait(1.0)
    assert alice.names().count("onCallAnswered") == bob.names().count("onCallAnswered") == 1
    assert hears(scene, alice, call)
    assert hears(scene, bob, bob.only_call)
    with pytest.raises(LocalProtocolError):
        bob.do(bob.machine.progress, bob.only_call)


def test_the_phone_that_was_heard_early_answers() -> None:
    scene, alice, desk, mobile = forked()
    call = ringing(scene, alice)
    desk.do(desk.machine.progress, desk.only_call)
    scene.wait(1.0)
    desk.do(desk.machine.answer, desk.only_call)
    scene.wait(1.0)
    assert mobile.machine.calls() == ()
    assert len(mobile.events(events.IncomingCallCanceled)) == 1
    assert hears(scene, alice, call)
    assert not any(parse_message(data).to.tag for data in alice.sent(b"INVITE"))  # no re-INVITE was needed


def test_another_phone_answers_than_the_one_that_was_heard_early() -> None:
    scene, alice, desk, mobile = forked()
    call = ringing(scene, alice)
    desk.do(desk.machine.progress, desk.only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)
    mobile.do(mobile.machine.answer, mobile.only_call)
    scene.wait(2.0)
    assert desk.machine.calls() == ()
    assert len(desk.events(events.IncomingCallCanceled)) == 1
    assert hears(scene, alice, call)
    assert hears(scene, mobile, mobile.only_call)
    assert alice.events(events.HoldFailed) == []
    assert not any(parse_message(data).to.tag for data in alice.sent(b"INVITE"))  # no re-INVITE was needed


@pytest.mark.parametrize("server", [f"udp://{PBX}", f"ws://{PBX}:8080"])
def test_a_call_without_an_offer(server: str) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", server=server, delayed_offer=True)
    mine, theirs = scene.established(alice, bob)
    assert alice.names().count("onCallAnswered") == bob.names().count("onCallAnswered") == 1
    assert hears(scene, alice, mine)
    assert hears(scene, bob, theirs)
    alice.do(alice.machine.hold, mine)
    scene.wait(1.0)
    assert len(bob.events(events.RemoteHold)) == 1


def test_a_call_without_an_offer_cannot_be_heard_early_and_can_be_given_up() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", delayed_offer=True)
    call = ringing(scene, alice)
    with pytest.raises(LocalProtocolError, match="no offer"):
        bob.do(bob.machine.progress, bob.only_call)
    alice.do(alice.machine.hangup, call)
    scene.wait(1.0)
    assert alice.machine.calls() == bob.machine.calls() == ()


def test_reliability_that_is_required_at_both_ends() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", reliability="required")
    call = ringing(scene, alice)
    assert len(alice.events(events.CallRemoteRinging)) == 1
    bob.do(bob.machine.progress, bob.only_call)
    bob.do(bob.machine.answer, bob.only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)


@pytest.mark.parametrize(
    ("local", "present", "host"),
    [
        ("0.0.0.0", ("127.0.0.1", "192.0.2.7"), "192.0.2.7"),
        ("0.0.0.0", ("127.0.0.1",), "127.0.0.1"),
        ("0.0.0.0", ("169.254.1.1", "192.0.2.7", "2001:db8::1"), "192.0.2.7"),
        ("0.0.0.0", (), "127.0.0.1"),
        ("::", ("::1", "192.0.2.7", "fe80::1", "2001:db8::1"), "2001:db8::1"),
        ("192.0.2.9", ("192.0.2.7",), "192.0.2.9"),
    ],
)
def test_contact_is_an_address_that_others_can_use(local: str, present: tuple[str, ...], host: str) -> None:
    assert reachable(Hop("UDP", None, Address(local, 5060)), present).local == Address(host, 5060)
