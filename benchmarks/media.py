"""Whole calls on loopback, beside aiortc: CPU, frames delivered, set-up. Each side runs in a process of its own."""

import json
import subprocess
import sys

__all__ = ["run"]

CALLS = (1, 10, 20)
SECONDS = 10.0


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
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _measure(side: str, calls: int) -> dict[str, float]:
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.calls_of_{side}", str(calls), str(SECONDS)],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"{side} with {calls} calls failed:\n{result.stderr[-2000:]}")
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found
