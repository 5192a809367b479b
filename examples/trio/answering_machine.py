"""An answering machine on trio; `examples/answering_machine.py` is the same on asyncio.

python examples/trio/answering_machine.py sip:bob@example.com wss://pbx.example.com greeting.wav messages/
"""

import sys
from contextlib import suppress
from pathlib import Path

import trio

from sansio_sip.context import Secret
from sansio_sip.softphone import AccountOptions
from sansio_sip_async import Call, CallError
from sansio_sip_trio.client import open_softphone

RING_FOR = 2.0  # seconds
LONGEST = 120.0  # seconds of a message


async def take_message(call: Call, greeting: Path, folder: Path) -> Path | None:
    """One caller; gives the file of the message, or None where he has given up."""
    await trio.sleep(RING_FOR)
    if call.end is not None:
        return None
    call.answer()
    path = folder / f"{call.uuid}.wav"
    with suppress(CallError):
        await call.play(greeting)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.record, path)  # until the call ends
            await call.gather(1, timeout=LONGEST, end="#")
            call.hangup()
    return path if path.exists() else None


async def answer_calls(options: AccountOptions, greeting: Path, folder: Path) -> None:
    """Until it is cancelled."""
    async with open_softphone() as phone, trio.open_nursery() as nursery:
        account = phone.add_account(options)
        incoming = account.incoming()
        await account.login(timeout=10)
        print("ready", flush=True)
        async for call in incoming:
            nursery.start_soon(take_message, call, greeting, folder)


if __name__ == "__main__":
    address, server, greeting_file, target = sys.argv[1:5]
    account_options = AccountOptions(
        address, Secret(input("password: ")), servers=(server,), allow_multiple_incoming=True
    )
    with suppress(KeyboardInterrupt):
        trio.run(answer_calls, account_options, Path(greeting_file), Path(target))
