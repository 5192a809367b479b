"""The stages of a preflight, and the verdict on each."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sansio_sip_cli.exit_status import DONE, FAILED, LOGIN_FAILED, UNREACHABLE

__all__ = ["Outcome", "Stage", "Stages", "Verdict"]


class Stage(Enum):
    """In the order in which a call needs them."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    WEB_SOCKET = "websocket"
    UDP = "udp"
    STUN = "stun"
    TURN = "turn"
    REGISTRATION = "registration"
    ECHO = "echo"


class Outcome(Enum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


# What it means for the command's exit status that a stage has failed; the greatest one counts.
STATUS = {
    Stage.STUN: FAILED,
    Stage.TURN: FAILED,
    Stage.ECHO: FAILED,
    Stage.REGISTRATION: LOGIN_FAILED,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found at a stage. `advice`: what to do about it, empty where nothing is to be done."""

    stage: Stage
    outcome: Outcome
    detail: str = ""
    advice: str = ""
    took_ms: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "event": "stage",
            "stage": self.stage.value,
            "outcome": self.outcome.value,
            "detail": self.detail,
            "advice": self.advice,
            "took_ms": None if self.took_ms is None else round(self.took_ms, 1),
        }

    def lines(self) -> Iterator[str]:
        """For a terminal of 80 columns, as far as the detail allows."""
        took = "" if self.took_ms is None else f" ({self.took_ms:.0f} ms)"
        yield f"{self.stage.value:<13} {self.outcome.value:<8} {self.detail}{took}"
        if self.advice:
            yield f"{'':<13} {'':<8} {self.advice}"


class Stages:
    """The verdicts so far: the first on a stage stands, but for a failure that comes after all seemed well."""

    def __init__(self) -> None:
        self._verdicts: dict[Stage, Verdict] = {}

    def __contains__(self, stage: Stage) -> bool:
        return stage in self._verdicts

    def is_ok(self, stage: Stage) -> bool:
        return stage in self._verdicts and self._verdicts[stage].outcome is Outcome.OK

    def put(
        self, stage: Stage, outcome: Outcome, detail: str = "", advice: str = "", took: float | None = None
    ) -> None:
        """`took` in seconds."""
        if stage not in self._verdicts or (outcome is Outcome.FAILED and self.is_ok(stage)):
            took_ms = None if took is None else took * 1000
            self._verdicts[stage] = Verdict(stage, outcome, detail, advice, took_ms)

    def ok(self, stage: Stage, detail: str = "", took: float | None = None) -> None:
        self.put(stage, Outcome.OK, detail, took=took)

    def fail(self, stage: Stage, detail: str, advice: str) -> None:
        self.put(stage, Outcome.FAILED, detail, advice)

    def skip(self, stage: Stage, detail: str) -> None:
        self.put(stage, Outcome.SKIPPED, detail)

    def all(self) -> list[Verdict]:
        """In the order of the stages."""
        return [self._verdicts[stage] for stage in Stage if stage in self._verdicts]

    @property
    def failing(self) -> Verdict | None:
        """The first stage that failed."""
        return next((verdict for verdict in self.all() if verdict.outcome is Outcome.FAILED), None)

    @property
    def exit_status(self) -> int:
        failed = [verdict.stage for verdict in self.all() if verdict.outcome is Outcome.FAILED]
        return max((STATUS.get(stage, UNREACHABLE) for stage in failed), default=DONE)
