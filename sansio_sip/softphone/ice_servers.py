"""STUN and TURN servers as an account names them: the URIs of RFC 7064 and RFC 7065."""

import re
from dataclasses import dataclass
from typing import Literal

from sansio_sip.context import Secret
from sansio_sip.errors import ParseError

__all__ = ["IceServerUrl", "TurnAccount"]

DEFAULT_PORTS = {"stun": 3478, "turn": 3478, "turns": 5349}

_URL = re.compile(r"(?P<scheme>[A-Za-z]+):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class IceServerUrl:
    """`stun:host:port`, `turn:host:port?transport=udp`, `turn:host:port?transport=tcp`, `turns:host:port`.

    Attributes:
        host: a name, or an IP address without brackets.
        transport: how the server is reached. `turns` is TLS over TCP; TURN over DTLS is not spoken.
    """

    scheme: str
    host: str
    port: int
    transport: Literal["udp", "tcp", "tls"] = "udp"

    @classmethod
    def parse(cls, text: str, scheme: Literal["stun", "turn"]) -> "IceServerUrl":
        """Reads a URL of this scheme; `turn` takes `turns` as well. Raises `ParseError`."""
        where, question, query = text.partition("?")
        match = _URL.fullmatch(where)
        found = match["scheme"].lower() if match is not None else ""
        if match is None or found not in (("stun",) if scheme == "stun" else ("turn", "turns")):
            raise ParseError(f"not {scheme}:host:port")
        transport = _transport(found, question, query.lower())
        port = int(match["port"] or DEFAULT_PORTS[found])
        if not 0 < port <= 65_535:
            raise ParseError("the port is not one of 1 to 65535")
        return cls(found, match["host"].strip("[]"), port, transport)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}:{host}:{self.port}{'?transport=tcp' if self.transport == 'tcp' else ''}"


def _transport(scheme: str, question: str, query: str) -> Literal["udp", "tcp", "tls"]:
    """RFC 7065 section 3.1: UDP where `turn` names none, TCP where `turns` names none."""
    if not question:
        return "tls" if scheme == "turns" else "udp"
    if scheme == "turn" and query == "transport=udp":
        return "udp"
    if scheme == "turn" and query == "transport=tcp":
        return "tcp"
    if scheme == "turns" and query == "transport=tcp":
        return "tls"
    allowed = {"turn": "?transport=udp or ?transport=tcp", "turns": "?transport=tcp"}.get(scheme, "allowed there")
    raise ParseError(f"{question}{query} is not {allowed}")


@dataclass(frozen=True, slots=True)
class TurnAccount:
    """A TURN server, such as `turn:host:port?transport=tcp`, and how to log on to it (RFC 8489 section 9.2).

    The certificate of a `turns` server must be for its host, and trusted as the account's `ca_file` has it.
    """

    url: str
    username: str
    password: Secret
