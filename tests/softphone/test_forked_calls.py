"""Calls that fork: early media of several phones at once, one that wins, and nothing left of the others."""

from typing import Any

import pytest
from simulation.relay_host import RelayHost
from softphone.phones import DOMAIN, PBX, USERS, Host, Phone, Scene, context
from softphone.test_transfer import hears

from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip.sip.parser import parse_message
from sansio_sip.softphone import AccountOptions, CallUuid, MediaProfile, Softphone, SoftphoneOptions, events
from sansio_sip.softphone.early_dialog import early_media_allowed
from sansio_sip.softphone.ice_servers import TurnAccount
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto


class WebPhone(Phone):
    """A softphone that does WebRTC."""

    def __init__(self, scene: Scene, user: str, number: int, **more: Any) -> None:
        Host.__init__(self, scene, f"{user}{number}")
        made = context(scene.seed + number)
        self.machine = Softphone(made, MediaEngine(made, SeededCrypto(self.name)), SoftphoneOptions())
        options = AccountOptions(
            address=f"sip:{user}@{DOMAIN}",
            password=USERS[user],
            servers=(f"ws://{PBX}:8080",),
            bind=Address("0.0.0.0", 5060),
            codecs=("pcmu",),
            **more,
        )
        self.uri = str(options.uri())
        scene.world.add(self.name, self.machine, f"10.0.0.{number}")
        self.account = self.do(self.machine.add_account, options)


def forked(profile: MediaProfile, phones: int = 3, **options: object) -> tuple[Scene, Phone, list[Phone], CallUuid]:
    """Alice calls Bob, who has several phones that ring."""
    scene = Scene()
    everybody: list[Phone] = []
    for number, user in enumerate(("alice", *["bob"] * phones), start=1):
        if profile is MediaProfile.WEBRTC:
            everybody.append(WebPhone(scene, user, number))
        else:
            everybody.append(scene.phone(user, f"udp://{PBX}", **options))  # type: ignore[arg-type]
    for phone in everybody:
        phone.login()
    alice, *bobs = everybody
    call = alice.call("bob")
    scene.wait(1.0)
    return scene, alice, bobs, call


def sockets(scene: Scene, phone: Phone) -> int:
    """Of media that a phone has open."""
    return len(phone.machine._calls._media._flows)  # type: ignore[attr-defined]


@pytest.mark.parametrize("profile", [MediaProfile.RTP, MediaProfile.WEBRTC], ids=lambda profile: profile.value)
@pytest.mark.parametrize("winner", [0, 1, 2])
def test_whichever_early_phone_answers_wins_and_is_heard(profile: MediaProfile, winner: int) -> None:
    scene, alice, bobs, call = forked(profile)
    for phone in bobs:
        phone.do(phone.machine.progress, phone.only_call)
        scene.wait(2.0)
        assert hears(scene, alice, call)
    assert len(alice.machine._calls._media._sessions) == 3  # type: ignore[attr-defined]
    bobs[winner].do(bobs[winner].machine.answer, bobs[winner].only_call)
    scene.wait(2.0)
    assert hears(scene, alice, call)
    assert hears(scene, bobs[winner], bobs[winner].only_call)
    for phone in bobs:
        if phone is not bobs[winner]:
            assert phone.machine.calls() == ()
            assert len(phone.events(events.IncomingCallCanceled)) == 1
    assert len(alice.machine._calls._media._sessions) == 1  # type: ignore[attr-defined]
    assert alice.names().count("onCallAnswered") == 1
    assert not any(parse_message(data).to.tag for data in alice.sent(b"INVITE"))  # no re-INVITE
    # Hold works on the session that won, its socket goes when the call does.
    alice.do(alice.machine.hold, call)
    scene.wait(1.0)
    assert len(bobs[winner].events(events.RemoteHold)) == 1
    alice.do(alice.machine.hangup, call)
    scene.wait(1.0)
    assert sockets(scene, alice) == 0


