"""Whether an access token is good: signature, claims and time, each fault with its code (see `sansio_sip.auth`).

The signature is verified by PyJWT, which asks no clock here: times are compared with the machine's own.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sansio_sip.auth import TOKEN_HEADER, AccessToken, parse_access_token
from sansio_sip.context import Context
from sansio_sip.errors import ParseError
from sansio_sip.sip.message import Request

from .options import ServerOptions

__all__ = ["AccessTokens", "TokenVerdict"]

# What a token may not be. RFC 8725 section 3.1: the algorithm is the verifier's choice, never the token's.
ALGORITHM = "HS256"

MALFORMED, BAD_HEADER, BAD_ISSUER, BAD_SUBJECT = 10001, 10002, 10003, 10004
TOO_EARLY, EXPIRED, BAD_SIGNATURE, BAD_GRANTS, TOO_LONG, TOO_MANY = 10005, 10006, 10007, 10008, 10009, 10010

ALLOWED_SUBJECT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
MAX_SUBJECT = 120


@dataclass(frozen=True, slots=True)
class TokenVerdict:
    """What is to be said of a token. `code` 0: it is good, for `token`."""

    code: int
    token: AccessToken | None = None


class AccessTokens:
    """Verifies the tokens that requests bring.

    Raises:
        ImportError: issuers are configured, and PyJWT is missing.
    """

    def __init__(self, context: Context, options: ServerOptions) -> None:
        self._context = context
        self._options = options
        if options.token_issuers and context.trace is None:
            _jwt()

    def check(self, request: Request, *, now: float) -> TokenVerdict | None:
        """Of the token in a request; None where it brings none, or nobody here issues any."""
        text = request.headers.get(TOKEN_HEADER)
        if text is None or not self._options.token_issuers:
            return None
        # The token itself must not enter a trace: what it says does.
        verdict = self._context.oracle.consult("access_token_verdict", lambda: self._verify(text.strip()))
        token = verdict.token
        if verdict.code or token is None:
            return verdict
        unix = now + self._context.unix_offset
        if token.not_before > unix:
            return TokenVerdict(TOO_EARLY, token)
        if token.expires <= unix:
            return TokenVerdict(EXPIRED, token)
        return verdict

    def _verify(self, text: str) -> TokenVerdict:
        """All but the time."""
        try:
            token = parse_access_token(text)
        except ParseError:
            return TokenVerdict(MALFORMED)
        jwt = _jwt()
        try:
            header = jwt.get_unverified_header(text)
        except jwt.PyJWTError:
            return TokenVerdict(BAD_HEADER)
        if header.get("alg") != ALGORITHM or header.get("typ", "JWT") != "JWT":
            return TokenVerdict(BAD_HEADER)
        key = self._options.token_issuers.get(token.issuer)
        if key is None:
            return TokenVerdict(BAD_ISSUER)
        checked = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
        try:
            jwt.decode(
                text, key.reveal(), algorithms=[ALGORITHM], options={f"verify_{claim}": False for claim in checked}
            )
        except jwt.InvalidSignatureError:
            return TokenVerdict(BAD_SIGNATURE)
        except jwt.PyJWTError:
            return TokenVerdict(MALFORMED)
        if len(token.subject) > MAX_SUBJECT or not ALLOWED_SUBJECT.issuperset(token.subject):
            return TokenVerdict(BAD_SUBJECT)
        if not token.incoming_allow and not token.outgoing_allow:
            return TokenVerdict(BAD_GRANTS)
        if token.expires - token.not_before > self._options.max_token_life:
            return TokenVerdict(TOO_LONG)
        return TokenVerdict(0, token)


def _jwt() -> Any:
    """PyJWT, not before it is needed: it brings half of the standard library's network code along."""
    try:
        return import_module("jwt")
    except ImportError:
        raise ImportError("access tokens need PyJWT: pip install 'sansio-sip[server]'") from None
