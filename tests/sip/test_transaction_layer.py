"""Matching of messages to transactions (RFC 3261 sections 17.1.3 and 17.2.3), cancelling, bounds and lost flows."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sip.transaction_messages import ALICE, BOB, TCP, UDP, answer, request

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, FlowId
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.message import Request
from sansio_sip.sip.transactions import (
    Acknowledged,
    Failed,
    FailureReason,
    RequestReceived,
    ResponseReceived,
    SendMessage,
    StrayResponse,
    Terminated,
    TransactionId,
    TransactionLayer,
)
from sansio_sip.sip.transactions.timing import RFC_TIMING
from sansio_sip.sip.transport import Hop

ONE, TWO = TransactionId(1), TransactionId(2)


def make(max_transactions: int = 100) -> TransactionLayer:
    return TransactionLayer(Context(Entropy(random.Random(1))), max_transactions=max_transactions)


def settle(layer: TransactionLayer, until: float = 1000.0) -> None:
    while (deadline := layer.next_timeout()) is not None and deadline <= until:
        layer.handle_timeout(now=deadline)


# ------------------------------------------------------------------------------------------------------------ client


def test_responses_reach_the_transaction_of_their_branch_and_method() -> None:
    layer = make()
    invite, options = request(branch="z9hG4bKa"), request("OPTIONS", branch="z9hG4bKb")
    assert layer.request(invite, UDP, now=0.0) == ONE
    assert layer.request(options, TCP, now=0.0) == TWO
    layer.receive(answer(options, 200), TCP, now=0.1)
    layer.receive(answer(invite, 180), UDP, now=0.1)
    unknown = answer(request(branch="z9hG4bKc"), 200)
    layer.receive(unknown, UDP, now=0.1)
    wrong_method = answer(request("BYE", branch="z9hG4bKa"), 200)
    layer.receive(wrong_method, UDP, now=0.1)
    assert list(layer.outputs()) == [
        SendMessage(invite, UDP),
        SendMessage(options, TCP),
        ResponseReceived(TWO, answer(options, 200), TCP),
        Terminated(TWO),
        ResponseReceived(ONE, answer(invite, 180), UDP),
        StrayResponse(unknown, UDP),
        StrayResponse(wrong_method, UDP),
    ]
    assert layer.counters.stray_responses == 2


def test_a_request_nobody_answers_fails() -> None:
    layer = make()
    layer.request(request("BYE"), TCP, now=0.0)
    settle(layer)
    assert list(layer.outputs())[1:] == [Failed(ONE, FailureReason.TIMEOUT), Terminated(ONE)]
    assert len(layer) == 0


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (request("ACK"), "use send"),
        (request(via="SIP/2.0/UDP 192.0.2.1"), "no branch"),
        (request(branch="z9hG4bKused"), "in use"),
        (request(branch="z9hG4bKthird"), "transactions are alive"),
    ],
    ids=["ACK", "no branch", "branch in use", "too many"],
)
def test_a_request_that_cannot_be_sent_changes_nothing(bad: Request, why: str) -> None:
    layer = make(max_transactions=2)
    layer.request(request(branch="z9hG4bKused"), UDP, now=0.0)
    layer.request(request(branch="z9hG4bKother"), UDP, now=0.0)
    before = len(list(layer.outputs()))
    with pytest.raises(LocalProtocolError, match=why):
        layer.request(bad, UDP, now=0.0)
    assert (before, len(layer), list(layer.outputs())) == (2, 2, [])


def test_a_cancel_waits_for_a_provisional_response_and_its_own_fate_is_not_told() -> None:
    layer = make()
    invite = request()
    layer.request(invite, UDP, now=0.0)
    layer.cancel(ONE, headers=(("Reason", "SIP;cause=200"),), now=0.1)
    layer.cancel(ONE, now=0.1)
    assert list(layer.outputs()) == [SendMessage(invite, UDP)]
    layer.receive(answer(invite, 100), UDP, now=0.2)
    layer.receive(answer(invite, 180), UDP, now=0.3)
    trying, sent, ringing = layer.outputs()
    assert trying == ResponseReceived(ONE, answer(invite, 100), UDP)
    assert ringing == ResponseReceived(ONE, answer(invite, 180), UDP)
    assert isinstance(sent, SendMessage)
    cancel = sent.message
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.top_via, cancel.headers.get("Reason")) == ("CANCEL", invite.top_via, "SIP;cause=200")
    layer.receive(answer(cancel, 200), UDP, now=0.4)
    layer.receive(answer(invite, 487), UDP, now=0.5)
    assert [type(output) for output in layer.outputs()] == [ResponseReceived, SendMessage]
    settle(layer)
    assert list(layer.outputs()) == [Terminated(ONE)]
    assert len(layer) == 0


def test_a_cancelled_invite_that_gets_no_answer_fails_64_t1_after_the_cancel() -> None:
    layer = make()
    layer.request(request(), TCP, now=0.0)
    layer.receive(answer(request(), 180), TCP, now=1.0)
    layer.cancel(ONE, now=60.0)
    settle(layer, until=91.9)
    assert Failed(ONE, FailureReason.TIMEOUT) not in list(layer.outputs())
    settle(layer)
    assert list(layer.outputs()) == [Failed(ONE, FailureReason.TIMEOUT), Terminated(ONE)]


def test_a_cancel_after_the_final_response_has_no_effect() -> None:
    layer = make()
    layer.request(request(), UDP, now=0.0)
    layer.receive(answer(request(), 200), UDP, now=1.0)
    before = list(layer.outputs())
    layer.cancel(ONE, now=1.0)
    settle(layer)
    layer.cancel(ONE, now=100.0)
    assert (len(before), list(layer.outputs())) == (2, [Terminated(ONE)])


def test_only_an_invite_can_be_cancelled() -> None:
    layer = make()
    layer.request(request("OPTIONS"), UDP, now=0.0)
    with pytest.raises(LocalProtocolError, match="only an INVITE"):
        layer.cancel(ONE, now=0.0)


# ------------------------------------------------------------------------------------------------------------ server

FROM_ALICE = Hop("UDP", ALICE, BOB, FlowId("udp"))


def test_a_copy_of_a_request_makes_no_second_transaction() -> None:
    layer = make()
    for at in (0.0, 0.5):
        layer.receive(request(), FROM_ALICE, now=at)
    layer.receive(request(branch="z9hG4bK2"), FROM_ALICE, now=0.6)
    layer.receive(request("CANCEL"), FROM_ALICE, now=0.7)
    assert list(layer.outputs()) == [
        RequestReceived(ONE, request(), FROM_ALICE),
        RequestReceived(TWO, request(branch="z9hG4bK2"), FROM_ALICE),
        RequestReceived(TransactionId(3), request("CANCEL"), FROM_ALICE),
    ]
    assert layer.invite_of(TransactionId(3)) == ONE
    assert layer.invite_of(ONE) == ONE


def test_sent_by_tells_two_clients_with_one_branch_apart() -> None:
    layer = make()
    layer.receive(request(via="SIP/2.0/UDP one.example.com;branch=z9hG4bK1"), FROM_ALICE, now=0.0)
    layer.receive(request(via="SIP/2.0/UDP ONE.example.com;branch=z9hG4bK1"), FROM_ALICE, now=0.0)
    layer.receive(request(via="SIP/2.0/UDP one.example.com:5080;branch=z9hG4bK1"), FROM_ALICE, now=0.0)
    assert len(layer) == 2


@pytest.mark.parametrize("branch", ["", ";branch=1", ";branch=z9hG4bK"])
def test_a_client_of_rfc_2543_is_matched_by_its_headers(branch: str) -> None:
    layer = make()
    via = f"SIP/2.0/UDP old.example.com{branch}"
    layer.receive(request(via=via), FROM_ALICE, now=0.0)
    layer.receive(request(via=via), FROM_ALICE, now=0.1)
    layer.receive(request(via=via, number=2), FROM_ALICE, now=0.1)
    layer.respond(ONE, answer(request(via=via), 486), now=0.2)
    list(layer.outputs())
    ack = request("ACK", via=via, to_tag="8321234356")
    layer.receive(ack, FROM_ALICE, now=0.3)
    (acknowledged,) = layer.outputs()
    assert isinstance(acknowledged, Acknowledged)
    assert acknowledged.transaction == ONE


def test_an_ack_to_a_2xx_is_passed_up_outside_of_transactions() -> None:
    layer = make()
    layer.receive(request(), FROM_ALICE, now=0.0)
    layer.respond(ONE, answer(request(), 200), now=0.1)
    list(layer.outputs())
    ack = request("ACK", branch="z9hG4bKack", to_tag="8321234356")
    layer.receive(ack, FROM_ALICE, now=0.2)
    assert list(layer.outputs()) == [RequestReceived(None, ack, FROM_ALICE)]


def test_a_response_to_a_transaction_that_has_ended_is_counted() -> None:
    layer = make()
    layer.receive(request("OPTIONS"), FROM_ALICE, now=0.0)
    settle(layer)
    assert list(layer.outputs())[1:] == [Failed(ONE, FailureReason.TIMEOUT), Terminated(ONE)]
    layer.respond(ONE, answer(request("OPTIONS"), 200), now=40.0)
    assert (list(layer.outputs()), layer.counters.late_responses) == ([], 1)


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
def test_a_response_given_once_leaves_nothing_behind(method: str) -> None:
    layer = make()
    layer.receive(request(method), FROM_ALICE, now=0.0)
    refused = answer(request(method), 407)
    layer.respond_once(ONE, refused, now=0.1)
    layer.respond_once(ONE, refused, now=0.1)
    layer.receive(request(method), FROM_ALICE, now=0.5)
    assert list(layer.outputs()) == [
        RequestReceived(ONE, request(method), FROM_ALICE),
        SendMessage(refused, FROM_ALICE),
        Terminated(ONE),
        RequestReceived(TWO, request(method), FROM_ALICE),
    ]
    assert (len(layer), layer.counters.late_responses) == (1, 1)


def test_requests_over_the_bound_get_503_and_copies_of_older_ones_are_still_served() -> None:
    layer = make(max_transactions=1)
    layer.receive(request(), FROM_ALICE, now=0.0)
    layer.respond(ONE, answer(request(), 180), now=0.0)
    list(layer.outputs())
    layer.receive(request(branch="z9hG4bK2"), FROM_ALICE, now=0.1)
    layer.receive(request(), FROM_ALICE, now=0.2)
    refused, again = layer.outputs()
    assert isinstance(refused, SendMessage)
    assert bytes(refused.message).startswith(b"SIP/2.0 503 ")
    assert refused.message.headers.get("Retry-After") == "32"
    assert again == SendMessage(answer(request(), 180), FROM_ALICE)
    assert layer.counters.refused_requests == 1


def test_a_lost_flow_fails_all_that_used_it_and_nothing_else() -> None:
    layer = make()
    layer.request(request(branch="z9hG4bKa"), TCP, now=0.0)
    layer.request(request(branch="z9hG4bKb"), UDP, now=0.0)
    layer.receive(request("OPTIONS", branch="z9hG4bKc"), TCP, now=0.0)
    list(layer.outputs())
    layer.flow_lost(FlowId("tcp"), now=1.0)
    assert list(layer.outputs()) == [
        Failed(ONE, FailureReason.TRANSPORT),
        Terminated(ONE),
        Failed(TransactionId(3), FailureReason.TRANSPORT),
        Terminated(TransactionId(3)),
    ]
    assert len(layer) == 1
    layer.flow_lost(FlowId("nobody's"), now=1.0)
    assert list(layer.outputs()) == []


# --------------------------------------------------------------------------------------- received and rport (RFC 3581)

SEEN = Hop("UDP", Address("198.51.100.7", 40000), BOB, FlowId("udp"))


@pytest.mark.parametrize(
    ("via", "marked", "to"),
    [
        ("192.0.2.1:5070;branch=z9hG4bK1", ";received=198.51.100.7", Address("198.51.100.7", 5070)),
        ("host.example.com;branch=z9hG4bK1", ";received=198.51.100.7", Address("198.51.100.7", 5060)),
        ("198.51.100.7:5070;branch=z9hG4bK1", "", Address("198.51.100.7", 5070)),
        ("198.51.100.7;rport;branch=z9hG4bK1", ";received=198.51.100.7", Address("198.51.100.7", 40000)),
        ("192.0.2.1:5070;rport;branch=z9hG4bK1", ";received=198.51.100.7", Address("198.51.100.7", 40000)),
        ("192.0.2.1;received=203.0.113.9;branch=z9hG4bK1", "", Address("198.51.100.7", 5060)),
        ("192.0.2.1;maddr=203.0.113.9;branch=z9hG4bK1", ";received=198.51.100.7", Address("198.51.100.7", 5060)),
    ],
)
def test_responses_go_where_the_request_came_from(via: str, marked: str, to: Address) -> None:
    layer = make()
    layer.receive(request("OPTIONS", via=f"SIP/2.0/UDP {via}"), SEEN, now=0.0)
    (received,) = layer.outputs()
    assert isinstance(received, RequestReceived)
    top = str(received.request.top_via)
    expected = via.replace("rport", "rport=40000").replace(
        "203.0.113.9", "198.51.100.7" if "received" in via else "203.0.113.9"
    )
    assert top == f"SIP/2.0/UDP {expected}{marked}"
    layer.respond(ONE, received.request.response(200, to_tag="t"), now=0.1)
    (sent,) = layer.outputs()
    assert isinstance(sent, SendMessage)
    assert (sent.hop, str(sent.message.top_via)) == (Hop("UDP", to, BOB, FlowId("udp")), top)


def test_only_the_top_via_is_marked() -> None:
    layer = make()
    two = request("OPTIONS", via="SIP/2.0/UDP a.example.com;branch=z9hG4bK1, SIP/2.0/UDP b.example.com;branch=z9hG4bK0")
    layer.receive(two, SEEN, now=0.0)
    (received,) = layer.outputs()
    assert isinstance(received, RequestReceived)
    assert [str(via) for via in received.request.via] == [
        "SIP/2.0/UDP a.example.com;branch=z9hG4bK1;received=198.51.100.7",
        "SIP/2.0/UDP b.example.com;branch=z9hG4bK0",
    ]
    assert two.top_via.received is None


def test_an_invite_is_cancelled_once_and_ends_though_its_peer_rings_for_ever() -> None:
    layer = make()
    call = layer.request(request("INVITE"), UDP, now=0.0)
    layer.receive(answer(request("INVITE"), 180), UDP, now=0.1)
    layer.cancel(call, now=0.2)
    list(layer.outputs())
    layer.receive(answer(request("CANCEL"), 200), UDP, now=0.3)
    now, outputs = 0.3, []
    while layer.is_alive(call) and now < 100.0:
        now += 1.0
        layer.handle_timeout(now=now)
        layer.receive(answer(request("INVITE"), 180), UDP, now=now)
        outputs += list(layer.outputs())
    assert now == pytest.approx(0.2 + RFC_TIMING.timeout, abs=1.0)
    assert not [
        output for output in outputs if isinstance(output, SendMessage) and output.message.cseq.method == "CANCEL"
    ]


def test_an_invite_whose_user_has_sent_the_cancel_itself_ends_when_it_is_cancelled() -> None:
    layer = make()
    call = layer.request(request("INVITE"), UDP, now=0.0)
    layer.request(request("CANCEL"), UDP, now=0.1)
    layer.receive(answer(request("INVITE"), 100), UDP, now=0.2)
    layer.cancel(call, now=0.3)
    settle(layer)
    assert Terminated(call) in list(layer.outputs())


def test_an_address_that_cannot_be_reached_fails_who_waits_for_it_and_nobody_else() -> None:
    layer = make()
    elsewhere = replace(UDP, address=Address("192.0.2.77", 5060))
    lost = layer.request(request("OPTIONS", branch="z9hG4bK1"), UDP, now=0.0)
    kept = layer.request(request("OPTIONS", branch="z9hG4bK2"), elsewhere, now=0.0)
    layer.receive(request("OPTIONS", branch="z9hG4bK3"), UDP, now=0.0)
    list(layer.outputs())
    layer.unreachable(BOB, now=0.1)
    assert list(layer.outputs()) == [Failed(lost, FailureReason.TRANSPORT), Terminated(lost)]
    assert layer.is_alive(kept)
    assert len(layer) == 2  # the server's transaction stays


@pytest.mark.parametrize("ours", [True, False])
def test_a_flow_that_goes_after_the_final_response_takes_nothing_from_anybody(ours: bool) -> None:
    layer = make()
    if ours:
        layer.request(request("OPTIONS"), UDP, now=0.0)
        layer.receive(answer(request("OPTIONS"), 200), UDP, now=0.1)
    else:
        layer.receive(request("OPTIONS"), UDP, now=0.0)
        layer.respond(ONE, answer(request("OPTIONS"), 200), now=0.1)
    list(layer.outputs())
    assert layer.is_alive(ONE)
    layer.flow_lost(FlowId("udp"), now=0.2)
    assert list(layer.outputs()) == [Terminated(ONE)]


def test_a_cancel_is_sent_again_at_the_pace_that_was_asked_for() -> None:
    slow = replace(RFC_TIMING, t1=1.0)
    layer = TransactionLayer(Context(Entropy(random.Random(1))), timing=slow)
    call = layer.request(request("INVITE"), UDP, now=0.0)
    layer.receive(answer(request("INVITE"), 180), UDP, now=0.1)
    layer.cancel(call, headers=(("Reason", "SIP;cause=200"),), now=0.2)
    assert [output.message.headers.get("Reason") for output in layer.outputs() if isinstance(output, SendMessage)] == [
        None,
        "SIP;cause=200",
    ]
    layer.handle_timeout(now=1.1)
    assert list(layer.outputs()) == []
    layer.handle_timeout(now=1.2)
    (again,) = layer.outputs()
    assert isinstance(again, SendMessage)
    assert again.message.cseq.method == "CANCEL"


def test_answers_that_come_too_late_are_counted_each() -> None:
    layer = make()
    for number in (1, 2, 3):
        layer.respond_once(TransactionId(number), answer(request("OPTIONS"), 401), now=0.0)
    assert layer.counters.late_responses == 3
    assert list(layer.outputs()) == []


def test_only_a_cancel_that_came_is_about_an_invite() -> None:
    layer = make()
    assert layer.invite_of(TransactionId(9)) is None
    own = layer.request(request("INVITE"), UDP, now=0.0)
    assert layer.invite_of(own) is None
    layer.receive(request("INVITE", branch="z9hG4bK7"), UDP, now=0.0)
    layer.receive(request("CANCEL", branch="z9hG4bK7"), UDP, now=0.1)
    received = [output.transaction for output in layer.outputs() if isinstance(output, RequestReceived)]
    assert [layer.invite_of(transaction) for transaction in received if transaction is not None] == [received[0]] * 2


# ------------------------------------------------------------------------------------------------------- all together

STEPS = st.lists(
    st.tuples(
        st.sampled_from(("request", "receive", "respond", "response", "cancel", "lose", "time")),
        st.sampled_from(("INVITE", "OPTIONS", "ACK", "CANCEL")),
        st.sampled_from((100, 180, 200, 404, 486, 603)),
        st.integers(1, 4),
        st.sampled_from((UDP, TCP)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_each_transaction_ends_and_nothing_is_kept(
    steps: list[tuple[str, str, int, int, Hop]],
) -> None:
    layer = make()
    now = 0.0
    started: set[int] = set()
    ended: list[int] = []

    def drain() -> None:
        for output in layer.outputs():
            match output:
                case RequestReceived(transaction) if transaction is not None:
                    started.add(transaction)
                case Terminated(transaction):
                    ended.append(transaction)
                case _:
                    pass

    for what, method, status, number, hop in steps:
        now += 0.3
        message = request(method, branch=f"z9hG4bK{number}")
        match what:
            case "request":
                try:
                    started.add(layer.request(message, hop, now=now))
                except LocalProtocolError:
                    continue
            case "receive":
                layer.receive(message, hop, now=now)
            case "respond":
                layer.respond(TransactionId(number), answer(message, status), now=now)
            case "response":
                layer.receive(answer(message, status), hop, now=now)
            case "cancel":
                try:
                    layer.cancel(TransactionId(number), now=now)
                except LocalProtocolError:
                    continue
            case "lose":
                layer.flow_lost(FlowId("tcp"), now=now)
            case _:
                now += 3.0
                layer.handle_timeout(now=now)
        drain()
    # What rings has no end of its own: its user cancels or answers.
    for transaction in range(1, 100):
        try:
            layer.cancel(TransactionId(transaction), now=now)
        except LocalProtocolError:
            continue
        finally:
            layer.respond(TransactionId(transaction), answer(request(), 486), now=now)
    settle(layer)
    drain()
    assert sorted(ended) == sorted(started)
    assert (len(layer), layer.next_timeout()) == (0, None)
