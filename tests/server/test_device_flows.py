"""A device with several flows: its bindings, and by which of them it is called (RFC 5626 sections 6 and 7)."""

import pytest
from server.bench import DOMAIN, Bench, Device
from server.test_devices import INSTANCE, register

from sansio_sip.sip.message import Request

OTHER = INSTANCE.replace("00B", "00C")


def two_flows(kind: str = "ws") -> tuple[Bench, Device, Device, Device]:
    """Alice, and two flows of one device of bob's, the second heard of last."""
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.11")
    make = {"ws": bench.ws, "udp": bench.udp, "tcp": bench.tcp}[kind]
    one, two = make("bob", "192.0.2.21"), make("bob", "192.0.2.22")
    for number, flow in enumerate((one, two), 1):
        row = f"{flow.contact};{INSTANCE};reg-id={number}"
        assert register(flow, row, ("Supported", "outbound, gruu"), call_id=f"reg{number}").status == 200
        bench.run(bench.now + 1.0)
    return bench, alice, one, two


def bindings(bench: Bench) -> list[str | None]:
    return [each.contact.parameter("reg-id") for each in bench.server._bindings.of("bob")]


@pytest.mark.parametrize("kind", ["ws", "tcp", "udp"])
def test_each_flow_has_a_binding_though_their_uris_be_the_same(kind: str) -> None:
    """Over WebSocket both have the same contact."""
    bench, _, one, two = two_flows(kind)
    assert (one.contact == two.contact) == (kind == "ws")
    assert bindings(bench) == ["1", "2"]
    # A new flow takes the place of the old one of its number.
    three = bench.ws("bob", "192.0.2.23")
    response = register(three, f"{three.contact};{INSTANCE};reg-id=1", ("Supported", "outbound"), call_id="again")
    assert [row.parameter("reg-id") for row in response.contacts] == ["1", "2"]
    assert bench.server._bindings.of("bob")[0].hop.flow == three.flow
    # Each is taken away by itself.
    register(two, f"{two.contact};{INSTANCE};reg-id=2;expires=0", ("Supported", "outbound"), call_id="reg2")
    assert bindings(bench) == ["1"]


def test_a_device_that_was_started_anew_leaves_no_binding_of_its_old_self() -> None:
    bench, _, one, _ = two_flows("udp")
    register(one, f"{one.contact};{OTHER};reg-id=1", ("Supported", "outbound"), call_id="new")
    assert bindings(bench) == ["1", "2"]
    assert bench.server._bindings.of("bob")[0].instance.endswith("c")


def test_all_are_removed_at_once() -> None:
    bench, _, one, _ = two_flows()
    assert one.register("*", expires=0, call_id="all").status == 200
    assert bindings(bench) == []


@pytest.mark.parametrize(
    ("last", "status"), [("<sip:edge.example.com;lr;ob>", 200), ("<sip:edge.example.com;lr>", 439)]
)
def test_a_first_hop_that_knows_no_outbound_is_told_of(last: str, status: int) -> None:
    bob = Bench().udp("bob", "192.0.2.21")
    rows = (("Path", f"<sip:core.example.com;lr>, {last}"),)
    response = register(bob, f"{bob.contact};{INSTANCE};reg-id=1", ("Supported", "path, outbound"), *rows)
    assert response.status == status
    # Without outbound it may come through such a hop.
    again = register(bob, f"{bob.contact};{INSTANCE}", ("Supported", "path, outbound"), *rows, call_id="plain")
    assert again.status == 200
    assert again.headers.get("Require") is None


def called(*devices: Device) -> list[bool]:
    return [any(isinstance(each, Request) and each.method == "INVITE" for each in device.inbox) for device in devices]


def gruu(bench: Bench) -> str:
    return str(bench.server._gruus.public("bob", bench.server._bindings.of("bob")[0].instance))


def call(alice: Device, uri: str) -> None:
    alice.send_with_password(
        lambda number, extra: alice.request("INVITE", uri, number=number, rows=[("Contact", alice.contact), *extra])
    )


@pytest.mark.parametrize("by_gruu", [False, True])
def test_a_device_is_called_by_the_flow_heard_of_last_alone(by_gruu: bool) -> None:
    bench, alice, one, two = two_flows()
    call(alice, gruu(bench) if by_gruu else f"sip:bob@{DOMAIN}")
    assert called(one, two) == [False, True]


