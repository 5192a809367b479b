"""The four transaction machines, by the figures of RFC 3261 section 17 and RFC 6026: what is sent, and when."""

from collections.abc import Mapping
from enum import Enum
from types import ModuleType
from typing import Any

import pytest
from sip.transaction_messages import TCP, UDP, answer, request

from sansio_sip.sip.message import Request
from sansio_sip.sip.transactions import (
    invite_client,
    invite_server,
    non_invite_client,
    non_invite_server,
)
from sansio_sip.sip.transactions.invite_client import InviteClientTransaction, build_cancel
from sansio_sip.sip.transactions.invite_server import InviteServerTransaction
from sansio_sip.sip.transactions.non_invite_client import NonInviteClientTransaction
from sansio_sip.sip.transactions.non_invite_server import NonInviteServerTransaction
from sansio_sip.sip.transactions.outputs import Ended, FailureReason, GivenUp, PassedUp, SendMessage
from sansio_sip.sip.transport import Hop

AnyTransaction = (
    InviteClientTransaction | NonInviteClientTransaction | InviteServerTransaction | NonInviteServerTransaction
)

HOPS = pytest.mark.parametrize("hop", [UDP, TCP], ids=["UDP", "TCP"])
MODULES = (invite_client, non_invite_client, invite_server, non_invite_server)


def words(machine: AnyTransaction) -> list[str]:
    """The outputs so far, short: `> INVITE` and `> 486` sent, `^ 180` passed up."""

    def name(message: object) -> str:
        return message.method if isinstance(message, Request) else str(message.status)  # type: ignore[attr-defined]

    said = []
    for output in machine.outputs():
        match output:
            case SendMessage(message, _):
                said.append(f"> {name(message)}")
            case PassedUp(message):
                said.append(f"^ {name(message)}")
            case GivenUp(reason):
                said.append(f"given up: {reason.value}")
            case Ended():
                said.append("ended")
    return said


def run(machine: AnyTransaction, until: float = 1000.0) -> list[tuple[float, str]]:
    """Fires the timers one by one; what came of each, with its time."""
    rows = []
    while (deadline := machine.next_timeout()) is not None and deadline <= until:
        machine.handle_timeout(now=deadline)
        rows += [(deadline, word) for word in words(machine)]
    return rows


# --------------------------------------------------------------------------------------------------- INVITE, client


def test_invite_over_udp_is_sent_again_at_doubling_intervals_until_timer_b() -> None:
    machine = InviteClientTransaction(request(), UDP, now=0.0)
    assert words(machine) == ["> INVITE"]
    # RFC 3261 section 17.1.1.2: 500 ms, 1 s, 2 s, 4 s, 8 s, 16 s, which gives seven INVITEs in 32 s.
    assert run(machine) == [
        *[(at, "> INVITE") for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)],
        (32.0, "given up: timeout"),
        (32.0, "ended"),
    ]
    assert machine.state is invite_client.State.TERMINATED


def test_invite_over_tcp_is_sent_once() -> None:
    machine = InviteClientTransaction(request(), TCP, now=0.0)
    assert words(machine) == ["> INVITE"]
    assert run(machine) == [(32.0, "given up: timeout"), (32.0, "ended")]


@HOPS
def test_ringing_stops_the_copies_and_has_no_end(hop: Hop) -> None:
    machine = InviteClientTransaction(request(), hop, now=0.0)
    machine.receive_response(answer(machine.request, 180), now=0.1)
    assert words(machine) == ["> INVITE", "^ 180"]
    assert machine.next_timeout() is None


@HOPS
def test_a_cancelled_invite_without_final_response_ends_after_64_t1(hop: Hop) -> None:
    machine = InviteClientTransaction(request(), hop, now=0.0)
    machine.receive_response(answer(machine.request, 180), now=1.0)
    words(machine)
    machine.cancelled(now=2.0)
    assert run(machine) == [(34.0, "given up: timeout"), (34.0, "ended")]


@HOPS
def test_every_2xx_is_passed_up_until_timer_m(hop: Hop) -> None:
    machine = InviteClientTransaction(request(), hop, now=0.0)
    for tag in ("one", "one", "two"):
        machine.receive_response(answer(machine.request, 200, tag), now=1.0)
    machine.receive_response(answer(machine.request, 180), now=1.0)
    machine.receive_response(answer(machine.request, 486), now=1.0)
    assert words(machine) == ["> INVITE", "^ 200", "^ 200", "^ 200"]
    assert run(machine) == [(33.0, "ended")]


def test_each_copy_of_a_failure_is_acknowledged_and_one_is_passed_up() -> None:
    machine = InviteClientTransaction(request(), UDP, now=0.0)
    for at in (1.0, 1.5, 2.5):
        machine.receive_response(answer(machine.request, 486), now=at)
    machine.receive_response(answer(machine.request, 200), now=3.0)
    assert words(machine) == ["> INVITE", "^ 486", "> ACK", "> ACK", "> ACK"]
    assert run(machine) == [(33.0, "ended")]


