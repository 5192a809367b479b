"""The server: the root machine that joins sockets, transactions, registrar and proxy.

Theory of operation
-------------------
    octets -> FlowTable -> message -> TransactionLayer -> request  -> screening -> Registrar | Proxy | own answer
                                                       -> response -> Proxy

One server stands for one domain. It asks its users for their passwords, remembers by which flow each device of theirs
is reached, and forwards requests between devices. Nothing is relayed to anybody else: it is no way out to the network.

It records two Routes in each request that may begin a dialog, one towards each side, whose user part is a signed token
of the flow there (see `flow_token`). So the requests of a dialog, ACK, BYE, re-INVITE, find a browser that has no
address but the WebSocket it has opened.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TypeAlias, assert_never

from sansio_sip.auth import TOKEN_HEADER, AccessToken
from sansio_sip.context import Context
from sansio_sip.effects import (
    Address,
    CloseFlow,
    Effect,
    FlowId,
    Listen,
    OpenDatagram,
    OpenStream,
    Record,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
)
from sansio_sip.errors import ParseError
from sansio_sip.sip.message import Request
from sansio_sip.sip.transactions import (
    Acknowledged,
    Failed,
    LayerOutput,
    RequestReceived,
    ResponseReceived,
    SendMessage,
    StrayResponse,
    Terminated,
    TransactionId,
    TransactionLayer,
)
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri, Uri
from sansio_sip.trace import RecordedOutbox, recorded

from .access_tokens import BAD_SUBJECT, TOO_MANY
from .admin import ADMIN, answer_admin
from .authenticator import Authenticator, token_refusal
from .bindings import BindingTable
from .events import ServerEvent, ServerFailed, ServerListening
from .flow_token import FlowTokens
from .flows import FlowEnded, FlowTable, MessageArrived
from .forwarding import loop_mark
from .gruu import GruuTable
from .options import ServerOptions
from .own_names import OwnNames
from .proxy import Proxy
from .registrar import TOO_MANY_BINDINGS, Granted, Registrar
from .router import Refusal, Routed, Router

__all__ = ["Server", "ServerOutput"]

ServerOutput: TypeAlias = Effect | ServerEvent

# Methods that are answered for the server itself; a proxy forwards any.
OWN_METHODS = "OPTIONS, REGISTER"

# Sent once, and forgotten: whoever has not shown a password yet must not make us keep anything, or send anything twice.
CHALLENGES = (401, 407)

# Of Require in a REGISTER and of Proxy-Require: Path, Outbound and GRUU (RFC 3327, RFC 5626, RFC 5627).
SUPPORTED = frozenset({"path", "outbound", "gruu"})

RETRY_AFTER = ("Retry-After", "32")  # seconds: what is under way has ended by then, one way or the other


class Server:
    """The root machine of a registrar and proxy. Opens its listeners at once; `ServerListening` tells of each.

    Raises:
        ValueError: from `ServerOptions`, never later.
    """

    def __init__(self, context: Context, options: ServerOptions | None = None) -> None:
        self._context = context
        self._options = options or ServerOptions()
        self._outbox: RecordedOutbox[ServerOutput] = RecordedOutbox(context.trace)
        self._names = OwnNames(self._options.domain)
        self._tokens = FlowTokens(context)
        self._flows = FlowTable(context, self._options)
        self._layer = TransactionLayer(context, max_transactions=self._options.max_transactions)
        self._bindings = BindingTable()
        self._gruus = GruuTable(context, self._options.domain.strip("[]"))
        self._registrar = Registrar(self._options, self._bindings, self._gruus)
        self._authenticator = Authenticator(context, self._options)
        self._router = Router(self._options, self._names, self._tokens, self._flows, self._bindings, self._gruus)
        self._proxy = Proxy(context, self._layer, self._names, self._tokens, max_pending=self._options.max_pending)
        self._flows.open()
        self._pass_effects()

    # Queries

    @property
    def counters(self) -> dict[str, int]:
        """How often each thing happened that no event tells of, since the start."""
        return {
            **asdict(self._flows.gate.counters),
            **asdict(self._flows.counters),
            **asdict(self._layer.counters),
            **asdict(self._proxy.counters),
        }

    @property
    def urls(self) -> tuple[str, ...]:
        """Of the listeners that are open."""
        return tuple(f"{transport.lower()}://{address}" for transport, address in self._flows.locals())

    def is_idle(self) -> bool:
        """Whether no request is under way and no transaction lingers."""
        return not len(self._proxy) and not len(self._layer)

    # Commands

    @recorded
    def close(self, *, now: float) -> None:
        """Closes all streams and listeners. Users are not told; their bindings are gone."""
        self._flows.close(now=now)
        self._drain(now)

    # Inputs

    @recorded
    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        self._flows.flow_opened(flow, local, now=now)
        self._drain(now)

    @recorded
    def flow_accepted(
        self,
        listener: FlowId,
        flow: FlowId,
        local: Address,
        remote: Address,
        peer: TlsPeer | None = None,
        *,
        now: float,
    ) -> None:
        self._flows.flow_accepted(listener, flow, local, remote, now=now)
        self._drain(now)

    @recorded
    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._flows.flow_lost(flow, reason, now=now)
        self._drain(now)

    @recorded
    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._flows.receive_stream(flow, data, now=now)
        self._drain(now)

    @recorded
    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._flows.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    @recorded
    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        """A server looks nothing up."""

    @recorded
    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        self._names.set_interfaces(addresses)

    @recorded
    def handle_timeout(self, *, now: float) -> None:
        self._flows.handle_timeout(now=now)
        self._layer.handle_timeout(now=now)
        self._proxy.handle_timeout(now=now)
        self._registrar.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        children = (self._flows, self._layer, self._proxy, self._registrar)
        deadlines = [child.next_timeout() for child in children]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> ServerOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[ServerOutput]:
        return self._outbox.drain()

    # Children

    def _drain(self, now: float) -> None:
        """Each child may have been touched by what another said, so go round until all are silent."""
        while True:
            self._drain_registrar()
            said = self._layer.poll_output()
            if said is not None:
                self._on_layer_output(said, now)
                continue
            came = self._flows.poll_output()
            if came is None:
                return
            self._on_flow_output(came, now)

    def _pass_effects(self) -> None:
        for output in self._flows.outputs():
            assert not isinstance(output, MessageArrived | FlowEnded)
            self._outbox.put(output)

    def _drain_registrar(self) -> None:
        while (event := self._registrar.poll_output()) is not None:
            self._outbox.put(event)

    def _on_flow_output(
        self, output: Effect | ServerListening | ServerFailed | MessageArrived | FlowEnded, now: float
    ) -> None:
        match output:
            case MessageArrived():
                self._layer.receive(output.message, output.hop, now=now)
            case FlowEnded():
                self._registrar.flow_lost(output.flow)
                self._layer.flow_lost(output.flow, now=now)
            case ServerListening() | ServerFailed():
                self._names.set_locals(self._flows.locals())
                self._outbox.put(output)
            case OpenStream() | OpenDatagram() | Listen() | SendStream() | SendDatagram() | CloseFlow() | Resolve():
                self._outbox.put(output)
            case _:
                assert_never(output)

    def _on_layer_output(self, output: LayerOutput, now: float) -> None:
        match output:
            case SendMessage():
                self._flows.send(output.message, output.hop, now=now)
            case RequestReceived():
                if output.transaction is None:
                    self._on_ack(output.request, output.hop, now)
                else:
                    self._on_request(output.transaction, output.request, output.hop, now)
            case ResponseReceived():
                redirection = self._proxy.response_received(output.transaction, output.response, now=now)
                if redirection is not None:
                    follow = self._options.follow_redirects
                    targets = self._router.redirected(redirection.uris, now=now) if follow else ()
                    self._proxy.redirected(redirection, targets, now=now)
            case Failed():
                self._proxy.failed(output.transaction, output.reason, now=now)
            case Terminated():
                self._proxy.terminated(output.transaction)
            case StrayResponse() | Acknowledged():
                # RFC 6026: a proxy forwards no response that matches none of its transactions.
                pass
            case _:
                assert_never(output)

    # Requests

    def _on_ack(self, ack: Request, hop: Hop, now: float) -> None:
        """The ACK of a 2xx goes along the dialog's Routes, or to a contact; any other was for us and is done with."""
        try:
            left = ack.max_forwards
            routed = self._router.take_own_routes(ack)
        except ParseError:
            return
        if left == 0 or self._is_loop(ack) or (routed.hop is None and self._names.is_ours(routed.request.uri)):
            self._proxy.counters.stray_acks += 1
            return
        targets = self._router.targets(routed, now=now)
        if isinstance(targets, Refusal):
            self._proxy.counters.stray_acks += 1
            return
        self._proxy.forward_ack(routed.request, targets[0], now=now)

    def _on_request(self, transaction: TransactionId, request: Request, hop: Hop, now: float) -> None:
        refusal = self._screen(request)
        if refusal is not None:
            self._refuse(transaction, request, refusal, now)
            return
        if request.method == "CANCEL":
            self._on_cancel(transaction, request, now)
            return
        routed = self._router.take_own_routes(request)
        for_us = routed.hop is None and not routed.request.routes and self._names.is_ours(routed.request.uri)
        if for_us and request.method == "REGISTER":
            self._on_register(transaction, request, hop, now)
        elif for_us and self._is_for_admin(request):
            tag = self._context.entropy.tag()
            unix = now + self._context.unix_offset
            local = self._names.local(hop).host
            self._layer.respond(transaction, answer_admin(request, hop, local, unix, tag), now=now)
        elif self._is_for_us_alone(routed.request.uri) and for_us:
            self._on_own_request(transaction, request, now)
        else:
            self._on_forward(transaction, request, routed, hop, now)

    def _is_for_us_alone(self, uri: Uri) -> bool:
        """Whether it names the server itself, and no user of it."""
        return isinstance(uri, SipUri) and uri.user is None and self._names.is_ours(uri)

    def _screen(self, request: Request) -> Refusal | None:
        """Request validation (RFC 3261 section 16.3), in its order."""
        try:
            # Each header that is asked for further on is read once here, so that none raises there.
            _ = (request.routes, request.contacts, request.expires, request.authorization, request.proxy_authorization)
            left = request.max_forwards
            # Section 8.2.2.3: Require is judged by whom the request is for.
            for_us = request.method == "REGISTER" or self._is_for_us_alone(request.uri)
            if for_us:
                _ = (request.supported, request.path)
            required = (*request.proxy_require, *(request.require if for_us else ()))
            options = [each for each in required if each.lower() not in SUPPORTED]
        except ParseError as error:
            return Refusal(error.status or 400)
        if request.method == "CANCEL":
            return None
        if not isinstance(request.uri, SipUri):
            return Refusal(416)
        if left == 0:
            return Refusal(483)
        if self._is_loop(request):
            return Refusal(482)
        if options:
            # Section 16.3 step 5: "The proxy MUST respond with 420 (Bad Extension)", and lists what it lacks.
            return Refusal(420, None, (("Unsupported", ", ".join(options)),))
        return None

    def _is_loop(self, request: Request) -> bool:
        """Whether the request has been here, and nothing that decides its way has changed (section 16.3 step 4)."""
        mark = ""
        for via in request.via:
            branch = via.branch or ""
            if "-" in branch and self._names.is_own_hop(via.host, via.port, via.transport):
                mark = mark or loop_mark(request)
                if branch.endswith(f"-{mark}"):
                    return True
        return False

    def _on_cancel(self, transaction: TransactionId, cancel: Request, now: float) -> None:
        invite = self._layer.invite_of(transaction)
        if invite is None:
            self._refuse(transaction, cancel, Refusal(481), now)
            return
        # RFC 3261 section 16.10: "If a matching response context is found, the element MUST immediately return a 200
        # (OK) response to the CANCEL request." Its Reason goes along (RFC 3326).
        self._respond(transaction, cancel, 200, now)
        reasons = tuple(("Reason", value) for value in cancel.headers.get_all("Reason"))
        self._proxy.cancel(invite, reasons, now=now)

    def _is_for_admin(self, request: Request) -> bool:
        user = request.uri.user if isinstance(request.uri, SipUri) else None
        return request.method in ("OPTIONS", "MESSAGE") and user == ADMIN and ADMIN not in self._options.users

    def _on_token_register(
        self, transaction: TransactionId, request: Request, token: AccessToken, hop: Hop, now: float
    ) -> None:
        """A REGISTER that shows an access token: of a user that the token itself makes known."""
        to = request.to.uri
        user = to.user if isinstance(to, SipUri) and self._names.is_ours(to) else None
        if user is None or not token.is_for(user):
            self._refuse(transaction, request, token_refusal(BAD_SUBJECT), now)
            return
        limit, takes_calls = self._options.max_logins, token.incoming_allow is not False
        outcome = self._registrar.register(request, user, hop, now=now, limit=limit, takes_calls=takes_calls)
        if isinstance(outcome, Refusal):
            full = outcome.reason == TOO_MANY_BINDINGS
            self._refuse(transaction, request, token_refusal(TOO_MANY) if full else outcome, now)
            return
        headers = (*outcome.headers, (TOKEN_HEADER, f"exp={int(token.expires)};"))
        self._respond(transaction, request, 200, now, headers)

    def _on_register(self, transaction: TransactionId, request: Request, hop: Hop, now: float) -> None:
        token = self._authenticator.check_token(request, now=now)
        if isinstance(token, Refusal):
            self._refuse(transaction, request, token, now)
            return
        if token is not None:
            self._on_token_register(transaction, request, token, hop, now)
            return
        identity = self._authenticator.check_user(request, now=now)
        if isinstance(identity, Refusal):
            self._refuse(transaction, request, identity, now)
            return
        to = request.to.uri
        if not isinstance(to, SipUri) or not self._names.is_ours(to) or to.user not in self._options.users:
            self._refuse(transaction, request, Refusal(404), now)
            return
        if to.user != identity:
            self._refuse(transaction, request, Refusal(403), now)
            return
        outcome = self._registrar.register(request, identity, hop, now=now)
        match outcome:
            case Granted():
                self._respond(transaction, request, 200, now, outcome.headers)
            case Refusal():
                self._refuse(transaction, request, outcome, now)
            case _:
                assert_never(outcome)

    def _on_own_request(self, transaction: TransactionId, request: Request, now: float) -> None:
        if request.method == "OPTIONS":
            self._respond(transaction, request, 200, now, (("Allow", OWN_METHODS), ("Accept", "application/sdp")))
        else:
            self._refuse(transaction, request, Refusal(405, None, (("Allow", OWN_METHODS),)), now)

    def _on_forward(self, transaction: TransactionId, request: Request, routed: Routed, hop: Hop, now: float) -> None:
        if self._proxy.is_full:
            self._proxy.counters.overload += 1
            self._refuse(transaction, request, Refusal(503, None, (RETRY_AFTER,)), now)
            return
        is_new = self._options.authenticate_calls and routed.hop is None and self._names.is_ours(request.from_.uri)
        is_asked = is_new and not self._moves_dialog(request, hop)
        token = self._authenticator.check_token(request, now=now) if is_asked else None
        if isinstance(token, Refusal):
            self._refuse(transaction, request, token, now)
            return
        if token is not None:
            caller = request.from_.uri
            if not isinstance(caller, SipUri) or caller.user is None or not token.is_for(caller.user):
                self._refuse(transaction, request, token_refusal(BAD_SUBJECT), now)
                return
        elif is_asked:
            identity = self._authenticator.check_proxy(request, now=now)
            if isinstance(identity, Refusal):
                self._refuse(transaction, request, identity, now)
                return
            caller = request.from_.uri
            if not isinstance(caller, SipUri) or caller.user != identity:
                self._refuse(transaction, request, Refusal(403), now)
                return
        targets = self._router.targets(routed, now=now)
        if isinstance(targets, Refusal):
            self._refuse(transaction, request, targets, now)
            return
        marks: tuple[tuple[str, str], ...] = ()
        forwarded = routed.request
        if request.method == "INVITE" and request.to.tag is None:
            forwarded, marks = self._marked(forwarded)
        self._proxy.forward(
            transaction, forwarded, targets, hop, loop_mark(request), drop_credentials=is_new, marks=marks, now=now
        )

    def _moves_dialog(self, request: Request, hop: Hop) -> bool:
        """Whether it belongs to a dialog that was made elsewhere, and comes by a flow over which its sender has
        registered here: he has shown who he is, and answers nobody's challenges in a call that came to him."""
        sender = request.from_.uri
        user = sender.user if isinstance(sender, SipUri) else None
        return request.to.tag is not None and user is not None and self._bindings.is_from(user, hop)

    def _marked(self, invite: Request) -> tuple[Request, tuple[tuple[str, str], ...]]:
        """The INVITE as it goes on, and the rows for its responses: both ends learn one name of the call."""
        uuid = invite.headers.get("X-Calluuid") or self._context.entropy.uuid("call")
        rows = [("X-Calluuid", uuid)]
        if self._options.feature_flags:
            rows.append(("X-FeatureFlags", ",".join(self._options.feature_flags)))
        marked = invite.copy()
        marked.headers.remove(TOKEN_HEADER)  # it is for us alone
        for name, value in rows:
            marked.headers.set(name, value)
        return marked, tuple(rows)

    def _refuse(self, transaction: TransactionId, request: Request, refusal: Refusal, now: float) -> None:
        once = refusal.status in CHALLENGES
        tag = self._tokens.stateless_tag(request) if once else self._context.entropy.tag()
        response = request.response(refusal.status, refusal.reason, to_tag=tag, headers=refusal.headers)
        if once:
            self._layer.respond_once(transaction, response, now=now)
        else:
            self._layer.respond(transaction, response, now=now)

    def _respond(
        self,
        transaction: TransactionId,
        request: Request,
        status: int,
        now: float,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        tag = self._context.entropy.tag()
        self._layer.respond(transaction, request.response(status, to_tag=tag, headers=headers), now=now)
