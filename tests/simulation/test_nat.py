"""Two phones, each behind a translator: which pairs STUN connects, and that TURN connects all."""

from itertools import combinations_with_replacement
from typing import Any

import pytest
from simulation.phones import Network, pitch, tone
from simulation.relay_host import RelayHost

from sansio_sip.context import Secret
from sansio_sip.effects import Address, TlsPeer
from sansio_sip.simulation.nat import Nat, NatKind
from sansio_sip.softphone import events
from sansio_sip.softphone.ice_servers import TurnAccount
from sansio_sip.softphone.media_plane import MediaProfile

RELAY = "10.0.0.8"
STUN = {"stun_servers": (f"stun:{RELAY}",)}
TURN: dict[str, Any] = {"turn_servers": (TurnAccount(f"turn:{RELAY}", "turn", Secret("pw")),)}
TURN_TCP: dict[str, Any] = {"turn_servers": (TurnAccount(f"turn:{RELAY}?transport=tcp", "turn", Secret("pw")),)}
TURN_TLS: dict[str, Any] = {"turn_servers": (TurnAccount(f"turns:{RELAY}:3478", "turn", Secret("pw")),)}
PAIRS = list(combinations_with_replacement(NatKind, 2))

# A symmetric one has another mapping for each far end, so the far end must let in what it has not sent to.
APART = {(NatKind.PORT_RESTRICTED, NatKind.SYMMETRIC), (NatKind.SYMMETRIC, NatKind.SYMMETRIC)}

INSIDE, OUTSIDE, OTHER = Address("192.168.1.2", 4000), Address("203.0.113.5", 5000), Address("203.0.113.5", 5001)


def connects(kinds: tuple[NatKind, NatKind], **options: Any) -> tuple[bool, RelayHost]:
    network = Network(3)
    relay = RelayHost(RELAY)
    network.world.add("relay", relay, RELAY, tls=TlsPeer((RELAY,), verified=True))
    alice, bob = (
        network.phone(name, MediaProfile.WEBRTC, nat=Nat(kind, public), **options)
        for name, kind, public in zip(("alice", "bob"), kinds, ("203.0.113.1", "203.0.113.2"), strict=True)
    )
    network.pass_time(0.1)
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    assert network.wait(lambda: bool(bob.calls), 5.0)
    bob.answer()
    return network.wait(lambda: alice.has_media and bob.has_media, 8.0), relay


@pytest.mark.parametrize("kinds", PAIRS, ids=lambda kinds: " and ".join(kind.value for kind in kinds))
def test_stun_connects_all_but_symmetric_ones_with_those_that_look_at_ports(kinds: tuple[NatKind, NatKind]) -> None:
    connected, _ = connects(kinds, **STUN)
    assert connected == (kinds not in APART)


@pytest.mark.parametrize("kinds", PAIRS, ids=lambda kinds: " and ".join(kind.value for kind in kinds))
def test_turn_connects_all(kinds: tuple[NatKind, NatKind]) -> None:
    connected, _ = connects(kinds, **TURN)
    assert connected


@pytest.mark.parametrize("turn", [TURN, TURN_TCP, TURN_TLS], ids=["udp", "tcp", "tls"])
def test_relay_only_tells_no_address_of_ours(turn: dict[str, Any]) -> None:
    connected, relay = connects((NatKind.FULL_CONE, NatKind.FULL_CONE), relay_only=True, **turn)
    assert connected
    assert len(relay.server.allocations) == 2
    assert len(relay.server.streams) == (0 if turn is TURN else 2)
    assert relay.server.relayed


def test_a_relay_over_tls_that_is_another_one_is_not_used() -> None:
    network = Network(3)
    relay = RelayHost(RELAY)
    network.world.add("relay", relay, RELAY, tls=TlsPeer(("10.0.0.99",), verified=True))
    alice = network.phone("alice", MediaProfile.WEBRTC, relay_only=True, **TURN_TLS)
    bob = network.phone("bob", MediaProfile.WEBRTC)
    network.pass_time(0.1)
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    assert network.wait(lambda: bool(bob.calls), 5.0)
    assert not relay.server.log
    assert any("not for 10.0.0.8" in line.text for line in alice.said(events.LogLine))


def test_a_call_gives_its_relay_and_the_stream_to_it_back() -> None:
    network = Network(3)
    relay = RelayHost(RELAY)
    network.world.add("relay", relay, RELAY)
    alice = network.phone("alice", MediaProfile.WEBRTC, relay_only=True, **TURN_TCP)
    bob = network.phone("bob", MediaProfile.WEBRTC)
    network.pass_time(0.1)
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    assert network.wait(lambda: bool(bob.calls), 5.0)
    bob.answer()
    assert network.wait(lambda: alice.has_media and bob.has_media, 8.0)
    alice.say(tone(440.0, 2.0))
    network.pass_time(2.5)
    assert abs(pitch(bob.everything_heard()) - 440.0) < 5
    alice.hang_up()
    network.pass_time(1.0)
    assert relay.server.log[-1] == ("REFRESH", 0)
    assert not relay.server.streams
    assert not relay.server.allocations


def test_a_dead_server_costs_two_seconds_and_is_named() -> None:
    network = Network(3)
    alice = network.phone("alice", MediaProfile.WEBRTC, stun_servers=("stun:10.0.0.77",))
    bob = network.phone("bob", MediaProfile.WEBRTC)
    network.pass_time(0.1)
    assert alice.login()
    assert bob.login()
    began = network.world.time
    alice.call("bob")
    assert network.wait(lambda: bool(bob.calls), 5.0)
    assert 2.0 <= network.world.time - began < 2.3
    assert any("STUN server 10.0.0.77:3478" in line.text for line in alice.said(events.LogLine))


@pytest.mark.parametrize(
    ("kind", "host", "port"),
    [
        (NatKind.FULL_CONE, True, True),
        (NatKind.RESTRICTED, False, True),
        (NatKind.PORT_RESTRICTED, False, False),
        (NatKind.SYMMETRIC, False, False),
    ],
)
def test_who_is_let_in(kind: NatKind, host: bool, port: bool) -> None:
    nat = Nat(kind, "203.0.113.1")
    mapped = nat.outbound(INSIDE, OUTSIDE)
    assert nat.inbound(mapped, OUTSIDE) == INSIDE
    assert (nat.inbound(mapped, OTHER) == INSIDE) == port
    assert (nat.inbound(mapped, Address("203.0.113.9", 5000)) == INSIDE) == host
    assert (nat.outbound(INSIDE, OTHER) == mapped) == (kind is not NatKind.SYMMETRIC)
    assert nat.inbound(Address("203.0.113.1", 9), OUTSIDE) is None
