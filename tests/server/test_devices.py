"""Which devices a request goes to: preference, Path, GRUU, and where a 3xx leads (RFC 3261 16, 3327, 5626, 5627)."""

import re
from typing import Any

import pytest
from server.bench import DOMAIN, Bench, Device, make_options

from sansio_sip.server import gruu, proxy
from sansio_sip.sip.headers import NameAddress
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.uri import SipUri

INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-4000-8000-00000000000B>"'
PATH = "<sip:edge1.example.com;lr>, <sip:edge2.example.com;lr;ob>"


def register(device: Device, contact: str, *rows: tuple[str, str], call_id: str = "reg") -> Response:
    """Registers with more headers than `Device.register` has."""
    device.send_with_password(
        lambda number, extra: device.request(
            "REGISTER",
            f"sip:{DOMAIN}",
            to=f"<sip:{device.user}@{DOMAIN}>",
            call_id=f"{call_id}{device._serial}",
            number=number,
            rows=[("Contact", contact), ("Expires", "300"), *rows, *extra],
        )
    )
    return device.take_response()


def rings(*devices: Device) -> list[bool]:
    return [bool([each for each in device.inbox if isinstance(each, Request)]) for device in devices]


def ack(device: Device, invite: Request, response: Response) -> None:
    device.send(device.request("ACK", str(invite.uri), to=str(response.to), number=2, branch=invite.top_via.branch))


def parameter(contact: NameAddress, name: str) -> SipUri:
    text = contact.parameter(name)
    assert text is not None
    found = re.fullmatch(r"(sip):([^@]+)@([^;]+);gr(?:=(.*))?", text)
    assert found is not None, text
    return SipUri(found[3], found[2], parameters=(("gr", found[4]),))


# --------------------------------------------------------------------------------------------------------- preference


def test_devices_ring_in_the_order_of_their_preference() -> None:
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.11")
    low, high, equal = (bench.udp("bob", f"192.0.2.2{number}") for number in range(3))
    low.register(f"{low.contact};q=0.1")
    high.register(f"{high.contact};q=0.7")
    equal.register(f"{equal.contact};q=0.7")
    alice.invite("bob")
    assert rings(low, high, equal) == [False, True, True]
    high.answer(high.take_request("INVITE"), 480)
    assert rings(low, high, equal) == [False, False or bool(high.inbox), True]
    equal.answer(equal.take_request("INVITE"), 486)
    assert rings(low) == [True]
    assert 486 not in alice.statuses()
    low.answer(low.take_request("INVITE"), 200)
    assert alice.statuses()[-1] == 200


def test_when_the_last_has_failed_the_best_refusal_of_all_goes_back() -> None:
    bench = Bench()
    alice, one, two = (bench.udp(user, f"192.0.2.{host}") for user, host in (("alice", 11), ("bob", 21), ("bob", 22)))
    one.register(f"{one.contact};q=0.9")
    two.register(f"{two.contact};q=0.1")
    alice.invite("bob")
    one.answer(one.take_request("INVITE"), 404)
    two.answer(two.take_request("INVITE"), 486)
    assert alice.statuses()[-1] == 404


def test_a_caller_who_gives_up_is_not_passed_on_to_the_next() -> None:
    bench = Bench()
    alice, one, two = (bench.udp(user, f"192.0.2.{host}") for user, host in (("alice", 11), ("bob", 21), ("bob", 22)))
    one.register(f"{one.contact};q=0.9")
    two.register(f"{two.contact};q=0.1")
    invite = alice.invite("bob")
    ringing = one.take_request("INVITE")
    one.answer(ringing, 180)
    alice.send(alice.request("CANCEL", str(invite.uri), number=2, branch=invite.top_via.branch))
    one.take_request("CANCEL")
    one.answer(ringing, 487)
    assert rings(two) == [False]
    assert alice.statuses()[-1] == 487


