"""What scripts of cases are made of: steps, what is heard, and how they end."""

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from sansio_sip.sip.message import Request, Response

__all__ = [
    "Failed",
    "Garbled",
    "Heard",
    "NotApplicable",
    "Outcome",
    "Role",
    "Script",
    "Send",
    "Silent",
    "Step",
    "Verdict",
    "Wait",
]


class Role(Enum):
    """What the target is."""

    UAS = "uas"  # it takes our calls
    UAC = "uac"  # it calls us
    REGISTRAR = "registrar"


class Verdict(Enum):
    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"  # the target does not do this, or did not let it happen
    SILENT = "silent"  # no answer, where none is allowed as well


class Outcome(Exception):
    """Ends a script early; the text says why."""

    verdict: Verdict


class Failed(Outcome):
    verdict = Verdict.FAIL


class NotApplicable(Outcome):
    verdict = Verdict.NOT_APPLICABLE


class Silent(Outcome):
    verdict = Verdict.SILENT


@dataclass(frozen=True, slots=True)
class Send:
    """Puts octets on the flow, as one message; to whom the target is, or was last heard from."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Waits for the next message, until a time; then None. None at once when the flow is gone."""

    until: float


@dataclass(frozen=True, slots=True)
class Garbled:
    """What came is no SIP. `status`: of what looks like a response, else 0."""

    status: int
    reason: str


Step: TypeAlias = Send | Wait
Heard: TypeAlias = Request | Response | Garbled | None
Script: TypeAlias = Generator[Step, Heard, None]
