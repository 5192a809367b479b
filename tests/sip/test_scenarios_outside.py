"""The scenario table (corpus/08-scenarios): transactions, requests outside of calls. Each test bears its row's id."""

import pytest
from sip.test_invite_races import TARGET, calling, ended
from sip.test_user_agent import ALLOW, answer_to
from sip.ua_pipe import OFFER, Stranger

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sip.call_events import CallAccepted, MessageReceived
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.message_summary import CONTENT_TYPE, MessageSummary, Waiting
from sansio_sip.sip.standalone import RequestAnswered
from sansio_sip.sip.subscription import Notified, SubscriptionEnded
from sansio_sip.sip.uri import SipUri

SERVER = Address("192.0.2.100", 5060)
MAILBOX = SipUri("192.0.2.2", "bob")
SUMMARY = b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.com\r\nVoice-Message: 2/8 (0/2)\r\n"


def one(peer: Stranger) -> Request:
    (message,) = peer.sent()
    assert isinstance(message, Request)
    return message


def asking(**options: str) -> tuple[Stranger, Request]:
    """Alice has sent an OPTIONS."""
    server = SERVER if options else None
    peer = Stranger(server=server, **options)  # type: ignore[arg-type]
    peer.ua.query(TARGET, now=peer.now)
    return peer, one(peer)


# Transactions


def test_tsx_01_no_answer_over_udp() -> None:
    peer, _options = asking()
    start, times = peer.now, [0.0]
    while (due := peer.ua.next_timeout()) is not None and due < start + 32:
        peer.wait(due - peer.now)
        times += [peer.now - start for _ in peer.sent()]
    assert times == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    peer.wait(1)
    assert peer.events() == [RequestAnswered(1, "OPTIONS", 408, "Request Timeout")]


def test_tsx_03_repeated_final_response_is_absorbed() -> None:
    peer, options = asking()
    peer.respond(options, 200)
    assert len(peer.events()) == 1
    peer.wait(4.9)
    peer.respond(options, 200)
    assert peer.events() == []
    peer.wait(0.2)
    assert peer.ua.next_timeout() is None


def test_tsx_04_request_again_after_the_final_response() -> None:
    peer = Stranger()
    options = peer.request("OPTIONS")
    first = answer_to(peer, options)
    peer.wait(31)
    assert answer_to(peer, options) == first
    peer.wait(1.1)
    assert peer.ua.next_timeout() is None
    peer = Stranger(server=SERVER, transport="TCP")
    answer_to(peer, peer.request("OPTIONS"))
    assert peer.ua.next_timeout() is None


def test_tsx_06_right_branch_and_wrong_method() -> None:
    peer, call, invite = calling()
    peer.respond(invite, 180)
    peer.events()
    peer.ua.hangup(call, now=peer.now)
    (cancel,) = peer.sent()
    assert cancel.top_via.branch == invite.top_via.branch
    wrong = invite.response(200, to_tag="bob")
    wrong.headers.set("CSeq", "1 OPTIONS")
    peer.give(wrong)
    assert peer.names() == []
    assert not any(isinstance(event, CallAccepted) for event in peer.events())


def test_tsx_07_response_for_somebody_else() -> None:
    peer, _call, invite = calling()
    stray = invite.response(486, to_tag="bob")
    stray.headers.set("Via", "SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKnotours")
    peer.give(stray)
    assert ended(peer) == []
    assert peer.ua.counters.stray_responses == 1


