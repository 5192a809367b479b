"""A real Kamailio forks a call to three phones: early media of each, one winner, nothing left of the others."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from interop.peers import Kamailio, kamailio
from interop.test_transfer import PATIENCE, hears, phone

from sansio_sip.effects import Address
from sansio_sip.softphone import events
from sansio_sip_async import Call

pytestmark = pytest.mark.interop


async def heard_from(call: Call) -> Address:
    """Whose packets the caller is given, once they flow from somebody who has not been heard before."""
    before = call.phone.machine.statistics(call.uuid)
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(0.05)
            now = call.phone.machine.statistics(call.uuid)
            if now is None or now.remote is None or now.packets_received <= 20:
                continue
            if before is None or before.remote != now.remote or before.packets_received == 0:
                return now.remote


async def fork(peer: Kamailio, transport: str, winner: int) -> None:
    async with AsyncExitStack() as stack:
        alice, *bobs = [await phone(stack, peer, user, transport, None) for user in ("alice", "bob", "bob", "bob")]
        incoming = [each.incoming() for each in bobs]
        call = alice.call("bob")
        ringing = [await asyncio.wait_for(anext(each), PATIENCE) for each in incoming]
        remotes: set[Address] = set()
        for each in ringing:
            each.phone.command("progress", each.uuid)
            remotes.add(await heard_from(call))
        assert len(remotes) == len(bobs)
        sessions = alice.phone.machine._calls._media._sessions  # type: ignore[attr-defined]
        assert len(sessions) == 3
        ringing[winner].answer()
        await call.answered(timeout=PATIENCE)
        await ringing[winner].answered(timeout=PATIENCE)
        assert await hears(ringing[winner], call)
        assert await hears(call, ringing[winner])
        assert len(sessions) == 1
        for number, each in enumerate(ringing):
            if number != winner:
                assert isinstance(await each.ended(timeout=PATIENCE), events.IncomingCallCanceled)
        call.hangup()
        await call.ended(timeout=PATIENCE)
        assert sessions == {}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport", ["udp", "tcp", "ws"])
@pytest.mark.parametrize("winner", [0, 2])
def test_early_media_of_each_phone_that_kamailio_forks_to(winner: int, transport: str, tmp_path: Path) -> None:
    with kamailio(tmp_path) as peer:
        asyncio.run(fork(peer, transport, winner))
