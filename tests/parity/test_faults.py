"""Faults of the reference that ours has not got, by their number in section 14 of its facts; others stand with the
rows that they belong to."""

import json

import pytest
from softphone.phones import PBX, USERS, Scene

from sansio_sip.context import Secret
from sansio_sip.softphone import client_events, events


@pytest.mark.parametrize(("user", "password"), [("", ""), ("", "x"), ("alice", ""), (None, None)])
def test_fault2_an_empty_login_is_refused_at_once(user: str, password: str) -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.login(user, password) is False
    assert alice.events(events.LoginFailed)[0].cause == "Username and password must be filled out"
    assert not alice.sent()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-PH", "1"),
        ("X-PHA", "1"),
        ("X-PH-A\n", "1"),
        ("X-PH-A", "1\n"),
        ("X-PH-A", "1\r\nX-PH-B: 2"),
        ("X-PH-" + "a" * 20, "1"),
        ("X-PH-A", "a" * 121),
        ("X-PH-A", ""),
        ("Subject", "1"),
    ],
)
def test_fault5_a_bad_extra_header_is_reported_and_not_sent(name: str, value: str) -> None:
    scene = Scene()
    alice, _bob = scene.users("alice", "bob")
    assert alice.call("bob", {name: value, "X-PH-Good": "1"})
    scene.wait(1.0)
    (line,) = alice.logged(40)
    assert repr(name) in line
    invite = alice.sent(b"INVITE")[0]
    assert b"X-PH-Good: 1\r\n" in invite
    assert name.encode() + b":" not in invite
    assert b"X-PH-B" not in invite


def test_fault3_extra_headers_may_be_left_out_and_are_not_changed() -> None:
    scene = Scene()
    alice, _bob = scene.users("alice", "bob")
    headers = {"X-PH-A": "1", "bad": "2"}
    assert alice.call("bob", headers)
    assert headers == {"X-PH-A": "1", "bad": "2"}


def test_fault7_a_second_client_has_settings_of_its_own() -> None:
    scene = Scene()
    one, other = scene.client("alice", debug="ERROR"), scene.client("bob")
    assert one.machine._log_book.level == 40
    assert other.machine._log_book.level == 20
    assert one.identifier != other.identifier


def test_fault8_what_got_no_answer_is_no_cancel() -> None:
    scene = Scene()
    (alice,) = scene.users("alice", server=f"udp://{PBX}:5060")
    scene.world.cut(alice.name, "pbx")
    assert alice.call("bob")
    scene.wait(40.0)
    (failed,) = alice.events(events.CallFailed)
    assert failed.cause in ("Request Timeout", "Connection Error")
    assert failed.call_info.state.value == "failed"
    assert failed.call_info.code in (408, 503)


def test_fault10_telephone_event_is_offered_whatever_the_codecs() -> None:
    scene = Scene()
    alice, _bob = scene.users("alice", "bob")
    assert alice.call("bob")
    scene.wait(0.5)
    invite = alice.sent(b"INVITE")[0].decode()
    number = invite.partition("telephone-event/8000")[0].rpartition("a=rtpmap:")[2].strip()
    (line,) = [line for line in invite.splitlines() if line.startswith("m=audio")]
    assert number in line.split()[3:]


def test_fault11_whatever_answers_is_alive() -> None:
    scene = Scene()
    (alice,) = scene.users("alice", server=f"ws://{PBX}:8080")
    scene.wait(300.0)
    assert alice.names().count("onConnectionChange") == 1
    assert alice.is_registered()


def test_fault19_an_ignored_call_is_cleaned_up_and_told_of() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.ignore()
    assert alice.hangup()
    scene.wait(1.0)
    assert bob.names()[-1] == "onIncomingCallCanceled"
    assert bob.machine._phone.calls() == ()


@pytest.mark.parametrize("action", ["ignore", "ignored", "IGNORED"])
def test_fault20_both_spellings_of_ignored_are_taken(action: str) -> None:
    scene = Scene()
    alice, bob, carol = scene.users("alice", "bob", "carol", allow_multiple_incoming_calls=True)
    assert bob.call("alice")
    assert carol.call("alice")
    scene.wait(1.0)
    assert alice.answer("unknown", action) is False
    assert alice.answer(None, action)
    scene.wait(1.0)
    assert len(alice.events(events.IncomingCallIgnored)) == 1


def test_fault21_the_most_recent_call_is_meant_after_one_has_ended() -> None:
    scene = Scene()
    alice, bob, carol, dave = scene.users("alice", "bob", "carol", "dave", allow_multiple_incoming_calls=True)
    for caller in (bob, carol, dave):
        assert caller.call("alice")
        scene.wait(0.5)
    assert dave.hangup()
    scene.wait(0.5)
    assert alice.reject()
    scene.wait(0.5)
    assert [event.call_info.src.partition("@")[0] for event in alice.events(events.CallFailed)] == ["carol"]


def test_fault22_a_call_without_a_uuid_of_the_server_is_seen() -> None:
    scene = Scene(server=False)
    alice, bob = scene.phone("alice", None), scene.phone("bob", None)
    scene.wait(0.5)
    alice.call("sip:bob@10.0.0.2")
    scene.wait(1.0)
    (told,) = bob.events(events.IncomingCall)
    assert told.call


def test_fault23_reject_says_what_it_has_done() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert bob.reject() is False
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    assert bob.reject() is False
    scene.wait(1.0)
    assert alice.names()[-1] == "onCallAnswered"


def test_fault27_secrets_are_in_no_event_and_no_log() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", debug="ALL")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(7.0)
    assert alice.hangup()
    scene.wait(1.0)
    said = "".join(alice.log_lines()) + repr(alice.machine._options) + repr(alice.events())
    said += json.dumps([event.message for event in alice.events(client_events.CallStatistics)])
    assert USERS["alice"].reveal() not in said


def test_fault28_the_end_of_one_call_ends_no_other() -> None:
    scene = Scene()
    alice, bob, carol = scene.users("alice", "bob", "carol", allow_multiple_incoming_calls=True)
    assert bob.call("alice")
    scene.wait(1.0)
    assert alice.answer()
    scene.wait(1.0)
    assert carol.call("alice")
    scene.wait(1.0)
    assert carol.hangup()
    scene.wait(2.0)
    assert bob.names()[-1] == "onCallAnswered"
    assert alice.get_call_uuid() is not None


@pytest.mark.parametrize("name", ["answer", "reject", "ignore", "hangup"])
def test_fault34_a_command_before_any_call_returns_false(name: str) -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert getattr(alice, name)() is False
    assert len(alice.logged(40)) == 1


def test_fault36_the_level_of_the_log_is_what_the_option_says() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.login("alice", Secret("guess"))
    scene.wait(1.0)
    assert alice.machine._options.debug == "INFO"
    assert not [line for line in alice.events(events.LogLine) if line.level < 20]
