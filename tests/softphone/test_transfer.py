"""Transfers between phones through the real server (RFC 3515, RFC 3891, RFC 5589), and calls sent elsewhere."""

from typing import Any

import pytest
from softphone.phones import PBX, Phone, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation.link import Link
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import CallState, CallUuid, events

FOLLOW = CallPolicy(refer=Consent.ALLOW, redirect=Consent.ALLOW)
ASK = CallPolicy(refer=Consent.ASK, replaces=Consent.ASK)

TRANSFER_EVENTS = (
    events.TransferProgress,
    events.TransferCompleted,
    events.TransferFailed,
    events.TransferRequested,
    events.CallReplaced,
)


def told(phone: Phone) -> list[str]:
    """What it has said of transfers; progress with its status."""
    found = []
    for event in phone.events(*TRANSFER_EVENTS):
        status = f" {event.status}" if isinstance(event, events.TransferProgress | events.TransferFailed) else ""
        found.append(event.name.removeprefix("on") + status)  # type: ignore[attr-defined]
    return found


def trio(policy: CallPolicy, server: str = f"ws://{PBX}:8080", **scene: Any) -> tuple[Scene, Phone, Phone, Phone]:
    made = Scene(**scene)
    alice, bob, carol = made.logged_in("alice", "bob", "carol", server=server, policy=policy)
    return made, alice, bob, carol


def answer(phone: Phone, scene: Scene) -> CallUuid:
    (ringing,) = (info.call_uuid for info in phone.machine.calls() if info.state is CallState.RINGING)
    phone.do(phone.machine.answer, ringing)
    scene.wait(1.0)
    return ringing


def hears(scene: Scene, phone: Phone, call: CallUuid) -> bool:
    before = phone.machine.statistics(call)
    scene.wait(1.0)
    after = phone.machine.statistics(call)
    assert before is not None
    assert after is not None
    return after.packets_received > before.packets_received + 40


@pytest.mark.parametrize("server", [f"ws://{PBX}:8080", f"udp://{PBX}", f"tcp://{PBX}"])
def test_blind_transfer(server: str) -> None:
    scene, alice, bob, carol = trio(FOLLOW, server)
    mine, _theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    assert told(alice) == ["TransferProgress 100", "TransferProgress 180"]
    (asked,) = bob.events(events.TransferRequested)
    assert (asked.target, asked.referred_by) == ("sip:carol@example.com", "<sip:alice@example.com>")
    assert asked.new_call is not None
    hers = answer(carol, scene)
    scene.wait(1.0)
    assert told(alice) == ["TransferProgress 100", "TransferProgress 180", "TransferCompleted"]
    assert alice.machine.calls() == ()
    assert [info.call_uuid for info in bob.machine.calls()] == [asked.new_call]
    assert hears(scene, bob, asked.new_call)
    assert hears(scene, carol, hers)


def test_blind_transfer_to_somebody_who_refuses_leaves_the_call() -> None:
    scene, alice, bob, carol = trio(FOLLOW)
    mine, theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    carol.do(carol.machine.reject, carol.only_call, 486)
    scene.wait(1.0)
    assert told(alice)[-1] == "TransferFailed 486"
    assert alice.only_call == mine
    assert bob.only_call == theirs
    assert hears(scene, bob, theirs)


def test_transfer_is_refused_unless_the_policy_says_otherwise() -> None:
    scene, alice, bob, carol = trio(CallPolicy())
    mine, _theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    assert told(alice) == ["TransferFailed 603"]
    assert (told(bob), carol.machine.calls()) == ([], ())


def test_transfer_that_leads_where_the_policy_allows_nobody_to_lead() -> None:
    scene, alice, bob, carol = trio(CallPolicy(refer=Consent.ALLOW, domains=("elsewhere.example",)))
    mine, _theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    assert told(alice) == ["TransferFailed 603"]
    assert carol.machine.calls() == ()


def test_transfer_that_is_asked_about_and_accepted() -> None:
    scene, alice, bob, carol = trio(ASK)
    mine, theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    (asked,) = bob.events(events.TransferRequested)
    assert (asked.call, asked.new_call) == (theirs, None)
    assert carol.machine.calls() == ()
    new_call = bob.do(bob.machine.accept_transfer, theirs)
    scene.wait(1.0)
    answer(carol, scene)
    assert told(alice)[-1] == "TransferCompleted"
    assert [info.call_uuid for info in bob.machine.calls()] == [new_call]
    with pytest.raises(LocalProtocolError):
        bob.do(bob.machine.accept_transfer, theirs)


