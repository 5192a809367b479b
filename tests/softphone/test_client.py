"""The reference's API, row by row of its manual (M: methods, C: CallInfo), over real SIP exchanges with a server."""

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from softphone.phones import PBX, USERS, ClientPhone, Scene

import sansio_sip
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.machine import RootMachine
from sansio_sip.softphone import CallDirection, CallState, CallUuid, Client, MediaProfile, Options, events
from sansio_sip.trace import TraceWriter, replay
from sansio_sip_media.engine import MediaEngine

ERROR = 40


def talking(scene: Scene, *, caller: str = "alice", callee: str = "bob") -> tuple[ClientPhone, ClientPhone]:
    """Two clients in a call with each other."""
    one, other = scene.users(caller, callee)
    assert one.call(callee)
    scene.wait(1.0)
    assert other.answer()
    scene.wait(1.0)
    assert one.names()[-1] == other.names()[-1] == "onCallAnswered"
    return one, other


def three_rings(scene: Scene) -> tuple[ClientPhone, list[ClientPhone], list[CallUuid]]:
    """A client at which three calls ring: it, the callers, and the calls in order."""
    (bob,) = scene.users("bob", allow_multiple_incoming_calls=True)
    callers = scene.users("alice", "carol", "dave")
    for caller in callers:
        assert caller.call("bob")
        scene.wait(0.5)
    rings = [event.call for event in bob.events(events.IncomingCall)]
    assert len(rings) == 3
    return bob, callers, rings


def ends(client: ClientPhone) -> list[str]:
    kinds = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled)
    said: list[Any] = client.events()
    return [event.name for event in said if isinstance(event, kinds)]


def test_M01_version() -> None:
    assert Scene().client("alice").version == sansio_sip.__version__


def test_M02_is_logged_in_from_login_to_logout() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert not alice.is_logged_in
    assert alice.login("alice", USERS["alice"])
    assert not alice.is_logged_in
    scene.wait(1.0)
    assert alice.is_logged_in
    assert alice.logout()
    assert alice.is_logged_in
    scene.wait(1.0)
    assert not alice.is_logged_in
    assert alice.names()[-2:] == ["onLogout", "onConnectionChange"]


@pytest.mark.parametrize("username", ["alice", "sip:alice", "alice@example.com", "SIP:alice@example.com"])
def test_M03_login(username: str) -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.login(username, "alice's password") is True
    scene.wait(1.0)
    assert alice.names() == ["onConnectionChange", "onLogin"]
    first, second = alice.sent(b"REGISTER")
    assert b"Authorization" not in first
    assert b'username="alice"' in second
    assert b"sip:alice@example.com" in second


@pytest.mark.parametrize(("username", "password", "cause"), [
    ("alice", "guess", "Authentication Error"),
    ("mallory", "x", "Authentication Error"),
])  # fmt: skip
def test_M03_login_with_a_wrong_password_fails_with_its_cause(username: str, password: str, cause: str) -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.login(username, password) is True
    scene.wait(2.0)
    assert [event.cause for event in alice.events(events.LoginFailed)] == [cause]
    assert not alice.is_logged_in
    assert not alice.is_connected()
    assert alice.login("alice", USERS["alice"]) is True
    scene.wait(1.0)
    assert alice.is_logged_in


@pytest.mark.parametrize(
    ("username", "password", "cause"),
    [
        (None, "x", "Username and password must be filled out"),
        ("alice", None, "Username and password must be filled out"),
        ("", "", "Username and password must be filled out"),
        ("a b\r\n", "x", "Failed to create user agent"),
        ("a@b@c", "x", "Failed to create user agent"),
    ],
)
def test_M03_login_with_nothing_to_log_in_with(username: Any, password: Any, cause: str) -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.login(username, password) is False
    assert [event.cause for event in alice.events(events.LoginFailed)] == [cause]
    assert alice.sent() == []


def test_M03_login_again_says_that_it_is_done_or_under_way() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.login("alice", USERS["alice"]) is True
    assert alice.login("alice", USERS["alice"]) is True
    scene.wait(1.0)
    assert alice.login("alice", USERS["alice"]) is True
    scene.wait(1.0)
    assert alice.names() == ["onConnectionChange", "onLogin"]
    assert [text.partition(":")[0] for text in alice.logged()] == ["login", "login"]


