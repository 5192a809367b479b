"""STUN and TURN servers as an account names them: the URIs of RFC 7064 and RFC 7065."""

import re
from dataclasses import dataclass

from sansio_sip.context import Secret
from sansio_sip.errors import ParseError

__all__ = ["IceServerUrl", "TurnAccount"]

DEFAULT_PORT = 3478

_URL = re.compile(r"(?P<scheme>[A-Za-z]+):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class IceServerUrl:
    """`stun:host:port`, or `turn:host:port?transport=udp`. `host` is a name, or an IP address without brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str, scheme: str) -> "IceServerUrl":
        """Reads a URL of this scheme. Raises `ParseError`."""
        where, question, query = text.partition("?")
        match = _URL.fullmatch(where)
        if match is None or match["scheme"].lower() != scheme:
            raise ParseError(f"not {scheme}:host:port")
        if question and (scheme != "turn" or query.lower() != "transport=udp"):
            raise ParseError(f"{question}{query} is not ?transport=udp, the only transport there is")
        port = int(match["port"] or DEFAULT_PORT)
        if not 0 < port <= 65_535:
            raise ParseError("the port is not one of 1 to 65535")
        return cls(scheme, match["host"].strip("[]"), port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TurnAccount:
    """A TURN server, `turn:host:port?transport=udp`, and how to log on to it (RFC 8489 section 9.2)."""

    url: str
    username: str
    password: Secret
