"""SIPp, which shares no line with us, registers and calls through `sansio-sip serve` on real sockets."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from shared import require_shared

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0
CALLS = 20


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """The server in a process of its own; `host:port` of its listeners by scheme."""
    paths = [str(ROOT), *(str(ROOT / folder) for folder in ("transports", "media", "apps"))]
    users = [f"--user={name}:pw-{name}" for name in ("carol", "dave")]
    command = [sys.executable, "-m", "sansio_sip_cli", "serve", "--json", "--domain=sip.test", *users]
    process = subprocess.Popen(
        [*command, "--udp=127.0.0.1:0", "--tcp=127.0.0.1:0"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        urls = [urlsplit(json.loads(process.stdout.readline())["url"]) for _ in range(2)]
        yield {url.scheme: url.netloc for url in urls}
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)


def free_ports(count: int) -> list[int]:
    """Ports that nobody holds for UDP; TCP is as free there as it will be."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.mark.parametrize(("scheme", "transport"), [("udp", "u1"), ("tcp", "t1")])
def test_sipp_calls_sipp_through_the_server(scheme: str, transport: str) -> None:
    if shutil.which("sipp") is None:
        pytest.skip("sipp is not installed (Debian: sip-tester)")
    script = require_shared("peers/sipp_pair.sh")
    uas, uac = free_ports(2)
    with serving() as addresses:
        environment = {
            "T": transport,
            "PROXY": addresses[scheme],
            "DOMAIN": "sip.test",
            "FROM": "dave",
            "TO": "carol",
            "N": str(CALLS),
            "R": "20",
            "UAS_PORT": str(uas),
            "UAC_PORT": str(uac),
        }
        ran = subprocess.run(
            ["sh", str(script), "uac.xml"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout
    successful = next(line for line in ran.stdout.splitlines() if "Successful call" in line)
    assert int(successful.split("|")[-1]) == CALLS
