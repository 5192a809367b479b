"""The stateful proxy (RFC 3261 section 16): forks, and joins what comes back.

Theory of operation
-------------------
A request that is let through is a *fork*: its server transaction, and one client transaction for each target. Rows of
section 16.7 say what becomes of responses: 1xx and 2xx go back at once; a 2xx or 6xx to INVITE cancels the other
branches; of the rest the best goes back when all branches are done. A fork is forgotten when its last branch is.

A device with several flows is one target: the next of its flows is tried where one has failed (430, 408, transport,
silence) before anything but 100 has come by it, so no device is called twice.

Targets of lower preference (`q`) wait until all of a higher one have failed. A 3xx whose contacts we go to is not kept:
they become targets (`Redirection`, which the server answers by `redirected`).

    request ---> fork ---> branch ---> 1xx: back at once
                   |          |-----> 2xx: back at once, other branches cancelled
                   |          |-----> 3xx: its contacts are further branches; without any, kept
                   |          |-----> 4xx-6xx: kept
                   |          +-----> nothing: 408, transport lost: 503; kept
                   +-- all branches done, nothing sent yet: the next targets; without any, the best of what was kept

The proxy speaks through the server's one transaction layer; the server drains that, and brings what it says here.
"""

from dataclasses import dataclass, field, replace

from sansio_sip.context import Context
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sip.headers import Via
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.redirection import redirect_contacts, status_is_redirect
from sansio_sip.sip.transactions import FailureReason, TransactionId, TransactionLayer
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri, Uri
from sansio_sip.timers import Deadlines

from .flow_token import FlowTokens
from .forwarding import (
    DEMOTED,
    choose_best,
    forwarded_request,
    forwarded_response,
    with_challenges,
)
from .own_names import OwnNames
from .router import Target

__all__ = ["Proxy", "ProxyCounters", "Redirection"]

# Targets of one request, those that 3xx responses add among them (RFC 5393: forks that fork again grow without bound).
MAX_TARGETS = 32

# RFC 3261 section 16.6 step 11: "Timer C MUST be set for each client transaction when an INVITE request is proxied.
# The timer MUST be larger than 3 minutes."
TIMER_C = 181.0

# RFC 5626 section 7: the flow to a device has failed, and the device has not said a word.
FLOW_FAILED = frozenset({408, 430})

# RFC 3326 section 3.1: so that the other devices of a user show no missed call.
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'

_Rows = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class ProxyCounters:
    """Since the server was made."""

    forwarded: int = 0
    redirected: int = 0
    overload: int = 0
    stray_acks: int = 0


@dataclass(slots=True)
class _Fork:
    """One request under way."""

    server: TransactionId
    request: Request
    came_on: Hop
    mark: str
    drop_credentials: bool
    later: list[Target] = field(default_factory=list)  # of lower preference than those that are tried, best first
    tried: list[Uri] = field(default_factory=list)
    waiting: set[TransactionId] = field(default_factory=set)  # branches without a final response
    alive: set[TransactionId] = field(default_factory=set)
    kept: list[Response] = field(default_factory=list)
    answered: bool = False
    cancelled: bool = False
    marks: _Rows = ()  # set in each response that goes back


@dataclass(frozen=True, slots=True)
class Redirection:
    """A branch got a 3xx: where to, and in which request's fork. To be answered by `Proxy.redirected`."""

    server: TransactionId
    uris: tuple[SipUri, ...]
    response: Response


