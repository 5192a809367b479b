"""`sansio-sip preflight`: every stage passed, and each one failing in turn."""

import signal
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha1
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cli.phones import DOMAIN, Served, account, serving
from cryptography.x509 import DNSName
from drivers.certificates import write_certificate
from interop.peers import Lines, free_port, sansio_sip
from interop.relay import PASSWORD, coturn

pytestmark = pytest.mark.realtime


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as server:
        yield server


def preflight(*arguments: str, status: int, env: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Runs the command; the rows by stage, and the summary."""
    with sansio_sip("preflight", *arguments, env=env) as run:
        assert run.wait(60) == status, str(run)
    rows = {row.get("stage", row["event"]): row for row in run.rows}
    assert rows["summary"]["exit"] == status
    for row in rows.values():
        if row.get("outcome") == "failed":
            assert row["advice"], row
    return rows


def outcomes(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {stage: row["outcome"] for stage, row in rows.items() if "outcome" in row}


@contextmanager
def silent_listener() -> Iterator[int]:
    """A port where connections are accepted, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


@contextmanager
def echoing(served: Served) -> Iterator[Lines]:
    with sansio_sip("answer", *account("bob", served), "--echo") as bob:
        bob.event("onLogin")
        yield bob


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_all_is_well(served: Served, runtime: str) -> None:
    with echoing(served):
        rows = preflight(*account("alice", served), "--echo", "bob", "--runtime", runtime, status=0)
    assert outcomes(rows) == {
        "dns": "skipped",
        "tcp": "ok",
        "tls": "skipped",
        "websocket": "ok",
        "stun": "skipped",
        "turn": "skipped",
        "registration": "ok",
        "echo": "ok",
    }
    assert "heard ourselves" in rows["echo"]["detail"]
    assert rows["summary"]["failing"] is None


@pytest.mark.parametrize(("scheme", "stage"), [("udp", "udp"), ("tcp", "tcp")])
def test_by_other_transports(served: Served, scheme: str, stage: str) -> None:
    rows = preflight(*account("alice", served, scheme=scheme), status=0)
    found = outcomes(rows)
    assert (found[stage], found["registration"]) == ("ok", "ok")
    assert "websocket" not in found


def test_a_name_that_is_looked_up(served: Served) -> None:
    url = served.urls["ws"].replace("127.0.0.1", "localhost")
    rows = preflight(f"sip:alice@{DOMAIN}", "--server", url, "--password", "pw-alice", status=0)
    assert rows["dns"]["outcome"] == "ok"
    assert "localhost is 127.0.0.1" in rows["dns"]["detail"]


def test_dns_fails() -> None:
    rows = preflight("sip:alice@nowhere.invalid", "--server", "wss://nowhere.invalid", status=4)
    assert rows["summary"]["failing"] == "dns"
    found = outcomes(rows)
    assert found["dns"] == "failed"
    assert {found[stage] for stage in ("tcp", "tls", "websocket", "registration")} == {"skipped"}


def test_tcp_fails() -> None:
    rows = preflight("sip:alice@example.com", "--server", f"ws://127.0.0.1:{free_port()}", status=4)
    assert rows["summary"]["failing"] == "tcp"
    assert "refused" in rows["tcp"]["detail"].lower()


def test_tls_fails(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    options = ["--wss", "127.0.0.1:0", "--certificate", str(certificate), "--key", str(key)]
    with serving(*options) as served:
        url = served.lines.until(lambda row: str(row.get("url", "")).startswith("wss:"), "a listener for wss")["url"]
        who = [f"sip:alice@{DOMAIN}", "--server", url, "--password", "pw-alice"]
        rows = preflight(*who, status=4)
        assert rows["summary"]["failing"] == "tls"
        assert rows["tcp"]["outcome"] == "ok"
        assert "not trusted" in rows["tls"]["detail"]
        found = outcomes(preflight(*who, "--ca", str(certificate), status=0))
        assert (found["tls"], found["websocket"], found["registration"]) == ("ok", "ok", "ok")


def test_web_socket_fails(served: Served) -> None:
    url = served.urls["tcp"].replace("tcp:", "ws:")
    rows = preflight(f"sip:alice@{DOMAIN}", "--server", url, status=4)
    assert rows["summary"]["failing"] == "websocket"
    assert rows["tcp"]["outcome"] == "ok"
    assert rows["registration"]["outcome"] == "skipped"


def test_a_server_that_says_nothing() -> None:
    with silent_listener() as port:
        rows = preflight("sip:alice@example.com", "--server", f"ws://127.0.0.1:{port}", status=4)
    assert rows["summary"]["failing"] == "websocket"


@contextmanager
def upgrading() -> Iterator[int]:
    """A port where a WebSocket is opened, and nothing is said on it."""

    def serve() -> None:
        with suppress(OSError):  # the end of the test
            while True:
                connection, _ = sock.accept()
                connections.append(connection)
                asked = b""
                while b"\r\n\r\n" not in asked and (piece := connection.recv(4096)):
                    asked += piece
                key = next(row.split(b": ")[1] for row in asked.split(b"\r\n") if row.startswith(b"Sec-WebSocket-Key"))
                proof = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + proof + b"\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
                )

    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = Thread(target=serve)
        thread.start()
        yield sock.getsockname()[1]
        sock.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in connections:
            each.close()


def test_register_is_never_answered() -> None:
    with upgrading() as port:
        rows = preflight("sip:alice@example.com", "--server", f"ws://127.0.0.1:{port}", status=3)
    assert rows["summary"]["failing"] == "registration"
    found = outcomes(rows)
    assert (found["tcp"], found["websocket"], found["registration"]) == ("ok", "ok", "failed")


def test_a_certificate_that_is_trusted_but_anothers(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, [DNSName("another.example.com")])
    with serving("--wss", "127.0.0.1:0", "--certificate", str(certificate), "--key", str(key)) as served:
        url = served.lines.until(lambda row: str(row.get("url", "")).startswith("wss:"), "a listener for wss")["url"]
        who = [f"sip:alice@{DOMAIN}", "--server", url, "--password", "pw-alice"]
        rows = preflight(*who, "--ca", str(certificate), status=4)
    assert rows["summary"]["failing"] == "tls"
    assert "another.example.com" in rows["tls"]["detail"]
    found = outcomes(rows)
    assert (found["tcp"], found["websocket"], found["registration"]) == ("ok", "skipped", "skipped")


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_interrupted_it_says_what_it_found(served: Served, runtime: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(30)
        stun = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        with sansio_sip("preflight", *account("alice", served), "--stun", stun, "--runtime", runtime) as run:
            silent.recv(2048)  # it has come so far
            run.process.send_signal(signal.SIGINT)
            assert run.wait(30) == 130, str(run)
    rows = {row.get("stage", row["event"]): row for row in run.rows}
    assert rows["registration"]["outcome"] == "ok"
    assert "stun" not in rows
    assert rows["summary"]["exit"] == 130


def test_udp_fails() -> None:
    port = free_port(socket.SOCK_DGRAM)
    rows = preflight("sip:alice@example.com", "--server", f"udp://127.0.0.1:{port}", status=4)
    assert rows["summary"]["failing"] == "udp"


def test_registration_fails(served: Served) -> None:
    rows = preflight(*account("alice", served, password="wrong"), "--echo", "bob", status=3)
    assert rows["summary"]["failing"] == "registration"
    assert "password" in rows["registration"]["advice"]
    assert rows["echo"]["outcome"] == "skipped"


def test_the_echo_call_fails(served: Served) -> None:
    rows = preflight(*account("alice", served), "--echo", "nobody", status=1)
    assert rows["summary"]["failing"] == "echo"
    assert "404" in rows["echo"]["detail"]


def test_somebody_who_does_not_echo(served: Served) -> None:
    with sansio_sip("answer", *account("bob", served), "--silence") as bob:
        bob.event("onLogin")
        rows = preflight(*account("alice", served), "--echo", "bob", status=1)
    assert "not ours" in rows["echo"]["detail"]


def test_stun_fails(served: Served) -> None:
    port = free_port(socket.SOCK_DGRAM)
    rows = preflight(*account("alice", served), "--stun", f"stun:127.0.0.1:{port}", status=1)
    assert rows["summary"]["failing"] == "stun"
    assert rows["registration"]["outcome"] == "ok"


@pytest.mark.interop
def test_stun_and_turn(served: Served, tmp_path: Path) -> None:
    with coturn(tmp_path / "turn") as (_, options):
        url = options[1].partition("?")[0].replace("turn:", "stun:")
        rows = preflight(*account("alice", served), "--stun", url, *options, status=0, env=PASSWORD)
        assert rows["stun"]["outcome"] == "ok"
        assert rows["turn"]["outcome"] == "ok"
        assert "127.0.0.1:21" in rows["turn"]["detail"]
        wrong = {"SANSIO_SIP_TURN_PASSWORD": "wrong"}
        rows = preflight(*account("alice", served), *options, status=1, env=wrong)
    assert rows["summary"]["failing"] == "turn"
    assert "401" in rows["turn"]["detail"]


def test_it_needs_a_server() -> None:
    with sansio_sip("preflight", "sip:alice@example.com", "--no-register") as run:
        assert run.wait() == 2
    assert "--server" in run.errors[-1]
