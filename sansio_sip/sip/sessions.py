"""The sessions of a user agent: found by call, by dialog, and by what a Replaces header says."""

from collections.abc import Iterator
from typing import Literal

from sansio_sip.context import Context
from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.timers import Deadlines

from .authorization import Authenticator
from .call_events import CallId
from .identity import Identity
from .invite_session import InviteSession
from .lines import Line
from .message import Request
from .session_headers import Replaces
from .session_state import SessionState
from .transactions.timing import Timing
from .transport import Hop

__all__ = ["Sessions"]


class Sessions:
    """The table. A session stays in it until no late copy of anything can come for it.

    Attributes:
        peers: where the last message of each call came from.
        homes: the address of the server through which each call was made, and its route set leads.
    """

    def __init__(self, context: Context, identity: Identity, authenticator: Authenticator, timing: Timing) -> None:
        self._context = context
        self._identity = identity
        self._authenticator = authenticator
        self._timing = timing
        self._rows: dict[CallId, InviteSession] = {}
        self._by_tag: dict[tuple[str, str], CallId] = {}  # by Call-ID and our tag
        self._deadlines: Deadlines[CallId] = Deadlines()
        self.peers: dict[CallId, Hop] = {}
        self.homes: dict[CallId, Address] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[InviteSession]:
        """They may come and go meanwhile."""
        return iter(tuple(self._rows.values()))

    def find(self, call: CallId) -> InviteSession | None:
        return self._rows.get(call)

    def get(self, call: CallId, what: str) -> InviteSession:
        """Raises LocalProtocolError where there is none, with what was to be done."""
        session = self._rows.get(call)
        if session is None:
            raise LocalProtocolError(f"cannot {what}: there is no call {call!r}; it has ended or never was")
        return session

    def of_dialog(self, request: Request) -> InviteSession | None:
        """The session to which a request of a peer belongs."""
        call = self._by_tag.get((request.call_id, request.to.tag or ""))
        return self._rows.get(call) if call is not None else None

    def to_replace(self, replaces: Replaces) -> InviteSession | int:
        """The session whose place an INVITE is to take, or the status to refuse it with (RFC 3891 section 3)."""
        call = self._by_tag.get((replaces.call_id, replaces.to_tag))
        session = self._rows.get(call) if call is not None else None
        found = session is not None and session.branch_of(replaces.from_tag) is not None
        # "If no match is found, the UAS rejects the INVITE and returns a 481".
        if session is None or not found:
            return 481
        match session.state:
            case SessionState.CONFIRMED | SessionState.ANSWERED:
                # "[...] the Replaces header contains the "early-only" parameter: the UA returns a 486 Busy Here".
                return 486 if replaces.early_only else session
            case SessionState.CALLING | SessionState.PROCEEDING:
                return session
            case SessionState.RINGING:
                # "If the Replaces header field matches an early dialog that was not initiated by this UA, it returns a
                # 481 (Call/Transaction Does Not Exist) response".
                return 481
            case _:
                # "If the Replaces header field matches a dialog which has already terminated, the UA SHOULD decline the
                # request with a 603 Declined response."
                return 603

    def add(self, call_id: str, role: Literal["caller", "callee"]) -> InviteSession:
        # A call to ourselves has one Call-ID at both of its ends.
        number, call = 1, CallId(call_id)
        while call in self._rows:
            number += 1
            call = CallId(f"{call_id};{number}")
        session = InviteSession(
            self._context,
            call,
            self._identity.of_call(self.peers, call),
            self._authenticator,
            call_id=call_id,
            role=role,
            timing=self._timing,
        )
        self._rows[call] = session
        self._by_tag[call_id, session.local_tag] = call
        return session

    def heard(self, call: CallId, hop: Hop, *, makes_dialog: bool) -> None:
        """A message of a call has come by this hop; `makes_dialog`: the route set is taken from it."""
        self.peers[call] = hop
        if makes_dialog and call not in self.homes:
            line = self._identity.lines.of_hop(hop)
            if line is not None and line.hop is not None and line.hop.address is not None:
                self.homes[call] = line.hop.address

    def on_line(self, line: Line) -> tuple[CallId, ...]:
        """The calls whose last message came by that line, which has its flow still, or by a stream beside it."""
        return tuple(call for call, peer in self.peers.items() if self._identity.lines.of_hop(peer) is line)

    def touched(self, session: InviteSession) -> None:
        """To be called when a session has been drained: it may be over, or wait for another time."""
        if session.may_be_forgotten:
            self._rows.pop(session.call, None)
            self._by_tag.pop((session.call_id, session.local_tag), None)
            self.peers.pop(session.call, None)
            self.homes.pop(session.call, None)
            self._deadlines.remove(session.call)
        else:
            self._deadlines.update(session.call, session.next_timeout())

    def due(self, now: float) -> Iterator[InviteSession]:
        for call in self._deadlines.due(now):
            yield self._rows[call]

    def next_timeout(self) -> float | None:
        return self._deadlines.next()
