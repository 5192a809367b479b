"""Two phones of ours that may talk by way of coturn alone."""

import socket
from pathlib import Path

import pytest
from interop.peers import SPEECH, Lines, free_port, kamailio, page, sansio_sip, wait_for
from interop.relay import PASSWORD, TRANSPORTS, bound, coturn

from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop


def state(browser: Lines) -> str:
    """How far the page's connection has come."""
    browser.say({"do": "stats"})
    row = browser.event("stats")
    browser.rows.remove(row)
    return str(row["conn"])


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