def test_the_latest_phone_that_sounds_is_heard() -> None:
    scene, alice, bobs, call = forked(MediaProfile.RTP, 2)
    heard = []
    for phone in bobs:
        phone.do(phone.machine.progress, phone.only_call)
        scene.wait(1.0)
        statistics = alice.machine.statistics(call)
        assert statistics is not None
        heard.append(statistics.remote)
    assert heard[0] != heard[1]


def test_a_phone_that_was_not_heard_early_wins_too() -> None:
    scene, alice, bobs, call = forked(MediaProfile.RTP, 3)
    for phone in bobs[:2]:
        phone.do(phone.machine.progress, phone.only_call)
        scene.wait(0.5)
    bobs[2].do(bobs[2].machine.answer, bobs[2].only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)
    assert hears(scene, bobs[2], bobs[2].only_call)


def test_two_that_answer_at_once_one_is_kept_and_the_other_ended_by_bye() -> None:
    scene, alice, bobs, call = forked(MediaProfile.RTP, 2)
    for phone in bobs:
        phone.do(phone.machine.progress, phone.only_call)
    for phone in bobs:
        phone.do(phone.machine.answer, phone.only_call)
    scene.wait(2.0)
    assert hears(scene, alice, call)
    assert sum(len(phone.machine.calls()) for phone in bobs) == 1
    assert len(alice.machine._calls._media._sessions) == 1  # type: ignore[attr-defined]


def test_a_caller_who_gives_up_leaves_no_session_behind() -> None:
    scene, alice, bobs, call = forked(MediaProfile.RTP, 3)
    for phone in bobs:
        phone.do(phone.machine.progress, phone.only_call)
    scene.wait(0.5)
    alice.do(alice.machine.hangup, call)
    scene.wait(1.0)
    assert sockets(scene, alice) == 0
    assert all(phone.machine.calls() == () for phone in (alice, *bobs))


@pytest.mark.parametrize("url", ["turn:10.0.1.8", "turn:10.0.1.8?transport=tcp"])
@pytest.mark.parametrize("winner", [0, 1])
def test_a_relay_serves_every_early_dialog_and_the_winner(url: str, winner: int) -> None:
    scene = Scene()
    relay = RelayHost("10.0.1.8")
    scene.world.add("relay", relay, "10.0.1.8")
    turn = (TurnAccount(url, "turn", Secret("pw")),)
    alice = WebPhone(scene, "alice", 1, turn_servers=turn, relay_only=True)
    bobs = [WebPhone(scene, "bob", number) for number in (2, 3)]
    for phone in (alice, *bobs):
        phone.login()
    call = alice.call("bob")
    scene.wait(3.0)
    for phone in bobs:
        phone.do(phone.machine.progress, phone.only_call)
        scene.wait(4.0)
        assert hears(scene, alice, call)
    bobs[winner].do(bobs[winner].machine.answer, bobs[winner].only_call)
    scene.wait(2.0)
    assert hears(scene, alice, call)
    assert hears(scene, bobs[winner], bobs[winner].only_call)
    assert len(relay.server.allocations) == 1
    alice.do(alice.machine.hangup, call)
    scene.wait(2.0)
    assert relay.server.allocations == {}
    assert sockets(scene, alice) == 0


@pytest.mark.parametrize("reliability", ["supported", "required"])
def test_early_answers_with_prack_on_each_way(reliability: str) -> None:
    scene, alice, bobs, call = forked(MediaProfile.RTP, 2, reliability=reliability)
    for phone in bobs:
        phone.do(phone.machine.progress, phone.only_call)
        scene.wait(0.5)
    assert len({parse_message(data).to.tag for data in alice.sent(b"PRACK")}) == 2
    bobs[1].do(bobs[1].machine.answer, bobs[1].only_call)
    scene.wait(1.0)
    assert hears(scene, alice, call)


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (None, None),
        ("supported", None),
        ("sendrecv", True),
        ("sendonly, sendrecv", True),
        ("recvonly", False),
        ("Inactive, gated", False),
        ("gated", None),
        ("", None),
    ],
)
def test_what_p_early_media_allows(value: str | None, allowed: bool | None) -> None:
    headers = () if value is None else (("P-Early-Media", value),)
    assert early_media_allowed(headers) is allowed
