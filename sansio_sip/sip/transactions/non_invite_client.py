"""The client side of any request but INVITE and ACK (RFC 3261 section 17.1.2).

Theory of operation
-------------------
Made with the request, which it sends at once, and over UDP again at T1, 2*T1, 4*T1 up to T2 apart; once a provisional
response has come, T2 apart. Whatever happens, 64*T1 after the start it has ended.
"""

from collections.abc import Mapping
from enum import Enum

from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.transport import Hop

from .outputs import FailureReason
from .timing import RFC_TIMING, Timer, Timing
from .transaction import Transaction

__all__ = ["TRANSITIONS", "Input", "NonInviteClientTransaction", "State"]


class State(Enum):
    """RFC 3261 figure 6::

                    |request sent
    Timer E         v              Timer F, transport error
    send again +->TRYING ----------------------------+
               |   | |  \\                            |
               +---+ |   +------------+              |
                     | 1xx            | 200-699      |
    Timer E, 1xx     v                |              |
               +->PROCEEDING ---------+------------->|
               |   | |                |              |
               +---+ | 200-699        |              |
                     v                |              |
                  COMPLETED <---------+              |
                     | Timer K                       |
                     v                               |
                  TERMINATED <-----------------------+
    """

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Input(Enum):
    PROVISIONAL = "1xx"
    FINAL = "200-699"
    TIMER_E = "Timer E"
    TIMER_F = "Timer F"
    TIMER_K = "Timer K"
    TRANSPORT_ERROR = "transport error"


TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.TRYING, Input.TIMER_E): State.TRYING,
    (State.TRYING, Input.TIMER_F): State.TERMINATED,
    (State.TRYING, Input.TRANSPORT_ERROR): State.TERMINATED,
    (State.TRYING, Input.PROVISIONAL): State.PROCEEDING,
    (State.TRYING, Input.FINAL): State.COMPLETED,
    (State.PROCEEDING, Input.TIMER_E): State.PROCEEDING,
    (State.PROCEEDING, Input.TIMER_F): State.TERMINATED,
    (State.PROCEEDING, Input.TRANSPORT_ERROR): State.TERMINATED,
    (State.PROCEEDING, Input.PROVISIONAL): State.PROCEEDING,
    (State.PROCEEDING, Input.FINAL): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_K): State.TERMINATED,
    (State.COMPLETED, Input.TRANSPORT_ERROR): State.TERMINATED,
}


class NonInviteClientTransaction(Transaction[State, Input]):
    """Sends one request and sees it to its end."""

    __slots__ = ("_interval",)

    def __init__(self, request: Request, hop: Hop, timing: Timing = RFC_TIMING, *, now: float) -> None:
        super().__init__(State.TRYING, TRANSITIONS, request, hop, timing)
        self._interval = timing.t1
        self._send(request)
        # RFC 3261 section 17.1.2.2: "the client transaction SHOULD set timer F to fire in 64*T1 seconds." "If an
        # unreliable transport is in use, the client transaction MUST set timer E to fire in T1 seconds."
        if not hop.reliable:
            self._timers.arm(Timer.E, now + self._interval)
        self._timers.arm(Timer.F, now + timing.timeout)

    def receive_response(self, response: Response, *, now: float) -> None:
        if response.status < 200:
            if self._step(Input.PROVISIONAL):
                self._pass_up(response)
        elif self._step(Input.FINAL):
            self._pass_up(response)
            self._timers.clear()
            # RFC 3261 section 17.1.2.2: "it MUST set Timer K to fire in T4 seconds for unreliable transports, and
            # zero seconds for reliable transports."
            if not self.hop.reliable:
                self._timers.arm(Timer.K, now + self._timing.t4)
            elif self._step(Input.TIMER_K):
                self._end()

    def flow_lost(self, *, now: float) -> None:
        """The flow could not be used, or is gone."""
        before = self.state
        if self._step(Input.TRANSPORT_ERROR):
            if before is State.COMPLETED:
                self._end()
            else:
                self._give_up(FailureReason.TRANSPORT)

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.E:
                    self._send_again(now)
                case Timer.F:
                    if self._step(Input.TIMER_F):
                        self._give_up(FailureReason.TIMEOUT)
                case Timer.K:
                    if self._step(Input.TIMER_K):
                        self._end()
                case _:
                    raise AssertionError(timer)

    def _send_again(self, now: float) -> None:
        if self._step(Input.TIMER_E):
            self._send(self.request)
            # RFC 3261 section 17.1.2.2: "If Timer E fires while in the "Proceeding" state, [...] Timer E MUST be
            # reset with a value of T2 seconds." In Trying it is "MIN(2*T1, T2)", and doubles so from there.
            doubled = min(2 * self._interval, self._timing.t2)
            self._interval = self._timing.t2 if self.state is State.PROCEEDING else doubled
            self._timers.arm(Timer.E, now + self._interval)
