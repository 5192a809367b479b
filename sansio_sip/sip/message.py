"""SIP messages: header rows in order, with typed access that parses on first use.

`Headers` keeps each row as it came, so that what we do not understand goes on unchanged. The typed views are computed
once and forgotten when their header changes. A message is a value by convention: it is built, handed on, and from
then on nobody changes it; `copy()` gives one that may be.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, TypeVar

from sansio_sip.errors import ParseError

from .grammar import CALL_ID, FORBIDDEN_IN_VALUE, HEADER_NAME
from .headers import (
    HEADER_KEYS,
    Challenge,
    Credentials,
    CSeq,
    Event,
    MediaType,
    NameAddress,
    RAck,
    Reason,
    Via,
    header_key,
    parse_contacts,
    parse_list,
    parse_number,
    parse_tokens,
    retry_after,
    seconds,
    split_list,
)
from .status import reason_phrase
from .uri import Uri

__all__ = ["Headers", "MandatoryError", "Message", "Request", "Response"]

T = TypeVar("T")
MessageT = TypeVar("MessageT", bound="Message")


_UNREAD = object()


class MandatoryError(Exception):
    """A header field that each message has is missing or malformed: its key, and what is wrong."""

    def __init__(self, key: str, error: ParseError) -> None:
        super().__init__(key)
        self.key = key
        self.error = error


class Headers:
    """The header fields of a message, in order. Names are compared without case, compact forms equal long ones."""

    __slots__ = ("_index", "_rows", "_typed")

    def __init__(self, rows: Iterable[tuple[str, str]] = ()) -> None:
        self._rows: list[tuple[str, str]] = []
        self._index: dict[str, list[str]] = {}
        self._typed: dict[str, object] = {}
        for name, value in rows:
            self.add(name, value)

    @classmethod
    def from_checked(cls, rows: list[tuple[str, str]], index: dict[str, list[str]]) -> "Headers":
        """Takes over rows that the parser has checked, with their values by key."""
        headers = cls.__new__(cls)
        headers._rows = rows
        headers._index = index
        headers._typed = {}
        return headers

    def get(self, name: str) -> str | None:
        """The value of the first row of that name."""
        values = self._index.get(header_key(name))
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """The values of all rows of that name; a row that holds a list is one value."""
        return tuple(self._index.get(header_key(name), ()))

    def add(self, name: str, value: str) -> None:
        """Appends a row.

        Raises:
            ValueError: the name is no token, or the value would break the line it stands on.
        """
        value = _checked(name, value)
        key = header_key(name)
        self._rows.append((name, value))
        self._index.setdefault(key, []).append(value)
        self._typed.pop(key, None)

    def insert_first(self, name: str, value: str) -> None:
        """Puts a row before all others of its name (a Via of our own, a Record-Route)."""
        value = _checked(name, value)
        key = header_key(name)
        place = next((index for index, row in enumerate(self._rows) if header_key(row[0]) == key), 0)
        self._rows.insert(place, (name, value))
        self._index.setdefault(key, []).insert(0, value)
        self._typed.pop(key, None)

    def set(self, name: str, *values: str) -> None:
        """Replaces all rows of that name by these, in the place of the first; appends them if there was none."""
        values = tuple([_checked(name, value) for value in values])
        key = header_key(name)
        fresh = [(name, value) for value in values]
        if key in self._index:
            place = next(index for index, row in enumerate(self._rows) if header_key(row[0]) == key)
            rest = [row for row in self._rows[place:] if header_key(row[0]) != key]
            self._rows[place:] = fresh + rest
        else:
            self._rows.extend(fresh)
        self._typed.pop(key, None)
        if values:
            self._index[key] = list(values)
        else:
            self._index.pop(key, None)

    def remove(self, name: str) -> None:
        """Takes all rows of that name away; harmless if there is none."""
        key = header_key(name)
        if self._index.pop(key, None) is not None:
            self._rows = [row for row in self._rows if header_key(row[0]) != key]
            self._typed.pop(key, None)

    def typed(self, key: str, parse: Callable[[Sequence[str]], T]) -> T:
        """What `parse` makes of the rows of `key` (a long name in lower case); kept until one of them changes."""
        value = self._typed.get(key, _UNREAD)
        if value is _UNREAD:
            value = self._typed[key] = parse(self._index.get(key, ()))
        return value  # type: ignore[return-value]  # each key has one reader: the value is what that one gave

    def read_mandatory(self) -> None:
        """Reads the header fields that each message has, all at once.

        Raises:
            MandatoryError: one of them is missing or malformed.
        """
        for key, read in _MANDATORY:
            try:
                self._typed[key] = read(self._index.get(key, ()))
            except ParseError as error:
                raise MandatoryError(key, error) from None

    def copy(self) -> "Headers":
        headers = Headers.__new__(Headers)
        headers._rows = self._rows.copy()
        headers._index = {key: values.copy() for key, values in self._index.items()}
        headers._typed = self._typed.copy()  # the values are frozen
        return headers

    def keys(self) -> tuple[str, ...]:
        """The keys of all header fields: their long names in lower case, each once."""
        return tuple(self._index)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and header_key(name) in self._index

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        """Equal rows in equal order, whatever the spelling of their names."""
        if not isinstance(other, Headers):
            return NotImplemented
        return self._index == other._index and self._keyed() == other._keyed()

    __hash__ = None  # type: ignore[assignment]  # rows can change

    def _keyed(self, without: str = "") -> list[tuple[str, str]]:
        return [(key, value) for name, value in self._rows if (key := header_key(name)) != without]

    def __repr__(self) -> str:
        return f"Headers({self._rows!r})"


def _checked(name: str, value: str) -> str:
    # Both first questions are cheap and settle nearly every case.
    if name not in HEADER_KEYS and HEADER_NAME.fullmatch(name) is None:
        raise ValueError(f"not a header name: {name!r}")
    if not value.isprintable() and FORBIDDEN_IN_VALUE.search(value) is not None:
        raise ValueError(f"header {name} cannot hold CR, LF or NUL")
    return value.strip(" \t")


# ------------------------------------------------------------------------------------------- how each header is read


def _one(name: str, parse: Callable[[str], T]) -> Callable[[Sequence[str]], T]:
    """Reads a header field that must be there exactly once."""

    def read(rows: Sequence[str]) -> T:
        if len(rows) != 1:
            raise ParseError(f"{name} {'is missing' if not rows else 'stands more than once'}", status=400)
        return parse(rows[0])

    return read


def _at_most_one(name: str, parse: Callable[[str], T]) -> Callable[[Sequence[str]], T | None]:
    def read(rows: Sequence[str]) -> T | None:
        if len(rows) > 1:
            raise ParseError(f"{name} stands more than once", status=400)
        return parse(rows[0]) if rows else None

    return read


def _every(parse: Callable[[str], tuple[T, ...]]) -> Callable[[Sequence[str]], tuple[T, ...]]:
    """Reads a header field whose rows are lists, which together are one list (RFC 3261 section 7.3.1)."""

    def read(rows: Sequence[str]) -> tuple[T, ...]:
        if len(rows) == 1:
            return parse(rows[0])
        return tuple([value for row in rows for value in parse(row)])

    return read


def _list_of(parse: Callable[[str], T]) -> Callable[[Sequence[str]], tuple[T, ...]]:
    """The same, by what reads one element; no row may be empty."""

    def read(rows: Sequence[str]) -> tuple[T, ...]:
        if not rows:
            return ()
        if len(rows) == 1 and "," not in (row := rows[0]):
            return (parse(row),)
        return tuple([parse(element) for row in rows for element in split_list(row)])

    return read


def _call_id(text: str) -> str:
    if CALL_ID.fullmatch(text) is None:
        raise ParseError("bad Call-ID", status=400)
    return text


def _accept(text: str) -> tuple[MediaType, ...]:
    return parse_list(text, MediaType) if text else ()


def _first_reason(rows: Sequence[str]) -> Reason | None:
    return Reason.parse(split_list(rows[0])[0]) if rows else None


_read_hops = _list_of(Via.parse)


def _read_via(rows: Sequence[str]) -> tuple[Via, ...]:
    """At least one (RFC 3261 section 8.1.1)."""
    if not rows:
        raise ParseError("Via is missing", status=400)
    return _read_hops(rows)


_read_from = _one("From", NameAddress.parse)
_read_to = _one("To", NameAddress.parse)
_read_call_id = _one("Call-ID", _call_id)
_read_cseq = _one("CSeq", CSeq.parse)
_MANDATORY: tuple[tuple[str, Callable[[Sequence[str]], object]], ...] = (
    ("via", _read_via),
    ("from", _read_from),
    ("to", _read_to),
    ("call-id", _read_call_id),
    ("cseq", _read_cseq),
)
# Section 8.1.1 has Max-Forwards too, which RFC 2543 did not.

_read_contacts = _every(parse_contacts)
_read_addresses = _list_of(NameAddress.parse)
_read_tokens = _every(parse_tokens)
_read_max_forwards = _at_most_one("Max-Forwards", lambda text: parse_number(text, 256))
_read_expires = _at_most_one("Expires", seconds)
_read_min_expires = _at_most_one("Min-Expires", seconds)
_read_retry_after = _at_most_one("Retry-After", retry_after)
_read_rseq = _at_most_one("RSeq", seconds)
_read_rack = _at_most_one("RAck", RAck.parse)
_read_event = _at_most_one("Event", Event.parse)
_read_content_type = _at_most_one("Content-Type", MediaType.parse)
_read_accept = _every(_accept)


def _read_challenges(rows: Sequence[str]) -> tuple[Challenge, ...]:
    return tuple([Challenge.parse(row) for row in rows])


def _read_credentials(rows: Sequence[str]) -> tuple[Credentials, ...]:
    return tuple([Credentials.parse(row) for row in rows])


class Message:
    """What requests and responses share.

    Each typed property raises `ParseError` with status 400 where its header is malformed. Of a message that came
    through `parser.parse_message`, `via`, `from_`, `to`, `call_id` and `cseq` have been read already and do not.
    """

    __slots__ = ("body", "headers")

    READERS: ClassVar[dict[str, Callable[[Sequence[str]], object]]] = {
        "via": _read_via,
        "from": _read_from,
        "to": _read_to,
        "call-id": _read_call_id,
        "cseq": _read_cseq,
        "contact": _read_contacts,
        "route": _read_addresses,
        "record-route": _read_addresses,
        "path": _read_addresses,
        "service-route": _read_addresses,
        "max-forwards": _read_max_forwards,
        "expires": _read_expires,
        "min-expires": _read_min_expires,
        "retry-after": _read_retry_after,
        "rseq": _read_rseq,
        "rack": _read_rack,
        "event": _read_event,
        "content-type": _read_content_type,
        "accept": _read_accept,
        "reason": _first_reason,
        "require": _read_tokens,
        "supported": _read_tokens,
        "proxy-require": _read_tokens,
        "unsupported": _read_tokens,
        "allow": _read_tokens,
        "www-authenticate": _read_challenges,
        "proxy-authenticate": _read_challenges,
        "authorization": _read_credentials,
        "proxy-authorization": _read_credentials,
    }
    """How each header that has a typed view is read, by its key."""

    def __init__(self, headers: Headers | Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body

    @property
    def via(self) -> tuple[Via, ...]:
        return self.headers.typed("via", _read_via)

    @property
    def top_via(self) -> Via:
        """The first Via."""
        return self.via[0]

    @property
    def from_(self) -> NameAddress:
        return self.headers.typed("from", _read_from)

    @property
    def to(self) -> NameAddress:
        return self.headers.typed("to", _read_to)

    @property
    def call_id(self) -> str:
        return self.headers.typed("call-id", _read_call_id)

    @property
    def cseq(self) -> CSeq:
        return self.headers.typed("cseq", _read_cseq)

    @property
    def contacts(self) -> tuple[NameAddress, ...]:
        """All contacts; `(STAR,)` for `Contact: *`."""
        return self.headers.typed("contact", _read_contacts)

    @property
    def routes(self) -> tuple[NameAddress, ...]:
        return self.headers.typed("route", _read_addresses)

    @property
    def record_routes(self) -> tuple[NameAddress, ...]:
        return self.headers.typed("record-route", _read_addresses)

    @property
    def path(self) -> tuple[NameAddress, ...]:
        """RFC 3327."""
        return self.headers.typed("path", _read_addresses)

    @property
    def service_routes(self) -> tuple[NameAddress, ...]:
        """RFC 3608."""
        return self.headers.typed("service-route", _read_addresses)

    @property
    def max_forwards(self) -> int | None:
        return self.headers.typed("max-forwards", _read_max_forwards)

    @property
    def expires(self) -> int | None:
        """Seconds."""
        return self.headers.typed("expires", _read_expires)

    @property
    def min_expires(self) -> int | None:
        """Seconds (RFC 3261 section 20.23)."""
        return self.headers.typed("min-expires", _read_min_expires)

    @property
    def retry_after(self) -> int | None:
        """Seconds."""
        return self.headers.typed("retry-after", _read_retry_after)

    @property
    def rseq(self) -> int | None:
        """RFC 3262."""
        return self.headers.typed("rseq", _read_rseq)

    @property
    def rack(self) -> RAck | None:
        """RFC 3262."""
        return self.headers.typed("rack", _read_rack)

    @property
    def event(self) -> Event | None:
        """RFC 6665."""
        return self.headers.typed("event", _read_event)

    @property
    def content_type(self) -> MediaType | None:
        return self.headers.typed("content-type", _read_content_type)

    @property
    def accept(self) -> tuple[MediaType, ...]:
        return self.headers.typed("accept", _read_accept)

    @property
    def reason_header(self) -> Reason | None:
        """The first value of Reason (RFC 3326)."""
        return self.headers.typed("reason", _first_reason)

    @property
    def require(self) -> tuple[str, ...]:
        return self.headers.typed("require", _read_tokens)

    @property
    def proxy_require(self) -> tuple[str, ...]:
        return self.headers.typed("proxy-require", _read_tokens)

    @property
    def supported(self) -> tuple[str, ...]:
        return self.headers.typed("supported", _read_tokens)

    @property
    def unsupported(self) -> tuple[str, ...]:
        return self.headers.typed("unsupported", _read_tokens)

    @property
    def allow(self) -> tuple[str, ...]:
        return self.headers.typed("allow", _read_tokens)

    @property
    def www_authenticate(self) -> tuple[Challenge, ...]:
        return self.headers.typed("www-authenticate", _read_challenges)

    @property
    def proxy_authenticate(self) -> tuple[Challenge, ...]:
        return self.headers.typed("proxy-authenticate", _read_challenges)

    @property
    def authorization(self) -> tuple[Credentials, ...]:
        return self.headers.typed("authorization", _read_credentials)

    @property
    def proxy_authorization(self) -> tuple[Credentials, ...]:
        return self.headers.typed("proxy-authorization", _read_credentials)

    def start_line(self) -> str:
        """The first line, without its end."""
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        """The message as it goes on the wire. Content-Length always tells the length of the body, in the place where
        the header stood, or as the last one."""
        start = self.start_line()
        if not start.isprintable() and FORBIDDEN_IN_VALUE.search(start) is not None:
            raise ValueError("the start line cannot hold CR, LF or NUL")
        lines = [start]
        length = len(self.body)
        if "content-length" in self.headers:
            for name, value in self.headers:
                if header_key(name) != "content-length":
                    lines.append(f"{name}: {value}")
                elif length >= 0:
                    lines.append(f"{name}: {length}")
                    length = -1
        else:
            lines += [f"{name}: {value}" for name, value in self.headers]
            lines.append(f"Content-Length: {length}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body

    def _key(self) -> tuple[object, ...]:
        return (self.headers._keyed("content-length"), self.body)

    def __eq__(self, other: object) -> bool:
        """Equal start lines, header rows (but Content-Length, which the body implies) and bodies."""
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]  # headers can change


class Request(Message):
    """A request."""

    __slots__ = ("method", "uri")

    def __init__(
        self, method: str, uri: Uri, headers: Headers | Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    def copy(self) -> "Request":
        """One that can be changed without changing this one."""
        return Request(self.method, self.uri, self.headers.copy(), self.body)

    def response(
        self,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> "Response":
        """A response to this request, with what RFC 3261 section 8.2.6 has it copy, then `headers`.

        `to_tag` is added where To has no tag; RFC 3261 asks for one in all responses but 100.
        """
        rows = Headers()
        # Section 12.1.1: "the UAS MUST copy all Record-Route header field values from the request into the response"
        # of those that establish a dialog.
        recorded = 100 < status < 300 and self.method in _DIALOG_METHODS
        for name, value in self.headers:
            key = header_key(name)
            if key in _COPIED or (key == "record-route" and recorded) or (key == "timestamp" and status == 100):
                rows.add(name, value)
        if to_tag is not None and self.to.tag is None:
            rows.set("To", f"{rows.get('To')};tag={to_tag}")
        for name, value in headers:
            rows.add(name, value)
        return Response(status, reason_phrase(status) if reason is None else reason, rows, body)

    def _key(self) -> tuple[object, ...]:
        return (self.method, self.uri, *super()._key())

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri}>"


# Section 8.2.6.2: "The From field of the response MUST equal the From header field of the request. The Call-ID header
# field of the response MUST equal ... The CSeq ... The Via header field values in the response MUST equal the Via
# header field values in the request and MUST maintain the same ordering."
_COPIED = frozenset(("via", "from", "to", "call-id", "cseq"))
_DIALOG_METHODS = frozenset(("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"))


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Headers | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason_phrase(status) if reason is None else reason

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> "Response":
        """One that can be changed without changing this one."""
        return Response(self.status, self.reason, self.headers.copy(), self.body)

    def _key(self) -> tuple[object, ...]:
        return (self.status, self.reason, *super()._key())

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"
