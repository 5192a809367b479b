"""Tokens, their generator, a connection apart from a registration: a client and the server, in virtual time."""

import random
from typing import Any

import jwt
import pytest
from softphone.phones import DOMAIN, PBX, USERS, ClientPhone, Scene

from sansio_sip.auth import TOKEN_ERRORS
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.server import Server, ServerOptions
from sansio_sip.softphone import Options, client_events, events
from sansio_sip.softphone.media_plane import MediaProfile

KEY, OFFSET = "k" * 40, 1_700_000_000.0
VOICE = {"incoming_allow": True, "outgoing_allow": True}


class TokenScene(Scene):
    """A server that takes tokens of one issuer; all clocks tell the time of day."""

    def __init__(self, **options: Any) -> None:
        super().__init__(server=False)
        made = Context(Entropy(random.Random(9)), unix_offset=OFFSET)
        self.server = Server(
            made,
            ServerOptions(
                domain=DOMAIN,
                listen=(f"udp://{PBX}:5060", f"tcp://{PBX}:5060", f"ws://{PBX}:8080"),
                users=self.passwords,
                token_issuers={"MA1": Secret(KEY)},
                **options,
            ),
        )
        self.world.add("pbx", self.server, PBX)
        self.wait(0.1)

    def client(self, user: str, server: str | tuple[str, ...] = f"ws://{PBX}:8080", **options: Any) -> ClientPhone:
        client = super().client(user, server, **options)
        client.machine._context.unix_offset = OFFSET
        return client

    def token(self, key: str = KEY, life: float = 3600.0, **change: Any) -> str:
        unix = self.world.time + OFFSET
        claims = {"iss": "MA1", "sub": "alice", "nbf": unix - 5, "exp": unix + life, "per": {"voice": VOICE}}
        return jwt.encode({**claims, **change}, key, algorithm="HS256")

    def registers(self, client: ClientPhone) -> int:
        """REGISTERs of a client that the server has answered 200."""
        return sum(b"CSeq: " in data and b" REGISTER" in data for data in self.answered(client))

    def answered(self, client: ClientPhone) -> list[bytes]:
        return [data for name, data in self.world.wire if name == "pbx" and b"SIP/2.0 200" in data]


def test_M04_login_with_access_token() -> None:
    scene = TokenScene()
    alice, bob = scene.client("alice"), scene.client("bob")
    assert alice.login_with_access_token(scene.token())
    assert bob.login_with_access_token(scene.token(sub="bob"))
    scene.wait(1.0)
    assert alice.is_logged_in
    assert alice.user_name == "alice_MA1"
    assert alice.call("bob_MA1")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    assert alice.names()[-1] == bob.names()[-1] == "onCallAnswered"
    (told,) = bob.events(events.IncomingCall)
    assert told.caller_id == f"alice_MA1@{DOMAIN}"
    # Nobody but the server sees it.
    assert not any(b"X-Plivo-Jwt: ey" in data for name, data in scene.world.wire if name == "pbx")


