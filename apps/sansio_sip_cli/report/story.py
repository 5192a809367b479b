"""What a report tells: values that are gathered from a trace (`watch`) and drawn on a page (`page`)."""

from dataclasses import dataclass, field
from pathlib import Path

from sansio_sip.softphone.call_info import CallInfo
from sansio_sip.softphone.media_plane import MediaStatistics
from sansio_sip.softphone.quality import Metric, QualitySample
from sansio_sip.trace import ReplayReport
from sansio_sip_cli.ladder import Arrow

from .pairs import Pair

__all__ = ["CallStory", "Fired", "Happening", "Sample", "Story"]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of a machine. `words` for people, `name` as a program is told it."""

    time: float
    machine: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A call's media at a moment. `since`: what happened since the sample before.

    `levels`: mean power of what was sent and of what was heard since, dBov; None where the trace has no audio.
    """

    time: float
    statistics: MediaStatistics
    since: QualitySample
    levels: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Fired:
    """A timer has fired, `late_ms` after its deadline; `then`: what the machine did at once."""

    time: float
    machine: str
    owner: str
    timer: str
    why: str
    late_ms: float
    then: tuple[str, ...] = ()


@dataclass(slots=True)
class CallStory:
    """One call, as one phone saw it. Times as in `Story`; None: that never came."""

    machine: str
    info: CallInfo
    began: float
    answered: float | None = None
    connected: float | None = None
    ended: float | None = None
    end: str = ""
    samples: list[Sample] = field(default_factory=list)
    warnings: list[tuple[float, Metric]] = field(default_factory=list)


@dataclass(slots=True)
class Story:
    """Everything. Times are seconds since `start`, which is Unix time.

    Attributes:
        machines: name and kind of each, in the order in which they began.
        full: the trace holds audio and digits.
        replay: how far running the trace again agreed with it.
        shortened: rows left out because there were more than a page can bear, by what they are.
    """

    source: Path
    start: float
    duration: float
    full: bool
    machines: dict[str, str]
    arrows: list[Arrow]
    pairs: list[Pair]
    kinds: dict[str, str]
    happenings: list[Happening] = field(default_factory=list)
    calls: list[CallStory] = field(default_factory=list)
    fired: list[Fired] = field(default_factory=list)
    replay: ReplayReport = field(default_factory=ReplayReport)
    shortened: dict[str, int] = field(default_factory=dict)
