"""mediaMetrics against the figures that the link really had: raised by one fault at a time, by no other, and cleared.

The link's own counters and settings are the truth; delays are exact, jitter is that of RFC 3550 section 6.4.1.
"""

from typing import Any

import numpy as np
import pytest
from softphone.phones import ClientPhone, Scene

from sansio_sip.simulation.link import Link
from sansio_sip.softphone import client_events
from sansio_sip.softphone.client_events import MediaMetrics

AMPLITUDE = 8_000
TONE_DBFS = 20 * np.log10(AMPLITUDE / np.sqrt(2) / 32_768)

FINE = Link(delay=0.02)


def say(clients: tuple[ClientPhone, ...], seconds: float) -> None:
    """Every client says a tone all the time that passes."""
    left = seconds
    while left > 0:
        piece = min(left, 5.0)
        for client in clients:
            time = np.arange(int(8_000 * piece)) / 8_000
            client.write_audio((AMPLITUDE * np.sin(2 * np.pi * 440 * time)).astype(np.int16), 8_000)
        clients[0].scene.wait(piece)
        left -= piece


def in_a_call(**options: Any) -> tuple[Scene, ClientPhone, ClientPhone]:
    scene = Scene(link=FINE)
    alice, bob = scene.users("alice", "bob", **options)
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    return scene, alice, bob


def told(client: ClientPhone, kind: str, stream: str) -> list[MediaMetrics]:
    found = client.events(MediaMetrics)
    return [metric for metric in found if (metric.type, metric.stream) == (kind, stream)]


def figure(metric: MediaMetrics) -> float:
    assert isinstance(metric.value, float)
    return metric.value


def kinds(client: ClientPhone) -> set[tuple[str, str]]:
    return {(metric.type, metric.stream) for metric in client.events(MediaMetrics)}


def link(scene: Scene, one: ClientPhone, other: ClientPhone, there: Link, back: Link | None = None) -> None:
    scene.world.link(one.name, other.name).link = there
    scene.world.link(other.name, one.name).link = back or there


def test_delay_is_told_as_the_round_trip_that_the_link_has() -> None:
    scene, alice, bob = in_a_call()
    link(scene, alice, bob, Link(delay=0.25), Link(delay=0.2))
    say((alice, bob), 30.0)
    for client in (alice, bob):
        (raised,) = told(client, "high_rtt", "None")
        assert (raised.active, raised.desc) == (True, "high latency")
        assert raised.value == pytest.approx(450.0, abs=5.0)
        assert kinds(client) == {("high_rtt", "None")}  # its score alone is above 3
    link(scene, alice, bob, FINE)
    say((alice, bob), 30.0)
    for client in (alice, bob):
        _, cleared = told(client, "high_rtt", "None")
        assert not cleared.active
        assert cleared.value == pytest.approx(40.0, abs=5.0)


@pytest.mark.parametrize("share", [0.3, 0.4])
def test_loss_is_told_as_the_link_has_counted_it(share: float) -> None:
    """Towards Bob alone: he hears it as `remote`, Alice is told of it as `local`."""
    scene, alice, bob = in_a_call()
    state = scene.world.link(alice.name, bob.name)
    link(scene, alice, bob, Link(delay=0.02, loss=share), FINE)
    sent, lost = state.sent, state.lost
    while not told(bob, "high_packetloss", "remote"):
        say((alice, bob), 0.5)
        assert state.sent - sent < 2_000
    real = (state.lost - lost) / (state.sent - sent)
    (raised,) = told(bob, "high_packetloss", "remote")
    assert raised.desc == "packetLossRemoteMeasure"
    assert raised.value == pytest.approx(real, abs=0.05)
    say((alice, bob), 10.0)
    real = (state.lost - lost) / (state.sent - sent)
    (heard_of,) = told(alice, "high_packetloss", "local")
    assert heard_of.value == pytest.approx(real, abs=0.08)
    assert not told(alice, "high_packetloss", "remote")
    assert not told(bob, "high_packetloss", "local")
    assert not told(bob, "high_jitter", "remote")
    link(scene, alice, bob, FINE)
    say((alice, bob), 40.0)
    for client, stream in ((bob, "remote"), (alice, "local")):
        _, cleared = told(client, "high_packetloss", stream)
        assert (cleared.active, cleared.value) == (False, 0.0)


