"""Each race of a call by its name: one user agent, and a peer that the test plays (RFC 3261 13 to 15, RFC 5407)."""

import pytest
from sip.ua_pipe import ANSWER, OFFER, Stranger

from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.call_events import (
    CallAccepted,
    CallConfirmed,
    CallEnd,
    CallEnded,
    CallId,
    CallProgress,
    EndKind,
    IncomingCall,
    InfoReceived,
    ReofferAnswered,
    ReofferReceived,
    ReofferRejected,
)
from sansio_sip.sip.headers import Reason
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.uri import SipUri

TARGET = SipUri("192.0.2.2", "bob")
CANCELED = CallEnd(EndKind.CANCELED, "local", 487, "Canceled")
HUNG_UP = CallEnd(EndKind.HUNG_UP, "local", 200, "Terminated")


def calling(**more: object) -> tuple[Stranger, CallId, Request]:
    """Alice has sent an INVITE."""
    peer = Stranger(**more)  # type: ignore[arg-type]
    call = peer.ua.invite(TARGET, OFFER, now=peer.now)
    (invite,) = peer.sent()
    assert isinstance(invite, Request)
    return peer, call, invite


def talking_out(**more: object) -> tuple[Stranger, CallId, Request]:
    """Alice's call was answered by Bob."""
    peer, call, invite = calling(**more)
    peer.respond(invite, 200, body=ANSWER)
    assert peer.names() == ["ACK"]
    peer.events()
    return peer, call, invite


def ringing(**more: object) -> tuple[Stranger, CallId, Request]:
    """Bob's INVITE has come to Alice."""
    peer = Stranger()
    invite = peer.request("INVITE", body=OFFER, **more)  # type: ignore[arg-type]
    peer.give(invite)
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    return peer, event.call, invite


def answered() -> tuple[Stranger, CallId, Request, str]:
    """Alice has answered Bob, whose ACK has not come."""
    peer, call, invite = ringing()
    peer.ua.answer(call, ANSWER, now=peer.now)
    (ok,) = peer.sent()
    assert ok.to.tag
    return peer, call, invite, ok.to.tag


def talking_in() -> tuple[Stranger, CallId, str]:
    """Bob's call was answered by Alice."""
    peer, call, _, tag = answered()
    peer.give(peer.request("ACK", to_tag=tag))
    peer.events()
    return peer, call, tag


def ended(peer: Stranger) -> list[CallEnd]:
    return [event.end for event in peer.events() if isinstance(event, CallEnded)]


def quiet(peer: Stranger, seconds: float = 70.0) -> None:
    """Time goes by, and nothing is left: no row, no timer, no second end."""
    peer.wait(seconds)
    assert peer.ua.is_idle
    assert peer.ua.next_timeout() is None
    assert not peer.ua._sessions
    assert not peer.ua._departures
    assert not peer.ua._desk
    assert ended(peer) == []


# The caller


def test_call_that_is_answered_and_hung_up() -> None:
    peer, call, invite = calling()
    assert (invite.max_forwards, invite.to.tag, invite.cseq.number) == (70, None, 1)
    assert str(invite.contacts[0]) == "<sip:alice@192.0.2.1:5060>"
    peer.respond(invite, 100)
    peer.respond(invite, 180)
    peer.respond(invite, 200, body=ANSWER)
    (ack,) = peer.sent()
    assert isinstance(ack, Request)
    assert (ack.method, ack.cseq.number, str(ack.uri)) == ("ACK", 1, "sip:bob@192.0.2.2:5060")
    assert ack.top_via.branch != invite.top_via.branch
    progress, accepted = peer.events()
    assert isinstance(progress, CallProgress)
    assert (progress.status, progress.branch, progress.description) == (180, "bob", None)
    assert isinstance(accepted, CallAccepted)
    assert (accepted.branch, accepted.description) == ("bob", ANSWER)
    peer.ua.hangup(call, now=peer.now)
    (bye,) = peer.sent()
    assert isinstance(bye, Request)
    assert (bye.method, bye.cseq.number) == ("BYE", 2)
    assert peer.events() == [CallEnded(call, HUNG_UP)]
    peer.respond(bye, 200)
    quiet(peer)