def test_M03_login_during_a_call_is_refused() -> None:
    scene = Scene()
    alice, _ = talking(scene)
    assert alice.login("carol", USERS["carol"]) is False
    assert alice.events(events.LoginFailed)[0].cause == "Cannot login when there is an ongoing call"
    assert alice.is_logged_in


def test_M03_login_of_another_user_takes_the_place_of_the_first() -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    assert alice.login("carol", USERS["carol"]) is True
    assert not alice.is_logged_in
    scene.wait(2.0)
    assert alice.is_logged_in
    (bob,) = scene.users("bob")
    assert bob.call("carol")
    scene.wait(1.0)
    assert alice.names()[-1] == "onIncomingCall"
    removed = [event for event in scene.world.outputs("pbx") if type(event).__name__ == "BindingRemoved"]
    assert [event.address for event in removed] == ["sip:alice@example.com"]


def test_M03_no_server_is_a_failed_login() -> None:
    scene = Scene()
    alice = scene.client("alice", "tcp://10.9.9.9")
    assert alice.login("alice", USERS["alice"]) is True
    scene.wait(10.0)
    assert [event.cause for event in alice.events(events.LoginFailed)] == ["Connection Error"]


def test_M06_logout_ends_calls_and_un_registers() -> None:
    scene = Scene()
    alice, bob = talking(scene)
    assert alice.logout() is True
    assert alice.logout() is True
    scene.wait(1.0)
    assert alice.names()[-3:] == ["onCallTerminated", "onLogout", "onConnectionChange"]
    assert bob.names()[-1] == "onCallTerminated"
    assert b"Expires: 0" in alice.sent(b"REGISTER")[-1] or b"expires=0" in alice.sent(b"REGISTER")[-1]
    assert not alice.is_connected()


def test_M06_logout_of_nobody_is_false() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.logout() is False
    assert alice.logged(ERROR) == ["logout: nobody is logged in; log in first"]
    assert alice.names() == []


def test_M06_logout_wins_over_a_pending_reconnect() -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    scene.world.break_streams(alice.name)
    assert alice.is_logged_in
    assert alice.logout() is True
    assert not alice.is_logged_in
    registers = len(alice.sent(b"REGISTER"))
    scene.wait(100.0)
    assert len(alice.sent(b"REGISTER")) == registers


def test_M07_call_sends_the_extra_headers() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.call("bob", {"X-PH-Order": "42", "x-ph-Note": "a_(b)+c"}) is True
    scene.wait(1.0)
    assert b"X-PH-Order: 42\r\n" in alice.sent(b"INVITE")[0]
    assert dict(bob.events(events.IncomingCall)[0].extra_headers) == {"X-PH-Order": "42", "x-ph-Note": "a_(b)+c"}
    assert alice.names()[-2:] == ["onCalling", "onCallRemoteRinging"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Other", "1"),
        ("X-PH", "1"),
        ("X-PH-", "1"),
        ("X-PHxOrder", "1"),
        ("X-PH-" + "a" * 20, "1"),
        ("X-PH-A_B", "1"),
        ("X-PH-A\r\nVia", "1"),
        ("X-PH-A", ""),
        ("X-PH-A", "1\n"),
        ("X-PH-A", "1\r\nVia: SIP/2.0/UDP evil"),
        ("X-PH-A", "é"),
        ("X-PH-A", "a b"),
        ("X-PH-A", "a" * 121),
        ("Via", "SIP/2.0/UDP evil"),
    ],
)
def test_M07_a_bad_header_is_reported_and_not_sent(name: str, value: str) -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.call("bob", {name: value, "X-PH-Good": "1"}) is True
    scene.wait(1.0)
    assert dict(bob.events(events.IncomingCall)[0].extra_headers) == {"X-PH-Good": "1"}
    assert len(alice.logged(ERROR)) == 1
    assert repr(name) in alice.logged(ERROR)[0]
    assert not any(b"evil" in message for message in alice.sent())


