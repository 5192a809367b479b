"""How far a media session has come.

    OPENING --sockets open--> READY --offer and answer--> CONNECTING --Connected--> FLOWING <--> INTERRUPTED
       |                                                       |
       +-- none could be opened --> FAILED <--- no way found --+

Any may be closed: it is CLOSED then, or LEFT for as long as forks of the session use its sockets.
"""

from enum import Enum

__all__ = ["OVER", "State"]


class State(Enum):
    """See the module."""

    OPENING = "opening"
    READY = "ready"
    CONNECTING = "connecting"
    FLOWING = "flowing"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    LEFT = "left"
    CLOSED = "closed"


# There is nothing more to be heard or said.
OVER = (State.FAILED, State.LEFT, State.CLOSED)
