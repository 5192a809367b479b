"""Phones and clients as a program has them, on both event loops, through the embedded server on loopback."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from gc import collect
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from drivers.runtimes import RUNTIMES

import sansio_sip_asyncio.client
import sansio_sip_asyncio.driver
import sansio_sip_trio.client
import sansio_sip_trio.driver
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.errors import LocalProtocolError
from sansio_sip.server import Server, ServerOptions
from sansio_sip.server.events import ServerListening
from sansio_sip.softphone import AccountOptions, Options, events
from sansio_sip_async import CallError, LoginError, Phone
from sansio_sip_devices.wav_file import WavWriter, read_wav_file

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)

FRONTS = dict.fromkeys(("asyncio", "uvloop"), sansio_sip_asyncio.client) | {"trio": sansio_sip_trio.client}
DRIVERS = dict.fromkeys(("asyncio", "uvloop"), sansio_sip_asyncio.driver) | {"trio": sansio_sip_trio.driver}
PATIENCE = 10.0
USERS = {"alice": Secret("wonder"), "bob": Secret("builder")}


@asynccontextmanager
async def server(runtime: Any) -> AsyncIterator[str]:
    """The embedded server; gives its URL."""
    machine = Server(
        Context(Entropy(random.Random(7))),
        ServerOptions(domain="example.invalid", listen=("ws://127.0.0.1:0",), users=USERS),
    )
    found: list[str] = []
    bell = runtime.Event()

    def deliver(event: Any) -> None:
        if isinstance(event, ServerListening):
            found.append(event.url)
            bell.set()

    async with DRIVERS[runtime.name].open_driver(machine, deliver):
        await runtime.within(PATIENCE, bell.wait)
        yield found[0]


def account(url: str, user: str, **more: Any) -> AccountOptions:
    return AccountOptions(address=f"{user}@example.invalid", password=USERS[user], servers=(url,), **more)


@asynccontextmanager
async def two_phones(runtime: Any) -> AsyncIterator[tuple[Any, Any, Phone, Phone]]:
    """Alice's and Bob's phones, both logged in."""
    front = FRONTS[runtime.name]
    async with server(runtime) as url, front.open_softphone() as one, front.open_softphone() as other:
        alice, bob = one.add_account(account(url, "alice")), other.add_account(account(url, "bob"))
        await alice.login(timeout=PATIENCE)
        await bob.login(timeout=PATIENCE)
        yield alice, bob, one, other


def run(runtime: Any, main: Callable[[], Awaitable[None]]) -> None:
    runtime.run(main)


def test_a_call_is_answered_speaks_presses_keys_and_ends(runtime: Any, tmp_path: Path) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    with WavWriter(tmp_path / "tone.wav", 16_000) as file:
        file.write(tone)

    async def main() -> None:
        async with two_phones(runtime) as (alice, bob, _, _other):
            ringing = bob.incoming()
            call = alice.call("bob", extra_headers={"X-PH-Order": "42"})
            heard = await anext(ringing)
            assert heard.info.extra_headers == {"X-PH-Order": "42"}
            heard.answer()
            await call.answered(timeout=PATIENCE)
            await heard.answered(timeout=PATIENCE)
            pieces = []

            async def listen() -> None:
                async for piece in heard.audio(rate=8_000):
                    pieces.append(piece)

            async def speak() -> None:
                await call.play(tmp_path / "tone.wav")
                await call.send_dtmf("12#")
                call.hangup()

            async def gather() -> None:
                assert await heard.gather(4, timeout=PATIENCE) == "12"

            await runtime.together(listen, speak, gather, lambda: heard.record(tmp_path / "heard.wav"))
            ended = await heard.ended(timeout=PATIENCE)
            assert isinstance(ended, events.CallTerminated)
            assert ended.hangup_info.originator == "remote"
            samples = np.concatenate(pieces).astype(np.float64)
            peak = np.argmax(np.abs(np.fft.rfft(samples))) * 8_000 / len(samples)
            assert peak == pytest.approx(440, abs=10)
            recorded, rate = read_wav_file(tmp_path / "heard.wav")
            assert rate == 16_000
            assert len(recorded) / rate == pytest.approx(len(samples) / 8_000, abs=0.1)

    run(runtime, main)


def test_a_refused_call_raises_its_cause(runtime: Any) -> None:
    async def main() -> None:
        async with two_phones(runtime) as (alice, bob, _, _other):
            ringing = bob.incoming()
            call = alice.call("bob")
            (await anext(ringing)).reject()
            with pytest.raises(CallError) as caught:
                await call.answered(timeout=PATIENCE)
            assert (caught.value.cause, caught.value.code) == ("Busy", 486)
            with pytest.raises(CallError):
                await call.play(np.zeros(100, dtype=np.int16), 8_000)
            call.hangup()  # harmless after the end

    run(runtime, main)


def test_a_wrong_password_raises_and_nobody_answering_times_out(runtime: Any) -> None:
    async def main() -> None:
        front = FRONTS[runtime.name]
        async with server(runtime) as url, front.open_softphone() as phone:
            wrong = AccountOptions("alice@example.invalid", password=Secret("wrong"), servers=(url,))
            with pytest.raises(LoginError) as caught:
                await phone.add_account(wrong).login(timeout=PATIENCE)
            assert caught.value.cause == "Authentication Error"
            alice = phone.add_account(account(url, "alice"))
            await alice.login(timeout=PATIENCE)
            with pytest.raises(CallError, match=r"Not Found|Unavailable"):
                await alice.call("bob").answered(timeout=PATIENCE)
            await alice.logout(timeout=PATIENCE)
            with pytest.raises(LocalProtocolError, match="log in first"):
                await alice.logout()

    run(runtime, main)


def test_flushing_takes_back_what_was_not_said(runtime: Any) -> None:
    async def main() -> None:
        async with two_phones(runtime) as (alice, bob, _, _other):
            ringing = bob.incoming()
            call = alice.call("bob")
            (await anext(ringing)).answer()
            await call.answered(timeout=PATIENCE)
            assert call.write_audio(np.zeros(16_000, dtype=np.int16), 16_000) == 16_000
            flushed = call.flush()
            assert 8_000 < flushed.dropped <= 16_000
            assert flushed.heard + flushed.dropped == 16_000
            assert call.flush().dropped == 0

    run(runtime, main)


def test_leaving_the_block_hangs_up_and_unregisters(runtime: Any) -> None:
    async def main() -> None:
        front = FRONTS[runtime.name]
        async with server(runtime) as url, front.open_softphone() as other:
            bob = other.add_account(account(url, "bob"))
            await bob.login(timeout=PATIENCE)
            ringing = bob.incoming()
            async with front.open_softphone() as phone:
                alice = phone.add_account(account(url, "alice"))
                await alice.login(timeout=PATIENCE)
                call = alice.call("bob")
                heard = await anext(ringing)
                heard.answer()
                await call.answered(timeout=PATIENCE)
                seen = phone.events()
            names = [event.name async for event in seen]
            assert names[-1] == "closed"
            assert {"onCallTerminated", "onLogout"} <= set(names)
            await heard.ended(timeout=PATIENCE)

    run(runtime, main)


def test_the_client_speaks_as_the_reference_does(runtime: Any) -> None:
    async def main() -> None:
        front = FRONTS[runtime.name]
        async with server(runtime) as url, front.open_softphone() as other:
            bob = other.add_account(account(url, "bob"))
            await bob.login(timeout=PATIENCE)
            ringing = bob.incoming()
            async with front.open_client(Options(domain="example.invalid", servers=(url,))) as client:
                answered: list[str] = []
                client.once("onCallAnswered", lambda event: answered.append(event.name))
                assert client.login("alice", "wonder") is True
                await client.wait_for(events.Login, timeout=PATIENCE)
                assert client.is_logged_in is True
                assert client.is_registered() is True
                assert client.call("bob", {"X-PH-Order": "42"}) is True
                heard = await anext(ringing)
                heard.answer()
                await client.wait_for(events.CallAnswered, timeout=PATIENCE)
                assert answered == ["onCallAnswered"]
                assert client.get_call_uuid() == client.get_last_call_uuid()
                assert client.hangup() is True
                ended = await client.wait_for(events.CallTerminated, timeout=PATIENCE)
                assert ended.as_dict()["callInfo"]["Originator"] == "local"
                assert client.hangup() is False
                with pytest.raises(AttributeError):
                    client.no_such_method()

    run(runtime, main)


def test_who_does_not_read_is_told(runtime: Any) -> None:
    async def main() -> None:
        front = FRONTS[runtime.name]
        async with front.open_softphone() as phone:
            seen = phone.events()
            for number in range(10_001):
                seen.put(number)
            assert [await anext(seen) for _ in range(10_000)] == list(range(10_000))
            with pytest.raises(RuntimeError, match="not read in time"):
                await anext(seen)

    run(runtime, main)


def test_an_iterator_can_be_left_at_once_from_elsewhere(runtime: Any) -> None:
    async def main() -> None:
        async with two_phones(runtime) as (alice, bob, phone, _other):
            ringing = bob.incoming()
            call = alice.call("bob")
            (await anext(ringing)).answer()
            await call.answered(timeout=PATIENCE)
            iterators: list[Any] = [phone.events(), phone.incoming(), alice.incoming(), call.audio(), call.voice()]
            iterators += [call.turns(), call.pressed()]
            left: list[Any] = []

            async def listen(iterator: Any) -> None:
                async for _ in iterator:
                    pass
                left.append(iterator)

            async def leave() -> None:
                await runtime.sleep(0.1)
                assert left == []
                for iterator in iterators:
                    await iterator.aclose()

            await runtime.within(
                PATIENCE, lambda: runtime.together(leave, *(partial(listen, iterator) for iterator in iterators))
            )
            assert set(left) == set(iterators)

    run(runtime, main)


def test_what_was_not_read_is_dropped_with_its_iterator(runtime: Any) -> None:
    async def main() -> None:
        async with two_phones(runtime) as (alice, bob, phone, _other):
            async with aclosing(phone.events()) as seen, aclosing(bob.incoming()) as ringing:
                call = alice.call("bob")
                await anext(ringing)
            call.hangup()
            await call.ended(timeout=PATIENCE)
            assert [event async for event in seen] == []
            # Whom nobody holds any more nobody keeps anything for.
            gone = ref(phone.events())
            collect()
            assert gone() is None
            assert len(phone._subscriptions) == 1

    run(runtime, main)
