"""Forwarding (RFC 3261 section 16, RFC 3665 section 3) through the whole server, with messages made by hand."""

import itertools

import pytest
from server.bench import DOMAIN, Bench, Device, make_options

from sansio_sip.sip.message import Request, Response

KINDS = ("udp", "tcp", "ws")
PAIRS = pytest.mark.parametrize(("caller", "callee"), list(itertools.product(KINDS, KINDS)))


def pair(caller: str = "udp", callee: str = "udp", bench: Bench | None = None) -> tuple[Bench, Device, Device]:
    bench = bench or Bench()
    alice = getattr(bench, caller)("alice", "192.0.2.101")
    bob = getattr(bench, callee)("bob", "192.0.2.201")
    for device in (alice, bob):
        assert device.register().status == 200
    return bench, alice, bob


# --------------------------------------------------------------------------------------------------------- one proxy


@PAIRS
def test_rfc_3665_3_2_session_through_a_proxy(caller: str, callee: str) -> None:
    bench, alice, bob = pair(caller, callee)
    sent = alice.invite("bob", rows=[("X-PH-Order", "42")])
    invite = bob.take_request("INVITE")
    assert str(invite.uri) == bob.contact.strip("<>")
    assert invite.max_forwards == 69
    assert len(invite.via) == 2
    assert invite.via[1].received == "192.0.2.101"
    assert invite.headers.get("X-PH-Order") == "42"
    assert "Proxy-Authorization" not in invite.headers
    assert len(invite.record_routes) == 2

    bob.answer(invite, 180)
    ringing = alice.take_response(180)
    port = str(alice.address.port)
    assert ringing.via == (sent.top_via.with_parameter("rport", port).with_parameter("received", "192.0.2.101"),)
    bob.answer(invite, 200)
    accepted = alice.take_response(200)
    assert str(accepted.contacts[0]) == bob.contact

    alice.send(alice.in_dialog("ACK", accepted, number=2))
    ack = bob.take_request("ACK")
    assert (ack.routes, str(ack.uri), ack.max_forwards) == ((), bob.contact.strip("<>"), 69)

    bye = bob.in_dialog_back("BYE", invite)
    bob.send(bye)
    got = alice.take_request("BYE")
    assert (got.routes, str(got.uri)) == ((), alice.contact.strip("<>"))
    alice.answer(got, 200, contact=False)
    assert bob.take_response(200).top_via.branch == bye.top_via.branch

    bench.run(bench.now + 70.0)
    assert bench.server.is_idle()
    assert (alice.statuses(), bob.statuses(), list(alice.inbox), list(bob.inbox)) == ([], [], [], [])


@PAIRS
def test_requests_of_the_caller_in_the_dialog_find_the_callee(caller: str, callee: str) -> None:
    _, alice, bob = pair(caller, callee)
    alice.invite("bob")
    bob.answer(bob.take_request("INVITE"), 200)
    accepted = alice.take_response(200)
    alice.send(alice.in_dialog("ACK", accepted, number=2))
    bob.take_request("ACK")
    alice.send(alice.in_dialog("INVITE", accepted, number=3))
    again = bob.take_request("INVITE")
    assert "Record-Route" not in again.headers
    bob.answer(again, 488)
    assert alice.statuses() == [488]
    bob.take_request("ACK")
    alice.send(alice.in_dialog("BYE", accepted, number=4))
    bob.answer(bob.take_request("BYE"), 200, contact=False)
    assert alice.statuses() == [200]


def test_a_call_of_oneself_finds_both_ends() -> None:
    bench = Bench()
    alice = bench.ws("alice", "192.0.2.101")
    alice.register()
    alice.invite("alice")
    invite = alice.take_request("INVITE")
    alice.answer(invite, 200)
    alice.send(alice.in_dialog("ACK", alice.take_response(200), number=2))
    alice.take_request("ACK")


