"""Challenges in calls and registrations, answered with the vectors' own formula on the other side."""

import pytest
from sip.ua_pipe import ANSWER, OFFER, Stranger

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address
from sansio_sip.sip.digest import DigestServer, Outcome
from sansio_sip.sip.message import Request
from sansio_sip.sip.uri import SipUri
from sansio_sip.sip.user_agent import (
    CallAccepted,
    CallEnd,
    CallEnded,
    EndKind,
    Registered,
    RegistrationFailed,
    SendMessage,
)

SERVER = Address("192.0.2.100", 5060)
TARGET = SipUri("192.0.2.2", "bob")
USERS = {"alice": Secret("s3cret-pass")}


class Random:
    """A source that counts."""

    def __init__(self) -> None:
        self.value = 0

    def getrandbits(self, k: int) -> int:
        self.value += 1
        return self.value % (1 << k)


class Guard:
    """The digest side of a server."""

    def __init__(self, peer: Stranger, *, proxy: bool, realm: str = "example.com", lifetime: float = 300.0) -> None:
        self.peer = peer
        self.proxy = proxy
        context = Context(Entropy(Random()))
        self.server = DigestServer(context, realm, nonce_lifetime=lifetime)

    def challenge(self, request: Request, *, stale: bool = False) -> None:
        name = "Proxy-Authenticate" if self.proxy else "WWW-Authenticate"
        rows = tuple((name, str(row)) for row in self.server.challenges(stale=stale, now=self.peer.now))
        self.peer.respond(request, 407 if self.proxy else 401, headers=rows)

    def judge(self, request: Request) -> Outcome:
        rows = request.proxy_authorization if self.proxy else request.authorization
        (credentials,) = [row for row in rows if row.parameter("realm") == self.server.realm]
        return self.server.verify(credentials, request.method, USERS, request.body, now=self.peer.now).outcome


def one(peer: Stranger, method: str) -> Request:
    """The one request of that method that was just sent."""
    (request,) = [each for each in peer.sent() if isinstance(each, Request) and each.method == method]
    return request


def test_invite_challenged_by_proxy_and_callee_is_sent_with_both_credentials() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    proxy, callee = Guard(peer, proxy=True), Guard(peer, proxy=False, realm="callee")
    call = peer.ua.invite(TARGET, OFFER, now=peer.now)
    first = one(peer, "INVITE")
    proxy.challenge(first)
    ack, second = peer.sent()
    assert isinstance(ack, Request)
    assert isinstance(second, Request)
    # The failure is acknowledged hop by hop; the new INVITE has a new branch and number, and the same Call-ID.
    assert (ack.method, ack.top_via) == ("ACK", first.top_via)
    assert (second.cseq.number, second.call_id, second.from_) == (2, first.call_id, first.from_)
    assert second.top_via.branch != first.top_via.branch
    assert proxy.judge(second) is Outcome.ACCEPTED
    callee.challenge(second)
    third = one(peer, "INVITE")
    assert third.cseq.number == 3
    assert proxy.judge(third) is Outcome.ACCEPTED
    assert callee.judge(third) is Outcome.ACCEPTED
    peer.respond(third, 200, body=ANSWER)
    ack = one(peer, "ACK")
    assert ack.cseq.number == 3
    # RFC 3261 section 13.2.2.4: "The ACK MUST contain the same credentials as the INVITE."
    assert ack.authorization == third.authorization
    assert ack.proxy_authorization == third.proxy_authorization
    assert [type(event) for event in peer.events()] == [CallAccepted]
    peer.ua.hangup(call, now=peer.now)
    bye = one(peer, "BYE")
    assert proxy.judge(bye) is Outcome.ACCEPTED
    assert bye.authorization == ()
    callee.challenge(bye)
    again = one(peer, "BYE")
    assert (bye.cseq.number, again.cseq.number) == (4, 5)
    assert callee.judge(again) is Outcome.ACCEPTED


