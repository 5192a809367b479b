"""What transactions say: each to the layer, and the layer to its user."""

from dataclasses import dataclass
from enum import Enum
from typing import NewType, TypeAlias

from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.transport import Hop

__all__ = [
    "Acknowledged",
    "Ended",
    "Failed",
    "FailureReason",
    "GivenUp",
    "LayerOutput",
    "PassedUp",
    "RequestReceived",
    "ResponseReceived",
    "SendMessage",
    "StrayResponse",
    "Terminated",
    "TransactionId",
    "TransactionOutput",
]

TransactionId = NewType("TransactionId", int)
"""Names a transaction of one layer, for ever: no number is used twice."""


class FailureReason(Enum):
    TIMEOUT = "timeout"
    TRANSPORT = "transport"


# Of one transaction, and of the layer


@dataclass(frozen=True, slots=True)
class SendMessage:
    """To be put on the wire."""

    message: Request | Response
    hop: Hop


# Of one transaction


@dataclass(frozen=True, slots=True)
class PassedUp:
    """A message that the transaction's user must see."""

    message: Message


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The transaction will not get what it waits for. `Ended` follows."""

    reason: FailureReason


@dataclass(frozen=True, slots=True)
class Ended:
    """The transaction is in its last state, and waits for nothing."""


TransactionOutput: TypeAlias = SendMessage | PassedUp | GivenUp | Ended


# Of the layer


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A request that belongs to no transaction yet, the source noted in its top Via.

    `transaction` is the server transaction made for it, to be given to `respond`; None for an ACK, which is never
    responded to: one for a 2xx, or one that nobody waits for.
    """

    transaction: TransactionId | None
    request: Request
    hop: Hop


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response that the user must see: all provisional ones, one final one; to INVITE each copy of each 2xx."""

    transaction: TransactionId
    response: Response
    hop: Hop


@dataclass(frozen=True, slots=True)
class StrayResponse:
    """A response to no transaction that is alive."""

    response: Response
    hop: Hop


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The ACK to a failure response to INVITE has come (or, from an old client, one to a 2xx on the same branch)."""

    transaction: TransactionId
    ack: Request


@dataclass(frozen=True, slots=True)
class Failed:
    """A client transaction that gets no final response, or a server transaction whose response got no ACK or has no
    way back any more. `Terminated` follows."""

    transaction: TransactionId
    reason: FailureReason


@dataclass(frozen=True, slots=True)
class Terminated:
    """The transaction is gone; its last output."""

    transaction: TransactionId


LayerOutput: TypeAlias = (
    SendMessage | RequestReceived | ResponseReceived | StrayResponse | Acknowledged | Failed | Terminated
)
