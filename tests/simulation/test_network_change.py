"""A phone goes to another network in the middle of a call."""

import pytest
from simulation.phones import SIP_UDP, SIP_WS, Network, pitch, tone

from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import MediaProfile


def in_a_call(profile: MediaProfile, sip: str, codec: str = "pcmu") -> Network:
    network = Network(5, sip=sip)
    alice, bob = (network.phone(name, profile, codecs=(codec,)) for name in ("alice", "bob"))
    network.pass_time(0.1)
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    assert network.wait(lambda: bool(bob.calls), 5.0)
    bob.answer()
    assert network.wait(lambda: alice.has_media and bob.has_media, 10.0)
    network.pass_time(1.0)
    return network


@pytest.mark.parametrize("sip", [SIP_UDP, SIP_WS])
@pytest.mark.parametrize("profile", [MediaProfile.WEBRTC, MediaProfile.RTP])
@pytest.mark.parametrize("moves", [0, 1], ids=["caller", "callee"])
def test_both_are_heard_again_within_five_seconds(moves: int, profile: MediaProfile, sip: str) -> None:
    network = in_a_call(profile, sip)
    phones = network.phones
    network.world.readdress(phones[moves].name, "10.0.1.77")
    network.pass_time(5.0)
    for phone in phones:
        phone.heard.clear()
        phone.say(tone(440.0, 2.0))
    network.pass_time(2.5)
    for phone in phones:
        assert abs(pitch(phone.everything_heard()) - 440.0) < 5
        assert not phone.ends()
    assert phones[moves].is_logged_in
    local = phones[moves].machine.local_address(phones[moves].account)
    assert local is not None
    assert local.host == "10.0.1.77"
    phones[1 - moves].hang_up()
    assert network.wait(lambda: not any(phone.calls for phone in phones), 5.0)
    network.close()


def test_a_call_without_a_way_is_given_up() -> None:
    network = in_a_call(MediaProfile.WEBRTC, SIP_UDP)
    alice, _ = network.phones
    network.world.cut("alice", "server")
    network.world.readdress("alice", "10.0.1.77")
    network.world.cut("alice", "server")
    network.world.cut("alice", "bob")
    assert network.wait(lambda: not alice.calls, 40.0)
    (ended,) = alice.said(events.CallTerminated)
    assert ended.hangup_info.reason == "Connection Error"
