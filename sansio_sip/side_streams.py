"""TCP beside UDP: what is too large for a datagram, and who comes to us by a stream (RFC 3261 section 18.1.1).

Theory of operation
-------------------
A UDP flow has streams beside it, one for each far end that something large was sent to. A request of more than
`MAX_DATAGRAM` octets goes over one, with its Via saying so; so does what belongs to it, the CANCEL and the ACK of the
same branch. Whoever made the request need not know: the response finds its transaction by the branch, and the copies
that UDP asks for are dropped here, for TCP sends none. Where nobody takes the stream, the request goes as a datagram
after all, and large ones do so for a while.

    request --> over 1300 octets, or of a branch sent so before? --no--> datagram
                   | yes
                   v
    stream: OPENING --flow_opened--> OPEN: everything that waits is sent
               | refused, or no answer in time
               v
            what waits goes as datagrams; `REFUSED_FOR` seconds nothing is tried

Peer to peer we listen as well, at the port of the UDP flow: "[...] a server MUST be prepared to receive requests on
any IP address, port and transport combination that can be the result of a DNS lookup" (section 18.2.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

from .effects import Address, CloseFlow, FlowId, OpenStream, SendDatagram, SendStream
from .errors import ParseError
from .machine import Outbox
from .sip.headers import Via
from .sip.message import Request
from .sip.parser import Ping, Pong, StreamFramer, parse_message
from .sip.transport import Hop, with_top_via
from .timers import Deadlines

__all__ = ["MAX_DATAGRAM", "SideStreamCounters", "SideStreams", "StreamMessage"]

MAX_DATAGRAM = 1300
"""Octets. RFC 3261 section 18.1.1: "If a request is within 200 bytes of the path MTU, or if it is larger than 1300
bytes and the path MTU is unknown, the request MUST be sent using an RFC 2914 congestion controlled transport"."""

OPEN_TIMEOUT = 2.0
"""Seconds for a stream to open: a far end that drops what it does not want must not hold a call up for longer."""

REFUSED_FOR = 600.0
"""Seconds for which a far end that took no stream is not asked again."""

KEEPALIVE = 95.0
"""Seconds between pings on an idle stream: requests of the far end are to find back by it (RFC 5626 section 4.4.1)."""

MAX_STREAMS = 64
"""Streams of one flow, both directions. For a new one of our own the oldest has to go; of others' none is taken."""

MAX_WAITING = 64
"""Messages that wait for one stream to open."""

MAX_BRANCHES = 1024
"""Requests remembered by their branch: more than one account has under way."""

MAX_REFUSED = 256

PING, PONG = b"\r\n\r\n", b"\r\n"


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """Octets of a message that came by a stream."""

    data: bytes
    hop: Hop


SideOutput: TypeAlias = OpenStream | SendStream | SendDatagram | CloseFlow | StreamMessage


@dataclass(slots=True)
class SideStreamCounters:
    """Since the flow was made."""

    large_requests: int = 0  # sent by a stream
    fallbacks: int = 0  # sent as datagrams after all
    refused_streams: int = 0
    malformed: int = 0
    unsent: int = 0  # dropped while their peer's name was looked up: too many at once


@dataclass(slots=True)
class _Stream:
    hop: Hop
    framer: StreamFramer = field(default_factory=StreamFramer)
    # What waits for it to open: as it goes by the stream, and as it would go as a datagram.
    waiting: list[tuple[bytes, bytes]] | None = None
    own: bool = True


