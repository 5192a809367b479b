"""A softphone and its accounts, as something that can be waited for."""

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sansio_sip.effects import Address
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import AccountId, CallInfo, CallUuid
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone

from .call import Call
from .logger import log
from .runtime import AsyncRuntime, Bell
from .subscription import Subscription

__all__ = ["Account", "LoginError", "Phone"]


class LoginError(Exception):
    """A login was refused, or nobody answered.

    Attributes:
        cause: the reference's words: `Authentication Error`, `Request Timeout`, `Connection Error`...
        status: the SIP status behind it, 0 where no server answered.
    """

    def __init__(self, cause: str, status: int) -> None:
        super().__init__(f"{cause} ({status})" if status else cause)
        self.cause = cause
        self.status = status


class Account:
    """One identity of a `phone`."""

    def __init__(self, phone: "Phone", bell: Bell, account: AccountId) -> None:
        self.id = account
        self.phone = phone
        self._bell = bell
        self._answer: events.Login | events.LoginFailed | events.Logout | None = None

    async def login(self, timeout: float | None = None) -> None:
        """Connects and registers. Raises LoginError, TimeoutError, or LocalProtocolError if it is logged in.

        Cancelling it leaves the login under way: log out to end it.
        """
        self._answer = None
        self.phone.command("login", self.id)
        await self._bell.until(lambda: self._answer is not None, timeout)
        if isinstance(self._answer, events.LoginFailed):
            raise LoginError(self._answer.cause, self._answer.status)

    async def logout(self, timeout: float | None = None) -> None:
        """Ends its calls and un-registers. Raises TimeoutError, or LocalProtocolError if it is not logged in."""
        self.phone.command("logout", self.id)
        await self._bell.until(lambda: isinstance(self._answer, events.Logout), timeout)

    async def connected(self, timeout: float | None = None) -> Address:
        """Waits for the signalling flow without a login; returns our address on it. Raises TimeoutError."""
        self.phone.command("connect", self.id)
        await self._bell.until(lambda: self.local_address is not None, timeout)
        assert self.local_address is not None
        return self.local_address

    @property
    def local_address(self) -> Address | None:
        """Where its signalling is bound; None while it is not."""
        return self.phone.machine.local_address(self.id)

    def call(self, target: str, *, extra_headers: Mapping[str, str] | None = None) -> Call:
        """Calls a SIP URI, a number, or a name at the account's domain. Raises LocalProtocolError."""
        call: CallUuid = self.phone.command("call", self.id, target, extra_headers=extra_headers)
        return self.phone.calls[call]

    def incoming(self) -> Subscription[Call]:
        """Calls that ring here from now on, as an async iterator."""
        return self.phone.incoming(self)

    def take(self, event: events.Login | events.LoginFailed | events.Logout) -> None:
        """An event about this account."""
        self._answer = event


class Phone:
    """A softphone on an event loop; made by `open_softphone`.

    Attributes:
        machine: the `Softphone` itself, for what only asks.
        calls: those that have not ended.
    """

    def __init__(self, machine: Softphone, runtime: AsyncRuntime) -> None:
        self.machine = machine
        self.calls: dict[CallUuid, Call] = {}
        self.driver: Any = None
        self._runtime = runtime
        self._bell = Bell(runtime)
        self._accounts: dict[AccountId, Account] = {}
        self._subscriptions: WeakSet[Subscription[Any]] = WeakSet()
        self._incoming: WeakKeyDictionary[Subscription[Call], AccountId | None] = WeakKeyDictionary()
        self._closed = False

    def add_account(self, options: AccountOptions) -> Account:
        """Adds an identity; nothing is sent before `login`. Raises LocalProtocolError when the phone is closing."""
        name: AccountId = self.command("add_account", options)
        return self._account(name)

    def events(self) -> Subscription[Any]:
        """Every event from now on, as an async iterator for `match`."""
        subscription: Subscription[Any] = Subscription(self._bell)
        self._subscriptions.add(subscription)
        return subscription

    def incoming(self, account: Account | None = None) -> Subscription[Call]:
        """Calls that ring here from now on: of one account, or of all."""
        subscription: Subscription[Call] = Subscription(self._bell)
        self._incoming[subscription] = account.id if account is not None else None
        return subscription

    def join(self, *calls: Call) -> None:
        """A conference: the far end of each of these calls hears those of all others; one alone leaves its conference.

        Raises LocalProtocolError where a call has no audio yet.
        """
        self.command("join", tuple(call.uuid for call in calls))

    def command(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Gives the machine a command, and acts on what it says. Raises LocalProtocolError."""
        method: Callable[..., Any] = getattr(self.machine, name)
        try:
            return method(*args, **kwargs, now=self.driver.now())
        finally:
            self.driver.flush()

    async def aclose(self, patience: float) -> None:
        """Hangs up, un-registers, and waits until that has been said, for up to `patience` seconds."""
        if not self._closed:
            self.command("close")
            async with self._runtime.last_words(patience):
                await self._bell.until(lambda: self._closed)

    def deliver(self, event: Any) -> None:
        """An event of the machine; the driver calls it."""
        info: CallInfo | None = getattr(event, "call_info", None)
        match event:
            case events.AudioReady():
                for name in event.calls:
                    if name in self.calls:
                        self.calls[name].hear()
            case events.Login() | events.LoginFailed() | events.Logout():
                self._account(event.account).take(event)
            case events.LogLine():
                log(event)
            case events.Closed():
                self._closed = True
            case _ if info is not None:
                call = self.calls.get(info.call_uuid)
                if call is None:
                    call = self.calls[info.call_uuid] = Call(self, self._runtime, self._bell, info)
                call.take(event)
                if call.end is not None:
                    del self.calls[info.call_uuid]
                if isinstance(event, events.IncomingCall):
                    for subscription, account in list(self._incoming.items()):
                        if account in (None, event.account):
                            subscription.put(call)
            case _:
                pass  # for `events()` alone
        if not isinstance(event, events.AudioReady):
            for listener in list(self._subscriptions):
                listener.put(event)
        if self._closed:
            for each in (*self._subscriptions, *self._incoming):
                each.close()
        self._bell.ring()

    def _account(self, name: AccountId) -> Account:
        if name not in self._accounts:
            self._accounts[name] = Account(self, self._bell, name)
        return self._accounts[name]
