"""Two ICE agents that both think they are in control (RFC 8445 section 7.3.1.1), each with one candidate."""

from ice.network import context
from model.subjects import Timed

from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.simulation.explore import Exploration, Wire, explore
from sansio_sip_media.ice.agent import IceAgent, PairSelected

__all__ = ["IceConflict", "explore_conflict"]

ADDRESSES = {"a": Address("10.0.0.1", 1000), "b": Address("10.0.0.2", 2000)}


class IceConflict(Timed):
    """`controlling` is the role of both ends at first."""

    def __init__(self, controlling: bool, wire: Wire[bytes]) -> None:
        super().__init__()
        self.agents = {name: IceAgent(context(name), controlling=controlling) for name in "ab"}
        self.wire = wire
        self.selected: dict[str, tuple[Address, Address]] = {}
        for name, agent in self.agents.items():
            agent.add_local_candidate(FlowId(name), ADDRESSES[name], now=self.now)
        for name, other in (("a", "b"), ("b", "a")):
            peer = self.agents[other]
            self.agents[name].set_remote(peer.local_ufrag, peer.local_pwd, peer.local_candidates, now=self.now)
        self.take_outputs()

    def machines(self) -> tuple[IceAgent, ...]:
        return tuple(self.agents.values())

    def moves(self) -> list[str]:
        if len(self.selected) == 2:
            return []  # connected: what follows is consent, for ever
        return [*self.wire.moves(), *(["time passes"] if self.due() is not None else [])]

    def make(self, move: str) -> None:
        if move == "time passes":
            self.let_time_pass()
        elif (arrived := self.wire.make(move)) is not None:
            to, data = arrived
            self.agents[to].receive_datagram(FlowId(to), data, ADDRESSES["b" if to == "a" else "a"], now=self.now)
        self.take_outputs()

    def take_outputs(self) -> None:
        for name, agent in self.agents.items():
            for output in agent.outputs():
                if isinstance(output, SendDatagram):
                    self.wire.put("b" if name == "a" else "a", bytes(output.data))
                elif isinstance(output, PairSelected):
                    self.selected[name] = (output.local, output.remote)


def explore_conflict(controlling: bool, *, losses: int = 0, doubles: int = 0, max_depth: int = 7) -> Exploration:
    return explore(
        f"ICE role conflict, both {'controlling' if controlling else 'controlled'}",
        IceConflict(controlling, Wire(capacity=3, losses=losses, doubles=doubles)),
        {
            "who has selected a pair has the one between the two": lambda one: all(
                pair == (ADDRESSES[name], ADDRESSES["b" if name == "a" else "a"]) for name, pair in one.selected.items()
            ),
            "where both have selected, one of them is in control": lambda one: (
                len(one.selected) < 2 or one.agents["a"].controlling != one.agents["b"].controlling
            ),
            "a role is changed by one end at the most": lambda one: (
                controlling in (one.agents["a"].controlling, one.agents["b"].controlling)
            ),
        },
        max_depth=max_depth,
    )
