"""A client's command to say what its user thinks of a call."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import sansio_sip
from sansio_sip.effects import Address, FlowId, Record, TlsPeer
from sansio_sip.trace import recorded

from . import events
from .call_info import CallUuid
from .call_report import CallReport
from .client_events import FeedbackFailed, FeedbackSent
from .client_tones import ToneCommands
from .feedback import FeedbackQueue, checked_feedback
from .log_book import INFO
from .softphone import SoftphoneOutput

__all__ = ["FeedbackCommands"]

MAX_CALLS = 100  # past calls that feedback may still be about


class FeedbackCommands(ToneCommands):
    """See `sansio_sip.softphone.Client`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._feedback = FeedbackQueue(
            self._context,
            self._options.feedback_url,
            ca_file=self._options.ca_file,
            tls_verify=self._options.tls_verify,
        )
        self._feedbacks = 0
        self._known_calls: deque[CallUuid] = deque(maxlen=MAX_CALLS)

    @recorded
    def submit_call_quality_feedback(
        self,
        call_uuid: str | None,
        star_rating: float | str | None,
        issues: Sequence[str] | None = None,
        note: str | None = None,
        send_console_logs: bool = False,
        *,
        now: float,
    ) -> int:
        """Sends what a user thinks of a call (reference: submitCallQualityFeedback). Gives FeedbackSent.

        It is sent again until it has arrived. A front end with an event loop has this as a coroutine.

        Args:
            star_rating: 1 to 5, a whole number. issues: of `feedback.ISSUES`; at least one, unless the rating is 5.
            note: up to 280 characters.
            send_console_logs: the last lines of the log go along, without secrets.

        Returns:
            Its number; 0 where it breaks a rule: FeedbackFailed says which.
        """
        found = checked_feedback(self._username, call_uuid, star_rating, issues, note)
        if isinstance(found, str):
            return self._refuse_feedback(found, now)
        if found.call not in self._known_calls:
            return self._refuse_feedback(f"callUUID {found.call} is of no call of this client", now)
        if not self._options.feedback_url:
            return self._refuse_feedback("Options.feedback_url is empty: there is nowhere to send it", now)
        if self._feedback.is_full:
            return self._refuse_feedback(f"{len(self._feedback)} reports wait to be sent already", now)
        self._feedbacks += 1
        self._log(INFO, f"feedback {self._feedbacks} on call {found.call}: {found.rating} stars", now)
        unix = now + self._context.unix_offset
        call = CallUuid(found.call)
        report = CallReport(call, self._username, self._options.domain, unix)
        opinion = {"overall": found.rating, "comment": found.comment}
        self._tell(report.message("FEEDBACK", unix, info=opinion, sdkVersion=sansio_sip.__version__), call)
        body = found.body(self._log_book.lines() if send_console_logs else None)
        self._feedback.put(self._feedbacks, body, now=now)
        self._drain_feedback(now)
        return self._feedbacks

    # Inputs

    @recorded
    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        super().flow_opened(flow, local, remote, peer, now=now)
        self._feedback.flow_opened(flow, local, remote, peer, now=now)
        self._drain_feedback(now)

    @recorded
    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        super().flow_lost(flow, reason, now=now)
        self._feedback.flow_lost(flow, reason, now=now)
        self._drain_feedback(now)

    @recorded
    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        super().receive_stream(flow, data, now=now)
        self._feedback.receive_stream(flow, data, now=now)
        self._drain_feedback(now)

    @recorded
    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        super().resolved(query, records, now=now)
        self._feedback.resolved(query, records, now=now)
        self._drain_feedback(now)

    @recorded
    def handle_timeout(self, *, now: float) -> None:
        super().handle_timeout(now=now)
        self._feedback.handle_timeout(now=now)
        self._drain_feedback(now)

    def next_timeout(self) -> float | None:
        if self._closing:
            return super().next_timeout()
        deadlines = (super().next_timeout(), self._feedback.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # Inside

    def _noted(self, output: SoftphoneOutput, now: float) -> None:
        super()._noted(output, now)
        if isinstance(output, events.Calling | events.IncomingCall):
            self._known_calls.append(output.call)

    def _drain_feedback(self, now: float) -> None:
        for output in self._feedback.outputs():
            self._outbox.put(output)
            if isinstance(output, FeedbackSent | FeedbackFailed):
                self._log_event(output, now)

    def _refuse_feedback(self, reason: str, now: float) -> int:
        self._cannot("submit_call_quality_feedback", reason, now)
        self._outbox.put(FeedbackFailed(0, reason))
        return 0
