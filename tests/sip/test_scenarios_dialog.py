"""The scenario table (corpus/08-scenarios): what happens in a call. Each test bears the id of its row."""

import pytest
from sip.test_invite_races import TARGET, calling, ended, quiet, talking_in, talking_out
from sip.test_user_agent import answer_to
from sip.ua_pipe import ANSWER, OFFER, Stranger

from sansio_sip.errors import ParseError
from sansio_sip.sip.call_events import (
    CallEnded,
    CallId,
    CallProgress,
    DescriptionChanged,
    IncomingCall,
    InfoReceived,
    MessageReceived,
    ReferProgress,
    ReferReceived,
    ReofferAnswered,
    ReofferReceived,
    ReofferRejected,
)
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.sip.session_headers import Replaces, SessionExpires
from sansio_sip.sip.uri import SipUri

NEW = b"v=0 new\r\n"
ALLOWS_UPDATE = (("Allow", "INVITE, ACK, BYE, UPDATE"),)


def one(messages: list[Message]) -> Request:
    (message,) = messages
    assert isinstance(message, Request)
    return message


def response_of(messages: list[Message]) -> Response:
    (message,) = messages
    assert isinstance(message, Response)
    return message


def test_dlg_01_both_offer_again_at_once() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, NEW, now=peer.now)
    ours = one(peer.sent())
    assert (
        answer_to(peer, peer.request("INVITE", call_id=ours.call_id, to_tag=ours.from_.tag, body=OFFER)).status == 491
    )
    peer.respond(ours, 491)
    peer.sent()
    start = peer.now
    while "INVITE" not in peer.names():
        peer.wait(0.05)
    assert 2.1 <= peer.now - start <= 4.06


def test_dlg_03_reinvite_with_a_new_description() -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("INVITE", number=5, to_tag=tag, body=NEW))
    assert peer.events() == [ReofferReceived(call, NEW)]
    peer.ua.answer_reoffer(call, ANSWER, now=peer.now)
    ok = response_of(peer.sent())
    assert (ok.status, ok.cseq.number, ok.to.tag, ok.body) == (200, 5, tag, ANSWER)


def test_dlg_04_reinvite_without_description_gets_our_offer() -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag))
    assert peer.events() == [ReofferReceived(call, None)]
    peer.ua.answer_reoffer(call, OFFER, now=peer.now)
    assert response_of(peer.sent()).body == OFFER
    peer.give(peer.request("ACK", number=2, to_tag=tag, body=ANSWER))
    assert peer.events() == [ReofferAnswered(call, ANSWER)]


def test_dlg_07_a_refused_reinvite_leaves_the_call_and_the_next_succeeds() -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=NEW))
    peer.ua.reject_reoffer(call, 488, now=peer.now)
    assert peer.names() == ["488 INVITE"]
    peer.give(peer.request("INVITE", number=3, to_tag=tag, body=OFFER))
    peer.ua.answer_reoffer(call, ANSWER, now=peer.now)
    assert peer.names() == ["200 INVITE"]
    assert not any(isinstance(event, CallEnded) for event in peer.events())


@pytest.mark.parametrize("status", [481, 408])
def test_dlg_10_481_to_reinvite_ends_the_call(status: int) -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, NEW, now=peer.now)
    peer.respond(one(peer.sent()), status)
    assert peer.names() == ["ACK", "BYE"]
    assert [end.status for end in ended(peer)] == [status]


def test_dlg_11_403_to_reinvite_leaves_the_call() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, NEW, now=peer.now)
    peer.respond(one(peer.sent()), 403)
    assert peer.names() == ["ACK"]
    assert peer.events() == [ReofferRejected(call, 403, "Rejected")]


def test_dlg_13_bye_and_bye_cross() -> None:
    peer, call, tag = talking_in()
    peer.ua.hangup(call, now=peer.now)
    bye = one(peer.sent())
    peer.give(peer.request("BYE", number=2, to_tag=tag))
    assert peer.names() == ["200 BYE"]
    peer.respond(bye, 481)
    assert len(ended(peer)) == 1
    quiet(peer)


