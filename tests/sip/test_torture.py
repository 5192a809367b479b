"""The torture messages of RFC 4475 and RFC 5118: those of the corpus byte for byte, the rest typed from the RFCs."""

import json

import pytest
from shared import require_shared, shared_dir
from sip.rfc4475_rest import ROWS

from sansio_sip.errors import ParseError
from sansio_sip.sip.headers import NameAddress, Via
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import Pong, StreamParser, parse_message, refusal
from sansio_sip.sip.uri import SipUri
from sansio_sip.sip.verdict import judge

# What RFC 4475 and the notes of the corpus let a user agent answer; 0 for an invalid message: drop it.
ANSWERS = {
    "wsinv.dat": (0,),
    "intmeth.dat": (501,),
    "esc01.dat": (0,),
    "escnull.dat": (405,),
    "esc02.dat": (501,),
    "lwsdisp.dat": (0,),
    "longreq.dat": (0,),
    "dblreq.dat": (405,),
    "semiuri.dat": (0,),
    "transports.dat": (0,),
    "mpart01.dat": (0, 415),
    "unreason.dat": (0,),
    "noreason.dat": (0,),
    "badinv01.dat": (400,),
    "ncl.dat": (400,),
    "scalarlg.dat": (0,),
    "ltgtruri.dat": (400,),
    "lwsstart.dat": (400,),
    "escruri.dat": (400,),
    "regbadct.dat": (400, 405),
    "baddn.dat": (400,),
    "mismatch01.dat": (400,),
    "bigcode.dat": (0,),
    "insuf.dat": (400, 0),
    "unkscm.dat": (416,),
    "bext01.dat": (420,),
    "regaut01.dat": (405,),
    "mcl01.dat": (400,),
    "zeromf.dat": (0,),
    "cparam02.dat": (405,),
    "sdp01.dat": (406, 400),
    "inv2543.dat": (0,),
}


def _cases(folder: str) -> list[dict[str, str]]:
    root = shared_dir()
    if root is None:
        return []
    cases: list[dict[str, str]] = json.loads((root / folder / "cases.json").read_text())
    return cases


def _torture(name: str) -> bytes:
    return require_shared(f"corpus/01-rfc4475/{name}.dat").read_bytes()


@pytest.mark.parametrize("case", _cases("corpus/01-rfc4475"), ids=lambda case: f"{case['rfc_section']}-{case['file']}")
def test_verdict_of_rfc_4475(case: dict[str, str]) -> None:
    data = require_shared(f"corpus/01-rfc4475/{case['file']}").read_bytes()
    verdict = judge(data)
    assert (verdict.verdict == "valid") == (case["grammar_valid"] != "no")
    assert verdict.status + verdict.ua_status in ANSWERS[case["file"]]
    if verdict.verdict == "valid":
        assert verdict.offset == 0
        message = parse_message(data)
        assert parse_message(bytes(message)) == message
    else:
        assert 0 <= verdict.offset <= len(data)
        assert verdict.reason


@pytest.mark.parametrize("case", _cases("corpus/02-rfc5118"), ids=lambda case: f"{case['rfc_section']}-{case['file']}")
def test_verdict_of_rfc_5118(case: dict[str, str]) -> None:
    data = require_shared(f"corpus/02-rfc5118/derived-crlf/{case['file']}").read_bytes()
    verdict = judge(data)
    assert verdict.verdict == "valid", verdict
    message = parse_message(data)
    assert parse_message(bytes(message)) == message
    archived = judge(require_shared(f"corpus/02-rfc5118/archive-lf/{case['file']}").read_bytes())
    assert archived.verdict in ("valid", "invalid")  # its lengths are wrong in some: it must only not crash


@pytest.mark.parametrize(("name", "section", "text", "valid", "answers"), ROWS, ids=[row[0] for row in ROWS])
def test_verdict_of_those_typed_from_the_rfc(
    name: str, section: str, text: str, valid: bool, answers: tuple[int, ...]
) -> None:
    data = text.replace("\n", "\r\n").encode()
    verdict = judge(data)
    assert (verdict.verdict == "valid") == valid, verdict
    assert verdict.status + verdict.ua_status in answers, verdict


def test_3_1_1_1_values_are_what_the_rfc_says() -> None:
    message = parse_message(_torture("wsinv"))
    assert isinstance(message, Request)
    assert message.to == NameAddress(SipUri("chair-dnrc.example.com", "vivekg"), None, (("tag", "1918181833n"),))
    assert message.from_.display_name == 'J Rosenberg \\"'
    assert message.max_forwards == 68
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert [str(via) for via in message.via] == [
        "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
        "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
        "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239",
    ]
    assert message.headers.get("Subject") == ""
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.routes[0].uri == SipUri(
        "services.example.com", parameters=(("lr", None), ("unknownwith", "value"), ("unknown-no-value", None))
    )
    contact = message.contacts[0]
    assert contact.display_name == 'Quoted string ""'
    assert contact.parameters == (("newparam", "newvalue"), ("secondparam", None), ("q", "0.33"))