@pytest.mark.parametrize("status", [302, 404, 480, 486, 488, 500, 603])
def test_a_refusal_goes_back_and_is_acknowledged_hop_by_hop(status: int) -> None:
    bench, alice, bob = pair()
    sent = alice.invite("bob")
    invite = bob.take_request("INVITE")
    bob.answer(invite, status)
    ack = bob.take_request("ACK")
    assert (ack.top_via, ack.cseq.number) == (invite.top_via, invite.cseq.number)
    refused = alice.take_response(status)
    alice.send(alice.request("ACK", str(sent.uri), to=str(refused.to), branch=sent.top_via.branch, number=2))
    bench.run(bench.now + 70.0)
    assert (list(alice.inbox), list(bob.inbox), bench.server.is_idle()) == ([], [], True)


@pytest.mark.parametrize(
    ("user", "status"), [("nobody", 404), ("carol", 480), ("", 405)], ids=["unknown", "unregistered", "the server"]
)
def test_a_call_to_nobody(user: str, status: int) -> None:
    _, alice, _ = pair()
    if user:
        alice.invite(user)
        assert alice.statuses() == [status]
    else:
        alice.send(alice.request("INVITE", f"sip:{DOMAIN}"))
        assert alice.take_response(405).allow == ("OPTIONS", "REGISTER")


def test_another_domain_is_not_relayed_to() -> None:
    _, alice, bob = pair()
    alice.send_with_password(
        lambda number, rows: alice.request("INVITE", "sip:bob@elsewhere.example", number=number, rows=rows)
    )
    assert alice.take_response(403).reason == "Relaying Forbidden"
    assert not bob.inbox


def test_a_caller_must_be_who_he_says() -> None:
    _, alice, bob = pair()

    def as_bob(number: int, rows: tuple[tuple[str, str], ...]) -> Request:
        request = alice.request("INVITE", f"sip:bob@{DOMAIN}", number=number, rows=rows)
        request.headers.set("From", f"<sip:bob@{DOMAIN}>;tag=x")
        return request

    alice.send_with_password(as_bob)
    assert (alice.statuses(), len(bob.inbox)) == ([403], 0)


def test_who_comes_from_elsewhere_is_let_in_without_a_password() -> None:
    _, alice, bob = pair()
    invite = alice.request("INVITE", f"sip:bob@{DOMAIN}", rows=[("Contact", alice.contact)])
    invite.headers.set("From", "<sip:stranger@elsewhere.example>;tag=x")
    alice.send(invite)
    bob.take_request("INVITE")


def test_calls_need_no_password_where_the_options_say_so() -> None:
    _, alice, bob = pair(bench=Bench(make_options(authenticate_calls=False)))
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}", rows=[("Contact", alice.contact)]))
    bob.take_request("INVITE")


def test_options_to_the_server_is_answered_and_to_a_user_forwarded() -> None:
    _, alice, bob = pair()
    alice.send(alice.request("OPTIONS", f"sip:{DOMAIN}"))
    assert alice.take_response(200).allow == ("OPTIONS", "REGISTER")
    alice.send_with_password(
        lambda number, rows: alice.request("OPTIONS", f"sip:bob@{DOMAIN}", number=number, rows=rows)
    )
    got = bob.take_request("OPTIONS")
    assert not got.record_routes
    bob.answer(got, 200)
    assert alice.statuses() == [200]


def test_a_message_is_forwarded_and_its_timeout_is_not_answered() -> None:
    bench, alice, bob = pair()
    alice.send_with_password(
        lambda number, rows: alice.request("MESSAGE", f"sip:bob@{DOMAIN}", number=number, rows=rows)
    )
    bench.run(100.0)
    assert {message.method for message in bob.inbox if isinstance(message, Request)} == {"MESSAGE"}
    assert len(bob.inbox) == 11
    assert (alice.statuses(), bench.server.is_idle()) == ([], True)


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("method", "uri", "rows", "max_forwards", "status"),
    [
        ("INVITE", f"sip:bob@{DOMAIN}", (), 0, 483),
        ("OPTIONS", f"sip:{DOMAIN}", (), 0, 483),
        ("INVITE", "tel:+15551234", (), 70, 416),
        ("INVITE", f"sip:bob@{DOMAIN}", (("Proxy-Require", "unheard"),), 70, 420),
        ("INVITE", f"sip:bob@{DOMAIN}", (("Route", "<nonsense"),), 70, 400),
        ("CANCEL", f"sip:bob@{DOMAIN}", (), 70, 481),
        ("SUBSCRIBE", f"sip:{DOMAIN}", (), 70, 405),
    ],
)
def test_screening(method: str, uri: str, rows: tuple[tuple[str, str], ...], max_forwards: int, status: int) -> None:
    _, alice, bob = pair()
    alice.send(alice.request(method, uri, rows=rows, max_forwards=max_forwards))
    assert (alice.statuses(), len(bob.inbox)) == ([status], 0)


