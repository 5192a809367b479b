"""The timer that ends a session whose peer has vanished (RFC 4028), in both roles.

Theory of operation
-------------------
Offer and answer of an interval ride on INVITE, re-INVITE and UPDATE and their 2xx; each such exchange starts the clock
anew. One end, the refresher, says `RefreshDue` at half the interval and has its owner send such a request; the other
says `SessionExpired` shortly before the end of an interval in which none has come.

    request_headers() -> INVITE -> accepted(2xx)         INVITE -> refusal() | answer_headers() -> 2xx
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .call_events import HeaderRows
from .message import Request, Response
from .session_headers import SessionExpires, min_se_of

__all__ = ["MIN_SE", "RefreshDue", "SessionExpired", "SessionTimer", "SessionTimerOutput"]

MIN_SE = 90
"""RFC 4028 section 5: "the default value is 90 seconds, and it cannot be less"."""

MAX_INTERVAL = 86_400
"""Seconds. A peer that asks for more would not be missed within a day."""

MAX_REFUSALS = 3
"""Times that one session obeys a 422: each proxy on the way may have a minimum of its own."""

RETRY = 10.0
"""Seconds until a refresh that was refused is tried again, or half of what is left of the session if that is less."""


class Timer(Enum):
    REFRESH = "it is our turn to refresh"
    EXPIRE = "nobody has refreshed"


@dataclass(frozen=True, slots=True)
class RefreshDue:
    """Send a re-INVITE or UPDATE."""


@dataclass(frozen=True, slots=True)
class SessionExpired:
    """End the session."""


SessionTimerOutput: TypeAlias = RefreshDue | SessionExpired


class SessionTimer:
    """The machine of one session.

    Args:
        interval: seconds that we ask for; 0: no timer, whatever the peer says.
        min_se: less is refused.
    """

    def __init__(self, interval: int, min_se: int = MIN_SE) -> None:
        self._wished = max(interval, min_se) if interval else 0
        self._min_se = max(min_se, MIN_SE)
        self._asked_min = 0  # Min-SE of a 422
        self._agreed: int | None = None
        self._ours = False  # whether it is we who refresh
        self._refusals = 0
        self._outbox: Outbox[SessionTimerOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()

    @property
    def interval(self) -> int | None:
        """Seconds, as agreed; None while there is no limit."""
        return self._agreed

    # Our requests

    def request_headers(self) -> HeaderRows:
        """For our INVITE, re-INVITE or UPDATE."""
        if not self._wished:
            return ()
        seconds = max(self._agreed or self._wished, self._asked_min)
        # Section 7.4: "If the refresher is known [...] the UAC that performs the refresh [...] set the refresher
        # parameter": the roles of the request count, not those of the call.
        role = "" if self._agreed is None else ";refresher=uac" if self._ours else ";refresher=uas"
        rows: HeaderRows = (("Session-Expires", f"{seconds}{role}"),)
        # Section 7.1: "A UAC MAY include a Min-SE header field in the initial INVITE request." After a 422 it MUST.
        return (*rows, ("Min-SE", str(self._asked_min))) if self._asked_min else rows

    def too_small(self, response: Response) -> bool:
        """A 422 has come. True where asking for a longer session is in order."""
        minimum = min_se_of(response)
        if not self._wished or not self._asked_min < minimum <= MAX_INTERVAL or self._refusals >= MAX_REFUSALS:
            return False
        self._refusals += 1
        self._asked_min = minimum
        self._wished = max(self._wished, minimum)
        if self._agreed is not None:
            self._agreed = max(self._agreed, minimum)
        return True

    def accepted(self, response: Response, *, now: float) -> None:
        """A 2xx to our request."""
        try:
            given = SessionExpires.of(response)
        except ParseError:
            given = None
        if given is None or not self._wished:
            # Section 7.2: no Session-Expires in the 2xx: the peer knows no timers, and there is no limit.
            self._agreed = None
            self._timers.clear()
            return
        self._begin(given.seconds, given.refresher != "uas", now)

    # The peer's requests

    def refusal(self, request: Request) -> HeaderRows | None:
        """The rows of the 422 that a request deserves; None where it is in order."""
        if not self._wished:
            return None
        try:
            asked = SessionExpires.of(request)
        except ParseError:
            return None
        # Section 9: "If the session interval in the Session-Expires is too small (i.e., is lower than the UAS's own
        # minimum) [...] the UAS MAY reject the request with a 422". It MUST NOT where the UAC does not know timers.
        if asked is None or asked.seconds >= self._min_se or not _knows_timers(request):
            return None
        return (("Min-SE", str(self._min_se)),)

    def answer_headers(self, request: Request, *, now: float) -> HeaderRows:
        """The rows of our 2xx; the clock starts."""
        if not self._wished:
            return ()
        try:
            asked = SessionExpires.of(request)
        except ParseError:
            asked = None
        knows = _knows_timers(request)
        if asked is None and not knows:
            self._agreed = None
            self._timers.clear()
            return ()
        seconds = min(asked.seconds, MAX_INTERVAL) if asked is not None else self._wished
        # Section 9: "the UAS MAY reduce the session interval [...] but MUST NOT be lower than [Min-SE]".
        seconds = max(seconds, min_se_of(request), MIN_SE)
        if knows:
            refresher = (asked.refresher if asked is not None else None) or "uac"
        else:
            refresher = "uas"
        self._begin(seconds, refresher == "uas", now)
        rows: HeaderRows = (("Session-Expires", f"{seconds};refresher={refresher}"),)
        # Section 9: "If the refresher parameter in the Session-Expires header field in the 2xx response has a value
        # of 'uac', the UAS MUST place a Require header field into the response with the value 'timer'."
        return (*rows, ("Require", "timer")) if refresher == "uac" else rows

    # Ends

    def put_off(self, *, now: float) -> None:
        """Our refresh could not be made, or was refused: it is tried again while the session lasts."""
        end = self._timers.deadline(Timer.EXPIRE)
        if self._ours and end is not None:
            self._timers.arm(Timer.REFRESH, now + min(RETRY, max((end - now) / 2, 1.0)))

    def stop(self) -> None:
        self._timers.clear()

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.REFRESH:
                    self._outbox.put(RefreshDue())
                case Timer.EXPIRE:
                    self._timers.clear()
                    self._outbox.put(SessionExpired())
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> SessionTimerOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SessionTimerOutput]:
        return self._outbox.drain()

    def _begin(self, seconds: int, ours: bool, now: float) -> None:
        seconds = max(seconds, MIN_SE)
        self._agreed, self._ours = seconds, ours
        self._timers.clear()
        if ours:
            # Section 10: "It is RECOMMENDED that this refresh be sent once half the session interval has elapsed."
            self._timers.arm(Timer.REFRESH, now + seconds / 2)
        # "If the side not performing refreshes does not receive a session refresh request before the session
        # expiration, it SHOULD send a BYE [...] slightly before the session expiration. The minimum of 32 seconds and
        # one third of the session interval is RECOMMENDED."
        self._timers.arm(Timer.EXPIRE, now + seconds - min(32.0, seconds / 3))


def _knows_timers(request: Request) -> bool:
    return any(option.lower() == "timer" for option in (*request.supported, *request.require))
