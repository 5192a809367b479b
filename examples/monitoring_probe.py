"""A probe: places a call, says a tone, measures what comes back, and says whether the system is well.

It wants an echo at the far end (`sansio-sip`'s server has none: call any echo test).
"""

from dataclasses import dataclass

import numpy as np

from sansio_sip_async import Account

RATE = 8_000
TONE = 440.0  # Hz


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds until audio could flow; whether the tone came back; the figures of the network."""

    setup_time: float
    heard: bool
    rtt_ms: float | None
    jitter_ms: float
    packets_lost: int


async def probe(account: Account, target: str, *, seconds: float = 2.0) -> Measured:
    """One call. Raises CallError or TimeoutError where nobody answers."""
    call = account.call(target)
    try:
        await call.answered(timeout=10)
        info = call.info
        count = int(seconds * RATE)
        call.write_audio((8000 * np.sin(2 * np.pi * TONE * np.arange(count) / RATE)).astype(np.int16), RATE)
        heard = []
        async for piece in call.audio(rate=RATE):
            heard.append(piece)
            if sum(map(len, heard)) >= count:
                break
        statistics = call.statistics()
        assert statistics is not None
        spectrum = np.abs(np.fft.rfft(np.concatenate(heard).astype(np.float64)))
        peak = float(np.argmax(spectrum) * RATE / sum(map(len, heard)))
        return Measured(
            setup_time=(statistics.setup_ms or 0.0) / 1000,
            heard=abs(peak - TONE) < 10 and info.code == -1,
            rtt_ms=statistics.rtt_ms,
            jitter_ms=statistics.jitter_ms,
            packets_lost=statistics.packets_lost,
        )
    finally:
        call.hangup()