def test_repeated_2xx_is_acknowledged_by_the_same_ack() -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 200, body=ANSWER)
    (first,) = peer.sent()
    for _ in range(3):
        peer.respond(invite, 200, body=ANSWER)
    assert peer.sent() == [first, first, first]
    assert [type(event) for event in peer.events()] == [CallAccepted]


def test_repeated_2xx_after_hang_up_is_acknowledged() -> None:
    peer, call, invite = talking_out()
    peer.ua.hangup(call, now=peer.now)
    (bye,) = peer.sent()
    assert isinstance(bye, Request)
    peer.respond(bye, 200)
    peer.respond(invite, 200, body=ANSWER)
    assert peer.names() == ["ACK"]
    assert ended(peer) == [HUNG_UP]
    quiet(peer)


def test_cancel_before_any_provisional_waits_for_it() -> None:
    peer, call, invite = calling()
    peer.ua.hangup(call, reason=Reason("SIP", 487, "Canceled"), now=peer.now)
    assert peer.names() == []
    assert peer.events() == [CallEnded(call, CANCELED)]
    assert not peer.ua.is_idle
    peer.respond(invite, 100)
    (cancel,) = peer.sent()
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.cseq.number, cancel.uri) == ("CANCEL", 1, invite.uri)
    assert cancel.top_via == invite.top_via
    assert cancel.reason_header == Reason("SIP", 487, "Canceled")
    peer.respond(cancel, 200)
    peer.respond(invite, 487)
    assert peer.names() == ["ACK"]
    quiet(peer)


def test_cancel_crossing_200_ok_sends_ack_then_bye() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.ua.hangup(call, now=peer.now)
    assert peer.names() == ["CANCEL"]
    peer.respond(invite, 200, body=ANSWER)
    ack, bye = peer.sent()
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert (ack.method, ack.cseq.number, bye.method, bye.cseq.number) == ("ACK", 1, "BYE", 2)
    assert [event for event in peer.events() if isinstance(event, CallEnded | CallAccepted)] == [
        CallEnded(call, CANCELED)
    ]
    assert not peer.ua.is_idle
    peer.respond(bye, 200)
    assert peer.ua.is_idle
    quiet(peer)


def test_200_ok_before_any_provisional_beats_a_cancel_that_was_held() -> None:
    peer, call, invite = calling()
    peer.ua.hangup(call, now=peer.now)
    peer.respond(invite, 200, body=ANSWER)
    assert peer.names() == ["ACK", "BYE"]
    assert ended(peer) == [CANCELED]


def test_cancel_without_final_response_gives_up_after_64_t1() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.ua.hangup(call, now=peer.now)
    (cancel,) = peer.sent()
    assert isinstance(cancel, Request)
    peer.respond(cancel, 200)
    peer.wait(31.9)
    assert not peer.ua.is_idle
    peer.events()
    peer.wait(0.2)
    assert peer.ua.is_idle
    quiet(peer)


def test_no_answer_at_all_ends_as_request_timeout() -> None:
    peer, call, _ = calling()
    peer.wait(33)
    assert peer.names() == ["INVITE"] * 6
    assert peer.events() == [CallEnded(call, CallEnd(EndKind.FAILED, "system", 408, "Request Timeout"))]
    quiet(peer)


@pytest.mark.parametrize(
    ("status", "how", "cause"),
    [
        (486, EndKind.FAILED, "Busy"),
        (600, EndKind.FAILED, "Busy"),
        (403, EndKind.REJECTED, "Rejected"),
        (603, EndKind.REJECTED, "Rejected"),
        (404, EndKind.FAILED, "Not Found"),
        (480, EndKind.FAILED, "Unavailable"),
        (488, EndKind.FAILED, "Incompatible SDP"),
        (302, EndKind.FAILED, "Redirected"),
        (500, EndKind.FAILED, "SIP Failure Code"),
        (407, EndKind.FAILED, "Authentication Error"),
    ],
)
def test_failure_response_ends_the_call(status: int, how: EndKind, cause: str) -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 180)
    peer.respond(invite, status, headers=(("Reason", 'Q.850;cause=17;text="User busy"'),))
    assert peer.names() == ["ACK"]
    end = CallEnd(how, "remote", status, cause, Reason("Q.850", 17, "User busy"))
    assert ended(peer) == [end]
    quiet(peer)


