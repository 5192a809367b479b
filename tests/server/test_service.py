"""What the shipped service does beyond SIP: its administrator, names and flags of calls, and the grants of tokens."""

import random

import jwt
import pytest
from server.bench import DOMAIN, Bench, Device, make_options

from sansio_sip.auth import ERROR_HEADER, TOKEN_HEADER
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.sip.message import Request, Response

KEY = "k" * 40
UNIX = 1_700_000_000  # when the bench begins


def token(subject: str, *, incoming: bool = True, outgoing: bool = True) -> str:
    """One that is good now."""
    voice = {"incoming_allow": incoming, "outgoing_allow": outgoing}
    claims = {"iss": "MA1", "sub": subject, "nbf": UNIX - 10, "exp": UNIX + 3600, "per": {"voice": voice}}
    return jwt.encode(claims, KEY, algorithm="HS256")


def register(device: Device, shown: str) -> Response:
    """By a token: nobody is asked for a password."""
    rows = [("Contact", device.contact), ("Expires", "300"), (TOKEN_HEADER, shown)]
    device.send(device.request("REGISTER", f"sip:{DOMAIN}", to=f"<sip:{device.user}@{DOMAIN}>", rows=rows))
    return device.take_response()


def ask(device: Device, method: str, body: bytes, *, user: str = "admin") -> Response:
    request = device.request(method, f"sip:{user}@{DOMAIN}", rows=[("Content-Type", "text/plain")], call_id=method)
    device.send(Request(request.method, request.uri, request.headers, body))
    return device.take_response()


def tokens(**changes: object) -> Bench:
    made = Context(Entropy(random.Random(7)), unix_offset=UNIX)
    return Bench(make_options(token_issuers={"MA1": Secret(KEY)}, **changes), made)


def test_the_keepalive_is_answered_404_as_clients_of_the_service_expect() -> None:
    bench = Bench()
    assert ask(bench.ws("alice", "192.0.2.11"), "OPTIONS", b"pong").status == 404


def test_the_administrator_says_where_a_client_is() -> None:
    bench = tokens()
    response = ask(bench.ws("alice", "192.0.2.11"), "MESSAGE", b"ipAddress")
    assert (response.status, response.body) == (200, b"192.0.2.11")
    assert response.headers.get("X-Timestamp") == str(UNIX)
    assert response.headers.get("X-PlivoRegistrarIP")
    assert str(response.content_type) == "text/plain"
    assert ask(bench.ws("bob", "192.0.2.12"), "MESSAGE", b"anything else").status == 404


@pytest.mark.parametrize("named", ["", "a-name-of-the-caller"])
def test_both_ends_of_a_call_learn_one_name_of_it(named: str) -> None:
    bench = Bench(make_options(feature_flags=("ft_info", "ft_other")))
    alice, bob = bench.udp("alice", "192.0.2.11"), bench.ws("bob", "192.0.2.21")
    bob.register()
    alice.invite("bob", rows=[("X-Calluuid", named)] if named else [])
    invite = bob.take_request("INVITE")
    name = invite.headers.get("X-Calluuid")
    assert name
    assert name == (named or name)
    assert invite.headers.get("X-FeatureFlags") == "ft_info,ft_other"
    for status in (180, 200):
        bob.answer(invite, status)
        answered = [each for each in alice.inbox if isinstance(each, Response)][-1]
        assert (answered.status, answered.headers.get("X-Calluuid")) == (status, name)
        assert answered.headers.get("X-FeatureFlags") == "ft_info,ft_other"


def test_without_flags_there_is_no_row_for_them() -> None:
    bench = Bench()
    alice, bob = bench.udp("alice", "192.0.2.11"), bench.ws("bob", "192.0.2.21")
    bob.register()
    alice.invite("bob")
    assert bob.take_request("INVITE").headers.get("X-FeatureFlags") is None


def test_a_token_goes_no_further_than_the_server() -> None:
    bench = tokens()
    alice, bob = bench.ws("alice_MA1", "192.0.2.11"), bench.ws("bob", "192.0.2.21")
    bob.register()
    assert register(alice, token("alice")).status == 200
    rows = [("Contact", alice.contact), (TOKEN_HEADER, token("alice"))]
    alice.send(alice.request("INVITE", f"sip:bob@{DOMAIN}", rows=rows))
    assert bob.take_request("INVITE").headers.get(TOKEN_HEADER) is None


@pytest.mark.parametrize("incoming", [True, False])
def test_calls_reach_a_holder_whose_token_allows_them(incoming: bool) -> None:
    bench = tokens()
    alice, bob = bench.udp("alice", "192.0.2.11"), bench.ws("bob_MA1", "192.0.2.21")
    assert register(bob, token("bob", incoming=incoming)).status == 200
    alice.invite("bob_MA1")
    rings = any(isinstance(each, Request) and each.method == "INVITE" for each in bob.inbox)
    assert rings == incoming
    if not incoming:
        assert alice.statuses()[-1] == 480
        # A text is no call.
        alice.send_with_password(
            lambda number, extra: alice.request(
                "MESSAGE", f"sip:bob_MA1@{DOMAIN}", rows=extra, number=number, call_id="text"
            )
        )
        assert bob.take_request("MESSAGE")


def test_a_later_token_may_allow_calls() -> None:
    bench = tokens()
    alice, bob = bench.udp("alice", "192.0.2.11"), bench.ws("bob_MA1", "192.0.2.21")
    register(bob, token("bob", incoming=False))
    rows = [("Contact", bob.contact), ("Expires", "300"), (TOKEN_HEADER, token("bob"))]
    bob.send(bob.request("REGISTER", f"sip:{DOMAIN}", to=f"<sip:bob_MA1@{DOMAIN}>", rows=rows, number=2))
    assert bob.take_response().status == 200
    alice.invite("bob_MA1")
    assert bob.take_request("INVITE")


def test_one_device_too_many_of_a_holder_has_its_code() -> None:
    bench = tokens(max_logins=2)
    phones = [bench.ws("bob_MA1", f"192.0.2.{host}") for host in (21, 22, 23)]
    answers = [
        register_as(phone, token("bob"), f"<sip:bob@device{index}.invalid;transport=ws>")
        for index, phone in enumerate(phones)
    ]
    assert [answer.status for answer in answers] == [200, 200, 403]
    assert answers[-1].headers.get(ERROR_HEADER) == "10010"


def register_as(device: Device, shown: str, contact: str) -> Response:
    rows = [("Contact", contact), ("Expires", "300"), (TOKEN_HEADER, shown)]
    device.send(
        device.request(
            "REGISTER", f"sip:{DOMAIN}", to=f"<sip:{device.user}@{DOMAIN}>", rows=rows, call_id=f"reg{contact}"
        )
    )
    return device.take_response()
