"""One generation of an ICE session: the credentials of both sides and all that was found with them.

A restart (RFC 8445 section 9) opens a new generation; the old one carries media until the new one has a pair.
"""

from dataclasses import dataclass, field

from sansio_sip.effects import Address, FlowId

from .candidate import Candidate, CandidateType
from .check_list import CheckList
from .consent import Consent
from .pair import CandidatePair, PairState

__all__ = ["MAX_EARLY_CHECKS", "MAX_REMOTE_CANDIDATES", "EarlyCheck", "Generation"]

MAX_REMOTE_CANDIDATES = 100
"""More than any host has addresses; beyond, a peer only wants to make us work."""

MAX_EARLY_CHECKS = 32
"""Distinct sources of checks kept until the peer's description comes."""


@dataclass(slots=True)
class EarlyCheck:
    """An authenticated check that came before the peer's description."""

    remote_ufrag: str
    priority: int
    use_candidate: bool


@dataclass(slots=True, eq=False)
class Generation:
    """State of one generation. `remote_pwd` is empty until the peer's description was taken.

    Attributes:
        early: checks to act on once the description is there, by (flow, source).
        awaiting_more: the peer trickles and has not said end-of-candidates.
        selected: the nominated pair.
        consent: watches the selected pair, before that the best valid one.
        quiet: failed; nothing is sent or answered any more.
        started_at: when checks began.
    """

    number: int
    local_ufrag: str
    local_pwd: str
    checks: CheckList
    remote_ufrag: str = ""
    remote_pwd: str = ""
    remote_lite: bool = False
    remote_candidates: dict[Address, Candidate] = field(default_factory=dict)
    early: dict[tuple[FlowId, Address], EarlyCheck] = field(default_factory=dict)
    awaiting_more: bool = False
    selected: CandidatePair | None = None
    consent: Consent | None = None
    quiet: bool = False
    started_at: float = 0.0
    first_valid_at: float | None = None

    @property
    def is_started(self) -> bool:
        return self.remote_pwd != ""

    @property
    def local_key(self) -> bytes:
        """Key of what the peer signs towards us and we sign in answers (RFC 8445 section 7.2.2)."""
        return self.local_pwd.encode()

    @property
    def remote_key(self) -> bytes:
        """Key of our requests and of the answers to them."""
        return self.remote_pwd.encode()

    def accepts(self, username: str) -> bool:
        """Whether a USERNAME is meant for this generation: `ours:theirs`; theirs counts once it is known."""
        ours, colon, theirs = username.partition(":")
        return colon == ":" and ours == self.local_ufrag and (not self.is_started or theirs == self.remote_ufrag)

    def learn(self, source: Address, priority: int) -> Candidate | None:
        """The remote candidate at `source`, a new peer-reflexive one if need be; None when there are too many.

        RFC 8445 section 7.3.1.3: its priority is that of the PRIORITY attribute; its foundation is an arbitrary value,
        different from those of all other remote candidates.
        """
        known = self.remote_candidates.get(source)
        if known is not None:
            return known
        if len(self.remote_candidates) >= MAX_REMOTE_CANDIDATES:
            return None
        taken = {candidate.foundation for candidate in self.remote_candidates.values()}
        serial = len(self.remote_candidates)
        while f"prflx{serial}" in taken:
            serial += 1
        candidate = Candidate(f"prflx{serial}", 1, "udp", priority, source, CandidateType.PEER_REFLEXIVE)
        self.remote_candidates[source] = candidate
        return candidate

    def best_valid(self) -> CandidatePair | None:
        valid = self.checks.valid()
        return valid[0] if valid else None

    def has_open_better_than(self, pair: CandidatePair) -> bool:
        return any(other.is_open and other.priority > pair.priority for other in self.checks)

    def load(self) -> int:
        """Pairs that are or will be checked: the N of RTO = MAX(500 ms, Ta * N) (RFC 8445 section 14.3)."""
        return self.checks.count(PairState.WAITING, PairState.IN_PROGRESS)
