"""Rows of the parity sheet over real sockets: clients and the embedded server on loopback, on asyncio and on trio.

Their twins in virtual time are in tests/softphone; `test_parity_table` counts both.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from parity.bench import DOMAIN, DRIVERS, PATIENCE, USERS, Next, bench, call_between, token
from softphone.web_server import WebServer

import sansio_sip
from sansio_sip.auth import TOKEN_ERRORS
from sansio_sip.effects import Address
from sansio_sip.softphone import client_events, events
from sansio_sip_async import FeedbackError

pytestmark = pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)


def run(runtime: Any, main: Callable[[], Awaitable[None]]) -> None:
    runtime.run(main)


def test_M01_M02_M03_M06_M21_M25_M27_E01_E02_E03_E19_E21_fault32_login_and_logout(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice = await pbx.client()
            heard: list[str] = []
            for name in ("onLogin", "onLogout", "onConnectionChange", "onWebSocketConnected", "onWebsocketConnected"):
                alice.on(name, lambda event: heard.append(event.name))
            assert alice.version == sansio_sip.__version__
            assert (alice.is_logged_in, alice.is_connected(), alice.is_registered()) == (False, False, False)
            assert alice.login("alice", "guess")
            failed = await alice.wait_for(events.LoginFailed, timeout=PATIENCE)
            assert failed.cause == "Authentication Error"
            assert alice.login("alice", USERS["alice"])
            await alice.wait_for(events.Login, timeout=PATIENCE)
            assert (alice.is_logged_in, alice.is_connected(), alice.is_registered()) == (True, True, True)
            assert alice.get_call_uuid() is None
            assert len(pbx.server._bindings) == 1
            assert alice.logout()
            await alice.wait_for(events.Logout, timeout=PATIENCE)
            assert (alice.is_logged_in, alice.is_connected(), alice.is_registered()) == (False, False, False)
            assert len(pbx.server._bindings) == 0
            assert heard.count("onLogin") == heard.count("onLogout") == 1
            assert heard.count("onWebSocketConnected") == 4  # two logins, two spellings
            assert heard.count("onConnectionChange") == 4
            assert alice.logout() is False

    run(runtime, main)


def test_M04_M38_E24_access_token(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice = await pbx.client()
            assert alice.login_with_access_token("nonsense") is False
            await alice.wait_for(events.LoginFailed, timeout=PATIENCE)
            bad: dict[int, dict[str, Any]] = {
                10003: {"iss": "X"},
                10005: {"nbf": 2e9, "exp": 2e9 + 100},
                10006: {"exp": 1},
                10008: {"per": {}},
            }
            for code, change in bad.items():
                assert alice.login_with_access_token(token(**change))
                failed = await alice.wait_for(events.LoginFailed, timeout=PATIENCE)
                assert failed.cause == TOKEN_ERRORS[code] == alice.get_error_string_by_error_codes(code)
            voice = {"incoming_allow": True, "outgoing_allow": False}
            assert alice.login_with_access_token(token(per={"voice": voice}))
            await alice.wait_for(events.Login, timeout=PATIENCE)
            denied = Next(alice, client_events.PermissionDenied)
            assert alice.call("bob") is False
            await denied

    run(runtime, main)


def test_M05_access_token_generator(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice = await pbx.client()

            async def fails() -> str:
                raise RuntimeError("no token today")

            assert alice.login_with_access_token_generator(fails)
            failed = await alice.wait_for(events.LoginFailed, timeout=PATIENCE)
            assert failed.cause == "INVALID_ACCESS_TOKEN"

            class Tokens:
                asked = 0

                async def get_access_token(self) -> str:
                    self.asked += 1
                    await runtime.sleep(0.01)
                    return token()

            tokens = Tokens()
            assert alice.login_with_access_token_generator(tokens)
            await alice.wait_for(events.Login, timeout=PATIENCE)
            assert tokens.asked == 1
            assert alice.user_name == "alice_MA1"
            assert alice.login_with_access_token_generator(None) is False or alice.is_logged_in

    run(runtime, main)


def test_M07_M08_M09_M13_M14_M22_M33_calls(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await pbx.users("alice", "bob")
            told = Next(bob, events.IncomingCall)
            await call_between(alice, bob, **{"X-PH-Order": "42", "X-Bad": "1"})
            assert (await told).extra_headers == {"X-PH-Order": "42"}
            assert pbx.server.counters["forwarded"] >= 1
            assert alice.get_last_call_uuid() == alice.get_call_uuid() == alice.get_current_session().call_uuid
            tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)).astype(np.int16)

            async def level() -> float:
                """Of half a second of what Bob hears."""
                bob.read_audio(8_000)
                alice.write_audio(tone[:6_000], 8_000)
                await runtime.sleep(0.6)
                heard = bob.read_audio(8_000)
                return float(np.abs(heard.astype(np.float64)).mean())

            assert await level() > 500
            assert alice.mute()
            assert alice.is_call_muted
            await runtime.sleep(0.3)
            assert await level() < 10
            assert alice.unmute()
            await runtime.sleep(0.3)
            assert await level() > 500
            ended = Next(bob, events.CallTerminated)
            assert alice.hangup()
            event = await ended
            assert event.hangup_info.originator == "remote"
            assert alice.hangup() is False

    run(runtime, main)


def test_M12_E23_dtmf(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await pbx.users("alice", "bob")
            await call_between(alice, bob)
            heard = Next(bob, events.DtmfReceived)
            await runtime.sleep(0.2)
            assert alice.send_dtmf("7") is None
            assert (await heard).tone == "7"

    run(runtime, main)


@pytest.mark.parametrize("action", ["reject", "ignored", "letring"])
def test_M08_M10_M11_M37_E11_E12_E13_E14_three_calls_ring(runtime: Any, action: str) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob, carol, dave = await pbx.users(
                "alice", "bob", "carol", "dave", allow_multiple_incoming_calls=True
            )
            callers = [bob, carol, dave]
            for caller in callers:
                ringing = Next(alice, events.IncomingCall)
                assert caller.call("alice")
                await ringing
            assert [info.src for info in alice.get_incoming_calls()] == [
                f"{u}@{DOMAIN}" for u in ("bob", "carol", "dave")
            ]
            assert alice.answer("no such call") is False
            kinds = {"reject": events.CallFailed, "ignored": events.IncomingCallIgnored, "letring": events.CallAnswered}
            answered, other = Next(dave, events.CallAnswered), Next(alice, kinds[action])
            assert alice.answer(None, action)
            await answered
            await other
            left = len(alice.get_incoming_calls())
            assert left == (2 if action == "letring" else 0)
            if action == "letring":
                canceled = Next(alice, events.IncomingCallCanceled)
                assert bob.hangup()
                await canceled
                refused = Next(carol, events.CallFailed)
                assert alice.reject()
                assert (await refused).cause == "Busy"

    run(runtime, main)


def send_info(client: Any, body: bytes) -> None:
    """What the shipped service says in a call; a client has no command for it."""
    machine, now = client.machine, client.driver.now()
    call = machine._phone._calls._calls.get(client.get_call_uuid())
    account = machine._phone._accounts[call.account]
    account.user_agent.send_info(call.sip, "text/plain", body, now=now)
    account.touched(now=now)
    machine._phone._drain_account(account, now)
    machine._drain(now)
    client.driver.flush()


def test_E04_E05_E06_E07_E08_E09_E10_the_events_of_a_call(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await pbx.users("alice", "bob")
            names: list[str] = []
            subscription = alice.events()
            await call_between(alice, bob)
            for body in (b"remote-party-ringing", b"remote-audio", b"no-remote-audio"):
                send_info(bob, body)
                await runtime.sleep(0.1)
            assert bob.hangup()
            async for event in subscription:
                names.append(event.name)
                if isinstance(event, events.CallTerminated):
                    break
            assert names.count("onCallConnected") == 1
            assert names.count("remoteAudioStatus") == 2
            order = ["onCalling", "onCallRemoteRinging", "onCallAnswered", "onCallTerminated"]
            assert [name for name in names if name in order] == order
            assert "onMediaConnected" in names

    run(runtime, main)


def test_C01_C02_C03_C04_C05_C06_C07_C08_C09_C10_C11_call_info(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await pbx.users("alice", "bob")
            ringing = Next(bob, events.IncomingCall)
            assert alice.call("bob", {"X-PH-A": "1"})
            info = (await ringing).call_info.as_dict()
            assert info == {
                "callUUID": info["callUUID"],
                "direction": "INCOMING",
                "src": f"alice@{DOMAIN}",
                "dest": f"sip:bob@{DOMAIN}",
                "state": "ringing",
                "extraHeaders": {"X-PH-A": "1"},
                "Reason": "none",
                "Protocol": "none",
                "Code": -1,
                "Originator": "local",
                "stirShakenState": "Not_applicable",
            }
            failed = Next(alice, events.CallFailed)
            assert bob.reject()
            info = (await failed).call_info.as_dict()
            assert (info["direction"], info["state"], info["Code"]) == ("OUTGOING", "failed", 486)
            assert (info["Protocol"], info["Originator"]) == ("SIP", "remote")

    run(runtime, main)


def test_M26_M28_M29_M30_register_unregister_disconnect(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice = await pbx.client(stop_auto_register_on_connect=True)
            assert alice.login("alice", USERS["alice"])
            assert alice.is_connecting()
            await alice.wait_for(events.WebSocketConnected, timeout=PATIENCE)
            assert (alice.is_connecting(), alice.is_registered()) == (False, False)
            assert alice.register()
            await alice.wait_for(events.Login, timeout=PATIENCE)
            assert alice.unregister()
            await alice.wait_for(client_events.Unregistered, timeout=PATIENCE)
            assert (alice.is_connected(), alice.is_registered()) == (True, False)
            assert len(pbx.server._bindings) == 0
            assert alice.register()
            await alice.wait_for(events.Login, timeout=PATIENCE)
            gone = Next(alice, events.ConnectionChange)
            assert alice.disconnect()
            assert (await gone).state == "disconnected"
            assert len(pbx.server._bindings) == 0

    run(runtime, main)


def test_M31_M32_redirect_to_a_second_client_of_the_user(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, first, second = await pbx.users("alice", "bob", "bob")
            ringing = Next(first, events.IncomingCall)
            assert alice.call(first.get_contact_uri())
            await ringing
            moved, answered = Next(second, events.IncomingCall), Next(alice, events.CallAnswered)
            assert first.redirect(second.get_contact_uri())
            await moved
            assert second.answer()
            await answered

    run(runtime, main)


def test_M18_M34_log(runtime: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice = await pbx.client()
            assert alice.set_debug("ALL")
            assert alice.set_identifier("tab-1")
            caplog.set_level(1, logger="sansio_sip")
            assert alice.login("alice", USERS["alice"])
            await alice.wait_for(events.Login, timeout=PATIENCE)
        mine = [record for record in caplog.records if record.name == "sansio_sip.tab-1"]
        assert any("REGISTER sip:" in record.getMessage() for record in mine)
        assert not any(USERS["alice"] in record.getMessage() for record in caplog.records)

    run(runtime, main)


def test_fault1_every_refusal_of_call_is_told(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            (alice,) = await pbx.users("alice")
            subscription = alice.events()
            assert alice.call("") is False
            line = await anext(subscription)
            assert isinstance(line, events.LogLine)
            assert "nobody to call" in line.text

    run(runtime, main)


def test_E20_E22_M23_M24_volume_and_noise_reduction(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice = await pbx.client(enable_noise_reduction=True)
            ready = Next(alice, client_events.NoiseReductionReady)
            assert alice.login("alice", USERS["alice"])
            await ready
            (bob,) = await pbx.users("bob")
            told: list[client_events.Volume] = []
            alice.on("volume", told.append)
            await call_between(alice, bob)
            assert alice.start_noise_reduction() is True
            tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)).astype(np.int16)
            alice.write_audio(tone, 8_000)
            await runtime.sleep(0.7)
            assert 20 <= len(told) <= 80
            assert max(event.input_volume for event in told) > 0.02
            assert alice.stop_noise_reduction() is True
            alice.off("volume", told.append)
            await runtime.sleep(0.1)
            count = len(told)
            await runtime.sleep(0.2)
            assert len(told) == count

    run(runtime, main)


def test_M20_feedback(runtime: Any) -> None:
    async def main() -> None:
        web = WebServer(Address("127.0.0.1", 0))
        async with DRIVERS[runtime.name].open_driver(web, print), bench(runtime) as pbx:
            while web.address is None:
                await runtime.sleep(0.01)
            (alice,) = await pbx.users("alice", feedback_url=f"http://{web.address}/feedback")
            ended = Next(alice, events.CallFailed)
            assert alice.call("bob")
            call = (await ended).call
            with pytest.raises(FeedbackError, match="Atleast one issue"):
                await alice.submit_call_quality_feedback(call, 2)
            assert await alice.submit_call_quality_feedback(call, 2, ["ECHO"], None, True) == (
                "Feedback is sent with console logs"
            )
            (body,) = web.bodies
            assert body["callUUID"] == call

    run(runtime, main)


def test_M19_M35_M36_E16_what_works_here(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await pbx.users("alice", "bob")
            assert alice.webrtc() is True
            assert "Chromium" in alice.supported_browsers()
            assert alice.get_peer_connection()["pc"] is None
            await call_between(alice, bob)
            await runtime.sleep(0.2)
            pc = alice.get_peer_connection()["pc"]
            assert pc.connection_state == "connected"
            alice.machine._media._crypto = None
            told = Next(alice, client_events.WebrtcNotSupported)
            assert alice.webrtc() is False
            await told
            assert bob.hangup()
            await alice.wait_for(events.CallTerminated, timeout=PATIENCE)
            assert pc.connection_state == "closed"

    run(runtime, main)
