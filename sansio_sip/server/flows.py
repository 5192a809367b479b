"""The server's sockets: listeners, and what comes and goes on them.

Theory of operation
-------------------
Each URL of the options is one listener: a UDP socket, or a TCP port, with TLS or without, whose streams carry SIP
plainly (RFC 3261 section 18.3) or in a WebSocket (RFC 7118). What comes out is whole messages with the hop that they
came on, and word of each stream that has ended. A device that has registered a TCP port of its own is connected to when
it is called (`towards`). Malformed messages are answered here where the RFC asks for it, and counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.effects import (
    Address,
    CloseFlow,
    Effect,
    FlowId,
    Listen,
    OpenDatagram,
    OpenStream,
    SendDatagram,
    SendStream,
    TlsServer,
)
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.sip.limits import Gate
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import Ping, Pong, StreamFramer, refusal
from sansio_sip.sip.transport import Hop
from sansio_sip.timers import Deadlines
from sansio_sip.web_socket import (
    Closed,
    MessageReceived,
    Opened,
    PongReceived,
    SendData,
    WebSocketConnection,
    WebSocketState,
)

from .events import ServerFailed, ServerListening
from .options import ListenUrl, ServerOptions

__all__ = ["FlowCounters", "FlowEnded", "FlowOutput", "FlowTable", "MessageArrived"]

# A stream that has brought no SIP message yet, and one that has. The second outlives any binding by timer B, so a
# device that refreshes its binding never meets it.
FIRST_MESSAGE_TIMEOUT = 32.0
IDLE_MARGIN = 64.0

# Messages that wait for a connection of our own to open: more than any one device is sent in that time.
MAX_WAITING = 64

KEEPALIVE_PING, KEEPALIVE_PONG = b"\r\n\r\n", b"\r\n"  # RFC 5626 section 4.4.1


@dataclass(frozen=True, slots=True)
class MessageArrived:
    message: Request | Response
    hop: Hop


@dataclass(frozen=True, slots=True)
class FlowEnded:
    """A stream is gone: nothing comes or goes on it any more."""

    flow: FlowId


FlowOutput: TypeAlias = Effect | ServerListening | ServerFailed | MessageArrived | FlowEnded


@dataclass(slots=True)
class FlowCounters:
    """Since the server was made."""

    malformed: int = 0
    refused_streams: int = 0
    undeliverable: int = 0


@dataclass(slots=True)
class _Listener:
    url: ListenUrl
    text: str
    local: Address | None = None


@dataclass(slots=True)
class _Stream:
    hop: Hop
    carrier: StreamFramer | WebSocketConnection
    idle_limit: float
    heard_at: float
    waiting: list[bytes] | None = None  # what to send once it is open; None: it is

    def next_timeout(self) -> float:
        idle = self.heard_at + self.idle_limit
        if isinstance(self.carrier, WebSocketConnection):
            own = self.carrier.next_timeout()
            return idle if own is None else min(idle, own)
        return idle


class FlowTable:
    """The machine of all sockets of a server."""

    def __init__(self, context: Context, options: ServerOptions) -> None:
        self._context = context
        self._options = options
        self._outbox: Outbox[FlowOutput] = Outbox()
        self._deadlines: Deadlines[FlowId] = Deadlines()
        self._listeners: dict[FlowId, _Listener] = {}
        self._streams: dict[FlowId, _Stream] = {}
        self._outgoing: dict[Address, FlowId] = {}
        self._serial = 0
        self._of_address: dict[str, int] = {}  # accepted streams, by the host that they came from
        self.counters = FlowCounters()
        self.gate = Gate(options.limits)

    # Commands

    def open(self) -> None:
        """Opens all listeners. Gives `ServerListening` or `ServerFailed` for each."""
        for index, (text, url) in enumerate(zip(self._options.listen, self._options.listen_urls(), strict=True)):
            flow = FlowId(f"{url.transport.lower()}{index}")
            self._listeners[flow] = _Listener(url, text)
            if url.transport == "UDP":
                self._outbox.put(OpenDatagram(flow, url.bind))
            else:
                tls = TlsServer(self._options.certificate_file, self._options.key_file) if url.secure else None
                self._outbox.put(Listen(flow, url.bind, tls))

    def close(self, *, now: float) -> None:
        """Closes all streams and listeners. Gives FlowEnded for each stream."""
        for flow in list(self._streams):
            self._end(flow)
        for flow in self._listeners:
            self._outbox.put(CloseFlow(flow))
        self._listeners.clear()

    def send(self, message: Request | Response, hop: Hop, *, now: float) -> None:
        """Sends a message; one whose flow has gone is counted and dropped, for `FlowEnded` has said so."""
        data = bytes(message)
        if hop.flow in self._listeners and hop.address is not None:
            self._outbox.put(SendDatagram(hop.flow, data, hop.address))
            return
        stream = self._streams.get(hop.flow) if hop.flow is not None else None
        if hop.flow is None or stream is None:
            self.counters.undeliverable += 1
        elif stream.waiting is not None:
            if len(stream.waiting) < MAX_WAITING:
                stream.waiting.append(data)
            else:
                self.counters.undeliverable += 1
        elif isinstance(stream.carrier, StreamFramer):
            self._outbox.put(SendStream(hop.flow, data))
        elif stream.carrier.state is WebSocketState.OPEN:
            stream.carrier.send(data, now=now)
            self._drain(hop.flow, stream, now)
        else:
            self.counters.undeliverable += 1

    def towards(self, address: Address, *, now: float) -> Hop:
        """A hop to a TCP port, by the connection that there is, or by a new one. Without a flow where there are too
        many already."""
        flow = self._outgoing.get(address)
        if flow is None:
            if len(self._streams) >= self._options.max_streams:
                self.counters.refused_streams += 1
                return Hop("TCP", address)
            self._serial += 1
            flow = self._outgoing[address] = FlowId(f"out{self._serial}")
            # The local address is left open: our listener is where requests of the other side are to come.
            stream = _Stream(Hop("TCP", address, None, flow), StreamFramer(), FIRST_MESSAGE_TIMEOUT, now, [])
            self._streams[flow] = stream
            self._deadlines.update(flow, stream.next_timeout())
            self._outbox.put(OpenStream(flow, address.host, address.port))
        return self._streams[flow].hop

    # Queries

    def is_open(self, flow: FlowId | None) -> bool:
        """Whether messages can be sent on a flow."""
        return flow in self._streams or flow in self._listeners

    def locals(self) -> Iterator[tuple[str, Address]]:
        """Transport and address of each open listener."""
        for listener in self._listeners.values():
            if listener.local is not None:
                yield listener.url.transport, listener.local

    # Inputs

    def flow_opened(self, flow: FlowId, local: Address, *, now: float) -> None:
        listener = self._listeners.get(flow)
        if listener is not None:
            listener.local = local
            self._outbox.put(ServerListening(listener.url.at(local)))
            return
        stream = self._streams.get(flow)
        if stream is not None and stream.waiting is not None:
            for data in stream.waiting:
                self._outbox.put(SendStream(flow, data))
            stream.waiting = None

    def flow_accepted(self, listener: FlowId, flow: FlowId, local: Address, remote: Address, *, now: float) -> None:
        row = self._listeners.get(listener)
        there = self._of_address.get(remote.host, 0)
        full = len(self._streams) >= self._options.max_streams or there >= self._options.max_streams_per_address
        if row is None or full:
            self.counters.refused_streams += 1
            self._outbox.put(CloseFlow(flow))
            return
        hop = Hop(row.url.transport, remote, local, flow)
        carrier: StreamFramer | WebSocketConnection
        if row.url.web_socket:
            carrier = WebSocketConnection.server(self._context, now=now)
        else:
            carrier = StreamFramer()
        stream = self._streams[flow] = _Stream(hop, carrier, FIRST_MESSAGE_TIMEOUT, now)
        self._of_address[remote.host] = there + 1
        self._deadlines.update(flow, stream.next_timeout())

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        listener = self._listeners.pop(flow, None)
        if listener is not None:
            self._outbox.put(ServerFailed(listener.text, reason))
        elif flow in self._streams:
            self._end(flow, close=False)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        listener = self._listeners.get(flow)
        if listener is None:
            return
        if not data.strip(b"\r\n\0"):
            # Between datagrams these are keepalives. RFC 5626 asks for an answer on streams only; the same answer
            # here tells a client that its path through a NAT is alive, and is never larger than what it answers.
            if data == KEEPALIVE_PING:
                self._outbox.put(SendDatagram(flow, KEEPALIVE_PONG, source))
            return
        if self.gate.admits(source, now=now):
            self._receive_message(data, Hop("UDP", source, listener.local, flow), now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        stream = self._streams.get(flow)
        if stream is None:
            return
        stream.heard_at = now
        if isinstance(stream.carrier, WebSocketConnection):
            stream.carrier.receive(data, now=now)
            self._drain(flow, stream, now)
        elif not data:
            self._end(flow)
        else:
            self._receive_frames(flow, stream, stream.carrier, data, now)

    def handle_timeout(self, *, now: float) -> None:
        for flow in self._deadlines.due(now):
            stream = self._streams[flow]
            if stream.heard_at + stream.idle_limit <= now:
                self._end(flow)
                continue
            if isinstance(stream.carrier, WebSocketConnection):
                stream.carrier.handle_timeout(now=now)
            self._drain(flow, stream, now)

    def next_timeout(self) -> float | None:
        return self._deadlines.next()

    def poll_output(self) -> FlowOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[FlowOutput]:
        return self._outbox.drain()

    # Streams

    def _receive_frames(self, flow: FlowId, stream: _Stream, framer: StreamFramer, data: bytes, now: float) -> None:
        framer.receive(data)
        for frame in framer.frames():
            match frame:
                case bytes():
                    self._mark_used(stream)
                    self._receive_message(frame, stream.hop, now)
                case Ping():
                    self._outbox.put(SendStream(flow, KEEPALIVE_PONG))
                case Pong():
                    pass
                case ParseError():
                    self.counters.malformed += 1
                case _:
                    assert_never(frame)
        if framer.broken:
            self._end(flow)

    def _drain(self, flow: FlowId, stream: _Stream, now: float) -> None:
        if isinstance(stream.carrier, WebSocketConnection):
            for output in stream.carrier.outputs():
                match output:
                    case SendData():
                        self._outbox.put(SendStream(flow, output.data))
                    case MessageReceived():
                        self._mark_used(stream)
                        if output.data.strip(b"\r\n"):
                            self._receive_message(output.data, stream.hop, now)
                        elif output.data == KEEPALIVE_PING:
                            # RFC 7118 section 6: RFC 5626's keepalive works over WebSocket as well.
                            stream.carrier.send(KEEPALIVE_PONG, now=now)
                    case Opened() | PongReceived():
                        pass
                    case Closed():
                        self._end(flow)
                        return
                    case _:
                        assert_never(output)
        self._deadlines.update(flow, stream.next_timeout())

    def _mark_used(self, stream: _Stream) -> None:
        stream.idle_limit = self._options.max_expires + IDLE_MARGIN

    def _end(self, flow: FlowId, *, close: bool = True) -> None:
        address = self._streams.pop(flow).hop.address
        if address is not None and self._outgoing.get(address) == flow:
            del self._outgoing[address]
        elif address is not None:
            self._of_address[address.host] -= 1
            if not self._of_address[address.host]:
                del self._of_address[address.host]
        self._deadlines.remove(flow)
        if close:
            self._outbox.put(CloseFlow(flow))
        self._outbox.put(FlowEnded(flow))

    def _receive_message(self, data: bytes, hop: Hop, now: float) -> None:
        try:
            message = self.gate.read(data)
        except ParseError as error:
            self.counters.malformed += 1
            answer = refusal(data, error)
            if answer is not None and (hop.reliable or self.gate.limits.answer_malformed):
                self.send(answer, hop, now=now)
            return
        self._outbox.put(MessageArrived(message, hop))
