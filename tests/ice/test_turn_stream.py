"""TURN over TCP and TLS: messages out of any split, relays reached by streams, streams that break (RFC 8656)."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ice.endpoint import Endpoint
from ice.network import Network
from ice.turn_server import FakeServer

from sansio_sip.context import Opaque, Secret
from sansio_sip.effects import Address, TlsPeer, TlsPolicy
from sansio_sip.softphone.media_plane import IceState
from sansio_sip_media.ice.candidate import CandidateType
from sansio_sip_media.ice.gathering import MAX_REOPENED
from sansio_sip_media.ice.turn import TurnServer
from sansio_sip_media.ice.turn_stream import TurnFramer, padded

SERVER = Address("203.0.113.100", 3478)
ALICE, BOB = Address("10.0.0.1", 1000), Address("10.0.1.2", 2000)
TCP = TurnServer(SERVER, "turn", Secret("pw"), "tcp")
TLS = TurnServer(SERVER, "turn", Secret("pw"), "tls", TlsPolicy("turn.example.com"))
UDP = TurnServer(SERVER, "turn", Secret("pw"))
RELAYED = (CandidateType.RELAYED,)

MESSAGES = st.one_of(
    st.binary(max_size=40).map(lambda data: struct.pack("!HH", 0x4001, len(data)) + data),
    st.integers(0, 5).map(
        lambda words: struct.pack("!HH", 0x0017, 4 * words) + b"\x21\x12\xa4\x42" + bytes(range(12)) + b"abcd" * words
    ),
)


@given(st.lists(MESSAGES, max_size=6), st.data())
def test_any_split_gives_the_same_messages(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(padded(message) for message in messages)
    framer = TurnFramer()
    found: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += framer.receive(stream[:size])
        stream = stream[size:]
    assert found == messages
    assert not framer.broken


def test_channel_data_is_padded_and_stays_what_it_was() -> None:
    assert padded(b"\x40\x00\x00\x01a") == b"\x40\x00\x00\x01a\0\0\0"
    assert padded(b"\x40\x00\x00\x04abcd") == b"\x40\x00\x00\x04abcd"
    assert isinstance(padded(Opaque(b"\x40\x00\x00\x01a")), Opaque)


@given(st.binary(min_size=4, max_size=50))
def test_what_is_not_turn_breaks_the_stream_for_good(data: bytes) -> None:
    framer = TurnFramer()
    assert list(framer.receive(bytes([0x80 | data[0]]) + data[1:])) == []
    assert framer.broken
    assert list(framer.receive(b"\x40\x00\x00\x00")) == []


def made(network: Network, name: str, address: Address, *servers: TurnServer, controlling: bool) -> Endpoint:
    return Endpoint(network, name, address, controlling=controlling, turn_servers=servers, kinds=RELAYED)


def connected(network: Network, alice: Endpoint, bob: Endpoint) -> None:
    assert network.run(network.now + 5, lambda: None not in (alice.finished_at, bob.finished_at))
    bob.start(alice)
    alice.start(bob)
    assert network.run(network.now + 30, lambda: None not in (alice.selected, bob.selected))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("theirs", [UDP, TCP], ids=["udp", "tcp"])
def test_ice_13_a_relay_reached_by_tcp_carries_checks_and_data(seed: int, theirs: TurnServer) -> None:
    network = Network(seed)
    server = FakeServer(network, SERVER)
    network.listen(SERVER, server)
    alice = made(network, "a", ALICE, TCP, controlling=True)
    bob = made(network, "b", BOB, theirs, controlling=False)
    connected(network, alice, bob)
    network.run(network.now + 40)
    already = len(server.relayed)
    for number in range(4):
        alice.send(b"\x80" * (number + 1))  # as many octets of padding as there may be
        bob.send(b"\x81" * (number + 1))
        network.run(network.now + 0.5)
    assert bob.received == [b"\x80" * (number + 1) for number in range(4)]
    assert alice.received == [b"\x81" * (number + 1) for number in range(4)]
    assert {how for how, _ in server.relayed[already:]} == {"channel"}
    network.run(network.now + 900)  # the allocation is refreshed, the channel bound anew
    alice.send(b"\x80 still here")
    network.run(network.now + 1)
    assert bob.received[-1] == b"\x80 still here"
    alice.gatherer.release(now=network.now)
    network.run(network.now + 1)
    assert len(server.allocations) == 1
    assert not alice.gatherer.counters
    assert not bob.gatherer.counters


def test_nothing_is_sent_twice_on_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    heard: list[bytes] = []
    monkeypatch.setattr(server, "receive_datagram", lambda _, data, *__, **___: heard.append(data))
    network.listen(SERVER, server)
    alice = made(network, "a", ALICE, TCP, controlling=True)
    assert network.run(60, lambda: bool(alice.gatherer.problems and "no answer yet" not in alice.gatherer.problems[0]))
    assert alice.gatherer.problems == ("TURN server 203.0.113.100:3478 over TCP: no answer",)
    assert 39 < network.now < 40
    assert alice.finished_at == pytest.approx(2.0)
    assert len(heard) == 1
    network.run(network.now + 1)
    assert not server.streams, "the stream is closed"


def test_a_server_that_refuses_the_stream_is_named() -> None:
    network = Network()
    alice = made(network, "a", ALICE, TCP, controlling=True)
    network.run(1)
    assert alice.gatherer.problems == ("TURN server 203.0.113.100:3478 over TCP: connection refused",)
    assert alice.finished_at is not None


@pytest.mark.parametrize(
    ("peer", "problem"),
    [
        (TlsPeer(("turn.example.com",), verified=True), None),
        (TlsPeer(("*.example.com",), verified=True), None),
        (
            TlsPeer(("turn.example.net",), verified=True),
            "certificate is for turn.example.net, not for turn.example.com",
        ),
        (TlsPeer(("turn.example.com",), verified=False), "the certificate was not verified"),
    ],
)
def test_a_server_over_tls_must_show_a_certificate_for_its_name(peer: TlsPeer, problem: str | None) -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    network.listen(SERVER, server, peer)
    alice = made(network, "a", ALICE, TLS, controlling=True)
    network.run(1)
    if problem is None:
        assert len(server.allocations) == 1
    else:
        assert problem in alice.gatherer.problems[0]
        assert not server.log, "nothing is said to a stranger"
        assert not server.streams


def test_a_stream_that_breaks_under_a_call_is_opened_again_a_bounded_number_of_times() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    network.listen(SERVER, server)
    alice = made(network, "a", ALICE, TCP, controlling=True)
    bob = made(network, "b", BOB, UDP, controlling=False)
    connected(network, alice, bob)
    before = alice.selected
    network.break_streams()
    assert alice.lost[-1].reason == "connection reset"
    assert alice.agent.state is IceState.FAILED
    network.run(network.now + 1)
    # What an ICE restart then offers is the new relay.
    for end in (alice, bob):
        end.agent.restart(now=network.now)
        end.selected = None
    connected(network, alice, bob)
    assert before is not None
    assert alice.selected is not None
    assert alice.selected.flow != before.flow
    alice.send(b"\x80 again")
    network.run(network.now + 1)
    assert bob.received == [b"\x80 again"]
    for _ in range(MAX_REOPENED):
        network.run(network.now + 1)
        network.break_streams()
    network.run(network.now + 5)
    assert not server.streams
    assert "connection reset" in alice.gatherer.problems[0]


@pytest.mark.parametrize(
    "junk", [b"\xff" * 8, b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", b"\x01\x01\x00\x02" + bytes(20)]
)
def test_octets_that_are_not_turn_end_the_relay(junk: bytes) -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    network.listen(SERVER, server)
    alice = made(network, "a", ALICE, TCP, controlling=True)
    network.run(1)
    (send,) = server.streams.values()
    send(junk)
    network.run(2)
    assert alice.gatherer.problems[0].endswith("not TURN")
    assert alice.lost
    assert not server.streams


def test_a_relay_by_udp_is_preferred_to_one_by_tcp() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    network.listen(SERVER, server)
    alice = made(network, "a", ALICE, TCP, UDP, controlling=True)
    network.run(2)
    by_udp, by_tcp = alice.agent.local_candidates
    priorities = [int(line.split()[3]) for line in (by_udp, by_tcp)]
    assert priorities[0] - priorities[1] > 0x7000 << 8
    assert by_udp.split()[0] != by_tcp.split()[0], "another foundation: another way to the server"


def test_a_stream_is_closed_with_its_socket() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    network.listen(SERVER, server)
    alice = made(network, "a", ALICE, TCP, controlling=True)
    network.run(1)
    assert server.streams
    alice.gatherer.remove_flow(alice.flow, now=network.now)
    network.settle()
    network.run(2)
    assert not server.streams
    assert alice.lost
