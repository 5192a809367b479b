"""The phone: the root machine that joins accounts, calls and media.

Theory of operation
-------------------
A softphone owns any number of accounts (`account.Account`: connection and user agent) and one media engine
(`media_plane.MediaPlane`). A call is a row that ties a SIP call of one account to a session of the engine:

    call():    open session -> create offer -> INVITE -> 18x / 200 with the answer -> apply answer
    incoming:  INVITE with the offer -> IncomingCall -> answer(): open session -> apply offer -> 200 with the answer

Each call ends in exactly one of CallTerminated (it was answered), IncomingCallCanceled (the caller gave up) or
CallFailed (anything else); after that its session is closed and its row is gone.

Flows belong to whoever opened them; `_owners` remembers whose each is, so an input about a flow goes to one child.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import NewType, TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.effects import (
    Address,
    CloseFlow,
    Effect,
    FlowId,
    OpenDatagram,
    OpenStream,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
)
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sdp.parser import parse_description
from sansio_sip.sip.headers import NameAddress
from sansio_sip.sip.uri import SipUri, parse_uri
from sansio_sip.sip.user_agent import (
    CallAccepted,
    CallConfirmed,
    CallEnd,
    CallEnded,
    CallId,
    CallProgress,
    EndKind,
    IncomingCall,
    InfoReceived,
    ReofferReceived,
)
from sansio_sip.timers import Deadlines, TimerSet
from sansio_sip.trace import RecordedOutbox, recorded

from . import events, media_plane
from .account import Account, AccountState, Down, LoggedIn, LoggedOut, LoginRefused, Up
from .call import Call, visible_headers
from .call_info import AccountId, CallDirection, CallInfo, CallState, CallUuid, HangupInfo
from .events import Event
from .media_plane import MediaOptions, MediaPlane, MediaStatistics, Samples, SessionId
from .options import AccountOptions, SoftphoneOptions

__all__ = ["Softphone", "SoftphoneOutput"]

SoftphoneOutput: TypeAlias = Effect | Event

_Media = NewType("_Media", str)
_MEDIA = _Media("media")

# Names of extra headers that a caller may add; everything else is the stack's own (reference: extraHeaders).
EXTRA_HEADER_PREFIX = "x-ph-"


class Timer(Enum):
    CLOSE = "close"


class Softphone:
    """The root machine of a phone. A driver runs it; tests and simulations feed it by hand."""

    def __init__(self, context: Context, media: MediaPlane, options: SoftphoneOptions | None = None) -> None:
        self._context = context
        self._media = media
        self._options = options or SoftphoneOptions()
        self._outbox: RecordedOutbox[SoftphoneOutput] = RecordedOutbox(context.trace)
        self._timers: TimerSet[Timer] = TimerSet()
        self._deadlines: Deadlines[AccountId | _Media] = Deadlines()
        self._accounts: dict[AccountId, Account] = {}
        self._calls: dict[CallUuid, Call] = {}
        self._by_sip: dict[tuple[AccountId, CallId], Call] = {}
        self._by_session: dict[SessionId, Call] = {}
        self._owners: dict[FlowId, AccountId | _Media] = {}
        self._serial = 0
        self._closing = False
        self._closed = False

    # Accounts

    @recorded
    def add_account(self, options: AccountOptions, *, now: float) -> AccountId:
        """Adds an identity; nothing is sent. An account without a server is bound to its UDP address at once.

        Raises:
            LocalProtocolError: the phone is closing.
        """
        self._refuse_when_closing("add an account")
        self._serial += 1
        name = AccountId(f"account{self._serial}")
        account = self._accounts[name] = Account(self._context, name, options)
        if not account.servers:
            account.connect(now=now)
            self._drain_account(account, now)
        return name

    @recorded
    def connect(self, account: AccountId, *, now: float) -> None:
        """Opens the signalling flow without logging in. Gives ConnectionChange."""
        row = self._account(account)
        row.connect(now=now)
        self._drain_account(row, now)

    @recorded
    def login(self, account: AccountId, *, now: float) -> None:
        """Connects if need be, and registers. Gives Login or LoginFailed (reference: login).

        Raises:
            LocalProtocolError: the account is logged in already, has no server, or the phone is closing.
        """
        self._refuse_when_closing("log in")
        row = self._account(account)
        row.login(now=now)
        self._drain_account(row, now)

    @recorded
    def logout(self, account: AccountId, *, now: float) -> None:
        """Ends the calls of the account, un-registers. Gives Logout (reference: logout).

        Raises:
            LocalProtocolError: the account is not logged in.
        """
        row = self._account(account)
        if row.state is AccountState.IDLE:
            raise LocalProtocolError(f"cannot log out: account {account} is idle; log in first")
        for call in [call for call in self._calls.values() if call.account == account]:
            self._hang_up(call, now)
        row.logout(now=now)
        self._drain_account(row, now)

    def is_connected(self, account: AccountId) -> bool:
        """Whether the signalling flow is up (reference: isConnected)."""
        return self._account(account).hop is not None

    def is_registered(self, account: AccountId) -> bool:
        """Whether a binding is granted (reference: isRegistered)."""
        return self._account(account).state is AccountState.LOGGED_IN

    def local_address(self, account: AccountId) -> Address | None:
        """Where signalling of the account is bound; None while it is not."""
        hop = self._account(account).hop
        return hop.local if hop is not None else None

    # Calls

    @recorded
    def call(
        self, account: AccountId, target: str, *, extra_headers: Mapping[str, str] | None = None, now: float
    ) -> CallUuid:
        """Places a call (reference: call). Gives Calling at once, then what becomes of it.

        Args:
            target: a SIP URI, `user@host`, or a number or name at the account's own domain.
            extra_headers: `X-PH-...` headers for the far end.

        Raises:
            LocalProtocolError: no signalling flow, a bad target or header, too many calls, or the phone is closing.
        """
        self._refuse_when_closing("call")
        row = self._account(account)
        if row.hop is None:
            raise LocalProtocolError(f"cannot call: account {account} has no signalling flow; log in or connect first")
        if len(self._calls) >= self._options.max_calls:
            raise LocalProtocolError(f"cannot call: {len(self._calls)} calls are up; end one first")
        uri = self._target(row, target)
        headers = dict(extra_headers or {})
        for name, value in headers.items():
            if not name.lower().startswith(EXTRA_HEADER_PREFIX) or any(c in name + value for c in "\r\n\0"):
                raise LocalProtocolError(f"cannot call: extra header {name!r} is not a one-line `X-PH-...` header")
        call = Call(
            uuid=CallUuid(self._context.entropy.uuid("call")),
            account=account,
            direction=CallDirection.OUTGOING,
            src=str(row.options.uri()),
            dest=str(uri),
            extra_headers=headers,
            started_at=now,
        )
        self._calls[call.uuid] = call
        self._outbox.put(events.Calling(account, call.info))
        session = self._open_session(call, row, now)
        self._media.create_offer(session, now=now)
        self._drain_media(now)
        return call.uuid

    @recorded
    def answer(self, call: CallUuid, *, now: float) -> None:
        """Answers a ringing call (reference: answer). Gives CallAnswered when the caller has confirmed.

        Raises:
            LocalProtocolError: the call is not an incoming one that rings.
        """
        row = self._call(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.answering:
            raise LocalProtocolError(f"cannot answer call {call}: its state is {row.state.value}; it must ring here")
        row.answering = True
        session = self._open_session(row, self._account(row.account), now)
        if row.offer is None:
            # RFC 3261 section 13.2.1: an INVITE without an offer is answered by a 200 with ours.
            row.delayed_offer = True
            self._media.create_offer(session, now=now)
        else:
            self._apply(row, row.offer, is_offer=True, now=now)
        self._drain_media(now)

    @recorded
    def reject(self, call: CallUuid, status: int = 486, *, now: float) -> None:
        """Refuses a ringing call (reference: reject). Gives CallFailed with cause `Rejected`.

        Raises:
            LocalProtocolError: the call is not an incoming one that rings, or `status` refuses nothing.
        """
        row = self._call(call)
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"cannot reject call {call} with {status}: give a status from 300 to 699")
        if row.direction is not CallDirection.INCOMING or row.state not in (CallState.RINGING, CallState.IGNORED):
            raise LocalProtocolError(f"cannot reject call {call}: its state is {row.state.value}; hang up instead")
        self._with_user_agent(row, lambda sip: self._account(row.account).user_agent.reject(sip, status, now=now), now)

    @recorded
    def ignore(self, call: CallUuid, *, now: float) -> None:
        """Stops ringing here and tells the caller nothing (reference: ignore). Gives IncomingCallIgnored.

        Raises:
            LocalProtocolError: the call is not an incoming one that rings.
        """
        row = self._call(call)
        if row.direction is not CallDirection.INCOMING or row.state is not CallState.RINGING or row.answering:
            raise LocalProtocolError(f"cannot ignore call {call}: its state is {row.state.value}; it must ring here")
        row.state = CallState.IGNORED
        self._outbox.put(events.IncomingCallIgnored(row.account, row.info))

    @recorded
    def hangup(self, call: CallUuid, *, now: float) -> None:
        """Ends a call by CANCEL, 480 or BYE, whichever its state asks for (reference: hangup)."""
        self._hang_up(self._call(call), now)

    @recorded
    def send_dtmf(self, call: CallUuid, digits: str, *, now: float) -> None:
        """Queues digits `0-9 * # A-D`, `,` for a pause of 2 s (reference: sendDtmf). Gives DtmfSent.

        Raises:
            LocalProtocolError: a bad digit, the call has no audio yet, or no telephone-event was negotiated.
        """
        row = self._call(call)
        self._media.send_dtmf(self._session(row, "send digits"), digits, now=now)
        self._drain_media(now)

    @recorded
    def mute(self, call: CallUuid, *, now: float) -> None:
        """The far end hears silence from now on (reference: mute)."""
        self._set_muted(call, True, now)

    @recorded
    def unmute(self, call: CallUuid, *, now: float) -> None:
        """The far end hears us again (reference: unmute)."""
        self._set_muted(call, False, now)

    # Audio

    @recorded
    def write_audio(self, call: CallUuid, samples: Samples, rate: int, *, now: float) -> int:
        """Queues audio for the far end. See `MediaPlane.write_audio`; returns the samples taken."""
        taken = self._media.write_audio(self._session(self._call(call), "write audio"), samples, rate, now=now)
        self._drain_media(now)
        return taken

    @recorded
    def flush_audio(self, call: CallUuid, *, now: float) -> float:
        """Drops queued audio that has not left; returns the seconds dropped."""
        return self._media.flush_audio(self._session(self._call(call), "flush audio"), now=now)

    @recorded
    def read_audio(self, call: CallUuid, rate: int, *, now: float) -> Samples:
        """Takes the audio heard since the last read, int16 at `rate` Hz, shape (samples,)."""
        return self._media.read_audio(self._session(self._call(call), "read audio"), rate)

    def audio_queued(self, call: CallUuid) -> float:
        """Seconds of written audio that have not left yet."""
        return self._media.audio_queued(self._session(self._call(call), "ask for queued audio"))

    def statistics(self, call: CallUuid) -> MediaStatistics | None:
        """A snapshot of the call's media; None before there is any."""
        row = self._call(call)
        return self._media.statistics(row.session) if row.session is not None else None

    def call_info(self, call: CallUuid) -> CallInfo:
        return self._call(call).info

    def calls(self) -> tuple[CallInfo, ...]:
        """All calls that have not ended, oldest first."""
        return tuple(call.info for call in self._calls.values())

    @recorded
    def close(self, *, now: float) -> None:
        """Hangs up, un-registers, closes all flows. Gives Closed, within `SoftphoneOptions.close_timeout`."""
        if self._closing:
            return
        self._closing = True
        self._timers.arm(Timer.CLOSE, now + self._options.close_timeout)
        for call in list(self._calls.values()):
            self._hang_up(call, now)
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
        if owner == _MEDIA:
            self._media.flow_opened(flow, local, now=now)
            self._drain_media(now)
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
        self._outbox.put(CloseFlow(flow))  # a phone listens to no streams

    @recorded
    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        owner = self._owners.pop(flow, None)
        if owner == _MEDIA:
            self._media.flow_lost(flow, reason, now=now)
            self._drain_media(now)
        elif owner is not None:
            account = self._accounts[AccountId(owner)]
            account.flow_lost(flow, reason, now=now)
            self._drain_account(account, now)

    @recorded
    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        owner = self._owners.get(flow)
        if owner is not None and owner != _MEDIA:
            account = self._accounts[AccountId(owner)]
            account.receive_stream(flow, data, now=now)
            self._drain_account(account, now)

    @recorded
    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        owner = self._owners.get(flow)
        if owner == _MEDIA:
            self._media.receive_datagram(flow, data, source, now=now)
            self._drain_media(now)
        elif owner is not None:
            account = self._accounts[AccountId(owner)]
            account.receive_datagram(flow, data, source, now=now)
            self._drain_account(account, now)

    @recorded
    def resolved(self, query: int, addresses: tuple[Address, ...], *, now: float) -> None:
        for account in list(self._accounts.values()):
            account.resolved(query, addresses, now=now)
            self._drain_account(account, now)

    @recorded
    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        """Host addresses. Media takes the one that signalling uses, so there is nothing to do until a flow breaks."""

    @recorded
    def handle_timeout(self, *, now: float) -> None:
        for child in self._deadlines.due(now):
            if child == _MEDIA:
                self._media.handle_timeout(now=now)
                self._drain_media(now)
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
        deadlines = (self._timers.next(), self._deadlines.next())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> SoftphoneOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SoftphoneOutput]:
        return self._outbox.drain()

    # Children: accounts

    def _drain_account(self, account: Account, now: float) -> None:
        for output in account.outputs():
            match output:
                case OpenStream() | OpenDatagram():
                    self._owners[output.flow] = account.id
                    self._outbox.put(output)
                case CloseFlow():
                    self._owners.pop(output.flow, None)
                    self._outbox.put(output)
                case SendStream() | SendDatagram() | Resolve():
                    self._outbox.put(output)
                case Up():
                    if output.hop.transport in ("WS", "WSS"):
                        self._outbox.put(events.WebSocketConnected(account.id))
                    self._outbox.put(events.ConnectionChange(account.id, "connected"))
                case Down():
                    self._on_down(account, output)
                case LoggedIn():
                    self._outbox.put(events.Login(account.id))
                case LoginRefused():
                    self._outbox.put(events.LoginFailed(account.id, output.cause, output.status))
                case LoggedOut():
                    self._outbox.put(events.Logout(account.id))
                case IncomingCall():
                    self._on_incoming(account, output, now)
                case CallProgress():
                    self._on_progress(account, output, now)
                case CallAccepted():
                    self._on_accepted(account, output, now)
                case CallConfirmed():
                    self._on_confirmed(account, output, now)
                case CallEnded():
                    self._on_ended(account, output, now)
                case InfoReceived():
                    self._on_info(account, output)
                case ReofferReceived():
                    self._on_reoffer(account, output, now)
                case _:
                    raise AssertionError(output)
        self._deadlines.update(account.id, account.next_timeout())
        if self._closing:
            self._finish_closing(now)

    def _on_down(self, account: Account, output: Down) -> None:
        if output.was_up:
            self._outbox.put(events.ConnectionChange(account.id, "disconnected", output.code, output.reason))
        again = "" if output.retry_in is None else f"; next try in {output.retry_in:.1f} s"
        what = "lost" if output.was_up else "not opened"
        self._outbox.put(events.LogLine(30, f"{account.id}: signalling flow {what}: {output.reason}{again}"))

    def _on_incoming(self, account: Account, output: IncomingCall, now: float) -> None:
        busy = any(call.account == account.id for call in self._calls.values())
        full = len(self._calls) >= self._options.max_calls
        if self._closing or full or (busy and not account.options.allow_multiple_incoming):
            account.user_agent.reject(output.call, 486, now=now)
            account.touched(now=now)
            return
        headers = {name.lower(): value for name, value in output.headers}
        named = headers.get("x-calluuid", str(output.call))
        uuid = CallUuid(named if CallUuid(named) not in self._calls else self._context.entropy.uuid("call"))
        call = Call(
            uuid=uuid,
            account=account.id,
            direction=CallDirection.INCOMING,
            src=_identity(output.caller),
            dest=account.options.uri().user or "",
            sip=output.call,
            state=CallState.RINGING,
            extra_headers=visible_headers(output.headers),
            offer=output.description,
            stir_shaken_state=headers.get("x-plivo-stir-verification", "Not_applicable"),
            started_at=now,
        )
        self._calls[uuid] = call
        self._by_sip[account.id, output.call] = call
        caller_name = output.caller.display_name or ""
        self._outbox.put(events.IncomingCall(account.id, call.info, _identity(output.caller), caller_name))

    def _on_progress(self, account: Account, output: CallProgress, now: float) -> None:
        call = self._by_sip.get((account.id, output.call))
        if call is None:
            return
        if call.state is CallState.INITIALIZED:
            call.state = CallState.RINGING
            self._outbox.put(events.CallRemoteRinging(account.id, call.info))
        if output.description is not None and not call.answer_applied:
            call.answer_applied = True
            self._apply(call, output.description, is_offer=False, now=now)
            self._drain_media(now)

    def _on_accepted(self, account: Account, output: CallAccepted, now: float) -> None:
        call = self._by_sip.get((account.id, output.call))
        if call is None:
            return
        if not output.description and not call.answer_applied:
            self._fail(call, "Bad Media Description", now)
            return
        if output.description and not call.answer_applied:
            call.answer_applied = True
            self._apply(call, output.description, is_offer=False, now=now)
            if call.failure:
                return
        self._answered(call, now)
        self._drain_media(now)

    def _on_confirmed(self, account: Account, output: CallConfirmed, now: float) -> None:
        call = self._by_sip.get((account.id, output.call))
        if call is None:
            return
        if call.delayed_offer:
            if not output.description:
                self._fail(call, "Bad Media Description", now)
                return
            self._apply(call, output.description, is_offer=False, now=now)
            if call.failure:
                return
        self._answered(call, now)
        self._drain_media(now)

    def _answered(self, call: Call, now: float) -> None:
        call.state = CallState.ANSWERED
        call.answered_at = now
        self._outbox.put(events.CallAnswered(call.account, call.info))

    def _on_ended(self, account: Account, output: CallEnded, now: float) -> None:
        call = self._by_sip.get((account.id, output.call))
        if call is not None:
            self._end(call, output.end, now)

    def _on_info(self, account: Account, output: InfoReceived) -> None:
        call = self._by_sip.get((account.id, output.call))
        if call is None or output.content_type.lower() != "application/dtmf-relay":
            return
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition("=") for line in output.body.decode("utf-8", "replace").splitlines())
        }
        tone, duration = fields.get("signal", ""), fields.get("duration", "100")
        if len(tone) == 1 and tone in "0123456789*#ABCD" and duration.isascii() and duration.isdigit():
            self._outbox.put(events.DtmfReceived(call.account, call.info, tone, min(int(duration), 9999)))

    def _on_reoffer(self, account: Account, output: ReofferReceived, now: float) -> None:
        call = self._by_sip.get((account.id, output.call))
        if call is None or call.session is None:
            account.user_agent.reject_reoffer(output.call, 488, now=now)
            account.touched(now=now)
            return
        call.reoffered = True
        self._apply(call, output.description, is_offer=True, now=now)
        self._drain_media(now)

    # Children: media

    def _drain_media(self, now: float) -> None:
        for output in self._media.outputs():
            match output:
                case OpenDatagram():
                    self._owners[output.flow] = _MEDIA
                    self._outbox.put(output)
                case CloseFlow():
                    self._owners.pop(output.flow, None)
                    self._outbox.put(output)
                case SendDatagram():
                    self._outbox.put(output)
                case media_plane.LocalDescription():
                    self._on_local_description(output, now)
                case media_plane.MediaFailed():
                    self._on_media_failed(output, now)
                case media_plane.MediaConnected():
                    if (call := self._by_session.get(output.session)) is not None:
                        self._outbox.put(events.MediaConnected(call.account, call.info))
                case media_plane.MediaDisconnected():
                    if (call := self._by_session.get(output.session)) is not None:
                        self._outbox.put(events.MediaDisconnected(call.account, call.info, output.reason))
                case media_plane.DtmfReceived():
                    if (call := self._by_session.get(output.session)) is not None:
                        tone, duration = output.digit, output.duration_ms
                        self._outbox.put(events.DtmfReceived(call.account, call.info, tone, duration))
                case media_plane.TonesSent():
                    if (call := self._by_session.get(output.session)) is not None:
                        self._outbox.put(events.DtmfSent(call.account, call.info))
                case media_plane.AudioAvailable():
                    rows = [self._by_session[session] for session in output.sessions if session in self._by_session]
                    if rows:
                        self._outbox.put(events.AudioReady(tuple(call.uuid for call in rows)))
                case _:
                    assert_never(output)
        self._deadlines.update(_MEDIA, self._media.next_timeout())

    def _on_local_description(self, output: media_plane.LocalDescription, now: float) -> None:
        call = self._by_session.get(output.session)
        if call is None:
            return
        account = self._account(call.account)
        body = bytes(output.description)
        if call.reoffered and call.sip is not None:
            call.reoffered = False
            account.user_agent.answer_reoffer(call.sip, body, now=now)
        elif call.direction is CallDirection.INCOMING and call.sip is not None:
            account.user_agent.answer(call.sip, body, now=now)
        else:
            uri = parse_uri(call.dest)
            assert isinstance(uri, SipUri)
            call.sip = account.user_agent.invite(uri, body, headers=tuple(call.extra_headers.items()), now=now)
            self._by_sip[account.id, call.sip] = call
        account.touched(now=now)
        self._drain_account(account, now)

    def _on_media_failed(self, output: media_plane.MediaFailed, now: float) -> None:
        call = self._by_session.get(output.session)
        if call is None:
            return
        account = self._account(call.account)
        if call.reoffered and call.sip is not None:
            call.reoffered = False
            account.user_agent.reject_reoffer(call.sip, output.status, now=now)
            account.touched(now=now)
            self._drain_account(account, now)
        elif call.direction is CallDirection.INCOMING and call.state is CallState.RINGING and call.sip is not None:
            call.failure = "Incompatible SDP" if output.status == 488 else output.reason
            account.user_agent.reject(call.sip, output.status, now=now)
            account.touched(now=now)
            self._drain_account(account, now)
        else:
            self._fail(call, "Incompatible SDP" if output.status == 488 else output.reason, now)

    def _open_session(self, call: Call, account: Account, now: float) -> SessionId:
        self._serial += 1
        session = call.session = SessionId(f"session{self._serial}")
        self._by_session[session] = call
        addresses = account.options.media_addresses
        if not addresses and account.hop is not None and account.hop.local is not None:
            addresses = (account.hop.local.host,)
        self._media.open_session(
            session,
            MediaOptions(
                profiles=account.options.profiles,
                codecs=account.options.codecs,
                bind=addresses or ("127.0.0.1",),
            ),
            now=now,
        )
        return session

    def _apply(self, call: Call, description: bytes, *, is_offer: bool, now: float) -> None:
        """Gives the peer's SDP to the call's session; what cannot be read fails like what does not fit."""
        assert call.session is not None
        try:
            parsed = parse_description(description)
        except ParseError as error:
            self._on_media_failed(media_plane.MediaFailed(call.session, 488, f"SDP: {error}"), now)
            return
        if is_offer:
            self._media.apply_offer(call.session, parsed, now=now)
        else:
            self._media.apply_answer(call.session, parsed, now=now)
        self._drain_media(now)

    # Ends

    def _hang_up(self, call: Call, now: float) -> None:
        if call.sip is None:
            # The INVITE has not left: there is nobody to tell.
            self._end(call, CallEnd(EndKind.CANCELED, "local", 487, "Canceled", None), now)
            return
        self._with_user_agent(call, lambda sip: self._account(call.account).user_agent.hangup(sip, now=now), now)

    def _fail(self, call: Call, cause: str, now: float) -> None:
        """Ends a call for a reason of our own."""
        if call.ended:
            return
        call.failure = cause
        self._hang_up(call, now)

    def _end(self, call: Call, end: CallEnd, now: float) -> None:
        if call.ended:
            return
        answered = call.state is CallState.ANSWERED
        call.finish(end)
        if call.failure and not answered:
            call.state = CallState.FAILED
        self._calls.pop(call.uuid, None)
        if call.sip is not None:
            self._by_sip.pop((call.account, call.sip), None)
        if answered:
            hangup_info = HangupInfo(originator=call.originator, reason=call.failure or end.cause)
            statistics = self._media.statistics(call.session) if call.session is not None else None
            self._outbox.put(events.CallTerminated(call.account, call.info, hangup_info, statistics))
        elif call.direction is CallDirection.INCOMING and end.how is EndKind.CANCELED and end.by == "remote":
            self._outbox.put(events.IncomingCallCanceled(call.account, call.info))
        else:
            self._outbox.put(events.CallFailed(call.account, call.info, call.failure or end.cause))
        if call.session is not None:
            self._by_session.pop(call.session, None)
            self._media.close_session(call.session, now=now)
            self._drain_media(now)

    def _finish_closing(self, now: float, *, give_up: bool = False) -> None:
        """Closes the flows once nothing is left to say, or at the deadline."""
        busy = bool(self._calls) or any(
            account.state is not AccountState.IDLE or not account.user_agent.is_idle
            for account in self._accounts.values()
        )
        if self._closed or (busy and not give_up):
            return
        self._closed = True
        self._timers.cancel(Timer.CLOSE)
        for call in list(self._calls.values()):
            self._end(call, CallEnd(EndKind.FAILED, "system", 408, "Request Timeout", None), now)
        for account in self._accounts.values():
            account.close(now=now)
            self._drain_account(account, now)
        self._outbox.put(events.Closed())

    # Small helpers

    def _with_user_agent(self, call: Call, command: Callable[[CallId], None], now: float) -> None:
        assert call.sip is not None
        account = self._account(call.account)
        command(call.sip)
        account.touched(now=now)
        self._drain_account(account, now)

    def _set_muted(self, call: CallUuid, muted: bool, now: float) -> None:
        row = self._call(call)
        row.muted = muted
        if row.session is not None:
            self._media.set_muted(row.session, muted, now=now)
            self._drain_media(now)

    def _account(self, account: AccountId) -> Account:
        try:
            return self._accounts[account]
        except KeyError:
            raise LocalProtocolError(f"there is no account {account!r}; add_account gives the names") from None

    def _call(self, call: CallUuid) -> Call:
        try:
            return self._calls[call]
        except KeyError:
            raise LocalProtocolError(f"there is no call {call!r}: it has ended or never was; see calls()") from None

    def _session(self, call: Call, what: str) -> SessionId:
        if call.session is None:
            raise LocalProtocolError(f"cannot {what}: call {call.uuid} is {call.state.value}; answer it first")
        return call.session

    def _refuse_when_closing(self, what: str) -> None:
        if self._closing:
            raise LocalProtocolError(f"cannot {what}: the phone is closing; make a new one")

    def _target(self, account: Account, target: str) -> SipUri:
        domain = account.options.uri().host
        text = target.strip()
        if not text.lower().startswith(("sip:", "sips:")):
            text = f"sip:{text}" if "@" in text else f"sip:{text}@{domain}"
        try:
            uri = parse_uri(text)
        except ParseError as error:
            raise LocalProtocolError(f"cannot call {target!r}: {error.reason}; give a number or a SIP URI") from None
        if not isinstance(uri, SipUri):
            raise LocalProtocolError(f"cannot call {target!r}: its scheme is not sip; give a number or a SIP URI")
        return uri


def _identity(caller: NameAddress) -> str:
    """`user@host` of an address, or the URI itself where it is no SIP URI."""
    uri = caller.uri
    if isinstance(uri, SipUri):
        return f"{uri.user}@{uri.host}" if uri.user else uri.host
    return str(uri)
