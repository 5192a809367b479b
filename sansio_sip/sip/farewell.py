"""The BYE that ends a call (RFC 3261 section 15), and how long it is tried.

Theory of operation
-------------------
A call is over for its user at once, flow or no flow; its peer should not be left talking to nobody. `say` sends the
BYE, or keeps it until there is a flow: `flow_ready`. Where none comes within 64*T1 the machine says `NobodyToTell`, and
the peer has to find out by other means.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .call_events import HeaderRows
from .dialog import Dialog
from .sent_requests import Purpose
from .transactions.timing import RFC_TIMING, Timing
from .wire import Wire

__all__ = ["Farewell", "FarewellTimer", "NobodyToTell"]


class FarewellTimer(Enum):
    GIVE_UP = "no flow to say BYE on"


@dataclass(frozen=True, slots=True)
class NobodyToTell:
    """The last output: there was no flow for the BYE in time."""


class Farewell:
    """The machine of a session's BYE."""

    def __init__(self, wire: Wire, timing: Timing = RFC_TIMING) -> None:
        self._wire = wire
        self._timing = timing
        self._timers: TimerSet[FarewellTimer] = TimerSet()
        self._outbox: Outbox[NobodyToTell] = Outbox()
        self._due: tuple[Dialog, HeaderRows] | None = None

    def say(self, dialog: Dialog, headers: HeaderRows = (), *, now: float) -> None:
        """Sends the BYE of `dialog`, now or as soon as there is a flow."""
        if self._wire.identity.hop is None:
            if self._due is None:
                self._timers.arm(FarewellTimer.GIVE_UP, now + self._timing.timeout)
            self._due = (dialog, headers)
            return
        self.stop()
        self._wire.request(Purpose.BYE, dialog, "BYE", headers)

    def flow_ready(self, *, now: float) -> None:
        """`identity` has a flow again."""
        if self._due is not None:
            self.say(*self._due, now=now)

    def stop(self) -> None:
        """The call is over at the other end too."""
        self._due = None
        self._timers.clear()

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case FarewellTimer.GIVE_UP:
                    self.stop()
                    self._outbox.put(NobodyToTell())
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> NobodyToTell | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[NobodyToTell]:
        return self._outbox.drain()
