"""What is heard in one session: packets in, samples out.

    packets -> RtpReceiver -> JitterBuffer -> decode, conceal or comfort noise -> heard -> [resample] -> read
                                                                                  +-----> [keys in band]

The far end may change between the codecs that were negotiated at any time (RFC 3264 section 7); decoder and jitter
buffer follow. The queue of heard audio is bounded: the oldest goes.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np

from sansio_sip.context import Context
from sansio_sip.dtmf.rfc4733 import DigitReceived, DtmfReceiver
from sansio_sip.sdp.negotiation import COMFORT_NOISE, TELEPHONE_EVENT, Codec, Negotiated

from .codecs import Decoder, make_decoder
from .codecs.base import Int16
from .comfort_noise import ComfortNoise
from .goertzel import RATE as DETECTOR_RATE
from .goertzel import DtmfDetector
from .jitter_buffer import JitterBuffer
from .levels import level_dbov
from .playout import decode_frame
from .resample import Resampler
from .rtcp.bursts import BurstGap
from .rtp.packet import RtpPacket
from .rtp.receiver import RtpReceiver

__all__ = ["IncomingAudio"]

# Seconds of heard audio kept for a program that does not read.
MAX_HEARD = 10.0

# Keys heard in band that nobody has asked for yet; they are asked for each tick.
MAX_KEYS = 64

# Frames looked back at to tell a pause between words from speech: half a second holds a syllable or two. A pause is
# 20 dB below the loudest of them, or below what a good line has of noise.
LOOK_BACK = 25
PAUSE_DB = 20.0
PAUSE_DBOV = -60.0

SILENT: Int16 = np.zeros(0, dtype=np.int16)


class IncomingAudio:
    """The receiving side of one session's audio.

    Args:
        in_band_dtmf: keys are listened for in the sound where no telephone-event was negotiated. Where one was, a
            gateway may leave the sound of a key in beside its event, and the key would count twice.

    Attributes:
        receiver: statistics of what arrives; None until the first `configure`.
        bursts: how what was not played comes.
        heard_dropped: chunks lost because nobody read them.
    """

    def __init__(self, context: Context, *, in_band_dtmf: bool = False) -> None:
        self.receiver: RtpReceiver | None = None
        self.bursts = BurstGap()
        self.heard_dropped = 0
        self._context = context
        self._negotiated: Negotiated | None = None
        self._codec: Codec | None = None
        self._decoder: Decoder | None = None
        self._jitter: JitterBuffer | None = None
        self._noise = ComfortNoise()
        self._dtmf: DtmfReceiver | None = None
        self._listens_for_keys = in_band_dtmf
        self._detector: DtmfDetector | None = None
        self._to_detector: Resampler | None = None
        self._keys: deque[DigitReceived] = deque(maxlen=MAX_KEYS)
        self._heard: deque[Int16] = deque()
        self._heard_samples = 0
        self._lately: deque[Int16] = deque(maxlen=LOOK_BACK)
        self._resampler: Resampler | None = None
        # Of the jitter buffers before the present one.
        self._discarded = 0
        self._concealed = 0
        self._late = 0
        self._counted = 0  # frames made up that `bursts` knows

    def configure(self, negotiated: Negotiated) -> None:
        """Takes what an offer and its answer have settled. A repeated one keeps what has not changed."""
        self._negotiated = negotiated
        codec = self._codec
        if codec is None or all((codec.name, codec.clock_rate) != (c.name, c.clock_rate) for c in negotiated.codecs):
            self._follow(negotiated.codecs[0])
        assert self._jitter is not None
        self._jitter.noise_type = next(
            (number for number, codec in negotiated.receive_payload_types.items() if codec.name == COMFORT_NOISE), None
        )
        if negotiated.dtmf is None:
            self._dtmf = None
        elif self._dtmf is None:
            self._dtmf = DtmfReceiver(negotiated.dtmf.clock_rate)
        if self._dtmf is not None or not self._listens_for_keys:
            self._detector = None
        elif self._detector is None:
            self._detector = DtmfDetector()

    def _follow(self, codec: Codec) -> None:
        """Goes over to another codec; what waits to be read stays."""
        before = self._decoder.sample_rate if self._decoder is not None else 0
        self._decoder = make_decoder(codec.name, self._context)
        noise_type = None
        if self._jitter is not None:
            noise_type = self._jitter.noise_type
            self._discarded, self._concealed, self._late = self.discarded, self.concealed, self.late
        self._jitter = JitterBuffer(
            codec.clock_rate, codec.clock_rate // 50, duration=self._decoder.duration, noise_type=noise_type
        )
        self._noise.stop()
        self._codec = codec
        if self.receiver is None:
            self.receiver = RtpReceiver(codec.clock_rate)
        self.receiver.clock_rate = codec.clock_rate
        if self._decoder.sample_rate != before:
            self._resampler = None
            if self._heard:
                heard = Resampler(before, self._decoder.sample_rate).process(np.concatenate(self._heard))
                self._heard = deque((heard,))
                self._heard_samples = len(heard)

    # Packets in

    def receive(self, packet: RtpPacket, *, now: float) -> None:
        """A packet of RTP that may be trusted. What does not belong here is dropped."""
        if self._negotiated is None or self.receiver is None or self._codec is None:
            return
        codec = self._negotiated.receive_payload_types.get(packet.payload_type)
        if codec is None or not self.receiver.receive(packet, now=now):
            return
        assert self._jitter is not None
        if codec.name == TELEPHONE_EVENT:
            self._jitter.note_event(packet.sequence)
            if self._dtmf is not None:
                self._dtmf.receive(packet.payload, packet.timestamp, now=now)
            return
        if codec.name not in (self._codec.name, COMFORT_NOISE):
            self._follow(codec)
        self._jitter.put(packet, now=now)

    def digits(self, *, now: float) -> Iterator[DigitReceived]:
        """Takes the keys pressed at the far end; those whose end was lost too, once their time is up."""
        if self._dtmf is not None:
            self._dtmf.handle_timeout(now=now)
            yield from self._dtmf.outputs()
        while self._keys:
            yield self._keys.popleft()

    # Samples out

    def tick(self, *, now: float) -> Int16:
        """Plays what is due; gives it, int16, shape (n,), and keeps it for `read`."""
        if self._jitter is None or self._decoder is None:
            return SILENT
        played = []
        while (frame := self._jitter.pop(now=now, quiet=self._is_quiet)) is not None:
            played.append(decode_frame(self._decoder, frame, self._noise))
            if frame.payload is not None:
                self._count(1 if frame.folded is None else 2)
            self._lately.append(played[-1])
        for samples in played:
            self._keep(samples)
            self._listen(samples)
        if len(played) == 1:
            return played[0]
        return np.concatenate(played) if played else SILENT

    def _count(self, played: int) -> None:
        """Packets have been played. Only now is it known what the frames made up before them stood for: loss, or a far
        end that sent nothing."""
        missed, self._counted = self.concealed - self._counted, self.concealed
        for _ in range(missed):
            self.bursts.missed()
        for _ in range(played):
            self.bursts.played()

    def _is_quiet(self) -> bool:
        """Whether there is a pause between words. A trace may be without audio, so it holds the answer."""
        return self._context.oracle.consult("audio.quiet", self._find_quiet)

    def _find_quiet(self) -> bool:
        if not self._lately:
            return True
        levels = [level_dbov(samples) for samples in self._lately]
        return levels[-1] < max(max(levels) - PAUSE_DB, PAUSE_DBOV)

    def _listen(self, samples: Int16) -> None:
        """For keys in the sound."""
        if self._detector is None:
            return
        if self._to_detector is None or self._to_detector.rate_in != self.sample_rate:
            self._to_detector = Resampler(self.sample_rate, DETECTOR_RATE)
        for key in self._detector.process(self._to_detector.process(samples)[None]):
            self._keys.append(DigitReceived(key.digit, key.duration_ms))

    def _keep(self, samples: Int16) -> None:
        self._heard.append(samples)
        self._heard_samples += len(samples)
        while self._heard_samples > MAX_HEARD * self.sample_rate:
            self._heard_samples -= len(self._heard.popleft())
            self.heard_dropped += 1

    @property
    def sample_rate(self) -> int:
        """Hz, of what `tick` gives."""
        return self._decoder.sample_rate if self._decoder is not None else 0

    @property
    def has_heard(self) -> bool:
        return bool(self._heard)

    def read(self, rate: int) -> Int16:
        """Takes everything heard since the last read, at `rate` Hz."""
        if not self._heard:
            return SILENT
        heard = np.concatenate(self._heard)
        self._heard.clear()
        self._heard_samples = 0
        if self._resampler is None or self._resampler.rate_out != rate:
            self._resampler = Resampler(self.sample_rate, rate)
        return self._resampler.process(heard)

    # Figures

    @property
    def discarded(self) -> int:
        """Packets that came too late or twice."""
        jitter = self._jitter
        now = jitter.late + jitter.duplicates + jitter.overflow + jitter.stray if jitter is not None else 0
        return self._discarded + now

    @property
    def late(self) -> int:
        """Packets that came, but not to be played: too late, or more than there was room for."""
        return self._late + (self._jitter.late + self._jitter.overflow if self._jitter is not None else 0)

    @property
    def codec(self) -> Codec | None:
        """What is heard with."""
        return self._codec

    @property
    def jitter_buffer(self) -> JitterBuffer | None:
        return self._jitter

    @property
    def concealed(self) -> int:
        """Frames that had to be made up."""
        return self._concealed + (self._jitter.concealed if self._jitter is not None else 0)
