"""Transfers of calls: blind and attended, ours and the peer's (RFC 3515, RFC 3891, RFC 5589).

Theory of operation
-------------------
    transfer():  REFER -> TransferProgress... -> TransferCompleted (the call is hung up) or TransferFailed (it goes on)
    the peer's:  REFER -> 202, TransferRequested -> accept() -> a new call, whose progress the peer is told

A transfer that was accepted ties two rows: the call in which it was asked for, and the new one (`Call.referral`). The
former may end meanwhile, at either end: what becomes of the transfer is told all the same (RFC 5057). A
call that is to take another's place (`Call.replaces`) hangs that one up when it is answered.
"""

from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.call_events import CallEnd, CallId, ReferProgress, ReferReceived
from sansio_sip.sip.policy import Consent
from sansio_sip.sip.status import cause_of
from sansio_sip.sip.uri import SipUri

from . import events
from .call import Call, Referral, target_uri
from .call_info import AccountId, CallState, CallUuid
from .call_table import AccountTouched, CallTable, unless_over

__all__ = ["Transfers"]

MAX_PARTED = 64
"""Calls that have ended while the far end still calls somebody for us; each is told of for 3 minutes at most."""


class Transfers:
    """The machine. It places no calls and ends none: what is to be placed or ended it says in what it returns."""

    def __init__(self, table: CallTable) -> None:
        self._table = table
        self._parted: dict[tuple[AccountId, CallId], Call] = {}

    # Ours

    def start(self, call: Call, target: str, *, now: float) -> None:
        """Asks the far end to call `target`. Raises LocalProtocolError unless the call was answered."""
        account = self._table.account(call)
        uri = target_uri(target, account.options.uri().host, by_address=not account.servers)
        self._refer(call, uri, None, now)

    def start_attended(self, call: Call, other: Call, *, now: float) -> None:
        """Joins the far ends of two calls. Raises LocalProtocolError unless both were answered."""
        if call is other:
            raise LocalProtocolError(f"cannot transfer call {call.uuid}: it is both calls; give another one")
        for row in (call, other):
            self._demand(row)
        assert other.sip is not None
        user_agent = self._table.user_agent(other)
        target = user_agent.peer_of(other.sip)
        if target is None:
            raise LocalProtocolError(
                f"cannot transfer to call {other.uuid}: its far end has no SIP URI; transfer to one that has"
            )
        self._refer(call, target, other, now)

    def _refer(self, call: Call, target: SipUri, other: Call | None, now: float) -> None:
        self._demand(call)
        assert call.sip is not None
        replaces = None
        if other is not None and other.sip is not None:
            replaces = self._table.user_agent(other).as_replaced(other.sip)
        number = self._table.user_agent(call).refer(call.sip, target, replaces=replaces, now=now)
        call.transfers[number] = other.uuid if other is not None else None
        self._table.touched(call)

    def progress(self, call: Call, output: ReferProgress) -> tuple[Call, ...]:
        """What the far end says of a transfer of ours. Returns the calls that are to be hung up."""
        if output.refer not in call.transfers:
            return ()
        if not output.final:
            self._table.put(events.TransferProgress(call.account, call.info, output.status))
            return ()
        other = call.transfers.pop(output.refer)
        if not 200 <= output.status < 300:
            cause = cause_of(output.status) if output.status else "Call Ended"
            self._table.put(events.TransferFailed(call.account, call.info, output.status, cause))
            return ()
        self._table.put(events.TransferCompleted(call.account, call.info))
        # RFC 5589 section 6.1: whoever transfers hangs up when it has succeeded. The call that was replaced ends by the
        # BYE of its other end; should that be lost, by ours.
        found = [call]
        if other is not None and other in self._table:
            found.append(self._table.get(other))
        return tuple(row for row in found if not row.ended)

    # The peer's

    def requested(self, call: Call, output: ReferReceived, *, now: float) -> Referral | None:
        """The far end asks us to call somebody. Returns what to call at once."""
        assert call.sip is not None
        user_agent = self._table.user_agent(call)
        if call.state is not CallState.ANSWERED or call.ended:
            with unless_over:
                user_agent.reject_refer(call.sip, output.refer, now=now)
            self._table.touched(call)
            return None
        # The REFER must be answered within 32 s; a person may take longer.
        with unless_over:
            user_agent.accept_refer(call.sip, output.refer, now=now)
        self._table.touched(call)
        referral = Referral(
            account=call.account,
            sip=call.sip,
            refer=output.refer,
            target=output.target,
            replaces=str(output.replaces) if output.replaces is not None else None,
            referred_by=str(output.referred_by) if output.referred_by is not None else None,
        )
        if self._table.account(call).options.policy.refer is Consent.ALLOW:
            return referral
        if call.asked is not None:
            self._report(call.asked, 487, now)  # one question at a time: the later wish counts
        call.asked = referral
        self._table.put(self.event(call, referral, None))
        return None

    @staticmethod
    def event(call: Call, referral: Referral, new_call: CallUuid | None) -> events.TransferRequested:
        by = referral.referred_by or ""
        return events.TransferRequested(call.account, call.info, str(referral.target), by, new_call)

    def asked(self, call: Call) -> Referral:
        """What the far end has asked for. Raises LocalProtocolError where it asks for nothing."""
        if call.asked is None:
            raise LocalProtocolError(
                f"cannot answer a transfer in call {call.uuid}: none is asked for; wait for TransferRequested"
            )
        return call.asked

    def reject(self, call: Call, status: int, *, now: float) -> None:
        """Raises LocalProtocolError where nothing is asked for, or `status` refuses nothing."""
        if not 300 <= status <= 699:
            raise LocalProtocolError(
                f"cannot refuse a transfer: {status} refuses nothing; give a status from 300 to 699"
            )
        referral, call.asked = self.asked(call), None
        self._report(referral, status, now)

    def ringing(self, call: Call, status: int, *, now: float) -> None:
        """A call that was asked for by REFER goes on."""
        if call.referral is not None and status > 100:
            self._report(call.referral, status, now)

    def answered(self, call: Call, *, now: float) -> None:
        self._finish(call, 200, now)

    def ended(self, call: Call, end: CallEnd, *, now: float) -> None:
        """A call is over. Whoever asked for it hears so, unless it was answered before."""
        self._finish(call, end.status if end.status >= 300 else 487, now)
        if call.asked is not None:
            # Nobody can decide any more, and the far end may wait for the answer still.
            self._report(call.asked, 487, now)
            call.asked = None
        if call.transfers and call.sip is not None:
            self._parted[call.account, call.sip] = call
            if len(self._parted) > MAX_PARTED:
                del self._parted[next(iter(self._parted))]

    def told_after_end(self, account: AccountId, output: ReferProgress) -> tuple[Call, ...]:
        """What the far end of a call that has ended says of a transfer of ours. Returns calls to be hung up."""
        call = self._parted.get((account, output.call))
        if call is None:
            return ()
        over = self.progress(call, output)
        if not call.transfers:
            del self._parted[account, output.call]
        return over

    def _finish(self, call: Call, status: int, now: float) -> None:
        referral, call.referral = call.referral, None
        if referral is not None:
            self._report(referral, status, now)

    def _report(self, referral: Referral, status: int, now: float) -> None:
        """Tells the far end, as long as it listens."""
        user_agent = self._table.agent_of(referral.account)
        if user_agent is None:
            return
        with unless_over:
            user_agent.report_refer(referral.sip, referral.refer, status, now=now)
        self._table.put(AccountTouched(referral.account))

    def _demand(self, call: Call) -> None:
        if call.state is not CallState.ANSWERED or call.sip is None:
            raise LocalProtocolError(f"cannot transfer call {call.uuid}: it is {call.state.value}; it must be answered")
