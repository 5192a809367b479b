"""The scenario table (corpus/08-scenarios): calls of ours. Each test bears the id of its row."""

import pytest
from sip.test_invite_races import TARGET, calling, ended, quiet, talking_out
from sip.ua_pipe import ANSWER, BOB, OFFER, Stranger, name_of

from sansio_sip.effects import Address
from sansio_sip.sip.call_events import CallAccepted, CallEnd, CallEnded, CallProgress, CallRedirected, EndKind
from sansio_sip.sip.message import Message, Request
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.sip.uri import SipUri

SERVER = Address("192.0.2.100", 5060)
EARLY = b"v=0 early\r\n"


def requests(messages: list[Message]) -> list[Request]:
    return [message for message in messages if isinstance(message, Request)]


def one(messages: list[Message]) -> Request:
    (message,) = messages
    assert isinstance(message, Request)
    return message


def test_uac_01_rfc_3665_3_1_ack_goes_end_to_end_then_bye() -> None:
    peer, call, invite = calling()
    for status in (100, 180):
        peer.respond(invite, status)
    peer.respond(invite, 200, body=ANSWER)
    ack = one(peer.sent())
    assert (ack.method, str(ack.uri)) == ("ACK", "sip:bob@192.0.2.2:5060")
    peer.ua.hangup(call, now=peer.now)
    bye = one(peer.sent())
    peer.respond(bye, 200)
    peer.events()
    quiet(peer)


def test_uac_02_407_gets_a_hop_by_hop_ack_and_a_new_invite() -> None:
    peer = Stranger(server=SERVER, password="secret", seed=1)
    peer.hop = peer.node.hop
    peer.ua.invite(SipUri("example.com", "bob"), OFFER, now=peer.now)
    first = one(peer.sent())
    challenge = (("Proxy-Authenticate", 'Digest realm="example.com", nonce="n", algorithm=MD5, qop="auth"'),)
    peer.respond(first, 407, headers=challenge, contact=None)
    ack, again = requests(peer.sent())
    assert ack.top_via.branch == first.top_via.branch
    assert (again.method, again.cseq.number, again.call_id) == ("INVITE", 2, first.call_id)
    assert again.top_via.branch != first.top_via.branch
    assert again.headers.get("Proxy-Authorization") is not None


def test_uac_06_unusable_early_description_leaves_the_call_to_its_200() -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 183, body=b"garbage")
    (progress,) = peer.events()
    assert isinstance(progress, CallProgress)
    peer.respond(invite, 200, body=ANSWER)
    assert peer.names() == ["ACK"]


def test_uac_08_200_without_sdp_is_acknowledged_and_told() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 200)
    assert peer.names() == ["ACK"]
    (accepted,) = peer.events()
    assert accepted.description is None  # type: ignore[attr-defined]
    peer.ua.hangup(call, now=peer.now)  # as the phone does then
    assert peer.names() == ["BYE"]


def test_uac_09_no_answer_over_udp_is_seven_invites_and_a_408_of_our_own() -> None:
    peer, call, _invite = calling()
    start, times = peer.now, [0.0]
    while not (found := peer.events()):
        due = peer.ua.next_timeout()
        assert due is not None
        peer.now = due
        peer.ua.handle_timeout(now=due)
        before = len(peer.node.sent)
        peer.node.take()
        times += [due - start] * (len(peer.node.sent) - before)
    assert times == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert peer.now - start == 32.0
    assert found == [CallEnded(call, CallEnd(EndKind.FAILED, "system", 408, "Request Timeout"))]


def test_uac_11_over_tcp_nothing_is_repeated_and_timer_b_runs() -> None:
    peer = Stranger(server=SERVER, transport="TCP")
    peer.ua.invite(SipUri("example.com", "bob"), OFFER, now=peer.now)
    assert peer.names() == ["INVITE"]
    peer.wait(31.9)
    assert peer.names() == []
    peer.wait(0.2)
    assert [end.status for end in ended(peer)] == [408]


def test_uac_12_repeated_486_gets_the_same_ack_and_is_told_once() -> None:
    peer, _call, invite = calling()
    busy = invite.response(486, to_tag="bob")
    peer.give(busy)
    first = peer.sent()
    assert [end.status for end in ended(peer)] == [486]
    peer.wait(31.0)
    peer.give(busy)
    assert peer.sent() == first
    assert ended(peer) == []
    quiet(peer)


def test_uac_13_repeated_200_gets_the_same_ack() -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 200, body=ANSWER)
    first = peer.sent()
    for _ in range(3):
        peer.respond(invite, 200, body=ANSWER)
        assert peer.sent() == first