def test_dlg_16_no_answer_to_bye() -> None:
    peer, call, _tag = talking_in()
    peer.ua.hangup(call, now=peer.now)
    assert len(ended(peer)) == 1
    quiet(peer, 33.0)


@pytest.mark.parametrize("body", [b"", NEW])
def test_dlg_17_update_in_a_confirmed_dialog(body: bytes) -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("UPDATE", number=2, to_tag=tag, body=body))
    if body:
        assert peer.events() == [ReofferReceived(call, NEW)]
        peer.ua.answer_reoffer(call, ANSWER, now=peer.now)
    ok = response_of(peer.sent())
    assert (ok.status, ok.body) == (200, ANSWER if body else b"")
    peer.wait(40)
    assert peer.names() == []  # it has no ACK to wait for


def test_dlg_17_update_while_our_offer_is_open() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, NEW, now=peer.now)
    ours = one(peer.sent())
    update = peer.request("UPDATE", call_id=ours.call_id, to_tag=ours.from_.tag, body=OFFER)
    assert answer_to(peer, update).status == 491


def test_dlg_17_update_of_the_callee_while_the_call_is_early() -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 183)
    update = peer.request("UPDATE", call_id=invite.call_id, to_tag=invite.from_.tag, body=OFFER)
    assert answer_to(peer, update).status == 491
    again = peer.request("UPDATE", number=2, call_id=invite.call_id, to_tag=invite.from_.tag)
    assert answer_to(peer, again).status == 200


def test_dlg_20_reinvite_with_nothing_usable() -> None:
    peer, call, tag = talking_in()
    peer.give(peer.request("INVITE", number=2, to_tag=tag, body=b"v=0\r\n"))
    peer.ua.reject_reoffer(call, 488, now=peer.now)
    assert peer.names() == ["488 INVITE"]
    assert not any(isinstance(event, CallEnded) for event in peer.events())


def test_dlg_21_500_to_reinvite_and_the_next_one() -> None:
    peer, call, _invite = talking_out()
    peer.ua.reoffer(call, NEW, now=peer.now)
    first = one(peer.sent())
    peer.respond(first, 500)
    assert peer.names() == ["ACK"]
    peer.ua.reoffer(call, NEW, now=peer.now)
    second = one(peer.sent())
    assert second.cseq.number == first.cseq.number + 1
    peer.respond(second, 200, body=ANSWER)
    assert peer.names() == ["ACK"]
    assert isinstance(peer.events()[-1], ReofferAnswered)


# PRACK, ours


def progress(peer: Stranger, invite: Request, number: int, *, tag: str = "bob", body: bytes = b"") -> list[str]:
    headers = (("Require", "100rel"), ("RSeq", str(number)))
    peer.respond(invite, 183, tag=tag, headers=headers, body=body)
    return peer.names()


def test_rel_01_prack_names_what_it_acknowledges_and_gaps_are_not_acknowledged() -> None:
    peer, _call, invite = calling()
    assert "100rel" in invite.supported
    peer.respond(invite, 183, headers=(("Require", "100rel"), ("RSeq", "7")), body=ANSWER)
    prack = one(peer.sent())
    assert (prack.method, str(prack.rack), prack.to.tag) == ("PRACK", "7 1 INVITE", "bob")
    assert progress(peer, invite, 7) == []  # a copy
    assert progress(peer, invite, 9) == []  # 8 is missing
    assert progress(peer, invite, 8) == ["PRACK"]
    assert progress(peer, invite, 1, tag="other") == ["PRACK"]  # each branch counts by itself
    assert [type(event) for event in peer.events()] == [CallProgress] * 3