def test_a_failure_over_tcp_ends_the_transaction_at_once() -> None:
    machine = InviteClientTransaction(request(), TCP, now=0.0)
    machine.receive_response(answer(machine.request, 486), now=1.0)
    assert words(machine) == ["> INVITE", "^ 486", "> ACK", "ended"]
    assert machine.next_timeout() is None


def test_the_ack_of_a_failure_has_what_section_17_1_1_3_asks_for() -> None:
    sent = request(rows=(("Route", "<sip:proxy.example.com;lr>"), ("Contact", "<sip:alice@192.0.2.1>")))
    sent.headers.add("Via", "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKother")
    machine = InviteClientTransaction(sent, UDP, now=0.0)
    machine.receive_response(answer(sent, 486, "totag"), now=0.1)
    ack = next(
        output.message
        for output in machine.outputs()
        if isinstance(output, SendMessage) and isinstance(output.message, Request) and output.message.method == "ACK"
    )
    assert bytes(ack).decode().split("\r\n") == [
        "ACK sip:bob@biloxi.example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
        "Route: <sip:proxy.example.com;lr>",
        "Max-Forwards: 70",
        "From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl",
        "To: Bob <sip:bob@biloxi.example.com>;tag=totag",
        "Call-ID: 3848276298220188511@atlanta.example.com",
        "CSeq: 1 ACK",
        "Content-Length: 0",
        "",
        "",
    ]


def test_a_cancel_has_what_section_9_1_asks_for() -> None:
    rows = (("Route", "<sip:p1.example.com;lr>"), ("Route", "<sip:p2.example.com;lr>"), ("Require", "100rel"))
    cancel = build_cancel(request(rows=rows, number=7), (("Reason", "SIP;cause=200"),))
    assert bytes(cancel).decode().split("\r\n") == [
        "CANCEL sip:bob@biloxi.example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
        "Route: <sip:p1.example.com;lr>",
        "Route: <sip:p2.example.com;lr>",
        "Max-Forwards: 70",
        "From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl",
        "To: Bob <sip:bob@biloxi.example.com>",
        "Call-ID: 3848276298220188511@atlanta.example.com",
        "CSeq: 7 CANCEL",
        "Reason: SIP;cause=200",
        "Content-Length: 0",
        "",
        "",
    ]


# ----------------------------------------------------------------------------------------------- non-INVITE, client


def test_a_request_over_udp_is_sent_again_up_to_t2_apart_until_timer_f() -> None:
    machine = NonInviteClientTransaction(request("OPTIONS"), UDP, now=0.0)
    assert words(machine) == ["> OPTIONS"]
    # RFC 3261 section 17.1.2.2: "500 ms, 1 s, 2 s, 4 s, 4 s, 4 s, etc." which gives eleven requests in 32 s.
    assert run(machine) == [
        *[(at, "> OPTIONS") for at in (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)],
        (32.0, "given up: timeout"),
        (32.0, "ended"),
    ]


def test_after_a_provisional_response_copies_are_t2_apart() -> None:
    machine = NonInviteClientTransaction(request("OPTIONS"), UDP, now=0.0)
    machine.receive_response(answer(machine.request, 100), now=0.1)
    assert words(machine) == ["> OPTIONS", "^ 100"]
    assert run(machine, until=9.0) == [(0.5, "> OPTIONS"), (4.5, "> OPTIONS"), (8.5, "> OPTIONS")]


@HOPS
def test_one_final_response_is_passed_up(hop: Hop) -> None:
    machine = NonInviteClientTransaction(request("OPTIONS"), hop, now=0.0)
    for status in (200, 200, 404, 100):
        machine.receive_response(answer(machine.request, status), now=1.0)
    assert words(machine) == ["> OPTIONS", "^ 200", *([] if hop is UDP else ["ended"])]
    assert run(machine) == ([(6.0, "ended")] if hop is UDP else [])


# --------------------------------------------------------------------------------------------------- INVITE, server


@HOPS
def test_a_silent_user_is_spoken_for_after_200_ms(hop: Hop) -> None:
    machine = InviteServerTransaction(request(), hop, now=0.0)
    assert words(machine) == ["^ INVITE"]
    machine.receive_request(request(), now=0.1)
    assert run(machine) == [(0.2, "> 100")]
    machine.receive_request(request(), now=0.5)
    assert words(machine) == ["> 100"]


def test_a_failure_over_udp_is_sent_again_up_to_t2_apart_until_timer_h() -> None:
    machine = InviteServerTransaction(request(), UDP, now=0.0)
    machine.respond(answer(machine.request, 486), now=0.0)
    assert words(machine) == ["^ INVITE", "> 486"]
    assert run(machine) == [
        *[(at, "> 486") for at in (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)],
        (32.0, "given up: timeout"),
        (32.0, "ended"),
    ]


def test_a_failure_over_tcp_is_sent_once() -> None:
    machine = InviteServerTransaction(request(), TCP, now=0.0)
    machine.respond(answer(machine.request, 486), now=0.0)
    assert words(machine) == ["^ INVITE", "> 486"]
    assert run(machine) == [(32.0, "given up: timeout"), (32.0, "ended")]


