"""Calls that come in: ringing, early media, the answer, or a refusal.

Theory of operation
-------------------
    INVITE with the offer -> IncomingCall -> answer(): open session -> apply offer -> 200 with the answer
    INVITE without one    -> IncomingCall -> answer(): open session -> create offer -> 200 -> ACK with the answer
"""

from collections.abc import Callable

from sansio_sip.context import Context
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.call_events import CallConfirmed, CallId, IncomingCall
from sansio_sip.sip.policy import Consent

from . import events
from .account import Account
from .call import Call, identity, target_uri, visible_headers
from .call_ends import CallEnds
from .call_info import CallDirection, CallState, CallUuid
from .call_media import CallMedia
from .call_table import AccountTouched, CallTable, unless_over
from .call_transfer import Transfers
from .media_plane import MediaPlane

__all__ = ["IncomingCalls"]


class IncomingCalls:
    """The callee's side of calls. `drain` takes what the engine has said.

    Attributes:
        closing: once true, calls that come in are refused.
    """

    def __init__(
        self,
        context: Context,
        table: CallTable,
        engine: MediaPlane,
        media: CallMedia,
        ends: CallEnds,
        transfers: Transfers,
        max_calls: int,
        drain: Callable[[float], None],
    ) -> None:
        self.closing = False
        self._context = context
        self._table = table
        self._engine = engine
        self._media = media
        self._ends = ends
        self._transfers = transfers
        self._max_calls = max_calls
        self._drain = drain

    # Commands

    def answer(self, call: CallUuid, *, now: float) -> None:
        """Answers a ringing call. Raises LocalProtocolError unless it is an incoming one that rings."""
        row = self._table.get(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.answering:
            raise LocalProtocolError(f"cannot answer call {call}: its state is {row.state.value}; it must ring here")
        row.answering = True
        if row.early_answer and row.sip is not None:
            # RFC 3261 section 13.2.1: the 200 says again what the provisional response has said.
            self._accept(row, row.sip, row.early_answer, now)
            self._table.touched(row)
            return
        if row.session is not None:
            return  # the early answer is being made, and goes into the 200
        session = self._media.open(row, now=now)
        if row.offer is None:
            # RFC 3261 section 13.2.1: an INVITE without an offer is answered by a 200 with ours.
            row.delayed_offer = True
            self._engine.create_offer(session, now=now)
            self._drain(now)
        else:
            self._apply(row, row.offer, is_offer=True, now=now)

    def progress(self, call: CallUuid, *, now: float) -> None:
        """Opens the way for early media. Raises LocalProtocolError unless it rings here, with an offer."""
        row = self._table.get(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.session is not None:
            raise LocalProtocolError(
                f"cannot send early media in call {call}: its state is {row.state.value}; it must ring here, silent yet"
            )
        if row.offer is None:
            raise LocalProtocolError(
                f"cannot send early media in call {call}: the caller has made no offer; answer instead"
            )
        self._media.open(row, now=now)
        self._apply(row, row.offer, is_offer=True, now=now)

    def reject(self, call: CallUuid, status: int, *, now: float) -> None:
        """Refuses a ringing call. Raises LocalProtocolError unless it rings here and `status` refuses."""
        row = self._table.get(call)
        if not 300 <= status <= 699:
            raise LocalProtocolError(
                f"cannot reject call {call}: {status} refuses nothing; give a status from 300 to 699"
            )
        if row.direction is not CallDirection.INCOMING or row.state not in (CallState.RINGING, CallState.IGNORED):
            raise LocalProtocolError(f"cannot reject call {call}: its state is {row.state.value}; hang up instead")
        assert row.sip is not None
        self._table.user_agent(row).reject(row.sip, status, now=now)
        self._table.touched(row)

    def redirect(self, call: CallUuid, target: str, *, now: float) -> None:
        """Sends a caller elsewhere. Raises LocalProtocolError unless it rings here, and for a bad target."""
        row = self._table.get(call)
        account = self._table.account(row)
        uri = target_uri(target, account.options.uri().host, by_address=False)
        if row.direction is not CallDirection.INCOMING or row.state not in (CallState.RINGING, CallState.IGNORED):
            raise LocalProtocolError(f"cannot redirect call {call}: its state is {row.state.value}; it must ring here")
        assert row.sip is not None
        account.user_agent.redirect(row.sip, uri, now=now)
        self._table.touched(row)

    def ignore(self, call: CallUuid, *, now: float) -> None:
        """Stops ringing here and tells the caller nothing. Raises LocalProtocolError unless it rings here."""
        row = self._table.get(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.answering:
            raise LocalProtocolError(f"cannot ignore call {call}: its state is {row.state.value}; it must ring here")
        row.state = CallState.IGNORED
        self._table.put(events.IncomingCallIgnored(row.account, row.info))

    # What the user agent says

    def received(self, account: Account, output: IncomingCall, *, now: float) -> None:
        """An INVITE has come."""
        replaced = self._table.by_sip(account.id, output.replaces) if output.replaces is not None else None
        busy = replaced is None and any(call.account == account.id for call in self._table)
        full = len(self._table) >= self._max_calls
        if self.closing or full or (busy and not account.options.allow_multiple_incoming):
            with unless_over:
                account.user_agent.reject(output.call, 486, now=now)
            self._table.put(AccountTouched(account.id))
            return
        headers = {name.lower(): value for name, value in output.headers}
        named = CallUuid(headers.get("x-calluuid", str(output.call)))
        call = Call(
            uuid=named if named not in self._table else CallUuid(self._context.entropy.uuid("call")),
            account=account.id,
            direction=CallDirection.INCOMING,
            src=identity(output.caller),
            dest=str(account.options.uri()),
            sip=output.call,
            state=CallState.RINGING,
            extra_headers=visible_headers(output.headers),
            offer=output.description,
            replaces=replaced.uuid if replaced is not None else None,
            stir_shaken_state=headers.get("x-plivo-stir-verification", "Not_applicable"),
            started_at=now,
        )
        self._table.add(call)
        if replaced is not None and account.options.policy.replaces is Consent.ALLOW:
            # RFC 3891 section 3: "[...] the UA attempts to accept the new INVITE". Its user is on the phone already.
            self._table.put(events.CallReplaced(account.id, call.info, replaced.uuid))
            self.answer(call.uuid, now=now)
            return
        with unless_over:
            account.user_agent.ring(output.call, now=now)
        self._table.touched(call)
        self._table.put(
            events.IncomingCall(account.id, call.info, call.src, output.caller.display_name or "", call.replaces)
        )

    def confirmed(self, call: Call, output: CallConfirmed, *, now: float) -> None:
        """The caller has our answer, and where our 200 made the offer this has hers."""
        if call.delayed_offer:
            if not output.description:
                self._ends.fail(call, "Bad Media Description", now=now)
                self._drain(now)
                return
            self._apply(call, output.description, is_offer=False, now=now)
        if not call.failure:  # else its SDP did not fit: it is being hung up
            self._table.answered(call, now=now)
            self._transfers.answered(call, now=now)

    # What media says

    def described(self, call: Call, body: bytes, *, now: float) -> None:
        """Our first offer or answer is ready."""
        call.described = True
        if call.sip is None:
            return
        with unless_over:
            if call.answering:
                self._accept(call, call.sip, body, now)
            else:
                call.early_answer = body
                self._table.user_agent(call).progress(call.sip, body, now=now)
        self._table.touched(call)

    def media_failed(self, call: Call, status: int, reason: str, *, now: float) -> None:
        """Its session has come to nothing."""
        cause = "Incompatible SDP" if status == 488 else reason
        if call.state is CallState.RINGING and call.sip is not None:
            call.failure = cause
            with unless_over:
                self._table.user_agent(call).reject(call.sip, status, now=now)
            self._table.touched(call)
        else:
            self._ends.fail(call, cause, now=now)
            self._drain(now)

    # Small helpers

    def _accept(self, call: Call, sip: CallId, body: bytes, now: float) -> None:
        """The 200, and the end of the call that this one replaces (RFC 3891 section 3)."""
        self._table.user_agent(call).answer(sip, body, now=now)
        if call.replaces is not None and call.replaces in self._table:
            self._ends.hang_up(self._table.get(call.replaces), now=now)
            self._drain(now)

    def _apply(self, call: Call, description: bytes, *, is_offer: bool, now: float) -> None:
        """Gives the peer's SDP to the call's session; what cannot be read fails like what does not fit."""
        assert call.session is not None
        refused = self._media.apply(call.session, description, is_offer=is_offer, now=now)
        if refused is not None:
            self.media_failed(call, *refused, now=now)
        self._drain(now)