def test_a_6xx_is_the_last_word() -> None:
    bench = Bench()
    alice, one, two = (bench.udp(user, f"192.0.2.{host}") for user, host in (("alice", 11), ("bob", 21), ("bob", 22)))
    one.register(f"{one.contact};q=0.9")
    two.register(f"{two.contact};q=0.1")
    alice.invite("bob")
    one.answer(one.take_request("INVITE"), 603)
    assert rings(two) == [False]
    assert alice.statuses()[-1] == 603


# --------------------------------------------------------------------------------------------------------------- Path


def test_requests_go_by_the_path_that_the_registration_came_by() -> None:
    """RFC 3327 section 5.5, the edge proxy being the far end of the flow."""
    bench = Bench()
    alice, edge = bench.udp("alice", "192.0.2.11"), bench.udp("bob", "192.0.2.31")
    response = register(edge, "<sip:bob@10.0.0.5>", ("Path", PATH), ("Supported", "path, outbound"))
    assert response.status == 200
    assert response.headers.get_all("Path") == ("<sip:edge1.example.com;lr>", "<sip:edge2.example.com;lr;ob>")
    alice.invite("bob")
    invite = edge.take_request("INVITE")
    assert str(invite.uri) == "sip:bob@10.0.0.5"
    assert [str(route) for route in invite.routes] == ["<sip:edge1.example.com;lr>", "<sip:edge2.example.com;lr;ob>"]


@pytest.mark.parametrize(
    ("path", "supported", "status"),
    [(PATH, "gruu", 421), (", ".join(["<sip:e;lr>"] * 9), "path", 400)],
)
def test_a_path_that_cannot_be_taken(path: str, supported: str, status: int) -> None:
    bench = Bench()
    edge = bench.udp("bob", "192.0.2.31")
    response = register(edge, "<sip:bob@10.0.0.5>", ("Path", path), ("Supported", supported))
    assert response.status == status
    if status == 421:
        assert response.headers.get("Require") == "path"


def test_a_path_that_cannot_be_read_is_refused_before_anybody_is_asked_for_a_password() -> None:
    bench = Bench()
    edge = bench.udp("bob", "192.0.2.31")
    rows = [("Contact", "<sip:bob@10.0.0.5>"), ("Path", "<sip:"), ("Supported", "path")]
    edge.send(edge.request("REGISTER", f"sip:{DOMAIN}", to=f"<sip:bob@{DOMAIN}>", call_id="path", number=1, rows=rows))
    assert edge.take_response().status == 400


# ------------------------------------------------------------------------------------------------------ GRUU, outbound


def test_a_device_that_asks_for_it_gets_a_public_and_a_temporary_name() -> None:
    bench = Bench()
    bob, other = bench.ws("bob", "192.0.2.21"), bench.udp("bob", "192.0.2.22")
    other.register()
    response = register(bob, f"{bob.contact};{INSTANCE};reg-id=1", ("Supported", "path, outbound, gruu"))
    assert response.headers.get("Require") == "outbound"
    plain, contact = response.contacts
    assert plain.parameter("pub-gruu") is None
    public, temporary = parameter(contact, "pub-gruu"), parameter(contact, "temp-gruu")
    assert public == SipUri(DOMAIN, "bob", parameters=(("gr", "urn:uuid:00000000-0000-4000-8000-00000000000b"),))
    assert temporary.parameters == (("gr", None),)
    assert "bob" not in str(temporary)
    assert "0000" not in str(temporary)
    # Who does not know GRUU is told nothing of it.
    assert all(row.parameter("pub-gruu") is None for row in other.register().contacts)


