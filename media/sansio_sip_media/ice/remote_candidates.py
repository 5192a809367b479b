"""The peer's candidates: those it told, and those found by its checks."""

from collections import Counter

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError

from . import stun
from .candidate import Candidate, CandidateType

__all__ = ["MAX_REMOTE_CANDIDATES", "RemoteCandidates"]

MAX_REMOTE_CANDIDATES = 100
"""More than any host has addresses; beyond, a peer only wants to make us work."""


class RemoteCandidates:
    """Candidates by address. What is passed over is counted by cause in `counters`."""

    __slots__ = ("_by_address", "_counters")

    def __init__(self, counters: Counter[str]) -> None:
        self._by_address: dict[Address, Candidate] = {}
        self._counters = counters

    def __len__(self) -> int:
        return len(self._by_address)

    def all(self) -> tuple[Candidate, ...]:
        return tuple(self._by_address.values())

    def admit(self, text: str) -> Candidate | None:
        """Takes the value of an `a=candidate:` line; None if it is of no use or known already.

        One that a check of the peer has found before takes the place of the peer-reflexive one (RFC 8838 section 11).
        """
        try:
            candidate = Candidate.parse(text)
        except ParseError:
            self._counters["bad candidate"] += 1
            return None
        address = stun.canonical_address(candidate.address)
        if candidate.transport != "udp":
            self._counters["TCP candidate"] += 1
        elif candidate.component != 1:
            self._counters["other component"] += 1
        elif address is None:
            # RFC 8839 section 5.1 lets an agent ignore names; `.local` ones are browsers that hide their addresses,
            # and are found by the checks that they send.
            name = candidate.address.host.lower().rstrip(".")
            self._counters["mDNS candidate" if name.endswith(".local") else "named candidate"] += 1
        elif not stun.is_unicast(address):
            self._counters["bad candidate"] += 1
        else:
            known = self._by_address.get(address)
            if known is None and len(self._by_address) >= MAX_REMOTE_CANDIDATES:
                self._counters["remote candidate limit"] += 1
            elif known is None or known.kind is CandidateType.PEER_REFLEXIVE:
                self._by_address[address] = candidate.at(address)
                return self._by_address[address]
        return None

    def learn(self, source: Address, priority: int) -> Candidate | None:
        """The candidate at `source`, a new peer-reflexive one if need be; None when there are too many.

        RFC 8445 section 7.3.1.3: its priority is that of the PRIORITY attribute; its foundation is an arbitrary value,
        different from those of all other remote candidates.
        """
        known = self._by_address.get(source)
        if known is not None:
            return known
        if len(self._by_address) >= MAX_REMOTE_CANDIDATES:
            self._counters["remote candidate limit"] += 1
            return None
        taken = {candidate.foundation for candidate in self._by_address.values()}
        serial = len(taken)
        while f"prflx{serial}" in taken:
            serial += 1
        candidate = Candidate(f"prflx{serial}", 1, "udp", priority, source, CandidateType.PEER_REFLEXIVE)
        self._by_address[source] = candidate
        return candidate
