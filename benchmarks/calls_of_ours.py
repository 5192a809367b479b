"""N calls between two of our phones in one process, with Opus or the codec named. Prints one row of JSON."""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sansio_sip.effects import Address
from sansio_sip.softphone import AccountOptions, MediaProfile
from sansio_sip_asyncio.client import open_softphone
from sansio_sip_devices.wav_file import read_wav_file

SPEECH = Path(__file__).resolve().parents[1] / "apps" / "sansio_sip_cli" / "speech"


async def main(calls: int, seconds: float, codec: str = "opus") -> dict[str, float]:
    samples, rate = read_wav_file(SPEECH / "alice.wav")
    speech = np.tile(samples, int(seconds * rate / len(samples)) + 2)[: int((seconds + 1) * rate)]
    options: dict[str, Any] = {"profiles": (MediaProfile.WEBRTC,), "codecs": (codec,)}
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(open_softphone()) for _ in range(2)]
        alice = one.add_account(AccountOptions("alice@127.0.0.1", bind=Address("127.0.0.1", 0), **options))
        bob = other.add_account(
            AccountOptions("bob@127.0.0.1", bind=Address("127.0.0.1", 0), allow_multiple_incoming=True, **options)
        )
        address = await bob.connected(timeout=5)
        await alice.connected(timeout=5)
        ringing = bob.incoming()
        cpu, wall = time.process_time(), time.perf_counter()
        pairs = []
        for _ in range(calls):
            call = alice.call(f"sip:bob@{address}")
            heard = await anext(ringing)
            heard.answer()
            await call.answered(timeout=30)
            await heard.answered(timeout=30)
            pairs.append((call, heard))
        setup_cpu, setup_wall = time.process_time() - cpu, time.perf_counter() - wall
        for pair in pairs:
            for call in pair:
                call.write_audio(speech, rate)
        listeners = [asyncio.create_task(_listen(call)) for pair in pairs for call in pair]
        await asyncio.sleep(0.5)
        before = [_played(call) for pair in pairs for call in pair]
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        spent, passed = time.process_time() - cpu, time.perf_counter() - wall
        after = [_played(call) for pair in pairs for call in pair]
        for listener in listeners:
            listener.cancel()
        frames = sum(last - first for first, last in zip(before, after, strict=True))
        return {
            "cpu_ms": spent / passed / calls * 1000,
            "delivered": min(1.0, frames / (2 * calls * passed / 0.02)),
            "setup_cpu_ms": setup_cpu / calls * 1000,
            "setup_wall_ms": setup_wall / calls * 1000,
        }


async def _listen(call: Any) -> None:
    async for _ in call.audio(rate=48_000):
        pass


def _played(call: Any) -> int:
    """Frames that arrived in time to be played."""
    statistics = call.statistics()
    return int(statistics.packets_received - statistics.discarded)


print(json.dumps(asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]))))
