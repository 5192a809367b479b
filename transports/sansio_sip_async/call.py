"""A call that can be waited for."""

from collections.abc import AsyncIterator
from contextlib import suppress
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
from sansio_sip_media.resample import Resampler

from .runtime import AsyncRuntime, Bell, Subscription

if TYPE_CHECKING:
    from .phone import Phone

__all__ = ["Call", "CallError"]

Int16 = npt.NDArray[np.int16]

Answer = events.CallHeld | events.CallResumed | events.HoldFailed | events.TransferCompleted | events.TransferFailed
End = events.CallTerminated | events.CallFailed | events.IncomingCallCanceled

# Seconds of audio handed to the engine at a time, and how much may wait there: `flush` gives back what waits, and a
# stall of the program for less than this is not heard.
CHUNK, AHEAD = 0.5, 1.0

# What is heard is read at the rate of whoever wants it; without a wish, at this one.
HEARD_RATE = 16_000

# Seconds of heard audio kept for a reader that lags.
MAX_UNREAD = 60.0


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


class _Listener:
    """Somebody who wants what is heard, at a rate. Whoever iterates over it holds it; the call does not."""

    def __init__(self, bell: Bell, rate: int) -> None:
        self.rate = rate
        self.queue: Subscription[Int16] = Subscription(bell, limit=int(MAX_UNREAD / 0.02))
        self._resampler: Resampler | None = None

    def put(self, samples: Int16, rate: int) -> None:
        if rate != self.rate:
            if self._resampler is None or self._resampler.rate_in != rate:
                self._resampler = Resampler(rate, self.rate)
            samples = self._resampler.process(samples)
        if len(samples):
            self.queue.put(samples)

    def __aiter__(self) -> "_Listener":
        return self

    async def __anext__(self) -> Int16:
        return await self.queue.__anext__()


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
        # One that nobody iterates over any more is gone, without a word of whoever has left its loop.
        self._listeners: WeakSet[_Listener] = WeakSet()

    @property
    def uuid(self) -> CallUuid:
        return self.info.call_uuid

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

    def flush(self) -> float:
        """Drops what was written and has not left yet: barge-in. Returns the seconds dropped."""
        return float(self.phone.command("flush_audio", self.uuid)) if self.end is None else 0.0

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

    async def play(self, source: "str | Path | Int16", rate: int | None = None) -> None:
        """Says a WAV file, or int16 samples of shape (n,) at `rate` Hz, and waits until they have left.

        Cancelling it takes back what has not left. Raises OSError or ParseError for a file that cannot be read,
        CallError if the call ends first.
        """
        if isinstance(source, str | Path):
            samples, hertz = await self._runtime.in_thread(partial(read_wav_file, source))
        elif rate is None:
            raise ValueError("rate is missing: give the rate of the samples in Hz")
        else:
            samples, hertz = source, rate
        await self.answered()
        position = 0
        try:
            while position < len(samples):
                self._alive()
                if self.phone.machine.audio_queued(self.uuid) < AHEAD:
                    position += self.write_audio(samples[position : position + int(hertz * CHUNK)], hertz)
                else:
                    await self._runtime.sleep(CHUNK / 2)
            while self.end is None and (left := self.phone.machine.audio_queued(self.uuid)) > 0:
                await self._runtime.sleep(left)
        except BaseException:
            self.flush()
            raise
        self._alive()

    def write_audio(self, samples: Int16, rate: int) -> int:
        """Queues int16 samples, shape (n,). Returns how many were taken: the queue holds half a minute, and after the
        call's end none are. Raises LocalProtocolError before it has audio."""
        return int(self.phone.command("write_audio", self.uuid, samples, rate)) if self.end is None else 0

    def audio(self, rate: int = HEARD_RATE) -> AsyncIterator[Int16]:
        """What is heard from now on: int16, shape (n,), at `rate` Hz, a piece each 20 ms; ends with the call."""
        if not self._listeners and self.end is None and self._up:
            self.phone.command("read_audio", self.uuid, rate)  # what was heard before belongs to nobody
        listener = _Listener(self._bell, rate)
        if self.end is not None:
            listener.queue.close()
        self._listeners.add(listener)
        return listener

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
                    listener.queue.close()
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
            listener.put(samples, rate)

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
