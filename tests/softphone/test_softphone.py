"""The phone as a whole: accounts, calls and media over a real server, on every transport."""

from typing import Any

import numpy as np
import pytest
from softphone.phones import DOMAIN, PBX, Phone, Scene

from sansio_sip.context import Secret
from sansio_sip.effects import Address, CloseFlow, FlowId
from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation.link import Link
from sansio_sip.softphone import AccountOptions, CallState, CallUuid, MediaProfile, SoftphoneOptions, events

TRANSPORTS = [f"ws://{PBX}:8080", "ws://pbx.example.com:8080/sip", f"tcp://{PBX}", f"udp://{PBX}"]


def ends(phone: Phone) -> list[str]:
    """How its calls have ended."""
    kinds = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled)
    said: list[Any] = phone.events()
    return [event.name for event in said if isinstance(event, kinds)]


def registered(phone: Phone) -> bool:
    return phone.machine.is_registered(phone.account)


# Accounts


@pytest.mark.parametrize("server", TRANSPORTS)
def test_a_call_over_the_server(server: str) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", server=server)
    opened = (["onWebSocketConnected"] if server.startswith("ws") else []) + ["onConnectionChange"]
    mine, theirs = scene.established(alice, bob)
    scene.wait(2.0)
    statistics = alice.machine.statistics(mine)
    assert statistics is not None
    assert statistics.packets_received > 90
    alice.do(alice.machine.hangup, mine)
    scene.wait(1.0)
    assert alice.names() == [
        *opened,
        "onLogin",
        "onCalling",
        "onCallRemoteRinging",
        "onMediaConnected",
        "onCallAnswered",
        "onCallTerminated",
    ]
    assert bob.names() == [
        *opened,
        "onLogin",
        "onIncomingCall",
        "onMediaConnected",
        "onCallAnswered",
        "onCallTerminated",
    ]
    assert alice.machine.calls() == bob.machine.calls() == ()
    assert all("session" not in flow for flow in scene.world.hosts[alice.name].datagrams), "a socket of media is left"
    (hung_up,), (heard,) = alice.events(events.CallTerminated), bob.events(events.CallTerminated)
    assert (hung_up.hangup_info.originator, hung_up.call) == ("local", mine)
    assert (heard.hangup_info.originator, heard.call) == ("remote", theirs)
    assert hung_up.statistics is not None


def test_a_wrong_password_refuses_the_login() -> None:
    scene = Scene()
    alice = scene.phone("alice", password=Secret("guess"))
    alice.login()
    assert alice.events(events.LoginFailed) == [events.LoginFailed(alice.account, "Authentication Error", 401)]
    assert not registered(alice)
    assert not alice.machine.is_connected(alice.account)
    assert alice.names()[-2:] == ["onLoginFailed", "onConnectionChange"]


@pytest.mark.parametrize("server", ["udp://10.9.9.9", "tcp://10.9.9.9", "ws://nowhere.example.com"])
def test_where_there_is_no_server_the_login_fails_within_ten_seconds(server: str) -> None:
    scene = Scene()
    alice = scene.phone("alice", server)
    begin = scene.world.time
    alice.do(alice.machine.login, alice.account)
    assert scene.world.run(stop=lambda: bool(alice.events(events.LoginFailed)), until=begin + 60)
    assert scene.world.time - begin <= 10.0
    (failed,) = alice.events(events.LoginFailed)
    assert failed.status == 0
    scene.wait(600.0)
    assert alice.machine.next_timeout() is None


def test_a_second_server_takes_over() -> None:
    scene = Scene()
    options = AccountOptions(
        "sip:alice@example.com", Secret("alice's password"), servers=("ws://10.9.9.9", TRANSPORTS[0])
    )
    alice = Phone(scene, "alice", "10.0.0.50", options, SoftphoneOptions())
    alice.login()
    assert registered(alice)


def test_trn_06_a_broken_flow_is_opened_again_and_the_user_registered_again_in_silence() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    before = len(alice.names())
    scene.world.break_streams(alice.name)
    assert not registered(alice)
    assert not alice.machine.is_connected(alice.account)
    scene.wait(10.0)
    assert registered(alice)
    assert alice.names()[before:] == ["onConnectionChange", "onWebSocketConnected", "onConnectionChange"]
    (_, down, _) = alice.events(events.ConnectionChange)
    assert (down.state, down.event_code) == ("disconnected", 1006)
    mine, _ = scene.established(bob, alice)
    assert bob.machine.call_info(mine).state is CallState.ANSWERED