def test_rel_01_an_offer_in_a_reliable_response_is_answered_in_the_prack() -> None:
    peer = Stranger()
    call = peer.ua.invite(TARGET, b"", now=peer.now)
    invite = one(peer.sent())
    assert progress(peer, invite, 1, body=OFFER) == []
    (event,) = peer.events()
    assert isinstance(event, CallProgress)
    assert event.is_offer
    peer.ua.answer_offer(call, "bob", ANSWER, now=peer.now)
    prack = one(peer.sent())
    assert (prack.method, prack.body) == ("PRACK", ANSWER)
    peer.respond(invite, 200)
    assert peer.names() == ["ACK"]


def test_required_reliability_is_required_of_the_callee() -> None:
    _peer, _call, invite = calling(reliability="required")
    assert invite.require == ("100rel",)
    _peer, _call, invite = calling(reliability="none")
    assert "100rel" not in invite.supported


# Session timers


def refreshed(headers: tuple[tuple[str, str], ...], **more: object) -> tuple[Stranger, CallId]:
    """A call of ours whose 2xx has these headers."""
    peer, call, invite = calling(**more)
    peer.respond(invite, 200, headers=headers, body=ANSWER)
    assert peer.names() == ["ACK"]
    peer.events()
    return peer, call


def test_tmr_01_422_is_obeyed() -> None:
    peer, _call, invite = calling(session_expires=120)
    assert invite.headers.get("Session-Expires") == "120"
    peer.respond(invite, 422, headers=(("Min-SE", "3600"),), contact=None)
    ack, again = peer.sent()
    assert ack.cseq.method == "ACK"
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("3600", "3600")
    assert again.cseq.number == 2
    assert isinstance(again, Request)
    peer.respond(again, 422, headers=(("Min-SE", "3600"),), contact=None)  # bad: the same again
    assert peer.names() == ["ACK"]
    assert [end.status for end in ended(peer)] == [422]


def test_tmr_02_timer_is_required_of_us() -> None:
    peer = Stranger()
    headers = (("Require", "timer"), ("Session-Expires", "1800"))
    peer.give(peer.request("INVITE", body=OFFER, headers=headers))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    ok = response_of(peer.sent())
    assert ok.headers.get("Session-Expires") == "1800;refresher=uac"
    assert ok.require == ("timer",)
    peer.give(peer.request("ACK", to_tag=ok.to.tag))
    peer.wait(1800 - 33)
    assert peer.names() == []
    peer.wait(2)  # 32 s before the end
    assert set(peer.names()) == {"BYE"}
    assert [end.cause for end in ended(peer)] == ["Session Expired"]


def test_tmr_02_a_refresh_of_the_peer_keeps_the_call() -> None:
    peer = Stranger()
    headers = (("Supported", "timer"), ("Session-Expires", "100;refresher=uac"))
    peer.give(peer.request("INVITE", body=OFFER, headers=headers))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    tag = response_of(peer.sent()).to.tag
    peer.give(peer.request("ACK", to_tag=tag))
    for number in range(2, 40):
        peer.wait(50)
        ok = answer_to(peer, peer.request("UPDATE", number=number, to_tag=tag, headers=headers))
        assert ok.headers.get("Session-Expires") == "100;refresher=uac"
    assert ended(peer) == []


def test_tmr_03_interval_below_our_minimum() -> None:
    peer = Stranger()
    headers = (("Supported", "timer"), ("Session-Expires", "60"))
    response = answer_to(peer, peer.request("INVITE", body=OFFER, headers=headers))
    assert (response.status, response.headers.get("Min-SE")) == (422, "90")


def test_tmr_05_we_refresh_at_half_time_by_update() -> None:
    peer, _call = refreshed((*ALLOWS_UPDATE, ("Session-Expires", "200;refresher=uac")))
    peer.wait(99)
    assert peer.names() == []
    peer.wait(1)
    update = one(peer.sent())
    assert (update.method, update.body) == ("UPDATE", b"")
    assert update.headers.get("Session-Expires") == "200;refresher=uac"
    peer.respond(update, 200, headers=(("Session-Expires", "200;refresher=uac"),))
    peer.wait(100)
    assert peer.names() == ["UPDATE"]
    assert ended(peer) == []


