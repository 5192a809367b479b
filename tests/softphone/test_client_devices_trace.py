"""A recorded client with audio devices does the same again, with audio in the trace and without."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from parity.sound_host import STANDARD, sine
from softphone.phones import PBX, Scene

from sansio_sip.context import Context
from sansio_sip.machine import RootMachine
from sansio_sip.softphone import Client, MediaProfile, Options
from sansio_sip.softphone.audio_effects import LoadSound, OpenDevice
from sansio_sip.softphone.devices import Role
from sansio_sip.trace import TraceWriter, replay
from sansio_sip_media.arrays import rebuild_array
from sansio_sip_media.engine import MediaEngine


def build(kind: str, arguments: Mapping[str, Any], context: Context) -> RootMachine[Any]:
    assert kind == "client"
    return Client(context, MediaEngine(context, None), arguments["options"])


@pytest.mark.parametrize("full", [True, False])
def test_a_client_with_devices_comes_again(full: bool) -> None:
    rows: list[str] = []
    options = Options("example.com", (f"udp://{PBX}",), profiles=(MediaProfile.RTP,), codecs=("pcmu",))
    writer = TraceWriter(rows.append, full=full)
    made = writer.machine("alice", "client", {"options": options}).context(random.Random(7), 0.0)
    scene = Scene()
    client = Client(made, MediaEngine(made, None), options)
    world = scene.world
    world.add("alice", client, "10.0.0.60")
    (bob,) = scene.users("bob")

    def perform(output: Any, now: float) -> None:
        if isinstance(output, OpenDevice):
            client.device_opened(output.role, output.device_id, now=now)
        elif isinstance(output, LoadSound):
            client.sound_loaded(output.request, sine(600, 0.2), 16_000, now=now)

    world.on_output("alice", perform)
    world.do("alice", client.devices_changed, STANDARD)
    world.do("alice", client.login, "alice", "alice's password")
    world.do("alice", client.set_ring_tone_back, "back.wav")
    world.do("alice", client.watch_volume, True)
    scene.wait(1.0)
    assert world.do("alice", client.call, "bob")
    scene.wait(1.0)
    assert bob.answer()
    for turn in range(60):
        world.do("alice", client.microphone_captured, sine(440, 0.02, start=320 * turn), 16_000)
        scene.wait(0.02)
    world.do("alice", client.set_device, Role.MICROPHONE, "desk")
    world.do("alice", client.send_dtmf, "5")
    scene.wait(5.0)
    world.do("alice", client.close)
    scene.wait(3.0)
    report = replay(rows, build, array=rebuild_array)
    assert report.different == 0, report
    assert report.identical > 400
