"""Click to call on trio; `examples/click_to_call.py` is the same on asyncio."""

import trio

from sansio_sip_async import Account, Call

RATE = 16_000


async def carry(source: Call, target: Call) -> None:
    """What one says, the other hears; ends with the call."""
    async for piece in source.audio(rate=RATE):
        if target.end is None:
            target.write_audio(piece, RATE)
    target.hangup()


async def bridge(account: Account, first: str, second: str, *, patience: float = 30.0) -> tuple[Call, Call]:
    """Calls `first`, then `second`, and talks between them until either hangs up.

    Raises CallError or TimeoutError where one of them does not answer; nobody is left ringing.
    """
    one = account.call(first)
    other = None
    try:
        await one.answered(timeout=patience)
        other = account.call(second)
        await other.answered(timeout=patience)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry, one, other)
            nursery.start_soon(carry, other, one)
    finally:
        one.hangup()
        if other is not None:
            other.hangup()
    return one, other
