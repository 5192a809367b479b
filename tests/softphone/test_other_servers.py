"""An account whose server cannot serve, or has moved: where it goes (RFC 3263 section 4.3, RFC 3261 section 8.1.3)."""

import random
from typing import Any

import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import (
    Address,
    FlowId,
    OpenDatagram,
    OpenStream,
    RecordType,
    Resolve,
    SendDatagram,
    SendStream,
    SrvRecord,
    TlsPeer,
)
from sansio_sip.sip.message import Request
from sansio_sip.sip.parser import parse_message
from sansio_sip.softphone.account import Account, AccountState
from sansio_sip.softphone.account_outputs import Down, LoggedIn, LoginRefused, Up
from sansio_sip.softphone.call_info import AccountId
from sansio_sip.softphone.options import AccountOptions

LOCAL = Address("192.0.2.1", 5060)


class Bench:
    """An account; each flow that it opens is up at once, and what it sends is kept with the address it goes to."""

    def __init__(self, *servers: str, **options: Any) -> None:
        self.now = 0.0
        context = Context(Entropy(random.Random(1)))
        self.account = Account(
            context, AccountId("a"), AccountOptions("sip:alice@example.com", servers=servers, **options)
        )
        self.records: dict[tuple[str, RecordType], tuple[Any, ...]] = {}
        self.sent: list[tuple[Address, Request]] = []
        self.events: list[Any] = []
        self._flows: dict[FlowId, Address] = {}

    def login(self) -> None:
        self.account.login(now=self.now)
        self.pump()

    def pump(self) -> None:
        account, now = self.account, self.now
        for output in account.outputs():
            match output:
                case Resolve(query, name, kind):
                    account.resolved(query, self.records.get((name, kind), ()), now=now)
                case OpenDatagram(flow, _, towards):
                    assert towards is not None
                    self._flows[flow] = towards
                    account.flow_opened(flow, LOCAL, None, None, now=now)
                case OpenStream(flow, host, port, tls):
                    self._flows[flow] = Address(host, port)
                    peer = TlsPeer((tls.server_name,), verified=True) if tls is not None else None
                    account.flow_opened(flow, LOCAL, Address(host, port), peer, now=now)
                case SendDatagram(data=b"\r\n\r\n") | SendStream(data=b"\r\n\r\n"):
                    pass
                case SendDatagram(flow, data) | SendStream(flow, data):
                    message = parse_message(data)
                    assert isinstance(message, Request)
                    self.sent.append((self._flows[flow], message))
                case _:
                    self.events.append(output)

    def answer(self, status: int, *headers: tuple[str, str]) -> Address:
        """Answers the latest REGISTER; returns where it had gone to."""
        address, request = self.sent[-1]
        if status == 200:
            headers = (("Contact", f"{request.contacts[0]}"), *headers)
        data = bytes(request.response(status, to_tag="r", headers=headers))
        hop = self.account.hop
        assert hop is not None
        assert hop.flow is not None
        if hop.reliable:
            self.account.receive_stream(hop.flow, data, now=self.now)
        else:
            self.account.receive_datagram(hop.flow, data, address, now=self.now)
        self.pump()
        return address

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def test_a_503_takes_the_login_to_the_next_server() -> None:
    bench = Bench("udp://192.0.2.10", "tcp://192.0.2.11")
    bench.login()
    assert bench.answer(503, ("Retry-After", "600")).host == "192.0.2.10"
    assert bench.account.state is AccountState.LOGGING_IN
    assert bench.answer(200).host == "192.0.2.11"
    assert len(bench.of(LoggedIn)) == 1
    assert [type(event) for event in bench.of(Up | Down)] == [Up, Down, Up]  # type: ignore[arg-type]


def test_when_all_have_said_503_the_login_has_failed_with_it() -> None:
    bench = Bench("udp://192.0.2.10", "udp://192.0.2.11")
    bench.login()
    bench.answer(503)
    bench.answer(503)
    assert len(bench.sent) == 2
    assert [event.status for event in bench.of(LoginRefused)] == [503]


