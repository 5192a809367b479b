"""What a user agent says outside of calls: MESSAGE (RFC 3428), OPTIONS, and its subscriptions.

A row of `Standalone` is one request, or one subscription. Its transactions are the user agent's to carry out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import Outbox
from sansio_sip.timers import Deadlines

from .authorization import Answered, Authenticator
from .call_events import NO_ANSWER, NO_FLOW, HeaderRows
from .headers import CSeq, NameAddress
from .identity import Identity
from .message import Headers, Request, Response
from .status import cause_of
from .subscription import Notified, Subscription, SubscriptionEnded, SubscriptionId
from .transaction_user import SendRequest, SendResponse
from .transactions.outputs import FailureReason, TransactionId
from .transactions.timing import Timing
from .uri import SipUri

__all__ = ["RequestAnswered", "Standalone", "StandaloneEvent", "StandaloneOutput"]


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """What has become of a MESSAGE or OPTIONS of ours; `status` is 408 or 503 where no response came."""

    request: int
    method: str
    status: int
    cause: str
    headers: HeaderRows = ()


StandaloneEvent: TypeAlias = RequestAnswered | Notified | SubscriptionEnded
StandaloneOutput: TypeAlias = SendRequest | SendResponse | StandaloneEvent


@dataclass(slots=True)
class _Row:
    """A request: its name, and what it was the last time it went out."""

    name: int
    request: Request
    answered: Answered


class Standalone:
    """The machine. The keys of its `SendRequest` are its own."""

    def __init__(self, context: Context, identity: Identity, authenticator: Authenticator, timing: Timing) -> None:
        self._context = context
        self._identity = identity
        self._authenticator = authenticator
        self._timing = timing
        self._serial = 0
        self._requests: dict[int, _Row] = {}
        self._subscriptions: dict[SubscriptionId, Subscription] = {}
        self._by_dialog: dict[tuple[str, str], SubscriptionId] = {}
        self._keys: dict[int, tuple[SubscriptionId, int]] = {}  # of a subscription's requests: its own key
        self._outbox: Outbox[StandaloneOutput] = Outbox()
        self._deadlines: Deadlines[SubscriptionId] = Deadlines()

    @property
    def is_idle(self) -> bool:
        return not self._requests and all(row.is_idle for row in self._subscriptions.values())

    # Commands

    def request(self, method: str, target: SipUri, headers: HeaderRows, body: bytes, *, now: float) -> int:
        """Sends a request outside of calls. Gives RequestAnswered with the number that is returned.

        Raises:
            LocalProtocolError: too many wait for an answer.
        """
        if len(self._requests) >= self._identity.config.limits.requests:
            waiting = len(self._requests)
            raise LocalProtocolError(f"cannot send {method}: {waiting} requests wait for an answer; wait as well")
        rows = Headers()
        for route in self._identity.service_route:
            rows.add("Route", str(route))
        rows.add("Max-Forwards", "70")
        rows.add("From", str(self._identity.address.with_tag(self._context.entropy.tag())))
        rows.add("To", str(NameAddress(target)))
        rows.add("Call-ID", self._context.entropy.call_id())
        rows.add("CSeq", str(CSeq(1, method)))
        for name, value in headers:
            rows.add(name, value)
        request = self._authenticator.preempt(Request(method, target, rows, body))
        key = self._next_key()
        self._requests[key] = _Row(key, request, Answered())
        self._outbox.put(SendRequest(key, request))
        return key

    def subscribe(self, target: SipUri, event: str, accept: str, expires: int, *, now: float) -> SubscriptionId:
        """Gives Notified any number of times, at last SubscriptionEnded.

        Raises:
            LocalProtocolError: too many subscriptions.
        """
        if len(self._subscriptions) >= self._identity.config.limits.subscriptions:
            alive = len(self._subscriptions)
            raise LocalProtocolError(f"cannot subscribe: {alive} subscriptions are alive; end one first")
        name = SubscriptionId(f"subscription{self._next_key()}")
        row = Subscription(
            self._context,
            self._identity,
            self._authenticator,
            self._timing,
            name,
            target,
            event,
            accept,
            expires,
        )
        self._subscriptions[name] = row
        row.begin(now=now)
        self._drain(row)
        return name

    def unsubscribe(self, subscription: SubscriptionId, *, now: float) -> None:
        """Raises LocalProtocolError where there is none of that name."""
        row = self._subscriptions.get(subscription)
        if row is None:
            raise LocalProtocolError(f"there is no subscription {subscription!r}; it has ended or never was")
        row.end(now=now)
        self._drain(row)

    # Inputs

    def receive_response(self, key: int, response: Response, *, now: float) -> None:
        if key in self._keys:
            name, own = self._keys[key]
            if (row := self._subscriptions.get(name)) is not None:
                row.receive_response(own, response, now=now)
                self._drain(row)
            return
        found = self._requests.get(key)
        if found is None or response.status < 200:
            return
        if response.status in (401, 407):
            again = self._authenticator.authorize(found.request, response, found.answered)
            if again is not None:
                again.headers.set("CSeq", str(CSeq(found.request.cseq.number + 1, again.method)))
                del self._requests[key]
                key = self._next_key()
                self._requests[key] = _Row(found.name, again, found.answered)
                self._outbox.put(SendRequest(key, again))
                return
        self._answer(key, response.status, tuple(response.headers))

    def request_failed(self, key: int, reason: FailureReason, *, now: float) -> None:
        if key in self._keys:
            name, own = self._keys[key]
            if (row := self._subscriptions.get(name)) is not None:
                row.request_failed(own, reason, now=now)
                self._drain(row)
        elif key in self._requests:
            end = NO_ANSWER if reason is FailureReason.TIMEOUT else NO_FLOW
            failed = self._requests.pop(key)
            self._outbox.put(RequestAnswered(failed.name, failed.request.method, end.status, end.cause))

    def transaction_ended(self, key: int) -> None:
        self._keys.pop(key, None)

    def notified(self, transaction: TransactionId, request: Request, *, now: float) -> bool:
        """A NOTIFY. False where it belongs to no subscription of ours."""
        name = self._by_dialog.get((request.call_id, request.to.tag or ""))
        row = self._subscriptions.get(name) if name is not None else None
        if row is None:
            return False
        row.receive_notify(transaction, request, now=now)
        self._drain(row)
        return True

    def flow_ready(self, *, now: float) -> None:
        for row in tuple(self._subscriptions.values()):
            row.flow_ready(now=now)
            self._drain(row)

    def handle_timeout(self, *, now: float) -> None:
        for name in self._deadlines.due(now):
            row = self._subscriptions[name]
            row.handle_timeout(now=now)
            self._drain(row)

    def next_timeout(self) -> float | None:
        return self._deadlines.next()

    def poll_output(self) -> StandaloneOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[StandaloneOutput]:
        return self._outbox.drain()

    # Small helpers

    def _next_key(self) -> int:
        self._serial += 1
        return self._serial

    def _answer(self, key: int, status: int, headers: HeaderRows) -> None:
        row = self._requests.pop(key)
        self._outbox.put(RequestAnswered(row.name, row.request.method, status, cause_of(status), headers))

    def _drain(self, row: Subscription) -> None:
        for output in row.outputs():
            match output:
                case SendRequest():
                    key = self._next_key()
                    self._keys[key] = (row.name, output.key)
                    self._by_dialog[row.call_id, row.local_tag] = row.name
                    self._outbox.put(SendRequest(key, output.request))
                case SendResponse() | Notified() | SubscriptionEnded():
                    self._outbox.put(output)
                case _:
                    assert_never(output)
        for dialog in [dialog for dialog, name in self._by_dialog.items() if name == row.name]:
            if row.is_over or dialog != (row.call_id, row.local_tag):
                del self._by_dialog[dialog]
        if row.is_over:
            self._subscriptions.pop(row.name, None)
            self._deadlines.remove(row.name)
        else:
            self._deadlines.update(row.name, row.next_timeout())
