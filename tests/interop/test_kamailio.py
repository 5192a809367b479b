"""Two of our phones through a real Kamailio."""

from pathlib import Path

import pytest
from interop.peers import SPEECH, Kamailio, capture, kamailio, malformed, namespace, sansio_sip

from sansio_sip_cli.audio import load
from sansio_sip_media.likeness import likeness

pytestmark = pytest.mark.interop


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
