"""Reading and writing SIP and SDP, beside sipmessage and aiortc's SDP."""

import json
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import sipmessage
from aiortc import sdp as aiortc_sdp

from sansio_sip.effects import Address
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.sdp.negotiation import LocalMedia
from sansio_sip.sdp.offer_answer import OfferAnswer
from sansio_sip.sdp.parser import parse_description
from sansio_sip.sip.headers import CSeq, NameAddress, Via
from sansio_sip.sip.message import Headers, Request
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.uri import parse_uri

from .compare import Row, compare

__all__ = ["run"]

REGISTER = """REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/WSS k3jh2kjh34.invalid;branch=z9hG4bKnashds8;rport
Max-Forwards: 70
From: "Alice" <sip:alice@example.com>;tag=456248ss
To: <sip:alice@example.com>
Call-ID: 843817637684230a998sdasdh09
CSeq: 1827 REGISTER
Contact: <sip:a8sd7f@k3jh2kjh34.invalid;transport=ws>;reg-id=1;+sip.instance="<urn:uuid:0>";expires=600
Expires: 600
Authorization: Digest username="alice", realm="example.com", nonce="a8sd7fa98sd7f", uri="sip:example.com", \
response="0123456789abcdef0123456789abcdef", algorithm=MD5, qop=auth, nc=00000001, cnonce="a8s7df"
Supported: path, gruu, outbound
Allow: INVITE, ACK, CANCEL, BYE, UPDATE, MESSAGE, OPTIONS, REFER, INFO, NOTIFY
User-Agent: example 1.0
Content-Length: 0

"""

OK = """SIP/2.0 200 OK
Via: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK77ef4c23;received=192.0.2.5;rport=5060
Record-Route: <sip:192.0.2.9;lr;ftag=1928301774>
From: Alice <sip:alice@example.com>;tag=1928301774
To: Bob <sip:bob@example.com>;tag=a6c85cf
Call-ID: a84b4c76e66710@pc33.example.com
CSeq: 314159 INVITE
Contact: <sip:bob@192.0.2.4:5060;transport=udp>
Content-Length: 0

"""


def offer() -> bytes:
    """A WebRTC offer with as many candidates as a laptop has."""
    local = LocalMedia(
        profile="webrtc",
        address=Address("192.0.2.7", 49_170),
        candidates=tuple(
            f"{number} 1 udp {2130706431 - number} 192.0.2.{number} {49_170 + number} typ host" for number in range(16)
        ),
        ice_ufrag="8hhYaaaa",
        ice_pwd="asd88fgpdd777uzjYhagZgaa",
        fingerprint=Fingerprint("sha-256", ":".join(["AB"] * 32)),
        cname="benchmark",
        ssrc=1234,
    )
    return bytes(OfferAnswer(1).create_offer(local))


def invite(body: bytes) -> bytes:
    head = OK.replace("SIP/2.0 200 OK", "INVITE sip:bob@example.com SIP/2.0", 1).replace(
        "Content-Length: 0", f"Content-Type: application/sdp\nContent-Length: {len(body)}"
    )
    return _octets(head) + body


def _octets(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def typed(data: bytes) -> tuple[Any, ...]:
    """What a transaction layer reads of a message."""
    message = parse_message(data)
    return message.via, message.from_, message.to, message.call_id, message.cseq, message.contacts


def typed_by_sipmessage(data: bytes) -> tuple[Any, ...]:
    message = sipmessage.Message.parse(data)
    return (
        message.via,
        message.from_address,
        message.to_address,
        message.call_id,
        message.cseq,
        message.contact,
        message.content_length,
    )


def build() -> bytes:
    headers = Headers()
    uri = parse_uri("sip:bob@example.com")
    for name, value in (
        ("Via", Via("UDP", "192.0.2.5", 5060, (("branch", "z9hG4bK77ef4c23"), ("rport", None)))),
        ("Max-Forwards", 70),
        ("From", NameAddress(uri, "Alice", (("tag", "1928301774"),))),
        ("To", NameAddress(uri)),
        ("Call-ID", "a84b4c76e66710"),
        ("CSeq", CSeq(314159, "INVITE")),
        ("Contact", NameAddress(uri)),
    ):
        headers.add(name, str(value))
    return bytes(Request("INVITE", uri, headers))


def build_by_sipmessage() -> bytes:
    uri = sipmessage.URI.parse("sip:bob@example.com")
    request = sipmessage.Request("INVITE", uri)
    request.via = [
        sipmessage.Via(
            transport="UDP",
            host="192.0.2.5",
            port=5060,
            parameters=sipmessage.Parameters(branch="z9hG4bK77", rport=None),
        )
    ]
    request.max_forwards = 70
    request.from_address = sipmessage.Address(uri=uri, name="Alice", parameters=sipmessage.Parameters(tag="1928301774"))
    request.to_address = sipmessage.Address(uri=uri)
    request.call_id = "a84b4c76e66710"
    request.cseq = sipmessage.CSeq(sequence=314159, method="INVITE")
    request.contact = [sipmessage.Address(uri=uri)]
    return bytes(request)


NODE_PACKAGES = ("jssip@3", "sip.js@0.21")


def js_rows(messages: list[tuple[str, bytes]], ours: list[float]) -> list[Row]:
    """The parsers of JsSIP and SIP.js; none where there is no node, or no npm registry."""
    if shutil.which("npm") is None:
        print("JsSIP and SIP.js are left out: there is no npm")
        return []
    with tempfile.TemporaryDirectory() as folder:
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", *NODE_PACKAGES]
        if subprocess.run(install, cwd=folder, check=False, capture_output=True).returncode:
            print(f"JsSIP and SIP.js are left out: npm could not install {', '.join(NODE_PACKAGES)}")
            return []
        question = {"messages": [data.decode() for _, data in messages], "modules": f"{folder}/node_modules"}
        script = Path(__file__).with_name("js_parsers.mjs")
        answer = subprocess.run(
            ["node", str(script)], input=json.dumps(question), text=True, check=True, capture_output=True
        )
    return [
        Row(f"typed parse, {what}", peer, mine, theirs)
        for peer, times in json.loads(answer.stdout).items()
        for (what, _), mine, theirs in zip(messages, ours, times, strict=True)
    ]


def run() -> list[Row]:
    body = offer()
    messages = []
    for name, data in (
        ("REGISTER", _octets(REGISTER)),
        ("200 OK", _octets(OK)),
        ("INVITE with WebRTC SDP", invite(body)),
    ):
        messages.append((f"{name} of {len(data)} octets", data))
    rows = [
        compare(
            f"typed parse, {what}",
            "sipmessage",
            partial(typed, data),
            partial(typed_by_sipmessage, data),
            0.4,
        )
        for what, data in messages
    ]
    rows += js_rows(messages, [row.ours for row in rows])
    rows.append(compare("build an INVITE from typed values", "sipmessage", build, build_by_sipmessage, 0.5))
    text = body.decode()
    rows.append(
        compare(
            f"parse SDP of {len(body)} octets",
            "aiortc",
            lambda: parse_description(body),
            lambda: aiortc_sdp.SessionDescription.parse(text),
            0.5,
        )
    )
    return rows
