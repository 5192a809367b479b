"""From octets to messages: `parse_message` for datagrams and WebSocket messages, `StreamParser` for TCP and TLS.

Both end a line at CRLF, and take a bare LF for one, as many tools that write messages by hand leave the CR out. The
header fields that every message has (Via, From, To, Call-ID, CSeq) are read at once, so that their typed views never
raise later; all others wait until somebody asks.

A stream is cut into messages by `StreamFramer`, which looks at nothing but Content-Length. How the octets arrive, in
one piece or one by one, makes no difference to what comes out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from sansio_sip.errors import ParseError

from .grammar import CONTENT_LENGTH, FOLD, FORBIDDEN_IN_VALUE, HEADER_LINE, HEADER_ROWS, REQUEST_LINE, STATUS_LINE
from .headers import HEADER_KEYS, header_key
from .message import Headers, MandatoryError, Request, Response
from .uri import SipUri, parse_uri

__all__ = [
    "MAX_BODY",
    "MAX_HEADERS",
    "MAX_HEADER_ROWS",
    "MAX_HEADER_VALUE",
    "Ping",
    "Pong",
    "StreamFramer",
    "StreamParser",
    "header_offset",
    "parse_message",
    "refusal",
]

MAX_HEADERS: Final = 65_536
"""Octets of start line and header fields together: what a datagram can hold at all."""

MAX_BODY: Final = 262_144
"""Octets of a body. SDP of a browser with all its candidates is 10 kB; a picture in a MESSAGE may be more."""

MAX_HEADER_ROWS: Final = 512
"""A message of 70 hops with a Via and a Record-Route of each fits twice."""

MAX_HEADER_VALUE: Final = 16_384
"""Characters of one header field. RFC 4475 section 3.1.1.7 tests with some hundred; a JWT has thousands."""

_SINGLE: Final = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "expires")
"""RFC 3261 section 7.3.1: only fields that are lists may stand more than once."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The second of two CRLF in a row between messages: the peer wants one CRLF back (RFC 5626 section 4.4.1)."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The first CRLF of a row of them between messages. To whoever has sent a ping it is the answer; others pass it
    over."""


def parse_message(data: bytes) -> Request | Response:
    """One whole message, as a datagram or a WebSocket message brings it.

    Octets beyond Content-Length are not looked at (RFC 3261 section 18.3); without one, the body is all that is left.

    Raises:
        ParseError: with the offset in `data`, and as `status` the response that RFC 3261 asks for: 400, 505, 513, or
            0 where nobody must be answered (a response, an ACK, octets that are no SIP at all).
    """
    start = _skip_empty_lines(data)
    try:
        return _parse(data, start)
    except _RowError as error:
        end, _ = _find_empty_line(data, start)
        head = data[start : end if end >= 0 else len(data)]
        # Section 17: an ACK is never answered, nor is a response.
        status = 0 if head[:4].upper() in (b"ACK ", b"SIP/") else error.status
        offset = start + _row_offset(head, error.row, error.column)
        raise ParseError(error.reason, offset=offset, status=status) from None


class _RowError(Exception):
    """A ParseError that knows its place by row (0: the start line) and column (-1: the row as a whole)."""

    def __init__(self, reason: str, row: int, column: int = -1, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row
        self.column = column
        self.status = status


def _parse(data: bytes, start: int) -> Request | Response:
    end = data.find(b"\r\n\r\n", start)
    body_start = end + 4
    head = data[start:end].decode("utf-8", "surrogateescape")
    rows: list[tuple[str, str]] = HEADER_ROWS.findall(head)
    count = head.count("\n")
    plain = end >= 0 and len(rows) == count == head.count("\r")
    if not plain:  # a fold, a bare LF, spaces at the end of a line, or an error
        end, body_start = _find_empty_line(data, start)
        head = FOLD.sub(" ", data[start : end if end >= 0 else len(data)].decode("utf-8", "surrogateescape"))
        count = head.count("\n")
    first = head.partition("\n")[0].removesuffix("\r")
    request = REQUEST_LINE.fullmatch(first)
    response = STATUS_LINE.fullmatch(first) if request is None else None
    if request is not None:
        version = request[3]
    elif response is not None:
        version = response[1]
    else:
        raise _RowError("neither a request line nor a status line", 0, status=400 if "SIP/" in first.upper() else 0)
    if version != "2.0":
        # RFC 3261 section 21.5.7: "The server does not support ... the SIP protocol version that was used"
        raise _RowError("SIP version is not 2.0", 0, status=505)
    if (end if end >= 0 else len(data)) - start > MAX_HEADERS:
        raise _RowError("header fields too long", 0, status=513)
    if end < 0:
        raise _RowError("no empty line after the header fields", count)
    if count > MAX_HEADER_ROWS:
        raise _RowError("too many header fields", MAX_HEADER_ROWS, status=513)
    if not plain:
        rows = _rows_one_by_one(head)
    if len(head) > MAX_HEADER_VALUE or "\0" in head:
        _check_values(first, rows)
    index: dict[str, list[str]] = {}
    for name, value in rows:
        key = HEADER_KEYS.get(name) or header_key(name)
        if key in index:
            index[key].append(value)
        else:
            index[key] = [value]
    if len(index) != count:
        for key in _SINGLE:
            if key in index and len(index[key]) > 1:
                raise _RowError(f"{key} stands more than once", _row_of(rows, key, 1), 0)
    body = _body(data, body_start, rows, index)
    headers = Headers.from_checked(rows, index)
    message: Request | Response
    if request is not None:
        message = _request(request[1], request[2], headers, body)
    else:
        assert response is not None
        message = _response(response[2], response[3] or "", headers, body)
    _check_mandatory(message, rows)
    return message


def _rows_one_by_one(head: str) -> list[tuple[str, str]]:
    """The header fields where not all of them are well-formed lines that end in CRLF."""
    lines = head.split("\n")
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(lines[1:], 1):
        found = HEADER_LINE.fullmatch(line[:-1] if line.endswith("\r") else line)
        if found is None:
            raise _RowError("not a header field", number)
        rows.append((found[1], found[2].rstrip(" \t")))
        if "\r" in found[2]:
            raise _RowError("CR in a header field", number, found[2].index("\r"))
    return rows


def _request(method: str, target: str, headers: Headers, body: bytes) -> Request:
    try:
        uri = parse_uri(target)
    except ParseError as error:
        raise _RowError(f"Request-URI: {error.reason}", 0, len(method) + 1 + error.offset) from None
    if isinstance(uri, SipUri) and uri.headers:
        # RFC 3261 section 19.1.1, table 1: headers are not allowed in a Request-URI.
        raise _RowError("Request-URI has headers", 0, len(method) + 1 + target.find("?"))
    return Request(method, uri, headers, body)


def _response(status: str, phrase: str, headers: Headers, body: bytes) -> Response:
    # Section 7.2: "The first digit of the Status-Code defines the class of response ... six values".
    if len(status) != 3 or not "100" <= status <= "699":
        raise _RowError("no such status code", 0, 8)
    return Response(int(status), phrase, headers, body)


def _check_mandatory(message: Request | Response, rows: list[tuple[str, str]]) -> None:
    """Reads what section 8.1.1 asks of every message."""
    try:
        message.headers.read_mandatory()
    except MandatoryError as failure:
        row = _row_of(rows, failure.key)
        raise _RowError(failure.error.reason, row, failure.error.offset if row else -1) from None
    # Section 8.1.1.5: "The method MUST match that of the request."
    if isinstance(message, Request) and message.cseq.method != message.method:
        raise _RowError("CSeq names another method", _row_of(rows, "cseq"), 0)


def _check_values(first: str, rows: list[tuple[str, str]]) -> None:
    """Lengths and NUL, which only a quoted-pair may hold."""
    if "\0" in first:
        raise _RowError("NUL in the start line", 0, first.index("\0"))
    for number, (_, value) in enumerate(rows, 1):
        if len(value) > MAX_HEADER_VALUE:
            raise _RowError("header field too long", number, 0, 513)
        found = FORBIDDEN_IN_VALUE.search(value)
        if found is not None:
            raise _RowError("NUL in a header field", number, found.start())


def _body(data: bytes, body_start: int, rows: list[tuple[str, str]], index: dict[str, list[str]]) -> bytes:
    stated = index.get("content-length")
    if stated is None:
        if len(data) - body_start > MAX_BODY:
            raise _RowError("body too long", 0, status=513)
        return data[body_start:]
    try:
        length = content_length(stated[0])
    except ParseError as error:
        raise _RowError(error.reason, _row_of(rows, "content-length"), 0, error.status) from None
    # Section 18.3: "If the transport packet ends before the end of the message body, this is considered an error."
    if body_start + length > len(data):
        raise _RowError("body is shorter than Content-Length", _row_of(rows, "content-length"), 0)
    return data[body_start : body_start + length]


def content_length(text: str) -> int:
    """The value of a Content-Length header field.

    Raises:
        ParseError: no number (400), or more than `MAX_BODY` (513).
    """
    digits = text.lstrip("0") if text.isascii() and text.isdigit() else None
    if digits is None:
        raise ParseError("bad Content-Length", status=400)
    if len(digits) > 9 or (length := int(digits or "0")) > MAX_BODY:
        raise ParseError("body too long", status=513)
    return length


def _row_of(rows: list[tuple[str, str]], key: str, occurrence: int = 0) -> int:
    """The number, counted from 1, of a header field of that key; 0 if there is none."""
    numbers = [number for number, (name, _) in enumerate(rows, 1) if header_key(name) == key]
    return numbers[occurrence] if len(numbers) > occurrence else 0


def _row_offset(head: bytes, row: int, column: int) -> int:
    """The offset of a row, or of a column of its value (of the start line: of the line), in octets.

    A column in a row that is folded leads to the row's beginning: folding has moved it.
    """
    offset = 0
    number = 0
    lines = head.split(b"\n")
    for position, line in enumerate(lines):
        if position and not line.startswith((b" ", b"\t")):
            number += 1
        if number == row:
            folded = position + 1 < len(lines) and lines[position + 1].startswith((b" ", b"\t"))
            if column < 0 or folded:
                return offset
            text = line.decode("utf-8", "surrogateescape")
            if row:
                value = text.partition(":")[2]
                column += len(text) - len(value.lstrip(" \t"))
            return offset + len(text[:column].encode("utf-8", "surrogateescape"))
        offset += len(line) + 1
    return len(head)


def _skip_empty_lines(data: bytes) -> int:
    """Section 7.5: "implementations ... MUST ignore any CRLF appearing before the start-line"."""
    return len(data) - len(data.lstrip(b"\r\n")) if data[:1] in (b"\r", b"\n") else 0


def _find_empty_line(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Where the header fields end, their last line end left out, and where the body begins; (-1, -1): not there."""
    crlf = data.find(b"\n\r\n", start)
    # One that begins earlier counts, also if its second LF begins the other: "\n\n\r\n".
    bare = data.find(b"\n\n", start, crlf + 1 if crlf >= 0 else len(data))
    if bare >= 0:
        end, body = bare, bare + 2
    elif crlf >= 0:
        end, body = crlf, crlf + 3
    else:
        return -1, -1
    return (end - 1 if end and data[end - 1] == 0x0D else end), body


