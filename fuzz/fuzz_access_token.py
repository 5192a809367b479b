"""A text is an access token or a ParseError, and its claims have the types that they are said to have."""

import base64
from contextlib import suppress

from sansio_sip.auth import parse_access_token
from sansio_sip.errors import ParseError


def one(data: bytes) -> None:
    claims = base64.urlsafe_b64encode(data).decode().rstrip("=")
    for text in (data.decode("utf-8", "replace"), f"e30.{claims}.c2ln"):
        with suppress(ParseError):  # the only exception allowed
            token = parse_access_token(text)
            assert token.issuer
            assert isinstance(token.username(token.not_before), str)
