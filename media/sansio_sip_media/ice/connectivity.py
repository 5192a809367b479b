"""The ways to one peer: the ICE agent, the gatherer of its candidates, and the names that must be looked up for both.

Theory of operation
-------------------
    add_flow -> host candidate
             -> servers: name -> Resolve -> address -> Gatherer -> CandidateFound -> IceAgent
                                                    \\-> all have answered, or 2 s have passed -> Gathered

A description should wait while `is_gathering`. What is found later is not lost: checks use it, and so does the next
description.

Datagrams of a socket are given to `receive_datagram`. What belongs to a STUN or TURN server is taken here, and what a
relay brings from the peer comes out as `Relayed`, by the flow of the relayed candidate; the rest is the agent's, or
none of ICE's. `send` takes what is to leave, by whichever flow.

A browser hides its addresses behind names such as `<uuid>.local` (RFC 8828). They are looked up, a few at a time, and
never any other name: a peer shall not choose what we ask the DNS.

With `relay_only` the peer is told of no address but those of relays, and no other is used.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.effects import (
    Address,
    CloseFlow,
    FlowId,
    OpenStream,
    Record,
    Resolve,
    SendDatagram,
    SendStream,
    TlsPeer,
    TlsPolicy,
)
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.softphone.media_plane import IceServerUrl, IceState, TurnAccount
from sansio_sip_media.transport import Gathered, Relayed

from . import stun
from .agent import ConsentLost, IceAgent, PairSelected, StateChanged
from .candidate import Candidate, CandidateType
from .gathering import (
    LIMIT,
    CandidateFound,
    CandidateLost,
    DatagramReceived,
    Gatherer,
    GatheringFinished,
    TurnServer,
)

__all__ = ["Connectivity", "ConnectivityOutput", "IceServers"]

MAX_HIDDEN = 8
"""Names of the peer's candidates that are looked up in a session: a browser has one for each of its addresses."""

