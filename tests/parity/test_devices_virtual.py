"""Audio devices of a client, in virtual time: lists, choices, permission, and devices that come and go."""

import pytest
from parity.sound_host import HEADSET, STANDARD, SoundHost, level, pitch, run, sine
from softphone.phones import ClientPhone, Scene

from sansio_sip.softphone import client_events, events
from sansio_sip.softphone.audio_effects import AUDIO_EFFECTS, OpenDevice
from sansio_sip.softphone.client_tones import Player
from sansio_sip.softphone.devices import AudioDevice, Role


def in_a_call(scene: Scene, *listed: tuple[AudioDevice, ...]) -> tuple[ClientPhone, ClientPhone, SoundHost, SoundHost]:
    alice, bob = scene.users("alice", "bob")
    ours, theirs = SoundHost(scene, alice, *listed), SoundHost(scene, bob)
    assert alice.call("bob")
    run(scene, 0.5, ours, theirs)
    assert bob.answer()
    run(scene, 0.5, ours, theirs)
    ours.forget()
    theirs.forget()
    return alice, bob, ours, theirs


def permissions(client: ClientPhone) -> list[dict[str, object]]:
    return [event.as_dict() for event in client.events(client_events.MediaPermission)]


def test_A01_devices_are_listed_by_kind() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.available_devices() == []
    SoundHost(scene, alice, (*STANDARD, *HEADSET))
    assert alice.available_devices() == alice.available_devices("both") == [*STANDARD, *HEADSET]
    assert [device.device_id for device in alice.available_devices("input")] == ["default", "desk", "headset"]
    assert alice.available_devices("output")[1].as_dict() == {
        "deviceId": "desk",
        "kind": "audiooutput",
        "label": "Desk",
        "groupId": "desk",
    }


def test_A02_the_microphone_is_tried_or_its_stream_given() -> None:
    scene = Scene()
    alice = scene.client("alice")
    assert alice.reveal_audio_devices() is False
    host = SoundHost(scene, alice)
    assert alice.reveal_audio_devices()
    assert permissions(alice) == [{"status": "success", "stream": True}] * 2
    assert host.opened == {}
    assert alice.reveal_audio_devices("returnStream")
    run(scene, 0.5, host)
    frames = alice.events(client_events.MicrophoneAudio)
    assert len(frames) == 25
    assert pitch(frames[3].samples, frames[3].rate) == pytest.approx(440, abs=30)
    assert frames[0].as_dict() == {"samples": 320, "rate": 16_000}
    alice.close_stream()
    assert host.opened == {}


def test_A03_A04_A05_another_microphone_is_heard_at_once() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene)
    run(scene, 0.5, ours, theirs)
    assert pitch(theirs.heard(), 48_000) == pytest.approx(440, abs=5)
    assert alice.microphone_devices.get() == ""
    assert alice.set_device(Role.MICROPHONE, "desk")
    assert alice.microphone_devices.get() == "desk"
    theirs.forget()
    run(scene, 0.1, ours, theirs)  # what was on its way
    theirs.forget()
    run(scene, 0.2, ours, theirs)
    assert pitch(theirs.heard(), 48_000) == pytest.approx(700, abs=10)
    assert alice.reset_device(Role.MICROPHONE)
    run(scene, 0.1, ours, theirs)
    theirs.forget()
    run(scene, 0.2, ours, theirs)
    assert pitch(theirs.heard(), 48_000) == pytest.approx(440, abs=10)
    toggles = [e.message for e in alice.events(client_events.CallStatistics) if e.message["msg"].startswith("AUDIO_")]
    assert [message["deviceInfo"]["device"] for message in toggles] == ["desk", "default"]


@pytest.mark.parametrize("wrong", ["nobody", "", 5, None])
@pytest.mark.parametrize("role", list(Role))
def test_A03_A06_A10_an_unknown_device_is_refused(role: Role, wrong: object) -> None:
    scene = Scene()
    alice = scene.client("alice")
    SoundHost(scene, alice)
    assert alice.set_device(role, wrong) is False
    (line,) = alice.logged(40)
    assert f"{role.value}_devices.set: {wrong!r}" in line
    assert "'default', 'desk'" in line


def test_A06_A07_A08_the_far_end_moves_to_another_speaker() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene)
    run(scene, 0.3, ours, theirs)
    assert pitch(ours.heard("default"), 48_000) == pytest.approx(440, abs=5)
    assert alice.speaker_devices.set("desk", now=scene.world.time)
    assert alice.speaker_devices.get() == "desk"
    run(scene, 0.02, ours, theirs)
    ours.forget()
    run(scene, 0.3, ours, theirs)
    assert pitch(ours.heard("desk"), 48_000) == pytest.approx(440, abs=5)
    assert not len(ours.heard("default"))
    assert alice.reset_device(Role.SPEAKER)
    run(scene, 0.02, ours, theirs)
    ours.forget()
    run(scene, 0.3, ours, theirs)
    assert not len(ours.heard("desk"))
    assert level(ours.heard("default")) > 1000


