"""Whose turn it is: UPDATE with an offer at each point of a call (RFC 3311 sections 5.1 and 5.2), and BYE between."""

from collections.abc import Callable

import pytest
from sip.test_invite_races import TARGET, calling, ended, quiet, talking_in, talking_out
from sip.test_scenarios_callee import invited, prack
from sip.test_scenarios_dialog import one, progress
from sip.test_user_agent import answer_to
from sip.ua_pipe import ANSWER, OFFER, Stranger

from sansio_sip.sip.call_events import CallId, IncomingCall, ReofferReceived
from sansio_sip.sip.message import Request, Response

NEW = b"v=0 new\r\n"
Scene = tuple[Stranger, CallId, str, str, int]
"""The peer, the call, its Call-ID, our tag, and the number of her next request."""


def of_callee(peer: Stranger, event: IncomingCall, response: Response, number: int) -> Scene:
    return peer, event.call, "bob-1", response.to.tag or "", number


def of_caller(peer: Stranger, call: CallId, invite: Request) -> Scene:
    return peer, call, invite.call_id, invite.from_.tag or "", 1


def ringing() -> Scene:
    peer, event, _ = invited()
    peer.ua.ring(event.call, now=peer.now)
    return of_callee(peer, event, peer.sent()[-1], 2)  # type: ignore[arg-type]


def answered_early(reliable: bool) -> tuple[Stranger, IncomingCall, Response]:
    peer, event, _ = invited(headers=(("Supported", "100rel"),) if reliable else ())
    peer.ua.progress(event.call, ANSWER, now=peer.now)
    response = peer.sent()[-1]
    assert isinstance(response, Response)
    return peer, event, response


def early_answer_unreliable() -> Scene:
    return of_callee(*answered_early(reliable=False), 2)


def early_answer_acknowledged() -> Scene:
    peer, event, response = answered_early(reliable=True)
    peer.give(prack(peer, response))
    peer.sent()
    return of_callee(peer, event, response, 3)


def early_offer_of_ours() -> Scene:
    peer, event, _ = invited(body=b"")
    peer.ua.progress(event.call, OFFER, now=peer.now)
    return of_callee(peer, event, peer.sent()[-1], 2)  # type: ignore[arg-type]


def early_offer_of_ours_answered() -> Scene:
    peer, event, _ = invited(body=b"")
    peer.ua.progress(event.call, OFFER, now=peer.now)
    response = peer.sent()[-1]
    assert isinstance(response, Response)
    peer.give(prack(peer, response, body=ANSWER))
    peer.sent()
    return of_callee(peer, event, response, 3)


def offer_in_our_200() -> Scene:
    peer, event, _ = invited(body=b"")
    peer.ua.answer(event.call, OFFER, now=peer.now)
    return of_callee(peer, event, peer.sent()[-1], 2)  # type: ignore[arg-type]


def answer_in_our_200() -> Scene:
    peer, event, _ = invited()
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    return of_callee(peer, event, peer.sent()[-1], 2)  # type: ignore[arg-type]


def update_not_yet_answered() -> Scene:
    peer, call, call_id, tag, number = early_answer_acknowledged()
    peer.give(peer.request("UPDATE", number=number, to_tag=tag, body=OFFER))
    return peer, call, call_id, tag, number + 1


def reinvite_not_yet_answered() -> Scene:
    peer, call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=OFFER))
    return peer, call, "bob-1", tag, 3


def reoffer_of_ours_open() -> Scene:
    peer, call, invite = talking_out()
    peer.ua.reoffer(call, NEW, now=peer.now)
    return of_caller(peer, call, invite)


def confirmed_callee() -> Scene:
    peer, call, tag = talking_in()
    return peer, call, "bob-1", tag, 2


def confirmed_caller() -> Scene:
    peer, call, invite = talking_out()
    return of_caller(peer, call, invite)


def our_offer_unanswered() -> Scene:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    return of_caller(peer, call, invite)


def our_offer_answered_unreliably() -> Scene:
    peer, call, invite = calling()
    peer.respond(invite, 183, body=ANSWER)
    return of_caller(peer, call, invite)


