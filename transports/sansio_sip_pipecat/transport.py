"""A transport of pipecat over one call: the pipeline hears its far end, and speaks to it.

Theory of operation
-------------------
The input is up once the call is: it pushes what is heard, 20 ms a frame, and the keys that are pressed. The output
writes ahead of the call's clock by little, and waits: so pipecat knows when the bot speaks, and an interruption finds
most of what was to be said still in pipecat's own queue. What has come as far as the call's queue is flushed, and
`on_interrupted` tells how much of it was heard.

What cannot be said does not stop the pipeline: while the call is on hold time passes as if it were said.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import numpy as np
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    CancelFrame,
    ClientConnectedFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams

from sansio_sip.errors import LocalProtocolError
from sansio_sip_async import Call, CallError, Flushed

__all__ = ["SipInputTransport", "SipOutputTransport", "SipTransport", "SipTransportParams"]

# Seconds of audio that may wait in the call's queue: a loop that is late by less than this leaves no gap.
AHEAD = 0.1

# Seconds beyond its own length after which a frame that does not leave is given up: the call is on hold.
PATIENCE = 0.3

KEYS = frozenset(key.value for key in KeypadEntry)


class SipTransportParams(TransportParams):
    """As pipecat's own, with audio both ways enabled; telephones have one channel.

    Parameters:
        hang_up: Whether the call is hung up when the pipeline ends.
    """

    audio_in_enabled: bool = True
    audio_out_enabled: bool = True
    hang_up: bool = True


class SipInputTransport(BaseInputTransport):
    """What is heard, and which keys are pressed."""

    def __init__(self, transport: "SipTransport", params: SipTransportParams, **kwargs: Any) -> None:
        super().__init__(params, **kwargs)
        self._sip = transport
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        if not self._tasks:
            self._tasks.append(self.create_task(self._attend()))

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._leave()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._leave()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._leave()
        await self._sip.cleanup()

    async def _leave(self) -> None:
        while self._tasks:
            await self.cancel_task(self._tasks.pop())

    async def _attend(self) -> None:
        """The call from its answer to its end."""
        call = self._sip.call
        with suppress(CallError):  # it ended before it was answered: that is told below
            await call.answered()
            self._tasks.append(self.create_task(self._listen(call)))
            self._tasks.append(self.create_task(self._read_keys(call)))
            await self._sip.tell("on_client_connected")
            await self.push_frame(ClientConnectedFrame())
        await call.ended()
        await self._sip.tell("on_client_disconnected")

    async def _listen(self, call: Call) -> None:
        async for samples in call.audio(self.sample_rate):
            await self.push_audio_frame(InputAudioRawFrame(samples.tobytes(), self.sample_rate, 1))

    async def _read_keys(self, call: Call) -> None:
        async for key in call.pressed():
            if key in KEYS:  # pipecat knows no A to D
                await self.push_frame(InputDTMFFrame(button=KeypadEntry(key)))


class SipOutputTransport(BaseOutputTransport):
    """What is said, and which keys we press."""

    def __init__(self, transport: "SipTransport", params: SipTransportParams, **kwargs: Any) -> None:
        super().__init__(params, **kwargs)
        self._sip = transport
        self._hang_up = params.hang_up
        self._interruptible = True  # what was written last

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        self._leave()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        self._leave()

    async def cleanup(self) -> None:
        await super().cleanup()
        self._leave()
        await self._sip.cleanup()

    def _leave(self) -> None:
        if self._hang_up:
            self._sip.call.hangup()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame) and self._interruptible and self._sip.up:
            await self._sip.tell("on_interrupted", self._sip.call.flush())

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Says it, and waits until little of it is left to say. False where nobody is there to hear it."""
        if not self._sip.up:
            return False
        samples = np.frombuffer(frame.audio, dtype="<i2").astype(np.int16)
        self._interruptible = frame.interruptible
        self._sip.call.write_audio(samples, frame.sample_rate)
        await self._sip.until_said(AHEAD)
        return self._sip.up

    def _supports_native_dtmf(self) -> bool:
        return True

    async def _write_dtmf_native(self, frame: OutputDTMFFrame | OutputDTMFUrgentFrame) -> None:
        if not self._sip.up:
            return
        if isinstance(frame, OutputDTMFFrame):
            await self._sip.until_said(0.0)  # a key takes the place of what is said
        try:
            await self._sip.call.send_dtmf(frame.to_string())
        except LocalProtocolError as error:
            await self.push_error(f"the far end takes no keys: {error}")
        except CallError:
            return  # whoever hangs up wants no keys


class SipTransport(BaseTransport):
    """A call as pipecat's transport.

    Event handlers, each with the transport and then:

    - `on_client_connected(call)`: it is up. What is said before is heard by nobody.
    - `on_client_disconnected(call)`: it has ended, whoever ended it; also where nobody answered. See `call.end`.
    - `on_interrupted(flushed)`: what was being said was cut short, and how much of it was heard: see `Flushed`.

    Args:
        call: one of `open_softphone`, made or answered by you.
        params: None for those of a telephone.

    Raises ValueError for more than one channel.
    """

    def __init__(self, call: Call, params: SipTransportParams | None = None, **names: Any) -> None:
        super().__init__(**names)
        self.call = call
        self._params = params or SipTransportParams()
        if self._params.audio_in_channels != 1 or self._params.audio_out_channels != 1:
            raise ValueError("a telephone has one channel: leave audio_in_channels and audio_out_channels at 1")
        self._input: SipInputTransport | None = None
        self._output: SipOutputTransport | None = None
        for event in ("on_client_connected", "on_client_disconnected", "on_interrupted"):
            self._register_event_handler(event)

    def input(self) -> SipInputTransport:
        """The processor at the begin of the pipeline."""
        if self._input is None:
            self._input = SipInputTransport(self, self._params, name=self._input_name)
        return self._input

    def output(self) -> SipOutputTransport:
        """The processor at the end of the pipeline."""
        if self._output is None:
            self._output = SipOutputTransport(self, self._params, name=self._output_name)
        return self._output

    def get_client_id(self, client: Any) -> str:
        """The call's UUID."""
        return str(client.uuid)

    # For the two processors

    @property
    def up(self) -> bool:
        """Whether somebody hears what is said."""
        return self.call.is_up

    def tell(self, event: str, *args: Flushed) -> Awaitable[None]:
        """Calls the handlers of an event."""
        waits: Awaitable[None] = self._call_event_handler(event, *(args or (self.call,)))
        return waits

    async def until_said(self, ahead: float) -> None:
        """Waits until no more than so many seconds wait to be said; what does not leave in time is taken back."""
        begin = left = self.call.queued
        waited = 0.0
        while left > ahead and self.call.is_up:
            if waited > begin + PATIENCE:
                self.call.flush()
                return
            await asyncio.sleep(left - ahead)
            waited += left - ahead
            left = self.call.queued
