"""A TURN client over UDP, TCP or TLS: one allocation, its permissions and channels (RFC 8656).

Theory of operation
-------------------
`start` asks the server for a relayed address. The first request goes out bare; the 401 that comes back brings realm and
nonce, and every request from then on is signed with the long-term credential (RFC 8489 section 9.2). A stale nonce
(438) is replaced and the request repeated. Refreshes keep the allocation; a server that has forgotten it (437) is asked
for a new one.

`send` takes what is to leave from the relayed address. A peer's first datagrams wait for a permission; then they go in
Send indications, or as ChannelData once `bind_channel` has bound one. Permissions and channels are renewed together.
What peers send comes out as `RelayedData`.

Over a stream nothing is sent twice (RFC 8489 section 6.2.2), and what arrives in pieces is put together. Whoever owns
the client opens the stream, calls `start` once it is open, and closes it at `Released` or `AllocationFailed`.

The password is a `Secret`, revealed only within the oracle that signs and checks.

              start             success              close
        NEW ---------> ALLOCATING ----> ALLOCATED ----------> RELEASING ---> CLOSED
                          |    ^            |      answered, or given up
              refused,    |    |  437       |
              unanswered  |    +------------+
                          +----> FAILED <---+  refresh refused or unanswered
"""

import hashlib
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

from sansio_sip.context import Context, Opaque, Secret
from sansio_sip.effects import Address, FlowId, SendDatagram, SendStream, TlsPolicy
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import Deadlines, TimerSet

from . import stun
from .stun import Attribute, AttributeValue, StunClass, StunMessage, StunMethod
from .transaction import RETRANSMISSIONS, StunTransaction
from .turn_stream import TurnFramer, padded

__all__ = [
    "Allocated",
    "AllocationFailed",
    "AllocationLost",
    "RelayedData",
    "Released",
    "TurnClient",
    "TurnOutput",
    "TurnServer",
    "TurnState",
]

LIFETIME = 600
"""Seconds asked for an allocation: the default of RFC 8656 section 3.2."""

PERMISSION_REFRESH = 240.0
"""Seconds between renewals; a permission lasts 300 s, a channel 600 s (RFC 8656 sections 9 and 12)."""

MAX_PEERS = 100
"""Peers with a permission: as many as there are pairs in a check list."""

MAX_WAITING = 16
"""Datagrams kept while a permission is under way; ICE sends its checks again."""

MAX_ATTEMPTS = 4
"""How often one request is repeated after 401 or 438: a server that answers so for ever is broken."""

MAX_REALLOCATIONS = 5
"""How often a forgotten allocation is asked for again in the life of a client."""

RELIABLE_WAIT = 39.5
"""Ti: seconds to wait for an answer on a stream, as long as with datagrams (RFC 8489 section 6.2.2)."""

UDP = 17 << 24
CHANNELS = range(0x4000, 0x5000)


class TurnState(Enum):
    """See the diagram above."""

    NEW = "new"
    ALLOCATING = "allocating"
    ALLOCATED = "allocated"
    RELEASING = "releasing"
    CLOSED = "closed"
    FAILED = "failed"


class Timer(Enum):
    """REFRESH: the allocation is to be refreshed. PEERS: permissions and channels are."""

    REFRESH = "refresh"
    PEERS = "peers"


@dataclass(frozen=True, slots=True)
class TurnServer:
    """Where a server is, how to reach it and how to log on to it. `tls` is given with that transport."""

    address: Address
    username: str
    password: Secret
    transport: Literal["udp", "tcp", "tls"] = "udp"
    tls: TlsPolicy | None = None

    @property
    def streamed(self) -> bool:
        return self.transport != "udp"

    def __str__(self) -> str:
        return f"{self.address} over {self.transport.upper()}" if self.streamed else str(self.address)


@dataclass(frozen=True, slots=True)
class Allocated:
    """The server relays at `relayed`; it sees us at `mapped`."""

    relayed: Address
    mapped: Address


@dataclass(frozen=True, slots=True)
class AllocationLost:
    """The server has forgotten the allocation; `Allocated` or `AllocationFailed` follows."""

    relayed: Address


