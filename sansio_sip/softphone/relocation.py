"""Calls whose address is gone: another network, a cable pulled, a VPN that went down.

Theory of operation
-------------------
    interfaces_changed -> an address that a call's media is bound to is gone
        -> signalling has a way (a flow from an address that is there, and a binding on it where the account has one)
        -> media takes the new address (ICE restart) -> re-INVITE -> MediaConnected: done
        -> not within `PATIENCE`: the call is given up

Signalling comes first: a re-INVITE on a flow that is gone would be lost, and the far end could not call us back.
"""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

from sansio_sip.errors import LocalProtocolError

from .account import Account
from .call import Call
from .call_info import AccountId, CallState, CallUuid
from .call_table import CallTable
from .media_plane import MediaPlane, SessionId
from .renegotiation import Renegotiation

__all__ = ["PATIENCE", "Relocation", "media_addresses"]

PATIENCE = 30.0
"""Seconds that a call may be without a way: as long as consent lasts (RFC 7675 section 5.1)."""


def media_addresses(account: Account, present: tuple[str, ...]) -> tuple[str, ...]:
    """Where media of an account is bound: `AccountOptions.media_addresses`, networks among them spelt out by the
    addresses that this host has there; else where its signalling is."""
    found: dict[str, None] = {}
    for named in account.options.media_addresses:
        if "/" in named:
            network = ip_network(named, strict=False)
            found.update(dict.fromkeys(each for each in present if ip_address(each.partition("%")[0]) in network))
        else:
            found[named] = None
    if not found and account.hop is not None and account.hop.local is not None:
        found[account.hop.local.host] = None
    return tuple(found) or ("127.0.0.1",)


class Relocation:
    """The machine. Whoever calls it drains the media engine afterwards."""

    def __init__(
        self,
        table: CallTable,
        media: MediaPlane,
        renegotiation: Renegotiation,
        account_of: Callable[[Call], Account],
    ) -> None:
        self._table = table
        self._media = media
        self._renegotiation = renegotiation
        self._account_of = account_of
        self._bound: dict[SessionId, tuple[str, ...]] = {}
        self._deadlines: dict[CallUuid, float] = {}
        self.present: tuple[str, ...] = ()
        """The addresses that this host has."""

    def opened(self, session: SessionId, bind: tuple[str, ...]) -> None:
        """A session has these addresses."""
        self._bound[session] = bind

    def closed(self, call: Call) -> None:
        if call.session is not None:
            self._bound.pop(call.session, None)
        self._deadlines.pop(call.uuid, None)

    def connected(self, call: Call) -> None:
        """Media flows again."""
        if call.session is not None and not self._is_adrift(call.session):
            self._deadlines.pop(call.uuid, None)

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        before, self.present = self.present, addresses
        gone = set(before) - set(addresses)
        for call in self._table:
            bound = self._bound.get(call.session, ()) if call.session is not None else ()
            if not gone.isdisjoint(bound) and call.uuid not in self._deadlines:
                self._deadlines[call.uuid] = now + PATIENCE
            self._proceed(call, now)

    def account_back(self, account: AccountId, *, now: float) -> None:
        """Signalling of the account has a way again."""
        for call in self._table:
            if call.account == account:
                self._proceed(call, now)

    def overdue(self, *, now: float) -> list[Call]:
        """Calls to give up."""
        due = [uuid for uuid, deadline in self._deadlines.items() if deadline <= now]
        for uuid in due:
            del self._deadlines[uuid]
        return [self._table.get(uuid) for uuid in due if uuid in self._table]

    def next_timeout(self) -> float | None:
        return min(self._deadlines.values(), default=None)

    def _is_adrift(self, session: SessionId) -> bool:
        """Whether an address that it is bound to is none of ours."""
        return any(host not in self.present for host in self._bound.get(session, ()))

    def _proceed(self, call: Call, now: float) -> None:
        if call.uuid not in self._deadlines or call.session is None or not self._is_adrift(call.session):
            return
        account = self._account_of(call)
        bind = media_addresses(account, self.present)
        if not account.is_reachable or any(host not in self.present for host in bind):
            return  # `account_back` or another change of interfaces follows
        try:
            self._media.rebind(call.session, bind, now=now)
        except LocalProtocolError:
            return  # media has failed: the deadline ends the call
        self._bound[call.session] = bind
        if call.state is CallState.ANSWERED:
            self._renegotiation.renew(call, now=now)
