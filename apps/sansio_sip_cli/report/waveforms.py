"""Recordings: those that lie beside a trace, their shape, and the audio itself as a data URI."""

import base64
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sansio_sip_cli.audio import load

from .markup import Html, element

__all__ = ["beside", "waveform"]

WIDTH, HEIGHT = 1160, 64

# A page is to be sent by mail and opened at once: octets of audio in it.
MAX_AUDIO = 24_000_000


def beside(trace: Path, machines: Iterable[str]) -> list[Path]:
    """WAV files in the folder of a trace that are named for it or for one of its machines."""
    names = (trace.stem, *machines)
    return sorted(
        path
        for path in trace.parent.glob("*.wav")
        if any(path.stem == name or path.stem.startswith(f"{name}-") for name in names)
    )


def waveform(path: Path, room: int) -> tuple[Html, int]:
    """A recording with its play button, and the octets that it took of `room`. Raises UnreadableAudio."""
    clip = load(path)
    data = path.read_bytes()
    title = element("b", path.name)
    length = f" {clip.seconds:.1f} s, {clip.rate} Hz"
    drawing = element(
        "svg",
        element("path", d=_shape(clip.samples), class_="wave"),
        element("line", x1=0, x2=0, y1=0, y2=HEIGHT, class_="head"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"waveform of {path.name}",
    )
    if len(data) > room:
        note = element("figcaption", title, length, " (too long to be played from this page)")
        return element("figure", note, drawing, class_="recording"), 0
    uri = "data:audio/wav;base64," + base64.b64encode(data).decode("ascii")
    button = element("button", "▶", type="button", aria_label=f"play {path.name}")
    sound = element("audio", src=uri, preload="metadata")
    caption = element("figcaption", button, title, length)
    return element("figure", caption, drawing, sound, class_="recording"), len(data)


def _shape(samples: npt.NDArray[np.int16]) -> str:
    """The least and the greatest sample of each column, as an outline."""
    columns = min(WIDTH, len(samples))
    edges = np.linspace(0, len(samples), columns, endpoint=False).astype(np.intp)
    scale = HEIGHT / 2 / 32768
    above = HEIGHT / 2 - np.maximum.reduceat(samples, edges) * scale
    below = HEIGHT / 2 - np.minimum.reduceat(samples, edges) * scale
    step = WIDTH / columns
    there = [f"{number * step:.1f} {value:.1f}" for number, value in enumerate(above)]
    back = [f"{number * step:.1f} {value:.1f}" for number, value in reversed(list(enumerate(below + 0.5)))]
    return "M" + "L".join(there + back) + "Z"
