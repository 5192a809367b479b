"""Whether the audio of a call is good: the reference's mediaMetrics and its score, from snapshots taken each 5 s.

Theory of operation
-------------------
Two snapshots of a session's counters give a `QualitySample`: what happened between them. `QualityWatch` keeps the last
five values of each metric. A metric is raised when three of them are bad, and cleared when fewer are. What was not
measured (no report of the peer yet, no round trip) counts neither way.

`local` is what we send, by what the peer reports of it; `remote` is what we receive.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .media_plane import MediaStatistics

__all__ = ["Metric", "QualityOptions", "QualitySample", "QualityWatch", "mos", "sample_between"]

# The R factor of a call that nothing disturbs.
R_OPUS, R_OTHER = 95.0, 93.2

Stream = Literal["local", "remote", "None"]


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """Thresholds; the reference's unless said otherwise.

    Attributes:
        interval: seconds between samples.
        window, bad: a metric is raised when `bad` of the last `window` samples are.
        jitter_ms, rtt_ms: more is bad. loss_opus, loss_other: a greater share of packets is bad. mos: less is bad.
        silence_dbfs: audio whose level stays below is silent.
        ice_timeout: seconds that candidates may take to be gathered.
        microphone_timeout: seconds without anything from the microphone after which it counts as lost.
    """

    interval: float = 5.0
    window: int = 5
    bad: int = 3
    jitter_ms: float = 30.0
    rtt_ms: float = 400.0
    loss_opus: float = 0.10
    loss_other: float = 0.20
    mos: float = 3.0
    silence_dbfs: float = -70.0
    ice_timeout: float = 2.0
    microphone_timeout: float = 3.0

    def __post_init__(self) -> None:
        for name in ("interval", "jitter_ms", "rtt_ms", "ice_timeout", "microphone_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}: allowed are numbers over 0")
        if not 1 <= self.bad <= self.window <= 100:
            raise ValueError(f"bad is {self.bad!r} and window {self.window!r}: allowed is 1 <= bad <= window <= 100")
        for name in ("loss_opus", "loss_other"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: allowed is a share over 0 up to 1")
        if not 1 <= self.mos <= 5:
            raise ValueError(f"mos is {self.mos!r}: allowed is 1 to 5")
        if not -120 <= self.silence_dbfs < 0:
            raise ValueError(f"silence_dbfs is {self.silence_dbfs!r}: allowed is -120 up to 0")


@dataclass(frozen=True, slots=True)
class QualitySample:
    """What a call was like between two snapshots. None: not measured.

    Attributes:
        rtt_ms, local_jitter_ms, remote_jitter_ms: ms.
        local_loss, remote_loss: shares of packets, 0.0 to 1.0.
        local_level, remote_level: dBFS.
    """

    codec: str = ""
    rtt_ms: float | None = None
    local_jitter_ms: float | None = None
    remote_jitter_ms: float | None = None
    local_loss: float | None = None
    remote_loss: float | None = None
    local_level: float | None = None
    remote_level: float | None = None

    @property
    def local_mos(self) -> float | None:
        """The score of what the peer hears."""
        return mos(self.rtt_ms, self.local_jitter_ms, self.local_loss, codec=self.codec)

    @property
    def remote_mos(self) -> float | None:
        """The score of what we hear."""
        return mos(self.rtt_ms, self.remote_jitter_ms, self.remote_loss, codec=self.codec)

    @property
    def mos(self) -> float | None:
        """The lower one of the two."""
        return min((score for score in (self.local_mos, self.remote_mos) if score is not None), default=None)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric was raised (`active`), or cleared. The fields are those of mediaMetrics."""

    group: str
    type: str
    value: float
    active: bool
    desc: str
    stream: Stream


def mos(rtt_ms: float | None, jitter_ms: float | None, loss: float | None, *, codec: str = "") -> float | None:
    """The reference's score, from 1.0 (bad) to 4.5, with three decimals; None where something was not measured.

    Args:
        loss: share of packets lost, 0.0 to 1.0.
        codec: `opus` starts from a higher base than any other.
    """
    if not rtt_ms or jitter_ms is None or loss is None:
        return None
    latency = rtt_ms + 2 * jitter_ms + 10
    r = R_OPUS if codec.lower() == "opus" else R_OTHER
    r -= latency / 40 if latency < 160 else (latency - 120) / 10
    r -= 250 * loss
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # The polynomial dips below its own floor for small R.
    return max(1.0, round(1 + 0.035 * r + 0.000007 * r * (r - 60) * (100 - r), 3))