@pytest.mark.parametrize(
    ("number", "uri"),
    [
        ("bob", "sip:bob@example.com"),
        ("sip:bob", "sip:bob@example.com"),
        ("sip:bob@other.example", "sip:bob@other.example"),
        (" +1 (415) 555-01.00 ", "sip:+14155550100@example.com"),
        ("tel:+1-415-555-0100", "sip:+14155550100@example.com"),
        ("mary-jane.smith", "sip:mary-jane.smith@example.com"),
    ],
)
def test_M07_whom_a_call_is_for(number: str, uri: str) -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    assert alice.call(number) is True
    scene.wait(1.0)
    assert alice.sent(b"INVITE ")[0].startswith(f"INVITE {uri} SIP/2.0\r\n".encode())


def test_M07_call_that_cannot_be_made_is_false_with_an_error_log() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.call("bob") is False
    alice.login("alice", USERS["alice"])
    scene.wait(1.0)
    (bob,) = scene.users("bob")
    for nobody in ("", "   ", "sip:", "http://x", "a\0b"):
        assert alice.call(nobody) is False
    assert alice.call("bob") is True
    assert alice.call("carol") is False
    scene.wait(1.0)
    assert bob.call("alice") is False
    assert [text.partition(":")[0] for text in alice.logged(ERROR)] == ["call"] * 7
    assert "is active; hang up first" in alice.logged(ERROR)[-1]
    assert "a call rings; answer, reject or ignore it first" in bob.logged(ERROR)[-1]
    assert len({message.split(b"\r\n")[0] for message in alice.sent(b"INVITE")}) == 1


def test_M08_answer_rejects_the_others_unless_told_otherwise() -> None:
    scene = Scene()
    bob, callers, rings = three_rings(scene)
    assert bob.answer(rings[1]) is True
    scene.wait(1.0)
    assert bob.get_call_uuid() == rings[1]
    assert [ends(caller) for caller in callers] == [["onCallFailed"], [], ["onCallFailed"]]
    assert callers[0].events(events.CallFailed)[0].cause == "Busy"


@pytest.mark.parametrize("action", ["ignored", "ignore", "IGNORED"])
def test_M08_answer_ignores_the_others(action: str) -> None:
    scene = Scene()
    bob, callers, rings = three_rings(scene)
    assert bob.answer(rings[0], action) is True
    scene.wait(1.0)
    assert [ends(caller) for caller in callers] == [[], [], []]
    assert [event.call for event in bob.events(events.IncomingCallIgnored)] == rings[1:]
    assert bob.answer(rings[1]) is False
    for caller in callers[1:]:
        caller.hangup()
    scene.wait(1.0)
    assert ends(bob) == ["onIncomingCallCanceled"] * 2


def test_M08_answer_lets_the_others_ring() -> None:
    scene = Scene()
    bob, callers, rings = three_rings(scene)
    assert bob.answer(rings[0], "letring") is True
    scene.wait(1.0)
    assert bob.answer(rings[2], "letring") is True
    scene.wait(1.0)
    assert [ends(caller) for caller in callers] == [["onCallTerminated"], [], []]
    assert bob.get_call_uuid() == rings[2]


def test_M08_answer_without_a_uuid_takes_the_call_that_rings_latest() -> None:
    scene = Scene()
    bob, _, rings = three_rings(scene)
    assert bob.answer() is True
    assert bob.get_call_uuid() == rings[2]


def test_M08_answer_of_an_invalid_uuid_is_false_with_an_error_log() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert bob.answer() is False
    alice.call("bob")
    scene.wait(1.0)
    assert bob.answer("no such call") is False
    assert bob.answer(None, "later") is False
    assert bob.get_call_uuid() is None
    assert bob.logged(ERROR) == [
        "answer: no call rings; wait for onIncomingCall",
        "answer: 'no such call' is no call that rings; see onIncomingCall",
        "answer: 'later' is no action; give one of reject, ignore, ignored, letring",
    ]
    assert ends(alice) == []
    assert bob.answer() is True