def test_forked_call_keeps_the_first_to_answer_and_says_bye_to_the_other() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180, tag="a", contact="<sip:bob@192.0.2.10>")
    peer.respond(invite, 183, tag="b", body=ANSWER, contact="<sip:bob@192.0.2.11>")
    peer.respond(invite, 200, tag="b", body=ANSWER, contact="<sip:bob@192.0.2.11>")
    peer.respond(invite, 200, tag="a", body=b"v=0 late\r\n", contact="<sip:bob@192.0.2.10>")
    ack_b, ack_a, bye_a = peer.sent()
    assert isinstance(ack_b, Request)
    assert isinstance(ack_a, Request)
    assert isinstance(bye_a, Request)
    assert (ack_b.method, str(ack_b.uri), ack_b.to.tag) == ("ACK", "sip:bob@192.0.2.11", "b")
    assert (ack_a.method, ack_a.to.tag, bye_a.method, bye_a.to.tag) == ("ACK", "a", "BYE", "a")
    assert [(type(event), event.branch) for event in peer.events()] == [  # type: ignore[attr-defined]
        (CallProgress, "a"),
        (CallProgress, "b"),
        (CallAccepted, "b"),
    ]
    peer.respond(bye_a, 200)
    # The surplus branch has ended, and repeats of either 2xx are acknowledged still.
    peer.respond(invite, 200, tag="a")
    peer.respond(invite, 200, tag="b")
    assert peer.sent() == [ack_a, ack_b]
    peer.ua.hangup(call, now=peer.now)
    (bye_b,) = peer.sent()
    assert bye_b.to.tag == "b"
    assert ended(peer) == [HUNG_UP]


def test_branches_are_bounded() -> None:
    peer, _call, invite = calling()
    for number in range(100):
        peer.respond(invite, 180, tag=f"t{number}")
    assert len(peer.events()) == 16
    for number in range(100):
        peer.respond(invite, 200, tag=f"u{number}")
    assert len(peer.sent()) == 16 + 15  # an ACK each, and a BYE for all but the first


def test_200_ok_that_no_dialog_can_be_made_of_ends_the_call() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 200, contact="<<<")
    assert ended(peer) == [CallEnd(EndKind.FAILED, "system", 408, "Request Timeout")]
    assert peer.names() == []
    quiet(peer)
    assert call


def test_provisional_without_a_tag_is_passed_over() -> None:
    peer, _call, invite = calling()
    peer.give(invite.response(180))
    assert peer.events() == []


def test_bye_of_a_callee_whose_every_200_ok_was_lost_ends_the_call() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180, tag="a")
    peer.respond(invite, 180, tag="b")
    tag = invite.from_.tag
    peer.give(peer.request("BYE", call_id=invite.call_id, to_tag=tag, from_tag="a"))
    assert peer.names() == ["200 BYE"]
    assert ended(peer) == []
    peer.give(peer.request("BYE", call_id=invite.call_id, to_tag=tag, from_tag="b"))
    ok, cancel = peer.sent()
    assert isinstance(ok, Response)
    assert isinstance(cancel, Request)
    assert cancel.method == "CANCEL"
    assert peer.events() == [CallEnded(call, CallEnd(EndKind.HUNG_UP, "remote", 200, "Terminated"))]
    peer.respond(cancel, 200)
    quiet(peer)


def test_strict_and_loose_route_sets() -> None:
    loose = (("Record-Route", "<sip:192.0.2.21;lr>, <sip:192.0.2.20;lr>"),)
    peer, call, invite = calling()
    peer.respond(invite, 200, headers=loose)
    (ack,) = peer.sent()
    assert isinstance(ack, Request)
    assert [str(route.uri) for route in ack.routes] == ["sip:192.0.2.20;lr", "sip:192.0.2.21;lr"]
    assert str(ack.uri) == "sip:bob@192.0.2.2:5060"
    peer, call, invite = calling()
    peer.respond(invite, 200, headers=(("Record-Route", "<sip:192.0.2.21;lr>, <sip:192.0.2.20>"),))
    (ack,) = peer.sent()
    assert isinstance(ack, Request)
    assert str(ack.uri) == "sip:192.0.2.20"
    assert [str(route.uri) for route in ack.routes] == ["sip:192.0.2.21;lr", "sip:bob@192.0.2.2:5060"]
    assert call


