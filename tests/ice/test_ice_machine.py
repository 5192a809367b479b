"""The agent against whatever can happen: two of them driven at random, and datagrams that nobody should send."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ice.network import Network, context
from ice.pairs import ALICE, BOB, Pair, check, states

from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.softphone.media_plane import IceState
from sansio_sip_media.ice.agent import IceAgent
from sansio_sip_media.ice.check_list import MAX_PAIRS
from sansio_sip_media.ice.pair import PairState
from sansio_sip_media.ice.stun import Attribute

BACK = {IceState.CONNECTED, IceState.COMPLETED, IceState.DISCONNECTED}
"""A second restart goes back to the state of the session that is still in use."""

MAY_FOLLOW = {
    IceState.NEW: {IceState.CHECKING},
    IceState.CHECKING: {*BACK, IceState.FAILED},
    IceState.CONNECTED: {*BACK, IceState.CHECKING, IceState.FAILED},
    IceState.COMPLETED: {IceState.DISCONNECTED, IceState.CHECKING, IceState.FAILED},
    IceState.DISCONNECTED: {IceState.COMPLETED, IceState.CHECKING, IceState.FAILED},
    IceState.FAILED: {*BACK, IceState.CHECKING},
}
"""Of one agent; CHECKING after the later ones is the start of a session after `restart`, or a lost valid pair."""


class TwoAgents(RuleBasedStateMachine):
    """Alice and Bob tell each other their descriptions whenever they like, restart, lose flows; the network loses,
    duplicates and delays. When it heals and both have each other's description, they connect."""

    @initialize(
        seed=st.integers(0, 10_000),
        loss=st.sampled_from([0.0, 0.1, 0.4]),
        controlling=st.tuples(st.booleans(), st.booleans()),
        alice=st.integers(0, 2),
        bob=st.integers(1, 2),
    )
    def begin(self, seed: int, loss: float, controlling: tuple[bool, bool], alice: int, bob: int) -> None:
        self.network = Network(seed, loss=loss, delay=0.01, jitter=0.4, duplicates=0.1)
        self.pair = Pair(
            self.network,
            seed=seed,
            alice=[Address(f"10.0.{number}.1", 1000) for number in range(alice)],
            bob=[Address(f"10.0.{number}.2", 2000) for number in range(bob)],
            controlling=controlling,
        )
        self.flows = [alice, bob]

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.05, 0.3, 2.0, 12.0, 45.0]))
    def time_passes(self, seconds: float) -> None:
        self.network.run(self.network.now + seconds)

    @rule(who=st.integers(0, 1), trickle=st.booleans())
    def description_arrives(self, who: int, trickle: bool) -> None:
        agent, other = self.pair.agents[who], self.pair.agents[1 - who]
        if agent.needs_restart(other.local_ufrag, other.local_pwd) or agent.state is IceState.FAILED:
            agent.restart(now=self.network.now)
        self.pair.tell(who, trickle=trickle)

    @rule(who=st.integers(0, 1))
    def restarted(self, who: int) -> None:
        self.pair.agents[who].restart(now=self.network.now)

    @precondition(lambda self: max(self.flows) < 5)
    @rule(who=st.integers(0, 1))
    def flow_opens(self, who: int) -> None:
        number = self.flows[who]
        self.flows[who] += 1
        address = Address(f"10.0.{number}.{who + 1}", 1000 * (who + 1))
        self.pair.add_socket(self.pair.nodes[who], self.pair.agents[who], f"{'ab'[who]}{number}", address)

    @rule(who=st.integers(0, 1), number=st.integers(0, 3))
    def flow_is_lost(self, who: int, number: int) -> None:
        flow = FlowId(f"{'ab'[who]}{number}")
        node = self.pair.nodes[who]
        if flow in node.flows and len(node.flows) > 1:
            del node.flows[flow]
            self.pair.agents[who].flow_lost(flow, now=self.network.now)

    @rule(who=st.integers(0, 1), controlling=st.booleans())
    def role_is_set(self, who: int, controlling: bool) -> None:
        self.pair.agents[who].set_controlling(controlling, now=self.network.now)

    @rule(who=st.integers(0, 1), host=st.sampled_from(["10.0.0.1", "10.0.0.2", "10.7.7.7"]), use=st.booleans())
    def a_stranger_who_knows_the_password_checks(self, who: int, host: str, use: bool) -> None:
        agent = self.pair.agents[who]
        flags = [Attribute.USE_CANDIDATE] if use else []
        data = check(f"{agent.local_ufrag}:{self.pair.agents[1 - who].local_ufrag}", agent.local_pwd, 5, flags=flags)
        for flow in list(self.pair.nodes[who].flows):
            agent.receive_datagram(flow, data, Address(host, 4444), now=self.network.now)

    @rule(who=st.integers(0, 1), data=st.binary(max_size=80))
    def junk_arrives(self, who: int, data: bytes) -> None:
        self.pair.agents[who].receive_datagram(FlowId("a0"), data, ALICE, now=self.network.now)

    @invariant()
    def what_is_promised_holds(self) -> None:
        if not hasattr(self, "pair"):
            return
        self.network.settle()
        for node, agent in zip(self.pair.nodes, self.pair.agents, strict=True):
            history = [IceState.NEW, *states(node)]
            for state, following in itertools.pairwise(history):
                assert following in MAY_FOLLOW[state], history
            reports = agent.pairs()
            assert len(reports) <= MAX_PAIRS
            assert [report.priority for report in reports] == sorted((r.priority for r in reports), reverse=True)
            assert sum(report.selected for report in reports) <= 1
            assert all(report.state is PairState.SUCCEEDED for report in reports if report.selected)
            assert all(report.flow in node.flows for report in reports)
            if agent.state in (IceState.COMPLETED, IceState.DISCONNECTED):
                assert agent.selected is not None
                assert agent.is_validated(agent.selected.flow, agent.selected.remote)
            deadline = agent.next_timeout()
            if deadline is not None and deadline <= self.network.now:
                agent.handle_timeout(now=self.network.now)
                later = agent.next_timeout()
                assert later is None or later > self.network.now

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        if not self.pair.nodes[0].flows:
            self.flow_opens(0)
        self.network.loss = 0.0
        for agent in self.pair.agents:
            agent.restart(now=self.network.now)
        self.pair.start()
        assert self.network.run(self.network.now + 100, self.pair.is_complete)
        self.network.run(self.network.now + 60)
        self.pair.assert_same_pair()
        for agent in self.pair.agents:
            agent.close(now=self.network.now)
            assert agent.next_timeout() is None


