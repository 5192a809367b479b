"""Mean opinion score from network figures, by the reference's formula (facts section 8.2)."""

__all__ = ["mos"]

# The R factor of a call that nothing disturbs.
R_OPUS, R_OTHER = 95.0, 93.2


def mos(rtt_ms: float | None, jitter_ms: float, loss: float, *, codec: str = "") -> float | None:
    """Estimates speech quality, from 1.0 (bad) to 4.5.

    Args:
        rtt_ms: round trip in ms; None or 0: not measured, and so is the score.
        jitter_ms: interarrival jitter in ms.
        loss: share of packets lost, 0.0 to 1.0.
        codec: `opus` starts from a higher base than any other.

    Returns:
        The score with three decimals, or None where there is no round trip.
    """
    if not rtt_ms:
        return None
    latency = rtt_ms + 2 * jitter_ms + 10
    r = R_OPUS if codec.lower() == "opus" else R_OTHER
    r -= latency / 40 if latency < 160 else (latency - 120) / 10
    r -= 250 * loss
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # The polynomial dips below its own floor for small R.
    return max(1.0, round(1 + 0.035 * r + 0.000007 * r * (r - 60) * (100 - r), 3))
