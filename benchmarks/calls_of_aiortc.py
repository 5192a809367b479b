"""N calls between peer connections of aiortc in one process, with speech and its defaults. Prints one row of JSON."""

import asyncio
import fractions
import json
import sys
import time
from pathlib import Path

import aioice.ice
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection

from sansio_sip_devices.wav_file import read_wav_file

SPEECH = Path(__file__).resolve().parents[1] / "apps" / "sansio_sip_cli" / "speech"
RATE = 48_000
FRAME = RATE // 50


class Speech(MediaStreamTrack):
    """Says the same speech, 20 ms at a time, on the clock."""

    kind = "audio"

    def __init__(self, samples: np.ndarray) -> None:
        super().__init__()
        self._samples = samples
        self._count = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self._start is None:
            self._start = time.monotonic()
        wait = self._start + self._count * 0.02 - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        begin = self._count * FRAME % (len(self._samples) - FRAME)
        frame = av.AudioFrame.from_ndarray(self._samples[None, begin : begin + FRAME], format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self._count * FRAME
        frame.time_base = fractions.Fraction(1, RATE)
        self._count += 1
        return frame


class Ear:
    """Counts the frames that arrive."""

    def __init__(self) -> None:
        self.frames = 0

    async def listen(self, track: MediaStreamTrack) -> None:
        while True:
            await track.recv()
            self.frames += 1


async def main(calls: int, seconds: float) -> dict[str, float]:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    samples, rate = read_wav_file(SPEECH / "alice.wav")
    speech = np.repeat(samples, RATE // rate)
    ears: list[Ear] = []
    tasks: list[asyncio.Task[None]] = []
    connections = []
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        one, other = RTCPeerConnection(), RTCPeerConnection()
        connected = []
        for peer in (one, other):
            ear = Ear()
            ears.append(ear)
            peer.on("track", lambda track, ear=ear: tasks.append(asyncio.create_task(ear.listen(track))))
            peer.addTrack(Speech(speech))
            done = asyncio.Event()
            connected.append(done)
            peer.on(
                "connectionstatechange",
                lambda peer=peer, done=done: done.set() if peer.connectionState == "connected" else None,
            )
        await one.setLocalDescription(await one.createOffer())
        await other.setRemoteDescription(one.localDescription)
        await other.setLocalDescription(await other.createAnswer())
        await one.setRemoteDescription(other.localDescription)
        for done in connected:
            await asyncio.wait_for(done.wait(), 30)
        connections += [one, other]
    setup_cpu, setup_wall = time.process_time() - cpu, time.perf_counter() - wall
    await asyncio.sleep(0.5)
    before = sum(ear.frames for ear in ears)
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    spent, passed = time.process_time() - cpu, time.perf_counter() - wall
    frames = sum(ear.frames for ear in ears) - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(connection.close() for connection in connections))
    return {
        "cpu_ms": spent / passed / calls * 1000,
        "delivered": min(1.0, frames / (2 * calls * passed / 0.02)),
        "setup_cpu_ms": setup_cpu / calls * 1000,
        "setup_wall_ms": setup_wall / calls * 1000,
    }


print(json.dumps(asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))))
