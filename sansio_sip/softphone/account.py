"""One account of the phone: its signalling connections, and the user agent that speaks over them.

Theory of operation
-------------------
`Account` joins two machines that know nothing of each other. The connection says when a flow is up, down, or has a
message; the user agent says what to send. What the account adds is the meaning of *login*: connect if need be, have
the user agent register, and give up when no server answers in time. After a login has succeeded the connections are
kept alive for good, and the user agent registers anew on each new flow, in silence.

An account with several flows (`AccountOptions.flows`) is up as long as any of them is, and logged in by the first that
is granted a binding. What was on a flow that is gone is told of by `Strayed`, and goes on by another. A flow over which
the registrar does not tell one device from two (RFC 5626: no `outbound` in its answer) is laid to rest until no other
is left.

    IDLE --login--> LOGGING_IN --Registered--> LOGGED_IN --logout--> LOGGING_OUT --Unregistered--> IDLE
                        |  failure, or nobody answers in time
                        +--> IDLE
"""

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import assert_never

from sansio_sip.auth import error_string
from sansio_sip.connection import (
    ConnectionFailed,
    ConnectionLost,
    ConnectionOpened,
    MessageArrived,
    ServerUrl,
)
from sansio_sip.context import Context, Secret
from sansio_sip.effects import (
    Address,
    CloseFlow,
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
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.signalling import SignallingOutput, Unreachable
from sansio_sip.sip.call_events import CallId
from sansio_sip.sip.extra_headers import ExtraHeaders
from sansio_sip.sip.identity import AccountConfig
from sansio_sip.sip.limits import Gate
from sansio_sip.sip.registration import Registered, RegistrationFailed, Unregistered
from sansio_sip.sip.registrations import LineUnregistered
from sansio_sip.sip.standalone import RequestAnswered
from sansio_sip.sip.subscription import Notified, SubscriptionEnded
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.user_agent import SendMessage, UserAgent, UserAgentOutput
from sansio_sip.timers import TimerSet

from .account_flows import AccountFlows
from .account_outputs import (
    AccountOutput,
    Back,
    CallSaid,
    Down,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    Noted,
    OutsideSaid,
    Strayed,
    Traced,
    Up,
    flow_timer,
    token_error,
    token_expires,
)
from .call_info import AccountId
from .log_book import redacted
from .options import AccountOptions

__all__ = ["Account", "AccountState"]


# RFC 3263 section 4.3: a 503, or no response at all, is a failure of the server; its next address has its turn.
# RFC 5626 section 4.2.1 says the same of a 408 and a 430 for a flow.
UNAVAILABLE = frozenset({0, 408, 430, 503})

# Registrars in a row that send us on to another.
MAX_MOVES = 5


class AccountState(Enum):
    IDLE = "idle"
    LOGGING_IN = "logging in"
    LOGGED_IN = "logged in"
    LOGGING_OUT = "logging out"


class Timer(Enum):
    LOGIN = "login"  # the server has not answered


class Account:
    """The machine of one account."""

    def __init__(self, context: Context, account: AccountId, options: AccountOptions) -> None:
        self.id = account
        self.options = options
        self.state = AccountState.IDLE
        uri = options.uri()
        self.servers = options.server_urls()
        self._context = context
        self._outbox: Outbox[AccountOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()
        self._flows = AccountFlows(context, account, options)
        self.gate = Gate(options.limits)
        self._moves = 0
        self._last_failure = ""
        self._hopeless: set[int] = set()  # lines by which this login has failed
        self._is_up = False  # whether any flow is there, as it was told last
        self._reached = False  # `is_reachable`, likewise
        self.present: tuple[str, ...] = ()  # addresses of this host
        self.traces = False  # whether messages are given as `Traced`
        self._extra = ExtraHeaders(context, options.access_token)
        self.user_agent = UserAgent(
            context,
            AccountConfig(
                address=uri,
                username=options.username or uri.user or "",
                password=options.password,
                display_name=options.display_name,
                expires=options.expires,
                extra=self._extra,
                instance=f"urn:uuid:{context.entropy.uuid('instance')}",
                gruu=options.gruu,
                realms=options.realms,
                digest_algorithms=options.digest_algorithms,
                policy=options.policy,
                outgoing_prefixes=options.outgoing_prefixes,
                reliability=options.reliability,
                session_expires=options.session_expires,
                retry=options.reregister,
                limits=options.limits,
                flows=options.flows,
            ),
        )

    @property
    def hop(self) -> Hop | None:
        """The flow by which requests leave; None while there is none."""
        return self.user_agent.lines.hop

    @property
    def registered(self) -> bool:
        """Whether a binding is granted, on a flow that is there."""
        return self.user_agent.lines.registered

    # Commands

    def connect(self, *, now: float) -> None:
        """Opens the signalling flow without registering. Harmless when it is open or on its way."""
        self._flows.connect(now=now)
        self._drain(now)

    def login(self, *, now: float) -> None:
        """Connects and registers. Gives `LoggedIn` or `LoginRefused`."""
        if not self.servers:
            raise LocalProtocolError("cannot log in: the account has no server; give one in AccountOptions.servers")
        if self.state in (AccountState.LOGGING_IN, AccountState.LOGGED_IN):
            raise LocalProtocolError(f"cannot log in: account {self.id} is {self.state.value}; log out first")
        self.state = AccountState.LOGGING_IN
        self._moves = 0
        self._hopeless.clear()
        self._timers.arm(Timer.LOGIN, now + self.options.login_timeout)
        self._flows.wake(now=now)
        self._flows.connect(now=now)
        self.user_agent.register(now=now)
        self._drain(now)

    def logout(self, *, now: float) -> None:
        """Un-registers. Gives `LoggedOut`, at once when there is no flow to say it on."""
        if self.state not in (AccountState.LOGGED_IN, AccountState.LOGGING_IN):
            raise LocalProtocolError(f"cannot log out: account {self.id} is {self.state.value}; log in first")
        self._timers.cancel(Timer.LOGIN)
        self.state = AccountState.LOGGING_OUT
        if self.hop is None:
            self._flows.close(now=now)
        self.user_agent.unregister(now=now)  # without a flow it is done at once
        self._drain(now)

    def set_access_token(self, token: Secret, *, now: float) -> None:
        """Shows another token from now on; to the registrar at once, where it knows us."""
        self._extra.token = token
        if self.state is AccountState.LOGGED_IN:
            self.user_agent.register(now=now)
            self._drain(now)

    def close(self, *, now: float) -> None:
        """Closes the flow. What should have been said on it (BYE, un-REGISTER) must have been said before."""
        self._timers.clear()
        self.state = AccountState.IDLE
        self._flows.close(now=now)
        self._drain(now)

    @property
    def is_connecting(self) -> bool:
        """Whether the flow is being opened; a pause between two rounds of tries is none of it."""
        return self._flows.is_connecting

    def hurry(self, on: bool) -> None:
        """A call waits for the flow: tries to open it follow each other closely."""
        self._flows.hurry(on)

    @property
    def is_reachable(self) -> bool:
        """Whether requests can go out and come in: a flow, and a binding on it where the account is logged in."""
        line = self.user_agent.lines.in_use
        return line.hop is not None and (line.registered or self.state is not AccountState.LOGGED_IN)

    def interfaces_changed(self, addresses: tuple[str, ...], gone: frozenset[str], *, now: float) -> None:
        """This host has these addresses now, and no longer those that are `gone`."""
        self.present = addresses
        for line in self.user_agent.lines:
            local = line.hop.local if line.hop is not None else None
            if local is not None and local.host in gone:
                self._flows.reopen(line.number, f"the address {local.host} is gone", now=now)
            elif line.hop is None and addresses and not self._flows.is_line_connecting(line.number):
                self._flows.reopen(line.number, "the addresses of this host have changed", now=now)
        self._drain(now)

    def touched(self, *, now: float) -> None:
        """To be called after a command was given to `user_agent` directly."""
        self._drain(now)

    # Inputs

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None, peer: TlsPeer | None, *, now: float
    ) -> None:
        self._flows.flow_opened(flow, local, remote, peer, now=now)
        self._drain(now)

    def flow_accepted(self, flow: FlowId, local: Address, remote: Address, *, now: float) -> None:
        """A peer has connected to where the account listens."""
        self._flows.flow_accepted(flow, local, remote, now=now)
        self._drain(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._flows.flow_lost(flow, reason, now=now)
        self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._flows.receive_stream(flow, data, now=now)
        self._drain(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._flows.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self._flows.resolved(query, records, now=now)
        self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.LOGIN:
                    self._refuse_login("Connection Error" if self._last_failure else "Request Timeout", 0, now)
                case _:
                    assert_never(timer)
        self._flows.handle_timeout(now=now)
        self.user_agent.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._timers.next(), self._flows.next_timeout(), self.user_agent.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> AccountOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[AccountOutput]:
        return self._outbox.drain()

    # Children

    def _drain(self, now: float) -> None:
        """Each child may have been touched by the other's output, so go round until both are silent."""
        while True:
            output = self._flows.poll_output()
            if output is not None:
                self._on_signalling_output(*output, now)
                continue
            said = self.user_agent.poll_output()
            if said is None:
                return
            self._on_user_agent_output(said, now)

    def _on_signalling_output(self, line: int, output: SignallingOutput, now: float) -> None:
        match output:
            case ConnectionOpened():
                self._on_opened(line, reachable(output.hop, self.present), now)
            case MessageArrived():
                self._on_message(output, now)
            case ConnectionLost():
                self._on_lost(line, output, now)
            case ConnectionFailed():
                self._last_failure = output.reason
                if self.hop is None:
                    self._outbox.put(Down(1006, output.reason, False, output.retry_in))
                elif output.retry_in != 0.0:
                    self._outbox.put(Noted(f"flow {line} not opened: {output.reason}", True))
                # Each server has had its turn: whoever waits for a login should hear of it now.
                if self.state is AccountState.LOGGING_IN and output.retry_in != 0.0 and self._is_hopeless(line):
                    self._refuse_login("Connection Error", 0, now)
            case Unreachable():
                self.user_agent.unreachable(output.address, now=now)
            case OpenStream() | OpenDatagram() | Listen() | SendStream() | SendDatagram() | CloseFlow() | Resolve():
                self._outbox.put(output)
            case _:
                assert_never(output)

    def _on_opened(self, line: int, hop: Hop, now: float) -> None:
        self._last_failure = ""
        self._hopeless.discard(line)
        if not self._is_up:
            self._is_up = True
            self._outbox.put(Up(hop))
        else:
            self._outbox.put(Noted(f"flow {line} is open too, to {hop.address}", False))
        self.user_agent.flow_ready(hop, line, now=now)
        self._tell_back()

    def _on_lost(self, line: int, lost: ConnectionLost, now: float) -> None:
        calls = self.user_agent.flow_lost(lost.reason, line, now=now)
        if self.hop is not None:
            by_us = lost.retry_in is None
            self._outbox.put(Noted(f"flow {line} {'closed' if by_us else f'lost: {lost.reason}'}", not by_us))
            self._stray(calls)
            return
        self._reached = False
        if self._is_up:
            self._is_up = False
            self._outbox.put(Down(lost.code, lost.reason, True, lost.retry_in))
        if self.state is AccountState.LOGGING_OUT:
            self._logged_out()
        else:
            self._wake(now)

    def _on_message(self, output: MessageArrived, now: float) -> None:
        self._trace("received from", output.hop, output.data)
        servers = [line.hop.address for line in self.user_agent.lines if line.hop is not None]
        from_server = output.hop.reliable or (bool(servers) and output.hop.address in servers)
        source = None if from_server else output.hop.address
        if source is not None and not self.gate.admits(source, now=now):
            return
        try:
            message = self.gate.read(output.data)
        except ParseError as error:
            if source is None or self.gate.limits.answer_malformed:
                self.user_agent.receive_malformed(output.data, error, output.hop, now=now)
        else:
            self.user_agent.receive_message(message, output.hop, now=now)

    def _on_user_agent_output(self, output: UserAgentOutput, now: float) -> None:
        match output:
            case SendMessage():
                if self.hop is not None:
                    self._trace("sent to", output.hop, output.data)
                    self._flows.send(output.data, output.hop, now=now)
            case Registered():
                self._on_registered(output, now)
            case RegistrationFailed():
                self._on_registration_failed(output, now)
            case LineUnregistered():
                self._flows.rest(output.line, now=now)
            case Unregistered():
                if self.state is AccountState.LOGGING_OUT:
                    self._logged_out()
            case RequestAnswered() | Notified() | SubscriptionEnded():
                self._outbox.put(OutsideSaid(output))
            case _:
                self._outbox.put(CallSaid(output))

    def _on_registered(self, output: Registered, now: float) -> None:
        self._tell_back()
        self._moves = 0
        self._flows.flow_timer(output.line, flow_timer(output.headers), now=now)
        if self.state is AccountState.LOGGING_IN:
            self.state = AccountState.LOGGED_IN
            self._timers.cancel(Timer.LOGIN)
            self._outbox.put(LoggedIn(token_expires(output.headers)))
        lines = self.user_agent.lines
        if not output.outbound and self.state is AccountState.LOGGED_IN:
            # The registrar takes our flows for devices, and would call each.
            for line in lines:
                if line.registered and line is not lines.in_use:
                    self.user_agent.unregister(line.number, now=now)

    def _on_registration_failed(self, failed: RegistrationFailed, now: float) -> None:
        self._reached = self._reached and self.is_reachable
        if self._went_elsewhere(failed, now):
            return
        code = token_error(failed.headers)
        cause = error_string(code) if code else failed.cause
        # After a login has succeeded the user agent goes on trying by itself, which mends no token.
        if self.state is AccountState.LOGGED_IN and code:
            self._give_up(cause, now)
            self._outbox.put(LoggedOut(cause))
        elif self.state is not AccountState.LOGGING_IN or (failed.status == 0 and self.hop is None):
            return
        # A refusal is the registrar's, and the same by each line; a server that cannot serve is one of several.
        elif failed.status not in UNAVAILABLE or self._is_hopeless(failed.line):
            self._refuse_login(cause, failed.status, now, code, failed.retry_after)

    def _is_hopeless(self, line: int) -> bool:
        """Whether the login has failed by this line, as it has by all others."""
        self._hopeless.add(line)
        return len(self._hopeless) == len(self._flows)

    def _stray(self, calls: tuple[CallId, ...]) -> None:
        """One flow of several is gone, and these calls were on it."""
        if self.hop is None:
            return
        self._reached = self._reached and self.is_reachable
        if calls:
            self._outbox.put(Strayed(calls))
            self._reached = False
        self._tell_back()

    def _tell_back(self) -> None:
        """Signalling may have a way again."""
        if self.is_reachable and not self._reached:
            self._reached = True
            self._outbox.put(Back())

    def _wake(self, now: float) -> None:
        """No flow is left but those that were laid to rest."""
        for line in self._flows.wake(now=now):
            if self.state in (AccountState.LOGGED_IN, AccountState.LOGGING_IN):
                self.user_agent.register(line, now=now)

    def _trace(self, what: str, hop: Hop, data: bytes) -> None:
        if self.traces:
            text = data.decode("utf-8", "backslashreplace")
            self._outbox.put(Traced(f"{what} {hop.transport} {hop.address or ''}\n{redacted(text)}"))

    def _went_elsewhere(self, failure: RegistrationFailed, now: float) -> bool:
        """Whether another server is tried: the one that a 301 or 302 names, or the next after one that cannot serve."""
        hop = self.user_agent.lines[failure.line].hop
        if hop is None or self.state not in (AccountState.LOGGING_IN, AccountState.LOGGED_IN):
            return False
        if failure.moved_to is not None and failure.status in (301, 302):
            server = ServerUrl.of(failure.moved_to)
            # A registrar may send us on, but never to where others could listen.
            secure_enough = server is not None and (server.secure or not hop.secure)
            if server is None or not secure_enough or self._moves >= MAX_MOVES:
                return False
            self._moves += 1
            self._flows.move(failure.line, server, f"the registrar is at {server}", now=now)
        elif failure.status not in UNAVAILABLE or not self._flows.fail_over(failure.line, failure.cause, now=now):
            return False
        # What it asks for from here on is for the next flow.
        self._stray(self.user_agent.flow_lost(failure.cause, failure.line, now=now))
        self.user_agent.register(failure.line, now=now)
        return True

    def _refuse_login(self, cause: str, status: int, now: float, code: int = 0, retry_after: int | None = None) -> None:
        self._give_up(cause, now)
        self._outbox.put(LoginRefused(cause, status, code, "" if status else self._last_failure, retry_after))

    def _give_up(self, cause: str, now: float) -> None:
        self.state = AccountState.IDLE
        self._timers.cancel(Timer.LOGIN)
        self._reached = False
        self._flows.close(now=now)
        for line in self.user_agent.lines:
            self.user_agent.flow_lost(cause, line.number, now=now)
        self.user_agent.unregister(now=now)  # else the next flow, opened for a call, would register

    def _logged_out(self) -> None:
        self.state = AccountState.IDLE
        self._outbox.put(LoggedOut())


def reachable(hop: Hop, present: tuple[str, ...]) -> Hop:
    """The hop with an address that others can use, where its socket is bound to all that this host has.

    `0.0.0.0` in a Contact or in SDP leads nowhere. The first address of the family is taken that is more than loopback.
    """
    if hop.local is None or not _is_any(hop.local.host):
        return hop
    family = ":" in hop.local.host
    found = [host for host in present if (":" in host) == family]
    wide = [host for host in found if not host.startswith(("127.", "::1", "169.254.", "fe80:"))]
    host = next(iter(wide or found), "::1" if family else "127.0.0.1")
    return replace(hop, local=Address(host, hop.local.port))


def _is_any(host: str) -> bool:
    return host in ("0.0.0.0", "::")
