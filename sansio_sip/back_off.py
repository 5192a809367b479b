"""How long to wait before a flow is tried again (RFC 5626 section 4.5)."""

from sansio_sip.context import Context

__all__ = ["HURRIED_PAUSE", "BackOff"]

HURRIED_PAUSE = 1.5
"""Seconds. Where a call waits, it should go on within 5 s of the server's return: one turn, one pause, REGISTER and
re-INVITE."""


class BackOff:
    """Pauses that grow.

    Args:
        base, longest: seconds, base-time and max-time of RFC 5626.

    Attributes:
        failures: rounds that have failed in a row, or flows that did not last.
        hurried: a call waits, so pauses stay short.
    """

    def __init__(self, context: Context, base: float, longest: float) -> None:
        self._context = context
        self._base, self._longest = base, longest
        self.failures = 0
        self.hurried = False

    def pause(self) -> float:
        """Seconds to wait after another failure."""
        longest = min(self._longest, HURRIED_PAUSE) if self.hurried else self._longest
        upper = min(longest, self._base * 2.0 ** min(self.failures, 10))
        self.failures += 1
        return self._some_of(upper)

    def short_pause(self) -> float:
        """Seconds to wait in all, where a pause is under way and a call begins to wait."""
        return self._some_of(HURRIED_PAUSE)

    def _some_of(self, upper: float) -> float:
        # "a uniform random distribution between 50% and 100% of the upper-bound time".
        return upper * (0.5 + 0.5 * self._context.entropy.fraction("reconnect"))