# The callee


def test_incoming_call_rings_is_answered_and_confirmed() -> None:
    peer, call, _invite = ringing(headers=(("X-PH-Order", "42"),))
    assert peer.names() == []
    peer.ua.ring(call, now=peer.now)
    peer.ua.answer(call, ANSWER, now=peer.now)
    ring, ok = peer.sent()
    assert isinstance(ring, Response)
    assert isinstance(ok, Response)
    assert (ring.status, ok.status, ok.body, ring.to.tag) == (180, 200, ANSWER, ok.to.tag)
    assert str(ok.contacts[0]) == "<sip:alice@192.0.2.1:5060>"
    peer.give(peer.request("ACK", to_tag=ok.to.tag))
    assert peer.events() == [CallConfirmed(call, None)]
    peer.wait(40)
    assert peer.names() == []


def test_offer_in_our_answer_is_answered_in_the_ack() -> None:
    peer = Stranger()
    peer.give(peer.request("INVITE"))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    assert event.description is None
    peer.ua.answer(event.call, OFFER, now=peer.now)
    (ok,) = peer.sent()
    peer.give(peer.request("ACK", to_tag=ok.to.tag, body=ANSWER))
    assert peer.events() == [CallConfirmed(event.call, ANSWER)]


def test_our_200_ok_is_sent_again_until_the_late_ack() -> None:
    peer, call, _invite, tag = answered()
    peer.wait(10.0)  # 0.5, 1.5, 3.5, 7.5
    assert peer.names() == ["200 INVITE"] * 4
    peer.give(peer.request("ACK", to_tag=tag))
    peer.wait(20.0)
    assert peer.names() == []
    assert peer.events() == [CallConfirmed(call, None)]


def test_no_ack_for_64_t1_says_bye_and_a_late_ack_changes_nothing() -> None:
    peer, call, _invite, tag = answered()
    peer.wait(32.1)
    assert peer.names()[-1] == "BYE"
    assert peer.events() == [CallEnded(call, CallEnd(EndKind.FAILED, "remote", 408, "No ACK"))]
    peer.give(peer.request("ACK", to_tag=tag))
    assert peer.events() == []
    quiet(peer)


def test_hang_up_before_the_ack_waits_for_it() -> None:
    peer, call, _invite, tag = answered()
    peer.ua.hangup(call, now=peer.now)
    assert peer.names() == []
    assert peer.events() == [CallEnded(call, HUNG_UP)]
    peer.wait(1.0)
    assert peer.names() == ["200 INVITE"]
    peer.give(peer.request("ACK", to_tag=tag))
    assert peer.names() == ["BYE"]
    peer.wait(0.1)
    peer.give(peer.request("ACK", to_tag=tag))
    assert peer.names() == []
    quiet(peer)


def test_hang_up_before_an_ack_that_never_comes_says_bye_in_the_end() -> None:
    peer, call, _invite, _tag = answered()
    peer.ua.hangup(call, now=peer.now)
    peer.wait(32.1)
    assert peer.names()[-1] == "BYE"
    assert ended(peer) == [HUNG_UP]
    quiet(peer)


def test_bye_before_the_ack_ends_the_call() -> None:
    peer, call, _invite, tag = answered()
    peer.give(peer.request("BYE", number=2, to_tag=tag))
    assert peer.names() == ["200 BYE"]
    assert peer.events() == [CallEnded(call, CallEnd(EndKind.HUNG_UP, "remote", 200, "Terminated"))]
    quiet(peer)


def test_bye_while_our_bye_waits_for_an_ack() -> None:
    peer, call, _invite, tag = answered()
    peer.ua.hangup(call, now=peer.now)
    peer.give(peer.request("BYE", number=2, to_tag=tag))
    assert peer.names() == ["200 BYE"]
    assert peer.ua.is_idle
    assert ended(peer) == [HUNG_UP]
    quiet(peer)


