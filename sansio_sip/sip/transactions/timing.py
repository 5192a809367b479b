"""The timers of RFC 3261 section 17 and RFC 6026, and their values (RFC 3261 table 4)."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["RFC_TIMING", "Timer", "Timing"]


class Timer(Enum):
    """Names as in the RFC; the last three have none there."""

    A = "INVITE request is sent again, unreliable transports only"
    B = "INVITE client has waited long enough for a response"
    D = "INVITE client waits for more copies of a failure"
    E = "non-INVITE request is sent again, unreliable transports only"
    F = "non-INVITE client has waited long enough for a final response"
    G = "failure to INVITE is sent again, unreliable transports only"
    H = "INVITE server has waited long enough for the ACK"
    I = "INVITE server waits for more copies of the ACK"  # noqa: E741  (the RFC's name)
    J = "non-INVITE server waits for more copies of the request"
    K = "non-INVITE client waits for more copies of the response"
    L = "INVITE server waits for more copies of an accepted request"
    M = "INVITE client waits for more 2xx, from other branches or again"
    TRYING = "INVITE server says 100 because its user has said nothing yet"
    CANCELLED = "INVITE client has waited long enough for the end of what it cancelled"
    ABANDONED = "non-INVITE server has waited for its user longer than any client waits for it"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. T1: estimate of the round-trip time; T2: longest interval between copies; T4: longest life of a
    message in the network."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def timeout(self) -> float:
        """64*T1: timers B, F, H, J, L and M."""
        return 64 * self.t1

    @property
    def d(self) -> float:
        """Timer D on unreliable transports: "at least 32 seconds" (RFC 3261 section 17.1.1.2)."""
        return max(32.0, self.timeout)

    @property
    def trying(self) -> float:
        """RFC 3261 section 17.2.1: "within 200 ms"."""
        return 0.2


RFC_TIMING = Timing()
