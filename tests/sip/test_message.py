"""Headers and messages: rows in order, typed views that follow them, responses that copy what they must."""

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from sip.sip_strategies import messages

from sansio_sip.errors import ParseError
from sansio_sip.sip.headers import STAR, CSeq, MediaType, NameAddress, Reason, Via
from sansio_sip.sip.message import Headers, Message, Request, Response
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.uri import SipUri

BOB = SipUri("biloxi.com", "bob")


def invite(*rows: tuple[str, str], method: str = "INVITE", body: bytes = b"") -> Request:
    return Request(
        method,
        BOB,
        [
            ("Via", "SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds"),
            ("v", "SIP/2.0/UDP far.example.com;branch=z9hG4bK1, SIP/2.0/TCP farther.example.com;branch=z9hG4bK2"),
            ("Max-Forwards", "70"),
            ("To", "Bob <sip:bob@biloxi.com>"),
            ("f", '"Alice" <sip:alice@atlanta.com>;tag=1928301774'),
            ("Call-ID", "a84b4c76e66710@pc33.atlanta.com"),
            ("CSeq", f"314159 {method}"),
            *rows,
        ],
        body,
    )


def test_rows_keep_their_order_and_spelling() -> None:
    headers = Headers([("v", "1"), ("X-Ph-A", "2"), ("VIA", "3")])
    assert list(headers) == [("v", "1"), ("X-Ph-A", "2"), ("VIA", "3")]
    assert headers.get("Via") == "1"
    assert headers.get_all("via") == ("1", "3")
    assert headers.get("nothing") is None
    assert headers.get_all("nothing") == ()
    assert "V" in headers
    assert "x-ph-a" in headers
    assert "nothing" not in headers
    assert len(headers) == 3


def test_set_replaces_all_rows_in_the_place_of_the_first() -> None:
    headers = Headers([("a-1", "x"), ("Route", "1"), ("b-1", "y"), ("Route", "2")])
    headers.set("Route", "3")
    assert list(headers) == [("a-1", "x"), ("Route", "3"), ("b-1", "y")]
    headers.set("Route", "4", "5")
    assert list(headers) == [("a-1", "x"), ("Route", "4"), ("Route", "5"), ("b-1", "y")]
    headers.set("c-1", "z")
    assert list(headers)[-1] == ("c-1", "z")
    headers.set("Route")
    assert "Route" not in headers
    headers.remove("a-1")
    headers.remove("a-1")
    assert list(headers) == [("b-1", "y"), ("c-1", "z")]


def test_insert_first_puts_a_row_before_its_like() -> None:
    headers = Headers([("From", "a"), ("Via", "2"), ("v", "3")])
    headers.insert_first("Via", "1")
    assert headers.get_all("v") == ("1", "2", "3")
    assert list(headers) == [("From", "a"), ("Via", "1"), ("Via", "2"), ("v", "3")]
    headers.insert_first("To", "b")
    assert next(iter(headers)) == ("To", "b")


@pytest.mark.parametrize("value", ["a\r\nVia: x", "a\n", "\r", "\0", "x\ud800"])
def test_a_value_cannot_break_out_of_its_line(value: str) -> None:
    headers = Headers([("Subject", "kept")])
    for change in (headers.add, headers.set, headers.insert_first):
        with pytest.raises(ValueError, match="cannot hold"):
            change("Subject", value)
    assert list(headers) == [("Subject", "kept")]
    assert headers.get_all("Subject") == ("kept",)


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\n"])
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="not a header name"):
        Headers([(name, "x")])


def test_start_lines_cannot_be_broken_either() -> None:
    with pytest.raises(ValueError, match="start line"):
        bytes(Response(200, "OK\r\nVia: x"))
    with pytest.raises(ValueError, match="start line"):
        bytes(Request("INVITE", SipUri("a\r\nb")))


def test_equality_is_of_meaning_not_of_spelling() -> None:
    assert Headers([("v", "1"), ("CSEQ", "2")]) == Headers([("Via", "1"), ("cseq", "2")])
    assert Headers([("a", "1"), ("b", "2")]) != Headers([("b", "2"), ("a", "1")])
    assert Response(200, "OK", [("l", "7")]) == Response(200, "OK")
    assert Response(200, "OK") != Response(200, "Fine")
    assert invite() == invite()
    assert invite() != invite(method="BYE")
    assert invite() != invite(body=b"x")


