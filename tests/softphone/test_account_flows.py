"""An account with several flows, fed by hand: which is spoken on, what is told, what comes of each loss (RFC 5626)."""

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import (
    Address,
    CloseFlow,
    FlowId,
    OpenStream,
    RecordType,
    Resolve,
    SendStream,
    SrvRecord,
)
from sansio_sip.sip.call_events import CallConfirmed, CallEnded, IncomingCall
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone.account import Account, AccountState
from sansio_sip.softphone.account_outputs import Back, CallSaid, Down, LoggedIn, LoggedOut, LoginRefused, Strayed, Up
from sansio_sip.softphone.call_info import AccountId
from sansio_sip.softphone.options import AccountOptions

ONE, TWO, THREE = "192.0.2.10", "192.0.2.11", "192.0.2.12"
OFFER, ANSWER = b"v=0 offer\r\n", b"v=0 answer\r\n"
OUTBOUND = (("Require", "outbound"),)


class Bench:
    """An account over TCP; the test says which servers can be reached, and answers for them."""

    def __init__(self, *servers: str, flows: int = 2, **options: Any) -> None:
        self.now = 100.0
        context = Context(Entropy(random.Random(1)))
        urls = servers or (f"tcp://{ONE}", f"tcp://{TWO}")
        self.account = Account(
            context,
            AccountId("a"),
            AccountOptions("sip:alice@example.com", password=Secret("pw"), servers=urls, flows=flows, **options),
        )
        self.records: dict[tuple[str, RecordType], tuple[Any, ...]] = {}
        self.dead: set[str] = set()
        self.flows: dict[FlowId, str] = {}  # that are open, and to whom
        self.sent: list[tuple[str, Message]] = []
        self.pings: list[tuple[str, float]] = []
        self.events: list[Any] = []

    def pump(self) -> None:
        account = self.account
        for output in account.outputs():
            match output:
                case Resolve(query, name, kind):
                    account.resolved(query, self.records.get((name, kind), ()), now=self.now)
                case OpenStream(flow, host, port):
                    if host in self.dead:
                        account.flow_lost(flow, "refused", now=self.now)
                    else:
                        self.flows[flow] = host
                        local = Address("192.0.2.1", 40_000 + int(host.rpartition(".")[2]))
                        account.flow_opened(flow, local, Address(host, port), None, now=self.now)
                case SendStream(flow, b"\r\n\r\n"):
                    self.pings.append((self.flows[flow], self.now))
                case SendStream(flow, data):
                    self.sent.append((self.flows[flow], parse_message(data)))
                case CloseFlow(flow):
                    del self.flows[flow]
                case _:
                    self.events.append(output)

    def login(self) -> None:
        self.account.login(now=self.now)
        self.pump()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.account.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.account.handle_timeout(now=self.now)
            self.pump()
        self.now = end

    def flow(self, host: str) -> FlowId:
        return next(flow for flow, peer in self.flows.items() if peer == host)

    def lose(self, host: str, *, dead: bool = True) -> None:
        if dead:
            self.dead.add(host)
        for flow in [flow for flow, peer in self.flows.items() if peer == host]:
            del self.flows[flow]
            self.account.flow_lost(flow, "reset", now=self.now)
        self.pump()

    def give(self, host: str, message: Message) -> None:
        self.account.receive_stream(self.flow(host), bytes(message), now=self.now)
        self.pump()

    def take(self, method: str, host: str | None = None) -> Request:
        """The next request of that kind, of those not taken yet."""
        for index, (peer, message) in enumerate(self.sent):
            if isinstance(message, Request) and message.method == method and host in (None, peer):
                del self.sent[index]
                return message
        raise AssertionError((method, host, [(peer, str(message)[:40]) for peer, message in self.sent]))

    def answer(self, host: str, method: str, status: int = 200, *rows: tuple[str, str], body: bytes = b"") -> Request:
        request = self.take(method, host)
        contact: tuple[tuple[str, str], ...] = ()
        if method == "REGISTER" and status == 200:
            contact = (("Contact", str(request.contacts[0])),)
        if method == "INVITE" and 100 < status < 300:
            contact = (("Contact", "<sip:bob@example.com;gr=urn:uuid:b>"), ("Record-Route", f"<sip:{host};lr>"))
        content = (("Content-Type", "application/sdp"),) if body else ()
        self.give(host, request.response(status, to_tag="r", headers=(*contact, *rows, *content), body=body))
        return request

    def logged_in(self) -> "Bench":
        self.login()
        for host in (ONE, TWO):
            self.answer(host, "REGISTER", 200, *OUTBOUND)
        return self

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def registered(self) -> list[bool]:
        return [line.registered for line in self.account.user_agent.lines]

    def call(self) -> None:
        """A call of ours that is up, by the flow in use."""
        self.account.user_agent.invite(SipUri("example.com", "bob"), OFFER, now=self.now)
        self.account.touched(now=self.now)
        self.pump()
        host = next(peer for peer, message in self.sent if isinstance(message, Request) and message.method == "INVITE")
        self.answer(host, "INVITE", 200, body=ANSWER)
        assert self.take("ACK", host)