def test_jitter_is_told_as_the_mean_deviation_of_the_link() -> None:
    """Two arrivals that are drawn evenly over J differ by J/3 on average, which the estimate of RFC 3550 tends to."""
    spread = 0.150
    scene, alice, bob = in_a_call()
    link(scene, alice, bob, Link(delay=0.02, jitter=spread), FINE)
    say((alice, bob), 30.0)
    (heard,) = told(bob, "high_jitter", "remote")
    (heard_of,) = told(alice, "high_jitter", "local")
    for raised in (heard, heard_of):
        assert raised.active
        assert raised.value == pytest.approx(1000 * spread / 3, rel=0.25)
    assert not told(alice, "high_jitter", "remote")
    assert not told(bob, "high_packetloss", "remote")
    link(scene, alice, bob, FINE)
    say((alice, bob), 40.0)
    for client, stream in ((bob, "remote"), (alice, "local")):
        _, cleared = told(client, "high_jitter", stream)
        assert not cleared.active
        assert figure(cleared) < 5.0


def test_the_score_is_that_of_the_figures_it_comes_with() -> None:
    scene, alice, bob = in_a_call()
    link(scene, alice, bob, Link(delay=0.3, loss=0.1))
    say((alice, bob), 30.0)
    (raised,) = told(alice, "low_mos", "None")
    samples = [event.message for event in alice.events(client_events.CallStatistics)]
    scores = {
        sample["local"]["mos"]: sample for sample in samples if sample["msg"] == "CALL_STATS" and sample["local"]["mos"]
    }
    assert raised.value in scores
    assert figure(raised) < 3.0
    link(scene, alice, bob, FINE)
    say((alice, bob), 40.0)
    _, cleared = told(alice, "low_mos", "None")
    assert not cleared.active
    assert figure(cleared) > 4.0


def test_silence_is_told_at_both_ends_and_a_voice_by_its_level() -> None:
    _, alice, bob = in_a_call()
    say((bob,), 30.0)  # Alice says nothing
    (mine,) = told(alice, "no_audio_received", "local")
    (hers,) = told(bob, "no_audio_received", "remote")
    for raised in (mine, hers):
        assert raised.active
        assert figure(raised) < -70.0
    assert not told(alice, "no_audio_received", "remote")
    say((alice, bob), 30.0)
    for client, stream in ((alice, "local"), (bob, "remote")):
        _, cleared = told(client, "no_audio_received", stream)
        assert not cleared.active
        assert cleared.value == pytest.approx(TONE_DBFS, abs=1.0)


def test_a_muted_client_is_not_told_of_its_own_silence() -> None:
    _, alice, bob = in_a_call()
    assert alice.mute()
    say((bob,), 30.0)
    assert not told(alice, "no_audio_received", "local")
    assert [metric.active for metric in told(bob, "no_audio_received", "remote")] == [True]


def test_a_network_that_is_cut_is_told_when_it_was_and_when_it_is_back() -> None:
    scene, alice, bob = in_a_call()
    say((alice, bob), 6.0)
    scene.world.cut(alice.name, bob.name)
    begun = scene.world.time
    while not told(alice, "ice_connection", "None"):
        say((alice, bob), 0.5)
    silence = scene.world.time - begun
    assert silence < 31.0  # consent, or the patience with plain RTP
    (raised,) = told(alice, "ice_connection", "None")
    assert (raised.value, raised.active, raised.desc) == ("disconnected", True, "network drop")
    scene.world.cut(alice.name, bob.name, cut=False)
    say((alice, bob), 2.0)
    _, cleared = told(alice, "ice_connection", "None")
    assert (cleared.value, cleared.active) == ("connected", False)
