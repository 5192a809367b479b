"""The server side of any request but INVITE and ACK (RFC 3261 section 17.2.2, RFC 4320).

Theory of operation
-------------------
Made when a request has come that belongs to no transaction. Answers copies of the request with the latest response,
once there is one. A user that never answers cannot keep it alive: 64*T1 after the request no client waits any more.
"""

from collections.abc import Mapping
from enum import Enum

from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.transport import Hop

from .outputs import FailureReason
from .timing import RFC_TIMING, Timer, Timing
from .transaction import Transaction

__all__ = ["TRANSITIONS", "Input", "NonInviteServerTransaction", "State"]


class State(Enum):
    """RFC 3261 figure 8::

                        |request, passed up
    request: absorbed   v
                   +->TRYING --------------------------+
                   |   | |  \\                          |
                   +---+ |   +-----------+             |
                         | 1xx           | 200-699     |
    request: response    v               |             |
    again; 1xx: sent +->PROCEEDING ------+------------>|
                     |   | |             |             |
                     +---+ | 200-699     |             |
    request: response      v             |             | flow is gone,
    again            +->COMPLETED <------+             | 64*T1 without a final
                     |   | |                           | response
                     +---+ | Timer J, flow is gone     |
                           v                           |
                        TERMINATED <-------------------+
    """

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Input(Enum):
    REQUEST = "request again"
    PROVISIONAL = "1xx from the user"
    FINAL = "200-699 from the user"
    TIMER_J = "Timer J"
    ABANDONED = "64*T1 without a final response"
    FLOW_LOST = "flow is gone"


TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.TRYING, Input.REQUEST): State.TRYING,
    (State.TRYING, Input.PROVISIONAL): State.PROCEEDING,
    (State.TRYING, Input.FINAL): State.COMPLETED,
    (State.TRYING, Input.ABANDONED): State.TERMINATED,
    (State.TRYING, Input.FLOW_LOST): State.TERMINATED,
    (State.PROCEEDING, Input.REQUEST): State.PROCEEDING,
    (State.PROCEEDING, Input.PROVISIONAL): State.PROCEEDING,
    (State.PROCEEDING, Input.FINAL): State.COMPLETED,
    (State.PROCEEDING, Input.ABANDONED): State.TERMINATED,
    (State.PROCEEDING, Input.FLOW_LOST): State.TERMINATED,
    (State.COMPLETED, Input.REQUEST): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_J): State.TERMINATED,
    (State.COMPLETED, Input.FLOW_LOST): State.TERMINATED,
}


class NonInviteServerTransaction(Transaction[State, Input]):
    """Responds to one request."""

    __slots__ = ("_last",)

    def __init__(self, request: Request, hop: Hop, timing: Timing = RFC_TIMING, *, now: float) -> None:
        super().__init__(State.TRYING, TRANSITIONS, request, hop, timing)
        self._last: Response | None = None
        self._pass_up(request)
        # RFC 4320 section 4.2: "an element that cannot respond before the transaction expires will not send a final
        # response at all." Nor does it keep the transaction for ever, then.
        self._timers.arm(Timer.ABANDONED, now + timing.timeout)

    def receive_request(self, request: Request, *, now: float) -> None:
        """A copy of the request."""
        if self._step(Input.REQUEST) and self._last is not None:
            self._send(self._last)

    def respond(self, response: Response, *, now: float) -> None:
        """A response of the user. A second final one is discarded (RFC 3261 section 17.2.2)."""
        if response.status < 200:
            if self._step(Input.PROVISIONAL):
                self._last = response
                self._send(response)
        elif self._step(Input.FINAL):
            self._last = response
            self._send(response)
            self._timers.clear()
            # RFC 3261 section 17.2.2: "it MUST set Timer J to fire in 64*T1 seconds for unreliable transports, and
            # zero seconds for reliable transports."
            if not self.hop.reliable:
                self._timers.arm(Timer.J, now + self._timing.timeout)
            elif self._step(Input.TIMER_J):
                self._end()

    def flow_lost(self, *, now: float) -> None:
        """The stream that the request came on is gone.

        RFC 6026 forbids to end a transaction because one response could not be sent, for copies of the request may
        still come. None can come on a stream that is gone, so this does end it.
        """
        before = self.state
        if self._step(Input.FLOW_LOST):
            if before is State.COMPLETED:
                self._end()
            else:
                self._give_up(FailureReason.TRANSPORT)

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.J:
                    if self._step(Input.TIMER_J):
                        self._end()
                case Timer.ABANDONED:
                    if self._step(Input.ABANDONED):
                        self._give_up(FailureReason.TIMEOUT)
                case _:
                    raise AssertionError(timer)
