"""mediaMetrics: raised by three bad samples of five, cleared when there are fewer; the reference's score."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip.softphone.quality import Metric, QualityOptions, QualitySample, QualityWatch, mos, sample_between

GOOD = QualitySample("opus", 40.0, 5.0, 5.0, 0.0, 0.0, -20.0, -20.0)


@pytest.mark.parametrize(
    ("rtt", "jitter", "loss", "score"),
    [(26, 0, 0, 4.391), (200, 20, 0, 4.032), (200, 20, 0.05, 3.487), (400, 30, 0.02, 2.743)],
)
def test_the_reference_vectors_of_the_score(rtt: float, jitter: float, loss: float, score: float) -> None:
    assert mos(rtt, jitter, loss) == score


@pytest.mark.parametrize(("rtt", "jitter", "loss"), [(None, 1, 0), (0, 1, 0), (10, None, 0), (10, 1, None)])
def test_fault13_what_was_not_measured_has_no_score(rtt: Any, jitter: Any, loss: Any) -> None:
    assert mos(rtt, jitter, loss) is None
    watch = QualityWatch(QualityOptions())
    unknown = replace(
        GOOD, rtt_ms=rtt, local_jitter_ms=jitter, remote_jitter_ms=jitter, local_loss=loss, remote_loss=loss
    )
    assert not [metric for _ in range(9) for metric in watch.take(unknown) if metric.type == "low_mos"]


@given(st.floats(0.1, 5000), st.floats(0, 1000), st.floats(0, 1), st.sampled_from(["opus", "PCMU"]))
def test_the_score_is_in_its_range_and_falls_with_loss(rtt: float, jitter: float, loss: float, codec: str) -> None:
    score = mos(rtt, jitter, loss, codec=codec)
    assert score is not None
    assert 1.0 <= score <= 4.5
    worse = mos(rtt, jitter, min(1.0, loss + 0.1), codec=codec)
    assert worse is not None
    assert worse <= score


ROWS = [
    (
        "Q1",
        {"local_jitter_ms": 31.0},
        Metric("network", "high_jitter", 31.0, True, "jitterLocalMeasures", "local"),
        5.0,
    ),
    (
        "Q1",
        {"remote_jitter_ms": 50.0},
        Metric("network", "high_jitter", 50.0, True, "jitterRemoteMeasures", "remote"),
        5.0,
    ),
    ("Q2", {"rtt_ms": 401.0}, Metric("network", "high_rtt", 401.0, True, "high latency", "None"), 40.0),
    (
        "Q3",
        {"local_loss": 0.11},
        Metric("network", "high_packetloss", 0.11, True, "packetLossLocalMeasure", "local"),
        0.0,
    ),
    (
        "Q3",
        {"remote_loss": 0.2},
        Metric("network", "high_packetloss", 0.2, True, "packetLossRemoteMeasure", "remote"),
        0.0,
    ),
    (
        "Q3",
        {"codec": "PCMU", "remote_loss": 0.21},
        Metric("network", "high_packetloss", 0.21, True, "packetLossRemoteMeasure", "remote"),
        0.0,
    ),
    ("Q5", {"local_level": -90.0}, Metric("audio", "no_audio_received", -90.0, True, "local_audio", "local"), -20.0),
    ("Q5", {"remote_level": -90.0}, Metric("audio", "no_audio_received", -90.0, True, "remote_audio", "remote"), -20.0),
]


@pytest.mark.parametrize(("row", "change", "raised", "well"), ROWS, ids=lambda value: str(value)[:60])
def test_Q1_Q2_Q3_Q5_are_raised_and_cleared(row: str, change: Any, raised: Metric, well: float) -> None:
    watch = QualityWatch(QualityOptions())
    bad = replace(GOOD, **change)
    told = [
        [m for m in watch.take(sample) if m.type == raised.type] for sample in (bad, bad, GOOD, bad, bad, bad, GOOD)
    ]
    assert told == [[], [], [], [raised], [], [], []], row
    cleared = [m for sample in (GOOD, GOOD) for m in watch.take(sample) if m.type == raised.type]
    assert cleared == [replace(raised, active=False, value=well)]


def test_fault14_the_limit_of_loss_is_that_of_the_codec() -> None:
    watch = QualityWatch(QualityOptions())
    sample = replace(GOOD, codec="PCMU", remote_loss=0.15)
    assert not [metric for _ in range(9) for metric in watch.take(sample) if metric.type == "high_packetloss"]


def test_Q4_low_mos_is_raised_with_the_score() -> None:
    watch = QualityWatch(QualityOptions())
    bad = replace(GOOD, codec="PCMU", rtt_ms=400.0, local_jitter_ms=30.0, local_loss=0.02)
    (metric,) = [m for _ in range(3) for m in watch.take(bad) if m.type == "low_mos"]
    assert metric == Metric("network", "low_mos", 2.743, True, "mosRemoteMeasure", "None")


def test_fault15_a_level_that_repeats_is_not_silence() -> None:
    watch = QualityWatch(QualityOptions())
    assert not [metric for _ in range(20) for metric in watch.take(GOOD)]


def test_a_sample_is_what_happened_between_two_snapshots() -> None:
    before = MediaStatistics(codec="opus", packets_sent=100, packets_received=100, packets_lost=10, remote_lost=5)
    after = MediaStatistics(
        codec="opus",
        packets_sent=350,
        packets_received=325,
        packets_lost=35,
        remote_lost=30,
        jitter_ms=12.0,
        remote_jitter_ms=7.0,
        rtt_ms=80.0,
    )
    assert sample_between(before, after) == QualitySample("opus", 80.0, 7.0, 12.0, 0.1, 0.1)


@pytest.mark.parametrize(
    "change", [{"interval": 0}, {"bad": 6}, {"window": 0}, {"loss_opus": 0}, {"mos": 0.5}, {"silence_dbfs": 3}], ids=str
)
def test_bad_thresholds_name_their_field(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        QualityOptions(**change)
