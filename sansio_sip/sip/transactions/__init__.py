"""Transactions of SIP: see `layer`."""

from .layer import LayerCounters, TransactionLayer
from .outputs import (
    Acknowledged,
    Failed,
    FailureReason,
    LayerOutput,
    RequestReceived,
    ResponseReceived,
    SendMessage,
    StrayResponse,
    Terminated,
    TransactionId,
)
from .timing import RFC_TIMING, Timing

__all__ = [
    "RFC_TIMING",
    "Acknowledged",
    "Failed",
    "FailureReason",
    "LayerCounters",
    "LayerOutput",
    "RequestReceived",
    "ResponseReceived",
    "SendMessage",
    "StrayResponse",
    "Terminated",
    "Timing",
    "TransactionId",
    "TransactionLayer",
]
