"""What a user agent does with requests that belong to no call, and with what it cannot read (RFC 3261 section 8.2)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sip.test_user_agents_over_pipe import numbers_rise
from sip.ua_pipe import ANSWER, BOB, OFFER, Stranger

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sip.body import description_of
from sansio_sip.sip.call_events import CallEnded, CallId, IncomingCall
from sansio_sip.sip.limits import Limits
from sansio_sip.sip.message import Message, Request, Response
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.sip.session_state import SessionState
from sansio_sip.sip.uri import SipUri

SERVER = Address("192.0.2.100", 5060)

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, NOTIFY, PRACK, REFER, SUBSCRIBE, UPDATE"

PART = b"--b\r\nContent-Type: "
MULTIPART = PART + b"text/plain\r\n\r\nhello\r\n" + PART + b"application/sdp\r\n\r\nv=0 x\r\n--b--\r\n"


def answer_to(peer: Stranger, request: Request) -> Response:
    peer.give(request)
    (response,) = peer.sent()
    assert isinstance(response, Response)
    assert response.to.tag
    return response


@pytest.mark.parametrize(
    ("method", "more", "status", "header"),
    [
        ("OPTIONS", {}, 200, ("Allow", ALLOW)),
        ("FOO", {}, 501, ("Allow", ALLOW)),
        ("PUBLISH", {}, 405, ("Allow", ALLOW)),
        ("INVITE", {"headers": (("Require", "bar, gruu"), ("Require", "foo"))}, 420, ("Unsupported", "bar, foo")),
        ("INVITE", {"uri": "tel:+15550100"}, 416, None),
        ("INVITE", {"body": b"x", "content_type": "text/plain"}, 415, ("Accept-Encoding", "identity")),
        ("INVITE", {"body": b"x", "content_type": None}, 415, None),
        ("INVITE", {"body": OFFER, "headers": (("Content-Encoding", "gzip"),)}, 415, None),
        ("INVITE", {"headers": (("Record-Route", "<"),)}, 400, None),
        ("INVITE", {"headers": (("Record-Route", "<sip:192.0.2.9;lr>"),) * 33}, 400, None),
        ("INVITE", {"to_tag": "unknown"}, 481, None),
        ("BYE", {"to_tag": "unknown"}, 481, None),
        ("BYE", {}, 481, None),
        ("INFO", {}, 481, None),
        ("NOTIFY", {}, 481, None),
    ],
)
def test_request_outside_of_any_call(
    method: str, more: dict[str, object], status: int, header: tuple[str, str] | None
) -> None:
    peer = Stranger()
    response = answer_to(peer, peer.request(method, **more))  # type: ignore[arg-type]
    assert response.status == status
    if header is not None:
        assert response.headers.get(header[0]) == header[1]
    assert peer.events() == []


def test_merged_request_is_482_and_a_copy_is_none() -> None:
    peer = Stranger()
    first = peer.request("INVITE", body=OFFER)
    peer.give(first)
    peer.give(first)
    assert [type(event) for event in peer.events()] == [IncomingCall]
    other_way = peer.request("INVITE", body=OFFER, branch="z9hG4bKotherway")
    assert answer_to(peer, other_way).status == 482
    assert peer.events() == []


def test_calls_are_bounded_both_ways() -> None:
    peer = Stranger(limits=Limits(dialogs=2))
    for number in range(2):
        peer.give(peer.request("INVITE", call_id=f"call{number}", body=OFFER))
    third = peer.request("INVITE", call_id="call-more", body=OFFER)
    assert answer_to(peer, third).status == 486
    with pytest.raises(LocalProtocolError, match="end one first"):
        peer.ua.invite(SipUri("192.0.2.2", "bob"), OFFER, now=peer.now)


def test_response_with_two_vias_is_dropped() -> None:
    peer = Stranger()
    peer.ua.invite(SipUri("192.0.2.2", "bob"), OFFER, now=peer.now)
    (invite,) = peer.sent()
    assert isinstance(invite, Request)
    response = invite.response(486, to_tag="x")
    response.headers.add("Via", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx")
    peer.give(response)
    assert peer.events() == []


@pytest.mark.parametrize(
    ("target", "headers", "message"),
    [
        (SipUri("192.0.2.2", "bob"), (("X-PH-a", "b\r\nc"),), "one-line"),
        (SipUri("192.0.2.2", "bob"), (("no name", "b"),), "one-line"),
    ],
)
def test_call_that_cannot_be_made(target: SipUri, headers: tuple[tuple[str, str], ...], message: str) -> None:
    peer = Stranger()
    with pytest.raises(LocalProtocolError, match=message):
        peer.ua.invite(target, OFFER, headers=headers, now=peer.now)
    assert peer.sent() == []
    assert peer.ua.is_idle


def test_commands_without_a_call_or_a_flow() -> None:
    peer = Stranger()
    nobody = CallId("nobody")
    for command in (peer.ua.ring, peer.ua.reject, peer.ua.hangup, peer.ua.reject_reoffer):
        with pytest.raises(LocalProtocolError, match="no call"):
            command(nobody, now=peer.now)
    peer.ua.flow_lost("gone", now=peer.now)
    with pytest.raises(LocalProtocolError, match="no signalling flow"):
        peer.ua.invite(SipUri("192.0.2.2", "bob"), OFFER, now=peer.now)


def test_with_a_server_all_goes_over_its_flow() -> None:
    peer = Stranger(server=SERVER)
    peer.ua.invite(SipUri("example.com", "bob"), OFFER, now=peer.now)
    ((_, hop),) = peer.node.take()
    assert hop.address == SERVER


def test_without_one_a_dialog_with_a_name_goes_back_to_where_it_came_from() -> None:
    peer = Stranger()
    invite = peer.request("INVITE", body=OFFER)
    invite.headers.set("Contact", "<sip:bob@bob.invalid>")
    peer.give(invite)
    (event,) = peer.events()
    assert isinstance(event, IncomingCall)
    peer.ua.answer(event.call, ANSWER, now=peer.now)
    (ok,) = peer.sent()
    peer.give(peer.request("ACK", to_tag=ok.to.tag))
    peer.ua.hangup(event.call, now=peer.now)
    ((data, hop),) = peer.node.take()
    assert (parse_message(data).cseq.method, hop.address) == ("BYE", BOB)


MALFORMED = b"\r\n".join(
    (
        b"INVITE sip:alice@192.0.2.1 SIP/7.0",
        b"v: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKbad",
        b"From: <sip:bob@example.com>;tag=b",
        b"t: <sip:alice@example.com>",
        b"Call-ID: bad",
        b"CSeq: 1 INVITE",
        b"",
        b"",
    )
)


def malformed(data: bytes, status: int) -> list[Message]:
    peer = Stranger()
    peer.ua.receive_malformed(data, ParseError("bad", status=status), peer.hop, now=peer.now)
    assert peer.ua.counters.malformed == 1
    return peer.sent()


def test_malformed_request_is_refused_with_the_status_of_its_error() -> None:
    (response,) = malformed(MALFORMED, 505)
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (505, "Version Not Supported")
    assert response.headers.get("Via") == "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKbad"
    assert response.to.tag
    assert response.cseq.number == 1


@pytest.mark.parametrize(
    "data",
    [
        MALFORMED.replace(b"INVITE sip", b"ACK sip"),
        MALFORMED.replace(b"1 INVITE", b"1 ACK"),
        MALFORMED.replace(b"INVITE sip:alice@192.0.2.1 SIP/7.0", b"SIP/2.0 200 OK"),
        MALFORMED.replace(b"Call-ID: bad\r\n", b""),
        MALFORMED.replace(b"Call-ID: bad", b"Call-ID: b\0d"),
        b"",
        b"\r\n\r\n",
    ],
)
def test_malformed_message_that_gets_no_response(data: bytes) -> None:
    assert malformed(data, 400) == []


def test_error_that_asks_for_no_response_gets_none() -> None:
    assert malformed(MALFORMED, 0) == []


@given(st.binary(max_size=300), st.sampled_from((400, 505, 513)))
@settings(max_examples=100, deadline=None)
def test_no_octets_raise(data: bytes, status: int) -> None:
    peer = Stranger()
    error = ParseError("bad", status=status)
    peer.ua.receive_malformed(data, error, peer.hop, now=peer.now)
    peer.ua.receive_malformed(MALFORMED.replace(b"bob", data), error, peer.hop, now=peer.now)


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        (b"v=0", "application/sdp", b"v=0"),
        (b"v=0", "Application/SDP;charset=utf-8", b"v=0"),
        (MULTIPART, 'multipart/mixed;boundary="b"', b"v=0 x"),
        (MULTIPART, "multipart/mixed", 400),
        (b"--b--\r\n", "multipart/mixed;boundary=b", 415),
        (b"junk", "multipart/mixed;boundary=b", 415),
        (b"x", "text/plain", 415),
        (b"", "text/plain", None),
    ],
)
def test_description_of(body: bytes, content_type: str, found: bytes | int | None) -> None:
    message = Response(200, "OK", [("Content-Type", content_type)], body)
    if isinstance(found, int):
        with pytest.raises(ParseError) as caught:
            description_of(message)
        assert caught.value.status == found
    else:
        assert description_of(message) == found
    optional = Response(
        200, "OK", [("Content-Type", "text/plain"), ("Content-Disposition", "icon; handling=optional")], b"x"
    )
    assert description_of(optional) is None


class CallMachine(RuleBasedStateMachine):
    """Calls both ways with a peer that says anything at any time, and an application that does anything.

    Each call ends exactly once; numbers rise; a call that has ended for good has no timer; nothing raises but
    LocalProtocolError, and that only before anything has changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peer = Stranger(policy=CallPolicy(refer=Consent.ALLOW, redirect=Consent.ALLOW))
        self.ends: list[str] = []
        self.calls: list[CallId] = []
        self.requests: list[Request] = []  # of ours, latest last
        self.tags: dict[str, str] = {}  # Call-ID: our tag
        self.invites: list[Request] = []  # of the peer
        self.number = 1
        self.rseq: dict[str, int] = {}
        self.up = True

    def take(self) -> None:
        for message in self.peer.sent():
            if isinstance(message, Request):
                self.requests.append(message)
                self.tags[message.call_id] = message.from_.tag or ""
            elif message.to.tag:
                assert isinstance(message, Response)
                self.tags[message.call_id] = message.to.tag
                self.rseq[message.call_id] = message.rseq or self.rseq.get(message.call_id, 0)
        for event in self.peer.events():
            if isinstance(event, IncomingCall):
                self.calls.append(event.call)
            if isinstance(event, CallEnded):
                self.ends.append(event.call)

    def command(self, name: str, index: int, *arguments: object) -> None:
        before = self.peer.ua.next_timeout()
        try:
            getattr(self.peer.ua, name)(self.calls[index % len(self.calls)], *arguments, now=self.peer.now)
        except LocalProtocolError:
            assert self.peer.ua.next_timeout() == before
            assert self.peer.sent() == []
        self.take()

    @precondition(lambda self: len(self.calls) < 4)
    @rule(offer=st.sampled_from((OFFER, OFFER, b"")))
    def place(self, offer: bytes) -> None:
        try:
            self.calls.append(self.peer.ua.invite(SipUri("192.0.2.2", "bob"), offer, now=self.peer.now))
        except LocalProtocolError:
            assert not self.up
        self.take()

    @precondition(lambda self: self.up and len(self.invites) < 3)
    @rule(
        offer=st.booleans(),
        headers=st.sampled_from(
            (
                (),
                (("Expires", "5"),),
                (("Supported", "100rel, timer"), ("Session-Expires", "90")),
                (("Require", "100rel"),),
                (("Supported", "timer"), ("Session-Expires", "90;refresher=uas"), ("Allow", "UPDATE")),
            )
        ),
    )
    def be_called(self, offer: bool, headers: tuple[tuple[str, str], ...]) -> None:
        body = OFFER if offer else b""
        invite = self.peer.request("INVITE", call_id=f"in{len(self.invites)}", headers=headers, body=body)
        self.invites.append(invite)
        self.peer.give(invite)
        self.take()

    @precondition(lambda self: self.calls)
    @rule(
        index=st.integers(0, 5),
        command=st.sampled_from(
            (
                ("ring",),
                ("progress", ANSWER),
                ("progress", OFFER),
                ("answer_offer", "bob", ANSWER),
                ("refer", SipUri("192.0.2.3", "carol")),
                ("accept_refer", 1),
                ("report_refer", 1, 180),
                ("report_refer", 1, 200),
                ("send_message", "text/plain", b"x"),
                ("answer", ANSWER),
                ("answer", ANSWER),
                ("reject", 603),
                ("hangup",),
                ("reoffer", OFFER),
                ("answer_reoffer", ANSWER),
                ("reject_reoffer", 488),
                ("send_info", "text/plain", b"x"),
            )
        ),
    )
    def act(self, index: int, command: tuple[object, ...]) -> None:
        self.command(str(command[0]), index, *command[1:])

    @precondition(lambda self: self.up and self.requests)
    @rule(
        back=st.integers(1, 6),
        status=st.sampled_from((100, 180, 183, 200, 200, 200, 302, 407, 408, 422, 481, 486, 491, 503)),
        tag=st.sampled_from(("bob", "bob", "fork")),
        broken=st.booleans(),
        headers=st.sampled_from(
            (
                (),
                (),
                (("Require", "100rel"), ("RSeq", "1")),
                (("Require", "100rel"), ("RSeq", "2")),
                (("Session-Expires", "90;refresher=uac"), ("Allow", "UPDATE")),
                (("Session-Expires", "90;refresher=uac"),),
                (("Session-Expires", "90;refresher=uas"),),
                (("Min-SE", "4000"),),
            )
        ),
    )
    def respond(self, back: int, status: int, tag: str, broken: bool, headers: tuple[tuple[str, str], ...]) -> None:
        request = self.requests[-min(back, len(self.requests))]
        if request.method == "ACK":
            return
        contact = "<" if broken and status == 183 else "<sip:bob@192.0.2.2>"
        body = ANSWER if status != 180 else b""
        self.peer.respond(request, status, tag=tag, contact=contact, headers=headers, body=body)
        self.take()

    @precondition(lambda self: self.up and self.tags)
    @rule(
        index=st.integers(0, 5),
        method=st.sampled_from(
            ("ACK", "ACK", "BYE", "INFO", "INVITE", "INVITE", "OPTIONS", "NOTIFY", "UPDATE", "PRACK", "REFER")
        ),
        from_tag=st.sampled_from(("bob", "bob", "fork", "nobody")),
        number=st.sampled_from((0, 1, 1, 1)),
        body=st.sampled_from((b"", OFFER)),
        rseq=st.integers(0, 1),
    )
    def ask(self, index: int, method: str, from_tag: str, number: int, body: bytes, rseq: int) -> None:
        call_id = sorted(self.tags)[index % len(self.tags)]
        if method != "ACK":
            self.number += number
        headers = (
            ("RAck", f"{self.rseq.get(call_id, 0) + rseq} 1 INVITE"),
            ("Refer-To", "<sip:carol@192.0.2.3>"),
            ("Event", "refer"),
            ("Subscription-State", "active"),
        )
        request = self.peer.request(
            method,
            number=self.number,
            call_id=call_id,
            to_tag=self.tags[call_id],
            from_tag=from_tag,
            headers=headers,
            body=body,
        )
        self.peer.give(request)
        self.take()

    @precondition(lambda self: self.up and self.tags)
    @rule(index=st.integers(0, 5))
    def acknowledge_first(self, index: int) -> None:
        call_id = sorted(self.tags)[index % len(self.tags)]
        self.peer.give(self.peer.request("ACK", number=1, call_id=call_id, to_tag=self.tags[call_id]))
        self.take()

    @precondition(lambda self: self.up and self.invites)
    @rule(index=st.integers(0, 2))
    def cancel(self, index: int) -> None:
        invite = self.invites[index % len(self.invites)]
        self.peer.give(self.peer.request("CANCEL", call_id=invite.call_id, branch=invite.top_via.branch))
        self.take()

    @rule()
    def change_flow(self) -> None:
        self.up = not self.up
        if self.up:
            self.peer.ua.flow_ready(self.peer.node.hop, now=self.peer.now)
        else:
            self.peer.ua.flow_lost("gone", now=self.peer.now)
        self.take()

    @rule(seconds=st.sampled_from((0.01, 0.5, 3.0, 33.0)))
    def wait(self, seconds: float) -> None:
        self.peer.wait(seconds)
        self.take()

    @invariant()
    def ends_once(self) -> None:
        assert len(self.ends) == len(set(self.ends))
        for session in self.peer.ua._sessions:
            if session.state is SessionState.TERMINATED:
                assert session.next_timeout() is None
                assert session.call in self.ends

    def teardown(self) -> None:
        for index in range(len(self.calls)):
            self.command("hangup", index)
        self.peer.wait(200)
        self.take()
        assert sorted(self.ends) == sorted(self.calls)
        assert self.peer.ua.is_idle
        assert self.peer.ua.next_timeout() is None
        assert not self.peer.ua._sessions
        assert not self.peer.ua._departures
        assert not self.peer.ua._desk
        numbers_rise(list(self.requests))


CallMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCallMachine = CallMachine.TestCase
