"""The scenario table (corpus/08-scenarios): calls to us. Each test bears the id of its row."""

import pytest
from sip.test_invite_races import answered, ended, quiet, ringing, talking_in
from sip.test_user_agent import ALLOW, answer_to
from sip.ua_pipe import ANSWER, OFFER, Stranger

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sip.call_events import (
    CallConfirmed,
    CallEnded,
    IncomingCall,
    ReofferAnswered,
    ReofferReceived,
)
from sansio_sip.sip.limits import Limits
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import parse_message

RELIABLE = (("Supported", "100rel"),)


def test_can_06_cancel_while_ringing() -> None:
    peer, _call, invite = ringing()
    peer.give(peer.request("CANCEL", branch=invite.top_via.branch))
    assert peer.names() == ["200 CANCEL", "487 INVITE"]
    peer.give(peer.request("ACK", branch=invite.top_via.branch, to_tag="x"))
    assert len(ended(peer)) == 1
    quiet(peer)


@pytest.mark.parametrize("first", ["answer", "cancel"])
def test_can_08_cancel_while_the_application_accepts(first: str) -> None:
    peer, call, invite = ringing()
    cancel = peer.request("CANCEL", branch=invite.top_via.branch)
    if first == "answer":
        peer.ua.answer(call, ANSWER, now=peer.now)
        peer.give(cancel)
        assert peer.names() == ["200 INVITE", "200 CANCEL"]
        assert ended(peer) == []
        return
    peer.give(cancel)
    with pytest.raises(LocalProtocolError):
        peer.ua.answer(call, ANSWER, now=peer.now)
    assert peer.names() == ["200 CANCEL", "487 INVITE"]
    assert len(ended(peer)) == 1


def test_can_09_cancel_for_an_unknown_transaction() -> None:
    peer = Stranger()
    assert answer_to(peer, peer.request("CANCEL")).status == 481


def test_uas_01_invite_without_body_gets_our_offer() -> None:
    peer = Stranger()
    invite = peer.request("INVITE")
    peer.give(invite)
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    assert event.description is None
    peer.ua.answer(event.call, OFFER, now=peer.now)
    (ok,) = peer.sent()
    assert ok.body == OFFER
    peer.give(peer.request("ACK", to_tag=ok.to.tag, body=ANSWER))
    assert peer.events() == [CallConfirmed(event.call, ANSWER)]


def test_uas_03_invite_again_after_ack_is_no_new_call() -> None:
    peer = Stranger(limits=Limits(dialogs=1))
    invite = peer.request("INVITE", body=OFFER)
    peer.give(invite)
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    (ok,) = peer.sent()
    peer.give(peer.request("ACK", to_tag=ok.to.tag))
    peer.give(invite)  # absorbed: the 2xx has its ACK
    assert peer.sent() == []
    assert [type(each) for each in peer.events()] == [CallConfirmed]
    peer.give(peer.request("BYE", number=2, to_tag=ok.to.tag))
    peer.wait(40)
    peer.sent()
    assert answer_to(peer, peer.request("OPTIONS", call_id="later")).status == 200
    peer.give(peer.request("INVITE", call_id="next", body=OFFER))
    assert any(isinstance(each, IncomingCall) for each in peer.events())


def test_uas_04_without_ack_the_200_is_repeated_then_bye() -> None:
    peer, _call, _invite, _tag = answered()
    peer.wait(31.9)
    assert peer.names() == ["200 INVITE"] * 10
    peer.wait(0.2)
    assert peer.names() == ["BYE"]
    assert [end.cause for end in ended(peer)] == ["No ACK"]


def test_uas_06_without_ack_the_486_is_repeated_until_timer_h() -> None:
    peer, call, _invite = ringing()
    peer.ua.reject(call, 486, now=peer.now)
    assert peer.names() == ["486 INVITE"]
    peer.wait(31.9)
    assert peer.names() == ["486 INVITE"] * 10
    peer.events()
    quiet(peer, 1.0)


def test_uas_07_invite_again_before_an_answer() -> None:
    peer, call, invite = ringing()
    peer.wait(0.2)
    assert peer.names() == ["100 INVITE"]
    peer.give(invite)
    assert peer.names() == ["100 INVITE"]
    peer.ua.ring(call, now=peer.now)
    first = peer.sent()
    peer.give(invite)
    assert peer.sent() == first
    assert peer.events() == []


def test_uas_08_merged_request() -> None:
    peer, _call, _invite = ringing()
    other_way = peer.request("INVITE", body=OFFER, branch="z9hG4bKotherway")
    assert answer_to(peer, other_way).status == 482


def test_uas_09_several_unknown_requirements() -> None:
    peer = Stranger()
    response = answer_to(peer, peer.request("INVITE", headers=(("Require", "foo, bar"), ("Require", "baz"))))
    assert (response.status, response.headers.get("Unsupported")) == (420, "foo, bar, baz")


