"""Asks one STUN or TURN server for an address, as a call does: by a media session that never connects."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from sansio_sip.effects import Address, CloseFlow, Effect, FlowId, Record, TlsPeer
from sansio_sip.machine import Outbox
from sansio_sip.softphone.media_plane import LocalDescription, MediaFailed, MediaNotice, MediaOptions, SessionId
from sansio_sip_media.engine import MediaEngine

__all__ = ["Gathered", "IceProbe"]

SESSION = SessionId("probe")


class Gathered:
    """The last output: the candidates of this kind, and what was said of servers that gave nothing."""

    def __init__(self, candidates: tuple[str, ...], problems: tuple[str, ...]) -> None:
        self.candidates = candidates
        self.problems = problems


Output: TypeAlias = Effect | Gathered


class IceProbe:
    """The root machine. `options` name the server; `patience`: seconds for it all."""

    def __init__(self, engine: MediaEngine, options: MediaOptions, patience: float = 12.0) -> None:
        self._engine = engine
        self._options = options
        self._patience = patience
        self._deadline: float | None = None
        self._begun = False
        self._problems: list[str] = []
        self._outbox: Outbox[Output] = Outbox()

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        if not self._begun:
            self._begun = True
            self._deadline = now + self._patience
            self._engine.open_session(SESSION, self._options, now=now)
            self._engine.create_offer(SESSION, now=now)
            self._drain(now)

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        self._engine.flow_opened(flow, local, peer, now=now)
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
        self._outbox.put(CloseFlow(flow))  # nothing was ever listened at

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._problems.append(reason)
        self._engine.flow_lost(flow, reason, now=now)
        self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._engine.receive_stream(flow, data, now=now)
        self._drain(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._engine.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self._engine.resolved(query, records, now=now)
        self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        self._engine.handle_timeout(now=now)
        self._drain(now)
        if self._deadline is not None and now >= self._deadline:
            self._end((), now)

    def next_timeout(self) -> float | None:
        deadlines = (self._engine.next_timeout(), self._deadline)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> Output | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[Output]:
        return self._outbox.drain()

    def _drain(self, now: float) -> None:
        output: Any
        for output in self._engine.outputs():
            match output:
                case LocalDescription():
                    section = output.description.media[0]
                    rows = section.get_all("candidate")
                    self._end(rows, now)
                case MediaNotice():
                    self._problems.append(output.text)
                case MediaFailed():
                    self._problems.append(output.reason)
                    self._end((), now)
                case _ if isinstance(output, Effect):
                    self._outbox.put(output)
                case _:
                    pass

    def _end(self, candidates: tuple[str, ...], now: float) -> None:
        if self._deadline is None:
            return
        self._deadline = None
        self._engine.close_session(SESSION, now=now)
        self._drain(now)
        self._outbox.put(Gathered(candidates, tuple(dict.fromkeys(self._problems))))
