"""Pipelines of the real pipecat on calls through the embedded server on loopback."""

import asyncio
import warnings
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio
from drivers.test_front_ends import two_phones
from drivers.test_voice import call as call_between
from drivers.test_voice import said, tone
from interop.peers import absent

from sansio_sip_async import Call, Flushed
from sansio_sip_media.likeness import likeness

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pipecat imports what Python is going to remove
        from interop.pipeline import PATIENCE, agent
        from pipecat.frames.frames import (
            BotStoppedSpeakingFrame,
            EndFrame,
            InputDTMFFrame,
            InterruptionFrame,
            OutputDTMFFrame,
            TTSAudioRawFrame,
            TTSStoppedFrame,
        )

        from sansio_sip_pipecat import SipTransport, SipTransportParams
except ModuleNotFoundError as missing:
    lacking = str(missing)
else:
    lacking = ""

pytestmark = [pytest.mark.interop, pytest.mark.realtime]

RATE = 16_000


@pytest.fixture(autouse=True)
def _peer() -> None:
    if lacking:
        absent(f"{lacking}: pip install sansio-sip[pipecat]")


def listening(call: Call, heard: list[Any]) -> "asyncio.Task[None]":
    async def listen() -> None:
        async for piece in call.audio(RATE):
            heard.append(piece)

    return asyncio.create_task(listen())


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_the_far_end_hears_its_own_speech_back(rate: int) -> None:
    async def main() -> None:
        heard: list[Any] = []
        async with call_between(Asyncio) as (ours, theirs), agent(theirs, rate=rate) as bot:
            ear = listening(ours, heard)
            await ours.play(said("alice", 5.0), RATE)
            await asyncio.sleep(1.0)
            ours.hangup()
            await ear
            await bot.until(lambda: ("on_client_disconnected", theirs) in bot.news)
            assert bot.transport.get_client_id(theirs) == str(theirs.uuid)
        found = likeness(said("alice", 5.0), np.concatenate(heard), RATE)
        assert found.median >= 0.9, found

    Asyncio.run(main)


def test_an_interruption_empties_what_is_queued_and_tells_how_much_was_heard() -> None:
    async def main() -> None:
        heard: list[Any] = []
        async with call_between(Asyncio) as (ours, theirs), agent(theirs, echoes=False) as bot:
            ear = listening(ours, heard)
            await bot.worker.queue_frame(TTSAudioRawFrame(tone(20.0).tobytes(), RATE, 1))
            await bot.until(lambda: sum(len(piece) for piece in heard if np.abs(piece).max() > 1000) > 1.5 * RATE)
            await bot.worker.queue_frame(InterruptionFrame())
            await bot.until(lambda: any(name == "on_interrupted" for name, _ in bot.news))
            (flushed,) = [about for name, about in bot.news if name == "on_interrupted"]
            assert isinstance(flushed, Flushed)
            assert theirs.queued == 0.0
            await asyncio.sleep(1.5)
            sound = np.abs(np.concatenate(heard).astype(np.float64)) > 1000
            length = (np.flatnonzero(sound)[-1] - np.flatnonzero(sound)[0]) / RATE
            # A second and a half, and what was under way; not the twenty that were queued.
            assert 1.4 < length < 2.5
            assert flushed.heard / flushed.rate == pytest.approx(length, abs=0.15)
            assert not sound[-RATE:].any()
            assert bot.middle.of(BotStoppedSpeakingFrame)
            # It speaks again.
            await bot.worker.queue_frame(TTSAudioRawFrame(tone(0.5).tobytes(), RATE, 1))
            count = len(heard)
            await bot.until(lambda: any(np.abs(piece).max() > 1000 for piece in heard[count:]))
            ours.hangup()
            await ear

    Asyncio.run(main)


def test_keys_go_both_ways_and_the_end_of_the_pipeline_hangs_up() -> None:
    async def main() -> None:
        async with call_between(Asyncio) as (ours, theirs), agent(theirs) as bot:
            await ours.send_dtmf("1*A#")
            await bot.until(lambda: len(bot.middle.of(InputDTMFFrame)) == 3)
            assert [frame.button.value for frame in bot.middle.of(InputDTMFFrame)] == ["1", "*", "#"]
            await bot.worker.queue_frame(TTSAudioRawFrame(tone(0.5).tobytes(), RATE, 1))
            await bot.worker.queue_frame(OutputDTMFFrame.from_string("42"))
            assert await ours.gather(2, timeout=PATIENCE) == "42"
            await bot.worker.queue_frame(EndFrame())
            ended: Any = await ours.ended(timeout=PATIENCE)
            assert ended.hangup_info.originator == "remote"

    Asyncio.run(main)


def test_a_call_on_hold_lets_the_pipeline_go_on() -> None:
    async def main() -> None:
        async with call_between(Asyncio) as (ours, theirs), agent(theirs, echoes=False, hang_up=False) as bot:
            await ours.hold(timeout=PATIENCE)
            await bot.worker.queue_frame(TTSAudioRawFrame(tone(0.4).tobytes(), RATE, 1))
            await bot.worker.queue_frame(TTSStoppedFrame())
            await bot.until(lambda: bot.middle.of(BotStoppedSpeakingFrame))
            await ours.resume(timeout=PATIENCE)
            heard: list[Any] = []
            ear = listening(ours, heard)
            await bot.worker.queue_frame(TTSAudioRawFrame(tone(0.4).tobytes(), RATE, 1))
            await bot.until(lambda: any(np.abs(piece).max() > 1000 for piece in heard))
            await bot.worker.cancel()
            await asyncio.sleep(0.2)
            assert ours.end is None
            ours.hangup()
            await ear

    Asyncio.run(main)


def test_a_call_that_nobody_takes_is_told_as_one_that_has_ended() -> None:
    async def main() -> None:
        async with two_phones(Asyncio) as (alice, bob, _, _other):
            ringing = bob.incoming()
            call = alice.call("bob")
            async with agent(call, connects=False) as bot:
                await bot.worker.queue_frame(TTSAudioRawFrame(tone(0.4).tobytes(), RATE, 1))
                (await anext(ringing)).reject()
                await bot.until(lambda: ("on_client_disconnected", call) in bot.news)
                assert ("on_client_connected", call) not in bot.news

    Asyncio.run(main)


def test_two_channels_are_refused() -> None:
    call: Any = None
    with pytest.raises(ValueError, match="one channel"):
        SipTransport(call, SipTransportParams(audio_out_channels=2))