def test_a_dead_server_is_noticed_and_the_phone_comes_back() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    scene.world.cut(alice.name, "pbx")
    scene.wait(45.0)
    assert not alice.machine.is_connected(alice.account)
    scene.world.cut(alice.name, "pbx", cut=False)
    scene.wait(45.0)
    assert registered(alice)
    assert alice.names().count("onLogin") == 1


def test_a_registration_is_kept_for_a_day() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice", server=f"udp://{PBX}")
    scene.wait(86_400.0)
    assert registered(alice)
    assert alice.names() == ["onConnectionChange", "onLogin"]
    assert [type(event).__name__ for event in scene.world.outputs("pbx")].count("BindingRemoved") == 0


def test_a_registration_that_is_refused_later_is_no_registration() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    scene.passwords["alice"] = Secret("changed")
    scene.wait(600.0)
    assert not registered(alice)
    assert alice.machine.is_connected(alice.account)
    assert alice.names().count("onLoginFailed") == 0


def test_logout_ends_calls_and_the_binding() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    scene.established(alice, bob)
    alice.do(alice.machine.logout, alice.account)
    scene.wait(1.0)
    assert alice.names()[-2:] == ["onCallTerminated", "onLogout"]
    assert ends(bob) == ["onCallTerminated"]
    assert not registered(alice)
    assert [type(event).__name__ for event in scene.world.outputs("pbx")][-1] == "BindingRemoved"
    with pytest.raises(LocalProtocolError, match="is idle; log in first"):
        alice.do(alice.machine.logout, alice.account)


def test_logout_wins_over_a_pending_reconnect() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    scene.world.break_streams(alice.name)
    alice.do(alice.machine.logout, alice.account)
    scene.wait(100.0)
    assert alice.names()[-1] == "onLogout"
    assert not alice.machine.is_connected(alice.account)


def test_accounts_do_not_hear_each_others_look_ups() -> None:
    scene = Scene()
    alice = scene.phone("alice", "ws://pbx.example.com:8080")
    other = alice.do(
        alice.machine.add_account,
        AccountOptions("sip:bob@example.com", Secret("bob's password"), servers=("ws://nowhere.example.com:8080",)),
    )
    alice.do(alice.machine.login, alice.account)
    alice.do(alice.machine.login, other)
    scene.wait(3.0)
    assert registered(alice)
    assert [event.account for event in alice.events(events.LoginFailed)] == [other]


def test_two_accounts_of_one_phone_call_each_other() -> None:
    scene = Scene()
    phone = scene.phone("alice")
    phone.login()
    other = phone.do(
        phone.machine.add_account,
        AccountOptions(
            "sip:bob@example.com", Secret("bob's password"), servers=(TRANSPORTS[0],), profiles=(MediaProfile.RTP,)
        ),
    )
    phone.do(phone.machine.login, other)
    scene.wait(1.0)
    phone.call("bob")
    scene.wait(1.0)
    (ringing,) = phone.events(events.IncomingCall)
    assert ringing.account == other
    phone.do(phone.machine.answer, ringing.call)
    scene.wait(1.0)
    assert phone.names().count("onCallAnswered") == 2
    phone.do(phone.machine.remove_account, other)
    scene.wait(1.0)
    assert phone.names().count("onCallTerminated") == 2
    with pytest.raises(LocalProtocolError, match="there is no account"):
        phone.machine.is_registered(other)


# Calls


def test_the_caller_gives_up() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    mine = alice.call("bob")
    scene.wait(1.0)
    alice.do(alice.machine.hangup, mine)
    scene.wait(1.0)
    assert ends(alice) == ["onCallFailed"]
    assert ends(bob) == ["onIncomingCallCanceled"]
    (failed,) = alice.events(events.CallFailed)
    assert (failed.cause, failed.call_info.state, failed.call_info.code) == ("Canceled", CallState.CANCELED, 1000)


def test_the_caller_gives_up_before_anything_was_sent() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    mine = alice.call("bob")
    alice.do(alice.machine.hangup, mine)
    scene.wait(5.0)
    assert ends(alice) == ["onCallFailed"]
    assert bob.events(events.IncomingCall) == []


