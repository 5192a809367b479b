"""The client side of an INVITE (RFC 3261 section 17.1.1, with the Accepted state of RFC 6026).

Theory of operation
-------------------
Made with the request, which it sends at once. Over UDP the request is sent again at T1, 2*T1, 4*T1... until the first
response. A failure is answered by an ACK here, as often as it comes; a 2xx is passed up as often as it comes, and its
ACK is the user's affair (section 13.2.2.4). While a callee rings nothing bounds the wait: that is up to the user, who
may cancel. Once cancelled, the wait is bounded again (section 9.1).
"""

from collections.abc import Mapping
from enum import Enum

from sansio_sip.sip.headers import CSeq
from sansio_sip.sip.message import Headers, Request, Response
from sansio_sip.sip.transport import Hop

from .outputs import FailureReason
from .timing import RFC_TIMING, Timer, Timing
from .transaction import Transaction

__all__ = ["TRANSITIONS", "Input", "InviteClientTransaction", "State", "build_ack", "build_cancel"]

INITIAL_MAX_FORWARDS = "70"  # RFC 3261 section 8.1.1.6


class State(Enum):
    """RFC 3261 figure 5, as corrected by RFC 6026::

                      |INVITE sent
    Timer A           v                     Timer B, transport error
    send again +-->CALLING ------------------------------------------+
               |    |  | \\                                           |
               +----+  |  \\ 2xx                                      |
        300-699        |   +------------------+                      |
        +--------------+ 1xx                  |                      |
        |              v                      |                      |
        |    1xx +->PROCEEDING ---------------+--------------------->|
        |        |   |   |                2xx |  cancelled: 64*T1;   |
        |        +---+   | 300-699            |  transport error     |
        |                v                    v                      |
        +---------->COMPLETED <-+         ACCEPTED <-+               |
                       |   |    | 300-699    |  |    | 2xx           |
                       |   +----+ ACK again  |  +----+ passed up     |
               Timer D |                     | Timer M               |
                       +----------+----------+                       |
                                  v                                  |
                             TERMINATED <----------------------------+
    """

    CALLING = "calling"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Input(Enum):
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    TIMER_A = "Timer A"
    TIMER_B = "Timer B"
    TIMER_D = "Timer D"
    TIMER_M = "Timer M"
    CANCEL_TIMEOUT = "64*T1 after CANCEL"
    TRANSPORT_ERROR = "transport error"


TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.CALLING, Input.TIMER_A): State.CALLING,
    (State.CALLING, Input.TIMER_B): State.TERMINATED,
    (State.CALLING, Input.TRANSPORT_ERROR): State.TERMINATED,
    (State.CALLING, Input.PROVISIONAL): State.PROCEEDING,
    (State.CALLING, Input.SUCCESS): State.ACCEPTED,
    (State.CALLING, Input.FAILURE): State.COMPLETED,
    (State.PROCEEDING, Input.PROVISIONAL): State.PROCEEDING,
    (State.PROCEEDING, Input.SUCCESS): State.ACCEPTED,
    (State.PROCEEDING, Input.FAILURE): State.COMPLETED,
    (State.PROCEEDING, Input.CANCEL_TIMEOUT): State.TERMINATED,
    # Not in the RFC, which knows only errors of sending: no response can come on a flow that is gone.
    (State.PROCEEDING, Input.TRANSPORT_ERROR): State.TERMINATED,
    (State.COMPLETED, Input.FAILURE): State.COMPLETED,
    (State.COMPLETED, Input.TIMER_D): State.TERMINATED,
    (State.COMPLETED, Input.TRANSPORT_ERROR): State.TERMINATED,
    (State.ACCEPTED, Input.SUCCESS): State.ACCEPTED,
    (State.ACCEPTED, Input.TIMER_M): State.TERMINATED,
    (State.ACCEPTED, Input.TRANSPORT_ERROR): State.TERMINATED,
}


