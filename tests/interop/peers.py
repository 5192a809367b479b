"""Real peers, started for a test and ended after it: Kamailio, SIPp, tshark, a page in Chromium; and our own command.

A peer that is absent skips the test with the reason; where SANSIO_SIP_REQUIRE_PEERS is set, it fails it.
"""

import json
import os
import queue
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
from typing import Any, NoReturn

import pytest
from drivers.certificates import write_certificate

__all__ = [
    "SPEECH",
    "Lines",
    "absent",
    "capture",
    "command",
    "free_port",
    "kamailio",
    "malformed",
    "namespace",
    "node_modules",
    "page",
    "require",
    "run_inside",
    "sansio_sip",
    "wait_for",
]

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT / "apps" / "sansio_sip_cli" / "speech"
HERE = Path(__file__).parent
KAMAILIO = HERE / "kamailio" / "kamailio.cfg"
PAGES = HERE / "browser"

# Seconds for anything that should take one or two: it turns a hang into a failure.
PATIENCE = 30.0

NODE_PACKAGES = ("jssip@3", "playwright-core@1", "esbuild@0")


def absent(reason: str) -> NoReturn:
    """Skips, or fails where no peer may be absent."""
    if os.environ.get("SANSIO_SIP_REQUIRE_PEERS"):
        pytest.fail(reason)
    pytest.skip(reason)


def require(*commands: str) -> None:
    """The commands of a peer must be installed."""
    for name in commands:
        if shutil.which(name) is None:
            absent(f"{name} is not installed (see .ci/run for the package)")


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
def namespace() -> Iterator[int]:
    """A network namespace of the test's own, by the process that holds it; it has loopback alone."""
    require("unshare", "nsenter", "ip")
    if os.geteuid() != 0:
        absent("network namespaces need root")
    holder = subprocess.Popen(["unshare", "-n", "sleep", "600"], stderr=subprocess.PIPE, text=True)
    try:
        own = os.readlink("/proc/self/ns/net")
        wait_for(
            lambda: holder.poll() is not None or os.readlink(f"/proc/{holder.pid}/ns/net") != own, "a network namespace"
        )
        if holder.poll() is not None:
            assert holder.stderr is not None
            absent(f"this kernel gives no network namespace: {holder.stderr.read()[-200:]}")
        run_inside(holder.pid, "ip", "link", "set", "lo", "up")
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate()


def enter(holder: int | None) -> list[str]:
    """What makes a command run in a namespace."""
    return [] if holder is None else ["nsenter", "-t", str(holder), "-n"]


def run_inside(holder: int, *arguments: str) -> None:
    """Runs a command in a namespace to its end."""
    subprocess.run([*enter(holder), *arguments], check=True)


@contextmanager
def command(arguments: list[str], *, inside: int | None = None, **options: Any) -> Iterator[Lines]:
    """A process for the length of a block; `inside` is the namespace that it runs in."""
    lines = Lines([*enter(inside), *arguments], **options)
    try:
        yield lines
    finally:
        lines.end()


@contextmanager
def sansio_sip(*arguments: str, inside: int | None = None, env: Mapping[str, str] | None = None) -> Iterator[Lines]:
    """Our own command, with --json, as a user has it."""
    own = [sys.executable, "-m", "sansio_sip_cli", *arguments, "--json"]
    with command(own, inside=inside, env=env, cwd=ROOT) as lines:
        yield lines


class Kamailio:
    """A running Kamailio: its ports, and what its recipe says of users: the password of X is `pw-X`."""

    domain = "sip.test"

    def __init__(self, *, tls: bool = False) -> None:
        self.port, self.ws_port, self.tls_port = (free_port() for _ in range(3))
        self.tls = tls
        self.arguments: list[str] = []
        self.pid_file = Path()
        self.inside: int | None = None
        self.lines: Lines | None = None

    def start(self) -> None:
        """Returns once it listens, with no memory of what was before."""
        self.pid_file.unlink(missing_ok=True)
        lines = self.lines = Lines([*enter(self.inside), *self.arguments])

        def up() -> bool:
            assert lines.process.poll() is None, f"Kamailio ended\n{lines}"
            return self.pid_file.exists() and listens(lines.process.pid, self.ws_port)

        wait_for(up, "Kamailio is up")

    def kill(self) -> None:
        """Ends it without a word to anybody, as a crash of the machine would."""
        assert self.lines is not None
        pid = self.lines.process.pid
        for each in (pid, *family(pid)):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self.end()

    def end(self) -> None:
        if self.lines is not None:
            self.lines.end()
            self.lines = None

    def server(self, transport: str) -> str:
        port = {"ws": self.ws_port, "wss": self.tls_port, "tls": self.tls_port}.get(transport, self.port)
        return f"{transport}://127.0.0.1:{port}"


