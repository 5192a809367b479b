"""Two phones of ours that may talk by way of coturn alone."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from interop.peers import SPEECH, Lines, command, free_port, kamailio, page, recipes, require, sansio_sip, wait_for

from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop


@contextmanager
def coturn(folder: Path) -> Iterator[tuple[Lines, tuple[str, ...]]]:
    """A relay of its own: its log, and the options that lead to it."""
    require("turnserver")
    folder.mkdir()
    port = free_port(socket.SOCK_DGRAM)
    env = {"DIR": str(folder), "TURN_PORT": str(port), "VERBOSE": "1", "PMIN": "21000", "PMAX": "21200"}
    with command(["sh", str(recipes("run_turn.sh"))], env=env) as lines:

        def up() -> bool:
            assert lines.process.poll() is None, f"coturn ended\n{lines}"
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_for(up, "coturn is up")
        yield lines, ("--turn", f"turn:127.0.0.1:{port}?transport=udp", "--turn-user", "turn", "--relay-only")


def bound(relay: Lines) -> int:
    """How many channels coturn says it has bound."""
    relay.take_waiting()
    return sum("CHANNEL_BIND processed, success" in line for line in relay.lines)


def state(browser: Lines) -> str:
    """How far the page's connection has come."""
    browser.say({"do": "stats"})
    row = browser.event("stats")
    browser.rows.remove(row)
    return str(row["conn"])


PASSWORD = {"SANSIO_SIP_TURN_PASSWORD": "pw-turn"}


def test_two_phones_talk_by_the_relay_alone(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    with (
        coturn(tmp_path / "turn") as (relay, options),
        sansio_sip(
            "answer",
            "sip:bob@127.0.0.1",
            "--no-register",
            "--listen",
            f"127.0.0.1:{port}",
            "--play",
            str(SPEECH / "bob.wav"),
            *options,
            env=PASSWORD,
        ) as bob,
    ):
        bob.event("onConnectionChange")
        with sansio_sip(
            "call",
            "sip:alice@127.0.0.1",
            f"sip:bob@127.0.0.1:{port}",
            "--no-register",
            "--play",
            str(SPEECH / "alice.wav"),
            "--record",
            str(tmp_path / "heard.wav"),
            *options,
            env=PASSWORD,
        ) as alice:
            assert alice.wait() == 0, str(alice)
            assert bob.wait() == 0, str(bob)
        # Both have bound a channel for the pair that was selected: between two relays.
        wait_for(lambda: bound(relay) >= 2, "two channels")
    found = likeness(load(SPEECH / "bob.wav").samples, load(tmp_path / "heard.wav").samples, 16_000)
    assert found.same, found


def test_a_page_hears_us_by_the_relay(tmp_path: Path) -> None:
    (tmp_path / "kamailio").mkdir()
    with (
        coturn(tmp_path / "turn") as (relay, options),
        kamailio(tmp_path / "kamailio") as peer,
        page(tmp_path / "www", "bob", peer, SPEECH / "bob.wav") as browser,
        sansio_sip(
            "call",
            f"sip:alice@{peer.domain}",
            f"sip:bob@{peer.domain}",
            "--server",
            peer.server("ws"),
            "--password",
            "pw-alice",
            "--play",
            str(SPEECH / "alice.wav"),
            *options,
            env=PASSWORD,
        ) as phone,
    ):
        phone.event("onCallRemoteRinging")
        browser.event("incoming", detail="alice")
        browser.say({"do": "answer"})
        phone.event("onMediaConnected")
        browser.event("confirmed")
        wait_for(lambda: state(browser) == "connected", "the page is connected")
        assert phone.wait() == 0, str(phone)
        wait_for(lambda: bound(relay) >= 1, "a channel")
