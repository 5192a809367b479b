"""Where the reference material lies that no test may copy: messages, vectors, recipes of peers."""

import os
from pathlib import Path

import pytest

__all__ = ["require_shared", "shared_dir"]


def shared_dir() -> Path | None:
    """The folder `shared` beside the checkout, or the one that SANSIO_SIP_SHARED names; None where there is none."""
    named = os.environ.get("SANSIO_SIP_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return folder if folder.is_dir() else None


def require_shared(relative: str) -> Path:
    """A file or folder of the shared material; the test is skipped, with the reason, where it is absent."""
    folder = shared_dir()
    if folder is None or not (folder / relative).exists():
        pytest.skip(f"shared/{relative} is not beside this checkout (set SANSIO_SIP_SHARED to its folder)")
    return folder / relative
