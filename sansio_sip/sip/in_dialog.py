"""Requests within a call that are answered at once, whatever the call does."""

from . import call_events as events
from .message import Request
from .screening import content_headers
from .transactions.outputs import TransactionId
from .wire import Wire

__all__ = ["answer_at_once"]


def answer_at_once(wire: Wire, transaction: TransactionId, request: Request) -> None:
    """Answers INFO, MESSAGE, OPTIONS and SUBSCRIBE; 481 to what belongs to a usage that we do not have."""
    match request.method:
        case "INFO" | "MESSAGE":
            _take_content(wire, transaction, request)
        case "OPTIONS":
            wire.respond(transaction, request, 200, wire.identity.options())
        case "SUBSCRIBE":
            # RFC 6665 section 4.2.1: "If the event package is not understood, the notifier MUST return a 489".
            wire.respond(transaction, request, 489, (("Allow-Events", "refer"),))
        case _:
            wire.respond(transaction, request, 481)


def _take_content(wire: Wire, transaction: TransactionId, request: Request) -> None:
    media_type = request.content_type
    if media_type is None and request.body:
        wire.respond(transaction, request, 415, content_headers(415))
        return
    wire.respond(transaction, request, 200)
    essence = media_type.essence if media_type is not None else ""
    if request.method == "INFO":
        wire.put(events.InfoReceived(wire.call, essence, request.body))
    else:
        wire.put(events.MessageReceived(wire.call, request.from_, essence, request.body))
