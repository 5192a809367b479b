"""What `register`, `call` and `answer` have in common.

They begin alike: add the account, then log in, or connect, or just be there (peer to peer). They end alike as well:
close the phone, which hangs up and un-registers first.
"""

from typing import Any

from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import AccountId
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone

from .alarms import Alarms
from .exit_status import DONE, INTERRUPTED, LOGIN_FAILED, UNREACHABLE

__all__ = ["AccountPlan", "advice"]


class AccountPlan:
    """Brings an account up and, in the end, down. A subclass says what happens in between."""

    def __init__(self, options: AccountOptions, *, register: bool) -> None:
        self.options = options
        self.exit_status = DONE
        self.error = ""
        self.account: AccountId | None = None
        self._alarms = Alarms()
        self._logs_in = register and bool(options.servers)
        self._is_ready = False
        self._closing = False

    @property
    def alarm(self) -> float | None:
        return None if self._closing else self._alarms.next()

    def begin(self, phone: Softphone, *, now: float) -> None:
        self.account = phone.add_account(self.options, now=now)
        if self._logs_in:
            phone.login(self.account, now=now)
        elif self.options.servers:
            phone.connect(self.account, now=now)
        self._alarms.set("reach", now + self.options.login_timeout)

    def became_ready(self, phone: Softphone, event: Any, *, now: float) -> bool:
        """Whether by this event, and by none before it, calls can be made and taken. Ends a plan that cannot begin."""
        match event:
            case events.Login():
                return self._reached()
            case events.ConnectionChange(state="connected") if not self._logs_in:
                return self._reached()
            case events.LoginFailed() if event.status:
                self.finish(phone, LOGIN_FAILED, f"login failed: {event.cause} ({event.status}); {advice(event)}", now)
            case events.LoginFailed():
                self._give_up(phone, event.detail or event.cause, now)
            case _:
                pass
        return False

    def account_alarm(self, phone: Softphone, name: str, *, now: float) -> None:
        if name == "reach":
            self._give_up(phone, "no answer", now)

    def on_interrupt(self, phone: Softphone, *, now: float) -> None:
        self.finish(phone, INTERRUPTED, "", now)

    def end(self) -> None:
        """A plan without files has nothing to close."""

    def finish(self, phone: Softphone, exit_status: int, error: str, now: float) -> None:
        """Closes the phone; the first reason given is the one that counts."""
        if self._closing:
            return
        self._closing = True
        self.exit_status, self.error = exit_status, error
        phone.close(now=now)

    def _reached(self) -> bool:
        if self._is_ready or self._closing:
            return False
        self._is_ready = True
        self._alarms.drop("reach")
        return True

    def _give_up(self, phone: Softphone, cause: str, now: float) -> None:
        where = ", ".join(self.options.servers) or str(self.options.bind)
        cause = cause.removeprefix(f"{where}: ")
        error = f"no server could be reached at {where}: {cause}; check the address, or that the server is up"
        self.finish(phone, UNREACHABLE, error, now)


def advice(event: events.LoginFailed) -> str:
    """What to do about a refused login."""
    if event.status in (401, 403, 407):
        return "check user name and password"
    if event.status == 404:
        return "check the account's address: the server does not know it"
    return "the server refused; ask its operator"