def sample_between(before: MediaStatistics, after: MediaStatistics) -> QualitySample:
    """What happened from one snapshot of a session to a later one."""
    sent = after.packets_sent - before.packets_sent
    received = after.packets_received - before.packets_received
    lost = max(0, after.packets_lost - before.packets_lost)
    remote_lost = None
    if after.remote_lost is not None:
        remote_lost = max(0, after.remote_lost - (before.remote_lost or 0))
    return QualitySample(
        codec=after.codec,
        rtt_ms=after.rtt_ms,
        local_jitter_ms=after.remote_jitter_ms,
        remote_jitter_ms=after.jitter_ms if after.packets_received else None,
        local_loss=_share(remote_lost, sent) if remote_lost is not None else None,
        remote_loss=_share(lost, received + lost) if after.packets_received else None,
        local_level=after.local_level_dbfs,
        remote_level=after.remote_level_dbfs,
    )


def _share(part: int, whole: int) -> float:
    """Three decimals. More reports of loss than packets sent since: the report is of earlier ones; all of them."""
    if part <= 0:
        return 0.0
    return round(min(1.0, part / whole), 3) if whole > 0 else 1.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """One metric. `of_bad`: its value is the mean of the bad samples, else the latest."""

    group: str
    type: str
    desc: str
    stream: Stream
    of_bad: bool = True


JITTER = {
    "local": _Kind("network", "high_jitter", "jitterLocalMeasures", "local"),
    "remote": _Kind("network", "high_jitter", "jitterRemoteMeasures", "remote"),
}
LOSS = {
    "local": _Kind("network", "high_packetloss", "packetLossLocalMeasure", "local"),
    "remote": _Kind("network", "high_packetloss", "packetLossRemoteMeasure", "remote"),
}
RTT = _Kind("network", "high_rtt", "high latency", "None")
MOS = _Kind("network", "low_mos", "mosRemoteMeasure", "None", of_bad=False)
SILENT = {
    "local": _Kind("audio", "no_audio_received", "local_audio", "local", of_bad=False),
    "remote": _Kind("audio", "no_audio_received", "remote_audio", "remote", of_bad=False),
}


class QualityWatch:
    """The metrics of one call."""

    def __init__(self, options: QualityOptions) -> None:
        self._options = options
        self._windows: dict[_Kind, deque[tuple[float, bool]]] = {}
        self._active: set[_Kind] = set()

    def take(self, sample: QualitySample) -> tuple[Metric, ...]:
        """What is to be told after one more sample."""
        found = []
        for kind, value, bad in self._judged(sample):
            metric = self._weigh(kind, value, bad)
            if metric is not None:
                found.append(metric)
        return tuple(found)

    def _judged(self, sample: QualitySample) -> Iterator[tuple[_Kind, float, bool]]:
        options = self._options
        most = options.loss_opus if sample.codec.lower() == "opus" else options.loss_other
        rows: tuple[tuple[_Kind, float | None, float, bool], ...] = (
            (JITTER["local"], sample.local_jitter_ms, options.jitter_ms, True),
            (JITTER["remote"], sample.remote_jitter_ms, options.jitter_ms, True),
            (RTT, sample.rtt_ms, options.rtt_ms, True),
            (LOSS["local"], sample.local_loss, most, True),
            (LOSS["remote"], sample.remote_loss, most, True),
            (MOS, sample.mos, options.mos, False),
            (SILENT["local"], sample.local_level, options.silence_dbfs, False),
            (SILENT["remote"], sample.remote_level, options.silence_dbfs, False),
        )
        for kind, value, limit, above in rows:
            if value is not None:
                yield kind, value, value > limit if above else value < limit

    def _weigh(self, kind: _Kind, value: float, bad: bool) -> Metric | None:
        window = self._windows.setdefault(kind, deque(maxlen=self._options.window))
        window.append((value, bad))
        wrong = [each for each, is_bad in window if is_bad]
        active = len(wrong) >= self._options.bad
        if active == (kind in self._active):
            return None
        if active:
            self._active.add(kind)
        else:
            self._active.discard(kind)
        shown = sum(wrong) / len(wrong) if active and kind.of_bad else value
        return Metric(kind.group, kind.type, round(shown, 3), active, kind.desc, kind.stream)
