"""Registration (RFC 3261 section 10, RFC 3665 section 2) through the whole server, with messages made by hand."""

import pytest
from server.bench import DOMAIN, Bench, make_options

from sansio_sip.server import BindingAdded, BindingRemoved, ServerListening
from sansio_sip.sip.message import Response


def contacts(response: Response) -> list[str]:
    return [str(contact) for contact in response.contacts]


def test_listeners_are_told_of_with_their_real_addresses() -> None:
    assert Bench().events == [
        ServerListening("udp://192.0.2.1:5060"),
        ServerListening("tcp://192.0.2.1:5060"),
        ServerListening("ws://192.0.2.1:8080"),
    ]


def test_rfc_3665_2_1_successful_new_registration() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    answered = bob.register("<sip:bob@192.0.2.201:5060>", expires=300)
    assert (answered.status, contacts(answered)) == (200, ["<sip:bob@192.0.2.201:5060>;expires=300"])
    assert answered.to.tag
    assert bench.events[3:] == [BindingAdded("sip:bob@example.com", "sip:bob@192.0.2.201:5060", "UDP", 300)]


def test_rfc_3665_2_2_update_of_contact_list() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    bob.register("<sip:bob@192.0.2.201:5060>", expires=300)
    bench.run(10.5)
    answered = bob.register("<mailto:bob@biloxi.example.com>")
    assert answered.status == 400
    answered = bob.register("<sip:bob@192.0.2.202:5060>;q=0.3", expires=120)
    assert contacts(answered) == [
        "<sip:bob@192.0.2.201:5060>;expires=290",
        "<sip:bob@192.0.2.202:5060>;q=0.3;expires=120",
    ]


def test_rfc_3665_2_3_request_for_current_contact_list() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    bob.register()
    bob.send_with_password(
        lambda number, rows: bob.request(
            "REGISTER", f"sip:{DOMAIN}", to="<sip:bob@example.com>", number=number, rows=rows
        )
    )
    assert contacts(bob.take_response(200)) == ["<sip:bob@192.0.2.201:5060>;expires=300"]


def test_rfc_3665_2_4_cancellation_of_registration() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    bob.register()
    bob.register("<sip:bob@192.0.2.202>")
    answered = bob.register("*", expires=0)
    assert (answered.status, contacts(answered)) == (200, [])
    assert bench.events[-2:] == [
        BindingRemoved("sip:bob@example.com", "sip:bob@192.0.2.201:5060", "removed"),
        BindingRemoved("sip:bob@example.com", "sip:bob@192.0.2.202", "removed"),
    ]


def test_rfc_3665_2_5_unsuccessful_registration() -> None:
    bench = Bench()
    mallory = bench.udp("mallory", "192.0.2.66")
    mallory.send_with_password(
        lambda number, rows: mallory.request(
            "REGISTER", f"sip:{DOMAIN}", number=number, rows=[("Contact", mallory.contact), *rows]
        )
    )
    refused = mallory.take_response(401)
    assert [challenge.parameter("stale") for challenge in refused.www_authenticate] == [None, None]
    assert len(bench.events) == 3


@pytest.mark.parametrize("algorithms", [("MD5", "SHA-256"), ("SHA-256",), ("SHA-512-256", "SHA-256", "MD5-sess")])
def test_each_algorithm_has_a_challenge_of_its_own(algorithms: tuple[str, ...]) -> None:
    bench = Bench(make_options(digest_algorithms=algorithms))
    bob = bench.udp("bob", "192.0.2.201")
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", rows=[("Contact", bob.contact)]))
    refused = bob.take_response(401)
    assert tuple(challenge.parameter("algorithm") for challenge in refused.www_authenticate) == algorithms
    assert {challenge.parameter("realm") for challenge in refused.www_authenticate} == {DOMAIN}
    assert bob.register().status == 200


def test_md5_is_the_last_challenge_over_web_socket_where_jssip_looks() -> None:
    bench = Bench()
    bob = bench.ws("bob", "192.0.2.201")
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", rows=[("Contact", bob.contact)]))
    challenges = bob.take_response(401).www_authenticate
    assert [challenge.parameter("algorithm") for challenge in challenges] == ["SHA-256", "MD5"]


def test_a_user_cannot_register_for_another() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    bob.send_with_password(
        lambda number, rows: bob.request(
            "REGISTER",
            f"sip:{DOMAIN}",
            to="<sip:alice@example.com>",
            number=number,
            rows=[("Contact", bob.contact), *rows],
        )
    )
    assert bob.statuses() == [403]


def test_an_unknown_address_of_record_is_404() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    bob.send_with_password(
        lambda number, rows: bob.request(
            "REGISTER", f"sip:{DOMAIN}", to="<sip:nobody@example.com>", number=number, rows=rows
        )
    )
    assert bob.statuses() == [404]


