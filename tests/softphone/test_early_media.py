"""Early media, forked calls, offers that come late, and addresses that others can use."""

from typing import Any

import pytest
from softphone.phones import PBX, Phone, Scene
from softphone.test_transfer import hears

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError
from sansio_sip.sip.message import Request
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.sip.transport import Hop
from sansio_sip.softphone import CallUuid, events
from sansio_sip.softphone.account import reachable


def forked(server: str = f"udp://{PBX}", **options: object) -> tuple[Scene, Phone, Phone, Phone]:
    """Alice, and two phones of Bob's."""
    scene = Scene()
    alice, desk, mobile = (
        scene.phone(user, server, **options)
        for user in ("alice", "bob", "bob")  # type: ignore[arg-type]
    )
    for phone in (alice, desk, mobile):
        phone.login()
    return scene, alice, desk, mobile


def ringing(scene: Scene, alice: Phone) -> CallUuid:
    call = alice.call("bob")
    scene.wait(1.0)
    return call


@pytest.mark.parametrize("server", [f"udp://{PBX}", f"ws://{PBX}:8080"])
def test_early_media_is_heard_before_the_answer_and_after_it(server: str) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", server=server)
    call = ringing(scene, alice)
    bob.do(bob.machine.progress, bob.only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)
    assert alice.names()[-1] == "onMediaConnected"
    bob.do(bob.machine.answer, bob.only_call)
    scene.wait(1.0)
    assert alice.names().count("onCallAnswered") == bob.names().count("onCallAnswered") == 1
    assert hears(scene, alice, call)
    assert hears(scene, bob, bob.only_call)
    with pytest.raises(LocalProtocolError):
        bob.do(bob.machine.progress, bob.only_call)


def test_the_phone_that_was_heard_early_answers() -> None:
    scene, alice, desk, mobile = forked()
    call = ringing(scene, alice)
    desk.do(desk.machine.progress, desk.only_call)
    scene.wait(1.0)
    desk.do(desk.machine.answer, desk.only_call)
    scene.wait(1.0)
    assert mobile.machine.calls() == ()
    assert len(mobile.events(events.IncomingCallCanceled)) == 1
    assert hears(scene, alice, call)
    assert not any(parse_message(data).to.tag for data in alice.sent(b"INVITE"))  # no re-INVITE was needed


def test_another_phone_answers_than_the_one_that_was_heard_early() -> None:
    scene, alice, desk, mobile = forked()
    call = ringing(scene, alice)
    desk.do(desk.machine.progress, desk.only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)
    mobile.do(mobile.machine.answer, mobile.only_call)
    scene.wait(2.0)
    assert desk.machine.calls() == ()
    assert len(desk.events(events.IncomingCallCanceled)) == 1
    assert hears(scene, alice, call)
    assert hears(scene, mobile, mobile.only_call)
    assert alice.events(events.HoldFailed) == []
    assert not any(parse_message(data).to.tag for data in alice.sent(b"INVITE"))  # no re-INVITE was needed


@pytest.mark.parametrize("server", [f"udp://{PBX}", f"ws://{PBX}:8080"])
def test_a_call_without_an_offer(server: str) -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", server=server, delayed_offer=True)
    mine, theirs = scene.established(alice, bob)
    assert alice.names().count("onCallAnswered") == bob.names().count("onCallAnswered") == 1
    assert hears(scene, alice, mine)
    assert hears(scene, bob, theirs)
    alice.do(alice.machine.hold, mine)
    scene.wait(1.0)
    assert len(bob.events(events.RemoteHold)) == 1


def test_a_call_without_an_offer_cannot_be_heard_early_and_can_be_given_up() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", delayed_offer=True)
    call = ringing(scene, alice)
    with pytest.raises(LocalProtocolError, match="no offer"):
        bob.do(bob.machine.progress, bob.only_call)
    alice.do(alice.machine.hangup, call)
    scene.wait(1.0)
    assert alice.machine.calls() == bob.machine.calls() == ()


def test_reliability_that_is_required_at_both_ends() -> None:
    scene = Scene()
    alice, bob = scene.logged_in("alice", "bob", reliability="required")
    call = ringing(scene, alice)
    assert len(alice.events(events.CallRemoteRinging)) == 1
    bob.do(bob.machine.progress, bob.only_call)
    bob.do(bob.machine.answer, bob.only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)


@pytest.mark.parametrize(
    ("local", "present", "host"),
    [
        ("0.0.0.0", ("127.0.0.1", "192.0.2.7"), "192.0.2.7"),
        ("0.0.0.0", ("127.0.0.1",), "127.0.0.1"),
        ("0.0.0.0", ("169.254.1.1", "192.0.2.7", "2001:db8::1"), "192.0.2.7"),
        ("0.0.0.0", (), "127.0.0.1"),
        ("::", ("::1", "192.0.2.7", "fe80::1", "2001:db8::1"), "2001:db8::1"),
        ("192.0.2.9", ("192.0.2.7",), "192.0.2.9"),
    ],
)
def test_contact_is_an_address_that_others_can_use(local: str, present: tuple[str, ...], host: str) -> None:
    assert reachable(Hop("UDP", None, Address(local, 5060)), present).local == Address(host, 5060)


