"""Each test that SECURITY.md names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_each_named_test_exists() -> None:
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    there = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"def (test_[a-z0-9_]+)\(", path.read_text(encoding="utf-8")))
    assert len(named) > 30
    assert named <= there, f"not there: {sorted(named - there)}"
