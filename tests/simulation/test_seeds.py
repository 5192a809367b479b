"""The run over many seeds goes on where it was, and says how fast it is."""

import sys
from pathlib import Path

import pytest
from simulation.__main__ import main, outcomes_of


def test_a_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "seeds.jsonl"
    for seeds in ("0:1", "0:2", "0:2"):
        monkeypatch.setattr(sys, "argv", ["simulation", str(path), "--seeds", seeds])
        main()
    outcomes, cpu = outcomes_of(path)
    assert [outcome.seed for outcome in outcomes] == [0, 1]
    assert {outcome.profile for outcome in outcomes} == {"RTP", "WEBRTC"}
    assert min(outcome.seconds for outcome in outcomes) > 10.0
    assert cpu > 0
    assert "2 seeds, none stuck" in capsys.readouterr().out
