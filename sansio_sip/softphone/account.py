"""One account of the phone: a signalling connection, and the user agent that speaks over it.

Theory of operation
-------------------
`Account` joins two machines that know nothing of each other. The connection says when a flow is up, down, or has a
message; the user agent says what to send. What the account adds is the meaning of *login*: connect if need be, have
the user agent register, and give up when the server does not answer in time. After a login has succeeded the
connection is kept alive for good, and the user agent registers anew on each new flow, in silence.

    IDLE --login--> LOGGING_IN --Registered--> LOGGED_IN --logout--> LOGGING_OUT --Unregistered--> IDLE
                        |  failure, or nobody answers in time
                        +--> IDLE
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias, assert_never

from sansio_sip.auth import ERROR_HEADER, TOKEN_HEADER, error_string, parse_expiry
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
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.signalling import Signalling, SignallingOutput, Unreachable
from sansio_sip.sip.call_events import CallEvent, HeaderRows
from sansio_sip.sip.extra_headers import ExtraHeaders
from sansio_sip.sip.identity import AccountConfig
from sansio_sip.sip.limits import Gate
from sansio_sip.sip.registration import Registered, RegistrationFailed, Unregistered
from sansio_sip.sip.standalone import RequestAnswered, StandaloneEvent
from sansio_sip.sip.subscription import Notified, SubscriptionEnded
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.user_agent import SendMessage, UserAgent, UserAgentOutput
from sansio_sip.timers import TimerSet

from .call_info import AccountId
from .log_book import redacted
from .options import AccountOptions

__all__ = [
    "Account",
    "AccountOutput",
    "AccountState",
    "CallSaid",
    "Down",
    "LoggedIn",
    "LoggedOut",
    "LoginRefused",
    "OutsideSaid",
    "Traced",
    "Up",
]


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


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The first binding after `login`, or the first with a new token. `token_expires`: Unix time, by the server."""

    token_expires: int | None = None


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """`status` is 0 where no server answered, `code` where it said nothing of an access token (`auth`).

    `detail` says why no server could be reached, in the system's words; `retry_after`, in seconds, when a server that
    has refused wants to be asked again.
    """

    cause: str
    status: int
    code: int = 0
    detail: str = ""
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The binding is gone. `reason` is empty where that was our wish; else what is wrong with the access token."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Traced:
    """A SIP message that left or came, without its secrets."""

    text: str


@dataclass(frozen=True, slots=True)
class Up:
    """The signalling flow is usable."""

    hop: Hop


@dataclass(frozen=True, slots=True)
class Down:
    """The signalling flow is gone, or could not be opened. `retry_in`: seconds, None when nobody tries again."""

    code: int
    reason: str
    was_up: bool
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class CallSaid:
    """What the user agent says about a call."""

    event: CallEvent


@dataclass(frozen=True, slots=True)
class OutsideSaid:
    """What the user agent says about requests of ours outside of calls."""

    event: StandaloneEvent


@dataclass(frozen=True, slots=True)
class Back:
    """Signalling has a way: a flow, and a binding on it where the account is logged in."""