@pytest.mark.parametrize(
    ("status", "cause", "state"),
    [
        (486, "Busy", CallState.FAILED),
        (603, "Rejected", CallState.REJECTED),
        (404, "Not Found", CallState.FAILED),
        (488, "Incompatible SDP", CallState.FAILED),
    ],
)
def test_the_callee_refuses(status: int, cause: str, state: CallState) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    alice.call("bob")
    scene.wait(1.0)
    bob.do(bob.machine.reject, bob.only_call, status)
    scene.wait(1.0)
    (failed,), (refused,) = alice.events(events.CallFailed), bob.events(events.CallFailed)
    assert (failed.cause, failed.call_info.state) == (cause, state)
    assert (refused.call_info.originator, refused.call_info.code, refused.cause) == ("local", 3020, "Rejected")


def test_a_second_call_is_refused_unless_several_are_allowed() -> None:
    scene = Scene()
    alice, bob, carol = scene.logged_in("alice", "bob", "carol")
    scene.established(alice, bob)
    carol.call("bob")
    scene.wait(1.0)
    (busy,) = carol.events(events.CallFailed)
    assert busy.cause == "Busy"
    (dave,) = scene.logged_in("dave", allow_multiple_incoming=True)
    carol.call("dave")
    bob.call("dave")
    scene.wait(1.0)
    assert len(dave.machine.calls()) == 2


def test_an_ignored_call_rings_on_for_the_caller_and_is_cleaned_up() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    mine = alice.call("bob")
    scene.wait(1.0)
    theirs = bob.only_call
    bob.do(bob.machine.ignore, theirs)
    with pytest.raises(LocalProtocolError, match="its state is ignored; it must ring here"):
        bob.do(bob.machine.answer, theirs)
    scene.wait(20.0)
    assert ends(alice) == ends(bob) == []
    alice.do(alice.machine.hangup, mine)
    scene.wait(1.0)
    assert bob.names()[-2:] == ["onIncomingCallIgnored", "onIncomingCallCanceled"]


def test_peer_to_peer_without_a_server() -> None:
    scene = Scene(server=False)
    alice, bob = scene.phone("alice", None), scene.phone("bob", None)
    scene.wait(0.1)
    assert alice.machine.local_address(alice.account) == Address("10.0.0.1", 5060)
    mine, _ = scene.established(alice, bob)
    bob.do(bob.machine.hangup, bob.only_call)
    scene.wait(1.0)
    assert ends(alice) == ends(bob) == ["onCallTerminated"]
    assert alice.events(events.CallTerminated)[0].call == mine
    with pytest.raises(LocalProtocolError, match="nothing goes over TLS; give the account a `tls:`"):
        alice.call("sips:bob@10.0.0.2")
    with pytest.raises(LocalProtocolError, match="has no server; give one"):
        alice.do(alice.machine.login, alice.account)


def test_peer_to_peer_by_a_host_name() -> None:
    scene = Scene(server=False)
    alice, bob = scene.phone("alice", None), scene.phone("bob", None)
    scene.wait(0.1)
    mine = alice.call("sip:bob@second.example.com")
    scene.wait(1.0)
    bob.do(bob.machine.answer, bob.only_call)
    scene.wait(1.0)
    assert [event.call for event in alice.events(events.CallAnswered)] == [mine]
    alice.do(alice.machine.hangup, mine)
    scene.wait(1.0)
    assert ends(bob) == ["onCallTerminated"]


def test_a_host_name_without_an_address_is_a_failed_call() -> None:
    scene = Scene(server=False)
    alice = scene.phone("alice", None)
    scene.wait(0.1)
    alice.call("sip:bob@nowhere.example.com")
    scene.wait(1.0)
    (failed,) = alice.events(events.CallFailed)
    assert failed.cause == "Connection Error"


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros((2, 160), np.int16), 8_000),
        (np.zeros(160, np.float32), 8_000),
        ([0] * 160, 8_000),
        (np.zeros(160, np.int16), 0),
        (np.zeros(160, np.int16), 8_000.5),
        (np.zeros(160, np.int16), 1_000_000),
    ],
)
def test_what_is_no_audio_is_refused_and_the_call_goes_on(samples: Any, rate: Any) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    mine, _ = scene.established(alice, bob)
    with pytest.raises(LocalProtocolError, match=r"cannot write audio.*give"):
        alice.do(alice.machine.write_audio, mine, samples, rate)
    if rate != 8_000:
        with pytest.raises(LocalProtocolError, match=r"cannot read audio.*give"):
            alice.do(alice.machine.read_audio, mine, rate)
    scene.wait(0.1)
    assert alice.machine.calls()