class Proxy:
    """All forks of a server."""

    def __init__(
        self, context: Context, layer: TransactionLayer, names: OwnNames, tokens: FlowTokens, *, max_pending: int
    ) -> None:
        self._context = context
        self._layer = layer
        self._names = names
        self._tokens = tokens
        self._max_pending = max_pending
        self._forks: dict[TransactionId, _Fork] = {}  # by server transaction
        self._branches: dict[TransactionId, _Fork] = {}  # by client transaction
        self._others: dict[TransactionId, tuple[Target, ...]] = {}  # other flows of the device, by client transaction
        self._timer_c: Deadlines[TransactionId] = Deadlines()
        self.counters = ProxyCounters()

    def __len__(self) -> int:
        return len(self._forks)

    @property
    def is_full(self) -> bool:
        """Whether no more requests can be taken in."""
        return len(self._forks) >= self._max_pending

    # From the server

    def forward(
        self,
        transaction: TransactionId,
        request: Request,
        targets: tuple[Target, ...],
        came_on: Hop,
        mark: str,
        *,
        drop_credentials: bool,
        marks: _Rows = (),
        now: float,
    ) -> None:
        """Sends a request on to each target.

        Args:
            came_on: the hop that the request came on; recorded, so that requests of the far side find back.
            mark: the `loop_mark` of the request as it came in.
            marks: rows that are set in each response that goes back.
        """
        fork = self._forks[transaction] = _Fork(transaction, request, came_on, mark, drop_credentials, marks=marks)
        fork.later = list(targets[:MAX_TARGETS])
        self._go_on(fork, now)

    def redirected(self, redirection: Redirection, targets: tuple[Target, ...], *, now: float) -> None:
        """Where a 3xx leads to. Without a target the 3xx itself is kept: the caller may know better."""
        fork = self._forks.get(redirection.server)
        if fork is None:
            return
        left = MAX_TARGETS - len(fork.tried) - len(fork.later)
        known = [*fork.tried, *(target.uri for target in fork.later)]
        new = [target for target in targets if target.uri not in known][: max(left, 0)]
        if fork.answered or not new:
            fork.kept.append(redirection.response)
            self._go_on(fork, now)
            return
        # RFC 3261 section 16.5: what a 3xx names is added to the target set, in the order of its own preferences; it
        # stands in for the target that has sent us there, so it does not wait for others.
        self.counters.redirected += 1
        self._start(fork, new, now)
        self._go_on(fork, now)

    def forward_ack(self, ack: Request, target: Target, *, now: float) -> None:
        """Sends the ACK of a 2xx on; it belongs to no transaction and gets no answer."""
        via = self._via(target.hop, self._context.entropy.branch())
        copy = forwarded_request(ack, target.uri, via, drop_credentials=True)
        self._layer.send(copy, target.hop, now=now)

    def cancel(self, transaction: TransactionId, headers: _Rows = (), *, now: float) -> None:
        """Cancels the branches of a request (section 16.10); nothing happens where it is not under way."""
        fork = self._forks.get(transaction)
        if fork is not None:
            fork.cancelled = True
            fork.later.clear()
            self._cancel_branches(fork, headers, now)

    # From the transaction layer

    def response_received(self, client: TransactionId, response: Response, *, now: float) -> Redirection | None:
        """A response to a branch. What is returned wants an answer before anything else is told."""
        fork = self._branches.get(client)
        copy = forwarded_response(response) if fork is not None else None
        if fork is None or copy is None:
            return None
        status = response.status
        for name, value in fork.marks:
            copy.headers.set(name, value)
        is_invite = fork.request.method == "INVITE"
        if status < 200:
            # RFC 3261 section 16.7 step 2: timer C is reset by each provisional response but 100. RFC 4320 section
            # 4.1: none but 100 is sent for other methods.
            if status > 100:
                self._others.pop(client, None)  # the device has been reached: what it says from here on holds
            if status > 100 and is_invite and client in fork.waiting:
                self._timer_c.update(client, now + TIMER_C)
                if not fork.answered:
                    self._layer.respond(fork.server, copy, now=now)
            return None
        fork.waiting.discard(client)
        self._timer_c.remove(client)
        if status < 300:
            # Section 16.7 step 5: a 2xx to INVITE goes back even after another final response was sent.
            if is_invite or not fork.answered:
                fork.answered = True
                self._layer.respond(fork.server, copy, now=now)
            fork.later.clear()
            self._cancel_branches(fork, (("Reason", ELSEWHERE),), now)
            return None
        if status_is_redirect(response) and not fork.answered and not fork.cancelled:
            try:
                uris = redirect_contacts(response)
            except ParseError:
                uris = ()
            if uris:
                return Redirection(fork.server, uris, copy)
        if status in FLOW_FAILED and self._by_another_flow(fork, client, now):
            return None
        fork.kept.append(copy)
        if status >= 600:
            # Section 16.7 step 5: "When a 6xx response is received, it is not immediately forwarded, but the stateful
            # proxy SHOULD cancel all client pending transactions".
            fork.later.clear()
            self._cancel_branches(fork, (), now)
        self._go_on(fork, now)
        return None

    def failed(self, transaction: TransactionId, reason: FailureReason, *, now: float) -> None:
        """A branch got no final response, or there is no way back any more."""
        if transaction in self._forks:
            fork = self._forks[transaction]
            fork.answered = True
            fork.later.clear()
            self._cancel_branches(fork, (), now)
            return
        branch_of = self._branches.get(transaction)
        if branch_of is None or transaction not in branch_of.waiting:
            return
        branch_of.waiting.discard(transaction)
        self._timer_c.remove(transaction)
        if self._by_another_flow(branch_of, transaction, now):
            return
        if reason is FailureReason.TRANSPORT:
            # RFC 3261 section 16.9: "the proxy MUST behave as if the forwarded request received a 503".
            branch_of.kept.append(self._own_response(branch_of, DEMOTED))
        elif branch_of.request.method == "INVITE":
            branch_of.kept.append(self._own_response(branch_of, 408))
        # RFC 4320 section 4.2: no 408 for other methods; whoever has asked has given up by now.
        self._go_on(branch_of, now)

    def terminated(self, transaction: TransactionId) -> None:
        """A transaction is gone."""
        fork = self._branches.pop(transaction, None)
        self._others.pop(transaction, None)
        if fork is not None:
            self._timer_c.remove(transaction)
            fork.alive.discard(transaction)
            self._forget_when_over(fork)

    def handle_timeout(self, *, now: float) -> None:
        for client in self._timer_c.due(now):
            # RFC 3261 section 16.8: "If the client transaction has received a provisional response, the proxy MUST
            # generate a CANCEL request matching that transaction." Had it received none, timer B would have ended it.
            self._layer.cancel(client, now=now)

    def next_timeout(self) -> float | None:
        return self._timer_c.next()

    # Forks

    def _cancel_branches(self, fork: _Fork, headers: _Rows, now: float) -> None:
        if fork.request.method == "INVITE":
            for client in sorted(fork.waiting):
                self._layer.cancel(client, headers=headers, now=now)

    def _go_on(self, fork: _Fork, now: float) -> None:
        """Tries the next targets where all before have failed; answers where there are none."""
        while fork.later and not fork.waiting and not fork.answered:
            best = fork.later[0].preference
            group = [target for target in fork.later if target.preference == best]
            fork.later = [target for target in fork.later if target.preference != best]
            self._start(fork, group, now)
        self._answer_when_done(fork, now)
        self._forget_when_over(fork)

    def _start(self, fork: _Fork, targets: list[Target], now: float) -> None:
        """Begins a branch for each target."""
        request = fork.request
        for target in targets:
            fork.tried.append(target.uri)
            branch = f"{self._context.entropy.branch()}-{fork.mark}"
            copy = forwarded_request(
                request,
                target.uri,
                self._via(target.hop, branch),
                (self._route(target.hop), self._route(fork.came_on)),
                path=target.path,
                drop_credentials=fork.drop_credentials,
            )
            try:
                client = self._layer.request(copy, target.hop, now=now)
            except LocalProtocolError:  # too many transactions
                fork.kept.append(self._own_response(fork, DEMOTED))
                continue
            self.counters.forwarded += 1
            fork.waiting.add(client)
            fork.alive.add(client)
            self._branches[client] = fork
            if target.others:
                self._others[client] = target.others
            if request.method == "INVITE":
                self._timer_c.update(client, now + TIMER_C)

    def _by_another_flow(self, fork: _Fork, client: TransactionId, now: float) -> bool:
        """Sends the request to the device again by its next flow (RFC 5626 section 7). False where there is none."""
        others = self._others.pop(client, ())
        if not others or fork.answered or fork.cancelled:
            return False
        self._start(fork, [replace(others[0], others=others[1:])], now)
        self._go_on(fork, now)
        return True

    def _answer_when_done(self, fork: _Fork, now: float) -> None:
        if fork.waiting or fork.answered or not fork.kept:
            return
        fork.answered = True
        best = choose_best(fork.kept)
        if best.status == DEMOTED:
            best = self._own_response(fork, 500)
        self._layer.respond(fork.server, with_challenges(best, fork.kept), now=now)

    def _forget_when_over(self, fork: _Fork) -> None:
        if not fork.alive:
            self._forks.pop(fork.server, None)

    def _own_response(self, fork: _Fork, status: int) -> Response:
        return fork.request.response(status, to_tag=self._context.entropy.tag())

    def _via(self, hop: Hop, branch: str) -> Via:
        local = self._names.local(hop)
        # RFC 3581 section 3: so that responses find back where our own address is not what we think it is.
        rport = (("rport", None),) if hop.transport == "UDP" else ()
        return Via(hop.transport, local.host, local.port, (("branch", branch), *rport))

    def _route(self, hop: Hop) -> SipUri:
        return self._names.route_uri(hop, self._tokens.make(hop))
