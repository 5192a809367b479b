"""Whole calls on loopback, beside aiortc: CPU, frames delivered, set-up. Each side runs in a process of its own."""

import json
import statistics
import subprocess
import sys

from .media_limit import milliseconds

__all__ = ["run"]

CALLS = (1, 10, 20)
SECONDS = 10.0
G711_CALLS = 20
ROUNDS = 3


def run() -> str:
    """A Markdown table. CPU in milliseconds a call and second, both ends; delivered: frames heard of frames said."""
    heads = ["calls", "ours CPU ms", "aiortc CPU ms", "ratio", "ours delivered", "aiortc delivered"]
    heads += ["set-up CPU ratio", "set-up wall ratio"]
    lines = [_row(heads), "|---" * len(heads) + "|"]
    for calls in CALLS:
        ours, theirs = (_measure(side, calls) for side in ("ours", "aiortc"))
        cells = [str(calls), f"{ours['cpu_ms']:.1f}", f"{theirs['cpu_ms']:.1f}"]
        cells += [f"{ours['cpu_ms'] / theirs['cpu_ms']:.2f}", f"{ours['delivered']:.1%}", f"{theirs['delivered']:.1%}"]
        cells += [f"{ours[key] / theirs[key]:.2f}" for key in ("setup_cpu_ms", "setup_wall_ms")]
        lines.append(_row(cells))
    return "\n".join([*lines, "", *_alone()])


def _alone() -> list[str]:
    """What there is nothing to compare with: the limit that C sets, and calls of G.711."""
    limit = statistics.median(milliseconds() for _ in range(ROUNDS))
    g711 = _measure("ours", G711_CALLS, "pcmu")
    calls = (
        f"G.711, {G711_CALLS} calls: {g711['cpu_ms']:.1f} ms CPU a call and second, {g711['delivered']:.1%} delivered:"
        f" {1000 / g711['cpu_ms']:.0f} calls to a core."
    )
    return [f"Opus, SRTP and sockets in C alone: {limit:.1f} ms CPU a call and second.", calls]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _measure(side: str, calls: int, *more: str) -> dict[str, float]:
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.calls_of_{side}", str(calls), str(SECONDS), *more],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"{side} with {calls} calls failed:\n{result.stderr[-2000:]}")
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found
