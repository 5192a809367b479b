"""A call as a voice agent has it, on both event loops: marks, turns, barge-in, keys, machines and beeps."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import RUNTIMES
from drivers.test_front_ends import FRONTS, PATIENCE, account, server

from sansio_sip.softphone import MediaProfile
from sansio_sip_async import AnsweredBy, Call, CallError, TurnBegan, TurnEnded
from sansio_sip_media.resample import Resampler
from sansio_sip_media.wav import read_wav

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)

RATE = 16_000
SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech"


@asynccontextmanager
async def call(runtime: Any) -> AsyncIterator[tuple[Call, Call]]:
    """Alice's end and Bob's end of a call that is up."""
    front = FRONTS[runtime.name]
    cheap: Any = {"profiles": (MediaProfile.RTP,), "codecs": ("pcmu",)}
    async with server(runtime) as url, front.open_softphone() as one, front.open_softphone() as other:
        alice, bob = (
            one.add_account(account(url, "alice", **cheap)),
            other.add_account(account(url, "bob", **cheap)),
        )
        await alice.login(timeout=PATIENCE)
        await bob.login(timeout=PATIENCE)
        ringing = bob.incoming()
        ours = alice.call("bob")
        theirs = await anext(ringing)
        theirs.answer()
        await ours.answered(timeout=PATIENCE)
        await theirs.answered(timeout=PATIENCE)
        yield ours, theirs


def run(runtime: Any, main: Callable[[], Awaitable[None]]) -> None:
    """In virtual time: what is counted here is exact."""
    runtime.run(main, virtual=True)


def tone(seconds: float, frequency: float = 440.0, rate: int = RATE) -> Any:
    return (8000 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def said(name: str, seconds: float) -> Any:
    samples, own = read_wav((SPEECH / f"{name}.wav").read_bytes())
    return Resampler(own, RATE).process(samples)[: int(seconds * RATE)]


def test_barge_in_says_how_much_was_heard(runtime: Any) -> None:
    async def main() -> None:
        async with call(runtime) as (ours, theirs):
            heard: list[Any] = []
            result: list[int] = []

            async def listen() -> None:
                async for piece in theirs.audio(rate=RATE):
                    heard.append(piece)

            async def speak() -> None:
                result.append(await ours.play(tone(20.0, rate=24_000), 24_000))
                await runtime.sleep(0.5)
                ours.hangup()

            async def interrupt() -> None:
                await runtime.sleep(2.0)
                flushed = ours.flush()
                assert flushed.rate == 24_000
                assert flushed.heard / flushed.rate == pytest.approx(2.0, abs=0.05)
                assert 0 < flushed.dropped <= 1.5 * flushed.rate
                assert ours.flush().heard == 0
                result.append(flushed.heard)

            await runtime.together(listen, speak, interrupt)
            cut, played = result
            assert played == cut > 0
            # What the far end has heard of the tone is what we were told.
            sound = np.abs(np.concatenate(heard).astype(np.float64)) > 1000
            length = (np.flatnonzero(sound)[-1] - np.flatnonzero(sound)[0]) / RATE
            assert length == pytest.approx(cut / 24_000, abs=0.06)

    run(runtime, main)


def test_what_is_played_to_its_end_was_heard_whole(runtime: Any) -> None:
    async def main() -> None:
        async with call(runtime) as (ours, _):
            assert await ours.play(tone(1.5), RATE) == 1.5 * RATE
            flushed = ours.flush()
            assert (flushed.heard, flushed.dropped) == (1.5 * RATE, 0)
            assert ours.write_audio(tone(0.1), RATE) == 0.1 * RATE
            flushed = ours.flush()
            assert flushed.heard + flushed.dropped == 0.1 * RATE
            ours.hangup()
            assert ours.flush().heard == ours.flush().dropped == 0

    run(runtime, main)


def test_what_comes_piece_by_piece_is_said_as_it_comes(runtime: Any) -> None:
    async def main() -> None:
        async with call(runtime) as (ours, theirs):
            made: list[int] = []
            closed: list[bool] = []

            async def speech() -> AsyncIterator[Any]:
                try:
                    for number in range(50):
                        made.append(number)
                        yield tone(0.3)
                finally:
                    closed.append(True)

            frames: list[Any] = []

            async def listen() -> None:
                async for frame in theirs.voice(8_000):
                    frames.append(frame)

            async def speak() -> None:
                heard = await ours.play(speech(), RATE)
                assert heard / RATE == pytest.approx(3.0, abs=0.05)
                assert closed
                # A second ahead of what is heard, and no further.
                assert len(made) <= 15
                ours.hangup()

            async def interrupt() -> None:
                await runtime.sleep(3.0)
                ours.flush()

            await runtime.together(listen, speak, interrupt)
            assert {len(frame.samples) for frame in frames} == {160}
            voiced = [frame for frame in frames if frame.voice]
            assert len(voiced) * 0.020 == pytest.approx(3.1, abs=0.25)
            assert max(frame.level for frame in voiced) == pytest.approx(20 * np.log10(8000 / 32768) - 3.01, abs=0.5)
            assert min(frame.level for frame in frames) < -60

    run(runtime, main)


def test_turns_are_told_as_they_begin_and_given_when_they_end(runtime: Any) -> None:
    async def main() -> None:
        async with call(runtime) as (ours, theirs):
            events: list[Any] = []

            async def listen() -> None:
                async for event in theirs.turns(24_000, pause=0.5):
                    events.append(event)

            async def speak() -> None:
                await runtime.sleep(0.5)
                await ours.play(tone(0.8), RATE)
                await runtime.sleep(1.5)
                await ours.play(tone(0.4), RATE)
                await runtime.sleep(1.5)
                ours.hangup()

            await runtime.together(listen, speak)
            assert [type(event) for event in events] == [TurnBegan, TurnEnded, TurnBegan, TurnEnded]
            lengths = [len(event.samples) / event.rate for event in events[1::2]]
            assert lengths == [pytest.approx(0.8 + 0.45, abs=0.15), pytest.approx(0.4 + 0.45, abs=0.15)]
            assert events[1].at - events[0].at == pytest.approx(0.8 + 0.5 - 0.05, abs=0.1)

    run(runtime, main)


def test_keys_come_one_by_one_and_end_with_the_call(runtime: Any) -> None:
    async def main() -> None:
        async with call(runtime) as (ours, theirs):
            pressed = []

            async def listen() -> None:
                async for key in theirs.pressed():
                    pressed.append(key)

            async def press() -> None:
                await ours.send_dtmf("12#")
                await runtime.sleep(0.5)
                ours.hangup()

            await runtime.together(listen, press)
            assert pressed == ["1", "2", "#"]
            assert [key async for key in theirs.pressed()] == []

    run(runtime, main)


def test_a_machine_is_told_from_somebody_and_its_beep_is_waited_for(runtime: Any) -> None:
    async def main() -> None:
        async with call(runtime) as (ours, theirs):
            verdicts: list[Any] = []

            async def machine() -> None:
                await theirs.play(said("bob", 5.0), RATE)
                await runtime.sleep(0.4)
                await theirs.play(tone(0.5, 1000.0), RATE)
                await runtime.sleep(1.0)

            async def caller() -> None:
                verdicts.append(await ours.answered_by(timeout=10))
                verdicts.append(await ours.beep(timeout=10))
                with pytest.raises(TimeoutError):
                    await ours.beep(timeout=0.5)

            await runtime.together(machine, caller)
            assert verdicts[0] is AnsweredBy.MACHINE
            assert verdicts[1].frequency == pytest.approx(1000, abs=6)
            assert verdicts[1].seconds == pytest.approx(0.5, abs=0.06)

        async with call(runtime) as (ours, theirs):

            async def somebody() -> None:
                await theirs.play(said("alice", 0.7), RATE)

            async def greeted() -> None:
                assert await ours.answered_by(timeout=10) is AnsweredBy.HUMAN
                theirs.hangup()
                with pytest.raises(CallError):
                    await ours.beep(timeout=10)

            await runtime.together(somebody, greeted)

    run(runtime, main)
