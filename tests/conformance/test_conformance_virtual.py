"""Our own phone and server are tried by the kit in virtual time, and no case fails; faults of others are found."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.peers_in_a_world import PASSWORD, Deaf, caller, context, new_world, phone, server, try_on

from sansio_sip.conformance import ConformanceRun, Role, RunFinished, Target, Verdict, cases_for
from sansio_sip.conformance.catalogue import cases_of_messages
from sansio_sip.conformance.matrix import Matrix
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.server_url import ServerUrl
from sansio_sip.simulation import World
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import parse_message, refusal
from sansio_sip.sip.status import reason_phrase
from sansio_sip.sip.uri import SipUri

UDP, TCP, WS = "udp://10.0.0.1:5060", "tcp://10.0.0.1:5060", "ws://10.0.0.1:8080"


def failures(matrix: Matrix) -> list[str]:
    return [f"{result.case.name}: {result.detail}" for result in matrix.results if result.verdict is Verdict.FAIL]


def test_our_phone_takes_calls_as_it_must() -> None:
    world = new_world()
    matrix = try_on(world, Role.UAS, phone(world), UDP)
    assert failures(matrix) == []
    assert matrix.counts[Verdict.PASS] >= 70
    assert not matrix.counts[Verdict.NOT_APPLICABLE]
    assert not world.hosts["phone"].machine.calls()  # type: ignore[attr-defined]  # the kit has cleared up


def test_our_phone_calls_as_it_must() -> None:
    world = new_world()
    matrix = try_on(world, Role.UAC, caller(world), None)
    assert failures(matrix) == []
    assert matrix.counts[Verdict.PASS] >= 12
    assert not matrix.counts[Verdict.NOT_APPLICABLE]


@pytest.mark.parametrize("url", [UDP, TCP, WS])
def test_our_server_registers_as_it_must(url: str) -> None:
    world = new_world()
    matrix = try_on(world, Role.REGISTRAR, server(world), url, password=PASSWORD)
    assert failures(matrix) == []
    assert matrix.counts[Verdict.PASS] >= 60
    assert not matrix.counts[Verdict.NOT_APPLICABLE]


# A peer that does wrong is found out


class Wrong(Deaf):
    """Answers all requests with the same status, and lets `spoil` at the answer."""

    def __init__(self, status: int, spoil: Any = None) -> None:
        super().__init__()
        self.status, self.spoil = status, spoil

    def answers(self, data: bytes) -> Iterator[bytes]:
        try:
            message = parse_message(data)
        except ParseError as error:
            response = refusal(data, error, to_tag="same")
            if response is None:
                return
            response.status, response.reason = self.status, reason_phrase(self.status)
            yield bytes(response)
            return
        if isinstance(message, Request) and message.method != "ACK":
            response = message.response(self.status, to_tag="same")
            if self.spoil is not None:
                self.spoil(response)
            yield bytes(response)


def one_case(name: str, peer: Deaf, role: Role = Role.UAS) -> Any:
    world = new_world()
    world.add("phone", peer, "10.0.0.1")
    cases = [case for case in cases_for(role) if case.name == name]
    (result,) = try_on(world, role, SipUri("10.0.0.1", "x"), UDP, cases=cases).results
    return result


def without_tag(response: Response) -> None:
    response.headers.set("To", "<sip:x@10.0.0.1>")


def other_via(response: Response) -> None:
    response.headers.set("Via", "SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKother")


@pytest.mark.parametrize(
    ("name", "peer", "detail"),
    [
        ("OPTIONS", Deaf(), "no answer to OPTIONS"),
        ("OPTIONS", Wrong(200, without_tag), "no tag in To"),
        ("OPTIONS", Wrong(200, other_via), "Via headers"),
        ("UAS-23", Wrong(200), "NOBODYKNOWS got 200 OK, not 405 or 501"),
        ("UAS-23", Wrong(405), "405 without Allow"),
        ("UAS-09", Wrong(420), "Unsupported does not list nobody-a, nobody-b"),
        ("UAS-16", Wrong(200), "rport is None"),
        ("UAC-01", Wrong(200), "no Contact"),
        ("UAC-01", Wrong(486), "does not take a plain call: 486 Busy Here"),
        ("UAS-12", Wrong(500), "got 500 Server Internal Error, not 488"),
        ("UAS-06", Wrong(420), "no copy of the 420"),
        ("torture-bad-version", Wrong(200), "200 OK, where 505 is due"),
        ("torture-tortuous", Wrong(400), "400 Bad Request, where no 400 is due"),
        ("torture-odd-method", Deaf(), "no answer, where 405 or 501 is due"),
    ],
)
def test_what_a_target_does_wrong_is_found(name: str, peer: Deaf, detail: str) -> None:
    result = one_case(name, peer)
    assert result.verdict is Verdict.FAIL
    assert detail in result.detail


@pytest.mark.parametrize(
    ("name", "peer", "detail"),
    [
        ("REG-22a", Wrong(200), "does not list the contact"),
        ("REG-22a", Wrong(403), "REGISTER got 403 Forbidden, not 200"),
        ("REG-star", Wrong(200), "got 200 OK, not 400"),
        ("REG-09", Wrong(423), "423 without Min-Expires"),
        ("REG-domain", Wrong(200), "a foreign domain was registered"),
    ],
)
def test_what_a_registrar_does_wrong_is_found(name: str, peer: Deaf, detail: str) -> None:
    result = one_case(name, peer, Role.REGISTRAR)
    assert result.verdict is Verdict.FAIL
    assert detail in result.detail


def test_silence_is_allowed_to_what_is_malformed_if_the_target_lives_on() -> None:
    assert one_case("torture-no-to", Deaf()).verdict is Verdict.SILENT

    class Dies(Wrong):
        def answers(self, data: bytes) -> Iterator[bytes]:
            if b"To:" not in data:
                self.status = 0
            yield from super().answers(data) if self.status else ()

    world = new_world()
    world.add("phone", Dies(200), "10.0.0.1")
    cases = [case for case in cases_for(Role.UAS) if case.name in ("OPTIONS", "torture-no-to")]
    matrix = try_on(world, Role.UAS, SipUri("10.0.0.1", "x"), UDP, cases=cases)
    assert failures(matrix) == ["torture-no-to: no answer, and none to OPTIONS after it any more"]


def test_a_target_that_never_calls_is_not_judged() -> None:
    world = new_world()
    cases = [case for case in cases_for(Role.UAC) if case.name == "UAC-01"]
    matrix = try_on(world, Role.UAC, SipUri("10.0.0.1", "x"), None, cases=cases)
    assert [result.verdict for result in matrix.results] == [Verdict.NOT_APPLICABLE]


def test_a_target_must_be_somewhere() -> None:
    with pytest.raises(LocalProtocolError, match="give its server"):
        ConformanceRun(context("kit"), Target(Role.UAS, SipUri("10.0.0.1")), [], server=None)


# Messages of a corpus


def test_messages_in_files_are_cases_with_our_end_in_the_via() -> None:
    valid = (
        b"OPTIONS sip:x@10.0.0.1 SIP/2.0\r\nv: SIP / 2.0 / TCP nobody.example.com:5;branch=z9hG4bKa;rport\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
    world = new_world()
    uri = phone(world)
    cases = cases_of_messages(
        [("valid", valid), ("broken", valid.replace(b"1 OPTIONS", b"x OPTIONS")), ("answer", b"SIP/2.0 200 OK\r\n\r\n")]
    )
    assert [case.name for case in cases] == ["corpus-valid", "corpus-broken"]
    matrix = try_on(world, Role.UAS, uri, UDP, cases=cases)
    assert [result.verdict for result in matrix.results] == [Verdict.PASS, Verdict.PASS]


# What is written


def test_the_matrix_in_each_form() -> None:
    world = new_world()
    world.add("phone", Wrong(200), "10.0.0.1")
    cases = [case for case in cases_for(Role.UAS) if case.name in ("OPTIONS", "UAS-23", "VIA")]
    matrix = try_on(world, Role.UAS, SipUri("10.0.0.1", "x"), UDP, cases=cases)
    matrix = Matrix("<udp> & co", matrix.results)
    assert not matrix.passed
    text = matrix.text()
    assert re.search(r"RFC 3261 8\.2\.1 +\. +1 +\. +\.\n", text)
    assert "UAS-23 (RFC 3261 8.2.1, MUST)" in text
    rows = json.loads(matrix.as_json())
    assert {row["name"]: row["verdict"] for row in rows["cases"]}["UAS-23"] == "fail"
    assert rows["counts"]["fail"] == 1
    suite = ElementTree.fromstring(matrix.junit())
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("<udp> & co", "3", "1")
    assert [case.get("name", "")[:7] for case in suite if case.find("failure") is not None] == ["UAS-23:"]
    page = matrix.html()
    assert "SIP conformance of &lt;udp&gt; &amp; co" in page
    assert '<tr class="fail"><td>UAS-23</td>' in page


def test_every_case_has_a_name_of_its_own_and_a_section() -> None:
    for role in Role:
        cases = cases_for(role)
        assert len({case.name for case in cases}) == len(cases)
        assert all(case.section and case.title and role in case.roles for case in cases)


# Targets that cannot be reached, do not answer, or go on for ever


class Ringing(Deaf):
    """Answers each INVITE with 180, and so again every five seconds, whatever is said to it."""

    def __init__(self) -> None:
        super().__init__()
        self.due: float | None = None
        self.ring: tuple[FlowId, bytes, Address] | None = None

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if data.startswith(b"INVITE"):
            message = parse_message(data)
            assert isinstance(message, Request)
            self.ring = (flow, bytes(message.response(180, to_tag="x")), source)
            self.due = now

    def handle_timeout(self, *, now: float) -> None:
        if self.ring is not None and self.due is not None and self.due <= now:
            self._outbox.put(SendDatagram(*self.ring))
            self.due += 5.0

    def next_timeout(self) -> float | None:
        return self.due


def test_no_case_goes_on_for_ever() -> None:
    result = one_case("UAC-01", Ringing())
    assert (result.verdict, result.detail) == (Verdict.FAIL, "no end within 120 s")
    assert result.seconds == pytest.approx(120, abs=6)


def run_of(world: World, url: str, names: tuple[str, ...]) -> tuple[ConformanceRun, list[RunFinished]]:
    run = ConformanceRun(
        context("kit"),
        Target(Role.UAS, SipUri("10.0.0.1", "x")),
        [case for case in cases_for(Role.UAS) if case.name in names],
        server=ServerUrl.parse(url),
    )
    finished: list[RunFinished] = []
    world.on_output("kit", lambda output, now: finished.append(output) if isinstance(output, RunFinished) else None)
    world.add("kit", run, "10.0.0.7")
    return run, finished


def test_a_target_that_cannot_be_reached_ends_the_run() -> None:
    world = new_world()
    world.add("phone", Deaf(), "10.0.0.1")
    _, finished = run_of(world, TCP, ("OPTIONS",))
    world.run(until=60.0)
    assert "the target cannot be reached" in finished[0].error
    assert finished[0].results == ()


def test_a_target_that_never_says_anything_ends_the_run() -> None:
    world = new_world()
    world.add("phone", Deaf(), "10.0.0.1")
    _, finished = run_of(world, UDP, ("OPTIONS", "UAS-23", "UAS-09", "UAS-24"))
    world.run(until=60.0)
    assert finished[0].error == "the target has said nothing in 3 cases"
    assert len(finished[0].results) == 3


def test_a_run_that_is_interrupted_keeps_its_verdicts_and_ends_once() -> None:
    world = new_world()
    world.add("phone", Wrong(200), "10.0.0.1")
    run, finished = run_of(world, UDP, ("OPTIONS", "UAS-06"))
    world.run(until=0.012)  # the answer to OPTIONS has come after 10 ms
    world.do("kit", run.interrupt)
    world.do("kit", run.interrupt)
    world.do("kit", run.flow_lost, FlowId("case1"), "late")
    world.run(until=60.0)
    assert [[result.case.name for result in each.results] for each in finished] == [["OPTIONS"]]
    assert run.next_timeout() is None


def test_a_server_that_closes_the_flow_fails_the_case_it_was_in() -> None:
    world = new_world()
    server(world)
    _, finished = run_of(world, TCP, ("OPTIONS",))
    world.at(0.012, "server", lambda now: world.break_streams("server"))
    world.run(until=60.0)
    (result,) = finished[0].results
    assert (result.verdict, result.detail) == (Verdict.FAIL, "no answer to OPTIONS")