@pytest.mark.parametrize("which", ["pub-gruu", "temp-gruu"])
def test_a_gruu_leads_to_its_device_alone_and_to_nobody_when_that_is_gone(which: str) -> None:
    bench = Bench()
    alice, bob, other = bench.udp("alice", "192.0.2.11"), bench.ws("bob", "192.0.2.21"), bench.udp("bob", "192.0.2.22")
    other.register()
    contact = register(bob, f"{bob.contact};{INSTANCE};reg-id=1", ("Supported", "gruu")).contacts[-1]
    uri = parameter(contact, which)

    def invite(call_id: str) -> None:
        alice.send_with_password(
            lambda number, extra: alice.request(
                "INVITE", str(uri), call_id=call_id, number=number, rows=[("Contact", alice.contact), *extra]
            )
        )

    invite("one")
    assert rings(bob, other) == [True, False]
    # RFC 5627 section 5.4: the device sees its own contact.
    assert bob.take_request("INVITE").uri == SipUri("bob.invalid", "bob", parameters=(("transport", "ws"),))
    bob.lose()
    alice.statuses()
    invite("two")
    assert alice.statuses()[-1] == (480 if which == "pub-gruu" else 404)


def test_a_gruu_is_translated_in_a_dialog_too() -> None:
    bench = Bench()
    alice, bob = bench.udp("alice", "192.0.2.11"), bench.ws("bob", "192.0.2.21")
    row = register(bob, f"{bob.contact};{INSTANCE};reg-id=1", ("Supported", "gruu")).contacts[-1]
    uri = parameter(row, "pub-gruu")
    alice.invite("bob")
    response = bob.take_request("INVITE").response(200, to_tag="bob2", headers=(("Contact", f"<{uri}>"),))
    bob.send(response)
    ok = [each for each in alice.inbox if isinstance(each, Response)][-1]
    alice.send(alice.in_dialog("BYE", ok, number=3))
    assert bob.take_request("BYE").uri == SipUri("bob.invalid", "bob", parameters=(("transport", "ws"),))


@pytest.mark.parametrize(("uri", "status"), [(f"sip:nobody@{DOMAIN};gr=urn:x", 480), (f"sip:tgruu.x@{DOMAIN};gr", 404)])
def test_a_gruu_that_never_was_leads_nowhere(uri: str, status: int) -> None:
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.11")
    alice.send_with_password(
        lambda number, extra: alice.request("INVITE", uri, number=number, rows=[("Contact", alice.contact), *extra])
    )
    assert alice.statuses()[-1] == status


def test_temporary_names_are_bounded_and_the_last_ones_stay_good() -> None:
    bench = Bench()
    bob = bench.ws("bob", "192.0.2.21")
    names = []
    for _ in range(gruu.MAX_TEMPORARY + 3):
        row = register(bob, f"{bob.contact};{INSTANCE};reg-id=1", ("Supported", "gruu")).contacts[-1]
        names.append(parameter(row, "temp-gruu"))
    table = bench.server._gruus
    assert len(table) == gruu.MAX_TEMPORARY
    assert [table.device(name) is not None for name in names] == [False] * 3 + [True] * gruu.MAX_TEMPORARY
    bob.lose()
    assert len(table) == 0


# ---------------------------------------------------------------------------------------------------------------- 3xx


def redirect(device: Device, status: int, *contacts: str) -> Request:
    request = device.take_request("INVITE")
    device.send(request.response(status, to_tag="x", headers=[("Contact", contact) for contact in contacts]))
    device.take_request("ACK")
    return request


@pytest.mark.parametrize("status", [300, 301, 302])
def test_a_redirect_to_a_user_of_the_domain_is_followed(status: int) -> None:
    bench = Bench()
    alice, bob, carol = (
        bench.udp("alice", "192.0.2.11"),
        bench.udp("bob", "192.0.2.21"),
        bench.ws("carol", "192.0.2.31"),
    )
    bob.register()
    carol.register()
    alice.invite("bob")
    redirect(bob, status, f"<sip:carol@{DOMAIN}>")
    invite = carol.take_request("INVITE")
    carol.answer(invite, 200)
    assert status not in (statuses := alice.statuses())
    assert statuses[-1] == 200
    assert bench.server.counters["redirected"] == 1


