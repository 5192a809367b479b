"""A user agent: the registrations and the calls of one account, over its flows (RFC 3261 section 8).

Theory of operation
-------------------
The user agent owns a transaction layer, a registration and any number of sessions. Messages go through the layer
first; what it passes up belongs to a session (by Call-ID and our tag), or begins one, or is answered here. What the
children ask to be sent gets a Via and a way to go, and goes down through the layer. Who waits for which transaction is
kept in two tables, one for each direction (`departures`, `request_desk`), whose rows go when the layer says
`Terminated`.

With a server, everything takes a flow to it, one of several where the account has them (`lines`). Without one (UDP,
peer to peer), each request goes to the IP address in the URI that it is for, and in a dialog, if that is a name, to
where the peer's last message came from.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar, assert_never

from sansio_sip.context import Context
from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox

from .authorization import Authenticator
from .body import ACCEPTED_TYPES
from .call_events import (
    CallEvent,
    CallId,
    HeaderRows,
    MessageReceived,
)
from .departures import Departures
from .dialog import Dialog, is_readable
from .headers import NameAddress, Reason
from .identity import AccountConfig, Identity
from .invite_session import InviteSession
from .lines import Lines
from .message import Headers, Message, Response
from .registration import Registered, RegistrationFailed, Unregistered
from .registrations import LineUnregistered, Registrations
from .request_desk import RequestDesk, UserAgentCounters
from .screening import refusal_of_malformed
from .sent_requests import Purpose
from .session_headers import Replaces
from .session_state import SessionState
from .sessions import Sessions
from .standalone import Standalone, StandaloneEvent
from .subscription import SubscriptionId
from .transaction_user import CancelRequest, Part, SendAck, SendRequest, SendResponse
from .transactions.layer import TransactionLayer
from .transactions.outputs import (
    Acknowledged,
    Failed,
    FailureReason,
    RequestReceived,
    ResponseReceived,
    StrayResponse,
    Terminated,
    TransactionId,
)
from .transactions.outputs import SendMessage as LayerMessage
from .transactions.timing import RFC_TIMING, Timing
from .transport import Hop
from .uri import SipUri

__all__ = ["SendMessage", "UserAgent", "UserAgentCounters", "UserAgentOutput"]


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Octets of one message for the flow of `hop`; over UDP to `hop.address`."""

    data: bytes
    hop: Hop


UserAgentOutput: TypeAlias = (
    SendMessage | Registered | RegistrationFailed | Unregistered | LineUnregistered | CallEvent | StandaloneEvent
)

T = TypeVar("T")


