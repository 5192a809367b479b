"""Sound of the terminal's phone: a microphone and a speaker, at the pace of the loop."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sansio_sip_cli.audio import Clip, load
from sansio_sip_devices import AudioBackend, DeviceError, PortAudioDevices, VirtualDevices

from .line import Line

__all__ = ["Loop", "backend", "pump"]

# Seconds between two reads of the microphone: one frame of the codecs.
PIECE = 0.02


class Loop:
    """A clip again and again, as a microphone."""

    def __init__(self, clip: Clip) -> None:
        self.rate = clip.rate
        self._samples = clip.samples
        self._position = 0

    def __call__(self, count: int) -> Any:
        picked = (self._position + np.arange(count)) % len(self._samples)
        self._position = (self._position + count) % len(self._samples)
        return self._samples[picked]


def backend(audio: str) -> AudioBackend | None:
    """`device`: the sound hardware; `none`: silence; else a WAV file to speak. Raises DeviceError, UnreadableAudio."""
    if audio == "none":
        return None
    if audio == "device":
        return PortAudioDevices()
    clip = load(Path(audio))
    return VirtualDevices(inputs={"file": Loop(clip)}, outputs={"nowhere": lambda samples, rate: None})


async def pump(line: Line, devices: AudioBackend) -> None:
    """Carries sound between devices and line until it is cancelled. Tells the line where a device fails."""
    with ExitStack() as opened:
        opened.callback(devices.close)
        try:
            microphone = await asyncio.to_thread(devices.open_microphone, "default")
            opened.callback(microphone.close)
            speaker = await asyncio.to_thread(devices.open_speaker, "default")
            opened.callback(speaker.close)
        except DeviceError as error:
            line.tell(f"no sound: {error}")
            return
        failures: list[DeviceError] = []

        def hear(samples: Any) -> None:
            # The driver calls: what was raised here would be the end of the phone, and not of its sound alone.
            try:
                speaker.write(samples, line.RATE)
            except DeviceError as error:
                failures.append(error)

        line.heard = hear
        loop = asyncio.get_running_loop()
        before = loop.time()
        try:
            while not failures:
                await asyncio.sleep(PIECE)
                now = loop.time()
                line.say(microphone.read(now - before), microphone.rate)
                before = now
        except DeviceError as error:
            failures.append(error)
        finally:
            line.heard = lambda _: None
        line.tell(f"no sound any more: {failures[0]}")