TwoAgents.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestTwoAgents = TwoAgents.TestCase


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6), st.binary(max_size=60), st.booleans())
def test_random_datagrams_never_raise(edits: list[tuple[int, int]], tail: bytes, started: bool) -> None:
    agent = IceAgent(context(1), controlling=True)
    agent.add_local_candidate(FlowId("a"), ALICE, now=0)
    if started:
        agent.set_remote("peer", "p" * 22, ("1 1 udp 1 10.0.0.2 2000 typ host",), now=0)
    requests = [output.data for output in agent.outputs() if isinstance(output, SendDatagram)]
    samples = [check(f"{agent.local_ufrag}:peer", agent.local_pwd, 1, flags=[Attribute.USE_CANDIDATE]), tail, *requests]
    for sample in samples:
        octets = bytearray(sample)
        for index, value in edits:
            if octets:
                octets[index % len(octets)] = value
        for data in (bytes(octets), bytes(octets) + tail):
            agent.receive_datagram(FlowId("a"), data, BOB, now=0)
            agent.receive_datagram(FlowId("none"), data, BOB, now=0)
    agent.handle_timeout(now=500)


@given(st.lists(st.text(max_size=60), max_size=5), st.text(max_size=10), st.text(max_size=10))
def test_any_text_of_a_description_never_raises(candidates: list[str], ufrag: str, pwd: str) -> None:
    agent = IceAgent(context(1), controlling=True)
    agent.add_local_candidate(FlowId("a"), ALICE, now=0)
    agent.set_remote(ufrag, pwd, (*candidates, "1 1 udp 1 10.0.0.2 2000 typ host"), now=0)
    assert agent.state is (IceState.CHECKING if ufrag and pwd else IceState.FAILED)
