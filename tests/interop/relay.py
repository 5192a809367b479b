"""coturn, started for a test: a relay that is reached by one transport alone."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.certificates import write_certificate
from interop.peers import Lines, command, free_port, require, wait_for

__all__ = ["PASSWORD", "TRANSPORTS", "bound", "coturn"]

# For our command.
PASSWORD = {"SANSIO_SIP_TURN_PASSWORD": "pw-turn"}

TRANSPORTS = ("udp", "tcp", "tls")

URLS = {"udp": "turn:127.0.0.1:{}?transport=udp", "tcp": "turn:127.0.0.1:{}?transport=tcp", "tls": "turns:127.0.0.1:{}"}

# How coturn is told to take clients by this way and no other.
ONLY = {
    "udp": ("--no-tcp", "--no-tls", "--no-dtls"),
    "tcp": ("--no-udp", "--no-tls", "--no-dtls"),
    "tls": ("--no-udp", "--no-tcp", "--no-dtls"),
}


@contextmanager
def coturn(folder: Path, transport: str = "udp", port: int = 0) -> Iterator[tuple[Lines, tuple[str, ...]]]:
    """A relay of its own, reached by one transport: its log, and the options that lead to it. `port` 0: any."""
    require("turnserver")
    folder.mkdir()
    port = port or free_port(socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
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
