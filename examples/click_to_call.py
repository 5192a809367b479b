"""Click to call: rings one person, then another, and connects the two through this process."""

import asyncio

from sansio_sip_async import Account, Call


async def bridge(account: Account, first: str, second: str, *, patience: float = 30.0) -> tuple[Call, Call]:
    """Calls `first`, then `second`, and has them hear each other until either hangs up.

    Raises CallError or TimeoutError where one of them does not answer; nobody is left ringing.
    """
    one = account.call(first)
    other = None
    try:
        await one.answered(timeout=patience)
        other = account.call(second)
        await other.answered(timeout=patience)
        account.phone.join(one, other)
        ends = [asyncio.create_task(call.ended()) for call in (one, other)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        one.hangup()
        if other is not None:
            other.hangup()
    await asyncio.gather(*ends)
    return one, other
