"""The server side of an INVITE (RFC 3261 section 17.2.1, with the Accepted state of RFC 6026).

Theory of operation
-------------------
Made when an INVITE has come that belongs to no transaction. Says 100 by itself when its user has not spoken within
200 ms. Answers copies of the INVITE with the latest response. Sends a failure again until the ACK comes; a 2xx is
sent again by the user, through `respond`, because its ACK comes end to end.
"""

from collections.abc import Mapping
from enum import Enum

from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.transport import Hop

from .outputs import FailureReason
from .timing import RFC_TIMING, Timer, Timing
from .transaction import Transaction

__all__ = ["TRANSITIONS", "Input", "InviteServerTransaction", "State"]


class State(Enum):
    """RFC 3261 figure 7, as corrected by RFC 6026::

                          |INVITE, passed up
    INVITE: last response v                       flow is gone
    again; 1xx: sent  +->PROCEEDING ----------------------------+
                      |   |  |   |                              |
                      +---+  |   | 2xx from the user            |
        300-699 from the user|   +--------------+               |
                             v                  |               |
    INVITE, Timer G:  +->COMPLETED ------+      |               |
    response again    |   |  |           |      |               |
                      +---+  | ACK       |      |               |
                             v           |      v               |
          ACK: absorbed +->CONFIRMED     |  ACCEPTED <-+ 2xx: sent;
                        |   |  |         |   |    |    | INVITE: absorbed;
                        +---+  | Timer I |   |    +----+ ACK: passed up
                               |         |   | Timer L         |
                               |         | Timer H,            |
                               |         | transport error     |
                               +----+----+---+                 |
                                    v                          |
                               TERMINATED <--------------------+
    """

    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Input(Enum):
    INVITE = "INVITE again"
    ACK = "ACK"
    PROVISIONAL = "1xx from the user"
    SUCCESS = "2xx from the user"
    FAILURE = "300-699 from the user"
    TIMER_G = "Timer G"
    TIMER_H = "Timer H"
    TIMER_I = "Timer I"
    TIMER_L = "Timer L"
    FLOW_LOST = "flow is gone"


TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.PROCEEDING, Input.INVITE): State.PROCEEDING,
    (State.PROCEEDING, Input.PROVISIONAL): State.PROCEEDING,
    (State.PROCEEDING, Input.SUCCESS): State.ACCEPTED,
    (State.PROCEEDING, Input.FAILURE): State.COMPLETED,
    (State.PROCEEDING, Input.FLOW_LOST): State.TERMINATED,
    (State.COMPLETED, Input.INVITE): State.COMPLETED,
    (State.COMPLETED, Input.ACK): State.CONFIRMED,
    (State.COMPLETED, Input.TIMER_G): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_H): State.TERMINATED,
    (State.COMPLETED, Input.FLOW_LOST): State.TERMINATED,
    (State.CONFIRMED, Input.ACK): State.CONFIRMED,
    (State.CONFIRMED, Input.TIMER_I): State.TERMINATED,
    (State.CONFIRMED, Input.FLOW_LOST): State.TERMINATED,
    (State.ACCEPTED, Input.INVITE): State.ACCEPTED,
    (State.ACCEPTED, Input.ACK): State.ACCEPTED,
    (State.ACCEPTED, Input.SUCCESS): State.ACCEPTED,
    (State.ACCEPTED, Input.TIMER_L): State.TERMINATED,
    (State.ACCEPTED, Input.FLOW_LOST): State.TERMINATED,
}


