"""A voice agent: listens, and when the caller has finished speaking answers; the caller may cut it short.

Here the answer is what was heard, as the stand-in for a speech model: put yours in place of `think`.
"""

from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

from sansio_sip_async import Call, TurnBegan, TurnEnded

Samples = npt.NDArray[np.int16]

RATE = 16_000


async def echo(heard: Samples) -> Samples:
    """Says the same."""
    return heard


async def converse(call: Call, think: Callable[[Samples], Awaitable[Samples]] = echo) -> int:
    """Talks until the caller hangs up; gives the number of answers."""
    answers = 0
    async for turn in call.turns(RATE, pause=0.5):
        match turn:
            case TurnBegan():
                cut = call.flush()  # barge-in: whoever is spoken to falls silent
                if cut.dropped:
                    print(f"cut short after {cut.heard / cut.rate:.1f} s")
            case TurnEnded(samples=samples):
                call.write_audio(await think(samples), RATE)
                answers += 1
    return answers