class SideStreams:
    """All streams beside one UDP flow."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._outbox: Outbox[SideOutput] = Outbox()
        self._deadlines: Deadlines[FlowId] = Deadlines()
        self._streams: dict[FlowId, _Stream] = {}
        self._towards: dict[Address, FlowId] = {}
        self._branches: dict[str, tuple[FlowId, set[str]]] = {}  # methods that were sent, by branch
        self._refused: dict[Address, float] = {}
        self._serial = 0
        self._datagram: Hop | None = None
        self.counters = SideStreamCounters()

    # Commands

    def flow_ready(self, hop: Hop) -> None:
        """The UDP flow beside which streams may be opened."""
        self._datagram = hop

    def close(self) -> None:
        """Closes all."""
        for flow in list(self._streams):
            self._end(flow)
        self._branches.clear()
        self._refused.clear()
        self._datagram = None

    def send(self, data: bytes, destination: Address, *, by_stream: bool = False, now: float) -> bool:
        """Takes a message that is on its way to a datagram; False where a datagram is right.

        Args:
            by_stream: whatever its size.
        """
        if self._datagram is None or (not by_stream and len(data) <= MAX_DATAGRAM and not self._branches):
            return False
        try:
            message = parse_message(data)
        except ParseError:
            return False
        if not isinstance(message, Request):
            return False
        branch = message.top_via.branch or ""
        known = self._branches.get(branch)
        if known is not None:
            flow, methods = known
            # The ACK of a 2xx is sent again because the callee has not seen it, wherever on the way it was lost.
            if message.method in methods and message.method != "ACK":
                return True
            methods.add(message.method)
        elif not by_stream and len(data) <= MAX_DATAGRAM:
            return False
        elif self._refused.get(destination, 0.0) > now:
            self.counters.fallbacks += 1
            return False
        else:
            flow = self._stream_towards(destination, now)
            while len(self._branches) >= MAX_BRANCHES:
                del self._branches[next(iter(self._branches))]
            self._branches[branch] = (flow, {message.method})
        self._put(flow, _by_tcp(message), data)
        return True

    def respond(self, flow: FlowId, data: bytes) -> bool:
        """Sends on the stream that a request came by; False where it is none of these."""
        stream = self._streams.get(flow)
        if stream is None:
            return False
        if stream.waiting is None:
            self._outbox.put(SendStream(flow, data))
        return True

    def owns(self, flow: FlowId) -> bool:
        return flow in self._streams

    # Inputs

    def flow_opened(self, flow: FlowId, local: Address, remote: Address | None, *, now: float) -> None:
        stream = self._streams.get(flow)
        if stream is None or stream.waiting is None:
            return
        stream.hop = replace(stream.hop, local=local, address=remote or stream.hop.address)
        waiting, stream.waiting = stream.waiting, None
        for data, _ in waiting:
            self._outbox.put(SendStream(flow, data))
        self._deadlines.update(flow, now + KEEPALIVE)

    def flow_accepted(self, flow: FlowId, local: Address, remote: Address, *, now: float) -> None:
        """Somebody has come to where we listen."""
        if len(self._streams) >= MAX_STREAMS:
            self.counters.refused_streams += 1
            self._outbox.put(CloseFlow(flow))
            return
        self._streams[flow] = _Stream(Hop("TCP", remote, local, flow), own=False)
        # Whoever says nothing for that long is let go; a SIP peer pings (see KEEPALIVE) or has something to say.
        self._deadlines.update(flow, now + 4 * KEEPALIVE)

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        stream = self._streams.get(flow)
        if stream is not None:
            self._fail(flow, stream, now, close=False)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        stream = self._streams.get(flow)
        if stream is None:
            return
        if not data:
            self._end(flow)
            return
        self._deadlines.update(flow, now + (KEEPALIVE if stream.own else 4 * KEEPALIVE))
        stream.framer.receive(data)
        for frame in stream.framer.frames():
            match frame:
                case bytes():
                    self._outbox.put(StreamMessage(frame, stream.hop))
                case Ping():
                    self._outbox.put(SendStream(flow, PONG))
                case Pong():
                    pass
                case ParseError():
                    self.counters.malformed += 1
                case _:
                    assert_never(frame)
        if stream.framer.broken:
            self._end(flow)

    def handle_timeout(self, *, now: float) -> None:
        for flow in self._deadlines.due(now):
            stream = self._streams[flow]
            if stream.waiting is not None:
                self._fail(flow, stream, now)
            elif stream.own:
                self._outbox.put(SendStream(flow, PING))
                self._deadlines.update(flow, now + KEEPALIVE)
            else:
                self._end(flow)

    def next_timeout(self) -> float | None:
        return self._deadlines.next()

    def outputs(self) -> Iterator[SideOutput]:
        return self._outbox.drain()

    # Streams

    def _stream_towards(self, destination: Address, now: float) -> FlowId:
        flow = self._towards.get(destination)
        if flow is not None:
            return flow
        while len(self._streams) >= MAX_STREAMS:
            self._end(next(iter(self._streams)))
        self._serial += 1
        flow = self._towards[destination] = FlowId(f"{self._name}.tcp{self._serial}")
        self._streams[flow] = _Stream(Hop("TCP", destination, None, flow), waiting=[])
        self._deadlines.update(flow, now + OPEN_TIMEOUT)
        self._outbox.put(OpenStream(flow, destination.host, destination.port))
        return flow

    def _put(self, flow: FlowId, data: bytes, as_datagram: bytes) -> None:
        self.counters.large_requests += 1
        stream = self._streams[flow]
        if stream.waiting is None:
            self._outbox.put(SendStream(flow, data))
        elif len(stream.waiting) < MAX_WAITING:
            stream.waiting.append((data, as_datagram))

    def _fail(self, flow: FlowId, stream: _Stream, now: float, *, close: bool = True) -> None:
        """RFC 3261 section 18.1.1: "if the attempt to establish the connection generates either an ICMP Protocol Not
        Supported, or results in a TCP reset, the element SHOULD retry the request, using UDP."
        """
        destination, waiting = stream.hop.address, stream.waiting
        self._end(flow, close=close)
        if waiting is None or destination is None or self._datagram is None or self._datagram.flow is None:
            return
        while len(self._refused) >= MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[destination] = now + REFUSED_FOR
        for _, data in waiting:
            self.counters.fallbacks += 1
            self._outbox.put(SendDatagram(self._datagram.flow, data, destination))

    def _end(self, flow: FlowId, *, close: bool = True) -> None:
        stream = self._streams.pop(flow)
        for destination in [key for key, value in self._towards.items() if value == flow]:
            del self._towards[destination]
        if stream.own:
            self._branches = {branch: row for branch, row in self._branches.items() if row[0] != flow}
        self._deadlines.remove(flow)
        if close:
            self._outbox.put(CloseFlow(flow))


def _by_tcp(request: Request) -> bytes:
    """RFC 3261 section 18.1.1: "If this causes a change in the transport protocol from the one indicated in the top
    Via, the value in the top Via MUST be changed."
    """
    via = request.top_via
    changed = Via("TCP", via.host, via.port, via.parameters)
    return bytes(with_top_via(request, changed))
