"""Media loses its way in the middle of a call, and nothing has moved: the phone looks for another by itself."""

from enum import Enum
from typing import Any

import pytest
from simulation.phones import Network, Phone, pitch, tone
from simulation.relay_host import RelayHost

from sansio_sip.context import Secret
from sansio_sip.simulation.nat import Nat, NatKind
from sansio_sip.softphone import events
from sansio_sip.softphone.ice_servers import TurnAccount
from sansio_sip.softphone.media_plane import MediaProfile

RELAY = "10.0.0.8"
STUN = {"stun_servers": (f"stun:{RELAY}",)}


def turn(transport: str) -> dict[str, Any]:
    url = f"turn:{RELAY}" + ("?transport=tcp" if transport == "tcp" else "")
    return {"turn_servers": (TurnAccount(url, "turn", Secret("pw")),), "relay_only": True}


class Early(Enum):
    """Whose early media there is: of nobody, of another phone of Bob's, of that one first and of the one that answers
    second. In the latter two Bob's answer is not the first to Alice's offer, and has a session that was forked."""

    NONE = "none"
    OTHER = "the other"
    BOTH = "both"


class Scene:
    """Two phones in a call of WebRTC, and a relay."""

    def __init__(
        self, alice: dict[str, Any], bob: dict[str, Any], *, apart: bool = False, early: Early = Early.NONE
    ) -> None:
        """`apart`: nothing passes between them but by the relay. `early`: who was heard before Bob has answered."""
        self.network = Network(5)
        self.relay = RelayHost(RELAY)
        self.network.world.add("relay", self.relay, RELAY)
        self.alice = self.network.phone("alice", MediaProfile.WEBRTC, **alice)
        self.bob = self.network.phone("bob", MediaProfile.WEBRTC, **bob)
        self.network.world.cut("alice", "bob", cut=apart)
        desk = self.network.phone("carol", MediaProfile.WEBRTC, user="bob") if early is not Early.NONE else None
        self.network.pass_time(0.1)
        assert self.alice.login()
        assert self.bob.login()
        assert desk is None or desk.login()
        self.alice.call("bob")
        assert self.network.wait(lambda: bool(self.bob.calls), 5.0)
        if desk is not None:
            assert self.network.wait(lambda: bool(desk.calls), 5.0)
            desk.do(desk.machine.progress, desk.only_call)
            assert self.network.wait(lambda: self.alice.has_media and desk.has_media, 10.0)
        if early is Early.BOTH:
            self.bob.do(self.bob.machine.progress, self.bob.only_call)
        self.network.pass_time(1.0)
        self.bob.answer()
        assert self.network.wait(lambda: self.alice.has_media and self.bob.has_media, 10.0)
        self.network.pass_time(2.0)

    @property
    def phones(self) -> tuple[Phone, Phone]:
        return self.alice, self.bob

    def is_back(self) -> bool:
        """Whether each that was interrupted has media again."""
        return all(
            len(phone.said(events.MediaConnected)) > len(phone.said(events.MediaDisconnected)) for phone in self.phones
        )

    def both_are_heard(self) -> bool:
        for phone in self.phones:
            phone.heard.clear()
            phone.say(tone(440.0, 2.0))
        self.network.pass_time(2.5)
        return all(abs(pitch(phone.everything_heard()) - 440.0) < 5 for phone in self.phones)

    def until_back(self, patience: float) -> float:
        """Seconds until somebody was interrupted, and both have media again."""
        began = self.network.world.time
        assert self.network.wait(lambda: any(phone.said(events.MediaDisconnected) for phone in self.phones), patience)
        assert self.network.wait(self.is_back, patience)
        self.network.pass_time(2.0)
        return self.network.world.time - began

    def end(self) -> None:
        assert not any(phone.ends() for phone in self.phones)
        self.alice.hang_up()
        assert self.network.wait(lambda: not any(phone.calls for phone in self.phones), 40.0)
        self.nothing_is_left()

    def nothing_is_left(self) -> None:
        """Of each phone, the socket of its signalling alone is open."""
        self.network.pass_time(1.0)
        for phone in self.phones:
            host = self.network.world.hosts[phone.name]
            assert len(host.datagrams) == 1, host.datagrams
            assert not host.streams


@pytest.mark.parametrize("who", [0, 1], ids=["caller", "callee"])
@pytest.mark.parametrize("kind", [NatKind.PORT_RESTRICTED, NatKind.SYMMETRIC])
def test_a_translator_that_has_begun_anew(kind: NatKind, who: int) -> None:
    nat = Nat(kind, "203.0.113.1")
    behind: dict[str, Any] = {"nat": nat, **STUN}
    scene = Scene(*((behind, {}) if who == 0 else ({}, behind)))
    nat.forget()
    assert scene.until_back(40.0) < 20.0
    assert scene.both_are_heard()
    scene.end()


