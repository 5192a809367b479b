"""A root machine that is one end of DTLS-SRTP, so that a trace of it can be written and run again.

Imports no provider: where a trace is run again there is none.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.trace import RecordedOutbox, ReplayReport, recorded, replay
from sansio_sip_media.crypto import CryptoProvider, DtlsRole, local_fingerprint
from sansio_sip_media.dtls import DtlsTransport, HandshakeDone, SendRecords
from sansio_sip_media.srtp import SrtpTransport

__all__ = ["End", "Received", "Refused", "replay_trace"]

FLOW, PEER = FlowId("media"), Address("192.0.2.1", 5004)

RTP = bytes.fromhex("80000001000000a0deadbeef") + b"a secret word" * 10


@dataclass(frozen=True, slots=True)
class Received:
    packet: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    causes: tuple[tuple[str, int], ...]


class End:
    """Sends one packet of RTP and one of RTCP once connected, and says what it gets."""

    def __init__(self, context: Context, crypto: CryptoProvider | None, role: DtlsRole) -> None:
        self._context = context
        self._crypto = crypto
        self._role = role
        self._dtls: DtlsTransport | None = None
        self._srtp: SrtpTransport | None = None
        self._outbox: RecordedOutbox[object] = RecordedOutbox(context.trace)

    @recorded
    def announce(self, *, now: float) -> None:
        self._outbox.put(local_fingerprint(self._context, self._crypto))

    @recorded
    def start(self, algorithm: str, value: str, *, now: float) -> None:
        wanted = (Fingerprint(algorithm, value),)
        self._dtls = DtlsTransport(self._context, self._crypto, role=self._role, fingerprints=wanted)
        self._dtls.start(now=now)
        self._drain()

    @recorded
    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if self._srtp is not None and data[:1] >= b"\x80":
            rtcp = 192 <= data[1] <= 223
            packet = self._srtp.unprotect_rtcp(data) if rtcp else self._srtp.unprotect(data)
            if packet is None:
                self._outbox.put(Refused(tuple(sorted(self._srtp.rejected.items()))))
            else:
                self._outbox.put(Received(packet))
        elif self._dtls is not None:
            self._dtls.receive(data, now=now)
            self._drain()

    @recorded
    def close(self, *, now: float) -> None:
        if self._dtls is not None:
            self._dtls.close(now=now)
            self._drain()

    @recorded
    def handle_timeout(self, *, now: float) -> None:
        if self._dtls is not None:
            self._dtls.handle_timeout(now=now)
            self._drain()

    def next_timeout(self) -> float | None:
        return self._dtls.next_timeout() if self._dtls is not None else None

    def poll_output(self) -> object | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[object]:
        return self._outbox.drain()

    def _drain(self) -> None:
        assert self._dtls is not None
        for output in self._dtls.outputs():
            if isinstance(output, SendRecords):
                self._outbox.put(SendDatagram(FLOW, output.data, PEER))
                continue
            self._outbox.put(output)
            if isinstance(output, HandshakeDone):
                self._srtp = self._dtls.srtp()
                self._send(self._srtp.protect(RTP))
                self._send(self._srtp.protect_rtcp(bytes.fromhex("80c90001deadbeef")))

    def _send(self, packet: bytes | None) -> None:
        if packet is not None:
            self._outbox.put(SendDatagram(FLOW, packet, PEER))


def replay_trace(lines: Iterable[str]) -> ReplayReport:
    def build(kind: str, options: Mapping[str, Any], context: Context) -> Any:
        return End(context, None, options["role"])

    return replay(lines, build)
