"""The flows of one account: a signalling for each line, each to a server of its own (RFC 5626 section 4.2).

Theory of operation
-------------------
Line 1 begins with the first server of the list, line 2 with the second, and so on round; what two of them would both
come to is left to the one that was there first (`places.Places`). So with as many servers as lines each line keeps its
server, and comes back to it when it was gone; with fewer lines the rest of the list is there for whoever loses its own.
A domain that the DNS leads to several servers is shared out the same way.

What goes in finds its line by its flow, or by the number of its question; what comes out says of which line it is.
"""

from collections.abc import Iterator

from sansio_sip.context import Context
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenDatagram, OpenStream, Record, Resolve, TlsPeer
from sansio_sip.places import Places
from sansio_sip.server_url import ServerUrl
from sansio_sip.signalling import Signalling, SignallingOutput
from sansio_sip.sip.transport import Hop
from sansio_sip.timers import earlier

from .call_info import AccountId
from .options import AccountOptions

__all__ = ["AccountFlows"]


class AccountFlows:
    """The machine of all signalling of an account. Lines are named by their reg-ids, from 1."""

    def __init__(self, context: Context, account: AccountId, options: AccountOptions) -> None:
        servers = options.server_urls()
        places = Places()
        self._rows = {
            number: Signalling(
                context,
                # The first has the name that an account with one flow gives its flows.
                account if number == 1 else f"{account}/{number}",
                _in_turn(servers, number - 1),
                # A port that was asked for can be bound once.
                bind=options.bind if number == 1 else options.bind._replace(port=0),
                pause=options.reconnect,
                ca_file=options.ca_file,
                tls_verify=options.tls_verify,
                places=places,
            )
            for number in range(1, options.flows + 1)
        }
        self._owners: dict[FlowId, int] = {}
        self._queries: dict[int, tuple[int, int]] = {}  # whose question, and its number there
        self._query = 0
        self._resting: set[int] = set()  # lines that nobody wants to be open

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_connecting(self) -> bool:
        """Whether any is being opened."""
        return any(row.is_connecting for row in self._rows.values())

    # Commands

    def connect(self, *, now: float) -> None:
        """Opens all that are not at rest."""
        for number, row in self._rows.items():
            if number not in self._resting:
                row.connect(now=now)

    def close(self, *, now: float) -> None:
        """Closes all; none is at rest any more."""
        self._resting.clear()
        for row in self._rows.values():
            row.close(now=now)

    def rest(self, line: int, *, now: float) -> None:
        """Closes one, until `wake`."""
        self._resting.add(line)
        self._rows[line].close(now=now)

    def wake(self, *, now: float) -> tuple[int, ...]:
        """Opens those at rest; returns which."""
        woken = tuple(sorted(self._resting))
        self._resting.clear()
        for line in woken:
            self._rows[line].connect(now=now)
        return woken

    def hurry(self, on: bool) -> None:
        """Whether tries to open a flow follow each other closely."""
        for row in self._rows.values():
            row.hurry(on)

    def fail_over(self, line: int, reason: str, *, now: float) -> bool:
        return self._rows[line].fail_over(reason, now=now)

    def move(self, line: int, server: ServerUrl, reason: str, *, now: float) -> None:
        self._rows[line].move(server, reason, now=now)

    def reopen(self, line: int, reason: str, *, now: float) -> None:
        self._rows[line].reopen(reason, now=now)

    def is_line_connecting(self, line: int) -> bool:
        return self._rows[line].is_connecting

    def flow_timer(self, line: int, seconds: float | None, *, now: float) -> None:
        """The server of a line gives its flow up after so much silence (RFC 5626 section 4.4)."""
        self._rows[line].flow_timer(seconds, now=now)

    def send(self, data: bytes, hop: Hop, *, now: float) -> None:
        """Sends a message by the line of its flow; nothing where that flow is gone."""
        if len(self._rows) == 1 or hop.flow in self._owners:
            self._of(hop.flow).send(data, hop, now=now)

    # Inputs

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None, peer: TlsPeer | None, *, now: float
    ) -> None:
        self._of(flow).flow_opened(flow, local, remote, peer, now=now)

    def flow_accepted(self, flow: FlowId, local: Address, remote: Address, *, now: float) -> None:
        # Who has several lines has servers, and listens nowhere.
        self._rows[1].flow_accepted(flow, local, remote, now=now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._of(flow).flow_lost(flow, reason, now=now)
        self._owners.pop(flow, None)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._of(flow).receive_stream(flow, data, now=now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._of(flow).receive_datagram(flow, data, source, now=now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        line, asked = self._queries.pop(query, (1, query))
        self._rows[line].resolved(asked, records, now=now)

    def handle_timeout(self, *, now: float) -> None:
        for row in self._rows.values():
            row.handle_timeout(now=now)

    def next_timeout(self) -> float | None:
        deadline: float | None = None
        for row in self._rows.values():
            deadline = earlier(deadline, row.next_timeout())
        return deadline

    def poll_output(self) -> tuple[int, SignallingOutput] | None:
        """What is said next, and of which line it is."""
        for number, row in self._rows.items():
            output = row.poll_output()
            if output is not None:
                return number, self._noted(number, output)
        return None

    def outputs(self) -> Iterator[tuple[int, SignallingOutput]]:
        while (output := self.poll_output()) is not None:
            yield output

    # Small helpers

    def _of(self, flow: FlowId | None) -> Signalling:
        return self._rows[self._owners.get(flow, 1) if flow is not None else 1]

    def _noted(self, line: int, output: SignallingOutput) -> SignallingOutput:
        if len(self._rows) == 1:
            return output
        match output:
            case OpenStream() | OpenDatagram():
                self._owners[output.flow] = line
            case CloseFlow():
                self._owners.pop(output.flow, None)
            case Resolve():
                self._query += 1
                self._queries[self._query] = (line, output.query)
                return Resolve(self._query, output.name, output.kind)
            case _:
                pass
        return output


def _in_turn(servers: tuple[ServerUrl, ...], first: int) -> tuple[ServerUrl, ...]:
    """The list, begun further on."""
    if not servers:
        return servers
    start = first % len(servers)
    return servers[start:] + servers[:start]
