"""Server-reflexive and relayed candidates: ICE-12, ICE-13 and ICE-32 of the corpus, and a client held to RFC 8656."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ice.endpoint import Endpoint
from ice.network import Network, context
from ice.turn_server import FakeServer

from sansio_sip.context import Context, DirectOracle, Oracle, Secret
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.errors import LocalProtocolError
from sansio_sip_media.ice import stun
from sansio_sip_media.ice.candidate import CandidateType
from sansio_sip_media.ice.gathering import KEEPALIVE, LIMIT, Gatherer
from sansio_sip_media.ice.stun import Attribute, StunClass, StunMessage, StunMethod
from sansio_sip_media.ice.turn import (
    MAX_PEERS,
    Allocated,
    AllocationFailed,
    AllocationLost,
    RelayedData,
    Released,
    TurnClient,
    TurnServer,
    TurnState,
)

SERVER = Address("203.0.113.100", 3478)
ALICE, BOB = Address("10.0.0.1", 1000), Address("10.0.1.2", 2000)
PUBLIC_ALICE, PUBLIC_BOB = Address("198.51.100.1", 51000), Address("198.51.100.2", 52000)
PEER = Address("192.0.2.9", 9000)
TURN = TurnServer(SERVER, "turn", Secret("pw"))


def two_behind_nats(network: Network) -> None:
    """Private addresses do not reach each other, only the mapped ones do."""
    network.mapped.update({ALICE: PUBLIC_ALICE, BOB: PUBLIC_BOB})
    network.passes = lambda source, destination, data, now: not destination.host.startswith("10.")


def connect(network: Network, alice: Endpoint, bob: Endpoint, within: float = 60.0) -> None:
    assert network.run(network.now + within, lambda: None not in (alice.finished_at, bob.finished_at))
    # On a bad network a relay may come after the limit.
    assert network.run(network.now + within, lambda: all(end.agent.local_candidates for end in (alice, bob)))
    bob.start(alice)
    alice.start(bob)
    assert network.run(network.now + within, lambda: None not in (alice.selected, bob.selected))


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_ice_12_server_reflexive_candidates_connect_through_nats(loss: float) -> None:
    network = Network(3, loss=loss)
    two_behind_nats(network)
    FakeServer(network, SERVER)
    alice = Endpoint(network, "a", ALICE, controlling=True, stun_servers=(SERVER,))
    bob = Endpoint(network, "b", BOB, controlling=False, stun_servers=(SERVER,))
    connect(network, alice, bob)
    assert alice.agent.local_candidates[1].endswith("198.51.100.1 51000 typ srflx raddr 10.0.0.1 rport 1000")
    assert alice.selected is not None
    assert (alice.selected.local, alice.selected.remote) == (PUBLIC_ALICE, PUBLIC_BOB)
    alice.send(b"\x80 over the NATs")
    network.run(network.now + 1)
    assert loss or bob.received == [b"\x80 over the NATs"]


def test_ice_12_without_a_nat_the_host_candidate_is_not_repeated() -> None:
    network = Network()
    FakeServer(network, SERVER)
    alice = Endpoint(network, "a", ALICE, controlling=True, stun_servers=(SERVER,))
    network.run(5)
    assert alice.finished_at == pytest.approx(0.04)
    assert len(alice.agent.local_candidates) == 1


def test_ice_12_a_silent_server_ends_gathering_at_the_limit() -> None:
    network = Network()
    FakeServer(network, SERVER).silent = True
    alice = Endpoint(network, "a", ALICE, controlling=True, stun_servers=(SERVER,), turn_servers=(TURN,))
    network.run(100)
    assert alice.finished_at == LIMIT
    assert alice.gatherer.counters == {"no answer": 1, "no relay": 1}
    assert alice.gatherer.next_timeout() is None


def test_ice_12_without_servers_gathering_ends_at_once() -> None:
    network = Network()
    alice = Endpoint(network, "a", ALICE, controlling=True)
    assert alice.finished_at == 0.0


def test_mappings_are_kept_alive_until_a_pair_is_selected_and_a_new_one_is_told() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    network.mapped[ALICE] = PUBLIC_ALICE
    alice = Endpoint(network, "a", ALICE, controlling=True, stun_servers=(SERVER,))
    network.run(KEEPALIVE * 2 + 1)
    assert server.log == [("BINDING", 0)] * 3
    network.mapped[ALICE] = Address("198.51.100.1", 51001)
    network.run(KEEPALIVE * 3 + 1)
    assert [line.split()[5] for line in alice.agent.local_candidates] == ["1000", "51000", "51001"]
    alice.gatherer.conclude(now=network.now)
    network.run(300)
    assert len(server.log) == 4


def test_requests_of_gathering_start_ta_apart() -> None:
    network = Network()
    servers = tuple(Address("203.0.113.1", port) for port in range(1, 6))
    Endpoint(network, "a", ALICE, controlling=True, stun_servers=(*servers, Address("2001:db8::1", 3478)))
    network.run(0.4)
    assert [time for time, _, _, _ in network.sent] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def test_an_answer_from_elsewhere_is_not_taken() -> None:
    gatherer = Gatherer(context(1), stun_servers=(SERVER,))
    gatherer.add_flow(FlowId("a"), ALICE, now=0)
    request = next(output.data for output in gatherer.outputs() if isinstance(output, SendDatagram))
    forged = StunMessage(
        StunMethod.BINDING, StunClass.SUCCESS, request[8:20], {Attribute.XOR_MAPPED_ADDRESS: Address("6.6.6.6", 6)}
    )
    assert gatherer.is_for(FlowId("a"), stun.encode(forged), PEER)
    gatherer.receive_datagram(FlowId("a"), stun.encode(forged), PEER, now=0)
    assert list(gatherer.outputs()) == []
    assert gatherer.counters == {"answer of another": 1}


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("both", [False, True])
def test_ice_13_a_relay_carries_checks_and_data(both: bool, loss: float) -> None:
    network = Network(11, loss=loss)
    server = FakeServer(network, SERVER)
    two_behind_nats(network)
    relayed_only = (CandidateType.RELAYED,)
    alice = Endpoint(network, "a", ALICE, controlling=True, turn_servers=(TURN,), kinds=relayed_only)
    bob_kinds = relayed_only if both else tuple(CandidateType)
    bob = Endpoint(network, "b", BOB, controlling=False, turn_servers=(TURN,), kinds=bob_kinds)
    connect(network, alice, bob, 120)
    assert alice.selected is not None
    assert alice.gatherer.owns(alice.selected.flow)
    network.loss = 0.0
    network.run(network.now + 40)
    sent = len(server.relayed)
    for _ in range(3):
        alice.send(b"\x80 to bob")
        bob.send(b"\x80 to alice")
        network.run(network.now + 0.5)
    assert bob.received == [b"\x80 to bob"] * 3
    assert alice.received == [b"\x80 to alice"] * 3
    assert {how for how, _ in server.relayed[sent:]} == {"channel"}
    # A quarter of an hour on the relay: allocation, permissions and channels are renewed meanwhile.
    selected = alice.selected
    network.run(network.now + 900)
    alice.send(b"\x80 still here")
    network.run(network.now + 1)
    assert bob.received[-1] == b"\x80 still here"
    assert alice.selected == selected
    alice.gatherer.release(now=network.now)
    network.run(network.now + 1)
    assert len(server.allocations) == 1


class Client:
    """A TURN client alone on a network."""

    def __init__(self, network: Network, *, password: str = "pw", oracle: Oracle | None = None) -> None:
        self.network = network
        turn_context = Context(context("turn").entropy, oracle or DirectOracle())
        self.client = TurnClient(turn_context, TurnServer(SERVER, "turn", Secret(password)), FlowId("c"))
        self.node = network.node("client", self)
        network.socket(self.node, "c", ALICE)
        self.client.start(now=network.now)
        network.settle()

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self.client.receive_datagram(data, now=now)

    def handle_timeout(self, *, now: float) -> None:
        self.client.handle_timeout(now=now)

    def next_timeout(self) -> float | None:
        return self.client.next_timeout()

    def outputs(self):  # type: ignore[no-untyped-def]
        return self.client.outputs()

    def run(self, seconds: float) -> None:
        self.network.run(self.network.now + seconds)

    def said(self) -> list[object]:
        return [event for _, event in self.node.events]


def test_ice_13_allocate_meets_the_challenge_and_refreshes() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    client = Client(network)
    client.run(3600)
    assert client.said() == [Allocated(Address("203.0.113.100", 20001), ALICE)]
    assert server.log == [("ALLOCATE", 401), ("ALLOCATE", 0), *[("REFRESH", 0)] * 6]
    client.client.close(now=network.now)
    client.run(1)
    assert client.said()[1:] == [Released()]
    assert client.client.state is TurnState.CLOSED
    assert server.allocations == {}
    with pytest.raises(LocalProtocolError, match="cannot allocate: state is closed"):
        client.client.start(now=network.now)


def test_ice_13_datagrams_wait_for_the_permission_and_go_by_the_channel_once_bound() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    client = Client(network)
    client.run(1)
    client.client.send(b"first", PEER, now=network.now)
    client.client.send(b"second", PEER, now=network.now)
    client.run(1)
    client.client.bind_channel(PEER, now=network.now)
    client.run(1)
    client.client.send(b"third", PEER, now=network.now)
    client.run(1)
    assert server.relayed == [("indication", 5), ("indication", 6), ("channel", 5)]
    assert server.log[2:] == [("CREATE_PERMISSION", 0), ("CHANNEL_BIND", 0)]
    network.send(PEER, b"answer", Address("203.0.113.100", 20001))
    network.send(Address("192.0.2.9", 9001), b"other port", Address("203.0.113.100", 20001))
    network.send(Address("192.0.2.10", 9000), b"no permission", Address("203.0.113.100", 20001))
    client.run(1)
    assert client.said()[1:] == [RelayedData(b"answer", PEER), RelayedData(b"other port", Address("192.0.2.9", 9001))]


def test_a_refused_peer_costs_only_that_peer() -> None:
    network = Network()
    FakeServer(network, SERVER)
    client = Client(network)
    client.run(1)
    client.client.send(b"x", Address("127.0.0.1", 1), now=network.now)
    client.client.send(b"x", Address("host.example", 1), now=network.now)
    client.run(1)
    assert client.client.counters == {"peer refused": 1, "no allocation": 1}
    assert client.client.state is TurnState.ALLOCATED


def test_peers_are_bounded() -> None:
    network = Network()
    FakeServer(network, SERVER)
    client = Client(network)
    client.run(1)
    for number in range(MAX_PEERS + 5):
        client.client.send(b"x", Address("192.0.2.1", 1000 + number), now=network.now)
    assert client.client.counters == {"peer limit": 5}


def test_ice_13_wrong_credentials_fail_at_the_second_401() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    client = Client(network, password="wrong")
    client.run(100)
    assert client.said() == [AllocationFailed(401, "")]
    assert server.log == [("ALLOCATE", 401)] * 2
    assert client.client.next_timeout() is None


def test_ice_13_a_silent_server_fails_after_39_5_s() -> None:
    network = Network()
    client = Client(network)
    client.run(100)
    assert client.node.events == [(39.5, AllocationFailed(0, "no answer"))]


def test_ice_32_a_stale_nonce_is_replaced() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    client = Client(network)
    client.run(1)
    server.nonce += 1
    client.client.send(b"x", PEER, now=network.now)
    client.run(1)
    assert server.log[2:] == [("CREATE_PERMISSION", 438), ("CREATE_PERMISSION", 0)]
    assert server.relayed == [("indication", 1)]
    server.stale_every = 3
    client.run(7200)
    assert client.client.state is TurnState.ALLOCATED
    assert len(client.said()) == 1


def test_ice_32_a_server_that_is_stale_for_ever_is_given_up() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    server.stale_every = 1
    client = Client(network)
    client.run(100)
    assert client.said() == [AllocationFailed(438, "")]
    assert len(server.log) <= 6


def test_a_forgotten_allocation_is_asked_for_again() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    client = Client(network)
    client.run(1)
    server.forget()
    client.client.send(b"x", PEER, now=network.now)
    client.run(1)
    assert client.said() == [
        Allocated(Address("203.0.113.100", 20001), ALICE),
        AllocationLost(Address("203.0.113.100", 20001)),
        Allocated(Address("203.0.113.100", 20002), ALICE),
    ]
    for _ in range(10):
        server.forget()
        client.client.send(b"x", PEER, now=network.now)
        client.run(1)
    assert client.client.state is TurnState.FAILED
    assert len(client.said()) < 20


def test_an_allocation_left_over_on_the_port_is_given_back_first() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    Client(network).run(1)
    client = Client(network)
    client.run(1)
    assert client.said() == [Allocated(Address("203.0.113.100", 20002), ALICE)]
    assert server.log[3:] == [("ALLOCATE", 437), ("REFRESH", 0), ("ALLOCATE", 0)]


def test_a_lost_relay_leaves_ice_and_a_new_one_joins_it() -> None:
    network = Network()
    server = FakeServer(network, SERVER)
    alice = Endpoint(network, "a", ALICE, controlling=True, turn_servers=(TURN,))
    network.run(1)
    assert [line.split()[7] for line in alice.agent.local_candidates] == ["host", "relay"]
    server.forget()
    network.run(700)
    assert [(lost.flow, lost.reason) for lost in alice.lost] == [
        ("a/relay0", "the server has forgotten the allocation")
    ]
    assert [line.split()[5] for line in alice.agent.local_candidates] == ["1000", "20002"]
    alice.gatherer.remove_flow(alice.flow, now=700)
    network.settle()
    assert [lost.flow for lost in alice.lost] == ["a/relay0", "a/relay0.1"]


class NosyOracle:
    """Keeps all that a recording would."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []

    def consult(self, name, compute, *inputs, disclosure=None):  # type: ignore[no-untyped-def]
        result = compute()
        self.rows.append((name, *inputs, result))
        return result


