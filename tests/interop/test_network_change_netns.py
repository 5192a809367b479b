"""A real phone whose interface gets another address in the middle of a call, in network namespaces."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from interop.peers import ROOT, SPEECH, Lines, command, require, wait_for

pytestmark = pytest.mark.interop


@contextmanager
def namespace() -> Iterator[int]:
    """A network namespace, by the process that holds it."""
    holder = subprocess.Popen(["unshare", "-n", "sleep", "120"], stderr=subprocess.PIPE, text=True)
    try:
        own = os.readlink("/proc/self/ns/net")
        wait_for(
            lambda: holder.poll() is not None or os.readlink(f"/proc/{holder.pid}/ns/net") != own, "a network namespace"
        )
        if holder.poll() is not None:
            assert holder.stderr is not None
            pytest.skip(f"this kernel gives no network namespace: {holder.stderr.read()[-200:]}")
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate()


def run(holder: int, *arguments: str) -> None:
    subprocess.run(["nsenter", "-t", str(holder), "-n", *arguments], check=True)


@contextmanager
def inside(holder: int, *arguments: str) -> Iterator[Lines]:
    """Our command in a namespace."""
    own = ["nsenter", "-t", str(holder), "-n", sys.executable, "-m", "sansio_sip_cli"]
    with command([*own, *arguments, "--json"], cwd=ROOT) as lines:
        yield lines


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_media_is_back_within_five_seconds(runtime: str, tmp_path: Path) -> None:
    require("unshare", "nsenter", "ip")
    server = "ws://10.99.0.1:5080"
    with ExitStack() as stack:
        there, here = stack.enter_context(namespace()), stack.enter_context(namespace())
        run(there, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        run(there, "ip", "link", "set", "v1", "netns", str(here))
        for holder, device, address in ((there, "v0", "10.99.0.1/24"), (here, "v1", "10.99.0.2/24")):
            run(holder, "ip", "addr", "add", address, "dev", device)
            run(holder, "ip", "link", "set", device, "up")
            run(holder, "ip", "link", "set", "lo", "up")
        users = ("--user", "alice:a", "--user", "bob:b")
        serving = stack.enter_context(inside(there, "serve", "--ws", "10.99.0.1:5080", *users))
        serving.until(lambda row: True, "the server is up")
        speech = ("--play", str(SPEECH / "alice.wav"))
        account = ("--server", server, *speech, "--runtime", runtime)
        bob = stack.enter_context(inside(there, "answer", "sip:bob@localhost", *account, "--password", "b"))
        bob.event("onLogin")
        alice = stack.enter_context(
            inside(here, "call", "sip:alice@localhost", "sip:bob@localhost", *account, "--password", "a")
        )
        alice.event("onMediaConnected")
        bob.event("onMediaConnected")
        alice.rows.clear()
        run(here, "ip", "addr", "del", "10.99.0.2/24", "dev", "v1")
        run(here, "ip", "addr", "add", "10.99.0.3/24", "dev", "v1")
        changed = time.monotonic()
        alice.event("onMediaConnected")
        assert time.monotonic() - changed < 5.0
        assert alice.wait() == 0, str(alice)
        assert bob.wait() == 0, str(bob)
