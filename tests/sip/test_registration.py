"""Registration against a registrar that the test plays (RFC 3261 section 10, RFC 3665 section 2, RFC 5626)."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sip.ua_pipe import ALICE, OFFER, Stranger

from sansio_sip.effects import Address, FlowId
from sansio_sip.sip.message import Request
from sansio_sip.sip.registration import Registered, RegistrationFailed, RegistrationState, Unregistered
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri

SERVER = Address("192.0.2.100", 5060)
INSTANCE = "urn:uuid:00000000-0000-4000-8000-000000000001"


def registrar(**more: object) -> Stranger:
    return Stranger(server=SERVER, instance=INSTANCE, **more)  # type: ignore[arg-type]


def register(peer: Stranger) -> Request:
    """The latest REGISTER of those just sent."""
    requests = [each for each in peer.sent() if isinstance(each, Request) and each.method == "REGISTER"]
    assert requests
    return requests[-1]


def grant(peer: Stranger, request: Request, seconds: int, **more: object) -> None:
    contact = request.contacts[0].with_parameter("expires", str(seconds))
    rows = [("Contact", str(contact)), *more.get("headers", ())]  # type: ignore[misc]
    peer.respond(request, 200, headers=tuple(rows))


def until_sent(peer: Stranger, limit: float = 10_000) -> Request:
    """Time goes by until a REGISTER is sent."""
    for _ in range(10_000):
        requests = [each for each in peer.sent() if isinstance(each, Request)]
        if requests:
            return requests[0]
        due = peer.ua.next_timeout()
        assert due is not None
        assert due < peer.now + limit
        peer.wait(due - peer.now)
    raise AssertionError


def registered(expires: int = 120) -> tuple[Stranger, Request]:
    peer = registrar()
    peer.ua.register(now=peer.now)
    request = register(peer)
    grant(peer, request, expires)
    assert peer.events() == [Registered(expires)]
    return peer, request


def test_register_as_it_goes_out() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    request = register(peer)
    assert str(request.uri) == "sip:example.com"
    assert request.from_.uri == request.to.uri == SipUri("example.com", "alice")
    assert (request.from_.tag is not None, request.to.tag) == (True, None)
    assert (request.max_forwards, request.expires, request.cseq.number) == (70, 120, 1)
    assert request.supported == ("path", "outbound", "gruu")
    (contact,) = request.contacts
    assert str(contact) == f'<sip:alice@192.0.2.1:5060>;reg-id=1;+sip.instance="<{INSTANCE}>";expires=120'


def test_register_over_web_socket_has_an_invalid_host() -> None:
    peer = Stranger(server=SERVER, transport="WSS", instance=INSTANCE)
    peer.ua.register(now=peer.now)
    request = register(peer)
    uri = request.contacts[0].uri
    assert isinstance(uri, SipUri)
    assert uri.host.endswith(".invalid")
    assert uri.parameter("transport") == "ws"
    assert (request.top_via.transport, request.top_via.host, request.top_via.port) == ("WSS", uri.host, None)
    peer.ua.invite(SipUri("example.com", "bob"), OFFER, now=peer.now)
    (invite,) = peer.sent()
    contact = invite.contacts[0].uri
    assert isinstance(contact, SipUri)
    assert (contact.host, contact.has_parameter("ob")) == (uri.host, True)


def test_reg_13_reg_21_refresh_comes_well_before_the_granted_time_with_the_same_call_id() -> None:
    for granted, earliest, latest in ((120, 72, 80), (3600, 2916, 3240), (60, 27, 30), (10, 4.5, 5), (1, 1, 1)):
        peer, first = registered(granted)
        start = peer.now
        refresh = until_sent(peer)
        assert earliest - 0.01 <= peer.now - start <= latest + 0.01, granted
        assert (refresh.call_id, refresh.cseq.number) == (first.call_id, 2)
        assert refresh.from_ == first.from_


def test_a_week_of_refreshes() -> None:
    peer, request = registered(3600)
    end = peer.now + 7 * 86_400
    number = request.cseq.number
    while peer.now < end:
        request = until_sent(peer)
        assert request.cseq.number == number + 1
        number += 1
        grant(peer, request, 3600)
        assert peer.events() == [Registered(3600)]
    assert 7 * 24 <= number <= 7 * 24 * 1.3


def test_reg_11_own_binding_among_several() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    request = register(peer)
    others = '<sip:alice@198.51.100.7>;expires=5, <sip:alice@198.51.100.8>;+sip.instance="<urn:x>";expires=7'
    peer.respond(request, 200, headers=(("Contact", others), ("Contact", f"{request.contacts[0]}"), ("Expires", "9")))
    assert peer.events() == [Registered(120)]


def test_expires_header_where_the_contact_tells_nothing() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    request = register(peer)
    peer.respond(request, 200, headers=(("Contact", f"<{request.contacts[0].uri}>"), ("Expires", "77")))
    assert peer.events() == [Registered(77)]


def test_reg_09_423_takes_the_longer_time_once() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    first = register(peer)
    peer.respond(first, 423, headers=(("Min-Expires", "1800"),))
    second = register(peer)
    assert (second.expires, second.contacts[0].parameter("expires")) == (1800, "1800")
    assert second.cseq.number == 2
    peer.respond(second, 423, headers=(("Min-Expires", "3600"),))
    assert peer.names() == []
    assert peer.events() == [RegistrationFailed(423, "SIP Failure Code")]


@pytest.mark.parametrize("headers", [(), (("Min-Expires", "60"),), (("Min-Expires", "99999999"),)])
def test_423_that_asks_for_nothing_sensible(headers: tuple[tuple[str, str], ...]) -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    peer.respond(register(peer), 423, headers=headers)
    assert peer.events() == [RegistrationFailed(423, "SIP Failure Code")]


def test_439_leaves_outbound_out() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    peer.respond(register(peer), 439)
    assert register(peer).contacts[0].parameter("reg-id") is None


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (403, "Rejected"),
        (404, "Not Found"),
        (401, "Authentication Error"),
        (480, "Unavailable"),
        (503, "SIP Failure Code"),
    ],
)
def test_failure_before_the_first_success_is_final(status: int, cause: str) -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    peer.respond(register(peer), status)
    assert peer.events() == [RegistrationFailed(status, cause)]
    peer.wait(100)
    assert peer.names() == []
    assert peer.ua.next_timeout() is None
    peer.ua.register(now=peer.now)
    assert register(peer).cseq.number == 2


def test_no_answer_is_request_timeout() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    peer.wait(33)
    assert peer.events() == [RegistrationFailed(0, "Request Timeout")]


def test_failures_after_a_success_back_off_and_honour_retry_after() -> None:
    peer, _ = registered()
    pauses = []
    for _ in range(8):
        request = until_sent(peer)
        peer.respond(request, 503)
        (failed,) = peer.events()
        assert isinstance(failed, RegistrationFailed)
        assert failed.retry_in is not None
        pauses.append(failed.retry_in)
    for number, pause in enumerate(pauses):
        bound = min(1800, 30 * 2**number)
        assert bound / 2 <= pause <= bound
    request = until_sent(peer)
    peer.respond(request, 503, headers=(("Retry-After", "5000 (maintenance);duration=60"),))
    (failed,) = peer.events()
    assert isinstance(failed, RegistrationFailed)
    assert failed.retry_in == 5000
    grant(peer, until_sent(peer), 120)
    assert peer.events() == [Registered(120)]


def test_reg_18_unregister() -> None:
    peer, first = registered()
    peer.ua.unregister(now=peer.now)
    request = register(peer)
    assert (request.expires, request.contacts[0].parameter("expires"), request.cseq.number) == (0, "0", 2)
    assert request.contacts[0].uri == first.contacts[0].uri
    assert not peer.ua.is_idle
    peer.respond(request, 200)
    assert peer.events() == [Unregistered()]
    peer.wait(300)
    assert peer.names() == []
    assert peer.ua.next_timeout() is None


@pytest.mark.parametrize("status", [403, 500, 0])
def test_unregister_that_is_refused_or_not_answered_is_over_as_well(status: int) -> None:
    peer, _ = registered()
    peer.ua.unregister(now=peer.now)
    request = register(peer)
    if status:
        peer.respond(request, status)
    else:
        peer.wait(33)
    assert peer.events() == [Unregistered()]


def test_unregister_while_registering_waits_for_the_answer() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    request = register(peer)
    peer.ua.unregister(now=peer.now)
    assert peer.names() == []
    grant(peer, request, 120)
    removal = register(peer)
    assert removal.expires == 0
    peer.respond(removal, 200)
    assert peer.events() == [Unregistered()]


def test_register_while_unregistering_registers_after_the_answer() -> None:
    peer, _ = registered()
    peer.ua.unregister(now=peer.now)
    removal = register(peer)
    peer.ua.register(now=peer.now)
    assert peer.names() == []
    peer.respond(removal, 200)
    grant(peer, register(peer), 120)
    assert peer.events() == [Registered(120)]


def test_new_flow_registers_anew_in_silence() -> None:
    peer, first = registered()
    peer.ua.flow_lost("gone", now=peer.now)
    assert peer.events() == []
    peer.wait(1000)
    assert peer.names() == []
    peer.ua.flow_ready(peer.node.hop, now=peer.now)
    again = register(peer)
    assert (again.call_id, again.cseq.number) == (first.call_id, 2)
    grant(peer, again, 120)
    assert peer.events() == [Registered(120)]


def test_register_before_there_is_a_flow_waits_for_it() -> None:
    peer = registrar()
    peer.ua.flow_lost("gone", now=peer.now)
    peer.ua.register(now=peer.now)
    assert peer.names() == []
    peer.ua.flow_ready(peer.node.hop, now=peer.now)
    assert register(peer).cseq.number == 1


def test_new_local_address_takes_the_old_binding_away() -> None:
    peer, first = registered()
    moved = Hop("UDP", SERVER, replace_address(ALICE, 40_000), FlowId("alice2"))
    peer.ua.flow_ready(moved, now=peer.now)
    fresh, old = register(peer).contacts
    assert str(fresh.uri) == "sip:alice@192.0.2.1:40000"
    assert (old.uri, old.parameter("expires"), old.parameter("reg-id")) == (first.contacts[0].uri, "0", None)


def replace_address(address: Address, port: int) -> Address:
    return address._replace(port=port)


def test_address_that_a_nat_shows_is_registered_but_not_for_ever() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    for port in range(61_000, 61_010):
        requests = [each for each in peer.sent() if isinstance(each, Request)]
        if not requests:
            break
        request = requests[-1]
        via = request.top_via.with_parameter("received", "203.0.113.5").with_parameter("rport", str(port))
        answer = request.response(200, to_tag="r", headers=(("Contact", str(request.contacts[0])),))
        answer.headers.set("Via", str(via))
        peer.give(answer)
    assert port == 61_004
    assert str(request.contacts[0].uri) == "sip:alice@203.0.113.5:61002"


def test_reg_12_service_route_and_gruu_are_used_in_calls() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    request = register(peer)
    contact = request.contacts[0].with_parameter("pub-gruu", "sip:alice@example.com;gr=urn:uuid:f81d")
    rows = (("Contact", str(contact)), ("Service-Route", "<sip:edge.example.com;lr>"))
    peer.respond(request, 200, headers=rows)
    peer.ua.invite(SipUri("example.com", "bob"), OFFER, now=peer.now)
    (invite,) = [each for each in peer.sent() if each.cseq.method == "INVITE"]
    assert [str(route) for route in invite.routes] == ["<sip:edge.example.com;lr>"]
    assert str(invite.contacts[0].uri) == "sip:alice@example.com;gr=urn:uuid:f81d"


def test_200_ok_that_grants_nothing_is_a_failure() -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    grant(peer, register(peer), 0)
    assert peer.events() == [RegistrationFailed(200, "SIP Failure Code")]


@pytest.mark.parametrize("rows", [(("Contact", "<<<"),), (("Expires", "soon"),), (("Service-Route", "<"),)])
def test_200_ok_that_cannot_be_read_is_a_failure(rows: tuple[tuple[str, str], ...]) -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    peer.respond(register(peer), 200, headers=rows)
    (event,) = peer.events()
    assert isinstance(event, RegistrationFailed)


class RegistrationMachine(RuleBasedStateMachine):
    """Commands, answers, flows and time in any order: one REGISTER at a time, numbers rise, IDLE waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = registrar(password="secret")
        self.open: list[Request] = []
        self.number = 0
        self.up = True
        self.branches: set[str] = set()

    def take(self) -> None:
        for message in self.peer.sent():
            assert isinstance(message, Request)
            branch = message.top_via.branch or ""
            if branch in self.branches:
                continue
            self.branches.add(branch)
            assert message.cseq.number == self.number + 1
            self.number += 1
            self.open = [message]

    @rule()
    def register(self) -> None:
        self.peer.ua.register(now=self.peer.now)
        self.take()

    @rule()
    def unregister(self) -> None:
        self.peer.ua.unregister(now=self.peer.now)
        self.take()

    @precondition(lambda self: self.open and self.up)
    @rule(
        status=st.sampled_from((100, 200, 200, 200, 401, 403, 407, 423, 439, 500, 503)),
        granted=st.sampled_from((0, 1, 10, 120, 86_400)),
        broken=st.booleans(),
    )
    def respond(self, status: int, granted: int, broken: bool) -> None:
        request = self.open[-1]
        if status >= 200:
            self.open.clear()
        contact = str(request.contacts[0].with_parameter("expires", str(granted)))
        headers: tuple[tuple[str, str], ...] = (
            ("Contact", "<" if broken else contact),
            ("Min-Expires", str(granted)),
        )
        if status in (401, 407):
            name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
            stale = ",stale=true" if granted == 120 else ""
            headers = ((name, f'Digest realm="r",nonce="n{self.number}"{stale}'),)
        self.peer.respond(request, status, headers=headers)
        self.take()

    @precondition(lambda self: self.up)
    @rule()
    def lose(self) -> None:
        self.up = False
        self.open.clear()
        self.peer.ua.flow_lost("gone", now=self.peer.now)
        self.take()

    @precondition(lambda self: not self.up)
    @rule(port=st.sampled_from((5060, 40_000)))
    def connect(self, port: int) -> None:
        self.up = True
        hop = replace(self.peer.node.hop, local=ALICE._replace(port=port))
        self.peer.ua.flow_ready(hop, now=self.peer.now)
        self.take()

    @rule(seconds=st.sampled_from((0.1, 1.0, 31.0, 40.0, 500.0)))
    def wait(self, seconds: float) -> None:
        self.peer.wait(seconds)
        self.take()

    @invariant()
    def idle_waits_for_nothing(self) -> None:
        registration = self.peer.ua._registration[1]
        if registration.state in (RegistrationState.IDLE, RegistrationState.WAITING):
            assert registration.next_timeout() is None
        if registration.state in (RegistrationState.REGISTERED, RegistrationState.BACKING_OFF):
            assert registration.next_timeout() is not None
        assert self.up or registration.is_idle

    def teardown(self) -> None:
        self.peer.ua.unregister(now=self.peer.now)
        self.peer.wait(200)
        assert self.peer.ua.is_idle
        assert self.peer.ua.next_timeout() is None
        assert self.peer.ua._registration[1].state is RegistrationState.IDLE


RegistrationMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestRegistrationMachine = RegistrationMachine.TestCase


# --------------------------------------------------------------------------------------- flows, GRUU, other registrars


def test_each_flow_has_a_number_that_stays() -> None:
    peer = registrar(flows=2)
    second = Hop("UDP", SERVER._replace(port=5070), ALICE._replace(port=5070), FlowId("second"))
    peer.ua.register(now=peer.now)
    first = register(peer)
    peer.ua.flow_ready(second, 2, now=peer.now)
    other = register(peer)
    assert [each.contacts[0].parameter("reg-id") for each in (first, other)] == ["1", "2"]
    assert first.call_id != other.call_id
    peer.ua.flow_lost("gone", 2, now=peer.now)
    peer.ua.flow_ready(replace(second, flow=FlowId("third")), 2, now=peer.now)
    again = register(peer)
    assert (again.call_id, again.contacts[0].parameter("reg-id")) == (other.call_id, "2")


@pytest.mark.parametrize(
    ("kind", "uri"),
    [
        ("public", "sip:alice@example.com;gr=urn:uuid:1"),
        ("temporary", "sip:tgruu.7hs==jd7vnzga5w7fajsc7-ajd6fabz0f8g5@example.com;gr"),
        ("none", "sip:alice@192.0.2.1:5060;ob"),
    ],
)
def test_a_call_shows_the_gruu_of_the_kind_asked_for(kind: str, uri: str) -> None:
    """The two of RFC 5627 section 3.1 and 3.2."""
    peer = registrar(gruu=kind)
    peer.ua.register(now=peer.now)
    request = register(peer)
    contact = (
        f'{request.contacts[0]};pub-gruu="sip:alice@example.com;gr=urn:uuid:1"'
        ';temp-gruu="sip:tgruu.7hs==jd7vnzga5w7fajsc7-ajd6fabz0f8g5@example.com;gr"'
    )
    peer.respond(request, 200, headers=(("Contact", contact),))
    peer.ua.invite(SipUri("example.com", "bob"), OFFER, now=peer.now)
    (invite,) = peer.sent()
    assert str(invite.contacts[0].uri) == uri


