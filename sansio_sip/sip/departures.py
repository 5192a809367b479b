"""Requests of ours on their way: by which line each has gone, and by which it goes again (RFC 5626 section 4.3).

Theory of operation
-------------------
`send` finds the line and the next hop of a request, and begins its transaction: a REGISTER by its own line, a request
of a call by the line that the call is on, any other by the line in use. When that flow has failed, here or further on
(430), `again` sends the same request by another line, under a new branch (RFC 3263 section 4.3), and whoever waits for
it learns nothing of it. Each line has its turn once.

The route set of a dialog leads through the server that the dialog was made by. On a flow to another server those Routes
would lead back to where nobody answers, or to a flow that is gone; so a request that leaves elsewhere than its dialog
was made takes the Routes of the line that it leaves by, and finds the peer by her Contact alone: best by a GRUU.
"""

from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.context import Context
from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError

from .call_events import CallId, HeaderRows
from .identity import Identity
from .lines import Line
from .message import Request
from .path import stamp, way
from .sessions import Sessions
from .transaction_user import Part, SendAck
from .transactions.layer import TransactionLayer
from .transactions.outputs import TransactionId
from .transport import Hop

__all__ = ["Departures", "Owner"]

Owner: TypeAlias = tuple[CallId | Part, int]
"""Who has sent a request, and under which key."""


@dataclass(slots=True)
class _Row:
    owner: Owner
    request: Request  # its owner's own: what changes on the way, he repeats
    tried: frozenset[int] = frozenset()  # numbers of lines
    answered: bool = False  # somebody has said more of it than 100
    cancelled: bool = False  # nobody wants it any more


class Departures:
    """All requests of one user agent that have a transaction."""

    def __init__(self, context: Context, identity: Identity, layer: TransactionLayer, sessions: Sessions) -> None:
        self._context = context
        self._identity = identity
        self._layer = layer
        self._sessions = sessions
        self._rows: dict[TransactionId, _Row] = {}
        self._by_owner: dict[Owner, TransactionId] = {}
        self._homes: dict[str, Address] = {}  # by Call-ID of a subscription: through which server it was made

    def __len__(self) -> int:
        return len(self._rows)

    def send(self, owner: Owner, request: Request, *, line: Line | None = None, now: float) -> bool:
        """Begins a client transaction, by `line` where one is named; False where there is no way to."""
        call = owner[0] if not isinstance(owner[0], Part) else None
        row = _Row(owner, request)
        if line is not None:
            return line.hop is not None and self._begin(row, request, line.hop, now)
        found = self._way(call, request)
        return found is not None and self._begin(row, *found, now)

    def acknowledge(self, call: CallId, ack: SendAck, *, now: float) -> None:
        """Sends the ACK to a 2xx; nothing where there is no way."""
        found = self._way(call, ack.request)
        if found is not None:
            request, hop = found
            self._layer.send(stamp(self._identity, request, hop, ack.branch), hop, now=now)

    def cancel(self, owner: Owner, headers: HeaderRows, *, now: float) -> None:
        """Cancels an INVITE, wherever it has gone; nothing where it has its end."""
        transaction = self._by_owner.get(owner)
        if transaction is not None:
            self._rows[transaction].cancelled = True
            self._layer.cancel(transaction, headers=headers, now=now)

    def again(self, transaction: TransactionId, *, now: float) -> bool:
        """Sends a request whose flow has failed by another line. False where none is left, or it may have arrived, or
        nobody wants it any more."""
        row = self._rows.get(transaction)
        if row is None or row.answered or row.cancelled or row.owner[0] is Part.REGISTRATION:
            return False
        other = self._identity.lines.another(row.tried) if len(self._identity.lines) > 1 else None
        if other is None or other.hop is None:
            return False
        name, request = row.owner[0], row.request
        call = None if isinstance(name, Part) else name
        who = call or CallId(request.call_id)
        # A request that began nothing yet carried the Service-Route of the line that it was to leave by.
        routes = other.route if request.to.tag is not None else other.service_route
        request.headers.set("Route", *(str(route) for route in routes))
        if request.headers.get("Contact") is not None:
            request.headers.set("Contact", str(self._identity.of_call({who: other.hop}, who).contact))
        if not self._begin(row, request, other.hop, now):
            return False
        del self._rows[transaction]
        if call is not None:
            self._sessions.peers[call] = other.hop
        return True

    def heard(self, transaction: TransactionId, status: int) -> None:
        """A response has come."""
        row = self._rows.get(transaction)
        if row is not None and status > 100 and status != 430:
            row.answered = True

    def owner(self, transaction: TransactionId) -> Owner | None:
        """Who waits for that transaction."""
        row = self._rows.get(transaction)
        return row.owner if row is not None else None

    def ended(self, transaction: TransactionId) -> Owner | None:
        """Forgets a transaction. Returns who is to be told; None where his request goes on in another."""
        row = self._rows.pop(transaction, None)
        if row is None:
            return None
        self._by_owner.pop(row.owner, None)
        return row.owner

    def _way(self, call: CallId | None, request: Request) -> tuple[Request, Hop] | None:
        """How a request leaves and where to; None where there is no way."""
        identity, peer, home = self._identity, None, None
        if call is None and request.to.tag is not None:
            home = self._homes.get(request.call_id)
        elif call is not None:
            peer, home = self._sessions.peers.get(call), self._sessions.homes.get(call)
            identity = identity.of_call(self._sessions.peers, call)
        hop = way(identity, request, peer)
        if hop is None or len(identity.lines) == 1 or not identity.has_server or home in (None, hop.address):
            return None if hop is None else (request, hop)
        moved = request.copy()
        moved.headers.set("Route", *(str(route) for route in identity.line.route))
        return moved, hop

    def _begin(self, row: _Row, request: Request, hop: Hop, now: float) -> bool:
        stamped = stamp(self._identity, request, hop, self._context.entropy.branch())
        try:
            transaction = self._layer.request(stamped, hop, now=now)
        except LocalProtocolError:
            return False  # too many transactions
        line = self._identity.lines.of_hop(hop)
        if line is not None:
            row.tried |= {line.number}
        if row.request.method == "SUBSCRIBE" and request.to.tag is None and hop.address is not None:
            self._homes[request.call_id] = hop.address
            if len(self._homes) > self._identity.config.limits.subscriptions:
                del self._homes[next(iter(self._homes))]
        self._rows[transaction] = row
        self._by_owner[row.owner] = transaction
        return True
