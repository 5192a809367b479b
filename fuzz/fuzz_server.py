"""No sequence of octets, times and broken flows makes the server raise; each input has a bounded number of outputs."""

import random

from fuzz.root_machine import play
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.server import Server, ServerOptions

OPTIONS = ServerOptions(
    domain="example.com",
    listen=("udp://10.0.0.1:5060", "tcp://10.0.0.1:5060", "ws://10.0.0.1:8080"),
    users={name: Secret(name) for name in ("alice", "bob")},
    authenticate_calls=False,
)


def one(data: bytes) -> None:
    server = Server(Context(Entropy(random.Random(0)), unix_offset=1.7e9), OPTIONS)
    server.interfaces_changed(("10.0.0.1",), now=0.0)
    now = play(server, data)
    server.close(now=now)
    for _ in server.outputs():
        pass
    server.handle_timeout(now=now + 700.0)