@contextmanager
def kamailio(
    folder: Path, *, tls: bool = False, rtpengine: str = "", outbound: bool = False, inside: int | None = None
) -> Iterator[Kamailio]:
    """A Kamailio of its own, with no memory of other tests; `rtpengine` is the socket of one that bridges its calls.

    With `outbound` it tells the flows of one device apart (RFC 5626), tries them one after another, and wants to hear
    of each every 20 s.
    """
    require("kamailio")
    peer = Kamailio(tls=tls)
    defines = {"DOMAIN": peer.domain, "ALGORITHM": "MD5"}
    listeners = [f"udp:127.0.0.1:{peer.port}", f"tcp:127.0.0.1:{peer.port}", f"tcp:127.0.0.1:{peer.ws_port}"]
    if tls:
        certificate, key = write_certificate(folder)
        defines |= {"WITH_TLS": "", "CERTIFICATE": str(certificate), "KEY": str(key)}
        listeners.append(f"tls:127.0.0.1:{peer.tls_port}")
    if rtpengine:
        defines |= {"WITH_RTPENGINE": "", "RTPENGINE": rtpengine}
    if outbound:
        defines["WITH_OUTBOUND"] = ""
    pid_file = folder / "kamailio.pid"
    arguments = [
        "kamailio",
        "-DD",
        "-E",
        "-f",
        str(KAMAILIO),
        "-Y",
        str(folder),
        "-w",
        str(folder),
        "-P",
        str(pid_file),
    ]
    for name, value in defines.items():
        arguments += ["-A", f'{name}="{value}"' if value else name]
    for listener in listeners:
        arguments += ["-l", listener]
    # Shared memory for the transactions of a few hundred calls.
    peer.arguments, peer.pid_file, peer.inside = [*arguments, "-m", "256", "-M", "8"], pid_file, inside
    try:
        peer.start()
        yield peer
    finally:
        peer.end()


def family(pid: int) -> list[int]:
    """The processes that a process has begun."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def listens(pid: int, port: int) -> bool:
    """Somebody listens for TCP there, in the network of this process."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return any(local.endswith(f":{port:04X}") and state == "0A" for _, local, _, state, *_ in rows)


@contextmanager
def capture(path: Path, *, inside: int) -> Iterator[None]:
    """Captures what passes over the loopback of a namespace: what others say at the same time is not in it."""
    require("tshark")
    with command(["tshark", "-q", "-i", "lo", "-w", str(path), "-f", "udp or tcp"], inside=inside) as lines:
        lines.until_error("Capturing on")
        yield


def malformed(path: Path, *, ws_port: int, encrypted: bool) -> tuple[dict[str, int], list[str]]:
    """How many packets of each protocol tshark sees in a capture, and what it says of bad ones.

    With `encrypted` it is not asked about RTCP: what SRTCP encrypts, it reads as reports that make no sense. The header
    of RTP is in the clear, so that is judged in each case.
    """
    reading = ["tshark", "-r", str(path), "-d", f"tcp.port=={ws_port},http"]
    if encrypted:
        reading += ["--disable-protocol", "rtcp"]

    def rows(*arguments: str) -> list[str]:
        result = subprocess.run([*reading, *arguments], capture_output=True, text=True, check=True)
        return result.stdout.splitlines()

    seen = ("websocket && sip", "sip && !websocket", "stun", "dtls", "rtp", "rtpevent")
    counts = {protocol: len(rows("-Y", protocol)) for protocol in seen}
    fields = [word for name in ("frame.number", "frame.protocols", "_ws.expert.message") for word in ("-e", name)]
    return counts, rows("-Y", "_ws.malformed || _ws.expert.severity == error", "-T", "fields", *fields)


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
    # npm has JsSIP in pieces.
    bundle = [str(modules / ".bin" / "esbuild"), str(modules / "jssip" / "lib" / "JsSIP.js"), "--bundle"]
    options = ["--format=iife", "--global-name=JsSIP", f"--outfile={folder / 'jssip.js'}", "--log-level=warning"]
    subprocess.run([*bundle, *options], check=True, capture_output=True)
    env = {
        "NM": str(modules),
        "PAGES": str(PAGES),
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