AccountOutput: TypeAlias = (
    Effect | Back | CallSaid | OutsideSaid | LoggedIn | LoginRefused | LoggedOut | Traced | Up | Down
)


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
        self._signalling = Signalling(
            context,
            account,
            self.servers,
            bind=options.bind,
            pause=options.reconnect,
            ca_file=options.ca_file,
            tls_verify=options.tls_verify,
        )
        self.gate = Gate(options.limits)
        self._moves = 0
        self._last_failure = ""
        self.hop: Hop | None = None
        self.registered = False  # on the present flow
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
                reliability=options.reliability,
                session_expires=options.session_expires,
                retry=options.reregister,
                limits=options.limits,
            ),
        )

    # Commands

    def connect(self, *, now: float) -> None:
        """Opens the signalling flow without registering. Harmless when it is open or on its way."""
        self._signalling.connect(now=now)
        self._drain(now)

    def login(self, *, now: float) -> None:
        """Connects and registers. Gives `LoggedIn` or `LoginRefused`."""
        if not self.servers:
            raise LocalProtocolError("cannot log in: the account has no server; give one in AccountOptions.servers")
        if self.state in (AccountState.LOGGING_IN, AccountState.LOGGED_IN):
            raise LocalProtocolError(f"cannot log in: account {self.id} is {self.state.value}; log out first")
        self.state = AccountState.LOGGING_IN
        self._moves = 0
        self._timers.arm(Timer.LOGIN, now + self.options.login_timeout)
        self._signalling.connect(now=now)
        self.user_agent.register(now=now)
        self._drain(now)

    def logout(self, *, now: float) -> None:
        """Un-registers. Gives `LoggedOut`, at once when there is no flow to say it on."""
        if self.state not in (AccountState.LOGGED_IN, AccountState.LOGGING_IN):
            raise LocalProtocolError(f"cannot log out: account {self.id} is {self.state.value}; log in first")
        self._timers.cancel(Timer.LOGIN)
        self.state = AccountState.LOGGING_OUT
        if self.hop is None:
            self._signalling.close(now=now)
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
        self.hop = None
        self.registered = False
        self._signalling.close(now=now)
        self._drain(now)

    @property
    def is_connecting(self) -> bool:
        """Whether the flow is being opened; a pause between two rounds of tries is none of it."""
        return self._signalling.is_connecting

    def hurry(self, on: bool) -> None:
        """A call waits for the flow: tries to open it follow each other closely."""
        self._signalling.hurry(on)

    @property
    def is_reachable(self) -> bool:
        """Whether requests can go out and come in: a flow, and a binding on it where the account is logged in."""
        return self.hop is not None and (self.registered or self.state is not AccountState.LOGGED_IN)

    def interfaces_changed(self, addresses: tuple[str, ...], gone: frozenset[str], *, now: float) -> None:
        """This host has these addresses now, and no longer those that are `gone`."""
        self.present = addresses
        local = self.hop.local if self.hop is not None else None
        if local is not None and local.host in gone:
            self._signalling.reopen(f"the address {local.host} is gone", now=now)
        elif self.hop is None and addresses and not self.is_connecting:
            self._signalling.reopen("the addresses of this host have changed", now=now)
        self._drain(now)

    def touched(self, *, now: float) -> None:
        """To be called after a command was given to `user_agent` directly."""
        self._drain(now)

    # Inputs

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None, peer: TlsPeer | None, *, now: float
    ) -> None:
        self._signalling.flow_opened(flow, local, remote, peer, now=now)
        self._drain(now)

    def flow_accepted(self, flow: FlowId, local: Address, remote: Address, *, now: float) -> None:
        """A peer has connected to where the account listens."""
        self._signalling.flow_accepted(flow, local, remote, now=now)
        self._drain(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._signalling.flow_lost(flow, reason, now=now)
        self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._signalling.receive_stream(flow, data, now=now)
        self._drain(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._signalling.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self._signalling.resolved(query, records, now=now)
        self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.LOGIN:
                    self._refuse_login("Connection Error" if self._last_failure else "Request Timeout", 0, now)
                case _:
                    assert_never(timer)
        self._signalling.handle_timeout(now=now)
        self.user_agent.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._timers.next(), self._signalling.next_timeout(), self.user_agent.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> AccountOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[AccountOutput]:
        return self._outbox.drain()

    # Children

    def _drain(self, now: float) -> None:
        """Each child may have been touched by the other's output, so go round until both are silent."""
        while True:
            output = self._signalling.poll_output()
            if output is not None:
                self._on_signalling_output(output, now)
                continue
            said = self.user_agent.poll_output()
            if said is None:
                return
            self._on_user_agent_output(said, now)

    def _on_signalling_output(self, output: SignallingOutput, now: float) -> None:
        match output:
            case ConnectionOpened():
                self.hop = hop = reachable(output.hop, self.present)
                self._last_failure = ""
                self._outbox.put(Up(hop))
                self.user_agent.flow_ready(hop, now=now)
                if self.is_reachable:
                    self._outbox.put(Back())
            case MessageArrived():
                self._trace("received from", output.hop, output.data)
                from_server = output.hop.reliable or (self.hop is not None and output.hop.address == self.hop.address)
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
            case ConnectionLost():
                self.hop = None
                self.registered = False
                self._outbox.put(Down(output.code, output.reason, True, output.retry_in))
                self.user_agent.flow_lost(output.reason, now=now)
                if self.state is AccountState.LOGGING_OUT:
                    self._logged_out()
            case ConnectionFailed():
                self._last_failure = output.reason
                self._outbox.put(Down(1006, output.reason, False, output.retry_in))
                # Each server has had its turn: whoever waits for a login should hear of it now.
                if self.state is AccountState.LOGGING_IN and output.retry_in != 0.0:
                    self._refuse_login("Connection Error", 0, now)
            case Unreachable():
                self.user_agent.unreachable(output.address, now=now)
            case OpenStream() | OpenDatagram() | Listen() | SendStream() | SendDatagram() | CloseFlow() | Resolve():
                self._outbox.put(output)
            case _:
                assert_never(output)

    def _on_user_agent_output(self, output: UserAgentOutput, now: float) -> None:
        match output:
            case SendMessage():
                if self.hop is not None:
                    self._trace("sent to", output.hop, output.data)
                    self._signalling.send(output.data, output.hop, now=now)
            case Registered():
                if not self.registered:
                    self._outbox.put(Back())
                self.registered = True
                self._moves = 0
                if self.state is AccountState.LOGGING_IN:
                    self.state = AccountState.LOGGED_IN
                    self._timers.cancel(Timer.LOGIN)
                    self._outbox.put(LoggedIn(_token_expires(output.headers)))
            case RegistrationFailed():
                self.registered = False
                if self._went_elsewhere(output, now):
                    return
                code = _token_error(output.headers)
                cause = error_string(code) if code else output.cause
                # After a login has succeeded the user agent goes on trying by itself, which mends no token.
                if self.state is AccountState.LOGGED_IN and code:
                    self._give_up(cause, now)
                    self._outbox.put(LoggedOut(cause))
                elif self.state is AccountState.LOGGING_IN and not (output.status == 0 and self.hop is None):
                    self._refuse_login(cause, output.status, now, code, output.retry_after)
            case Unregistered():
                self.registered = False
                if self.state is AccountState.LOGGING_OUT:
                    self._logged_out()
            case RequestAnswered() | Notified() | SubscriptionEnded():
                self._outbox.put(OutsideSaid(output))
            case _:
                self._outbox.put(CallSaid(output))

    def _trace(self, what: str, hop: Hop, data: bytes) -> None:
        if self.traces:
            text = data.decode("utf-8", "backslashreplace")
            self._outbox.put(Traced(f"{what} {hop.transport} {hop.address or ''}\n{redacted(text)}"))

    def _went_elsewhere(self, failure: RegistrationFailed, now: float) -> bool:
        """Whether another server is tried: the one that a 301 or 302 names, or the next after one that cannot serve."""
        if self.hop is None or self.state not in (AccountState.LOGGING_IN, AccountState.LOGGED_IN):
            return False
        if failure.moved_to is not None and failure.status in (301, 302):
            server = ServerUrl.of(failure.moved_to)
            # A registrar may send us on, but never to where others could listen.
            secure_enough = server is not None and (server.secure or not self.hop.secure)
            if server is None or not secure_enough or self._moves >= MAX_MOVES:
                return False
            self._moves += 1
            self._signalling.move(server, f"the registrar is at {server}", now=now)
        elif failure.status not in UNAVAILABLE or not self._signalling.fail_over(failure.cause, now=now):
            return False
        self.user_agent.flow_lost(failure.cause, now=now)  # what it asks for from here on is for the next flow
        self.user_agent.register(now=now)
        return True

    def _refuse_login(self, cause: str, status: int, now: float, code: int = 0, retry_after: int | None = None) -> None:
        self._give_up(cause, now)
        self._outbox.put(LoginRefused(cause, status, code, "" if status else self._last_failure, retry_after))

    def _give_up(self, cause: str, now: float) -> None:
        self.state = AccountState.IDLE
        self._timers.cancel(Timer.LOGIN)
        self.hop = None
        self._signalling.close(now=now)
        self.user_agent.flow_lost(cause, now=now)
        self.user_agent.unregister(now=now)  # else the next flow, opened for a call, would register

    def _logged_out(self) -> None:
        self.state = AccountState.IDLE
        self._outbox.put(LoggedOut())


def _token_error(headers: HeaderRows) -> int:
    """The code by which a registrar says what is wrong with an access token; 0 where it does not.

    401 is no such code: it repeats the status of a challenge.
    """
    text = next((value for name, value in headers if name.lower() == ERROR_HEADER.lower()), "")
    code = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
    return 0 if code == 401 else code


def _token_expires(headers: HeaderRows) -> int | None:
    text = next((value for name, value in headers if name.lower() == TOKEN_HEADER.lower()), "")
    return parse_expiry(text)


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
