"""SIPp, which shares no line with us, registers and calls through `sansio-sip serve` on real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from interop.peers import command
from interop.sipp import answers, registers, sipp
from interop.sipp import calls as scenario_calls

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0
CALLS = 20


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """The server in a process of its own; `host:port` of its listeners by scheme."""
    paths = [str(ROOT), *(str(ROOT / folder) for folder in ("transports", "media", "apps"))]
    users = [f"--user={name}:pw-{name}" for name in ("carol", "dave")]
    arguments = [sys.executable, "-m", "sansio_sip_cli", "serve", "--json", "--domain=sip.test", *users]
    process = subprocess.Popen(
        [*arguments, "--udp=127.0.0.1:0", "--tcp=127.0.0.1:0"],
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
def test_sipp_calls_sipp_through_the_server(tmp_path: Path, scheme: str, transport: str) -> None:
    uas_port, uac_port, register_port = (str(port) for port in free_ports(3))
    names = ("-t", transport, "-s", "carol", "-key", "from", "dave", "-key", "domain", "sip.test")
    with serving() as addresses:
        proxy = addresses[scheme]
        registration = (proxy, *names, "-p", register_port, "-au", "carol", "-ap", "pw-carol", "-key", "contact_port")
        with (
            command(
                sipp(tmp_path, "uas", answers(), "-t", transport, "-p", uas_port, calls=CALLS), cwd=tmp_path
            ) as callee,
            command(sipp(tmp_path, "register", registers(), *registration, uas_port), cwd=tmp_path) as registers_callee,
        ):
            assert registers_callee.wait() == 0, str(registers_callee)
            credentials = ("-au", "dave", "-ap", "pw-dave", "-p", uac_port, "-d", "300", "-r", "20")
            calling = sipp(tmp_path, "uac", scenario_calls(), proxy, *names, *credentials, calls=CALLS)
            with command(calling, cwd=tmp_path) as caller:
                # Either ends with 0 once each of its calls went as written, up to the BYE.
                assert caller.wait(TIMEOUT) == 0, str(caller)
            assert callee.wait(TIMEOUT) == 0, str(callee)