def header_offset(data: bytes, key: str, column: int) -> int:
    """Where in `data`, which `parse_message` has taken, the first header field of that key says what is at `column`."""
    start = _skip_empty_lines(data)
    end, _ = _find_empty_line(data, start)
    head = data[start:end]
    lines = FOLD.sub(" ", head.decode("utf-8", "surrogateescape")).split("\n")[1:]
    rows = [(found[1], "") for line in lines if (found := HEADER_LINE.fullmatch(line)) is not None]
    return start + _row_offset(head, _row_of(rows, key), column)


def refusal(data: bytes, error: ParseError, *, to_tag: str | None = None) -> Response | None:
    """The response to a request that `parse_message` has refused with `error`; None where none must or can be sent.

    It copies whatever of Via, From, To, Call-ID and CSeq can be found, as it stands: who sent it knows it again. Do
    not read its typed views: they may be malformed too. `to_tag` is added to a To without a tag.
    """
    if not error.status:
        return None
    start = _skip_empty_lines(data)
    end, _ = _find_empty_line(data, start)
    head = data[start : end if end >= 0 else len(data)][:MAX_HEADERS].decode("utf-8", "surrogateescape")
    response = Response(error.status)
    for line in FOLD.sub(" ", head).replace("\r\n", "\n").split("\n")[1:MAX_HEADER_ROWS]:
        found = HEADER_LINE.fullmatch(line)
        if found is None or header_key(found[1]) not in _ECHOED or FORBIDDEN_IN_VALUE.search(found[2]):
            continue
        if header_key(found[1]) == "via" or found[1] not in response.headers:
            response.headers.add(found[1], found[2])
    to = response.headers.get("To")
    if to is not None and to_tag is not None and ";tag" not in to.lower().replace(" ", ""):
        response.headers.set("To", f"{to};tag={to_tag}")
    return response if "via" in response.headers else None


