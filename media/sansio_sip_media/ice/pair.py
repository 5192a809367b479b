"""A candidate pair and the states of its connectivity check (RFC 8445 sections 6.1.2.3 and 6.1.2.6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .candidate import Candidate, LocalCandidate

__all__ = ["TRANSITIONS", "CandidatePair", "PairInput", "PairState", "pair_priority"]


class PairState(Enum):
    """Where the check of a pair stands.

              unfrozen           started               answered
    FROZEN ------------> WAITING ----------> IN_PROGRESS ----------> SUCCEEDED
       |                 ^ ^   ^              |      |                   |
       |    triggered    | |   |  triggered   |      | failed            | failed (nomination, consent)
       +-----------------+ |   +--------------+      v                   |
                           +---------------------- FAILED <--------------+
                                 triggered
    """

    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class PairInput(Enum):
    """What may happen to the check of a pair."""

    UNFROZEN = "unfrozen"
    STARTED = "started"
    TRIGGERED = "triggered"
    ANSWERED = "answered"
    FAILED = "failed"


TRANSITIONS: Mapping[tuple[PairState, PairInput], PairState] = {
    (PairState.FROZEN, PairInput.UNFROZEN): PairState.WAITING,
    (PairState.FROZEN, PairInput.TRIGGERED): PairState.WAITING,
    (PairState.WAITING, PairInput.STARTED): PairState.IN_PROGRESS,
    (PairState.WAITING, PairInput.TRIGGERED): PairState.WAITING,
    (PairState.IN_PROGRESS, PairInput.TRIGGERED): PairState.WAITING,
    (PairState.IN_PROGRESS, PairInput.ANSWERED): PairState.SUCCEEDED,
    (PairState.IN_PROGRESS, PairInput.FAILED): PairState.FAILED,
    (PairState.FAILED, PairInput.TRIGGERED): PairState.WAITING,
    (PairState.SUCCEEDED, PairInput.FAILED): PairState.FAILED,
    # The answer to a check whose retransmissions were stopped by a triggered one (section 7.3.1.4) still counts.
    (PairState.WAITING, PairInput.ANSWERED): PairState.SUCCEEDED,
    (PairState.FAILED, PairInput.ANSWERED): PairState.SUCCEEDED,
}
"""What is not in the table changes nothing."""


def pair_priority(controlling: int, controlled: int) -> int:
    """Priority of a pair from those of the two agents' candidates (RFC 8445 section 6.1.2.3)."""
    return (min(controlling, controlled) << 32) + 2 * max(controlling, controlled) + (controlling > controlled)


@dataclass(slots=True, eq=False)
class CandidatePair:
    """A local base and a remote candidate.

    Attributes:
        serial: rank among pairs, breaks ties of priority.
        valid_local: the local candidate that the peer saw (RFC 8445 section 7.2.5.3.2), once the check succeeded.
        nominating: our check with USE-CANDIDATE is queued or under way.
        remote_nominated: the controlling peer sent USE-CANDIDATE on it.
        heard_at: when an authenticated request last came in on it.
        priority: pair priority in our present role.
    """

    serial: int
    local: LocalCandidate
    remote: Candidate
    state: PairState = PairState.FROZEN
    valid_local: LocalCandidate | None = None
    nominating: bool = False
    remote_nominated: bool = False
    heard_at: float | None = None
    priority: int = field(default=0)

    def apply(self, happened: PairInput) -> None:
        self.state = TRANSITIONS.get((self.state, happened), self.state)

    @property
    def foundation(self) -> tuple[str, str]:
        return (self.local.candidate.foundation, self.remote.foundation)

    @property
    def is_open(self) -> bool:
        """Whether its check may still succeed."""
        return self.state in (PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS)

    def set_role(self, controlling: bool) -> None:
        """Computes the priority; once valid, that of the valid pair (its local side may be reflexive)."""
        ours = (self.valid_local or self.local).candidate.priority
        theirs = self.remote.priority
        self.priority = pair_priority(ours, theirs) if controlling else pair_priority(theirs, ours)
