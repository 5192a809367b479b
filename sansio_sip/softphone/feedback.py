"""What a user thinks of a call: checked, and sent by one HTTP POST, again and again until it has arrived.

Theory of operation
-------------------
A report waits in a queue; the oldest is sent first, one at a time. A server that answers 2xx has it. One that answers
4xx will never want it: it is dropped, and said so. Anything else is tried again, after pauses that double up to a
minute; nothing is lost while the process lives.
"""

import json
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from sansio_sip.context import Context
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenStream, Record, Resolve, SendStream, TlsPeer
from sansio_sip.http_client import HttpAnswered, HttpExchange, HttpFailed, HttpRequest
from sansio_sip.machine import Outbox

from .client_events import FeedbackFailed, FeedbackSent

__all__ = ["ISSUES", "Feedback", "FeedbackOutput", "FeedbackQueue", "checked_feedback"]

ISSUES = (
    "AUDIO_LAG",
    "BROKEN_AUDIO",
    "CALL_DROPPED",
    "CALLERID_ISSUES",
    "DIGITS_NOT_CAPTURED",
    "ECHO",
    "HIGH_CONNECT_TIME",
    "LOW_AUDIO_LEVEL",
    "ONE_WAY_AUDIO",
    "ROBOTIC_AUDIO",
    "OTHERS",
)
# The reference's wire has another word for this one; its manual prints CALL_DROPPPED.
ON_THE_WIRE = {"CALLERID_ISSUES": "callerid_issue"}
MISPRINTS = {"CALL_DROPPPED": "CALL_DROPPED"}

MAX_NOTE = 280  # characters
MAX_WAITING = 100  # reports: a person gives one a call
FIRST_PAUSE, MAX_PAUSE = 2.0, 60.0
FIRST_QUERY = 1 << 30  # questions of the phone count from one


@dataclass(frozen=True, slots=True)
class Feedback:
    """A report that has passed all rules."""

    call: str
    rating: int
    issues: tuple[str, ...]
    note: str

    @property
    def comment(self) -> str:
        """Issues and note in one line."""
        return " ".join(part for part in (",".join(self._names), self.note) if part)

    @property
    def _names(self) -> list[str]:
        return [ON_THE_WIRE.get(issue, issue.lower()) for issue in self.issues]

    def body(self, log: Sequence[str] | None) -> bytes:
        """As JSON."""
        row: dict[str, object] = {
            "callUUID": self.call,
            "overall": self.rating,
            "issues": self._names,
            "note": self.note,
            "comment": self.comment,
        }
        if log is not None:
            row["log"] = list(log)
        return json.dumps(row).encode()


def checked_feedback(
    username: object, call_uuid: object, star_rating: object, issues: object, note: object
) -> Feedback | str:
    """The report, or what is wrong with it in the reference's words, its rules in its order."""
    if not username:
        return "username not found"
    if not call_uuid or not isinstance(call_uuid, str):
        return "callUUID is mandatory"
    if not star_rating or isinstance(star_rating, bool):
        return "Star rating is Mandatory"
    rating = _number(star_rating)
    if rating is None or rating not in range(1, 6):
        return "score should be from 1-5 range"
    text = "" if note is None else str(note)
    if len(text) > MAX_NOTE:
        return "Maximum length for note is 280 charecters"
    given = [] if issues is None else issues
    if not isinstance(given, list | tuple):
        return "Attribute issues should be an array"
    if not given and rating != 5:
        return "Atleast one issue is mandatory for feedback"
    names = [str(issue).strip().upper() for issue in given]
    known = tuple(dict.fromkeys(MISPRINTS.get(name, name) for name in names if MISPRINTS.get(name, name) in ISSUES))
    if not known and rating != 5:
        return f"Issues must be from the predefined list of issues - {','.join(ISSUES)}"
    return Feedback(call_uuid, int(rating), known, text)


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever a program has put there
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


FeedbackOutput: TypeAlias = Resolve | OpenStream | SendStream | CloseFlow | FeedbackSent | FeedbackFailed


class FeedbackQueue:
    """The machine that delivers reports.

    Args:
        url: where to; empty: nowhere, and `put` must not be called.
    """

    def __init__(self, context: Context, url: str, *, ca_file: str | None = None, tls_verify: bool = True) -> None:
        self._context = context
        self._url = url
        self._ca_file = ca_file
        self._tls_verify = tls_verify
        self._outbox: Outbox[FeedbackOutput] = Outbox()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._exchange: HttpExchange | None = None
        self._retry_at: float | None = None
        self._failures = self._exchanges = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING

    def put(self, request: int, body: bytes, *, now: float) -> None:
        """Queues a report. Gives FeedbackSent or FeedbackFailed with that number."""
        self._waiting.append((request, body))
        self._go_on(now)

    # Inputs; those of somebody else are passed over

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        if self._exchange is not None:
            self._exchange.flow_opened(flow, local, remote, peer, now=now)
            self._drain(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if self._exchange is not None:
            self._exchange.flow_lost(flow, reason, now=now)
            self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if self._exchange is not None:
            self._exchange.receive_stream(flow, data, now=now)
            self._drain(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        if self._exchange is not None:
            self._exchange.resolved(query, records, now=now)
            self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        if self._exchange is not None:
            self._exchange.handle_timeout(now=now)
            self._drain(now)
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._go_on(now)

    def next_timeout(self) -> float | None:
        return self._exchange.next_timeout() if self._exchange is not None else self._retry_at

    def poll_output(self) -> FeedbackOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[FeedbackOutput]:
        return self._outbox.drain()

    # Inside

    def _go_on(self, now: float) -> None:
        if self._exchange is not None or self._retry_at is not None or not self._waiting:
            return
        _, body = self._waiting[0]
        self._exchanges += 1
        self._exchange = HttpExchange(
            f"feedback{self._exchanges}",
            HttpRequest("POST", self._url, (("Content-Type", "application/json"),), body),
            query=FIRST_QUERY + 16 * self._exchanges,
            ca_file=self._ca_file,
            tls_verify=self._tls_verify,
            now=now,
        )
        self._drain(now)

    def _drain(self, now: float) -> None:
        if self._exchange is None:
            return
        for output in self._exchange.outputs():
            match output:
                case HttpAnswered():
                    self._exchange = None
                    self._on_answer(output.status, now)
                    return
                case HttpFailed():
                    self._exchange = None
                    self._again(output.reason, now)
                    return
                case Resolve() | OpenStream() | SendStream() | CloseFlow():
                    self._outbox.put(output)
                case _:
                    assert_never(output)

    def _on_answer(self, status: int, now: float) -> None:
        # 408 and 429 say that another time is better.
        if not (200 <= status < 300 or (400 <= status < 500 and status not in (408, 429))):
            self._again(f"the server answers {status}", now)
            return
        request, _ = self._waiting.popleft()
        self._failures = 0
        done = FeedbackSent(request) if status < 300 else FeedbackFailed(request, f"the server answers {status}")
        self._outbox.put(done)
        self._go_on(now)

    def _again(self, reason: str, now: float) -> None:
        request, _ = self._waiting[0]
        bound = min(MAX_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        pause = bound * (0.5 + self._context.entropy.fraction("feedback") / 2)
        self._failures += 1
        self._retry_at = now + pause
        self._outbox.put(FeedbackFailed(request, reason, pause))
