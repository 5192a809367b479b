"""Challenges in calls and registrations, answered with the vectors' own formula on the other side."""

import hashlib
from typing import Any

import pytest
from sip.ua_pipe import ANSWER, OFFER, Stranger

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address
from sansio_sip.sip.call_events import CallAccepted, CallEnd, CallEnded, EndKind, IncomingCall
from sansio_sip.sip.digest import DigestServer, Outcome, digest_response, hash_a1
from sansio_sip.sip.message import Request
from sansio_sip.sip.registration import Registered, RegistrationFailed, Unregistered
from sansio_sip.sip.uri import SipUri
from sansio_sip.sip.user_agent import SendMessage

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


def test_reg_06_stale_nonce_is_answered_anew() -> None:
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
    peer = Stranger(server=SERVER, password="s3cret-pass", realms=("*",))
    peer.ua.invite(TARGET, OFFER, now=peer.now)
    sent = 0
    while invites := [each for each in peer.sent() if isinstance(each, Request) and each.method == "INVITE"]:
        sent += 1
        Guard(peer, proxy=True, realm=f"realm {sent}").challenge(invites[0])
    assert sent == 7


def test_reg_02_no_password_gives_up_at_once() -> None:
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


def test_reg_17_strongest_algorithm_is_taken() -> None:
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


# ---------------------------------------------------------------------------------------- whose challenges are answered


def logged_in(**more: Any) -> tuple[Stranger, Guard]:
    """An account that its registrar has challenged, and registered."""
    peer = Stranger(server=SERVER, password="s3cret-pass", **more)
    guard = Guard(peer, proxy=False, realm="registrar.example.com")
    peer.ua.register(now=peer.now)
    guard.challenge(one(peer, "REGISTER"))
    request = one(peer, "REGISTER")
    peer.respond(request, 200, headers=(("Contact", str(request.contacts[0])),))
    assert peer.events() == [Registered(120)]
    return peer, guard


@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize(
    ("realm", "realms", "answered"),
    [
        ("registrar.example.com", (), True),
        ("proxy.example.net", (), False),
        ("example.com", (), False),
        ("REGISTRAR.example.com", (), False),
        ("proxy.example.net", ("proxy.example.net",), True),
        ("proxy.example.net", ("*",), True),
    ],
)
def test_only_the_accounts_own_realms_get_an_answer(
    realm: str, realms: tuple[str, ...], answered: bool, proxy: bool
) -> None:
    peer, _ = logged_in(realms=realms)
    peer.ua.invite(TARGET, OFFER, now=peer.now)
    Guard(peer, proxy=proxy, realm=realm).challenge(one(peer, "INVITE"))
    assert peer.names() == (["ACK", "INVITE"] if answered else ["ACK"])
    if not answered:
        (ended,) = peer.events()
        assert isinstance(ended, CallEnded)
        assert ended.end.status == (407 if proxy else 401)


def test_an_account_that_does_not_register_answers_its_domain_and_the_first_realm_it_meets() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    for realm, answered in (("trunk", True), ("other", False), ("example.com", True)):
        peer.ua.invite(TARGET, OFFER, now=peer.now)
        invite = one(peer, "INVITE")
        Guard(peer, proxy=True, realm=realm).challenge(invite)
        assert peer.names() == (["ACK", "INVITE"] if answered else ["ACK"]), realm


def test_a_caller_who_asks_for_credentials_when_we_hang_up_gets_none() -> None:
    """A leak known from the field: who answers the challenge to his own BYE lets passwords be tried at leisure."""
    peer, _ = logged_in(realms=("*",))
    peer.give(peer.request("INVITE", body=OFFER))
    (incoming,) = peer.events()
    assert isinstance(incoming, IncomingCall)
    peer.ua.answer(incoming.call, ANSWER, now=peer.now)
    (ok,) = [each for each in peer.sent() if getattr(each, "status", 0) == 200]
    peer.give(peer.request("ACK", to_tag=ok.to.tag))
    for proxy, realm in ((False, "registrar.example.com"), (True, "registrar.example.com"), (True, "trap")):
        peer.ua.send_info(incoming.call, "application/dtmf", b"1", now=peer.now)
        info = one(peer, "INFO")
        assert (info.authorization, info.proxy_authorization) == ((), ())
        Guard(peer, proxy=proxy, realm=realm).challenge(info)
        assert peer.names() == []
    peer.ua.hangup(incoming.call, now=peer.now)
    bye = one(peer, "BYE")
    assert (bye.authorization, bye.proxy_authorization) == ((), ())
    Guard(peer, proxy=True, realm="registrar.example.com").challenge(bye)
    assert peer.names() == []


def test_peer_to_peer_nobody_gets_an_answer() -> None:
    peer = Stranger(password="s3cret-pass", realms=("*",))
    peer.ua.invite(TARGET, OFFER, now=peer.now)
    Guard(peer, proxy=False, realm="example.com").challenge(one(peer, "INVITE"))
    assert peer.names() == ["ACK"]


# -------------------------------------------------------------------------------------------------- RFC 7616, RFC 8760


