"""An RTCP session that any octets reach does not raise; it answers nothing at once, and sends one compound at its time.

What it then sends is read back, whatever it was told to report about.
"""

import random

from sansio_sip.context import Context, Entropy
from sansio_sip_media.rtcp.packets import parse_compound
from sansio_sip_media.rtcp.session import MAX_MEMBERS, RtcpSession


def one(data: bytes) -> None:
    session = RtcpSession(Context(Entropy(random.Random(0))), 1, "alice", 8000)
    session.start(now=0.0)
    for number, piece in enumerate((data, *data.split(b"\0\0\0\1")[:8]), 1):
        session.receive(piece, now=float(number))
        assert session.poll_output() is None
        session.handle_timeout(now=float(number))
        for output in session.outputs():
            assert parse_compound(output.data)
    assert session.rtt is None or 0 <= session.rtt < 65_536
    assert len(session._members) <= MAX_MEMBERS
    assert parse_compound(session.bye(now=20.0))
