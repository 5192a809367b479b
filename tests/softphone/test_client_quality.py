"""Metrics and statistics of real calls over simulated links: raised by what the link does, cleared when it stops."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from softphone.phones import ClientPhone, Scene

from sansio_sip.simulation.link import Link
from sansio_sip.softphone import MediaProfile, client_events, events


def in_a_call(scene: Scene, **options: Any) -> tuple[ClientPhone, ClientPhone]:
    alice, bob = scene.users("alice", "bob", **options)
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    return alice, bob


def murmur(seconds: float) -> npt.NDArray[np.int16]:
    return np.random.default_rng(1).normal(0, 300, int(seconds * 8000)).astype(np.int16)


def metrics(client: ClientPhone, kind: str) -> list[tuple[bool, str]]:
    told = client.events(client_events.MediaMetrics)
    return [(metric.active, metric.stream) for metric in told if metric.type == kind]


def test_a_good_call_has_statistics_and_no_metrics() -> None:
    scene = Scene(link=Link(delay=0.02))
    alice, bob = in_a_call(scene)
    for _ in range(62):
        for client in (alice, bob):
            client.write_audio(murmur(0.5), 8000)
        scene.wait(0.5)
    assert alice.hangup()
    scene.wait(1.0)
    assert alice.events(client_events.MediaMetrics) == bob.events(client_events.MediaMetrics) == []
    messages = [event.message for event in alice.events(client_events.CallStatistics)]
    kinds = [message["msg"] for message in messages]
    assert kinds == ["CALL_RINGING", "CALL_ANSWERED", *["CALL_STATS"] * 6, "CALL_STATS_DUMP", "CALL_SUMMARY"]
    statistics = messages[4]
    assert statistics["remote"]["packetsReceived"] > 200
    assert statistics["remote"]["fractionLoss"] == statistics["local"]["fractionLoss"] == 0.0
    assert 40 <= statistics["local"]["rtt"] <= 60
    assert statistics["local"]["mos"] > 4
    assert statistics["local"]["audioLevel"] == pytest.approx(-40.8, abs=1.0)
    assert statistics["remote"]["audioLevel"] == pytest.approx(-40.8, abs=1.0)
    summary = messages[-1]
    assert summary["signalling"]["hangup_party"] == "local"
    assert 0 < summary["signalling"]["post_dial_delay"] < 1000


def test_fault25_an_outgoing_call_is_not_reported_as_incoming() -> None:
    scene = Scene()
    alice, bob = in_a_call(scene)

    def info(client: ClientPhone) -> list[str]:
        told = [event.message for event in client.events(client_events.CallStatistics)]
        return [message["info"] for message in told if message["msg"] == "CALL_ANSWERED"]

    assert (info(alice), info(bob)) == (["Outgoing call"], ["Incoming call"])


def test_E17_Q1_Q2_Q3_Q4_by_loss_jitter_and_delay() -> None:
    scene = Scene()
    alice, bob = in_a_call(scene)
    scene.world.connect(alice.name, bob.name, Link(delay=0.25, jitter=0.15, loss=0.3))
    scene.wait(40.0)
    for client in (alice, bob):
        assert (True, "remote") in metrics(client, "high_jitter")
        assert metrics(client, "high_rtt") == [(True, "None")]
        assert (True, "remote") in metrics(client, "high_packetloss")
        assert (True, "local") in metrics(client, "high_packetloss")
        assert metrics(client, "low_mos") == [(True, "None")]
        (loss, *_) = [
            metric.value
            for metric in client.events(client_events.MediaMetrics)
            if metric.type == "high_packetloss" and metric.stream == "remote"
        ]
        assert isinstance(loss, float)
        assert loss == pytest.approx(0.3, abs=0.12)
    scene.world.connect(alice.name, bob.name, Link())
    scene.wait(60.0)
    for client in (alice, bob):
        for kind in ("high_jitter", "high_rtt", "high_packetloss", "low_mos"):
            told = metrics(client, kind)
            assert told.count((True, "remote")) == told.count((False, "remote"))
            assert told.count((True, "local")) == told.count((False, "local"))
            assert told.count((True, "None")) == told.count((False, "None"))


@pytest.mark.parametrize(
    ("options", "statistics", "told"),
    [
        ({"enable_quality_tracking": "NONE"}, False, False),
        ({"enable_quality_tracking": "REMOTEONLY"}, True, False),
        ({"enable_quality_tracking": "LOCALONLY", "enable_tracking": False}, False, True),
        ({"enable_tracking": False}, False, False),
        ({}, True, True),
    ],
    ids=str,
)
def test_what_is_tracked_is_an_option(options: dict[str, Any], statistics: bool, told: bool) -> None:
    scene = Scene()
    alice, bob = in_a_call(scene, **options)
    scene.world.connect(alice.name, bob.name, Link(delay=0.3))
    scene.wait(21.0)
    assert bool(alice.events(client_events.CallStatistics)) == statistics
    assert bool(metrics(alice, "high_rtt")) == told


def test_Q5_fault15_a_silent_call_and_a_voice_at_last() -> None:
    scene = Scene()
    alice, bob = in_a_call(scene)
    scene.wait(16.0)
    assert metrics(alice, "no_audio_received") == [(True, "local"), (True, "remote")]
    for _ in range(40):
        alice.write_audio(murmur(0.5), 8000)
        scene.wait(0.5)
    assert metrics(alice, "no_audio_received")[2:] == [(False, "local")]
    assert metrics(bob, "no_audio_received")[2:] == [(False, "remote")]


def test_Q6_candidates_that_do_not_come() -> None:
    scene = Scene()
    (alice,) = scene.users("alice")
    alice.machine._phone._calls._media.create_offer = lambda *args, **kwargs: None  # type: ignore[method-assign]
    assert alice.call("bob")
    scene.wait(3.0)
    (metric,) = alice.events(client_events.MediaMetrics)
    assert metric.as_dict() == {
        "group": "network",
        "level": "warning",
        "type": "ice_timeout",
        "value": 2000.0,
        "active": True,
        "desc": "Possible NAT/Firewall issue",
        "stream": "None",
    }


def test_Q6_candidates_that_do_not_come_for_an_answer() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob")
    bob.machine._phone._calls._media.apply_offer = lambda *args, **kwargs: None  # type: ignore[method-assign]
    assert alice.call("bob")
    scene.wait(5.0)
    assert bob.events(client_events.MediaMetrics) == []
    assert bob.answer()
    scene.wait(1.9)
    assert bob.events(client_events.MediaMetrics) == []
    scene.wait(0.2)
    assert metrics(bob, "ice_timeout") == [(True, "None")]


def test_E10_a_far_end_from_whom_nothing_comes_is_told_of_by_our_own_watch() -> None:
    scene = Scene()
    alice, bob = in_a_call(scene)
    scene.wait(12.0)
    assert alice.events(events.RemoteAudioStatus) == []
    scene.world.cut(alice.name, bob.name)
    scene.wait(11.0)
    assert [event.status for event in alice.events(events.RemoteAudioStatus)] == [False]
    scene.world.cut(alice.name, bob.name, cut=False)
    scene.wait(11.0)
    assert [event.status for event in alice.events(events.RemoteAudioStatus)] == [False, True]
    assert alice.events(events.RemoteAudioStatus)[0].as_dict()["callInfo"]["callUUID"] == alice.get_call_uuid()


@pytest.mark.parametrize("who", [0, 1], ids=["ours", "the far end's"])
def test_E10_a_hold_is_no_far_end_from_whom_nothing_comes(who: int) -> None:
    scene = Scene()
    clients = in_a_call(scene)
    phone = clients[who].machine._phone
    (info,) = phone.calls()
    clients[who].do(phone.hold, info.call_uuid)
    scene.wait(18.0)
    clients[who].do(phone.resume, info.call_uuid)
    scene.wait(12.0)
    for client in clients:
        assert client.events(events.RemoteAudioStatus) == []
    scene.world.cut(clients[0].name, clients[1].name)
    scene.wait(11.0)
    for client in clients:
        assert [event.status for event in client.events(events.RemoteAudioStatus)] == [False]


def test_Q8_a_way_that_is_not_found_is_failed() -> None:
    scene = Scene(crypto=True)
    alice, bob = scene.users("alice", "bob", profiles=(MediaProfile.WEBRTC,))
    scene.world.cut(alice.name, bob.name)
    assert alice.call("bob")
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(60.0)
    (metric,) = [each for each in alice.events(client_events.MediaMetrics) if each.type == "ice_connection"]
    assert (metric.value, metric.active) == ("failed", True)
    assert "ICE_FAILURE" in [event.message["msg"] for event in alice.events(client_events.CallStatistics)]


def test_each_message_of_the_reference_is_told() -> None:
    scene = Scene()
    alice, _bob = in_a_call(scene)
    scene.wait(6.0)
    alice.mute()
    alice.send_dtmf("x")
    assert alice.hangup()
    scene.wait(1.0)
    told = {event.message["msg"]: event.message for event in alice.events(client_events.CallStatistics)}
    assert list(told) == [
        "CALL_RINGING",
        "CALL_ANSWERED",
        "CALL_STATS",
        "TOGGLE_MUTE",
        "ERROR_EVENT",
        "CALL_STATS_DUMP",
        "CALL_SUMMARY",
    ]
    assert (told["ERROR_EVENT"]["method"], "no key" in told["ERROR_EVENT"]["info"]) == ("send_dtmf", True)
    dump = told["CALL_STATS_DUMP"]
    assert dump["inboundRTP"]["packetsReceived"] > 200
    assert dump["localCandidate"]["address"].startswith("10.0.0.1:")
    assert all(message["corelationId"] == message["callUUID"] for message in told.values())


def test_Q8_a_network_that_is_cut_and_comes_back() -> None:
    scene = Scene()
    alice, bob = in_a_call(scene)
    scene.wait(2.0)
    scene.world.cut(alice.name, bob.name)
    scene.wait(40.0)
    assert metrics(alice, "ice_connection") == [(True, "None")]
    assert alice.events(events.MediaDisconnected)
    scene.world.cut(alice.name, bob.name, cut=False)
    scene.wait(5.0)
    assert metrics(alice, "ice_connection") == [(True, "None"), (False, "None")]
