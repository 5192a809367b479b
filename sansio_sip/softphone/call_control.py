"""The calls of a phone: each ties a SIP call of one account to a session of the media engine.

Theory of operation
-------------------
    place():   open session -> create offer -> INVITE -> 18x / 200 with the answer -> apply answer
    incoming:  INVITE with the offer -> IncomingCall -> answer(): open session -> apply offer -> 200 with the answer

How a call ends is the affair of `call_ends`.

The machine owns the media engine, and gives commands to the user agents of accounts that it does not own. It says so
in its outputs: at `AccountTouched` whoever owns the accounts drains that one, and hands what concerns a call to
`receive`. In this way all that is said stays in one order.
"""

from collections.abc import Iterator, Mapping
from typing import assert_never

from sansio_sip.context import Context
from sansio_sip.effects import (
    Address,
    CloseFlow,
    FlowId,
    OpenDatagram,
    OpenStream,
    Record,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
)
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.call_events import (
    CallAccepted,
    CallConfirmed,
    CallEnded,
    CallEvent,
    CallId,
    CallProgress,
    CallRedirected,
    DescriptionChanged,
    IncomingCall,
    InfoReceived,
    MessageReceived,
    ReferProgress,
    ReferReceived,
    ReofferAnswered,
    ReofferReceived,
    ReofferRejected,
)
from sansio_sip.sip.policy import Consent
from sansio_sip.sip.uri import SipUri, parse_uri

from . import events, media_plane
from .account import Account
from .call import Call, Referral, checked_headers, identity, target_uri, visible_headers
from .call_ends import CallEnds
from .call_info import AccountId, CallDirection, CallInfo, CallState, CallUuid
from .call_keys import KeyWay, send_keys_by_info
from .call_media import CallMedia
from .call_table import AccountTouched, CallControlOutput, CallTable, unless_over
from .call_transfer import Transfers
from .log_book import WARNING
from .media_plane import MediaPlane, Samples, SessionNews
from .messages_in_calls import said_by_info, said_by_message
from .relocation import Relocation
from .renegotiation import Renegotiation

__all__ = ["AccountTouched", "CallControl", "CallControlOutput"]

CLIENT_REGION = "X-ClientRegion"


