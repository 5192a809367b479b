"""Our own candidates: foundations, preferences, and the flows they stand for (RFC 8445 section 5.1)."""

from collections.abc import Iterator

from sansio_sip.effects import Address, FlowId

from .candidate import Candidate, CandidateType, LocalCandidate, candidate_priority

__all__ = ["MAX_LOCAL_CANDIDATES", "LocalCandidates"]

MAX_LOCAL_CANDIDATES = 64
"""More than the addresses of one host; a peer that makes up mapped addresses ends here."""

_HIGHEST_PREFERENCE = 65535

_STREAMED = 0x8000
"""By how much a relay reached by a stream is less preferred: there one lost segment holds up all that follow."""


class LocalCandidates:
    """Candidates in the order added; of one type, the earlier is preferred.

    Those that are retired stay for the pairs that they are in: they are neither told nor paired any more.
    """

    __slots__ = ("_candidates", "_foundations", "_retired")

    def __init__(self) -> None:
        self._candidates: list[LocalCandidate] = []
        self._foundations: dict[tuple[CandidateType, str, bool], str] = {}
        self._retired: set[FlowId] = set()

    def __iter__(self) -> Iterator[LocalCandidate]:
        return iter(self._candidates)

    def copy(self) -> "LocalCandidates":
        """The same candidates, to go on by themselves."""
        other = LocalCandidates()
        other._candidates, other._foundations = list(self._candidates), dict(self._foundations)
        other._retired = set(self._retired)
        return other

    @property
    def is_full(self) -> bool:
        return len(self._candidates) >= MAX_LOCAL_CANDIDATES

    def bases(self) -> list[LocalCandidate]:
        """Those that pairs are formed with."""
        return [local for local in self._candidates if local.is_base and local.flow not in self._retired]

    def base_of(self, flow: FlowId) -> LocalCandidate | None:
        return next((local for local in self._candidates if local.flow == flow and local.is_base), None)

    def find(self, flow: FlowId, address: Address) -> LocalCandidate | None:
        return next(
            (local for local in self._candidates if local.flow == flow and local.candidate.address == address), None
        )

    def add(
        self, kind: CandidateType, flow: FlowId, address: Address, base: Address | None, *, streamed: bool = False
    ) -> LocalCandidate:
        """A candidate to be signalled. `base` goes into `raddr` and `rport` of all but host candidates."""
        preference = _HIGHEST_PREFERENCE - sum(local.candidate.kind is kind for local in self._candidates)
        preference -= _STREAMED * streamed
        # The base of a host or relayed candidate is itself (section 5.1.1.4).
        own_base = address if base is None or kind is CandidateType.RELAYED else base
        related = None if kind is CandidateType.HOST else base
        return self._put(kind, flow, address, own_base, preference, related, streamed=streamed)

    def reflexive(self, base: LocalCandidate, mapped: Address | None) -> LocalCandidate:
        """The local side of a valid pair: the candidate with the address that the peer saw, a new peer-reflexive one
        if there is none (RFC 8445 sections 7.2.5.3.1 and 7.2.5.3.2)."""
        if mapped is None or mapped == base.candidate.address:
            return base
        known = self.find(base.flow, mapped)
        if known is not None or self.is_full:
            return known or base
        kind = CandidateType.PEER_REFLEXIVE
        return self._put(kind, base.flow, mapped, base.base, base.local_preference, base.base)

    def retire(self) -> None:
        """Retires all that there are."""
        self._retired.update(local.flow for local in self._candidates)

    def remove_flow(self, flow: FlowId) -> None:
        self._retired.discard(flow)
        self._candidates = [local for local in self._candidates if local.flow != flow]

    def lines(self) -> tuple[str, ...]:
        """Values of `a=candidate:` lines, best first. Peer-reflexive candidates are not signalled."""
        told = [
            local.candidate
            for local in self._candidates
            if local.candidate.kind is not CandidateType.PEER_REFLEXIVE and local.flow not in self._retired
        ]
        return tuple(str(candidate) for candidate in sorted(told, key=lambda candidate: -candidate.priority))

    def _put(
        self,
        kind: CandidateType,
        flow: FlowId,
        address: Address,
        base: Address,
        preference: int,
        related: Address | None,
        *,
        streamed: bool = False,
    ) -> LocalCandidate:
        # Section 5.1.1.3: the same for candidates of one type whose bases have the same IP address, and whose servers
        # are reached by the same protocol.
        foundation = self._foundations.setdefault((kind, base.host, streamed), str(len(self._foundations) + 1))
        priority = candidate_priority(kind, preference)
        local = LocalCandidate(
            Candidate(foundation, 1, "udp", priority, address, kind, related), flow, base, preference
        )
        self._candidates.append(local)
        return local
