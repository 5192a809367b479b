"""What the logs of a campaign say, as a table: executions of each target, its coverage as they rose, its findings."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Turn", "executions", "report", "turns"]

# "#4096  pulse  cov: 577 ft: 1795 corp: 220/153Kb lim: 4096 exec/s: 897 rss: 43Mb"; `INITED` ends the corpus.
_LINE = re.compile(r"^#(\d+)\t(\w+) .*?cov: (\d+) ft: (\d+)", re.MULTILINE)

PARTS = (0.1, 0.25, 0.5, 1.0)  # of the executions; coverage that is the same at the last two has come to its plateau


@dataclass(frozen=True, slots=True)
class Turn:
    """One log. `points`: executions in this turn, edges covered and features seen by then, as often as it told."""

    points: tuple[tuple[int, int, int], ...]

    @property
    def executions(self) -> int:
        return self.points[-1][0] if self.points else 0


def turns(folder: Path, target: str) -> list[Turn]:
    """In their order."""
    paths = sorted((folder / "logs").glob(f"{target}.*.log"), key=lambda path: int(path.name.split(".")[1]))
    return [
        Turn(tuple((int(found[1]), int(found[3]), int(found[4])) for found in _LINE.finditer(text)))
        for text in (path.read_text(errors="replace") for path in paths)
    ]


def executions(folder: Path, target: str) -> int:
    return sum(turn.executions for turn in turns(folder, target))


def _curve(all_turns: list[Turn]) -> list[tuple[int, int]]:
    """Executions over all turns, and the most edges covered by then."""
    curve, before, most = [], 0, 0
    for turn in all_turns:
        for count, edges, _ in turn.points:
            most = max(most, edges)
            curve.append((before + count, most))
        before += turn.executions
    return curve


def report(folder: Path) -> str:
    """A Markdown table, and the sums."""
    names = sorted({path.name.split(".")[0] for path in (folder / "logs").glob("*.log")})
    heads = " | ".join(f"edges at {part:.0%}" for part in PARTS)
    lines = [
        f"| target | executions | turns | {heads} | last new edge at | findings open |",
        "|---|---:|---:|" + "---:|" * len(PARTS) + "---:|---:|",
    ]
    total = 0
    for name in names:
        found = turns(folder, name)
        curve = _curve(found)
        count = sum(turn.executions for turn in found)
        total += count
        if not curve:
            continue
        edges = [max((most for at, most in curve if at <= part * count), default=0) for part in PARTS]
        last = next(at for at, most in curve if most == curve[-1][1])
        findings = len(list((folder / "findings").glob(f"{name}-*")))
        columns = [name, f"{count:,}", str(len(found)), *map(str, edges), f"{last:,}", str(findings)]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join([*lines, "", f"{total:,} executions of {len(names)} targets."])
