"""Each example, run against the embedded server on loopback, on asyncio and on trio."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from drivers.runtimes import Asyncio, Trio
from parity.bench import DOMAIN, FRONTS, PATIENCE, USERS, Bench, bench

from sansio_sip.context import Secret
from sansio_sip.softphone import AccountOptions, MediaProfile, events
from sansio_sip_async import Account, CallError
from sansio_sip_devices.wav_file import WavWriter, read_wav_file

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name),
]

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, runtime: Any = Asyncio) -> Any:
    """Most examples run on both loops; those that begin tasks are there twice."""
    folder = EXAMPLES / "trio" if runtime is Trio else EXAMPLES
    spec = importlib.util.spec_from_file_location(f"example_{runtime.name}_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def options(url: str, user: str) -> AccountOptions:
    return AccountOptions(
        f"{user}@{DOMAIN}",
        Secret(USERS[user]),
        servers=(url,),
        profiles=(MediaProfile.RTP,),
        codecs=("pcmu",),
        allow_multiple_incoming=True,
    )


@asynccontextmanager
async def accounts(runtime: Any, *users: str) -> AsyncIterator[tuple[Bench, list[Account]]]:
    async with bench(runtime) as pbx, FRONTS[runtime.name].open_softphone() as phone:
        made = []
        for user in users:
            account = phone.add_account(options(pbx.url, user))
            await account.login(timeout=PATIENCE)
            made.append(account)
        yield pbx, made


@asynccontextmanager
async def beside(runtime: Any, main: Callable[[], Awaitable[Any]]) -> AsyncIterator[list[Any]]:
    """Runs `main` for the length of a block, and then no longer; its result is put into the list."""
    results: list[Any] = []

    async def run() -> None:
        results.append(await main())

    if runtime is Trio:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield results
            nursery.cancel_scope.cancel()
    else:
        task = asyncio.create_task(run())
        yield results
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(runtime: Any, condition: Callable[[], Any]) -> None:
    async def wait() -> None:
        while not condition():
            await runtime.sleep(0.02)

    await runtime.within(PATIENCE, wait)


async def listen(call: Any, heard: list[Any]) -> None:
    async for piece in call.audio(rate=16_000):
        heard.append(piece)


def tone(seconds: float, rate: int = 16_000) -> Any:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def test_answering_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Any) -> None:
    module = example("answering_machine", runtime)
    monkeypatch.setattr(module, "RING_FOR", 0.2)
    messages = tmp_path / "messages"
    messages.mkdir()
    with WavWriter(tmp_path / "greeting.wav", 16_000) as file:
        file.write(tone(0.3))

    async def main() -> None:
        async with accounts(runtime, "alice") as (pbx, [alice]):

            async def machine() -> None:
                await module.answer_calls(options(pbx.url, "bob"), tmp_path / "greeting.wav", messages)

            async with beside(runtime, machine):
                await until(runtime, lambda: len(pbx.server._bindings) == 2)
                call = alice.call("bob")
                await call.answered(timeout=PATIENCE)
                await runtime.sleep(0.6)
                await call.play(tone(1.0), 16_000)
                with suppress(CallError):  # it hangs up at once
                    await call.send_dtmf("#")
                await call.ended(timeout=PATIENCE)
                await runtime.sleep(0.2)
        (message,) = messages.iterdir()
        samples, _ = read_wav_file(message)
        assert np.abs(samples.astype(np.float64)).mean() > 500

    runtime.run(main)


def test_voice_agent_echoes_and_is_cut_short(runtime: Any) -> None:
    module = example("voice_agent")

    async def main() -> None:
        async with accounts(runtime, "alice", "bob") as (_, [alice, bob]):
            incoming = bob.incoming()
            call = alice.call("bob")
            agent = await anext(incoming)
            agent.answer()
            await call.answered(timeout=PATIENCE)
            await agent.answered(timeout=PATIENCE)
            heard: list[Any] = []
            async with (
                beside(runtime, lambda: module.converse(agent)) as answers,
                beside(runtime, lambda: listen(call, heard)),
            ):
                await call.play(tone(0.6), 16_000)
                await runtime.sleep(1.6)
                assert sum(bool(np.abs(piece).max() > 1000) for piece in heard) >= 20

                # The answer to what was long is cut short by whoever speaks.
                await call.play(tone(3.0), 16_000)
                await until(runtime, lambda: agent.phone.machine.audio_queued(agent.uuid) > 1.0)
                await call.play(tone(0.3), 16_000)
                assert agent.phone.machine.audio_queued(agent.uuid) == 0
                call.hangup()
                await until(runtime, lambda: answers)
            assert answers == [2]

    runtime.run(main)


def test_ivr_menu(runtime: Any) -> None:
    module = example("ivr_menu")

    async def main() -> None:
        async with accounts(runtime, "alice", "bob") as (_, [alice, bob]):
            incoming = bob.incoming()
            chosen: list[str] = []

            async def sales(call: Any) -> None:
                chosen.append(call.info.src)

            call = alice.call("bob")
            heard = await anext(incoming)
            async with beside(runtime, lambda: module.menu(heard, tone(0.2), 16_000, {"1": sales})) as keys:
                await call.answered(timeout=PATIENCE)
                await runtime.sleep(0.5)
                await call.send_dtmf("9")
                await runtime.sleep(0.6)
                with suppress(CallError):  # it hangs up at once
                    await call.send_dtmf("1")
                await until(runtime, lambda: keys)
            assert keys == ["1"]
            assert chosen == [f"alice@{DOMAIN}"]

    runtime.run(main)


def test_click_to_call(runtime: Any) -> None:
    module = example("click_to_call", runtime)

    async def main() -> None:
        async with accounts(runtime, "alice", "bob", "carol") as (_, [alice, bob, carol]):
            ringing = {bob: bob.incoming(), carol: carol.incoming()}
            async with beside(runtime, lambda: module.bridge(alice, "bob", "carol")) as bridged:
                first = await anext(ringing[bob])
                first.answer()
                await first.answered(timeout=PATIENCE)
                second = await anext(ringing[carol])
                second.answer()
                await second.answered(timeout=PATIENCE)
                heard: list[Any] = []
                async with beside(runtime, lambda: listen(second, heard)):
                    await runtime.sleep(0.3)
                    await first.play(tone(0.6), 16_000)
                    await runtime.sleep(0.3)
                    first.hangup()
                    await until(runtime, lambda: bridged)
                    await second.ended(timeout=PATIENCE)
            assert np.abs(np.concatenate(heard).astype(np.float64)).max() > 4000

    runtime.run(main)


def test_monitoring_probe(runtime: Any) -> None:
    module = example("monitoring_probe")

    async def main() -> None:
        async with accounts(runtime, "alice", "bob") as (_, [alice, bob]):
            incoming = bob.incoming()

            async def echo() -> None:
                call = await anext(incoming)
                call.answer()
                await call.answered(timeout=PATIENCE)
                async for piece in call.audio(rate=8_000):
                    call.write_audio(piece, 8_000)

            async with beside(runtime, echo) as echoed:
                measured = await module.probe(alice, "bob", seconds=1.0)
                assert measured.heard
                assert measured.packets_lost == 0
                await until(runtime, lambda: echoed)

    runtime.run(main)


def test_multi_tab(runtime: Any) -> None:
    module = example("multi_tab")

    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, first, second = await pbx.users("alice", "bob", "bob")
            tabs = {"first": first, "second": second}

            def choose(caller: str) -> str:
                return "second" if caller.startswith("alice") else "first"

            async with (
                beside(runtime, lambda: module.serve("first", first, tabs, choose)),
                beside(runtime, lambda: module.serve("second", second, tabs, choose)),
            ):
                await runtime.sleep(0.1)
                told = alice.events()
                assert alice.call(first.get_contact_uri())
                async for event in told:
                    if isinstance(event, events.CallAnswered):
                        break
                await until(runtime, second.get_call_uuid)
                assert first.get_current_session() is None
                assert second.get_current_session().src == f"alice@{DOMAIN}"
                assert alice.hangup()
                await until(runtime, lambda: second.get_call_uuid() is None)

    runtime.run(main)