@HOPS
def test_the_ack_ends_a_failed_invite(hop: Hop) -> None:
    machine = InviteServerTransaction(request(), hop, now=0.0)
    machine.respond(answer(machine.request, 486), now=0.0)
    machine.respond(answer(machine.request, 500), now=0.0)
    machine.receive_request(request(), now=0.1)
    machine.receive_request(request("ACK"), now=0.2)
    machine.receive_request(request("ACK"), now=0.3)
    machine.receive_request(request(), now=0.3)
    assert words(machine) == ["^ INVITE", "> 486", "> 486", "^ ACK", *([] if hop is UDP else ["ended"])]
    assert run(machine) == ([(5.2, "ended")] if hop is UDP else [])


@HOPS
def test_an_accepted_invite_absorbs_copies_and_sends_what_its_user_sends_until_timer_l(hop: Hop) -> None:
    machine = InviteServerTransaction(request(), hop, now=0.0)
    machine.respond(answer(machine.request, 180), now=0.0)
    machine.respond(answer(machine.request, 200), now=1.0)
    machine.receive_request(request(), now=1.1)
    machine.respond(answer(machine.request, 486), now=1.2)
    machine.respond(answer(machine.request, 200), now=1.5)
    machine.receive_request(request("ACK"), now=1.6)
    assert words(machine) == ["^ INVITE", "> 180", "> 200", "> 200", "^ ACK"]
    assert run(machine) == [(33.0, "ended")]


# ----------------------------------------------------------------------------------------------- non-INVITE, server


@HOPS
def test_a_copy_of_a_request_gets_the_latest_response(hop: Hop) -> None:
    machine = NonInviteServerTransaction(request("OPTIONS"), hop, now=0.0)
    machine.receive_request(request("OPTIONS"), now=0.1)
    assert words(machine) == ["^ OPTIONS"]
    machine.respond(answer(machine.request, 100), now=0.2)
    machine.receive_request(request("OPTIONS"), now=0.3)
    assert words(machine) == ["> 100", "> 100"]
    machine.respond(answer(machine.request, 200), now=1.0)
    machine.receive_request(request("OPTIONS"), now=1.1)
    machine.respond(answer(machine.request, 404), now=1.2)
    assert words(machine) == (["> 200", "> 200"] if hop is UDP else ["> 200", "ended"])
    assert run(machine) == ([(33.0, "ended")] if hop is UDP else [])


@HOPS
def test_a_user_that_never_answers_is_not_waited_for(hop: Hop) -> None:
    machine = NonInviteServerTransaction(request("OPTIONS"), hop, now=0.0)
    words(machine)
    assert run(machine) == [(32.0, "given up: timeout"), (32.0, "ended")]


# --------------------------------------------------------------------------------------------------------- all four


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_table_leads_from_the_first_state_through_all_to_the_last_and_nowhere_from_there(
    module: ModuleType,
) -> None:
    table: Mapping[tuple[Enum, Enum], Enum] = module.TRANSITIONS
    states: list[Any] = list(module.State)
    reached = {states[0]}
    while True:
        more = {after for (before, _), after in table.items() if before in reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(states)
    assert not [key for key in table if key[0] is module.State.TERMINATED]
    leads_out = {before for (before, _), after in table.items() if after is not before}
    assert leads_out == set(states) - {module.State.TERMINATED}
    assert {happened for _, happened in table} == set(module.Input)
    drawn = module.State.__doc__ or ""
    assert all(state.name in drawn for state in module.State)


@pytest.mark.parametrize("status", [100, 180, 200, 486], ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda: InviteClientTransaction(request(), TCP, now=0.0),
        lambda: NonInviteClientTransaction(request("OPTIONS"), TCP, now=0.0),
    ],
    ids=["INVITE", "OPTIONS"],
)
def test_a_lost_flow_fails_a_client_that_waits_and_ends_one_that_does_not(make: Any, status: int) -> None:
    machine: InviteClientTransaction | NonInviteClientTransaction = make()
    machine.receive_response(answer(machine.request, status), now=0.1)
    words(machine)
    ended = machine.is_terminated
    machine.flow_lost(now=0.2)
    failed = [f"given up: {FailureReason.TRANSPORT.value}", "ended"] if status < 200 else ["ended"]
    assert words(machine) == ([] if ended else failed)
    assert machine.is_terminated
    assert machine.next_timeout() is None


@pytest.mark.parametrize("make", [InviteServerTransaction, NonInviteServerTransaction])
def test_a_lost_flow_ends_a_server(make: type[InviteServerTransaction | NonInviteServerTransaction]) -> None:
    machine = make(request("INVITE" if make is InviteServerTransaction else "OPTIONS"), TCP, now=0.0)
    machine.flow_lost(now=0.2)
    machine.respond(answer(machine.request, 200), now=0.3)
    assert words(machine)[1:] == ["given up: transport", "ended"]
    assert machine.next_timeout() is None
