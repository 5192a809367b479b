"""Each example, run against the embedded server on loopback."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio
from parity.bench import DOMAIN, PATIENCE, USERS, bench

from sansio_sip.context import Secret
from sansio_sip.softphone import AccountOptions, MediaProfile
from sansio_sip_async import Account, CallError, Phone
from sansio_sip_asyncio.client import open_softphone
from sansio_sip_devices.wav_file import WavWriter, read_wav_file

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
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
async def accounts(*users: str) -> AsyncIterator[tuple[str, list[tuple[Phone, Account]]]]:
    async with bench(Asyncio) as pbx, open_softphone() as phone:
        made = []
        for user in users:
            account = phone.add_account(options(pbx.url, user))
            await account.login(timeout=PATIENCE)
            made.append((phone, account))
        yield pbx.url, made


def tone(seconds: float, rate: int = 16_000) -> Any:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_answering_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example("answering_machine")
    monkeypatch.setattr(module, "RING_FOR", 0.2)
    with WavWriter(tmp_path / "greeting.wav", 16_000) as file:
        file.write(tone(0.3))

    async def main() -> None:
        async with accounts("alice") as (url, [(_, alice)]):
            machine = asyncio.create_task(
                module.answer_calls(options(url, "bob"), tmp_path / "greeting.wav", tmp_path / "messages")
            )
            (tmp_path / "messages").mkdir()
            await asyncio.sleep(0.5)
            call = alice.call("bob")
            await call.answered(timeout=PATIENCE)
            await asyncio.sleep(0.6)
            await call.play(tone(1.0), 16_000)
            with suppress(CallError):  # it hangs up at once
                await call.send_dtmf("#")
            await call.ended(timeout=PATIENCE)
            await asyncio.sleep(0.2)
            (message,) = (tmp_path / "messages").iterdir()
            samples, _ = read_wav_file(message)
            assert np.abs(samples.astype(np.float64)).mean() > 500
            machine.cancel()

    run(main())


def test_voice_agent_echoes_and_is_cut_short() -> None:
    module = example("voice_agent")

    async def main() -> None:
        async with accounts("alice", "bob") as (_, [(_, alice), (_, bob)]):
            incoming = bob.incoming()
            call = alice.call("bob")
            agent_call = await anext(incoming)
            agent_call.answer()
            await call.answered(timeout=PATIENCE)
            await agent_call.answered(timeout=PATIENCE)
            agent = asyncio.create_task(module.converse(agent_call))
            heard: list[Any] = []

            async def listen() -> None:
                async for piece in call.audio(rate=16_000):
                    heard.append(piece)

            listening = asyncio.create_task(listen())
            await call.play(tone(0.6), 16_000)
            await asyncio.sleep(1.6)
            call.hangup()
            assert await agent == 1
            await listening
            assert sum(module.is_speech(piece) for piece in heard) >= 20

    run(main())


def test_ivr_menu() -> None:
    module = example("ivr_menu")

    async def main() -> None:
        async with accounts("alice", "bob") as (_, [(_, alice), (_, bob)]):
            incoming = bob.incoming()
            chosen: list[str] = []

            async def sales(call: Any) -> None:
                chosen.append(call.info.src)

            call = alice.call("bob")
            menu = asyncio.create_task(module.menu(await anext(incoming), tone(0.2), 16_000, {"1": sales}))
            await call.answered(timeout=PATIENCE)
            await asyncio.sleep(0.5)
            await call.send_dtmf("9")
            await asyncio.sleep(0.6)
            with suppress(CallError):  # it hangs up at once
                await call.send_dtmf("1")
            assert await menu == "1"
            assert chosen == [f"alice@{DOMAIN}"]

    run(main())


def test_click_to_call() -> None:
    module = example("click_to_call")

    async def main() -> None:
        async with accounts("alice", "bob", "carol") as (_, [(_, alice), (_, bob), (_, carol)]):
            ringing = {bob: bob.incoming(), carol: carol.incoming()}
            bridge = asyncio.create_task(module.bridge(alice, "bob", "carol"))
            first = await anext(ringing[bob])
            first.answer()
            await first.answered(timeout=PATIENCE)
            second = await anext(ringing[carol])
            second.answer()
            await second.answered(timeout=PATIENCE)
            heard: list[Any] = []

            async def listen() -> None:
                async for piece in second.audio(rate=16_000):
                    heard.append(piece)

            listening = asyncio.create_task(listen())
            await asyncio.sleep(0.3)
            await first.play(tone(0.6), 16_000)
            await asyncio.sleep(0.3)
            first.hangup()
            await asyncio.wait_for(bridge, PATIENCE)
            await second.ended(timeout=PATIENCE)
            await listening
            assert np.abs(np.concatenate(heard).astype(np.float64)).max() > 4000

    run(main())


def test_monitoring_probe() -> None:
    module = example("monitoring_probe")

    async def main() -> None:
        async with accounts("alice", "bob") as (_, [(_, alice), (_, bob)]):
            incoming = bob.incoming()

            async def echo() -> None:
                call = await anext(incoming)
                call.answer()
                await call.answered(timeout=PATIENCE)
                async for piece in call.audio(rate=8_000):
                    call.write_audio(piece, 8_000)

            echoing = asyncio.create_task(echo())
            measured = await module.probe(alice, "bob", seconds=1.0)
            assert measured.heard
            assert measured.packets_lost == 0
            await asyncio.wait_for(echoing, PATIENCE)

    run(main())