class UserAgent:
    """Registers one account and makes and takes its calls."""

    def __init__(self, context: Context, config: AccountConfig, *, timing: Timing = RFC_TIMING) -> None:
        self._context = context
        self._config = config
        self._timing = timing
        self._outbox: Outbox[UserAgentOutput] = Outbox()
        self._identity = Identity(context, config)
        self._authenticator = Authenticator(
            context, config.username or config.address.user or "", config.password, identity=self._identity
        )
        self._layer = TransactionLayer(context, timing=timing, max_transactions=config.limits.transactions)
        self._registration = Registrations(context, self._identity, self._authenticator)
        self._sessions = Sessions(context, self._identity, self._authenticator, timing)
        self._departures = Departures(context, self._identity, self._layer, self._sessions)
        self._standalone = Standalone(context, self._identity, self._authenticator, timing)
        self.counters = UserAgentCounters()
        self._desk = RequestDesk(context, self._identity, self._sessions, self._standalone, self.counters)

    @property
    def lines(self) -> Lines:
        """The flows that there are: for reading."""
        return self._identity.lines

    @property
    def contact(self) -> str:
        """The URI at which this device, of all those of its user, is reached: a GRUU where the registrar gives one."""
        return str(self._identity.contact.uri)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way that should be seen to its end before the flow is closed."""
        calls = all(session.is_over for session in self._sessions)
        return calls and self._registration.is_idle and self._standalone.is_idle

    # Commands: registration

    def register(self, line: int | None = None, *, now: float) -> None:
        """Wants a binding from now on, on each line or on one. Gives Registered or RegistrationFailed, once there is a
        flow."""
        self._registration.register(line, now=now)
        self._settle_others(now)

    def unregister(self, line: int | None = None, *, now: float) -> None:
        """Wants no binding from now on. Gives Unregistered, or LineUnregistered where a line is named."""
        self._registration.unregister(line, now=now)
        self._settle_others(now)

    # Commands: calls

    def invite(self, uri: SipUri, body: bytes, *, headers: HeaderRows = (), now: float) -> CallId:
        """Calls `uri` with an offer, or without one. Gives CallProgress, CallAccepted, CallEnded.

        Nothing bounds the time that the callee may let it ring: `hangup`.

        Raises:
            LocalProtocolError: no flow, too many calls, or a header that is none.
        """
        self._demand_way("call")
        if len(self._sessions) >= self._config.limits.dialogs:
            raise LocalProtocolError(f"cannot call: {len(self._sessions)} calls are up; end one first")
        try:
            Headers(headers)
        except ValueError as error:
            raise LocalProtocolError(f"cannot call: {error}; give one-line headers") from None
        call_id = self._context.entropy.call_id()
        session = self._sessions.add(call_id, "caller")
        session.place(replace(uri, headers=()), body, headers, now=now)
        self._settle(session, now)
        return session.call

    def ring(self, call: CallId, *, now: float) -> None:
        """Tells the caller that we ring (180).

        Raises:
            LocalProtocolError: no such call, or it does not wait for our answer.
        """
        self._do(call, "ring", lambda session: session.ring(now=now), now)

    def progress(self, call: CallId, body: bytes, *, now: float) -> None:
        """Sends 183 with our answer, or our offer where the caller made none: early media.

        Raises:
            LocalProtocolError: no such call, or it does not wait for our answer.
        """
        self._do(call, "send early media", lambda session: session.ring(183, body, now=now), now)

    def answer(self, call: CallId, body: bytes, *, now: float) -> None:
        """Accepts a call with an answer, or an offer where the caller made none. Gives CallConfirmed.

        Raises:
            LocalProtocolError: no such call, or it does not wait for our answer.
        """
        self._do(call, "answer", lambda session: session.answer(body, now=now), now)

    def answer_offer(self, call: CallId, branch: str, body: bytes, *, now: float) -> None:
        """Answers the offer that a response to an INVITE without one has made (`is_offer`).

        Raises:
            LocalProtocolError: no such call, or no offer waits there.
        """
        self._do(call, "answer an offer", lambda session: session.answer_offer(branch, body, now=now), now)

    def reject(self, call: CallId, status: int = 486, *, now: float) -> None:
        """Refuses a call. Gives CallEnded.

        Raises:
            LocalProtocolError: no such call, it does not wait for our answer, or `status` refuses nothing.
        """
        self._do(call, "reject", lambda session: session.reject(status, now=now), now)

    def redirect(self, call: CallId, target: SipUri, *, now: float) -> None:
        """Sends the caller elsewhere (302). Gives CallEnded.

        Raises:
            LocalProtocolError: no such call, or it does not wait for our answer.
        """
        headers = (("Contact", str(NameAddress(target))),)
        self._do(call, "redirect", lambda session: session.reject(302, headers=headers, now=now), now)

    def hangup(self, call: CallId, *, reason: Reason | None = None, now: float) -> None:
        """Ends a call by CANCEL, 480 or BYE, with a Reason header where one is given. Gives CallEnded at once.

        Raises:
            LocalProtocolError: no such call.
        """
        self._do(call, "hang up", lambda session: session.hangup(reason, now=now), now)

    def reoffer(self, call: CallId, body: bytes, *, now: float) -> None:
        """Makes a new offer in a call (re-INVITE). Gives ReofferAnswered or ReofferRejected.

        Raises:
            LocalProtocolError: no such call, it is not confirmed, or another offer is open.
        """
        self._do(call, "offer again", lambda session: session.confirmed("offer again").offer(body, now=now), now)

    def answer_reoffer(self, call: CallId, body: bytes, *, now: float) -> None:
        """Answers a re-INVITE. Nothing is sent where it was withdrawn meanwhile.

        Raises:
            LocalProtocolError: no such call.
        """
        self._do(call, "answer an offer", lambda session: session.offers.answer(body, now=now), now)

    def reject_reoffer(self, call: CallId, status: int = 488, *, now: float) -> None:
        """Refuses a re-INVITE; the call goes on as it was. Nothing is sent where it was withdrawn meanwhile.

        Raises:
            LocalProtocolError: no such call, or `status` refuses nothing.
        """
        self._do(call, "refuse an offer", lambda session: session.offers.reject(status, now=now), now)

    def send_info(self, call: CallId, content_type: str, body: bytes, *, now: float) -> None:
        """Sends an INFO in a call.

        Raises:
            LocalProtocolError: no such call, or it is not confirmed.
        """
        rows = (("Content-Type", content_type),)
        self._do(call, "send INFO", lambda session: session.send(Purpose.INFO, rows, body, now=now), now)

    def send_message(self, call: CallId, content_type: str, body: bytes, *, now: float) -> None:
        """Sends a MESSAGE in a call.

        Raises:
            LocalProtocolError: no such call, or it is not confirmed.
        """
        rows = (("Content-Type", content_type),)
        self._do(call, "send MESSAGE", lambda session: session.send(Purpose.MESSAGE, rows, body, now=now), now)

    # Commands: transfer

    def refer(self, call: CallId, target: SipUri, *, replaces: Replaces | None = None, now: float) -> int:
        """Asks the peer of a call to call `target`. Gives ReferProgress with the number that is returned.

        Args:
            replaces: a call of ours in which she is to take our place (`as_replaced`); `target` is its other end then
                (`peer_of`).

        Raises:
            LocalProtocolError: no such call, one is not confirmed, or too many transfers are under way.
        """
        rows: HeaderRows = ()
        if replaces is not None:
            rows = (("Replaces", str(replaces)),)
        address = NameAddress(replace(target, headers=rows))
        return self._do(call, "transfer", lambda session: session.refer(address, now=now), now)

    def as_replaced(self, call: CallId) -> Replaces:
        """What to say to a call's peer to take our place in it. Raises LocalProtocolError unless it is confirmed."""
        return self._dialog(call).as_replaced_by_peer()

    def peer_of(self, call: CallId) -> SipUri | None:
        """Where the peer of a call can be reached by somebody else; None where that is no SIP URI.

        Raises:
            LocalProtocolError: no such call, or it has no peer yet.
        """
        return self._dialog(call).peer_uri(has_server=self._identity.has_server)

    def accept_refer(self, call: CallId, refer: int, *, now: float) -> None:
        """Says that the peer's wish is being followed (202); `report_refer` tells the rest.

        Raises:
            LocalProtocolError: no such call, or no REFER of that number waits.
        """
        self._do(call, "follow a REFER", lambda session: session.referrals.accept(refer, now=now), now)

    def reject_refer(self, call: CallId, refer: int, status: int = 603, *, now: float) -> None:
        """Raises LocalProtocolError: no such call, no REFER of that number waits, or `status` refuses nothing."""
        self._do(call, "refuse a REFER", lambda session: session.referrals.reject(refer, status), now)

    def report_refer(self, call: CallId, refer: int, status: int, *, now: float) -> None:
        """Tells the peer how the call goes that she has asked for; a final status is the last.

        Raises:
            LocalProtocolError: no such call.
        """
        self._do(call, "report on a REFER", lambda session: session.referrals.progress(refer, status, now=now), now)

    # Commands: outside of calls

    def page(self, target: SipUri, content_type: str, body: bytes, *, now: float) -> int:
        """Sends a MESSAGE outside of calls (RFC 3428). Gives RequestAnswered with the number that is returned.

        Raises LocalProtocolError: no flow, or too many requests are under way.
        """
        return self._ask("MESSAGE", target, (("Content-Type", content_type),), body, now)

    def query(self, target: SipUri, *, now: float) -> int:
        """Asks what somebody can (OPTIONS). Gives RequestAnswered with the number that is returned. Raises likewise."""
        rows = (("Contact", str(self._identity.contact)), ("Accept", ", ".join(ACCEPTED_TYPES)))
        return self._ask("OPTIONS", target, rows, b"", now)

    def subscribe(
        self, target: SipUri, event: str, *, accept: str = "", expires: int = 3600, now: float
    ) -> SubscriptionId:
        """Wants to be told of somebody's state (RFC 6665). Gives Notified any number of times, then SubscriptionEnded.

        Args:
            event: the package: `message-summary`, `dialog`...
            accept: media types that NOTIFY may bring; empty: the package's own.
            expires: seconds that are asked for; it is refreshed until `unsubscribe`.

        Raises:
            LocalProtocolError: no flow, or too many subscriptions.
        """
        self._demand_way("subscribe")
        name = self._standalone.subscribe(target, event, accept, expires, now=now)
        self._settle_others(now)
        return name

    def unsubscribe(self, subscription: SubscriptionId, *, now: float) -> None:
        """Gives SubscriptionEnded. Raises LocalProtocolError where there is none of that name."""
        self._standalone.unsubscribe(subscription, now=now)
        self._settle_others(now)

    # Inputs

    def flow_ready(self, hop: Hop, line: int = 1, *, now: float) -> None:
        """A line has this flow from now on. A binding that is wanted is made anew on it."""
        before = self.lines[line].hop
        if before is not None and before.flow != hop.flow:
            self.flow_lost("another flow took its place", line, now=now)
        self.lines[line].flow_ready(hop)
        self._registration.flow_ready(line, now=now)
        self._settle_others(now)
        for session in self._sessions:
            session.flow_ready(now=now)
            self._settle(session, now)
        if self.lines.in_use is self.lines[line]:
            self._standalone.flow_ready(now=now)
            self._settle_others(now)

    def flow_lost(self, reason: str, line: int = 1, *, now: float) -> tuple[CallId, ...]:
        """A flow is gone. Calls that are answered go on, by another line where there is one; those that are not yet
        end. Returns the calls that were on it."""
        hop = self.lines[line].hop
        if hop is None:
            return ()
        strayed, before = self._sessions.on_line(self.lines[line]), self.lines.in_use
        self.lines[line].flow_lost()
        self._registration.flow_lost(line, now=now)
        self._settle_others(now)
        if hop.flow is not None:
            self._layer.flow_lost(hop.flow, now=now)
            self._drain_layer(now)
        if self.lines.hop is not None and self.lines.in_use is not before:
            self._standalone.flow_ready(now=now)  # whoever tells us of something is to know where we are now
            self._settle_others(now)
        return strayed

    def unreachable(self, address: Address, *, now: float) -> None:
        """What was sent to `address` goes nowhere."""
        self._layer.unreachable(address, now=now)
        self._drain_layer(now)

    def receive_message(self, message: Message, hop: Hop, *, now: float) -> None:
        """A message that could be read; `hop` is where it came from."""
        # RFC 3261 section 8.1.3.3: "If more than one Via header field value is present in a response, the UAC SHOULD
        # discard the message."
        if isinstance(message, Response) and len(message.via) != 1:
            self.counters.stray_responses += 1
            return
        self._layer.receive(message, hop, now=now)
        self._drain_layer(now)

    def receive_malformed(self, data: bytes, error: ParseError, hop: Hop, *, now: float) -> None:
        """A message that could not be read. It is refused with `error.status` where that is possible."""
        self.counters.malformed += 1
        response = refusal_of_malformed(data, error, self._context.entropy.tag())
        if response is not None:
            self._outbox.put(SendMessage(bytes(response), hop))

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        self._layer.handle_timeout(now=now)
        self._drain_layer(now)
        self._registration.handle_timeout(now=now)
        self._settle_others(now)
        self._standalone.handle_timeout(now=now)
        self._settle_others(now)
        for session in self._sessions.due(now):
            session.handle_timeout(now=now)
            self._settle(session, now)

    def next_timeout(self) -> float | None:
        children = (self._layer, self._registration, self._sessions, self._standalone)
        deadlines = (child.next_timeout() for child in children)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> UserAgentOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[UserAgentOutput]:
        return self._outbox.drain()

    # Children

    def _settle(self, session: InviteSession, now: float) -> None:
        """To be called after each touch of a session."""
        self._drain_session(session, now)
        self._drain_layer(now)

    def _settle_others(self, now: float) -> None:
        self._drain_others(now)
        self._drain_layer(now)

    def _drain_layer(self, now: float) -> None:
        for output in self._layer.outputs():
            match output:
                case LayerMessage():
                    self._outbox.put(SendMessage(bytes(output.message), output.hop))
                case RequestReceived():
                    self._on_request(output, now)
                case ResponseReceived():
                    self._on_response(output, now)
                case StrayResponse():
                    self.counters.stray_responses += 1
                case Acknowledged():
                    session = self._desk.session_of(output.transaction)
                    if session is not None:
                        session.receive_ack(output.ack, now=now)
                        self._drain_session(session, now)
                case Failed():
                    self._on_failed(output, now)
                case Terminated():
                    self._on_terminated(output.transaction, now)
                case _:
                    assert_never(output)

    def _drain_session(self, session: InviteSession, now: float) -> None:
        for output in session.outputs():
            match output:
                case SendRequest():
                    if not self._departures.send((session.call, output.key), output.request, now=now):
                        session.request_failed(output.key, FailureReason.TRANSPORT, now=now)
                        session.transaction_ended(output.key)
                case CancelRequest():
                    self._departures.cancel((session.call, output.key), output.headers, now=now)
                case SendAck():
                    self._departures.acknowledge(session.call, output, now=now)
                case SendResponse():
                    self._layer.respond(output.transaction, output.response, now=now)
                case _:
                    self._outbox.put(output)  # a `CallEvent`
        self._sessions.touched(session)

    def _drain_others(self, now: float) -> None:
        """What is no call: the registration, and what is said outside of calls."""
        for name, part in ((Part.REGISTRATION, self._registration), (Part.STANDALONE, self._standalone)):
            for output in part.outputs():
                match output:
                    case SendRequest():
                        line = self._registration.line_of(output.key) if name is Part.REGISTRATION else None
                        if not self._departures.send((name, output.key), output.request, line=line, now=now):
                            part.request_failed(output.key, FailureReason.TRANSPORT, now=now)
                            if part is self._standalone:
                                self._standalone.transaction_ended(output.key)
                    case SendResponse():
                        self._layer.respond(output.transaction, output.response, now=now)
                    case _:
                        self._outbox.put(output)

    # What the layer passes up

    def _on_response(self, output: ResponseReceived, now: float) -> None:
        self._departures.heard(output.transaction, output.response.status)
        owner = self._departures.owner(output.transaction)
        # RFC 5626 section 5.3.1: 430 says that a flow on the way has failed; another may lead there.
        if owner is None or (output.response.status == 430 and self._departures.again(output.transaction, now=now)):
            return
        name, key = owner
        if isinstance(name, Part):
            self._part(name).receive_response(key, output.response, now=now)
            self._drain_others(now)
            return
        session = self._sessions.find(name)
        if session is None:
            return
        begins = output.response.cseq.method == "INVITE" and 100 < output.response.status < 300
        self._sessions.heard(session.call, output.hop, makes_dialog=begins)
        if is_readable(output.response):
            session.receive_response(key, output.response, now=now)
        elif output.response.status >= 200:
            # It ends the request, and nothing can be made of it.
            session.request_failed(key, FailureReason.TIMEOUT, now=now)
        self._drain_session(session, now)

    def _on_failed(self, output: Failed, now: float) -> None:
        if output.reason is FailureReason.TRANSPORT and self._departures.again(output.transaction, now=now):
            return
        owner = self._departures.owner(output.transaction)
        if owner is None:
            session = self._desk.session_of(output.transaction)
            if session is not None:
                session.response_failed(output.transaction, output.reason, now=now)
                self._drain_session(session, now)
            return
        name, key = owner
        if isinstance(name, Part):
            self._part(name).request_failed(key, output.reason, now=now)
            self._drain_others(now)
        elif (session := self._sessions.find(name)) is not None:
            session.request_failed(key, output.reason, now=now)
            self._drain_session(session, now)

    def _on_terminated(self, transaction: TransactionId, now: float) -> None:
        self._desk.forget(transaction)
        owner = self._departures.ended(transaction)
        if owner is None:
            return
        name, key = owner
        if name is Part.STANDALONE:
            self._standalone.transaction_ended(key)
        elif not isinstance(name, Part) and (session := self._sessions.find(name)) is not None:
            session.transaction_ended(key)
            self._drain_session(session, now)

    def _on_request(self, output: RequestReceived, now: float) -> None:
        transaction = output.transaction
        cancel = transaction if output.request.method == "CANCEL" else None
        invite = self._layer.invite_of(cancel) if cancel is not None else None
        session = self._desk.receive(output, invite, now=now)
        for said in self._desk.outputs():
            match said:
                case SendResponse():
                    self._layer.respond(said.transaction, said.response, now=now)
                case MessageReceived():
                    self._outbox.put(said)
                case _:
                    assert_never(said)
        self._drain_others(now)
        if session is not None:
            self._drain_session(session, now)

    # Small helpers

    def _demand_way(self, what: str) -> None:
        """Raises LocalProtocolError where a request cannot be sent at all."""
        if self._identity.hop is None:
            raise LocalProtocolError(f"cannot {what}: there is no signalling flow; wait until one is ready")

    def _ask(self, method: str, target: SipUri, headers: HeaderRows, body: bytes, now: float) -> int:
        self._demand_way(f"send {method}")
        number = self._standalone.request(method, target, headers, body, now=now)
        self._settle_others(now)
        return number

    def _part(self, name: Part) -> Registrations | Standalone:
        return self._registration if name is Part.REGISTRATION else self._standalone

    def _dialog(self, call: CallId) -> Dialog:
        session = self._sessions.get(call, "name its peer")
        if session.state is not SessionState.CONFIRMED or session.dialog is None:
            raise LocalProtocolError(f"cannot name the peer of call {call}: it is {session.state.value}, not confirmed")
        return session.dialog

    def _do(self, call: CallId, what: str, act: Callable[[InviteSession], T], now: float) -> T:
        """Gives a session a command."""
        session = self._sessions.get(call, what)
        result = act(session)
        session.settle(now=now)
        self._settle(session, now)
        return result
