"""The check list of one ICE generation: forming, ordering, pruning, unfreezing, and which check is next.

RFC 8445 sections 6.1.2 (forming), 6.1.4 (scheduling), 7.2.5.3.3 (unfreezing) and RFC 8838 section 12 (late
candidates). We carry one stream with one component, so the check list set has one list.
"""

from collections import deque
from collections.abc import Iterator

from sansio_sip.effects import Address, FlowId

from .candidate import Candidate, LocalCandidate, can_pair
from .pair import CandidatePair, PairInput, PairState

__all__ = ["MAX_PAIRS", "CheckList"]

MAX_PAIRS = 100
"""RFC 8445 section 6.1.2.5: "an agent MUST limit the total number of connectivity checks ... to 100"."""


class CheckList:
    """Pairs, one for each (flow, remote address)."""

    __slots__ = ("_controlling", "_pairs", "_serial", "_triggered", "dropped")

    def __init__(self, controlling: bool) -> None:
        self._controlling = controlling
        self._pairs: dict[tuple[FlowId, Address], CandidatePair] = {}
        self._triggered: deque[CandidatePair] = deque()
        self._serial = 0
        self.dropped = 0

    def __iter__(self) -> Iterator[CandidatePair]:
        """Pairs, highest priority first."""
        return iter(sorted(self._pairs.values(), key=lambda pair: (-pair.priority, pair.serial)))

    def __len__(self) -> int:
        return len(self._pairs)

    def find(self, flow: FlowId, remote: Address) -> CandidatePair | None:
        return self._pairs.get((flow, remote))

    def add(self, local: LocalCandidate, remote: Candidate) -> CandidatePair | None:
        """Forms a pair; returns the one that is there already; None if the two cannot pair, or the list is full.

        A full list gives up its lowest pair that has not succeeded and is not being checked, if the new one is better.
        """
        key = (local.flow, remote.address)
        if key in self._pairs:
            return self._pairs[key]
        if not can_pair(local.base.host, remote.address.host):
            return None
        pair = CandidatePair(self._serial, local, remote)
        pair.set_role(self._controlling)
        self._serial += 1
        if len(self._pairs) >= MAX_PAIRS and not self._make_room(pair):
            self.dropped += 1
            return None
        # RFC 8838 section 12: a late pair waits if it is the first of its foundation, or one of it has succeeded.
        peers = [other for other in self._pairs.values() if other.foundation == pair.foundation]
        if not peers or any(other.state is PairState.SUCCEEDED for other in peers):
            pair.apply(PairInput.UNFROZEN)
        self._pairs[key] = pair
        return pair

    def settle(self) -> None:
        """Gives each foundation's Waiting state to its best pair, while nothing has been checked yet.

        RFC 8445 section 6.1.2.6: of the pairs with one foundation, "the one with the lowest component ID ... [and] the
        highest priority" is Waiting, the others are Frozen.
        """
        seen: set[tuple[str, str]] = set()
        for pair in self:
            if pair.state in (PairState.FROZEN, PairState.WAITING) and pair not in self._triggered:
                pair.state = PairState.FROZEN if pair.foundation in seen else PairState.WAITING
            seen.add(pair.foundation)

    def unfreeze(self, foundation: tuple[str, str]) -> None:
        """A check of this foundation has succeeded: the others of it may go (RFC 8445 section 7.2.5.3.3)."""
        for pair in self._pairs.values():
            if pair.foundation == foundation:
                pair.apply(PairInput.UNFROZEN)

    def trigger(self, pair: CandidatePair) -> None:
        """Queues a triggered check, or a nomination (RFC 8445 section 6.1.4.1), which goes first."""
        pair.apply(PairInput.TRIGGERED)
        if pair not in self._triggered:
            if pair.nominating:
                self._triggered.appendleft(pair)
            else:
                self._triggered.append(pair)

    def nominates_next(self) -> bool:
        """Whether what `next_pair` would give is a nomination."""
        return bool(self._triggered) and self._triggered[0].nominating and self._is_due(self._triggered[0])

    def next_pair(self) -> CandidatePair | None:
        """Takes the pair to check now (RFC 8445 section 6.1.4.2): triggered ones first, then the best that waits."""
        while self._triggered:
            pair = self._triggered.popleft()
            if self._is_due(pair):
                return pair
        return self._best_waiting()

    def has_next(self) -> bool:
        """Whether `next_pair` would give one."""
        return any(self._is_due(pair) for pair in self._triggered) or self._best_waiting() is not None

    def count(self, *states: PairState) -> int:
        return sum(pair.state in states for pair in self._pairs.values())

    def valid(self) -> list[CandidatePair]:
        """Pairs whose check has succeeded, best first."""
        return [pair for pair in self if pair.state is PairState.SUCCEEDED]

    def conclude(self) -> list[CandidatePair]:
        """Ends all checks: removes pairs not checked yet, and returns those in progress (RFC 8445 section 8.1.2)."""
        self._triggered.clear()
        self._pairs = {
            key: pair for key, pair in self._pairs.items() if pair.state not in (PairState.FROZEN, PairState.WAITING)
        }
        return [pair for pair in self._pairs.values() if pair.state is PairState.IN_PROGRESS]

    def remove_flow(self, flow: FlowId) -> list[CandidatePair]:
        """Forgets the pairs of a flow that is gone, and returns them."""
        gone = [pair for (of, _), pair in self._pairs.items() if of == flow]
        self._pairs = {key: pair for key, pair in self._pairs.items() if key[0] != flow}
        self._triggered = deque(pair for pair in self._triggered if pair.local.flow != flow)
        return gone

    def set_role(self, controlling: bool) -> None:
        """Computes all priorities anew (RFC 8445 section 7.3.1.1)."""
        self._controlling = controlling
        for pair in self._pairs.values():
            pair.set_role(controlling)

    def _is_due(self, pair: CandidatePair) -> bool:
        if self._pairs.get((pair.local.flow, pair.remote.address)) is not pair:
            return False
        return pair.state is PairState.WAITING or (pair.state is PairState.SUCCEEDED and pair.nominating)

    def _best_waiting(self) -> CandidatePair | None:
        waiting = [pair for pair in self._pairs.values() if pair.state is PairState.WAITING]
        if not waiting:
            # Section 6.1.4.2: a Frozen pair whose foundation has none Waiting or In-Progress becomes Waiting.
            busy = {pair.foundation for pair in self._pairs.values() if pair.state is PairState.IN_PROGRESS}
            waiting = [
                pair for pair in self._pairs.values() if pair.state is PairState.FROZEN and pair.foundation not in busy
            ]
        return max(waiting, key=lambda pair: (pair.priority, -pair.serial)) if waiting else None

    def _make_room(self, newcomer: CandidatePair) -> bool:
        spare = [
            pair
            for pair in self._pairs.values()
            if pair.state in (PairState.FROZEN, PairState.WAITING, PairState.FAILED) and pair not in self._triggered
        ]
        worst = min(spare, key=lambda pair: (pair.priority, -pair.serial), default=None)
        if worst is None or worst.priority >= newcomer.priority:
            return False
        del self._pairs[(worst.local.flow, worst.remote.address)]
        self.dropped += 1
        return True
