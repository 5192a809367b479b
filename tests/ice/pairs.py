"""Two agents on a virtual network, and a peer that is only a script."""

from collections.abc import Sequence

from ice.network import Network, Node, context

from sansio_sip.effects import Address, FlowId
from sansio_sip.softphone.media_plane import IceState
from sansio_sip_media.ice import stun
from sansio_sip_media.ice.agent import IceAgent, PairSelected, StateChanged
from sansio_sip_media.ice.stun import Attribute, AttributeValue, StunClass, StunMessage, StunMethod

__all__ = ["ALICE", "BOB", "Pair", "check", "states"]

ALICE = Address("10.0.0.1", 1000)
BOB = Address("10.0.0.2", 2000)


class Pair:
    """Alice (controlling unless told otherwise) and Bob with host candidates, not started yet."""

    def __init__(
        self,
        network: Network | None = None,
        *,
        seed: object = 0,
        alice: Sequence[Address] = (ALICE,),
        bob: Sequence[Address] = (BOB,),
        controlling: tuple[bool, bool] = (True, False),
        lite: tuple[bool, bool] = (False, False),
    ) -> None:
        self.network = network or Network(seed)
        self.agents = (
            IceAgent(context(f"alice {seed}"), controlling=controlling[0], lite=lite[0]),
            IceAgent(context(f"bob {seed}"), controlling=controlling[1], lite=lite[1]),
        )
        self.nodes = tuple(self.network.node(name, agent) for name, agent in zip(("a", "b"), self.agents, strict=True))
        for node, agent, addresses in zip(self.nodes, self.agents, (alice, bob), strict=True):
            for number, address in enumerate(addresses):
                self.add_socket(node, agent, f"{node.name}{number}", address)

    def add_socket(self, node: Node, agent: IceAgent, flow: str, address: Address) -> None:
        agent.add_local_candidate(self.network.socket(node, flow, address), address, now=self.network.now)

    @property
    def alice(self) -> IceAgent:
        return self.agents[0]

    @property
    def bob(self) -> IceAgent:
        return self.agents[1]

    def tell(self, to: int, *, trickle: bool = False, candidates: tuple[str, ...] | None = None) -> None:
        """Agent `to` takes the description of the other."""
        other = self.agents[1 - to]
        self.agents[to].set_remote(
            other.local_ufrag,
            other.local_pwd,
            other.local_candidates if candidates is None else candidates,
            lite=other.lite,
            trickle=trickle,
            now=self.network.now,
        )
        self.network.settle()

    def start(self) -> None:
        self.tell(0)
        self.tell(1)

    def is_complete(self) -> bool:
        return all(agent.state is IceState.COMPLETED for agent in self.agents)

    def connect(self, until: float = 200.0) -> bool:
        return self.network.run(until, self.is_complete)

    def assert_same_pair(self) -> PairSelected:
        """Both have selected the same two addresses; returns Alice's view."""
        ours, theirs = self.alice.selected, self.bob.selected
        assert ours is not None
        assert theirs is not None
        assert (ours.local, ours.remote) == (theirs.remote, theirs.local)
        return ours


def states(node: Node) -> list[IceState]:
    return [event.state for event in node.said(StateChanged)]


def check(
    ufrags: str,
    key: str,
    transaction: int,
    attributes: dict[Attribute, AttributeValue] | None = None,
    *,
    flags: Sequence[Attribute] = (),
) -> bytes:
    """A Binding request as a peer would send it. `ufrags` is `receiver:sender`."""
    content: dict[Attribute, AttributeValue] = {Attribute.USERNAME: ufrags, Attribute.PRIORITY: 1853824767}
    content.update(attributes or {})
    content.update(dict.fromkeys(flags))
    message = StunMessage(StunMethod.BINDING, StunClass.REQUEST, transaction.to_bytes(12, "big"), content)
    return stun.encode(message, key=key.encode())


class ScriptedPeer:
    """Answers every check with success, and sends what a test tells it to."""

    def __init__(self, network: Network, address: Address, *, password: str = "p" * 22) -> None:
        self.network, self.address, self.password = network, address, password
        self.requests: list[StunMessage] = []
        self.responses: list[StunMessage] = []
        self.silent = False
        self._node = network.node(f"peer {address}", self)
        network.socket(self._node, "peer", address)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        message = stun.parse(data)
        if message.kind is not StunClass.REQUEST:
            self.responses.append(message)
            return
        self.requests.append(message)
        if not self.silent:
            mapped: dict[Attribute, AttributeValue] = {Attribute.XOR_MAPPED_ADDRESS: source}
            answer = StunMessage(StunMethod.BINDING, StunClass.SUCCESS, message.transaction_id, mapped)
            self.network.send(self.address, stun.encode(answer, key=self.password.encode()), source)

    def handle_timeout(self, *, now: float) -> None: ...

    def next_timeout(self) -> None: ...

    def outputs(self):  # type: ignore[no-untyped-def]
        return iter(())