def test_a_request_without_max_forwards_gets_one() -> None:
    _, alice, bob = pair(bench=Bench(make_options(authenticate_calls=False)))
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}", max_forwards=None))
    assert bob.take_request("INVITE").max_forwards == 70


def test_a_request_that_comes_back_unchanged_is_a_loop() -> None:
    _, alice, bob = pair(bench=Bench(make_options(authenticate_calls=False)))
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}"))
    invite = bob.take_request("INVITE")
    back = invite.copy()
    back.uri = alice.request("INVITE", f"sip:bob@{DOMAIN}").uri
    back.headers.insert_first("Via", f"SIP/2.0/UDP {bob.sent_by};branch=z9hG4bKback")
    bob.send(back)
    assert bob.take_response().status == 482
    spiral = back.copy()
    spiral.uri = alice.request("INVITE", f"sip:alice@{DOMAIN}").uri
    spiral.headers.set("Via", f"SIP/2.0/UDP {bob.sent_by};branch=z9hG4bKspiral", *map(str, invite.via))
    bob.send(spiral)
    assert isinstance(alice.inbox[-1], Request)


@pytest.mark.parametrize("token", ["AAAAAAAAAAAAAAAAAAAAAAAA", "bob", "%00", "A" * 300])
def test_a_route_that_we_have_not_signed_leads_nowhere(token: str) -> None:
    _, alice, bob = pair()
    route = ("Route", f"<sip:{token}@192.0.2.1:5060;lr>")
    alice.send(alice.request("BYE", "sip:bob@203.0.113.1", rows=[route], to=f"<sip:bob@{DOMAIN}>;tag=b"))
    assert alice.take_response().status == 403  # who has registered by this flow is not asked who he is
    stranger = alice.request("BYE", "sip:bob@203.0.113.1", rows=[route], to=f"<sip:bob@{DOMAIN}>;tag=b")
    stranger.headers.set("From", "<sip:stranger@elsewhere.example>;tag=x")
    alice.send(stranger)
    assert (alice.statuses(), len(bob.inbox)) == ([403], 0)


def test_requests_over_the_bound_get_503() -> None:
    bench, alice, bob = pair(bench=Bench(make_options(authenticate_calls=False, max_pending=1)))
    for number in (1, 2):
        alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}", call_id=str(number)))
    refused = alice.take_response(503)
    assert refused.retry_after == 32
    assert bench.server.counters["overload"] == 1
    bob.take_request("INVITE")
    assert not bob.inbox


# ---------------------------------------------------------------------------------------------------- several devices


def fork(statuses: tuple[int | None, ...]) -> tuple[Bench, Device, list[tuple[Device, Request]]]:
    """Alice calls bob, who has a device for each status; those with one answer in order."""
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.101")
    alice.register()
    devices = [bench.udp("bob", f"192.0.2.{201 + index}") for index in range(len(statuses))]
    for device in devices:
        device.register()
    alice.invite("bob")
    rung = [(device, device.take_request("INVITE")) for device in devices]
    assert len({invite.top_via.branch for _, invite in rung}) == len(rung)
    for (device, invite), status in zip(rung, statuses, strict=True):
        if status is not None:
            device.answer(invite, status, tag=str(device.address))
    return bench, alice, rung