def test_wrong_password_is_not_tried_twice() -> None:
    peer = Stranger(server=SERVER, password="wrong")
    guard = Guard(peer, proxy=True)
    call = peer.ua.invite(TARGET, OFFER, now=peer.now)
    guard.challenge(one(peer, "INVITE"))
    second = one(peer, "INVITE")
    assert guard.judge(second) is Outcome.REFUSED
    guard.challenge(second)
    assert peer.names() == ["ACK"]
    assert peer.events() == [CallEnded(call, CallEnd(EndKind.FAILED, "remote", 407, "Authentication Error"))]


def test_stale_nonce_is_answered_anew() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    guard = Guard(peer, proxy=False, lifetime=50.0)
    peer.ua.register(now=peer.now)
    guard.challenge(one(peer, "REGISTER"))
    second = one(peer, "REGISTER")
    assert guard.judge(second) is Outcome.ACCEPTED
    peer.respond(second, 200, headers=(("Contact", f"{second.contacts[0]}"),))
    assert peer.events() == [Registered(120)]
    while not (sent := [each for each in peer.sent() if each.cseq.number == 3]):
        peer.wait(1)
    refresh = sent[0]
    assert isinstance(refresh, Request)
    # The refresh brings credentials at once, with the next nonce count.
    assert refresh.authorization[0].parameter("nc") == "00000002"
    assert guard.judge(refresh) is Outcome.STALE
    guard.challenge(refresh, stale=True)
    again = one(peer, "REGISTER")
    assert again.authorization[0].parameter("nc") == "00000001"
    assert guard.judge(again) is Outcome.ACCEPTED


def test_server_that_always_says_stale_is_not_answered_for_ever() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    guard = Guard(peer, proxy=False)
    peer.ua.register(now=peer.now)
    sent = 0
    while registers := [each for each in peer.sent() if isinstance(each, Request)]:
        sent += 1
        guard.challenge(registers[0], stale=True)
    assert sent <= 6
    assert peer.events() == [RegistrationFailed(401, "Authentication Error")]


def test_server_that_names_a_new_realm_each_time_is_not_answered_for_ever() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    peer.ua.invite(TARGET, OFFER, now=peer.now)
    sent = 0
    while invites := [each for each in peer.sent() if isinstance(each, Request) and each.method == "INVITE"]:
        sent += 1
        Guard(peer, proxy=True, realm=f"realm {sent}").challenge(invites[0])
    assert sent == 7


def test_no_password_gives_up_at_once() -> None:
    peer = Stranger(server=SERVER)
    peer.ua.register(now=peer.now)
    Guard(peer, proxy=False).challenge(one(peer, "REGISTER"))
    assert peer.names() == []
    assert peer.events() == [RegistrationFailed(401, "Authentication Error")]


@pytest.mark.parametrize("header", ["garbage", "Bearer realm=x", 'Digest realm="x"', 'Digest nonce="x",algorithm=FOO'])
def test_challenge_that_cannot_be_answered(header: str) -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    peer.ua.register(now=peer.now)
    peer.respond(one(peer, "REGISTER"), 401, headers=(("WWW-Authenticate", header),))
    assert peer.names() == []
    assert peer.events() == [RegistrationFailed(401, "Authentication Error")]


def test_strongest_algorithm_is_taken() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    peer.ua.register(now=peer.now)
    rows = tuple(
        ("WWW-Authenticate", f'Digest realm="r",nonce="n",qop="auth",algorithm={name}') for name in ("MD5", "SHA-256")
    )
    peer.respond(one(peer, "REGISTER"), 401, headers=rows)
    (credentials,) = one(peer, "REGISTER").authorization
    assert credentials.parameter("algorithm") == "SHA-256"


def test_challenge_after_hang_up_starts_no_new_call() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    call = peer.ua.invite(TARGET, OFFER, now=peer.now)
    invite = one(peer, "INVITE")
    peer.respond(invite, 100)
    peer.ua.hangup(call, now=peer.now)
    Guard(peer, proxy=True).challenge(invite)
    assert peer.names() == ["CANCEL", "ACK"]


def test_password_shows_nowhere() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    guard = Guard(peer, proxy=False)
    peer.ua.register(now=peer.now)
    guard.challenge(one(peer, "REGISTER"))
    outputs = list(peer.ua.outputs())
    assert any(isinstance(output, SendMessage) for output in outputs)
    assert "s3cret-pass" not in repr(outputs) + repr(peer.ua._config) + repr(vars(peer.ua))
