"""Requests that go again by another line of the account: what they say there, and which do not (RFC 5626)."""

from typing import Any

import pytest
from sip.ua_pipe import ALICE, ANSWER, OFFER, Stranger

from sansio_sip.effects import Address, FlowId
from sansio_sip.sip.call_events import CallEnded, CallId
from sansio_sip.sip.limits import Limits
from sansio_sip.sip.message import Message, Request
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri

ONE, TWO = Address("192.0.2.10", 5060), Address("192.0.2.11", 5060)
BOB = SipUri("example.com", "bob")
CHALLENGE = (("Proxy-Authenticate", 'Digest realm="example.com", nonce="n", qop="auth"'),)


class TwoLines(Stranger):
    """A user agent with flows to two servers, each played by hand; `hop` is the one that answers."""

    def __init__(self, **more: Any) -> None:
        super().__init__(server=ONE, flows=2, password="pw", **more)
        self.one = self.hop
        self.two = Hop("UDP", TWO, ALICE._replace(port=5070), FlowId("two"))
        self.ua.flow_ready(self.two, 2, now=self.now)

    def of(self, method: str) -> Request:
        """The only request of that method among what was sent since."""
        (found,) = [each for each in self.sent() if isinstance(each, Request) and each.method == method]
        return found

    def invite(self) -> tuple[CallId, Request]:
        call = self.ua.invite(BOB, OFFER, now=self.now)
        return call, self.of("INVITE")

    def lose_one(self) -> list[Message]:
        self.ua.flow_lost("gone", 1, now=self.now)
        self.hop = self.two
        return self.sent()

    def ends(self) -> list[CallEnded]:
        return [event for event in self.events() if isinstance(event, CallEnded)]


def contact_port(request: Request) -> int | None:
    uri = request.contacts[0].uri
    return uri.port if isinstance(uri, SipUri) else None


@pytest.mark.parametrize("trying", [False, True])
def test_an_invite_that_was_given_up_goes_by_no_other_line(trying: bool) -> None:
    """Whether its CANCEL has gone already or waits for a provisional response."""
    peer = TwoLines()
    call, invite = peer.invite()
    if trying:
        peer.respond(invite, 100)
    peer.ua.hangup(call, now=peer.now)
    assert peer.names() == (["CANCEL"] if trying else [])
    assert peer.lose_one() == []
    assert len(peer.ends()) == 1
    peer.wait(40.0)
    assert peer.ua.is_idle
    assert peer.names() == []


@pytest.mark.parametrize("status", [407, 422])
def test_what_is_asked_for_once_more_on_the_second_line_is_said_as_on_the_second(status: int) -> None:
    peer = TwoLines()
    for line, server in zip(peer.ua.lines, (ONE, TWO), strict=True):
        line.service_route = line.route
        assert str(line.route[0].uri) == f"sip:{server.host}:5060;lr"
    _, first = peer.invite()
    assert ([str(each.uri) for each in first.routes], contact_port(first)) == ([f"sip:{ONE.host}:5060;lr"], 5060)
    peer.ua.flow_lost("gone", 1, now=peer.now)
    peer.hop = peer.two
    second = peer.of("INVITE")
    peer.respond(second, status, headers=CHALLENGE if status == 407 else (("Min-SE", "4000"),))
    third = peer.of("INVITE")
    for request in (second, third):
        assert [str(each.uri) for each in request.routes] == [f"sip:{TWO.host}:5060;lr"]
        assert contact_port(request) == 5070
    assert (third.headers.get("Proxy-Authorization") is not None) == (status == 407)


def test_a_message_outside_of_calls_is_asked_for_once_more_likewise() -> None:
    peer = TwoLines()
    for line in peer.ua.lines:
        line.service_route = line.route
    peer.ua.page(BOB, "text/plain", b"hello", now=peer.now)
    assert str(peer.of("MESSAGE").routes[0].uri) == f"sip:{ONE.host}:5060;lr"
    peer.ua.flow_lost("gone", 1, now=peer.now)
    peer.hop = peer.two
    peer.respond(peer.of("MESSAGE"), 407, headers=CHALLENGE)
    again = peer.of("MESSAGE")
    assert str(again.routes[0].uri) == f"sip:{TWO.host}:5060;lr"
    assert again.headers.get("Proxy-Authorization") is not None


def test_a_request_sent_on_the_second_line_while_the_first_is_up_names_the_second() -> None:
    peer = TwoLines()
    peer.ua.query(BOB, now=peer.now)
    first = peer.of("OPTIONS")
    peer.respond(first, 430)
    assert (contact_port(first), contact_port(peer.of("OPTIONS"))) == (5060, 5070)


@pytest.mark.parametrize("beside", [False, True])
def test_a_call_is_on_the_line_beside_whose_flow_its_last_message_came(beside: bool) -> None:
    """What is too large for UDP takes a stream of its own, to the same server."""
    peer = TwoLines()
    call, invite = peer.invite()
    peer.respond(invite, 200, body=ANSWER)
    if beside:
        peer.hop = Hop("TCP", ONE, ALICE, FlowId("beside"))
        peer.give(peer.request("INFO", call_id=invite.call_id, to_tag=invite.from_.tag))
        assert peer.names()[-1] == "200 INFO"
    assert peer.ua.flow_lost("gone", 2, now=peer.now) == ()
    assert peer.ua.flow_lost("gone", 1, now=peer.now) == (call,)


def test_where_there_is_no_room_for_it_a_request_fails_as_it_would_have() -> None:
    """The refused INVITE is remembered for its late copies, and the bound leaves no place for another."""
    peer = TwoLines(limits=Limits(transactions=1))
    call, invite = peer.invite()
    peer.respond(invite, 430)
    assert peer.names() == ["ACK"]
    assert [end.end.status for end in peer.ends()] == [430]
    assert call not in peer.ua._sessions.peers or peer.ua._sessions.peers[call].flow == peer.one.flow
    peer.wait(40.0)
    assert (len(peer.ua._sessions), len(peer.ua._departures), len(peer.ua._departures._by_owner)) == (0, 0, 0)
