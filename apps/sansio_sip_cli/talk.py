"""What one call plays and hears."""

from dataclasses import dataclass

import numpy as np

from sansio_sip.softphone.call_info import CallUuid
from sansio_sip.softphone.softphone import Softphone

from .audio import Clip, Recorder

__all__ = ["TOP_UP_EVERY", "Talk"]

# How often audio is topped up, and how much may wait in the engine: enough to ride out a stall of the process.
TOP_UP_EVERY, QUEUED = 0.5, 2.0

RECORD_RATE = 16_000


@dataclass(slots=True)
class Talk:
    """A clip on its way to the far end, and what comes from there on its way to a file.

    Attributes:
        clip: what to say; None: nothing.
        recorder: where what is heard goes; None: nowhere.
        echo: say what is heard.
        position: samples of the clip that the engine has taken.
        answered, media: whether the call is answered, and whether audio can flow.
    """

    clip: Clip | None = None
    recorder: Recorder | None = None
    echo: bool = False
    position: int = 0
    answered: bool = False
    media: bool = False

    @property
    def is_up(self) -> bool:
        """Whether anything said now is heard."""
        return self.answered and self.media

    def top_up(self, phone: Softphone, call: CallUuid, *, now: float) -> None:
        """Gives the engine the next stretch of the clip."""
        if self.clip is None:
            return
        while self.position < len(self.clip.samples) and phone.audio_queued(call) < QUEUED:
            chunk = self.clip.samples[self.position : self.position + self.clip.rate]
            taken = phone.write_audio(call, chunk, self.clip.rate, now=now)
            self.position += taken
            if taken < len(chunk):
                return

    def listen(self, phone: Softphone, call: CallUuid, *, now: float) -> None:
        """Takes what was heard: to the file, and back where an echo was asked for."""
        heard = phone.read_audio(call, RECORD_RATE, now=now)
        if self.recorder is not None:
            self.recorder.write(heard)
        if self.echo and len(heard):
            phone.write_audio(call, np.ascontiguousarray(heard), RECORD_RATE, now=now)

    def seconds_left(self, phone: Softphone, call: CallUuid) -> float:
        """Seconds until the clip has been said."""
        if self.clip is None:
            return 0.0
        return (len(self.clip.samples) - self.position) / self.clip.rate + phone.audio_queued(call)

    def close(self) -> None:
        if self.recorder is not None:
            self.recorder.close()
