"""A connection that breaks in the middle of a call, and servers that fail."""

import re

import numpy as np
import pytest
from softphone.phones import PBX, USERS, ClientPhone, Scene

from sansio_sip.softphone import MediaProfile, events
from sansio_sip.softphone.relocation import SIGNALLING_PATIENCE


def in_a_call(scene: Scene, profile: MediaProfile = MediaProfile.RTP) -> tuple[ClientPhone, ClientPhone]:
    alice, bob = scene.users("alice", "bob", server=f"ws://{PBX}:8080", profiles=(profile,), debug="ALL")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(2.0)
    return alice, bob


def said(client: ClientPhone) -> list[str]:
    """The SIP messages that it has sent."""
    return [text.partition("\n")[2] for text in client.logged() if " sent to " in text.partition("\n")[0]]


def hears(scene: Scene, speaker: ClientPhone, listener: ClientPhone) -> bool:
    listener.read_audio(8_000)
    speaker.write_audio((8000 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)).astype(np.int16), 8_000)
    scene.wait(1.0)
    return float(np.abs(listener.read_audio(8_000).astype(np.float64)).mean()) > 1_000


@pytest.mark.parametrize("profile", [MediaProfile.WEBRTC, MediaProfile.RTP])
@pytest.mark.parametrize("outage", [0.0, 3.0, 25.0])
def test_a_call_whose_websocket_was_lost_goes_on_within_five_seconds(profile: MediaProfile, outage: float) -> None:
    """Reconnect, REGISTER, re-INVITE, in that order, with an ICE restart where there is ICE."""
    scene = Scene(crypto=True)
    alice, bob = in_a_call(scene, profile)
    before = re.findall(r"a=ice-ufrag:(\S+)", "\n".join(said(alice)))
    scene.world.cut(alice.name, "pbx")
    scene.world.break_streams(alice.name)
    scene.wait(outage)
    scene.world.cut(alice.name, "pbx", cut=False)
    start = len(said(alice))
    scene.wait(5.0)
    messages = said(alice)[start:]
    requests = [message.partition(" ")[0] for message in messages if not message.startswith("SIP/2.0 ")]
    assert requests.index("REGISTER") < requests.index("INVITE")
    assert requests[-1] == "ACK"
    offer = next(message for message in messages if message.startswith("INVITE "))
    after = re.findall(r"a=ice-ufrag:(\S+)", offer)
    assert bool(after) == (profile is MediaProfile.WEBRTC)
    assert not set(after) & set(before)
    assert hears(scene, alice, bob)
    assert hears(scene, bob, alice)
    # The far end knows the new way to us: its BYE arrives.
    assert bob.hangup()
    scene.wait(1.0)
    assert alice.names()[-1] == "onCallTerminated"


def test_a_call_whose_signalling_does_not_come_back_is_given_up() -> None:
    scene = Scene()
    alice, bob = in_a_call(scene)
    scene.world.cut(alice.name, "pbx")
    scene.world.break_streams(alice.name)
    scene.wait(SIGNALLING_PATIENCE - 2.0)
    assert hears(scene, bob, alice)
    scene.wait(4.0)
    (ended,) = alice.events(events.CallTerminated)
    assert ended.hangup_info.reason == "Connection Error"
    (account,) = alice.machine._phone._accounts.values()
    assert not account._flows._rows[1]._connection._back_off.hurried  # tries are far apart again


def test_a_call_that_waits_shortens_the_pause_that_is_under_way() -> None:
    """The pause is the account's own, a minute here: it is armed before anybody asks whether a call waits."""
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", server=f"ws://{PBX}:8080", reconnect=(60.0, 60.0))
    scene.established(alice, bob)
    scene.world.break_streams(alice.name)
    scene.wait(2.0)
    states = [event.state for event in alice.events(events.ConnectionChange)]
    assert states == ["connected", "disconnected", "connected"]
    # Nobody waits from here on, so nobody hurries.
    alice.do(alice.machine.hangup, alice.only_call)
    scene.wait(1.0)
    scene.world.break_streams(alice.name)
    scene.wait(20.0)
    assert alice.events(events.ConnectionChange)[-1].state == "disconnected"


def test_a_lost_websocket_in_a_call_comes_back_registers_and_keeps_the_call() -> None:
    scene = Scene()
    alice, bob = in_a_call(scene)
    scene.world.break_streams(alice.name)
    scene.wait(10.0)
    assert alice.is_registered()
    assert alice.get_call_uuid() is not None
    assert alice.names().count("onLogin") == 1
    states = [event.state for event in alice.events(events.ConnectionChange)]
    assert states == ["connected", "disconnected", "connected"]
    assert alice.hangup()
    scene.wait(1.0)
    assert bob.names()[-1] == "onCallTerminated"


def test_the_next_server_of_the_list_is_taken() -> None:
    scene = Scene()
    alice = scene.client("alice", f"ws://{PBX}:8080")
    object.__setattr__(alice.machine._options, "servers", ("ws://10.0.0.99:8080", f"ws://{PBX}:8080"))
    assert alice.login("alice", USERS["alice"])
    scene.wait(9.0)
    assert alice.is_registered()


def test_logout_wins_over_a_pending_reconnect_in_a_call() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", server=f"ws://{PBX}:8080")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    scene.world.cut(alice.name, "pbx")
    scene.world.break_streams(alice.name)
    scene.wait(1.0)
    assert alice.logout()
    assert "onCallTerminated" in alice.names()
    scene.world.cut(alice.name, "pbx", cut=False)
    scene.wait(120.0)
    assert not alice.is_connected()
    assert alice.names()[-1] == "onLogout"
