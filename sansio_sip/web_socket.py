"""One WebSocket that carries SIP, from either end (RFC 6455, RFC 7118).

Theory of operation
-------------------
The opening handshake is one HTTP exchange, written and read by h11; the request and its nonce are our own, so that
every random octet comes from `context.entropy`. Frames are read and written by wsproto's `FrameProtocol`, of which a
small subclass takes the masks from there too. This machine adds what neither has: which handshakes are good, the
subprotocol `sip`, bounds, answers to ping and close, and the two deadlines.

A SIP message is one WebSocket message (RFC 7118 section 5), text or binary alike, so what comes out is whole: outputs
depend on the octets received and never on how they were cut up.

`Closed` is the last output. Whoever owns the stream closes it then; nothing that arrives later is looked at.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from hashlib import sha1
from struct import pack
from typing import TypeAlias, assert_never

import h11
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed, RsvBits, XorMaskerSimple

from .context import Context
from .errors import LocalProtocolError, RemoteProtocolError
from .machine import Outbox
from .timers import TimerSet

__all__ = [
    "Closed",
    "MessageReceived",
    "Opened",
    "PongReceived",
    "SendData",
    "WebSocketConnection",
    "WebSocketOutput",
    "WebSocketState",
]

SUBPROTOCOL = "sip"  # RFC 7118 section 4
VERSION = b"13"  # RFC 6455 section 4.1

# RFC 6455 section 1.3.
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# A handshake of a browser with all its cookies is about 2 kB; servers commonly stop at 8 or 16.
MAX_HANDSHAKE = 16 * 1024
# SIP over UDP cannot exceed this, and no SIP message that a phone can use does.
MAX_MESSAGE = 64 * 1024
# A message at the bound, cut into pieces of 256 octets: smaller pieces only cost us work.
MAX_FRAGMENTS = 256

OPEN_TIMEOUT = 8.0  # seconds for the whole opening handshake: a peer that says nothing must not hold a connection
CLOSE_TIMEOUT = 2.0  # seconds for the peer to answer our close frame

# Words of our own where wsproto's depend on how the octets were cut up.
_FAULTS = {1007: "text that is not UTF-8", 1009: "a message or its fragments exceed the bounds"}

_HttpHeaders: TypeAlias = list[tuple[bytes, bytes]]


class WebSocketState(Enum):
    """RFC 6455 sections 4 and 7.

    CONNECTING --handshake done--> OPEN --close()--> CLOSING
        |                           |                   | close frame, end of stream, or CLOSE_TIMEOUT
        | bad handshake, end,       | close frame, end, v
        | or OPEN_TIMEOUT           | or broken rule -> CLOSED
        +---------------------------------------------> CLOSED
    """

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Timer(Enum):
    OPEN = "open"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class SendData:
    """Octets for the stream."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """The handshake is done: messages may be sent. `target`: the path asked for, with its query."""

    target: str


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """One whole message. `data` is UTF-8 where it came as text."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PongReceived:
    """The peer is alive. `payload`: that of the ping it answers."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """It is over: close the stream.

    Attributes:
        code: RFC 6455 section 7.4.1: the peer's, ours where the peer broke a rule or answered our close, 1005 where
            the peer gave none, 1006 where the stream or the handshake broke.
        reason: for people.
    """

    code: int
    reason: str


WebSocketOutput: TypeAlias = SendData | Opened | MessageReceived | PongReceived | Closed


class _Refused(RemoteProtocolError):
    """A handshake that must not be accepted; the attributes are a server's answer."""

    def __init__(self, reason: str, status: int = 400, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = tuple(headers)


class _Frames(FrameProtocol):
    """wsproto's frames, with a client's masks from our entropy in place of `os.urandom`."""

    def __init__(self, client: bool, extensions: list[Extension], mask: Callable[[], bytes]) -> None:
        super().__init__(client, extensions)
        self._mask = mask

    def _serialize_frame(self, opcode: Opcode, payload: bytes | bytearray = b"", fin: bool = True) -> bytearray:
        if not self.client:
            return super()._serialize_frame(opcode, payload, fin)
        first, length = fin << 7 | opcode, len(payload)
        if length < 126:
            header = pack("!BB", first, 0x80 | length)
        elif length < 65536:
            header = pack("!BBH", first, 0x80 | 126, length)
        else:
            header = pack("!BBQ", first, 0x80 | 127, length)
        # RFC 6455 section 5.3: "The masking key is a 32-bit value chosen at random by the client."
        key = self._mask()
        return bytearray(header + key) + XorMaskerSimple(key).process(bytearray(payload))


class _Bounds(Extension):
    """Refuses a message by its frame headers, before any of the payload is kept."""

    name = "bounds"

    def __init__(self) -> None:
        self._control = False
        self._octets = 0
        self._fragments = 0

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool | str:
        return False  # it is no extension on the wire: it only looks at what comes in

    def frame_inbound_header(
        self, proto: object, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        # Asked again for the same frame while its mask has not arrived: so nothing is counted here.
        self._control = opcode.iscontrol()
        too_big = self._octets + payload_length > MAX_MESSAGE or self._fragments >= MAX_FRAGMENTS
        return CloseReason.MESSAGE_TOO_BIG if too_big and not self._control else RsvBits(False, False, False)

    def frame_inbound_payload_data(self, proto: object, data: bytes) -> bytes | CloseReason:
        if not self._control:
            self._octets += len(data)
        return data

    def frame_inbound_complete(self, proto: object, fin: bool) -> bytes | CloseReason | None:
        if not self._control:
            self._fragments += 1
            if fin:
                self._octets = self._fragments = 0
        return None


class WebSocketConnection:
    """The machine of one WebSocket. Make one with `client` or `server` once its stream is open."""

    def __init__(self, context: Context, *, is_client: bool, now: float) -> None:
        self.state = WebSocketState.CONNECTING
        self.is_client = is_client
        self._context = context
        self._outbox: Outbox[WebSocketOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()
        self._timers.arm(Timer.OPEN, now + OPEN_TIMEOUT)
        self._http = h11.Connection(h11.CLIENT if is_client else h11.SERVER, max_incomplete_event_size=MAX_HANDSHAKE)
        self._handshake_octets = 0
        self._key = b""
        self._target = "/"
        self._frames = _Frames(is_client, [_Bounds()], context.entropy.web_socket_mask)
        self._pieces: list[bytes] = []
        self._close = (1005, "")

    @classmethod
    def client(cls, context: Context, *, host: str, target: str = "/", now: float) -> "WebSocketConnection":
        """Starts the handshake as a client. Gives SendData, then Opened or Closed.

        Args:
            host: the Host header: name or address, with `:port` unless the port is the scheme's own.
            target: path and query of the server's URL.
        """
        connection = cls(context, is_client=True, now=now)
        connection._request(host, target)
        return connection

    @classmethod
    def server(cls, context: Context, *, now: float) -> "WebSocketConnection":
        """Waits for the handshake of a client. Gives SendData with the answer, then Opened or Closed."""
        return cls(context, is_client=False, now=now)

    # Commands

    def send(self, message: bytes, *, now: float) -> None:
        """Sends one message: as text where it is UTF-8, else as binary. See `send_text` for what it raises."""
        # RFC 7118 section 4.2: "If there is at least one non-UTF-8 symbol in the whole SIP message (including the
        # headers and the body), then the whole message MUST be sent within a WebSocket binary message."
        try:
            text = message.decode("utf-8")
        except UnicodeDecodeError:
            self.send_bytes(message, now=now)
        else:
            self.send_text(text, now=now)

    def send_text(self, message: str, *, now: float) -> None:
        """Sends one text message.

        Raises:
            LocalProtocolError: the connection is not open.
        """
        self._require_open("send a message")
        self._send(self._frames.send_data(message))

    def send_bytes(self, message: bytes, *, now: float) -> None:
        """Sends one binary message. Raises as `send_text` does."""
        self._require_open("send a message")
        self._send(self._frames.send_data(message))

    def ping(self, payload: bytes = b"", *, now: float) -> None:
        """Asks for a pong (`PongReceived`); at most 125 octets. Raises as `send_text` does."""
        self._require_open("ping")
        if len(payload) > 125:
            raise LocalProtocolError(f"cannot ping with {len(payload)} octets: give at most 125")
        self._send(self._frames.ping(payload))

    def close(self, code: int = 1000, reason: str = "", *, now: float) -> None:
        """Ends the connection. Gives Closed when the peer has answered, or within CLOSE_TIMEOUT. Harmless when closed.

        Args:
            code: one that may be sent: 1000 to 1003, 1007 to 1013, 3000 to 4999.
        """
        if not (1000 <= code <= 1003 or 1007 <= code <= 1013 or 3000 <= code <= 4999):
            raise LocalProtocolError(f"cannot close with code {code}: it must not be sent (RFC 6455 7.4); give 1000")
        match self.state:
            case WebSocketState.CONNECTING:
                self._closed(1006, "closed before it was open")
            case WebSocketState.OPEN:
                self._send(self._frames.close(code, reason))
                self._close = (code, reason)
                self.state = WebSocketState.CLOSING
                self._timers.arm(Timer.CLOSE, now + CLOSE_TIMEOUT)
            case WebSocketState.CLOSING | WebSocketState.CLOSED:
                pass
            case _:
                assert_never(self.state)

    # Inputs

    def receive(self, data: bytes, *, now: float) -> None:
        """Octets of the stream arrived. `b""`: the peer sends no more."""
        if self.state is WebSocketState.CLOSED:
            return
        if not data:
            self._on_end()
            return
        if self.state is WebSocketState.CONNECTING:
            data = self._receive_handshake(data)
        if data and self._is_framed():
            self._receive_frames(data)

    def handle_timeout(self, *, now: float) -> None:
        for timer in self._timers.due(now):
            match timer:
                case Timer.OPEN:
                    self._closed(1006, f"no WebSocket handshake within {OPEN_TIMEOUT:g} s")
                case Timer.CLOSE:
                    self._closed(1006, f"the peer did not answer the close frame within {CLOSE_TIMEOUT:g} s")
                case _:
                    assert_never(timer)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> WebSocketOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[WebSocketOutput]:
        return self._outbox.drain()

    # The opening handshake

    def _request(self, host: str, target: str) -> None:
        self._key = b64encode(self._context.entropy.web_socket_key())
        self._target = target
        headers = [
            (b"Host", host.encode("ascii", "replace")),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._key),
            (b"Sec-WebSocket-Version", VERSION),
            (b"Sec-WebSocket-Protocol", SUBPROTOCOL.encode()),
        ]
        request = h11.Request(method=b"GET", target=target.encode("ascii", "replace"), headers=headers)
        octets = self._http.send(request) or b""
        self._send(octets + (self._http.send(h11.EndOfMessage()) or b""))

    def _receive_handshake(self, data: bytes) -> bytes:
        """Returns what is left for the frames once the handshake is done."""
        # h11 looks at the size of what is incomplete; the bound must not depend on how the octets were cut up.
        room = MAX_HANDSHAKE - self._handshake_octets
        head, rest = data[:room], data[room:]
        self._handshake_octets += len(head)
        try:
            self._http.receive_data(head)
            done = self._read_response() if self.is_client else self._read_request()
            if not done and self._handshake_octets == MAX_HANDSHAKE:
                raise _Refused(f"the handshake is longer than {MAX_HANDSHAKE} octets", 431)
        except h11.RemoteProtocolError:
            self._refuse(_Refused("not an HTTP/1.1 handshake"))
        except _Refused as refused:
            self._refuse(refused)
        if not self._is_framed():
            return b""
        return self._http.trailing_data[0] + rest

    def _read_response(self) -> bool:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                continue
            if not isinstance(event, h11.InformationalResponse):
                status = event.status_code if isinstance(event, h11.Response) else 0
                raise _Refused(f"the server answered {status} where 101 was due")
            self._check_response(event)
            self._opened()
            return True

    def _check_response(self, response: h11.InformationalResponse) -> None:
        """RFC 6455 section 4.1, the list "the client MUST validate the server's response as follows"."""
        headers = list(response.headers)
        if "websocket" not in _tokens(headers, b"upgrade") or "upgrade" not in _tokens(headers, b"connection"):
            raise _Refused("the server's 101 does not upgrade to websocket")
        if _values(headers, b"sec-websocket-accept") != [_accept(self._key)]:
            raise _Refused("the server's Sec-WebSocket-Accept is not the one for our key")
        if _values(headers, b"sec-websocket-extensions"):
            raise _Refused("the server wants an extension that was not offered")
        # RFC 7118 section 4.1: "The 101 reply from the server MUST contain "sip" in its corresponding
        # Sec-WebSocket-Protocol header."
        if _values(headers, b"sec-websocket-protocol") != [SUBPROTOCOL.encode()]:
            raise _Refused("the server did not agree on the subprotocol `sip`")

    def _read_request(self) -> bool:
        event = self._http.next_event()
        if event is h11.NEED_DATA:
            return False
        if not isinstance(event, h11.Request):
            raise _Refused("not a request")
        key = self._check_request(event)
        self._http.next_event()  # EndOfMessage
        self._target = event.target.decode("ascii", "replace")
        response = h11.InformationalResponse(
            status_code=101,
            reason=b"Switching Protocols",
            headers=[
                (b"Upgrade", b"websocket"),
                (b"Connection", b"Upgrade"),
                (b"Sec-WebSocket-Accept", _accept(key)),
                (b"Sec-WebSocket-Protocol", SUBPROTOCOL.encode()),
            ],
        )
        self._send(self._http.send(response) or b"")
        self._opened()
        return True

    def _check_request(self, request: h11.Request) -> bytes:
        """RFC 6455 section 4.2.1. Returns the key."""
        headers = list(request.headers)
        if request.method != b"GET" or request.http_version != b"1.1":
            raise _Refused("the handshake must be GET with HTTP/1.1")
        if "websocket" not in _tokens(headers, b"upgrade") or "upgrade" not in _tokens(headers, b"connection"):
            raise _Refused("the request does not ask for a WebSocket", 426, [(b"Upgrade", b"websocket")])
        if _values(headers, b"sec-websocket-version") != [VERSION]:
            # RFC 6455 section 4.2.2: "the server MUST abort [...] and instead send an appropriate HTTP error code
            # (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field".
            raise _Refused(
                "the WebSocket version must be 13",
                426,
                [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", VERSION)],
            )
        if _values(headers, b"transfer-encoding") or _values(headers, b"content-length") not in ([], [b"0"]):
            raise _Refused("a handshake has no body")
        keys = _values(headers, b"sec-websocket-key")
        if len(keys) != 1 or not _is_key(keys[0]):
            raise _Refused("Sec-WebSocket-Key must be 16 octets in base64")
        if SUBPROTOCOL not in _tokens(headers, b"sec-websocket-protocol", fold=False):
            raise _Refused("the subprotocol `sip` is not offered")
        return keys[0]

    def _refuse(self, refused: _Refused) -> None:
        reason = str(refused)
        if not self.is_client:
            body = f"{reason}\n".encode()
            headers = [
                *refused.headers,
                (b"Connection", b"close" if refused.status != 426 else b"close, Upgrade"),
                (b"Content-Type", b"text/plain; charset=utf-8"),
                (b"Content-Length", str(len(body)).encode()),
            ]
            # Written by hand: h11 writes no answer once it has found a fault with the request.
            phrase = {400: "Bad Request", 426: "Upgrade Required", 431: "Request Header Fields Too Large"}
            lines = [f"HTTP/1.1 {refused.status} {phrase[refused.status]}".encode()]
            lines += [name + b": " + value for name, value in headers]
            self._send(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self._closed(1006, reason)

    def _opened(self) -> None:
        self._timers.cancel(Timer.OPEN)
        self.state = WebSocketState.OPEN
        self._outbox.put(Opened(self._target))

    # Frames

    def _receive_frames(self, data: bytes) -> None:
        try:
            self._frames.receive_bytes(data)
            for frame in self._frames.received_frames():
                self._on_frame(frame)
                if not self._is_framed():
                    return
        except ParseFailed as error:
            code = int(error.code)
            reason = _FAULTS.get(code) or str(error)
            if self.state is WebSocketState.OPEN:
                self._send(self._frames.close(code, reason))
            self._closed(code, reason)

    def _on_frame(self, frame: Frame) -> None:
        payload = frame.payload
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                assert isinstance(payload, str | bytes)
                self._pieces.append(payload.encode("utf-8") if isinstance(payload, str) else payload)
                if frame.message_finished:
                    message = b"".join(self._pieces)
                    self._pieces.clear()
                    if self.state is WebSocketState.OPEN:
                        self._outbox.put(MessageReceived(message))
            case Opcode.PING:
                assert isinstance(payload, bytes)
                # RFC 6455 section 5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in
                # response, unless it already received a Close frame." After our own close, nobody needs it.
                if self.state is WebSocketState.OPEN:
                    self._send(self._frames.pong(payload))
            case Opcode.PONG:
                assert isinstance(payload, bytes)
                self._outbox.put(PongReceived(payload))
            case Opcode.CLOSE:
                assert isinstance(payload, tuple)
                self._on_close_frame(*payload)
            case _:
                raise AssertionError(frame)

    def _on_close_frame(self, code: int, reason: str) -> None:
        if self.state is WebSocketState.CLOSING:
            self._closed(*self._close)
            return
        # RFC 6455 section 5.5.1: "When sending a Close frame in response, the endpoint typically echos the status
        # code it received."
        self._send(self._frames.close(CloseReason.NO_STATUS_RCVD if code == 1005 else code))
        self._closed(int(code), reason)

    def _on_end(self) -> None:
        if self.state is WebSocketState.CLOSING:
            self._closed(*self._close)
        else:
            self._closed(1006, "the peer closed the stream")

    # Small helpers

    def _is_framed(self) -> bool:
        return self.state in (WebSocketState.OPEN, WebSocketState.CLOSING)

    def _require_open(self, what: str) -> None:
        if self.state is not WebSocketState.OPEN:
            raise LocalProtocolError(f"cannot {what}: the WebSocket is {self.state.value}; wait for Opened")

    def _send(self, data: bytes | bytearray) -> None:
        self._outbox.put(SendData(bytes(data)))

    def _closed(self, code: int, reason: str) -> None:
        if self.state is WebSocketState.CLOSED:
            return
        self._timers.clear()
        self._pieces.clear()
        self.state = WebSocketState.CLOSED
        self._outbox.put(Closed(code, reason))


def _accept(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key + ACCEPT_GUID, usedforsecurity=False).digest())


def _is_key(value: bytes) -> bool:
    try:
        return len(b64decode(value, validate=True)) == 16
    except Base64Error:
        return False


def _values(headers: _HttpHeaders, name: bytes) -> list[bytes]:
    return [value.strip() for key, value in headers if key.lower() == name]


def _tokens(headers: _HttpHeaders, name: bytes, *, fold: bool = True) -> list[str]:
    """The comma-separated tokens of all rows of a header, in lower case where `fold`."""
    tokens = [token.strip().decode("latin-1") for value in _values(headers, name) for token in value.split(b",")]
    return [token.lower() for token in tokens] if fold else tokens
