"""Values of header fields: frozen, each with `parse` and a `str()` that is its inverse.

A value is parsed from text that has been unfolded. Parameters that the type does not know are kept, in order. What is
written in quotes is held without them (`parameters.Quoted` remembers that they were there).
"""

from dataclasses import dataclass, replace
from typing import Final, Protocol, Self, TypeVar

from sansio_sip.errors import ParseError
from sansio_sip.frozen import quick

from .grammar import (
    ADDR_SPEC,
    AUTH_BARE,
    AUTH_PARAMETER,
    AUTH_SCHEME,
    CSEQ,
    DELTA_SECONDS,
    LIST_ELEMENT,
    MEDIA_TYPE,
    NAME_ADDR,
    RACK,
    SIP_NAME_ADDR,
    TOKEN,
    VIA,
)
from .parameters import (
    Parameters,
    Parametric,
    Quoted,
    format_parameters,
    format_value,
    parse_parameters,
    quote,
    split_parameters,
    unquote,
    with_parameter,
)
from .uri import OtherUri, Uri, format_host, make_uri, parse_host, parse_port, parse_uri

__all__ = [
    "COMPACT",
    "HEADER_KEYS",
    "STAR",
    "CSeq",
    "Challenge",
    "Credentials",
    "Event",
    "MediaType",
    "NameAddress",
    "Quoted",
    "RAck",
    "Reason",
    "Via",
    "canonical",
    "header_key",
    "parse_contacts",
    "parse_list",
    "parse_number",
    "parse_tokens",
]

COMPACT: Final = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
"""Compact forms and the names that they stand for (IANA, SIP parameters, header fields)."""

