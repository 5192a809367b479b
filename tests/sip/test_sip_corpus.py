"""The 200 messages of other stacks: none crashes, and those with a verdict get it.

What counts as a verdict here: "parse ok", "every message of the flow parses", "reject", and the peers' own, unless
RFC 3261 or RFC 4475 says otherwise of that very message (`OVERRULED`). "No crash" proves no more than it says.
"""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from shared import require_shared, shared_dir

from sansio_sip.errors import ParseError
from sansio_sip.sip.parser import StreamParser
from sansio_sip.sip.uri import parse_uri
from sansio_sip.sip.verdict import Verdict, judge

ROOT = "corpus/03-sip-messages"

# Peers that take what RFC 3261 does not.
OVERRULED = {
    "sofia-sip/own6.txt": "spaces within the angle brackets of Record-Route (RFC 4475 section 3.1.2.14)",
    "sofia-sip/test4.txt": "Expires holds a date, as RFC 2543 had it; RFC 3261 section 20.19 takes seconds only",
    "sofia-sip/test9.txt": "no empty line after the header fields (RFC 3261 section 7)",
    "sofia-sip/test25.txt": "headers in the Request-URI (RFC 4475 section 3.1.2.11)",
    "sofia-sip/test30.txt": "Expires holds a date",
    "sofia-sip/test41.txt": "SIP version 7.0 (RFC 4475 section 3.1.2.16)",
}

START = re.compile(rb"^(?:[A-Z]+ [^ \r\n]+ SIP/2\.0|SIP/2\.0 [0-9]{3} ?[^\r\n]*)\r?$", re.MULTILINE)


def _cases() -> list[dict[str, str]]:
    root = shared_dir()
    if root is None:
        return []
    cases: list[dict[str, str]] = json.loads((root / ROOT / "cases.json").read_text())
    return cases


CASES = _cases()


def _read(case: dict[str, str]) -> bytes:
    return require_shared(f"{ROOT}/{case['file']}").read_bytes()


def _where(*folders: str) -> list[dict[str, str]]:
    return [case for case in CASES if case["file"].split("/")[0] in folders]


def _on_the_wire(text: bytes) -> bytes:
    """A message that was kept as text: CRLF at its line ends, and the Content-Length that its body has."""
    text = text.lstrip(b"\r\n").replace(b"\r\n", b"\n")
    head, _, body = text.partition(b"\n\n")
    body = body.replace(b"\n", b"\r\n")
    if re.search(rb"(?im)^(?:content-length|l)[ \t]*:", head):
        head = re.sub(rb"(?im)^((?:content-length|l)[ \t]*:).*$", rb"\1 %d" % len(body), head)
    return head.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n" + body


def _messages(text: bytes) -> list[bytes]:
    """The messages of a log: each from a start line to the next one."""
    places = [found.start() for found in START.finditer(text)]
    return [_on_the_wire(text[start:end]) for start, end in zip(places, [*places[1:], len(text)], strict=True)]


