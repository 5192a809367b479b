"""One case: what it tries, whom it applies to, and the script that tries it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .end import End
from .script import Role, Script, Verdict

__all__ = ["Case", "Level", "Result", "adds_to"]

Level: TypeAlias = Literal["MUST", "SHOULD"]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the matrix.

    Attributes:
        name: names it in reports, such as `UAS-09` (the scenario table's) or `torture-badvers`.
        rfc, section: where the rule stands, such as "RFC 3261" and "8.2.2.3".
        roles: what a target must be for the case to be tried on it.
        script: tries it; passes by coming to its end.
        level: what the RFC says of the rule; "SHOULD": a target may have its reasons to do otherwise.
        datagram: the case makes sense on UDP alone.
    """

    name: str
    rfc: str
    section: str
    title: str
    roles: tuple[Role, ...]
    script: Callable[[End], Script]
    level: Level = "MUST"
    datagram: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a case came to. `seconds`: how long it took."""

    case: Case
    verdict: Verdict
    detail: str = ""
    seconds: float = 0.0


def adds_to(
    cases: list[Case], *roles: Role
) -> Callable[..., Callable[[Callable[[End], Script]], Callable[[End], Script]]]:
    """A decorator that makes cases of scripts: `@case("UAS-09", "3261", "8.2.2.3", "...")`."""

    def case(
        name: str, rfc: str, section: str, title: str, *, level: Level = "MUST", datagram: bool = False
    ) -> Callable[[Callable[[End], Script]], Callable[[End], Script]]:
        def add(script: Callable[[End], Script]) -> Callable[[End], Script]:
            cases.append(Case(name, f"RFC {rfc}", section, title, roles, script, level, datagram))
            return script

        return add

    return case
