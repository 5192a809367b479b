"""Calls whose media has lost its way while nothing has moved: a NAT that forgot us, a relay that is gone.

Theory of operation
-------------------
    MediaDisconnected (ICE hears nothing, consent or relay lost)
        -> ICE restart on new sockets, re-INVITE -> MediaConnected: done
        -> no way yet: again after 5, 10, 20, 20 ... s, and never while an offer of either end is under way, nor within
           5 s of its answer
        -> not within `AccountOptions.recovery_timeout`: the call is given up, `RTP Timeout`

Both ends notice, often in the same second. The one that was called waits a second longer, so that the offers seldom
cross; where they do, 491 and its random wait settle it (RFC 3261 section 14.1), and either restart serves both.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .call import Call
from .call_info import CallDirection, CallUuid
from .call_table import CallTable

__all__ = ["COURTESY", "FIRST_WAIT", "MAX_WAIT", "Recovery"]

FIRST_WAIT = 5.0
"""Seconds from the first restart to the next: checks on a way that works take one or two, through heavy loss too."""

MAX_WAIT = 20.0
"""Seconds between restarts at most: a link that comes back should not be left waiting."""

COURTESY = 1.0
"""Seconds that the called end leaves to the caller; and to an offer that is under way."""


@dataclass(slots=True)
class _Search:
    """Until when a way is looked for, when the next restart is due, and how long to wait after that."""

    deadline: float
    next_try: float
    wait: float = FIRST_WAIT


class Recovery:
    """The machine.

    Args:
        restart: restarts ICE and makes the offer; False: it cannot now, as without signalling.
        patience: seconds to look for a way in the call.
    """

    def __init__(
        self, table: CallTable, restart: Callable[[Call, float], bool], patience: Callable[[Call], float]
    ) -> None:
        self._table = table
        self._restart = restart
        self._patience = patience
        self._searches: dict[CallUuid, _Search] = {}
        self._tried: dict[CallUuid, float] = {}

    def lost(self, call: Call, *, now: float) -> None:
        """Media has no way."""
        if call.uuid not in self._searches:
            first = now if call.direction is CallDirection.OUTGOING else now + COURTESY
            if call.uuid in self._tried:
                first = max(first, self._tried[call.uuid] + FIRST_WAIT)
            self._searches[call.uuid] = _Search(now + self._patience(call), first)

    def connected(self, call: Call) -> None:
        """Media has a way."""
        self._searches.pop(call.uuid, None)

    def negotiated(self, call: Call, *, now: float) -> None:
        """An offer of either end has its answer. Where it was a restart, the checks need their time."""
        if (search := self._searches.get(call.uuid)) is not None:
            search.next_try = max(search.next_try, now + FIRST_WAIT)

    def ended(self, call: Call) -> None:
        self._searches.pop(call.uuid, None)
        self._tried.pop(call.uuid, None)

    def handle_timeout(self, *, now: float) -> list[Call]:
        """Tries what is due; the calls to give up."""
        overdue = []
        for uuid, search in list(self._searches.items()):
            call = self._table.get(uuid)
            if search.deadline <= now:
                del self._searches[uuid]
                overdue.append(call)
            elif search.next_try <= now:
                self._try(call, search, now)
        return overdue

    def next_timeout(self) -> float | None:
        return min((min(search.deadline, search.next_try) for search in self._searches.values()), default=None)

    def _try(self, call: Call, search: _Search, now: float) -> None:
        if call.is_negotiating or not self._restart(call, now):
            search.next_try = now + COURTESY
            return
        self._tried[call.uuid] = now
        search.next_try = now + search.wait
        search.wait = min(2 * search.wait, MAX_WAIT)
