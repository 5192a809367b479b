"""URIs: the comparison table of RFC 3261 section 19.1.4, escapes, and what is no URI."""

import pytest
from hypothesis import example, given
from sip.sip_strategies import uris

from sansio_sip.errors import ParseError
from sansio_sip.sip.uri import OtherUri, SipUri, Uri, parse_uri

# The first three groups are the examples of section 19.1.4, word for word.
EQUIVALENT = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:[2001:db8::1]", "sip:[2001:DB8:0::1]"),
    ("tel:+1-201-555-0123", "TEL:+1-201-555-0123"),
]
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp;user=phone"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
    ("sip:bob@biloxi.com", "sip:biloxi.com"),
    ("sip:bob:secret@biloxi.com", "sip:bob@biloxi.com"),
    ("sip:bob@biloxi.com;ttl=1", "sip:bob@biloxi.com"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;maddr=192.0.2.1"),
    ("sip:bob@biloxi.com;method=INVITE", "sip:bob@biloxi.com"),
    ("sip:bob@biloxi.com;user=ip", "sip:bob@biloxi.com;user=phone"),
    ("sip:+12015550123@biloxi.com;user=phone", "tel:+12015550123"),
    ("tel:+12015550123", "tel:+12015550124"),
]


@pytest.mark.parametrize(("left", "right"), EQUIVALENT)
def test_equivalent_by_19_1_4(left: str, right: str) -> None:
    assert parse_uri(left).equivalent(parse_uri(right))
    assert parse_uri(right).equivalent(parse_uri(left))


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_by_19_1_4(left: str, right: str) -> None:
    assert not parse_uri(left).equivalent(parse_uri(right))
    assert not parse_uri(right).equivalent(parse_uri(left))


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:alice@atlanta.com", SipUri("atlanta.com", "alice")),
        (
            "sip:alice:secretword@atlanta.com;transport=tcp",
            SipUri("atlanta.com", "alice", "secretword", None, (("transport", "tcp"),)),
        ),
        (
            "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
            SipUri("atlanta.com", "alice", headers=(("subject", "project x"), ("priority", "urgent")), scheme="sips"),
        ),
        (
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            SipUri("gateway.com", "+1-212-555-1212", "1234", None, (("user", "phone"),)),
        ),
        ("sip:alice@192.0.2.4", SipUri("192.0.2.4", "alice")),
        (
            "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
            SipUri("atlanta.com", parameters=(("method", "REGISTER"),), headers=(("to", "alice@atlanta.com"),)),
        ),
        ("sip:alice;day=tuesday@atlanta.com", SipUri("atlanta.com", "alice;day=tuesday")),
        ("sip:proxy.example.com;lr", SipUri("proxy.example.com", parameters=(("lr", None),))),
        ("sip:proxy.example.com;lr=", SipUri("proxy.example.com", parameters=(("lr", ""),))),
        ("SIP:user@[2001:db8::1]:5061", SipUri("2001:db8::1", "user", port=5061)),
        ("sip:%C3%A9@example.com", SipUri("example.com", "é")),
        ("tel:+1-201-555-0123;phone-context=example.com", OtherUri("tel", "+1-201-555-0123;phone-context=example.com")),
        ("urn:service:sos", OtherUri("urn", "service:sos")),
        ("http://[2001:db8::1]/x?y#z", OtherUri("http", "//[2001:db8::1]/x?y#z")),
    ],
)
def test_parts_of_a_uri(text: str, uri: Uri) -> None:
    assert parse_uri(text) == uri
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "sip:",
        "sip:@example.com",
        "sip:alice@",
        "sip:alice@exam ple.com",
        " sip:alice@example.com",
        "sip:alice@example.com ",
        "sip:alice@example.com\n",
        "sip:al ice@example.com",
        "sip:alice@example.com:",
        "sip:alice@example.com:65536",
        "sip:alice@example.com:123456789",
        "sip:alice@example.com:٣",
        "sip:alice@example.com;",
        "sip:alice@example.com;;lr",
        "sip:alice@example.com;=x",
        "sip:alice@example.com?",
        "sip:alice@example.com?x",
        "sip:alice@example.com?x=1&",
        "sip:alice@bob@example.com",
        "sip:alice%4@example.com",
        "sip:alice%zz@example.com",
        "sip:example.com;x=%",
        "sip:2001:db8::10",
        "sip:[2001:db8::10",
        "sip:[2001:db8::10::1]",
        "sip:[fe80::1%25eth0]",
        "sip:[]",
        "sip:é@example.com",
        "sip:alice@exa..mple.com",
        "sip:alice@-example.com",
        "tel:",
        "tel:+1 201",
        "1tel:+1201",
        "<sip:alice@example.com>",
    ],
)
def test_no_uri(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_uri(text)
    assert caught.value.status == 400


@given(uris)
@example(SipUri("example.com", "%41"))
@example(SipUri("example.com", "\0\x7f é@;?/"))
def test_parse_undoes_str(uri: Uri) -> None:
    assert parse_uri(str(uri)) == uri


@given(uris)
def test_each_uri_is_equivalent_to_itself(uri: Uri) -> None:
    assert uri.equivalent(uri)
    assert uri.equivalent(parse_uri(str(uri)))


def test_octets_that_are_no_utf_8_survive() -> None:
    assert str(parse_uri("sip:%FF%00@example.com")) == "sip:%FF%00@example.com"


def test_parameters_are_found_replaced_and_removed() -> None:
    uri = SipUri("example.com", "alice", parameters=(("Transport", "tcp"), ("lr", None)))
    assert uri.parameter("transport") == "tcp"
    assert uri.parameter("LR") == ""
    assert uri.parameter("ob") is None
    assert str(uri.with_parameter("transport", "ws").with_parameter("ob")) == "sip:alice@example.com;transport=ws;lr;ob"
    assert str(uri.without_parameter("transport")) == "sip:alice@example.com;lr"
    assert str(uri.with_parameters(())) == "sip:alice@example.com"


def test_parameters_are_bounded() -> None:
    with pytest.raises(ParseError):
        parse_uri("sip:example.com" + ";a" * 1000)


def test_time_grows_no_faster_than_length() -> None:
    """What would take a backtracking expression for ever."""
    for text in (
        "sip:" + "a" * 50_000,
        "sip:" + "a-" * 25_000 + "!",
        "sip:x@" + "a." * 25_000 + "!",
        "sip:" + "%" * 50_000,
    ):
        with pytest.raises(ParseError):
            parse_uri(text + " ")