def test_the_first_binding_is_the_login_and_the_first_flow_the_connection() -> None:
    bench = Bench()
    bench.login()
    assert sorted(bench.flows.values()) == [ONE, TWO]
    first = bench.answer(TWO, "REGISTER", 200, *OUTBOUND)
    assert (len(bench.of(LoggedIn)), len(bench.of(Up)), bench.account.state) == (1, 1, AccountState.LOGGED_IN)
    second = bench.answer(ONE, "REGISTER", 200, *OUTBOUND)
    assert (len(bench.of(LoggedIn)), len(bench.of(Up))) == (1, 1)
    assert bench.registered == [True, True]
    contacts = [each.contacts[0] for each in (second, first)]
    assert len({contact.parameter("+sip.instance") for contact in contacts}) == 1
    assert [contact.parameter("reg-id") for contact in contacts] == ["1", "2"]
    # What is in use stays so: the flow that has registered first.
    assert bench.account.hop is not None
    assert bench.account.hop.address == Address(TWO, 5060)


def test_requests_leave_by_another_flow_when_the_one_in_use_is_lost_and_stay_there_when_it_comes_back() -> None:
    bench = Bench().logged_in()
    bench.lose(ONE)
    assert bench.of(Down) == []
    assert bench.account.is_reachable
    bench.call()
    bench.dead.clear()
    bench.wait(6.0)
    bench.answer(ONE, "REGISTER", 200, *OUTBOUND)
    assert bench.registered == [True, True]
    assert bench.account.hop is not None
    assert bench.account.hop.address == Address(TWO, 5060)
    # Down is said of the last one alone, and Up of the first to come back.
    bench.lose(ONE)
    bench.lose(TWO)
    assert [event.was_up for event in bench.of(Down)][:1] == [True]
    bench.dead.clear()
    bench.wait(9.0)
    assert len(bench.of(Up)) == 2


def test_the_dead_one_is_tried_with_growing_pauses() -> None:
    bench = Bench(reconnect=(2.0, 30.0)).logged_in()
    bench.lose(ONE)
    tries: list[float] = []
    for _ in range(140):
        before = len([event for event in bench.events if "not opened" in getattr(event, "text", "")])
        bench.wait(0.5)
        if len([event for event in bench.events if "not opened" in getattr(event, "text", "")]) > before:
            tries.append(bench.now)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps[0] < 5.0
    assert gaps[-1] >= 10.0
    assert TWO in bench.flows.values()


def test_calls_on_the_lost_flow_are_told_of_and_no_others() -> None:
    bench = Bench().logged_in()
    bench.call()
    bench.events.clear()
    bench.lose(TWO)
    assert bench.of(Strayed, Back) == []
    bench = Bench().logged_in()
    bench.call()
    bench.events.clear()
    bench.lose(ONE)
    told = bench.of(Strayed, Back)
    assert [type(each) for each in told] == [Strayed, Back]
    assert len(told[0].calls) == 1
    assert bench.of(CallSaid) == []


def test_in_a_call_that_has_moved_requests_take_the_routes_of_the_new_flow() -> None:
    bench = Bench().logged_in()
    bench.call()
    bench.lose(ONE)
    (call,) = bench.of(Strayed)[0].calls
    bench.account.user_agent.reoffer(call, OFFER, now=bench.now)
    bench.account.touched(now=bench.now)
    bench.pump()
    invite = bench.answer(TWO, "INVITE", 200, body=ANSWER)
    assert [str(route) for route in invite.routes] == [f"<sip:{TWO}:5060;transport=tcp;lr>"]
    assert str(invite.uri) == "sip:bob@example.com;gr=urn:uuid:b"
    assert [str(route) for route in bench.take("ACK", TWO).routes] == [f"<sip:{TWO}:5060;transport=tcp;lr>"]


