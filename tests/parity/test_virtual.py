"""Rows whose test is short enough to stand beside each other: the events of calls and CallInfo, in virtual time."""

import pytest
from softphone.phones import DOMAIN, PBX, USERS, ClientPhone, Scene

from sansio_sip.context import Secret
from sansio_sip.softphone import client_events, events
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.openssl_crypto import OpenSslCrypto


def info_from(client: ClientPhone, body: bytes) -> None:
    """An INFO as the shipped service sends it; a client has no command for it."""
    machine = client.machine
    call = machine._phone._calls._calls.get(client.get_call_uuid())
    account = machine._phone._accounts[call.account]
    name = call.sip
    assert name is not None

    def send(*, now: float) -> None:
        account.user_agent.send_info(name, "text/plain", body, now=now)
        account.touched(now=now)
        machine._phone._drain_account(account, now)
        machine._drain(now)

    client.do(send)


def test_E01_E02_E03_E19_E21_login_and_logout() -> None:
    scene = Scene()
    alice = scene.client("alice", f"ws://{PBX}:8080")
    assert alice.login("alice", Secret("guess"))
    scene.wait(1.0)
    assert alice.login("alice", USERS["alice"])
    scene.wait(300.0)
    assert alice.logout()
    scene.wait(1.0)
    names = alice.names()
    assert names.count("onLogin") == names.count("onLogout") == names.count("onLoginFailed") == 1
    assert names.count("onWebSocketConnected") == 2
    changes = [event.as_dict() for event in alice.events(events.ConnectionChange)]
    assert changes[0] == {"state": "connected"}
    assert changes[-1]["state"] == "disconnected"
    assert (changes[-1]["eventCode"], changes[-1]["eventReason"]) == (1000, changes[-1]["reason"])


def test_E19_fault12_a_websocket_that_breaks_and_comes_back_at_once_is_told() -> None:
    scene = Scene()
    (alice,) = scene.users("alice", server=f"ws://{PBX}:8080")
    scene.world.break_streams(alice.name)
    scene.wait(10.0)
    changes = [event.as_dict() for event in alice.events(events.ConnectionChange)]
    assert [change["state"] for change in changes] == ["connected", "disconnected", "connected"]
    assert changes[1]["eventCode"] == 1006
    assert alice.is_registered()
    assert alice.names().count("onLogin") == 1


def test_E04_E05_E06_E07_E08_E09_E10_fault31_the_events_of_a_call() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    for body in (b"remote-party-ringing", b"remote-audio", b"no-remote-audio"):
        info_from(bob, body)
        scene.wait(0.5)
    assert alice.hangup()
    scene.wait(1.0)
    told = [name for name in alice.names() if name not in ("onLogin", "onConnectionChange")]
    assert told[:2] == ["onCalling", "onCallRemoteRinging"]
    assert told[4:] == ["onCallConnected", "remoteAudioStatus", "remoteAudioStatus", "onCallTerminated"]
    assert set(told[2:4]) == {"onCallAnswered", "onMediaConnected"}
    assert [event.status for event in alice.events(events.RemoteAudioStatus)] == [True, False]
    (ended,) = alice.events(events.CallTerminated)
    assert ended.as_dict()["hangupInfo"] == {"originator": "local", "reason": "Terminated"}


def test_E11_E12_E13_E14_M37_fault6_each_call_has_its_own_end() -> None:
    scene = Scene()
    alice, bob, carol, dave = scene.users("alice", "bob", "carol", "dave", allow_multiple_incoming_calls=True)
    for caller in (bob, carol, dave):
        assert caller.call("alice")
        scene.wait(0.5)
    first, second, third = alice.get_incoming_calls()
    assert alice.ignore(first.call_uuid)
    assert alice.reject(second.call_uuid)
    assert bob.hangup()
    assert dave.hangup()
    scene.wait(1.0)
    assert [event.call for event in alice.events(events.IncomingCallIgnored)] == [first.call_uuid]
    assert [event.call for event in alice.events(events.CallFailed)] == [second.call_uuid]
    assert {event.call for event in alice.events(events.IncomingCallCanceled)} == {first.call_uuid, third.call_uuid}
    assert alice.events(events.IncomingCall)[0].caller_id == f"bob@{DOMAIN}"


def test_E23_M33_a_key_is_told_with_its_duration() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.get_current_session() is None
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.get_current_session().call_uuid == bob.get_incoming_calls()[0].call_uuid
    assert bob.answer()
    scene.wait(1.0)
    alice.send_dtmf("5")
    scene.wait(1.0)
    (key,) = bob.events(events.DtmfReceived)
    assert key.tone == "5"
    assert 80 <= key.duration <= 120


@pytest.mark.parametrize(
    ("how", "state", "protocol", "code", "originator"),
    [
        ("reject", "failed", "SIP", 486, "remote"),
        ("cancel", "canceled", "none", 1000, "local"),
        ("nobody", "failed", "SIP", 404, "remote"),
    ],
)
def test_C02_C03_C04_C07_C08_C09_C11_fault9_call_info(
    how: str, state: str, protocol: str, code: int, originator: str
) -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.call("nobody" if how == "nobody" else "bob")
    scene.wait(1.0)
    if how == "reject":
        assert bob.reject()
    elif how == "cancel":
        assert alice.hangup()
    scene.wait(1.0)
    (failed,) = alice.events(events.CallFailed)
    info = failed.call_info.as_dict()
    assert (info["direction"], info["src"]) == ("OUTGOING", f"sip:alice@{DOMAIN}")
    assert info["dest"] == f"sip:{'nobody' if how == 'nobody' else 'bob'}@{DOMAIN}"
    assert (info["state"], info["Protocol"], info["Code"], info["Originator"]) == (state, protocol, code, originator)
    assert isinstance(info["Code"], int)
    assert info["stirShakenState"] == "Not_applicable"


def test_M19_the_media_of_a_call_can_be_looked_at() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.get_peer_connection() == {"status": "called in wrong state", "pc": None}
    assert alice.call("bob")
    scene.wait(1.0)
    found = alice.get_peer_connection()
    pc = found["pc"]
    assert (found["status"], pc.connection_state) == ("success", "connecting")
    assert bob.answer()
    scene.wait(2.0)
    assert (pc.connection_state, pc.protection) == ("connected", "none")
    assert pc.selected_pair[0].host == "10.0.0.1"
    assert pc.selected_pair[1].host == "10.0.0.2"
    assert pc.statistics.packets_received > 50
    assert alice.hangup()
    scene.wait(1.0)
    assert (pc.connection_state, pc.statistics) == ("closed", None)


def test_M35_M36_E16_what_works_here() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.supported_browsers() == "Chromium"
    assert alice.webrtc() is False
    (told,) = alice.events(client_events.WebrtcNotSupported)
    assert told.reason == "there is no cryptography"
    media = alice.machine._media
    assert isinstance(media, MediaEngine)
    media._crypto = OpenSslCrypto()
    assert alice.webrtc() is True
