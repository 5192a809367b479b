"""Real peers, started for a test and ended after it: Kamailio, SIPp, tshark, a page in Chromium; and our own command.

A peer that is absent skips the test with the reason; where SANSIO_SIP_REQUIRE_PEERS is set, it fails it.
"""

import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from shared import require_shared

__all__ = [
    "SPEECH",
    "Lines",
    "capture",
    "command",
    "free_port",
    "kamailio",
    "node_modules",
    "page",
    "require",
    "sansio_sip",
    "wait_for",
]

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT / "apps" / "sansio_sip_cli" / "speech"

# Seconds for anything that should take one or two: it turns a hang into a failure.
PATIENCE = 30.0

NODE_PACKAGES = ("jssip@3", "playwright-core@1", "esbuild@0")


def absent(reason: str) -> None:
    """Skips, or fails where no peer may be absent."""
    if os.environ.get("SANSIO_SIP_REQUIRE_PEERS"):
        pytest.fail(reason)
    pytest.skip(reason)


def require(*commands: str) -> None:
    """The commands of a peer must be installed."""
    for name in commands:
        if shutil.which(name) is None:
            absent(f"{name} is not installed (see .ci/run for the package)")


def recipes(relative: str) -> Path:
    """A file of the recipes for peers."""
    return require_shared(f"peers/{relative}")


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Asks again and again until `condition` holds; for what cannot be waited for in any other way."""
    deadline, pause = time.monotonic() + patience, threading.Event()
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {patience:.0f} s")
        pause.wait(0.05)
    return found


class Lines:
    """A process that speaks in lines, read as they come. `rows` are those that are JSON objects."""

    def __init__(self, arguments: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        # Whoever speaks in real time goes first where we may say so: a peer that waits for a processor proves nothing.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.process.pid, -10)
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._queue.put), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._keep_error), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, put: Callable[[str | None], object]) -> None:
        for line in stream:
            put(line.rstrip("\n"))
        put(None)

    def _keep_error(self, line: str | None) -> None:
        if line is not None:
            self.errors.append(line)
            self._queue.put("")  # wakes whoever waits for an error line

    def until(
        self, condition: Callable[[dict[str, Any]], bool], what: str, patience: float = PATIENCE
    ) -> dict[str, Any]:
        """The first row, from the beginning, for which `condition` holds."""
        deadline = time.monotonic() + patience
        seen = 0
        while True:
            for row in self.rows[seen:]:
                if condition(row):
                    return row
            seen = len(self.rows)
            self._next(deadline, what)

    def until_error(self, text: str, patience: float = PATIENCE) -> None:
        """Waits for a line on standard error."""
        deadline = time.monotonic() + patience
        while not any(text in line for line in self.errors):
            self._next(deadline, f"{text!r} on standard error")

    def event(self, name: str, patience: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """The first row of an event with these fields."""
        return self.until(
            lambda row: row.get("event") == name and all(row.get(key) == value for key, value in fields.items()),
            f"{name} {fields or ''}",
            patience,
        )

    def say(self, row: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(row) + "\n")
        self.process.stdin.flush()

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit status; everything was read by then."""
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {patience:.0f} s\n{self}") from None
        for reader in self._readers:
            reader.join(patience)
        self.take_waiting()
        return status

    def take_waiting(self) -> None:
        """Takes what was said by now."""
        while not self._queue.empty():
            self._take(self._queue.get())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _next(self, deadline: float, what: str) -> None:
        try:
            line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"{what} did not come in time\n{self}") from None
        if line is None:
            raise AssertionError(f"the process ended before {what}\n{self}")
        self._take(line)

    def _take(self, line: str | None) -> None:
        if not line:
            return
        self.lines.append(line)
        if line.startswith("{"):
            self.rows.append(json.loads(line))

    def __str__(self) -> str:
        return "\n".join([*self.lines[-40:], "--- standard error", *self.errors[-40:]])


@contextmanager
def command(arguments: list[str], **options: Any) -> Iterator[Lines]:
    """A process for the length of a block."""
    lines = Lines(arguments, **options)
    try:
        yield lines
    finally:
        lines.end()


@contextmanager
def sansio_sip(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Lines]:
    """Our own command, with --json, as a user has it."""
    with command([sys.executable, "-m", "sansio_sip_cli", *arguments, "--json"], env=env, cwd=ROOT) as lines:
        yield lines