@pytest.mark.parametrize(
    ("contact", "expires", "status"),
    [
        ("<sip:bob@192.0.2.201>;expires=59", None, 423),
        ("<sip:bob@192.0.2.201>", 59, 423),
        ("<sip:bob@192.0.2.201>;expires=60", 1, 200),
        ("<sip:bob@192.0.2.201>;expires=0", 300, 200),
        ("<sip:bob@192.0.2.201>;expires=much", 300, 200),
        ("*", 300, 400),
        ("*", None, 400),
        ("<tel:+15551234>", 300, 400),
        ("<sip:bob@192.0.2.201", 300, 400),
    ],
)
def test_what_a_registration_may_ask(contact: str, expires: int | None, status: int) -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    if contact == "<sip:bob@192.0.2.201":
        bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", rows=[("Contact", contact)]))
        assert bob.statuses() == [status]
        return
    answered = bob.register(contact, expires=expires)
    assert answered.status == status
    assert answered.headers.get("Min-Expires") == ("60" if status == 423 else None)


def test_a_registration_of_several_contacts_is_done_whole_or_not_at_all() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    assert bob.register("<sip:bob@a.example.com>, <sip:bob@b.example.com>;expires=5").status == 423
    assert bob.register("<sip:bob@a.example.com>, <sip:bob@b.example.com>;expires=500").status == 200
    assert [event.contact for event in bench.events if isinstance(event, BindingAdded)] == [
        "sip:bob@a.example.com",
        "sip:bob@b.example.com",
    ]


def test_a_refresh_is_silent_and_a_binding_that_nobody_refreshes_expires() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    bob.register(expires=100)
    bench.run(90.0)
    bob.register(expires=100)
    bench.run(189.9)
    assert [type(event) for event in bench.events[3:]] == [BindingAdded]
    bench.run(190.1)
    assert bench.events[4:] == [BindingRemoved("sip:bob@example.com", "sip:bob@192.0.2.201:5060", "expired")]


def test_a_registration_that_was_overtaken_is_refused() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")

    def ask(number: int, rows: tuple[tuple[str, str], ...]) -> object:
        return bob.request(
            "REGISTER",
            f"sip:{DOMAIN}",
            to="<sip:bob@example.com>",
            number=number,
            rows=[("Contact", bob.contact), *rows],
        )

    bob.send_with_password(lambda number, rows: ask(10 + number, rows))  # type: ignore[arg-type, return-value]
    assert bob.statuses() == [200]
    bob.send_with_password(lambda number, rows: ask(10 + number, rows))  # type: ignore[arg-type, return-value]
    assert bob.statuses() == [500]


def test_a_device_that_comes_back_with_another_contact_replaces_its_binding() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    device = ';+sip.instance="<urn:uuid:00000000-0000-4000-8000-000000000001>";reg-id=1'
    bob.register(f"<sip:one@192.0.2.201>{device}")
    answered = bob.register(f"<sip:two@192.0.2.201>{device}")
    assert [contact.uri.user for contact in answered.contacts] == ["two"]  # type: ignore[union-attr]
    assert [event.name for event in bench.events[3:]] == ["onBindingAdded", "onBindingRemoved", "onBindingAdded"]


def test_more_devices_than_a_user_may_have_are_refused() -> None:
    bench = Bench(make_options(max_bindings_per_user=2))
    bob = bench.udp("bob", "192.0.2.201")
    assert [bob.register(f"<sip:bob{n}@192.0.2.201>").status for n in range(3)] == [200, 200, 503]
    assert bob.register("<sip:bob0@192.0.2.201>").status == 200


@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_the_bindings_of_a_stream_go_with_it(transport: str) -> None:
    bench = Bench()
    bob = getattr(bench, transport)("bob", "192.0.2.201")
    assert bob.register().status == 200
    bob.lose()
    removed = bench.events[-1]
    assert isinstance(removed, BindingRemoved)
    assert removed.as_dict() == {
        "address": "sip:bob@example.com",
        "contact": bob.contact.strip("<>"),
        "reason": "flow lost",
    }


def test_a_wanted_extension_is_420() -> None:
    bench = Bench()
    bob = bench.udp("bob", "192.0.2.201")
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", rows=[("Require", "nothing, path")]))
    assert bob.take_response(420).unsupported == ("nothing",)  # Path is understood (RFC 3327)


@pytest.mark.parametrize("row", [("Supported", "gr uu"), ("Path", "<sip:a"), ("Require", "p@th"), ("Expires", "so on")])
def test_a_malformed_header_is_refused_before_anybody_acts_on_it(row: tuple[str, str]) -> None:
    bench = Bench()
    alice = bench.udp("alice", "192.0.2.101")
    request = alice.request("REGISTER", f"sip:{DOMAIN}", rows=[("Contact", alice.contact)])
    request.headers.set(*row)
    alice.send(request)
    assert alice.statuses() == [400]
