"""What an account lets in, and what it refuses to be told."""

import random
from typing import Any

import pytest

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address, FlowId, OpenDatagram, SendDatagram
from sansio_sip.sip.limits import Limits
from sansio_sip.sip.message import Response
from sansio_sip.sip.parser import parse_message
from sansio_sip.softphone.account import Account
from sansio_sip.softphone.call_info import AccountId
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


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "a\r\nX: y"])
@pytest.mark.parametrize("name", ["address", "username", "display_name", "servers", "realms", "ca_file"])
def test_no_option_holds_a_line_break_or_nul(name: str, bad: str) -> None:
    value: Any = f"sip:alice{bad}@example.com"
    if name in ("servers", "realms"):
        value = (value,)
    with pytest.raises(ValueError, match=name):
        AccountOptions(**{"address": "sip:alice@example.com", "password": Secret("x"), name: value})