def test_extra_headers_arrive() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    alice.call("bob", extra_headers={"X-PH-Order": "42", "x-ph-b": "(c)"})
    scene.wait(1.0)
    (ringing,) = bob.events(events.IncomingCall)
    assert dict(ringing.extra_headers) == {"X-PH-Order": "42", "x-ph-b": "(c)"}
    assert (ringing.caller_id, ringing.call_info.dest) == ("alice@example.com", "sip:bob@example.com")


@pytest.mark.parametrize("header", [("X-Other", "1"), ("X-PH-A", "1\r\nX: y"), ("X-PH-\r\nX", "1"), ("Via", "x")])
def test_no_other_header_can_be_smuggled_in(header: tuple[str, str]) -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    before = len(alice.names())
    with pytest.raises(LocalProtocolError, match="one-line `X-PH-"):
        alice.call("bob", extra_headers=dict([header]))
    assert len(alice.names()) == before


@pytest.mark.parametrize("target", ["", "sip:", "tel:+1", "sip:a b@c", "bob@", "a\r\nb", "bob@exa mple"])
def test_a_bad_target_is_refused_before_anything_happens(target: str) -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    with pytest.raises(LocalProtocolError, match="give a number or a SIP URI"):
        alice.call(target)
    assert alice.machine.calls() == ()


def test_commands_on_no_call_name_the_remedy() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    for command in (alice.machine.answer, alice.machine.hangup, alice.machine.mute, alice.machine.reject):
        with pytest.raises(LocalProtocolError, match="it has ended or never was"):
            alice.do(command, CallUuid("nobody"))


def test_an_outgoing_call_can_be_neither_answered_nor_rejected() -> None:
    scene = Scene()
    alice, _ = scene.logged_in("alice", "bob")
    mine = alice.call("bob")
    scene.wait(1.0)
    with pytest.raises(LocalProtocolError, match="must ring here"):
        alice.do(alice.machine.answer, mine)
    with pytest.raises(LocalProtocolError, match="hang up instead"):
        alice.do(alice.machine.reject, mine)


def test_keys_are_heard() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    mine, theirs = scene.established(alice, bob)
    alice.do(alice.machine.send_dtmf, mine, "12#")
    scene.wait(2.0)
    assert [event.tone for event in bob.events(events.DtmfReceived)] == ["1", "2", "#"]
    assert [event.call for event in bob.events(events.DtmfReceived)] == [theirs] * 3
    assert alice.names().count("onDtmfSent") == 1


def test_a_call_is_muted_before_it_is_answered() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    alice.call("bob")
    scene.wait(1.0)
    bob.do(bob.machine.mute, bob.only_call)
    bob.do(bob.machine.answer, bob.only_call)
    scene.wait(1.0)
    session = bob.machine._calls._calls.get(bob.only_call).session
    assert session is not None
    assert bob.machine._calls._media._sessions[session].audio.muted  # type: ignore[attr-defined]


def test_close_hangs_up_logs_out_and_says_closed() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    scene.established(alice, bob)
    begin = scene.world.time
    alice.do(alice.machine.close)
    scene.wait(1.0)
    assert alice.names()[-4:] == ["onCallTerminated", "onLogout", "onConnectionChange", "closed"]
    assert ends(bob) == ["onCallTerminated"]
    assert scene.world.time - begin <= 2.0
    with pytest.raises(LocalProtocolError, match="the phone is closing; make a new one"):
        alice.do(alice.machine.login, alice.account)
    assert alice.machine.next_timeout() is None


def test_close_does_not_wait_for_a_server_that_is_gone() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob")
    scene.established(alice, bob)
    scene.world.cut(alice.name, "pbx")
    begin = scene.world.time
    alice.do(alice.machine.close)
    assert scene.world.run(stop=lambda: alice.names()[-1] == "closed", until=begin + 60)
    assert scene.world.time - begin <= 2.0
    assert alice.machine.next_timeout() is None