def _flow(text: str) -> list[bytes]:
    """The messages of a YAML list of block scalars, without a YAML library: `- |+` and lines indented by two."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("- |"):
            blocks.append([])
        elif blocks and (line.startswith("  ") or not line):
            blocks[-1].append(line[2:])
    return [_on_the_wire("\n".join(block).encode()) for block in blocks]


def _fill(template: bytes) -> bytes:
    values = {
        b"To": b"bob@192.0.2.2",
        b"From": b"alice@192.0.2.1",
        b"From-Address": b"192.0.2.1",
        b"From-IP": b"192.0.2.1",
        b"Local-Port": b"5060",
        b"Branch-ID": b"1",
        b"Call-ID": b"c07",
        b"CSeq": b"1",
    }
    for name, value in values.items():
        template = template.replace(b"<%s>" % name, value)
    body = template.partition(b"\r\n\r\n")[2]
    return template.replace(b"<Content-Length>", b"%d" % len(body))


def _proved(verdict: Verdict, case: dict[str, str]) -> None:
    expected = case["expect"]
    name = case["file"]
    if expected.startswith(("reject", "400", "peer rejects")):
        assert verdict.verdict == "invalid", verdict
        assert verdict.status in (0, 400)
    elif expected.startswith(("parse ok", "peer accepts")):
        assert (verdict.verdict == "invalid") == (name in OVERRULED), verdict


@pytest.mark.parametrize("case", _where("kamailio", "sofia-sip"), ids=lambda case: case["file"])
def test_messages_of_other_stacks(case: dict[str, str]) -> None:
    data = _read(case)
    _proved(judge(data), case)
    verdict = judge(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    _proved(verdict, case)


def test_most_historic_requests_parse_once_their_length_is_right() -> None:
    """ "Mostly well-formed requests as once seen on the wire": all but those that lack a mandatory header field."""
    invalid = {
        case["file"]: verdict.reason
        for case in _where("kamailio")
        if "mostly" in case["expect"] and (verdict := judge(_on_the_wire(_read(case)))).verdict == "invalid"
    }
    assert (
        invalid
        == {
            "kamailio/inv_srv.sip": "To is missing",
            "kamailio/invite1.sip": "To is missing",
            "kamailio/req2.sip": "Request-URI has headers",
            "kamailio/rport.sip": "not a header field",
            "kamailio/sg.sip": "CR in a header field",
        }
        or not CASES
    )


@pytest.mark.parametrize("case", _where("sip2json"), ids=lambda case: case["file"])
def test_scrubbed_traffic_parses(case: dict[str, str]) -> None:
    """Scrubbing changed the bodies' lengths, and logs have lines of their own."""
    found = _messages(_read(case))
    if case["file"].endswith("OK_REGISTER_Multiline_ContactHeader_1.sip"):
        found = found[:1]  # in the others it also made a host a mail address, and cut a header field in two
    assert found
    for data in found:
        verdict = judge(data)
        assert verdict.verdict == "valid", (verdict, data)


@pytest.mark.parametrize("case", _where("rfc-flows-yaml"), ids=lambda case: case["file"])
def test_each_message_of_a_flow_parses(case: dict[str, str]) -> None:
    found = _flow(_read(case).decode())
    assert found
    for data in found:
        verdict = judge(data)
        if case["file"].endswith("rfc5626-9.4_re-registration.yaml"):
            assert verdict.reason == "Via is missing"  # the RFC prints it so
        else:
            assert verdict.verdict == "valid", (verdict, data)


@pytest.mark.parametrize("case", _where("sipgo-fuzz"), ids=lambda case: case["file"])
def test_finds_of_another_fuzzer_are_rejected(case: dict[str, str]) -> None:
    assert judge(_read(case)).verdict == "invalid"


@pytest.mark.parametrize("case", _where("pjsip-fuzz-seeds"), ids=lambda case: case["file"])
def test_seeds_of_another_fuzzer(case: dict[str, str]) -> None:
    data = _read(case)
    if case["file"].endswith(".sip"):
        assert judge(data).verdict in ("valid", "invalid")
        return
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        with suppress(ParseError):
            uri = parse_uri(line.strip())
            assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize("case", _where("protos-c07-sip-sample"), ids=lambda case: Path(case["file"]).stem)
def test_protos_templates_do_not_crash(case: dict[str, str]) -> None:
    data = _fill(_read(case))
    verdict = judge(data)
    assert verdict.verdict in ("valid", "invalid")
    if "SIP part is fine" in case["expect"]:
        assert verdict.verdict == "valid", verdict


@pytest.mark.parametrize("name", ["generic.txt", "ims-call-messages.txt"])
def test_streams(name: str) -> None:
    data = require_shared(f"{ROOT}/streams/{name}").read_bytes()
    found = _messages(data)
    valid = [message for message in found if judge(message).verdict == "valid"]
    assert len(found) > 20
    assert len(valid) >= 0.9 * len(found)
    stream = StreamParser()
    stream.receive(b"".join(message for message in valid if re.search(rb"(?im)^(?:content-length|l)[ \t]*:", message)))
    assert not any(isinstance(item, ParseError) for item in stream.messages())
