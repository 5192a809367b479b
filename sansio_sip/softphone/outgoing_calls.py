"""Calls that we place: from the offer to the answer that counts.

Theory of operation
-------------------
    place(): open session -> create offer -> INVITE -> 18x / 200 with the answer -> apply answer

An account with `delayed_offer` sends the INVITE at once; each far end makes an offer then, which a session of its own
answers. What becomes of several answers is the affair of `early_media`.
"""

from collections import deque
from collections.abc import Callable, Mapping

from sansio_sip.context import Context
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.call_events import CallAccepted, CallProgress
from sansio_sip.sip.uri import SipUri, parse_uri

from . import events
from .account import Account
from .call import Call, Referral, checked_headers, target_uri
from .call_ends import CallEnds
from .call_info import AccountId, CallDirection, CallState, CallUuid
from .call_media import CallMedia
from .call_table import CallTable, unless_over
from .call_transfer import Transfers
from .early_media import EARLY_DIALOG_TERMINATED, EarlyMedia
from .media_plane import MediaPlane, SessionId
from .renegotiation import Renegotiation

__all__ = ["OutgoingCalls"]

CLIENT_REGION = "X-ClientRegion"
MINUTE = 60.0  # seconds


class OutgoingCalls:
    """The caller's side of calls. `drain` takes what the engine has said."""

    def __init__(
        self,
        context: Context,
        table: CallTable,
        engine: MediaPlane,
        media: CallMedia,
        ends: CallEnds,
        transfers: Transfers,
        renegotiation: Renegotiation,
        max_calls: int,
        drain: Callable[[float], None],
    ) -> None:
        self.early = EarlyMedia(table, media)
        self._context = context
        self._table = table
        self._engine = engine
        self._media = media
        self._ends = ends
        self._transfers = transfers
        self._renegotiation = renegotiation
        self._max_calls = max_calls
        self._placed: dict[AccountId, deque[float]] = {}  # of accounts with a bound: when each of the last was placed
        self._drain = drain

    def place(self, account: Account, target: str, extra_headers: Mapping[str, str], *, now: float) -> CallUuid:
        """Places a call. Gives Calling at once, then what becomes of it.

        Raises:
            LocalProtocolError: no signalling flow, a bad target or header, too many calls, or one that the account's
                `outgoing_prefixes` or `outgoing_per_minute` do not allow.
        """
        uri = target_uri(target, account.options.uri().host, by_address=not account.servers)
        return self.call(account, uri, checked_headers(extra_headers), None, now)

    def call(
        self,
        account: Account,
        uri: SipUri,
        extra_headers: Mapping[str, str],
        referral: Referral | None,
        now: float,
    ) -> CallUuid:
        """Places a call, ours or one that somebody else has asked for. Raises likewise."""
        if account.hop is None:
            raise LocalProtocolError(
                f"cannot call: account {account.id} has no signalling flow; log in or connect first"
            )
        if len(self._table) >= self._max_calls:
            raise LocalProtocolError(f"cannot call: {len(self._table)} calls are up; end one first")
        self._admit(account, uri, now)
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
        self._table.add(call)
        self._table.put(events.Calling(account.id, call.info))
        if account.options.delayed_offer:
            self._invite(call, b"", now)
            return call.uuid
        session = call.trunk = self._media.open(call, now=now)
        self._engine.create_offer(session, now=now)
        self._drain(now)
        return call.uuid

    def _admit(self, account: Account, uri: SipUri, now: float) -> None:
        """Whether the account's options let it call there, and now."""
        options, limit = account.options, account.options.outgoing_per_minute
        if options.outgoing_prefixes and not (uri.user or "").startswith(options.outgoing_prefixes):
            allowed = ", ".join(options.outgoing_prefixes)
            raise LocalProtocolError(f"cannot call {uri.user or uri}: outgoing_prefixes allows {allowed}; add it there")
        if not limit:
            return
        placed = self._placed.setdefault(account.id, deque(maxlen=limit))
        if len(placed) == limit and now - placed[0] < MINUTE:
            raise LocalProtocolError(
                f"cannot call: {limit} calls within a minute, as outgoing_per_minute allows;"
                f" wait {MINUTE - (now - placed[0]):.0f} s"
            )
        placed.append(now)

    def follow(self, call: Call, referral: Referral, *, now: float) -> CallUuid:
        """Places the call that the far end of another has asked for. Raises LocalProtocolError likewise."""
        return self.call(self._table.account(call), referral.target, {}, referral, now)

    # What the user agent says

    def progressed(self, call: Call, output: CallProgress, *, now: float) -> None:
        """Somebody's phone has said how it goes."""
        if output.status != EARLY_DIALOG_TERMINATED:
            if call.state is CallState.INITIALIZED:
                call.state = CallState.RINGING
                self._table.put(events.CallRemoteRinging(call.account, call.info))
            self._transfers.ringing(call, output.status, now=now)
        self._end_if(call, self.early.progressed(call, output, now=now), now)

    def accepted(self, call: Call, output: CallAccepted, *, now: float) -> None:
        """Somebody has answered."""
        self._end_if(call, self.early.adopt(call, output, now=now), now)
        self._drain(now)
        if not call.failure:  # else its SDP did not fit: it is being hung up
            self._table.answered(call, now=now)
            self._transfers.answered(call, now=now)
        self._renegotiation.proceed(call, now=now)
        self._drain(now)

    # What media says

    def described(self, call: Call, session: SessionId, body: bytes, *, now: float) -> None:
        """Our offer is ready, or our answer to an offer of the far end."""
        call.described = True
        branch = self.early.offered_by(call, session)
        if branch is None:
            self._invite(call, body, now)
        elif call.sip is not None:
            with unless_over:
                self._table.user_agent(call).answer_offer(call.sip, branch, body, now=now)
            self._table.touched(call)

    def media_failed(self, call: Call, session: SessionId, status: int, reason: str, *, now: float) -> None:
        """A session has come to nothing. The call goes on where another may come to something."""
        if call.early and call.state is not CallState.ANSWERED:
            self._end_if(call, self.early.failed(call, session, (status, reason), now=now), now)
        else:
            self._end_if(call, (status, reason), now)

    def _end_if(self, call: Call, fault: tuple[int, str] | None, now: float) -> None:
        if fault is not None:
            status, reason = fault
            self._ends.fail(call, "Incompatible SDP" if status == 488 else reason, now=now)
        self._drain(now)

    def _invite(self, call: Call, body: bytes, now: float) -> None:
        uri = parse_uri(call.dest)
        assert isinstance(uri, SipUri)
        referred = call.referral.headers() if call.referral is not None else ()
        region = self._table.account(call).options.client_region
        regions = ((CLIENT_REGION, region),) if region is not None else ()
        headers = (*call.extra_headers.items(), *regions, *referred)
        try:
            sip = self._table.user_agent(call).invite(uri, body, headers=headers, now=now)
        except LocalProtocolError:  # the flow went while the offer was being made
            self._ends.fail(call, "Connection Error", now=now)
            return
        self._table.name_sip(call, sip)
        self._table.touched(call)
