"""Every Python block of the documentation and the README runs as it is printed."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from interop.peers import absent

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Pages that need what only the tests against peers have installed; what those warn of is their own affair.
NEED = {"docs/how-to/pipecat.md": "pipecat"}
PAGES = [
    pytest.param(page, marks=[pytest.mark.interop] if str(page.relative_to(ROOT)) in NEED else [])
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if BLOCK.search(page.read_text())
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """One after the other in one process, as a reader would type them."""
    need = NEED.get(str(page.relative_to(ROOT)), "")
    if need and find_spec(need) is None:
        absent(f"{need} is not installed: pip install sansio-sip[{need}]")
    script = tmp_path / "page.py"
    script.write_text("\n".join(BLOCK.findall(page.read_text())))
    result = subprocess.run(
        [sys.executable, "-W", "ignore" if need else "error", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(str(ROOT / folder) for folder in (".", "transports", "media", "apps"))},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