def our_offer_answered_reliably() -> Scene:
    peer, call, invite = calling()
    assert progress(peer, invite, 7, body=ANSWER) == ["PRACK"]
    return of_caller(peer, call, invite)


def offer_in_a_reliable_response_to_us() -> Scene:
    peer = Stranger()
    call = peer.ua.invite(TARGET, b"", now=peer.now)
    invite = one(peer.sent())
    progress(peer, invite, 7, body=OFFER)
    return of_caller(peer, call, invite)


TABLE: tuple[tuple[Callable[[], Scene], int], ...] = (
    # What the UPDATE gets: 200 where there is no offer under way, 500 where hers is, 491 where ours is.
    (ringing, 500),
    (early_answer_unreliable, 500),  # RFC 3261 section 13.2.1: it is a foretaste; the answer is in the 200
    (early_answer_acknowledged, 200),
    (early_offer_of_ours, 491),
    (early_offer_of_ours_answered, 200),
    (offer_in_our_200, 491),
    (answer_in_our_200, 200),
    (update_not_yet_answered, 500),
    (reinvite_not_yet_answered, 500),
    (reoffer_of_ours_open, 491),
    (confirmed_callee, 200),
    (confirmed_caller, 200),
    (our_offer_unanswered, 491),
    (our_offer_answered_unreliably, 491),
    (our_offer_answered_reliably, 491),  # which of several early dialogs will count is not known yet
    (offer_in_a_reliable_response_to_us, 491),
)


@pytest.mark.parametrize(("state", "status"), TABLE, ids=lambda value: getattr(value, "__name__", value))
def test_update_with_an_offer_in_each_state(state: Callable[[], Scene], status: int) -> None:
    peer, call, call_id, tag, number = state()
    peer.sent()
    peer.events()
    update = peer.request("UPDATE", number=number, call_id=call_id, to_tag=tag, body=NEW)
    if status == 200:
        peer.give(update)
        assert ReofferReceived(call, NEW) in peer.events()
        peer.ua.answer_reoffer(call, ANSWER, now=peer.now)
        (response,) = peer.sent()
        assert isinstance(response, Response)
        assert (response.status, response.body) == (200, ANSWER)
        return
    response = answer_to(peer, update)
    assert response.status == status
    assert not any(isinstance(event, ReofferReceived) for event in peer.events())
    retry_after = response.headers.get("Retry-After")
    # "[...] and MUST include a Retry-After header field with a randomly chosen value between 0 and 10 seconds."
    assert (retry_after is not None and 0 <= int(retry_after) <= 10) is (status == 500)


@pytest.mark.parametrize("state", [state for state, _ in TABLE], ids=lambda state: state.__name__)
def test_update_without_an_offer_is_never_in_the_way(state: Callable[[], Scene]) -> None:
    peer, _call, call_id, tag, number = state()
    peer.sent()
    response = answer_to(peer, peer.request("UPDATE", number=number, call_id=call_id, to_tag=tag))
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize("status", [200, 481, 487, 491, 500])
def test_bye_of_the_peer_crossing_our_reinvite_ends_the_call_once(status: int) -> None:
    peer, call, invite = talking_out()
    peer.ua.reoffer(call, NEW, now=peer.now)
    ours = one(peer.sent())
    bye = peer.request("BYE", call_id=invite.call_id, to_tag=invite.from_.tag)
    assert answer_to(peer, bye).status == 200
    (end,) = ended(peer)
    assert (end.by, end.status) == ("remote", 200)
    peer.respond(ours, status, body=ANSWER if status == 200 else b"")
    # A 2xx is acknowledged by us, a failure by the transaction; neither brings anything back.
    assert peer.names() == ["ACK"]
    quiet(peer)
    assert peer.names() == []


@pytest.mark.parametrize("status", [200, 491])
def test_our_bye_crossing_a_reinvite_of_the_peer_ends_the_call_once(status: int) -> None:
    peer, call, tag = talking_in()
    peer.ua.hangup(call, now=peer.now)
    bye = one(peer.sent())
    assert answer_to(peer, peer.request("INVITE", number=2, to_tag=tag, body=OFFER)).status == 481
    peer.give(peer.request("ACK", number=2, to_tag=tag))
    peer.respond(bye, status)
    assert len(ended(peer)) == 1
    quiet(peer)
