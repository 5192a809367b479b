"""Random commands to three phones on good and bad networks: a few seeds in each run of the tests, many by `-m soak`."""

import pytest
from simulation.commands import loss_of, run_commands, run_many, summary

SOAK_SEEDS = 2000
SEEDS = 18


def test_random_commands_leave_no_call_behind() -> None:
    reports = [run_commands(seed, loss_of(seed)) for seed in range(SEEDS)]  # raises what must never be
    assert sum(report.answered for report in reports) > SEEDS
    done = {what for report in reports for what in report.done}
    assert {"call", "answer", "cancel", "hold", "resume", "transfer", "hang up", "drop the flow"} <= done


@pytest.mark.soak
@pytest.mark.timeout(14_400)
def test_random_commands_of_many_seeds_leave_no_call_behind(capsys: pytest.CaptureFixture[str]) -> None:
    reports = run_many(range(SOAK_SEEDS), processes=2)
    with capsys.disabled():
        print(f"\n{summary(reports)}")
    assert not [report for report in reports if report.fault]
