"""Each test that a page names as a proof is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("page", "least"), [("SECURITY.md", 30), ("docs/reference/rfcs.md", 40)])
def test_each_named_test_exists(page: str, least: int) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / page).read_text(encoding="utf-8")))
    there = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))
    assert len(named) > least
    assert named <= there, f"not there: {sorted(named - there)}"