def test_a_503_takes_the_login_to_the_next_address_of_the_same_name() -> None:
    bench = Bench("sip:example.com;transport=udp")
    bench.records = {
        ("_sip._udp.example.com", RecordType.SRV): (
            SrvRecord(1, 0, 5070, "one.example.com"),
            SrvRecord(2, 0, 5080, "two.example.com"),
        ),
        ("one.example.com", RecordType.ADDRESS): (Address("192.0.2.10", 0), Address("192.0.2.11", 0)),
        ("two.example.com", RecordType.ADDRESS): (Address("192.0.2.12", 0),),
    }
    bench.login()
    assert [bench.answer(503), bench.answer(503), bench.answer(200)] == [
        Address("192.0.2.10", 5070),
        Address("192.0.2.11", 5070),
        Address("192.0.2.12", 5080),
    ]
    assert len(bench.of(LoggedIn)) == 1


def test_a_refusal_is_no_reason_to_go_elsewhere() -> None:
    for status in (403, 404, 500, 600):
        bench = Bench("udp://192.0.2.10", "udp://192.0.2.11")
        bench.login()
        bench.answer(status)
        assert [event.status for event in bench.of(LoginRefused)] == [status]
        assert len(bench.sent) == 1


def test_a_refresh_that_gets_a_503_goes_to_the_next_server_and_a_round_later_back() -> None:
    bench = Bench("udp://192.0.2.10", "udp://192.0.2.11")
    bench.login()
    bench.answer(200)
    hosts = []
    for _ in range(3):
        bench.now += 100.0
        bench.account.handle_timeout(now=bench.now)
        bench.pump()
        hosts.append(bench.answer(503).host)
        hosts.append(bench.answer(200).host)
    # Each flow lasted long enough to begin a new round.
    assert hosts == ["192.0.2.10", "192.0.2.11", "192.0.2.11", "192.0.2.10", "192.0.2.10", "192.0.2.11"]
    assert len(bench.of(LoggedIn)) == 1


def test_a_registrar_that_has_moved_is_followed() -> None:
    bench = Bench("udp://192.0.2.10")
    bench.records = {("two.example.com", RecordType.ADDRESS): (Address("192.0.2.12", 0),)}
    bench.login()
    bench.answer(302, ("Contact", "<sip:two.example.com:5099;transport=tcp>"))
    assert bench.answer(200) == Address("192.0.2.12", 5099)
    assert len(bench.of(LoggedIn)) == 1


def test_a_registrar_that_has_moved_to_nowhere_leaves_us_with_the_list() -> None:
    bench = Bench("udp://192.0.2.10")
    bench.login()
    bench.answer(302, ("Contact", "<sip:nowhere.example.com>"))
    assert bench.answer(200) == Address("192.0.2.10", 5060)
    assert len(bench.of(LoggedIn)) == 1


def test_registrars_that_send_us_round_are_left_at_last() -> None:
    bench = Bench("udp://192.0.2.10")
    bench.login()
    for number in range(5):
        bench.answer(302, ("Contact", f"<sip:192.0.2.{11 + number % 2}>"))
    assert bench.of(LoginRefused) == []
    bench.answer(302, ("Contact", "<sip:192.0.2.13>"))
    assert [event.status for event in bench.of(LoginRefused)] == [302]
    assert len(bench.sent) == 6


@pytest.mark.parametrize(
    ("contact", "followed"),
    [
        ("<sip:192.0.2.20>", False),
        ("<sip:192.0.2.20;transport=tcp>", False),
        ("<sip:192.0.2.20;transport=ws>", False),
        ("<sip:192.0.2.20;transport=sctp>", False),
        ("<tel:1>", False),
        ("<sips:192.0.2.20>", True),
        ("<sip:192.0.2.20;transport=tls>", True),
    ],
)
def test_nobody_sends_us_from_a_secure_server_to_one_that_is_not(contact: str, followed: bool) -> None:
    bench = Bench("tls://192.0.2.10")
    bench.login()
    bench.answer(301, ("Contact", contact))
    assert (len(bench.sent) == 2) == followed
    assert bool(bench.of(LoginRefused)) == (not followed)
    if followed:
        assert bench.sent[-1][0] == Address("192.0.2.20", 5061)
