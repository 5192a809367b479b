"""DTLS-SRTP: one DTLS 1.2 association that gives two ends the keys of SRTP (RFC 5764, RFC 6347).

Theory of operation
-------------------
The handshake itself is done by an endpoint of the `CryptoProvider`, which knows no time. Here are the timer, the checks
and the end. Every call of the endpoint passes the oracle; a replay has no provider and answers from its trace.

Retransmission (RFC 6347 section 4.2.4) has two ends to please:

- A stranger's DTLS drops a record whose number it has seen, and says nothing. So a flight is made again by the
  endpoint, with new numbers. OpenSSL does so only when its own timer has run out by its own clock; our deadline is that
  timer's with a little added, so that it has.
- In virtual time OpenSSL's clock stands still, and it makes nothing. Then the flight that was kept goes out as it was.
  That heals a flight that was lost. Where it had arrived and the answer to it was lost, only our own kind of peer
  understands: it knows a datagram that it has had before, and sends its answer again.

Where ICE has measured the way there and back, a flight without an answer goes out more often, as it was: after three
round trips, then after twice that and so on, as long as an answer may still come before it is made anew; later, a
second after each time that it was. What was lost need not be waited for. On slow ways there is no room for it.

DTLS 1.3 (RFC 9147) has acknowledgements and other flights; the providers stay at 1.2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from sansio_sip.context import Context, Opaque
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import Outbox
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.timers import TimerSet

from .crypto import (
    CryptoProvider,
    DtlsEndpoint,
    DtlsRole,
    DtlsStatus,
    DtlsStep,
    SrtpProfile,
    fingerprints_match,
    usable_fingerprints,
)
from .dtls_record import well_formed
from .srtp import SrtpTransport

__all__ = [
    "DtlsOutput",
    "DtlsState",
    "DtlsTransport",
    "HandshakeDone",
    "HandshakeFailed",
    "PeerClosed",
    "SendRecords",
]

# "Implementations SHOULD use an initial timer value of 1 second [...] and double the value at each retransmission, up
# to no less than the RFC 6298 maximum of 60 seconds" (RFC 6347 section 4.2.4.1). OpenSSL's own timer does so. We stop
# doubling at 2 s, and send the kept flight while OpenSSL still waits: somebody listens to a call without media, at 50 %
# loss a flight and its answer need four tries on average, and a kilobyte in two seconds congests nothing.
INITIAL_TIMEOUT = 1.0
LONGEST_TIMEOUT = 2.0

# RFC 9147 section 5.8.2 asks for the initial second "unless implementations have deployment-specific and/or external
# information about the round-trip time". RFC 6298 section 2.2 makes three round trips of a first measurement; a slow
# peer may need some time to compute.
ROUND_TRIPS = 3
SHORTEST_TIMEOUT = 0.2

# Added to OpenSSL's own deadline, so that it has passed by OpenSSL's clock when we ask.
TIMER_MARGIN = 0.05

# By then sixty retransmissions have found no answer. A person has given the call up long before.
HANDSHAKE_TIMEOUT = 120.0

# A repeated datagram is answered once in this time: a flight of several datagrams is repeated as several.
ANSWER_SPACING = 0.2

# Datagrams kept that came before `start`, or since our last flight. A flight is one to four of them.
MAX_KEPT = 16


class DtlsState(Enum):
    """An association has one life.

             start              handshake and certificate right
    NEW ------------> HANDSHAKING ------------> CONNECTED
     |                  |      |                    | close_notify or fatal alert of the peer, or close
     | close            |      | close              v
     |                  |      +---------------> CLOSED
     +------------------|------------------------^
                        | alert, wrong certificate, no profile, no answer
                        v
                      FAILED
    """

    NEW = "new"
    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


class Timer(Enum):
    """REPEAT: the kept flight goes out again, ahead of RETRANSMIT."""

    REPEAT = "repeat"
    RETRANSMIT = "retransmit"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class SendRecords:
    """Send one datagram."""

    data: Opaque


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """The peer is the one that its fingerprint announced, and `DtlsTransport.srtp()` can be had."""

    profile: SrtpProfile


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """There will be no keys. `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer has ended a finished association. `reason`: `close_notify`, or its alert in words."""

    reason: str


DtlsOutput: TypeAlias = SendRecords | HandshakeDone | HandshakeFailed | PeerClosed


class DtlsTransport:
    """One association.

    Args:
        crypto: None in a replay.
        role: `client` (SDP `a=setup:active`) or `server` (`passive`).
        fingerprints: the peer's, from its SDP. Its certificate must match one of those of the best hash.
    """

    def __init__(
        self,
        context: Context,
        crypto: CryptoProvider | None,
        *,
        role: DtlsRole,
        fingerprints: tuple[Fingerprint, ...],
    ) -> None:
        self.role = role
        self._context = context
        self._crypto = crypto
        self._endpoint: DtlsEndpoint | None = crypto.dtls_endpoint(role) if crypto is not None else None
        self._fingerprints = usable_fingerprints(fingerprints)
        self._state = DtlsState.NEW
        self._profile: SrtpProfile | None = None
        self._outbox: Outbox[DtlsOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()
        self._timeout = INITIAL_TIMEOUT
        self._first_repeat = self._repeat_in = INITIAL_TIMEOUT
        self._early: list[bytes] = []
        # Our last flight, when it last went out, and the datagrams that it answers.
        self._flight: tuple[Opaque, ...] = ()
        self._sent_at = 0.0
        self._answered: frozenset[bytes] = frozenset()
        self._heard: list[bytes] = []
        self.retransmissions = 0
        self.malformed = 0

    @property
    def state(self) -> DtlsState:
        return self._state

    @property
    def profile(self) -> SrtpProfile | None:
        """Of SRTP, once CONNECTED."""
        return self._profile

    def start(self, *, rtt: float | None = None, now: float) -> None:
        """Begins: the client speaks first, the server takes what came early. Once a validated pair is there.

        Args:
            rtt: seconds there and back on that pair, where they were measured.

        Outputs: `SendRecords`, or `HandshakeFailed` where the peer announced no fingerprint that can be checked.

        Raises:
            LocalProtocolError: it was started or closed before.
        """
        if self._state is not DtlsState.NEW:
            raise LocalProtocolError(f"cannot start DTLS: state is {self._state.value}; make a new transport")
        self._state = DtlsState.HANDSHAKING
        if rtt is not None:
            self._first_repeat = max(ROUND_TRIPS * rtt, SHORTEST_TIMEOUT)
        if not self._fingerprints:
            self._fail("the peer announced no fingerprint of a hash function in use")
            return
        self._timers.arm(Timer.GIVE_UP, now + HANDSHAKE_TIMEOUT)
        self._take(self._ask("dtls.start", lambda endpoint: endpoint.start()), now)
        early, self._early = self._early, []
        for data in early:
            self.receive(data, now=now)

    def receive(self, data: bytes, *, now: float) -> None:
        """Takes a datagram from the validated pair. What is no DTLS is counted in `malformed` and forgotten.

        Outputs: `SendRecords`, `HandshakeDone`, `HandshakeFailed`, `PeerClosed`.
        """
        records = well_formed(data)
        if not records:
            self.malformed += 1
        elif self._state is DtlsState.NEW:
            # The peer may be ahead of us: its check succeeded first. Dropped, its flight would come again in a second.
            if len(self._early) < MAX_KEPT:
                self._early.append(records)
        elif self._state in (DtlsState.HANDSHAKING, DtlsState.CONNECTED):
            step = self._ask("dtls.receive", lambda endpoint: endpoint.receive(records), records)
            if len(self._heard) < MAX_KEPT and self._state is DtlsState.HANDSHAKING:
                self._heard.append(records)
            self._take(step, now)
            if not step.datagrams and records in self._answered and now - self._sent_at >= ANSWER_SPACING:
                # RFC 6347 section 4.2.4: "The implementation reads a retransmitted flight from the peer: the
                # implementation transitions to the SENDING state, where it retransmits the flight".
                self._retransmit(now)

    def close(self, *, now: float) -> None:
        """Ends the association, with close_notify where there is one. Harmless when repeated.

        Outputs: `SendRecords`.
        """
        if self._state is DtlsState.CONNECTED:
            self._send(self._ask("dtls.close", lambda endpoint: endpoint.close()).datagrams)
        if self._state is not DtlsState.FAILED:
            self._end(DtlsState.CLOSED)

    def srtp(self) -> SrtpTransport:
        """The transport of SRTP with this association's keys; each call begins a new one, so call it once.

        Raises:
            LocalProtocolError: the handshake is not done.
        """
        if self._state is not DtlsState.CONNECTED or self._profile is None:
            raise LocalProtocolError(f"cannot have SRTP: DTLS is {self._state.value}; wait for HandshakeDone")
        if self._crypto is None or self._endpoint is None:
            return SrtpTransport(self._context, self._profile, inbound=None, outbound=None)
        keys = self._endpoint.srtp_keys()
        return SrtpTransport(
            self._context,
            self._profile,
            inbound=self._crypto.srtp_session(keys.remote, self._profile, "inbound"),
            outbound=self._crypto.srtp_session(keys.local, self._profile, "outbound"),
        )

    def handle_timeout(self, *, now: float) -> None:
        """Fires the timers due.

        Outputs: `SendRecords`, `HandshakeFailed`.
        """
        for timer in self._timers.due(now):
            match timer:
                case Timer.REPEAT:
                    self._send(self._flight)
                    self._sent_at = now
                    self.retransmissions += 1
                    self._repeat_in *= 2
                    self._arm_repeat(now)
                case Timer.RETRANSMIT:
                    self._timeout = min(2 * self._timeout, LONGEST_TIMEOUT)
                    self._retransmit(now)
                case Timer.GIVE_UP:
                    self._fail(f"no answer within {HANDSHAKE_TIMEOUT:.0f} s")

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> DtlsOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[DtlsOutput]:
        return self._outbox.drain()

    def _ask(self, name: str, compute: Callable[[DtlsEndpoint], DtlsStep], *inputs: bytes) -> DtlsStep:
        def work() -> DtlsStep:
            assert self._endpoint is not None, "only a replay has no endpoint, and it does not compute"
            return compute(self._endpoint)

        return self._context.oracle.consult(name, work, *inputs)

    def _take(self, step: DtlsStep, now: float) -> None:
        """Acts on what the endpoint has come to."""
        self._send(step.datagrams)
        if step.datagrams:
            self._begin_flight(step.datagrams, now)
        match step.status, self._state:
            case DtlsStatus.FAILED, DtlsState.HANDSHAKING:
                self._fail(step.reason)
            case DtlsStatus.CLOSED, DtlsState.HANDSHAKING:
                self._fail("the peer has closed the association")
            case ((DtlsStatus.FAILED | DtlsStatus.CLOSED), DtlsState.CONNECTED):
                self._end(DtlsState.CLOSED)
                self._outbox.put(PeerClosed(step.reason or "close_notify"))
            case DtlsStatus.CONNECTED, DtlsState.HANDSHAKING:
                self._connect(step)

    def _begin_flight(self, datagrams: tuple[Opaque, ...], now: float) -> None:
        self._flight, self._sent_at = datagrams, now
        if self._state is DtlsState.HANDSHAKING:
            self._answered = frozenset(self._heard)
            self._heard.clear()
            self._timeout = INITIAL_TIMEOUT
            self._timers.arm(Timer.RETRANSMIT, now + self._timeout + TIMER_MARGIN)
            self._repeat_in = self._first_repeat
            self._arm_repeat(now)

    def _arm_repeat(self, now: float) -> None:
        """Only where the answer to a repetition may come before the flight is made anew."""
        deadline = self._timers.deadline(Timer.RETRANSMIT)
        if deadline is not None and now + self._repeat_in + SHORTEST_TIMEOUT <= deadline:
            self._timers.arm(Timer.REPEAT, now + self._repeat_in)
        else:
            self._timers.cancel(Timer.REPEAT)

    def _retransmit(self, now: float) -> None:
        step = self._ask("dtls.timeout", lambda endpoint: endpoint.handle_timeout())
        if step.status is DtlsStatus.FAILED and self._state is DtlsState.HANDSHAKING:
            self._fail(step.reason)
            return
        flight = step.datagrams or self._flight
        if not flight:
            return
        self._send(flight)
        self._flight, self._sent_at = flight, now
        self.retransmissions += 1
        if self._state is DtlsState.HANDSHAKING:
            self._timers.arm(Timer.RETRANSMIT, now + self._timeout + TIMER_MARGIN)
            if self._first_repeat < INITIAL_TIMEOUT:
                self._repeat_in = INITIAL_TIMEOUT
                self._arm_repeat(now)

    def _connect(self, step: DtlsStep) -> None:
        # RFC 8122 section 6.2: "the endpoint MUST terminate the media connection" when no fingerprint matches.
        if not fingerprints_match(self._fingerprints, step.peer):
            self._send(self._ask("dtls.close", lambda endpoint: endpoint.close()).datagrams)
            self._fail("the peer's certificate is not the one that its fingerprint announced")
            return
        if step.profile is None:
            self._send(self._ask("dtls.close", lambda endpoint: endpoint.close()).datagrams)
            self._fail("no profile of SRTP was agreed")
            return
        self._state = DtlsState.CONNECTED
        self._profile = step.profile
        self._timers.clear()
        if not step.datagrams:
            # The peer's flight was the last one, and it has come: nobody waits for ours.
            self._answered, self._flight = frozenset(), ()
        self._heard.clear()
        self._outbox.put(HandshakeDone(step.profile))

    def _send(self, datagrams: tuple[Opaque, ...]) -> None:
        for data in datagrams:
            self._outbox.put(SendRecords(data))

    def _fail(self, reason: str) -> None:
        self._end(DtlsState.FAILED)
        self._outbox.put(HandshakeFailed(reason))

    def _end(self, state: DtlsState) -> None:
        self._state = state
        self._timers.clear()
        self._early.clear()
        self._heard.clear()
        self._answered, self._flight = frozenset(), ()
