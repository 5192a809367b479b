"""Writes docs/reference/interop.md: which stranger was tried, in which version, when, and by which tests.

    make interop ARGS=--junit-xml=interop.xml
    PYTHONPATH=tests .venv/bin/python -m interop.matrix interop.xml

Each peer is asked for its version, and the results are counted; of what a file of results does not hold, what is known
is kept: `results.json`.
"""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "PEERS", "PROOFS", "RESULTS", "page"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "interop.md"
RESULTS = Path(__file__).with_name("results.json")

UNKNOWN = "not found"


def printed(*command: str) -> Callable[[], str]:
    """The version is what looks like one in what a command prints."""

    def ask() -> str:
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return UNKNOWN
        found = re.search(r"\d+\.\d+(?:\.\d+)*", result.stdout + result.stderr)
        return found[0] if found else UNKNOWN

    return ask


def package(name: str) -> Callable[[], str]:
    def ask() -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return UNKNOWN

    return ask


def of_debian(name: str) -> Callable[[], str]:
    """For what does not say its version by itself."""
    return printed("dpkg-query", "-W", "-f", "${Version}", name)


def of_node(name: str) -> Callable[[], str]:
    def ask() -> str:
        path = ROOT / ".peers" / "node_modules" / name / "package.json"
        return str(json.loads(path.read_text())["version"]) if path.exists() else UNKNOWN

    return ask


@dataclass(frozen=True)
class Peer:
    name: str
    what: str
    version: Callable[[], str]


PEERS = (
    Peer("Kamailio", "registrar and proxy", printed("kamailio", "-v")),
    Peer("rtpengine", "bridge from WebRTC to plain RTP", of_debian("rtpengine-daemon")),
    Peer("coturn", "STUN and TURN server", printed("turnserver", "--version")),
    Peer("SIPp", "SIP end by scenario", printed("sipp", "-v")),
    Peer("baresip", "softphone", printed("baresip", "-h")),
    Peer("Chromium", "browser: its own WebRTC stack", printed("chromium", "--version")),
    Peer("JsSIP", "SIP in the browser", of_node("jssip")),
    Peer("tshark", "reads what is on the wire", printed("tshark", "--version")),
    Peer("aiortc", "WebRTC in Python", package("aiortc")),
    Peer("aioice", "ICE in Python", package("aioice")),
    Peer("pyOpenSSL", "DTLS of OpenSSL, used bare", package("pyopenssl")),
    Peer("pipecat", "pipelines of voice agents", package("pipecat-ai")),
    Peer("PulseAudio", "sound server, by PortAudio", printed("pulseaudio", "--version")),
    Peer("pesq", "judge of speech (ITU-T P.862)", package("pesq")),
    Peer("Ray", "cluster of processes", package("ray")),
)

# Module of tests: which peers it tries, and what it proves.
PROOFS: dict[str, tuple[tuple[str, ...], str]] = {
    "interop.test_kamailio": (("Kamailio", "tshark"), "register, call, talk, keys, part: WS, WSS, UDP, TCP, TLS"),
    "interop.test_outbound_kamailio": (("Kamailio",), "two flows of an account; one dies in a call (RFC 5626)"),
    "interop.test_kamailio_forks": (("Kamailio",), "a call that rings at several phones"),
    "interop.test_sipp_forks": (("SIPp",), "a call that is answered by more than one branch"),
    "interop.test_transfer": (("Kamailio",), "hold, blind and attended transfer among three phones"),
    "interop.test_rtpengine": (("Kamailio", "rtpengine"), "a WebRTC phone talks with a plain RTP phone"),
    "interop.test_coturn": (("coturn", "Kamailio", "Chromium", "JsSIP"), "calls by a relay alone: UDP, TCP, TLS"),
    "interop.test_media_recovery_coturn": (("coturn",), "a relay that is lost in a call is replaced"),
    "interop.test_chromium": (("Chromium", "JsSIP", "Kamailio"), "calls both ways, keys of the page (RFC 4733)"),
    "interop.test_chromium_audio": (
        ("Chromium", "JsSIP", "Kamailio", "coturn", "pesq"),
        "how both ends sound: Opus, PCMU, hold, relays",
    ),
    "interop.test_client_chromium": (("Chromium", "JsSIP"), "`Client` and our server with a page"),
    "interop.test_sipp": (("SIPp",), "SIPp calls us and we call SIPp, with echo"),
    "interop.test_sipp_rows": (("SIPp",), "each `sipp` row of the scenario table, over UDP and TCP"),
    "server.test_sipp": (("SIPp",), "SIPp registers and calls through our server"),
    "interop.test_conform": (("Kamailio", "SIPp", "baresip"), "our conformance kit judges strangers"),
    "interop.test_extended_reports": (("tshark",), "RTCP XR as tshark reads it"),
    "interop.test_peer_to_peer": ((), "two processes of ours without a server, IPv4 and IPv6"),
    "interop.test_network_change_netns": ((), "an interface gets another address in a call"),
    "interop.test_portaudio": (("PulseAudio",), "a call by real sound devices"),
    "interop.test_pipecat": (("pipecat",), "a pipeline on a call: echo, interruption, keys, hold"),
    "media.test_rtp_interop": (("aiortc",), "RTP and RTCP, read and written by each other"),
    "media.test_speech_quality": (("pesq",), "speech after loss, beside silence"),
    "dtls.test_dtls_strangers": (("pyOpenSSL", "aiortc"), "DTLS in both roles, each flight lost once"),
    "ice.test_ice_interop": (("aioice",), "ICE in both roles, and data"),
    "ice.test_turn_interop": (("coturn",), "addresses and relays of our ICE"),
    "sdp.test_sdp_chromium": (("Chromium",), "Chromium takes our descriptions, and we take its"),
    "cli.test_cli_capture": (("tshark",), "a capture of tshark is played to a phone"),
    "cli.test_cli_ladder": (("tshark",), "tshark reads the captures that we write"),
    "cli.test_console": (("Chromium",), "the console in a browser"),
    "cli.test_fleet": (("Kamailio", "Ray"), "phones behind Kamailio's dispatcher; both commands on a cluster"),
    "cli.test_load": (("Chromium",), "one-way audio is noticed; the page of a run"),
    "cli.test_phone": (("Chromium",), "the terminal phone, drawn"),
    "cli.test_preflight": (("coturn",), "STUN and TURN in preflight"),
    "cli.test_report": (("Chromium",), "the report in a browser"),
    "docs.test_code_blocks": (("pipecat",), "the program of the page on pipecat runs"),
    "docs.test_commands": (("Kamailio", "coturn"), "the printed commands run"),
}

