"""The E-model against the figures of G.107 and G.113."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip_media.metrics import CODECS, burst_ratio, delay_impairment, loss_impairment, mos_of, rating


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (93.2, 4.41),
        (90, 4.34),
        (80, 4.03),
        (70, 3.60),
        (60, 3.10),
        (50, 2.58),
        (0, 1.0),
        (-5, 1.0),
        (100, 4.5),
        (3, 1.0),
    ],
)
def test_scores_are_those_of_annex_b(r: float, expected: float) -> None:
    assert mos_of(r) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("delay", "expected"), [(0, 0.0), (100, 0.0), (150, 0.16), (200, 3.04), (300, 14.76), (400, 24.07), (800, 40.83)]
)
def test_delay_takes_what_section_7_4_says(delay: float, expected: float) -> None:
    """The values are the formula's, worked out by hand at 200 (x = 1) and 400 (x = 2)."""
    assert delay_impairment(delay) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("codec", "loss", "burst", "expected"),
    [
        ("g711-unconcealed", 0.01, 1, 95 / 5.3),
        ("g711-unconcealed", 0.05, 1, 475 / 9.3),
        ("pcmu", 0.01, 1, 95 / 26.1),
        ("pcma", 0.10, 1, 950 / 35.1),
        ("pcmu", 0.10, 2, 950 / 30.1),
        ("opus", 0.05, 4, 475 / 26.35),
        ("g722", 0.0, 1, 0.0),
        ("pcmu", 1.0, 1, 9500 / 125.1),
    ],
)
def test_loss_takes_what_section_7_5_says(codec: str, loss: float, burst: float, expected: float) -> None:
    assert loss_impairment(CODECS[codec], loss, burst) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("....", 1.0),
        ("xxxx", 1.0),
        ("x.x.x.x.", 0.5),
        ("xx......", 2 * 0.75),
        ("..xx..xx", 2 * 0.5),
        ("x...", 0.75),
    ],
)
def test_burst_ratio_is_the_mean_burst_over_that_of_chance(pattern: str, expected: float) -> None:
    assert burst_ratio(np.array([each == "x" for each in pattern])) == pytest.approx(expected)


def test_random_losses_have_a_burst_ratio_of_one() -> None:
    assert burst_ratio(np.random.default_rng(1).random(100_000) < 0.2) == pytest.approx(1.0, abs=0.02)


def test_a_call_that_nothing_disturbs_has_93_2() -> None:
    for codec in ("opus", "PCMU", "G722"):
        assert rating(codec, 50, 0.0) == 93.2
    assert rating("unknown", 50, 0.01) < rating("pcmu", 50, 0.01)


@given(st.sampled_from(sorted(CODECS)), st.floats(0, 2000), st.floats(0, 1), st.floats(0.5, 10), st.floats(0, 0.5))
def test_more_of_anything_bad_is_never_better(codec: str, delay: float, loss: float, burst: float, more: float) -> None:
    now = rating(codec, delay, loss, burst)
    assert 0 <= now <= 93.2
    assert rating(codec, delay + 100 * more, loss, burst) <= now + 1e-9
    assert rating(codec, delay, min(1.0, loss + more), burst) <= now + 1e-9
    assert 1.0 <= mos_of(now) <= 4.5
