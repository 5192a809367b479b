"""Each command of the documentation is one of ours, or runs: those that need no machine of yours are run as printed.

A block of `sh` holds commands, and each kind of block has a name; what is printed to be read is `text`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from interop.peers import SPEECH, enter, namespace, require

from sansio_sip_cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KINDS = {"python", "sh", "text", "py", "ini", "xml", "mermaid"}

# Pages whose blocks are run: what is installed for them, by command.
RUN = {
    "README.md": (),
    "docs/how-to/see_a_call.md": (),
    "docs/how-to/kamailio.md": ("kamailio",),
    "docs/how-to/turn.md": ("turnserver",),
}
# Blocks of these pages that are not run there: they are what another test, or the CI, does.
ELSEWHERE = ("make ", ".ci/run")

PATIENCE = 60.0

# What speaks in real time goes first, where we may say so; else `nice` only warns.
FIRST = ("nice", "-n", "-10")


def blocks(page: Path, kind: str = "sh") -> list[list[str]]:
    """The lines of each block, those that go on joined."""
    found = [body for name, body in FENCE.findall(page.read_text(encoding="utf-8")) if name == kind]
    return [[line for line in body.replace("\\\n", " ").splitlines() if line] for body in found]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_block_has_a_kind(page: Path) -> None:
    kinds = {kind for kind, _ in FENCE.findall(page.read_text(encoding="utf-8"))}
    assert kinds <= KINDS, f"write ```sh for commands and ```text for what is to be read: {sorted(kinds - KINDS)}"


OURS = [
    (name(page), line)
    for page in PAGES
    for block in blocks(page)
    for line in block
    if shlex.split(line, comments=True)[:1] == ["sansio-sip"]
]


@pytest.mark.parametrize(("page", "line"), OURS, ids=[f"{page}-{number}" for number, (page, _) in enumerate(OURS)])
def test_our_command_takes_what_is_printed(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option and argument is one that the command has."""
    monkeypatch.chdir(tmp_path)
    for file in re.findall(r"[\w/]+\.(?:wav|jsonl|pcapng)\b", line):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    _, group, *arguments = shlex.split(line, comments=True)
    found = cli.get_command(click.Context(cli), group)
    assert found is not None, f"{page}: there is no command {group!r}"
    found.make_context(group, arguments)


def of_page(page: str) -> list[list[str]]:
    return [block for block in blocks(ROOT / page) if not block[0].startswith(ELSEWHERE)]


@pytest.mark.interop
@pytest.mark.realtime
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_as_printed(page: str, tmp_path: Path) -> None:
    """One line in each terminal: the last of a block ends by itself, those before it serve to the end of the page.

    In a network of its own, so that nobody else has the ports that are printed.
    """
    require(*RUN[page])
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    shutil.copy(SPEECH / "alice.wav", tmp_path / "hello.wav")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(str(ROOT / folder) for folder in (".", "transports", "media", "apps")),
    }
    assert of_page(page)
    with namespace() as inside:
        servers: list[subprocess.Popen[bytes]] = []
        try:
            for block in of_page(page):
                *waiting, last = block
                if RUN[page] or page == "README.md":
                    for line in waiting:
                        servers.append(begin(line, inside, tmp_path, environment))
                else:
                    for line in waiting:
                        run(line, inside, tmp_path, environment)
                run(last, inside, tmp_path, environment)
        finally:
            for server in servers:
                server.terminate()
                server.communicate()


def begin(line: str, inside: int, folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Starts what serves others, and waits until it has said something."""
    server = subprocess.Popen(
        [*FIRST, *enter(inside), *shlex.split(line)],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert server.stdout is not None
    said = server.stdout.readline()
    assert said, f"nothing came of {line!r}"
    return server


def run(line: str, inside: int, folder: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        [*FIRST, *enter(inside), "bash", "-c", line],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, f"{line}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
