"""Volume, speech while muted and noise reduction, through the media engine, in virtual time."""

import numpy as np
import numpy.typing as npt
from softphone.phones import ClientPhone, Scene

from sansio_sip.softphone import client_events


def talking(scene: Scene, **options: bool) -> tuple[ClientPhone, ClientPhone]:
    alice, bob = scene.users("alice", "bob", **options)
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    return alice, bob


def speech(seconds: float, rate: int = 8000) -> npt.NDArray[np.int16]:
    """Vowels at -20 dBFS: harmonics of a voice with formants, four syllables a second."""
    time = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 120 * n * time) / (1 + ((120 * n - 600) / 400) ** 2) for n in range(1, 25))
    sound = np.asarray(voice) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))
    return (sound / np.sqrt(np.mean(sound**2)) * 3276).clip(-32767, 32767).astype(np.int16)


def say(scene: Scene, client: ClientPhone, seconds: float) -> None:
    for _ in range(int(seconds / 0.5)):
        client.write_audio(speech(0.5), 8000)
        scene.wait(0.5)


def test_E22_volume_is_told_60_times_a_second_while_it_is_wanted() -> None:
    scene = Scene()
    alice, _bob = talking(scene)
    scene.wait(2.0)
    assert alice.events(client_events.Volume) == []
    alice.watch_volume(True)
    scene.wait(1.0)
    silent = alice.events(client_events.Volume)
    assert 55 <= len(silent) <= 61
    assert all(event.input_volume == event.output_volume == 0 for event in silent)
    say(scene, alice, 2.0)
    loud = alice.events(client_events.Volume)[-60:]
    assert 0.3 <= np.mean([event.input_volume for event in loud]) <= 0.8
    assert loud[0].as_dict()["outputVolume"] == "0.000"
    alice.watch_volume(False)
    count = len(alice.events(client_events.Volume))
    scene.wait(1.0)
    assert len(alice.events(client_events.Volume)) == count


def test_Q9_fault16_speaking_on_mute_is_told_once_by_our_own_ear() -> None:
    scene = Scene()
    alice, _bob = talking(scene)
    say(scene, alice, 1.0)
    assert alice.mute()
    scene.wait(1.0)
    assert alice.events(client_events.MediaMetrics) == []
    say(scene, alice, 3.0)
    (metric,) = alice.events(client_events.MediaMetrics)
    assert metric.as_dict() == {
        "group": "audio",
        "level": "warning",
        "type": "speaking_on_mute",
        "value": 0.0,
        "active": True,
        "desc": "User is trying to speak on mute",
        "stream": "None",
    }
    assert alice.unmute()
    assert [each.active for each in alice.events(client_events.MediaMetrics)] == [True, False]


def noise_heard(scene: Scene, alice: ClientPhone, bob: ClientPhone) -> float:
    """RMS of what is heard of steady noise, once it has been listened to for a while."""
    draw = np.random.default_rng(1)
    for _ in range(8):
        alice.write_audio((draw.standard_normal(4000) * 600).astype(np.int16), 8000)
        scene.wait(0.5)
    bob.read_audio(8000)
    alice.write_audio((draw.standard_normal(8000) * 600).astype(np.int16), 8000)
    scene.wait(0.9)
    heard = bob.read_audio(8000).astype(np.float64)
    return float(np.sqrt(np.mean(heard[2000:6000] ** 2)))


def test_M23_M24_E20_fault30_noise_reduction_is_started_and_stopped_in_a_call() -> None:
    scene = Scene()
    (plain,) = scene.users("carol")
    assert plain.start_noise_reduction() is False
    alice, bob = talking(scene, enable_noise_reduction=True)
    assert alice.names().count("onNoiseReductionReady") == 1
    before = noise_heard(scene, alice, bob)
    assert alice.start_noise_reduction()
    assert alice.start_noise_reduction() is False
    during = noise_heard(scene, alice, bob)
    assert alice.stop_noise_reduction()
    assert alice.stop_noise_reduction() is False
    after = noise_heard(scene, alice, bob)
    assert during < before / 2
    assert after > during * 1.5
