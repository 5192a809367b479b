"""All targets in turn, for hours: whichever is furthest from its goal runs next, from the corpus it has come to.

A campaign is a folder. `corpus/TARGET` holds the inputs that have reached something new, `logs/TARGET.N.log` what
libFuzzer has said in turn N, and `findings/` the inputs that broke an invariant. Its state is those logs alone, so it
may be stopped at any time, by any means, and go on later; `fuzz.report` counts what they say.
"""

import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from fuzz.report import executions, turns
from fuzz.seeds import plant

__all__ = ["TARGETS", "Campaign"]

TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py"))

GOAL = 1_000_000  # executions of a parser
WHOLE_MACHINE_GOAL = 100_000
WHOLE_MACHINES = ("server", "softphone")
MAX_LENGTH = 1024  # octets of an input: twice the length takes twice the time, and shows nothing new
MAX_TRACE = 8192  # a trace has long lines
START_UP = 120.0  # seconds that a turn may take beyond its time, to import and to read the corpus


@dataclass(frozen=True, slots=True)
class Campaign:
    """`turn`: seconds that one target runs before the next is chosen; `jobs`: how many run at the same time."""

    folder: Path
    turn: int
    jobs: int = 1

    def run(self, seconds: float) -> None:
        """Goes on for so long. A target with a finding waits until its file is taken out of `findings/`.

        Raises RuntimeError where a turn has come to nothing at all, which the next would as well.
        """
        for name in ("logs", "findings"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for target in TARGETS:
            plant(self.folder / "corpus", target)
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(self.jobs) as pool:
            running: dict[Future[None], str] = {}
            while True:
                left = end - time.monotonic()
                waiting = [target for target in TARGETS if target not in running.values() and not self.findings(target)]
                if left > 30 and waiting and len(running) < self.jobs:
                    target = min(waiting, key=self.progress)
                    running[pool.submit(self._run, target, min(self.turn, int(left)))] = target
                elif running:
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        target = running.pop(done)
                        done.result()
                        print(f"{time.strftime('%H:%M:%S')} {target} {executions(self.folder, target):,}", flush=True)
                else:
                    return

    def findings(self, target: str) -> list[Path]:
        return sorted((self.folder / "findings").glob(f"{target}-*"))

    def progress(self, target: str) -> float:
        """Executions so far, as a part of the goal."""
        return executions(self.folder, target) / (WHOLE_MACHINE_GOAL if target in WHOLE_MACHINES else GOAL)

    def _run(self, target: str, seconds: int) -> None:
        number = len(list((self.folder / "logs").glob(f"{target}.*.log"))) + 1
        path = self.folder / "logs" / f"{target}.{number}.log"
        options = (
            f"-max_total_time={seconds}",
            f"-max_len={MAX_TRACE if target == 'trace' else MAX_LENGTH}",
            "-len_control=0",
            "-timeout=20",
            "-rss_limit_mb=1024",
            f"-artifact_prefix={self.folder}/findings/{target}-",
        )
        command = [sys.executable, "-m", "fuzz", target, str(self.folder / "corpus" / target), *options]
        with path.open("x") as log:
            try:
                subprocess.run(command, stdout=log, stderr=log, timeout=seconds + START_UP, check=False)
            except subprocess.TimeoutExpired:
                log.write("stopped: it took too long to begin\n")
        if not turns(self.folder, target)[-1].executions and not self.findings(target):
            raise RuntimeError(f"{target} did not start: see {path}")
