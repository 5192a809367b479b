"""A relay, coturn, that is started anew in the middle of a call which has no other way."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from interop.peers import SPEECH, free_port, sansio_sip
from interop.relay import PASSWORD, bound, coturn

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_outlives_its_relay(tmp_path: Path, transport: str) -> None:
    sip_port = free_port(socket.SOCK_DGRAM)
    turn_port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
    with ExitStack() as stack, ExitStack() as first:
        relay, options = first.enter_context(coturn(tmp_path / "turn1", transport, turn_port))
        common = ("--no-register", *options)
        listening = ("--listen", f"127.0.0.1:{sip_port}", "--play", str(SPEECH / "bob.wav"))
        bob = stack.enter_context(sansio_sip("answer", "sip:bob@127.0.0.1", *listening, *common, env=PASSWORD))
        bob.event("onConnectionChange")
        target = ("sip:alice@127.0.0.1", f"sip:bob@127.0.0.1:{sip_port}", "--duration", "45")
        playing = ("--play", str(SPEECH / "alice.wav"))
        alice = stack.enter_context(sansio_sip("call", *target, *playing, *common, env=PASSWORD))
        for phone in (alice, bob):
            phone.event("onMediaConnected")
            phone.rows.clear()
        assert bound(relay) >= 1
        first.close()
        again, _ = stack.enter_context(coturn(tmp_path / "turn2", transport, turn_port))
        restarted = time.monotonic()
        for phone in (alice, bob):
            phone.event("onMediaConnected")
        # Twelve seconds of silence over UDP; over TCP the end of the stream says so at once.
        assert time.monotonic() - restarted < (30.0 if transport == "udp" else 15.0)
        assert alice.wait(60.0) == 0, str(alice)
        assert bob.wait(60.0) == 0, str(bob)
        assert bound(again) >= 1
