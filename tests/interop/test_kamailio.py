"""Two of our phones through a real Kamailio."""

import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from interop.peers import SPEECH, Kamailio, capture, kamailio, malformed, namespace, sansio_sip
from parity.bench import FRONTS

from sansio_sip.context import Secret
from sansio_sip.softphone import AccountOptions, events
from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop

PATIENCE, HEARING = 30.0, 5.0  # seconds


def heard(recording: Path, said: str) -> bool:
    return likeness(load(SPEECH / f"{said}.wav").samples, load(recording).samples, 16_000).same


@pytest.mark.parametrize(
    ("transport", "media", "runtime"),
    [
        ("ws", "webrtc", "asyncio"),
        ("ws", "webrtc", "trio"),
        ("udp", "rtp", "asyncio"),
        ("udp", "rtp", "trio"),
        ("udp", "webrtc", "asyncio"),
        ("tcp", "webrtc", "asyncio"),
        ("tls", "webrtc", "asyncio"),
        ("tls", "webrtc", "trio"),
        ("wss", "webrtc", "asyncio"),
        ("wss", "webrtc", "trio"),
    ],
)
def test_two_phones_register_talk_and_part(tmp_path: Path, transport: str, media: str, runtime: str) -> None:
    pcap = tmp_path / "call.pcap"
    (tmp_path / "kamailio").mkdir()
    secure = transport in ("tls", "wss")
    with (
        namespace() as inside,
        kamailio(tmp_path / "kamailio", tls=secure, inside=inside) as peer,
        capture(pcap, inside=inside),
    ):
        options = ["--server", peer.server(transport), "--media", media, "--runtime", runtime]
        if secure:
            options += ["--ca", str(tmp_path / "kamailio" / "certificate.pem")]
        with sansio_sip(
            "answer",
            f"sip:bob@{peer.domain}",
            "--password",
            "pw-bob",
            "--play",
            str(SPEECH / "bob.wav"),
            "--record",
            str(tmp_path / "bob.wav"),
            *options,
            inside=inside,
        ) as bob:
            bob.event("onLogin")
            with sansio_sip(
                "call",
                f"sip:alice@{peer.domain}",
                f"sip:bob@{peer.domain}",
                "--password",
                "pw-alice",
                "--play",
                str(SPEECH / "alice.wav"),
                "--record",
                str(tmp_path / "alice.wav"),
                "--dtmf",
                "1234#",
                "--header",
                "X-PH-Order: 42",
                *options,
                inside=inside,
            ) as alice:
                assert alice.wait() == 0, str(alice)
            assert bob.wait() == 0, str(bob)
    assert heard(tmp_path / "bob.wav", "alice")
    assert heard(tmp_path / "alice.wav", "bob")
    (call,) = bob.event("summary")["calls"]
    assert call["dtmf_received"] == "1234#"
    assert call["media"] == ("DTLS-SRTP" if media == "webrtc" else "none")
    assert bob.event("onIncomingCall")["extraHeaders"] == {"X-PH-Order": "42"}
    counts, bad = malformed(pcap, ws_port=peer.ws_port, encrypted=media == "webrtc")
    assert not bad, bad
    # RFC 5627: Kamailio has given each a public GRUU, and that is what the other was shown as Contact.
    for name in ("alice", "bob") if transport == "udp" else ():
        assert f"Contact: <sip:{name}@{peer.domain};gr=urn:uuid:".encode() in pcap.read_bytes()
    if secure:
        assert counts["websocket && sip"] == counts["sip && !websocket"] == 0
    else:
        assert counts["websocket && sip" if transport == "ws" else "sip && !websocket"] >= 10
    assert media == "rtp" or counts["stun"] >= 4


def test_a_wrong_password_is_said_with_its_cause(tmp_path: Path) -> None:
    with kamailio(tmp_path) as peer, sansio_sip(*account(peer, "alice"), "--password", "wrong") as phone:
        assert phone.wait() == 3
        assert phone.event("onLoginFailed")["cause"] == "Authentication Error"
        assert "Authentication Error" in phone.errors[-1]


