"""Events for `match` and, by `name` and `as_dict`, in the reference's spelling: as JSON, with nothing of ours in it."""

import inspect
import json
import re
from typing import Any

import pytest
from parity.page import ROWS
from softphone.phones import Scene

from sansio_sip.softphone import client_events, events

KINDS = {
    name: kind
    for module in (events, client_events)
    for name, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and not name.startswith("_") and hasattr(kind, "name")
}

SPELLED = [(spelling, kind.strip("`")) for row, (spelling, kind, _) in ROWS.items() if row.startswith("E")]


@pytest.mark.parametrize(("spelling", "kind"), SPELLED)
def test_an_event_has_the_name_of_the_reference(spelling: str, kind: str) -> None:
    assert KINDS[kind].name == spelling


def test_each_event_has_a_name_of_its_own() -> None:
    names = [kind.name for kind in KINDS.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)


def test_what_clients_say_in_a_call_is_json_in_the_reference_spelling() -> None:
    scene = Scene()
    alice, bob = scene.users("alice", "bob", allow_multiple_incoming_calls=True)
    assert alice.call("bob", {"X-PH-A": "1"})
    scene.wait(1.0)
    assert bob.answer()
    scene.wait(1.0)
    alice.send_dtmf("1")
    scene.wait(8.0)
    assert bob.hangup()
    scene.wait(1.0)
    assert bob.call("alice")
    scene.wait(1.0)
    assert alice.reject()
    scene.wait(1.0)
    seen: dict[str, Any] = {}
    for client in (alice, bob):
        for row in scene.world.log:
            if row.host == client.name:
                seen[row.output.name] = json.loads(json.dumps(row.output.as_dict()))
    info = {
        "callUUID",
        "direction",
        "src",
        "dest",
        "state",
        "extraHeaders",
        "stirShakenState",
        "Reason",
        "Protocol",
        "Code",
        "Originator",
    }
    for name in ("onCallRemoteRinging", "onCallAnswered", "onMediaConnected", "onIncomingCall", "onCallFailed"):
        assert set(seen[name]["callInfo"]) == info, name
    assert set(seen["onIncomingCall"]) == {"callerID", "extraHeaders", "callInfo", "callerName"}
    assert set(seen["onCallTerminated"]["hangupInfo"]) == {"originator", "reason"}
    assert set(seen["onCallFailed"]) == {"cause", "callInfo"}
    assert {"tone", "duration"} <= set(seen["onDtmfReceived"])
    assert seen["onConnectionChange"] == {"state": "connected"}
    assert seen["onLogin"] == {}
