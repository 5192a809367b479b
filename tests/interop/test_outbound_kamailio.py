"""Accounts with two flows at real Kamailios (RFC 5626): one flow dies in the middle of a call."""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from interop.peers import Kamailio, kamailio
from interop.tcp_relay import TcpRelay
from interop.test_transfer import PATIENCE, hears, pair

from sansio_sip.context import Secret
from sansio_sip.sip.lines import Lines
from sansio_sip.softphone import AccountOptions, MediaProfile
from sansio_sip_async import Account, Call
from sansio_sip_asyncio.client import open_softphone

pytestmark = pytest.mark.interop


async def phone(stack: AsyncExitStack, servers: tuple[str, ...], user: str) -> Account:
    """A phone that is registered by a flow to each server."""
    handle = await stack.enter_async_context(open_softphone())
    account = handle.add_account(
        AccountOptions(
            address=f"sip:{user}@{Kamailio.domain}",
            password=Secret(f"pw-{user}"),
            servers=servers,
            flows=2,
            profiles=(MediaProfile.WEBRTC,) if servers[0].startswith("ws") else (MediaProfile.RTP,),
            codecs=("pcmu",),
        )
    )
    await account.login(timeout=PATIENCE)
    await registered(account, PATIENCE)
    return account


async def registered(account: Account, seconds: float) -> None:
    """Waits until the account is registered by both flows."""
    for _ in range(int(seconds * 20)):
        if all(line.registered for line in lines(account)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError([line.registered for line in lines(account)])


def lines(account: Account) -> Lines:
    found: Lines = account.phone.machine._accounts[account.id].user_agent.lines
    return found


async def talk(call: Call, heard: Call) -> bool:
    """Whether each hears the other, given some time on a busy machine."""
    for speaker, listener in ((call, heard), (heard, call)):
        for _ in range(4):
            if await hears(speaker, listener):
                break
        else:
            return False
    return True


async def one_of_two(first: ExitStack, one: Kamailio, two: Kamailio, transport: str) -> None:
    servers = (one.server(transport), two.server(transport))
    async with AsyncExitStack() as stack:
        alice, bob = [await phone(stack, servers, name) for name in ("alice", "bob")]
        call, heard = await pair(alice, bob, "bob")
        assert await talk(call, heard)
        first.close()  # its Kamailio
        await asyncio.sleep(3.0)
        assert await talk(call, heard)
        heard.hangup()
        await call.ended(timeout=PATIENCE)
        # Whoever calls now does not wait for the dead one.
        call, heard = await pair(bob, alice, "alice")
        assert await talk(call, heard)
        call.hangup()
        await heard.ended(timeout=PATIENCE)


@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_a_call_goes_on_when_one_of_two_kamailios_dies(tmp_path: Path, transport: str) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with ExitStack() as first, kamailio(folders[1], outbound=True) as two:
        one = first.enter_context(kamailio(folders[0], outbound=True))
        asyncio.run(one_of_two(first, one, two, transport))


async def two_of_one(peer: Kamailio, relay: TcpRelay) -> None:
    async with AsyncExitStack() as stack:
        servers = (f"tcp://127.0.0.1:{relay.port}", peer.server("tcp"))
        alice, bob = [await phone(stack, servers, name) for name in ("alice", "bob")]
        for account in (alice, bob):
            # Kamailio says Flow-Timer: 20, and tells reg-ids apart: else one flow would be at rest.
            assert [line.registered for line in lines(account)] == [True, True]
        call, heard = await pair(alice, bob, "bob")
        assert len(bob.phone.machine.calls()) == 1  # the device is called by one flow alone
        assert await talk(call, heard)
        relay.cut()
        await asyncio.sleep(2.0)
        assert [line.registered for line in lines(alice)] == [False, True]
        assert await talk(call, heard)
        heard.hangup()
        await call.ended(timeout=PATIENCE)
        call, heard = await pair(bob, alice, "alice")
        assert await talk(call, heard)
        call.hangup()
        await heard.ended(timeout=PATIENCE)
        relay.mend()
        await registered(alice, 40.0)


def test_one_kamailio_holds_two_contacts_of_a_phone_and_uses_the_one_that_lives(tmp_path: Path) -> None:
    with kamailio(tmp_path, outbound=True) as peer:
        asyncio.run(two_of_one(peer, TcpRelay(peer.port)))