def test_nobody_there_is_a_failed_call(tmp_path: Path) -> None:
    with (
        kamailio(tmp_path) as peer,
        sansio_sip(
            "call",
            f"sip:alice@{peer.domain}",
            "nobody",
            "--server",
            peer.server("ws"),
            "--password",
            "pw-alice",
        ) as phone,
    ):
        assert phone.wait() == 1
        (call,) = phone.event("summary")["calls"]
        assert (call["state"], call["code"]) == ("failed", 404)


def account(peer: Kamailio, user: str) -> list[str]:
    return ["register", f"sip:{user}@{peer.domain}", "--server", peer.server("ws")]


@pytest.mark.parametrize("far", ["ws", "udp"])
@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_a_call_goes_on_when_kamailio_itself_was_killed_and_started_anew(
    tmp_path: Path, runtime: Any, far: str
) -> None:
    """It has forgotten who is registered, and every connection with it: each phone comes back by itself."""
    front = FRONTS[runtime.name]

    def account(peer: Kamailio, user: str, transport: str) -> AccountOptions:
        return AccountOptions(
            f"sip:{user}@{peer.domain}",
            password=Secret(f"pw-{user}"),
            servers=(peer.server(transport),),
            # Without a connection nobody sees at once that the server has forgotten: then a GRUU leads nowhere.
            gruu="public" if transport == "ws" else "none",
        )

    async def main(peer: Kamailio) -> None:
        async with front.open_softphone() as one, front.open_softphone() as other:
            alice = one.add_account(account(peer, "alice", "ws"))
            bob = other.add_account(account(peer, "bob", far))
            await alice.login(timeout=PATIENCE)
            await bob.login(timeout=PATIENCE)
            ringing = bob.incoming()
            ours = alice.call("bob")
            theirs = await anext(ringing)
            theirs.answer()
            await ours.answered(timeout=PATIENCE)
            await theirs.answered(timeout=PATIENCE)
            assert await hears(runtime, ours, theirs)
            assert await hears(runtime, theirs, ours)

            told = one.events()
            peer.kill()
            await until(told, events.ConnectionChange)
            # Several tries have failed by then, and each failure makes a patient phone more so.
            await runtime.sleep(6.0)
            peer.start()
            returned = time.monotonic()
            seen = await until(told, events.MediaConnected)
            assert await hears(runtime, ours, theirs)
            assert await hears(runtime, theirs, ours)
            assert time.monotonic() - returned < 5.0
            assert [event.state for event in seen if isinstance(event, events.ConnectionChange)] == ["connected"]
            assert one.machine.is_registered(alice.id)
            # What is said in the call goes by the new server.
            theirs.hangup()
            ended = await ours.ended(timeout=PATIENCE)
            assert isinstance(ended, events.CallTerminated)
            assert ended.hangup_info.originator == "remote"

    with kamailio(tmp_path) as peer:
        runtime.run(lambda: runtime.within(2 * PATIENCE, lambda: main(peer)))


async def until(told: Any, kind: type) -> list[Any]:
    """Events up to the first of a kind."""
    seen = []
    async for event in told:
        seen.append(event)
        if isinstance(event, kind):
            return seen
    raise AssertionError(f"the phone ended without {kind}")


async def hears(runtime: Any, speaker: Any, listener: Any) -> bool:
    """Whether one end hears within some seconds what is said at the other."""
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    begin = time.monotonic()
    async with aclosing(listener.audio(16_000)) as pieces:
        speaker.write_audio(tone, 16_000)
        async for piece in pieces:
            if np.abs(piece.astype(np.float64)).mean() > 1_000:
                speaker.flush()
                return True
            if time.monotonic() > begin + HEARING:
                return False
    return False
