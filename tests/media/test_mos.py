"""The reference's own figures (facts section 8.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip_media.mos import mos


@pytest.mark.parametrize(
    ("rtt_ms", "jitter_ms", "loss", "expected"),
    [(26, 0, 0, 4.391), (200, 20, 0, 4.032), (200, 20, 0.05, 3.487), (400, 30, 0.02, 2.743)],
)
def test_vectors(rtt_ms: float, jitter_ms: float, loss: float, expected: float) -> None:
    assert mos(rtt_ms, jitter_ms, loss) == expected


def test_no_round_trip_no_score() -> None:
    assert mos(None, 0, 0) is None
    assert mos(0, 0, 0) is None


@given(st.floats(1, 5000), st.floats(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_more_loss_is_never_better_and_opus_never_worse(rtt: float, jitter: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    better, worse = mos(rtt, jitter, low), mos(rtt, jitter, high)
    assert better is not None
    assert worse is not None
    assert 1.0 <= worse <= better <= 4.5
    opus = mos(rtt, jitter, low, codec="opus")
    assert opus is not None
    assert opus >= better
