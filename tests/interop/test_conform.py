"""The conformance kit against strangers: what they do right is seen, and what they do not."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from interop.baresip import baresip
from interop.peers import ROOT, command, free_port, kamailio, wait_for
from interop.sipp import answers, calls, sipp

pytestmark = pytest.mark.interop


def conform(folder: Path, *arguments: str, status: int) -> dict[str, str]:
    """Runs the command; the verdict of each case by its name."""
    file = folder / "matrix.json"
    own = [sys.executable, "-m", "sansio_sip_cli", "conform", "--format", "json", "-o", str(file), *arguments]
    result = subprocess.run(own, capture_output=True, text=True, check=False, cwd=ROOT, timeout=280)
    assert result.returncode == status, result.stderr
    report: dict[str, Any] = json.loads(file.read_text())
    return {row["name"]: row["verdict"] for row in report["cases"]}


def test_kamailio_as_a_registrar(tmp_path: Path) -> None:
    with kamailio(tmp_path) as peer:
        alice = ("--as", "registrar", "--uri", f"sip:alice@{peer.domain}", "--password", "pw-alice")
        verdicts = conform(tmp_path, "--target", peer.server("udp"), *alice, "--timeout", "1", status=1)
        by_web_socket = conform(tmp_path, "--target", peer.server("ws"), *alice, "--only", "REG-", status=1)
    flows = [verdicts[f"REG-22{letter}"] for letter in "abcde"]
    assert flows == ["pass"] * 5
    assert {verdicts[name] for name in ("REG-18", "REG-order", "REG-star", "REG-parameter", "PROXY-call")} == {"pass"}
    assert verdicts["REG-require"] == "fail"  # Kamailio looks at Require of REGISTER only where a script does
    assert by_web_socket["REG-22a"] == "pass"


def test_sipp_as_the_callee(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    media = str(free_port(socket.SOCK_DGRAM))
    with command(sipp(tmp_path, "uas", answers(), "-p", str(port), "-mp", media, calls=100), cwd=tmp_path) as lines:
        wait_for(lambda: bound(port) or lines.process.poll() is not None, "SIPp is up")
        only = [word for name in ("UAC-01", "UAS-01", "UAS-13", "DLG-03", "UAS-12") for word in ("--only", name)]
        verdicts = conform(tmp_path, "--target", f"udp:127.0.0.1:{port}", *only, "--timeout", "0.5", status=1)
    # A scenario plays one call, whatever it is asked.
    assert verdicts == {"UAC-01": "pass", "UAS-01": "pass", "UAS-13": "pass", "DLG-03": "fail", "UAS-12": "fail"}


def test_sipp_as_the_caller(tmp_path: Path) -> None:
    port, own = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    who = ("-s", "kit", "-key", "from", "sipp", "-key", "domain", "127.0.0.1", "-d", "3000", "-r", "1", "-rp", "2000")
    caller = sipp(tmp_path, "uac", calls(), f"127.0.0.1:{own}", "-p", str(port), *who, calls=60)
    with command(caller, cwd=tmp_path):
        only = [word for name in ("UAC-01", "UAC-18", "UAC-20", "FOREIGN") for word in ("--only", name)]
        verdicts = conform(tmp_path, "--as", "uac", "--listen", f"127.0.0.1:{own}", *only, status=1)
    assert [verdicts[name] for name in ("UAC-01", "UAC-18", "UAC-20")] == ["pass"] * 3
    assert verdicts["FOREIGN"] == "fail"  # SIPp tells calls by Call-ID alone


def test_baresip_as_the_callee(tmp_path: Path) -> None:
    with baresip(tmp_path) as port:
        place = ("--target", f"udp:127.0.0.1:{port}", "--uri", f"sip:bob@127.0.0.1:{port}")
        verdicts = conform(tmp_path, *place, "--timeout", "1", status=1)
    assert sum(verdict == "pass" for verdict in verdicts.values()) >= 40
    right = ("OPTIONS", "UAC-01", "UAS-01", "UAS-03", "UAS-04", "UAS-12", "UAS-24", "DLG-03", "DLG-04", "DLG-12")
    assert {verdicts[name] for name in right} == {"pass"}


def bound(port: int) -> bool:
    """Somebody has that UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False
