"""A menu: says which keys there are, and does what the pressed one stands for."""

from collections.abc import Awaitable, Callable, Mapping

import numpy as np
import numpy.typing as npt

from sansio_sip_async import Call

Samples = npt.NDArray[np.int16]
Choice = Callable[[Call], Awaitable[None]]

TRIES = 3


async def menu(call: Call, prompt: Samples, rate: int, choices: Mapping[str, Choice], *, patience: float = 5.0) -> str:
    """Answers, asks up to three times, and hangs up at the end. Gives the key, or "" where none was good."""
    call.answer()
    await call.answered()
    for _ in range(TRIES):
        await call.play(prompt, rate)
        key = await call.gather(1, timeout=patience, end="")
        if key in choices:
            await choices[key](call)
            call.hangup()
            return key
        if call.end is not None:
            break
    call.hangup()
    return ""
