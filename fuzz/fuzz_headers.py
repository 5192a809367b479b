"""A value of any header is read or refused with ParseError; what was read is written and read again the same.

The first octet chooses the header family.
"""

from contextlib import suppress

from sansio_sip.errors import ParseError
from sansio_sip.sip import headers as families
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.verdict import check_headers

KINDS = (
    families.Via,
    families.NameAddress,
    families.CSeq,
    families.RAck,
    families.MediaType,
    families.Event,
    families.Reason,
    families.Challenge,
    families.Credentials,
)
READERS = sorted(Request.READERS.keys() | Response.READERS.keys())


def one(data: bytes) -> None:
    choice, text = data[0] if data else 0, data[1:].decode("utf-8", "surrogateescape")
    kind, name = KINDS[choice % len(KINDS)], READERS[choice % len(READERS)]
    with suppress(ParseError):  # the only exception allowed
        values = families.parse_list(text, kind)
        assert families.parse_list(", ".join(map(str, values)), kind) == values
    with suppress(ParseError):
        value = kind.parse(text)
        assert kind.parse(str(value)) == value
    with suppress(ParseError, ValueError if set(text) & set("\r\n\0") else ParseError):
        check_headers(Response(200, "OK", [(name, text)]))