def test_flows_of_nobody_are_ignored() -> None:
    scene = Scene()
    (alice,) = scene.logged_in("alice")
    before = alice.names()
    alice.do(alice.machine.receive_stream, FlowId("x"), b"data")
    alice.do(alice.machine.receive_datagram, FlowId("x"), b"data", Address("10.0.0.9", 1))
    alice.do(alice.machine.flow_lost, FlowId("x"), "gone")
    alice.do(alice.machine.resolved, 99, ())
    assert alice.names() == before
    alice.machine.flow_accepted(FlowId("l"), FlowId("l#1"), Address("a", 1), Address("b", 2), now=scene.world.time)
    assert list(alice.machine.outputs()) == [CloseFlow(FlowId("l#1"))]


# An INVITE and what ends it, in one segment


@pytest.mark.parametrize("busy", [False, True])
def test_an_invite_and_its_cancel_in_one_segment(busy: bool) -> None:
    scene = Scene()
    bob, carol = scene.logged_in("bob", "carol", server=f"tcp://{PBX}")
    if busy:
        scene.established(carol, bob)
    shared = [
        "Via: SIP/2.0/TCP 10.0.0.77;branch=z9hG4bKx",
        f"From: <sip:x@{DOMAIN}>;tag=1",
        f"To: <sip:bob@{DOMAIN}>",
        "Call-ID: both",
        "Max-Forwards: 70",
        "Contact: <sip:x@10.0.0.77>",
        "Content-Length: 0",
    ]
    octets = "".join(
        "\r\n".join([f"{method} sip:bob@10.0.0.1 SIP/2.0", *shared, f"CSeq: 1 {method}", "", ""])
        for method in ("INVITE", "CANCEL")
    )
    flow = next(iter(scene.world.hosts[bob.name].streams))
    before = len(ends(bob))
    bob.do(bob.machine.receive_stream, flow, octets.encode())
    scene.wait(40.0)
    assert ends(bob)[before:] == ([] if busy else ["onIncomingCallCanceled"])
    assert len(bob.machine.calls()) == busy


def test_an_answer_that_cannot_be_read_ends_the_call_unanswered() -> None:
    scene = Scene(server=False)
    alice = scene.phone("alice", None)
    scene.wait(0.1)
    alice.call("sip:bob@10.0.0.77")
    scene.wait(0.1)
    rows = alice.sent(b"INVITE")[0].decode().partition("\r\n\r\n")[0].split("\r\n")
    echoed = [row for row in rows if row.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
    tagged = [f"{row};tag=9" if row.startswith("To") else row for row in echoed]
    more = ["Contact: <sip:bob@10.0.0.77>", "Content-Type: application/sdp", "Content-Length: 4", "", "junk"]
    answer = "\r\n".join(["SIP/2.0 200 OK", *tagged, *more]).encode()
    assert scene.world.inject(Address("10.0.0.1", 5060), answer, Address("10.0.0.77", 5060))
    scene.wait(1.0)
    assert alice.names()[1:] == ["onCalling", "onCallFailed"]
    (failed,) = alice.events(events.CallFailed)
    assert (failed.cause, failed.call_info.state) == ("Incompatible SDP", CallState.FAILED)
    assert [len(alice.sent(method)) for method in (b"ACK", b"BYE")] >= [1, 1]


# Loss


@pytest.mark.parametrize("seed", range(4))
def test_a_call_over_a_network_that_loses_a_third_ends_once_at_each_end(seed: int) -> None:
    scene = Scene(seed, link=Link(loss=0.3))
    alice, bob = scene.logged_in("alice", "bob", server=f"udp://{PBX}")
    scene.wait(20.0)
    if not (registered(alice) and registered(bob)):
        pytest.skip("the registration itself was lost")
    mine = alice.call("bob")
    scene.wait(20.0)
    for info in bob.machine.calls():
        bob.do(bob.machine.answer, info.call_uuid)
    scene.wait(20.0)
    if any(info.call_uuid == mine for info in alice.machine.calls()):
        alice.do(alice.machine.hangup, mine)
    scene.wait(100.0)
    assert len(ends(alice)) == 1
    assert len(ends(bob)) == len(bob.events(events.IncomingCall))
    assert alice.machine.calls() == bob.machine.calls() == ()
