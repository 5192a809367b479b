"""Whatever the octets: `parse_message` gives a message or raises ParseError, nothing else.

Of a message that it gives, each header reads or raises ParseError; what is written is read again as the same message.
What a stream makes of the same octets is the business of `fuzz_sip_stream`.
"""

from sansio_sip.errors import ParseError
from sansio_sip.sip.parser import parse_message, refusal
from sansio_sip.sip.verdict import check_headers, judge


def one(data: bytes) -> None:
    judge(data)
    try:
        message = parse_message(data)
        assert parse_message(bytes(message)) == message
        check_headers(message)
    except ParseError as error:  # the only exception allowed
        refused = refusal(data, error)
        assert refused is None or bytes(refused)