HEAD = """# Interoperability

Tests of two ends of our own show that we agree with ourselves. Here is who else was tried, made by `python -m
interop.matrix` from the results of `make interop`: it asks each peer for its version and counts its tests.

**Not tried**: Asterisk and FreeSWITCH, which the package archive of the tests does not have (see [At Asterisk and
FreeSWITCH](../how-to/asterisk_and_freeswitch.md)), browsers other than Chromium, and hosted services.
"""


def counted(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """By module: the day, and how many tests passed, failed, were skipped. What passed at a second try has passed."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        for suite in xml.etree.ElementTree.parse(path).getroot().iter("testsuite"):
            outcomes: dict[tuple[str, str], str] = {}
            for case in suite.iter("testcase"):
                module = case.attrib["classname"].removeprefix("tests.")
                outcome = "passed"
                if case.find("failure") is not None or case.find("error") is not None:
                    outcome = "failed"
                elif case.find("skipped") is not None:
                    outcome = "skipped"
                outcomes[module, case.attrib["name"]] = outcome
            for (module, _), outcome in outcomes.items():
                row = found.setdefault(module, {"passed": 0, "failed": 0, "skipped": 0})
                row["date"] = suite.attrib["timestamp"][:10]
                row[outcome] += 1
    return found


def page(known: dict[str, Any]) -> str:
    """The page, of what is known."""
    lines = [
        HEAD,
        "## Peers",
        "",
        "| Peer | Version | What it is | Last tried | Tests passed |",
        "|---|---|---|---|---|",
    ]
    for peer in PEERS:
        rows = [
            known["tests"][name] for name, (peers, _) in PROOFS.items() if peer.name in peers and name in known["tests"]
        ]
        passed, total = sum(row["passed"] for row in rows), sum(row["passed"] + row["failed"] for row in rows)
        last = max((row["date"] for row in rows if row["passed"] + row["failed"]), default="")
        tests = f"{passed} of {total}" if total else "none yet"
        lines.append(f"| {peer.name} | {known['versions'].get(peer.name, '')} | {peer.what} | {last} | {tests} |")
    lines += [
        "",
        "## What proves what",
        "",
        "| Tests | With | What is proved | Passed | Last run |",
        "|---|---|---|---|---|",
    ]
    for name, (peers, what) in PROOFS.items():
        row = known["tests"].get(name)
        result, date = "not run yet", ""
        if row is not None:
            result, date = f"{row['passed']} of {row['passed'] + row['failed']}", row["date"]
            result += f", {row['skipped']} skipped" if row["skipped"] else ""
        lines.append(f"| `tests/{name.replace('.', '/')}.py` | {', '.join(peers)} | {what} | {result} | {date} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> None:
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"tests": {}, "versions": {}}
    for name, row in counted(map(Path, arguments)).items():
        if name in PROOFS:
            known["tests"][name] = row
            for peer in PEERS:
                if peer.name in PROOFS[name][0]:
                    known["versions"][peer.name] = peer.version()
    RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(known))


if __name__ == "__main__":
    main(sys.argv[1:])
