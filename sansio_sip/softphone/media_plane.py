"""What the phone asks of media, and what media answers.

One media engine serves all calls. It is a machine, a child of the softphone, injected by whoever builds the phone, so
that the core needs neither numpy nor a codec. Its rows are *sessions*: a call has one for each early dialog. SIP code
holds a `SessionId` and nothing else of it.

Audio crosses this boundary as numpy arrays of int16, mono, shape `(samples,)`; the core never looks inside, so it
names them `Samples`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NewType, Protocol, TypeAlias

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
from sansio_sip.sdp.model import SessionDescription

from .ice_servers import IceServerUrl, TurnAccount
from .sound_plane import Sound, SoundKind, SoundPlane

__all__ = [
    "AudioAvailable",
    "AudioLevels",
    "DtmfReceived",
    "IceServerUrl",
    "IceState",
    "LocalDescription",
    "MediaConnected",
    "MediaDisconnected",
    "MediaFailed",
    "MediaNotice",
    "MediaOptions",
    "MediaOutput",
    "MediaPlane",
    "MediaProfile",
    "MediaStatistics",
    "RemoteQuality",
    "Samples",
    "SessionId",
    "SessionNews",
    "Sound",
    "SoundKind",
    "SoundPlane",
    "TonesSent",
    "TurnAccount",
]

SessionId = NewType("SessionId", str)

Samples: TypeAlias = Any
"""A numpy array of int16, shape (samples,), mono."""


class MediaProfile(Enum):
    """How media is carried and protected."""

    WEBRTC = "webrtc"  # ICE, DTLS-SRTP, rtcp-mux; UDP/TLS/RTP/SAVPF
    SRTP = "srtp"  # keys in the description (SDES, RTP/SAVP): where it was asked for, over TLS or WSS
    RTP = "rtp"  # plain RTP/AVP, only where it was asked for


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """What a session may do.

    Attributes:
        profiles: those we accept in an offer; the first is the one we offer. Other offers are refused (488).
        codecs: names in order of preference, of `opus`, `g722`, `pcmu`, `pcma`; `telephone-event` is always added, and
            comfort noise to those that have none of their own.
        bind: local IP addresses to take media on, one socket each; the first is the default candidate.
        dscp: code point of RTP packets; 46 is expedited forwarding.
        disconnect_timeout: seconds without any consent answer or packet after which media counts as lost.
        bitrate: bits a second that we send with Opus, 6000 to 510000, as far as the peer takes them.
        complexity: of our Opus encoder, 0 to 10.
        dtx: Opus sends nothing while there is nothing to hear, and the peer is asked to do the same.
        in_band_dtmf: keys are listened for in the sound too, where the far end takes no telephone-event.
        max_receive_bitrate: what the peer is asked not to exceed with Opus (`maxaveragebitrate`); None: no limit.
        stun_servers: `stun:host:port`; with WebRTC, asked for our address as the world sees it.
        turn_servers: with WebRTC, asked to relay.
        relay_only: with WebRTC, use relays alone, and tell the peer no address of ours.
        ca_file, tls_verify: for relays over TLS, as in `TlsPolicy`.
    """

    profiles: tuple[MediaProfile, ...] = (MediaProfile.WEBRTC,)
    codecs: tuple[str, ...] = ("opus", "pcmu", "pcma")
    bind: tuple[str, ...] = ("127.0.0.1",)
    dscp: int = 46
    disconnect_timeout: float = 30.0
    bitrate: int = 32_000
    complexity: int = 5
    dtx: bool = False
    max_receive_bitrate: int | None = None
    stun_servers: tuple[str, ...] = ()
    turn_servers: tuple[TurnAccount, ...] = ()
    relay_only: bool = False
    ca_file: str | None = None
    tls_verify: bool = True
    in_band_dtmf: bool = False


class IceState(Enum):
    """RFC 8445 and the W3C's iceConnectionState."""

    NEW = "new"
    CHECKING = "checking"
    CONNECTED = "connected"
    COMPLETED = "completed"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class RemoteQuality:
    """How the peer hears us, by its own word: the VoIP metrics of RTCP XR (RFC 3611 section 4.7). None: not measured.

    Attributes:
        loss, discarded: share of our packets, 0.0 to 1.0, that were lost on the way, and that came but were not played.
        burst_density, gap_density: share of both within bursts of loss, and in the gaps between them.
        burst_ms, gap_ms: how long these last on average.
        round_trip_ms, end_system_delay_ms: between the ends, and within the peer's.
        signal_dbm0, noise_dbm0, echo_return_loss_db: of what the peer hears.
        r_factor: 0 to 100 (ITU-T G.107). mos_listening, mos_conversational: 1.0 to 5.0, without and with delay.
        jitter_buffer_ms, jitter_buffer_max_ms: of the peer, as it is and at most as things are.
    """

    loss: float
    discarded: float
    burst_density: float
    gap_density: float
    burst_ms: int
    gap_ms: int
    round_trip_ms: int | None
    end_system_delay_ms: int
    signal_dbm0: int | None
    noise_dbm0: int | None
    echo_return_loss_db: int | None
    r_factor: int | None
    mos_listening: float | None
    mos_conversational: float | None
    jitter_buffer_ms: int
    jitter_buffer_max_ms: int