HIDDEN_NAME = re.compile(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local\.?")
"""What draft-ietf-mmusic-mdns-ice-candidates section 3.1.1 has browsers make up."""

NOWHERE = Address("0.0.0.0", 9)


@dataclass(frozen=True, slots=True)
class IceServers:
    """Whom to ask for candidates. `relay_only`: use no candidates but relayed ones. `ca_file`, `tls_verify`: for relays
    over TLS, as in `TlsPolicy`."""

    stun: tuple[str, ...] = ()
    turn: tuple[TurnAccount, ...] = ()
    relay_only: bool = False
    ca_file: str | None = None
    tls_verify: bool = True


ConnectivityOutput: TypeAlias = (
    SendDatagram
    | OpenStream
    | SendStream
    | CloseFlow
    | Resolve
    | Gathered
    | Relayed
    | StateChanged
    | PairSelected
    | ConsentLost
)


class Connectivity:
    """The machine. `agent` is for questions and for what concerns it alone; `drain` must follow."""

    def __init__(
        self, context: Context, servers: IceServers, *, controlling: bool, agent: IceAgent | None = None
    ) -> None:
        """`agent`: that of a fork, in place of a new one; servers are asked after a restart alone."""
        self.agent = agent or IceAgent(context, controlling=controlling)
        self._context = context
        self._gatherer = Gatherer(context)
        self.is_shared = False
        """Whether others were forked from it."""
        self._servers = servers
        self._outbox: Outbox[ConnectivityOutput] = Outbox()
        self._counters: Counter[str] = Counter()
        self._is_borrowing = agent is not None  # candidates of whom it was forked from
        self._waiting = [] if self._is_borrowing else self._all_servers()
        self._has_servers = bool(self._waiting)
        self._queries: dict[int, tuple[IceServerUrl, TurnAccount | None] | Candidate] = {}
        self._query = 0
        self._hidden: set[str] = set()
        self._unknown: list[str] = []
        self._retired: set[FlowId] = set()  # sockets from before the last restart
        self._limit: float | None = None
        # What `next_timeout` says, asked for with each packet of media: it changes with what `drain` follows alone.
        self._deadline: float | None = None
        self._deadline_known = False

    @property
    def is_gathering(self) -> bool:
        """Whether more candidates are waited for."""
        return self._limit is not None

    @property
    def counters(self) -> Mapping[str, int]:
        """What was passed over, by cause."""
        return Counter(self.agent.counters) + self._counters + self._gatherer.counters

    def socket_of(self, flow: FlowId) -> FlowId:
        """The flow of the socket that carries this one."""
        return self._gatherer.socket_of(flow)

    @property
    def default(self) -> Address | None:
        """What to name as our address for a peer without ICE (RFC 8839 section 4.2.2); None: that of the socket."""
        if not self._servers.relay_only:
            return None
        lines = self.agent.local_candidates
        return Candidate.parse(lines[0]).address if lines else NOWHERE

    def is_relay(self, flow: FlowId) -> bool:
        """Whether this is the flow of a relayed candidate, by which `send` sends."""
        return self._gatherer.owns(flow)

    def is_for_server(self, flow: FlowId, data: bytes, source: Address) -> bool:
        """Whether a datagram is from a STUN or TURN server."""
        return self._gatherer.is_for(flow, data, source)

    # Commands

    def fork(self) -> "Connectivity":
        """The ways to another peer who has the same description of us.

        It has the candidates of this one and asks no server: its relays are flows like others. They are served here:
        what they bring comes out as `Relayed` from now on, whomever it is from, and `send` sends by them. Once it is
        restarted it has sockets of its own, and asks the servers from these.
        """
        self.is_shared = True
        controlling = self.agent.controlling
        return Connectivity(self._context, self._servers, controlling=controlling, agent=self.agent.fork())

    def leave(self, *, now: float) -> None:
        """Ends what concerns our peer. Servers go on being used, for those that were forked."""
        self.agent.close(now=now)
        self.drain(now=now)

    def add_flow(self, flow: FlowId, local: Address, *, now: float) -> None:
        """A socket is open."""
        if not self._servers.relay_only:
            self.agent.add_local_candidate(flow, local, now=now)
        if self._has_servers:
            self._limit = now + LIMIT
        waiting, self._waiting = self._waiting, []
        for url, account in waiting:
            address = stun.canonical_address(Address(url.host, url.port))
            if address is not None:
                self._gatherer.add_server(self._server(url, address, account), now=now)
            else:
                self._ask(url.host, (url, account))
        self._gatherer.add_flow(flow, local, now=now)
        self.drain(now=now)

    def restart(self, *, moved: bool, now: float) -> None:
        """Restarts ICE with the sockets and relays that come from now on; those of now go on until there is a pair.

        Unless we have `moved`, a way that works is offered again beside them.
        """
        if self._is_borrowing:
            self._is_borrowing = False
            self._waiting = self._all_servers()
            self._has_servers = bool(self._waiting)
        # A browser goes on with a way that works at once, and may take long to try another.
        if moved or self.agent.state not in (IceState.CONNECTED, IceState.COMPLETED):
            self._retired.update(self._gatherer.flows)
            self.agent.retire_candidates()
        self.agent.restart(now=now)
        self.drain(now=now)

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        """A socket is gone."""
        self._retired.discard(flow)
        self._gatherer.remove_flow(flow, now=now)
        self.agent.flow_lost(flow, now=now)
        self.drain(now=now)

    def set_remote(self, ufrag: str, pwd: str, candidates: tuple[str, ...], *, lite: bool, now: float) -> None:
        """Takes the peer's description and begins to check. See `IceAgent.set_remote`."""
        hidden = tuple(line for line in candidates if self._is_hidden(line))
        told = tuple(line for line in candidates if line not in hidden)
        for line in hidden:
            self._look_behind(Candidate.parse(line))
        self.agent.set_remote(ufrag, pwd, told, lite=lite, trickle=self._asks_for_peer, now=now)
        self.drain(now=now)

    def send(self, flow: FlowId, data: bytes, destination: Address, *, now: float) -> None:
        """Sends by a socket or a relay."""
        self._send(SendDatagram(flow, data, destination), now)
        self.drain(now=now)

    def close(self, *, now: float) -> None:
        """Ends it, and gives relays back: their servers forget them when they hear of it, or in some minutes."""
        self._limit = None
        self._queries.clear()
        self.agent.close(now=now)
        self._gatherer.release(now=now)
        self.drain(now=now)

    # Inputs

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> bool:
        """Takes what is for ICE or a server. False: it is neither."""
        if self._gatherer.is_for(flow, data, source):
            self._gatherer.receive_datagram(flow, data, source, now=now)
        elif stun.is_stun(data):
            self.agent.receive_datagram(flow, data, source, now=now)
        else:
            return False
        self.drain(now=now)
        return True

    def owns_stream(self, flow: FlowId) -> bool:
        """Whether this is a stream to a relay; such are the next three about."""
        return self._gatherer.owns_stream(flow)

    def stream_opened(self, flow: FlowId, peer: TlsPeer | None, *, now: float) -> None:
        self._gatherer.stream_opened(flow, peer, now=now)
        self.drain(now=now)

    def stream_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._gatherer.stream_lost(flow, reason, now=now)
        self.drain(now=now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._gatherer.receive_stream(flow, data, now=now)
        self.drain(now=now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        """The answer to `Resolve`."""
        asked = self._queries.pop(query, None)
        if asked is None:
            return
        addresses = [address for record in records if isinstance(record, Address) and (address := _canonical(record))]
        if isinstance(asked, Candidate):
            if not addresses:
                self._counters["mDNS candidate not found"] += 1
            for found in addresses[:2]:  # one of each family
                found = Address(found.host, asked.address.port)
                self.agent.add_remote_candidate(str(replace(asked, address=found)), now=now)
            if not self._asks_for_peer:
                self.agent.end_of_remote_candidates(now=now)
        else:
            url, account = asked
            if not addresses:
                self._unknown.append(f"{url}: the name has no address")
            for found in addresses:
                at = Address(found.host, url.port)
                self._gatherer.add_server(self._server(url, at, account), now=now)
        self.drain(now=now)

    def handle_timeout(self, *, now: float) -> None:
        self._gatherer.handle_timeout(now=now)
        self.agent.handle_timeout(now=now)
        self.drain(now=now)
        if self._limit is not None and now >= self._limit:
            self._finish()

    def next_timeout(self) -> float | None:
        if not self._deadline_known:
            deadlines = (self._limit, self._gatherer.next_timeout(), self.agent.next_timeout())
            self._deadline = min((deadline for deadline in deadlines if deadline is not None), default=None)
            self._deadline_known = True
        return self._deadline

    def outputs(self) -> Iterator[ConnectivityOutput]:
        return self._outbox.drain()

    # Within

    def drain(self, *, now: float) -> None:
        """To be called when `agent` was touched directly."""
        self._deadline_known = False
        again = True
        while again:
            again = False
            for found in self._gatherer.outputs():
                again = True
                match found:
                    case SendDatagram() | OpenStream() | SendStream() | CloseFlow():
                        self._outbox.put(found)
                    case CandidateFound():
                        self._on_candidate(found, now)
                    case CandidateLost(flow):
                        if self.agent.state is not IceState.CLOSED:
                            self.agent.flow_lost(flow, now=now)
                    case DatagramReceived(flow, data, source):
                        self._on_relayed(flow, data, source, now)
                    case GatheringFinished():
                        pass  # names may still be looked up
                    case _:
                        assert_never(found)
            for said in self.agent.outputs():
                again = True
                if isinstance(said, SendDatagram):
                    self._send(said, now)
                    continue
                if isinstance(said, PairSelected):
                    self._gatherer.selected(said.flow, said.remote, now=now)
                    self._gatherer.conclude(now=now)
                self._outbox.put(said)
        if self._limit is not None and self._gatherer.is_settled and not self._asks_for_servers:
            self._finish()

    def _on_candidate(self, found: CandidateFound, now: float) -> None:
        if self.agent.state is IceState.CLOSED:
            return
        if self.socket_of(found.flow) in self._retired:
            return
        base = found.base
        if self._servers.relay_only:
            if found.kind is not CandidateType.RELAYED:
                return
            # RFC 8828 section 5.2: whoever hides behind a relay does not tell by `raddr` what is behind it.
            base = NOWHERE if ":" not in found.address.host else Address("::", 9)
        self.agent.add_local_candidate(
            found.flow, found.address, kind=found.kind, base=base, streamed=found.streamed, now=now
        )

    def _on_relayed(self, flow: FlowId, data: bytes, source: Address, now: float) -> None:
        if stun.is_stun(data) and not self.is_shared:
            self.agent.receive_datagram(flow, data, source, now=now)
        else:
            self._outbox.put(Relayed(flow, data, source))

    def _send(self, output: SendDatagram, now: float) -> None:
        if self._gatherer.owns(output.flow):
            self._gatherer.send(output.flow, output.data, output.destination, now=now)
        else:
            self._outbox.put(output)

    def _finish(self) -> None:
        self._limit = None
        self._deadline_known = False
        asked = (each for each in self._queries.values() if not isinstance(each, Candidate))
        unanswered = (f"{url}: the name was not found in time" for url, _ in asked)
        self._outbox.put(Gathered((*self._unknown, *unanswered, *self._gatherer.problems)))

    def _all_servers(self) -> list[tuple[IceServerUrl, TurnAccount | None]]:
        return [
            *((IceServerUrl.parse(text, "stun"), None) for text in self._servers.stun),
            *((IceServerUrl.parse(account.url, "turn"), account) for account in self._servers.turn),
        ]

    def _server(self, url: IceServerUrl, address: Address, account: TurnAccount | None) -> Address | TurnServer:
        if account is None:
            return address
        tls = TlsPolicy(url.host, self._servers.ca_file, self._servers.tls_verify) if url.transport == "tls" else None
        return TurnServer(address, account.username, account.password, url.transport, tls)

    # Names

    @property
    def _asks_for_servers(self) -> bool:
        return any(not isinstance(each, Candidate) for each in self._queries.values())

    @property
    def _asks_for_peer(self) -> bool:
        return any(isinstance(each, Candidate) for each in self._queries.values())

    def _ask(self, name: str, what: tuple[IceServerUrl, TurnAccount | None] | Candidate) -> None:
        self._query += 1
        self._queries[self._query] = what
        self._outbox.put(Resolve(self._query, name))

    def _is_hidden(self, line: str) -> bool:
        try:
            candidate = Candidate.parse(line)
        except ParseError:
            return False
        return candidate.transport == "udp" and HIDDEN_NAME.fullmatch(candidate.address.host) is not None

    def _look_behind(self, candidate: Candidate) -> None:
        key = str(candidate.address).lower()
        if key in self._hidden:
            return
        if len(self._hidden) >= MAX_HIDDEN:
            self._counters["mDNS candidate"] += 1
            return
        self._hidden.add(key)
        self._ask(candidate.address.host, candidate)


def _canonical(record: Address) -> Address | None:
    return stun.canonical_address(Address(record.host, record.port or 9))
