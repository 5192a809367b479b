"""The binding of our address of record to one flow of ours (RFC 3261 section 10.2, RFC 5626 section 4.2).

Theory of operation
-------------------
`register` says that a binding is wanted. From then on the machine keeps one, on whatever flow there is: it registers
when a flow comes up, refreshes well before the granted time is over, answers challenges, takes a longer time where the
registrar asks for one (423), and after a failure tries again with growing pauses. A failure before the first success
is final, however: whoever asked shall hear of it, and decide. `unregister` takes the binding away. There is one machine
for each reg-id of the account (`registrations`), and it knows no other line than its own.

All REGISTERs of one machine have one Call-ID, a rising CSeq, and one at a time is under way (section 10.2: "UAs MUST
NOT send a new registration [...] until they have received a final response from the registrar for the previous one or
the previous REGISTER request has timed out").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from types import MappingProxyType
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet

from .authorization import Answered, Authenticator
from .call_events import HeaderRows
from .dialog import MAX_FORWARDS
from .headers import STAR, CSeq, NameAddress
from .identity import SUPPORTED, Identity
from .lines import Line
from .message import Headers, Request, Response
from .redirection import redirect_contacts, status_is_redirect
from .screening import check_headers
from .status import cause_of
from .transaction_user import SendRequest
from .transactions.outputs import FailureReason
from .uri import SipUri, parse_uri

__all__ = [
    "TRANSITIONS",
    "Registered",
    "Registration",
    "RegistrationFailed",
    "RegistrationOutput",
    "RegistrationState",
    "RegistrationTimer",
    "Unregistered",
]

MIN_REFRESH = 1.0
"""Seconds between a 200 and the next REGISTER at the least, however short a time was granted."""

MAX_EXPIRES = 86_400
"""Seconds. A longer Min-Expires is no reason to believe in a registrar that forgets nothing for days."""

REFRESH_MARGIN = 40.0
"""Seconds before the end of a binding at which its refresh begins, where the binding lasts long enough: 32 s for a
transaction that gets no answer over a lossy network, and time for one more try."""

MAX_REBINDS = 3
"""Times on one flow that a new address seen by the server makes us register it: a NAT that shows another one each
time gains nothing by more."""


class RegistrationState(Enum):
    """RFC 3261 section 10.2, and ours::

           register()                     flow up               200
    IDLE ------------> WAITING ----------------> REGISTERING ---------> REGISTERED
     ^ ^                  ^ ^    flow lost          |  |   ^  refresh       |
     | |                  | +-----------------------+  |   +----------------+
     | | failure before   |                            |   |                |
     | | any success      |    flow lost               |   | pause is over  |
     | +------------------|----------------------------+   |                |
     |                    +------------- BACKING_OFF ------+                |
     |                                       ^  failure after a success     |
     | answer, failure, flow lost            |                 unregister() |
     +------------------------ UNREGISTERING <------------------------------+
    """

    IDLE = "idle"
    WAITING = "waiting for a flow"
    REGISTERING = "registering"
    REGISTERED = "registered"
    BACKING_OFF = "backing off"
    UNREGISTERING = "unregistering"


_S = RegistrationState

TRANSITIONS: Mapping[RegistrationState, frozenset[RegistrationState]] = MappingProxyType(
    {
        _S.IDLE: frozenset({_S.WAITING, _S.REGISTERING}),
        _S.WAITING: frozenset({_S.REGISTERING, _S.IDLE}),
        _S.REGISTERING: frozenset({_S.REGISTERED, _S.WAITING, _S.BACKING_OFF, _S.IDLE, _S.UNREGISTERING}),
        _S.REGISTERED: frozenset({_S.REGISTERING, _S.WAITING, _S.UNREGISTERING}),
        _S.BACKING_OFF: frozenset({_S.REGISTERING, _S.WAITING, _S.UNREGISTERING}),
        _S.UNREGISTERING: frozenset({_S.IDLE, _S.REGISTERING, _S.WAITING}),
    }
)


class RegistrationTimer(Enum):
    REFRESH = "the binding is refreshed"
    EXPIRED = "the binding is over"
    RETRY = "after a failure, the next try"


@dataclass(frozen=True, slots=True)
class Registered:
    """A binding was granted for `expires` seconds; again at each refresh. `headers` are those of the 200.

    `line` is its reg-id; `outbound`: the registrar tells the flows of one device apart by it.
    """

    expires: int
    headers: HeaderRows = field(default=(), compare=False, repr=False)
    line: int = 1
    outbound: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """No binding, or none any more. `status` is 0 where no server answered.

    Attributes:
        retry_in: seconds until the next try; None where there is none (`register` again).
        moved_to: the registrar to ask instead, where this one has said so (301, 302).
        retry_after: seconds after which the registrar wants to be asked again, where it has said so.
        headers: of the response, where there was one.
        line: its reg-id.
    """

    status: int
    cause: str
    retry_in: float | None = None
    moved_to: SipUri | None = None
    headers: HeaderRows = field(default=(), compare=False, repr=False)
    retry_after: int | None = None
    line: int = 1


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The binding is gone, or was given up."""


