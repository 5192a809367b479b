"""Each row of the scenario table (corpus/08-scenarios) has a test that bears its id, and a SIPp where it wants one."""

import csv
import re
from pathlib import Path

import pytest
from shared import require_shared

TESTS = Path(__file__).parent.parent


def rows() -> list[dict[str, str]]:
    path = require_shared("corpus/08-scenarios/scenarios.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_has_a_test_of_its_name() -> None:
    names = re.compile(r"^def (test_\w+)", re.MULTILINE)
    found = " ".join(
        name for path in sorted(TESTS.rglob("test_*.py")) for name in names.findall(path.read_text(encoding="utf-8"))
    )
    ids = [row["id"] for row in rows()]
    assert len(ids) > 100
    missing = [row for row in ids if re.search(rf"_{row.lower().replace('-', '_')}_", found) is None]
    if missing:
        pytest.fail(f"no test for {', '.join(missing)}")


def test_every_row_for_sipp_is_played_by_one() -> None:
    """`interop/test_sipp_rows.py` plays each of these over UDP and over TCP."""
    paths = [TESTS / "interop" / f"sipp_{name}.py" for name in ("called", "calling")]
    played = [id for path in paths for id in re.findall(r'^    "([A-Z]{3}-\d\d)": Row', path.read_text(), re.MULTILINE)]
    assert len(set(played)) == len(played)
    assert sorted(played) == sorted(row["id"] for row in rows() if row["run"] == "sipp")


def test_the_documented_table_names_every_row_and_only_tests_that_exist() -> None:
    table = (TESTS.parent / "docs" / "reference" / "scenarios.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| ([A-Z]{3}-\d\d) \|[^|]*\|([^|]*)\|([^|]*)\|$", table, re.MULTILINE)
    assert [row[0] for row in documented] == [row["id"] for row in rows()]
    for (_, tests, sipp), row in zip(documented, rows(), strict=True):
        named = re.findall(r"`(test_\w+)` \(([\w/.]+)\)", tests)
        assert named
        for name, path in named:
            assert f"def {name}(" in (TESTS / path).read_text(encoding="utf-8"), name
        assert (sipp.strip() == "UDP, TCP") is (row["run"] == "sipp"), row["id"]