def test_A09_A13_tones_can_be_tried_out() -> None:
    scene = Scene()
    alice = scene.client("alice")
    host = SoundHost(scene, alice)
    assert alice.set_device(Role.RINGTONE, "desk")
    for element, device_id, tone in (
        (alice.speaker_devices.media("dtmf"), "default", 941),
        (alice.speaker_devices.media("ringback"), "default", 480),
        (alice.ringtone_devices.media(), "desk", 1250),
    ):
        host.forget()
        assert element.paused
        alice.do(element.play)
        assert not element.paused
        run(scene, 0.19, host)
        heard = pitch(host.heard(device_id), 48_000)
        assert heard == pytest.approx(tone, abs=50) or (tone == 941 and heard == pytest.approx(1209, abs=10))
        alice.do(element.pause)
        assert element.paused
        host.forget()
        run(scene, 0.2, host)
        assert not len(host.heard(device_id))
        assert host.opened == {}
    assert alice.speaker_devices.media("dtmf").player is Player.KEY


def test_A10_A11_A12_the_ringtone_alone_moves() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    host = SoundHost(scene, bob)
    assert bob.set_device(Role.RINGTONE, "desk")
    assert (bob.ringtone_devices.get(), bob.speaker_devices.get()) == ("desk", "")
    assert alice.call("bob")
    run(scene, 0.5, host)
    assert pitch(host.heard("desk"), 48_000) == pytest.approx(1250, abs=30)
    assert not len(host.heard("default"))
    assert bob.reset_device(Role.RINGTONE)
    host.forget()
    run(scene, 0.5, host)
    assert not len(host.heard("desk"))
    assert len(host.heard("default"))
    assert bob.answer()
    run(scene, 0.5, host)
    assert host.opened == {Role.MICROPHONE: "default", Role.SPEAKER: "default"}


def test_E15_permission_is_asked_for_at_once() -> None:
    scene = Scene()
    alice, bob, carol = scene.client("alice"), scene.client("bob"), scene.client("carol")
    SoundHost(scene, alice)
    assert permissions(alice) == [{"status": "success", "stream": True}]
    SoundHost(scene, bob, STANDARD[2:])
    assert permissions(bob) == [{"status": "failure", "error": "NotFoundError"}]
    refusing = SoundHost(scene, carol, ())
    refusing.refused["default"] = "NotAllowedError"
    carol.do(carol.machine.devices_changed, STANDARD)
    assert permissions(carol) == [{"status": "failure", "error": "NotFoundError"}]
    assert carol.reveal_audio_devices()
    assert permissions(carol)[1:] == [{"status": "failure", "error": "NotAllowedError"}]


def test_E15_fault35_permission_is_asked_for_by_the_first_call() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", perm_on_click=True)
    assert alice.perm_on_click is True
    host = SoundHost(scene, alice)
    assert host.history == []
    assert permissions(alice) == [{"status": "success", "stream": False}]
    host.refused["default"] = "NotAllowedError"
    assert alice.call("bob")
    scene.wait(0.5)
    assert bob.answer()
    scene.wait(0.5)
    assert host.history[0] == ("open", Role.MICROPHONE, "default")
    assert permissions(alice)[1:] == [{"status": "failure", "error": "NotAllowedError"}]
    assert alice.events(events.CallAnswered)  # who cannot speak may listen


def test_E18_a_device_that_vanishes_is_replaced_and_the_call_goes_on() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene, (*STANDARD, *HEADSET))
    assert alice.set_device(Role.MICROPHONE, "headset")
    assert alice.set_device(Role.SPEAKER, "headset")
    run(scene, 0.5, ours, theirs)
    theirs.forget()
    ours.lose(Role.MICROPHONE)
    alice.do(alice.machine.devices_changed, STANDARD)
    ours.forget()
    run(scene, 0.5, ours, theirs)
    changes = [event.as_dict() for event in alice.events(client_events.AudioDeviceChange)]
    assert [(change["change"], change["device"]["deviceId"]) for change in changes] == [("removed", "headset")] * 2
    assert {change["device"]["kind"] for change in changes} == {"audioinput", "audiooutput"}
    assert ours.opened == {Role.MICROPHONE: "default", Role.SPEAKER: "default"}
    assert alice.microphone_devices.get() == alice.speaker_devices.get() == ""
    assert pitch(theirs.heard()[12_000:], 48_000) == pytest.approx(440, abs=10)
    assert level(ours.heard("default")) > 1000
    assert alice.get_call_uuid() is not None
    alice.do(alice.machine.devices_changed, (*STANDARD, *HEADSET))
    assert alice.events(client_events.AudioDeviceChange)[-1].change == "added"