def test_cancel_while_ringing() -> None:
    peer, call, invite = ringing()
    peer.ua.ring(call, now=peer.now)
    cancel = peer.request(
        "CANCEL",
        branch=invite.top_via.branch,
        headers=(("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),),
    )
    peer.give(cancel)
    ring, ok, terminated = peer.sent()
    assert isinstance(ok, Response)
    assert isinstance(terminated, Response)
    assert (ok.status, ok.cseq.method, terminated.status, terminated.cseq.method) == (200, "CANCEL", 487, "INVITE")
    assert ring.to.tag == ok.to.tag == terminated.to.tag
    reason = Reason("SIP", 200, "Call completed elsewhere")
    assert ended(peer) == [CallEnd(EndKind.CANCELED, "remote", 487, "Canceled", reason)]
    with pytest.raises(LocalProtocolError):
        peer.ua.answer(call, ANSWER, now=peer.now)
    quiet(peer)


def test_cancel_after_our_200_ok_has_no_effect() -> None:
    peer, call, invite, tag = answered()
    peer.give(peer.request("CANCEL", branch=invite.top_via.branch))
    assert peer.names() == ["200 CANCEL"]
    peer.give(peer.request("ACK", to_tag=tag))
    assert peer.events() == [CallConfirmed(call, None)]


def test_cancel_of_nothing_is_481() -> None:
    peer = Stranger()
    peer.give(peer.request("CANCEL"))
    assert peer.names() == ["481 CANCEL"]


def test_reject_and_hang_up_while_ringing() -> None:
    peer, call, _invite = ringing()
    peer.ua.reject(call, 603, now=peer.now)
    assert peer.names() == ["603 INVITE"]
    assert ended(peer) == [CallEnd(EndKind.REJECTED, "local", 603, "Rejected")]
    quiet(peer)
    peer, call, _invite = ringing()
    peer.ua.hangup(call, now=peer.now)
    assert peer.names() == ["480 INVITE"]
    assert ended(peer) == [CallEnd(EndKind.REJECTED, "local", 480, "Rejected")]


def test_expires_of_the_invite() -> None:
    peer, _call, _invite = ringing(headers=(("Expires", "20"),))
    peer.wait(20.1)
    assert "487 INVITE" in peer.names()
    assert ended(peer) == [CallEnd(EndKind.FAILED, "system", 487, "Expires")]


def test_ringing_is_told_again_every_minute() -> None:
    peer, call, _invite = ringing()
    peer.ua.ring(call, now=peer.now)
    peer.wait(125)
    assert peer.names() == ["180 INVITE"] * 3


def test_bye_in_an_early_dialog_ends_it() -> None:
    peer, call, _invite = ringing()
    peer.ua.ring(call, now=peer.now)
    (ring,) = peer.sent()
    peer.give(peer.request("BYE", number=2, to_tag=ring.to.tag))
    assert peer.names() == ["200 BYE", "487 INVITE"]
    assert ended(peer) == [CallEnd(EndKind.CANCELED, "remote", 487, "Canceled")]


# The end of an established call


def test_bye_crossing_bye_ends_once_and_both_are_answered() -> None:
    peer, call, tag = talking_in()
    peer.ua.hangup(call, now=peer.now)
    (bye,) = peer.sent()
    assert isinstance(bye, Request)
    peer.give(peer.request("BYE", number=2, to_tag=tag, headers=(("Reason", "Q.850;cause=16"),)))
    assert peer.names() == ["200 BYE"]
    peer.respond(bye, 481)
    assert ended(peer) == [HUNG_UP]
    quiet(peer)


def test_bye_of_the_peer_with_its_reason() -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("BYE", number=2, to_tag=tag, headers=(("Reason", 'Q.850;cause=16;text="Clearing"'),)))
    end = CallEnd(EndKind.HUNG_UP, "remote", 200, "Terminated", Reason("Q.850", 16, "Clearing"))
    assert peer.events() == [CallEnded(call, end)]
    quiet(peer)


def test_bye_without_any_answer_is_over_for_us_at_once() -> None:
    peer, call, _invite = talking_out()
    peer.ua.hangup(call, now=peer.now)
    assert peer.events() == [CallEnded(call, HUNG_UP)]
    assert not peer.ua.is_idle
    quiet(peer)


@pytest.mark.parametrize(("status", "cause"), [(481, "Dialog Error"), (408, "Request Timeout")])
def test_481_and_408_in_a_dialog_end_it(status: int, cause: str) -> None:
    peer, call, _invite = talking_out()
    peer.ua.send_info(call, "application/dtmf-relay", b"Signal=1\r\n", now=peer.now)
    (info,) = peer.sent()
    assert isinstance(info, Request)
    peer.respond(info, status)
    assert peer.names() == ["BYE"]
    assert ended(peer) == [CallEnd(EndKind.FAILED, "remote", status, cause)]
    quiet(peer)


def test_info_without_any_answer_ends_the_call() -> None:
    peer, call, _invite = talking_out()
    peer.ua.send_info(call, "text/plain", b"x", now=peer.now)
    peer.wait(33)
    assert ended(peer) == [CallEnd(EndKind.FAILED, "system", 408, "Request Timeout")]
    quiet(peer)


def test_info_of_the_peer_is_answered_and_told() -> None:
    peer, call, tag = talking_in()
    peer.give(
        peer.request("INFO", number=2, to_tag=tag, body=b"Signal=5\r\n", content_type="Application/DTMF-Relay;x=1")
    )
    peer.give(peer.request("INFO", number=3, to_tag=tag))
    peer.give(peer.request("INFO", number=4, to_tag=tag, body=b"x", content_type=None))
    assert peer.names() == ["200 INFO", "200 INFO", "415 INFO"]
    assert peer.events() == [InfoReceived(call, "application/dtmf-relay", b"Signal=5\r\n"), InfoReceived(call, "", b"")]


def test_requests_out_of_order_are_refused() -> None:
    peer, _call, tag = talking_in()
    peer.give(peer.request("OPTIONS", number=7, to_tag=tag))
    peer.give(peer.request("INFO", number=5, to_tag=tag))
    assert peer.names() == ["200 OPTIONS", "500 INFO"]


# Later offers


def test_reoffer_answered_and_its_2xx_repeated() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, b"v=0 again\r\n", now=peer.now)
    (again,) = peer.sent()
    assert isinstance(again, Request)
    assert (again.method, again.cseq.number, again.to.tag) == ("INVITE", 2, "bob")
    peer.respond(again, 100)
    peer.respond(again, 200, body=ANSWER, contact="<sip:bob@192.0.2.9>")
    peer.respond(again, 200, body=ANSWER, contact="<sip:bob@192.0.2.9>")
    first, second = peer.sent()
    assert first == second
    assert isinstance(first, Request)
    assert (first.method, first.cseq.number, str(first.uri)) == ("ACK", 2, "sip:bob@192.0.2.9")
    assert peer.events() == [ReofferAnswered(call, ANSWER)]


