"""Whatever the octets: `parse_message` gives a message or raises ParseError, nothing else.

Of a message that it gives, each header reads or raises ParseError; what is written is read again as the same message;
and a stream cut at any place yields what the whole one does.
"""

from sansio_sip.errors import ParseError
from sansio_sip.sip.parser import StreamParser, parse_message, refusal
from sansio_sip.sip.verdict import check_headers, judge


def one(data: bytes) -> None:
    judge(data)
    whole, cut = StreamParser(), StreamParser()
    whole.receive(data)
    items = [str(item) for item in whole.messages()]
    pieces: list[str] = []
    for piece in (data[: len(data) // 3], data[len(data) // 3 :]):
        cut.receive(piece)
        pieces += [str(item) for item in cut.messages()]
    assert items == pieces
    try:
        message = parse_message(data)
        assert parse_message(bytes(message)) == message
        check_headers(message)
    except ParseError as error:  # the only exception allowed
        refused = refusal(data, error)
        assert refused is None or bytes(refused)