def test_Q7_nothing_comes_from_the_microphone() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene)
    run(scene, 5.0, ours, theirs)
    assert alice.events(client_events.MediaMetrics) == []
    ours.tones["default"] = None
    run(scene, 4.0, ours, theirs)
    (metric,) = alice.events(client_events.MediaMetrics)
    assert (metric.group, metric.type, metric.active) == ("audio", "no_microphone_access", True)
    ours.tones["default"] = 440.0
    run(scene, 1.0, ours, theirs)
    assert [each.active for each in alice.events(client_events.MediaMetrics)] == [True, False]


def test_a_default_that_fails_is_tried_again_when_devices_change() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene)
    ours.lose(Role.MICROPHONE, "NotReadableError")
    assert permissions(alice)[-1] == {"status": "failure", "error": "NotReadableError"}
    run(scene, 1.0, ours, theirs)
    assert Role.MICROPHONE not in ours.opened
    alice.do(alice.machine.devices_changed, (*STANDARD, *HEADSET))
    assert ours.opened[Role.MICROPHONE] == "default"
    assert permissions(alice)[-1] == {"status": "success", "stream": True}


@pytest.mark.parametrize("role", [Role.MICROPHONE, Role.SPEAKER])
def test_a_default_whose_loss_is_heard_after_the_change_of_devices_is_tried_once_more(role: Role) -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene, (*STANDARD, *HEADSET))
    told = permissions(alice)
    alice.do(alice.machine.devices_changed, STANDARD)
    ours.lose(role)
    assert ours.opened == {Role.MICROPHONE: "default", Role.SPEAKER: "default"}
    assert permissions(alice) == told
    # The new one has no change of devices to blame.
    ours.lose(role)
    run(scene, 1.0, ours, theirs)
    assert role not in ours.opened


def test_a_default_that_cannot_be_opened_after_a_change_is_tried_once() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene)
    alice.do(alice.machine.devices_changed, (*STANDARD, *HEADSET))
    ours.refused["default"] = "NotReadableError"
    ours.history.clear()
    ours.lose(Role.SPEAKER)
    run(scene, 1.0, ours, theirs)
    assert ours.history == [("open", Role.SPEAKER, "default")]


def test_A02_E15_permission_is_told_once_the_microphone_is_open() -> None:
    scene = Scene()
    alice = scene.client("alice", perm_on_click=True)
    alice.do(alice.machine.devices_changed, STANDARD)
    assert alice.reveal_audio_devices("returnStream")
    assert alice.reveal_audio_devices()
    told = permissions(alice)
    assert [effect.role for effect in alice.events(OpenDevice)] == [Role.MICROPHONE]
    assert told == [{"status": "success", "stream": False}]
    alice.do(alice.machine.device_lost, Role.MICROPHONE, "default", "NotAllowedError")
    assert permissions(alice)[1:] == [{"status": "failure", "error": "NotAllowedError"}]


def test_an_answer_of_a_call_that_has_ended_by_then_is_passed_over() -> None:
    """A 200 and a BYE may come in the same octets: the phone is through with both before the client hears of one."""
    scene = Scene()
    alice, _bob, _ours, _theirs = in_a_call(scene)
    (answered,) = alice.events(events.CallAnswered)
    assert alice.hangup()
    scene.wait(1.0)
    alice.machine._active = answered.call
    alice.do(alice.machine._noted, answered)


def test_a_microphone_that_runs_fast_does_not_pile_up() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene)
    for _ in range(100):
        run(scene, 0.02, ours, theirs)
        alice.microphone_captured(sine(440, 0.02), 16_000)
    assert alice.machine._phone.audio_queued(alice.get_call_uuid()) < 0.15


def test_a_client_without_devices_asks_for_none() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    alice.send_dtmf("1")
    scene.wait(1.0)
    assert alice.events(*AUDIO_EFFECTS) == []
    assert alice.events(events.AudioReady)
    assert permissions(alice) == []


def test_devices_are_closed_with_the_client() -> None:
    scene = Scene()
    alice, _bob, ours, theirs = in_a_call(scene)
    alice.close()
    run(scene, 3.0, theirs)
    assert ours.opened == {}
    assert alice.events(events.Closed)