def test_all_devices_ring_and_the_first_to_answer_ends_the_others() -> None:
    _, alice, rung = fork((180, 180, 180))
    (_, _), (second, invite), (_, _) = rung
    second.answer(invite, 200, tag="second")
    assert alice.statuses() == [180, 180, 180, 200]
    for device in (rung[0][0], rung[2][0]):
        cancel = device.take_request("CANCEL")
        assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
        device.answer(cancel, 200)
    assert not second.inbox
    for device, invite in (rung[0], rung[2]):
        device.answer(invite, 487)
        device.take_request("ACK")
    assert alice.statuses() == []


def test_every_2xx_goes_back_even_after_the_first() -> None:
    _, alice, rung = fork((180, 180))
    for device, invite in rung:
        device.answer(invite, 200, tag=str(device.address))
    rung[0][0].answer(rung[0][1], 200, tag=str(rung[0][0].address))
    assert alice.statuses() == [180, 180, 200, 200, 200]


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ((486, 404), 486),
        ((480, 302), 302),
        ((500, 486), 486),
        ((486, 401), 401),
        ((404, 420), 420),
        ((503, 500), 500),
        ((503, 503), 500),
        ((486, 603), 603),
        ((302, 486, 603), 603),
    ],
)
def test_the_best_of_the_refusals_goes_back(statuses: tuple[int, ...], best: int) -> None:
    _, alice, _ = fork(statuses)
    assert alice.statuses() == [best]


def test_a_6xx_ends_the_other_branches_and_waits_for_them() -> None:
    _, alice, rung = fork((180, 603))
    (first, invite), _ = rung
    assert alice.statuses() == [180]
    first.answer(first.take_request("CANCEL"), 200)
    first.answer(invite, 487)
    assert alice.statuses() == [603]


def test_challenges_of_all_branches_go_back() -> None:
    _, alice, rung = fork((None, None))
    for (device, invite), name in zip(rung, ("WWW-Authenticate", "Proxy-Authenticate"), strict=True):
        status = 401 if name.startswith("WWW") else 407
        rows = [(name, f'Digest realm="{device.address.host}", nonce="n"')]
        device.send(invite.response(status, to_tag="t", headers=rows))
    refused = alice.take_response(401)
    assert (len(refused.www_authenticate), len(refused.proxy_authenticate)) == (1, 1)


def test_devices_that_say_nothing_are_408_after_timer_b() -> None:
    bench, alice, _ = fork((None, None))
    bench.run(bench.now + 31.9)
    assert alice.statuses() == [100]
    bench.run(bench.now + 0.2)
    assert alice.statuses() == [408]


def test_a_device_that_rings_for_ever_is_cancelled_by_timer_c() -> None:
    bench, alice, ((bob, invite),) = fork((180,))
    bench.run(100.0)
    bob.answer(invite, 183)
    bench.run(280.9)
    assert not bob.inbox
    bench.run(281.1)
    bob.answer(bob.take_request("CANCEL"), 200)
    bob.answer(invite, 487)
    assert alice.statuses() == [180, 183, 487]


# ------------------------------------------------------------------------------------------------------------ cancel


def test_a_cancel_is_answered_at_once_and_passed_on_with_its_reason() -> None:
    bench, alice, rung = fork((180, None))
    (first, invite), (silent, _) = rung
    sent = invite.via[1]
    cancel = alice.request(
        "CANCEL", f"sip:bob@{DOMAIN}", number=2, branch=sent.branch, rows=[("Reason", "Q.850;cause=16")]
    )
    alice.send(cancel)
    assert alice.statuses() == [180, 200]
    passed_on = first.take_request("CANCEL")
    assert (passed_on.top_via, passed_on.headers.get("Reason")) == (invite.top_via, "Q.850;cause=16")
    assert not silent.inbox
    first.answer(passed_on, 200)
    first.answer(invite, 487)
    bench.run(bench.now + 33.0)
    # The silent device never said a word, so its branch could not be cancelled and has run into timer B.
    assert alice.statuses()[:1] == [487]


def test_a_cancel_that_crosses_a_200_has_no_effect() -> None:
    _, alice, ((bob, invite),) = fork((200,))
    alice.send(alice.request("CANCEL", f"sip:bob@{DOMAIN}", number=2, branch=invite.via[1].branch))
    assert (alice.statuses(), len(bob.inbox)) == ([200, 200], 0)


