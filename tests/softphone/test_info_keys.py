"""Keys by SIP INFO: one after the other's answer, at the pace of fingers, whatever becomes of each."""

import pytest
from sip.ua_pipe import name_of
from softphone.phones import PBX, Phone, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation.link import Link
from sansio_sip.sip.in_dialog import answer_at_once
from sansio_sip.sip.parser import parse_message
from sansio_sip.softphone import CallUuid, events
from sansio_sip.softphone.call_keys import DURATION, GAP, MAX_KEYS


def talking(**scene: object) -> tuple[Scene, Phone, Phone, CallUuid]:
    made = Scene(**scene)  # type: ignore[arg-type]
    alice, bob = made.logged_in("alice", "bob", server=f"udp://{PBX}")
    mine, _ = made.established(alice, bob)
    return made, alice, bob, mine


def press(phone: Phone, call: CallUuid, digits: str) -> None:
    phone.do(phone.machine.send_dtmf, call, digits, by="info")


def heard(phone: Phone) -> str:
    return "".join(event.tone for event in phone.events(events.DtmfReceived))


def test_each_key_waits_for_the_answer_to_the_one_before_and_for_its_time() -> None:
    scene, alice, bob, call = talking()
    started = scene.world.time
    press(alice, call, "12")
    press(alice, call, "3#")
    assert len(alice.sent(b"INFO")) == 1
    scene.wait(DURATION + GAP - 0.02)
    assert len(alice.sent(b"INFO")) == 1
    scene.world.run(stop=lambda: bool(alice.events(events.DtmfSent)), until=started + 10)
    assert scene.world.time == pytest.approx(started + 4 * (DURATION + GAP), abs=0.02)
    assert heard(bob) == "123#"
    assert [parse_message(data).cseq.number for data in alice.sent(b"INFO")] == sorted(
        parse_message(data).cseq.number for data in alice.sent(b"INFO")
    )
    assert len(alice.events(events.DtmfSent)) == 1
    press(alice, call, "0")
    scene.wait(1.0)
    assert heard(bob) == "123#0"


def test_a_key_that_is_refused_does_not_hold_up_the_rest() -> None:
    scene, alice, bob, call = talking()
    refused: list[object] = []

    def refuse_first(wire: object, transaction: object, request: object) -> None:
        if name_of(request) == "INFO" and not refused:  # type: ignore[arg-type]
            refused.append(request)
            wire.respond(transaction, request, 500)  # type: ignore[attr-defined]
        else:
            answer_at_once(wire, transaction, request)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sansio_sip.sip.invite_session.answer_at_once", refuse_first)
        press(alice, call, "123")
        scene.wait(2.0)
    assert heard(bob) == "23"
    assert len(alice.events(events.DtmfSent)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_keys_over_a_lossy_line_arrive_in_their_order(seed: int) -> None:
    scene, alice, bob, call = talking(seed=seed)
    for phone in (alice, bob):
        scene.world.connect(phone.name, "pbx", Link(delay=0.02, jitter=0.03, loss=0.3, reordering=0.2))
    press(alice, call, "0123456789")
    limit = scene.world.time + 120
    scene.world.run(
        stop=lambda: bool(alice.events(events.DtmfSent)) or bool(alice.events(events.CallTerminated)), until=limit
    )
    assert "0123456789".startswith(heard(bob)) if not alice.events(events.DtmfSent) else heard(bob) == "0123456789"


def test_the_queue_is_bounded_and_ends_with_the_call() -> None:
    scene, alice, bob, call = talking()
    press(alice, call, "1" * MAX_KEYS)
    press(alice, call, "2")  # the first one has left
    with pytest.raises(LocalProtocolError, match="wait"):
        press(alice, call, "3")
    with pytest.raises(LocalProtocolError):
        press(alice, call, "x")
    alice.do(alice.machine.hangup, call)
    scene.wait(1.0)
    assert alice.events(events.DtmfSent) == []
    assert len(alice.sent(b"INFO")) == 1
    assert bob.machine.calls() == ()