def test_the_password_is_in_no_oracle_row_and_no_repr() -> None:
    oracle = NosyOracle()
    password = "correct horse battery"
    network = Network()
    FakeServer(network, SERVER, password=password)
    client = Client(network, password=password, oracle=oracle)
    client.run(1)
    assert client.client.state is TurnState.ALLOCATED
    assert [row[0] for row in oracle.rows] == ["turn message integrity", "turn integrity check"]
    assert password not in repr(oracle.rows)
    assert password not in repr(TurnServer(SERVER, "turn", Secret(password)))


@given(st.lists(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda data: b"\x40\x00" + data))))
def test_random_datagrams_from_the_server_never_raise(datagrams: list[bytes]) -> None:
    network = Network()
    FakeServer(network, SERVER)
    client = Client(network)
    client.run(1)
    client.client.bind_channel(PEER, now=network.now)
    client.run(1)
    for data in datagrams:
        client.client.receive_datagram(data, now=network.now)
    client.run(2000)
    assert client.client.state is TurnState.ALLOCATED


@given(st.binary(max_size=120), st.sampled_from([StunClass.SUCCESS, StunClass.ERROR]), st.integers(300, 699))
def test_forged_answers_of_the_server_change_nothing_once_requests_are_signed(
    junk: bytes, kind: StunClass, status: int
) -> None:
    network = Network()
    FakeServer(network, SERVER)
    client = Client(network)
    client.run(1)
    client.client.send(b"x", PEER, now=network.now)
    request = next(output.data for output in client.client.outputs() if isinstance(output, SendDatagram))
    attributes: dict[Attribute, Any] = {Attribute.LIFETIME: 0, Attribute.DATA: junk}
    if kind is StunClass.ERROR and status not in (401, 438):
        attributes[Attribute.ERROR_CODE] = (status, "")
    forged = StunMessage(StunMethod.CREATE_PERMISSION, kind, request[8:20], attributes)
    client.client.receive_datagram(stun.encode(forged, key=b"guess"), now=network.now)
    assert list(client.client.outputs()) == []
    assert client.client.counters == {"unauthenticated response": 1}
