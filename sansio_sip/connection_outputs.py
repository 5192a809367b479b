"""What a signalling connection says, effects aside (see `connection`)."""

from dataclasses import dataclass
from typing import TypeAlias

from .effects import CloseFlow, OpenDatagram, OpenStream, Resolve, SendDatagram, SendStream
from .sip.transport import Hop

__all__ = ["ConnectionFailed", "ConnectionLost", "ConnectionOpened", "ConnectionOutput", "MessageArrived"]


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """Messages may be sent. `hop`: the far address (None peer to peer), our own, and the flow."""

    hop: Hop


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """A flow that was open is gone.

    Attributes:
        code: the WebSocket close code (RFC 6455 section 7.4.1); 1006 where the flow broke, 1000 after `close`.
        reason: for people.
        retry_in: seconds to the next attempt; None after `close`.
    """

    code: int
    reason: str
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """A server could not be reached. `retry_in`: seconds to the next attempt, 0 where the next server has its turn."""

    reason: str
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """Octets of one message, not parsed yet; keepalives are not among them. `hop.address`: where it came from."""

    data: bytes
    hop: Hop


ConnectionOutput: TypeAlias = (
    OpenStream
    | OpenDatagram
    | SendStream
    | SendDatagram
    | CloseFlow
    | Resolve
    | ConnectionOpened
    | ConnectionLost
    | ConnectionFailed
    | MessageArrived
)