def test_contacts_of_a_redirect_are_tried_best_first_and_each_once() -> None:
    bench = Bench()
    alice, bob, carol = (
        bench.udp("alice", "192.0.2.11"),
        bench.udp("bob", "192.0.2.21"),
        bench.udp("carol", "192.0.2.31"),
    )
    bob.register()
    carol.register()
    alice.invite("bob")
    redirect(bob, 302, f"<sip:bob@{DOMAIN}>;q=0.1, <sip:carol@{DOMAIN}>, <sip:carol@{DOMAIN}>;q=0.5, <tel:1>")
    carol.answer(carol.take_request("INVITE"), 486)
    assert rings(bob) == [False]  # it has sent us away
    assert alice.statuses()[-1] == 486


@pytest.mark.parametrize(
    "contact",
    ["<sip:carol@elsewhere.example.org>", "<sip:192.0.2.99>", "<tel:+123>", "*", "<sip:nobody@example.com>", "<sip:"],
)
def test_a_redirect_to_where_we_do_not_go_is_passed_on(contact: str) -> None:
    bench = Bench()
    alice, bob = bench.udp("alice", "192.0.2.11"), bench.udp("bob", "192.0.2.21")
    bob.register()
    alice.invite("bob")
    redirect(bob, 302, contact)
    (response,) = [each for each in alice.inbox if isinstance(each, Response) and each.status == 302]
    assert response.headers.get("Contact") == contact


def test_redirects_are_passed_on_where_the_options_say_so() -> None:
    bench = Bench(make_options(follow_redirects=False))
    alice, bob, carol = (
        bench.udp("alice", "192.0.2.11"),
        bench.udp("bob", "192.0.2.21"),
        bench.udp("carol", "192.0.2.31"),
    )
    bob.register()
    carol.register()
    alice.invite("bob")
    redirect(bob, 302, f"<sip:carol@{DOMAIN}>")
    assert rings(carol) == [False]
    assert alice.statuses()[-1] == 302


def test_two_who_send_to_each_other_end_the_call() -> None:
    bench = Bench()
    alice, bob, carol = (
        bench.udp("alice", "192.0.2.11"),
        bench.udp("bob", "192.0.2.21"),
        bench.udp("carol", "192.0.2.31"),
    )
    bob.register()
    carol.register()
    alice.invite("bob")
    redirect(bob, 302, f"<sip:carol@{DOMAIN}>")
    redirect(carol, 302, f"<sip:bob@{DOMAIN}>")
    assert rings(bob, carol) == [False, False]
    assert alice.statuses()[-1] == 302


def test_a_caller_who_gives_up_is_not_sent_on() -> None:
    bench = Bench()
    alice, bob, carol = (
        bench.udp("alice", "192.0.2.11"),
        bench.udp("bob", "192.0.2.21"),
        bench.udp("carol", "192.0.2.31"),
    )
    bob.register()
    carol.register()
    invite = alice.invite("bob")
    request = bob.take_request("INVITE")
    bob.answer(request, 180)
    alice.send(alice.request("CANCEL", str(invite.uri), number=2, branch=invite.top_via.branch))
    bob.send(request.response(302, to_tag="x", headers=[("Contact", f"<sip:carol@{DOMAIN}>")]))
    assert rings(carol) == [False]
    assert alice.statuses()[-1] == 302


def test_the_targets_of_one_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "MAX_TARGETS", 3)
    bench = Bench(make_options(max_bindings_per_user=20))
    alice, bob = bench.udp("alice", "192.0.2.11"), bench.udp("bob", "192.0.2.21")
    bob.register()
    carols: list[Any] = [bench.udp("carol", f"192.0.2.{host}") for host in range(40, 50)]
    for carol in carols:
        carol.register()
    alice.invite("bob")
    redirect(bob, 302, f"<sip:carol@{DOMAIN}>")
    assert sum(rings(*carols)) == 2
