"""All transactions of one SIP element, and the matching of messages to them (RFC 3261 sections 17.1.3 and 17.2.3).

Theory of operation
-------------------
The layer's user (a user agent or a proxy) speaks of transactions by their `TransactionId`. A request from the network
that matches none makes a server transaction and is passed up; a response is passed up under the client transaction
that it matches. One heap holds the deadlines of all. A transaction that has ended is told of (`Terminated`) and
forgotten at once, so what a peer can make grow is bounded by `max_transactions`.

The layer knows nothing of sockets: it says `SendMessage(message, hop)`, and is told `flow_lost`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import Outbox
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.transport import Hop, mark_source, response_hop
from sansio_sip.timers import Deadlines

from .invite_client import InviteClientTransaction, build_cancel
from .invite_client import State as InviteClientState
from .invite_server import InviteServerTransaction
from .non_invite_client import NonInviteClientTransaction
from .non_invite_server import NonInviteServerTransaction
from .outputs import (
    Acknowledged,
    Ended,
    Failed,
    GivenUp,
    LayerOutput,
    PassedUp,
    RequestReceived,
    ResponseReceived,
    SendMessage,
    StrayResponse,
    Terminated,
    TransactionId,
)
from .timing import RFC_TIMING, Timing

__all__ = ["MAX_TRANSACTIONS", "LayerCounters", "TransactionLayer"]

# Each costs some kilobytes for up to 64 s or so. At 64 s a transaction and one REGISTER, INVITE and BYE a call, this
# is over 500 calls a second over UDP; a flood of requests that nobody finishes stops here.
MAX_TRANSACTIONS = 100_000

# RFC 3261 section 8.1.1.7: branches that begin so are unique, and identify a transaction by themselves.
MAGIC_COOKIE = "z9hG4bK"

_ClientTransaction: TypeAlias = InviteClientTransaction | NonInviteClientTransaction
_ServerTransaction: TypeAlias = InviteServerTransaction | NonInviteServerTransaction
_Key: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class LayerCounters:
    """How often the layer could not do what was asked of it, since it was made."""

    refused_requests: int = 0  # 503: too many transactions
    stray_responses: int = 0
    late_responses: int = 0  # of our user, to a transaction that has ended


class TransactionLayer:
    """Owns the transactions of a user agent or proxy."""

    def __init__(
        self, context: Context, *, timing: Timing = RFC_TIMING, max_transactions: int = MAX_TRANSACTIONS
    ) -> None:
        self._context = context
        self._timing = timing
        self._max_transactions = max_transactions
        self._outbox: Outbox[LayerOutput] = Outbox()
        self._deadlines: Deadlines[TransactionId] = Deadlines()
        self._clients: dict[TransactionId, _ClientTransaction] = {}
        self._servers: dict[TransactionId, _ServerTransaction] = {}
        self._ids: dict[_Key, TransactionId] = {}
        self._keys: dict[TransactionId, _Key] = {}
        self._by_flow: dict[FlowId, dict[TransactionId, None]] = {}
        # What to add to each CANCEL that was asked for; None once it was sent.
        self._cancellations: dict[TransactionId, tuple[tuple[str, str], ...] | None] = {}
        self._cancels: set[TransactionId] = set()  # our own CANCELs, which nobody is told of
        self._serial = 0
        self.counters = LayerCounters()

    def __len__(self) -> int:
        return len(self._keys)

    # Commands

    def request(self, request: Request, hop: Hop, *, now: float) -> TransactionId:
        """Sends a request (any but ACK) and sees it to its end.

        Nothing is added: the top Via must hold a new branch. Gives `ResponseReceived` any number of times, or
        `Failed`; then `Terminated`.

        Raises:
            LocalProtocolError: an ACK, no branch, a branch in use, or too many transactions.
        """
        branch = request.top_via.branch
        if request.method == "ACK":
            raise LocalProtocolError("cannot start a transaction with ACK: it gets no response; use send")
        if not branch:
            raise LocalProtocolError(f"cannot send {request.method}: its top Via has no branch; draw one")
        key = (branch, request.method)
        if key in self._ids:
            raise LocalProtocolError(f"cannot send {request.method}: branch {branch} is in use; draw a new one")
        if len(self._keys) >= self._max_transactions:
            raise LocalProtocolError(f"cannot send {request.method}: {len(self._keys)} transactions are alive; wait")
        transaction = self._register(key, hop)
        client: _ClientTransaction
        if request.method == "INVITE":
            client = InviteClientTransaction(request, hop, self._timing, now=now)
        else:
            client = NonInviteClientTransaction(request, hop, self._timing, now=now)
        self._clients[transaction] = client
        self._drain(transaction, client)
        return transaction

    def respond(self, transaction: TransactionId, response: Response, *, now: float) -> None:
        """Sends a response, and again when the transaction says so; a 2xx to INVITE its user must send again.

        A transaction that has ended, or has its final response, takes none any more: the response is dropped, and
        counted where the transaction has ended. This is no error, for it may end at any time by its peer's doing.
        """
        server = self._servers.get(transaction)
        if server is None:
            self.counters.late_responses += 1
            return
        server.respond(response, now=now)
        self._drain(transaction, server)

    def respond_once(self, transaction: TransactionId, response: Response, *, now: float) -> None:
        """Sends a final response and ends the transaction with it: nothing is sent again, and no ACK waited for.

        For challenges: a copy of the request is a new request then. RFC 3261 section 26.3.2.4: "proxy servers SHOULD
        challenge questionable requests with only a single 401 (Unauthorized) or 407 (Proxy Authentication Required),
        forgoing the normal response retransmission algorithm, and thus behaving statelessly towards unauthenticated
        requests."
        """
        server = self._servers.get(transaction)
        if server is None:
            self.counters.late_responses += 1
            return
        self._outbox.put(SendMessage(response, server.hop))
        self._forget(transaction, server)
        self._outbox.put(Terminated(transaction))

    def cancel(self, transaction: TransactionId, *, headers: tuple[tuple[str, str], ...] = (), now: float) -> None:
        """Cancels an INVITE: at once, or when its first provisional response comes (RFC 3261 section 9.1).

        The CANCEL's own fate is not told. The INVITE gives its final response as ever, or `Failed` 64*T1 after the
        CANCEL. Nothing happens where a final response is there, the transaction has ended, or this was asked before.

        Args:
            headers: to be added to the CANCEL; Reason (RFC 3326), say.

        Raises:
            LocalProtocolError: not a client transaction of an INVITE.
        """
        client = self._clients.get(transaction)
        if client is None:
            return
        if not isinstance(client, InviteClientTransaction):
            # RFC 3261 section 9.1: "A CANCEL request SHOULD NOT be sent to cancel a request other than INVITE."
            raise LocalProtocolError(f"cannot cancel {client.request.method}: only an INVITE can be; let it end")
        if transaction in self._cancellations:
            return
        if client.state in (InviteClientState.CALLING, InviteClientState.PROCEEDING):
            self._cancellations[transaction] = headers
            self._send_cancel(transaction, client, now)

    def send(self, message: Request | Response, hop: Hop, *, now: float) -> None:
        """Sends a message outside of transactions: an ACK to a 2xx, a response forwarded statelessly."""
        self._outbox.put(SendMessage(message, hop))

    # Queries

    def is_alive(self, transaction: TransactionId) -> bool:
        """Whether the transaction has not ended."""
        return transaction in self._keys

    def invite_of(self, cancel: TransactionId) -> TransactionId | None:
        """The INVITE server transaction that a CANCEL's server transaction is about (RFC 3261 section 9.2)."""
        key = self._keys.get(cancel)
        if key is None or cancel not in self._servers:
            return None
        return self._ids.get((*key[:-1], "INVITE"))

    # Inputs

    def receive(self, message: Message, hop: Hop, *, now: float) -> None:
        """A message from the network; `hop` is where it came from."""
        match message:
            case Response():
                self._receive_response(message, hop, now)
            case Request():
                self._receive_request(message, hop, now)
            case _:
                raise AssertionError(message)

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        """A flow is gone: nothing comes or goes on it any more. Its transactions fail."""
        for transaction in tuple(self._by_flow.get(flow, ())):
            machine = self._clients.get(transaction) or self._servers.get(transaction)
            if machine is not None:
                machine.flow_lost(now=now)
                self._drain(transaction, machine)

    def unreachable(self, address: Address, *, now: float) -> None:
        """Nothing can be sent to `address`: the client transactions that wait for an answer from there fail."""
        for transaction, client in tuple(self._clients.items()):
            if client.hop.address == address:
                client.flow_lost(now=now)
                self._drain(transaction, client)

    def handle_timeout(self, *, now: float) -> None:
        for transaction in self._deadlines.due(now):
            machine = self._clients.get(transaction) or self._servers[transaction]
            machine.handle_timeout(now=now)
            self._drain(transaction, machine)

    def next_timeout(self) -> float | None:
        return self._deadlines.next()

    def poll_output(self) -> LayerOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[LayerOutput]:
        return self._outbox.drain()

    # Messages in

    def _receive_response(self, response: Response, hop: Hop, now: float) -> None:
        # RFC 3261 section 17.1.3: the branch of the top Via and the method in CSeq name the client transaction.
        branch = response.top_via.branch
        transaction = self._ids.get((branch, response.cseq.method)) if branch else None
        client = self._clients.get(transaction) if transaction is not None else None
        if transaction is None or client is None:
            self.counters.stray_responses += 1
            self._outbox.put(StrayResponse(response, hop))
            return
        client.receive_response(response, now=now)
        self._drain(transaction, client, hop)
        if transaction in self._cancellations and isinstance(client, InviteClientTransaction):
            self._send_cancel(transaction, client, now)

    def _receive_request(self, request: Request, hop: Hop, now: float) -> None:
        key = _server_key(request)
        transaction = self._ids.get(key)
        server = self._servers.get(transaction) if transaction is not None else None
        if transaction is not None and server is not None:
            server.receive_request(mark_source(request, hop), now=now)
            self._drain(transaction, server, hop)
            return
        marked = mark_source(request, hop)
        if request.method == "ACK":
            self._outbox.put(RequestReceived(None, marked, hop))
            return
        back = response_hop(marked, hop)
        if len(self._keys) >= self._max_transactions:
            self.counters.refused_requests += 1
            self._outbox.put(SendMessage(marked.response(503, headers=(("Retry-After", "32"),)), back))
            return
        transaction = self._register(key, back)
        if request.method == "INVITE":
            server = InviteServerTransaction(marked, back, self._timing, now=now)
        else:
            server = NonInviteServerTransaction(marked, back, self._timing, now=now)
        self._servers[transaction] = server
        self._drain(transaction, server, hop)

    # Transactions

    def _register(self, key: _Key, hop: Hop) -> TransactionId:
        self._serial += 1
        transaction = TransactionId(self._serial)
        self._ids[key] = transaction
        self._keys[transaction] = key
        if hop.flow is not None:
            self._by_flow.setdefault(hop.flow, {})[transaction] = None
        return transaction

    def _forget(self, transaction: TransactionId, machine: _ClientTransaction | _ServerTransaction) -> None:
        del self._ids[self._keys.pop(transaction)]
        self._clients.pop(transaction, None)
        self._servers.pop(transaction, None)
        self._cancellations.pop(transaction, None)
        self._deadlines.remove(transaction)
        flow = machine.hop.flow
        if flow is not None:
            siblings = self._by_flow[flow]
            del siblings[transaction]
            if not siblings:
                del self._by_flow[flow]

    def _send_cancel(self, transaction: TransactionId, client: InviteClientTransaction, now: float) -> None:
        # RFC 3261 section 9.1: "If no provisional response has been received, the CANCEL request MUST NOT be sent".
        headers = self._cancellations[transaction]
        if client.state is not InviteClientState.PROCEEDING or headers is None:
            return
        self._cancellations[transaction] = None
        client.cancelled(now=now)
        self._deadlines.update(transaction, client.next_timeout())
        cancel = build_cancel(client.request, headers)
        key = (cancel.top_via.branch or "", "CANCEL")
        if key in self._ids:  # its user has sent one by `request`
            return
        # Beyond the bound by as many as there are INVITEs: refusing to cancel would only make what is bounded last.
        own = self._register(key, client.hop)
        self._cancels.add(own)
        machine = NonInviteClientTransaction(cancel, client.hop, self._timing, now=now)
        self._clients[own] = machine
        self._drain(own, machine)

    def _drain(
        self, transaction: TransactionId, machine: _ClientTransaction | _ServerTransaction, came_on: Hop | None = None
    ) -> None:
        told = transaction not in self._cancels
        for output in machine.outputs():
            match output:
                case SendMessage():
                    self._outbox.put(output)
                case PassedUp():
                    if told:
                        self._pass_up(transaction, output.message, came_on or machine.hop)
                case GivenUp():
                    if told:
                        self._outbox.put(Failed(transaction, output.reason))
                case Ended():
                    self._forget(transaction, machine)
                    if told:
                        self._outbox.put(Terminated(transaction))
                    self._cancels.discard(transaction)
                    return
                case _:
                    assert_never(output)
        self._deadlines.update(transaction, machine.next_timeout())

    def _pass_up(self, transaction: TransactionId, message: Message, hop: Hop) -> None:
        match message:
            case Response():
                self._outbox.put(ResponseReceived(transaction, message, hop))
            case Request(method="ACK"):
                self._outbox.put(Acknowledged(transaction, message))
            case Request():
                self._outbox.put(RequestReceived(transaction, message, hop))
            case _:
                raise AssertionError(message)


def _server_key(request: Request) -> _Key:
    """What tells a server transaction from others; the method stands last, that of the INVITE for its ACK."""
    via = request.top_via
    method = "INVITE" if request.method == "ACK" else request.method
    branch = via.branch or ""
    if branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        # RFC 3261 section 17.2.3: branch, sent-by and method match.
        return (branch, via.sent_by.lower(), method)
    # RFC 3261 section 17.2.3, for clients of RFC 2543: Request-URI, From tag, Call-ID, CSeq number and top Via match.
    # The To tag is left out: that of an ACK is our own, and one number never serves two requests of a dialog.
    return (str(request.uri), request.from_.tag or "", request.call_id, str(request.cseq.number), str(via), method)