RegistrationOutput: TypeAlias = SendRequest | Registered | RegistrationFailed | Unregistered


class Registration:
    """Keeps the binding of one line of an account."""

    def __init__(self, context: Context, identity: Identity, line: Line, authenticator: Authenticator) -> None:
        self.state = RegistrationState.IDLE
        self._context = context
        self._identity = identity
        self._line = line
        self._authenticator = authenticator
        self._outbox: Outbox[RegistrationOutput] = Outbox()
        self._timers: TimerSet[RegistrationTimer] = TimerSet()
        self._call_id = context.entropy.call_id()
        self._tag = context.entropy.tag()
        self._sequence = 0
        self._key = 0
        self._request: Request | None = None
        self._answered = Answered()
        self._wanted = False
        self._succeeded = False  # since register() was called, or it is to go on as if it had
        self._failures = 0
        self._expires = identity.config.expires
        self._asked_longer = False
        self._outbound = True
        self._bound: SipUri | None = None  # what the registrar has of us
        self._rebinds = 0
        self._replaces = False  # the registrar knows flows by instance and reg-id

    @property
    def is_idle(self) -> bool:
        """Whether no answer is waited for."""
        return self.state not in (RegistrationState.REGISTERING, RegistrationState.UNREGISTERING)

    # Commands

    def register(self, *, persist: bool = False, now: float) -> None:
        """Asks for a binding, or refreshes it at once. Gives Registered or RegistrationFailed.

        `persist`: no failure is final, not even the first.
        """
        if not self._wanted:
            self._wanted = True
            self._succeeded = False
            self._failures = 0
        self._succeeded = self._succeeded or persist
        if self.state in (RegistrationState.REGISTERING, RegistrationState.UNREGISTERING):
            return  # one at a time; what is wanted decides after the answer
        self._begin(now)

    def unregister(self, *, now: float) -> None:
        """Takes the binding away. Gives Unregistered, at once where there is none or no flow to say it on."""
        self._wanted = False
        match self.state:
            case RegistrationState.IDLE | RegistrationState.WAITING:
                self._finish()
            case RegistrationState.REGISTERING | RegistrationState.UNREGISTERING:
                pass  # after the answer
            case RegistrationState.REGISTERED | RegistrationState.BACKING_OFF:
                self._send_removal(now)
            case _:
                assert_never(self.state)

    # Inputs

    def persist(self) -> None:
        """A failure of what is under way is no reason to give up."""
        self._succeeded = True

    def flow_ready(self, *, now: float) -> None:
        """`line` has a flow now. A binding that is wanted is made anew on it (RFC 5626 section 4.2)."""
        self._rebinds = 0
        if self._wanted:
            self._begin(now)

    def flow_lost(self, *, now: float) -> None:
        """The flow is gone; what was asked on it gets no answer."""
        self._request = None
        self._key += 1  # whatever is still told of the old request is old
        self._timers.clear()
        if self.state is RegistrationState.UNREGISTERING and not self._wanted:
            self._finish()
        elif self._wanted:
            self._enter(RegistrationState.WAITING)
        elif self.state is not RegistrationState.IDLE:
            self._finish()

    def receive_response(self, key: int, response: Response, *, now: float) -> None:
        """A response to the REGISTER sent as `key`."""
        if key != self._key or self._request is None or response.status < 200:
            return
        try:
            check_headers(response)
            after = response.retry_after
            longer = response.min_expires
            routes = response.service_routes
            moved = redirect_contacts(response) if status_is_redirect(response) else ()
        except ParseError:
            # Nothing can be learned from it, a failure least of all that it succeeded.
            self._fail(500, "SIP Failure Code", None, now)
            return
        request, self._request = self._request, None
        removing = self.state is RegistrationState.UNREGISTERING
        status = response.status
        if status in (401, 407):
            again = self._authenticator.authorize(request, response, self._answered)
            if again is not None and (self._wanted or removing):
                self._send(again)
                return
        if removing:
            self._after_removal(now)
        elif 200 <= status < 300:
            self._authenticator.accepted(request, response)
            self._on_success(response, routes, now)
        elif status == 423 and longer is not None and self._expires < longer <= MAX_EXPIRES and not self._asked_longer:
            # RFC 3261 section 10.2.8: "If a UA receives a 423 (Interval Too Brief) response, it MAY retry the
            # registration after making the expiration interval of all contact addresses in the REGISTER request
            # equal to or greater than the expiration interval within the Min-Expires header field".
            self._asked_longer = True
            self._expires = longer
            self._begin(now)
        elif status == 439 and self._outbound:
            # RFC 5626 section 11.6: "439 (First Hop Lacks Outbound Support)": once more, without it.
            self._outbound = False
            self._begin(now)
        else:
            self._fail(status, cause_of(status), after, now, moved[0] if moved else None, tuple(response.headers))

    def request_failed(self, key: int, reason: FailureReason, *, now: float) -> None:
        """The REGISTER sent as `key` gets no response."""
        if key != self._key or self._request is None:
            return
        self._request = None
        if self.state is RegistrationState.UNREGISTERING:
            self._after_removal(now)
        else:
            self._fail(0, "Request Timeout" if reason is FailureReason.TIMEOUT else "Connection Error", None, now)

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case RegistrationTimer.REFRESH | RegistrationTimer.RETRY:
                    self._begin(now)
                case RegistrationTimer.EXPIRED:
                    # Refreshes have failed for so long that the registrar has forgotten us.
                    self._bound = None
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> RegistrationOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[RegistrationOutput]:
        return self._outbox.drain()

    # Requests

    def _begin(self, now: float) -> None:
        """Registers on the present flow, or waits for one."""
        self._timers.cancel(RegistrationTimer.REFRESH, RegistrationTimer.RETRY)
        if self._line.hop is None:
            self._enter(RegistrationState.WAITING)
            return
        binding = self._line.binding(self._identity.config.address)
        contacts = [self._contact(binding, self._expires)]
        if self._bound is not None and not self._bound.equivalent(binding) and not self._replaces:
            # Such a registrar takes a new address for a second device; the old one has to go.
            contacts.append(NameAddress(self._bound, None, (("expires", "0"),)))
        self._answered = Answered()
        self._enter(RegistrationState.REGISTERING)
        self._send(self._authenticator.preempt(self._build(contacts, self._expires)))

    def _send_removal(self, now: float) -> None:
        self._timers.clear()
        if self._line.hop is None:
            self._finish()
            return
        # RFC 3261 section 10.2.2: "by specifying an expiration interval of "0" for that contact address in a REGISTER
        # request. UAs SHOULD support this mechanism so that bindings can be removed before their expiration interval
        # has passed."
        self._answered = Answered()
        self._enter(RegistrationState.UNREGISTERING)
        contacts = [self._contact(self._bound or self._line.binding(self._identity.config.address), 0)]
        self._send(self._authenticator.preempt(self._build(contacts, 0)))

    def _send(self, request: Request) -> None:
        self._sequence += 1
        self._key += 1
        request = request.copy()
        request.headers.set("CSeq", str(CSeq(self._sequence, "REGISTER")))
        self._request = request
        self._outbox.put(SendRequest(self._key, request))

    def _build(self, contacts: list[NameAddress], expires: int) -> Request:
        config = self._identity.config
        registrar = config.registrar or SipUri(config.address.host, port=config.address.port)
        headers = Headers()
        headers.add("Max-Forwards", MAX_FORWARDS)
        headers.add("From", str(self._identity.address.with_tag(self._tag)))
        headers.add("To", str(self._identity.address))
        headers.add("Call-ID", self._call_id)
        headers.add("CSeq", str(CSeq(self._sequence, "REGISTER")))
        for contact in contacts:
            headers.add("Contact", str(contact))
        headers.add("Expires", str(expires))
        headers.add("Supported", ", ".join(("path", *SUPPORTED)))
        for name, value in self._identity.extra():
            headers.add(name, value)
        return Request("REGISTER", registrar, headers)

    def _contact(self, binding: SipUri, expires: int) -> NameAddress:
        instance = self._identity.config.instance
        parameters: HeaderRows = ()
        if instance:
            parameters = (("+sip.instance", f"<{instance}>"),)
            if self._outbound and self._line.has_server:
                # RFC 5626 section 4.2.1: which of our flows this is.
                parameters = (("reg-id", str(self._line.number)), *parameters)
        return NameAddress(binding, None, (*parameters, ("expires", str(expires))))

    # Results

    def _on_success(self, response: Response, routes: tuple[NameAddress, ...], now: float) -> None:
        own = self._own_binding(response)
        granted = self._granted(response, own)
        if granted <= 0:
            self._fail(response.status, "SIP Failure Code", None, now)
            return
        self._bound = self._line.binding(self._identity.config.address)
        self._failures = 0
        self._asked_longer = False
        self._succeeded = True
        self._line.service_route = routes
        self._replaces = any(option.lower() == "outbound" for option in response.require)
        self._line.gruu = _gruu(own, self._identity.config.gruu)
        if not self._wanted:
            self._send_removal(now)
            return
        self._line.registered = True
        self._enter(RegistrationState.REGISTERED)
        self._outbox.put(Registered(granted, tuple(response.headers), self._line.number, self._replaces))
        # A spread, so that a thousand phones that registered when a server came up do not come back as one.
        margin = min(max(REFRESH_MARGIN, granted / 10), granted / 2)
        spread = 1 - self._context.entropy.fraction("refresh") / 10
        self._timers.arm(RegistrationTimer.REFRESH, now + max(MIN_REFRESH, (granted - margin) * spread))
        self._timers.arm(RegistrationTimer.EXPIRED, now + granted)
        if self._rebinds < MAX_REBINDS and self._line.learn(response.top_via):
            self._rebinds += 1
            self._begin(now)

    def _after_removal(self, now: float) -> None:
        self._bound = None
        if self._wanted:
            self._begin(now)
        else:
            self._finish()

    def _fail(
        self,
        status: int,
        cause: str,
        after: int | None,
        now: float,
        moved_to: SipUri | None = None,
        headers: HeaderRows = (),
    ) -> None:
        self._request = None
        self._line.registered = False
        if not self._wanted:
            # Taken back while it was under way: unless the registrar has said no, it may know us now.
            if status and self._bound is None:
                self._finish()
            else:
                self._send_removal(now)
            return
        if not self._succeeded:
            self._wanted = False
            self._timers.clear()
            self._enter(RegistrationState.IDLE)
            self._outbox.put(RegistrationFailed(status, cause, None, moved_to, headers, after, self._line.number))
            return
        self._failures += 1
        delay = self._back_off(after)
        self._enter(RegistrationState.BACKING_OFF)
        self._timers.arm(RegistrationTimer.RETRY, now + delay)
        self._outbox.put(RegistrationFailed(status, cause, delay, moved_to, headers, after, self._line.number))

    def _finish(self) -> None:
        """No binding any more, as was wanted."""
        self._timers.clear()
        self._request = None
        self._bound = None
        self._line.registered = False
        self._line.gruu = None
        self._line.service_route = ()
        if self.state is not RegistrationState.IDLE:
            self._enter(RegistrationState.IDLE)
        self._outbox.put(Unregistered())

    def _back_off(self, after: int | None) -> float:
        """Seconds until the next try."""
        # RFC 5626 section 4.5: "upper-bound = min(max-time, base-time * 2 ^ consecutive-failures)"; the wait is a
        # random time between half of it and all of it.
        base, limit = self._identity.config.retry
        bound = min(limit, base * 2.0 ** min(self._failures - 1, 16))
        wait = bound * (0.5 + self._context.entropy.fraction("back_off") / 2)
        if after is not None:
            # RFC 3261 section 20.33: when the service is expected to be there again; no sooner.
            wait = max(wait, float(min(after, MAX_EXPIRES)))
        return wait

    def _own_binding(self, response: Response) -> NameAddress | None:
        """Our row among the bindings of the address of record, which may be those of many devices."""
        instance, number = self._identity.config.instance, str(self._line.number)
        binding = self._line.binding(self._identity.config.address)
        contacts = [contact for contact in response.contacts if contact is not STAR]
        ours = [
            contact
            for contact in contacts
            if instance and (contact.parameter("+sip.instance") or "").strip("<>").lower() == instance.lower()
        ]
        # RFC 5626 section 4.2.1: instance and reg-id name the binding, whatever its URI.
        numbered = (contact for contact in ours if contact.parameter("reg-id") == number)
        same = (contact for contact in contacts if contact.uri.equivalent(binding))
        unnumbered = (contact for contact in ours if contact.parameter("reg-id") is None)
        return next(chain(numbered, same, unnumbered), None)

    def _granted(self, response: Response, own: NameAddress | None) -> int:
        """Seconds."""
        # RFC 3261 section 10.2.4: "The 200 (OK) response [...] will contain a list of Contact fields enumerating all
        # current bindings. The UA compares each contact address to see if it created the contact address [...]. If
        # so, it updates the expiration time interval according to the expires parameter or, if absent, the Expires
        # field value."
        text = own.parameter("expires") if own is not None else None
        if text and text.isascii() and text.isdigit() and len(text) <= 10:
            return min(int(text), MAX_EXPIRES)
        if response.expires is not None:
            return min(response.expires, MAX_EXPIRES)
        return self._expires

    def _enter(self, state: RegistrationState) -> None:
        assert state is self.state or state in TRANSITIONS[self.state], (self.state, state)
        self.state = state


def _gruu(own: NameAddress | None, kind: str) -> SipUri | None:
    """The GRUU of a binding, of the kind asked for (RFC 5627 section 4.2)."""
    names = {"public": "pub-gruu", "temporary": "temp-gruu"}
    text = own.parameter(names[kind]) if own is not None and kind in names else None
    if not text:
        return None
    try:
        uri = parse_uri(text)
    except ParseError:
        return None
    return uri if isinstance(uri, SipUri) else None