def test_typed_views() -> None:
    request = invite(
        ("Contact", "<sip:alice@pc33.atlanta.com>;expires=60, sip:alice@192.0.2.4"),
        ("Route", "<sip:ss1.atlanta.com;lr>"),
        ("Route", "<sip:ss2.biloxi.com;lr>, <sip:ss3.biloxi.com;lr>"),
        ("Record-Route", "<sip:p.example.com;lr>"),
        ("Expires", "0060"),
        ("c", "application/sdp;charset=utf-8"),
        ("Reason", 'Q.850;cause=16;text="Bye", SIP;cause=200'),
        ("Require", "100rel"),
        ("k", "timer, path"),
        ("Proxy-Require", "foo"),
        ("Allow", "INVITE,ACK"),
        ("Retry-After", "18000 (I'm in a meeting);duration=3600"),
    )
    assert request.top_via == Via("UDP", "pc33.atlanta.com", None, (("branch", "z9hG4bK776asdhds"),))
    assert [via.host for via in request.via] == ["pc33.atlanta.com", "far.example.com", "farther.example.com"]
    assert request.from_ == NameAddress(SipUri("atlanta.com", "alice"), "Alice", (("tag", "1928301774"),))
    assert request.to == NameAddress(BOB, "Bob")
    assert request.call_id == "a84b4c76e66710@pc33.atlanta.com"
    assert request.cseq == CSeq(314159, "INVITE")
    assert [str(contact) for contact in request.contacts] == [
        "<sip:alice@pc33.atlanta.com>;expires=60",
        "<sip:alice@192.0.2.4>",
    ]
    assert [str(route.uri) for route in request.routes] == [
        "sip:ss1.atlanta.com;lr",
        "sip:ss2.biloxi.com;lr",
        "sip:ss3.biloxi.com;lr",
    ]
    assert len(request.record_routes) == 1
    assert (request.max_forwards, request.expires, request.retry_after) == (70, 60, 18000)
    assert request.content_type == MediaType("application", "sdp", (("charset", "utf-8"),))
    assert request.reason_header == Reason("Q.850", 16, "Bye")
    assert (request.require, request.supported, request.proxy_require, request.allow) == (
        ("100rel",),
        ("timer", "path"),
        ("foo",),
        ("INVITE", "ACK"),
    )


def test_views_of_what_is_not_there() -> None:
    message = Response(200)
    for name in ("contacts", "routes", "record_routes", "require", "supported"):
        assert getattr(message, name) == ()
    for name in ("max_forwards", "expires", "content_type", "reason_header"):
        assert getattr(message, name) is None
    for name in ("via", "top_via", "from_", "to", "call_id", "cseq"):
        with pytest.raises(ParseError, match="missing"):
            getattr(message, name)


@pytest.mark.parametrize(
    ("name", "value", "view"),
    [
        ("Max-Forwards", "256", "max_forwards"),
        ("Max-Forwards", "-1", "max_forwards"),
        ("Max-Forwards", "٧", "max_forwards"),
        ("Expires", "4294967296", "expires"),
        ("Expires", "Thu, 01 Dec 1994 16:00:00 GMT", "expires"),
        ("Expires", "9" * 5000, "expires"),
        ("Content-Type", "sdp", "content_type"),
        ("Contact", "<sip:>", "contacts"),
        ("Contact", "", "contacts"),
        ("Route", "x", "routes"),
        ("Require", "a b", "require"),
        ("WWW-Authenticate", "Digest realm", "www_authenticate"),
    ],
)
def test_views_of_what_is_malformed(name: str, value: str, view: str) -> None:
    message = Response(200, "OK", [(name, value)])
    if name == "WWW-Authenticate":
        assert message.www_authenticate[0].parameter("realm") == ""
        return
    for _ in range(2):  # an error is not remembered as a value
        with pytest.raises(ParseError) as caught:
            getattr(message, view)
        assert caught.value.status == 400


