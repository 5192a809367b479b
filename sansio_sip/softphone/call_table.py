"""The calls of a phone that have not ended: found by name, by what the user agent calls them, by media session.

The table is shared by the machines that make up `CallControl`; each puts what it says into the table's one outbox, so
that all of it stays in one order.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.effects import CloseFlow, OpenDatagram, OpenStream, Resolve, SendDatagram, SendStream
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import Outbox
from sansio_sip.sip.call_events import CallId
from sansio_sip.sip.user_agent import UserAgent

from .account import Account
from .call import Call
from .call_info import AccountId, CallState, CallUuid
from .events import CallAnswered, Event
from .media_plane import SessionId

__all__ = ["AccountTouched", "CallControlOutput", "CallTable", "unless_over"]

# What an INVITE begins, a CANCEL or BYE in the same segment may have ended before we have read of the beginning: the
# user agent then refuses what we ask for, and its CallEnded is among what we read next.
unless_over = suppress(LocalProtocolError)


@dataclass(frozen=True, slots=True)
class AccountTouched:
    """The user agent of this account was given a command: drain it now."""

    account: AccountId


CallControlOutput: TypeAlias = (
    OpenDatagram | SendDatagram | OpenStream | SendStream | CloseFlow | Resolve | Event | AccountTouched
)


class CallTable:
    """The rows, and the outbox of all that is said of them."""

    def __init__(self, accounts: Mapping[AccountId, Account]) -> None:
        self._accounts = accounts
        self._rows: dict[CallUuid, Call] = {}
        self._by_sip: dict[tuple[AccountId, CallId], Call] = {}
        self._by_session: dict[SessionId, Call] = {}
        self.outbox: Outbox[CallControlOutput] = Outbox()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Call]:
        """Oldest first; calls may come and go meanwhile."""
        return iter(tuple(self._rows.values()))

    def __contains__(self, call: CallUuid) -> bool:
        return call in self._rows

    def get(self, call: CallUuid) -> Call:
        """Raises LocalProtocolError where there is none of that name."""
        try:
            return self._rows[call]
        except KeyError:
            raise LocalProtocolError(f"there is no call {call!r}: it has ended or never was; see calls()") from None

    def by_sip(self, account: AccountId, call: CallId) -> Call | None:
        return self._by_sip.get((account, call))

    def by_session(self, session: SessionId) -> Call | None:
        return self._by_session.get(session)

    def add(self, call: Call) -> None:
        self._rows[call.uuid] = call
        if call.sip is not None:
            self._by_sip[call.account, call.sip] = call

    def name_sip(self, call: Call, sip: CallId) -> None:
        """The user agent has a name for the call now."""
        call.sip = sip
        self._by_sip[call.account, sip] = call

    def add_session(self, call: Call, session: SessionId) -> None:
        self._by_session[session] = call

    def remove_session(self, session: SessionId) -> None:
        self._by_session.pop(session, None)

    def remove(self, call: Call) -> None:
        self._rows.pop(call.uuid, None)
        if call.sip is not None:
            self._by_sip.pop((call.account, call.sip), None)

    def answered(self, call: Call, *, now: float) -> None:
        """It is up."""
        call.state = CallState.ANSWERED
        call.answered_at = now
        self.put(CallAnswered(call.account, call.info))

    def account(self, call: Call) -> Account:
        return self._accounts[call.account]

    def user_agent(self, call: Call) -> UserAgent:
        return self._accounts[call.account].user_agent

    def agent_of(self, account: AccountId) -> UserAgent | None:
        """None where the account was removed."""
        return self._accounts[account].user_agent if account in self._accounts else None

    def put(self, output: CallControlOutput) -> None:
        self.outbox.put(output)

    def touched(self, call: Call) -> None:
        """To be said after each command to the user agent of the call's account."""
        self.outbox.put(AccountTouched(call.account))
