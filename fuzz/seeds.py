"""What each target starts from: the corpora beside the checkout, a few messages of our own, and a recorded trace."""

import hashlib
import os
import random
from functools import cache
from pathlib import Path

__all__ = ["CORPORA", "NOT_SEEDS", "SIP", "corpora_folder", "plant", "seeds"]

# Which corpora a target starts from; the whole machines and the rest start from SIP.
SIP = ("01-rfc4475", "02-rfc5118", "03-sip-messages")
CORPORA = {
    "sdp": ("04-sdp",),
    "offer_answer": ("04-sdp",),
    "stun": ("06-stun-ice",),
    "turn": ("06-stun-ice",),
    "rtp": ("07-rtp-srtp",),
    "rtcp": ("07-rtp-srtp",),
    "dtls": ("07-rtp-srtp",),
    "softphone": (*SIP, "06-stun-ice", "07-rtp-srtp"),
}
NOT_SEEDS = (".md", ".json", ".csv", ".py")
MAX_SEED = 4096  # octets; long ones take the time of many short ones
SEEDS_A_TARGET = 60

INVITE = (
    b"INVITE sip:alice@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    b"From: <sip:bob@example.com>;tag=1\r\nTo: <sip:alice@10.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
    b"Contact: <sip:bob@10.0.0.9>\r\nContent-Type: application/sdp\r\nContent-Length: 106\r\n\r\n"
    b"v=0\r\no=- 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    b"a=rtpmap:0 PCMU/8000\r\n"
)
OWN = (b"", INVITE, INVITE + b"\0\0\x0d\0\0\x09\0\0\x0c", b"\0\0\x0b".join([INVITE] * 3), b'{"sub": "a"}')

# Of what is no whole message there is no corpus: what a header, a URI and a frame look like.
OF_ITS_OWN = {
    "uri": (
        b"sip:alice:secret@example.com:5060;transport=tcp;lr?subject=a%20b&priority=urgent",
        b"sips:[2001:db8::1]:5061;maddr=192.0.2.1;ttl=5;user=phone;method=INVITE",
        b"tel:+1-201-555-0123;phone-context=example.com;ext=7",
        b"wss://sip.example.com:7443/ws?a=b",
        b"udp://192.0.2.1:5060",
        b"mailto:a@b",
    ),
    "headers": (
        b"\x00SIP/2.0/UDP [2001:db8::9:1]:5060;received=192.0.2.1;rport=9;branch=z9hG4bK1, SIP/2.0/TCP a;branch=2",
        b'\x01"A. G. \\"Bell\\"" <sip:agb@bell.example.com>;tag=a48s;q=0.7, sip:+12125551212@example.com;tag=887s',
        b"\x02314159 INVITE",
        b"\x03776656 1 INVITE",
        b'\x04multipart/mixed;boundary="a b"',
        b"\x05refer;id=93809823",
        b'\x06Q.850;cause=16;text="Terminated", SIP;cause=200',
        b'\x07Digest realm="a.example", domain="sip:a", nonce="f8", stale=TRUE, qop="auth,auth-int", algorithm=SHA-256',
        b'\x08Digest username="Alice", realm="a", nonce="8", uri="sip:a", response="7", nc=00000001, cnonce="1"',
    ),
    "web_socket": (
        b"\0HTTP/1.1 101 A\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTx\r\n\r\n",
        b"\1GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"\2\x81\x05hello\x89\x02hi\x01\x02ab\x80\x02cd\x88\x02\x03\xe8",
        b"\3\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8",
    ),
    "sip_stream": (b"3\n\n\n",),  # each LF is a keepalive
    "access_token": (
        b'{"iss":"a","sub":"b","nbf":1,"exp":9,"per":{"voice":{"incoming_allow":true,"outgoing_allow":false}}}',
        b'{"iss":"a","app":"b","nbf":1.5,"exp":"9","per":[]}',
    ),
}


def corpora_folder() -> Path | None:
    """`shared/corpus` beside the checkout, or in the folder that SANSIO_SIP_SHARED names; None where there is none."""
    named = os.environ.get("SANSIO_SIP_SHARED")
    folder = (Path(named) if named else Path(__file__).resolve().parents[2] / "shared") / "corpus"
    return folder if folder.is_dir() else None


@cache
def recorded() -> bytes:
    """A trace of two phones and a server that log in and have a call, from the simulated network of the tests."""
    from simulation.phones import Network

    from sansio_sip.trace import TraceWriter

    lines: list[str] = []
    network = Network(1, trace=TraceWriter(lines.append, full=False))
    alice, bob = network.phone("alice"), network.phone("bob")
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    network.pass_time(0.3)
    bob.hang_up()
    network.pass_time(0.3)
    return "".join(lines).encode()


@cache
def seeds(target: str) -> tuple[bytes, ...]:
    """Of a target, by its name without `fuzz_`. The same ones each time."""
    if target == "trace":
        lines = recorded().splitlines(keepends=True)  # the beginning of a trace is one
        return (*OWN, *(b"".join(lines[:count]) for count in (3, 6, 10, 16, len(lines))))
    found = []
    folder = corpora_folder()
    for name in CORPORA.get(target, SIP) if folder is not None else ():
        for path in sorted((folder / name).rglob("*")):  # type: ignore[operator]  # there is a folder here
            if path.is_file() and path.suffix not in NOT_SEEDS and path.stat().st_size <= MAX_SEED:
                found.append(path.read_bytes())
    random.Random(f"fuzz_{target}").shuffle(found)
    return (*OWN, *OF_ITS_OWN.get(target, ()), *found[:SEEDS_A_TARGET])


def plant(folder: Path, target: str) -> None:
    """Writes the seeds of a target into `folder/TARGET`, each into a file named by its hash as libFuzzer does it."""
    corpus = folder / target
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
