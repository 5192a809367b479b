"""What a signalling connection may be doing, and what may follow what (see `connection`)."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = ["TRANSITIONS", "ConnectionState", "Timer"]


class ConnectionState(Enum):
    """What the flow is doing.

            +------------------------- close() from any state ---------------------------+
            v                                                                            |
    IDLE --connect()--> RESOLVING --resolved--> OPENING --flow_opened--> UPGRADING --Opened--> OPEN
            |              ^  (a name)             ^  |  (a WebSocket)                           |
            +--------------|---(an IP address)-----+  +------- flow_opened (TCP, TLS, UDP) ---->-+
                           |                       |  next address, next server; fail_over       |
                           +--------- WAITING -----+                                             |
                    the pause is over   ^  ^---------- all servers have failed                   |
                                        +------------------------------------------ lost --------+
    """

    IDLE = "idle"
    RESOLVING = "resolving"
    OPENING = "opening"
    UPGRADING = "upgrading"
    OPEN = "open"
    WAITING = "waiting"


_TRYING = frozenset({ConnectionState.RESOLVING, ConnectionState.OPENING})
_GIVEN_UP = frozenset({ConnectionState.WAITING, ConnectionState.IDLE})

TRANSITIONS: Mapping[ConnectionState, frozenset[ConnectionState]] = MappingProxyType(
    {
        # To WAITING at once where no address of any server can be used.
        ConnectionState.IDLE: _TRYING | {ConnectionState.WAITING},
        ConnectionState.RESOLVING: _TRYING | _GIVEN_UP,
        ConnectionState.OPENING: _TRYING | _GIVEN_UP | {ConnectionState.UPGRADING, ConnectionState.OPEN},
        ConnectionState.UPGRADING: _TRYING | _GIVEN_UP | {ConnectionState.OPEN},
        ConnectionState.OPEN: _TRYING | _GIVEN_UP,
        ConnectionState.WAITING: _TRYING | _GIVEN_UP,
    }
)


class Timer(Enum):
    ATTEMPT = "attempt"  # one address
    KEEPALIVE = "keepalive"
    PONG = "pong"
    RETRY = "retry"  # the pause
    TURN = "turn"  # one server
