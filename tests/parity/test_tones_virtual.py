"""The tones that a client plays, and its keys, in virtual time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from parity.sound_host import SoundHost, level, pitch, run, sine
from softphone.phones import PBX, ClientPhone, Scene

from sansio_sip.softphone import events
from sansio_sip.softphone.devices import Role
from sansio_sip.softphone.options import COUNTRIES, Options
from sansio_sip_media import tones
from sansio_sip_media.audio_stream import AudioStream
from sansio_sip_media.mixing import limit


def ringing(scene: Scene, **options: Any) -> tuple[ClientPhone, ClientPhone, SoundHost, SoundHost]:
    """Alice calls Bob, and it rings."""
    alice, bob = scene.users("alice", "bob", **options)
    ours, theirs = SoundHost(scene, alice), SoundHost(scene, bob)
    assert alice.call("bob")
    run(scene, 0.5, ours, theirs)
    return alice, bob, ours, theirs


def heard(host: SoundHost, seconds: float = 0.4, device_id: str = "default") -> float:
    """The pitch of what the device plays next."""
    host.forget()
    run(host.scene, seconds, host)
    return pitch(host.heard(device_id), 48_000)


def test_M15_fault24_the_ringtone_is_what_was_set() -> None:
    scene = Scene()
    alice, bob, _ours, theirs = ringing(scene)
    assert heard(theirs) == pytest.approx(1250, abs=30)
    theirs.media["bell.wav"] = (sine(600, 1.0), 16_000)
    assert bob.set_ring_tone("bell.wav")
    assert heard(theirs) == pytest.approx(600, abs=5)
    assert heard(theirs, 2.5) == pytest.approx(600, abs=5)  # over and over
    assert bob.set_ring_tone(True)
    assert heard(theirs) == pytest.approx(1250, abs=30)
    assert bob.set_ring_tone(False)
    assert heard(theirs) == 0
    assert theirs.opened == {}
    assert bob.set_ring_tone(None)
    assert heard(theirs) == 0
    assert bob.set_ring_tone("missing.wav")
    assert heard(theirs) == pytest.approx(1250, abs=30)
    assert "missing.wav" in bob.logged(40)[-1]
    theirs.media["missing.wav"] = (sine(800, 1.0), 16_000)
    assert bob.set_ring_tone("missing.wav")  # it is there now
    assert heard(theirs) == pytest.approx(800, abs=5)
    assert bob.set_ring_tone(17) is False
    theirs.media["odd.wav"] = (sine(500, 1.0), 1_000)
    assert bob.set_ring_tone("odd.wav")
    assert heard(theirs) == pytest.approx(1250, abs=30)
    assert "odd.wav" in bob.logged(40)[-1]
    assert alice.hangup()
    scene.wait(0.1)
    assert heard(theirs) == 0


@pytest.mark.parametrize("how", ["answer", "reject", "ignore"])
def test_M15_the_ringtone_ends_with_the_ringing(how: str) -> None:
    scene = Scene()
    _alice, bob, _ours, theirs = ringing(scene)
    assert heard(theirs) > 0
    assert getattr(bob, how)()
    scene.wait(0.1)
    theirs.forget()
    run(scene, 0.5, theirs)
    assert pitch(theirs.heard(), 48_000) == 0
    assert Role.RINGTONE not in theirs.opened


def test_M15_who_speaks_hears_no_ringtone() -> None:
    scene = Scene()
    alice, bob, carol = scene.users("alice", "bob", "carol", allow_multiple_incoming_calls=True)
    host = SoundHost(scene, alice)
    host.tones.clear()
    assert bob.call("alice")
    run(scene, 0.5, host)
    assert alice.answer()
    run(scene, 0.5, host)
    assert carol.call("alice")
    assert heard(host) == 0
    assert Role.RINGTONE not in host.opened
    assert alice.hangup()
    run(scene, 0.5, host)
    assert heard(host) == pytest.approx(1250, abs=30)


def test_M16_M17_dial_tone_then_ringback_then_the_far_end() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", server=f"udp://{PBX}:5060")
    ours, theirs = SoundHost(scene, alice), SoundHost(scene, bob)
    theirs.tones["default"] = 900.0
    scene.world.cut(bob.name, "pbx")
    assert alice.call("bob")
    assert heard(ours) == pytest.approx(350, abs=5) or heard(ours) == pytest.approx(440, abs=5)
    assert alice.set_connect_tone(False)
    assert heard(ours) == 0
    assert alice.set_connect_tone(True)
    scene.world.cut(bob.name, "pbx", cut=False)
    scene.wait(4.0)
    assert alice.events(events.CallRemoteRinging)
    assert alice.set_ring_tone_back(False)
    assert alice.set_ring_tone_back(True)  # from the beginning of its rhythm
    assert heard(ours) in (pytest.approx(440, abs=5), pytest.approx(480, abs=5))
    ours.media["http://tones.invalid/back.mp3"] = (sine(555, 2.0), 16_000)
    assert alice.set_ring_tone_back("http://tones.invalid/back.mp3")
    assert heard(ours) == pytest.approx(555, abs=5)
    assert alice.set_ring_tone_back(False)
    assert heard(ours) == 0
    assert alice.set_ring_tone_back(True)
    assert heard(ours) > 0
    assert bob.answer()
    run(scene, 0.5, ours, theirs)
    ours.forget()
    run(scene, 0.5, ours, theirs)
    assert pitch(ours.heard(), 48_000) == pytest.approx(900, abs=5)


@pytest.mark.parametrize(("setting", "tone"), [(True, 480.0), (False, 900.0)])
def test_M16_early_media_is_heard_in_place_of_no_ringback(setting: bool, tone: float) -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    ours = SoundHost(scene, alice)
    assert alice.set_ring_tone_back(setting)
    assert alice.call("bob")
    scene.wait(0.5)
    machine = bob.machine
    (call,) = [info.call_uuid for info in bob.get_incoming_calls()]

    def progress(*, now: float) -> None:
        machine._phone.progress(call, now=now)
        machine._drain(now)

    def say(*, now: float) -> None:
        machine._phone.write_audio(call, sine(900, 1.0), 16_000, now=now)

    bob.do(progress)
    scene.wait(0.5)
    bob.do(say)
    run(scene, 0.3, ours)
    assert heard(ours) in (pytest.approx(tone, abs=8), pytest.approx(440 if setting else tone, abs=8))


@pytest.mark.parametrize("country", COUNTRIES)
def test_M17_each_country_has_its_own_tone(country: str) -> None:
    scene = Scene()
    (alice,) = scene.users("alice", tone_country=country)
    host = SoundHost(scene, alice)
    scene.world.cut(alice.name, "pbx")
    assert alice.call("bob")
    run(scene, 0.4, host)
    expected = tones.tone_samples(tones.national_tone("dial", country), 48_000, 0, 19_200)
    assert np.array_equal(host.heard()[:19_200], limit(expected.astype(np.int32)))


def test_the_countries_of_the_option_are_those_of_the_table() -> None:
    assert set(COUNTRIES) == set(tones.COUNTRIES)


@pytest.mark.parametrize(("on", "tone"), [(True, 480.0), (False, 0.0)])
def test_a_busy_far_end_may_be_told_by_its_tone(on: bool, tone: float) -> None:
    scene = Scene()
    _alice, bob, ours, _theirs = ringing(scene, busy_tone=on)
    assert bob.reject()
    scene.wait(0.1)
    found = heard(ours)
    assert found == pytest.approx(tone, abs=8) or (on and found == pytest.approx(620, abs=8))
    run(scene, 3.0, ours)
    assert heard(ours) == 0
    assert ours.opened == {}


def keys(client: ClientPhone) -> str:
    return "".join(event.tone for event in client.events(events.DtmfReceived))


def in_a_call(scene: Scene, **options: Any) -> tuple[ClientPhone, ClientPhone, SoundHost, SoundHost]:
    alice, bob, ours, theirs = ringing(scene, **options)
    ours.tones.clear()
    theirs.tones.clear()
    assert bob.answer()
    run(scene, 0.5, ours, theirs)
    return alice, bob, ours, theirs


@pytest.mark.parametrize(
    ("options", "events_negotiated", "info", "sound"),
    [
        (("INBAND", "OUTBAND"), True, False, False),
        (("INBAND", "OUTBAND"), False, False, True),
        (("OUTBAND",), True, False, False),
        (("OUTBAND",), False, True, False),
        (("INBAND",), True, False, True),
        (("INFO",), True, True, False),
    ],
)
def test_M12_fault24_keys_go_out_in_one_way(
    options: tuple[str, ...], events_negotiated: bool, info: bool, sound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not events_negotiated:  # as with a far end that offers no telephone-event
        configure = AudioStream.configure
        monkeypatch.setattr(
            AudioStream, "configure", lambda self, negotiated: configure(self, replace(negotiated, dtmf=None))
        )
    scene = Scene()
    alice, bob, ours, theirs = in_a_call(scene, dtmf_options=options)
    theirs.forget()
    for digit in "4#":
        alice.send_dtmf(digit)
        run(scene, 0.5, ours, theirs)
    assert bool(alice.sent(b"INFO")) == info
    loud = level(theirs.heard()) > 300
    assert loud == sound
    if not (sound and events_negotiated):  # there the far end expects events, and does not listen for the sound
        assert keys(bob) == "4#"
    assert len(alice.events(events.DtmfSent)) == 2


def test_M12_keys_are_heard_here_too() -> None:
    scene = Scene()
    alice, _bob, ours, _theirs = in_a_call(scene)
    ours.forget()
    alice.send_dtmf("1")
    run(scene, 0.3, ours)
    spectrum = np.abs(np.fft.rfft(ours.heard()[:9_600] * np.hanning(9_600)))
    loudest = {round(float(place) * 5) for place in np.argsort(spectrum)[-8:]}
    assert any(abs(place - 697) < 12 for place in loudest)
    assert any(abs(place - 1209) < 12 for place in loudest)
    assert alice.set_dtmf_tone("1", False)
    ours.forget()
    alice.send_dtmf("1")
    run(scene, 0.3, ours)
    assert level(ours.heard()) == 0
    ours.media["click.wav"] = (sine(800, 0.1), 16_000)
    assert alice.set_dtmf_tone(1, "click.wav")
    ours.forget()
    alice.send_dtmf("1")
    run(scene, 0.3, ours)
    assert pitch(ours.heard()[:4_800], 48_000) == pytest.approx(800, abs=20)
    assert alice.set_dtmf_tone("12", True) is False
    ours.lose(Role.SPEAKER, "NotReadableError")
    alice.send_dtmf("2")
    run(scene, 0.5, ours)
    assert alice.machine.speaker_devices.media("dtmf").paused


def test_M23_a_quiet_microphone_is_brought_to_the_level_of_speech() -> None:
    levels = {}
    for on in (True, False):
        scene = Scene()
        _alice, _bob, ours, theirs = in_a_call(scene, automatic_gain_control=on)
        ours.tones["default"] = 440.0
        run(scene, 4.0, ours, theirs)
        theirs.forget()
        run(scene, 0.5, ours, theirs)
        levels[on] = level(theirs.heard())
    assert levels[False] == pytest.approx(5657, rel=0.1)
    assert levels[True] == pytest.approx(32768 * 10 ** (-23 / 20), rel=0.15)


def test_M07_the_region_goes_along_with_the_invite() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", client_region="south_asia")
    assert alice.call("bob", {"X-PH-A": "1"})
    scene.wait(0.5)
    assert b"X-ClientRegion: south_asia\r\n" in alice.sent(b"INVITE")[0]
    assert not any(b"ClientRegion" in message for message in alice.sent(b"REGISTER"))
    assert bob.events(events.IncomingCall)[0].extra_headers == {"X-PH-A": "1"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_region", "moon"),
        ("dtmf_options", ()),
        ("dtmf_options", ("LOUD",)),
        ("tone_country", "xx"),
    ],
)
def test_a_bad_option_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        Options("example.com", ("wss://pbx.example.com",), **{field: value})


def test_media_that_nobody_wants_any_more_are_forgotten() -> None:
    scene = Scene()
    alice = scene.client("alice")
    host = SoundHost(scene, alice)
    for number in range(50):
        host.media[f"{number}.wav"] = (sine(440, 0.1), 16_000)
        assert alice.set_ring_tone(f"{number}.wav")
    desk: Any = alice.machine._media.sounds
    assert len(desk._media) == 1
