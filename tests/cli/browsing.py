"""A page in headless Chromium: what it loads, what it says, and what it looks like."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from interop.peers import node_modules

__all__ = ["Look", "look_at"]


class Look:
    """What was seen of a page."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.requests = [str(row["url"]) for row in rows if row["event"] == "request"]
        self.errors = [str(row["text"]) for row in rows if row["event"] == "error"]
        self.answer = next(row["value"] for row in rows if row["event"] == "answer")
        self.overflow = {int(row["width"]): int(row["overflow"]) for row in rows if row["event"] == "shot"}


def look_at(url: str, shots: Path, *, script: str = "", widths: tuple[int, ...] = (1280,)) -> Look:
    """Opens the page, evaluates `script` in it, and writes a picture `SHOTS-WIDTH.png` of each width."""
    env = {
        "NM": str(node_modules()),
        "PAGE": url,
        "SHOTS": str(shots),
        "WIDTHS": ",".join(map(str, widths)),
    }
    result = subprocess.run(
        ["node", str(Path(__file__).with_name("look.mjs"))],
        input=script,
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, **env},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return Look([json.loads(line) for line in result.stdout.splitlines()])
