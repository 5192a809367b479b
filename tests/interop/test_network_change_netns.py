"""A real phone whose interface gets another address in the middle of a call, in network namespaces."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from interop.peers import SPEECH, namespace, run_inside, sansio_sip

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_media_is_back_within_five_seconds(runtime: str, tmp_path: Path) -> None:
    server = "ws://10.99.0.1:5080"
    with ExitStack() as stack:
        there, here = stack.enter_context(namespace()), stack.enter_context(namespace())
        run_inside(there, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        run_inside(there, "ip", "link", "set", "v1", "netns", str(here))
        for holder, device, address in ((there, "v0", "10.99.0.1/24"), (here, "v1", "10.99.0.2/24")):
            run_inside(holder, "ip", "addr", "add", address, "dev", device)
            run_inside(holder, "ip", "link", "set", device, "up")
        users = ("--user", "alice:a", "--user", "bob:b")
        serving = stack.enter_context(sansio_sip("serve", "--ws", "10.99.0.1:5080", *users, inside=there))
        serving.until(lambda row: True, "the server is up")
        speech = ("--play", str(SPEECH / "alice.wav"))
        account = ("--server", server, *speech, "--runtime", runtime)
        bob = stack.enter_context(sansio_sip("answer", "sip:bob@localhost", *account, "--password", "b", inside=there))
        bob.event("onLogin")
        alice = stack.enter_context(
            sansio_sip("call", "sip:alice@localhost", "sip:bob@localhost", *account, "--password", "a", inside=here)
        )
        alice.event("onMediaConnected")
        bob.event("onMediaConnected")
        alice.rows.clear()
        run_inside(here, "ip", "addr", "del", "10.99.0.2/24", "dev", "v1")
        run_inside(here, "ip", "addr", "add", "10.99.0.3/24", "dev", "v1")
        changed = time.monotonic()
        alice.event("onMediaConnected")
        assert time.monotonic() - changed < 5.0
        assert alice.wait() == 0, str(alice)
        assert bob.wait() == 0, str(bob)