PROXY = "10.0.0.77"
ANSWER = (
    f"v=0\r\no=- 1 1 IN IP4 {PROXY}\r\ns=-\r\nc=IN IP4 {PROXY}\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)
BROKEN = ANSWER.replace("RTP/AVP 0", "RTP/AVP x")


class Proxy:
    """Alice's INVITE has come here, and the test says what phones behind it answer."""

    def __init__(self, **options: Any) -> None:
        self.scene = Scene(server=False)
        self.alice = self.scene.phone("alice", None, **options)
        self.scene.wait(0.1)
        self.call = self.alice.call(f"sip:bob@{PROXY}")
        self.scene.wait(0.1)

    def says(self, status: int, phone: str, sdp: str = "", contact: str = f"<sip:bob@{PROXY}>") -> None:
        invite = parse_message(self.alice.sent(b"INVITE")[-1])
        assert isinstance(invite, Request)
        rows = [("Contact", contact)] if status != 199 else []
        rows += [("Content-Type", "application/sdp")] if sdp else []
        response = invite.response(status, to_tag=phone, headers=rows, body=sdp.encode())
        assert self.scene.world.inject(Address("10.0.0.1", 5060), bytes(response), Address(PROXY, 5060))
        self.scene.wait(0.1)

    @property
    def sessions(self) -> int:
        """Of media that the engine has."""
        return len(self.alice.machine._calls._media._sessions)  # type: ignore[attr-defined]


def test_an_early_dialog_that_ends_leaves_the_call_to_the_others() -> None:
    proxy = Proxy()
    proxy.says(183, "desk", ANSWER)
    proxy.says(180, "mobile")
    proxy.says(199, "desk")
    assert proxy.alice.names()[-1] != "onCallFailed"
    proxy.says(200, "mobile", ANSWER)
    assert len(proxy.alice.events(events.CallAnswered)) == 1
    assert proxy.alice.events(events.CallFailed) == []


def test_an_early_dialog_that_ends_leaves_the_call_to_phones_that_have_said_nothing_yet() -> None:
    proxy = Proxy()
    proxy.says(183, "desk", ANSWER)
    proxy.says(199, "desk")
    proxy.says(200, "mobile", ANSWER)
    assert len(proxy.alice.events(events.CallAnswered)) == 1
    assert proxy.alice.machine.calls()


def test_a_phone_that_rings_no_longer_is_no_ringing() -> None:
    proxy = Proxy()
    proxy.says(199, "desk")
    assert proxy.alice.events(events.CallRemoteRinging) == []
    proxy.says(180, "mobile")
    assert len(proxy.alice.events(events.CallRemoteRinging)) == 1


def test_a_description_that_cannot_be_read_ends_the_call_only_where_nobody_else_rings() -> None:
    proxy = Proxy()
    proxy.says(180, "mobile")
    proxy.says(183, "desk", BROKEN)
    assert proxy.alice.events(events.CallFailed) == []
    proxy.says(200, "mobile", ANSWER)
    assert len(proxy.alice.events(events.CallAnswered)) == 1

    alone = Proxy()
    alone.says(180, "desk")
    alone.says(183, "desk", BROKEN)
    alone.says(487, "desk")
    (failed,) = alone.alice.events(events.CallFailed)
    assert failed.cause == "Incompatible SDP"


@pytest.mark.parametrize("redirects", [1, 20])
def test_redirections_leave_no_session_of_an_early_dialog_behind(redirects: int) -> None:
    proxy = Proxy(policy=CallPolicy(redirect=Consent.ALLOW, max_redirects=20))
    for number in range(redirects):
        for phone in ("desk", "mobile"):
            proxy.says(183, f"{phone}{number}", ANSWER)
        assert proxy.sessions <= 3
        proxy.says(302, "proxy", contact=f"<sip:bob{number}@{PROXY}>")
        assert proxy.sessions == 1
        assert len(proxy.alice.events(events.CallRedirected)) == number + 1
    proxy.says(200, "tablet", ANSWER)
    assert len(proxy.alice.events(events.CallAnswered)) == 1
    assert proxy.sessions == 1


def test_an_answer_for_which_the_engine_has_no_room_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    monkeypatch.setattr("sansio_sip_media.session.MAX_FORKS", 2)
    for phone in ("desk", "mobile", "tablet"):
        proxy.says(183, phone, ANSWER)
    assert proxy.sessions == 2
    assert proxy.alice.events(events.CallFailed) == []
    proxy.says(200, "tablet", ANSWER)
    (failed,) = proxy.alice.events(events.CallFailed)
    assert failed.cause == "Internal Error"
    assert proxy.sessions == 0