FAULTS: dict[str, tuple[dict[str, Any], int]] = {
    "issuer": ({"iss": "MA2"}, 10003),
    "subject": ({"sub": "a$b"}, 10004),
    "not yet": ({"nbf": OFFSET + 1000}, 10005),
    "expired": ({"exp": OFFSET}, 10006),
    "signature": ({"key": "x" * 40}, 10007),
    "grants": ({"per": {"voice": {"incoming_allow": False, "outgoing_allow": False}}}, 10008),
    "too long": ({"exp": OFFSET + 90_000}, 10009),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_M04_each_token_error_reaches_onLoginFailed_by_name(fault: str) -> None:
    change, code = FAULTS[fault]
    scene = TokenScene()
    alice = scene.client("alice")
    assert alice.login_with_access_token(scene.token(**change))
    scene.wait(2.0)
    (failed,) = alice.events(events.LoginFailed)
    assert (failed.cause, failed.code) == (TOKEN_ERRORS[code], code)
    assert not alice.is_logged_in


def test_M04_a_token_that_is_none_is_refused_here() -> None:
    scene = TokenScene()
    alice = scene.client("alice")
    for token in ("", None, "a.b.c", scene.token(iss="")):
        assert alice.login_with_access_token(token) is False
    assert [event.cause for event in alice.events(events.LoginFailed)] == ["INVALID_ACCESS_TOKEN"] * 4
    assert not alice.sent()


def test_M04_max_login() -> None:
    scene = TokenScene(max_logins=2)
    clients = [scene.client("alice") for _ in range(3)]
    for client in clients:
        assert client.login_with_access_token(scene.token())
        scene.wait(1.0)
    assert [client.is_logged_in for client in clients] == [True, True, False]
    assert clients[2].events(events.LoginFailed)[0].cause == "MAX_ALLOWED_LOGIN_REACHED"


def test_fault4_a_long_token_is_sent_with_the_call() -> None:
    scene = TokenScene()
    alice, bob = scene.client("alice", f"tcp://{PBX}"), scene.client("bob", f"tcp://{PBX}")
    token = scene.token(app="x" * 600)
    assert len(token) > 500
    assert alice.login_with_access_token(token)
    assert bob.login("bob", USERS["bob"])
    scene.wait(1.0)
    assert alice.call("bob")
    scene.wait(1.0)
    assert f"X-Plivo-Jwt: {token}".encode() in alice.sent(b"INVITE")[0]
    assert bob.names()[-1] == "onIncomingCall"


def test_E24_fault3_a_token_without_the_outgoing_grant_cannot_call() -> None:
    scene = TokenScene()
    alice = scene.client("alice")
    assert alice.login_with_access_token(scene.token(per={"voice": {**VOICE, "outgoing_allow": False}}))
    scene.wait(1.0)
    assert alice.call("bob") is False
    (denied,) = alice.events(client_events.PermissionDenied)
    assert denied.as_dict() == {"cause": "INVALID_ACCESS_TOKEN_GRANTS"}
    assert "onCalling" not in alice.names()


def requests(client: ClientPhone) -> list[int]:
    return [event.request for event in client.events(client_events.TokenRequested)]


def test_M05_fault29_a_generator_is_asked_again_in_time_and_its_token_goes_out_at_once() -> None:
    scene = TokenScene()
    alice = scene.client("alice", f"tcp://{PBX}")
    assert alice.login_with_access_token_generator()
    assert requests(alice) == [1]
    alice.token_provided(1, Secret(scene.token(life=300.0)))
    scene.wait(1.0)
    assert alice.is_logged_in
    scene.wait(235.0)
    assert requests(alice) == [1]
    scene.wait(5.0)
    assert requests(alice) == [1, 2]
    second = scene.token(life=600.0)
    before = len(alice.sent(b"REGISTER"))
    alice.token_provided(2, Secret(second))
    scene.wait(0.5)
    assert f"X-Plivo-Jwt: {second}".encode() in alice.sent(b"REGISTER")[before]
    assert alice.names().count("onLogin") == 1
    assert alice.is_registered()


def test_M05_fault29_a_token_that_is_almost_over_is_no_endless_loop() -> None:
    scene = TokenScene()
    alice = scene.client("alice")
    assert alice.login_with_access_token_generator()
    for _ in range(5):
        alice.token_provided(requests(alice)[-1], Secret(scene.token(life=30.0)))
        scene.wait(5.0)
    assert len(requests(alice)) <= 4


def test_M05_a_generator_that_fails() -> None:
    scene = TokenScene()
    alice = scene.client("alice")
    assert alice.login_with_access_token_generator()
    alice.token_failed(1, "the shop is closed")
    assert alice.events(events.LoginFailed)[0].cause == "INVALID_ACCESS_TOKEN"
    assert alice.login_with_access_token_generator()
    alice.token_provided(2, Secret(scene.token(key="x" * 40)))
    scene.wait(1.0)
    assert alice.events(events.LoginFailed)[1].cause == "RELOGIN_FAILED_INVALID_TOKEN"


def test_a_token_that_ends_logs_out_with_its_name() -> None:
    scene = TokenScene()
    alice = scene.client("alice")
    assert alice.login_with_access_token(scene.token(life=100.0))
    scene.wait(200.0)
    (gone,) = alice.events(events.Logout)
    assert gone.as_dict() == {"reason": "ACCESS_TOKEN_EXPIRED"}
    assert not alice.is_logged_in


def test_fault37_a_new_token_tears_nothing_down() -> None:
    scene = TokenScene()
    alice = scene.client("alice", f"tcp://{PBX}")
    assert alice.login_with_access_token(scene.token())
    scene.wait(1.0)
    assert alice.login_with_access_token(scene.token(life=4000.0))
    scene.wait(1.0)
    assert alice.names().count("onConnectionChange") == 1
    assert len(alice.sent(b"REGISTER")) == 2


def test_M28_M29_unregister_keeps_the_connection_and_register_comes_back() -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    assert alice.register() is False
    assert alice.unregister()
    scene.wait(1.0)
    assert (alice.is_connected(), alice.is_registered(), alice.is_logged_in) == (True, False, False)
    assert alice.names()[-1] == "onUnregistered"
    assert alice.unregister() is False
    assert b"Expires: 0" in alice.sent(b"REGISTER")[-1]
    assert alice.register()
    scene.wait(1.0)
    assert alice.is_registered()
    assert alice.names().count("onLogin") == 2
    assert "onLogout" not in alice.names()


def test_M30_fault17_disconnect_un_registers_first() -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    assert alice.disconnect()
    scene.wait(1.0)
    assert b"Expires: 0" in alice.sent(b"REGISTER")[-1]
    assert not scene.server._bindings.of("alice")
    assert (alice.is_connected(), alice.is_logged_in) == (False, False)
    assert alice.disconnect() is False
    assert alice.login("alice", USERS["alice"])
    scene.wait(1.0)
    assert alice.is_logged_in


def test_login_that_only_connects() -> None:
    scene = Scene()
    alice = scene.client("alice", f"ws://{PBX}:8080", stop_auto_register_on_connect=True)
    assert alice.login("alice", USERS["alice"])
    assert alice.is_connecting()
    scene.wait(1.0)
    assert alice.names() == ["onWebSocketConnected", "onConnectionChange"]
    assert (alice.is_connected(), alice.is_connecting(), alice.is_registered()) == (True, False, False)
    assert alice.register()
    scene.wait(1.0)
    assert alice.is_registered()


def test_M26_is_connecting_exactly_while_the_connection_is_opened() -> None:
    scene = Scene()
    alice = scene.client("alice", f"ws://{PBX}:8080")
    assert alice.is_connecting() is False
    assert alice.login("alice", USERS["alice"])
    assert alice.is_connecting() is True
    scene.wait(1.0)
    assert alice.is_connecting() is False
    assert alice.is_connected() is True


def test_fault33_logout_wins_over_a_pending_reconnect() -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    scene.world.cut(alice.name, "pbx")
    scene.world.break_streams(alice.name)
    scene.wait(1.0)
    assert not alice.is_connected()
    assert alice.logout()
    scene.world.cut(alice.name, "pbx", cut=False)
    scene.wait(120.0)
    assert alice.names()[-1] == "onLogout"
    assert not alice.is_connected()


def test_M31_M32_redirect_between_two_clients_of_one_user() -> None:
    scene = Scene()
    caller, first, second = scene.users("alice", "bob", "bob")
    uri = second.get_contact_uri()
    assert uri
    assert uri != first.get_contact_uri()
    assert caller.call(first.get_contact_uri())
    scene.wait(1.0)
    assert second.events(events.IncomingCall) == []
    assert first.redirect(uri)
    scene.wait(1.0)
    assert any(b"SIP/2.0 302" in data for data in first.sent())
    assert second.answer()
    scene.wait(1.0)
    assert caller.names()[-1] == second.names()[-1] == "onCallAnswered"
    (ended,) = first.events(events.CallFailed)
    assert ended.cause == "Redirected"
    assert first.redirect(uri) is False


def test_fault18_a_redirected_call_leaves_nothing_behind() -> None:
    scene = Scene()
    caller, first, second = scene.users("alice", "bob", "bob")
    assert caller.call(first.get_contact_uri())
    scene.wait(1.0)
    assert first.redirect(second.get_contact_uri())
    scene.wait(120.0)
    assert len(first.events(events.CallFailed)) == 1
    assert first.get_incoming_calls() == []
    assert first.machine._phone.calls() == ()


@pytest.mark.parametrize("change", [{"debug": "LOUD"}, {"enable_quality_tracking": "SOME"}], ids=str)
def test_bad_options_name_their_field(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        Options(domain=DOMAIN, servers=("ws://127.0.0.1",), profiles=(MediaProfile.RTP,), **change)
