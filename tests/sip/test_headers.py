"""Values of header fields: parse and str are inverses; what the grammar takes and what it does not."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sip.sip_strategies import values

from sansio_sip.errors import ParseError
from sansio_sip.sip.headers import (
    COMPACT,
    STAR,
    Challenge,
    Credentials,
    CSeq,
    Event,
    MediaType,
    NameAddress,
    Quoted,
    RAck,
    Reason,
    Via,
    canonical,
    header_key,
    parse_contacts,
    parse_list,
    parse_tokens,
)
from sansio_sip.sip.uri import OtherUri, SipUri

BOB = SipUri("biloxi.com", "bob")


@pytest.mark.parametrize("kind", list(values), ids=lambda kind: kind.__name__)
@settings(max_examples=100)
@given(data=st.data())
def test_parse_undoes_str(kind: Any, data: st.DataObject) -> None:
    value = data.draw(values[kind])
    assert kind.parse(str(value)) == value
    assert type(kind.parse(str(value))) is kind


@pytest.mark.parametrize("kind", [Via, NameAddress, MediaType, Event, Reason], ids=lambda kind: kind.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_a_list_is_its_elements(kind: Any, data: st.DataObject) -> None:
    elements = tuple(data.draw(st.lists(values[kind], min_size=1, max_size=4)))
    assert parse_list(" , ".join(map(str, elements)), kind) == elements


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            "SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds",
            Via("UDP", "pc33.atlanta.com", None, (("branch", "z9hG4bK776asdhds"),)),
        ),
        (
            "SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1",
            Via(
                "UDP",
                "first.example.com",
                4000,
                (("ttl", "16"), ("maddr", "224.2.0.1"), ("branch", "z9hG4bKa7c6a8dlze.1")),
            ),
        ),
        ("SIP/2.0/TLS [2001:db8::9:1]:5061;rport", Via("TLS", "2001:db8::9:1", 5061, (("rport", None),))),
        (
            '"Bob" <sips:bob@biloxi.com>;tag=a48s',
            NameAddress(SipUri("biloxi.com", "bob", scheme="sips"), "Bob", (("tag", "a48s"),)),
        ),
        (
            "sip:+12125551212@phone2net.com;tag=887s",
            NameAddress(SipUri("phone2net.com", "+12125551212"), None, (("tag", "887s"),)),
        ),
        (
            "Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8",
            NameAddress(SipUri("privacy.org", "c8oqz84zk7z"), "Anonymous", (("tag", "hyh8"),)),
        ),
        (
            "The Operator\t<sip:operator@cs.columbia.edu>",
            NameAddress(SipUri("cs.columbia.edu", "operator"), "The Operator"),
        ),
        ("Ťěžký<sip:bob@biloxi.com>", NameAddress(BOB, "Ťěžký")),
        ('"" <sip:bob@biloxi.com>', NameAddress(BOB, "")),
        (r'"\"\\" <sip:bob@biloxi.com>', NameAddress(BOB, '"\\')),
        ("<sip:bob@biloxi.com;x=y>;x=z", NameAddress(BOB.with_parameter("x", "y"), None, (("x", "z"),))),
        ("<tel:+12125551212>", NameAddress(OtherUri("tel", "+12125551212"))),
        ("4711 INVITE", CSeq(4711, "INVITE")),
        ("0000000000000000009 \tINVITE", CSeq(9, "INVITE")),
        ("776656 1 INVITE", RAck(776656, 1, "INVITE")),
        ("text/html; charset=ISO-8859-4", MediaType("text", "html", (("charset", "ISO-8859-4"),))),
        ("dialog;id=47", Event("dialog", (("id", "47"),))),
        ('Q.850 ;cause=16 ;text="Terminated"', Reason("Q.850", 16, "Terminated")),
        ("SIP;cause=600;text=Busy;x", Reason("SIP", 600, "Busy", (("x", None),))),
        ("SIP;cause=many", Reason("SIP", None, None, (("cause", "many"),))),
    ],
)
def test_examples(text: str, value: object) -> None:
    kind: Any = type(value)
    assert kind.parse(text) == value
    assert kind.parse(str(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Via, ""),
        (Via, "SIP/2.0/UDP"),
        (Via, "SIP/2.0/UDP "),
        (Via, "SIP/3.0/UDP a"),
        (Via, "HTTP/2.0/UDP a"),
        (Via, "SIP/2.0/UDP a:"),
        (Via, "SIP/2.0/UDP a:99999"),
        (Via, "SIP/2.0/UDP a b"),
        (Via, "SIP/2.0/UDP a;"),
        (Via, "SIP/2.0/UDP [::g]"),
        (Via, 'SIP/2.0/UDP a;branch="x'),
        (NameAddress, ""),
        (NameAddress, "<>"),
        (NameAddress, "Bob"),
        (NameAddress, "<sip:bob@biloxi.com"),
        (NameAddress, "sip:bob@biloxi.com>"),
        (NameAddress, "< sip:bob@biloxi.com>"),
        (NameAddress, "<sip:bob@biloxi.com >"),
        (NameAddress, "<sip:bob@biloxi.com>x"),
        (NameAddress, "<sip:bob@biloxi.com>;"),
        (NameAddress, "<sip:bob@biloxi.com>;;tag=1"),
        (NameAddress, '"Bob <sip:bob@biloxi.com>'),
        (NameAddress, '"Bob" "by" <sip:bob@biloxi.com>'),
        (NameAddress, "Bell, Alexander <sip:a.g.bell@example.com>"),
        (NameAddress, "sip:bob@biloxi.com?Route=x"),
        (NameAddress, "*"),
        (CSeq, ""),
        (CSeq, "INVITE"),
        (CSeq, "1"),
        (CSeq, " INVITE"),
        (CSeq, "1 INVITE x"),
        (CSeq, "-1 INVITE"),
        (CSeq, "2147483648 INVITE"),
        (CSeq, "9292394834772304023312 OPTIONS"),
        (CSeq, "٣ INVITE"),
        (RAck, "1 INVITE"),
        (MediaType, "text"),
        (MediaType, "text/"),
        (MediaType, "text/html charset"),
        (Event, ""),
        (Event, ";id=1"),
        (Reason, ""),
        (Reason, "SIP;"),
        (Challenge, ""),
        (Challenge, "Digest realm"),
        (Challenge, 'Digest realm="x'),
        (Challenge, "Digest realm=x nonce"),
        (Challenge, "Digest =x"),
    ],
)
def test_malformed(kind: Any, text: str) -> None:
    if (kind, text) == (Challenge, "Digest realm"):
        # a lone word is the credential of a scheme that has no parameters
        assert kind.parse(text) == Challenge("Digest", (("realm", None),))
        return
    with pytest.raises(ParseError) as caught:
        kind.parse(text)
    assert caught.value.status == 400
    assert 0 <= caught.value.offset <= len(text)


@pytest.mark.parametrize("text", ["a,,b", ",a", "a,", '"a', "<a", 'a"b'])
def test_malformed_lists(text: str) -> None:
    with pytest.raises(ParseError):
        parse_list(text, Event)


def test_commas_in_quotes_and_brackets_do_not_separate() -> None:
    text = '"Watson, \\", Thomas" <sip:a,b@example.org>;x=",", <sip:c@example.org>'
    first, second = parse_list(text, NameAddress)
    assert (first.display_name, first.uri, first.parameter("x")) == (
        'Watson, ", Thomas',
        SipUri("example.org", "a,b"),
        ",",
    )
    assert second == NameAddress(SipUri("example.org", "c"))


def test_lists_are_bounded() -> None:
    with pytest.raises(ParseError):
        parse_list(",".join(["a"] * 1000), Event)


def test_star() -> None:
    assert parse_contacts(" * ") == (STAR,)
    assert str(STAR) == "*"
    assert parse_contacts("<sip:bob@biloxi.com>") == (NameAddress(BOB),)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", ()), ("  ", ()), ("100rel", ("100rel",)), ("INVITE , ACK,BYE", ("INVITE", "ACK", "BYE"))],
)
def test_tokens(text: str, tokens: tuple[str, ...]) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["a,,b", "a b", ",", '"a"'])
def test_malformed_tokens(text: str) -> None:
    with pytest.raises(ParseError):
        parse_tokens(text)


def test_names_of_header_fields() -> None:
    assert [canonical(name) for name in ("v", "VIA", "call-id", "cseq", "www-authenticate", "X-Ph-a")] == [
        "Via",
        "Via",
        "Call-ID",
        "CSeq",
        "WWW-Authenticate",
        "X-Ph-a",
    ]
    for short, name in COMPACT.items():
        assert header_key(short) == header_key(short.upper()) == header_key(name) == header_key(name.upper())


def test_received_and_rport_of_a_via() -> None:
    via = Via.parse("SIP/2.0/UDP 10.0.0.1:4540;rport;branch=z9hG4bKkjshdyff")
    assert (via.branch, via.received, via.rport, via.has_parameter("rport")) == ("z9hG4bKkjshdyff", None, None, True)
    assert via.sent_by == "10.0.0.1:4540"
    seen = via.with_parameter("received", "192.0.2.1").with_parameter("rport", "9988")
    assert (seen.received, seen.rport) == ("192.0.2.1", 9988)
    assert str(seen) == "SIP/2.0/UDP 10.0.0.1:4540;rport=9988;branch=z9hG4bKkjshdyff;received=192.0.2.1"
    assert Via.parse("SIP/2.0/UDP a;rport=many").rport is None


def test_a_value_that_was_quoted_stays_quoted() -> None:
    text = '<sip:bob@biloxi.com>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";reg-id="1";q=0.5'
    assert str(NameAddress.parse(text)) == text
    assert NameAddress.parse(text).parameter("reg-id") == "1"


def test_a_tag_is_added_or_replaced() -> None:
    assert str(NameAddress(BOB).with_tag("1")) == "<sip:bob@biloxi.com>;tag=1"
    assert NameAddress(BOB, None, (("Tag", "1"), ("x", None))).with_tag("2").parameters == (("tag", "2"), ("x", None))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            'Digest realm="realm", nonce="4ee1", opaque="123", stale="true" algorithm="MD5"',  # a comma is missing
            Challenge(
                "Digest",
                (("realm", "realm"), ("nonce", "4ee1"), ("opaque", "123"), ("stale", "true"), ("algorithm", "MD5")),
            ),
        ),
        (
            'Digest realm =  "[1:ABCD::abc]", qop="AUTH,autH-INt", algorithm =  md5  ,  stale =  TRUE ',
            Challenge(
                "Digest",
                (("realm", "[1:ABCD::abc]"), ("qop", "AUTH,autH-INt"), ("algorithm", "md5"), ("stale", "TRUE")),
            ),
        ),
        ("Basic bogus==", Challenge("Basic", (("bogus==", None),))),
        ("NoOneKnowsThisScheme opaque-data=here", Challenge("NoOneKnowsThisScheme", (("opaque-data", "here"),))),
        ("Negotiate", Challenge("Negotiate")),
    ],
)
def test_challenges(text: str, value: Challenge) -> None:
    assert Challenge.parse(text) == value
    assert Challenge.parse(str(value)) == value


def test_credentials_are_written_as_they_were_read() -> None:
    text = (
        'Digest username="bob", realm="biloxi.com", nc=00000001, qop=auth, response="6629fae49393a05397450978507c4ef1"'
    )
    credentials = Credentials.parse(text)
    assert str(credentials) == text
    assert credentials.parameter("USERNAME") == "bob"
    assert isinstance(credentials.parameters[0][1], Quoted)
