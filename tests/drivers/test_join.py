"""A conference of real calls on both loops: three phones, of which one has the two others hear each other."""

from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from parity.bench import DOMAIN, PATIENCE, USERS, bench
from parity.sound_host import pitch, sine

import sansio_sip_asyncio.client
import sansio_sip_trio.client
from sansio_sip.context import Secret
from sansio_sip.softphone import AccountOptions, MediaProfile

FRONTS: dict[str, Any] = {"asyncio": sansio_sip_asyncio.client, "trio": sansio_sip_trio.client}


@pytest.mark.realtime
@pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name)
def test_two_far_ends_hear_each_other(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx, FRONTS[runtime.name].open_softphone() as phone:
            accounts = {}
            for user in ("alice", "bob", "carol"):
                accounts[user] = phone.add_account(
                    AccountOptions(
                        address=f"{user}@{DOMAIN}",
                        password=Secret(USERS[user]),
                        servers=(pbx.url,),
                        profiles=(MediaProfile.RTP,),
                        codecs=("pcmu",),
                    )
                )
                await accounts[user].login(PATIENCE)
            mine, theirs = [], []
            for user in ("bob", "carol"):
                incoming = accounts[user].incoming()
                mine.append(accounts["alice"].call(user))
                theirs.append(await anext(incoming))
                theirs[-1].answer()
                await mine[-1].answered(PATIENCE)
                await theirs[-1].answered(PATIENCE)
            phone.join(*mine)
            bob, carol = theirs
            heard: list[Any] = []

            async def listen() -> None:
                async for piece in carol.audio(rate=8_000):
                    heard.append(piece)
                    if len(heard) == 60:
                        return

            async def speak() -> None:
                await bob.play(sine(700, 1.5, 8_000), 8_000)

            await runtime.together(listen, speak)
            samples = np.concatenate(heard)
            assert pitch(samples[4_000:8_000], 8_000) == pytest.approx(700, abs=10)

    runtime.run(main)
