"""A voice agent: listens, and when the caller has finished speaking answers; the caller may cut it short.

Here the answer is what was heard, as the stand-in for a speech model: put yours in place of `think`.
"""

from collections.abc import Awaitable, Callable

import numpy as np
import numpy.typing as npt

from sansio_sip_async import Call

Samples = npt.NDArray[np.int16]

RATE = 16_000
LOUD = 500.0  # RMS of int16 above which a piece is speech
PAUSE = 0.5  # seconds of silence that end what somebody says


def is_speech(piece: Samples) -> bool:
    """By its energy alone."""
    return float(np.sqrt(np.mean(piece.astype(np.float64) ** 2))) > LOUD


async def echo(heard: Samples) -> Samples:
    """Says the same."""
    return heard


async def converse(call: Call, think: Callable[[Samples], Awaitable[Samples]] = echo) -> int:
    """Talks until the caller hangs up; gives the number of answers."""
    said: list[Samples] = []
    silent = 0.0
    answers = 0
    async for piece in call.audio(rate=RATE):
        if is_speech(piece):
            call.flush()  # barge-in: whoever is spoken to falls silent
            said.append(piece)
            silent = 0.0
            continue
        silent += len(piece) / RATE
        if said and silent >= PAUSE:
            answer = await think(np.concatenate(said))
            said.clear()
            call.write_audio(answer, RATE)
            answers += 1
    return answers
