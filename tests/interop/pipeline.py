"""An agent of the real pipecat on one end of a call: a pipeline that says what it hears, or nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from drivers.runtimes import Asyncio
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from sansio_sip_async import Call
from sansio_sip_pipecat import SipTransport, SipTransportParams

__all__ = ["PATIENCE", "Agent", "agent"]

RATE = 16_000
PATIENCE = 20.0


class Echo(FrameProcessor):
    """Says what is heard, and keeps which frames came by."""

    def __init__(self, *, echoes: bool = True) -> None:
        super().__init__()
        self.echoes = echoes
        self.frames: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        if isinstance(frame, InputAudioRawFrame):
            if self.echoes:
                await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
        else:
            await self.push_frame(frame, direction)

    def of(self, kind: type) -> list[Any]:
        return [frame for frame in self.frames if isinstance(frame, kind)]


class Agent:
    """A pipeline on one end of a call. `news`: names of the transport's events, as they came."""

    def __init__(self, call: Call, *, echoes: bool = True, rate: int = RATE, hang_up: bool = True) -> None:
        self.news: list[Any] = []
        self.transport = SipTransport(call, SipTransportParams(hang_up=hang_up))
        self.middle = Echo(echoes=echoes)
        for name in ("on_client_connected", "on_client_disconnected", "on_interrupted"):
            self.transport.add_event_handler(name, self._note(name))
        pipeline = Pipeline([self.transport.input(), self.middle, self.transport.output()])
        self.worker = PipelineWorker(
            pipeline,
            params=PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate),
            enable_rtvi=False,
            idle_timeout_secs=None,
        )

    def _note(self, name: str) -> Callable[..., Any]:
        async def note(_transport: Any, about: Any) -> None:
            self.news.append((name, about))

        return note

    async def until(self, condition: Callable[[], Any]) -> None:
        """Asks again and again; what is waited for comes as sound, which tells nobody."""

        async def ask() -> None:
            while not condition():
                await Asyncio.sleep(0.02)

        await Asyncio.within(PATIENCE, ask)


@asynccontextmanager
async def agent(call: Call, *, connects: bool = True, **options: Any) -> AsyncIterator[Agent]:
    """Runs it for the length of a block, which begins when the call is up if it `connects`."""
    made = Agent(call, **options)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(made.worker)
    running = asyncio.create_task(runner.run())
    try:
        await made.until(lambda: not connects or ("on_client_connected", call) in made.news)
        yield made
    finally:
        await made.worker.cancel()
        await running
