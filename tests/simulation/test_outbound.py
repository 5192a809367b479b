"""Accounts with several flows, to two servers of one domain: one dies, calls and calling go on (RFC 5626)."""

import re

import pytest
from softphone.phones import DOMAIN, PBX, USERS, ClientPhone, Scene, context
from softphone.test_client_connection import hears

from sansio_sip.server import Server, ServerOptions
from sansio_sip.softphone import MediaProfile, events

SECOND = "10.0.0.10"
PORTS = {"ws": 8080, "tcp": 5060, "udp": 5060}


class TwoServers(Scene):
    """A scene with a second server, which knows nothing of the first."""

    def __init__(self, transport: str = "ws", profile: MediaProfile = MediaProfile.RTP) -> None:
        super().__init__(crypto=True)
        self.profile = profile
        self.addresses = {"pbx": PBX, "second": SECOND}
        self.servers = tuple(f"{transport}://{host}:{PORTS[transport]}" for host in (PBX, SECOND))
        self.second = Server(
            context(2000),
            ServerOptions(
                domain=DOMAIN,
                listen=(f"udp://{SECOND}:5060", f"tcp://{SECOND}:5060", f"ws://{SECOND}:8080"),
                users=self.passwords,
            ),
        )
        self.world.add("second", self.second, SECOND)
        self.wait(0.1)

    def user(self, name: str) -> ClientPhone:
        """A client that is logged in, at both."""
        client = self.client(name, self.servers, flows=2, debug="ALL", profiles=(self.profile,))
        assert client.login(name, USERS[name])
        self.wait(1.0)
        assert client.is_logged_in
        return client

    def die(self, server: str, *, dead: bool = True) -> None:
        for name in (name for name in self.world.hosts if name not in self.addresses):
            self.world.cut(name, server, cut=dead)
        if dead:
            self.world.break_streams(server)

    def bindings(self, user: str) -> list[list[str | None]]:
        """The reg-ids at each server."""
        return [
            [each.contact.parameter("reg-id") for each in server._bindings.of(user)]
            for server in (self.server, self.second)
        ]


def said(client: ClientPhone, kind: str) -> list[str]:
    return [text for text in client.logged() if " sent to " in text and f"\n{kind} " in text]


def call(scene: Scene, caller: ClientPhone, callee: ClientPhone, name: str) -> None:
    assert caller.call(name)
    scene.wait(1.0)
    assert callee.answer()
    scene.wait(2.0)


@pytest.mark.parametrize("transport", ["ws", "tcp", "udp"])
def test_an_account_is_registered_at_both_servers_and_logs_out_of_both(transport: str) -> None:
    scene = TwoServers(transport)
    alice = scene.user("alice")
    assert scene.bindings("alice") == [["1"], ["2"]]
    assert alice.names().count("onLogin") == 1
    assert alice.names().count("onConnectionChange") == 1
    instances = set(re.findall(r"sip.instance=\"<(\S+?)>\"", "\n".join(said(alice, "REGISTER"))))
    assert len(instances) == 1
    assert alice.logout()
    scene.wait(1.0)
    assert scene.bindings("alice") == [[], []]
    assert alice.names().count("onLogout") == 1


# Each transport with each server and each profile; all twelve would take minutes.
@pytest.mark.parametrize(
    ("transport", "profile", "dead"),
    [
        ("ws", MediaProfile.RTP, "second"),
        ("ws", MediaProfile.WEBRTC, "pbx"),
        ("tcp", MediaProfile.RTP, "pbx"),
        ("tcp", MediaProfile.WEBRTC, "second"),
        ("udp", MediaProfile.RTP, "pbx"),
        ("udp", MediaProfile.WEBRTC, "second"),
    ],
)
def test_a_call_goes_on_by_the_other_server_when_one_dies(transport: str, profile: MediaProfile, dead: str) -> None:
    scene = TwoServers(transport, profile)
    alice, bob = scene.user("alice"), scene.user("bob")
    call(scene, alice, bob, "bob")
    assert hears(scene, alice, bob)
    # A stream tells at once; over UDP it takes pings that nobody answers, of a server that has answered one.
    scene.wait(30.0 if transport == "udp" else 0.0)
    by_it = f"to {transport.upper()} {scene.addresses[dead]}:" in said(alice, "INVITE")[0]
    before = len(said(alice, "INVITE") + said(bob, "INVITE"))
    scene.die(dead)
    scene.wait(45.0 if transport == "udp" else 3.0)
    # Only a call that went by the dead one has to say where it is now.
    assert (len(said(alice, "INVITE") + said(bob, "INVITE")) > before) == by_it
    assert alice.is_connected()
    assert alice.names().count("onConnectionChange") == 1
    assert hears(scene, alice, bob)
    assert hears(scene, bob, alice)
    assert bob.hangup()
    scene.wait(1.0)
    for client in (alice, bob):
        assert client.names().count("onCallTerminated") == 1
        assert client.events(events.CallFailed) == []
    # Nobody waits for the dead one to make and take the next call.
    call(scene, bob, alice, "alice")
    assert hears(scene, bob, alice)
    assert alice.hangup()
    scene.wait(1.0)
    scene.die(dead, dead=False)
    scene.wait(70.0)
    assert scene.bindings("alice") == [["1"], ["2"]]


def test_a_call_goes_on_where_one_end_alone_has_lost_a_server() -> None:
    """The far end hears of it by the re-INVITE that comes by the other server, and answers and goes on there."""
    scene = TwoServers()
    alice, bob = scene.user("alice"), scene.user("bob")
    call(scene, alice, bob, "bob")
    lost = alice.machine._phone._accounts["account1"].hop  # type: ignore[index]
    assert lost is not None
    assert lost.address is not None
    server = "pbx" if lost.address.host == PBX else "second"
    scene.world.cut(alice.name, server)
    scene.wait(45.0)  # a ping, and the answer that does not come
    assert hears(scene, alice, bob)
    assert hears(scene, bob, alice)
    assert bob.hangup()
    scene.wait(1.0)
    assert alice.names().count("onCallTerminated") == 1
