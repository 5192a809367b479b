"""The states of a call, as data (see `invite_session`)."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = ["ENDED_STATES", "MAX_BRANCHES", "TRANSITIONS", "SessionState"]

MAX_BRANCHES = 16
"""Early dialogs of one call, and callees that answer it. A forking proxy has a branch for each device of a person;
a peer that invents tags gets no further."""


class SessionState(Enum):
    """RFC 3261 sections 13 to 15; the left half is the caller's, the right half the callee's::

    place()                                      INVITE
       v                                            v
    CALLING ---1xx---> PROCEEDING                RINGING ---answer()---> ANSWERED
       |  |              |  |                       |                     |    |
       |  +--hangup()----+  | 2xx                   | reject(), CANCEL,   |    | hangup(),
       |       v            v                       | BYE                 |    | no ACK
       |   CANCELING   CONFIRMED <------ACK---------|---------------------+    |
       |       |  |         |  | hangup(), 481, 408 |                          |
       |       |  |2xx      |  +-------> LEAVING <--|--------------------------+
       |       |  +---------|-------------^  |      |
       |       |            | BYE            | answer to our BYE; peer's BYE; time
       +-------+------------+----> TERMINATED <-----+
    failure
    """

    CALLING = "calling"
    PROCEEDING = "proceeding"
    CANCELING = "canceling"
    RINGING = "ringing"
    ANSWERED = "answered, not confirmed"
    CONFIRMED = "confirmed"
    LEAVING = "leaving"
    TERMINATED = "ended"


_S = SessionState

TRANSITIONS: Mapping[SessionState, frozenset[SessionState]] = MappingProxyType(
    {
        _S.CALLING: frozenset({_S.PROCEEDING, _S.CANCELING, _S.CONFIRMED, _S.TERMINATED}),
        _S.PROCEEDING: frozenset({_S.CALLING, _S.CANCELING, _S.CONFIRMED, _S.TERMINATED}),
        _S.CANCELING: frozenset({_S.LEAVING, _S.TERMINATED}),
        _S.RINGING: frozenset({_S.ANSWERED, _S.TERMINATED}),
        _S.ANSWERED: frozenset({_S.CONFIRMED, _S.LEAVING, _S.TERMINATED}),
        _S.CONFIRMED: frozenset({_S.LEAVING, _S.TERMINATED}),
        _S.LEAVING: frozenset({_S.TERMINATED}),
        _S.TERMINATED: frozenset(),
    }
)

ENDED_STATES = frozenset({_S.CANCELING, _S.LEAVING, _S.TERMINATED})
"""Those in which `CallEnded` has been said."""
