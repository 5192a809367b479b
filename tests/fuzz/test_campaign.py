"""A campaign ends, with the place of the log, where a target does not start."""

from pathlib import Path

import pytest

from fuzz import campaign
from fuzz.campaign import Campaign


def test_a_target_that_does_not_start_ends_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process, of a target that there is not. One that has a finding waits."""
    monkeypatch.setattr(campaign, "TARGETS", ["absent", "broken"])
    monkeypatch.setattr(campaign, "plant", lambda folder, target: None)
    (tmp_path / "findings").mkdir()
    (tmp_path / "findings" / "broken-crash-1").write_bytes(b"x")
    with pytest.raises(RuntimeError) as caught:
        Campaign(tmp_path, 60).run(3600.0)
    log = tmp_path / "logs" / "absent.1.log"
    assert str(log) in str(caught.value)
    assert "python -m fuzz: error" in log.read_text()
    assert list((tmp_path / "logs").iterdir()) == [log]
