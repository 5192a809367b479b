"""A call that can be waited for."""

from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import CallInfo, CallState, CallUuid
from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip_devices.wav_file import WavWriter, read_wav_file
from sansio_sip_media.answering_machine import AnsweredBy, Beep

from .runtime import AsyncRuntime, Bell
from .subscription import AudioStream, Subscription
from .voice import Turns, VoiceFrames, first_beep, who_answered

if TYPE_CHECKING:
    from .phone import Phone

__all__ = ["Call", "CallError", "Flushed"]

Int16 = npt.NDArray[np.int16]

Answer = events.CallHeld | events.CallResumed | events.HoldFailed | events.TransferCompleted | events.TransferFailed
End = events.CallTerminated | events.CallFailed | events.IncomingCallCanceled

# Seconds of audio handed to the engine at a time, and how much may wait there: a stall of the program for less than
# this is not heard.
CHUNK, AHEAD = 0.5, 1.0

# Keys that may wait for a reader that lags: more than anybody presses in a call.
MAX_KEYS = 1_000

# What is heard is read at the rate of whoever wants it; without a wish, at this one.
HEARD_RATE = 16_000


class CallError(Exception):
    """A call ended before it was answered.

    Attributes:
        cause: the reference's words: `Busy`, `Rejected`, `Canceled`...
        code: SIP status, or the reference's code of a local cause.
    """

    def __init__(self, cause: str, code: int) -> None:
        super().__init__(f"{cause} ({code})")
        self.cause = cause
        self.code = code


@dataclass(frozen=True, slots=True)
class Flushed:
    """What became of what was written since the last `flush`, or since `play` began.

    Attributes:
        heard: samples that have left for the far end; its own buffers hold them for a tenth of a second or so.
        dropped: samples that had not.
        rate: Hz of both: that of the last write.
    """

    heard: int
    dropped: int
    rate: int


class _Speech:
    """What is said from one flush, or begin of `play`, to the next.

    Attributes: `written` in seconds; `rate` of the last write; `players` that say it; `flushed` once it is over.
    """

    def __init__(self, rate: int) -> None:
        self.written = 0.0
        self.rate = rate
        self.players = 0
        self.flushed: Flushed | None = None


