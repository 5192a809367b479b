"""Keys of a telephone, sent outside of its sound: a SIP INFO for each, one after the other.

Theory of operation
-------------------
    send() -> INFO -> its final answer, or none -> `GAP` after it was let go, at the earliest -> INFO ... DtmfSent

An INFO that overtakes the one before would change the number that is dialled, and RFC 6086 has no other order than that
of the answers. One that is refused or lost is a key that was not heard, as on a bad line: the next one follows.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sansio_sip.dtmf.info import DTMF_RELAY, relay_body
from sansio_sip.errors import LocalProtocolError
from sansio_sip.timers import Deadlines

from . import events
from .call import Call
from .call_info import CallState, CallUuid
from .call_table import CallTable

__all__ = ["DURATION", "GAP", "MAX_KEYS", "InfoKeys", "KeyWay"]

MAX_KEYS = 32
"""Keys that may wait in a call: each is a transaction of its own, and a card number has 19."""

DURATION = 0.1
"""Seconds that a key is held, as its INFO says."""

GAP = 0.07
"""Seconds between a key and the next; those of telephone-events here."""

KeyWay: TypeAlias = Literal["event", "sound", "info"]
"""How a key is sent: as telephone-event (RFC 4733), as the sound of its two tones, or by SIP INFO."""


@dataclass(slots=True)
class _Queue:
    """Keys of one call. `since`: when the one that is under way was sent; None where none is."""

    waiting: deque[str] = field(default_factory=deque)
    since: float | None = None


class InfoKeys:
    """The machine of all calls."""

    def __init__(self, table: CallTable) -> None:
        self._table = table
        self._queues: dict[CallUuid, _Queue] = {}
        self._due: Deadlines[CallUuid] = Deadlines()

    def send(self, call: CallUuid, digits: str, *, now: float) -> None:
        """Queues keys (`application/dtmf-relay`). Gives DtmfSent when all have been answered.

        Raises LocalProtocolError: a bad digit, a pause, no key or more than `MAX_KEYS` that wait, or the call was not
        answered.
        """
        row = self._table.get(call)
        for digit in digits:
            relay_body(digit)
        if row.state is not CallState.ANSWERED or row.sip is None:
            raise LocalProtocolError(f"cannot send digits: call {call} is {row.state.value}; it must be answered first")
        queue = self._queues.get(call) or _Queue()
        if not digits or len(digits) + len(queue.waiting) > MAX_KEYS:
            waits = f", {len(queue.waiting)} wait" if queue.waiting else ""
            raise LocalProtocolError(f"cannot send {len(digits)} digits by INFO{waits}; give 1 to {MAX_KEYS} at a time")
        self._queues[call] = queue
        queue.waiting.extend(digits)
        if queue.since is None:
            self._next(row, queue, now)

    def answered(self, call: Call, *, now: float) -> None:
        """An INFO has its final answer, or will get none."""
        queue = self._queues.get(call.uuid)
        if queue is not None and queue.since is not None:
            self._due.update(call.uuid, max(now, queue.since + DURATION + GAP))

    def ended(self, call: CallUuid) -> None:
        """The call is over."""
        self._queues.pop(call, None)
        self._due.remove(call)

    def handle_timeout(self, *, now: float) -> None:
        for call in self._due.due(now):
            self._next(self._table.get(call), self._queues[call], now)

    def next_timeout(self) -> float | None:
        return self._due.next()

    def _next(self, call: Call, queue: _Queue, now: float) -> None:
        if not queue.waiting:
            self.ended(call.uuid)
            self._table.put(events.DtmfSent(call.account, call.info))
            return
        assert call.sip is not None
        queue.since = now
        body = relay_body(queue.waiting.popleft(), round(DURATION * 1000))
        try:
            self._table.user_agent(call).send_info(call.sip, DTMF_RELAY, body, now=now)
        except LocalProtocolError:  # the call is being ended
            self.ended(call.uuid)
        self._table.touched(call)
