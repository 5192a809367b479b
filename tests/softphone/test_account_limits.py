"""What an account lets in, and what it refuses to be told."""

import random
from typing import Any

import pytest

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, FlowId, Listen, OpenDatagram, SendDatagram
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.limits import Limits
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone.account import Account
from sansio_sip.softphone.account_news import events_of
from sansio_sip.softphone.account_outputs import LoginRefused
from sansio_sip.softphone.call_info import AccountId
from sansio_sip.softphone.events import LoginFailed
from sansio_sip.softphone.options import AccountOptions

SERVER, STRANGER = Address("192.0.2.9", 5060), Address("192.0.2.66", 5060)


def up(**options: Any) -> tuple[Account, FlowId]:
    """An account whose UDP flow is open."""
    account = Account(
        Context(Entropy(random.Random(1))), AccountId("a"), AccountOptions("sip:alice@example.com", **options)
    )
    account.connect(now=0.0)
    (opening,) = [output for output in account.outputs() if isinstance(output, OpenDatagram)]
    account.flow_opened(opening.flow, Address("192.0.2.1", 5060), None, None, now=0.0)
    for listen in [output for output in account.outputs() if isinstance(output, Listen)]:
        account.flow_opened(listen.listener, listen.bind, None, None, now=0.0)
    list(account.outputs())
    return account, opening.flow


def options_request(number: int = 1, *rows: str) -> bytes:
    return "\r\n".join(
        [
            "OPTIONS sip:alice@192.0.2.1 SIP/2.0",
            f"Via: SIP/2.0/UDP x;branch=z9hG4bK{number};rport",
            f"From: <sip:x@y>;tag={number}",
            "To: <sip:alice@192.0.2.1>",
            f"Call-ID: {number}",
            "CSeq: 1 OPTIONS",
            *rows,
            "Content-Length: 0",
            "",
            "",
        ]
    ).encode()


def answers(account: Account) -> list[int]:
    sent = [parse_message(output.data) for output in account.outputs() if isinstance(output, SendDatagram)]
    return [message.status for message in sent if isinstance(message, Response)]


def test_a_stranger_is_heard_at_his_rate_and_our_server_at_any() -> None:
    account, flow = up(servers=("udp://192.0.2.9",), limits=Limits(rate=1.0, burst=3))
    for number in range(10):
        account.receive_datagram(flow, options_request(number), STRANGER, now=0.0)
    assert answers(account) == [200] * 3
    assert account.gate.counters.over_rate == 7
    for number in range(10, 20):
        account.receive_datagram(flow, options_request(number), SERVER, now=0.0)
    assert answers(account) == [200] * 10


def test_peer_to_peer_all_are_strangers() -> None:
    account, flow = up(limits=Limits(rate=1.0, burst=3))
    for number in range(10):
        account.receive_datagram(flow, options_request(number), STRANGER, now=0.0)
    assert answers(account) == [200] * 3


def test_what_is_over_a_limit_is_refused_and_counted() -> None:
    account, flow = up(limits=Limits(header_rows=10, vias=2))
    account.receive_datagram(flow, options_request(1, *["X: 1"] * 10), STRANGER, now=0.0)
    account.receive_datagram(flow, options_request(2, "Via: SIP/2.0/UDP a, SIP/2.0/UDP b"), STRANGER, now=0.0)
    assert answers(account) == [513, 483]
    assert (account.gate.counters.too_many_headers, account.gate.counters.too_many_vias) == (1, 1)


@pytest.mark.parametrize("answer", [True, False])
def test_what_is_malformed_is_answered_to_strangers_only_where_wanted(answer: bool) -> None:
    account, flow = up(servers=("udp://192.0.2.9",), limits=Limits(answer_malformed=answer))
    broken = options_request().replace(b"Content-Length", b"no header\r\nContent-Length")
    account.receive_datagram(flow, broken, STRANGER, now=0.0)
    assert answers(account) == ([400] if answer else [])
    account.receive_datagram(flow, broken, SERVER, now=0.0)
    assert answers(account) == [400]
    assert account.gate.counters.malformed == 2


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "a\r\nX: y"])
@pytest.mark.parametrize("name", ["address", "username", "display_name", "servers", "realms", "ca_file"])
def test_no_option_holds_a_line_break_or_nul(name: str, bad: str) -> None:
    value: Any = f"sip:alice{bad}@example.com"
    if name in ("servers", "realms"):
        value = (value,)
    with pytest.raises(ValueError, match=name):
        AccountOptions(**{"address": "sip:alice@example.com", "password": Secret("x"), name: value})


def test_what_is_alive_at_one_time_is_bounded_as_the_account_says() -> None:
    bounds = Limits(rate=0.0, transactions=6, dialogs=1, requests=1, subscriptions=1)
    account, flow = up(servers=("udp://192.0.2.9",), limits=bounds)
    bob, agent = SipUri("example.com", "bob"), account.user_agent
    agent.page(bob, "text/plain", b"hello", now=0.0)
    with pytest.raises(LocalProtocolError, match="1 requests wait"):
        agent.page(bob, "text/plain", b"hello", now=0.0)
    agent.subscribe(bob, "dialog", now=0.0)
    with pytest.raises(LocalProtocolError, match="1 subscriptions are alive"):
        agent.subscribe(bob, "dialog", now=0.0)
    agent.invite(bob, b"v=0", now=0.0)
    with pytest.raises(LocalProtocolError, match="1 calls are up"):
        agent.invite(bob, b"v=0", now=0.0)
    account.touched(now=0.0)
    list(account.outputs())
    for number in range(5):
        account.receive_datagram(flow, options_request(number), SERVER, now=0.0)
    assert answers(account) == [200, 200, 200, 503, 503]


@pytest.mark.parametrize("name", ["transactions", "dialogs", "requests", "subscriptions"])
def test_a_bound_of_nothing_is_none(name: str) -> None:
    nothing: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=name):
        Limits(**nothing)


@pytest.mark.parametrize(("rows", "expected"), [(("Retry-After: 17 (in maintenance)",), 17), ((), None)])
def test_a_login_that_is_refused_for_a_while_says_for_how_long(rows: tuple[str, ...], expected: int | None) -> None:
    account, flow = up(servers=("udp://192.0.2.9",))
    account.login(now=1.0)
    (sent,) = [parse_message(output.data) for output in account.outputs() if isinstance(output, SendDatagram)]
    assert isinstance(sent, Request)
    refusal = sent.response(500, to_tag="r", headers=tuple(tuple(row.split(": ")) for row in rows))  # type: ignore[misc]
    account.receive_datagram(flow, bytes(refusal), SERVER, now=1.1)
    (refused,) = [output for output in account.outputs() if isinstance(output, LoginRefused)]
    assert (refused.status, refused.retry_after) == (500, expected)
    (event,) = [event for event in events_of(account, refused) if isinstance(event, LoginFailed)]
    assert event.retry_after == expected