def test_a_view_follows_its_header() -> None:
    request = invite(("Contact", "*"))
    assert request.contacts == (STAR,)
    assert request.contacts is request.contacts
    request.headers.set("m", "<sip:a@b>")
    assert request.contacts == (NameAddress(SipUri("b", "a")),)
    request.headers.add("Contact", "<sip:c@d>")
    assert len(request.contacts) == 2
    request.headers.insert_first("Contact", "<sip:e@f>")
    assert len(request.contacts) == 3
    request.headers.remove("Contact")
    assert request.contacts == ()


def test_content_length_is_always_right() -> None:
    assert bytes(Response(200, "OK", body=b"abc")) == b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    rows = [("l", "77"), ("X-Ph-A", "1"), ("Content-Length", "78")]
    assert bytes(Response(200, "OK", rows)) == b"SIP/2.0 200 OK\r\nl: 0\r\nX-Ph-A: 1\r\n\r\n"


def test_a_copy_is_independent() -> None:
    request = invite()
    assert request.top_via.host == "pc33.atlanta.com"
    twin = request.copy()
    assert twin == request
    twin.headers.set("Via", "SIP/2.0/UDP elsewhere")
    twin.headers.add("X-Ph-A", "1")
    assert (request.top_via.host, twin.top_via.host) == ("pc33.atlanta.com", "elsewhere")
    assert "X-Ph-A" not in request.headers
    assert copy.deepcopy(request) == request
    response = request.response(180)
    assert response.copy() == response
    assert response.copy() is not response


def test_a_response_copies_what_8_2_6_2_says() -> None:
    request = invite(
        ("Record-Route", "<sip:p2.example.com;lr>"),
        ("Record-Route", "<sip:p1.example.com;lr>"),
        ("Timestamp", "54"),
        ("Contact", "<sip:alice@pc33.atlanta.com>"),
        ("Subject", "x"),
    )
    trying = request.response(100)
    assert list(trying.headers) == [
        ("Via", "SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds"),
        ("v", "SIP/2.0/UDP far.example.com;branch=z9hG4bK1, SIP/2.0/TCP farther.example.com;branch=z9hG4bK2"),
        ("To", "Bob <sip:bob@biloxi.com>"),
        ("f", '"Alice" <sip:alice@atlanta.com>;tag=1928301774'),
        ("Call-ID", "a84b4c76e66710@pc33.atlanta.com"),
        ("CSeq", "314159 INVITE"),
        ("Timestamp", "54"),
    ]
    assert (trying.status, trying.reason) == (100, "Trying")
    ringing = request.response(180, to_tag="a6c85cf", headers=[("Contact", "<sip:bob@192.0.2.4>")])
    assert ringing.to == NameAddress(BOB, "Bob", (("tag", "a6c85cf"),))
    assert len(ringing.record_routes) == 2
    assert ringing.contacts == (NameAddress(SipUri("192.0.2.4", "bob")),)
    refused = request.response(486, "Not now", to_tag="x", body=b"y")
    assert refused.record_routes == ()
    assert (refused.reason, refused.body) == ("Not now", b"y")
    assert invite(("Record-Route", "<sip:p1;lr>"), method="BYE").response(200).record_routes == ()


def test_a_response_keeps_the_tag_that_the_request_has() -> None:
    request = invite()
    request.headers.set("To", "<sip:bob@biloxi.com>;tag=old")
    assert request.response(200, to_tag="new").to.tag == "old"


def test_a_response_to_a_name_with_quoted_nul_is_made_all_the_same() -> None:
    request = invite()
    data = bytes(request).replace(b"Bob", b'"\\\0"')
    parsed = parse_message(data)
    assert isinstance(parsed, Request)
    response = parsed.response(200, to_tag="1")
    assert response.to.display_name == "\0"
    assert parse_message(bytes(response)) == response


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # a message is many draws
@given(messages)
def test_parse_undoes_bytes(message: Message) -> None:
    data = bytes(message)
    parsed = parse_message(data)
    assert parsed == message
    assert bytes(parsed) == data


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(messages)
def test_a_typed_view_is_the_same_before_and_after_the_wire(message: Message) -> None:
    parsed = parse_message(bytes(message))
    for view in ("via", "from_", "to", "call_id", "cseq"):
        assert getattr(parsed, view) == getattr(message, view)