def test_sec_01_response_with_two_via() -> None:
    peer, _call, invite = calling()
    response = invite.response(486, to_tag="bob")
    response.headers.add("Via", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx")
    peer.give(response)
    assert peer.events() == []
    assert peer.ua.counters.stray_responses == 1


def test_sec_02_the_nonce_count_rises_and_the_cnonce_is_fresh() -> None:
    peer = Stranger(server=SERVER, password="secret")
    peer.hop = peer.node.hop
    challenge = (("Proxy-Authenticate", 'Digest realm="example.com", nonce="n", qop="auth"'),)
    seen = []
    for number in range(3):
        peer.ua.page(SipUri("example.com", "bob"), "text/plain", b"hi", now=peer.now)
        message = one(peer)
        if not number:
            peer.respond(message, 407, headers=challenge)
            message = one(peer)
        (credentials,) = message.proxy_authorization
        seen.append((credentials.parameter("nc"), credentials.parameter("cnonce")))
        peer.respond(message, 200)
    assert [count for count, _ in seen] == ["00000001", "00000002", "00000003"]
    assert len({cnonce for _, cnonce in seen}) == 3


# Requests outside of calls


def test_ood_01_options() -> None:
    peer = Stranger()
    response = answer_to(peer, peer.request("OPTIONS"))
    assert (response.status, response.headers.get("Allow")) == (200, ALLOW)
    assert "application/sdp" in (response.headers.get("Accept") or "")
    assert {"timer", "replaces", "100rel"} <= set(response.supported)
    assert response.headers.get("Allow-Events") == "refer"


@pytest.mark.parametrize(("body", "content_type"), [(b"", None), (b"hello", "text/plain")])
def test_ood_03_ood_04_message(body: bytes, content_type: str | None) -> None:
    peer = Stranger()
    peer.give(peer.request("MESSAGE", body=body, content_type=content_type))
    assert peer.names() == ["200 MESSAGE"]
    peer.give(peer.request("MESSAGE", number=2, call_id="x", body=b"?", content_type=None))
    assert peer.names() == ["415 MESSAGE"]
    (received,) = peer.node.events
    assert isinstance(received, MessageReceived)
    assert (received.call, received.content_type, received.body) == (None, content_type or "", body)
    assert not peer.ua._sessions


def test_message_of_ours() -> None:
    peer = Stranger()
    number = peer.ua.page(TARGET, "text/plain", b"hi", now=peer.now)
    message = one(peer)
    assert (message.method, message.body, message.headers.get("Content-Type")) == ("MESSAGE", b"hi", "text/plain")
    peer.respond(message, 202)
    (answered,) = peer.events()
    assert isinstance(answered, RequestAnswered)
    assert (answered.request, answered.status) == (number, 202)
    peer.ua.flow_lost("gone", now=peer.now)
    with pytest.raises(LocalProtocolError, match="no signalling flow"):
        peer.ua.page(TARGET, "text/plain", b"hi", now=peer.now)


def test_message_of_ours_that_is_challenged() -> None:
    peer = Stranger(server=SERVER, password="secret")
    peer.hop = peer.node.hop
    peer.ua.page(SipUri("example.com", "bob"), "text/plain", b"hi", now=peer.now)
    challenge = (("Proxy-Authenticate", 'Digest realm="example.com", nonce="n", qop="auth"'),)
    peer.respond(one(peer), 407, headers=challenge)
    again = one(peer)
    assert (again.cseq.number, "Proxy-Authorization" in again.headers) == (2, True)
    peer.respond(again, 200)
    assert [type(event) for event in peer.events()] == [RequestAnswered]


@pytest.mark.parametrize("event", ["presence", "foo", "refer"])
def test_ood_06_subscribe_to_an_unknown_event(event: str) -> None:
    peer = Stranger()
    response = answer_to(peer, peer.request("SUBSCRIBE", headers=(("Event", event),)))
    assert (response.status, response.headers.get("Allow-Events")) == (489, "refer")


def test_ood_10_notify_without_a_subscription() -> None:
    peer = Stranger()
    headers = (("Event", "message-summary"), ("Subscription-State", "active"))
    assert answer_to(peer, peer.request("NOTIFY", headers=headers)).status == 481
    assert answer_to(peer, peer.request("NOTIFY", to_tag="x", headers=headers)).status == 481


# Subscriptions of ours


def subscribed() -> tuple[Stranger, str, Request]:
    peer = Stranger()
    name = peer.ua.subscribe(MAILBOX, "message-summary", accept=CONTENT_TYPE, expires=600, now=peer.now)
    return peer, name, one(peer)


def notify(peer: Stranger, subscribe: Request, number: int, state: str, *, tag: str = "bob", body: bytes = b"") -> int:
    headers = (
        ("Event", "message-summary"),
        ("Subscription-State", state),
        ("Contact", "<sip:bob@192.0.2.2:5060>"),
    )
    before = len(peer.node.sent)
    peer.give(
        peer.request(
            "NOTIFY",
            number=number,
            call_id=subscribe.call_id,
            to_tag=subscribe.from_.tag,
            from_tag=tag,
            headers=headers,
            body=body,
            content_type=CONTENT_TYPE,
        )
    )
    peer.node.take()
    responses = [message for message in peer.node.sent[before:] if isinstance(message, Response)]
    (response,) = responses
    return response.status


def accept(peer: Stranger, subscribe: Request, expires: int) -> None:
    headers = (("Expires", str(expires)), ("Contact", "<sip:bob@192.0.2.2:5060>"))
    peer.respond(subscribe, 200, headers=headers)


def test_subscription_is_notified_refreshed_and_ended() -> None:
    peer, name, subscribe = subscribed()
    assert (subscribe.headers.get("Event"), subscribe.headers.get("Expires")) == ("message-summary", "600")
    accept(peer, subscribe, 300)
    assert notify(peer, subscribe, 1, "active;expires=300", body=SUMMARY) == 200
    assert peer.events() == [Notified(name, "message-summary", "active", CONTENT_TYPE, SUMMARY)]  # type: ignore[arg-type]
    peer.wait(150)
    refresh = one(peer)
    assert (refresh.to.tag, refresh.cseq.number, refresh.call_id) == ("bob", 2, subscribe.call_id)
    accept(peer, refresh, 300)
    assert notify(peer, subscribe, 2, "active;expires=300") == 200
    peer.ua.unsubscribe(name, now=peer.now)  # type: ignore[arg-type]
    last = one(peer)
    assert last.headers.get("Expires") == "0"
    accept(peer, last, 0)
    assert not peer.ua.is_idle
    assert notify(peer, subscribe, 3, "terminated;reason=timeout") == 200
    assert peer.events()[-1] == SubscriptionEnded(name, 200, "timeout")  # type: ignore[arg-type]
    peer.wait(40)
    assert peer.ua.is_idle
    assert peer.ua.next_timeout() is None
    with pytest.raises(LocalProtocolError, match="no subscription"):
        peer.ua.unsubscribe(name, now=peer.now)  # type: ignore[arg-type]


def test_notify_overtakes_the_2xx_and_a_second_notifier_is_refused() -> None:
    peer, _name, subscribe = subscribed()
    assert notify(peer, subscribe, 1, "active;expires=300", body=SUMMARY) == 200
    accept(peer, subscribe, 300)
    assert notify(peer, subscribe, 1, "active", tag="fork") == 481
    assert notify(peer, subscribe, 1, "active") == 500  # an old number
    assert peer.names() == []


@pytest.mark.parametrize("status", [403, 489, 404])
def test_subscription_that_is_refused(status: int) -> None:
    peer, name, subscribe = subscribed()
    peer.respond(subscribe, status)
    assert peer.events() == [SubscriptionEnded(name, status)]  # type: ignore[arg-type]


def test_subscription_that_nobody_notifies_ends() -> None:
    peer, name, subscribe = subscribed()
    accept(peer, subscribe, 300)
    peer.wait(32)
    assert peer.events() == [SubscriptionEnded(name, 408)]  # type: ignore[arg-type]


def test_subscription_that_is_too_brief() -> None:
    peer, _name, subscribe = subscribed()
    peer.respond(subscribe, 423, headers=(("Min-Expires", "900"),))
    again = one(peer)
    assert (again.headers.get("Expires"), again.cseq.number) == ("900", 2)


@pytest.mark.parametrize(("state", "wait"), [("terminated;reason=deactivated", 5), ("terminated;retry-after=60", None)])
def test_subscription_that_is_ended_by_the_notifier(state: str, wait: float | None) -> None:
    peer, name, subscribe = subscribed()
    accept(peer, subscribe, 300)
    assert notify(peer, subscribe, 1, state) == 200
    if wait is None:
        assert peer.events()[-1] == SubscriptionEnded(name, 200, "")  # type: ignore[arg-type]
        return
    assert len(peer.events()) == 1
    peer.sent()
    peer.wait(wait)
    again = one(peer)
    assert again.call_id != subscribe.call_id
    assert again.to.tag is None


def test_refresh_that_finds_no_subscription_any_more() -> None:
    peer, name, subscribe = subscribed()
    accept(peer, subscribe, 300)
    notify(peer, subscribe, 1, "active;expires=300")
    peer.events()
    peer.wait(150)
    peer.respond(one(peer), 481)
    assert peer.events() == [SubscriptionEnded(name, 481)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (
            SUMMARY,
            MessageSummary(True, "sip:alice@example.com", (Waiting("voice-message", 2, 8, 0, 2),)),
        ),
        (b"Messages-Waiting: no\r\n", MessageSummary(False)),
        (
            b"messages-waiting :  YES\nFax-Message: 1/0\n\nTo: x",
            MessageSummary(True, "", (Waiting("fax-message", 1, 0),)),
        ),
        (b"", None),
        (b"Voice-Message: 1/1\r\n", None),
        (b"Messages-Waiting: perhaps\r\n", None),
    ],
)
def test_message_summary_of_rfc_3842(body: bytes, summary: MessageSummary | None) -> None:
    if summary is None:
        with pytest.raises(ParseError):
            MessageSummary.parse(body)
    else:
        assert MessageSummary.parse(body) == summary


def test_uas_12_what_suits_nobody_is_for_media_to_refuse() -> None:
    peer = Stranger()
    peer.give(peer.request("INVITE", body=OFFER))
    (event,) = peer.events()
    peer.ua.reject(event.call, 488, now=peer.now)  # type: ignore[attr-defined]
    assert peer.names() == ["488 INVITE"]
