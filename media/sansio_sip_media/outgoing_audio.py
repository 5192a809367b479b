"""What is said in one session: samples in, packets out.

    written -> [resample to the codec's rate] -> to say -> [less noise, levelled] -> encode or silence -> packets
    of others -> [resample] -> beside ---^

A packet lasts as long as the peer asks for (`a=ptime`); the tick is 20 ms whatever it is, so a tick may give two
packets, or none. A key press takes the place of audio for as long as it lasts: as events, whose packets carry the time
stamp of its start (RFC 4733), or as the sound of its two tones. The queue is bounded: writing takes what fits.
"""

from collections import deque
from dataclasses import replace

import numpy as np

from sansio_sip.context import Context
from sansio_sip.dtmf.rfc4733 import DtmfSender, check_digits
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sdp.negotiation import Codec, Negotiated

from .agc import AutomaticGain
from .codecs import Encoder, FecControl, OpusEncoder, OpusParameters, OpusSettings, make_encoder
from .codecs.base import Int16
from .codecs.opus_settings import rate_for
from .mixing import limit
from .noise_reduction import NoiseReducer
from .resample import Resampler
from .rtp.packet import RtpPacket
from .rtp.sender import RtpSender
from .tones import Segment, Tone, ToneGenerator, dtmf_tone

__all__ = ["TICK_MS", "OutgoingAudio"]

TICK_MS = 20

# Seconds of `,` among keys, as with events.
PAUSE = 2.0

# Seconds of audio that may wait to be said: half a minute lets a program hand over a whole announcement.
MAX_TO_SAY = 30.0

# Seconds of what others say that may wait: it comes a frame at a time, and packets may be longer than a frame.
MAX_BESIDE = 0.1

SILENT: Int16 = np.zeros(0, dtype=np.int16)