# -------------------------------------------------------------------------------------------------------- lost flows


def test_a_call_to_a_device_whose_stream_breaks_fails() -> None:
    _, alice, bob = pair("udp", "ws")
    alice.invite("bob")
    bob.answer(bob.take_request("INVITE"), 180)
    bob.lose()
    assert alice.statuses() == [180, 500]


def test_a_caller_whose_stream_breaks_hangs_up() -> None:
    bench, alice, bob = pair("ws", "udp")
    alice.invite("bob")
    invite = bob.take_request("INVITE")
    bob.answer(invite, 180)
    alice.lose()
    bob.answer(bob.take_request("CANCEL"), 200)
    bob.answer(invite, 487)
    bob.take_request("ACK")
    bench.run(bench.now + 70.0)
    assert bench.server.is_idle()


def test_a_dialog_goes_on_by_the_new_flow_of_a_device_that_came_back() -> None:
    bench, alice, bob = pair("udp", "ws")
    alice.invite("bob")
    bob.answer(bob.take_request("INVITE"), 200)
    accepted = alice.take_response(200)
    bob.lose()
    alice.send(alice.in_dialog("BYE", accepted, number=3))
    failed = alice.take_response(430)
    assert failed.reason == "Flow Failed"
    again = bench.ws("bob", "192.0.2.201")
    again.register()
    alice.send(alice.in_dialog("BYE", accepted, number=4))
    again.take_request("BYE")


# --------------------------------------------------------------------------------------------- over UDP, with loss


def test_copies_are_absorbed_and_answered_and_reach_the_callee_once() -> None:
    bench, alice, bob = pair()
    sent = alice.invite("bob")
    bench.run(bench.now + 0.3)
    assert alice.statuses() == [100]
    alice.send(sent)
    assert alice.statuses() == [100]
    invite = bob.take_request("INVITE")
    assert not bob.inbox
    bench.run(bench.now + 0.3)
    assert bob.take_request("INVITE") == invite
    bob.answer(invite, 200)
    bob.answer(invite, 200)
    assert alice.statuses() == [200, 200]


def test_a_challenge_is_sent_once_and_keeps_nothing() -> None:
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.101")
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}"))
    bench.run(100.0)
    assert (alice.statuses(), bench.server.is_idle()) == ([407], True)


def test_a_copy_of_a_request_is_challenged_under_the_same_tag() -> None:
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.101")
    invite = alice.request("INVITE", f"sip:bob@{DOMAIN}")
    for request in (invite, invite, alice.request("INVITE", f"sip:bob@{DOMAIN}")):
        alice.send(request)
    first, copy, other = (alice.take_response(407).to.tag for _ in range(3))
    assert first == copy != other


def test_a_stray_response_goes_nowhere() -> None:
    bench, alice, bob = pair()
    sent = alice.invite("bob")
    invite = bob.take_request("INVITE")
    forged = Response(200, None, invite.response(200, to_tag="x").headers.copy())
    forged.headers.set("Via", str(invite.top_via.with_parameter("branch", "z9hG4bKguess")), str(sent.top_via))
    bob.send(forged)
    assert (alice.statuses(), bench.server.counters["stray_responses"]) == ([], 1)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\0", b"\r\n", b"INVITE", b"\xff" * 100, b"SIP/2.0 200 OK\r\n\r\n", b"INVITE sip:a@b SIP/2.0\r\n\r\n"],
)
def test_rubbish_is_dropped(octets: bytes) -> None:
    _, alice, _ = pair()
    alice.send(octets)
    assert (alice.statuses(), list(alice.inbox)) == ([], [])


def test_a_malformed_request_is_answered_400() -> None:
    _, alice, _ = pair()
    alice.send(bytes(alice.request("OPTIONS", f"sip:{DOMAIN}")).replace(b"Content-Length: 0", b"Content-Length: 9"))
    assert alice.statuses() == [400]


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_keepalive_is_answered(kind: str) -> None:
    alice = getattr(Bench(), kind)("alice", "192.0.2.101")
    alice.send(b"\r\n\r\n")
    assert bytes(alice.octets) == b"\r\n"
