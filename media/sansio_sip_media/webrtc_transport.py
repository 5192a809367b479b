"""The way of WebRTC: ICE finds a path, DTLS on that path gives keys, SRTP protects with them.

Theory of operation
-------------------
    settle --> ICE checks --PairSelected--> DTLS handshake --HandshakeDone--> Connected
                    |                            |
                    +--- no pair --> Failed <----+ wrong certificate, no answer

DTLS is spoken on the selected pair alone; its certificate is compared with the fingerprint in the peer's SDP (RFC 5763
section 5). What the peer says in DTLS before our own checks are done is kept for a moment. A new pair (a nomination, an
ICE restart) carries the old association on: keys belong to the peer, not to the path. Another fingerprint in a later
description means another peer, and another association (RFC 8842 section 5.1).
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import assert_never

from sansio_sip.context import Context, Private
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
)
from sansio_sip.machine import Outbox
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.negotiation import LocalMedia, Negotiated, read_peer, section_profile
from sansio_sip.softphone.media_plane import IceState
from sansio_sip.timers import earlier

from .crypto import CryptoProvider, local_fingerprint
from .demux import Kind, classify
from .dtls import DtlsTransport, HandshakeDone, HandshakeFailed, PeerClosed, SendRecords
from .ice.agent import ConsentLost, PairSelected, StateChanged
from .ice.connectivity import Connectivity, IceServers
from .srtp import SrtpTransport
from .transport import Arrived, Connected, Failed, Gathered, Interrupted, Path, Relayed, TransportOutput

__all__ = ["WebRtcTransport"]

# Datagrams of DTLS kept from before a pair was selected: a ClientHello in two, and its repetition.
MAX_EARLY = 4

NO_SERVERS = IceServers()


class WebRtcTransport:
    """The machine of one session's path.

    Args:
        crypto: DTLS and SRTP; None in a replay.
        controlling: whether we made the offer (RFC 8445 section 6.1.1).
        servers: whom to ask for candidates beside those of our sockets.
        ways: those of a fork, in place of new ones.
    """

    def __init__(
        self,
        context: Context,
        crypto: CryptoProvider | None,
        *,
        controlling: bool,
        servers: IceServers = NO_SERVERS,
        ways: Connectivity | None = None,
    ) -> None:
        self._context = context
        self._crypto = crypto
        self._outbox: Outbox[TransportOutput] = Outbox()
        self._ways = ways or Connectivity(context, servers, controlling=controlling)
        self._ice = self._ways.agent
        self._fingerprint = local_fingerprint(context, crypto)
        self._dtls: DtlsTransport | None = None
        self._srtp: SrtpTransport | None = None
        self._negotiated: Negotiated | None = None
        self._early: deque[tuple[FlowId, Address, bytes]] = deque(maxlen=MAX_EARLY)
        self._path: Path | None = None
        self._pair: PairSelected | None = None
        self._interrupted = False
        self._failed = False
        self._stages: dict[str, float] = {}
        self._rejected: Counter[str] = Counter()

    protection = "DTLS-SRTP"

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def rtt(self) -> float | None:
        return self._ice.rtt

    @property
    def stages(self) -> Mapping[str, float]:
        return MappingProxyType(self._stages)

    @property
    def rejected(self) -> Mapping[str, int]:
        rejected = Counter(self._rejected)
        rejected.update({f"ICE {cause}": count for cause, count in self._ways.counters.items()})
        if self._srtp is not None:
            rejected.update({f"SRTP {cause}": count for cause, count in self._srtp.rejected.items()})
        return rejected

    # Forks

    def fork(self) -> "WebRtcTransport":
        return WebRtcTransport(self._context, self._crypto, controlling=self._ice.controlling, ways=self._ways.fork())

    def claims(self, flow: FlowId, data: bytes, source: Address, kind: Kind) -> int:
        if self._ice.claims(flow, data, source):
            return 2
        # Whom it is from will be known when her answer is there, or her check has come.
        return 1 if kind is Kind.STUN or (kind is Kind.DTLS and self._path is None) else 0

    def is_for_server(self, flow: FlowId, data: bytes, source: Address) -> bool:
        """Whether a datagram is from a STUN or TURN server of ours."""
        return self._ways.is_for_server(flow, data, source)

    def is_relay(self, flow: FlowId) -> bool:
        """Whether a fork's datagrams by this flow are to be given to `send_by_relay`."""
        return self._ways.is_relay(flow)

    def send_by_relay(self, output: SendDatagram, *, now: float) -> None:
        """Sends what a fork sends by a relay of ours."""
        self._ways.send(output.flow, output.data, output.destination, now=now)
        self._drain_ice(now)

    def leave(self, *, now: float) -> None:
        """Parts from our peer. Sockets and relays live on, for those that were forked; `close` follows."""
        if self._dtls is not None:
            self._dtls.close(now=now)
            self._drain_dtls(now)
        self._ways.leave(now=now)
        self._drain_ice(now)

    # Set-up

    def add_flow(self, flow: FlowId, local: Address, *, now: float) -> None:
        self._ways.add_flow(flow, local, now=now)
        self._drain_ice(now)

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        self._ways.flow_lost(flow, now=now)
        self._drain_ice(now)

    @property
    def is_gathering(self) -> bool:
        """Whether `describe` should wait for `Gathered`."""
        return self._ways.is_gathering

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        """The answer to `Resolve`."""
        self._ways.resolved(query, records, now=now)
        self._drain_ice(now)

    def owns_stream(self, flow: FlowId) -> bool:
        """Whether this is a stream to a relay; such are the next three about."""
        return self._ways.owns_stream(flow)

    def stream_opened(self, flow: FlowId, peer: TlsPeer | None, *, now: float) -> None:
        self._ways.stream_opened(flow, peer, now=now)
        self._drain_ice(now)

    def stream_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._ways.stream_lost(flow, reason, now=now)
        self._drain_ice(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._ways.receive_stream(flow, data, now=now)
        self._drain_ice(now)

    def restart(self, *, moved: bool, now: float) -> None:
        self._ways.restart(moved=moved, now=now)
        self._drain_ice(now)

    def prepare_answer(self, offer: SessionDescription, *, now: float) -> None:
        """RFC 8839 section 4.4.2.1: an offer with new credentials restarts ICE; the answer has new ones too.

        Raises `NegotiationError` where the offer lacks what WebRTC needs.
        """
        for section in offer.media:
            if section.kind == "audio" and section.port and section_profile(offer, section) == "webrtc":
                ice = read_peer(offer, section, "webrtc").ice
                if ice is not None and self._ice.needs_restart(ice.ufrag, ice.pwd):
                    self._ice.restart(now=now)
                    self._drain_ice(now)
                return

    def describe(self, media: LocalMedia) -> LocalMedia:
        return replace(
            media,
            address=self._ways.default or media.address,
            candidates=self._ice.local_candidates,
            ice_ufrag=self._ice.local_ufrag,
            ice_pwd=self._ice.local_pwd,
            fingerprint=self._fingerprint,
        )

    def settle(self, negotiated: Negotiated, *, now: float) -> None:
        assert negotiated.ice is not None
        before, self._negotiated = self._negotiated, negotiated
        if before is None or set(before.fingerprints) != set(negotiated.fingerprints):
            self._srtp = None
            self._dtls = DtlsTransport(
                self._context,
                self._crypto,
                role="client" if negotiated.dtls_role == "client" else "server",
                fingerprints=negotiated.fingerprints,
            )
        remote = negotiated.ice
        if self._ice.needs_restart(remote.ufrag, remote.pwd):
            # An answer with new credentials to an offer that asked for no restart: RFC 8839 forbids it, and following
            # is the only way to hear such a peer. Ours stay: the peer has no others.
            self._ice.restart(keep_credentials=True, now=now)
        self._ways.set_remote(remote.ufrag, remote.pwd, remote.candidates, lite=remote.lite, now=now)
        self._drain_ice(now)

    # Packets

    def send(self, packet: Private, kind: Kind, *, now: float) -> bool:
        if self._srtp is None or self._pair is None or self._interrupted:
            return False
        protected = self._srtp.protect(packet) if kind is Kind.RTP else self._srtp.protect_rtcp(packet)
        if protected is None:
            return False
        self._send(protected, now)
        return True

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, kind: Kind, *, now: float) -> None:
        if self._ways.receive_datagram(flow, data, source, now=now):
            self._drain_ice(now)
        else:
            self._receive(flow, data, source, kind, now)

    def _receive(self, flow: FlowId, data: bytes, source: Address, kind: Kind, now: float) -> None:
        match kind:
            case Kind.DTLS:
                self._receive_dtls(flow, data, source, now)
            case Kind.RTP | Kind.RTCP if self._srtp is not None:
                plain = self._srtp.unprotect(data) if kind is Kind.RTP else self._srtp.unprotect_rtcp(data)
                if plain is not None:
                    self._outbox.put(Arrived(kind, plain, len(data)))
            case Kind.RTP | Kind.RTCP:
                self._rejected["before there were keys"] += 1
            case _:
                self._rejected[f"unexpected {kind.value}"] += 1

    def close(self, *, now: float) -> None:
        if self._dtls is not None:
            self._dtls.close(now=now)
            self._drain_dtls(now)
        self._ways.close(now=now)
        self._drain_ice(now)

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        self._ways.handle_timeout(now=now)
        self._drain_ice(now)
        if self._dtls is not None:
            self._dtls.handle_timeout(now=now)
            self._drain_dtls(now)

    def next_timeout(self) -> float | None:
        return earlier(self._ways.next_timeout(), self._dtls.next_timeout() if self._dtls is not None else None)

    def poll_output(self) -> TransportOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[TransportOutput]:
        return self._outbox.drain()

    # ICE

    def _drain_ice(self, now: float) -> None:
        self._ways.drain(now=now)
        for output in self._ways.outputs():
            match output:
                case SendDatagram() | OpenStream() | SendStream() | CloseFlow() | Resolve() | Gathered():
                    self._outbox.put(output)
                case Relayed() if self._ways.is_shared:
                    self._outbox.put(output)
                case Relayed(flow, data, source):
                    self._receive(flow, data, source, classify(data), now)
                case PairSelected():
                    self._on_pair(output, now)
                case StateChanged():
                    self._on_ice_state(output.state)
                case ConsentLost():
                    self._interrupt("the far end no longer answers consent checks")
                case _:
                    assert_never(output)

    def _on_pair(self, pair: PairSelected, now: float) -> None:
        self._pair = pair
        socket = self._ways.socket_of(pair.flow)
        self._path = Path(socket, pair.remote, None if socket == pair.flow else pair.local)
        self._stages.setdefault("ice", now)
        self._interrupted = False
        if self._srtp is not None:
            self._outbox.put(Connected(self._path))
        elif self._dtls is not None:
            self._dtls.start(rtt=self._ice.rtt, now=now)
            self._drain_dtls(now)
            early, self._early = self._early, deque(maxlen=MAX_EARLY)
            for flow, source, data in early:
                self._receive_dtls(flow, data, source, now)

    def _on_ice_state(self, state: IceState) -> None:
        if state is IceState.FAILED and "dtls" not in self._stages:
            self._fail(480, "ICE found no way to the far end")
        elif state in (IceState.FAILED, IceState.DISCONNECTED):
            self._interrupt("ICE has lost the far end")
        elif state in (IceState.CONNECTED, IceState.COMPLETED) and self._interrupted:
            self._interrupted = False
            if self._srtp is not None and self._path is not None:
                self._outbox.put(Connected(self._path))

    # DTLS

    def _receive_dtls(self, flow: FlowId, data: bytes, source: Address, now: float) -> None:
        if self._dtls is None or self._path is None:
            self._early.append((flow, source, data))
        elif source != self._path.remote and not self._ice.is_validated(flow, source):
            # Any valid pair will do: RFC 8445 section 12 lets each end choose for itself, and Chromium moves to another
            # pair as it likes, in mid-handshake too.
            self._rejected["DTLS from elsewhere"] += 1
        else:
            self._dtls.receive(data, now=now)
            self._drain_dtls(now)

    def _drain_dtls(self, now: float) -> None:
        if self._dtls is None:
            return
        for output in self._dtls.outputs():
            match output:
                case SendRecords():
                    self._send(output.data, now)
                case HandshakeDone():
                    self._stages.setdefault("dtls", now)
                    self._srtp = self._dtls.srtp()
                    assert self._path is not None
                    self._outbox.put(Connected(self._path))
                case HandshakeFailed():
                    self._fail(488, f"DTLS: {output.reason}")
                case PeerClosed():
                    # The peer parts. Its BYE says so to the call; without one, lost consent will.
                    self._rejected["DTLS closed by the far end"] += 1
                case _:
                    assert_never(output)

    def _send(self, data: bytes, now: float) -> None:
        """Sends along the selected pair, by its socket or its relay."""
        if self._pair is None or self._path is None:
            return
        if self._pair.flow == self._path.flow:
            self._outbox.put(SendDatagram(self._pair.flow, data, self._pair.remote))
        else:
            self._ways.send(self._pair.flow, data, self._pair.remote, now=now)
            self._drain_ice(now)

    def _interrupt(self, reason: str) -> None:
        if "dtls" in self._stages and not self._interrupted:
            self._interrupted = True
            self._outbox.put(Interrupted(reason))

    def _fail(self, status: int, reason: str) -> None:
        if not self._failed:
            self._failed = True
            self._outbox.put(Failed(status, reason))
