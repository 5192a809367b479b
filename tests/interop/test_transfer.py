"""Three of our phones through a real Kamailio: hold, resume, blind and attended transfer, over each transport."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interop.peers import Kamailio, kamailio

from sansio_sip.context import Secret
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import AccountOptions, MediaProfile, events
from sansio_sip_async import Account, Call
from sansio_sip_asyncio.client import open_softphone

pytestmark = pytest.mark.interop

PATIENCE = 20.0
ALLOW = CallPolicy(refer=Consent.ALLOW)


async def phone(stack: AsyncExitStack, peer: Kamailio, user: str, transport: str, ca: Path | None) -> Account:
    handle = await stack.enter_async_context(open_softphone())
    account = handle.add_account(
        AccountOptions(
            address=f"sip:{user}@{peer.domain}",
            password=Secret(f"pw-{user}"),
            servers=(peer.server(transport),),
            profiles=(MediaProfile.WEBRTC,) if transport in ("ws", "wss") else (MediaProfile.RTP,),
            codecs=("pcmu",),
            allow_multiple_incoming=True,
            policy=ALLOW,
            ca_file=str(ca) if ca is not None else None,
        )
    )
    await account.login(timeout=PATIENCE)
    return account


async def pair(caller: Account, callee: Account, name: str) -> tuple[Call, Call]:
    ringing = callee.incoming()
    call = caller.call(name)
    heard = await asyncio.wait_for(anext(ringing), PATIENCE)
    heard.answer()
    await call.answered(timeout=PATIENCE)
    await heard.answered(timeout=PATIENCE)
    return call, heard


async def hears(call: Call, other: Call) -> bool:
    """Whether a tone said in one is heard in the other within a few seconds."""
    tone = (8000 * np.sin(2 * np.pi * 600 * np.arange(16_000) / 8_000)).astype(np.int16)
    call.write_audio(tone, 8_000)
    loud = 0
    try:
        async with asyncio.timeout(3.0):
            async for piece in other.audio(rate=8_000):
                loud += int(np.abs(piece).mean() > 1_000)
                if loud >= 25:
                    return True
    except TimeoutError:
        pass
    return False


async def talk(peer: Kamailio, transport: str, ca: Path | None) -> None:
    async with AsyncExitStack() as stack:
        alice, bob, carol = [await phone(stack, peer, name, transport, ca) for name in ("alice", "bob", "carol")]
        call, heard = await pair(alice, bob, "bob")
        assert await hears(call, heard)

        seen = heard_events(stack, heard)
        await call.hold(timeout=PATIENCE)
        assert not await hears(heard, call)
        call.flush()
        heard.flush()
        await call.resume(timeout=PATIENCE)
        assert await hears(call, heard)
        assert [type(event) for event in seen()] == [events.RemoteHold, events.RemoteResumed]

        # Blind: Bob calls Carol in Alice's place.
        ringing = carol.incoming()
        transfer = asyncio.create_task(call.transfer("carol", timeout=PATIENCE))
        third = await asyncio.wait_for(anext(ringing), PATIENCE)
        third.answer()
        await transfer
        for each in (call, heard):
            await each.ended(timeout=PATIENCE)
        await third.answered(timeout=PATIENCE)
        (left,) = bob.phone.calls.values()
        assert await hears(third, left)
        left.hangup()
        await third.ended(timeout=PATIENCE)

        # Attended: Alice talks to both, then joins them.
        first, first_heard = await pair(alice, bob, "bob")
        second, second_heard = await pair(alice, carol, "carol")
        await first.transfer(second, timeout=PATIENCE)
        for each in (first, second, first_heard, second_heard):
            await each.ended(timeout=PATIENCE)
        bobs, carols = [list(account.phone.calls.values()) for account in (bob, carol)]
        joined = [each for each in (*bobs, *carols) if each.end is None]
        assert len(joined) == 2
        for each in joined:
            await each.answered(timeout=PATIENCE)
        assert await hears(joined[0], joined[1])


def heard_events(stack: AsyncExitStack, call: Call) -> Any:
    """What the far end's phone says of hold from now on."""
    subscription = call.phone.events()

    def seen() -> list[Any]:
        subscription.close()
        return [event for event in subscription._queue if isinstance(event, events.RemoteHold | events.RemoteResumed)]

    return seen


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "ws", "wss"])
def test_hold_and_transfer_between_three_phones(tmp_path: Path, transport: str) -> None:
    with kamailio(tmp_path, tls=transport in ("tls", "wss")) as peer:
        ca = tmp_path / "certificate.pem" if transport in ("tls", "wss") else None
        asyncio.run(talk(peer, transport, ca))
