"""REFER and its NOTIFYs when the call itself is over: the subscription is a usage of its own (RFC 5057 section 4.1)."""

import pytest
from sip.test_invite_races import ended, talking_out
from sip.test_scenarios_dialog import TO_CAROL, one, referable
from sip.test_user_agent import answer_to
from sip.ua_pipe import Stranger

from sansio_sip.sip.call_events import CallId, ReferProgress, ReferReceived
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.uri import SipUri

CAROL = SipUri("192.0.2.3", "carol")
ACTIVE, LAST = "active;expires=60", "terminated;reason=noresource"


def referring() -> tuple[Stranger, CallId, int, Request]:
    """Our REFER, accepted by 202."""
    peer, call, _invite = talking_out()
    number = peer.ua.refer(call, CAROL, now=peer.now)
    refer = one(peer.sent())
    peer.respond(refer, 202)
    peer.events()
    return peer, call, number, refer


def notify(peer: Stranger, refer: Request, sequence: int, status: str, state: str) -> Request:
    return peer.request(
        "NOTIFY",
        number=sequence,
        call_id=refer.call_id,
        to_tag=refer.from_.tag,
        headers=(("Event", f"refer;id={refer.cseq.number}"), ("Subscription-State", state)),
        body=f"SIP/2.0 {status}\r\n".encode(),
        content_type="message/sipfrag",
    )


def hang_up(peer: Stranger, call: CallId, refer: Request, who: str, number: int = 1) -> None:
    if who == "we":
        peer.ua.hangup(call, now=peer.now)
        (bye,) = [message for message in peer.sent() if isinstance(message, Request)]
        peer.respond(bye, 200)
    else:
        bye = peer.request("BYE", number=number, call_id=refer.call_id, to_tag=refer.from_.tag)
        assert answer_to(peer, bye).status == 200
    assert len(ended(peer)) == 1


def statuses(messages: list[Message]) -> list[int]:
    return [message.status for message in messages if isinstance(message, Response)]


@pytest.mark.parametrize("who", ["we", "they"])
@pytest.mark.parametrize(("status", "code"), [("200 OK", 200), ("486 Busy Here", 486), ("603 Decline", 603)])
def test_the_referrer_is_told_how_it_went_after_the_call(who: str, status: str, code: int) -> None:
    peer, call, number, refer = referring()
    hang_up(peer, call, refer, who)
    assert answer_to(peer, notify(peer, refer, 2, "180 Ringing", ACTIVE)).status == 200
    assert answer_to(peer, notify(peer, refer, 3, status, LAST)).status == 200
    assert peer.events() == [ReferProgress(call, number, 180), ReferProgress(call, number, code, final=True)]
    # That was the last usage of the dialog: nothing is left of it.
    assert answer_to(peer, notify(peer, refer, 4, "200 OK", LAST)).status == 481
    peer.wait(64.0)
    assert len(peer.ua._sessions) == 0


@pytest.mark.parametrize("who", ["we", "they"])
def test_the_referrer_does_not_wait_for_ever_after_the_call(who: str) -> None:
    peer, call, number, refer = referring()
    hang_up(peer, call, refer, who)
    peer.wait(100.0)
    assert answer_to(peer, notify(peer, refer, 2, "180 Ringing", ACTIVE)).status == 200
    assert peer.events() == [ReferProgress(call, number, 180)]
    peer.wait(61.0)
    assert peer.events() == [ReferProgress(call, number, 408, final=True)]
    assert len(peer.ua._sessions) == 0
    assert peer.ua.next_timeout() is None


def test_other_requests_find_no_dialog_after_the_call_though_notify_does() -> None:
    peer, call, _number, refer = referring()
    hang_up(peer, call, refer, "they")
    for sequence, method in enumerate(("INFO", "OPTIONS", "BYE", "UPDATE", "REFER"), start=2):
        request = peer.request(method, number=sequence, call_id=refer.call_id, to_tag=refer.from_.tag)
        assert answer_to(peer, request).status == 481, method
    assert answer_to(peer, notify(peer, refer, 9, "200 OK", LAST)).status == 200


@pytest.mark.parametrize("who", ["we", "they"])
def test_whoever_was_referred_tells_how_it_went_after_the_call(who: str) -> None:
    peer, call, tag = referable()
    peer.give(peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL))
    (asked,) = peer.events()
    assert isinstance(asked, ReferReceived)
    peer.ua.accept_refer(call, asked.refer, now=peer.now)
    for message in peer.sent():
        if isinstance(message, Request):
            peer.respond(message, 200)
    if who == "we":
        peer.ua.hangup(call, now=peer.now)
        peer.respond(one(peer.sent()), 200)
    else:
        assert answer_to(peer, peer.request("BYE", number=3, to_tag=tag)).status == 200
    peer.events()
    peer.ua.report_refer(call, asked.refer, 180, now=peer.now)
    ringing = one(peer.sent())
    assert (ringing.method, ringing.to.tag, ringing.body) == ("NOTIFY", "bob", b"SIP/2.0 180 Ringing\r\n")
    assert (ringing.headers.get("Subscription-State") or "").startswith("active")
    peer.respond(ringing, 200)
    peer.ua.report_refer(call, asked.refer, 200, now=peer.now)
    last = one(peer.sent())
    assert (last.headers.get("Subscription-State"), last.body) == (LAST, b"SIP/2.0 200 OK\r\n")
    peer.respond(last, 200)
    peer.wait(64.0)
    assert len(peer.ua._sessions) == 0


def test_a_referral_that_is_not_reported_on_ends_with_its_last_status() -> None:
    peer, call, tag = referable()
    peer.give(peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL))
    peer.ua.accept_refer(call, 2, now=peer.now)
    peer.respond(peer.sent()[-1], 200)  # type: ignore[arg-type]
    assert answer_to(peer, peer.request("BYE", number=3, to_tag=tag)).status == 200
    peer.wait(181.0)
    last = peer.sent()[0]  # and its copies
    assert last.headers.get("Subscription-State") == "terminated;reason=timeout"
    assert last.body == b"SIP/2.0 100 Trying\r\n"


@pytest.mark.parametrize("outcome", [481, None])
def test_nobody_hears_the_notify_and_no_more_are_sent(outcome: int | None) -> None:
    peer, call, tag = referable()
    peer.give(peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL))
    peer.ua.accept_refer(call, 2, now=peer.now)
    notified = peer.sent()[-1]
    assert isinstance(notified, Request)
    if outcome is None:
        peer.wait(33.0)
    else:
        peer.respond(notified, outcome)
    peer.sent()
    peer.ua.report_refer(call, 2, 200, now=peer.now)
    assert peer.sent() == []


def test_a_wish_that_nobody_has_accepted_is_refused_when_the_call_ends() -> None:
    peer, _call, tag = referable()
    peer.give(peer.request("REFER", number=2, to_tag=tag, headers=TO_CAROL))
    peer.give(peer.request("BYE", number=3, to_tag=tag))
    assert sorted(statuses(peer.sent())) == [200, 487]