def test_a_request_that_waits_for_its_answer_goes_again_by_another_flow() -> None:
    bench = Bench().logged_in()
    bench.account.user_agent.invite(SipUri("example.com", "bob"), OFFER, now=bench.now)
    bench.account.touched(now=bench.now)
    bench.pump()
    first = bench.take("INVITE", ONE)
    bench.lose(ONE)
    second = bench.take("INVITE", TWO)
    assert (first.call_id, first.cseq, first.from_) == (second.call_id, second.cseq, second.from_)
    assert first.top_via.branch != second.top_via.branch
    ports = [uri.port for uri in (first.contacts[0].uri, second.contacts[0].uri) if isinstance(uri, SipUri)]
    assert ports == [40_010, 40_011]
    assert bench.of(CallSaid) == []


def test_one_that_somebody_has_heard_of_does_not() -> None:
    bench = Bench().logged_in()
    bench.account.user_agent.invite(SipUri("example.com", "bob"), OFFER, now=bench.now)
    bench.account.touched(now=bench.now)
    bench.pump()
    bench.answer(ONE, "INVITE", 180)
    bench.lose(ONE)
    assert [type(event.event) for event in bench.of(CallSaid)][-1] is CallEnded


def test_430_leads_to_another_flow_once() -> None:
    bench = Bench().logged_in()
    bench.account.user_agent.invite(SipUri("example.com", "bob"), OFFER, now=bench.now)
    bench.account.touched(now=bench.now)
    bench.pump()
    bench.answer(ONE, "INVITE", 430)
    bench.answer(TWO, "INVITE", 430)
    (ended,) = [event.event for event in bench.of(CallSaid) if isinstance(event.event, CallEnded)]
    assert ended.end.status == 430


def test_a_call_is_answered_on_the_flow_it_came_by() -> None:
    bench = Bench().logged_in()
    rows = [
        ("Via", f"SIP/2.0/TCP {TWO}:5060;branch=z9hG4bKin"),
        ("Record-Route", f"<sip:{TWO};transport=tcp;lr>"),
        ("From", "<sip:bob@example.com>;tag=b"),
        ("To", "<sip:alice@example.com>"),
        ("Call-ID", "in"),
        ("CSeq", "1 INVITE"),
        ("Max-Forwards", "70"),
        ("Contact", "<sip:bob@192.0.2.99>"),
        ("Content-Type", "application/sdp"),
    ]
    bench.give(TWO, Request("INVITE", SipUri("example.com", "alice"), rows, OFFER))
    (said,) = [event.event for event in bench.of(CallSaid) if isinstance(event.event, IncomingCall)]
    bench.account.user_agent.answer(said.call, ANSWER, now=bench.now)
    bench.account.touched(now=bench.now)
    bench.pump()
    assert {peer for peer, message in bench.sent if isinstance(message, Response)} == {TWO}
    ok = next(message for _, message in bench.sent if isinstance(message, Response) and message.status == 200)
    ack = Request("ACK", SipUri("example.com", "alice"), rows[:8])
    ack.headers.set("To", str(ok.to))
    ack.headers.set("CSeq", "1 ACK")
    bench.give(TWO, ack)
    assert isinstance(bench.of(CallSaid)[-1].event, CallConfirmed)
    # And what we have to say in it goes the same way, though another flow is in use.
    assert bench.account.hop is not None
    assert bench.account.hop.address == Address(ONE, 5060)
    bench.account.user_agent.hangup(said.call, now=bench.now)
    bench.account.touched(now=bench.now)
    bench.pump()
    assert [str(route.uri) for route in bench.take("BYE", TWO).routes] == [f"sip:{TWO};transport=tcp;lr"]


def test_a_subscription_follows_to_the_other_flow() -> None:
    bench = Bench().logged_in()
    bench.account.user_agent.subscribe(SipUri("example.com", "alice"), "message-summary", now=bench.now)
    bench.account.touched(now=bench.now)
    bench.pump()
    rows = (("Contact", "<sip:mail@192.0.2.50>"), ("Record-Route", f"<sip:{ONE};lr>"), ("Expires", "600"))
    first = bench.answer(ONE, "SUBSCRIBE", 200, *rows)
    notify = [
        ("Via", f"SIP/2.0/TCP {ONE}:5060;branch=z9hG4bKn"),
        ("Record-Route", f"<sip:{ONE};lr>"),
        ("From", f"{first.to.with_tag('r')}"),
        ("To", f"{first.from_}"),
        ("Call-ID", first.call_id),
        ("CSeq", "1 NOTIFY"),
        ("Max-Forwards", "70"),
        ("Contact", "<sip:mail@192.0.2.50>"),
        ("Event", "message-summary"),
        ("Subscription-State", "active;expires=600"),
    ]
    bench.give(ONE, Request("NOTIFY", SipUri("example.com", "alice"), notify))
    bench.lose(ONE)
    again = bench.take("SUBSCRIBE", TWO)
    assert (again.call_id, again.to.tag) == (first.call_id, "r")
    assert [str(route) for route in again.routes] == [f"<sip:{TWO}:5060;transport=tcp;lr>"]
    # One that comes back draws nothing to itself.
    bench.dead.clear()
    bench.wait(6.0)
    assert ONE in bench.flows.values()
    assert not [peer for peer, message in bench.sent if getattr(message, "method", "") == "SUBSCRIBE" and peer == ONE]


