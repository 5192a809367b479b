"""Access tokens: what a client reads of one, and the words for what may be wrong with it."""

from .access_token import (
    ERROR_HEADER,
    TOKEN_ERRORS,
    TOKEN_HEADER,
    AccessToken,
    error_string,
    parse_access_token,
    parse_expiry,
)

__all__ = [
    "ERROR_HEADER",
    "TOKEN_ERRORS",
    "TOKEN_HEADER",
    "AccessToken",
    "error_string",
    "parse_access_token",
    "parse_expiry",
]
