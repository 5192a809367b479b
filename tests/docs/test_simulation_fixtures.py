"""The test that the page on simulated networks prints, run as its reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "simulated_network.md"


def printed() -> str:
    (block,) = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return str(block)


def pytest_run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    # Named, so that it is found also where the package is not installed.
    plugin = ["-p", "sansio_sip_conformance.plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *options, "test_page.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": ":".join(str(ROOT / name) for name in (".", "media", "apps"))},
        check=False,
    )


@pytest.mark.parametrize("seed", ["0", "7"])
def test_the_printed_test_passes(tmp_path: Path, seed: str) -> None:
    (tmp_path / "test_page.py").write_text(printed())
    result = pytest_run(tmp_path, "--sip-seed", seed)
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_one_that_fails_says_its_seed(tmp_path: Path) -> None:
    (tmp_path / "test_page.py").write_text(printed().replace("until=60.0", "until=0.1"))
    result = pytest_run(tmp_path, "--sip-seed", "7")
    assert "1 failed" in result.stdout
    assert "--sip-seed 7" in result.stdout
