"""Calls whose way is gone: another network, a cable pulled, a server that was started anew.

Theory of operation
-------------------
    interfaces_changed -> an address that a call's media is bound to is gone
        -> signalling has a way (a flow from an address that is there, and a binding on it where the account has one)
        -> media takes the new address (ICE restart) -> re-INVITE -> MediaConnected: done
        -> not within `AccountOptions.recovery_timeout`: the call is given up

    account_lost -> the signalling flow of an answered call is gone; its media may flow on
        -> signalling has a way again -> ICE restart -> re-INVITE, by which the far end learns where we are now
        -> not within `SIGNALLING_PATIENCE`: the call is given up

Signalling comes first: a re-INVITE on a flow that is gone would be lost, and the far end could not call us back.
Media that has lost its way where nothing has moved is the affair of `recovery`.
"""

from collections.abc import Callable, Collection
from ipaddress import ip_address, ip_network

from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.call_events import CallId
from sansio_sip.timers import earlier

from .account import Account
from .call import Call
from .call_info import AccountId, CallState, CallUuid
from .call_table import CallTable
from .media_plane import MediaPlane, MediaProfile, SessionId
from .recovery import COURTESY, Recovery
from .renegotiation import Renegotiation

__all__ = ["SIGNALLING_PATIENCE", "Relocation", "media_addresses"]

SIGNALLING_PATIENCE = 64.0
"""Seconds that an answered call may be without signalling. What the far end says meanwhile is lost, its hang-up too:
each request of hers is given up after 32 s (RFC 3261, timers B and F), and this is time for two."""


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
        self._unheard: dict[CallUuid, float] = {}  # calls without signalling, and how long they may be
        self._postponed: dict[CallUuid, float] = {}  # restarts that wait for an offer under way
        self._interrupted: set[SessionId] = set()  # where ICE has lost the far end
        self._recovery = Recovery(table, self._restart_in_place, self._patience)
        self.present: tuple[str, ...] = ()
        """The addresses that this host has."""

    def opened(self, session: SessionId, bind: tuple[str, ...]) -> None:
        """A session has these addresses."""
        self._bound[session] = bind

    def forked(self, session: SessionId, fork: SessionId) -> None:
        """A session has the addresses of another."""
        if (bound := self._bound.get(session)) is not None:
            self._bound[fork] = bound

    def session_closed(self, session: SessionId) -> None:
        self._bound.pop(session, None)
        self._interrupted.discard(session)

    def closed(self, call: Call) -> None:
        self._deadlines.pop(call.uuid, None)
        self._postponed.pop(call.uuid, None)
        self._recovery.ended(call)
        if call.uuid in self._unheard:
            self._give_up_hearing(call)

    def disconnected(self, call: Call, session: SessionId, *, now: float) -> None:
        """ICE has lost the far end in a session of the call."""
        self._interrupted.add(session)
        self.answered(call, now=now)

    def answered(self, call: Call, *, now: float) -> None:
        """The call may be up: a way that was lost while it rang is looked for from now on."""
        if call.state is CallState.ANSWERED and call.session in self._interrupted:
            self._recovery.lost(call, now=now)

    def connected(self, call: Call, session: SessionId) -> None:
        """Media of a session flows, or does so again."""
        self._interrupted.discard(session)
        if session != call.session:
            return
        self._recovery.connected(call)
        if not self._is_adrift(session):
            self._deadlines.pop(call.uuid, None)

    def negotiated(self, call: Call, *, now: float) -> None:
        """A later offer of either end has its answer."""
        self._recovery.negotiated(call, now=now)

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        before, self.present = self.present, addresses
        gone = set(before) - set(addresses)
        for call in self._table:
            bound = self._bound.get(call.session, ()) if call.session is not None else ()
            if not gone.isdisjoint(bound) and call.uuid not in self._deadlines:
                self._deadlines[call.uuid] = now + self._patience(call)
            self._proceed(call, now)

    def account_lost(self, account: AccountId, calls: Collection[CallId] | None = None, *, now: float) -> None:
        """Signalling of the account has no way; or only these calls have lost theirs."""
        for call in self._table:
            strayed = calls is None or call.sip in calls
            if call.account == account and call.state is CallState.ANSWERED and strayed:
                self._unheard.setdefault(call.uuid, now + SIGNALLING_PATIENCE)
                self._account_of(call).hurry(True)

    def account_back(self, account: AccountId, *, now: float) -> None:
        """Signalling of the account has a way again."""
        for call in self._table:
            if call.account != account:
                continue
            unheard = self._unheard.pop(call.uuid, None) is not None
            if unheard:
                self._account_of(call).hurry(False)
            if call.session is not None and self._is_adrift(call.session):
                self._proceed(call, now)
            elif unheard:
                self._restart(call, now)

    def handle_timeout(self, *, now: float) -> list[tuple[Call, str]]:
        """Calls to give up, and why."""
        for uuid in [uuid for uuid, due in self._postponed.items() if due <= now]:
            del self._postponed[uuid]
            self._restart_in_place(self._table.get(uuid), now)
        overdue = [(call, "Connection Error") for call in self._overdue(now)]
        gone = {call.uuid for call, _ in overdue}
        return overdue + [
            (call, "RTP Timeout") for call in self._recovery.handle_timeout(now=now) if call.uuid not in gone
        ]

    def _overdue(self, now: float) -> list[Call]:
        due = [uuid for each in (self._deadlines, self._unheard) for uuid, deadline in each.items() if deadline <= now]
        found = [self._table.get(uuid) for uuid in dict.fromkeys(due) if uuid in self._table]
        for uuid in due:
            self._deadlines.pop(uuid, None)
        for call in found:
            if call.uuid in self._unheard:
                self._give_up_hearing(call)
        return found

    def _give_up_hearing(self, call: Call) -> None:
        """The call waits for signalling no longer; nor does its account hurry, where none does."""
        del self._unheard[call.uuid]
        if not self._is_unheard(call.account):
            self._account_of(call).hurry(False)

    def next_timeout(self) -> float | None:
        due = (*self._deadlines.values(), *self._unheard.values(), *self._postponed.values())
        deadline = min(due, default=None)
        return earlier(deadline, self._recovery.next_timeout())

    def _is_unheard(self, account: AccountId) -> bool:
        return any(call.account == account and call.uuid in self._unheard for call in self._table)

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

    def _patience(self, call: Call) -> float:
        return self._account_of(call).options.recovery_timeout

    def _restart_in_place(self, call: Call, now: float) -> bool:
        """Looks for another way from where we are. False: signalling has none, or our address is gone too."""
        if call.session is None or self._is_adrift(call.session) or not self._account_of(call).is_reachable:
            return False
        self._restart(call, now)
        return True

    def _restart(self, call: Call, now: float) -> None:
        """Tells the far end where we are now. ICE has new sockets besides: the way of media may have died as well."""
        if call.is_negotiating:
            # The answer under way is to what was offered; new credentials under it would fit neither.
            self._postponed[call.uuid] = now + COURTESY
            return
        bind = self._bound.get(call.session, ()) if call.session is not None else ()
        # Plain RTP knows no restart: a far end that holds on to our first port would lose us.
        if call.session is not None and bind and MediaProfile.WEBRTC in self._account_of(call).options.profiles:
            try:
                self._media.rebind(call.session, bind, now=now)
            except LocalProtocolError:
                return  # media has failed, and says so itself
        self._renegotiation.renew(call, now=now)
