"""baresip as a user agent that takes each call."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.peers import Lines, command, free_port, require, wait_for

__all__ = ["baresip"]

# It says to itself what it hears: no sound card is needed.
CONFIG = """sip_listen 127.0.0.1:{port}
call_max_calls 20
audio_player aubridge,x
audio_source aubridge,x
audio_alert aubridge,x
rtp_ports 20000-30000
module_path {modules}
module g711.so
module aubridge.so
module_app account.so
module_app menu.so
"""
MODULES = "/usr/lib/baresip/modules"


@contextmanager
def baresip(folder: Path) -> Iterator[int]:
    """Runs one; gives its UDP port."""
    require("baresip")
    port = free_port(socket.SOCK_DGRAM)
    (folder / "config").write_text(CONFIG.format(port=port, modules=MODULES))
    (folder / "accounts").write_text("<sip:bob@127.0.0.1>;regint=0;answermode=auto\n")
    (folder / "contacts").write_text("")
    with command(["baresip", "-4", "-f", str(folder)], cwd=folder) as lines:
        wait_for(lambda: is_ready(lines), "baresip is ready")
        yield port


def is_ready(lines: Lines) -> bool:
    lines.take_waiting()
    assert lines.process.poll() is None, f"baresip ended\n{lines}"
    return any("baresip is ready" in line for line in (*lines.lines, *lines.errors))
