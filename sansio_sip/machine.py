"""The contract of every machine.

Theory of operation
-------------------
A machine is an object that thinks and never acts. Its *inputs* are methods named for what happened; each takes the
time as keyword-only `now` (seconds, monotonic, never going back) and may leave *outputs*, frozen dataclasses, in one
ordered queue. `poll_output()` takes the oldest; it computes nothing, so inputs may follow each other without a drain
between them. `next_timeout()` says when `handle_timeout()` wants to be called; calling it early, late or twice is
harmless. Bytes from the network never raise; a command that cannot be done raises `LocalProtocolError` before it has
changed anything.

A parent owns its children, drains a child at once after touching it (`match`, closed by `assert_never`), and folds
their deadlines into its own. A child never calls its parent and takes no callback.

`RootMachine` is the part that a driver sees. A driver runs any root machine: a softphone, a server, a load generator.
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from .effects import Address, FlowId, Record, TlsPeer

__all__ = ["Machine", "Outbox", "RootMachine"]

OutputT = TypeVar("OutputT")
OutputT_co = TypeVar("OutputT_co", covariant=True)


class Machine(Protocol[OutputT_co]):
    """Time and outputs: what all machines share. The other inputs are each machine's own."""

    def handle_timeout(self, *, now: float) -> None:
        """Fires all timers due at `now`, in (deadline, name) order."""

    def next_timeout(self) -> float | None:
        """When to call `handle_timeout`, or None. A pure query."""

    def poll_output(self) -> OutputT_co | None:
        """Takes the oldest output, or None."""

    def outputs(self) -> Iterator[OutputT_co]:
        """Takes outputs until there are none."""


class RootMachine(Machine[OutputT_co], Protocol[OutputT_co]):
    """What a driver feeds. An input about a flow that the machine has closed or never opened is ignored."""

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        """`OpenStream`, `OpenDatagram` or `Listen` has succeeded. `local` is the address in use."""

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
        """A stream came in at a listener."""

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        """A flow could not be opened, or has ended other than by `CloseFlow`. `reason` is for people."""

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        """Octets arrived. `b""`: the peer sends no more."""

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        """A datagram arrived."""

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        """The answer to `Resolve`. Empty: not found."""

    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        """The IP addresses that this host has now. Given once at the start, and again on each change."""


class Outbox(Generic[OutputT]):
    """The one ordered queue of a machine's outputs."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[OutputT] = deque()

    def put(self, output: OutputT) -> None:
        self._queue.append(output)

    def poll(self) -> OutputT | None:
        return self._queue.popleft() if self._queue else None

    def drain(self) -> Iterator[OutputT]:
        """Takes outputs until there are none, those put in while iterating included."""
        while self._queue:
            yield self._queue.popleft()

    def __len__(self) -> int:
        return len(self._queue)