class OutgoingAudio:
    """The sending side of one session's audio.

    Args:
        settings: how we would like to encode Opus, as far as the peer agrees.

    Attributes:
        codec: in use; None until the first `configure`.
        muted: silence is sent in place of what is written.
        said: of the last tick, pairs of what was written and what was sent, each int16 of shape (n,).
    """

    def __init__(self, context: Context, settings: OpusSettings | None = None) -> None:
        self.sender = RtpSender(context.entropy.ssrc(), context.entropy.rtp_sequence(), context.entropy.rtp_timestamp())
        self.codec: Codec | None = None
        self.muted = False
        self.said: list[tuple[Int16, Int16]] = []
        self._context = context
        self._settings = settings or OpusSettings()
        self._fec = FecControl()
        self._negotiated: Negotiated | None = None
        self._encoder: Encoder | None = None
        self._packet_ms = TICK_MS
        self._owed_ms = 0  # of audio that has become due and has not been sent
        self._dtmf: DtmfSender | None = None
        self._tones: deque[tuple[str, float, float]] = deque()  # keys to be sounded: which, seconds, gap
        self._tone: ToneGenerator | None = None
        self._reduces_noise = False
        self._reducer: NoiseReducer | None = None
        self._gain: AutomaticGain | None = None
        self._to_say: deque[Int16] = deque()
        self._to_say_samples = 0
        self._resampler: Resampler | None = None
        self._beside: Int16 = SILENT  # to be mixed with what is said
        self._beside_resampler: Resampler | None = None
        self._talking = False  # whether the last packet was audio: RFC 3551 section 4.1 marks the first of a spurt

    # Set-up

    def configure(self, negotiated: Negotiated) -> None:
        """Takes what an offer and its answer have settled. A repeated one keeps what has not changed."""
        codec = negotiated.codecs[0]
        self._negotiated = negotiated
        if self.codec is None or (codec.name, codec.clock_rate) != (self.codec.name, self.codec.clock_rate):
            self._encoder = make_encoder(codec.name, self._context)
            self._resampler = self._beside_resampler = self._reducer = self._tone = None
            self._beside = SILENT
            self.flush()
        self.codec = codec
        assert self._encoder is not None
        self._packet_ms = max(
            (time for time in self._encoder.packet_times if time <= negotiated.ptime),
            default=min(self._encoder.packet_times),
        )
        self._owed_ms = min(self._owed_ms, self._packet_ms)
        self._apply_settings()
        if negotiated.dtmf is None:
            self._dtmf = None
        elif self._dtmf is None:
            self._dtmf = DtmfSender(negotiated.dtmf.clock_rate, packet_ms=TICK_MS)

    def _apply_settings(self) -> None:
        if isinstance(self._encoder, OpusEncoder) and self.codec is not None:
            sources = [source.rate_in for source in (self._resampler, self._beside_resampler) if source is not None]
            wish = replace(self._settings, playback_rate=rate_for(max(sources))) if sources else self._settings
            self._encoder.settings = OpusParameters.parse(self.codec.parameters).settings(wish)

    def set_bitrate(self, bitrate: int) -> None:
        """Bits a second that we would like to send with Opus, from now on; the peer's limit holds all the same."""
        self._settings = replace(self._settings, bitrate=bitrate)
        self._apply_settings()

    def report_loss(self, fraction_lost: float) -> None:
        """The far end reports the share of our packets, 0.0 to 1.0, that it has lost: in-band FEC comes and goes."""
        expected = self._fec.report(fraction_lost)
        if expected != self._settings.expected_loss:
            self._settings = replace(self._settings, expected_loss=expected)
            self._apply_settings()

    def change_source(self) -> int:
        """Another SSRC, sequence and time, drawn anew; gives the SSRC before."""
        before = self.sender
        entropy = self._context.entropy
        self.sender = RtpSender(entropy.ssrc(), entropy.rtp_sequence(), entropy.rtp_timestamp())
        self._talking = False
        return before.ssrc

    @property
    def settings(self) -> OpusSettings | None:
        """How Opus is encoded now; None where another codec is in use."""
        return self._encoder.settings if isinstance(self._encoder, OpusEncoder) else None

    @property
    def sample_rate(self) -> int:
        """Hz, of what is encoded."""
        return self._encoder.sample_rate if self._encoder is not None else 0

    @property
    def active(self) -> bool:
        """Whether the direction has us send."""
        return self._negotiated is not None and self._negotiated.direction in ("sendrecv", "sendonly")

    # Samples in

    def write(self, samples: Int16, rate: int) -> int:
        """Queues audio; returns how many samples were taken."""
        if self._encoder is None or rate <= 0:
            return 0
        free = MAX_TO_SAY - self.queued
        taken = min(len(samples), max(0, int(free * rate)))
        if taken:
            if self._resampler is None or self._resampler.rate_in != rate:
                self._resampler = Resampler(rate, self._encoder.sample_rate)
                self._apply_settings()
            chunk = self._resampler.process(np.asarray(samples[:taken], dtype=np.int16))
            self._to_say.append(chunk)
            self._to_say_samples += len(chunk)
        return taken

    def mix(self, samples: Int16, rate: int) -> None:
        """Audio of others, to be heard together with what is written; the oldest goes where too much waits."""
        if self._encoder is None:
            return
        if self._beside_resampler is None or self._beside_resampler.rate_in != rate:
            self._beside_resampler = Resampler(rate, self._encoder.sample_rate)
            self._apply_settings()
        beside = np.concatenate((self._beside, self._beside_resampler.process(samples)))
        self._beside = beside[-int(MAX_BESIDE * self._encoder.sample_rate) :]

    @property
    def queued(self) -> float:
        """Seconds of audio that have not left yet."""
        return self._to_say_samples / self._encoder.sample_rate if self._encoder is not None else 0.0

    def flush(self) -> float:
        """Drops what has not left; returns the seconds dropped."""
        dropped = self.queued
        self._to_say.clear()
        self._to_say_samples = 0
        return dropped

    # Keys

    def send_dtmf(self, digits: str, duration_ms: int, gap_ms: int) -> None:
        """Queues key presses as RFC 4733 events. Raises LocalProtocolError."""
        if self._dtmf is None:
            what = "no audio was negotiated yet" if self._negotiated is None else "the far end takes no telephone-event"
            raise LocalProtocolError(f"cannot send digits: {what}; answer the call first, or send them by INFO")
        self._dtmf.queue(digits, duration_ms=duration_ms, gap_ms=gap_ms)

    def send_tones(self, digits: str, duration_ms: int, gap_ms: int) -> None:
        """Queues key presses as sound, in band. Raises LocalProtocolError."""
        if self._encoder is None:
            raise LocalProtocolError("cannot send digits: no audio was negotiated yet; answer the call first")
        self._tones.extend((key, duration_ms / 1000, gap_ms / 1000) for key in check_digits(digits))

    @property
    def sending_dtmf(self) -> bool:
        tones = bool(self._tones) or self._tone is not None
        return tones or (self._dtmf is not None and not self._dtmf.is_idle)

    # Noise

    def take_after(self, other: "OutgoingAudio") -> None:
        """Treats what is written as `other` does."""
        self.set_noise_reduction(other._reduces_noise)
        self.set_automatic_gain(other._gain is not None)

    def set_noise_reduction(self, on: bool) -> None:
        """Whether noise is taken out of what is written, from the next frame on."""
        self._reduces_noise = on

    def _cleaned(self, samples: Int16) -> Int16:
        """Where noise reduction has just come or gone, the one leads over into the other."""
        if self._reducer is None and not self._reduces_noise:
            return samples
        begins = self._reducer is None
        if self._reducer is None:
            self._reducer = NoiseReducer(self.sample_rate)
        clean: Int16 = self._reducer.process(samples[None])[0]
        if self._reduces_noise and not begins:
            return clean
        share = np.arange(1, len(samples) + 1) / len(samples)
        if not self._reduces_noise:
            self._reducer, share = None, 1 - share
        return np.asarray(np.rint(samples * (1 - share) + clean * share), dtype=np.int16)

    def set_automatic_gain(self, on: bool) -> None:
        """Whether what is written is brought to the level of speech, from the next frame on."""
        self._gain = (self._gain or AutomaticGain()) if on else None

    def _levelled(self, samples: Int16) -> Int16:
        return samples if self._gain is None else self._gain.process(samples[None], self.sample_rate)[0]

    # The tick

    def tick(self) -> tuple[RtpPacket, ...]:
        """Twenty milliseconds have passed: the packets to send."""
        self.said.clear()
        assert self._encoder is not None
        assert self.codec is not None
        key = self._dtmf.next_packet(self.sender.timestamp) if self._dtmf is not None else None
        if key is not None:
            assert self._negotiated is not None
            assert self._negotiated.dtmf is not None
            self._next_samples(TICK_MS)
            self._talking = False
            event = self.sender.packet(
                self._negotiated.dtmf.payload_type,
                bytes(key.event),
                samples=self._units(TICK_MS),
                marker=key.marker,
                timestamp=key.timestamp,
            )
            return (event,)
        self._owed_ms += TICK_MS
        packets = []
        while self._owed_ms >= self._packet_ms:
            self._owed_ms -= self._packet_ms
            packet = self._say(self._encoder, self.codec.payload_type)
            if packet is not None:
                packets.append(packet)
        return tuple(packets)

    def _say(self, encoder: Encoder, payload_type: int) -> RtpPacket | None:
        payload = encoder.encode(self._next_samples(self._packet_ms))
        units = self._units(self._packet_ms)
        if not payload:
            self._talking = False
            self.sender.skip(units)
            return None
        marker, self._talking = not self._talking, True
        return self.sender.packet(payload_type, payload, samples=units, marker=marker)

    def _units(self, milliseconds: int) -> int:
        assert self.codec is not None
        return self.codec.clock_rate * milliseconds // 1000

    def _next_samples(self, milliseconds: int) -> Int16:
        """The next to send, int16, shape (n,): keys, or silence while muted, or what was written."""
        written = self._together(self._written(milliseconds))
        if self._tones or self._tone is not None:
            sent = self._sounded(len(written))
        elif self.muted:
            sent = np.zeros(len(written), dtype=np.int16)
        else:
            sent = self._levelled(self._cleaned(written))
        self.said.append((written, sent))
        return sent

    def _together(self, written: Int16) -> Int16:
        """With what others say."""
        if not len(self._beside):
            return written
        sums = written.astype(np.int32)
        others, self._beside = self._beside[: len(sums)], self._beside[len(sums) :]
        sums[: len(others)] += others
        return limit(sums)

    def _sounded(self, count: int) -> Int16:
        """The next of the keys that are sounded, int16, shape (count,)."""
        if self._tone is None:
            key, seconds, gap = self._tones.popleft()
            tone = Tone((Segment((), PAUSE),), repeats=False) if key == "," else dtmf_tone(key, seconds, gap=gap)
            self._tone = ToneGenerator(tone, self.sample_rate)
        samples = self._tone.samples(count)
        if self._tone.finished:
            self._tone = None
        return samples

    def _written(self, milliseconds: int) -> Int16:
        """The next that was written, int16, shape (n,); silence fills what is missing."""
        wanted = missing = self.sample_rate * milliseconds // 1000
        parts: list[Int16] = []
        while missing and self._to_say:
            chunk = self._to_say[0]
            if len(chunk) <= missing:
                parts.append(self._to_say.popleft())
                missing -= len(chunk)
            else:
                parts.append(chunk[:missing])
                self._to_say[0] = chunk[missing:]
                missing = 0
        self._to_say_samples -= wanted - missing
        if not parts:
            return np.zeros(wanted, dtype=np.int16)
        if missing:
            parts.append(np.zeros(missing, dtype=np.int16))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
