"""Each row of the scenario table (corpus/08-scenarios) that concerns the user agent has a test that bears its id."""

import csv
import re
from pathlib import Path

import pytest
from shared import require_shared

TESTS = Path(__file__).parent.parent

# Areas of the table that this holds to: what transactions, dialogs and the user agent do.
AREAS = ("UAC", "RED", "CAN", "UAS", "DLG", "REL", "FRK", "TMR", "TSX", "XFR", "OOD", "SEC")


def ids() -> list[str]:
    path = require_shared("corpus/08-scenarios/scenarios.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [row["id"] for row in csv.DictReader(file) if row["id"].startswith(AREAS)]


def test_every_row_has_a_test_of_its_name() -> None:
    names = re.compile(r"^def (test_\w+)", re.MULTILINE)
    found = " ".join(
        name for path in sorted(TESTS.rglob("test_*.py")) for name in names.findall(path.read_text(encoding="utf-8"))
    )
    rows = ids()
    assert len(rows) > 70
    missing = [row for row in rows if re.search(rf"_{row.lower().replace('-', '_')}_", found) is None]
    if missing:
        pytest.fail(f"no test for {', '.join(missing)}")


def test_the_documented_table_names_every_row_and_only_tests_that_exist() -> None:
    table = (TESTS.parent / "docs" / "reference" / "scenarios.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| ([A-Z]{3}-\d\d) \|[^|]*\|([^|]*)\|$", table, re.MULTILINE))
    assert sorted(documented) == sorted(ids())
    for tests in documented.values():
        named = re.findall(r"`(test_\w+)` \(([\w/.]+)\)", tests)
        assert named
        for name, path in named:
            assert f"def {name}(" in (TESTS / path).read_text(encoding="utf-8"), name