class InviteClientTransaction(Transaction[State, Input]):
    """Sends one INVITE and sees it to its end."""

    __slots__ = ("_interval",)

    def __init__(self, request: Request, hop: Hop, timing: Timing = RFC_TIMING, *, now: float) -> None:
        super().__init__(State.CALLING, TRANSITIONS, request, hop, timing)
        self._interval = timing.t1
        self._send(request)
        # RFC 3261 section 17.1.1.2: "If an unreliable transport is being used, the client transaction MUST start
        # timer A with a value of T1." "For any transport, the client transaction MUST start timer B with a value of
        # 64*T1 seconds".
        if not hop.reliable:
            self._timers.arm(Timer.A, now + self._interval)
        self._timers.arm(Timer.B, now + timing.timeout)

    def receive_response(self, response: Response, *, now: float) -> None:
        before = self.state
        if response.status < 200:
            if self._step(Input.PROVISIONAL):
                self._timers.cancel(Timer.A, Timer.B)
                self._pass_up(response)
        elif response.status < 300:
            if self._step(Input.SUCCESS):
                if before is not State.ACCEPTED:
                    self._enter_accepted(now)
                self._pass_up(response)
        elif self._step(Input.FAILURE):
            if before is not State.COMPLETED:
                self._pass_up(response)
                self._send(build_ack(self.request, response))
                self._enter_completed(now)
            else:
                # RFC 3261 section 17.1.1.2: "Any retransmissions of the final response that are received while in
                # the "Completed" state MUST cause the ACK to be re-passed to the transport layer for
                # retransmission, but the newly received response MUST NOT be passed up to the TU."
                self._send(build_ack(self.request, response))

    def cancelled(self, *, now: float) -> None:
        """To be called when a CANCEL was sent."""
        # RFC 3261 section 9.1: "If there is no final response for the original request in 64*T1 seconds [...], the
        # client SHOULD then consider the original transaction cancelled and SHOULD destroy the client transaction".
        if self.state is State.PROCEEDING:
            self._timers.arm(Timer.CANCELLED, now + self._timing.timeout)

    def flow_lost(self, *, now: float) -> None:
        """The flow could not be used, or is gone."""
        before = self.state
        if self._step(Input.TRANSPORT_ERROR):
            # After a final response the user has all it waits for.
            if before in (State.CALLING, State.PROCEEDING):
                self._give_up(FailureReason.TRANSPORT)
            else:
                self._end()

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.A:
                    self._send_again(now)
                case Timer.B:
                    if self._step(Input.TIMER_B):
                        self._give_up(FailureReason.TIMEOUT)
                case Timer.CANCELLED:
                    if self._step(Input.CANCEL_TIMEOUT):
                        self._give_up(FailureReason.TIMEOUT)
                case Timer.D:
                    if self._step(Input.TIMER_D):
                        self._end()
                case Timer.M:
                    if self._step(Input.TIMER_M):
                        self._end()
                case _:
                    raise AssertionError(timer)

    def _send_again(self, now: float) -> None:
        if self._step(Input.TIMER_A):
            self._send(self.request)
            self._interval *= 2
            self._timers.arm(Timer.A, now + self._interval)

    def _enter_accepted(self, now: float) -> None:
        # RFC 6026: timer M, 64*T1 for all transports, is how long 2xx of other branches may still come in.
        self._timers.clear()
        self._timers.arm(Timer.M, now + self._timing.timeout)

    def _enter_completed(self, now: float) -> None:
        # RFC 3261 section 17.1.1.2: "with a value of at least 32 seconds for unreliable transports, and a value of
        # zero seconds for reliable transports."
        self._timers.clear()
        if not self.hop.reliable:
            self._timers.arm(Timer.D, now + self._timing.d)
        elif self._step(Input.TIMER_D):
            self._end()


def build_ack(request: Request, response: Response) -> Request:
    """The ACK of a failure response to INVITE (RFC 3261 section 17.1.1.3)."""
    ack = _same_transaction(request, "ACK")
    ack.headers.set("To", response.headers.get("To") or str(response.to))
    return ack


def build_cancel(request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Request:
    """The CANCEL of a request (RFC 3261 section 9.1); `headers` (Reason, say) are added to it."""
    cancel = _same_transaction(request, "CANCEL")
    for name, value in headers:
        cancel.headers.add(name, value)
    return cancel


def _same_transaction(request: Request, method: str) -> Request:
    """A request that meets `request` at each server on its way: same Request-URI, branch, Call-ID, From, To, number.

    RFC 3261 section 17.1.1.3: "The ACK MUST contain a single Via header field, and this MUST be equal to the top Via
    header field of the original request." "If the INVITE request whose response is being acknowledged had Route
    header fields, those header fields MUST appear in the ACK."
    """
    headers = Headers()
    headers.add("Via", str(request.top_via))
    for route in request.headers.get_all("Route"):
        headers.add("Route", route)
    headers.add("Max-Forwards", INITIAL_MAX_FORWARDS)
    headers.add("From", request.headers.get("From") or str(request.from_))
    headers.add("To", request.headers.get("To") or str(request.to))
    headers.add("Call-ID", request.call_id)
    headers.add("CSeq", str(CSeq(request.cseq.number, method)))
    return Request(method, request.uri, headers)
