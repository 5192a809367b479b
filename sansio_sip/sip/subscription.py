"""One subscription of ours to a peer's state (RFC 6665): message waiting (RFC 3842), dialogs (RFC 4235), any package.

Theory of operation
-------------------
    SUBSCRIBE -> 2xx -> NOTIFY... ; refreshed before the granted time is over; ended by Expires: 0, or by the notifier

The first NOTIFY, or the 2xx, makes the dialog. Who has heard no NOTIFY within 64*T1 of a SUBSCRIBE has no subscription
(timer N). One that the notifier ends for a passing reason is made anew, when she says so or after a while.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NewType, TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .authorization import Answered, Authenticator
from .call_events import HeaderRows
from .dialog import Dialog
from .headers import CSeq, NameAddress
from .identity import Identity
from .message import Headers, Request, Response
from .session_headers import SubscriptionState
from .transaction_user import SendRequest, SendResponse
from .transactions.outputs import FailureReason, TransactionId
from .transactions.timing import Timing
from .uri import SipUri

__all__ = ["Notified", "Subscription", "SubscriptionEnded", "SubscriptionId", "SubscriptionOutput"]

SubscriptionId = NewType("SubscriptionId", str)

MIN_REFRESH = 5.0
"""Seconds between two SUBSCRIBEs at least, however short a time was granted."""

MAX_TOO_BRIEF = 3
"""423s in a row that are obeyed."""

RETRY = 30.0
"""Seconds until an ended subscription is made anew where the notifier does not say when."""

# RFC 6665 section 4.1.3: for these reasons a subscriber "SHOULD attempt re-subscribing": at once, or later.
_AT_ONCE, _LATER = frozenset({"deactivated", "timeout"}), frozenset({"probation", "giveup"})


@dataclass(frozen=True, slots=True)
class Notified:
    """The peer's state, as she says. `state` is `active`, `pending` or `terminated`; `content_type` may be empty."""

    subscription: SubscriptionId
    event: str
    state: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """The last that is said of a subscription. `status`: of a refusal, 408 where nobody answers, 200 on our wish."""

    subscription: SubscriptionId
    status: int
    reason: str = ""


SubscriptionOutput: TypeAlias = SendRequest | SendResponse | Notified | SubscriptionEnded


class State(Enum):
    WAITING = "waiting to subscribe again"
    PENDING = "no dialog yet"
    ACTIVE = "active"
    LEAVING = "leaving"
    OVER = "over"


class Timer(Enum):
    REFRESH = "the granted time is half over"
    N = "no NOTIFY after a SUBSCRIBE"
    AGAIN = "to be made anew"


