"""The root machine that tries one case after another, each on a flow of its own."""

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sansio_sip.connection import (
    ANY_ADDRESS,
    ConnectionFailed,
    ConnectionLost,
    ConnectionOpened,
    MessageArrived,
    SignallingConnection,
)
from sansio_sip.context import Context
from sansio_sip.effects import Address, Effect, FlowId, Record, TlsPeer
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.server_url import ServerUrl
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import parse_message
from sansio_sip.sip.transport import Hop

from .case import Case, Result
from .end import End, Target
from .script import Garbled, Heard, Outcome, Role, Send, Step, Verdict, Wait

__all__ = ["CaseFinished", "CaseStarted", "ConformanceRun", "RunFinished", "RunOutput"]

# A target that has closed a flow may need a moment before it takes another: two pauses between REFUSALS tries, of 0.1
# to 0.2 s and of 0.2 to 0.4 s.
PAUSE = (0.2, 0.4)  # seconds, as SignallingConnection takes them

# So many refused connections in a row, and it is not there.
REFUSALS = 3

_STATUS_LINE = re.compile(rb"SIP/2\.0 (\d{3}) ")

# A target that has said nothing in so many cases is not there: OPTIONS and a call are among the first.
MUTE = 3

# No case has a reason to go on for longer, whatever the target sends.
MAX_CASE = 120.0  # seconds


@dataclass(frozen=True, slots=True)
class CaseStarted:
    """`number` from 1, of `total`."""

    case: Case
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class CaseFinished:
    result: Result


@dataclass(frozen=True, slots=True)
class RunFinished:
    """All cases have their verdicts; or, with `error`, the target could not be reached."""

    results: tuple[Result, ...]
    error: str = ""


RunOutput: TypeAlias = Effect | CaseStarted | CaseFinished | RunFinished


