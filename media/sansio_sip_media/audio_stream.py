"""What is said and heard in one session: both directions, configured together and beaten by one tick.

A tick is `hear` and then `say`: who mixes calls does so in between.

See `outgoing_audio` and `incoming_audio` for what each direction does. Both move in frames of 20 ms.
"""

from collections.abc import Iterator

import numpy as np

from sansio_sip.context import Context
from sansio_sip.dtmf.rfc4733 import DigitReceived
from sansio_sip.sdp.negotiation import Codec, Negotiated
from sansio_sip.softphone.media_plane import AudioLevels

from .codecs import OpusSettings
from .codecs.base import Int16
from .incoming_audio import IncomingAudio
from .level_watch import LevelWatch
from .levels import MeanLevel
from .outgoing_audio import TICK_MS, OutgoingAudio
from .rtp.packet import RtpPacket
from .rtp.receiver import RtpReceiver
from .rtp.sender import RtpSender

__all__ = ["FRAME", "AudioStream"]

# Seconds of audio in a frame: the default of RFC 3551 section 4.2, and the tick of the engine.
FRAME = TICK_MS / 1000


class AudioStream:
    """Audio of one session. `configure` first; until then it neither takes nor gives anything.

    Attributes:
        said_level, heard_level: of what was written, muted or not, and of what was played.
        heard: of the last tick, int16, shape (n,).
    """

    def __init__(self, context: Context, settings: OpusSettings | None = None, *, in_band_dtmf: bool = False) -> None:
        self.outgoing = OutgoingAudio(context, settings)
        self.incoming = IncomingAudio(context, in_band_dtmf=in_band_dtmf)
        self.said_level, self.heard_level = MeanLevel(context), MeanLevel(context)
        self.heard: Int16 = np.zeros(0, dtype=np.int16)
        self._watch: LevelWatch | None = None

    def configure(self, negotiated: Negotiated) -> None:
        """Takes what an offer and its answer have settled. A repeated one keeps what has not changed."""
        self.outgoing.configure(negotiated)
        self.incoming.configure(negotiated)

    def take_after(self, other: "AudioStream") -> None:
        """Takes the place of another stream, towards whoever speaks and listens here: its settings are ours."""
        self.muted = other.muted
        self.outgoing.take_after(other.outgoing)
        self.watch_levels(other._watch is not None)

    @property
    def ssrc(self) -> int:
        """Of what we send."""
        return self.outgoing.sender.ssrc

    @property
    def sender(self) -> RtpSender:
        return self.outgoing.sender

    @property
    def receiver(self) -> RtpReceiver | None:
        return self.incoming.receiver

    @property
    def codec(self) -> Codec | None:
        """What we send with."""
        return self.outgoing.codec

    @property
    def muted(self) -> bool:
        return self.outgoing.muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self.outgoing.muted = muted

    # What is said

    def write(self, samples: Int16, rate: int) -> int:
        """Queues audio; returns how many samples were taken."""
        return self.outgoing.write(samples, rate)

    @property
    def queued(self) -> float:
        """Seconds of audio that have not left yet."""
        return self.outgoing.queued

    def flush(self) -> float:
        """Drops what has not left; returns the seconds dropped."""
        return self.outgoing.flush()

    def send_dtmf(self, digits: str, duration_ms: int, gap_ms: int, *, in_band: bool = False) -> None:
        """Queues key presses. Raises LocalProtocolError."""
        if in_band:
            self.outgoing.send_tones(digits, duration_ms, gap_ms)
        else:
            self.outgoing.send_dtmf(digits, duration_ms, gap_ms)

    @property
    def sending_dtmf(self) -> bool:
        return self.outgoing.sending_dtmf

    # What is heard

    def read(self, rate: int) -> Int16:
        """Takes everything heard since the last read, at `rate` Hz."""
        return self.incoming.read(rate)

    @property
    def has_heard(self) -> bool:
        return self.incoming.has_heard

    def receive(self, packet: RtpPacket, *, now: float) -> None:
        """A packet of RTP that may be trusted. What does not belong here is dropped."""
        self.incoming.receive(packet, now=now)

    def digits(self, *, now: float) -> Iterator[DigitReceived]:
        """Takes the keys pressed at the far end."""
        yield from self.incoming.digits(now=now)

    @property
    def discarded(self) -> int:
        """Packets that came too late or twice."""
        return self.incoming.discarded

    @property
    def concealed(self) -> int:
        """Frames that had to be made up."""
        return self.incoming.concealed

    # The tick

    def hear(self, *, now: float) -> None:
        """Twenty milliseconds have passed: decodes what is due."""
        heard, rate = self.incoming.tick(now=now), self.incoming.sample_rate
        self.heard = heard
        self.heard_level.add(heard, rate)
        if self._watch is not None:
            self._watch.heard(heard, rate)

    def say(self) -> tuple[RtpPacket, ...]:
        """Twenty milliseconds have passed: encodes what is to be said, and gives the packets to send."""
        if not self.outgoing.active:
            return ()
        packets, rate = self.outgoing.tick(), self.outgoing.sample_rate
        for written, sent in self.outgoing.said:
            self.said_level.add(written, rate)
            if self._watch is not None:
                self._watch.spoken(written, rate, muted=self.muted)
                self._watch.sent(sent, rate)
        return packets

    # Levels

    def watch_levels(self, on: bool) -> None:
        """Whether `levels` is to have figures."""
        self._watch = (self._watch or LevelWatch()) if on else None

    @property
    def levels(self) -> AudioLevels:
        """As of the last tick; silence where nobody watches."""
        return self._watch.levels if self._watch is not None else AudioLevels()
