"""Sessions that share sockets: an offer that forks has several answers, and a session for each.

Theory of operation
-------------------
The session that has made the offer is the *trunk*: sockets, relays and what the offer says of us (candidates, ICE
credentials, certificate, SDES keys) are its own. A session that is forked from it has a peer, a path, keys, audio and
reports of its own. What arrives is given to the session whose peer has sent it:

    STUN           by USERNAME, `ours:theirs`, and by the id of our own check
    DTLS, (S)RTP   by a pair of addresses that ICE has validated; without ICE by the address in the answer, else by its
                   host alone as long as that peer has not been heard

What belongs to nobody is dropped: no peer may take the place of another one by being first.

Sockets that a fork opens later, in a rebind, are its own, and so are the relays that it asks for from there.

A trunk that is closed before its forks has left (`State.LEFT`): it keeps sockets and relays open for them.
"""

from typing import Generic, Protocol, TypeVar

from sansio_sip.effects import Address, FlowId, SendDatagram

from .demux import Kind, classify

__all__ = ["MAX_FORKS", "Forks"]

MAX_FORKS = 16
"""Sessions on one offer: as many as a call has early dialogs at most."""


class Member(Protocol):
    """What a session is asked here. See `session.MediaSession`."""

    def claims(self, flow: FlowId, data: bytes, source: Address, kind: Kind) -> int: ...

    def is_for_server(self, flow: FlowId, data: bytes, source: Address) -> bool: ...

    def send_by_relay(self, output: SendDatagram, *, now: float) -> bool: ...


Row = TypeVar("Row", bound=Member)


class Forks(Generic[Row]):
    """The sessions of one offer.

    Attributes:
        trunk: whose sockets they are.
        rows: those that are not closed, the trunk among them, oldest first.
    """

    def __init__(self, trunk: Row) -> None:
        self.trunk = trunk
        self.rows: list[Row] = [trunk]

    @property
    def family(self) -> tuple[Row, ...]:
        """All that may have something to say: the trunk first, though it may have left."""
        return (self.trunk, *(row for row in self.rows if row is not self.trunk))

    def addressee(self, flow: FlowId, data: bytes, source: Address) -> Row | None:
        """Who is to receive a datagram."""
        if self.trunk.is_for_server(flow, data, source):
            return self.trunk
        kind = classify(data)
        claims = [(row.claims(flow, data, source, kind), number) for number, row in enumerate(self.rows)]
        certainty, number = max(claims, default=(0, 0))
        return self.rows[number] if certainty else None

    def relays(self, row: Row, output: SendDatagram, *, now: float) -> bool:
        """Sends what a fork sends, where that goes by a relay of the trunk's. False: it goes by a socket."""
        return row is not self.trunk and self.trunk.send_by_relay(output, now=now)

    def part(self, row: Row) -> None:
        """It is closed."""
        self.rows.remove(row)
