"""Bounds on what a peer may send, and make a user agent keep, in one place: each can be set, and what is refused is
counted (see `Gate`, `UserAgentCounters`, `LayerCounters`) or told to whoever asked.

The parser has bounds of its own that nothing can lift (`parser.MAX_*`): they keep a single message from costing more
than its octets. Those here are tighter, and policy.
"""

from collections import OrderedDict
from dataclasses import dataclass, fields

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError

from .message import Request, Response
from .parser import parse_message
from .transactions.layer import MAX_TRANSACTIONS

__all__ = ["Gate", "GateCounters", "Limits"]

MAX_SOURCES = 4096
"""Sources whose rate is remembered. The one that was silent longest is forgotten, and begins anew with a full bucket:
a flood from more addresses than that is not one that counting by source can stop."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message, and one stranger, may be.

    Attributes:
        message: octets of a whole message.
        header_rows: header fields.
        header_value: characters of one.
        vias: hops that a message has passed; 70 is where Max-Forwards begins (RFC 3261 section 8.1.1.6).
        body: octets.
        answer_malformed: whether a malformed request from such a stranger on UDP gets the 400 that RFC 3261 asks for;
            False: nothing, for who sends it may have forged the address that the answer would go to.
        rate, burst: messages a second, and at once, from one address that is not our own server's; 0: any number.
        transactions: alive at one time; more requests are answered 503, and none of ours begins.
        dialogs: calls at one time, those that are coming to their end included; more are answered 486.
        requests: outside of calls, ours, that wait for an answer.
        subscriptions: ours, alive at one time.
    """

    message: int = 65_535
    header_rows: int = 256
    header_value: int = 16_384
    vias: int = 70
    body: int = 65_535
    rate: float = 100.0
    burst: int = 200
    answer_malformed: bool = True
    transactions: int = MAX_TRANSACTIONS
    dialogs: int = 1000
    requests: int = 1000
    subscriptions: int = 1000

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name not in ("rate", "answer_malformed")):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: allowed is 1 or more")
        if not self.rate >= 0:
            raise ValueError(f"rate is {self.rate!r}: allowed are messages a second, 0 for any number")


@dataclass(slots=True)
class GateCounters:
    """How often something was not let in, by reason."""

    malformed: int = 0
    message_too_large: int = 0
    too_many_headers: int = 0
    header_too_long: int = 0
    too_many_vias: int = 0
    body_too_large: int = 0
    over_rate: int = 0


class Gate:
    """Reads messages as far as the limits allow."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counters = GateCounters()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when that was

    def admits(self, source: Address, *, now: float) -> bool:
        """Whether a stranger may have another message looked at. What is over the rate is dropped unread: an answer
        would only be more of the flood, and may go to somebody who has sent nothing."""
        if not self.limits.rate:
            return True
        host = source.host  # all ports of one: they cost nothing to change
        tokens, since = self._buckets.pop(host, (float(self.limits.burst), now))
        tokens = min(float(self.limits.burst), tokens + (now - since) * self.limits.rate)
        admitted = tokens >= 1.0
        while len(self._buckets) >= MAX_SOURCES:
            self._buckets.popitem(last=False)
        self._buckets[host] = (tokens - 1.0 if admitted else tokens, now)
        if not admitted:
            self.counters.over_rate += 1
        return admitted

    def read(self, data: bytes) -> Request | Response:
        """The message.

        Raises:
            ParseError: it is malformed, or over a limit; `status` says what to answer, 513 for what is too large.
        """
        limits, counters = self.limits, self.counters
        if len(data) > limits.message:
            counters.message_too_large += 1
            raise ParseError(f"a message of more than {limits.message} octets", status=513)
        try:
            message = parse_message(data)
        except ParseError:
            counters.malformed += 1
            raise
        # RFC 3261 section 21.5.7: "The server was unable to process the request since the message length exceeded its
        # capabilities." A response is nobody's to answer.
        status = 513 if isinstance(message, Request) and message.method != "ACK" else 0
        rows = tuple(message.headers)
        if len(rows) > limits.header_rows:
            counters.too_many_headers += 1
            raise ParseError(f"more than {limits.header_rows} header fields", status=status)
        if any(len(value) > limits.header_value for _, value in rows):
            counters.header_too_long += 1
            raise ParseError(f"a header field of more than {limits.header_value} characters", status=status)
        if len(message.via) > limits.vias:
            counters.too_many_vias += 1
            raise ParseError(f"more than {limits.vias} Via", status=483 if status else 0)
        if len(message.body) > limits.body:
            counters.body_too_large += 1
            raise ParseError(f"a body of more than {limits.body} octets", status=status)
        return message
