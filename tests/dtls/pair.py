"""Two ends of DTLS in virtual time, with a network between them that a test writes."""

import random
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Literal

from sansio_sip.context import Context, Entropy
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip_media.crypto import CryptoProvider, DtlsRole
from sansio_sip_media.dtls import DtlsOutput, DtlsTransport, SendRecords
from sansio_sip_media.dtls_record import MTU, ContentType, split_records

__all__ = ["DELAY", "Network", "Pair", "context", "kinds", "losing", "lossy", "whole"]

Side = Literal["client", "server"]

# What becomes of the n-th datagram of a side: the datagrams that arrive, each with its delay in seconds.
Network = Callable[[Side, int, bytes], Iterable[tuple[float, bytes]]]

DELAY = 0.05


def context(seed: int = 0) -> Context:
    return Context(Entropy(random.Random(seed)))


def whole(side: Side, index: int, data: bytes) -> Iterable[tuple[float, bytes]]:
    """Everything arrives."""
    yield DELAY, data


def losing(*lost: tuple[Side, int]) -> Network:
    """Loses the datagrams named, each by side and index."""

    def network(side: Side, index: int, data: bytes) -> Iterable[tuple[float, bytes]]:
        if (side, index) not in lost:
            yield DELAY, data

    return network


def lossy(seed: int, loss: float) -> Network:
    """Loses a share, delays the others by 25 to 75 ms; each draw follows from (seed, side, index)."""

    def network(side: Side, index: int, data: bytes) -> Iterable[tuple[float, bytes]]:
        draws = random.Random(f"{seed} {side} {index}")
        if draws.random() >= loss:
            yield DELAY * (0.5 + draws.random()), data

    return network


def kinds(data: bytes) -> list[tuple[str, int]]:
    """The records of a datagram: content type and epoch."""
    return [(ContentType(record.type).name, record.epoch) for record in split_records(data)]


class Pair:
    """A client and a server. `events` holds what each has said other than records, with its time in seconds."""

    def __init__(
        self,
        client: CryptoProvider,
        server: CryptoProvider,
        network: Network = whole,
        *,
        client_wants: tuple[Fingerprint, ...] | None = None,
        server_wants: tuple[Fingerprint, ...] | None = None,
    ) -> None:
        if client_wants is None:
            client_wants = (server.certificate_fingerprint,)
        if server_wants is None:
            server_wants = (client.certificate_fingerprint,)
        self.now = 0.0
        self.client = DtlsTransport(context(1), client, role="client", fingerprints=client_wants)
        self.server = DtlsTransport(context(2), server, role="server", fingerprints=server_wants)
        self.sent: dict[Side, list[bytes]] = {"client": [], "server": []}
        self.events: dict[Side, list[DtlsOutput]] = {"client": [], "server": []}
        self.times: dict[Side, list[float]] = {"client": [], "server": []}
        self._network = network
        self._flying: list[tuple[float, int, Side, bytes]] = []
        self._serial = 0

    def end(self, side: DtlsRole) -> DtlsTransport:
        return self.client if side == "client" else self.server

    def start(self, rtt: float | None = None) -> None:
        self.client.start(rtt=rtt, now=self.now)
        self.server.start(rtt=rtt, now=self.now)
        self.flush()

    def flush(self) -> None:
        """Hands what both ends have to send to the network."""
        sides: tuple[tuple[Side, Side], ...] = (("client", "server"), ("server", "client"))
        for side, other in sides:
            for output in self.end(side).outputs():
                if not isinstance(output, SendRecords):
                    self.events[side].append(output)
                    self.times[side].append(self.now)
                    continue
                assert 0 < len(output.data) <= MTU
                self.sent[side].append(bytes(output.data))
                for delay, data in self._network(side, len(self.sent[side]) - 1, bytes(output.data)):
                    self._serial += 1
                    heappush(self._flying, (self.now + delay, self._serial, other, data))

    def run(self, until: float = 1e9) -> "Pair":
        """Runs until nothing is under way or `until` has come."""
        self.flush()
        while True:
            due = [when for when in (self.client.next_timeout(), self.server.next_timeout()) if when is not None]
            if self._flying:
                due.append(self._flying[0][0])
            if not due or min(due) > until:
                return self
            self.now = min(due)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, side, data = heappop(self._flying)
                self.end(side).receive(data, now=self.now)
            self.client.handle_timeout(now=self.now)
            self.server.handle_timeout(now=self.now)
            self.flush()