def test_tmr_05_update_that_is_refused_is_followed_by_a_reinvite_that_says_the_same() -> None:
    peer, _call = refreshed((*ALLOWS_UPDATE, ("Session-Expires", "200;refresher=uac")))
    peer.wait(100)
    peer.respond(one(peer.sent()), 400)
    peer.wait(10)
    again = one(peer.sent())
    assert (again.method, again.body) == ("INVITE", OFFER)  # octet for octet, o= and all
    peer.respond(again, 200, headers=(("Session-Expires", "200;refresher=uac"),), body=ANSWER)
    assert peer.names() == ["ACK"]
    assert peer.events() == []  # nobody has asked for it
    peer.wait(100)
    assert peer.names() == ["INVITE"]


def test_tmr_05_another_description_in_the_answer_to_a_refresh_is_told() -> None:
    peer, call = refreshed((("Session-Expires", "200;refresher=uac"),))
    peer.wait(100)
    peer.respond(one(peer.sent()), 200, headers=(("Session-Expires", "200;refresher=uac"),), body=NEW)
    assert peer.names() == ["ACK"]
    assert peer.events() == [DescriptionChanged(call)]


def test_tmr_05_refreshes_that_nobody_answers_end_the_call() -> None:
    peer, _call = refreshed((*ALLOWS_UPDATE, ("Session-Expires", "200;refresher=uac")))
    peer.wait(100 + 33)
    assert set(peer.names()) == {"UPDATE", "BYE"}
    assert [end.status for end in ended(peer)] == [408]


def test_tmr_07_parameters_with_white_space() -> None:
    value = SessionExpires.parse("210  ;   refresher  =  UAS ; foo  =  bar")
    assert (value.seconds, value.refresher) == (210, "uas")
    with pytest.raises(ParseError):
        SessionExpires.parse("x")


def test_peer_without_timers_has_no_limit() -> None:
    peer, _call = refreshed(())
    peer.wait(100_000)
    assert peer.names() == []
    assert ended(peer) == []


# REFER and Replaces


ALLOW = CallPolicy(refer=Consent.ALLOW)
TO_CAROL = (("Refer-To", "<sip:carol@192.0.2.3>"), ("Referred-By", "<sip:bob@example.com>"))


def referable(policy: CallPolicy = ALLOW) -> tuple[Stranger, CallId, str]:
    peer = Stranger(policy=policy)
    peer.give(peer.request("INVITE", body=OFFER))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    tag = response_of(peer.sent()).to.tag or ""
    peer.give(peer.request("ACK", to_tag=tag))
    peer.events()
    return peer, event.call, tag


def test_xfr_01_refer_202_notify_100_notify_200() -> None:
    peer, call, tag = referable()
    peer.give(peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL))
    (asked,) = peer.events()
    assert isinstance(asked, ReferReceived)
    assert (str(asked.target), asked.replaces, str(asked.referred_by)) == (
        "sip:carol@192.0.2.3",
        None,
        "<sip:bob@example.com>",
    )
    peer.ua.accept_refer(call, asked.refer, now=peer.now)
    accepted, trying = peer.sent()
    assert isinstance(accepted, Response)
    assert isinstance(trying, Request)
    assert (accepted.status, trying.method, trying.headers.get("Event")) == (202, "NOTIFY", "refer;id=2")
    assert trying.body == b"SIP/2.0 100 Trying\r\n"
    peer.respond(trying, 200)
    peer.ua.report_refer(call, asked.refer, 200, now=peer.now)
    last = one(peer.sent())
    assert last.body == b"SIP/2.0 200 OK\r\n"
    assert (last.headers.get("Subscription-State") or "").startswith("terminated")
    peer.respond(last, 200)
    peer.give(peer.request("BYE", number=3, to_tag=tag))
    assert len(ended(peer)) == 1
    quiet(peer)


