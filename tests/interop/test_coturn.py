"""Two phones of ours that may talk by way of coturn alone."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from drivers.certificates import write_certificate
from interop.peers import SPEECH, Lines, command, free_port, kamailio, page, require, sansio_sip, wait_for

from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop


TRANSPORTS = ("udp", "tcp", "tls")

URLS = {"udp": "turn:127.0.0.1:{}?transport=udp", "tcp": "turn:127.0.0.1:{}?transport=tcp", "tls": "turns:127.0.0.1:{}"}

# How coturn is told to take clients by this way and no other.
ONLY = {
    "udp": ("--no-tcp", "--no-tls", "--no-dtls"),
    "tcp": ("--no-udp", "--no-tls", "--no-dtls"),
    "tls": ("--no-udp", "--no-tcp", "--no-dtls"),
}


@contextmanager
def coturn(folder: Path, transport: str = "udp") -> Iterator[tuple[Lines, tuple[str, ...]]]:
    """A relay of its own, reached by one transport: its log, and the options that lead to it."""
    require("turnserver")
    folder.mkdir()
    port = free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
    certificate, key = write_certificate(folder)
    listen = "--tls-listening-port" if transport == "tls" else "--listening-port"
    arguments = [
        "turnserver", "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"{listen}={port}",
        "--min-port=21000", "--max-port=21200", "--lt-cred-mech", "--fingerprint", "--realm=sip.test",
        "--user=turn:pw-turn", "--no-cli", "--allow-loopback-peers", "--no-rfc5780", *ONLY[transport],
        f"--cert={certificate}", f"--pkey={key}", f"--pidfile={folder / 'turn.pid'}", f"--userdb={folder / 'turn.db'}",
        "--log-file=stdout", "--simple-log", "--verbose",
    ]  # fmt: skip
    with command(arguments, cwd=folder) as lines:

        def up() -> bool:
            assert lines.process.poll() is None, f"coturn ended\n{lines}"
            lines.take_waiting()
            return any("Total auth threads" in line or "turn server id=" in line for line in lines.lines) and taken()

        def taken() -> bool:
            """Whether somebody has the port."""
            kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
            with socket.socket(socket.AF_INET, kind) as sock:
                try:
                    sock.bind(("127.0.0.1", port))
                except OSError:
                    return True
                return False

        wait_for(up, "coturn is up")
        yield lines, ("--turn", URLS[transport].format(port), "--turn-user", "turn", "--relay-only")


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


def trusting(options: tuple[str, ...], folder: Path, transport: str) -> tuple[str, ...]:
    return (*options, "--ca", str(folder / "certificate.pem")) if transport == "tls" else options


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_two_phones_talk_by_the_relay_alone(tmp_path: Path, transport: str) -> None:
    port = free_port(socket.SOCK_DGRAM)
    with coturn(tmp_path / "turn", transport) as (relay, found):
        options = trusting(found, tmp_path / "turn", transport)
        talk(tmp_path, port, relay, options)


def test_a_relay_that_nobody_vouches_for_is_not_used(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    with (
        coturn(tmp_path / "turn", "tls") as (relay, options),
        sansio_sip(
            "call",
            "sip:alice@127.0.0.1",
            f"sip:bob@127.0.0.1:{port}",
            "--no-register",
            "--verbose",
            *options,
            env=PASSWORD,
        ) as alice,
    ):
        alice.until_error("the certificate is not trusted")
        relay.take_waiting()
        assert not any("ALLOCATE" in line for line in relay.lines)


def talk(tmp_path: Path, port: int, relay: Lines, options: tuple[str, ...]) -> None:
    with (
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
    assert found.median >= 0.9, found


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
