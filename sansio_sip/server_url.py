"""Where a signalling server is: `wss://pbx.example.com/sip`, `tls://pbx.example.com`, `udp://192.0.2.1:5060`.

Or `sip:example.com`, `sips:example.com`: then the DNS says where, and by which transport (RFC 3263).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from types import MappingProxyType

from .errors import ParseError
from .sip.transport import transport_named
from .sip.uri import SipUri, parse_uri

__all__ = ["ServerUrl", "is_ip_address"]

# RFC 7118 section 5.2.1 for the two of WebSocket, RFC 3261 section 19.1.2 for the others.
DEFAULT_PORTS: Mapping[str, int] = MappingProxyType({"wss": 443, "ws": 80, "tls": 5061, "tcp": 5060, "udp": 5060})

MAX_LENGTH = 1024  # longer than any URL that a person types; RFC 1035 ends a name at 255

_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<host>\[[^\]/?#]*\]|[^:/?#\[\]]*)(?::(?P<port>[^/?#]*))?(?P<target>.*)")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_TARGET = re.compile(r"[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A parsed server URL; `str()` gives it back.

    Attributes:
        scheme: `wss`, `ws`, `tls`, `tcp`, `udp`; `sip` or `sips` for a URI whose server is to be located.
        host: a name in lower case, or an IP address without brackets.
        port: the scheme's own where none is written; 0 for a server to be located.
        target: path and query, for WebSocket only.
        named: the transport that a `sip:` URI names, as in a Via header; None: to be found.
    """

    scheme: str
    host: str
    port: int
    target: str = "/"
    named: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ServerUrl":
        """Raises ParseError, which says what is wrong and where."""
        if len(text) > MAX_LENGTH:
            raise ParseError(f"longer than {MAX_LENGTH} characters", offset=MAX_LENGTH)
        if text.strip()[:5].lower().startswith(("sip:", "sips:")):
            return _from_uri(text.strip())
        match = _URL.fullmatch(text.strip())
        if match is None:
            raise ParseError("not a URL of the form scheme://host:port")
        scheme = match["scheme"].lower()
        if scheme not in DEFAULT_PORTS:
            raise ParseError(f"scheme {match['scheme']!r} is not one of {', '.join(DEFAULT_PORTS)}")
        if "@" in match["host"] or "@" in (match["port"] or ""):
            raise ParseError("user and password do not belong into a server URL", offset=match.start("host"))
        host = _host(match["host"], match.start("host"))
        port = DEFAULT_PORTS[scheme] if match["port"] is None else _port(match["port"], match.start("port"))
        target = match["target"]
        if scheme not in ("wss", "ws") and target not in ("", "/"):
            raise ParseError(f"a {scheme}: URL has no path", offset=match.start("target"))
        if target and not _TARGET.fullmatch(target):
            raise ParseError("a character in the path is not allowed there", offset=match.start("target"))
        return cls(scheme, host, port, target if target.startswith("/") else f"/{target}")

    @classmethod
    def of(cls, uri: SipUri) -> "ServerUrl | None":
        """The server that a SIP URI names; None where it names a transport that nobody speaks."""
        name = (uri.parameter("transport") or "").lower()
        try:
            if name in ("ws", "wss"):
                host = f"[{uri.host}]" if ":" in uri.host else uri.host
                scheme = "wss" if uri.scheme == "sips" or name == "wss" else "ws"
                return cls.parse(f"{scheme}://{host}{f':{uri.port}' if uri.port else ''}")
            return _from_uri(str(SipUri(uri.host, port=uri.port, scheme=uri.scheme, parameters=tuple(
                row for row in uri.parameters if row[0].lower() == "transport"))))  # fmt: skip
        except ParseError:
            return None

    @property
    def transport(self) -> str:
        """As in a Via header: `WSS`, `WS`, `TLS`, `TCP`, `UDP`; empty where it is to be located."""
        return (self.named or "") if self.is_located else self.scheme.upper()

    @property
    def is_located(self) -> bool:
        """Whether the DNS has to say where the server is (RFC 3263)."""
        return self.scheme in ("sip", "sips")

    @property
    def secure(self) -> bool:
        return self.scheme in ("wss", "tls", "sips") or self.named == "TLS"

    @property
    def web_socket(self) -> bool:
        return self.scheme in ("wss", "ws")

    @property
    def authority(self) -> str:
        """`host` or `host:port`, as in an HTTP Host header: the scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme, 0) else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.is_located:
            return f"{self.scheme}:{self.authority}{f';transport={self.named.lower()}' if self.named else ''}"
        target = self.target if self.web_socket and self.target != "/" else ""
        return f"{self.scheme}://{self.authority}{target}"


def is_ip_address(host: str) -> bool:
    """Whether `host` is an IPv4 or IPv6 address in text form, without brackets."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _from_uri(text: str) -> ServerUrl:
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    if uri.user is not None or uri.headers:
        raise ParseError("a server is given by its host alone: sip:example.com")
    if any(name.lower() != "transport" for name, _ in uri.parameters):
        raise ParseError("a server's URI has no parameter but transport")
    return ServerUrl(uri.scheme, _host(f"[{uri.host}]" if ":" in uri.host else uri.host, 0), uri.port or 0,
                     named=transport_named(uri))  # fmt: skip


def _host(text: str, offset: int) -> str:
    if text.startswith("["):
        address = text[1:-1]
        if ":" not in address or not is_ip_address(address):
            raise ParseError("what is in brackets is no IPv6 address", offset=offset)
        return address.lower()
    if re.fullmatch(r"[0-9.]+", text) and not is_ip_address(text):
        raise ParseError(f"{text!r} is no IPv4 address", offset=offset)
    if not text or len(text) > 255 or not _NAME.fullmatch(text):
        raise ParseError(f"{text!r} is no host name", offset=offset)
    return text.lower()


def _port(text: str, offset: int) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65_535:
        raise ParseError(f"port {text!r} is not a number from 1 to 65535", offset=offset)
    return int(text)