def test_xfr_01_ours_is_told_as_it_goes() -> None:
    peer, call, _invite = talking_out()
    number = peer.ua.refer(call, SipUri("192.0.2.3", "carol"), now=peer.now)
    refer = one(peer.sent())
    assert refer.headers.get("Refer-To") == "<sip:carol@192.0.2.3>"
    peer.respond(refer, 202)
    for sequence, (status, state) in enumerate(((100, "active;expires=60"), (180, "active"), (200, "terminated")), 1):
        headers = (("Event", f"refer;id={refer.cseq.number}"), ("Subscription-State", state))
        body = f"SIP/2.0 {status} x\r\n".encode()
        notify = peer.request(
            "NOTIFY",
            number=sequence,
            call_id=refer.call_id,
            to_tag=refer.from_.tag,
            headers=headers,
            body=body,
            content_type="message/sipfrag",
        )
        assert answer_to_notify(peer, notify) == 200
    assert peer.events() == [
        ReferProgress(call, number, 100),
        ReferProgress(call, number, 180),
        ReferProgress(call, number, 200, final=True),
    ]
    assert (
        answer_to_notify(peer, peer.request("NOTIFY", number=9, call_id=refer.call_id, to_tag=refer.from_.tag)) == 400
    )


def answer_to_notify(peer: Stranger, notify: Request) -> int:
    before = len(peer.node.sent)
    peer.give(notify)
    peer.node.take()
    (response,) = peer.node.sent[before:]
    assert isinstance(response, Response)
    return response.status


def test_xfr_02_refer_with_replaces() -> None:
    peer, call, tag = referable()
    target = "<sip:carol@192.0.2.3?Replaces=abc%40host%3Bto-tag%3Dx%3Bfrom-tag%3Dy>"
    peer.give(peer.request("REFER", number=2, to_tag=tag, headers=(("Refer-To", target),)))
    (asked,) = peer.events()
    assert isinstance(asked, ReferReceived)
    assert asked.call == call
    assert asked.replaces is not None
    assert (asked.replaces.call_id, asked.replaces.to_tag, asked.replaces.from_tag) == ("abc@host", "x", "y")
    assert str(asked.target) == "sip:carol@192.0.2.3"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 400),
        ((("Refer-To", "<sip:a@192.0.2.3>"), ("Refer-To", "<sip:b@192.0.2.3>")), 400),
        ((("Refer-To", "<"),), 400),
        ((("Refer-To", "<tel:+15550100>"),), 416),
        ((("Refer-To", "<sip:a@192.0.2.3;method=BYE>"),), 603),
        ((("Refer-To", "<sip:a@192.0.2.3?Replaces=x>"),), 400),
    ],
)
def test_refer_that_cannot_be_followed(headers: tuple[tuple[str, str], ...], status: int) -> None:
    peer, _call, tag = referable()
    assert answer_to(peer, peer.request("REFER", number=2, to_tag=tag, headers=headers)).status == status
    assert peer.events() == []


def test_refer_is_refused_unless_the_policy_allows_it() -> None:
    peer, _call, tag = referable(CallPolicy())
    assert answer_to(peer, peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL)).status == 603
    assert answer_to(peer, peer.request("REFER", call_id="x", headers=TO_CAROL)).status == 603
    peer, _call, tag = referable(CallPolicy(refer=Consent.ALLOW, domains=("example.com",)))
    assert answer_to(peer, peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL)).status == 603


def replacing(peer: Stranger, replaces: str) -> Request:
    return peer.request("INVITE", call_id="carol-1", from_tag="carol", body=OFFER, headers=(("Replaces", replaces),))


def test_xfr_03_invite_that_replaces_a_call() -> None:
    peer, call, tag = talking_in()
    peer.give(replacing(peer, f"bob-1;to-tag={tag};from-tag=bob"))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    assert event.replaces == call
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    peer.ua.hangup(call, now=peer.now)
    assert peer.names() == ["200 INVITE", "BYE"]