@pytest.mark.parametrize("who", ["alice", "bob", "both"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_relay_that_has_begun_anew(transport: str, who: str) -> None:
    options = turn(transport)
    scene = Scene(options if who != "bob" else {}, options if who != "alice" else {})
    scene.relay.server.forget()
    scene.network.world.break_streams("relay")
    assert scene.until_back(40.0) < 30.0
    assert scene.both_are_heard()
    scene.end()


def test_a_relay_that_is_gone_for_a_while() -> None:
    scene = Scene(turn("udp"), {})
    scene.relay.server.forget()
    scene.relay.server.silent = True
    scene.network.pass_time(25.0)
    assert not scene.is_back()
    scene.relay.server.silent = False
    assert scene.network.wait(scene.is_back, 20.0)
    assert scene.both_are_heard()
    scene.end()


def test_another_way_is_taken_where_the_relay_is_gone_for_good() -> None:
    scene = Scene(turn("udp") | {"relay_only": False}, {}, apart=True)
    scene.network.world.cut("alice", "bob", cut=False)
    scene.network.world.cut("alice", "relay")
    assert scene.until_back(40.0) < 25.0
    assert scene.both_are_heard()
    scene.end()


@pytest.mark.parametrize("patience", [10.0, 45.0])
def test_a_call_without_any_way_is_given_up_in_time_and_says_why(patience: float) -> None:
    options: dict[str, Any] = {"recovery_timeout": patience}
    scene = Scene(options, options)
    began = scene.network.world.time
    scene.network.world.cut("alice", "bob")
    assert scene.network.wait(lambda: bool(scene.alice.said(events.MediaDisconnected)), 20.0)
    lost = scene.network.world.time
    assert lost - began < 13.0
    assert scene.network.wait(lambda: not scene.alice.calls, patience + 1.0)
    assert patience - 2.0 < scene.network.world.time - lost <= patience + 1.0
    reasons = [event.hangup_info.reason for phone in scene.phones for event in phone.said(events.CallTerminated)]
    assert "RTP Timeout" in reasons
    assert scene.network.wait(lambda: not scene.bob.calls, 40.0)
    scene.nothing_is_left()


def test_a_way_that_comes_back_is_kept() -> None:
    scene = Scene({}, {})
    scene.network.world.cut("alice", "bob")
    scene.network.pass_time(20.0)
    scene.network.world.cut("alice", "bob", cut=False)
    assert scene.network.wait(scene.is_back, 15.0)
    assert scene.both_are_heard()
    scene.end()


def test_a_call_on_hold_looks_for_a_way_too() -> None:
    nat = Nat(NatKind.SYMMETRIC, "203.0.113.1")
    scene = Scene({"nat": nat, **STUN}, {})
    scene.alice.do(scene.alice.machine.hold, scene.alice.only_call)
    scene.network.pass_time(1.0)
    nat.forget()
    scene.until_back(40.0)
    scene.alice.do(scene.alice.machine.resume, scene.alice.only_call)
    scene.network.pass_time(1.0)
    assert scene.both_are_heard()
    scene.end()


@pytest.mark.parametrize("back", [True, False], ids=["the way comes back", "the way is gone for good"])
def test_a_way_that_was_lost_while_the_call_rang_is_looked_for_once_it_is_answered(back: bool) -> None:
    network = Network(5)
    alice, bob = (network.phone(name, MediaProfile.WEBRTC) for name in ("alice", "bob"))
    network.pass_time(0.1)
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    assert network.wait(lambda: bool(bob.calls), 5.0)
    bob.do(bob.machine.progress, bob.only_call)
    assert network.wait(lambda: alice.has_media and bob.has_media, 10.0)
    network.world.cut("alice", "bob")
    assert network.wait(lambda: all(phone.said(events.MediaDisconnected) for phone in (alice, bob)), 40.0)
    bob.answer()
    network.pass_time(1.0)
    if back:
        network.world.cut("alice", "bob", cut=False)
        assert network.wait(lambda: all(len(phone.said(events.MediaConnected)) == 2 for phone in (alice, bob)), 15.0)
        network.pass_time(60.0)
        assert alice.calls
        assert bob.calls
        return
    assert network.wait(lambda: not alice.calls and not bob.calls, 60.0)
    reasons = [event.hangup_info.reason for phone in (alice, bob) for event in phone.said(events.CallTerminated)]
    assert "RTP Timeout" in reasons


@pytest.mark.parametrize("early", [Early.OTHER, Early.BOTH], ids=lambda early: early.value)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_relay_that_has_begun_anew_in_a_call_that_another_phone_was_heard_in_first(
    transport: str, early: Early
) -> None:
    scene = Scene(turn(transport), {}, early=early)
    for _ in range(2):
        scene.relay.server.forget()
        scene.network.world.break_streams("relay")
        scene.network.pass_time(30.0)
        assert scene.is_back()
        assert scene.both_are_heard()
    scene.end()


@pytest.mark.parametrize("options", [turn("udp"), turn("tcp"), STUN], ids=["udp", "tcp", "stun"])
def test_another_network_in_a_call_that_another_phone_was_heard_in_first(options: dict[str, Any]) -> None:
    alice, bob = ({"nat": Nat(NatKind.PORT_RESTRICTED, f"203.0.113.{number}")} for number in (1, 2))
    scene = Scene(options | alice, STUN | bob, early=Early.OTHER)
    scene.network.world.readdress("alice", "10.0.1.77")
    scene.network.pass_time(6.0)
    assert scene.is_back()
    assert scene.both_are_heard()
    scene.end()


def test_signalling_that_comes_back_while_an_offer_is_under_way_restarts_nothing_beneath_it() -> None:
    scene = Scene({}, {})
    world, alice = scene.network.world, scene.alice
    calls, call = alice.machine._calls, alice.only_call

    sockets = len(world.hosts["alice"].datagrams)
    world.cut("bob", "server")
    alice.do(alice.machine.hold, call)
    alice.do(calls.account_lost, alice.account)
    alice.do(calls.account_back, alice.account)
    scene.network.pass_time(3.0)
    assert not alice.said(events.CallHeld)
    assert len(world.hosts["alice"].datagrams) == sockets
    world.cut("bob", "server", cut=False)
    scene.network.pass_time(10.0)
    assert alice.said(events.CallHeld)
    assert len(world.hosts["alice"].datagrams) > sockets
    alice.do(alice.machine.resume, call)
    scene.network.pass_time(2.0)
    assert scene.both_are_heard()
    scene.end()