class ConformanceRun:
    """Tries cases on a target.

    Args:
        server: where the target is; None for a target that calls us: then it is wherever its calls come from.
        bind: our local address on UDP. A target that calls us is told this one, so it needs a port.
        ca_file, tls_verify: as of `SignallingConnection`.
        lively: whether the target is known to answer OPTIONS; where it is not, a silent target may have died.

    Attributes:
        lively: the same, as far as it is known by now.
    """

    def __init__(
        self,
        context: Context,
        target: Target,
        cases: Sequence[Case],
        *,
        server: ServerUrl | None,
        bind: Address = ANY_ADDRESS,
        ca_file: str | None = None,
        tls_verify: bool = True,
        lively: bool | None = None,
    ) -> None:
        if server is None and target.role is not Role.UAC:
            raise LocalProtocolError(f"a target that is a {target.role.value} has to be reached: give its server")
        self._context = context
        self._target = target
        self._cases = tuple(cases)
        self._server = server
        self._bind = bind
        self._ca_file, self._tls_verify = ca_file, tls_verify
        self._outbox: Outbox[RunOutput] = Outbox()
        self._results: list[Result] = []
        self._connection: SignallingConnection | None = None
        self._hop: Hop | None = None
        self._end: End | None = None
        self._script: Generator[Step, Heard, Result] | None = None
        self._until: float | None = None
        self._began = 0.0
        self.lively = lively
        self._refusals = 0
        self._heard = False
        self._heard_from: Address | None = None
        self._finished = False

    def interrupt(self, *, now: float) -> None:
        """Leaves the rest out; the results so far stand."""
        if not self._finished:
            self._finish(now)

    # Inputs

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        """The start."""
        if self._connection is None and not self._finished and not self._results:
            self._next_case(now)

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        if self._connection is not None:
            self._connection.flow_opened(flow, local, remote, peer, now=now)
            self._drain(now)

    def flow_accepted(
        self,
        listener: FlowId,
        flow: FlowId,
        local: Address,
        remote: Address,
        peer: TlsPeer | None = None,
        *,
        now: float,
    ) -> None:
        """Nothing listens here."""

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if self._connection is not None:
            self._connection.flow_lost(flow, reason, now=now)
            self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if self._connection is not None:
            self._connection.receive_stream(flow, data, now=now)
            self._drain(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if self._connection is not None:
            self._connection.receive_datagram(flow, data, source, now=now)
            self._drain(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        if self._connection is not None:
            self._connection.resolved(query, records, now=now)
            self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        if self._connection is not None:
            due = self._connection.next_timeout()
            if due is not None and due <= now:
                self._connection.handle_timeout(now=now)
                self._drain(now)
        if self._until is not None and self._until <= now:
            self._resume(None, now)
            self._drain(now)

    def next_timeout(self) -> float | None:
        inner = self._connection.next_timeout() if self._connection is not None else None
        return min((each for each in (inner, self._until) if each is not None), default=None)

    def poll_output(self) -> RunOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[RunOutput]:
        return self._outbox.drain()

    # One case

    def _next_case(self, now: float) -> None:
        number = len(self._results)
        if not self._heard and self._server is not None and number == MUTE:
            self._finish(now, f"the target has said nothing in {MUTE} cases")
            return
        if number == len(self._cases):
            self._finish(now)
            return
        case = self._cases[number]
        self._outbox.put(CaseStarted(case, number + 1, len(self._cases)))
        self._began = now
        self._heard_from = None
        if self._connection is not None:  # of a target that calls us: calls must find somebody at any time
            assert self._hop is not None
            self._begin(self._hop, now)
            return
        servers = (self._server,) if self._server is not None else ()
        self._connection = SignallingConnection(
            self._context,
            f"case{number + 1}",
            servers,
            bind=self._bind,
            pause=PAUSE,
            ca_file=self._ca_file,
            tls_verify=self._tls_verify,
        )
        self._connection.connect(now=now)
        self._drain(now)

    def _begin(self, hop: Hop, now: float) -> None:
        case = self._cases[len(self._results)]
        self._end = End(self._context, self._target, hop, now=now, lively=self.lively)
        self._script = _judged(case, self._end, now)
        self._resume(None, now)

    def _resume(self, message: Heard, now: float) -> None:
        """Has the script go on until it waits again, or ends."""
        script, end, connection = self._script, self._end, self._connection
        if script is None or end is None or connection is None:
            return
        end.now = now
        self._until = None
        try:
            step = script.send(message)
            while isinstance(step, Send):
                self._send(step.data, now)
                step = script.send(None)
        except StopIteration as stop:
            self.lively = end.lively
            self._end_case(stop.value, now)
            return
        assert isinstance(step, Wait)
        # With the flow gone there is nothing to wait for.
        self._until = now if end.closed else min(step.until, max(now, self._began + MAX_CASE))
        if now >= self._began + MAX_CASE:
            script.close()
            for leg in end.legs:  # without waiting for what the target makes of it
                if not leg.ended:
                    self._send(bytes(end.request("BYE", leg=leg)), now)
            late = Result(
                self._cases[len(self._results)], Verdict.FAIL, f"no end within {MAX_CASE:.0f} s", now - self._began
            )
            self._end_case(late, now)

    def _send(self, data: bytes, now: float) -> None:
        assert self._connection is not None
        assert self._end is not None
        if self._end.closed:
            return
        try:
            self._connection.send(data, self._heard_from, now=now)
        except LocalProtocolError:
            self._end.closed = True

    def _end_case(self, result: Result, now: float) -> None:
        self._results.append(result)
        self._outbox.put(CaseFinished(result))
        if self._server is not None:
            self._leave_flow(now)
        self._script = self._end = self._until = None
        self._next_case(now)

    def _leave_flow(self, now: float) -> None:
        self._script = self._end = None
        self._until = None
        connection, self._connection = self._connection, None
        if connection is not None:
            self._take_effects(connection)
            connection.close(now=now)
            self._take_effects(connection)

    def _take_effects(self, connection: SignallingConnection) -> None:
        for output in connection.outputs():
            if not isinstance(output, ConnectionOpened | ConnectionLost | ConnectionFailed | MessageArrived):
                self._outbox.put(output)

    def _finish(self, now: float, error: str = "") -> None:
        self._leave_flow(now)
        self._finished = True
        self._outbox.put(RunFinished(tuple(self._results), error))

    def _drain(self, now: float) -> None:
        connection = self._connection
        while connection is not None and connection is self._connection:
            output = next(connection.outputs(), None)
            match output:
                case None:
                    return
                case ConnectionOpened(hop):
                    self._refusals = 0
                    if self._script is None:
                        self._hop = hop
                        self._begin(hop, now)
                case ConnectionLost():
                    self._on_lost(now)
                case ConnectionFailed(reason):
                    self._refusals += 1
                    if self._script is None and self._refusals == REFUSALS:
                        self._finish(now, f"the target cannot be reached: {reason}")
                case MessageArrived(data, hop):
                    self._heard = True
                    if self._server is None:
                        self._heard_from = hop.address
                    self._resume(_parsed(data), now)
                case _:
                    self._outbox.put(output)

    def _on_lost(self, now: float) -> None:
        if self._end is not None and not self._end.closed:
            self._end.closed = True
            self._until = now


def _parsed(data: bytes) -> Request | Response | Garbled:
    try:
        return parse_message(data)
    except ParseError as error:
        status = _STATUS_LINE.match(data)
        return Garbled(int(status[1]) if status else 0, str(error))


def _judged(case: Case, end: End, began: float) -> Generator[Step, Heard, Result]:
    """The script, its verdict, and what clears up after it."""
    verdict, detail = Verdict.PASS, ""
    try:
        yield from case.script(end)
    except Outcome as outcome:
        verdict, detail = outcome.verdict, str(outcome)
    except ParseError as error:  # of a header that the script has looked at
        verdict, detail = Verdict.FAIL, f"the target has sent a malformed header: {error}"
    yield from end.farewell()
    return Result(case, verdict, detail, end.now - began)