def test_reoffer_refused_leaves_the_call_as_it_was() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, OFFER, now=peer.now)
    (again,) = peer.sent()
    assert isinstance(again, Request)
    peer.respond(again, 488)
    assert peer.names() == ["ACK"]
    assert peer.events() == [ReofferRejected(call, 488, "Incompatible SDP")]
    peer.ua.reoffer(call, OFFER, now=peer.now)


def test_reoffer_refused_with_481_ends_the_call() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, OFFER, now=peer.now)
    (again,) = peer.sent()
    assert isinstance(again, Request)
    peer.respond(again, 481)
    assert peer.names() == ["ACK", "BYE"]
    assert ended(peer) == [CallEnd(EndKind.FAILED, "remote", 481, "Dialog Error")]


def test_second_reoffer_while_one_is_open_is_our_error() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, OFFER, now=peer.now)
    with pytest.raises(LocalProtocolError, match="wait for it"):
        peer.ua.reoffer(call, OFFER, now=peer.now)


@pytest.mark.parametrize(("outgoing", "earliest", "latest"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_glare_is_refused_with_491_and_tried_again_later(outgoing: bool, earliest: float, latest: float) -> None:
    if outgoing:
        peer, call, invite = talking_out()
        theirs = peer.request("INVITE", call_id=invite.call_id, to_tag=invite.from_.tag, body=OFFER)
    else:
        peer, call, tag = talking_in()
        theirs = peer.request("INVITE", number=2, to_tag=tag, body=OFFER)
    start = peer.now
    peer.ua.reoffer(call, OFFER, now=peer.now)
    (ours,) = peer.sent()
    assert isinstance(ours, Request)
    peer.give(theirs)
    peer.respond(ours, 491)
    assert peer.names() == ["491 INVITE", "ACK"]
    assert peer.events() == []
    due = [name for name in peer.names() if name == "INVITE"]
    while not due:
        peer.wait(0.01)
        due = [name for name in peer.names() if name == "INVITE"]
    assert earliest <= peer.now - start <= latest + 0.02


def test_offer_of_the_peer_overtakes_ours_that_waits() -> None:
    peer, call, tag = talking_in()
    peer.ua.reoffer(call, OFFER, now=peer.now)
    (ours,) = peer.sent()
    assert isinstance(ours, Request)
    peer.respond(ours, 491)
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=b"v=0 theirs\r\n"))
    assert peer.events() == [
        ReofferRejected(call, 491, "SIP Failure Code", overtaken=True),
        ReofferReceived(call, b"v=0 theirs\r\n"),
    ]
    peer.ua.answer_reoffer(call, ANSWER, now=peer.now)
    peer.give(peer.request("ACK", number=2, to_tag=tag))
    peer.wait(10)
    assert "INVITE" not in peer.names()


