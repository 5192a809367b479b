"""The rows of the parity sheet: which tests prove each one, found by the ids in their names."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from shared import require_shared

__all__ = ["MISSING", "MISSING_FAULTS", "MISSING_ON_LOOPBACK", "faults", "ids", "proofs"]

TESTS = Path(__file__).parents[1]
TESTED = re.compile(r"(?<![A-Za-z0-9])(M[0-9]{2}|A[0-9]{2}|E[0-9]{2}|Q[0-9]|C[0-9]{2})(?![0-9])")

# Rows without any test yet, and why. A row that has one must not stand here.
MISSING: Mapping[str, str] = {}

# Rows with a test in virtual time alone, and why.
MISSING_ON_LOOPBACK: Mapping[str, str] = {}

# Faults of the reference (section 14 of its facts) without a test that ours has not got them.
MISSING_FAULTS: Mapping[int, str] = {}


def ids() -> tuple[str, ...]:
    """The ids of all rows, ranges (`A03-A05`) spelled out."""
    text = require_shared("reference/parity.md").read_text()
    found = set(TESTED.findall(text))
    for first, last in re.findall(r"A([0-9]{2})-A([0-9]{2})", text):
        found |= {f"A{number:02}" for number in range(int(first), int(last) + 1)}
    return tuple(sorted(found))


def proofs() -> dict[str, list[str]]:
    """Tests by the ids in their names, `fault1`... among them: `<folder>/<module>::<name>`."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for part in node.name.split("_")[1:]:
                    if re.fullmatch(r"[MAEQC][0-9]{1,2}|fault[0-9]+", part):
                        found.setdefault(part, []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def faults() -> range:
    """The numbers of the faults."""
    text = require_shared("reference/browser-sdk-facts.md").read_text()
    section = text[text.index("## 14.") :]
    return range(1, max(int(number) for number in re.findall(r"(?m)^([0-9]+)\. ", section)) + 1)
