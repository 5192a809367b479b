"""What a transaction user (RFC 3261 section 5: registration, session) asks of the user agent that owns it."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from .call_events import HeaderRows
from .message import Request, Response
from .transactions.outputs import TransactionId

__all__ = ["CancelRequest", "Part", "SendAck", "SendRequest", "SendResponse", "UserRequest"]


class Part(Enum):
    """Those of the transaction users that are no call."""

    REGISTRATION = "registration"
    STANDALONE = "standalone"


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Begin a client transaction. The request has no Via yet. `key` names it in what is reported of it."""

    key: int
    request: Request


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Cancel the INVITE sent as `key` (RFC 3261 section 9.1)."""

    key: int
    headers: HeaderRows = ()


@dataclass(frozen=True, slots=True)
class SendAck:
    """Send the ACK to a 2xx, outside of any transaction. `branch` is its own, so that a copy is the same ACK."""

    request: Request
    branch: str


@dataclass(frozen=True, slots=True)
class SendResponse:
    """Respond in a server transaction."""

    transaction: TransactionId
    response: Response


UserRequest: TypeAlias = SendRequest | CancelRequest | SendAck | SendResponse
