"""A STUN client transaction over UDP: one request, its retransmissions and its end (RFC 8489 section 6.2.1).

Theory of operation
-------------------
The request is sent at 0 and again after RTO, 3 RTO, 7 RTO ... until it was sent Rc times; Rm RTO after the last one
the transaction has failed. With RTO 500 ms: at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms, and failure at 39500 ms.
The owner matches responses by the transaction id; it calls `poll` when the deadline has come.
"""

from dataclasses import dataclass

from sansio_sip.effects import Address, FlowId

__all__ = ["RETRANSMISSIONS", "RTO", "StunTransaction"]

RTO = 0.5
"""Seconds to the first retransmission (RFC 8489 section 6.2.1: "SHOULD be greater than or equal to 500 ms")."""

RETRANSMISSIONS = 7
"""Rc: how often a request is sent in all."""

FINAL_WAIT = 16
"""Rm: how many RTOs to wait after the last one."""


@dataclass(slots=True)
class StunTransaction:
    """A request under way.

    Attributes:
        request: the octets, the same each time.
        rto: seconds.
        limit: how often to send it in all.
        final_wait: seconds to wait after the last time; Rm RTO if None.
    """

    transaction_id: bytes
    request: bytes
    flow: FlowId
    destination: Address
    rto: float = RTO
    limit: int = RETRANSMISSIONS
    final_wait: float | None = None
    sends: int = 0
    last_sent: float = 0.0
    deadline: float = 0.0

    def send(self, now: float) -> bytes:
        """Counts one sending and sets the next deadline; returns what to send."""
        self.sends += 1
        self.last_sent = now
        if self.sends < self.limit:
            self.deadline = now + self.rto * 2 ** (self.sends - 1)
        else:
            self.deadline = now + (FINAL_WAIT * self.rto if self.final_wait is None else self.final_wait)
        return self.request

    def poll(self, now: float) -> bytes | None:
        """At the deadline: what to send again, or None when the transaction has failed."""
        return self.send(now) if self.sends < self.limit else None

    def stop_retransmitting(self, now: float) -> None:
        """Sends no more, but still waits for the answer to what was sent."""
        if self.sends < self.limit:
            self.limit = self.sends
            self.deadline = now + FINAL_WAIT * self.rto

    def round_trip(self, now: float) -> float | None:
        """Seconds from request to answer; None where it is not known which request was answered (Karn)."""
        return now - self.last_sent if self.sends == 1 else None
