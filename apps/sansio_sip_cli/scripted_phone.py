"""A phone that follows a plan: the root machine behind `call`, `answer`, `register` and the demo.

The plan is told every event of the phone, has one alarm, and gives the phone commands. Being a machine itself, a
scripted phone runs on either driver, and in the simulation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sansio_sip.effects import Address, FlowId, Record, TlsPeer
from sansio_sip.machine import Outbox
from sansio_sip.softphone import events
from sansio_sip.softphone.softphone import Softphone, SoftphoneOutput

__all__ = ["Finished", "Plan", "ScriptedPhone"]


@dataclass(frozen=True, slots=True)
class Finished:
    """The plan is done and the phone is closed. `exit_status` as in the command's contract."""

    exit_status: int
    error: str = ""


Output: TypeAlias = SoftphoneOutput | Finished


class Plan(Protocol):
    """What a phone is to do."""

    exit_status: int
    error: str

    @property
    def alarm(self) -> float | None:
        """When `on_alarm` is next due; a past one is taken away by that call."""

    def begin(self, phone: Softphone, *, now: float) -> None: ...

    def on_event(self, phone: Softphone, event: Any, *, now: float) -> None: ...

    def on_alarm(self, phone: Softphone, *, now: float) -> None: ...

    def on_interrupt(self, phone: Softphone, *, now: float) -> None: ...

    def end(self) -> None:
        """The phone is gone: close every file."""


class ScriptedPhone:
    """The root machine. `interrupt` is what Ctrl-C means."""

    def __init__(self, phone: Softphone, plan: Plan) -> None:
        self.phone = phone
        self.plan = plan
        self._outbox: Outbox[Output] = Outbox()
        self._begun = False

    def interrupt(self, *, now: float) -> None:
        self.plan.on_interrupt(self.phone, now=now)
        self._drain(now)

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        self.phone.interfaces_changed(addresses, now=now)
        if not self._begun:
            self._begun = True
            self.plan.begin(self.phone, now=now)
        self._drain(now)

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        self.phone.flow_opened(flow, local, remote, peer, now=now)
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
        self.phone.flow_accepted(listener, flow, local, remote, peer, now=now)
        self._drain(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self.phone.flow_lost(flow, reason, now=now)
        self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self.phone.receive_stream(flow, data, now=now)
        self._drain(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self.phone.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self.phone.resolved(query, records, now=now)
        self._drain(now)

    def handle_timeout(self, *, now: float) -> None:
        deadline = self.phone.next_timeout()
        if deadline is not None and deadline <= now:
            self.phone.handle_timeout(now=now)
        if self.plan.alarm is not None and self.plan.alarm <= now:
            self.plan.on_alarm(self.phone, now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        deadlines = (self.phone.next_timeout(), self.plan.alarm)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> Output | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[Output]:
        return self._outbox.drain()

    def emit(self, output: Output, now: float) -> None:
        """Hands an output on; the plan has not been told of it yet."""
        self._outbox.put(output)

    def _drain(self, now: float) -> None:
        for output in self.phone.outputs():
            self.emit(output, now)
            if isinstance(output, events.Closed):
                self._outbox.put(Finished(self.plan.exit_status, self.plan.error))
            elif hasattr(output, "as_dict"):
                self.plan.on_event(self.phone, output, now=now)