def test_xfr_03_a_call_of_ours_that_rings_may_be_replaced_but_none_that_rings_here() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.events()
    peer.give(replacing(peer, f"{invite.call_id};to-tag={invite.from_.tag};from-tag=bob"))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    assert event.replaces == call
    peer = Stranger()
    peer.give(peer.request("INVITE", body=OFFER))
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    peer.ua.ring(event.call, now=peer.now)
    (ringing,) = peer.sent()
    assert answer_to(peer, replacing(peer, f"bob-1;to-tag={ringing.to.tag};from-tag=bob")).status == 481


@pytest.mark.parametrize(
    ("replaces", "status"),
    [
        ("nobody;to-tag=a;from-tag=b", 481),
        ("bob-1;to-tag={tag};from-tag=other", 481),
        ("bob-1;to-tag={tag};from-tag=bob;early-only", 486),
        ("bob-1;to-tag={tag}", 400),
    ],
)
def test_xfr_04_replaces_that_matches_nothing(replaces: str, status: int) -> None:
    peer, _call, tag = talking_in()
    assert answer_to(peer, replacing(peer, replaces.replace("{tag}", tag))).status == status
    assert peer.events() == []


def test_xfr_04_several_replaces_and_a_policy_that_allows_none() -> None:
    peer, _call, tag = talking_in()
    invite = replacing(peer, f"bob-1;to-tag={tag};from-tag=bob")
    invite.headers.add("Replaces", "x;to-tag=a;from-tag=b")
    assert answer_to(peer, invite).status == 400
    peer, _call, tag = referable(CallPolicy(replaces=Consent.REFUSE))
    assert answer_to(peer, replacing(peer, f"bob-1;to-tag={tag};from-tag=bob")).status == 603


def test_xfr_08_target_fails_and_the_call_is_kept() -> None:
    peer, call, tag = referable()
    peer.give(peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL))
    (asked,) = peer.events()
    assert isinstance(asked, ReferReceived)
    peer.ua.accept_refer(call, asked.refer, now=peer.now)
    peer.sent()
    peer.ua.report_refer(call, asked.refer, 486, now=peer.now)
    assert one(peer.sent()).body == b"SIP/2.0 486 Busy Here\r\n"
    assert peer.events() == []


def test_replaces_is_written_as_it_is_read() -> None:
    text = "abc@host;to-tag=1;from-tag=2"
    assert str(Replaces.parse(text)) == text
    assert Replaces.parse("a;to-tag=1;from-tag=0").from_tag == ""


# INFO, OPTIONS and MESSAGE in a call


def test_ood_02_options_in_a_call() -> None:
    peer, _call, tag = talking_in()
    response = answer_to(peer, peer.request("OPTIONS", number=2, to_tag=tag))
    assert response.status == 200
    assert all(name in response.headers for name in ("Allow", "Accept", "Supported"))
    assert peer.events() == []


def test_ood_05_info_with_and_without_a_body() -> None:
    peer, call, tag = talking_in()
    info = peer.request("INFO", number=2, to_tag=tag, body=b"Signal=1\r\n", content_type="application/dtmf-relay")
    assert answer_to_notify(peer, info) == 200
    assert answer_to_notify(peer, peer.request("INFO", number=3, to_tag=tag)) == 200
    assert peer.events() == [
        InfoReceived(call, "application/dtmf-relay", b"Signal=1\r\n"),
        InfoReceived(call, "", b""),
    ]


def test_message_in_a_call_both_ways() -> None:
    peer, call, tag = talking_in()
    message = peer.request("MESSAGE", number=2, to_tag=tag, body=b"hi", content_type="text/plain")
    assert answer_to_notify(peer, message) == 200
    (received,) = peer.events()
    assert isinstance(received, MessageReceived)
    assert (received.call, received.content_type, received.body) == (call, "text/plain", b"hi")
    peer.ua.send_message(call, "text/plain", b"yo", now=peer.now)
    sent = one(peer.sent())
    assert (sent.method, sent.body, sent.to.tag) == ("MESSAGE", b"yo", "bob")
