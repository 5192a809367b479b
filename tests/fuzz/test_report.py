"""The table of a campaign counts what the logs of all its turns say."""

from pathlib import Path

from fuzz.report import executions, report

FIRST = """INFO: Instrumenting sansio_sip
#2\tINITED cov: 10 ft: 20 corp: 1/1b exec/s: 0 rss: 40Mb
#50\tNEW    cov: 30 ft: 60 corp: 2/9b lim: 2048 exec/s: 50 rss: 40Mb L: 8/8 MS: 1 CopyPart-
#600\tDONE   cov: 30 ft: 70 corp: 2/9b lim: 2048 exec/s: 60 rss: 40Mb
Done 600 runs in 10 second(s)
"""
SECOND = """#9\tINITED cov: 30 ft: 70 corp: 1/1b exec/s: 0 rss: 40Mb
#100\tNEW    cov: 34 ft: 60 corp: 2/9b lim: 2048 exec/s: 50 rss: 40Mb L: 8/8 MS: 1 CopyPart-
#400\tpulse  cov: 34 ft: 70 corp: 2/9b lim: 2048 exec/s: 60 rss: 40Mb
"""


def test_executions_add_up_over_turns_and_coverage_is_that_of_its_time(tmp_path: Path) -> None:
    for name in ("logs", "findings"):
        (tmp_path / name).mkdir()
    (tmp_path / "logs" / "uri.1.log").write_text(FIRST)
    (tmp_path / "logs" / "uri.2.log").write_text(SECOND)  # killed: its last line counts
    (tmp_path / "logs" / "sdp.1.log").write_text("it never began")
    (tmp_path / "findings" / "uri-crash-1").write_bytes(b"x")
    assert executions(tmp_path, "uri") == 1000
    lines = report(tmp_path).splitlines()
    assert lines[2] == "| uri | 1,000 | 2 | 30 | 30 | 30 | 34 | 700 | 1 |"
    assert lines[-1] == "1,000 executions of 2 targets."