def test_the_next_nonce_is_used_from_the_next_request_on() -> None:
    peer, _ = logged_in()
    peer.ua.register(now=peer.now)
    request = one(peer, "REGISTER")
    (credentials,) = request.authorization
    assert credentials.parameter("nc") == "00000002"
    rows = (("Contact", str(request.contacts[0])), ("Authentication-Info", 'nextnonce="n2", qop=auth, nc=00000002'))
    peer.respond(request, 200, headers=rows)
    peer.ua.register(now=peer.now)
    (credentials,) = one(peer, "REGISTER").authorization
    assert (credentials.parameter("nonce"), credentials.parameter("nc")) == ("n2", "00000001")


@pytest.mark.parametrize("info", ["", "garbage", 'nextnonce=""', 'qop=auth, rspauth="00"', '"', "nextnonce"])
def test_an_authentication_info_without_a_nonce_changes_nothing(info: str) -> None:
    peer, guard = logged_in()
    peer.ua.register(now=peer.now)
    request = one(peer, "REGISTER")
    peer.respond(request, 200, headers=(("Contact", str(request.contacts[0])), ("Authentication-Info", info)))
    peer.ua.register(now=peer.now)
    assert guard.judge(one(peer, "REGISTER")) is Outcome.ACCEPTED


def test_the_user_name_is_hashed_where_the_server_understands_that() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    peer.ua.register(now=peer.now)
    row = 'Digest realm="r",nonce="n",qop="auth",algorithm=SHA-256,userhash=true'
    peer.respond(one(peer, "REGISTER"), 401, headers=(("WWW-Authenticate", row),))
    (credentials,) = one(peer, "REGISTER").authorization
    assert credentials.parameter("userhash") == "true"
    assert credentials.parameter("username") == hashlib.sha256(b"alice:r").hexdigest()
    a1 = hash_a1("SHA-256", "alice", "r", "s3cret-pass")
    right = digest_response(
        "SHA-256",
        a1,
        "REGISTER",
        "sip:example.com",
        "n",
        qop="auth",
        nc="00000001",
        cnonce=credentials.parameter("cnonce") or "",
    )
    assert credentials.parameter("response") == right


def test_an_algorithm_that_is_not_allowed_is_not_used() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass", digest_algorithms=("SHA-256", "SHA-512-256"))
    peer.ua.register(now=peer.now)
    row = ("WWW-Authenticate", 'Digest realm="r",nonce="n",qop="auth",algorithm=MD5')
    peer.respond(one(peer, "REGISTER"), 401, headers=(row,))
    assert peer.names() == []
    assert peer.events() == [RegistrationFailed(401, "Authentication Error")]


def test_reg_01_challenge_is_answered_with_the_next_cseq_in_the_same_call_id() -> None:
    peer = Stranger(server=SERVER, password="s3cret-pass")
    guard = Guard(peer, proxy=False)
    peer.ua.register(now=peer.now)
    first = one(peer, "REGISTER")
    guard.challenge(first)
    second = one(peer, "REGISTER")
    assert guard.judge(second) is Outcome.ACCEPTED
    assert (second.call_id, second.cseq.number) == (first.call_id, first.cseq.number + 1)
    peer.respond(second, 200, headers=(("Contact", f"{second.contacts[0]}"),))
    assert peer.events() == [Registered(120)]


def test_reg_05_credentials_that_are_refused_are_not_sent_again() -> None:
    peer = Stranger(server=SERVER, password="not the password")
    guard = Guard(peer, proxy=False)
    peer.ua.register(now=peer.now)
    guard.challenge(one(peer, "REGISTER"))
    second = one(peer, "REGISTER")
    assert guard.judge(second) is Outcome.REFUSED
    guard.challenge(second)
    assert peer.names() == []
    assert peer.events() == [RegistrationFailed(401, "Authentication Error")]
    peer.wait(200)
    assert peer.names() == []


def test_reg_22_the_flows_of_rfc_3665_section_2() -> None:
    """2.1 a new registration, 2.2 an update of it, 2.4 its cancellation; 2.5 is `test_reg_05`."""
    peer = Stranger(server=SERVER, password="s3cret-pass")
    guard = Guard(peer, proxy=False)
    peer.ua.register(now=peer.now)
    f1 = one(peer, "REGISTER")
    assert not f1.authorization
    guard.challenge(f1)
    f3 = one(peer, "REGISTER")
    assert guard.judge(f3) is Outcome.ACCEPTED
    peer.respond(f3, 200, headers=(("Contact", f"{f3.contacts[0]}"),))
    assert peer.events() == [Registered(120)]
    peer.ua.register(now=peer.now)
    update = one(peer, "REGISTER")
    assert guard.judge(update) is Outcome.ACCEPTED
    assert (update.call_id, update.contacts[0].uri) == (f1.call_id, f1.contacts[0].uri)
    peer.respond(update, 200, headers=(("Contact", f"{update.contacts[0]}"),))
    assert peer.events() == [Registered(120)]
    peer.ua.unregister(now=peer.now)
    cancel = one(peer, "REGISTER")
    assert cancel.expires == 0
    assert guard.judge(cancel) is Outcome.ACCEPTED
    peer.respond(cancel, 200)
    assert peer.events() == [Unregistered()]
