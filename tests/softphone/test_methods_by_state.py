"""Every public method in every state: it works, or raises one typed error that says state and remedy; nothing else.

A client's commands never raise: where they refuse, the log or an event says state and remedy. Methods are found by
looking, so one that is added fails here until it is said with what it is tried.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from softphone.method_states import CLIENT_STATES, PHONE_STATES, ClientSetting, PhoneSetting, client_in, phone_in

from sansio_sip.context import Secret
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import RootMachine
from sansio_sip.softphone import AccountId, AccountOptions, CallUuid, Client, Softphone, client_events, events
from sansio_sip.softphone.client_tones import Player
from sansio_sip.softphone.devices import AudioDevice, Role
from sansio_sip_async import Account, Call, CallError, ClientHandle, FeedbackError, LoginError, Phone
from sansio_sip_devices.backend import DeviceError
from sansio_sip_devices.virtual import VirtualDevices

# `cannot <what>: <state>; <remedy>`, or of a name: `there is no <what>: <why>; <remedy>`.
SAID = re.compile(r"(cannot|there is no) [^;]+; \S.*")

# What waits may end otherwise, each documented where it is raised.
ENDS = (CallError, LoginError, TimeoutError, FeedbackError, DeviceError)

SAMPLES = np.zeros(160, np.int16)
NEW = AccountOptions("dave@example.com", Secret("x"), servers=("ws://10.0.0.9:8080",))
CALL, ACCOUNT = CallUuid("no such call"), AccountId("no such account")

# Arguments to try, by method: good ones, and such as break a rule of the method's own.
Tries = Mapping[str, Callable[[Any], list[tuple[Any, ...]]]]


def of_call(*rest: Any) -> Callable[[PhoneSetting], list[tuple[Any, ...]]]:
    return lambda at: [(at.uuid, *rest), (CALL, *rest)]


def of_account(*rest: Any) -> Callable[[PhoneSetting], list[tuple[Any, ...]]]:
    return lambda at: [(at.account.id, *rest), (ACCOUNT, *rest)]


def nothing(at: Any) -> list[tuple[Any, ...]]:
    return [()]


SOFTPHONE: Tries = {
    "add_account": lambda at: [(NEW,)],
    "remove_account": of_account(),
    "connect": of_account(),
    "login": of_account(),
    "logout": of_account(),
    "unregister": of_account(),
    "set_access_token": of_account(Secret("a.b.c")),
    "set_sip_trace": lambda at: [(True,), (False,)],
    "trace_sip": lambda at: [(True,), (False,)],
    "is_connected": of_account(),
    "is_connecting": of_account(),
    "is_registered": of_account(),
    "contact_uri": of_account(),
    "local_address": of_account(),
    "call": lambda at: [(ACCOUNT, "bob"), *((at.account.id, target) for target in ("bob", "a b", "http://x", "", "@"))],
    "answer": of_call(),
    "progress": of_call(),
    "reject": lambda at: [(at.uuid,), (CALL,), (at.uuid, 200), (at.uuid, 603)],
    "ignore": of_call(),
    "hangup": of_call(),
    "send_dtmf": lambda at: [(at.uuid, "1"), (CALL, "1"), (at.uuid, ""), (at.uuid, "x"), (at.uuid, "1" * 10_000)],
    "hold": of_call(),
    "resume": of_call(),
    "transfer": lambda at: [(at.uuid, "carol"), (CALL, "carol"), (at.uuid, ""), (at.uuid, "http://x")],
    "attended_transfer": lambda at: [
        *((at.uuid, other.uuid) for other in at.phone.calls.values()),
        (at.uuid, CALL),
        (CALL, at.uuid),
    ],
    "accept_transfer": of_call(),
    "reject_transfer": lambda at: [(at.uuid,), (CALL,), (at.uuid, 200)],
    "redirect": lambda at: [(at.uuid, "carol"), (CALL, "carol"), (at.uuid, "")],
    "send_message": lambda at: [(at.account.id, "bob", "hello"), (ACCOUNT, "bob", "x"), (at.account.id, "", "x")],
    "subscribe": lambda at: [(at.account.id, "message-summary"), (ACCOUNT, "dialog"), (at.account.id, "dialog", "")],
    "unsubscribe": lambda at: [(at.account.id, "no such subscription"), (ACCOUNT, "x")],
    "mute": of_call(),
    "unmute": of_call(),
    "write_audio": of_call(SAMPLES, 8_000),
    "flush_audio": of_call(),
    "read_audio": of_call(8_000),
    "set_noise_reduction": of_call(True),
    "set_automatic_gain": of_call(True),
    "join": lambda at: [((at.uuid,),), ((at.uuid, CALL),), ((CALL,),), ((),)],
    "watch_levels": of_call(True),
    "audio_levels": of_call(),
    "audio_queued": of_call(),
    "statistics": of_call(),
    "is_gathering": of_call(),
    "call_info": of_call(),
    "calls": nothing,
    "close": nothing,
}

PHONE: Tries = {
    "add_account": lambda at: [(NEW,)],
    "events": nothing,
    "incoming": lambda at: [(), (at.account,)],
    "command": lambda at: [("hangup", CALL)],
    "join": lambda at: [(), *([(at.call,)] if at.call is not None else [])],
    "aclose": lambda at: [(1.0,)],
}

ACCOUNTS: Tries = {
    "login": lambda at: [(), (0.1,)],
    "logout": lambda at: [(), (0.1,)],
    "connected": lambda at: [(), (0.1,)],
    "local_address": nothing,
    "call": lambda at: [("bob",), ("",)],
    "incoming": nothing,
}

CALLS: Tries = {
    "uuid": nothing,
    "answer": nothing,
    "reject": lambda at: [(), (200,)],
    "ignore": nothing,
    "hangup": nothing,
    "mute": nothing,
    "unmute": nothing,
    "flush": nothing,
    "statistics": nothing,
    "answered": lambda at: [(0.1,)],
    "ended": lambda at: [(0.1,)],
    "send_dtmf": lambda at: [("1",), ("x",)],
    "hold": lambda at: [(1.0,)],
    "resume": lambda at: [(1.0,)],
    "transfer": lambda at: [("carol", 1.0), ("", 1.0), (at.call, 1.0)],
    "gather": lambda at: [(1,)],
    "play": lambda at: [(SAMPLES, 8_000)],
    "write_audio": lambda at: [(SAMPLES, 8_000)],
    "audio": nothing,
    "voice": nothing,
    "turns": lambda at: [(), (8_000,)],
    "pressed": nothing,
    "answered_by": lambda at: [(0.2,)],
    "beep": lambda at: [(0.2,)],
    "is_up": nothing,
    "queued": nothing,
    "record": lambda at: [(Path("/dev/null"),)],
}

# Told by the phone, of which they are part; nobody else has a use for them.
INNER = {Phone: {"deliver"}, Account: {"take"}, Call: {"take", "hear"}, ClientHandle: {"deliver", "aclose"}}

INPUTS = {name for name in dir(RootMachine) if not name.startswith("_")}

DEVICES = (AudioDevice("mic", "audioinput"), AudioDevice("loud", "audiooutput"))
ROLES = tuple((role,) for role in Role)

CLIENT: Tries = {
    "login": lambda at: [("alice", "wrong"), ("bob", "x"), ("", ""), (None, None)],
    "login_with_secret": lambda at: [("alice", Secret("wrong")), ("", Secret(""))],
    "login_with_access_token": lambda at: [("nonsense",), (None,)],
    "login_with_token_secret": lambda at: [(Secret("nonsense"),)],
    "login_with_access_token_generator": nothing,
    "token_provided": lambda at: [(1, Secret("nonsense")), (99, Secret(""))],
    "token_failed": lambda at: [(1, "no token today"), (99, "x")],
    "logout": nothing,
    "register": nothing,
    "unregister": nothing,
    "disconnect": nothing,
    "call": lambda at: [("bob",), ("bob", {"X-PH-A": "1", "bad": "x"}), ("",), ("http://x",), (None,)],
    "answer": lambda at: [(), (None, "ignored"), (None, "letring"), ("no such call",), (None, "nonsense")],
    "reject": lambda at: [(), ("no such call",)],
    "ignore": lambda at: [(), ("no such call",)],
    "redirect": lambda at: [("sip:carol@example.com",), (None,), ("http://x",)],
    "hangup": nothing,
    "send_dtmf": lambda at: [("1",), (5,), ("x",), (None,), ("",)],
    "mute": nothing,
    "unmute": nothing,
    "start_noise_reduction": nothing,
    "stop_noise_reduction": nothing,
    "watch_volume": lambda at: [(True,), (False,)],
    "write_audio": lambda at: [(SAMPLES, 8_000)],
    "read_audio": lambda at: [(8_000,)],
    "submit_call_quality_feedback": lambda at: [
        (at.client.get_last_call_uuid(), 5),
        (None, None),
        ("no such call", 3, ["ECHO"], "note"),
        ("x", "y", "z"),  # type: ignore[list-item]
    ],
    "set_debug": lambda at: [("ALL",), ("nonsense",), (None,)],
    "set_identifier": lambda at: [("tab-1",), ("no name",), (None,)],
    "log_lines": nothing,
    "webrtc": nothing,
    "close": nothing,
    **dict.fromkeys(
        (
            "get_call_uuid",
            "get_contact_uri",
            "audio",
            "call_direction",
            "call_session",
            "connection_info",
            "get_current_session",
            "get_incoming_calls",
            "get_last_call_uuid",
            "get_peer_connection",
            "get_token_expiry_time_in_epoch",
            "identifier",
            "is_call_muted",
            "is_connected",
            "is_connecting",
            "is_logged_in",
            "is_registered",
            "incoming_invites",
            "options",
            "perm_on_click",
            "supported_browsers",
            "user_name",
            "version",
            "microphone_devices",
            "ringtone_devices",
            "speaker_devices",
            "close_stream",
        ),
        nothing,
    ),
    "get_error_string_by_error_codes": lambda at: [(10001,), (0,)],
    "available_devices": lambda at: [(), ("input",), ("nonsense",)],
    "reveal_audio_devices": lambda at: [(), ("returnStream",), ("nonsense",)],
    "set_device": lambda at: [*((*role, "mic") for role in ROLES), *((*role, None) for role in ROLES)],
    "reset_device": lambda at: list(ROLES),
    "device": lambda at: list(ROLES),
    "device_in_use": lambda at: list(ROLES),
    "device_opened": lambda at: [(*role, "mic") for role in ROLES],
    "device_lost": lambda at: [(*role, "mic", "gone") for role in ROLES],
    "devices_changed": lambda at: [(DEVICES,), ((),)],
    "microphone_captured": lambda at: [(SAMPLES, 8_000)],
    "is_playing": lambda at: [(player,) for player in Player],
    "play_tone": lambda at: [(player,) for player in Player],
    "pause_tone": lambda at: [(player,) for player in Player],
    "set_ring_tone": lambda at: [(False,), ("ring.wav",), (True,), (None,), (7,)],
    "set_ring_tone_back": lambda at: [(False,), (True,), ("",)],
    "set_connect_tone": lambda at: [(False,), (True,)],
    "set_dtmf_tone": lambda at: [("1", False), (5, "five.wav"), ("x", True), (None, None)],
    "sound_loaded": lambda at: [(1, SAMPLES, 8_000), (99, SAMPLES, 8_000)],
    "sound_failed": lambda at: [(1, "no such file"), (99, "x")],
}

HANDLE: Tries = {
    "submit_call_quality_feedback": lambda at: [(None, None), ("no such call", 5)],
    "login_with_access_token_generator": lambda at: [(None,), (lambda: "nonsense",), ("nonsense",)],
    "events": nothing,
    "wait_for": lambda at: [(events.Closed,)],
    "on": lambda at: [("onLogin", print)],
    "once": lambda at: [("onLogin", print)],
    "off": lambda at: [("onLogin", print), ("volume", print)],
    "use_devices": lambda at: [(VirtualDevices(),)],
    "reveal_audio_devices": lambda at: [(), ("returnStream",)],
    "audio": nothing,
    "close_stream": nothing,
    "played": lambda at: [(role,) for role in Role],
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")} - INPUTS - INNER.get(kind, set())


@pytest.mark.parametrize(
    ("kind", "tries"),
    [
        (Softphone, SOFTPHONE),
        (Phone, PHONE),
        (Account, ACCOUNTS),
        (Call, CALLS),
        (Client, CLIENT),
        (ClientHandle, HANDLE),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_public_method_is_tried(kind: type, tries: Tries) -> None:
    assert set(tries) == public(kind)


def carry_out(at: Any, target: Any, name: str, args: tuple[Any, ...]) -> Any:
    """Calls a method as a program does; waits for what is to be waited for."""
    kind = inspect.getattr_static(type(target), name)
    if isinstance(kind, property):
        return getattr(target, name)
    method = getattr(target, name)
    if "now" in inspect.signature(method).parameters:
        return at.scene.world.do(at.host.name if isinstance(at, ClientSetting) else "alice", method, *args)
    result = method(*args)
    if name in ("audio", "voice", "turns", "pressed"):
        return at.runtime.run(_first(result), at.driver, 0.2)
    if inspect.iscoroutine(result):
        return at.runtime.run(result, at.driver)
    return result


async def _first(pieces: Any) -> Any:
    return await anext(pieces, None)


def told(at: PhoneSetting) -> tuple[Any, ...]:
    """What a program can see of a phone without changing it."""
    accounts = tuple((row.state, row.hop, row.registered) for row in at.machine._accounts.values())
    rows = tuple((call.held, call.answering, call.muted, call.sip, call.asked) for call in at.machine._calls._calls)
    return (accounts, at.machine.calls(), rows, len(at.scene.world.log), len(at.scene.world.wire))


def targets(at: PhoneSetting) -> Iterator[tuple[Any, Tries]]:
    yield at.machine, SOFTPHONE
    yield at.phone, PHONE
    yield at.account, ACCOUNTS
    if at.call is not None:
        yield at.call, CALLS


def try_phone(at: PhoneSetting, target: Any, name: str, args: tuple[Any, ...]) -> None:
    before, refusal = told(at), None
    try:
        carry_out(at, target, name, args)
    except LocalProtocolError as error:
        refusal = error
    except ENDS:
        pass
    if refusal is not None:
        assert type(refusal) is LocalProtocolError
        assert SAID.fullmatch(str(refusal)), f"{name}{args}: {refusal}"
        if not inspect.iscoroutinefunction(getattr(target, name)):
            assert told(at) == before, f"{name}{args} has changed something"


@pytest.mark.parametrize("state", PHONE_STATES)
def test_a_phone_in_every_state(state: str) -> None:
    at = phone_in(state)
    number = len(list(targets(at)))
    for index in range(number):
        for name in sorted(list(targets(at))[index][1]):
            count = len(list(targets(at))[index][1][name](at))
            for turn in range(count):
                target, tries = list(targets(at))[index]
                args = tries[name](at)[turn : turn + 1]
                before = told(at)
                if args:
                    try_phone(at, target, name, args[0])
                if told(at) != before:
                    at = phone_in(state)


def try_client(at: ClientSetting, target: Any, name: str, args: tuple[Any, ...]) -> None:
    log = at.scene.world.log
    mark = len(log)
    try:
        result = carry_out(at, target, name, args)
    except ENDS:
        return
    except LocalProtocolError as error:
        refusal = str(error)
        result = None
    else:
        refusal = ""
    if refusal:
        assert target is at.client
        assert inspect.iscoroutinefunction(getattr(target, name)), f"{name}{args} raised {refusal}"
        assert SAID.fullmatch(refusal), refusal
    if target is at.machine and result is False and not name.startswith(("is_", "perm_")):
        said = [row.output for row in log[mark:] if row.host == at.host.name]
        refusals = [event.cause for event in said if isinstance(event, events.LoginFailed)]
        refusals += [event.reason for event in said if isinstance(event, client_events.WebrtcNotSupported)]
        lines = [event.text for event in said if isinstance(event, events.LogLine)]
        assert refusals or any(re.fullmatch(r"[a-z_.]+: [^;]+; \S.*", line) for line in lines), f"{name}{args}: {lines}"


def happened(at: ClientSetting) -> tuple[int, int]:
    """How much it has said, but for lines in the log, and sent."""
    said = [row for row in at.scene.world.log if not isinstance(row.output, events.LogLine)]
    return len(said), len(at.scene.world.wire)


@pytest.mark.parametrize("state", CLIENT_STATES)
def test_a_client_in_every_state(state: str) -> None:
    for tries, attribute in ((CLIENT, "machine"), (HANDLE, "client")):
        at = client_in(state)
        for name in sorted(tries):
            for turn in range(len(tries[name](at))):
                before = happened(at)
                try_client(at, getattr(at, attribute), name, tries[name](at)[turn])
                if happened(at) != before:
                    at.runtime.close()
                    at = client_in(state)
        at.runtime.close()


COMMANDS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 999), st.integers(0, 9), st.sampled_from([0.0, 0.05, 1.0]))
)


@settings(max_examples=25)
@given(state=st.sampled_from(sorted(PHONE_STATES)), commands=COMMANDS)
def test_any_methods_of_a_phone_in_any_order(state: str, commands: list[tuple[int, int, int, float]]) -> None:
    at = phone_in(state)
    for which, method, turn, pause in commands:
        found = list(targets(at))
        target, tries = found[which % len(found)]
        name = sorted(tries)[method % len(tries)]
        args = tries[name](at)
        if args:
            try_phone(at, target, name, args[turn % len(args)])
        at.scene.wait(pause)
    at.phone.command("close")
    at.scene.wait(6.0)
    assert at.machine.next_timeout() is None


@settings(max_examples=25)
@given(state=st.sampled_from(sorted(CLIENT_STATES)), commands=COMMANDS)
def test_any_methods_of_a_client_in_any_order(state: str, commands: list[tuple[int, int, int, float]]) -> None:
    at = client_in(state)
    for which, method, turn, pause in commands:
        target, tries = ((at.machine, CLIENT), (at.client, HANDLE))[which % 2]
        name = sorted(tries)[method % len(tries)]
        args = tries[name](at)
        try_client(at, target, name, args[turn % len(args)])
        at.scene.wait(pause)
    at.host.close()
    at.scene.wait(6.0)
    at.runtime.close()
    assert at.machine.next_timeout() is None
