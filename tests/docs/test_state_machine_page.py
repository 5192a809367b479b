"""The page of state diagrams is that of the tables, and the example of a lost packet runs."""

import runpy
from pathlib import Path

import pytest
from docs.state_machine_page import PAGE, page

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "what_if_lost.py"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: PYTHONPATH=tests:media python -m docs.state_machine_page"


def test_what_if_a_packet_had_been_lost(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert "REGISTER" in lines[0]
    assert [line.split(" s ")[0] for line in lines[1:4]] == [f"had it been lost, {t}" for t in (0.5, 1.5, 3.5)]
    assert lines[4] == "where it was not: []"
