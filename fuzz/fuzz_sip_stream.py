"""A stream of any octets, cut anywhere, gives the same messages, errors and keepalives; nothing is raised.

The first octet says how large the pieces are. What waits for its end is bounded, and a broken stream stays broken.
"""

from sansio_sip.sip.parser import StreamParser


def one(data: bytes) -> None:
    size, stream = 1 + (data[0] if data else 0), data[1:]
    whole, cut = StreamParser(), StreamParser()
    whole.receive(stream)
    items = [f"{type(item).__name__} {item}" for item in whole.messages()]
    pieces: list[str] = []
    for start in range(0, len(stream), size):
        cut.receive(stream[start : start + size])
        pieces += [f"{type(item).__name__} {item}" for item in cut.messages()]
    assert items == pieces
    assert len(items) <= len(stream)  # each may be an empty line, or end a message
