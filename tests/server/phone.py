"""A phone without media: an account of the real stack as a root machine, for calls over a simulated network."""

from collections.abc import Iterator

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId, Record, TlsPeer
from sansio_sip.machine import Outbox
from sansio_sip.sip.call_events import CallAccepted, CallConfirmed, CallEnded, CallEvent, CallId, IncomingCall
from sansio_sip.sip.uri import SipUri
from sansio_sip.softphone.account import Account
from sansio_sip.softphone.account_outputs import AccountOutput, CallSaid
from sansio_sip.softphone.call_info import AccountId
from sansio_sip.softphone.options import AccountOptions

__all__ = ["Phone"]

OFFER, ANSWER = b"v=0 offer\r\n", b"v=0 answer\r\n"


class Phone:
    """Registers; answers what rings as `answers` says: True, a status to refuse with, or None to let it ring."""

    def __init__(self, context: Context, options: AccountOptions, *, answers: bool | int | None = True) -> None:
        self.account = Account(context, AccountId("account"), options)
        self.answers = answers
        self.calls: list[CallId] = []
        self.answered = 0
        self.ended: list[tuple[str, int]] = []
        self._outbox: Outbox[AccountOutput | CallEvent] = Outbox()

    # Commands

    def login(self, *, now: float) -> None:
        self.account.login(now=now)
        self._drain(now)

    def call(self, target: SipUri, *, now: float) -> None:
        self.calls.append(self.account.user_agent.invite(target, OFFER, now=now))
        self._touched(now)

    def hangup(self, *, now: float) -> None:
        self.account.user_agent.hangup(self.calls[-1], now=now)
        self._touched(now)

    def logout(self, *, now: float) -> None:
        self.account.logout(now=now)
        self._drain(now)

    # Inputs

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        self.account.flow_opened(flow, local, remote, peer, now=now)
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
        self.account.flow_accepted(flow, local, remote, now=now)
        self._drain(now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self.account.flow_lost(flow, reason, now=now)
        self._drain(now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self.account.receive_stream(flow, data, now=now)
        self._drain(now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self.account.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self.account.resolved(query, records, now=now)
        self._drain(now)

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        pass

    def handle_timeout(self, *, now: float) -> None:
        self.account.handle_timeout(now=now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        return self.account.next_timeout()

    def poll_output(self) -> AccountOutput | CallEvent | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[AccountOutput | CallEvent]:
        return self._outbox.drain()

    def _touched(self, now: float) -> None:
        self.account.touched(now=now)
        self._drain(now)

    def _drain(self, now: float) -> None:
        for output in self.account.outputs():
            said = output.event if isinstance(output, CallSaid) else output
            self._outbox.put(said)
            match said:
                case IncomingCall(call):
                    self.calls.append(call)
                    self._on_call(call, now)
                case CallAccepted() | CallConfirmed():
                    self.answered += 1
                case CallEnded(_, end):
                    self.ended.append((end.by, end.status))
                case _:
                    pass

    def _on_call(self, call: CallId, now: float) -> None:
        user_agent = self.account.user_agent
        if self.answers is True:
            user_agent.answer(call, ANSWER, now=now)
        elif self.answers is None:
            user_agent.ring(call, now=now)
        else:
            user_agent.reject(call, int(self.answers), now=now)
        self._touched(now)