def test_peer_that_says_491_for_ever_is_not_asked_for_ever() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, OFFER, now=peer.now)
    for _ in range(11):
        again = [message for message in peer.sent() if message.cseq.method == "INVITE"][-1]
        assert isinstance(again, Request)
        peer.respond(again, 491)
        peer.wait(5)
    assert peer.events() == [ReofferRejected(call, 491, "SIP Failure Code")]


def test_reinvite_answered_and_our_200_repeated_until_its_ack() -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=OFFER))
    assert peer.events() == [ReofferReceived(call, OFFER)]
    peer.ua.answer_reoffer(call, ANSWER, now=peer.now)
    peer.wait(1)
    assert peer.names() == ["200 INVITE", "200 INVITE"]
    peer.give(peer.request("ACK", number=2, to_tag=tag))
    peer.wait(30)
    assert peer.names() == []
    assert peer.events() == []


def test_reinvite_without_offer_gets_ours_and_answers_in_its_ack() -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag))
    assert peer.events() == [ReofferReceived(call, None)]
    peer.ua.answer_reoffer(call, OFFER, now=peer.now)
    peer.give(peer.request("INVITE", number=3, to_tag=tag, body=OFFER))
    assert peer.names() == ["200 INVITE", "491 INVITE"]
    peer.give(peer.request("ACK", number=2, to_tag=tag, body=ANSWER))
    assert peer.events() == [ReofferAnswered(call, ANSWER)]


def test_second_reinvite_before_the_first_is_answered_is_500_with_retry_after() -> None:
    peer, _call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=OFFER))
    peer.give(peer.request("INVITE", number=3, to_tag=tag, body=OFFER))
    (refusal,) = peer.sent()
    assert isinstance(refusal, Response)
    assert refusal.status == 500
    assert 0 <= int(refusal.headers.get("Retry-After") or "-1") <= 10


def test_cancel_of_a_reinvite_withdraws_it() -> None:
    peer, call, tag = talking_in()
    theirs = peer.request("INVITE", number=2, to_tag=tag, body=OFFER)
    peer.give(theirs)
    peer.give(peer.request("CANCEL", number=2, to_tag=tag, branch=theirs.top_via.branch))
    assert peer.names() == ["200 CANCEL", "487 INVITE"]
    peer.ua.answer_reoffer(call, ANSWER, now=peer.now)
    assert peer.names() == []
    assert ended(peer) == []


def test_bye_while_a_reinvite_waits_answers_both() -> None:
    peer, _call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=OFFER))
    peer.give(peer.request("BYE", number=3, to_tag=tag))
    assert peer.names() == ["200 BYE", "487 INVITE"]
    assert len(ended(peer)) == 1
    quiet(peer)