def test_uac_14_two_200_with_different_tags_are_acknowledged_and_one_is_ended() -> None:
    peer, _call, _invite = talking_out()
    invite = _invite
    peer.respond(invite, 200, tag="other", body=ANSWER)
    ack, bye = requests(peer.sent())
    assert (ack.method, ack.to.tag, bye.method, bye.to.tag) == ("ACK", "other", "BYE", "other")
    assert ended(peer) == []


def test_uac_16_caller_gives_up() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.ua.hangup(call, now=peer.now)
    cancel = one(peer.sent())
    assert cancel.method == "CANCEL"
    peer.respond(cancel, 200)
    peer.respond(invite, 487)
    assert peer.names() == ["ACK"]
    peer.events()
    quiet(peer)


def test_uac_18_headers_of_the_first_invite() -> None:
    _peer, _call, invite = calling()
    assert invite.to.tag is None
    assert invite.from_.tag
    assert invite.cseq.method == "INVITE"
    assert invite.call_id
    assert invite.max_forwards == 70
    assert len(invite.contacts) == 1
    assert (invite.top_via.branch or "").startswith("z9hG4bK")


def test_uac_20_record_routes_are_reversed_and_loose() -> None:
    peer, call, invite = calling()
    rows = (("Record-Route", "<sip:192.0.2.21;lr>"), ("Record-Route", "<sip:192.0.2.22;lr>"))
    peer.respond(invite, 200, headers=rows, body=ANSWER)
    ack = one(peer.sent())
    assert [str(route) for route in ack.routes] == ["<sip:192.0.2.22;lr>", "<sip:192.0.2.21;lr>"]
    assert str(ack.uri) == "sip:bob@192.0.2.2:5060"
    peer.ua.hangup(call, now=peer.now)
    assert one(peer.sent()).routes == ack.routes


FOLLOW = CallPolicy(redirect=Consent.ALLOW)
ELSEWHERE = (("Contact", "<sip:carol@192.0.2.3>;q=0.5, <sip:dave@192.0.2.4>;q=0.9"),)


def test_red_01_302_is_acknowledged_and_followed() -> None:
    peer, call, invite = calling(policy=FOLLOW)
    peer.respond(invite, 302, headers=ELSEWHERE, contact=None)
    ack, again = requests(peer.sent())
    assert (ack.method, ack.top_via.branch) == ("ACK", invite.top_via.branch)
    assert (str(again.uri), again.call_id, again.cseq.number) == ("sip:dave@192.0.2.4", invite.call_id, 2)
    assert again.body == OFFER
    assert peer.events() == [CallRedirected(call, "sip:dave@192.0.2.4")]
    peer.respond(again, 404)
    last = [message for message in requests(peer.sent()) if message.method == "INVITE"]
    assert [str(message.uri) for message in last] == ["sip:carol@192.0.2.3"]
    peer.respond(last[0], 603)
    assert [end.status for end in ended(peer)] == [603]


def test_red_01_302_without_a_policy_for_it_ends_the_call() -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 302, headers=ELSEWHERE, contact=None)
    assert peer.names() == ["ACK"]
    assert [(end.status, end.cause) for end in ended(peer)] == [(302, "Redirected")]


def test_red_01_loops_of_redirects_end() -> None:
    peer, _call, invite = calling(policy=CallPolicy(redirect=Consent.ALLOW, max_redirects=3))
    for number in range(20):
        peer.respond(invite, 302, headers=(("Contact", f"<sip:n{number}@192.0.2.9>"),), contact=None)
        again = [message for message in requests(peer.sent()) if message.method == "INVITE"]
        if not again:
            break
        invite = again[0]
    assert number == 3
    assert [end.status for end in ended(peer)] == [302]
    peer, _call, invite = calling(policy=FOLLOW)
    peer.respond(invite, 302, headers=(("Contact", "<sip:bob@192.0.2.2>"),), contact=None)  # back to itself
    assert peer.names() == ["ACK"]


def test_can_01_cancel_waits_for_a_provisional_response() -> None:
    peer, call, invite = calling()
    peer.ua.hangup(call, now=peer.now)
    assert peer.names() == []
    peer.respond(invite, 100)
    assert peer.names() == ["CANCEL"]


def test_can_02_cancel_is_the_invite_over_again() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.ua.hangup(call, now=peer.now)
    cancel = one(peer.sent())
    assert cancel.top_via.branch == invite.top_via.branch
    assert (cancel.cseq.number, cancel.uri, cancel.routes) == (invite.cseq.number, invite.uri, invite.routes)
    peer.respond(invite, 487)
    ack = one(peer.sent())
    assert (ack.method, ack.top_via.branch) == ("ACK", invite.top_via.branch)