def test_a_login_goes_on_by_the_server_that_serves() -> None:
    for first in ("dead", 503, 408):
        bench = Bench()
        if first == "dead":
            bench.dead.add(ONE)
        bench.login()
        if first != "dead":
            bench.answer(ONE, "REGISTER", int(first))
        assert bench.of(LoginRefused) == []
        bench.answer(TWO, "REGISTER", 200, *OUTBOUND)
        assert len(bench.of(LoggedIn)) == 1


def test_a_login_is_refused_when_all_have_failed_or_one_registrar_says_no() -> None:
    bench = Bench()
    bench.dead |= {ONE, TWO}
    bench.login()
    assert [event.status for event in bench.of(LoginRefused)] == [0]
    bench = Bench()
    bench.login()
    bench.answer(TWO, "REGISTER", 403)
    assert [event.status for event in bench.of(LoginRefused)] == [403]
    assert bench.flows == {}


def test_logout_takes_every_binding_away() -> None:
    bench = Bench().logged_in()
    bench.account.logout(now=bench.now)
    bench.pump()
    assert bench.answer(ONE, "REGISTER").expires == 0
    assert bench.of(LoggedOut) == []
    assert bench.answer(TWO, "REGISTER").expires == 0
    assert len(bench.of(LoggedOut)) == 1


def test_a_flow_that_the_registrar_takes_for_a_device_rests_until_no_other_is_left() -> None:
    """RFC 5626 section 4.2.1: without `outbound` in the answer both flows would be called."""
    bench = Bench()
    bench.login()
    bench.answer(ONE, "REGISTER")
    bench.answer(TWO, "REGISTER")
    assert bench.answer(TWO, "REGISTER").expires == 0
    assert list(bench.flows.values()) == [ONE]
    assert bench.registered == [True, False]
    bench.wait(30.0)
    assert list(bench.flows.values()) == [ONE]
    bench.lose(ONE)
    assert list(bench.flows.values()) == [TWO]
    bench.answer(TWO, "REGISTER")
    assert bench.registered == [False, True]


def test_439_leaves_outbound_out_and_one_flow_in() -> None:
    bench = Bench()
    bench.login()
    for host in (ONE, TWO):
        bench.answer(host, "REGISTER", 439)
        assert bench.answer(host, "REGISTER").contacts[0].parameter("reg-id") is None
    assert bench.answer(TWO, "REGISTER").expires == 0
    assert list(bench.flows.values()) == [ONE]


@pytest.mark.parametrize(
    ("timer", "earliest", "latest"), [("10", 8.0, 10.0), ("1", 4.0, 5.0), ("120", 24.0, 29.0), ("x", 24.0, 29.0)]
)
def test_a_flow_is_pinged_as_often_as_its_server_asks(timer: str, earliest: float, latest: float) -> None:
    bench = Bench()
    bench.login()
    start = bench.now
    bench.answer(ONE, "REGISTER", 200, *OUTBOUND, ("Flow-Timer", timer))
    bench.answer(TWO, "REGISTER", 200, *OUTBOUND)
    bench.wait(29.0)
    pings = {host: [time - start for peer, time in bench.pings if peer == host] for host in (ONE, TWO)}
    assert earliest <= pings[ONE][0] <= latest
    assert 24.0 <= pings[TWO][0] <= 29.0


def test_a_domain_that_resolves_to_two_servers_gives_each_flow_one() -> None:
    bench = Bench("sip:example.com;transport=tcp")
    bench.records = {
        ("_sip._tcp.example.com", RecordType.SRV): (
            SrvRecord(1, 0, 5060, "one.example.com"),
            SrvRecord(1, 0, 5060, "two.example.com"),
        ),
        ("one.example.com", RecordType.ADDRESS): (Address(ONE, 0),),
        ("two.example.com", RecordType.ADDRESS): (Address(TWO, 0),),
    }
    bench.login()
    assert sorted(bench.flows.values()) == [ONE, TWO]
    # The one that has died is not replaced by a second flow to the other.
    bench.answer(ONE, "REGISTER", 200, *OUTBOUND)
    bench.answer(TWO, "REGISTER", 200, *OUTBOUND)
    bench.lose(ONE)
    bench.wait(60.0)
    assert list(bench.flows.values()) == [TWO]
    bench.dead.clear()
    bench.wait(40.0)
    assert sorted(bench.flows.values()) == [ONE, TWO]