@pytest.mark.parametrize(("content_type", "status"), [("text/plain", 415), (None, 415)])
def test_uas_11_body_that_is_no_description(content_type: str | None, status: int) -> None:
    peer = Stranger()
    invite = peer.request("INVITE", body=b"x", content_type=content_type)
    assert answer_to(peer, invite).status == status


def test_uas_13_description_among_clutter() -> None:
    peer = Stranger()
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"
    peer.give(peer.request("INVITE", body=body, content_type='multipart/mixed;boundary="b"'))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    assert event.description == b"v=0"


def test_uas_16_via_with_rport() -> None:
    peer = Stranger()
    peer.hop = type(peer.hop)("UDP", Address("198.51.100.7", 40000), peer.hop.local, peer.hop.flow)
    peer.give(peer.request("OPTIONS"))
    ((data, hop),) = peer.node.take()
    via = parse_message(data).top_via
    assert (via.received, via.rport, hop.address) == ("198.51.100.7", 40000, peer.hop.address)


def test_uas_18_busy() -> None:
    peer, call, invite = ringing()
    peer.ua.reject(call, 486, now=peer.now)
    assert peer.names() == ["486 INVITE"]
    peer.give(peer.request("ACK", branch=invite.top_via.branch))
    peer.wait(10)
    assert peer.names() == []
    assert len(ended(peer)) == 1


def test_uas_20_method_of_cseq_is_another() -> None:
    data = bytes(Stranger().request("OPTIONS")).replace(b"1 OPTIONS", b"1 INVITE")
    with pytest.raises(ParseError) as caught:
        parse_message(data)
    assert caught.value.status == 400
    peer = Stranger()
    peer.ua.receive_malformed(data, caught.value, peer.hop, now=peer.now)
    assert peer.names() == ["400 INVITE"]


@pytest.mark.parametrize(("method", "status"), [("FOO", 501), ("PUBLISH", 405), ("REGISTER", 405)])
def test_uas_23_method_that_is_unknown_or_not_allowed(method: str, status: int) -> None:
    peer = Stranger()
    response = answer_to(peer, peer.request(method))
    assert (response.status, response.headers.get("Allow")) == (status, ALLOW)


@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO", "UPDATE", "PRACK", "REFER", "MESSAGE", "NOTIFY"])
def test_uas_24_request_for_an_unknown_dialog(method: str) -> None:
    peer = Stranger()
    assert answer_to(peer, peer.request(method, to_tag="nobody")).status == 481
    peer.give(peer.request("ACK", to_tag="nobody"))
    assert peer.sent() == []


def test_uas_25_lower_cseq() -> None:
    peer, _call, tag = talking_in()
    peer.give(peer.request("OPTIONS", number=7, to_tag=tag))
    assert peer.names() == ["200 OPTIONS"]
    assert answer_to(peer, peer.request("INFO", number=6, to_tag=tag)).status == 500
    assert ended(peer) == []


def test_uas_28_invite_again_in_accepted_state_is_absorbed() -> None:
    peer, _call, invite, _tag = answered()
    peer.give(invite)
    assert peer.sent() == []
    assert peer.events() == []


# Reliable provisional responses


def invited(**options: object) -> tuple[Stranger, IncomingCall, Request]:
    headers = options.pop("headers", RELIABLE)
    body = options.pop("body", OFFER)
    peer = Stranger(**options)  # type: ignore[arg-type]
    invite = peer.request("INVITE", body=body, headers=headers)  # type: ignore[arg-type]
    peer.give(invite)
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    return peer, event, invite


def prack(peer: Stranger, response: Response, *, number: int = 2, body: bytes = b"") -> Request:
    rack = (("RAck", f"{response.rseq} {response.cseq.number} INVITE"),)
    return peer.request("PRACK", number=number, to_tag=response.to.tag, headers=rack, body=body)


def early() -> tuple[Stranger, IncomingCall, Response]:
    """Alice has sent a reliable 183 with her answer."""
    peer, event, _invite = invited()
    peer.ua.progress(event.call, ANSWER, now=peer.now)
    (response,) = peer.sent()
    assert isinstance(response, Response)
    return peer, event, response


def test_rel_02_100rel_is_required_and_we_have_it_disabled() -> None:
    peer = Stranger(reliability="none")
    response = answer_to(peer, peer.request("INVITE", headers=(("Require", "100rel"),)))
    assert (response.status, response.headers.get("Unsupported")) == (420, "100rel")


def test_rel_02_we_require_it_and_the_caller_knows_it_not() -> None:
    peer = Stranger(reliability="required")
    response = answer_to(peer, peer.request("INVITE", body=OFFER))
    assert (response.status, response.headers.get("Require")) == (421, "100rel")


