"""The calls of a phone: each ties a SIP call of one account to a session of the media engine.

Theory of operation
-------------------
What is done here is to give each command and each input to the machine whose affair it is: `outgoing_calls` and
`incoming_calls` until a call is answered, `renegotiation` and `call_transfer` after that, `call_ends` at its end.

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
    InfoAnswered,
    InfoReceived,
    MessageReceived,
    ReferProgress,
    ReferReceived,
    ReofferAnswered,
    ReofferReceived,
    ReofferRejected,
)

from . import events, media_plane
from .account import Account
from .call import Call
from .call_ends import CallEnds
from .call_info import AccountId, CallDirection, CallInfo, CallUuid
from .call_keys import InfoKeys, KeyWay
from .call_media import CallMedia
from .call_table import CallControlOutput, CallTable
from .call_transfer import Transfers
from .incoming_calls import IncomingCalls
from .log_book import WARNING
from .media_plane import MediaPlane, Samples, SessionId, SessionNews
from .messages_in_calls import said_by_info, said_by_message
from .outgoing_calls import OutgoingCalls
from .relocation import Relocation
from .renegotiation import Renegotiation

__all__ = ["CallControl"]


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
        self._media = media
        self._calls = CallTable(accounts)
        self._renegotiation = Renegotiation(self._calls, media)
        self._relocation = Relocation(self._calls, media, self._renegotiation, self._calls.account)
        self._transfers = Transfers(self._calls)
        self.media = CallMedia(self._calls, media, self._relocation)
        self._keys = InfoKeys(self._calls)
        self._ends = CallEnds(self._calls, media, self.media, self._transfers, self._keys)
        drain = self._drain_media
        self.incoming = IncomingCalls(
            context, self._calls, media, self.media, self._ends, self._transfers, max_calls, drain
        )
        self._outgoing = OutgoingCalls(
            context, self._calls, media, self.media, self._ends, self._transfers, self._renegotiation, max_calls, drain
        )

    # Commands

    def place(self, account: Account, target: str, extra_headers: Mapping[str, str], *, now: float) -> CallUuid:
        """See `OutgoingCalls.place`."""
        return self._outgoing.place(account, target, extra_headers, now=now)

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
            self._keys.send(call, digits, now=now)
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
        new_call = self._outgoing.follow(row, self._transfers.asked(row), now=now)
        row.asked = None
        return new_call

    def reject_transfer(self, call: CallUuid, status: int, *, now: float) -> None:
        """Raises LocalProtocolError where nothing is asked for, or `status` refuses nothing."""
        self._transfers.reject(self._calls.get(call), status, now=now)

    # Inputs

    def receive(self, account: Account, output: CallEvent, *, now: float) -> None:
        """What the user agent of an account says about a call."""
        if isinstance(output, IncomingCall):
            self.incoming.received(account, output, now=now)
            self._drain_media(now)
            return
        if isinstance(output, MessageReceived):
            said_by_message(self._calls, account.id, output)
            return
        call = self._calls.by_sip(account.id, output.call)
        if call is None:  # refused, or over
            for over in self._transfers.told_after_end(account.id, output) if isinstance(output, ReferProgress) else ():
                self._hang_up(over, now)
            return
        match output:
            case CallProgress():
                self._outgoing.progressed(call, output, now=now)
            case CallAccepted():
                self._outgoing.accepted(call, output, now=now)
                self._relocation.answered(call, now=now)
            case CallConfirmed():
                self.incoming.confirmed(call, output, now=now)
                self._relocation.answered(call, now=now)
            case CallEnded():
                self._ends.end(call, output.end, now=now)
            case InfoAnswered():
                self._keys.answered(call, now=now)
            case InfoReceived():
                said_by_info(self._calls, call, output)
            case CallRedirected():
                self._outgoing.early.redirected(call, now=now)
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
                if self._renegotiation.settle(call, now=now):
                    self._relocation.negotiated(call, now=now)
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

    def account_lost(self, account: AccountId, calls: tuple[CallId, ...] | None = None, *, now: float) -> None:
        """Signalling of an account has no way any more; or only these calls have lost theirs."""
        self._relocation.account_lost(account, calls, now=now)

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
        self._keys.handle_timeout(now=now)
        for call, cause in self._relocation.handle_timeout(now=now):
            self._fail(call, cause, now)
        self._drain_media(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._media.next_timeout(), self._relocation.next_timeout(), self._keys.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> CallControlOutput | None:
        return self._calls.outbox.poll()

    def outputs(self) -> Iterator[CallControlOutput]:
        return self._calls.outbox.drain()

    # What user agents say

    def _on_refer(self, call: Call, output: ReferReceived, now: float) -> None:
        referral = self._transfers.requested(call, output, now=now)
        if referral is None:
            return
        try:
            new_call = self._outgoing.follow(call, referral, now=now)
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
                    heard = tuple(call.uuid for call in self._heard(output.sessions, now))
                    if heard:
                        self._calls.put(events.AudioReady(heard))
                case _:
                    if (call := self._calls.by_session(output.session)) is not None:
                        self._on_media(call, output, now)

    def _heard(self, sessions: tuple[SessionId, ...], now: float) -> Iterator[Call]:
        for session in sessions:
            call = self._calls.by_session(session)
            if call is not None and self._outgoing.early.sounded(call, session, now=now):
                yield call

    def _on_media(self, call: Call, output: SessionNews, now: float) -> None:
        match output:
            case media_plane.LocalDescription():
                self._on_local_description(call, output.session, bytes(output.description), now)
            case media_plane.MediaNotice():
                self._calls.put(events.LogLine(WARNING, f"{call.account}: {output.text}"))
            case media_plane.MediaFailed():
                self._on_media_failed(call, output, now)
            case media_plane.MediaConnected():
                self._relocation.connected(call, output.session)
                if self._outgoing.early.connected(call, output.session):
                    self._calls.put(events.MediaConnected(call.account, call.info))
            case media_plane.MediaDisconnected():
                self._on_media_disconnected(call, output, now)
            case _ if output.session != call.session:
                pass  # of an early dialog that is not the one that is heard
            case media_plane.DtmfReceived():
                self._calls.put(events.DtmfReceived(call.account, call.info, output.digit, output.duration_ms))
            case media_plane.TonesSent():
                self._calls.put(events.DtmfSent(call.account, call.info))
            case _:
                assert_never(output)

    def _on_local_description(self, call: Call, session: SessionId, body: bytes, now: float) -> None:
        is_answer = call.answering_offer and not call.answer_due
        if session == call.session and self._renegotiation.described(call, body, now=now):
            if is_answer:
                self._relocation.negotiated(call, now=now)
            return
        if call.direction is CallDirection.INCOMING:
            self.incoming.described(call, body, now=now)
        else:
            self._outgoing.described(call, session, body, now=now)

    def _on_media_disconnected(self, call: Call, output: media_plane.MediaDisconnected, now: float) -> None:
        if output.restartable:
            self._relocation.disconnected(call, output.session, now=now)
        elif call.on_hold or call.held_by_peer:
            return  # silence is what a hold is for
        if self._outgoing.early.disconnected(call, output.session):
            self._calls.put(events.MediaDisconnected(call.account, call.info, output.reason))

    def _on_media_failed(self, call: Call, output: media_plane.MediaFailed, now: float) -> None:
        if output.session == call.session and self._renegotiation.media_failed(call, output.status, now=now):
            return
        if call.direction is CallDirection.INCOMING:
            self.incoming.media_failed(call, output.status, output.reason, now=now)
        else:
            self._outgoing.media_failed(call, output.session, output.status, output.reason, now=now)

    # Ends

    def _hang_up(self, call: Call, now: float) -> None:
        self._ends.hang_up(call, now=now)
        self._drain_media(now)

    def _fail(self, call: Call, cause: str, now: float) -> None:
        self._ends.fail(call, cause, now=now)
        self._drain_media(now)
