"""The phone: the root machine that joins accounts, calls and media.

Theory of operation
-------------------
A softphone owns any number of accounts (`account.Account`: connection and user agent), and the calls of all of them
(`call_control.CallControl`), which owns the media engine. What an account says about a call goes to the calls; what
the calls say goes out, but for `AccountTouched`, at which that account is drained at once.

Flows belong to whoever opened them; `_owners` remembers whose each is, so an input about a flow goes to one child.
Questions to the resolver get a number of the phone's own on their way out, as each account counts from one.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NewType, TypeAlias, assert_never

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
from sansio_sip.errors import LocalProtocolError
from sansio_sip.timers import Deadlines, TimerSet
from sansio_sip.trace import RecordedOutbox, recorded

from . import account_news, events, outside
from .account import Account, AccountState
from .account_outputs import (
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
)
from .call_commands import CallCommands
from .call_control import CallControl
from .call_info import AccountId
from .call_table import AccountTouched
from .events import Event
from .media_plane import MediaPlane
from .options import AccountOptions, SoftphoneOptions

__all__ = ["Softphone", "SoftphoneOutput"]

SoftphoneOutput: TypeAlias = Effect | Event

_Calls = NewType("_Calls", str)
_CALLS = _Calls("calls")


class Timer(Enum):
    CLOSE = "close"


class Softphone(CallCommands):
    """The root machine of a phone. A driver runs it; tests and simulations feed it by hand."""

    def __init__(self, context: Context, media: MediaPlane, options: SoftphoneOptions | None = None) -> None:
        self._context = context
        self._options = options or SoftphoneOptions()
        self._outbox: RecordedOutbox[SoftphoneOutput] = RecordedOutbox(context.trace)
        self._timers: TimerSet[Timer] = TimerSet()
        self._deadlines: Deadlines[AccountId | _Calls] = Deadlines()
        self._accounts: dict[AccountId, Account] = {}
        self._calls = CallControl(context, media, self._accounts, self._options.max_calls)
        self._owners: dict[FlowId, AccountId | _Calls] = {}
        self._queries: dict[int, tuple[AccountId | _Calls, int]] = {}
        self._serial = self._query = 0
        self._closed = False
        self._traces_sip = False

    # Accounts

    @recorded
    def add_account(self, options: AccountOptions, *, now: float) -> AccountId:
        """Adds an identity; nothing is sent. An account without a server is bound to its UDP address at once.

        Raises LocalProtocolError: the phone is closing.
        """
        self._refuse_when_closing("add an account")
        self._serial += 1
        name = AccountId(f"account{self._serial}")
        account = self._accounts[name] = Account(self._context, name, options)
        account.present = self._calls.addresses
        account.traces = self._traces_sip
        if not account.servers:
            account.connect(now=now)
            self._drain_account(account, now)
        return name

    @recorded
    def remove_account(self, account: AccountId, *, now: float) -> None:
        """Ends the calls of an account, closes its flow and forgets it. Log out first: it does not un-register."""
        row = self._account(account)
        self._calls.hang_up_all(account, now=now)
        self._drain_calls(now)
        row.close(now=now)
        self._drain_account(row, now)
        del self._accounts[account]
        self._deadlines.remove(account)
        self._queries = {query: asked for query, asked in self._queries.items() if asked[0] != account}

    @recorded
    def connect(self, account: AccountId, *, now: float) -> None:
        """Opens the signalling flow without logging in. Gives ConnectionChange."""
        row = self._account(account)
        row.connect(now=now)
        self._drain_account(row, now)

    @recorded
    def login(self, account: AccountId, *, now: float) -> None:
        """Connects if need be, and registers. Gives Login or LoginFailed (reference: login).

        Raises LocalProtocolError: the account is logged in already, has no server, or the phone is closing.
        """
        self._refuse_when_closing("log in")
        row = self._account(account)
        row.login(now=now)
        self._drain_account(row, now)

    @recorded
    def logout(self, account: AccountId, *, now: float) -> None:
        """Ends the calls of the account, un-registers. Gives Logout (reference: logout).

        Raises LocalProtocolError: the account is not logged in.
        """
        row = self._account(account)
        if row.state not in (AccountState.LOGGED_IN, AccountState.LOGGING_IN):
            raise LocalProtocolError(f"cannot log out: account {account} is {row.state.value}; log in first")
        self._calls.hang_up_all(account, now=now)
        self._drain_calls(now)
        row.logout(now=now)
        self._drain_account(row, now)

    @recorded
    def unregister(self, account: AccountId, *, now: float) -> None:
        """`logout`, but calls go on: the flow stays. Gives Logout (reference: unregister)."""
        row = self._account(account)
        row.logout(now=now)
        self._drain_account(row, now)

    @recorded
    def set_access_token(self, account: AccountId, token: Secret, *, now: float) -> None:
        """Shows another access token from now on, to the registrar at once."""
        row = self._account(account)
        row.set_access_token(token, now=now)
        self._drain_account(row, now)

    @recorded
    def set_sip_trace(self, enabled: bool, *, now: float) -> None:
        """Gives each SIP message, without its secrets, as a LogLine of level 5."""
        self.trace_sip(enabled)

    def trace_sip(self, enabled: bool) -> None:
        """`set_sip_trace` for whoever owns this phone."""
        self._traces_sip = enabled
        for account in self._accounts.values():
            account.traces = enabled

    def is_connected(self, account: AccountId) -> bool:
        """Whether the signalling flow is up (reference: isConnected)."""
        return self._account(account).hop is not None

    def is_connecting(self, account: AccountId) -> bool:
        """Whether the signalling flow is being opened (reference: isConnecting)."""
        return self._account(account).is_connecting

    def is_registered(self, account: AccountId) -> bool:
        """Whether a binding is granted on the present flow (reference: isRegistered)."""
        return self._account(account).registered

    def contact_uri(self, account: AccountId) -> str | None:
        """The URI at which this device is reached (reference: getContactUri); None while it is not registered."""
        row = self._account(account)
        return row.user_agent.contact if row.registered else None

    def local_address(self, account: AccountId) -> Address | None:
        """Where signalling of the account is bound; None while it is not."""
        hop = self._account(account).hop
        return hop.local if hop is not None else None

    # Outside of calls

    @recorded
    def send_message(self, account: AccountId, target: str, text: str, *, now: float) -> int:
        """Sends a text (MESSAGE, RFC 3428). Gives RequestAnswered with the number that is returned.

        Raises LocalProtocolError: no signalling flow, or a bad target.
        """
        row = self._account(account)
        number = outside.send_message(row, target, text, now=now)
        row.touched(now=now)
        self._drain_account(row, now)
        return number

    @recorded
    def subscribe(self, account: AccountId, event: str, target: str | None = None, *, now: float) -> str:
        """Subscribes to somebody's state, one's own mailbox by default (RFC 6665: `message-summary`, `dialog`...).

        Gives Notified any number of times, and MessagesWaiting with them, at last SubscriptionEnded.

        Raises LocalProtocolError: no signalling flow, or a bad target.
        """
        row = self._account(account)
        name = outside.subscribe(row, event, target, now=now)
        row.touched(now=now)
        self._drain_account(row, now)
        return name

    @recorded
    def unsubscribe(self, account: AccountId, subscription: str, *, now: float) -> None:
        """Gives SubscriptionEnded. Raises LocalProtocolError where there is none of that name."""
        row = self._account(account)
        outside.unsubscribe(row, subscription, now=now)
        row.touched(now=now)
        self._drain_account(row, now)

    # The end

    @recorded
    def close(self, *, now: float) -> None:
        """Hangs up, un-registers, closes all flows. Gives Closed, within `SoftphoneOptions.close_timeout`."""
        if self._calls.incoming.closing:
            return
        self._calls.incoming.closing = True
        self._timers.arm(Timer.CLOSE, now + self._options.close_timeout)
        self._calls.hang_up_all(now=now)
        self._drain_calls(now)
        for account in self._accounts.values():
            if account.state in (AccountState.LOGGED_IN, AccountState.LOGGING_IN):
                account.logout(now=now)
                self._drain_account(account, now)
        self._finish_closing(now)

    # Inputs

    @recorded
    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        owner = self._owners.get(flow)
        if owner == _CALLS:
            self._calls.flow_opened(flow, local, peer, now=now)
            self._drain_calls(now)
        elif owner is not None:
            account = self._accounts[AccountId(owner)]
            account.flow_opened(flow, local, remote, peer, now=now)
            self._drain_account(account, now)

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
        owner = self._owners.get(listener)
        if owner is None or owner == _CALLS:
            self._outbox.put(CloseFlow(flow))  # it came while the listener was being closed
            return
        self._owners[flow] = owner
        account = self._accounts[AccountId(owner)]
        account.flow_accepted(flow, local, remote, now=now)
        self._drain_account(account, now)

    @recorded
    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        owner = self._owners.pop(flow, None)
        if owner == _CALLS:
            self._calls.flow_lost(flow, reason, now=now)
            self._drain_calls(now)
        elif owner is not None:
            account = self._accounts[AccountId(owner)]
            account.flow_lost(flow, reason, now=now)
            self._drain_account(account, now)

    @recorded
    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        owner = self._owners.get(flow)
        if owner == _CALLS:
            self._calls.receive_stream(flow, data, now=now)
            self._drain_calls(now)
        elif owner is not None:
            account = self._accounts[AccountId(owner)]
            account.receive_stream(flow, data, now=now)
            self._drain_account(account, now)

    @recorded
    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        owner = self._owners.get(flow)
        if owner == _CALLS:
            self._calls.receive_datagram(flow, data, source, now=now)
            self._drain_calls(now)
        elif owner is not None:
            account = self._accounts[AccountId(owner)]
            account.receive_datagram(flow, data, source, now=now)
            self._drain_account(account, now)

    @recorded
    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        name, asked = self._queries.pop(query, (None, 0))
        if name == _CALLS:
            self._calls.resolved(asked, records, now=now)
            self._drain_calls(now)
        elif name is not None:
            account = self._accounts[AccountId(name)]
            account.resolved(asked, records, now=now)
            self._drain_account(account, now)

    @recorded
    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        """Host addresses. Signalling and calls that were bound to one that is gone move to another."""
        gone = frozenset(self._calls.addresses) - frozenset(addresses)
        self._calls.interfaces_changed(addresses, now=now)
        for account in tuple(self._accounts.values()):
            account.interfaces_changed(addresses, gone, now=now)
            self._drain_account(account, now)
        self._drain_calls(now)

    @recorded
    def handle_timeout(self, *, now: float) -> None:
        for child in self._deadlines.due(now):
            if child == _CALLS:
                self._calls.handle_timeout(now=now)
                self._drain_calls(now)
            else:
                account = self._accounts[AccountId(child)]
                account.handle_timeout(now=now)
                self._drain_account(account, now)
        for timer in self._timers.due(now):
            match timer:
                case Timer.CLOSE:
                    self._finish_closing(now, give_up=True)
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        if self._closed:
            return None  # what user agents would still repeat, nobody can send
        deadlines = (self._timers.next(), self._deadlines.next())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> SoftphoneOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SoftphoneOutput]:
        return self._outbox.drain()

    # Children

    def _drain_account(self, account: Account, now: float) -> None:
        for output in account.outputs():
            match output:
                case OpenStream() | OpenDatagram():
                    self._owners[output.flow] = account.id
                    self._outbox.put(output)
                case Listen():
                    self._owners[output.listener] = account.id
                    self._outbox.put(output)
                case CloseFlow():
                    self._owners.pop(output.flow, None)
                    self._outbox.put(output)
                case SendStream() | SendDatagram():
                    self._outbox.put(output)
                case Resolve():
                    self._query += 1
                    self._queries[self._query] = (account.id, output.query)
                    self._outbox.put(Resolve(self._query, output.name, output.kind))
                case Back():
                    self._calls.account_back(account.id, now=now)
                    self._drain_calls(now)
                case CallSaid():
                    self._calls.receive(account, output.event, now=now)
                    self._drain_calls(now)
                case Strayed():
                    self._calls.account_lost(account.id, output.calls, now=now)
                    self._drain_calls(now)
                case Up() | Down() | LoggedIn() | LoginRefused() | LoggedOut() | Noted() | OutsideSaid() | Traced():
                    for event in account_news.events_of(account, output):
                        self._outbox.put(event)
                    if isinstance(output, Down) and output.was_up:
                        self._calls.account_lost(account.id, now=now)
                        self._drain_calls(now)
                case _:
                    raise AssertionError(output)
        self._deadlines.update(account.id, account.next_timeout())
        if self._calls.incoming.closing:
            self._finish_closing(now)

    def _drain_calls(self, now: float) -> None:
        for output in self._calls.outputs():
            match output:
                case AccountTouched():
                    account = self._accounts[output.account]
                    account.touched(now=now)
                    self._drain_account(account, now)
                case OpenDatagram() | OpenStream():
                    self._owners[output.flow] = _CALLS
                    self._outbox.put(output)
                case Resolve():
                    self._query += 1
                    self._queries[self._query] = (_CALLS, output.query)
                    self._outbox.put(Resolve(self._query, output.name, output.kind))
                case CloseFlow():
                    self._owners.pop(output.flow, None)
                    self._outbox.put(output)
                case _:
                    self._outbox.put(output)
        self._deadlines.update(_CALLS, self._calls.next_timeout())

    def _finish_closing(self, now: float, *, give_up: bool = False) -> None:
        """Closes the flows once nothing is left to say, or at the deadline."""
        # Calls are over for us as soon as they are hung up: it is the user agents that have things left to say.
        busy = any(
            account.state is not AccountState.IDLE or not account.user_agent.is_idle
            for account in self._accounts.values()
        )
        if self._closed or (busy and not give_up):
            return
        self._closed = True
        self._timers.cancel(Timer.CLOSE)
        for account in self._accounts.values():
            account.close(now=now)
            self._drain_account(account, now)
        self._outbox.put(events.Closed())

    # Small helpers

    def _account(self, account: AccountId) -> Account:
        try:
            return self._accounts[account]
        except KeyError:
            raise LocalProtocolError(f"there is no account {account!r}; add_account gives the names") from None

    def _refuse_when_closing(self, what: str) -> None:
        if self._calls.incoming.closing:
            raise LocalProtocolError(f"cannot {what}: the phone is closing; make a new one")