_ECHOED = frozenset(("via", "from", "to", "call-id", "cseq"))

# ------------------------------------------------------------------------------------------------------------ streams

Frame: TypeAlias = bytes | Ping | Pong | ParseError


class StreamFramer:
    """Cuts a stream into messages by Content-Length.

    After a `ParseError` it yields nothing more: where the next message begins is unknown, and RFC 4475 section
    3.1.2.3 has the connection closed.
    """

    __slots__ = ("_broken", "_buffer", "_crlf", "_searched", "_wanted")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no empty line ends before this place
        self._wanted = 0  # octets of the message at the head of the buffer, once known
        self._crlf = 0  # empty lines since the last message
        self._broken = False

    @property
    def broken(self) -> bool:
        """Whether the stream is beyond repair."""
        return self._broken

    def receive(self, data: bytes) -> None:
        """Octets of the stream. Drain `frames` before the next ones come, and no more than one message is kept."""
        if not self._broken:
            self._buffer += data

    def frames(self) -> Iterator[Frame]:
        """Takes what is complete: a message, keepalives between messages, at last an error."""
        while not self._broken:
            frame = self._next()
            if frame is None:
                return
            yield frame

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if not self._wanted:
            if (empty := self._empty_line()) is not None:
                return empty
            if not buffer or buffer == b"\r":  # a lone CR may yet become an empty line
                return None
            try:
                if not self._find_length():
                    return None
            except ParseError as error:
                self._broken = True
                buffer.clear()
                return error
        if len(buffer) < self._wanted:
            return None
        message = bytes(buffer[: self._wanted])
        del buffer[: self._wanted]
        self._wanted = self._searched = self._crlf = 0
        return message

    def _empty_line(self) -> Ping | Pong | None:
        """Takes one CRLF, or LF, that stands before a message."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
        elif buffer.startswith(b"\n"):
            del buffer[:1]
        elif len(buffer) > 1 and buffer.startswith(b"\r"):
            del buffer[:1]
            return self._empty_line()
        else:
            return None
        self._crlf += 1
        return Pong() if self._crlf % 2 else Ping()

    def _find_length(self) -> bool:
        """Finds how long the message at the head of the buffer is; False while its header fields are incomplete."""
        buffer = self._buffer
        end, body = _find_empty_line(buffer, self._searched)
        if (body if body >= 0 else len(buffer)) > MAX_HEADERS:
            raise ParseError("header fields too long", offset=MAX_HEADERS, status=513)
        if body < 0:
            # the line end that closes the last header field may be here already
            self._searched = max(0, len(buffer) - 2)
            return False
        head = buffer[:end].decode("utf-8", "surrogateescape")
        stated = CONTENT_LENGTH.findall(FOLD.sub(" ", head))
        # Section 20.14: "If a stream-based protocol (such as TCP) is used as transport, then the header field MUST be
        # used."
        if len(stated) != 1:
            reason = "Content-Length stands more than once" if stated else "no Content-Length on a stream"
            raise ParseError(reason, offset=end, status=400)
        self._wanted = body + content_length(stated[0].strip(" \t\r"))
        return True


class StreamParser:
    """A stream as messages: `StreamFramer` and `parse_message` joined.

    A malformed message that is well framed comes out as its `ParseError`, and the next one follows. When `broken` is
    true after an error, the connection is to be closed.
    """

    __slots__ = ("_framer",)

    def __init__(self) -> None:
        self._framer = StreamFramer()

    @property
    def broken(self) -> bool:
        return self._framer.broken

    def receive(self, data: bytes) -> None:
        self._framer.receive(data)

    def messages(self) -> Iterator[Request | Response | ParseError | Ping | Pong]:
        for frame in self._framer.frames():
            if isinstance(frame, bytes):
                try:
                    yield parse_message(frame)
                except ParseError as error:
                    yield error
            else:
                yield frame
