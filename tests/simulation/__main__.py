"""Whole calls, seed after seed, for as long as wanted: `python -m simulation FILE [--seeds 0:10000]`, or `make seeds`.

Each seed that has been run is a line of FILE, so a run may be stopped and goes on where it was; several may write
files of their own for parts of the seeds. A call that is stuck, has two ends, or leaves a timer armed ends the run with
its seed. What came of all lines is printed at the end.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from simulation.calls import LOSSY_20, Outcome, Plan, rates, run_call


def outcomes_of(path: Path) -> tuple[list[Outcome], float]:
    """What has been run so far, and its seconds of processor time."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [Outcome(**row["outcome"]) for row in rows], sum(row["cpu"] for row in rows)


def summary(path: Path) -> str:
    outcomes, cpu = outcomes_of(path)
    virtual = sum(outcome.seconds for outcome in outcomes)
    heads = f"{len(outcomes):,} seeds, none stuck: {virtual:,.0f} s of virtual time in {cpu:,.0f} s of processor time"
    return "\n".join([f"{heads} ({virtual / max(cpu, 1e-9):.0f} to 1)", rates(outcomes)])


def main() -> None:
    parser = argparse.ArgumentParser("python -m simulation", description=__doc__)
    parser.add_argument("file", type=Path, help="where outcomes are kept")
    parser.add_argument("--seeds", default="0:10000", help="first:end (%(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long (no bound)")
    options = parser.parse_args()
    first, end = map(int, options.seeds.split(":"))
    done = {outcome.seed for outcome in outcomes_of(options.file)[0]}
    began = time.monotonic()
    with options.file.open("a") as file:
        for seed in range(first, end):
            if seed in done or time.monotonic() - began > options.seconds:
                continue
            start = time.process_time()
            try:
                outcome = run_call(Plan(seed, LOSSY_20))
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
            print(json.dumps({"cpu": time.process_time() - start, "outcome": asdict(outcome)}), file=file, flush=True)
    print(summary(options.file))


if __name__ == "__main__":
    main()
