"""How long an ICE session waits, and for what."""

from enum import Enum

__all__ = ["CHECKING_LIMIT", "KEEPALIVE", "NOMINATION_TA", "NOMINATION_WAIT", "PATIENCE", "TA", "Timer"]

TA = 0.05
"""Seconds between the starts of two transactions (RFC 8445 section 14.2)."""

NOMINATION_TA = 0.005  # from a check to a nomination, the least that there is: the mapping that pacing is for exists

PATIENCE = 39.5
"""Seconds to wait for checks of the peer even if all of ours have failed (RFC 8863 section 4)."""

CHECKING_LIMIT = 120.0
"""Seconds after which checks end in failure whatever is still open: RTO grows with the number of pairs, 100 of them
would take over 6 minutes."""

NOMINATION_WAIT = 0.3
"""Seconds that the controlling side waits, once it has a valid pair, for one of higher priority."""

KEEPALIVE = 15.0
"""Tr: seconds between keepalives of an agent that makes no consent checks (RFC 8445 section 11)."""


class Timer(Enum):
    """PACE: the next check may start (Ta). NOMINATE: no more waiting for a better pair. PATIENCE, LIMIT: checks may,
    must end. KEEPALIVE: of a lite agent."""

    PACE = "pace"
    NOMINATE = "nominate"
    PATIENCE = "patience"
    LIMIT = "limit"
    KEEPALIVE = "keepalive"
