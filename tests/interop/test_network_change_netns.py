"""A real phone whose interface gets another address, or is down for a while, in the middle of a call."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from interop.peers import SPEECH, Lines, namespace, run_inside, sansio_sip

pytestmark = pytest.mark.interop


SERVER = "ws://10.99.0.1:5080"


@contextmanager
def in_a_call(runtime: str, *options: str) -> Iterator[tuple[int, Lines, Lines]]:
    """Alice in a namespace of her own, whose only interface is v1, in a call with Bob; her namespace, and both."""
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
        account = ("--server", SERVER, *speech, "--runtime", runtime)
        bob = stack.enter_context(sansio_sip("answer", "sip:bob@localhost", *account, "--password", "b", inside=there))
        bob.event("onLogin")
        calling = ("call", "sip:alice@localhost", "sip:bob@localhost", *account, "--password", "a", *options)
        alice = stack.enter_context(sansio_sip(*calling, inside=here))
        alice.event("onMediaConnected")
        bob.event("onMediaConnected")
        alice.rows.clear()
        bob.rows.clear()
        yield here, alice, bob


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_media_is_back_within_five_seconds(runtime: str) -> None:
    with in_a_call(runtime) as (here, alice, bob):
        run_inside(here, "ip", "addr", "del", "10.99.0.2/24", "dev", "v1")
        run_inside(here, "ip", "addr", "add", "10.99.0.3/24", "dev", "v1")
        changed = time.monotonic()
        alice.event("onMediaConnected")
        assert time.monotonic() - changed < 5.0
        assert alice.wait() == 0, str(alice)
        assert bob.wait() == 0, str(bob)


@pytest.mark.parametrize("runtime", ["asyncio", pytest.param("trio", marks=pytest.mark.soak)])
def test_a_call_outlives_an_interface_that_is_down_for_a_while(runtime: str) -> None:
    """The address stays, so nothing says that anything has changed: silence alone does."""
    with in_a_call(runtime, "--duration", "60") as (here, alice, bob):
        run_inside(here, "ip", "link", "set", "v1", "down")
        for phone in (alice, bob):
            phone.event("onMediaDisconnected")
        run_inside(here, "ip", "link", "set", "v1", "up")
        up = time.monotonic()
        for phone in (alice, bob):
            phone.event("onMediaConnected")
        assert time.monotonic() - up < 15.0
        assert alice.wait(90.0) == 0, str(alice)
        assert bob.wait() == 0, str(bob)