@pytest.mark.parametrize("by_gruu", [False, True])
@pytest.mark.parametrize("status", [430, 408])
def test_the_next_flow_has_its_turn_when_one_has_failed(status: int, by_gruu: bool) -> None:
    bench, alice, one, two = two_flows()
    call(alice, gruu(bench) if by_gruu else f"sip:bob@{DOMAIN}")
    two.answer(two.take_request("INVITE"), status)
    assert called(one, two) == [True, False]
    one.answer(one.take_request("INVITE"), 200)
    assert alice.statuses()[-1] == 200


def test_a_flow_that_says_nothing_or_breaks_has_failed_as_well() -> None:
    bench, alice, one, two = two_flows("udp")
    call(alice, f"sip:bob@{DOMAIN}")
    bench.run(bench.now + 31.0)
    assert not [each for each in one.inbox if isinstance(each, Request)]
    bench.run(bench.now + 2.0)
    assert one.take_request("INVITE")
    bench, alice, one, two = two_flows("ws")
    call(alice, f"sip:bob@{DOMAIN}")
    two.lose()
    assert one.take_request("INVITE")
    assert bindings(bench) == ["1"]


@pytest.mark.parametrize("status", [302, 480, 486, 500, 503, 603])
def test_what_the_device_itself_has_said_holds(status: int) -> None:
    _, alice, one, two = two_flows()
    call(alice, f"sip:bob@{DOMAIN}")
    two.answer(two.take_request("INVITE"), status)
    assert called(one, two) == [False, False]
    assert alice.statuses()[-1] in (status, 500)


@pytest.mark.parametrize("end", ["408", "timer C", "lost"])
def test_a_device_that_has_rung_is_not_rung_again_by_its_next_flow(end: str) -> None:
    bench, alice, one, two = two_flows()
    call(alice, f"sip:bob@{DOMAIN}")
    invite = two.take_request("INVITE")
    two.answer(invite, 100)
    two.answer(invite, 180)
    if end == "408":
        two.answer(invite, 408)
    elif end == "lost":
        two.lose()
    else:
        bench.run(bench.now + 182.0)  # it is told to stop, and says nothing to that either
        assert two.take_request("CANCEL")
        bench.run(bench.now + 33.0)
    assert called(one) == [False]
    assert {status for status in alice.statuses() if status >= 200} - {407} == {500 if end == "lost" else 408}


def test_a_100_does_not_say_that_the_device_has_been_reached() -> None:
    _, alice, one, two = two_flows()
    call(alice, f"sip:bob@{DOMAIN}")
    invite = two.take_request("INVITE")
    two.answer(invite, 100)
    two.answer(invite, 430)
    assert called(one) == [True]


def test_when_all_flows_have_failed_the_caller_hears_of_it_once() -> None:
    _, alice, one, two = two_flows()
    call(alice, f"sip:bob@{DOMAIN}")
    for flow in (two, one):
        flow.answer(flow.take_request("INVITE"), 430)
    assert [status for status in alice.statuses() if status >= 200] == [430]


def test_a_caller_who_gives_up_is_not_passed_on_to_the_next_flow() -> None:
    _, alice, one, two = two_flows()
    call(alice, f"sip:bob@{DOMAIN}")
    invite = two.take_request("INVITE")
    two.answer(invite, 180)
    sent = list(alice.bench.server._proxy._forks.values())
    alice.bench.server._proxy.cancel(sent[0].server, now=alice.bench.now)
    two.answer(invite, 430)
    assert called(one) == [False]


def test_another_device_of_the_user_rings_besides() -> None:
    bench, alice, one, two = two_flows()
    other = bench.udp("bob", "192.0.2.23")
    other.register()
    call(alice, f"sip:bob@{DOMAIN}")
    assert called(one, two, other) == [False, True, True]


def test_a_dialog_made_elsewhere_goes_on_without_a_password_by_a_flow_that_has_registered() -> None:
    bench, alice, one, _ = two_flows()
    alice.register()
    to = f"<sip:alice@{DOMAIN}>;tag=a"
    one.send(one.request("BYE", f"sip:alice@{DOMAIN}", to=to, call_id="moved"))
    assert alice.take_request("BYE").call_id == "bob-moved"
    # Nobody else may say so, and nobody begins anything in this way.
    stranger = bench.ws("bob", "192.0.2.66")
    stranger.send(stranger.request("BYE", f"sip:alice@{DOMAIN}", to=to, call_id="stolen"))
    assert stranger.take_response().status == 407
    one.send(one.request("INVITE", f"sip:alice@{DOMAIN}", call_id="new"))
    assert one.take_response().status == 407