@dataclass(frozen=True, slots=True)
class MediaStatistics:
    """A snapshot of one session. Counters start at 0 when the session is opened. Times in ms, None: not known yet.

    Attributes:
        codec: name in use (`opus`, `PCMU`), or "".
        protection: `DTLS-SRTP`, `SDES-SRTP` or `none`.
        local, remote: the transport addresses in use.
        packets_lost: packets that the peer sent and we never got (RFC 3550 section A.3), not below 0.
        jitter_ms: interarrival jitter of what we receive (RFC 3550 section A.8).
        rtt_ms: round trip from RTCP (RFC 3550 section 6.4.1), else from ICE consent checks.
        remote_lost, remote_jitter_ms: what the peer reports of our packets.
        remote_quality: how it hears us, where it tells.
        setup_ms: open_session to the first moment media could flow; ice_ms and dtls_ms are parts of it.
        concealed: frames played out that had to be made up. discarded: packets that came too late or twice.
        local_level_dbfs, remote_level_dbfs: mean level of the last 5 s, of what we send before it is muted, and of what
            we play out; None where nothing was sent or played.
        rejected: datagrams that failed a check (authentication, replay, malformed, unknown source), by cause.
    """

    codec: str = ""
    protection: str = "none"
    local: Address | None = None
    remote: Address | None = None
    packets_sent: int = 0
    packets_received: int = 0
    octets_sent: int = 0
    octets_received: int = 0
    packets_lost: int = 0
    jitter_ms: float = 0.0
    rtt_ms: float | None = None
    remote_lost: int | None = None
    remote_jitter_ms: float | None = None
    remote_quality: RemoteQuality | None = None
    ice_ms: float | None = None
    dtls_ms: float | None = None
    setup_ms: float | None = None
    concealed: int = 0
    discarded: int = 0
    local_level_dbfs: float | None = None
    remote_level_dbfs: float | None = None
    rejected: tuple[tuple[str, int], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class AudioLevels:
    """How loud a session is now. Input is what we send, silence while muted; output is what we hear.

    Attributes:
        input_volume, output_volume: 0.0 to 1.0, as the reference's `volume` has them (facts section 8.4).
        input_dbov, output_dbov: RMS of the last 20 ms, -127.0 to 0.0.
        speaking, remote_speaking: whether there is speech.
        speaking_on_mute: somebody has spoken since he was muted; False again when he is no longer.
    """

    input_volume: float = 0.0
    output_volume: float = 0.0
    input_dbov: float = -127.0
    output_dbov: float = -127.0
    speaking: bool = False
    remote_speaking: bool = False
    speaking_on_mute: bool = False


@dataclass(frozen=True, slots=True)
class LocalDescription:
    """Our offer or answer is ready to be sent."""

    session: SessionId
    description: SessionDescription


@dataclass(frozen=True, slots=True)
class MediaConnected:
    """Packets can flow both ways: at once for plain RTP, after ICE and DTLS for WebRTC; again after a rebind."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class MediaDisconnected:
    """Nothing has arrived for a while, or consent was lost; `MediaConnected` follows if it comes back.

    `restartable`: ICE may find another way, by a `rebind` and an offer.
    """

    session: SessionId
    reason: str
    restartable: bool = False


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """The session cannot go on.

    `status` is the SIP answer that fits (488 when nothing in the offer suits us, 500 when no socket could be opened).
    """

    session: SessionId
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class MediaNotice:
    """Something that people should know: a STUN or TURN server that gave nothing, and why."""

    session: SessionId
    text: str


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """A key was pressed at the far end; reported once, when its end is certain. `duration_ms` is that of RFC 4733."""

    session: SessionId
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class TonesSent:
    """All digits given to `send_dtmf` have left."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class AudioAvailable:
    """These sessions have decoded audio to read. At most one a tick, and none more for a session until it was read."""

    sessions: tuple[SessionId, ...]


SessionNews: TypeAlias = (
    LocalDescription | MediaNotice | MediaConnected | MediaDisconnected | MediaFailed | DtmfReceived | TonesSent
)
"""What is said of one session."""

MediaOutput: TypeAlias = (
    OpenDatagram | SendDatagram | OpenStream | SendStream | CloseFlow | Resolve | SessionNews | AudioAvailable
)


class MediaPlane(Protocol):
    """The machine that carries audio. Commands on an unknown session raise `LocalProtocolError`; inputs ignore it.

    Offer and answer may be repeated in a session (hold, restart): each `create_offer` gives a `LocalDescription` with a
    higher version in its `o=` line.
    """

    @property
    def sounds(self) -> SoundPlane:
        """Tones and media for devices here; no part of any session."""

    def open_session(self, session: SessionId, options: MediaOptions, *, now: float) -> None:
        """Opens sockets (`OpenDatagram`) for a new session."""

    def fork_session(self, session: SessionId, fork: SessionId, *, now: float) -> None:
        """A new session, `fork`, for another answer to the last offer of `session` (a forked call).

        Sockets, candidates and keys of ours are those of the offer; peer, path and audio are its own. Either may be
        closed before the other. Raises `LocalProtocolError` where `session` has made no offer, or too many share it.
        """

    def hand_over(self, session: SessionId, to: SessionId, *, now: float) -> None:
        """From now on `to` is what people here speak and listen to: it takes the mute, the treatment of the microphone,
        the levels and the place in a conference of `session`. What it has heard until now is forgotten."""

    def create_offer(self, session: SessionId, *, direction: str = "sendrecv", now: float) -> None:
        """Gives `LocalDescription` once local candidates are known."""

    def apply_offer(
        self, session: SessionId, offer: SessionDescription, *, direction: str = "sendrecv", now: float
    ) -> None:
        """Takes the peer's offer. Gives `LocalDescription` with our answer, or `MediaFailed` (488)."""

    def apply_answer(self, session: SessionId, answer: SessionDescription, *, now: float) -> None:
        """Takes the peer's answer to our last offer. `MediaFailed` when it does not fit."""

    def rollback_offer(self, session: SessionId, *, now: float) -> None:
        """Our last offer has come to nothing: the session is as it was. Harmless where none waits for its answer."""

    def rebind(self, session: SessionId, bind: tuple[str, ...], *, now: float) -> None:
        """Takes new local addresses; the next offer restarts ICE."""

    def close_session(self, session: SessionId, *, now: float) -> None:
        """Sends RTCP BYE, closes the sockets, forgets the session."""

    def set_muted(self, session: SessionId, muted: bool, *, now: float) -> None:
        """Muted: silence is sent in place of audio, at the same pace."""

    def set_bitrate(self, session: SessionId, bitrate: int, *, now: float) -> None:
        """Bits a second to send with Opus from the next packet on, 6000 to 510000; other codecs have one rate."""

    def webrtc_fault(self) -> str:
        """What of DTLS, SRTP and Opus does not work here, for people; empty where all does. It is tried, each time."""

    def set_noise_reduction(self, session: SessionId, on: bool, *, now: float) -> None:
        """On: noise is taken out of what is written before it is sent, from the next frame on, 20 ms later."""

    def set_automatic_gain(self, session: SessionId, on: bool, *, now: float) -> None:
        """On: what is written is brought to the level of speech before it is sent, from the next frame on."""

    def watch_levels(self, session: SessionId, on: bool, *, now: float) -> None:
        """On: `audio_levels` has figures from the next tick on. Off is how a session begins."""

    def audio_levels(self, session: SessionId) -> AudioLevels:
        """As of the last tick; silence where nobody watches."""

    def write_audio(self, session: SessionId, samples: Samples, rate: int, *, now: float) -> int:
        """Queues audio to send, at any rate in Hz. Returns how many samples were taken: the queue is bounded."""

    def audio_queued(self, session: SessionId) -> float:
        """Seconds of written audio that have not left yet."""

    def flush_audio(self, session: SessionId, *, now: float) -> float:
        """Drops written audio that has not left; returns the seconds dropped."""

    def read_audio(self, session: SessionId, rate: int) -> Samples:
        """Takes all audio decoded and not read yet, at `rate` Hz. The queue is bounded, drop-oldest."""

    def set_conference(self, sessions: tuple[SessionId, ...], *, now: float) -> None:
        """Each of these hears all others from the next tick on, besides what is written to it.

        Each leaves the conference that it was in; one alone is in none. A session that is closed leaves by itself.
        """

    def send_dtmf(
        self,
        session: SessionId,
        digits: str,
        *,
        duration_ms: int = 100,
        gap_ms: int = 70,
        in_band: bool = False,
        now: float,
    ) -> None:
        """Queues RFC 4733 events, or with `in_band` the tones themselves; `,` is a pause of 2 s.

        Raises `LocalProtocolError` if no telephone-event was negotiated and it was not to be in band.
        """

    def statistics(self, session: SessionId) -> MediaStatistics: ...

    def flow_opened(self, flow: FlowId, local: Address, peer: TlsPeer | None = None, *, now: float) -> None: ...

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None: ...

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        """The answer to `Resolve`."""

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None: ...

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None: ...

    def handle_timeout(self, *, now: float) -> None: ...

    def next_timeout(self) -> float | None: ...

    def poll_output(self) -> MediaOutput | None: ...

    def outputs(self) -> Iterator[MediaOutput]: ...