@pytest.mark.parametrize("state", ["calling", "answering", "talking"])
def test_M09_hangup_by_state(state: str) -> None:
    scene = Scene()
    if state == "calling":
        alice, bob = scene.users("alice", "bob")
        alice.call("bob")
        scene.wait(1.0)
        assert alice.hangup() is True
        scene.wait(1.0)
        assert len(alice.sent(b"CANCEL")) == 1
        assert (ends(alice), ends(bob)) == (["onCallFailed"], ["onIncomingCallCanceled"])
    elif state == "answering":
        bob, alice = scene.users("bob", "alice")
        bob.call("alice")
        scene.wait(1.0)
        assert alice.answer() is True
        assert alice.hangup() is True  # its sockets are not open yet: no 200 has left
        scene.wait(1.0)
        assert len(alice.sent(b"SIP/2.0 480")) == 1
        assert (ends(alice), ends(bob)) == (["onCallFailed"], ["onCallFailed"])
    else:
        alice, bob = talking(scene)
        assert alice.hangup() is True
        scene.wait(1.0)
        assert len(alice.sent(b"BYE")) == 1
        assert (ends(alice), ends(bob)) == (["onCallTerminated"], ["onCallTerminated"])
        assert alice.events(events.CallTerminated)[0].hangup_info.as_dict() == {
            "originator": "local",
            "reason": "Terminated",
        }
    assert alice.hangup() is False
    assert alice.get_call_uuid() is None


def test_M10_reject_answers_486() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    alice.call("bob")
    scene.wait(1.0)
    assert bob.reject() is True
    scene.wait(1.0)
    assert len(bob.sent(b"SIP/2.0 486")) == 1
    (rejected,) = bob.events(events.CallFailed)
    assert (rejected.cause, rejected.call_info.state) == ("Rejected", CallState.REJECTED)
    assert bob.reject() is False


@pytest.mark.parametrize("uuid", [None, "no such call"])
def test_M10_reject_without_a_good_uuid_takes_the_call_that_rings_latest(uuid: str | None) -> None:
    scene = Scene()
    bob, callers, rings = three_rings(scene)
    assert bob.reject(uuid) is True
    assert bob.reject(rings[0]) is True
    scene.wait(1.0)
    assert [ends(caller) for caller in callers] == [["onCallFailed"], [], ["onCallFailed"]]


def test_M11_ignore_sends_nothing_and_a_later_cancel_cleans_up() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    alice.call("bob")
    scene.wait(1.0)
    before = len(bob.sent())
    assert bob.ignore() is True
    scene.wait(5.0)
    assert len(bob.sent()) == before
    assert ends(alice) == []
    assert bob.ignore() is False
    alice.hangup()
    scene.wait(1.0)
    assert bob.names()[-2:] == ["onIncomingCallIgnored", "onIncomingCallCanceled"]


@pytest.mark.parametrize("key", ["5", 5, "*", "#"])
def test_M12_send_dtmf_is_heard(key: str | int) -> None:
    scene = Scene()
    alice, bob = talking(scene)
    assert alice.send_dtmf(key) is None
    scene.wait(1.0)
    assert [event.tone for event in bob.events(events.DtmfReceived)] == [str(key)]
    assert bob.events(events.DtmfReceived)[0].call == bob.get_call_uuid()


def test_M12_send_dtmf_that_cannot_be_sent_is_an_error_log() -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    for key in ("1", "A", "12", "", None, 10):
        assert alice.send_dtmf(key) is None
    assert [text.partition(":")[0] for text in alice.logged(ERROR)] == ["send_dtmf"] * 6


def heard(client: ClientPhone, seconds: float, rate: int = 8000) -> Any:
    """What arrives at a client within a time: the loudest sample."""
    client.read_audio(rate)
    client.scene.wait(seconds)
    samples = client.read_audio(rate)
    assert len(samples) > 0.8 * seconds * rate
    return abs(samples.astype(int)).max()


def speak(client: ClientPhone, seconds: float, rate: int = 8000) -> None:
    import numpy

    tone = numpy.sin(numpy.arange(int(seconds * rate)) * 0.5) * 10_000
    assert client.write_audio(tone.astype(numpy.int16), rate) == len(tone)


def test_M13_M14_mute_is_silence_and_unmute_speech() -> None:
    scene = Scene()
    alice, bob = talking(scene)
    speak(alice, 4.0)
    scene.wait(0.5)
    assert heard(bob, 0.5) > 5000
    assert alice.mute() is True
    scene.wait(0.5)
    packets = bob.machine._phone.statistics(bob.get_call_uuid())
    assert heard(bob, 0.5) < 50
    more = bob.machine._phone.statistics(bob.get_call_uuid())
    assert packets is not None
    assert more is not None
    assert more.packets_received - packets.packets_received >= 20
    assert alice.unmute() is True
    scene.wait(0.5)
    assert heard(bob, 0.5) > 5000


