"""URIs: `SipUri` for `sip:` and `sips:` (RFC 3261 section 19.1), `OtherUri` for `tel:`, `urn:` and the rest.

All parts are held without escapes, and `str()` writes back the escapes that the grammar asks of each part: what was
needlessly escaped comes out plain, which section 19.1.4 calls the same URI.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address
from typing import TypeAlias

from sansio_sip.errors import ParseError
from sansio_sip.frozen import quick

from .grammar import BAD_ESCAPE, OTHER_URI, SIP_URI
from .parameters import Parameters, Parametric, split_parameters, with_parameter, without_parameter

__all__ = ["OtherUri", "Parameters", "SipUri", "Uri", "format_host", "parse_uri", "valid_ipv6"]

_MAX_PORT = 65535

# RFC 3261 section 19.1.4: "A user, ttl, or method uri-parameter appearing in only one URI never matches, even if it
# contains the default value. A URI that includes an maddr parameter will not match a URI that contains no maddr
# parameter."
_NEVER_ONE_SIDED = ("user", "ttl", "method", "maddr")


def _escaper(plain: str) -> Callable[[str], str]:
    """A function that escapes what is not unreserved and not in `plain`."""
    search = re.compile(rf"[^A-Za-z0-9\-_.!~*'(){re.escape(plain)}]").search
    sub = re.compile(rb"[^A-Za-z0-9\-_.!~*'()" + re.escape(plain).encode() + rb"]").sub

    def escape(text: str) -> str:
        if search(text) is None:
            return text
        return sub(lambda octet: b"%%%02X" % octet[0][0], text.encode("utf-8", "surrogateescape")).decode("ascii")

    return escape


_escape_user = _escaper("&=+$,;?/")
_escape_password = _escaper("&=+$,")
_escape_parameter = _escaper("[]/:&+$")
_escape_header = _escaper("[]/?:+$")

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def _unescape(text: str) -> str:
    """`text` with each escape replaced by what it stands for, octet by octet, but once only."""
    if "%" not in text:
        return text
    if BAD_ESCAPE.search(text) is not None:
        raise ParseError("bad escape in URI", status=400)
    octets = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), text.encode("ascii"))
    return octets.decode("utf-8", "surrogateescape")


def valid_ipv6(text: str) -> bool:
    """Whether `text`, without brackets, is an IPv6 address. A zone is not part of one in SIP."""
    if "%" in text:
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def parse_host(text: str) -> str:
    """The host of an IPv6 reference, without its brackets."""
    # RFC 5118 section 4.10: the ABNF of RFC 3261 lets a third colon come before an IPv4 part; take it, never send it.
    host = text[1:-1].replace(":::", "::")
    if not valid_ipv6(host):
        raise ParseError("bad IPv6 address", status=400)
    return host


def format_host(host: str) -> str:
    """`host` as it stands in a URI or a Via: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_port(text: str) -> int:
    port = int(text)
    if port > _MAX_PORT:
        raise ParseError("port out of range", status=400)
    return port


