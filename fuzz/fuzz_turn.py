"""Whatever a TURN server says, its client does not raise, sends at most a few datagrams for each, and stays bounded.

Pieces between NUL NUL are datagrams; each comes as it is, and as the answer to the request that waits, unsigned.
"""

import random

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, FlowId
from sansio_sip_media.ice.turn import TurnClient, TurnServer

SERVER = TurnServer(Address("192.0.2.9", 3478), "alice", Secret("password"))


def one(data: bytes) -> None:
    client = TurnClient(Context(Entropy(random.Random(0))), SERVER, FlowId("a"))
    client.start(now=0.0)
    for number, piece in enumerate(data.split(b"\0\0")[:16], 1):
        waiting = b"".join(bytes(output.data[8:20]) for output in client.outputs() if hasattr(output, "data"))[:12]
        answer = piece[:8].ljust(8, b"\0") + waiting + piece[20:]
        for datagram in (piece, answer):
            client.receive_datagram(datagram, now=float(number))
            client.send(b"data", Address("192.0.2.2", 5000 + number), now=float(number))
            client.handle_timeout(now=float(number))
            assert len(list(client.outputs())) <= 24
    client.close(now=20.0)
    client.handle_timeout(now=600.0)
    assert len(list(client.outputs())) <= 8
