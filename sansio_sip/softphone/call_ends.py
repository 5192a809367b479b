"""How the calls of a phone end.

Each call ends in exactly one of CallTerminated (it was answered), IncomingCallCanceled (the caller gave up) or
CallFailed (anything else); after that its session is closed and its row is gone.
"""

from sansio_sip.sip.call_events import CallEnd, EndKind

from . import events
from .call import Call
from .call_info import CallDirection, CallState, HangupInfo
from .call_keys import InfoKeys
from .call_media import CallMedia
from .call_table import CallTable, unless_over
from .call_transfer import Transfers
from .media_plane import MediaPlane

__all__ = ["CallEnds"]


class CallEnds:
    """Ends calls, and says so. Whoever has one ended drains the engine afterwards."""

    def __init__(
        self, table: CallTable, engine: MediaPlane, media: CallMedia, transfers: Transfers, keys: InfoKeys
    ) -> None:
        self._table = table
        self._engine = engine
        self._media = media
        self._transfers = transfers
        self._keys = keys

    def hang_up(self, call: Call, *, now: float) -> None:
        """Ends a call by CANCEL, 480 or BYE, whichever its state asks for."""
        if call.sip is None:
            # The INVITE has not left: there is nobody to tell.
            self.end(call, CallEnd(EndKind.CANCELED, "local", 487, "Canceled"), now=now)
            return
        with unless_over:
            self._table.user_agent(call).hangup(call.sip, now=now)
        self._table.touched(call)

    def fail(self, call: Call, cause: str, *, now: float) -> None:
        """Ends a call for a reason of our own."""
        if not call.ended:
            call.failure = cause
            self.hang_up(call, now=now)

    def end(self, call: Call, end: CallEnd, *, now: float) -> None:
        """A call is over: its one end is told, its session closed, its row forgotten."""
        if call.ended:
            return
        answered = call.state is CallState.ANSWERED
        self._transfers.ended(call, end, now=now)
        call.finish(end)
        if call.failure and not answered:
            call.state = CallState.FAILED
        self._table.remove(call)
        if answered:
            hangup_info = HangupInfo(originator=call.originator, reason=call.failure or end.cause)
            statistics = self._engine.statistics(call.session) if call.session is not None else None
            self._table.put(events.CallTerminated(call.account, call.info, hangup_info, statistics))
        elif call.direction is CallDirection.INCOMING and end.how is EndKind.CANCELED and end.by == "remote":
            self._table.put(events.IncomingCallCanceled(call.account, call.info))
        else:
            self._table.put(events.CallFailed(call.account, call.info, call.failure or end.cause))
        self._media.close(call, now=now)
        self._keys.ended(call.uuid)