class Call:
    """One call of a phone. Commands act at once; what is `async` waits.

    Attributes:
        phone: whose call it is.
        info: the latest snapshot. end: the event that ended it, or None.
        digits: keys pressed at the far end so far.
    """

    def __init__(self, phone: "Phone", runtime: AsyncRuntime, bell: Bell, info: CallInfo) -> None:
        self.info = info
        self.end: End | None = None
        self.digits = ""
        self.phone = phone
        self._runtime = runtime
        self._bell = bell
        self._media = False
        self._tones_sent = 0
        self._answer: Answer | None = None  # of the far end, to the last request for hold or a transfer
        self._speech = _Speech(HEARD_RATE)
        # One that nobody iterates over any more is gone, without a word of whoever has left its loop.
        self._listeners: WeakSet[AudioStream] = WeakSet()
        self._key_readers: WeakSet[Subscription[str]] = WeakSet()

    @property
    def uuid(self) -> CallUuid:
        return self.info.call_uuid

    @property
    def is_up(self) -> bool:
        """Whether it was answered, has audio, and has not ended."""
        return self.end is None and self._up

    @property
    def queued(self) -> float:
        """Seconds of what was written that have not left yet."""
        return self.phone.machine.audio_queued(self.uuid) if self.is_up else 0.0

    # Commands

    def answer(self) -> None:
        """Answers a ringing call; wait for `answered`. Raises LocalProtocolError."""
        self.phone.command("answer", self.uuid)

    def reject(self, status: int = 486) -> None:
        """Refuses a ringing call. Raises LocalProtocolError."""
        self.phone.command("reject", self.uuid, status)

    def ignore(self) -> None:
        """Stops ringing here; the caller is told nothing. Raises LocalProtocolError."""
        self.phone.command("ignore", self.uuid)

    def hangup(self) -> None:
        """Ends the call, whatever its state; harmless after its end."""
        if self.end is None:
            self.phone.command("hangup", self.uuid)

    def mute(self) -> None:
        """The far end hears silence. Raises LocalProtocolError."""
        self.phone.command("mute", self.uuid)

    def unmute(self) -> None:
        """The far end hears us again. Raises LocalProtocolError."""
        self.phone.command("unmute", self.uuid)

    def flush(self) -> Flushed:
        """Drops what was written and has not left yet, and ends `play`: barge-in. Says how much of it was heard.

        After the call's end there is nothing to drop, and nobody knows what was heard: both counts are 0.
        """
        speech = self._speech
        if self.end is not None:
            return Flushed(0, 0, speech.rate)
        dropped = float(self.phone.command("flush_audio", self.uuid))
        # What waits is the end of what was written.
        heard = max(0.0, speech.written - dropped)
        speech.flushed = Flushed(round(heard * speech.rate), round(dropped * speech.rate), speech.rate)
        self._speech = _Speech(speech.rate)
        self._bell.ring()
        return speech.flushed

    def statistics(self) -> MediaStatistics | None:
        """The call's media now; after its end, the last snapshot."""
        if self.end is not None:
            return self.end.statistics if isinstance(self.end, events.CallTerminated) else None
        return self.phone.machine.statistics(self.uuid)

    # Waiting

    async def answered(self, timeout: float | None = None) -> None:
        """Waits until the call is up and audio can flow.

        Raises CallError if it ends before that, TimeoutError if nobody answers in time. Cancelling it, or a timeout,
        leaves the call ringing: hang up to end it.
        """
        await self._bell.until(lambda: self._up or self.end is not None, timeout)
        if not self._up:
            raise self._error()

    async def ended(self, timeout: float | None = None) -> End:
        """Waits for the end. Raises TimeoutError. Cancelling it stops only the wait."""
        await self._bell.until(lambda: self.end is not None, timeout)
        assert self.end is not None
        return self.end

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys and waits until they have left. Raises LocalProtocolError, or CallError if the call ends."""
        self._alive()
        before = self._tones_sent
        self.phone.command("send_dtmf", self.uuid, digits)
        await self._bell.until(lambda: self._tones_sent > before or self.end is not None)
        self._alive()

    async def hold(self, timeout: float | None = None) -> None:
        """Puts the call on hold and waits until the far end has agreed.

        Raises CallError if it refuses or the call ends, TimeoutError, LocalProtocolError if the call was not answered.
        """
        await self._renegotiated("hold", events.CallHeld, timeout)

    async def resume(self, timeout: float | None = None) -> None:
        """Takes the call back from hold; raises as `hold` does."""
        await self._renegotiated("resume", events.CallResumed, timeout)

    async def transfer(self, target: "str | Call", timeout: float | None = None) -> None:
        """Has the far end call somebody else instead of us, or joins it with the far end of another call of ours.

        Waits until that has succeeded; this call then ends. Raises CallError if it did not (the call goes on),
        TimeoutError, LocalProtocolError if a call was not answered.
        """
        self._answer = None
        if isinstance(target, Call):
            self.phone.command("attended_transfer", self.uuid, target.uuid)
        else:
            self.phone.command("transfer", self.uuid, target)
        answers = (events.TransferCompleted, events.TransferFailed)
        await self._bell.until(lambda: isinstance(self._answer, answers) or self.end is not None, timeout)
        if isinstance(self._answer, events.TransferFailed):
            raise CallError(self._answer.cause, self._answer.status)
        if not isinstance(self._answer, events.TransferCompleted):
            raise self._error()

    async def _renegotiated(self, command: str, success: type, timeout: float | None) -> None:
        def over() -> bool:
            # What was asked for before may be answered meanwhile.
            failed = isinstance(self._answer, events.HoldFailed) and self._answer.wanted == command
            return failed or isinstance(self._answer, success) or self.end is not None

        self._answer = None
        self.phone.command(command, self.uuid)
        await self._bell.until(over, timeout)
        if isinstance(self._answer, events.HoldFailed):
            raise CallError(self._answer.cause, self._answer.status)
        if not isinstance(self._answer, success):
            raise self._error()

    async def gather(self, count: int, *, timeout: float | None = None, end: str = "#") -> str:
        """Waits for keys pressed from now on: `count` of them, or fewer and then the key `end`.

        Returns what was pressed, without `end`; after `timeout` seconds, or the end of the call, what there was.
        """
        begin = len(self.digits)

        def pressed() -> str:
            return self.digits[begin:]

        def enough() -> bool:
            return len(pressed()) >= count or (end != "" and end in pressed()) or self.end is not None

        with suppress(TimeoutError):  # what was pressed in time is the answer
            await self._bell.until(enough, timeout)
        return pressed()[:count].partition(end)[0] if end else pressed()[:count]

    # Audio

    async def play(self, source: "str | Path | Int16 | AsyncIterable[Int16]", rate: int | None = None) -> int:
        """Says a WAV file, or int16 samples, shape (n,), at `rate` Hz, whole or as they come; waits until they left.

        Returns how many samples have left: all of them, unless `flush` has cut it short. Cancelling it takes back what
        has not left. Raises OSError or ParseError for a file that cannot be read, CallError if the call ends first.
        """
        samples: Any = source
        if isinstance(source, str | Path):
            samples, hertz = await self._runtime.in_thread(partial(read_wav_file, source))
        elif rate is None:
            raise ValueError("rate is missing: give the rate of the samples in Hz")
        else:
            hertz = rate
        await self.answered()
        if not self._speech.players:
            self._speech = _Speech(hertz)
        speech = self._speech
        speech.players += 1
        total = 0
        try:
            if isinstance(samples, AsyncIterable):
                async for piece in samples:
                    total += await self._say(piece, hertz, speech)
                    if speech.flushed is not None:
                        break
            else:
                total += await self._say(samples, hertz, speech)
            await self._until_said(0.0, speech)
        except BaseException:
            self.flush()
            raise
        finally:
            speech.players -= 1
            # A generator that is left early would be closed by nobody.
            if (close := getattr(samples, "aclose", None)) is not None:
                await close()
        return total if speech.flushed is None else min(total, speech.flushed.heard)

    async def _say(self, samples: Int16, rate: int, speech: _Speech) -> int:
        """Writes all of it, a second ahead at most; gives how many were written before a flush."""
        position = 0
        while position < len(samples) and speech.flushed is None:
            await self._until_said(AHEAD, speech)
            if speech.flushed is None:
                position += self.write_audio(samples[position : position + int(rate * CHUNK)], rate)
        return position

    async def _until_said(self, ahead: float, speech: _Speech) -> None:
        """Waits until no more than so many seconds wait to leave, or a flush."""
        while speech.flushed is None:
            self._alive()
            if (over := self.phone.machine.audio_queued(self.uuid) - ahead) <= 0.0:
                return
            with suppress(TimeoutError):
                await self._bell.until(lambda: speech.flushed is not None or self.end is not None, over)

    def write_audio(self, samples: Int16, rate: int) -> int:
        """Queues int16 samples, shape (n,). Returns how many were taken: the queue holds half a minute, and after the
        call's end none are. Raises LocalProtocolError before it has audio."""
        if self.end is not None:
            return 0
        taken = int(self.phone.command("write_audio", self.uuid, samples, rate))
        if taken:
            self._speech.written += taken / rate
            self._speech.rate = rate
        return taken

    def audio(self, rate: int = HEARD_RATE) -> AudioStream:
        """What is heard from now on: int16, shape (n,), at `rate` Hz, a piece each 20 ms; ends with the call.

        A loop over it may simply be left; `aclose` leaves it from elsewhere.
        """
        if not self._listeners and self.end is None and self._up:
            self.phone.command("read_audio", self.uuid, rate)  # what was heard before belongs to nobody
        listener = AudioStream(self._bell, rate)
        if self.end is not None:
            listener.close()
        self._listeners.add(listener)
        return listener

    def voice(self, rate: int = HEARD_RATE) -> VoiceFrames:
        """As `audio`, in frames of exactly 20 ms, each with its level and whether somebody speaks in it."""
        return VoiceFrames(self.audio(rate))

    def turns(self, rate: int = HEARD_RATE, *, pause: float = 0.6) -> Turns:
        """Tells when the far end begins to speak, and gives what it has said once it was silent for `pause` seconds.

        Begin with it when you listen; an iterator of `TurnBegan` and `TurnEnded` that ends with the call. Raises
        ValueError for a `pause` of 0.2 s or less.
        """
        return Turns(self.voice(rate), pause)

    async def answered_by(self, timeout: float | None = 10.0) -> AnsweredBy:
        """Judges by the greeting who has answered; ask as soon as the call is up. Raises TimeoutError, CallError.

        A habit of people and machines, not a protocol: see `sansio_sip_media.answering_machine`.
        """
        async with self._runtime.timeout(timeout):
            verdict = await who_answered(self.voice())
        if verdict is None:
            raise self._error()
        return verdict

    async def beep(self, timeout: float | None = 60.0) -> Beep:
        """Waits for the end of a beep: from then on a machine records. Raises TimeoutError, CallError."""
        async with self._runtime.timeout(timeout):
            beep = await first_beep(self.audio(), HEARD_RATE)
        if beep is None:
            raise self._error()
        return beep

    def pressed(self) -> Subscription[str]:
        """Keys pressed at the far end from now on, one by one; ends with the call."""
        reader: Subscription[str] = Subscription(self._bell, limit=MAX_KEYS)
        if self.end is not None:
            reader.close()
        self._key_readers.add(reader)
        return reader

    async def record(self, path: str | Path, rate: int = HEARD_RATE) -> None:
        """Writes what is heard into a WAV file until the call ends. The file is whole whenever this stops.

        Raises OSError for a file that cannot be written. Cancelling it closes the file.
        """
        with await self._runtime.in_thread(partial(WavWriter, path, rate)) as file:
            async for samples in self.audio(rate):
                # Twenty milliseconds into a buffered file: shorter than a way to a thread and back.
                file.write(samples)

    # From the phone

    def take(self, event: Any) -> None:
        """An event about this call."""
        self.info = event.call_info
        match event:
            case events.MediaConnected():
                self._media = True
            case events.DtmfReceived():
                self.digits += event.tone
                for reader in list(self._key_readers):
                    reader.put(event.tone)
            case events.DtmfSent():
                self._tones_sent += 1
            case (
                events.CallHeld()
                | events.CallResumed()
                | events.HoldFailed()
                | events.TransferCompleted()
                | events.TransferFailed()
            ):
                self._answer = event
            case events.CallTerminated() | events.CallFailed() | events.IncomingCallCanceled():
                self.end = event
                for listener in list(self._listeners):
                    listener.close()
                for reader in list(self._key_readers):
                    reader.close()
            case _:
                pass  # the snapshot says it

    def hear(self) -> None:
        """Audio has come."""
        listeners = list(self._listeners)
        if self.end is not None or not listeners:
            return
        rate = max(listener.rate for listener in listeners)
        samples = self.phone.command("read_audio", self.uuid, rate)
        for listener in listeners:
            listener.hear(samples, rate)

    @property
    def _up(self) -> bool:
        return self.info.state is CallState.ANSWERED and self._media

    def _alive(self) -> None:
        if self.end is not None:
            raise self._error()

    def _error(self) -> CallError:
        end = self.end
        assert end is not None
        cause = end.cause if isinstance(end, events.CallFailed) else self.info.reason
        return CallError(cause, self.info.code)