def test_M13_mute_before_a_call_is_false_and_the_call_begins_muted() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.unmute() is False
    assert alice.mute() is False
    alice.call("bob")
    scene.wait(1.0)
    bob.answer()
    scene.wait(1.0)
    speak(alice, 3.0)
    scene.wait(0.5)
    assert heard(bob, 0.5) < 50
    assert alice.unmute() is True
    scene.wait(0.5)
    assert heard(bob, 0.5) > 5000


def test_M21_M22_the_uuids_of_calls() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.get_call_uuid() is alice.get_last_call_uuid() is None
    alice.call("bob")
    first = alice.get_call_uuid()
    scene.wait(1.0)
    assert (bob.get_call_uuid(), alice.get_last_call_uuid()) == (None, None)
    bob.answer()
    scene.wait(1.0)
    assert alice.get_last_call_uuid() == alice.get_call_uuid() == first
    assert bob.get_call_uuid() == bob.get_last_call_uuid() == bob.events(events.IncomingCall)[0].call
    alice.hangup()
    scene.wait(1.0)
    assert (alice.get_call_uuid(), alice.get_last_call_uuid()) == (None, first)
    alice.call("bob")
    scene.wait(1.0)
    bob.reject()
    scene.wait(1.0)
    assert (alice.get_call_uuid(), alice.get_last_call_uuid()) == (None, first)


@pytest.mark.parametrize("server", [f"ws://{PBX}:8080", f"tcp://{PBX}"])
def test_M25_M27_connected_and_registered(server: str) -> None:
    scene = Scene()
    alice = scene.client("alice", server)
    assert (alice.is_connected(), alice.is_registered()) == (False, False)
    alice.login("alice", USERS["alice"])
    assert scene.world.run(stop=alice.is_connected, until=5)
    assert alice.is_registered() is False
    scene.wait(1.0)
    assert (alice.is_connected(), alice.is_registered()) == (True, True)
    scene.world.break_streams(alice.name)
    assert (alice.is_connected(), alice.is_registered(), alice.is_logged_in) == (False, False, True)
    scene.wait(10.0)
    assert (alice.is_connected(), alice.is_registered()) == (True, True)
    alice.logout()
    scene.wait(1.0)
    assert (alice.is_connected(), alice.is_registered()) == (False, False)


def test_C01_to_C05_call_info_of_both_ends() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    alice.call("bob", {"X-PH-A": "1"})
    scene.wait(1.0)
    (placed,), (rings,) = alice.events(events.CallRemoteRinging), bob.events(events.IncomingCall)
    assert placed.call_info.as_dict() == {
        "callUUID": alice.get_call_uuid(),
        "direction": "OUTGOING",
        "src": "sip:alice@example.com",
        "dest": "sip:bob@example.com",
        "state": "ringing",
        "extraHeaders": {"X-PH-A": "1"},
        "Reason": "none",
        "Protocol": "none",
        "Code": -1,
        "Originator": "local",
        "stirShakenState": "Not_applicable",
    }
    assert rings.call_info.direction is CallDirection.INCOMING
    assert rings.call_info.as_dict()["src"] == "alice@example.com"


def test_C06_to_C10_how_calls_end() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    seen = []
    for end in ("cancel", "reject", "hangup"):
        alice.call("bob")
        scene.wait(1.0)
        if end == "cancel":
            alice.hangup()
        elif end == "reject":
            bob.reject()
        else:
            bob.answer()
            scene.wait(1.0)
            alice.hangup()
        scene.wait(1.0)
        for client in (alice, bob):
            last: Any = client.events()[-1]
            info = last.call_info
            assert isinstance(info.code, int)
            seen.append((end, client.name[:-1], info.state.value, info.originator, info.reason, info.code))
    assert seen == [
        ("cancel", "alice", "canceled", "local", "Canceled", 1000),
        ("cancel", "bob", "canceled", "remote", "Canceled", 487),
        ("reject", "alice", "failed", "remote", "Busy", 486),
        ("reject", "bob", "rejected", "local", "Rejected", 3020),
        ("hangup", "alice", "ended", "local", "Terminated", 11001),
        ("hangup", "bob", "ended", "remote", "Terminated", 200),
    ]