def test_hang_up_while_our_reinvite_is_open_and_it_succeeds_late() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, OFFER, now=peer.now)
    (again,) = peer.sent()
    assert isinstance(again, Request)
    peer.ua.hangup(call, now=peer.now)
    (bye,) = peer.sent()
    assert isinstance(bye, Request)
    assert (bye.method, bye.cseq.number) == ("BYE", 3)
    peer.respond(again, 200, body=ANSWER)
    peer.respond(bye, 200)
    assert peer.names() == ["ACK"]
    assert peer.events() == [CallEnded(call, HUNG_UP)]
    quiet(peer)


def test_reinvite_before_the_ack_to_the_first_is_491() -> None:
    peer, _call, _invite, tag = answered()
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=OFFER))
    assert peer.names() == ["491 INVITE"]


def test_target_refresh_moves_later_requests() -> None:
    peer, call, tag = talking_in()
    theirs = peer.request("INVITE", number=2, to_tag=tag, body=OFFER)
    theirs.headers.set("Contact", "<sip:bob@192.0.2.77:5080>")
    peer.give(theirs)
    peer.ua.reject_reoffer(call, now=peer.now)
    peer.ua.hangup(call, now=peer.now)
    bye = peer.sent()[-1]
    assert isinstance(bye, Request)
    assert (bye.method, str(bye.uri)) == ("BYE", "sip:bob@192.0.2.77:5080")


# The flow


def test_flow_lost_ends_what_is_not_answered_and_keeps_what_is() -> None:
    peer, call, _invite = calling()
    peer.ua.flow_lost("gone", now=peer.now)
    assert peer.events() == [CallEnded(call, CallEnd(EndKind.FAILED, "system", 503, "Connection Error"))]
    peer, call, _invite = ringing()
    peer.ua.flow_lost("gone", now=peer.now)
    assert peer.events() == [CallEnded(call, CallEnd(EndKind.FAILED, "system", 503, "Connection Error"))]
    peer, call, _tag = talking_in()
    peer.ua.flow_lost("gone", now=peer.now)
    assert peer.events() == []


def test_bye_waits_for_the_next_flow() -> None:
    peer, call, _tag = talking_in()
    peer.ua.flow_lost("gone", now=peer.now)
    peer.ua.hangup(call, now=peer.now)
    assert peer.events() == [CallEnded(call, HUNG_UP)]
    assert peer.names() == []
    assert not peer.ua.is_idle
    peer.ua.flow_ready(peer.node.hop, now=peer.now)
    assert peer.names() == ["BYE"]


def test_bye_in_flight_when_the_flow_breaks_is_said_on_the_next() -> None:
    peer, call, _tag = talking_in()
    peer.ua.hangup(call, now=peer.now)
    peer.ua.flow_lost("gone", now=peer.now)
    peer.ua.flow_ready(peer.node.hop, now=peer.now)
    assert peer.names() == ["BYE", "BYE"]
    assert ended(peer) == [HUNG_UP]
    quiet(peer)


def test_bye_without_a_flow_is_given_up_in_the_end() -> None:
    peer, call, _tag = talking_in()
    peer.ua.flow_lost("gone", now=peer.now)
    peer.ua.hangup(call, now=peer.now)
    peer.events()
    quiet(peer)


@pytest.mark.parametrize("by_peer", [True, False])
def test_an_offer_that_the_peer_never_decides_ends_with_the_call(by_peer: bool) -> None:
    """A 1xx ends the retransmissions of a re-INVITE, and with them every timer of it: CANCEL brings one back."""
    peer, call, invite = talking_out()
    peer.ua.reoffer(call, OFFER, now=peer.now)
    (again,) = peer.sent()
    assert isinstance(again, Request)
    peer.respond(again, 100)
    if by_peer:
        peer.give(peer.request("BYE", call_id=invite.call_id, to_tag=invite.from_.tag))
    else:
        peer.ua.hangup(call, now=peer.now)
        (bye,) = (message for message in peer.sent() if isinstance(message, Request) and message.method == "BYE")
        peer.respond(bye, 200)
    cancels = [message for message in peer.sent() if isinstance(message, Request) and message.method == "CANCEL"]
    assert [cancel.cseq.number for cancel in cancels] == [again.cseq.number]
    assert len(ended(peer)) == 1
    quiet(peer)