def test_transfer_that_is_asked_about_and_refused() -> None:
    scene, alice, bob, carol = trio(ASK)
    mine, theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    bob.do(bob.machine.reject_transfer, theirs)
    scene.wait(1.0)
    assert told(alice) == ["TransferProgress 100", "TransferFailed 603"]
    with pytest.raises(LocalProtocolError, match="none is asked for"):
        bob.do(bob.machine.reject_transfer, theirs)
    assert carol.machine.calls() == ()


def attended(server: str, policy: CallPolicy = FOLLOW) -> tuple[Scene, Phone, Phone, Phone, CallUuid]:
    """Alice talks to Bob and to Carol, and joins the two."""
    scene, alice, bob, carol = trio(policy, server)
    to_bob, _ = scene.established(alice, bob)
    alice.do(alice.machine.hold, to_bob)
    scene.wait(1.0)
    to_carol, hers = scene.established(alice, carol)
    alice.do(alice.machine.attended_transfer, to_bob, to_carol)
    scene.wait(2.0)
    return scene, alice, bob, carol, hers


@pytest.mark.parametrize("server", [f"ws://{PBX}:8080", f"udp://{PBX}"])
def test_attended_transfer(server: str) -> None:
    scene, alice, bob, carol, hers = attended(server)
    assert told(alice)[-1] == "TransferCompleted"
    assert alice.machine.calls() == ()
    (replaced,) = carol.events(events.CallReplaced)
    assert replaced.replaced == hers
    assert carol.only_call == replaced.call
    assert len(carol.events(events.IncomingCall)) == 1
    (asked,) = bob.events(events.TransferRequested)
    assert asked.new_call == bob.only_call
    assert hears(scene, bob, bob.only_call)
    assert hears(scene, carol, carol.only_call)
    for phone, count in ((alice, 2), (bob, 2), (carol, 2)):
        ends = [len(phone.events(events.CallTerminated)), len(phone.machine.calls())]
        assert sum(ends) == count


@pytest.mark.parametrize("heard_early", [False, True])
def test_attended_transfer_rings_where_the_policy_asks(heard_early: bool) -> None:
    scene, alice, bob, carol, hers = attended(f"ws://{PBX}:8080", CallPolicy(refer=Consent.ALLOW, replaces=Consent.ASK))
    (_, ringing) = carol.events(events.IncomingCall)
    assert ringing.replaces == hers
    assert len(carol.machine.calls()) == 2
    if heard_early:
        carol.do(carol.machine.progress, ringing.call)
        scene.wait(0.5)
    answer(carol, scene)
    scene.wait(1.0)
    assert carol.only_call == ringing.call
    assert told(alice)[-1] == "TransferCompleted"
    assert hears(scene, bob, bob.only_call)


def test_attended_transfer_is_refused_where_nobody_may_be_replaced() -> None:
    policy = CallPolicy(refer=Consent.ALLOW, replaces=Consent.REFUSE)
    _scene, alice, _bob, carol, hers = attended(f"ws://{PBX}:8080", policy)
    assert told(alice)[-1] == "TransferFailed 603"
    assert carol.only_call == hers
    assert len(alice.machine.calls()) == 2


def test_transfer_needs_an_answered_call() -> None:
    scene, alice, _bob, _carol = trio(FOLLOW)
    mine = alice.call("bob")
    scene.wait(1.0)
    with pytest.raises(LocalProtocolError, match="must be answered"):
        alice.do(alice.machine.transfer, mine, "carol")
    with pytest.raises(LocalProtocolError, match="it is both calls"):
        alice.do(alice.machine.attended_transfer, mine, mine)


