"""The command as a black box: a server of its own, phones on it, and what they are told."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from interop.peers import SPEECH, Lines, sansio_sip

from sansio_sip_cli.main import main

__all__ = ["DOMAIN", "SPEECH", "Served", "account", "complaint", "python", "serving"]

ROOT = Path(__file__).resolve().parents[2]
DOMAIN = "sip.test"
USERS = ("alice", "bob")


class Served:
    """A server in a process of its own. The password of X is `pw-X`."""

    def __init__(self, lines: Lines, urls: dict[str, str]) -> None:
        self.lines = lines
        self.urls = urls


@contextmanager
def serving(*options: str) -> Iterator[Served]:
    """`sansio-sip serve` on free ports of loopback."""
    users = [word for name in USERS for word in ("--user", f"{name}:pw-{name}")]
    listen = ["--ws", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0"]
    with sansio_sip("serve", "--domain", DOMAIN, *listen, *users, *options) as lines:
        urls: dict[str, str] = {}
        for scheme in ("ws", "udp", "tcp"):
            urls[scheme] = lines.until(
                lambda row, scheme=scheme: str(row.get("url", "")).startswith(f"{scheme}:"),  # type: ignore[misc]
                f"a listener for {scheme}",
            )["url"]
        yield Served(lines, urls)


def account(name: str, served: Served, *, scheme: str = "ws", password: str | None = None) -> list[str]:
    """The words that stand for a user of the server."""
    secret = f"pw-{name}" if password is None else password
    return [f"sip:{name}@{DOMAIN}", "--server", served.urls[scheme], "--password", secret]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """Runs the command here; it must say one line on standard error, nothing else, and leave with this status."""
    with pytest.raises(SystemExit) as leaving:
        main(list(arguments))
    said = capsys.readouterr()
    assert leaving.value.code == status, said
    assert said.out == ""
    assert said.err.startswith("sansio-sip: ")
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n")
    return said.err


def python(source: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a script in a fresh interpreter."""
    folders = [str(ROOT), *(str(ROOT / folder) for folder in ("transports", "media", "apps"))]
    return subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders), **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