def test_a_third_server_takes_the_place_of_a_dead_one_and_a_sole_server_is_shared() -> None:
    bench = Bench(f"tcp://{ONE}", f"tcp://{TWO}", f"tcp://{THREE}").logged_in()
    bench.lose(ONE)
    bench.wait(10.0)
    assert sorted(bench.flows.values()) == [TWO, THREE]
    bench = Bench(f"tcp://{ONE}")
    bench.login()
    assert list(bench.flows.values()) == [ONE, ONE]


@pytest.mark.parametrize("flows", [0, 5, -1])
def test_flows_are_bounded(flows: int) -> None:
    with pytest.raises(ValueError, match="flows is"):
        AccountOptions("sip:alice@example.com", servers=(f"tcp://{ONE}",), flows=flows)
    with pytest.raises(ValueError, match="flows is 2"):
        AccountOptions("sip:alice@example.com", flows=2)


# ------------------------------------------------------------------------------------------------------ state machine


class FlowsMachine(RuleBasedStateMachine):
    """Servers that die and come back, and answer as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(reconnect=(1.0, 4.0))

    @precondition(lambda self: self.bench.account.state is AccountState.IDLE)
    @rule()
    def login(self) -> None:
        self.bench.login()

    @precondition(lambda self: self.bench.account.state in (AccountState.LOGGED_IN, AccountState.LOGGING_IN))
    @rule()
    def logout(self) -> None:
        self.bench.account.logout(now=self.bench.now)
        self.bench.pump()

    @rule(host=st.sampled_from((ONE, TWO)), dead=st.booleans())
    def lose(self, host: str, dead: bool) -> None:
        self.bench.lose(host, dead=dead)

    @rule(host=st.sampled_from((ONE, TWO)))
    def mend(self, host: str) -> None:
        self.bench.dead.discard(host)

    @precondition(lambda self: self.bench.account.hop is not None)
    @rule()
    def call(self) -> None:
        self.bench.account.user_agent.invite(SipUri("example.com", "bob"), OFFER, now=self.bench.now)
        self.bench.account.touched(now=self.bench.now)
        self.bench.pump()

    @rule(
        host=st.sampled_from((ONE, TWO)),
        status=st.sampled_from((180, 200, 200, 200, 403, 408, 430, 439, 503)),
        outbound=st.booleans(),
    )
    def answer(self, host: str, status: int, outbound: bool) -> None:
        bench = self.bench
        found = [message for peer, message in bench.sent if peer == host and isinstance(message, Request)]
        if found and host in bench.flows.values() and found[0].method != "ACK":
            rows = OUTBOUND if outbound and status == 200 else ()
            bench.answer(host, found[0].method, status, *rows, body=ANSWER if found[0].method == "INVITE" else b"")
        elif found:
            bench.take(found[0].method, host)

    @rule(seconds=st.sampled_from((0.1, 2.0, 9.0, 40.0, 300.0)))
    def wait(self, seconds: float) -> None:
        self.bench.wait(seconds)

    @invariant()
    def what_is_in_use_is_as_good_as_any(self) -> None:
        account, lines = self.bench.account, self.bench.account.user_agent.lines
        assert (account.hop is not None) == any(line.hop is not None for line in lines)
        if account.registered:
            assert lines.in_use.registered

    @invariant()
    def each_flow_that_is_open_is_known_and_to_a_server_of_its_own(self) -> None:
        hosts = [line.hop.address for line in self.bench.account.user_agent.lines if line.hop is not None]
        assert len(set(hosts)) == len(hosts)
        assert sorted(host.host for host in hosts if host is not None) == sorted(self.bench.flows.values())

    @invariant()
    def up_and_down_take_turns(self) -> None:
        told = [type(event) for event in self.bench.of(Up, Down) if isinstance(event, Up) or event.was_up]
        assert all(one is not other for one, other in pairwise(told))
        assert (told[-1:] == [Up]) == (self.bench.account.hop is not None)

    def teardown(self) -> None:
        """In the end nothing waits any more."""
        bench = self.bench
        bench.account.close(now=bench.now)
        bench.pump()
        bench.wait(300.0)
        assert bench.flows == {}


FlowsMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestFlowsMachine = FlowsMachine.TestCase
