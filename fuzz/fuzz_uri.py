"""A text is a URI or a ParseError; what was read is written and read again the same, and is equivalent to itself."""

from contextlib import suppress

from sansio_sip.errors import ParseError
from sansio_sip.server_url import ServerUrl
from sansio_sip.sip.uri import SipUri, parse_uri


def one(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with suppress(ParseError):  # the only exception allowed
        ServerUrl.parse(text)
    with suppress(ParseError):
        uri = parse_uri(text)
        assert parse_uri(str(uri)) == uri
        assert not isinstance(uri, SipUri) or uri.equivalent(uri)
        assert not set(str(uri)) & set("\r\n\0 ")