class Subscription:
    """The machine."""

    def __init__(
        self,
        context: Context,
        identity: Identity,
        authenticator: Authenticator,
        timing: Timing,
        name: SubscriptionId,
        target: SipUri,
        event: str,
        accept: str,
        expires: int,
    ) -> None:
        self.name = name
        self.state = State.PENDING
        self.call_id = ""
        self.local_tag = ""
        self._context = context
        self._identity = identity
        self._authenticator = authenticator
        self._timing = timing
        self._target = target
        self._event = event
        self._accept = accept
        self._expires = expires
        self._dialog: Dialog | None = None
        self._request: Request | None = None
        self._answered = Answered()
        self._too_brief = 0
        self._key = 0
        self._outbox: Outbox[SubscriptionOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()

    @property
    def is_over(self) -> bool:
        return self.state is State.OVER

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be seen to its end before the flow is closed."""
        return self.state is not State.LEAVING

    # Commands

    def begin(self, *, now: float) -> None:
        """Subscribes. Gives Notified, at last SubscriptionEnded."""
        self.call_id = self._context.entropy.call_id()
        self.local_tag = self._context.entropy.tag()
        self._dialog = None
        self.state = State.PENDING
        rows = Headers()
        for route in self._identity.service_route:
            rows.add("Route", str(route))
        rows.add("Max-Forwards", "70")
        rows.add("From", str(self._identity.address.with_tag(self.local_tag)))
        rows.add("To", str(NameAddress(self._target)))
        rows.add("Call-ID", self.call_id)
        rows.add("CSeq", str(CSeq(1, "SUBSCRIBE")))
        for name, value in self._rows(self._expires):
            rows.add(name, value)
        self._answered = Answered()
        self._send(Request("SUBSCRIBE", self._target, rows), now)

    def end(self, *, now: float) -> None:
        """Wants no more of it. Gives SubscriptionEnded."""
        if self.state is State.ACTIVE and self._dialog is not None and self._identity.hop is not None:
            self.state = State.LEAVING
            self._subscribe(0, now)
        elif self.state is State.PENDING:
            self.state = State.LEAVING
        elif self.state is not State.LEAVING:
            self._finish(200)

    # Inputs

    def receive_response(self, key: int, response: Response, *, now: float) -> None:
        """A response to the SUBSCRIBE sent as `key`."""
        if key != self._key or response.status < 200 or self._request is None or self.is_over:
            return
        status, request = response.status, self._request
        if status in (401, 407):
            again = self._authenticator.authorize(request, response, self._answered)
            if again is not None:
                self._again(again, now)
                return
        if status == 423 and (least := response.min_expires) and least > self._expires:
            self._too_brief += 1
            if self._too_brief <= MAX_TOO_BRIEF:
                self._expires = least
                again = request.copy()
                again.headers.set("Expires", str(least))
                self._again(again, now)
                return
        if not 200 <= status < 300:
            # Section 4.1.2.2: 481 and the like end it; a refused refresh does not, but the time runs out.
            gone = status in (404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604)
            if self.state is State.ACTIVE and not gone:
                return
            self._finish(status)
            return
        self._too_brief = 0
        if self._dialog is None:
            self._dialog = Dialog.as_caller(request, response)
        else:
            self._dialog.refresh_target(response)
        if self.state is State.LEAVING and request.headers.get("Expires") != "0":
            self._subscribe(0, now)  # unsubscribed before there was a dialog to say it in
            return
        granted = response.expires
        if self.state is State.PENDING:
            self.state = State.ACTIVE
        if self.state is State.ACTIVE:
            self._arm(self._expires if granted is None else granted, now)

    def request_failed(self, key: int, reason: FailureReason, *, now: float) -> None:
        if key == self._key and not self.is_over:
            if self.state is State.ACTIVE and reason is FailureReason.TRANSPORT:
                self._timers.arm(Timer.REFRESH, now + MIN_REFRESH)
            else:
                self._finish(408 if reason is FailureReason.TIMEOUT else 503)

    def receive_notify(self, transaction: TransactionId, request: Request, *, now: float) -> None:
        """A NOTIFY with our Call-ID and tag."""
        try:
            event, state = request.event, SubscriptionState.of(request)
        except ParseError:
            self._respond(transaction, request, 400)
            return
        if event is None or event.package.lower() != self._event.lower() or self.state in (State.WAITING, State.OVER):
            self._respond(transaction, request, 481)
            return
        if self._dialog is None:
            # Section 4.4.1: a NOTIFY may overtake the 2xx, and makes the dialog then.
            self._dialog = Dialog.as_callee(request, self.local_tag)
            self._dialog.local_sequence = self._request.cseq.number if self._request is not None else 1
        elif self._dialog.id.remote_tag != (request.from_.tag or ""):
            self._respond(transaction, request, 481)  # another notifier of a forked SUBSCRIBE: one is enough
            return
        elif self._dialog.admit(request):
            self._respond(transaction, request, 500)
            return
        self._dialog.refresh_target(request)
        self._respond(transaction, request, 200)
        self._timers.cancel(Timer.N)
        media_type = request.content_type
        essence = media_type.essence if media_type is not None else ""
        self._outbox.put(Notified(self.name, self._event, state.state, essence, request.body))
        if state.state == "terminated":
            self._on_terminated(state, now)
            return
        if self.state is State.PENDING:
            self.state = State.ACTIVE
        seconds = state.seconds("expires")
        if seconds is not None and self.state is State.ACTIVE:
            self._arm(seconds, now, notified=True)

    def flow_ready(self, *, now: float) -> None:
        """The contact may be another one now."""
        if self.state is State.ACTIVE and self._dialog is not None:
            self._subscribe(self._expires, now)

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.REFRESH:
                    if self._identity.hop is not None:
                        self._subscribe(self._expires, now)
                case Timer.N:
                    self._finish(200 if self.state is State.LEAVING else 408)
                case Timer.AGAIN:
                    self.begin(now=now)
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> SubscriptionOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SubscriptionOutput]:
        return self._outbox.drain()

    # Small helpers

    def _rows(self, expires: int) -> HeaderRows:
        rows: HeaderRows = (
            ("Contact", str(self._identity.contact)),
            ("Event", self._event),
            ("Expires", str(expires)),
        )
        return (*rows, ("Accept", self._accept)) if self._accept else rows

    def _subscribe(self, expires: int, now: float) -> None:
        assert self._dialog is not None
        self._answered = Answered()
        self._send(self._dialog.request("SUBSCRIBE", self._rows(expires)), now)

    def _again(self, request: Request, now: float) -> None:
        if self._dialog is not None:
            request = self._dialog.again(request)
        else:
            request.headers.set("CSeq", str(CSeq(request.cseq.number + 1, "SUBSCRIBE")))
        self._send(request, now, fresh=False)

    def _send(self, request: Request, now: float, *, fresh: bool = True) -> None:
        if fresh:
            request = self._authenticator.preempt(request)
        self._request = request
        self._key += 1
        self._timers.cancel(Timer.REFRESH)
        # Section 4.1.2.4: "Timer N is set to 64*T1 [...] when a SUBSCRIBE request is sent".
        self._timers.arm(Timer.N, now + self._timing.timeout)
        self._outbox.put(SendRequest(self._key, request))

    def _arm(self, seconds: int, now: float, *, notified: bool = False) -> None:
        self._timers.arm(Timer.REFRESH, now + max(seconds / 2, MIN_REFRESH))
        if notified:
            self._timers.cancel(Timer.N)

    def _respond(self, transaction: TransactionId, request: Request, status: int) -> None:
        headers: HeaderRows = (("Contact", str(self._identity.contact)),) if status == 200 else ()
        self._outbox.put(SendResponse(transaction, request.response(status, to_tag=self.local_tag, headers=headers)))

    def _on_terminated(self, state: SubscriptionState, now: float) -> None:
        reason = (state.parameter("reason") or "").lower()
        if self.state is State.LEAVING:
            self._finish(200, reason)
            return
        wait = state.seconds("retry-after")
        if reason in _AT_ONCE or reason in _LATER:
            self._timers.clear()
            self.state = State.WAITING
            least = MIN_REFRESH if reason in _AT_ONCE else RETRY
            self._timers.arm(Timer.AGAIN, now + (least if wait is None else max(float(wait), MIN_REFRESH)))
        else:
            self._finish(200, reason)

    def _finish(self, status: int, reason: str = "") -> None:
        if not self.is_over:
            self.state = State.OVER
            self._timers.clear()
            self._outbox.put(SubscriptionEnded(self.name, status, reason))
