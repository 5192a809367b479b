"""Authenticated checks of a peer that came before its description (RFC 8445 section 7.3).

An offer that forks has several answers, and a peer for each. Whose answer is not there yet waits here.
"""

from collections import Counter
from dataclasses import dataclass

from sansio_sip.effects import Address, FlowId

__all__ = ["MAX_EARLY_CHECKS", "EarlyCheck", "EarlyChecks"]

MAX_EARLY_CHECKS = 32
"""Distinct (flow, source) kept. Our password is needed to be kept at all, but a fork may bring several peers."""


@dataclass(frozen=True, slots=True)
class EarlyCheck:
    """What a check said."""

    flow: FlowId
    source: Address
    remote_ufrag: str
    priority: int
    use_candidate: bool


class EarlyChecks:
    """The latest check of each source; a nomination among them is not forgotten."""

    __slots__ = ("_checks", "_counters")

    def __init__(self, counters: Counter[str]) -> None:
        self._checks: dict[tuple[FlowId, Address, str], EarlyCheck] = {}
        self._counters = counters

    def keep(self, check: EarlyCheck) -> None:
        key = (check.flow, check.source, check.remote_ufrag)
        known = self._checks.get(key)
        if known is None and len(self._checks) >= MAX_EARLY_CHECKS:
            self._counters["early check limit"] += 1
        elif known is None or not known.use_candidate:
            self._checks[key] = check

    def take(self, remote_ufrag: str) -> list[EarlyCheck]:
        """Those of the peer whose description has come; the others stay for theirs."""
        kept = [check for check in self._checks.values() if check.remote_ufrag == remote_ufrag]
        for check in kept:
            del self._checks[check.flow, check.source, check.remote_ufrag]
        return kept
