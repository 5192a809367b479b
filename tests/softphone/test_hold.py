"""Hold and resume by direction attributes, between phones through the real server (RFC 3264 section 8.4, RFC 5359)."""

import pytest
from softphone.phones import PBX, Phone, Scene

from sansio_sip.errors import LocalProtocolError
from sansio_sip.sdp.parser import parse_description
from sansio_sip.simulation.link import Link
from sansio_sip.softphone import CallUuid, events
from sansio_sip.softphone.renegotiation import holds

HOLD_EVENTS = (
    events.CallHeld,
    events.CallResumed,
    events.HoldFailed,
    events.RemoteHold,
    events.RemoteResumed,
    events.MediaDisconnected,
)


def told(phone: Phone) -> list[str]:
    return [event.name.removeprefix("on") for event in phone.events(*HOLD_EVENTS)]  # type: ignore[attr-defined]


def talking(server: str = f"ws://{PBX}:8080", seed: int = 1) -> tuple[Scene, Phone, Phone, CallUuid, CallUuid]:
    scene = Scene(seed)
    alice, bob = scene.logged_in("alice", "bob", server=server)
    mine, theirs = scene.established(alice, bob)
    return scene, alice, bob, mine, theirs


def sent_packets(phone: Phone, call: CallUuid) -> int:
    statistics = phone.machine.statistics(call)
    assert statistics is not None
    return statistics.packets_sent


def test_dlg_12_hold_is_told_at_both_ends_and_silences_the_held_one() -> None:
    scene, alice, bob, mine, theirs = talking()
    alice.do(alice.machine.hold, mine)
    scene.wait(1.0)
    assert (told(alice), told(bob)) == (["CallHeld"], ["RemoteHold"])
    before = sent_packets(bob, theirs), sent_packets(alice, mine)
    scene.wait(3.0)
    assert sent_packets(bob, theirs) == before[0]  # recvonly
    assert sent_packets(alice, mine) > before[1] + 100  # sendonly
    alice.do(alice.machine.resume, mine)
    scene.wait(1.0)
    assert (told(alice), told(bob)) == (["CallHeld", "CallResumed"], ["RemoteHold", "RemoteResumed"])
    scene.wait(1.0)
    assert sent_packets(bob, theirs) > before[0] + 40


def test_the_held_one_may_hold_as_well() -> None:
    scene, alice, bob, mine, theirs = talking()
    alice.do(alice.machine.hold, mine)
    scene.wait(1.0)
    bob.do(bob.machine.hold, theirs)
    scene.wait(1.0)
    assert (told(alice), told(bob)) == (["CallHeld", "RemoteHold"], ["RemoteHold", "CallHeld"])
    before = sent_packets(alice, mine)
    scene.wait(2.0)
    assert sent_packets(alice, mine) == before  # inactive
    alice.do(alice.machine.resume, mine)
    scene.wait(1.0)
    assert told(bob)[2:] == ["RemoteResumed"]
    bob.do(bob.machine.resume, theirs)
    scene.wait(1.0)
    assert (told(alice)[2:], told(bob)[3:]) == (["CallResumed", "RemoteResumed"], ["CallResumed"])
    scene.wait(1.0)
    assert sent_packets(alice, mine) > before + 40


def test_glare_both_hold_at_once_and_both_come_to_hold() -> None:
    scene, alice, bob, mine, theirs = talking()
    alice.do(alice.machine.hold, mine)
    bob.do(bob.machine.hold, theirs)
    scene.wait(10.0)
    assert sorted(told(alice)) == sorted(told(bob)) == ["CallHeld", "RemoteHold"]
    # Before it is sent again, the second offer is overtaken by the first, whose answer holds as well.
    alice.do(alice.machine.resume, mine)
    bob.do(bob.machine.resume, theirs)
    scene.wait(10.0)
    assert sorted(told(alice)[2:]) == sorted(told(bob)[2:]) == ["CallResumed", "RemoteResumed"]


def test_who_changes_his_mind_gets_what_he_wanted_last() -> None:
    scene, alice, bob, mine, _theirs = talking()
    alice.do(alice.machine.hold, mine)
    alice.do(alice.machine.resume, mine)
    scene.wait(5.0)
    assert told(alice) == ["CallHeld", "CallResumed"]
    assert told(bob) == ["RemoteHold", "RemoteResumed"]


@pytest.mark.parametrize("seed", range(4))
def test_hold_and_resume_over_a_lossy_line(seed: int) -> None:
    scene, alice, bob, mine, theirs = talking(f"udp://{PBX}", seed)
    for phone in (alice, bob):
        scene.world.connect(phone.name, "pbx", Link(delay=0.02, jitter=0.02, loss=0.3, reordering=0.1))
    steps = [(phone, phone.machine.hold) for phone in (alice, bob)] + [(alice, alice.machine.resume)]
    for phone, command in (*steps, (bob, bob.machine.resume)):
        count = len(told(alice)) + len(told(bob))
        phone.do(command, mine if phone is alice else theirs)

        def both_told(goal: int = count + 2) -> bool:
            return len(told(alice)) + len(told(bob)) >= goal

        scene.world.run(stop=both_told, until=scene.world.time + 30)
    for phone in (alice, bob):
        assert told(phone).count("CallHeld") == told(phone).count("CallResumed") == 1
        assert told(phone).count("RemoteHold") == told(phone).count("RemoteResumed") == 1


def test_hold_is_for_answered_calls_and_is_asked_for_once() -> None:
    scene = Scene()
    alice, _bob = scene.logged_in("alice", "bob")
    mine = alice.call("bob")
    scene.wait(1.0)
    with pytest.raises(LocalProtocolError, match="must be answered"):
        alice.do(alice.machine.hold, mine)
    scene, alice, _bob, mine, _theirs = talking()
    with pytest.raises(LocalProtocolError, match="not on hold"):
        alice.do(alice.machine.resume, mine)
    alice.do(alice.machine.hold, mine)
    with pytest.raises(LocalProtocolError, match="on hold, or about to be"):
        alice.do(alice.machine.hold, mine)


def test_hang_up_while_holding() -> None:
    scene, alice, bob, mine, theirs = talking()
    alice.do(alice.machine.hold, mine)
    bob.do(bob.machine.hangup, theirs)
    scene.wait(5.0)
    assert alice.machine.calls() == bob.machine.calls() == ()


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        ("a=sendrecv\r\n", False),
        ("a=recvonly\r\n", False),
        ("a=sendonly\r\n", True),
        ("a=inactive\r\n", True),
        ("c=IN IP4 0.0.0.0\r\n", True),
        ("c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n", False),
        ("", False),
    ],
)
def test_offer_that_holds(lines: str, held: bool) -> None:
    text = f"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n{lines}"
    assert holds(parse_description(text.encode())) is held
