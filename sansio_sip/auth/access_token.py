"""Access tokens (JSON Web Tokens, RFC 7519): what a client reads of one without being able to verify it.

A token is three parts of base64url with dots between: header, claims, signature. The client needs its claims, for the
user name that it registers under, for when to ask for the next one, and for what its holder may do. Whether it is
genuine, and in time, the server says, with one of the codes of `TOKEN_ERRORS`.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sansio_sip.errors import ParseError

__all__ = [
    "ERROR_HEADER",
    "TOKEN_ERRORS",
    "TOKEN_HEADER",
    "AccessToken",
    "error_string",
    "parse_access_token",
    "parse_expiry",
]

TOKEN_HEADER = "X-Plivo-Jwt"
"""Carries the token in REGISTER and INVITE; in the 200, when it expires."""

ERROR_HEADER = "X-Plivo-Jwt-Error-Code"
"""What a server that refuses a token says about it."""

TOKEN_ERRORS: Mapping[int, str] = MappingProxyType(
    {
        10001: "INVALID_ACCESS_TOKEN",
        10002: "INVALID_ACCESS_TOKEN_HEADER",
        10003: "INVALID_ACCESS_TOKEN_ISSUER",
        10004: "INVALID_ACCESS_TOKEN_SUBJECT",
        10005: "ACCESS_TOKEN_NOT_VALID_YET",
        10006: "ACCESS_TOKEN_EXPIRED",
        10007: "INVALID_ACCESS_TOKEN_SIGNATURE",
        10008: "INVALID_ACCESS_TOKEN_GRANTS",
        10009: "EXPIRATION_EXCEEDS_MAX_ALLOWED_TIME",
        10010: "MAX_ALLOWED_LOGIN_REACHED",
    }
)
"""What the server may say of a token, by code."""

MAX_TOKEN = 8192
"""Octets of a token. It goes into a header of each REGISTER; a claim set that needs more is a mistake."""

PART = re.compile(r"[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The claims of a token, unverified. Times are Unix times in seconds.

    Attributes:
        issuer: the account that has made it (`iss`).
        subject: the end point that it is for (`sub`), or "".
        incoming_allow, outgoing_allow: the grants `per.voice`; None where the token says nothing of them.
    """

    issuer: str
    not_before: float
    expires: float
    subject: str = ""
    app: str = ""
    incoming_allow: bool | None = None
    outgoing_allow: bool | None = None

    def username(self, unix_time: float) -> str:
        """Under which name its holder registers; one that is for nobody in particular gets a name by the time."""
        who = self.subject or f"puser{int(unix_time * 1000)}jt"
        return f"{who}_{self.issuer}"

    def is_for(self, username: str) -> bool:
        """Whether its holder may register under that name."""
        if self.subject:
            return username == f"{self.subject}_{self.issuer}"
        return re.fullmatch(rf"puser[0-9]{{1,16}}jt_{re.escape(self.issuer)}", username) is not None


def error_string(code: int) -> str:
    """The name of a token error; `Unauthorised` for any other code (reference: getErrorStringByErrorCodes)."""
    return TOKEN_ERRORS.get(code, "Unauthorised")


def parse_access_token(text: str) -> AccessToken:
    """Reads the claims of a token.

    Raises:
        ParseError: it is no token, or lacks a claim, or a claim has the wrong type.
    """
    if len(text) > MAX_TOKEN:
        raise ParseError(f"the token has {len(text)} characters; allowed are {MAX_TOKEN}")
    parts = text.split(".")
    if len(parts) != 3 or not all(PART.fullmatch(part) for part in parts):
        raise ParseError("a token is three parts of base64url with dots between")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise ParseError(f"the claims of the token cannot be read ({type(error).__name__})") from None
    if not isinstance(claims, dict):
        raise ParseError("the claims of the token are no object")
    voice = _voice(claims)
    return AccessToken(
        issuer=_text(claims, "iss", required=True),
        subject=_text(claims, "sub"),
        app=_text(claims, "app"),
        not_before=_time(claims, "nbf"),
        expires=_time(claims, "exp"),
        incoming_allow=_grant(voice, "incoming_allow"),
        outgoing_allow=_grant(voice, "outgoing_allow"),
    )


def parse_expiry(value: str) -> int | None:
    """When a token expires, as the 200 to a REGISTER says: `exp=1700000000;...`. None where it does not."""
    found = re.match(r"\s*exp\s*=\s*([0-9]{1,12})\s*(?:;|$)", value)
    return int(found[1]) if found is not None else None


def _voice(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    permissions = claims.get("per", {})
    voice = permissions.get("voice", {}) if isinstance(permissions, dict) else None
    if not isinstance(voice, dict):
        raise ParseError("the claim per.voice is no object")
    return voice


def _text(claims: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = claims.get(name)
    if value is None:
        value = ""
    if not isinstance(value, str) or (required and not value):
        raise ParseError(f"the claim {name} is no text")
    return value


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise ParseError(f"the claim {name} is no time")
    return float(value)


def _grant(voice: Mapping[str, Any], name: str) -> bool | None:
    value = voice.get(name)
    if value is not None and not isinstance(value, bool):
        raise ParseError(f"the claim per.voice.{name} is neither true nor false")
    return value