@quick
@dataclass(frozen=True, slots=True)
class SipUri(Parametric):
    """A `sip:` or `sips:` URI.

    Attributes:
        host: a name or an IP address; IPv6 without brackets.
        user: without escapes, as are `password`, `parameters` and `headers`.
        port: None where none is written, which is not the same as 5060 (section 19.1.4).
        headers: those after the question mark, to be put in a request made from this URI.
        scheme: "sip" or "sips".
    """

    host: str
    user: str | None = None
    password: str | None = None
    port: int | None = None
    parameters: Parameters = ()
    headers: tuple[tuple[str, str], ...] = ()
    scheme: str = "sip"

    def __str__(self) -> str:
        host = self.host
        text = f"[{host}]" if ":" in host else host
        if self.user is not None:
            user = _escape_user(self.user)
            text = f"{user}@{text}" if self.password is None else f"{user}:{_escape_password(self.password)}@{text}"
        text = f"{self.scheme}:{text}"
        if self.port is not None:
            text += f":{self.port}"
        for name, value in self.parameters:
            name = _escape_parameter(name)
            text += f";{name}" if value is None else f";{name}={_escape_parameter(value)}"
        if self.headers:
            text += "?" + "&".join([f"{_escape_header(name)}={_escape_header(value)}" for name, value in self.headers])
        return text

    def with_parameter(self, name: str, value: str | None = None) -> "SipUri":
        """The same URI with one parameter replaced or added."""
        return replace(self, parameters=with_parameter(self.parameters, name, value))

    def without_parameter(self, name: str) -> "SipUri":
        return replace(self, parameters=without_parameter(self.parameters, name))

    def with_parameters(self, parameters: Parameters) -> "SipUri":
        """The same URI with these parameters in place of its own."""
        return replace(self, parameters=parameters)

    def equivalent(self, other: "Uri") -> bool:
        """Whether both name the same thing by the rules of RFC 3261 section 19.1.4, which are not transitive."""
        if not isinstance(other, SipUri):
            return False
        # "Comparison of the userinfo of SIP and SIPS URIs is case-sensitive ... all other components is
        # case-insensitive unless explicitly defined otherwise."
        if (self.scheme, self.user, self.password, self.port) != (other.scheme, other.user, other.password, other.port):
            return False
        if _host_key(self.host) != _host_key(other.host):
            return False
        ours = {name.lower(): (value or "").lower() for name, value in reversed(self.parameters)}
        theirs = {name.lower(): (value or "").lower() for name, value in reversed(other.parameters)}
        if any((name in ours) != (name in theirs) for name in _NEVER_ONE_SIDED):
            return False
        # "Any uri-parameter appearing in both URIs must match."
        if any(theirs[name] != value for name, value in ours.items() if name in theirs):
            return False
        # "URI header components are never ignored. Any present header component MUST be present in both URIs and
        # match for the URIs to match."
        return _header_key(self.headers) == _header_key(other.headers)


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A URI of another scheme. `opaque` is all that follows the colon, as it was written."""

    scheme: str
    opaque: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.opaque}"

    def equivalent(self, other: "Uri") -> bool:
        """Whether both are the same text, but for the case of the scheme."""
        return isinstance(other, OtherUri) and (self.scheme.lower(), self.opaque) == (
            other.scheme.lower(),
            other.opaque,
        )


Uri: TypeAlias = SipUri | OtherUri


def parse_uri(text: str) -> Uri:
    """A URI without anything around it.

    Raises:
        ParseError: `text` is no URI; status 400.
    """
    found = SIP_URI.fullmatch(text)
    if found is None:
        return _parse_other(text)
    return make_uri(*found.groups())


def make_uri(
    scheme: str, user: str | None, password: str | None, host: str, port: str | None, tail: str, query: str | None
) -> SipUri:
    """The URI of the parts that have matched the grammar of a SIP-URI."""
    parameters = split_parameters(tail) if tail else ()
    headers: tuple[tuple[str, str], ...] = ()
    if query:
        pairs = [pair.partition("=") for pair in query.split("&")]
        headers = tuple([(name, value) for name, _, value in pairs])
    if (user and "%" in user) or (password and "%" in password) or (tail and "%" in tail) or (query and "%" in query):
        user = user and _unescape(user)
        password = password and _unescape(password)
        parameters = tuple([(_unescape(name), value and _unescape(value)) for name, value in parameters])
        headers = tuple([(_unescape(name), _unescape(value)) for name, value in headers])
    return SipUri(
        parse_host(host) if host[0] == "[" else host,
        user,
        password,
        port if port is None else parse_port(port),
        parameters,
        headers,
        scheme.lower(),
    )


def _parse_other(text: str) -> OtherUri:
    found = OTHER_URI.fullmatch(text)
    if found is None:
        raise ParseError("not a URI", status=400)
    scheme, opaque = found.groups()
    if scheme.lower() in ("sip", "sips"):
        raise ParseError("bad SIP URI", offset=len(scheme) + 1, status=400)
    if "%" in opaque and (bad := BAD_ESCAPE.search(text)) is not None:
        raise ParseError("bad escape in URI", offset=bad.start(), status=400)
    return OtherUri(scheme, opaque)


def _host_key(host: str) -> object:
    return IPv6Address(host) if ":" in host and valid_ipv6(host) else host.lower()


def _header_key(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers)
