"""From octets to messages: what is refused, with which status and where; bounds; streams cut anywhere."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shared import require_shared

from sansio_sip.errors import ParseError
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.parser import (
    MAX_BODY,
    MAX_HEADER_ROWS,
    MAX_HEADER_VALUE,
    MAX_HEADERS,
    Ping,
    Pong,
    StreamFramer,
    StreamParser,
    parse_message,
    refusal,
)
from sansio_sip.sip.verdict import judge

OPTIONS = (
    b"OPTIONS sip:bob@biloxi.com SIP/2.0\r\n"
    b"Via: SIP/2.0/TCP pc33.atlanta.com;branch=z9hG4bKhjhs8ass877\r\n"
    b"Max-Forwards: 70\r\n"
    b"To: <sip:bob@biloxi.com>\r\n"
    b"From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"
    b"Call-ID: a84b4c76e66710\r\n"
    b"CSeq: 63104 OPTIONS\r\n"
    b"Content-Length: 4\r\n"
    b"\r\n"
    b"body"
)
OK = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/TCP pc33.atlanta.com;branch=z9hG4bKhjhs8ass877;received=192.0.2.4\r\n"
    b"To: <sip:bob@biloxi.com>;tag=93810874\r\n"
    b"From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"
    b"Call-ID: a84b4c76e66710\r\n"
    b"CSeq: 63104 OPTIONS\r\n"
    b"Content-Length: 0\r\n"
    b"\r\n"
)


def refused(data: bytes) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse_message(data)
    return caught.value


def test_a_request_and_a_response() -> None:
    request, response = parse_message(OPTIONS), parse_message(OK)
    assert isinstance(request, Request)
    assert isinstance(response, Response)
    assert (request.method, str(request.uri), request.body) == ("OPTIONS", "sip:bob@biloxi.com", b"body")
    assert (response.status, response.reason, response.body) == (200, "OK", b"")
    assert bytes(request) == OPTIONS
    assert bytes(response) == OK


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: b"\r\n\r\n" + data,
        lambda data: data + b"more",
        lambda data: data.replace(b"Content-Length", b"l"),
        lambda data: data.replace(b"Content-Length: 4", b"CONTENT-LENGTH :\t0004  "),
        lambda data: data.replace(b"Max-Forwards: 70\r\n", b""),
        lambda data: data.replace(b"To: ", b"TO\t:\r\n  "),
        lambda data: data.replace(b";tag=1928301774", b"\r\n\t;tag\r\n = 1928301774"),
        lambda data: data.replace(b"SIP/2.0\r\n", b"sip/2.0\r\n"),
    ],
)
def test_spellings_of_the_same_message(change: object) -> None:
    assert callable(change)
    changed = parse_message(change(OPTIONS))
    original = parse_message(OPTIONS)
    assert (changed.via, changed.to, changed.from_, changed.cseq, changed.body) == (
        original.via,
        original.to,
        original.from_,
        original.cseq,
        original.body,
    )


def test_without_content_length_a_datagram_ends_where_it_ends() -> None:
    assert parse_message(OPTIONS.replace(b"Content-Length: 4\r\n", b"")).body == b"body"


@pytest.mark.parametrize(
    ("old", "new", "status", "at"),
    [
        (b"OPTIONS sip:bob@biloxi.com SIP/2.0", b"OPTIONS sip:bob@biloxi.com", 0, b"OPTIONS"),
        (b"OPTIONS sip:bob@biloxi.com SIP/2.0", b"GET / HTTP/1.1", 0, b"GET"),
        (b"SIP/2.0\r\n", b"SIP/2.1\r\n", 505, b"OPTIONS"),
        (b"OPTIONS sip:", b"OPTIONS  sip:", 400, b"OPTIONS"),
        (b"OPTIONS sip:", b"OPT@ONS sip:", 400, b"OPT@"),
        (b"sip:bob@biloxi.com SIP", b"sip: SIP", 400, b"sip: SIP"),
        (b"sip:bob@biloxi.com SIP", b"sip:b?a=b SIP", 400, b"?a"),
        (b"Max-Forwards: 70", b"Max-Forwards; 70", 400, b"Max-Forwards; 70"),
        (b"Max-Forwards: 70", b" Max-Forwards: 70", 400, None),
        (b"Max-Forwards: 70", b"Subject: a\rb", 400, b"\rb"),
        (b"Max-Forwards: 70", b"Subject: a\0b", 400, b"\0b"),
        (b"Max-Forwards: 70", b"Max-Forwards: 70\r\nmax-forwards: 70", 400, b"70\r\nTo"),
        (b"Call-ID: a84b4c76e66710", b"Call-ID: a b", 400, b"a b"),
        (b"Call-ID: a84b4c76e66710\r\n", b"", 400, b"OPTIONS"),
        (b"63104 OPTIONS", b"63104 INVITE", 400, b"63104 INVITE"),
        (b"To: <sip:bob@biloxi.com>", b"t: <sip:bob@>", 400, b"bob@>"),
        (b"Alice <sip:alice@atlanta.com>;tag", b"\xc3\x89lice <sip:alice@atlanta.com>;;tag", 400, b";;tag"),
        (b"Content-Length: 4", b"Content-Length: 5", 400, b"5\r\n\r\nbody"),
        (b"Content-Length: 4", b"Content-Length: -4", 400, b"-4"),
        (b"Content-Length: 4", b"Content-Length: 4\r\nl: 4", 400, b"4\r\n\r\nbody"),
        (b"Content-Length: 4", b"Content-Length: 999999999999", 513, b"999999999999"),
        (b"\r\n\r\nbody", b"\r\n", 400, b""),
    ],
)
def test_what_is_refused_and_where(old: bytes, new: bytes, status: int, at: bytes | None) -> None:
    assert old in OPTIONS
    data = OPTIONS.replace(old, new)
    error = refused(data)
    assert error.status == status
    if at is not None:
        place = len(data) if not at else data.index(at)
        assert error.offset == place, (error, data[error.offset :][:30])
    # The same from an ACK or in a response is never answered.
    ack = data.replace(b"OPTIONS ", b"ACK ", 1).replace(b"63104 OPTIONS", b"63104 ACK")
    if ack.startswith(b"ACK "):
        assert refused(ack).status == 0


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\n", b"\0\0\0\0", b"hello", b"\x16\x03\x01", b"\xff" * 100])
def test_what_is_no_sip_is_dropped(data: bytes) -> None:
    error = refused(data)
    assert error.status == 0
    assert refusal(data, error) is None


def test_bounds() -> None:
    long_value = OPTIONS.replace(b"Max-Forwards: 70", b"Subject: " + b"x" * (MAX_HEADER_VALUE + 1))
    assert refused(long_value).status == 513
    assert parse_message(OPTIONS.replace(b"Max-Forwards: 70", b"Subject: " + b"x" * MAX_HEADER_VALUE))
    many = OPTIONS.replace(b"Max-Forwards: 70\r\n", b"X-Ph-A: 1\r\n" * MAX_HEADER_ROWS)
    assert refused(many).status == 513
    vast = OPTIONS.replace(b"Max-Forwards: 70\r\n", (b"X-Ph-A: " + b"1" * 16_000 + b"\r\n") * 5)
    assert len(vast) > MAX_HEADERS
    assert refused(vast).status == 513
    heavy = OPTIONS.replace(b"Content-Length: 4\r\n", b"") + b"x" * MAX_BODY
    assert refused(heavy).status == 513
    vias = OPTIONS.replace(b"Via: ", b"Via: " + b"SIP/2.0/UDP a, " * 200)
    assert refused(vias).status == 400


def test_a_refusal_repeats_what_it_can_read() -> None:
    data = OPTIONS.replace(b"To: <sip:bob@biloxi.com>", b"To: <sip:bob@>\r\nX-Ph-A: secret")
    answer = refusal(data, refused(data))
    assert answer is not None
    assert [name for name, _ in answer.headers] == ["Via", "To", "From", "Call-ID", "CSeq"]
    assert bytes(answer).startswith(b"SIP/2.0 400 Bad Request\r\n")
    tagged = refusal(data, refused(data), to_tag="x")
    assert tagged is not None
    assert tagged.headers.get("To") == "<sip:bob@>;tag=x"
    without_via = data.replace(b"Via: SIP", b"Vie: SIP")
    assert refusal(without_via, refused(without_via)) is None


@pytest.mark.parametrize(
    "row",
    [
        b" \t" * 32_000,
        b"X-Ph-A: " + b" \t" * 30_000,
        b"X-Ph-A: " + b" \r\n " * 15_000,
        b"a" * 60_000,
        b"a: " * 20_000,
        b'From: "' + b"\\" * 60_000,
        b"From: " + b'"a" ' * 15_000,
        b"From: " + b"a " * 30_000,
        b"From: <sip:" + b"a" * 60_000,
        b"From: <sip:" + b"a-" * 30_000,
        b"From: <sip:" + b"a." * 30_000,
        b"From: <sip:a@b" + b";a" * 30_000,
        b"From: <sip:a@b>" + b" ;a = b" * 8_000,
        b"Via: " + b"SIP/2.0/UDP a," * 4_000,
        b"Via: SIP/2.0/UDP " + b"a-" * 30_000,
        b"Via: SIP/2.0/UDP a;a=" + b'"\\"' * 20_000,
        b"Contact: " + b'<"' * 30_000,
        b"WWW-Authenticate: Digest " + b"a=b " * 15_000,
        b"Content-Length: " + b"0" * 60_000,
        b"CSeq: " + b"0" * 60_000,
    ],
    ids=lambda row: repr(row[:24]),
)
def test_time_grows_no_faster_than_length(row: bytes) -> None:
    """At the bound of a datagram, an expression that takes quadratic time would take minutes."""
    for data in (row, OPTIONS.replace(b"Max-Forwards: 70", row), row + b"\r\n" + OPTIONS):
        assert judge(data).verdict in ("valid", "invalid")
        stream = StreamParser()
        stream.receive(data)
        assert list(stream.messages()) is not None


# ------------------------------------------------------------------------------------------------------------ streams


def test_trn_02_keepalives_between_messages() -> None:
    stream = StreamParser()
    stream.receive(b"\r\n" + OPTIONS + b"\r\n\r\n" + OK + b"\r\n\r\n\r\n\r\n")
    items = list(stream.messages())
    assert items[0] == Pong()
    assert items[2:4] == [Pong(), Ping()]
    assert items[5:] == [Pong(), Ping(), Pong(), Ping()]
    assert [type(item) for item in (items[1], items[4])] == [Request, Response]


def test_a_malformed_message_does_not_end_a_stream_that_is_well_framed() -> None:
    stream = StreamParser()
    stream.receive(OPTIONS.replace(b"sip:bob@biloxi.com SIP", b"sip: SIP") + OPTIONS)
    error, message = stream.messages()
    assert isinstance(error, ParseError)
    assert isinstance(message, Request)
    assert not stream.broken


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"Content-Length: 4\r\n", b""),
        lambda data: data.replace(b"Content-Length: 4\r\n", b"Content-Length: 4\r\nl: 4\r\n"),
        lambda data: data.replace(b"Content-Length: 4\r\n", b"Content-Length: four\r\n"),
        lambda data: data.replace(b"Content-Length: 4\r\n", b"Content-Length: 999999999\r\n"),
        lambda data: b"x" * (MAX_HEADERS + 1),
        lambda data: data.replace(b"Max-Forwards: 70", b"Subject: " + b"x" * MAX_HEADERS),
    ],
)
def test_a_stream_without_framing_is_broken(change: object) -> None:
    assert callable(change)
    stream = StreamParser()
    stream.receive(change(OPTIONS))
    assert [type(item) for item in stream.messages()] == [ParseError]
    assert stream.broken
    stream.receive(OPTIONS)
    assert list(stream.messages()) == []


def test_a_folded_content_length_frames_a_stream() -> None:
    data = OPTIONS.replace(b"Content-Length: 4", b"Content-Length:\r\n\t4") + OK
    framer = StreamFramer()
    framer.receive(data)
    assert list(framer.frames()) == [data[: -len(OK)], OK]


def test_an_unfinished_message_is_not_searched_again_from_its_start() -> None:
    """Octet by octet, a message of n octets must not take n * n steps; seconds would show it."""
    data = OPTIONS.replace(b"Max-Forwards: 70\r\n", b"X-Ph-A: 1\r\n" * 400)
    stream = StreamParser()
    items = []
    for octet in data:
        stream.receive(bytes((octet,)))
        items += list(stream.messages())
    assert len(items) == 1


def outputs(data: bytes, cuts: list[int]) -> list[str]:
    stream = StreamParser()
    items: list[str] = []
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        stream.receive(data[start:end])
        items += [_shown(item) for item in stream.messages()]
    return [*items, f"broken={stream.broken}"]


def _shown(item: object) -> str:
    return str(bytes(item)) if isinstance(item, Message) else str(item)


def _with_body(body: bytes, fold: bool) -> bytes:
    head = OK.replace(b"Content-Length: 0", b"Content-Length:%s%d" % (b"\r\n " if fold else b" ", len(body)))
    return head + body


_chunks = st.one_of(
    st.builds(_with_body, st.binary(max_size=30), st.booleans()),
    st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n", b"\r", OPTIONS, OK, OPTIONS.replace(b"\r\n", b"\n")]),
    st.binary(max_size=8),
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x"]), max_size=8).map(b"".join),
    st.sampled_from([OPTIONS[:-40], OPTIONS.replace(b": 4", b": -4"), OPTIONS.replace(b"Via", b"Vi a")]),
)


@settings(max_examples=60)
@example(OPTIONS.replace(b"Content-Length: 4", b"Content-Len7gth: 4"), [OPTIONS.index(b"\r\n\r\n") + 2])
@example(b"\x95\n\n\r\n\n\n\r\n", [3])
@given(st.lists(_chunks, max_size=5).map(b"".join), st.lists(st.integers(0, 10_000), max_size=8))
def test_trn_03_any_cut_of_a_stream_gives_the_same(data: bytes, cuts: list[int]) -> None:
    assert outputs(data, cuts) == outputs(data, [])


@settings(max_examples=15)
@given(st.lists(_chunks, max_size=4).map(b"".join))
def test_a_stream_octet_by_octet_gives_the_same(data: bytes) -> None:
    assert outputs(data, list(range(len(data)))) == outputs(data, [])


# --------------------------------------------------------------------------------------------------- whatever arrives


@given(st.binary(max_size=200))
def test_random_octets_raise_parse_error_only(data: bytes) -> None:
    assert judge(data).verdict in ("valid", "invalid")


@given(st.binary(max_size=60), st.integers(0, len(OPTIONS)), st.integers(0, 60))
def test_octets_put_into_a_message_raise_parse_error_only(junk: bytes, place: int, length: int) -> None:
    verdict = judge(OPTIONS[:place] + junk + OPTIONS[place + length :])
    assert verdict.verdict in ("valid", "invalid")


def _seeds() -> Iterator[Path]:
    for folder in ("01-rfc4475", "02-rfc5118/derived-crlf", "03-sip-messages"):
        yield from (path for path in sorted(require_shared(f"corpus/{folder}").rglob("*")) if path.is_file())


def test_mutated_corpus_messages_raise_parse_error_only() -> None:
    draw = random.Random(4475)
    grains = [
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b'"',
        b"\\",
        b"<",
        b">",
        b";",
        b",",
        b"=",
        b"%",
        b":",
        b"@",
        b"\xff",
        b"\xc3",
    ]
    for path in _seeds():
        data = path.read_bytes()[:8_000]
        for _ in range(6):
            mutant = bytearray(data)
            for _ in range(draw.randint(1, 6)):
                place = draw.randrange(len(mutant) + 1)
                action = draw.randrange(4)
                if action == 0:
                    mutant[place:place] = draw.choice(grains)
                elif action == 1:
                    del mutant[place : place + draw.randint(1, 30)]
                elif action == 2:
                    mutant[place : place + 1] = bytes((draw.randrange(256),))
                else:
                    mutant[place:place] = mutant[place : place + draw.randint(1, 60)]
            verdict = judge(bytes(mutant))
            assert 0 <= verdict.offset <= len(mutant)
