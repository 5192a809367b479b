"""What is said and heard in one session: codec, RTP, jitter buffer, key presses, and the two queues of audio.

Theory of operation
-------------------
Both directions move in frames of 20 ms, driven by the engine's tick.

    written -> [resample to the codec's rate] -> to say -> encode or silence -> RtpSender -> packets
    packets -> RtpReceiver -> JitterBuffer -> decode or conceal -> heard -> [resample to the reader's rate] -> read

A key press (RFC 4733) takes the place of audio for as long as it lasts; its packets carry the time stamp of its start.
Both queues are bounded: writing takes what fits, hearing drops the oldest.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sansio_sip.context import Context
from sansio_sip.dtmf.rfc4733 import DigitReceived, DtmfReceiver, DtmfSender
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sdp.offer_answer import Codec, Negotiated

from .codecs import Decoder, Encoder, make_decoder, make_encoder
from .jitter_buffer import JitterBuffer
from .playout import decode_frame
from .resample import Resampler
from .rtp.packet import RtpPacket
from .rtp.receiver import RtpReceiver
from .rtp.sender import RtpSender

__all__ = ["FRAME", "AudioStream"]

Int16 = npt.NDArray[np.int16]

# Seconds of audio in a packet: the default of RFC 3551 section 4.2, and the tick of the engine.
FRAME = 0.020

# Seconds of audio that may wait to be said: half a minute lets a program hand over a whole announcement.
MAX_TO_SAY = 30.0

# Seconds of heard audio kept for a program that does not read.
MAX_HEARD = 10.0

SILENT: Int16 = np.zeros(0, dtype=np.int16)


class AudioStream:
    """Audio of one session. `configure` first; until then it neither takes nor gives anything."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.ssrc = context.entropy.ssrc()
        self.sender = RtpSender(self.ssrc, context.entropy.rtp_sequence(), context.entropy.rtp_timestamp())
        self.receiver: RtpReceiver | None = None
        self.codec: Codec | None = None
        self.muted = False
        self.heard_dropped = 0
        self._negotiated: Negotiated | None = None
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None
        self._jitter: JitterBuffer | None = None
        self._dtmf_sender: DtmfSender | None = None
        self._dtmf_receiver: DtmfReceiver | None = None
        self._frame = 0
        self._to_say: deque[Int16] = deque()
        self._to_say_samples = 0
        self._say_resampler: Resampler | None = None
        self._heard: deque[Int16] = deque()
        self._heard_samples = 0
        self._hear_resampler: Resampler | None = None
        self._talking = False  # whether the last packet was audio: RFC 3551 section 4.1 marks the first of a spurt

    # Set-up

    def configure(self, negotiated: Negotiated) -> None:
        """Takes what an offer and its answer have settled. A repeated one keeps what has not changed."""
        codec = negotiated.codecs[0]
        self._negotiated = negotiated
        if self.codec is None or (codec.name, codec.clock_rate) != (self.codec.name, self.codec.clock_rate):
            self._frame = round(codec.clock_rate * FRAME)
            self._encoder = make_encoder(codec.name, self._context)
            self._decoder = make_decoder(codec.name, self._context)
            self._jitter = JitterBuffer(codec.clock_rate, self._frame, duration=self._decoder.duration)
            self.receiver = RtpReceiver(codec.clock_rate)
            self._clear()
        self.codec = codec
        dtmf = negotiated.dtmf
        if dtmf is None:
            self._dtmf_sender = self._dtmf_receiver = None
        elif self._dtmf_sender is None:
            self._dtmf_sender = DtmfSender(dtmf.clock_rate)
            self._dtmf_receiver = DtmfReceiver(dtmf.clock_rate)

    @property
    def sends(self) -> bool:
        return self._negotiated is not None and self._negotiated.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        return self._negotiated is not None and self._negotiated.direction in ("sendrecv", "recvonly")

    # What is said

    def write(self, samples: Int16, rate: int) -> int:
        """Queues audio; returns how many samples were taken."""
        if self.codec is None or rate <= 0:
            return 0
        free = MAX_TO_SAY - self.queued
        taken = min(len(samples), max(0, int(free * rate)))
        if taken:
            if self._say_resampler is None or self._say_resampler.rate_in != rate:
                self._say_resampler = Resampler(rate, self.codec.clock_rate)
            chunk = self._say_resampler.process(np.asarray(samples[:taken], dtype=np.int16))
            self._to_say.append(chunk)
            self._to_say_samples += len(chunk)
        return taken

    @property
    def queued(self) -> float:
        """Seconds of audio that have not left yet."""
        return self._to_say_samples / self.codec.clock_rate if self.codec is not None else 0.0

    def flush(self) -> float:
        """Drops what has not left; returns the seconds dropped."""
        dropped = self.queued
        self._to_say.clear()
        self._to_say_samples = 0
        return dropped

    def send_dtmf(self, digits: str, duration_ms: int, gap_ms: int) -> None:
        """Queues key presses. Raises LocalProtocolError."""
        if self._dtmf_sender is None:
            what = "no audio was negotiated yet" if self._negotiated is None else "the far end takes no telephone-event"
            raise LocalProtocolError(f"cannot send digits: {what}; answer the call first, or send them by INFO")
        self._dtmf_sender.queue(digits, duration_ms=duration_ms, gap_ms=gap_ms)

    @property
    def sending_dtmf(self) -> bool:
        return self._dtmf_sender is not None and not self._dtmf_sender.is_idle

    # What is heard

    def read(self, rate: int) -> Int16:
        """Takes everything heard since the last read, at `rate` Hz."""
        if not self._heard or self.codec is None:
            return SILENT
        heard = np.concatenate(self._heard)
        self._heard.clear()
        self._heard_samples = 0
        if self._hear_resampler is None or self._hear_resampler.rate_out != rate:
            self._hear_resampler = Resampler(self.codec.clock_rate, rate)
        return self._hear_resampler.process(heard)

    @property
    def has_heard(self) -> bool:
        return bool(self._heard)

    def receive(self, packet: RtpPacket, *, now: float) -> None:
        """A packet of RTP that may be trusted. What does not belong here is dropped."""
        if self._negotiated is None or self.receiver is None or self._jitter is None or self.codec is None:
            return
        codec = self._negotiated.receive_payload_types.get(packet.payload_type)
        if codec is None or not self.receiver.receive(packet, now=now):
            return
        if codec.name == self.codec.name:
            self._jitter.put(packet, now=now)
        elif codec.name == "telephone-event" and self._dtmf_receiver is not None:
            self._dtmf_receiver.receive(packet.payload, packet.timestamp, now=now)

    def digits(self, *, now: float) -> Iterator[DigitReceived]:
        """Takes the keys pressed at the far end; those whose end was lost too, once their time is up."""
        if self._dtmf_receiver is not None:
            self._dtmf_receiver.handle_timeout(now=now)
            yield from self._dtmf_receiver.outputs()

    # The tick

    def tick(self, *, now: float) -> RtpPacket | None:
        """Twenty milliseconds have passed: decodes what is due, and gives the packet to send."""
        self._hear(now)
        return self._say() if self.sends else None

    def _say(self) -> RtpPacket:
        assert self._encoder is not None
        assert self.codec is not None
        frame = self._next_frame()
        key = self._dtmf_sender.next_packet(self.sender.timestamp) if self._dtmf_sender is not None else None
        if key is not None:
            assert self._negotiated is not None
            assert self._negotiated.dtmf is not None
            self._talking = False
            return self.sender.packet(
                self._negotiated.dtmf.payload_type,
                bytes(key.event),
                samples=self._frame,
                marker=key.marker,
                timestamp=key.timestamp,
            )
        marker, self._talking = not self._talking, True
        payload = self._encoder.encode(frame)
        return self.sender.packet(self.codec.payload_type, payload, samples=self._frame, marker=marker)

    def _next_frame(self) -> Int16:
        """The next 20 ms to say; silence fills what is missing, and all of it while muted."""
        parts: list[Int16] = []
        missing = self._frame
        while missing and self._to_say:
            chunk = self._to_say[0]
            if len(chunk) <= missing:
                parts.append(self._to_say.popleft())
                missing -= len(chunk)
            else:
                parts.append(chunk[:missing])
                self._to_say[0] = chunk[missing:]
                missing = 0
        self._to_say_samples -= self._frame - missing
        if self.muted or not parts:
            return np.zeros(self._frame, dtype=np.int16)
        if missing:
            parts.append(np.zeros(missing, dtype=np.int16))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _hear(self, now: float) -> None:
        if self._jitter is None or self._decoder is None:
            return
        while (frame := self._jitter.pop(now=now)) is not None:
            self._keep(decode_frame(self._decoder, frame))

    def _keep(self, samples: Int16) -> None:
        assert self.codec is not None
        self._heard.append(samples)
        self._heard_samples += len(samples)
        while self._heard_samples > MAX_HEARD * self.codec.clock_rate:
            self._heard_samples -= len(self._heard.popleft())
            self.heard_dropped += 1

    def _clear(self) -> None:
        """A new codec has another rate: what waits in the old one's is gone."""
        self.flush()
        self._say_resampler = self._hear_resampler = None
        self._heard.clear()
        self._heard_samples = 0

    @property
    def discarded(self) -> int:
        """Packets that came too late or twice."""
        jitter = self._jitter
        return jitter.late + jitter.duplicates + jitter.overflow + jitter.stray if jitter is not None else 0

    @property
    def concealed(self) -> int:
        """Frames that had to be made up."""
        return self._jitter.concealed if self._jitter is not None else 0