def test_a_sips_account_has_a_sips_contact() -> None:
    peer = Stranger(server=SERVER, transport="TLS", instance=INSTANCE)
    config = replace(peer.ua._config, address=SipUri("example.com", "alice", scheme="sips"))
    peer.ua._identity.config = config
    peer.ua.register(now=peer.now)
    assert str(register(peer).contacts[0].uri) == "sips:alice@192.0.2.1:5060;transport=tls"


@pytest.mark.parametrize("status", [301, 302])
def test_a_registrar_that_has_moved_says_where_to(status: int) -> None:
    for succeeded in (False, True):
        peer = registered()[0] if succeeded else registrar()
        peer.ua.register(now=peer.now)
        contacts = "<sip:b.example.com>;q=0.5, <sip:a.example.com;transport=tls>, <tel:1>;q=1"
        peer.respond(register(peer), status, headers=(("Contact", contacts),))
        (failed,) = peer.events()
        assert isinstance(failed, RegistrationFailed)
        assert failed.moved_to == SipUri("a.example.com", parameters=(("transport", "tls"),))
        assert (failed.retry_in is None) == (not succeeded)


@pytest.mark.parametrize("contacts", ["", "<tel:1>", "*", "<sip:"])
def test_a_registrar_that_has_moved_nowhere_has_failed(contacts: str) -> None:
    peer = registrar()
    peer.ua.register(now=peer.now)
    peer.respond(register(peer), 302, headers=(("Contact", contacts),) if contacts else ())
    (failed,) = peer.events()
    assert isinstance(failed, RegistrationFailed)
    assert failed.moved_to is None


def test_tries_after_a_failure_keep_the_times_of_the_account() -> None:
    peer = registrar(retry=(2.0, 5.0))
    peer.ua.register(now=peer.now)
    grant(peer, register(peer), 3600)
    peer.events()
    peer.ua.register(now=peer.now)
    request = register(peer)
    for bound in (2.0, 4.0, 5.0, 5.0):
        peer.respond(request, 500)
        (failed,) = peer.events()
        assert isinstance(failed, RegistrationFailed)
        assert failed.retry_in is not None
        # RFC 5626 section 4.5: "a uniform random time between 50 and 100% of the upper-bound wait time".
        assert bound / 2 <= failed.retry_in <= bound
        request = until_sent(peer)