def test_rel_06_prack_never_comes() -> None:
    peer, _event, response = early()
    assert (response.status, response.require, response.body) == (183, ("100rel",), ANSWER)
    times: list[float] = []
    start = peer.now
    while peer.now - start < 33:
        peer.wait(0.1)
        times += [round(peer.now - start, 1) for name in peer.names() if name == "183 INVITE"]
    assert times == pytest.approx([0.5, 1.5, 3.5, 7.5, 15.5, 31.5], abs=0.11)
    assert [end.status for end in ended(peer)] == [504]


def test_rel_06_prack_ends_the_repetition_and_a_second_one_is_unknown() -> None:
    peer, _event, response = early()
    peer.give(prack(peer, response))
    assert peer.names() == ["200 PRACK"]
    assert answer_to(peer, prack(peer, response, number=3)).status == 481
    peer.wait(40)
    assert peer.names() == []


def test_answer_waits_for_the_prack_of_an_early_answer() -> None:
    peer, event, response = early()
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    assert peer.names() == []
    with pytest.raises(LocalProtocolError, match="PRACK"):
        peer.ua.answer(event.call, ANSWER, now=peer.now)
    peer.give(prack(peer, response))
    assert peer.names() == ["200 PRACK", "200 INVITE"]


def test_refusal_does_not_wait_for_a_prack() -> None:
    peer, event, response = early()
    peer.ua.reject(event.call, 486, now=peer.now)
    assert peer.names() == ["486 INVITE"]
    assert answer_to(peer, prack(peer, response)).status == 481  # the call is over, and its dialog


def test_provisional_responses_go_one_after_the_other() -> None:
    peer, event, _invite = invited(headers=(("Require", "100rel"),))
    peer.ua.ring(event.call, now=peer.now)
    peer.ua.progress(event.call, ANSWER, now=peer.now)
    (first,) = peer.sent()
    assert isinstance(first, Response)
    peer.give(prack(peer, first))
    _, second = peer.sent()
    assert isinstance(second, Response)
    assert first.rseq is not None
    assert (first.status, second.status, second.rseq) == (180, 183, first.rseq + 1)


def test_offer_in_a_reliable_response_is_answered_in_the_prack() -> None:
    peer, event, _invite = invited(body=b"")
    peer.ua.progress(event.call, OFFER, now=peer.now)
    (response,) = peer.sent()
    assert isinstance(response, Response)
    assert response.body == OFFER
    peer.give(prack(peer, response, body=ANSWER))
    assert peer.names() == ["200 PRACK"]
    assert peer.events() == [ReofferAnswered(event.call, ANSWER)]
    peer.ua.answer(event.call, b"", now=peer.now)
    (ok,) = peer.sent()
    assert ok.body == b""
    peer.give(peer.request("ACK", to_tag=ok.to.tag))
    assert peer.events() == [CallConfirmed(event.call, None)]


def test_required_100rel_and_no_offer_keep_us_from_ringing_without_one() -> None:
    peer, event, _invite = invited(body=b"", headers=(("Require", "100rel"),))
    peer.ua.ring(event.call, now=peer.now)
    assert peer.names() == []


@pytest.mark.parametrize("good", [True, False])
def test_rel_10_update_in_an_early_dialog(good: bool) -> None:
    peer, event, response = early()
    peer.give(prack(peer, response))
    peer.sent()
    peer.give(peer.request("UPDATE", number=3, to_tag=response.to.tag, body=b"v=0 more\r\n"))
    assert peer.events() == [ReofferReceived(event.call, b"v=0 more\r\n")]
    if good:
        peer.ua.answer_reoffer(event.call, ANSWER, now=peer.now)
    else:
        peer.ua.reject_reoffer(event.call, 488, now=peer.now)
    (answer,) = peer.sent()
    assert isinstance(answer, Response)
    assert (answer.status, answer.body) == ((200, ANSWER) if good else (488, b""))
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    (ok,) = peer.sent()
    peer.give(peer.request("ACK", to_tag=ok.to.tag))
    assert [type(each) for each in peer.events()] == [CallConfirmed]
    peer.wait(40)
    assert peer.names() == []


def test_dlg_17_update_in_an_early_dialog_whose_offer_is_open() -> None:
    peer, event, _invite = invited()
    peer.ua.ring(event.call, now=peer.now)
    (ringing_response,) = peer.sent()
    tag = ringing_response.to.tag
    response = answer_to(peer, peer.request("UPDATE", number=2, to_tag=tag, body=OFFER))
    assert response.status == 500
    assert response.headers.get("Retry-After") is not None
    assert answer_to(peer, peer.request("UPDATE", number=3, to_tag=tag)).status == 200
    assert not any(isinstance(each, CallEnded) for each in peer.events())