class InviteServerTransaction(Transaction[State, Input]):
    """Responds to one INVITE."""

    __slots__ = ("_interval", "_last")

    def __init__(self, request: Request, hop: Hop, timing: Timing = RFC_TIMING, *, now: float) -> None:
        super().__init__(State.PROCEEDING, TRANSITIONS, request, hop, timing)
        self._interval = timing.t1
        self._last: Response | None = None
        self._pass_up(request)
        self._timers.arm(Timer.TRYING, now + timing.trying)

    def receive_request(self, request: Request, *, now: float) -> None:
        """A copy of the INVITE, or its ACK."""
        if request.method == "ACK":
            self._receive_ack(request, now)
        elif self._step(Input.INVITE) and self.state is not State.ACCEPTED:
            # RFC 6026: a copy of an accepted INVITE is absorbed; the user sends the 2xx again by itself.
            self._send_last()

    def respond(self, response: Response, *, now: float) -> None:
        """A response of the user. One that the state has no use for is discarded.

        RFC 3261 section 17.2.1: "Any other final responses passed by the TU to the server transaction MUST be
        discarded while in the "Completed" state."
        """
        before = self.state
        if response.status < 200:
            if self._step(Input.PROVISIONAL):
                self._timers.cancel(Timer.TRYING)
                self._last = response
                self._send(response)
        elif response.status < 300:
            if self._step(Input.SUCCESS):
                self._send(response)
                if before is not State.ACCEPTED:
                    self._enter_accepted(now)
        elif self._step(Input.FAILURE):
            self._last = response
            self._send(response)
            self._enter_completed(now)

    def flow_lost(self, *, now: float) -> None:
        """The stream that the request came on is gone.

        RFC 6026 forbids to end a transaction because one response could not be sent, for copies of the request may
        still come. None can come on a stream that is gone, so this does end it.
        """
        before = self.state
        if self._step(Input.FLOW_LOST):
            if before in (State.PROCEEDING, State.COMPLETED):
                self._give_up(FailureReason.TRANSPORT)
            else:
                self._end()

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.TRYING:
                    self._say_trying(now)
                case Timer.G:
                    self._send_again(now)
                case Timer.H:
                    if self._step(Input.TIMER_H):
                        self._give_up(FailureReason.TIMEOUT)
                case Timer.I:
                    if self._step(Input.TIMER_I):
                        self._end()
                case Timer.L:
                    if self._step(Input.TIMER_L):
                        self._end()
                case _:
                    raise AssertionError(timer)

    def _receive_ack(self, ack: Request, now: float) -> None:
        before = self.state
        if not self._step(Input.ACK):
            return
        if before is State.COMPLETED:
            self._pass_up(ack)
            self._enter_confirmed(now)
        elif before is State.ACCEPTED:
            # RFC 6026: an ACK that matches in Accepted is for the user. It comes from clients that put no unique
            # branch in their ACK of a 2xx.
            self._pass_up(ack)

    def _say_trying(self, now: float) -> None:
        # RFC 3261 section 17.2.1: "The server transaction MUST generate a 100 (Trying) response unless it knows that
        # the TU will generate a provisional or final response within 200 ms".
        self.respond(self.request.response(100), now=now)

    def _send_last(self) -> None:
        if self._last is not None:
            self._send(self._last)

    def _send_again(self, now: float) -> None:
        if self._step(Input.TIMER_G):
            self._send_last()
            # RFC 3261 section 17.2.1: "timer G is reset with a value of MIN(2*T1, T2)" and doubles so from there.
            self._interval = min(2 * self._interval, self._timing.t2)
            self._timers.arm(Timer.G, now + self._interval)

    def _enter_accepted(self, now: float) -> None:
        self._timers.clear()
        self._timers.arm(Timer.L, now + self._timing.timeout)

    def _enter_completed(self, now: float) -> None:
        # RFC 3261 section 17.2.1: "For unreliable transports, timer G is set to fire in T1 seconds, and is not set to
        # fire for reliable transports." "When the "Completed" state is entered, timer H MUST be set to fire in 64*T1
        # seconds for all transports."
        self._timers.clear()
        if not self.hop.reliable:
            self._timers.arm(Timer.G, now + self._interval)
        self._timers.arm(Timer.H, now + self._timing.timeout)

    def _enter_confirmed(self, now: float) -> None:
        # RFC 3261 section 17.2.1: "timer I is set to fire in T4 seconds for unreliable transports, and zero seconds
        # for reliable transports."
        self._timers.clear()
        if not self.hop.reliable:
            self._timers.arm(Timer.I, now + self._timing.t4)
        elif self._step(Input.TIMER_I):
            self._end()
