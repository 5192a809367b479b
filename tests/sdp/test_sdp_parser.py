"""Session descriptions in and out: the corpus of other implementations, RFC 8866's rules, and all inputs."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sdp.corpus import REFUSED, TOLERATED, Case, cases, read
from shared import require_shared

from sansio_sip.errors import ParseError
from sansio_sip.sdp.model import (
    Attribute,
    Bandwidth,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
    Timing,
)
from sansio_sip.sdp.parser import MAX_LINES, MAX_MEDIA, MAX_OCTETS, parse_description

HEAD = b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\n"
MINIMAL = HEAD + b"t=0 0\r\n"
AUDIO = MINIMAL + b"m=audio 4000 RTP/AVP 0\r\n"

CASES = cases()


def test_corpus_is_the_one_that_the_tables_speak_of() -> None:
    require_shared("corpus/04-sdp")
    names = {case.file for case in CASES}
    assert len(CASES) == 221
    assert set(REFUSED) | TOLERATED <= names


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_corpus(case: Case) -> None:
    data = read(case)
    if case.file in REFUSED:
        with pytest.raises(ParseError, match=REFUSED[case.file]) as caught:
            parse_description(data)
        assert caught.value.status == 488
        assert 0 <= caught.value.offset <= len(data)
        return
    assert not case.expect.startswith("reject (")
    description = parse_description(data)
    written = bytes(description)
    assert parse_description(written) == description
    if case.file not in TOLERATED:
        lines = data.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        assert written == b"".join(line + b"\r\n" for line in lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_corpus_has_its_lines_kept_whatever_their_order(case: Case) -> None:
    if case.file in REFUSED:
        return
    data = read(case)
    came = sorted(b"".join(line.split()) for line in data.splitlines() if line)
    left = sorted(b"".join(line.split()) for line in bytes(parse_description(data)).splitlines())
    assert came == left


@pytest.mark.parametrize(
    ("data", "reason", "offset"),
    [
        pytest.param(b"", "not a line", 0, id="5-empty"),
        pytest.param(b"v=0\r\nhello\r\n", "not a line", 5, id="5-no-equals-sign"),
        pytest.param(b"v =0\r\n", "not a line", 0, id="5-space-before-equals-sign"),
        pytest.param(b"s=-\r\nv=0\r\n", "does not begin with v=", 0, id="5.1-version-not-first"),
        pytest.param(b"v=2\r\no=- 1 1 IN IP4 h\r\ns=-\r\n", "version", 0, id="5.1-version-2"),
        pytest.param(b"v=0\r\ns=-\r\nt=0 0\r\n", "no o= line", 17, id="5.2-no-origin"),
        pytest.param(b"v=0\r\no=- x 1 IN IP4 h\r\ns=-\r\n", "session id", 5, id="5.2-session-id-is-a-word"),
        pytest.param(b"v=0\r\no=- -1 1 IN IP4 h\r\ns=-\r\n", "session id", 5, id="5.2-session-id-below-0"),
        pytest.param(b"v=0\r\no=- 1 " + b"9" * 5000 + b" IN IP4 h\r\ns=-\r\n", "version", 5, id="5.2-version-too-long"),
        pytest.param(b"v=0\r\no=- \xd9\xa1 1 IN IP4 h\r\ns=-\r\n", "session id", 5, id="5.2-digits-of-another-script"),
        pytest.param(b"v=0\r\no=- 1 1 IN IP4 h\r\nt=0 0\r\n", "no s= line", 30, id="5.3-no-name"),
        pytest.param(MINIMAL + b"s=again\r\n", "second s=", len(MINIMAL), id="5.3-two-names"),
        pytest.param(MINIMAL + b"c=IN IP4\r\n", "c= has 2 fields", len(MINIMAL), id="5.7-no-address"),
        pytest.param(MINIMAL + b"c=IN IP4 /1\r\n", "without an address", len(MINIMAL), id="5.7-ttl-alone"),
        pytest.param(MINIMAL + b"c=ATM NSAP 47.00\r\n", "network type", len(MINIMAL), id="5.7-atm"),
        pytest.param(MINIMAL + b"b=128\r\n", "TYPE:VALUE", len(MINIMAL), id="5.8-no-type"),
        pytest.param(HEAD + b"t=0\r\n", "t= has 1 fields", len(HEAD), id="5.9-one-time"),
        pytest.param(HEAD + b"t=0 soon\r\n", "stop time", len(HEAD), id="5.9-stop-is-a-word"),
        pytest.param(HEAD + b"r=7d 1h 0\r\n", "r= before any t=", len(HEAD), id="5.10-repeat-without-time"),
        pytest.param(MINIMAL + b"a=\r\n", "without a name", len(MINIMAL), id="5.13-empty"),
        pytest.param(MINIMAL + b"a=:x\r\n", "without a name", len(MINIMAL), id="5.13-value-alone"),
        pytest.param(MINIMAL + b"m=audio\r\n", "m= needs", len(MINIMAL), id="5.14-kind-alone"),
        pytest.param(MINIMAL + b"m=audio 4000 RTP/AVP\r\n", "no format", len(MINIMAL), id="5.14-no-format"),
        pytest.param(MINIMAL + b"m=audio 65536 RTP/AVP 0\r\n", "65535", len(MINIMAL), id="5.14-port-too-high"),
        pytest.param(MINIMAL + b"m=audio 40/0 RTP/AVP 0\r\n", "number of ports", len(MINIMAL), id="5.14-no-ports"),
        pytest.param(MINIMAL + b"m=audio 40/ RTP/AVP 0\r\n", "number of ports", len(MINIMAL), id="5.14-count-missing"),
        pytest.param(MINIMAL + b"x=1\r\n", "x= is not allowed", len(MINIMAL), id="5-unknown-letter"),
        pytest.param(AUDIO + b"t=0 0\r\n", "t= is not allowed in a media section", len(AUDIO), id="5-time-in-media"),
        pytest.param(AUDIO + b"i=1\r\ni=2\r\n", "second i=", len(AUDIO) + 5, id="5.4-two-titles"),
        pytest.param(MINIMAL + b"a=x\ry\r\n", "CR or NUL", len(MINIMAL), id="9-cr-inside"),
        pytest.param(MINIMAL + b"a=x\0y\r\n", "CR or NUL", len(MINIMAL), id="9-nul-inside"),
        pytest.param(MINIMAL + b"a=x\r\n" * MAX_LINES, "lines", 0, id="bound-lines"),
        pytest.param(
            MINIMAL + b"m=audio 0 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
            "m= lines",
            len(MINIMAL) + 21 * MAX_MEDIA,
            id="bound-media",
        ),
        pytest.param(MINIMAL + b"a=" + b"x" * MAX_OCTETS, "octets", 0, id="bound-octets"),
    ],
)
def test_what_breaks_rfc_8866_is_refused(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(ParseError, match=reason) as caught:
        parse_description(data)
    assert (caught.value.status, caught.value.offset) == (488, offset)


def test_octets_that_are_no_utf8_come_back() -> None:
    data = MINIMAL + b"a=x-latin:\xe9t\xe9\r\n"
    assert bytes(parse_description(data)) == data


@pytest.mark.parametrize("text", ["a\rb", "a\nb=c", "a\0b"])
def test_a_text_that_would_break_its_line_is_not_written(text: str) -> None:
    description = SessionDescription(
        Origin("-", 1, 1, "192.0.2.1"), attributes=(Attribute("x", text),), connection=Connection("192.0.2.1")
    )
    with pytest.raises(ValueError, match="may not hold CR"):
        bytes(description)


def test_look_ups_tell_property_empty_and_missing_apart() -> None:
    media = parse_description(AUDIO + b"a=rtcp-mux\r\na=empty:\r\na=x:1\r\na=x:2\r\n").media[0]
    assert (media.get("rtcp-mux"), media.get("empty"), media.get("x"), media.get("y")) == ("", "", "1", None)
    assert media.get_all("x") == ("1", "2")
    assert media.attributes[:2] == (Attribute("rtcp-mux", None), Attribute("empty", ""))
    assert media.has("x")
    assert not media.has("X")


_text = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)
_token = st.text("abcXYZ019-.+_", min_size=1, max_size=8)
_name = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0:"), min_size=1, max_size=8)
_number = st.integers(0, 2**63)
_family = st.sampled_from(["IP4", "IP6"])
_attributes = st.lists(st.builds(Attribute, _name, st.none() | _text), max_size=4).map(tuple)
_bandwidths = st.lists(st.builds(Bandwidth, _token, _text), max_size=2).map(tuple)
_connections = st.builds(Connection, _token, _family, st.sampled_from(["", "/127", "/127/3"]))
_texts = st.lists(_text, max_size=2).map(tuple)
_media = st.builds(
    MediaDescription,
    kind=_token,
    port=st.integers(0, 65535),
    protocol=_token,
    formats=st.lists(_token, min_size=1, max_size=4).map(tuple),
    connections=st.lists(_connections, max_size=2).map(tuple),
    attributes=_attributes,
    port_count=st.integers(1, 9),
    title=st.none() | _text,
    bandwidths=_bandwidths,
    key=st.none() | _text,
)
descriptions = st.builds(
    SessionDescription,
    origin=st.builds(Origin, _token, _number, _number, _token, _family),
    media=st.lists(_media, max_size=3).map(tuple),
    name=_text,
    connection=st.none() | _connections,
    attributes=_attributes,
    timings=st.lists(st.builds(Timing, _number, _number, _texts), max_size=2).map(tuple),
    information=st.none() | _text,
    uri=st.none() | _text,
    emails=_texts,
    phones=_texts,
    bandwidths=_bandwidths,
    time_zones=st.none() | _text,
    key=st.none() | _text,
)


@settings(max_examples=200, deadline=None)
@given(descriptions)
def test_what_is_written_is_read_back_the_same(description: SessionDescription) -> None:
    assert parse_description(bytes(description)) == description


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: AUDIO + tail))
@example(b"\r")
@example(b"v=0\n=")
@example(b"\xff=1")
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    _read_or_refuse(data)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_corpus_is_read_or_refused(data: st.DataObject) -> None:
    require_shared("corpus/04-sdp")
    octets = bytearray(read(data.draw(st.sampled_from(CASES))))
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, len(octets)))
        removed = data.draw(st.integers(0, 6))
        octets[position : position + removed] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"\r\n", b"=", b"/"])
        )
    _read_or_refuse(bytes(octets))


def _read_or_refuse(data: bytes) -> None:
    try:
        description = parse_description(data)
    except ParseError as caught:
        refusal = caught
    else:
        assert parse_description(bytes(description)) == description
        return
    assert refusal.status == 488
    assert 0 <= refusal.offset <= len(data)
