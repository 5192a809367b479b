"""The page on interoperability is that of the results, and leaves none of the tests against strangers out."""

import json
import re
from pathlib import Path

from interop.matrix import PAGE, PEERS, PROOFS, RESULTS, counted, page

TESTS = Path(__file__).resolve().parents[1]

XML = """<testsuites><testsuite timestamp="2026-11-25T01:00:00.000000+00:00">
<testcase classname="tests.interop.test_sipp" name="test_one"><rerun message="late"/></testcase>
<testcase classname="tests.interop.test_sipp" name="test_two"><failure message="no"/></testcase>
<testcase classname="tests.interop.test_coturn" name="test_three"><skipped message="absent"/></testcase>
</testsuite></testsuites>
"""


def test_the_page_is_up_to_date() -> None:
    made = page(json.loads(RESULTS.read_text()))
    assert PAGE.read_text() == made, "run: PYTHONPATH=tests python -m interop.matrix"


def test_each_module_against_a_stranger_is_on_the_page() -> None:
    marked = {
        ".".join(path.relative_to(TESTS).with_suffix("").parts)
        for path in TESTS.rglob("test_*.py")
        if re.search(r"^[^#\n]*mark\.interop", path.read_text(), re.MULTILINE)
    }
    assert marked - {"docs.test_interop_page"} == set(PROOFS), "say in interop/matrix.py what it proves"
    names = {peer.name for peer in PEERS}
    assert all(set(peers) <= names for peers, _ in PROOFS.values())


def test_results_are_counted_by_module(tmp_path: Path) -> None:
    (tmp_path / "results.xml").write_text(XML)
    assert counted([tmp_path / "results.xml"]) == {
        "interop.test_sipp": {"passed": 1, "failed": 1, "skipped": 0, "date": "2026-11-25"},
        "interop.test_coturn": {"passed": 0, "failed": 0, "skipped": 1, "date": "2026-11-25"},
    }