def test_3_1_1_2_every_token_character_and_quoted_controls() -> None:
    message = parse_message(_torture("intmeth"))
    assert isinstance(message, Request)
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.from_.parameter("fromParam''~+*_!.-%") == "работающий"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_3_1_1_3_escapes_are_undone_once() -> None:
    message = parse_message(_torture("esc01"))
    assert isinstance(message, Request)
    assert message.uri == SipUri("example.net", "sips:user@example.com")
    assert message.to.uri == SipUri("example.com", "user")
    assert message.contacts[0].uri == SipUri(
        "host5.example.net", "caller", None, None, (("lr", None), ("name", "value%41"))
    )


def test_3_1_1_4_nul_does_not_cut_a_user() -> None:
    message = parse_message(_torture("escnull"))
    assert [contact.uri for contact in message.contacts] == [
        SipUri("host5.example.com", "\0"),
        SipUri("host5.example.com", "\0\0"),
    ]


def test_3_1_1_5_percent_is_no_escape_elsewhere() -> None:
    message = parse_message(_torture("esc02"))
    assert isinstance(message, Request)
    assert message.method == "RE%47IST%45R"
    assert message.to.display_name == "%Z%45"
    assert len(message.contacts) == 2
    assert message.headers.get("C%6Fntact") == "<sip:alias2@host2.example.com>"


def test_3_1_1_8_a_second_request_is_dropped_in_a_datagram_and_read_on_a_stream() -> None:
    data = _torture("dblreq")
    assert parse_message(data).body == b""
    stream = StreamParser()
    stream.receive(data)
    first, empty_line, second, left_over = stream.messages()
    assert isinstance(first, Request)
    assert first.method == "REGISTER"
    assert empty_line == Pong()
    assert isinstance(left_over, ParseError)  # its body is longer than its Content-Length
    assert isinstance(second, Request)
    assert (second.method, second.call_id) == ("INVITE", "dblreq.0ha0isnda977644900765@192.0.2.15")


def test_3_1_1_9_and_10_semicolon_in_user_and_unknown_transports() -> None:
    message = parse_message(_torture("semiuri"))
    assert isinstance(message, Request)
    assert message.uri == SipUri("example.com", "user;par=u@example.net")
    assert [via.transport for via in parse_message(_torture("transports")).via] == [
        "UDP",
        "SCTP",
        "TLS",
        "UNKNOWN",
        "TCP",
    ]


def test_3_1_1_11_a_binary_body_is_framed_by_its_length() -> None:
    message = parse_message(_torture("mpart01"))
    assert str(len(message.body)) == message.headers.get("Content-Length")
    assert b"\0" in message.body


def test_3_1_1_12_and_13_any_reason_phrase_and_none() -> None:
    said = parse_message(_torture("unreason"))
    silent = parse_message(_torture("noreason"))
    assert isinstance(said, Response)
    assert isinstance(silent, Response)
    assert said.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert (silent.status, silent.reason) == (100, "")


@pytest.mark.parametrize("name", ["ncl", "mcl01"])
def test_a_stream_of_unknown_framing_is_closed(name: str) -> None:
    stream = StreamParser()
    stream.receive(_torture(name) + _torture("zeromf"))
    (error,) = stream.messages()
    assert isinstance(error, ParseError)
    assert error.status == 400
    assert stream.broken


def test_3_3_12_and_13_whose_parameter_it_is() -> None:
    bare = parse_message(next(row[2] for row in ROWS if row[0] == "cparam01").replace("\n", "\r\n").encode()).contacts[
        0
    ]
    bracketed = parse_message(_torture("cparam02")).contacts[0]
    assert (bare.has_parameter("unknownparam"), bracketed.has_parameter("unknownparam")) == (True, False)
    assert isinstance(bracketed.uri, SipUri)
    assert bracketed.uri.has_parameter("unknownparam")


def test_5118_port_inside_and_outside_of_the_brackets() -> None:
    def target(name: str) -> object:
        message = parse_message(require_shared(f"corpus/02-rfc5118/derived-crlf/{name}").read_bytes())
        assert isinstance(message, Request)
        return message.uri

    assert target("port-ambiguous") == SipUri("2001:db8::10:5070")
    assert target("port-unambiguous") == SipUri("2001:db8::10", port=5070)


def test_5118_received_with_and_without_brackets() -> None:
    received = [
        parse_message(require_shared(f"corpus/02-rfc5118/derived-crlf/{name}").read_bytes()).top_via.received
        for name in ("via-received-param-no-delim", "via-received-param-with-delim")
    ]
    assert received == ["2001:db8::9:255", "2001:db8::9:255"]


def test_a_refused_request_is_answered_so_that_its_sender_knows_it_again() -> None:
    data = _torture("badinv01")
    with pytest.raises(ParseError) as caught:
        parse_message(data)
    response = refusal(data, caught.value)
    assert response is not None
    assert bytes(response) == (
        b"SIP/2.0 400 Bad Request\r\n"
        b"To: sip:j.user@example.com\r\n"
        b"From: sip:caller@example.net;tag=134161461246\r\n"
        b"Call-ID: badinv01.0ha0isndaksdjasdf3234nas\r\n"
        b"CSeq: 8 INVITE\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_a_refused_response_is_not_answered() -> None:
    data = _torture("bigcode")
    with pytest.raises(ParseError) as caught:
        parse_message(data)
    assert refusal(data, caught.value) is None


def test_via_of_every_spelling_is_one_list() -> None:
    vias = parse_message(_torture("longreq")).via
    assert len(vias) == 34
    assert vias[0] == Via("TCP", "sip33.example.com")