@dataclass(frozen=True, slots=True)
class AllocationFailed:
    """There is no relay. `status` is the server's error code, 0 if it did not answer."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class RelayedData:
    """A peer sent this to the relayed address."""

    data: bytes
    source: Address


@dataclass(frozen=True, slots=True)
class Released:
    """The allocation is given back; the flow may be closed."""


TurnOutput: TypeAlias = (
    SendDatagram | SendStream | Allocated | AllocationLost | AllocationFailed | RelayedData | Released
)


@dataclass(slots=True)
class _Request:
    """A request under way. `attributes` are those besides the credential's; `attempts` counts 401 and 438."""

    transaction: StunTransaction
    method: StunMethod
    attributes: dict[Attribute, AttributeValue]
    peer: Address | None
    attempts: int
    signed: bool


@dataclass(slots=True)
class _Peer:
    """`waiting` holds datagrams until the permission is there. `channel` is 0 until one was asked for."""

    permitted: bool = False
    channel: int = 0
    bound: bool = False
    waiting: list[bytes] = field(default_factory=list)


class TurnClient:
    """One allocation on `server`, reached by `flow`. Outputs: `TurnOutput`."""

    def __init__(self, context: Context, server: TurnServer, flow: FlowId) -> None:
        self._context = context
        self._server = server
        self._flow = flow
        self._realm = ""
        self._nonce = b""
        self._peers: dict[Address, _Peer] = {}
        self._channels: dict[int, Address] = {}
        self._requests: dict[bytes, _Request] = {}
        self._deadlines: Deadlines[bytes] = Deadlines()
        self._timers: TimerSet[Timer] = TimerSet()
        self._reallocations = 0
        self._outbox: Outbox[TurnOutput] = Outbox()
        self._framer = TurnFramer()
        self.counters: Counter[str] = Counter()
        self.relayed: Address | None = None
        self.state = TurnState.NEW

    def start(self, *, now: float) -> None:
        """Asks for an allocation."""
        if self.state is not TurnState.NEW:
            raise LocalProtocolError(f"cannot allocate: state is {self.state.value}; make a new client")
        self._allocate(now)

    def send(self, data: bytes, peer: Address, *, now: float) -> None:
        """Sends from the relayed address. Without an allocation the datagram is lost, as any may be."""
        address = stun.canonical_address(peer)
        if self.state is not TurnState.ALLOCATED or address is None:
            self.counters["no allocation"] += 1
            return
        known = self._peers.get(address)
        if known is None:
            known = self._permit(address, now)
        if known is None:
            return
        if known.bound:
            self._put(_wrapped(struct.pack("!HH", known.channel, len(data)) + data, data))
        elif known.permitted:
            self._put(_wrapped(self._indication(address, data), data))
        elif len(known.waiting) < MAX_WAITING:
            known.waiting.append(data)

    def bind_channel(self, peer: Address, *, now: float) -> None:
        """Saves 32 octets a datagram to this peer from now on: worth it for the selected pair."""
        address = stun.canonical_address(peer)
        if self.state is not TurnState.ALLOCATED or address is None:
            return
        known = self._peers.get(address) or self._permit(address, now)
        if known is not None and not known.channel and len(self._channels) < len(CHANNELS):
            known.channel = CHANNELS[len(self._channels)]
            self._channels[known.channel] = address
            self._bind(address, known, now)

    def close(self, *, now: float) -> None:
        """Gives the allocation back; `Released` follows."""
        self._timers.clear()
        self._forget_requests()
        if self.state is TurnState.ALLOCATED:
            self.state = TurnState.RELEASING
            self._request(StunMethod.REFRESH, {Attribute.LIFETIME: 0}, now, limit=3)
            if self._server.streamed:
                self._finish()  # the stream carries it before it ends, or its end says the same
        elif self.state is not TurnState.RELEASING:
            self._finish()

    # Inputs

    def receive_datagram(self, data: bytes, *, now: float) -> None:
        """Takes a datagram that came by the flow from the server's address."""
        if data[:1] and 0x40 <= data[0] < 0x50:
            self._receive_channel_data(data)
            return
        try:
            message = stun.parse(data)
        except ParseError:
            self.counters["malformed"] += 1
            return
        if message.kind is StunClass.INDICATION:
            self._receive_indication(message)
        elif message.kind is not StunClass.REQUEST:
            self._receive_response(message, now)

    def receive_stream(self, data: bytes, *, now: float) -> None:
        """Takes octets that came by the stream."""
        for message in self._framer.receive(data):
            self.receive_datagram(message, now=now)
        if self._framer.broken:
            self.flow_lost("what it sends is not TURN")

    def flow_lost(self, reason: str) -> None:
        """The stream could not be opened, or is gone, and the allocation with it."""
        if self.state not in (TurnState.CLOSED, TurnState.FAILED):
            self._fail(0, reason)

    def awaits(self, transaction_id: bytes) -> bool:
        return transaction_id in self._requests

    def handle_timeout(self, *, now: float) -> None:
        for transaction_id in self._deadlines.due(now):
            request = self._requests[transaction_id]
            data = request.transaction.poll(now)
            if data is not None:
                self._put(data)
                self._deadlines.update(transaction_id, request.transaction.deadline)
            else:
                self._take(transaction_id)
                self._failed(request, 0, "no answer", now)
        for timer in self._timers.due(now):
            if timer is Timer.REFRESH:
                self._request(StunMethod.REFRESH, {Attribute.LIFETIME: LIFETIME}, now)
            else:
                self._timers.arm(Timer.PEERS, now + PERMISSION_REFRESH)
                for address, peer in self._peers.items():
                    self._renew(address, peer, now)

    def next_timeout(self) -> float | None:
        deadlines = (self._deadlines.next(), self._timers.next())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def outputs(self) -> Iterator[TurnOutput]:
        return self._outbox.drain()

    # Requests

    def _allocate(self, now: float) -> None:
        self.state = TurnState.ALLOCATING
        self._request(StunMethod.ALLOCATE, {Attribute.REQUESTED_TRANSPORT: UDP, Attribute.LIFETIME: LIFETIME}, now)

    def _permit(self, address: Address, now: float) -> _Peer | None:
        if len(self._peers) >= MAX_PEERS:
            self.counters["peer limit"] += 1
            return None
        peer = self._peers[address] = _Peer()
        self._renew(address, peer, now)
        if Timer.PEERS not in self._timers:
            self._timers.arm(Timer.PEERS, now + PERMISSION_REFRESH)
        return peer

    def _renew(self, address: Address, peer: _Peer, now: float) -> None:
        if peer.channel:
            # RFC 8656 section 12: a ChannelBind installs or refreshes the permission as well.
            self._bind(address, peer, now)
        else:
            self._request(StunMethod.CREATE_PERMISSION, {Attribute.XOR_PEER_ADDRESS: address}, now, peer=address)

    def _bind(self, address: Address, peer: _Peer, now: float) -> None:
        attributes: dict[Attribute, AttributeValue] = {
            Attribute.CHANNEL_NUMBER: peer.channel,
            Attribute.XOR_PEER_ADDRESS: address,
        }
        self._request(StunMethod.CHANNEL_BIND, attributes, now, peer=address)

    def _request(
        self,
        method: StunMethod,
        attributes: dict[Attribute, AttributeValue],
        now: float,
        *,
        peer: Address | None = None,
        attempts: int = 0,
        limit: int = RETRANSMISSIONS,
    ) -> None:
        transaction_id = self._context.entropy.stun_transaction_id()
        content = dict(attributes)
        signed = self._realm != ""
        if signed:
            content[Attribute.USERNAME] = _opaque_string(self._server.username)
            content[Attribute.REALM] = self._realm
            content[Attribute.NONCE] = self._nonce
        message = StunMessage(method, StunClass.REQUEST, transaction_id, content)
        data = stun.encode(message, sign=self._sign if signed else None)
        transaction = StunTransaction(transaction_id, data, self._flow, self._server.address, limit=limit)
        if self._server.streamed:
            transaction.limit, transaction.final_wait = 1, RELIABLE_WAIT
        self._requests[transaction_id] = _Request(transaction, method, attributes, peer, attempts, signed)
        self._put(transaction.send(now))
        self._deadlines.update(transaction_id, transaction.deadline)

    def _sign(self, data: bytes) -> bytes:
        name = "turn message integrity"
        realm = self._realm
        return self._context.oracle.consult(name, lambda: stun.integrity_of(data, self._key(realm)), realm, data)

    def _is_authentic(self, message: StunMessage) -> bool:
        name, realm = "turn integrity check", self._realm
        signed, integrity = message.signed, message.integrity
        return self._context.oracle.consult(
            name, lambda: stun.check_integrity(message, self._key(realm)), realm, signed, integrity
        )

    def _key(self, realm: str) -> bytes:
        """RFC 8489 section 9.2.2: MD5(username ":" realm ":" password)."""
        username, password = _opaque_string(self._server.username), _opaque_string(self._server.password.reveal())
        return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()

    # Responses

    def _receive_response(self, message: StunMessage, now: float) -> None:
        request = self._requests.get(message.transaction_id)
        if request is None:
            self.counters["unknown transaction"] += 1
            return
        status, reason = message.error or (0, "")
        if status in (401, 438):
            # These need not be signed: the client may not know the nonce that they bring (section 9.2.5).
            self._take(message.transaction_id)
            self._challenged(request, message, status, reason, now)
        elif request.signed and not self._is_authentic(message):
            self.counters["unauthenticated response"] += 1
        else:
            self._take(message.transaction_id)
            if message.kind is StunClass.ERROR:
                self._failed(request, status, reason, now)
            else:
                self._succeeded(request, message, now)

    def _challenged(self, request: _Request, message: StunMessage, status: int, reason: str, now: float) -> None:
        nonce, realm = message.octets(Attribute.NONCE), message.text(Attribute.REALM)
        # RFC 8489 section 9.2.5: a 401 to a request that was signed for this realm says that the credential is wrong.
        refused = status == 401 and request.signed and realm == self._realm
        if nonce is None or (status == 401 and not realm) or refused or request.attempts >= MAX_ATTEMPTS:
            self._failed(request, status, reason, now)
            return
        self._nonce = nonce
        if realm:
            self._realm = realm
        self._request(request.method, request.attributes, now, peer=request.peer, attempts=request.attempts + 1)

    def _succeeded(self, request: _Request, message: StunMessage, now: float) -> None:
        match request.method:
            case StunMethod.ALLOCATE:
                self._allocated(message, now)
            case StunMethod.REFRESH if self.state is TurnState.RELEASING:
                self._finish()
            case StunMethod.REFRESH if request.attributes[Attribute.LIFETIME] == 0:
                self._allocate(now)
            case StunMethod.REFRESH:
                self._arm_refresh(message, now)
            case _:
                self._permitted(request, now)

    def _allocated(self, message: StunMessage, now: float) -> None:
        relayed = message.address(Attribute.XOR_RELAYED_ADDRESS)
        mapped = message.address(Attribute.XOR_MAPPED_ADDRESS)
        if relayed is None or mapped is None:
            self._fail(0, "the server's answer names no address")
            return
        self.state = TurnState.ALLOCATED
        self.relayed = relayed
        self._arm_refresh(message, now)
        self._outbox.put(Allocated(relayed, mapped))

    def _arm_refresh(self, message: StunMessage, now: float) -> None:
        lifetime = message.number(Attribute.LIFETIME) or LIFETIME
        # A minute ahead (RFC 8656 section 8), which leaves time for retransmissions; sooner for short lifetimes.
        self._timers.arm(Timer.REFRESH, now + max(lifetime - 60, lifetime / 2, 1))

    def _permitted(self, request: _Request, now: float) -> None:
        assert request.peer is not None, "permissions and channels are for a peer"
        peer = self._peers.get(request.peer)
        if peer is None:
            return
        peer.permitted = True
        peer.bound = peer.bound or request.method is StunMethod.CHANNEL_BIND
        waiting, peer.waiting = peer.waiting, []
        for data in waiting:
            self.send(data, request.peer, now=now)

    def _failed(self, request: _Request, status: int, reason: str, now: float) -> None:
        if self.state is TurnState.RELEASING:
            self._finish()
        elif request.method is StunMethod.ALLOCATE and status == 437 and self._may_reallocate():
            # RFC 8656 section 7.4: an allocation from before is still there. Give it back first.
            self._request(StunMethod.REFRESH, {Attribute.LIFETIME: 0}, now)
        elif request.method is StunMethod.REFRESH and self.state is TurnState.ALLOCATING:
            self._allocate(now)
        elif request.method in (StunMethod.ALLOCATE, StunMethod.REFRESH) and status != 437:
            self._fail(status, reason)
        elif status == 437 and self._may_reallocate():
            self._lose_allocation()
            self._allocate(now)
        elif status == 437:
            self._fail(status, reason)
        elif request.peer is not None:
            self.counters["peer refused"] += 1
            self._give_up_peer(request)

    def _give_up_peer(self, request: _Request) -> None:
        assert request.peer is not None, "permissions and channels are for a peer"
        peer = self._peers.get(request.peer)
        if peer is None:
            return
        if request.method is StunMethod.CHANNEL_BIND:
            # Its number is not used again for another peer (RFC 8656 section 12): it stays taken.
            peer.bound = False
            peer.channel = 0
        else:
            del self._peers[request.peer]

    def _may_reallocate(self) -> bool:
        self._reallocations += 1
        return self._reallocations <= MAX_REALLOCATIONS

    def _lose_allocation(self) -> None:
        if self.relayed is not None:
            self._outbox.put(AllocationLost(self.relayed))
        self.relayed = None
        self._peers.clear()
        self._channels.clear()
        self._timers.clear()
        self._forget_requests()

    def _fail(self, status: int, reason: str) -> None:
        self._lose_allocation()
        self.state = TurnState.FAILED
        self._outbox.put(AllocationFailed(status, reason))

    def _finish(self) -> None:
        self._forget_requests()
        if self.state is not TurnState.CLOSED:
            self.state = TurnState.CLOSED
            self._outbox.put(Released())

    # Data of peers

    def _receive_channel_data(self, data: bytes) -> None:
        if len(data) < 4:
            self.counters["malformed"] += 1
            return
        number, length = struct.unpack_from("!HH", data)
        peer = self._channels.get(number)
        if peer is None or len(data) < 4 + length:
            self.counters["unknown channel" if peer is None else "malformed"] += 1
            return
        self._outbox.put(RelayedData(data[4 : 4 + length], peer))

    def _receive_indication(self, message: StunMessage) -> None:
        data, source = message.octets(Attribute.DATA), message.address(Attribute.XOR_PEER_ADDRESS)
        if message.method != StunMethod.DATA or data is None or source is None or message.unknown:
            self.counters["malformed"] += 1
        elif not any(peer.permitted and address.host == source.host for address, peer in self._peers.items()):
            # RFC 8656 section 11.4: discarded unless there is a permission for that IP address.
            self.counters["no permission"] += 1
        else:
            self._outbox.put(RelayedData(data, source))

    def _indication(self, peer: Address, data: bytes) -> bytes:
        attributes: dict[Attribute, AttributeValue] = {Attribute.XOR_PEER_ADDRESS: peer, Attribute.DATA: data}
        transaction_id = self._context.entropy.stun_transaction_id()
        return stun.encode(StunMessage(StunMethod.SEND, StunClass.INDICATION, transaction_id, attributes))

    # Helpers

    def _take(self, transaction_id: bytes) -> None:
        del self._requests[transaction_id]
        self._deadlines.remove(transaction_id)

    def _forget_requests(self) -> None:
        for transaction_id in list(self._requests):
            self._take(transaction_id)

    def _put(self, data: bytes) -> None:
        if self._server.streamed:
            self._outbox.put(SendStream(self._flow, padded(data)))
        else:
            self._outbox.put(SendDatagram(self._flow, data, self._server.address))


def _opaque_string(text: str) -> str:
    """The OpaqueString profile (RFC 8265 section 4.2.2) as far as it maps: other spaces to U+0020, then NFC."""
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced)


def _wrapped(packet: bytes, data: bytes) -> bytes:
    """A packet around data that no replay can make again cannot be made again either."""
    return Opaque(packet) if isinstance(data, Opaque) else packet
