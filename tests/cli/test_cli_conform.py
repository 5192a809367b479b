"""`conform` and the pytest plugin against our own phone and server, on both loops; what is wrong is said at once."""

import json
import os
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from cli.phones import DOMAIN, complaint, serving
from interop.peers import ROOT, free_port, sansio_sip

FEW = [word for name in ("OPTIONS", "UAC-01", "UAS-09", "CAN-06", "torture-no-to") for word in ("--only", name)]


@pytest.fixture
def phone_port() -> int:
    return free_port(socket.SOCK_DGRAM)


def answering(port: int) -> tuple[str, ...]:
    place = ("answer", "sip:bob@127.0.0.1", "--no-register", "--listen", f"127.0.0.1:{port}")
    return (*place, "--media", "rtp", "--codec", "pcmu", "--calls", "99", "--ring", "0.1")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    own = [sys.executable, "-m", "sansio_sip_cli", "conform", *arguments]
    return subprocess.run(own, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_our_phone_passes(runtime: str, phone_port: int, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    with sansio_sip(*answering(phone_port)) as phone:
        phone.event("onConnectionChange", state="connected")
        result = run(
            *("--target", f"udp:127.0.0.1:{phone_port}", *FEW, "--runtime", runtime, "-v"),
            *("--format", "junit", "-o", str(file)),
        )
    assert result.returncode == 0, result.stderr
    assert "pass            UAC-01" in result.stderr
    assert "written to" in result.stderr
    suite = ElementTree.parse(file).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "0", "1")


def test_our_server_passes_by_web_socket(tmp_path: Path) -> None:
    with serving() as served:
        result = run(
            *("--target", served.urls["ws"], "--as", "registrar", "--uri", f"sip:alice@{DOMAIN}"),
            *("--password", "pw-alice"),
            *("--only", "REG-2", "--only", "OPTIONS", "--format", "json"),
        )
    assert result.returncode == 0, result.stdout
    report = json.loads(result.stdout)
    assert {row["verdict"] for row in report["cases"]} == {"pass"}
    assert len(report["cases"]) == 6


def test_the_plugin_makes_tests_of_the_cases(phone_port: int, tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n")
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "transports", "media", "apps"))
    with sansio_sip(*answering(phone_port)) as phone:
        phone.event("onConnectionChange", state="connected")
        own = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "sansio_sip_conformance.plugin",
            "-p",
            "no:cacheprovider",
            "-rs",
            "-v",
        ]
        result = subprocess.run(
            [*own, "--sip-target", f"udp:127.0.0.1:{phone_port}", "-k", "test_own or UAC-01 or UAS-09 or no-to"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            timeout=120,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 passed, 1 skipped" in result.stdout
    assert "sip[UAC-01] PASSED" in result.stdout
    assert "silent: no answer" in result.stdout


def test_nobody_there_is_said() -> None:
    result = run("--target", f"udp:127.0.0.1:{free_port(socket.SOCK_DGRAM)}", "--timeout", "0.2")
    assert result.returncode == 4
    assert "said nothing" in result.stderr
    refused = run("--target", f"tcp:127.0.0.1:{free_port()}")
    assert refused.returncode == 4
    assert "cannot be reached" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["udp:HOST:PORT"]),
        (["--target", "http:127.0.0.1:1"], ["http:127.0.0.1:1", "udp:HOST:PORT"]),
        (["--target", "udp:127.0.0.1:99999"], ["65535"]),
        (["--target", "udp:127.0.0.1:9", "--uri", "tel:1"], ["tel:1", "sip:alice@example.com"]),
        (["--target", "udp:127.0.0.1:9", "--uri", "sip:"], ["sip:alice@example.com"]),
        (["--target", "udp:127.0.0.1:9", "--only", "nothing-of-it"], ["no case"]),
        (["--target", "udp:127.0.0.1:9", "--corpus", "/no/such"], ["/no/such"]),
        (["--target", "udp:127.0.0.1:9", "-o", "/no/such/x"], ["/no/such/x", "can be written"]),
        (["--target", "udp:127.0.0.1:9", "--listen", "127.0.0.1:0"], ["--listen", "leave it out"]),
        (["--as", "uac"], ["--listen HOST:PORT"]),
        (["--as", "uac", "--listen", "127.0.0.1:0", "--target", "udp:127.0.0.1:9"], ["waited for"]),
        (["--as", "nobody"], ["--as", "registrar"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, "conform", *arguments)
    assert all(word in said for word in words), said
