"""The E-model (ITU-T G.107): how a call sounds, from its delay and its losses.

R = R0 - Id - Ie,eff + A. R0 less what a normal line takes from it is 93.2; A, for what people forgive a mobile
telephone, is 0 here. `mos` has the reference's own formula, which is another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

__all__ = ["CODECS", "CodecImpairment", "burst_ratio", "delay_impairment", "loss_impairment", "mos_of", "rating"]

# G.107 table 3: all parameters at their defaults.
DEFAULT_R = 93.2


@dataclass(frozen=True, slots=True)
class CodecImpairment:
    """`ie`: what the codec takes without any loss. `bpl`: how well it bears loss, per cent."""

    ie: float
    bpl: float


CODECS: Mapping[str, CodecImpairment] = MappingProxyType(
    {
        # G.113 appendix I, with the concealment of G.711 appendix I, and without any.
        "pcmu": CodecImpairment(0.0, 25.1),
        "pcma": CodecImpairment(0.0, 25.1),
        "g711-unconcealed": CodecImpairment(0.0, 4.3),
        # Wideband codecs have no place on the narrow-band scale of G.107. They are taken as no worse than G.711, which
        # they are not; what they have beyond it shows on the scale of G.107.1 only.
        "g722": CodecImpairment(0.0, 25.1),
        "opus": CodecImpairment(0.0, 25.1),
    }
)


def delay_impairment(delay_ms: float) -> float:
    """Idd of G.107 section 7.4: what one-way delay from mouth to ear takes, where echo is cancelled."""
    if delay_ms <= 100:
        return 0.0
    x = float(np.log2(delay_ms / 100))
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))


def loss_impairment(codec: CodecImpairment, loss: float, burst: float = 1.0) -> float:
    """Ie,eff of G.107 section 7.5.

    Args:
        loss: share of packets that were not played, 0.0 to 1.0.
        burst: BurstR, 1 where losses are random, more where they come in bunches.
    """
    per_cent = 100 * min(max(loss, 0.0), 1.0)
    return codec.ie + (95 - codec.ie) * per_cent / (per_cent / max(burst, 1e-6) + codec.bpl)


def burst_ratio(lost: npt.NDArray[np.bool_]) -> float:
    """BurstR of a sequence of packets, bool, shape (n,), True: lost.

    G.107 section 7.5: "Average length of observed bursts in an arrival sequence" over "average length of bursts
    expected for the network under 'random' loss", which is 1 / (1 - loss). 1 where nothing, or all, was lost.
    """
    losses = int(lost.sum())
    if losses in (0, len(lost)):
        return 1.0
    bursts = int(lost[0]) + int((lost[1:] & ~lost[:-1]).sum())
    return losses / bursts * (1 - losses / len(lost))


def rating(codec: str, delay_ms: float, loss: float, burst: float = 1.0) -> float:
    """R, 0 to 93.2, for a codec by its name in SDP; an unknown one counts as G.711 without concealment."""
    impairment = CODECS.get(codec.lower(), CODECS["g711-unconcealed"])
    return max(0.0, DEFAULT_R - delay_impairment(delay_ms) - loss_impairment(impairment, loss, burst))


def mos_of(r: float) -> float:
    """The mean opinion score of a rating, G.107 annex B: 1.0 to 4.5."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # The polynomial dips below its own floor for small R.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)