_NAMES = (
    *COMPACT.values(),
    *("Accept", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Authentication-Info", "Authorization"),
    *("Call-Info", "Content-Disposition", "Content-Language", "CSeq", "Date", "Diversion", "Error-Info", "Expires"),
    *("Flow-Timer", "History-Info", "In-Reply-To", "Info-Package", "Join", "Max-Forwards", "MIME-Version"),
    *("Min-Expires", "Min-SE", "Organization", "P-Asserted-Identity", "P-Preferred-Identity", "Path", "Priority"),
    *("Privacy", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Require", "RAck", "Reason", "Record-Route"),
    *("Recv-Info", "Replaces", "Reply-To", "Require", "Retry-After", "Route", "RSeq", "Server", "Service-Route"),
    *("SIP-ETag", "SIP-If-Match", "Subscription-State", "Target-Dialog", "Timestamp", "Unsupported", "User-Agent"),
    *("Warning", "WWW-Authenticate"),
)
_CANONICAL = {name.lower(): name for name in _NAMES} | COMPACT

HEADER_KEYS: Final = {name: name.lower() for name in _NAMES} | {short: name.lower() for short, name in COMPACT.items()}
"""The keys of names as they are mostly written (see `header_key`)."""

_MAX_LIST = 128
"""Elements of one list; Via and Record-Route grow by one a hop, and Max-Forwards starts at 70."""

_MAX_CSEQ = 2**31
_MAX_SECONDS = 2**32


def canonical(name: str) -> str:
    """The name of a header field as its RFC writes it; an unknown one as it is."""
    return _CANONICAL.get(name.lower(), name)


def header_key(name: str) -> str:
    """What all spellings of a header field's name have in common: the long form in lower case."""
    key = HEADER_KEYS.get(name)
    if key is None:
        key = name.lower()
        key = HEADER_KEYS.get(key, key)
    return key


class _Parsed(Protocol):
    @classmethod
    def parse(cls, text: str) -> Self: ...


P = TypeVar("P", bound=_Parsed)


def split_list(text: str) -> list[str]:
    """Splits at the commas that are neither in quotes nor in angle brackets."""
    if "," not in text:
        return [text]
    elements: list[str] = []
    position = 0
    while True:
        found = LIST_ELEMENT.match(text, position)
        assert found is not None  # the expression matches the empty text as well
        elements.append(found[0].strip(" \t"))
        position = found.end()
        if position == len(text):
            return elements
        if text[position] != "," or len(elements) == _MAX_LIST:
            reason = "unbalanced quotes or brackets" if text[position] != "," else "too many elements in list"
            raise ParseError(reason, offset=position, status=400)
        position += 1


def parse_list(text: str, kind: type[P]) -> tuple[P, ...]:
    """The elements of a list of one row of a header field.

    Raises:
        ParseError: an element is empty or malformed.
    """
    if "," not in text:
        return (kind.parse(text),)
    return tuple([kind.parse(element) for element in split_list(text)])


def parse_tokens(text: str) -> tuple[str, ...]:
    """A list of tokens, which may be empty (Allow, Supported, Require...)."""
    if not text or text.isspace():
        return ()
    tokens = tuple([element.strip(" \t") for element in text.split(",")])
    for token in tokens:
        if TOKEN.fullmatch(token) is None:
            raise ParseError("bad token in list", status=400)
    return tokens


def parse_number(text: str, limit: int) -> int:
    """A decimal number below `limit`; leading zeros are nothing."""
    if len(text) < 10 and text.isascii() and text.isdigit() and (number := int(text)) < limit:
        return number
    found = DELTA_SECONDS.fullmatch(text)
    digits = found[1] if found is not None else None
    if digits is None or len(digits) > 10 or (number := int(digits or "0")) >= limit:
        raise ParseError("bad number" if digits is None else "number out of range", status=400)
    return number


@quick
@dataclass(frozen=True, slots=True)
class Via(Parametric):
    """One hop of a Via (RFC 3261 section 20.42). `transport` is as received; the version is always SIP/2.0."""

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "Via":
        found = VIA.match(text)
        if found is None:
            raise ParseError("bad Via", status=400)
        transport, host, port, tail = found.groups()
        if tail is None:
            parameters = parse_parameters(text, found.end())
        else:
            parameters = split_parameters(tail) if tail else ()
        return cls(
            transport,
            parse_host(host) if host[0] == "[" else host,
            port if port is None else parse_port(port),
            parameters,
        )

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{format_parameters(self.parameters)}"

    @property
    def sent_by(self) -> str:
        host = format_host(self.host)
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def branch(self) -> str | None:
        return self.parameter("branch")

    @property
    def received(self) -> str | None:
        """The source address that a server has noted; IPv6 without brackets (RFC 5118 section 4.5)."""
        value = self.parameter("received")
        return value if value is None else value.strip("[]")

    @property
    def rport(self) -> int | None:
        """The source port that a server has noted (RFC 3581); None also where the parameter has no value yet."""
        value = self.parameter("rport")
        return int(value) if value and len(value) < 6 and value.isascii() and value.isdigit() else None

    def with_parameter(self, name: str, value: str | None = None) -> "Via":
        """The same hop with one parameter replaced or added."""
        return replace(self, parameters=with_parameter(self.parameters, name, value))


@quick
@dataclass(frozen=True, slots=True)
class NameAddress(Parametric):
    """`name-addr` or `addr-spec` with parameters: From, To, Contact, Route, Record-Route, Refer-To and their like.

    `str()` always writes angle brackets, so that no parameter can be taken for one of the URI.
    """

    uri: Uri
    display_name: str | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "NameAddress":
        found = SIP_NAME_ADDR.match(text)
        if found is None:
            return cls._parse_any(text)
        quoted, name, scheme, user, password, host, port, uri_tail, query, tail = found.groups()
        if quoted is not None:
            name = unquote(quoted)
        elif not name or not (name := name.strip(" \t")):
            name = None
        uri = make_uri(scheme, user, password, host, port, uri_tail, query)
        if tail:
            return cls(uri, name, split_parameters(tail))
        return cls(uri, name, () if tail is not None else parse_parameters(text, found.end()))

    @classmethod
    def _parse_any(cls, text: str) -> "NameAddress":
        found = NAME_ADDR.match(text)
        if found is not None:
            quoted, words, inner = found.groups()
            name = unquote(quoted) if quoted is not None else words.strip(" \t") or None
            start = found.start(3)
        else:
            found = ADDR_SPEC.match(text)
            if found is None:
                raise ParseError("bad address", status=400)
            inner = found[1]
            name = None
            start = found.start(1)
        try:
            uri = parse_uri(inner)
        except ParseError as error:
            raise ParseError(error.reason, offset=start + error.offset, status=400) from None
        return cls(uri, name, parse_parameters(text, found.end()))

    def __str__(self) -> str:
        if not self.uri.scheme:
            return "*"
        parameters = format_parameters(self.parameters) if self.parameters else ""
        if self.display_name is None:
            return f"<{self.uri}>{parameters}"
        return f"{quote(self.display_name)} <{self.uri}>{parameters}"

    @property
    def tag(self) -> str | None:
        return self.parameter("tag")

    def with_parameter(self, name: str, value: str | None = None) -> "NameAddress":
        """The same address with one header parameter replaced or added."""
        return replace(self, parameters=with_parameter(self.parameters, name, value))

    def with_tag(self, tag: str) -> "NameAddress":
        return self.with_parameter("tag", tag)


_STAR_URI = OtherUri("", "*")

STAR: Final = NameAddress(_STAR_URI)
"""`Contact: *` (RFC 3261 section 10.2.2)."""


def parse_contacts(text: str) -> tuple[NameAddress, ...]:
    """The addresses of one row of Contact; `(STAR,)` for `*`."""
    if "," not in text:
        return (STAR if text.strip(" \t") == "*" else NameAddress.parse(text),)
    return parse_list(text, NameAddress)


@quick
@dataclass(frozen=True, slots=True)
class CSeq:
    """CSeq (RFC 3261 section 20.16): a number below 2**31 and a method."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> "CSeq":
        found = CSEQ.fullmatch(text)
        # Section 8.1.1.5: "The sequence number value MUST be expressible as a 32-bit unsigned integer and MUST be
        # less than 2**31."
        if found is None:
            raise ParseError("bad CSeq", status=400)
        digits, method = found.groups()
        number = int(digits or "0")
        if number >= _MAX_CSEQ:
            raise ParseError("CSeq out of range", status=400)
        return cls(number, method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class RAck:
    """RAck (RFC 3262 section 7.2)."""

    response_number: int
    cseq_number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> "RAck":
        found = RACK.fullmatch(text)
        if found is None:
            raise ParseError("bad RAck", status=400)
        return cls(int(found[1] or "0"), int(found[2] or "0"), found[3])

    def __str__(self) -> str:
        return f"{self.response_number} {self.cseq_number} {self.method}"


@quick
@dataclass(frozen=True, slots=True)
class MediaType(Parametric):
    """Content-Type, and one range of Accept. Case is as received; `str(x).lower()` has none."""

    type: str
    subtype: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "MediaType":
        found = MEDIA_TYPE.match(text)
        if found is None:
            raise ParseError("bad media type", status=400)
        kind, subtype = found.groups()
        return cls(kind, subtype, parse_parameters(text, found.end()))

    def __str__(self) -> str:
        return f"{self.type}/{self.subtype}{format_parameters(self.parameters)}"

    @property
    def essence(self) -> str:
        """`type/subtype` in lower case, without parameters."""
        return f"{self.type}/{self.subtype}".lower()


@dataclass(frozen=True, slots=True)
class Event(Parametric):
    """Event (RFC 6665 section 8.2.1), and any other token with parameters."""

    package: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "Event":
        package, position = _leading_token(text)
        return cls(package, parse_parameters(text, position))

    def __str__(self) -> str:
        return f"{self.package}{format_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class Reason(Parametric):
    """Reason (RFC 3326): why a request was sent.

    A `cause` that is no number stays among the parameters: the header informs people, and refusing a BYE for it would
    keep a dead call alive.
    """

    protocol: str
    cause: int | None = None
    text: str | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> "Reason":
        protocol, position = _leading_token(text)
        cause: int | None = None
        phrase: str | None = None
        others: list[tuple[str, str | None]] = []
        for name, value in parse_parameters(text, position):
            key = name.lower()
            if key == "cause" and cause is None and value and len(value) < 10 and value.isascii() and value.isdigit():
                cause = int(value)
            elif key == "text" and phrase is None and value is not None:
                phrase = str(value)
            else:
                others.append((name, value))
        return cls(protocol, cause, phrase, tuple(others))

    def __str__(self) -> str:
        known: list[tuple[str, str | None]] = []
        if self.cause is not None:
            known.append(("cause", str(self.cause)))
        if self.text is not None:
            known.append(("text", Quoted(self.text)))
        return f"{self.protocol}{format_parameters((*known, *self.parameters))}"


def _leading_token(text: str) -> tuple[str, int]:
    start = len(text) - len(text.lstrip(" \t"))
    found = TOKEN.match(text, start)
    if found is None:
        raise ParseError("no token where one is needed", offset=start, status=400)
    return found[0], found.end()


@dataclass(frozen=True, slots=True)
class Challenge(Parametric):
    """WWW-Authenticate, Proxy-Authenticate: a scheme and its parameters (RFC 3261 section 20.44).

    What follows a scheme without being parameters (`Basic dXNlcg==`) is one parameter without a value.
    """

    scheme: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(*_parse_authentication(text))

    def __str__(self) -> str:
        # `name=` with nothing would be read as the credential of a scheme without parameters
        rows = [
            name if value is None else f"{name}={format_value(value) or _NOTHING}" for name, value in self.parameters
        ]
        return f"{self.scheme} {', '.join(rows)}" if rows else self.scheme


@dataclass(frozen=True, slots=True)
class Credentials(Challenge):
    """Authorization, Proxy-Authorization: the same shape as a challenge (RFC 3261 section 20.7)."""


_NOTHING = '""'

_MAX_AUTH_PARAMETERS = 64
"""RFC 7616 knows 14; more than this is no credential."""


def _parse_authentication(text: str) -> tuple[str, Parameters]:
    found = AUTH_SCHEME.match(text)
    if found is None:
        raise ParseError("no authentication scheme", status=400)
    scheme = found[1]
    position = found.end()
    parameters: list[tuple[str, str | None]] = []
    found = AUTH_BARE.match(text, position)
    if found is not None:
        return scheme, ((found[1], None),)
    while position < len(text):
        found = AUTH_PARAMETER.match(text, position)
        if found is None:
            raise ParseError("bad authentication parameter", offset=position, status=400)
        if len(parameters) == _MAX_AUTH_PARAMETERS:
            raise ParseError("too many authentication parameters", offset=position, status=400)
        name, value = found.groups()
        parameters.append((name, Quoted(unquote(value)) if value[:1] == '"' else value))
        position = found.end()
    return scheme, tuple(parameters)


def seconds(text: str) -> int:
    """delta-seconds, below 2**32."""
    return parse_number(text.strip(" \t"), _MAX_SECONDS)


def retry_after(text: str) -> int:
    """The seconds of Retry-After, without its comment and parameters (RFC 3261 section 20.33)."""
    end = next((index for index, character in enumerate(text) if character in " \t(;"), len(text))
    return seconds(text[:end])