def test_codecs_are_named_in_upper_case_as_in_the_reference() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", codecs=("PCMU",), dtmf_options=("info",))
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    assert alice.get_peer_connection()["pc"].statistics.codec == "PCMU"
    alice.send_dtmf("5")
    scene.wait(1.0)
    assert alice.sent(b"INFO")


def test_the_fields_that_programs_of_the_reference_read() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.options is alice.machine._options
    assert alice.audio.microphone_devices.get() == ""
    assert alice.connection_info == {"state": "connected", "reason": ""}
    assert (alice.call_session, alice.call_direction, alice.incoming_invites) == (None, None, {})
    assert alice.call("bob")
    scene.wait(1.0)
    assert (alice.call_session.call_uuid, alice.call_direction) == (alice.get_call_uuid(), "outgoing")
    assert bob.call_session is None
    ((uuid, info),) = bob.incoming_invites.items()
    assert (uuid, info.state.value) == (info.call_uuid, "ringing")
    assert bob.answer()
    assert bob.call_direction == "incoming"
    assert alice.logout()
    scene.wait(1.0)
    assert alice.connection_info["state"] == "disconnected"


def test_close_is_the_end() -> None:
    scene = Scene()
    alice, bob = talking(scene)
    alice.close()
    scene.wait(3.0)
    assert alice.names()[-1] == "closed"
    assert ends(bob) == ["onCallTerminated"]
    assert alice.login("alice", USERS["alice"]) is False
    assert alice.call("bob") is False
    assert alice.hangup() is False
    assert alice.machine.next_timeout() is None


# Options


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"servers": ()}, "servers"),
        ({"servers": ("http://x",)}, "servers"),
        ({"domain": ""}, "domain"),
        ({"domain": "a b"}, "domain"),
        ({"domain": "a;b"}, "domain"),
        ({"registration_refresh_timer": 59}, "registration_refresh_timer"),
        ({"registration_refresh_timer": 86_401}, "registration_refresh_timer"),
        ({"codecs": ("SPEEX",)}, "codecs"),
        ({"profiles": ()}, "profiles"),
        ({"login_timeout": 0}, "login_timeout"),
        ({"display_name": "a\r\nb"}, "display_name"),
    ],
)
def test_a_bad_option_names_the_field_and_what_is_allowed(changed: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {"domain": "example.com", "servers": ("wss://example.com",)}
    Options(**good)
    with pytest.raises(ValueError, match=rf"^{field} .*allowed"):
        Options(**(good | changed))


# Traces


def test_a_recorded_login_comes_again_and_holds_no_password() -> None:
    rows: list[str] = []
    options = Options("example.com", (f"udp://{PBX}",), profiles=(MediaProfile.RTP,), codecs=("pcmu",))
    writer = TraceWriter(rows.append, full=False)
    made = writer.machine("alice", "client", {"options": options}).context(random.Random(7), 0.0)
    scene = Scene()
    client = Client(made, MediaEngine(made, None), options)
    scene.world.add("alice", client, "10.0.0.60")
    (bob,) = scene.users("bob")
    scene.world.do("alice", client.login, "alice", "alice's password")
    scene.wait(1.0)
    assert client.is_logged_in
    scene.world.do("alice", client.call, "bob", {"X-PH-A": "1"})
    scene.wait(1.0)
    bob.answer()
    scene.wait(1.0)
    scene.world.do("alice", client.close)
    scene.wait(3.0)
    assert not any("alice's password" in row for row in rows)
    assert any(json.loads(row).get("i") == "login_with_secret" for row in rows)

    def build(kind: str, arguments: Mapping[str, Any], context: Context) -> RootMachine[Any]:
        assert kind == "client"
        return Client(context, MediaEngine(context, None), arguments["options"])

    report = replay(rows, build)
    assert report.different == 0, report
    assert report.identical > 50


def test_a_secret_shows_itself_nowhere() -> None:
    context = Context(Entropy(random.Random(1)))
    client = Client(context, MediaEngine(context, None), Options("example.com", (f"udp://{PBX}",)))
    client.login("alice", Secret("hunter2"), now=0.0)
    assert "hunter2" not in "".join(map(repr, client.outputs()))
