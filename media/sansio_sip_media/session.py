"""One media session: its sockets, offer and answer, the way to the peer, and the audio that takes it.

Theory of operation
-------------------
A session is a row of the engine. It joins machines that know nothing of each other: `OfferAnswer`, a `MediaTransport`
of the profile in use, `AudioStream` and `RtcpSession`. How far it has come is in `session_state`.

Commands that come while sockets are being opened wait for them.

RTCP shares the socket of RTP where both ends agree (RFC 5761), as WebRTC always does. Without ICE, an offer of ours
must reckon with a peer that declines, so it names a second socket; it is closed again when the answer needs none.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeAlias, assert_never

from sansio_sip.context import Context, Private
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
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.negotiation import CATALOGUE, LocalMedia, Negotiated, NegotiationError, multiplexes_rtcp, profile_of
from sansio_sip.sdp.offer_answer import OfferAnswer
from sansio_sip.sdp.offer_answer import State as OfferState
from sansio_sip.softphone.media_plane import (
    DtmfReceived,
    LocalDescription,
    MediaConnected,
    MediaDisconnected,
    MediaFailed,
    MediaNotice,
    MediaOptions,
    MediaProfile,
    MediaStatistics,
    SessionId,
    TonesSent,
)
from sansio_sip.timers import earlier

from .audio_stream import AudioStream
from .codecs import OpusSettings
from .crypto import CryptoProvider
from .demux import Kind, classify
from .forks import MAX_FORKS, Forks
from .plain_transport import PlainTransport
from .profile_transport import transport_of
from .rtcp.session import RtcpSession, SendRtcp
from .rtp.packet import RtpPacket
from .rtp.sender import RtpSender
from .sdes_transport import SdesTransport
from .session_sockets import SessionSockets
from .session_state import OVER, State
from .session_statistics import statistics_of
from .transport import Arrived, Connected, Failed, Gathered, Interrupted, MediaTransport, Relayed
from .voip_quality import voip_metrics
from .webrtc_transport import WebRtcTransport

__all__ = ["MediaSession", "SessionOutput"]

# Addresses that have sent with our SSRC. A peer moves now and then; beyond that it can draw no more of them out of us.
MAX_CONFLICTING = 8

# What can do with a socket for RTCP alone.
OWN_RTCP = (PlainTransport, SdesTransport)

SessionOutput: TypeAlias = (
    OpenDatagram
    | SendDatagram
    | OpenStream
    | SendStream
    | CloseFlow
    | Resolve
    | LocalDescription
    | MediaNotice
    | MediaConnected
    | MediaDisconnected
    | MediaFailed
    | DtmfReceived
    | TonesSent
)


class MediaSession:
    """The machine of one session. Commands that cannot be done raise `LocalProtocolError`."""

    def __init__(
        self,
        context: Context,
        crypto: CryptoProvider | None,
        session: SessionId,
        options: MediaOptions,
        *,
        now: float,
    ) -> None:
        self.id = session
        self.state = State.OPENING
        self.audio = AudioStream(
            context,
            OpusSettings(bitrate=options.bitrate, complexity=options.complexity, dtx=options.dtx),
            in_band_dtmf=options.in_band_dtmf,
        )
        self._context = context
        self._crypto = crypto
        self._options = options
        self._outbox: Outbox[SessionOutput] = Outbox()
        self._opened_at = now
        self._flowing_at: float | None = None
        self._told_interrupted = False
        self._sockets = SessionSockets(session, options.dscp)
        self._profile: MediaProfile | None = None
        self._when_open: Callable[[float], None] | None = None
        self._negotiation = OfferAnswer(context.entropy.session_id())
        self._offered: OfferAnswer | None = None  # as it was when our last offer was made
        self.forks: Forks[MediaSession] | None = None
        self._negotiated: Negotiated | None = None
        self._transport: MediaTransport | None = None
        self._rtcp: RtcpSession | None = None
        self._cname = context.entropy.uuid("cname")
        self._received_octets = 0
        self._rejected: Counter[str] = Counter()
        self._sending_tones = False
        self._conflicting: set[Address] = set()
        self._put(self._sockets.bind(options.bind))

    # Commands

    def create_offer(self, direction: str, *, now: float) -> None:
        """Gives `LocalDescription` once the sockets are open."""
        if self.state is State.OPENING:
            self._when_open = lambda later: self.create_offer(direction, now=later)
            return
        self._refuse_when_over("make an offer")
        if self._has_no_socket():
            return
        transport = self._transport_for(self._options.profiles[0], controlling=True, now=now)
        if (self._negotiated is None and self._open_rtcp_flow()) or self._is_gathering:
            self._when_open = lambda later: self.create_offer(direction, now=later)
            return
        description = self._negotiation.create_offer(transport.describe(self._local_media(direction)))
        self._offered = self._negotiation.fork()
        self._outbox.put(LocalDescription(self.id, description))

    def apply_offer(self, offer: SessionDescription, direction: str, *, now: float) -> None:
        """Gives `LocalDescription` with the answer, or `MediaFailed`."""
        if self.state is State.OPENING:
            self._when_open = lambda later: self.apply_offer(offer, direction, now=later)
            return
        self._refuse_when_over("answer an offer")
        if self._has_no_socket():
            return
        try:
            # No downgrade: a profile that the account does not allow is refused, whatever the peer wishes.
            profile = MediaProfile(profile_of(offer, [allowed.value for allowed in self._options.profiles]))
            transport = self._transport_for(profile, controlling=False, now=now)
            if (not multiplexes_rtcp(offer, profile.value) and self._open_rtcp_flow()) or self._is_gathering:
                self._when_open = lambda later: self.apply_offer(offer, direction, now=later)
                return
            transport.prepare_answer(offer, now=now)
            local = transport.describe(self._local_media(direction))
            answer, negotiated = self._negotiation.accept_offer(offer, local)
        except NegotiationError as error:
            self._outbox.put(MediaFailed(self.id, error.status, error.reason))
            return
        self._outbox.put(LocalDescription(self.id, answer))
        self._settle(transport, negotiated, now)

    def apply_answer(self, answer: SessionDescription, *, now: float) -> None:
        """Takes the answer to our offer. Gives `MediaFailed` when it does not fit."""
        self._refuse_when_over("take an answer")
        if self._transport is None:
            raise LocalProtocolError(f"cannot take an answer: session {self.id} has made no offer; make one first")
        try:
            negotiated = self._negotiation.accept_answer(answer)
        except NegotiationError as error:
            self._outbox.put(MediaFailed(self.id, error.status, error.reason))
            return
        self._settle(self._transport, negotiated, now)

    def fork(self, session: SessionId, *, now: float) -> "MediaSession":
        """A session for another answer to the last offer of this one (see `forks`)."""
        if self._offered is None or self._transport is None:
            raise LocalProtocolError(f"cannot fork session {self.id}: it has made no offer; make one first")
        self.forks = self.forks or Forks(self)
        if len(self.forks.rows) >= MAX_FORKS:
            raise LocalProtocolError(f"cannot fork session {self.id}: {MAX_FORKS} share its offer; close one first")
        fork = MediaSession(self._context, self._crypto, session, replace(self._options, bind=()), now=self._opened_at)
        fork.state, fork.forks = State.READY, self.forks
        fork._sockets, fork._transport = self._sockets.lend(session), self._transport.fork()
        fork._negotiation = self._offered.fork()
        fork._profile, fork._cname = self._profile, self._cname
        if self._profile is MediaProfile.WEBRTC:
            # The offer names our SSRC. With SDES both peers have our key, which one SSRC would use twice (RFC 3711).
            entropy = self._context.entropy
            fork.audio.outgoing.sender = RtpSender(self.audio.ssrc, entropy.rtp_sequence(), entropy.rtp_timestamp())
        self.forks.rows.append(fork)
        return fork

    def rollback_offer(self) -> None:
        """Takes back our offer, if one waits for its answer."""
        if self._negotiation.state is not OfferState.STABLE:
            self._negotiation.rollback()

    def rebind(self, bind: tuple[str, ...], *, now: float) -> None:
        """Opens sockets on other addresses. The old ones stay until the peer has answered on a new one."""
        self._refuse_when_over("take other addresses")
        self._give_up(self._sockets.abandon(), now)
        moved = not {address.host for address in self._sockets.current} <= set(bind)
        self.state = State.OPENING
        self._put(self._sockets.bind(bind))
        if self._transport is not None:
            self._transport.restart(moved=moved, now=now)
            self._drain_transport(now)

    def close(self, *, now: float) -> None:
        """Says goodbye in RTCP and DTLS, closes the sockets; a trunk does the latter when its forks have gone too."""
        if self.state is not State.LEFT:
            if self._transport is not None and self._rtcp is not None and self._flowing_at is not None:
                self._transport.send(Private(self._rtcp.bye(now=now)), Kind.RTCP, now=now)
            if self.forks is not None:
                self.forks.part(self)
        forks = self.forks
        if forks is not None and forks.trunk is self and forks.rows:
            self.state = State.LEFT
            if isinstance(self._transport, WebRtcTransport):
                self._transport.leave(now=now)
            elif self._transport is not None:
                self._transport.close(now=now)
            self._drain_transport(now)
            return
        if self._transport is not None:
            self._transport.close(now=now)
            self._drain_transport(now)
        self.state = State.CLOSED
        self._put(self._sockets.close())
        if forks is not None and forks.trunk.state is State.LEFT and not forks.rows:
            forks.trunk.close(now=now)

    def send_dtmf(self, digits: str, duration_ms: int, gap_ms: int, *, in_band: bool = False) -> None:
        """Queues key presses; `TonesSent` follows."""
        self.audio.send_dtmf(digits, duration_ms, gap_ms, in_band=in_band)
        self._sending_tones = True

    # Inputs

    def flow_opened(self, flow: FlowId, local: Address, peer: TlsPeer | None = None, *, now: float) -> None:
        if (relays := self._with_stream(flow)) is not None:
            relays.stream_opened(flow, peer, now=now)
            self._drain_transport(now)
        if not self._sockets.opened(flow, local):
            return
        if self._sockets.is_for_rtcp(flow):
            assert isinstance(self._transport, OWN_RTCP)
            self._transport.add_rtcp_flow(flow)
        elif self._transport is not None:
            self._transport.add_flow(flow, local, now=now)
            self._drain_transport(now)
        self._proceed(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if (relays := self._with_stream(flow)) is not None:
            relays.stream_lost(flow, reason, now=now)
            self._drain_transport(now)
            return
        if self._sockets.lost(flow) and self._transport is not None:
            self._transport.flow_lost(flow, now=now)
            self._drain_transport(now)
        self._proceed(now, reason)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if (relays := self._with_stream(flow)) is not None:
            relays.receive_stream(flow, data, now=now)
            self._drain_transport(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        """The answer to `Resolve`."""
        if isinstance(self._transport, WebRtcTransport):
            self._transport.resolved(query, records, now=now)
            self._drain_transport(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if self._transport is None:
            self._rejected["before an offer"] += 1
            return
        self._transport.receive_datagram(flow, data, source, classify(data), now=now)
        self._drain_transport(now)

    def claims(self, flow: FlowId, data: bytes, source: Address, kind: Kind) -> int:
        """See `MediaTransport.claims`."""
        assert self._transport is not None
        return self._transport.claims(flow, data, source, kind)

    def is_for_server(self, flow: FlowId, data: bytes, source: Address) -> bool:
        """Whether a datagram is from a STUN or TURN server."""
        return isinstance(self._transport, WebRtcTransport) and self._transport.is_for_server(flow, data, source)

    def send_by_relay(self, output: SendDatagram, *, now: float) -> bool:
        """Sends what a fork sends, where that goes by a relay of ours; False: it is by a socket."""
        if not isinstance(self._transport, WebRtcTransport) or not self._transport.is_relay(output.flow):
            return False
        self._transport.send_by_relay(output, now=now)
        self._drain_transport(now)
        return True

    def send(self, packets: tuple[RtpPacket, ...], *, now: float) -> None:
        """Sends what `audio` has to say. The engine calls it at each tick while `flowing`."""
        assert self._transport is not None
        for packet in packets:
            if self._transport.send(Private(bytes(packet)), Kind.RTP, now=now):
                assert self._rtcp is not None
                self._rtcp.sent(packet, now=now)
        self._drain_transport(now)
        self._report_digits(now)
        if self._sending_tones and not self.audio.sending_dtmf:
            self._sending_tones = False
            self._outbox.put(TonesSent(self.id))

    def handle_timeout(self, *, now: float) -> None:
        if self._transport is not None:
            self._transport.handle_timeout(now=now)
            self._drain_transport(now)
        if self._rtcp is not None:
            self._rtcp.handle_timeout(now=now)
            self._drain_rtcp(now)

    def next_timeout(self) -> float | None:
        if self.state is State.CLOSED:
            return None
        transport = self._transport.next_timeout() if self._transport is not None else None
        rtcp = self._rtcp.next_timeout() if self._rtcp is not None else None
        return earlier(transport, rtcp)

    def poll_output(self) -> SessionOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[SessionOutput]:
        return self._outbox.drain()

    # Facts

    @property
    def flowing(self) -> bool:
        """Whether the tick has something to do here: audio goes on being heard while the way is interrupted."""
        return self._flowing_at is not None and self.state not in OVER

    def statistics(self) -> MediaStatistics:
        return statistics_of(
            self.audio,
            self._rtcp,
            self._transport,
            sockets=self._sockets.open,
            opened_at=self._opened_at,
            flowing_at=self._flowing_at,
            octets_received=self._received_octets,
            rejected=self._rejected,
        )

    # Sockets

    def _proceed(self, now: float, reason: str = "") -> None:
        """Goes on with what was waiting for the sockets, once each has opened or failed."""
        if self._sockets.are_pending or self.state in OVER:
            return
        if self.state is State.OPENING:
            if not self._sockets.open and self._flowing_at is None:
                where = ", ".join(self._options.bind)
                self._fail(500, f"no socket could be opened at {where}: {reason}")
                return
            self.state = State.READY if self._negotiated is None else State.CONNECTING
        if self._when_open is not None:
            command, self._when_open = self._when_open, None
            command(now)

    def _open_rtcp_flow(self) -> bool:
        """Opens a socket for RTCP alone, where the profile may need one; False: it is there, or cannot be had."""
        if not isinstance(self._transport, OWN_RTCP):
            return False
        opening = self._sockets.open_rtcp()
        self._put(opening)
        return bool(opening)

    def _retire(self, in_use: FlowId, now: float) -> None:
        """Closes the sockets from before a rebind, now that another carries the call."""
        self._give_up(self._sockets.retire(in_use), now)

    def _give_up(self, closing: Iterable[CloseFlow], now: float) -> None:
        for effect in closing:
            self._outbox.put(effect)
            if self._transport is not None:
                self._transport.flow_lost(effect.flow, now=now)

    def _put(self, effects: Iterable[OpenDatagram | CloseFlow]) -> None:
        for effect in effects:
            self._outbox.put(effect)

    # Offer and answer

    def _transport_for(self, profile: MediaProfile, *, controlling: bool, now: float) -> MediaTransport:
        """The transport in use, or the first one. A profile is for the life of a session."""
        if self._transport is None:
            self._profile = profile
            self._transport = transport_of(profile, self._context, self._crypto, self._options, controlling=controlling)
            for flow, local in self._sockets.open.items():
                self._transport.add_flow(flow, local, now=now)
            self._drain_transport(now)
        return self._transport

    def _with_stream(self, flow: FlowId) -> WebRtcTransport | None:
        """The transport, where this is its stream to a relay."""
        transport = self._transport
        return transport if isinstance(transport, WebRtcTransport) and transport.owns_stream(flow) else None

    @property
    def _is_gathering(self) -> bool:
        return isinstance(self._transport, WebRtcTransport) and self._transport.is_gathering

    def _local_media(self, direction: str) -> LocalMedia:
        assert self._profile is not None
        return LocalMedia(
            profile=self._profile.value,
            rtcp_port=self._sockets.rtcp.port if self._sockets.rtcp is not None else 0,
            address=self._sockets.current[0],
            codecs=self._options.codecs,
            direction=direction,
            cname=self._cname,
            ssrc=self.audio.ssrc,
            parameters=(("opus", self._opus_parameters()),),
        )

    def _opus_parameters(self) -> str:
        """What we like to receive: a packet of any size that browsers send, with FEC."""
        options = self._options
        limit = f";maxaveragebitrate={options.max_receive_bitrate}" if options.max_receive_bitrate else ""
        return CATALOGUE["opus"].parameters + limit + (";usedtx=1" if options.dtx else "")

    def _settle(self, transport: MediaTransport, negotiated: Negotiated, now: float) -> None:
        """Offer and answer are both known."""
        self._negotiated = negotiated
        if negotiated.rtcp_mux:
            self._put(self._sockets.close_rtcp())
        self.audio.configure(negotiated)
        assert self.audio.codec is not None
        if self._rtcp is None:
            clock_rate = self.audio.codec.clock_rate
            self._rtcp = RtcpSession(self._context, self.audio.ssrc, self._cname, clock_rate, self.audio.sender)
        self._rtcp.clock_rate = self.audio.codec.clock_rate
        self._rtcp.receiver = self.audio.receiver
        measured = partial(voip_metrics, self.audio.incoming, self.audio.heard_level)
        self._rtcp.metrics = measured if negotiated.voip_metrics else None
        if self.state is State.READY:
            self.state = State.CONNECTING
        transport.settle(negotiated, now=now)
        self._drain_transport(now)

    # The way to the peer

    def _drain_transport(self, now: float) -> None:
        if self._transport is None:
            return
        for output in self._transport.outputs():
            match output:
                case SendDatagram() if self.forks is not None and self.forks.relays(self, output, now=now):
                    pass
                case SendDatagram() | OpenStream() | SendStream() | CloseFlow() | Resolve():
                    self._outbox.put(output)
                case Relayed():
                    row = self.forks.addressee(output.flow, output.data, output.source) if self.forks else None
                    if row is not None:
                        row.receive_datagram(output.flow, output.data, output.source, now=now)
                case Gathered():
                    for problem in output.problems:
                        self._outbox.put(MediaNotice(self.id, problem))
                    self._proceed(now)
                case Arrived():
                    self._on_packet(output, now)
                case Connected():
                    self._retire(output.path.flow, now)
                    self._on_connected(now)
                case Interrupted():
                    self._on_interrupted(output.reason)
                case Failed():
                    self._fail(output.status, output.reason)
                case _:
                    assert_never(output)

    def _on_connected(self, now: float) -> None:
        if self._flowing_at is None:
            self._flowing_at = now
            assert self._rtcp is not None
            self._rtcp.start(now=now)
        if self.state is not State.FLOWING:
            self.state = State.FLOWING
            self._told_interrupted = False
            self._outbox.put(MediaConnected(self.id))

    def _on_interrupted(self, reason: str) -> None:
        if self.state is State.FLOWING:
            self.state = State.INTERRUPTED
        elif self.state in OVER or self._flowing_at is None or self._told_interrupted:
            return
        # In a restart, too: the way from before is lost while another is looked for.
        self._told_interrupted = True
        self._outbox.put(MediaDisconnected(self.id, reason, isinstance(self._transport, WebRtcTransport)))

    def _on_packet(self, packet: Arrived, now: float) -> None:
        if packet.kind is Kind.RTCP:
            if self._rtcp is not None:
                self._rtcp.receive(packet.data, now=now)
                if (lost := self._rtcp.take_loss_report()) is not None:
                    self.audio.outgoing.report_loss(lost)
            return
        try:
            rtp = RtpPacket.parse(packet.data)
        except ParseError:
            self._rejected["malformed RTP"] += 1
            return
        self._received_octets += packet.size
        if rtp.ssrc == self.audio.ssrc:
            self._on_collision(rtp, now)
        self.audio.receive(rtp, now=now)
        self._report_digits(now)

    def _on_collision(self, packet: RtpPacket, now: float) -> None:
        """The peer sends with our SSRC. RFC 3550 section 8.2: we say BYE for it and choose another one.

        But not where it sends back what we send, nor where it follows us to the other one. The RFC has such packets
        ignored, for the sake of conferences; in a call of two they are the answer of an echo test, and are heard.
        """
        assert self._transport is not None
        path = self._transport.path
        looped = self.audio.sender.has_sent(packet)
        if looped or path is None or path.remote in self._conflicting or len(self._conflicting) >= MAX_CONFLICTING:
            self._rejected["our own, sent back"] += 1
            return
        self._conflicting.add(path.remote)
        self.audio.outgoing.change_source()
        if self._rtcp is not None:
            goodbye = self._rtcp.change_source(self.audio.sender, now=now)
            self._transport.send(Private(goodbye), Kind.RTCP, now=now)

    def _drain_rtcp(self, now: float) -> None:
        if self._rtcp is None or self._transport is None:
            return
        for output in self._rtcp.outputs():
            match output:
                case SendRtcp():
                    self._transport.send(Private(output.data), Kind.RTCP, now=now)
                case _:
                    assert_never(output)
        self._drain_transport(now)

    def _report_digits(self, now: float) -> None:
        for digit in self.audio.digits(now=now):
            self._outbox.put(DtmfReceived(self.id, digit.digit, digit.duration_ms))

    def _fail(self, status: int, reason: str) -> None:
        if self.state not in OVER:
            self.state = State.FAILED
            self._outbox.put(MediaFailed(self.id, status, reason))

    def _has_no_socket(self) -> bool:
        """Says so where the last one has been lost: there is nothing to offer, until a rebind brings another."""
        if self._sockets.current:
            return False
        self._outbox.put(MediaFailed(self.id, 500, "its sockets have been lost"))
        return True

    def _refuse_when_over(self, what: str) -> None:
        if self.state in OVER:
            raise LocalProtocolError(f"cannot {what}: session {self.id} is {self.state.value}; open another")