@pytest.mark.parametrize("status", [200, 481])
def test_can_03_200_crosses_the_cancel(status: int) -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.ua.hangup(call, now=peer.now)
    cancel = one(peer.sent())
    peer.respond(invite, 200, body=ANSWER)
    assert peer.names() == ["ACK", "BYE"]
    peer.respond(cancel, status)
    assert peer.names() == []
    assert len(ended(peer)) == 1


def test_can_04_no_final_response_after_cancel_is_given_up() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.ua.hangup(call, now=peer.now)
    peer.respond(one(peer.sent()), 200)
    assert len(ended(peer)) == 1
    quiet(peer, 33.0)


def test_frk_01_early_dialogs_are_kept_apart_and_one_wins() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180, tag="a")
    peer.respond(invite, 180, tag="b")
    peer.respond(invite, 200, tag="b", body=ANSWER)
    told = peer.events()
    assert [event.branch for event in told] == ["a", "b", "b"]  # type: ignore[attr-defined]
    assert isinstance(told[-1], CallAccepted)
    peer.sent()
    peer.ua.hangup(call, now=peer.now)
    assert one(peer.sent()).to.tag == "b"


def test_frk_02_a_second_200_is_acknowledged_and_ended() -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 200, tag="a", body=ANSWER)
    assert peer.names() == ["ACK"]
    peer.respond(invite, 200, tag="b", body=ANSWER)
    ack, bye = requests(peer.sent())
    assert (name_of(ack), ack.to.tag, name_of(bye), bye.to.tag) == ("ACK", "b", "BYE", "b")


def test_frk_03_early_description_and_the_same_in_the_200() -> None:
    peer, _call, invite = calling()
    peer.respond(invite, 183, body=EARLY)
    peer.respond(invite, 200, body=EARLY)
    progress, accepted = peer.events()
    assert progress.description == accepted.description == EARLY  # type: ignore[attr-defined]


def test_delayed_offer_is_answered_in_the_ack() -> None:
    peer = Stranger()
    call = peer.ua.invite(TARGET, b"", now=peer.now)
    invite = one(peer.sent())
    assert invite.body == b""
    peer.respond(invite, 200, body=OFFER)
    (accepted,) = peer.events()
    assert isinstance(accepted, CallAccepted)
    assert accepted.is_offer
    assert peer.names() == []
    peer.respond(invite, 200, body=OFFER)  # no ACK yet: it comes again
    peer.ua.answer_offer(call, "bob", ANSWER, now=peer.now)
    ack = one(peer.sent())
    assert (ack.method, ack.body, ack.headers.get("Content-Type")) == ("ACK", ANSWER, "application/sdp")
    peer.respond(invite, 200, body=OFFER)
    assert peer.sent() == [ack]


def test_delayed_offer_that_comes_again_after_its_answer_is_no_other() -> None:
    """In a later reliable response, which wants its PRACK at once; in one that is not; in the 2xx."""
    peer = Stranger()
    call = peer.ua.invite(TARGET, b"", now=peer.now)
    invite = one(peer.sent())
    peer.respond(invite, 183, headers=(("Require", "100rel"), ("RSeq", "7")), body=OFFER)
    peer.ua.answer_offer(call, "bob", ANSWER, now=peer.now)
    first = one(peer.sent())
    assert (first.headers.get("RAck"), first.body) == ("7 1 INVITE", ANSWER)
    peer.respond(first, 200)
    peer.respond(invite, 180, headers=(("Require", "100rel"), ("RSeq", "8")), body=OFFER)
    second = one(peer.sent())
    assert (second.method, second.headers.get("RAck"), second.body) == ("PRACK", "8 1 INVITE", b"")
    peer.respond(second, 200)
    peer.respond(invite, 183, body=OFFER)
    peer.respond(invite, 200, body=OFFER)
    assert peer.names() == ["ACK"]
    said = [event for event in peer.events() if isinstance(event, CallProgress | CallAccepted)]
    assert [event.is_offer for event in said] == [True, False, False, False]


def test_delayed_offer_that_nobody_answers_is_acknowledged_and_ended() -> None:
    peer = Stranger()
    call = peer.ua.invite(TARGET, b"", now=peer.now)
    peer.respond(one(peer.sent()), 200, body=OFFER)
    peer.ua.hangup(call, now=peer.now)
    assert peer.names() == ["ACK", "BYE"]


def test_password_is_for_the_server_alone() -> None:
    peer = Stranger(password="secret")  # peer to peer: nobody is to learn of it
    peer.ua.invite(TARGET, OFFER, now=peer.now)
    invite = one(peer.sent())
    assert peer.hop.address == BOB
    peer.respond(invite, 401, headers=(("WWW-Authenticate", 'Digest realm="x", nonce="n"'),), contact=None)
    assert peer.names() == ["ACK"]
