"""Whole calls over good and bad networks, seed by seed: a few in each run of the tests, 200 with `-m soak`."""

from typing import Any

import pytest
from simulation.calls import LOSSY, LOSSY_30, PERFECT, Plan, rates, run_call, run_calls
from simulation.phones import SIP_WS

from sansio_sip.simulation import Link

SOAK_SEEDS = 200


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(0, PERFECT), id="rtp"),
        pytest.param(Plan(1, PERFECT), id="webrtc"),
        pytest.param(Plan(2, LOSSY), id="rtp-lossy"),
        pytest.param(Plan(3, LOSSY), id="webrtc-lossy"),
        pytest.param(Plan(0, PERFECT, codec="opus"), id="opus"),
        pytest.param(Plan(1, LOSSY, sip=SIP_WS), id="web-socket-lossy"),
        pytest.param(Plan(1, Link(delay=0.25, jitter=0.05)), id="satellite"),
        pytest.param(Plan(1, Link(delay=0.02, duplication=1.0)), id="everything-twice"),
    ],
)
def test_a_call_is_set_up_talks_passes_its_digits_and_hangs_up(plan: Plan) -> None:
    outcome = run_call(plan)
    assert outcome.good, outcome


@pytest.mark.parametrize("seed", [0, 1])
def test_a_call_at_30_percent_loss_ends_once_and_leaves_nothing(seed: int) -> None:
    outcome = run_call(Plan(seed, LOSSY_30))  # raises what must never be
    assert outcome.logged_in


def soak(name: str, link: Link, capsys: pytest.CaptureFixture[str], sip: str = "") -> float:
    """Runs all seeds, prints the rates, returns the least rate of a profile."""
    more: dict[str, Any] = {"sip": sip} if sip else {}
    plans = [Plan(seed, link, **more) for seed in range(SOAK_SEEDS)]
    outcomes = run_calls(plans, processes=2)
    bad = [outcome for outcome in outcomes if not outcome.good]
    with capsys.disabled():
        print(f"\n{name}:\n{rates(outcomes)}")
        for outcome in bad:
            print(f"  {outcome}")
    by_profile: dict[str, list[bool]] = {}
    for outcome in outcomes:
        by_profile.setdefault(outcome.profile, []).append(outcome.good)
    return min(sum(good) / len(good) for good in by_profile.values())


@pytest.mark.soak
@pytest.mark.parametrize(("name", "link"), [("no loss", PERFECT), ("10 % loss, reordering", LOSSY)])
def test_every_call_of_many_seeds_is_good(name: str, link: Link, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak(name, link, capsys) == 1.0


@pytest.mark.soak
def test_nine_of_ten_calls_are_good_at_30_percent_loss_each_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak("30 % loss each way, reordering", LOSSY_30, capsys) >= 0.9