@pytest.mark.parametrize("seed", range(4))
def test_blind_transfer_over_a_lossy_line(seed: int) -> None:
    scene, alice, bob, carol = trio(FOLLOW, f"udp://{PBX}", seed=seed)
    mine, _theirs = scene.established(alice, bob)
    for phone in (alice, bob, carol):
        scene.world.connect(phone.name, "pbx", Link(delay=0.02, jitter=0.02, loss=0.3, reordering=0.1))
    alice.do(alice.machine.transfer, mine, "carol")
    limit = scene.world.time + 40
    scene.world.run(stop=lambda: bool(carol.machine.calls()) or bool(alice.events(events.TransferFailed)), until=limit)
    if carol.machine.calls():
        scene.wait(1.0)
        answer(carol, scene)
    done = (events.TransferCompleted, events.TransferFailed)
    scene.world.run(stop=lambda: bool(alice.events(*done)), until=scene.world.time + 60)
    assert len(alice.events(*done)) == 1


# 3xx, between phones without a server: ours follows a 302 itself.


def peers(policy: CallPolicy) -> tuple[Scene, Phone, Phone, Phone]:
    scene = Scene(server=False)
    alice, bob, carol = (scene.phone(user, None, policy=policy) for user in ("alice", "bob", "carol"))
    scene.wait(0.1)
    return scene, alice, bob, carol


def test_who_is_called_sends_the_caller_elsewhere() -> None:
    scene, alice, bob, carol = peers(FOLLOW)
    alice.call(bob.uri)
    scene.wait(1.0)
    bob.do(bob.machine.redirect, bob.only_call, carol.uri)
    scene.wait(1.0)
    (failed,) = bob.events(events.CallFailed)
    assert failed.cause == "Redirected"
    (redirected,) = alice.events(events.CallRedirected)
    assert redirected.target == carol.uri
    answer(carol, scene)
    assert hears(scene, alice, alice.only_call)


def test_a_redirected_call_fails_unless_the_policy_says_otherwise() -> None:
    scene, alice, bob, carol = peers(CallPolicy())
    alice.call(bob.uri)
    scene.wait(1.0)
    bob.do(bob.machine.redirect, bob.only_call, carol.uri)
    scene.wait(1.0)
    (failed,) = alice.events(events.CallFailed)
    assert failed.cause == "Redirected"
    assert carol.machine.calls() == ()


def test_two_who_send_callers_to_each_other_end_a_call() -> None:
    scene, alice, bob, carol = peers(FOLLOW)
    alice.call(bob.uri)
    for phone, target in ((bob, carol.uri), (carol, bob.uri)):
        scene.wait(1.0)
        phone.do(phone.machine.redirect, phone.only_call, target)
    scene.wait(1.0)
    assert len(alice.events(events.CallRedirected)) == 1
    assert len(alice.events(events.CallFailed)) == 1
    assert alice.machine.calls() == bob.machine.calls() == ()


@pytest.mark.parametrize("who", ["transferor", "transferee"])
@pytest.mark.parametrize(("taken", "end"), [(True, "TransferCompleted"), (False, "TransferFailed 486")])
def test_what_became_of_a_transfer_is_told_though_its_call_has_ended(who: str, taken: bool, end: str) -> None:
    scene, alice, bob, carol = trio(FOLLOW)
    mine, theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    if who == "transferor":
        alice.do(alice.machine.hangup, mine)
    else:
        bob.do(bob.machine.hangup, theirs)
    scene.wait(1.0)
    assert alice.machine.calls() == ()
    assert len(alice.events(events.CallTerminated)) == 1
    assert told(alice) == ["TransferProgress 100", "TransferProgress 180"]
    if taken:
        answer(carol, scene)
    else:
        carol.do(carol.machine.reject, carol.only_call, 486)
    scene.wait(1.0)
    assert told(alice)[-1] == end
    assert len(alice.events(events.CallTerminated)) == 1
    (over,) = alice.events(events.TransferCompleted, events.TransferFailed)
    assert over.call_info.call_uuid == mine
    scene.wait(100.0)
    assert len(told(alice)) == 3


def test_a_transfer_that_nobody_has_decided_on_fails_when_its_call_ends() -> None:
    scene, alice, bob, _carol = trio(ASK)
    mine, theirs = scene.established(alice, bob)
    alice.do(alice.machine.transfer, mine, "carol")
    scene.wait(1.0)
    bob.do(bob.machine.hangup, theirs)
    scene.wait(1.0)
    assert told(alice)[-1] == "TransferFailed 487"