class Kamailio:
    """A running Kamailio: its ports, and what its recipe says of users: the password of X is `pw-X`."""

    domain = "sip.test"

    def __init__(self, *, tls: bool = False) -> None:
        self.port, self.ws_port, self.tls_port = (free_port() for _ in range(3))
        self.tls = tls

    def server(self, transport: str) -> str:
        port = {"ws": self.ws_port, "wss": self.tls_port, "tls": self.tls_port}.get(transport, self.port)
        return f"{transport}://127.0.0.1:{port}"


@contextmanager
def kamailio(folder: Path, *, tls: bool = False) -> Iterator[Kamailio]:
    """A Kamailio of its own, with no memory of other tests."""
    require("kamailio")
    script = recipes("run_kamailio.sh")
    peer = Kamailio(tls=tls)
    env = {
        "DIR": str(folder),
        "UDP_TCP_PORT": str(peer.port),
        "WS_PORT": str(peer.ws_port),
        "TLS_PORT": str(peer.tls_port),
        "DOMAIN": peer.domain,
        "TLS": "1" if tls else "",
    }
    with command(["sh", str(script)], env=env) as lines:

        def up() -> bool:
            assert lines.process.poll() is None, f"Kamailio ended\n{lines}"
            with socket.socket() as sock:
                return (folder / "kamailio.pid").exists() and sock.connect_ex(("127.0.0.1", peer.ws_port)) == 0

        wait_for(up, "Kamailio is up")
        yield peer


@contextmanager
def capture(path: Path, ports: str) -> Iterator[None]:
    """Captures what passes over loopback; `ports` is a capture filter."""
    require("tshark")
    with command(["tshark", "-q", "-i", "lo", "-w", str(path), "-f", ports]) as lines:
        lines.until_error("Capturing on")
        yield


def malformed(path: Path, *, ws_port: int, encrypted: bool) -> tuple[dict[str, int], list[str]]:
    """How many packets of each protocol tshark sees in a capture, and what it says of bad ones.

    SRTP that was negotiated in what tshark cannot follow looks to it like RTP and RTCP with strange contents; with
    `encrypted` it is not asked about those.
    """
    script = recipes("check_pcap.sh")
    result = subprocess.run(
        ["sh", str(script), str(path)],
        env={**os.environ, "WS_PORTS": str(ws_port)},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {}
    for line in result.stdout.splitlines():
        name, _, number = line.rpartition(" ")
        if number.isdigit() and not line.startswith("-"):
            counts[name.strip()] = int(number)
    bad = result.stdout.partition("--- malformed or expert errors (severity >= error)")[2].strip().splitlines()
    return counts, [line for line in bad if not (encrypted and re.search(r":s?rtc?p\b", line))]


def node_modules() -> Path:
    """The node packages of the page, installed once beside the virtual environment."""
    require("node", "npm", "chromium")
    folder = ROOT / ".peers"
    modules = folder / "node_modules"
    if not all((modules / name.partition("@")[0]).is_dir() for name in NODE_PACKAGES):
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        result = subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", *NODE_PACKAGES],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            absent(f"npm could not install {', '.join(NODE_PACKAGES)}: {result.stderr[-300:]}")
    return modules


@contextmanager
def page(folder: Path, user: str, peer: Kamailio, wav: Path) -> Iterator[Lines]:
    """A page with JsSIP in headless Chromium, registered as `user`; it speaks `wav` in a loop.

    Say rows such as {"do": "call", "target": ...}; see page.mjs.
    """
    modules = node_modules()
    pages, library = recipes("pages"), recipes("lib/browser.mjs")
    subprocess.run(["sh", str(recipes("build_www.sh")), str(modules), str(folder)], check=True, capture_output=True)
    env = {
        "NM": str(modules),
        "LIBRARY": str(library),
        "PAGES": str(pages),
        "WWW": str(folder),
        "WS": peer.server("ws"),
        "DOMAIN": peer.domain,
        "SIP_USER": user,
        "WAV": str(wav),
        "DEADLINE": "120",
    }
    with command(["node", str(Path(__file__).with_name("page.mjs"))], env=env) as lines:
        lines.event("registered")
        yield lines