class CallControl:
    """The machine of all calls.

    Args:
        media: the engine; nobody else touches it.
        accounts: those of the phone, by name; it may grow. Each must be drained at `AccountTouched`.
        max_calls: more are refused.
    """

    def __init__(
        self, context: Context, media: MediaPlane, accounts: Mapping[AccountId, Account], max_calls: int
    ) -> None:
        self._context = context
        self._media = media
        self._max_calls = max_calls
        self._calls = CallTable(accounts)
        self._renegotiation = Renegotiation(self._calls, media)
        self._relocation = Relocation(self._calls, media, self._renegotiation, self._calls.account)
        self._transfers = Transfers(self._calls)
        self.media = CallMedia(self._calls, media, self._relocation)
        self._ends = CallEnds(self._calls, media, self.media, self._transfers)
        self.closing = False
        """Once true, calls that come in are refused."""

    # Commands

    def place(self, account: Account, target: str, extra_headers: Mapping[str, str], *, now: float) -> CallUuid:
        """Places a call. Gives Calling at once, then what becomes of it.

        Raises:
            LocalProtocolError: no signalling flow, a bad target or header, or too many calls.
        """
        uri = target_uri(target, account.options.uri().host, by_address=not account.servers)
        return self._place(account, uri, checked_headers(extra_headers), None, now)

    def _place(
        self,
        account: Account,
        uri: SipUri,
        extra_headers: Mapping[str, str],
        referral: Referral | None,
        now: float,
    ) -> CallUuid:
        if account.hop is None:
            raise LocalProtocolError(
                f"cannot call: account {account.id} has no signalling flow; log in or connect first"
            )
        if len(self._calls) >= self._max_calls:
            raise LocalProtocolError(f"cannot call: {len(self._calls)} calls are up; end one first")
        call = Call(
            uuid=CallUuid(self._context.entropy.uuid("call")),
            account=account.id,
            direction=CallDirection.OUTGOING,
            src=str(account.options.uri()),
            dest=str(uri),
            extra_headers=extra_headers,
            referral=referral,
            started_at=now,
        )
        self._calls.add(call)
        self._calls.put(events.Calling(account.id, call.info))
        if account.options.delayed_offer:
            self._invite(call, b"", now)
            return call.uuid
        session = self.media.open(call, now=now)
        self._media.create_offer(session, now=now)
        self._drain_media(now)
        return call.uuid

    def answer(self, call: CallUuid, *, now: float) -> None:
        """Answers a ringing call. Raises LocalProtocolError unless it is an incoming one that rings."""
        row = self._calls.get(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.answering:
            raise LocalProtocolError(f"cannot answer call {call}: its state is {row.state.value}; it must ring here")
        row.answering = True
        if row.early_answer and row.sip is not None:
            # RFC 3261 section 13.2.1: the 200 says again what the provisional response has said.
            self._accept(row, row.sip, row.early_answer, now)
            self._calls.touched(row)
            return
        if row.session is not None:
            return  # the early answer is being made, and goes into the 200
        session = self.media.open(row, now=now)
        if row.offer is None:
            # RFC 3261 section 13.2.1: an INVITE without an offer is answered by a 200 with ours.
            row.delayed_offer = True
            self._media.create_offer(session, now=now)
            self._drain_media(now)
        else:
            self._apply(row, row.offer, is_offer=True, now=now)

    def progress(self, call: CallUuid, *, now: float) -> None:
        """Opens the way for early media. Raises LocalProtocolError unless it rings here, with an offer."""
        row = self._calls.get(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.session is not None:
            raise LocalProtocolError(
                f"cannot send early media in call {call}: its state is {row.state.value}; it must ring here, silent yet"
            )
        if row.offer is None:
            raise LocalProtocolError(
                f"cannot send early media in call {call}: the caller has made no offer; answer instead"
            )
        self.media.open(row, now=now)
        self._apply(row, row.offer, is_offer=True, now=now)

    def reject(self, call: CallUuid, status: int, *, now: float) -> None:
        """Refuses a ringing call. Raises LocalProtocolError unless it rings here and `status` refuses."""
        row = self._calls.get(call)
        if not 300 <= status <= 699:
            raise LocalProtocolError(
                f"cannot reject call {call}: {status} refuses nothing; give a status from 300 to 699"
            )
        if row.direction is not CallDirection.INCOMING or row.state not in (CallState.RINGING, CallState.IGNORED):
            raise LocalProtocolError(f"cannot reject call {call}: its state is {row.state.value}; hang up instead")
        assert row.sip is not None
        self._calls.user_agent(row).reject(row.sip, status, now=now)
        self._calls.touched(row)

    def redirect(self, call: CallUuid, target: str, *, now: float) -> None:
        """Sends a caller elsewhere. Raises LocalProtocolError unless it rings here, and for a bad target."""
        row = self._calls.get(call)
        account = self._calls.account(row)
        uri = target_uri(target, account.options.uri().host, by_address=False)
        if row.direction is not CallDirection.INCOMING or row.state not in (CallState.RINGING, CallState.IGNORED):
            raise LocalProtocolError(f"cannot redirect call {call}: its state is {row.state.value}; it must ring here")
        assert row.sip is not None
        account.user_agent.redirect(row.sip, uri, now=now)
        self._calls.touched(row)

    def ignore(self, call: CallUuid, *, now: float) -> None:
        """Stops ringing here and tells the caller nothing. Raises LocalProtocolError unless it rings here."""
        row = self._calls.get(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.answering:
            raise LocalProtocolError(f"cannot ignore call {call}: its state is {row.state.value}; it must ring here")
        row.state = CallState.IGNORED
        self._calls.put(events.IncomingCallIgnored(row.account, row.info))

    def hang_up(self, call: CallUuid, *, now: float) -> None:
        """Ends a call by CANCEL, 480 or BYE, whichever its state asks for."""
        self._hang_up(self._calls.get(call), now)

    def hang_up_all(self, account: AccountId | None = None, *, now: float) -> None:
        """Ends all calls, or those of one account."""
        for call in self._calls:
            if account is None or call.account == account:
                self._hang_up(call, now)

    def send_dtmf(self, call: CallUuid, digits: str, *, by: KeyWay, now: float) -> None:
        """Queues digits. Raises LocalProtocolError for a bad one, or where none can be sent."""
        if by == "info":
            send_keys_by_info(self._calls, call, digits, now=now)
            return
        self._media.send_dtmf(self.media.session(call, "send digits"), digits, in_band=by == "sound", now=now)
        self._drain_media(now)

    def set_muted(self, call: CallUuid, muted: bool, *, now: float) -> None:
        row = self._calls.get(call)
        row.muted = muted
        if row.session is not None:
            self._media.set_muted(row.session, muted or row.on_hold, now=now)
            self._drain_media(now)

    def set_held(self, call: CallUuid, held: bool, *, now: float) -> None:
        """Wishes a call on hold, or back. Raises LocalProtocolError unless it was answered and is not so already."""
        self._renegotiation.wish(self._calls.get(call), held, now=now)
        self._drain_media(now)

    def write_audio(self, call: CallUuid, samples: Samples, rate: int, *, now: float) -> int:
        taken = self.media.write_audio(call, samples, rate, now=now)
        self._drain_media(now)
        return taken

    def is_gathering(self, call: CallUuid) -> bool:
        row = self._calls.get(call)
        return row.session is not None and not row.described

    def info(self, call: CallUuid) -> CallInfo:
        return self._calls.get(call).info

    def all(self) -> tuple[CallInfo, ...]:
        """All calls that have not ended, oldest first."""
        return tuple(call.info for call in self._calls)

    # Transfers

    def transfer(self, call: CallUuid, target: str, *, now: float) -> None:
        """Raises LocalProtocolError unless the call was answered, and for a bad target."""
        self._transfers.start(self._calls.get(call), target, now=now)

    def attended_transfer(self, call: CallUuid, other: CallUuid, *, now: float) -> None:
        """Raises LocalProtocolError unless both were answered."""
        self._transfers.start_attended(self._calls.get(call), self._calls.get(other), now=now)

    def accept_transfer(self, call: CallUuid, *, now: float) -> CallUuid:
        """Raises LocalProtocolError where nothing is asked for, or the new call cannot be placed."""
        row = self._calls.get(call)
        new_call = self._follow(row, self._transfers.asked(row), now)
        row.asked = None
        return new_call

    def reject_transfer(self, call: CallUuid, status: int, *, now: float) -> None:
        """Raises LocalProtocolError where nothing is asked for, or `status` refuses nothing."""
        self._transfers.reject(self._calls.get(call), status, now=now)

    def _follow(self, call: Call, referral: Referral, now: float) -> CallUuid:
        """Places the call that the far end of another has asked for."""
        account = self._calls.account(call)
        return self._place(account, referral.target, {}, referral, now)

    # Inputs

    def receive(self, account: Account, output: CallEvent, *, now: float) -> None:
        """What the user agent of an account says about a call."""
        if isinstance(output, IncomingCall):
            self._on_incoming(account, output, now)
            return
        if isinstance(output, MessageReceived):
            said_by_message(self._calls, account.id, output)
            return
        call = self._calls.by_sip(account.id, output.call)
        if call is None:
            return  # refused, or ended by us already
        match output:
            case CallProgress():
                self._on_progress(call, output, now)
            case CallAccepted():
                self._on_accepted(call, output, now)
            case CallConfirmed():
                self._on_confirmed(call, output, now)
            case CallEnded():
                self._ends.end(call, output.end, now=now)
            case InfoReceived():
                said_by_info(self._calls, call, output)
            case CallRedirected():
                self._calls.put(events.CallRedirected(call.account, call.info, output.target))
            case ReferReceived():
                self._on_refer(call, output, now)
            case ReferProgress():
                for over in self._transfers.progress(call, output):
                    self._hang_up(over, now)
            case DescriptionChanged():
                self._renegotiation.renew(call, now=now)
            case ReofferReceived():
                self._renegotiation.received(call, output, now=now)
            case ReofferAnswered():
                self._renegotiation.answered(call, output, now=now)
                self._drain_media(now)
                self._renegotiation.settle(call, now=now)
            case ReofferRejected():
                self._renegotiation.rejected(call, output, now=now)
            case _:
                assert_never(output)
        self._drain_media(now)

    def flow_opened(self, flow: FlowId, local: Address, peer: TlsPeer | None = None, *, now: float) -> None:
        """Of a flow that was opened here; likewise the next three."""
        self._media.flow_opened(flow, local, peer, now=now)
        self._drain_media(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._media.flow_lost(flow, reason, now=now)
        self._drain_media(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._media.receive_datagram(flow, data, source, now=now)
        self._drain_media(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._media.receive_stream(flow, data, now=now)
        self._drain_media(now)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those that this host has."""
        return self._relocation.present

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        """Accounts are told after this."""
        self._relocation.interfaces_changed(addresses, now=now)
        self._drain_media(now)

    def account_lost(self, account: AccountId, *, now: float) -> None:
        """Signalling of an account has no way any more."""
        self._relocation.account_lost(account, now=now)

    def account_back(self, account: AccountId, *, now: float) -> None:
        """Signalling of an account has a way again."""
        self._relocation.account_back(account, now=now)
        self._drain_media(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self._media.resolved(query, records, now=now)
        self._drain_media(now)

    def handle_timeout(self, *, now: float) -> None:
        self._media.handle_timeout(now=now)
        self._drain_media(now)
        for call, cause in self._relocation.handle_timeout(now=now):
            self._fail(call, cause, now)
        self._drain_media(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._media.next_timeout(), self._relocation.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> CallControlOutput | None:
        return self._calls.outbox.poll()

    def outputs(self) -> Iterator[CallControlOutput]:
        return self._calls.outbox.drain()

    # What user agents say

    def _on_incoming(self, account: Account, output: IncomingCall, now: float) -> None:
        replaced = self._calls.by_sip(account.id, output.replaces) if output.replaces is not None else None
        busy = replaced is None and any(call.account == account.id for call in self._calls)
        full = len(self._calls) >= self._max_calls
        if self.closing or full or (busy and not account.options.allow_multiple_incoming):
            with unless_over:
                account.user_agent.reject(output.call, 486, now=now)
            self._calls.put(AccountTouched(account.id))
            return
        headers = {name.lower(): value for name, value in output.headers}
        named = CallUuid(headers.get("x-calluuid", str(output.call)))
        call = Call(
            uuid=named if named not in self._calls else CallUuid(self._context.entropy.uuid("call")),
            account=account.id,
            direction=CallDirection.INCOMING,
            src=identity(output.caller),
            dest=account.options.uri().user or "",
            sip=output.call,
            state=CallState.RINGING,
            extra_headers=visible_headers(output.headers),
            offer=output.description,
            replaces=replaced.uuid if replaced is not None else None,
            stir_shaken_state=headers.get("x-plivo-stir-verification", "Not_applicable"),
            started_at=now,
        )
        self._calls.add(call)
        if replaced is not None and account.options.policy.replaces is Consent.ALLOW:
            # RFC 3891 section 3: "[...] the UA attempts to accept the new INVITE". Its user is on the phone already.
            self._calls.put(events.CallReplaced(account.id, call.info, replaced.uuid))
            self.answer(call.uuid, now=now)
            return
        with unless_over:
            account.user_agent.ring(output.call, now=now)
        self._calls.touched(call)
        self._calls.put(
            events.IncomingCall(account.id, call.info, call.src, output.caller.display_name or "", call.replaces)
        )

    def _on_progress(self, call: Call, output: CallProgress, now: float) -> None:
        if call.state is CallState.INITIALIZED:
            call.state = CallState.RINGING
            self._calls.put(events.CallRemoteRinging(call.account, call.info))
        self._transfers.ringing(call, output.status, now=now)
        if output.is_offer and output.description is not None:
            self._take_offer(call, output.branch, output.description, now)
        elif output.description is not None and not call.answer_applied:
            call.answer_applied = True
            call.early_branch = output.branch
            self._apply(call, output.description, is_offer=False, now=now)

    def _take_offer(self, call: Call, branch: str, offer: bytes, now: float) -> None:
        """The far end makes the offer: our INVITE had none."""
        if call.offer_branch:
            return  # of another branch of a forked call; the first is taken
        call.offer_branch = call.early_branch = branch
        call.answer_applied = True
        self.media.open(call, now=now)
        self._apply(call, offer, is_offer=True, now=now)

    def _on_accepted(self, call: Call, output: CallAccepted, now: float) -> None:
        if output.is_offer and output.description is not None:
            self._take_offer(call, output.branch, output.description, now)
            if call.early_branch == output.branch:
                self._answered(call, now)
            else:
                self._fail(call, "Bad Media Description", now)
            return
        if not output.description and not call.answer_applied:
            self._fail(call, "Bad Media Description", now)
            return
        if call.answer_applied and call.early_branch != output.branch:
            # Another has answered than the one that was heard early.
            self.media.exchange(call, now=now)
            call.renewal_due = True
            self._drain_media(now)
        if output.description and not call.answer_applied:
            call.answer_applied = True
            self._apply(call, output.description, is_offer=False, now=now)
        self._answered(call, now)
        self._renegotiation.proceed(call, now=now)
        self._drain_media(now)

    def _on_confirmed(self, call: Call, output: CallConfirmed, now: float) -> None:
        if call.delayed_offer:
            if not output.description:
                self._fail(call, "Bad Media Description", now)
                return
            self._apply(call, output.description, is_offer=False, now=now)
        self._answered(call, now)

    def _answered(self, call: Call, now: float) -> None:
        if call.failure:
            return  # its SDP did not fit: it is being hung up
        call.state = CallState.ANSWERED
        call.answered_at = now
        self._calls.put(events.CallAnswered(call.account, call.info))
        self._transfers.answered(call, now=now)

    def _on_refer(self, call: Call, output: ReferReceived, now: float) -> None:
        referral = self._transfers.requested(call, output, now=now)
        if referral is None:
            return
        try:
            new_call = self._follow(call, referral, now)
        except LocalProtocolError:  # no flow, or too many calls
            call.asked = referral
            self._transfers.reject(call, 503, now=now)
            return
        self._calls.put(self._transfers.event(call, referral, new_call))

    # What media says

    def _drain_media(self, now: float) -> None:
        for output in self._media.outputs():
            match output:
                case OpenDatagram() | OpenStream() | CloseFlow() | SendDatagram() | SendStream() | Resolve():
                    self._calls.put(output)
                case media_plane.AudioAvailable():
                    found = (self._calls.by_session(session) for session in output.sessions)
                    calls = tuple(call.uuid for call in found if call is not None)
                    if calls:
                        self._calls.put(events.AudioReady(calls))
                case _:
                    if (call := self._calls.by_session(output.session)) is not None:
                        self._on_media(call, output, now)

    def _on_media(self, call: Call, output: SessionNews, now: float) -> None:
        match output:
            case media_plane.LocalDescription():
                self._on_local_description(call, bytes(output.description), now)
            case media_plane.MediaNotice():
                self._calls.put(events.LogLine(WARNING, f"{call.account}: {output.text}"))
            case media_plane.MediaFailed():
                self._on_media_failed(call, output.status, output.reason, now)
            case media_plane.MediaConnected():
                self._relocation.connected(call)
                self._calls.put(events.MediaConnected(call.account, call.info))
            case media_plane.MediaDisconnected():
                if output.restartable:
                    self._relocation.disconnected(call, now=now)
                elif call.on_hold or call.held_by_peer:
                    return  # silence is what a hold is for
                self._calls.put(events.MediaDisconnected(call.account, call.info, output.reason))
            case media_plane.DtmfReceived():
                self._calls.put(events.DtmfReceived(call.account, call.info, output.digit, output.duration_ms))
            case media_plane.TonesSent():
                self._calls.put(events.DtmfSent(call.account, call.info))
            case _:
                assert_never(output)

    def _on_local_description(self, call: Call, body: bytes, now: float) -> None:
        if self._renegotiation.described(call, body, now=now):
            return
        call.described = True
        user_agent = self._calls.user_agent(call)
        if call.offer_branch and call.sip is not None:
            with unless_over:
                user_agent.answer_offer(call.sip, call.offer_branch, body, now=now)
        elif call.sip is not None and not call.answering:
            call.early_answer = body
            with unless_over:
                user_agent.progress(call.sip, body, now=now)
        elif call.sip is not None:
            with unless_over:
                self._accept(call, call.sip, body, now)
        else:
            self._invite(call, body, now)
            return
        self._calls.touched(call)

    def _accept(self, call: Call, sip: CallId, body: bytes, now: float) -> None:
        """The 200, and the end of the call that this one replaces (RFC 3891 section 3)."""
        self._calls.user_agent(call).answer(sip, body, now=now)
        if call.replaces is not None and call.replaces in self._calls:
            self._hang_up(self._calls.get(call.replaces), now)

    def _invite(self, call: Call, body: bytes, now: float) -> None:
        uri = parse_uri(call.dest)
        assert isinstance(uri, SipUri)
        referred = call.referral.headers() if call.referral is not None else ()
        region = self._calls.account(call).options.client_region
        regions = ((CLIENT_REGION, region),) if region is not None else ()
        headers = (*call.extra_headers.items(), *regions, *referred)
        try:
            sip = self._calls.user_agent(call).invite(uri, body, headers=headers, now=now)
        except LocalProtocolError:  # the flow went while the offer was being made
            self._fail(call, "Connection Error", now)
            return
        self._calls.name_sip(call, sip)
        self._calls.touched(call)

    def _on_media_failed(self, call: Call, status: int, reason: str, now: float) -> None:
        cause = "Incompatible SDP" if status == 488 else reason
        if self._renegotiation.media_failed(call, status, now=now):
            return
        if call.direction is CallDirection.INCOMING and call.state is CallState.RINGING and call.sip is not None:
            call.failure = cause
            with unless_over:
                self._calls.user_agent(call).reject(call.sip, status, now=now)
            self._calls.touched(call)
        else:
            self._fail(call, cause, now)

    def _apply(self, call: Call, description: bytes, *, is_offer: bool, now: float) -> None:
        """Gives the peer's SDP to the call's session; what cannot be read fails like what does not fit."""
        refused = self.media.apply(call, description, is_offer=is_offer, now=now)
        if refused is not None:
            self._on_media_failed(call, *refused, now)
        self._drain_media(now)

    # Ends

    def _hang_up(self, call: Call, now: float) -> None:
        self._ends.hang_up(call, now=now)
        self._drain_media(now)

    def _fail(self, call: Call, cause: str, now: float) -> None:
        self._ends.fail(call, cause, now=now)
        self._drain_media(now)
