"""A connection that breaks in the middle of a call, and servers that fail."""

from softphone.phones import PBX, USERS, Scene

from sansio_sip.softphone import events


def test_a_lost_websocket_in_a_call_comes_back_registers_and_keeps_the_call() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", server=f"ws://{PBX}:8080")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    scene.world.break_streams(alice.name)
    scene.wait(10.0)
    assert alice.is_registered()
    assert alice.get_call_uuid() is not None
    assert alice.names().count("onLogin") == 1
    states = [event.state for event in alice.events(events.ConnectionChange)]
    assert states == ["connected", "disconnected", "connected"]
    assert alice.hangup()
    scene.wait(1.0)
    assert bob.names()[-1] == "onCallTerminated"


def test_the_next_server_of_the_list_is_taken() -> None:
    scene = Scene()
    alice = scene.client("alice", f"ws://{PBX}:8080")
    object.__setattr__(alice.machine._options, "servers", ("ws://10.0.0.99:8080", f"ws://{PBX}:8080"))
    assert alice.login("alice", USERS["alice"])
    scene.wait(9.0)
    assert alice.is_registered()


def test_logout_wins_over_a_pending_reconnect_in_a_call() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", server=f"ws://{PBX}:8080")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    scene.world.cut(alice.name, "pbx")
    scene.world.break_streams(alice.name)
    scene.wait(1.0)
    assert alice.logout()
    assert "onCallTerminated" in alice.names()
    scene.world.cut(alice.name, "pbx", cut=False)
    scene.wait(120.0)
    assert not alice.is_connected()
    assert alice.names()[-1] == "onLogout"
