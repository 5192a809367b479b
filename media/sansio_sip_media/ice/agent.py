"""The ICE agent: connectivity checks, nomination, consent and restart for one stream of one component (RFC 8445).

Theory of operation
-------------------
Local candidates are added as their flows open, the peer's by `set_remote` and `add_remote_candidate`. Pairs of both
are checked, one new transaction each `TA` (triggered checks first), each retransmitted by `StunTransaction`. Requests
of the peer are authenticated, answered, and trigger checks of ours; those that come before `set_remote` are answered
and kept. When the controlling side has a valid pair and no better one is open, or has waited `NOMINATION_WAIT` for a
better one, it repeats that pair's check with USE-CANDIDATE; both sides then select the pair.

A `Generation` holds what belongs to one set of credentials. `restart` opens a new one; the selected pair of the old
one stays in use, with its consent checks, until the new one selects.

States are those of `media_plane.IceState`:

    NEW --set_remote--> CHECKING --valid pair--> CONNECTED --selected--> COMPLETED <--> DISCONNECTED (silence)
     ^                     |  ^                      |                       |              |
     |                     |  +-----consent lost-----+                       +-consent lost-+
     |                     +--all failed, patience over--> FAILED <-------------------------+
    restart in any state; its set_remote leads to CHECKING                 close in any state: CLOSED
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.softphone.media_plane import IceState
from sansio_sip.timers import Deadlines, TimerSet

from . import stun
from .candidate import Candidate, CandidateType, LocalCandidate, candidate_priority
from .check_list import CheckList
from .consent import Consent, ConsentEvent
from .generation import MAX_EARLY_CHECKS, MAX_REMOTE_CANDIDATES, EarlyCheck, Generation
from .pair import CandidatePair, PairInput, PairState
from .stun import Attribute, AttributeValue, StunClass, StunMessage, StunMethod
from .transaction import RETRANSMISSIONS, RTO, StunTransaction

__all__ = ["ConsentLost", "IceAgent", "IceOutput", "PairSelected", "StateChanged"]

TA = 0.05
"""Seconds between the starts of two transactions (RFC 8445 section 14.2)."""

PATIENCE = 39.5
"""Seconds to wait for checks of the peer even if all of ours have failed (RFC 8863 section 4)."""

CHECKING_LIMIT = 120.0
"""Seconds after which checks end in failure whatever is still open: RTO grows with the number of pairs, 100 of them
would take over 6 minutes."""

NOMINATION_WAIT = 0.3
"""Seconds that the controlling side waits, once it has a valid pair, for one of higher priority."""

MAX_LOCAL_CANDIDATES = 64
"""Host addresses of the largest machines; peer-reflexive ones that a peer makes up end here."""

KEEPALIVE = 15.0
"""Tr: seconds between keepalives of an agent that makes no consent checks (RFC 8445 section 11)."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent is in another state."""

    state: IceState


@dataclass(frozen=True, slots=True)
class PairSelected:
    """Send media by `flow` to `remote` from now on. `local` is our address as the peer sees it."""

    flow: FlowId
    local: Address
    remote: Address


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """Nothing may be sent to `remote` any more (RFC 7675 section 5.1)."""

    flow: FlowId
    remote: Address


IceOutput: TypeAlias = SendDatagram | StateChanged | PairSelected | ConsentLost


class Timer(Enum):
    """PACE: the next check may start (Ta). NOMINATE: no more waiting for a better pair. PATIENCE, LIMIT: checks may,
    must end. KEEPALIVE: of a lite agent."""

    PACE = "pace"
    NOMINATE = "nominate"
    PATIENCE = "patience"
    LIMIT = "limit"
    KEEPALIVE = "keepalive"


class Purpose(Enum):
    """Why a request was sent."""

    CHECK = "check"
    NOMINATION = "nomination"
    CONSENT = "consent"


@dataclass(slots=True)
class _Check:
    """A request of ours under way."""

    transaction: StunTransaction
    generation: Generation
    pair: CandidatePair
    purpose: Purpose
    controlling: bool
    priority: int


class IceAgent:
    """One ICE session. Outputs: `SendDatagram`, `StateChanged`, `PairSelected`, `ConsentLost`.

    `lite`: we are an ICE-lite agent: always controlled, never check, only answer.
    """

    def __init__(self, context: Context, *, controlling: bool, lite: bool = False) -> None:
        self._context = context
        self._lite = lite
        self._controlling = controlling and not lite
        self._tie_breaker = context.entropy.ice_tie_breaker()
        self._locals: list[LocalCandidate] = []
        self._foundations: dict[tuple[CandidateType, str], str] = {}
        self._generations = 0
        self._current = self._new_generation()
        self._previous: Generation | None = None
        self._checks: dict[bytes, _Check] = {}
        self._check_deadlines: Deadlines[bytes] = Deadlines()
        self._timers: TimerSet[Timer] = TimerSet()
        self._last_start: float | None = None
        self._outbox: Outbox[IceOutput] = Outbox()
        self._counters: Counter[str] = Counter()
        self._rtt: float | None = None
        self.state = IceState.NEW

    # What others ask

    @property
    def local_ufrag(self) -> str:
        return self._current.local_ufrag

    @property
    def local_pwd(self) -> str:
        return self._current.local_pwd

    @property
    def local_candidates(self) -> tuple[str, ...]:
        """Values of `a=candidate:` lines, best first. Peer-reflexive ones are never signalled."""
        told = [local.candidate for local in self._locals if local.candidate.kind is not CandidateType.PEER_REFLEXIVE]
        return tuple(str(candidate) for candidate in sorted(told, key=lambda candidate: -candidate.priority))

    @property
    def controlling(self) -> bool:
        return self._controlling

    @property
    def lite(self) -> bool:
        return self._lite

    @property
    def rtt(self) -> float | None:
        """Round trip of the last check that was answered and sent once, in seconds."""
        return self._rtt

    @property
    def counters(self) -> Mapping[str, int]:
        """What was refused or passed over, by cause."""
        counters = dict(self._counters)
        dropped = self._current.checks.dropped
        if dropped:
            counters["pair limit"] = dropped
        return counters

    @property
    def selected(self) -> PairSelected | None:
        """The pair in use: that of a restart once it is selected, until then the old one."""
        for generation in (self._current, self._previous):
            if generation is not None and generation.selected is not None:
                return _as_output(generation.selected)
        return None

    def needs_restart(self, ufrag: str, pwd: str) -> bool:
        """Whether these credentials of the peer's description are new, so that `restart` must come first."""
        current = self._current
        return current.is_started and (current.remote_ufrag, current.remote_pwd) != (ufrag, pwd)

    def is_validated(self, flow: FlowId, remote: Address) -> bool:
        """Whether a check on this pair has succeeded: what comes from there may be taken for the peer's."""
        address = stun.canonical_address(remote)
        return address is not None and any(
            (pair := generation.checks.find(flow, address)) is not None and pair.state is PairState.SUCCEEDED
            for generation in self._alive()
        )

    # Commands

    def add_local_candidate(
        self,
        flow: FlowId,
        address: Address,
        *,
        kind: CandidateType = CandidateType.HOST,
        base: Address | None = None,
        now: float,
    ) -> None:
        """Adds a candidate of ours. The first one added is preferred among those of its kind.

        A server-reflexive one is of its host candidate's flow and names that one's address as `base`. A relayed one is
        of a flow of its own: whoever owns it wraps what is sent by it; its `base` is the address that the server saw.
        Raises `LocalProtocolError` when closed, or for an address that is no IP address.
        """
        self._require_open("add a candidate")
        canonical = stun.canonical_address(address)
        if canonical is None:
            raise LocalProtocolError(f"cannot add candidate {address}: not an IP address; resolve it first")
        if len(self._locals) >= MAX_LOCAL_CANDIDATES:
            raise LocalProtocolError(f"cannot add candidate {address}: there are {MAX_LOCAL_CANDIDATES}")
        if any(local.candidate.address == canonical and local.flow == flow for local in self._locals):
            return
        related = None if kind is CandidateType.HOST else base
        of_kind = sum(local.candidate.kind is kind for local in self._locals)
        preference = 65535 - of_kind
        host = canonical if kind is not CandidateType.SERVER_REFLEXIVE or base is None else base
        local = self._local(kind, flow, canonical, host, preference, related)
        self._locals.append(local)
        if local.is_base and self._current.is_started:
            self._pair_local(self._current, local)
            self._run(now)

    def set_remote(
        self,
        ufrag: str,
        pwd: str,
        candidates: tuple[str, ...],
        *,
        lite: bool = False,
        trickle: bool = False,
        now: float,
    ) -> None:
        """Takes the peer's description and begins to check.

        Given again with the same credentials, adds candidates that are new. With `trickle`, failure is not declared
        before `end_of_remote_candidates`. Raises `LocalProtocolError` when closed, or for other credentials than
        before without `restart`.
        """
        self._require_open("take a description")
        current = self._current
        if self.needs_restart(ufrag, pwd):
            raise LocalProtocolError("cannot take new credentials: checks have begun with others; call restart first")
        if not current.is_started:
            if not ufrag or not pwd:
                self._counters["bad credentials"] += 1
                self._fail(current, now)
                return
            current.remote_ufrag, current.remote_pwd, current.remote_lite = ufrag, pwd, lite
            current.started_at = now
            # RFC 8445 section 6.1.1: of a full and a lite agent, the full one is controlling.
            if lite and not self._lite:
                self._set_role(True)
            self._timers.arm(Timer.PATIENCE, now + PATIENCE)
            self._timers.arm(Timer.LIMIT, now + CHECKING_LIMIT)
            self._set_state(IceState.CHECKING)
        current.awaiting_more = trickle
        for text in candidates:
            self._add_remote(current, text)
        if self._last_start is None or not current.checks.valid():
            current.checks.settle()
        early, current.early = current.early, {}
        for (flow, source), check in early.items():
            if check.remote_ufrag == ufrag:
                self._checked_by_peer(current, flow, source, check.priority, check.use_candidate, now)
            else:
                self._counters["early check of another peer"] += 1
        self._run(now)

    def add_remote_candidate(self, candidate: str, *, now: float) -> None:
        """Takes one more candidate of the peer (trickle). A bad one is counted."""
        self._require_open("add a remote candidate")
        self._add_remote(self._current, candidate)
        if self._current.is_started:
            self._run(now)

    def end_of_remote_candidates(self, *, now: float) -> None:
        """The peer has told all its candidates."""
        self._current.awaiting_more = False
        self._fail_if_hopeless(now)

    def set_controlling(self, controlling: bool, *, now: float) -> None:
        """Sets the role, before or while checking."""
        if controlling != self._controlling and not self._lite:
            self._set_role(controlling)
            if self._current.is_started:
                self._consider_nomination(now)
                self._run(now)

    def restart(self, *, now: float) -> None:
        """Draws new credentials. The pair in use stays until one of the new generation is selected.

        Raises `LocalProtocolError` when closed.
        """
        self._require_open("restart")
        if self._current.selected is not None and not self._current.quiet:
            self._discard(self._previous)
            self._previous = self._current
            self._abandon_checks(self._current, keep=Purpose.CONSENT)
        else:
            self._discard(self._current)
        self._current = self._new_generation()
        self._timers.cancel(Timer.PACE, Timer.NOMINATE, Timer.PATIENCE, Timer.LIMIT)

    def abandon_restart(self, *, now: float) -> None:
        """Goes back to the generation before `restart`: the offer of it was refused (RFC 8839 section 4.4.1.1.1)."""
        if self._previous is None or self._current.is_started:
            raise LocalProtocolError("cannot abandon a restart: there is none, or the peer has taken it up")
        self._discard(self._current)
        self._current, self._previous = self._previous, None

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        """A flow is gone, and the candidates on it."""
        self._locals = [local for local in self._locals if local.flow != flow]
        for generation in self._alive():
            for pair in generation.checks.remove_flow(flow):
                pair.state = PairState.FAILED
                if generation.consent is not None and generation.consent.pair is pair:
                    self._consent_lost(generation, now)
        self._fail_if_hopeless(now)

    def close(self, *, now: float) -> None:
        """Ends the session; nothing is sent or answered any more."""
        self._discard(self._previous)
        self._discard(self._current)
        self._previous = None
        self._timers.clear()
        self._set_state(IceState.CLOSED)

    # Inputs

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        """Takes a datagram that `is_stun`. Anything that is not right is counted and dropped or refused."""
        if self.state is IceState.CLOSED:
            return
        address = stun.canonical_address(source)
        try:
            message = stun.parse(data)
        except ParseError:
            self._counters["malformed"] += 1
            return
        if address is None or message.method != StunMethod.BINDING:
            self._counters["not for ICE"] += 1
        elif message.kind is StunClass.REQUEST:
            self._receive_request(flow, message, address, now)
        elif message.kind is not StunClass.INDICATION:
            self._receive_response(flow, message, address, now)

    def handle_timeout(self, *, now: float) -> None:
        while (deadline := self.next_timeout()) is not None and deadline <= now:
            if self._check_deadlines.next() == deadline:
                for transaction_id in self._check_deadlines.due(now):
                    self._transaction_due(transaction_id, now)
            elif self._timers.next() == deadline:
                for timer in self._timers.due(now):
                    self._timer_due(timer, now)
            else:
                for generation in self._alive():
                    self._consent_due(generation, now)

    def next_timeout(self) -> float | None:
        deadlines = [self._check_deadlines.next(), self._timers.next()]
        deadlines += [alive.consent.next_timeout() for alive in self._alive() if alive.consent is not None]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> IceOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[IceOutput]:
        return self._outbox.drain()

    # Requests of the peer (RFC 8445 section 7.3)

    def _receive_request(self, flow: FlowId, message: StunMessage, source: Address, now: float) -> None:
        local = next((local for local in self._locals if local.flow == flow and local.is_base), None)
        if local is None:
            self._counters["unknown flow"] += 1
            return
        username = message.text(Attribute.USERNAME)
        if username is None or message.integrity is None:
            # RFC 8489 section 9.1.3: a request without USERNAME or MESSAGE-INTEGRITY is answered 400, a wrong one
            # 401, both unsigned.
            self._refuse(flow, message, source, 400, "Bad Request", None)
            return
        generation = next((alive for alive in self._alive() if alive.accepts(username)), None)
        if generation is None or not stun.check_integrity(message, generation.local_key):
            self._refuse(flow, message, source, 401, "Unauthenticated", None)
            return
        priority = message.number(Attribute.PRIORITY)
        if message.unknown:
            self._refuse(flow, message, source, 420, "Unknown Attribute", generation, unknown=message.unknown)
        elif priority is None:
            self._refuse(flow, message, source, 400, "Bad Request", generation)
        elif not self._settle_roles(message, now):
            self._refuse(flow, message, source, 487, "Role Conflict", generation)
        else:
            answer = StunMessage(
                StunMethod.BINDING,
                StunClass.SUCCESS,
                message.transaction_id,
                {Attribute.XOR_MAPPED_ADDRESS: source},
            )
            self._send(flow, stun.encode(answer, key=generation.local_key), source)
            use_candidate = message.has(Attribute.USE_CANDIDATE)
            if generation.is_started:
                self._checked_by_peer(generation, flow, source, priority, use_candidate, now)
                self._run(now)
            else:
                self._keep_early(
                    generation, flow, source, EarlyCheck(username.split(":", 1)[1], priority, use_candidate)
                )

    def _refuse(
        self,
        flow: FlowId,
        request: StunMessage,
        source: Address,
        code: int,
        reason: str,
        generation: Generation | None,
        unknown: tuple[int, ...] = (),
    ) -> None:
        self._counters[f"refused {code}"] += 1
        attributes: dict[Attribute, AttributeValue] = {Attribute.ERROR_CODE: (code, reason)}
        if unknown:
            attributes[Attribute.UNKNOWN_ATTRIBUTES] = unknown
        answer = StunMessage(StunMethod.BINDING, StunClass.ERROR, request.transaction_id, attributes)
        key = None if generation is None else generation.local_key
        self._send(flow, stun.encode(answer, key=key), source)

    def _settle_roles(self, message: StunMessage, now: float) -> bool:
        """Repairs a role conflict (RFC 8445 section 7.3.1.1). False: the peer must switch (487)."""
        claim = message.number(Attribute.ICE_CONTROLLING if self._controlling else Attribute.ICE_CONTROLLED)
        if claim is None or self._lite:
            return True
        ours_is_larger = self._tie_breaker >= claim
        if ours_is_larger == self._controlling:
            return False
        self._set_role(not self._controlling)
        self._consider_nomination(now)
        return True

    def _keep_early(self, generation: Generation, flow: FlowId, source: Address, check: EarlyCheck) -> None:
        known = generation.early.get((flow, source))
        if known is None and len(generation.early) >= MAX_EARLY_CHECKS:
            self._counters["early check limit"] += 1
            return
        check.use_candidate |= known is not None and known.use_candidate
        generation.early[(flow, source)] = check

    def _checked_by_peer(
        self, generation: Generation, flow: FlowId, source: Address, priority: int, use_candidate: bool, now: float
    ) -> None:
        local = next((local for local in self._locals if local.flow == flow and local.is_base), None)
        remote = generation.learn(source, priority)
        pair = None if local is None or remote is None else generation.checks.add(local, remote)
        if pair is None:
            self._counters["peer-reflexive limit"] += 1
            return
        pair.heard_at = now
        if generation.consent is not None and generation.consent.pair is pair:
            generation.consent.heard(now=now)
            self._heard(generation)
        if self._lite:
            pair.state = PairState.SUCCEEDED
            if use_candidate:
                self._select(generation, pair, now)
            return
        if generation is not self._current:
            return
        if use_candidate and not self._controlling:
            pair.remote_nominated = True
        if pair.state is PairState.SUCCEEDED:
            self._select_if_nominated(generation, pair, now)
        elif not (self._controlling and generation.selected is not None):
            # RFC 8445 section 7.3.1.4: an In-Progress check is cancelled, which only ends its retransmissions, and a
            # new one is queued. Once the controlling side has selected, other pairs are of no use to it.
            for check in self._checks.values():
                if check.pair is pair and check.purpose is Purpose.CHECK:
                    check.transaction.stop_retransmitting(now)
                    self._check_deadlines.update(check.transaction.transaction_id, check.transaction.deadline)
            generation.checks.trigger(pair)

    # Our checks (RFC 8445 section 7.2)

    def _run(self, now: float) -> None:
        """Starts the next check if Ta has passed, and arms the timer for the one after it."""
        generation = self._current
        if self._lite or generation.quiet or not generation.is_started or not generation.checks.has_next():
            self._timers.cancel(Timer.PACE)
            return
        due = now if self._last_start is None else max(now, self._last_start + TA)
        if due <= now:
            pair = generation.checks.next_pair()
            assert pair is not None, "has_next"
            self._start_check(generation, pair, now)
            due = now + TA
            if not generation.checks.has_next():
                self._timers.cancel(Timer.PACE)
                return
        self._timers.arm(Timer.PACE, due)

    def _start_check(self, generation: Generation, pair: CandidatePair, now: float) -> None:
        self._last_start = now
        purpose = Purpose.NOMINATION if pair.nominating else Purpose.CHECK
        rto = max(RTO, TA * generation.load())
        pair.apply(PairInput.UNFROZEN)
        pair.apply(PairInput.STARTED)
        self._send_request(generation, pair, purpose, now, rto=rto)

    def _send_request(
        self,
        generation: Generation,
        pair: CandidatePair,
        purpose: Purpose,
        now: float,
        *,
        rto: float = RTO,
        limit: int = RETRANSMISSIONS,
        final_wait: float | None = None,
    ) -> None:
        role = Attribute.ICE_CONTROLLING if self._controlling else Attribute.ICE_CONTROLLED
        priority = pair.local.check_priority
        attributes: dict[Attribute, AttributeValue] = {
            Attribute.USERNAME: f"{generation.remote_ufrag}:{generation.local_ufrag}",
            Attribute.PRIORITY: priority,
            role: self._tie_breaker,
        }
        if purpose is Purpose.NOMINATION:
            attributes[Attribute.USE_CANDIDATE] = None
        transaction_id = self._context.entropy.stun_transaction_id()
        message = StunMessage(StunMethod.BINDING, StunClass.REQUEST, transaction_id, attributes)
        request = stun.encode(message, key=generation.remote_key)
        transaction = StunTransaction(
            transaction_id, request, pair.local.flow, pair.remote.address, rto, limit, final_wait
        )
        self._checks[transaction_id] = _Check(transaction, generation, pair, purpose, self._controlling, priority)
        self._send(transaction.flow, transaction.send(now), transaction.destination)
        self._check_deadlines.update(transaction_id, transaction.deadline)

    def _transaction_due(self, transaction_id: bytes, now: float) -> None:
        check = self._checks[transaction_id]
        data = check.transaction.poll(now)
        if data is not None:
            self._send(check.transaction.flow, data, check.transaction.destination)
            self._check_deadlines.update(transaction_id, check.transaction.deadline)
            return
        self._forget(transaction_id)
        if check.purpose is Purpose.CONSENT or self._superseded(check):
            return
        self._check_failed(check, now)

    def _superseded(self, check: _Check) -> bool:
        """Whether a triggered check has taken the place of this one, or its pair has its answer already."""
        if check.purpose is Purpose.NOMINATION:
            return not check.pair.nominating
        return check.pair.state is not PairState.IN_PROGRESS or any(
            other.pair is check.pair and other.purpose is Purpose.CHECK for other in self._checks.values()
        )

    def _receive_response(self, flow: FlowId, message: StunMessage, source: Address, now: float) -> None:
        check = self._checks.get(message.transaction_id)
        if check is None:
            self._counters["unknown transaction"] += 1
            return
        if not stun.check_integrity(message, check.generation.remote_key):
            # RFC 8489 section 9.1.4: discarded as if it had never come. So nobody on the path can end a check.
            self._counters["unauthenticated response"] += 1
            return
        self._forget(message.transaction_id)
        error = message.error
        if message.kind is StunClass.ERROR and error is not None and error[0] == 487:
            self._role_conflict(check, now)
        elif message.kind is StunClass.ERROR and check.purpose is Purpose.CONSENT:
            # RFC 7675 section 5.2: an authenticated 403 takes consent away.
            consent = check.generation.consent
            if error is not None and error[0] == 403 and consent is not None and consent.pair is check.pair:
                consent.revoke(now=now)
                self._consent_due(check.generation, now)
        elif message.kind is StunClass.ERROR or message.unknown:
            self._check_failed(check, now)
        elif (source, flow) != (check.transaction.destination, check.transaction.flow):
            # RFC 8445 section 7.2.5.2.1: addresses that are not symmetric fail the check.
            self._counters["asymmetric response"] += 1
            self._check_failed(check, now)
        else:
            self._rtt = check.transaction.round_trip(now) or self._rtt
            self._check_succeeded(check, message.address(Attribute.XOR_MAPPED_ADDRESS), now)
        self._run(now)

    def _check_succeeded(self, check: _Check, mapped: Address | None, now: float) -> None:
        generation, pair = check.generation, check.pair
        if pair.state is not PairState.SUCCEEDED:
            pair.apply(PairInput.ANSWERED)
            pair.valid_local = self._valid_local(pair, mapped, check.priority)
            pair.set_role(self._controlling)
            generation.checks.unfreeze(pair.foundation)
            if generation.first_valid_at is None:
                generation.first_valid_at = now
        if generation.consent is not None and generation.consent.pair is pair:
            generation.consent.answered(now=now)
            self._heard(generation)
        elif generation.consent is None:
            generation.consent = Consent(pair, self._fraction(), now=now)
        if generation is not self._current:
            return
        if self.state is IceState.CHECKING:
            self._set_state(IceState.CONNECTED)
        if check.purpose is Purpose.NOMINATION and check.controlling and self._controlling:
            pair.nominating = False
            self._select(generation, pair, now)
        else:
            self._select_if_nominated(generation, pair, now)
            self._consider_nomination(now)

    def _valid_local(self, pair: CandidatePair, mapped: Address | None, priority: int) -> LocalCandidate:
        """The local side of the valid pair: the candidate the peer saw (RFC 8445 sections 7.2.5.3.1, 7.2.5.3.2)."""
        if mapped is None or mapped == pair.local.candidate.address:
            return pair.local
        for local in self._locals:
            if local.candidate.address == mapped and local.flow == pair.local.flow:
                return local
        base = pair.local
        found = self._local(
            CandidateType.PEER_REFLEXIVE, base.flow, mapped, base.base, base.local_preference, base.base
        )
        if len(self._locals) < MAX_LOCAL_CANDIDATES:
            self._locals.append(found)
        return found

    def _check_failed(self, check: _Check, now: float) -> None:
        generation, pair = check.generation, check.pair
        if check.purpose is Purpose.CONSENT or generation.quiet:
            return
        if check.purpose is Purpose.NOMINATION:
            pair.nominating = False
            if pair.heard_at is not None and pair.heard_at > now - PATIENCE and generation.selected is None:
                # Section 8.1.1 gives the pair up. Yet the peer still sends on it, as after heavy loss: ask once more.
                pair.nominating = True
                generation.checks.trigger(pair)
                self._run(now)
                return
        pair.apply(PairInput.FAILED)
        if generation is self._current:
            self._consider_nomination(now)
            self._run(now)
            self._fail_if_hopeless(now)

    def _role_conflict(self, check: _Check, now: float) -> None:
        """A 487: switch to the role opposite to that of the request, and check again (RFC 8445 section 7.2.5.1)."""
        pair = check.pair
        pair.nominating = False
        if check.controlling == self._controlling and not check.generation.remote_lite:
            self._set_role(not check.controlling)
            self._tie_breaker = self._context.entropy.ice_tie_breaker()
        if check.generation is self._current:
            check.generation.checks.trigger(pair)
            self._consider_nomination(now)

    # Nomination and selection (RFC 8445 section 8)

    def _consider_nomination(self, now: float) -> None:
        generation = self._current
        if not self._controlling or generation.selected is not None or generation.first_valid_at is None:
            self._timers.cancel(Timer.NOMINATE)
            return
        best = generation.best_valid()
        if best is None or any(pair.nominating for pair in generation.checks):
            return
        deadline = generation.first_valid_at + NOMINATION_WAIT
        if generation.has_open_better_than(best) and now < deadline:
            self._timers.arm(Timer.NOMINATE, deadline)
            return
        self._timers.cancel(Timer.NOMINATE)
        best.nominating = True
        generation.checks.trigger(best)

    def _select_if_nominated(self, generation: Generation, pair: CandidatePair, now: float) -> None:
        """The controlled side: takes a valid pair that the peer has nominated.

        A peer with aggressive nomination (RFC 5245 section 8.1.1.2) nominates several: the highest one counts; one
        that moves away from a dead pair is followed.
        """
        if self._controlling or not pair.remote_nominated or pair.state is not PairState.SUCCEEDED:
            return
        selected = generation.selected
        silent = generation.consent is not None and generation.consent.silent
        if selected is None or silent or pair.priority > selected.priority:
            self._select(generation, pair, now)

    def _select(self, generation: Generation, pair: CandidatePair, now: float) -> None:
        if generation.selected is pair:
            return
        generation.selected = pair
        if self._lite:
            self._timers.arm(Timer.KEEPALIVE, now + KEEPALIVE)
        elif generation.consent is None or generation.consent.pair is not pair:
            generation.consent = Consent(pair, self._fraction(), now=now)
        self._timers.cancel(Timer.NOMINATE, Timer.PATIENCE, Timer.LIMIT)
        # Section 8.1.2: pairs not checked yet are removed, checks under way are not retransmitted.
        generation.checks.conclude()
        self._abandon_checks(generation, keep=Purpose.CONSENT, gently=now)
        if generation is self._current:
            self._discard(self._previous)
            self._previous = None
        self._outbox.put(_as_output(pair))
        self._set_state(IceState.COMPLETED)

    # Consent (RFC 7675)

    def _consent_due(self, generation: Generation, now: float) -> None:
        consent = generation.consent
        event = None if consent is None else consent.due(now=now)
        if consent is None or event is None:
            return
        if event is ConsentEvent.EXPIRED:
            self._consent_lost(generation, now)
        elif event is ConsentEvent.SILENT:
            if generation is self._current and generation.selected is not None:
                self._set_state(IceState.DISCONNECTED)
        else:
            consent.check_sent(self._fraction(), now=now)
            self._send_request(generation, consent.pair, Purpose.CONSENT, now, limit=1, final_wait=30.0)

    def _heard(self, generation: Generation) -> None:
        if generation is self._current and self.state is IceState.DISCONNECTED:
            self._set_state(IceState.COMPLETED)

    def _consent_lost(self, generation: Generation, now: float) -> None:
        assert generation.consent is not None, "only a pair under watch loses its consent"
        pair = generation.consent.pair
        generation.consent = None
        pair.apply(PairInput.FAILED)
        pair.nominating = False
        if generation.selected is not None:
            self._outbox.put(ConsentLost(pair.local.flow, pair.remote.address))
            if generation is self._current:
                self._fail(generation, now)
            else:
                self._discard(generation)
                self._previous = None
            return
        other = generation.best_valid()
        if other is not None:
            generation.consent = Consent(other, self._fraction(), now=now)
            self._consider_nomination(now)
            self._run(now)
        else:
            self._set_state(IceState.CHECKING)
            self._fail_if_hopeless(now)

    # Failure, timers, helpers

    def _fail_if_hopeless(self, now: float) -> None:
        generation = self._current
        if not generation.is_started or generation.quiet or generation.awaiting_more or self._lite:
            return
        if generation.selected is not None or generation.checks.valid():
            return
        waited = now - generation.started_at
        hopeless = not any(pair.is_open for pair in generation.checks)
        if waited >= CHECKING_LIMIT or (hopeless and waited >= PATIENCE):
            self._fail(generation, now)

    def _fail(self, generation: Generation, now: float) -> None:
        self._discard(generation)
        self._discard(self._previous)
        self._previous = None
        self._timers.clear()
        self._set_state(IceState.FAILED)

    def _timer_due(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.PACE:
                self._run(now)
            case Timer.NOMINATE:
                self._consider_nomination(now)
                self._run(now)
            case Timer.PATIENCE | Timer.LIMIT:
                self._fail_if_hopeless(now)
            case Timer.KEEPALIVE:
                self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        selected = self.selected
        if selected is not None:
            transaction_id = self._context.entropy.stun_transaction_id()
            indication = StunMessage(StunMethod.BINDING, StunClass.INDICATION, transaction_id)
            self._send(selected.flow, stun.encode(indication), selected.remote)
            self._timers.arm(Timer.KEEPALIVE, now + KEEPALIVE)

    def _add_remote(self, generation: Generation, text: str) -> None:
        try:
            candidate = Candidate.parse(text)
        except ParseError:
            self._counters["bad candidate"] += 1
            return
        address = stun.canonical_address(candidate.address)
        if candidate.transport != "udp":
            self._counters["TCP candidate"] += 1
        elif candidate.component != 1:
            self._counters["other component"] += 1
        elif address is None:
            # Names: those of mDNS, and others that RFC 8839 section 5.1 lets us ignore.
            name = candidate.address.host.lower().rstrip(".")
            self._counters["mDNS candidate" if name.endswith(".local") else "named candidate"] += 1
        elif not stun.is_unicast(address):
            self._counters["bad candidate"] += 1
        else:
            self._admit(generation, candidate, address)

    def _admit(self, generation: Generation, candidate: Candidate, address: Address) -> None:
        known = generation.remote_candidates.get(address)
        if known is None and len(generation.remote_candidates) >= MAX_REMOTE_CANDIDATES:
            self._counters["remote candidate limit"] += 1
            return
        if known is not None and known.kind is not CandidateType.PEER_REFLEXIVE:
            return
        candidate = candidate.at(address)
        generation.remote_candidates[address] = candidate
        for local in self._locals:
            if local.is_base:
                # One that a check has found already (RFC 8838 section 11) keeps its pair.
                pair = generation.checks.add(local, candidate)
                if pair is not None and pair.remote is known:
                    pair.remote = candidate
                    pair.set_role(self._controlling)

    def _pair_local(self, generation: Generation, local: LocalCandidate) -> None:
        for remote in generation.remote_candidates.values():
            generation.checks.add(local, remote)
        if not generation.checks.valid():
            generation.checks.settle()

    def _local(
        self,
        kind: CandidateType,
        flow: FlowId,
        address: Address,
        base: Address,
        preference: int,
        related: Address | None,
    ) -> LocalCandidate:
        foundation = self._foundations.setdefault((kind, base.host), str(len(self._foundations) + 1))
        priority = candidate_priority(kind, preference)
        candidate = Candidate(foundation, 1, "udp", priority, address, kind, related)
        return LocalCandidate(candidate, flow, base, preference)

    def _new_generation(self) -> Generation:
        entropy = self._context.entropy
        self._generations += 1
        return Generation(self._generations, entropy.ice_ufrag(), entropy.ice_pwd(), CheckList(self._controlling))

    def _alive(self) -> list[Generation]:
        """Generations that answer, the current one first."""
        both = (self._current, self._previous)
        return [generation for generation in both if generation is not None and not generation.quiet]

    def _abandon_checks(
        self, generation: Generation, *, keep: Purpose | None = None, gently: float | None = None
    ) -> None:
        """Ends the transactions of a generation, but those of purpose `keep`. Gently: answers still count."""
        for transaction_id, check in list(self._checks.items()):
            if check.generation is not generation or check.purpose is keep:
                continue
            if gently is None:
                self._forget(transaction_id)
            else:
                check.transaction.stop_retransmitting(gently)
                self._check_deadlines.update(transaction_id, check.transaction.deadline)

    def _discard(self, generation: Generation | None) -> None:
        if generation is not None:
            generation.quiet = True
            generation.consent = None
            generation.selected = None
            self._abandon_checks(generation)

    def _forget(self, transaction_id: bytes) -> None:
        del self._checks[transaction_id]
        self._check_deadlines.remove(transaction_id)

    def _set_role(self, controlling: bool) -> None:
        self._controlling = controlling
        for generation in self._alive():
            generation.checks.set_role(controlling)
        for pair in self._current.checks:
            pair.nominating = False

    def _set_state(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._outbox.put(StateChanged(state))

    def _fraction(self) -> float:
        return self._context.entropy.fraction("consent")

    def _send(self, flow: FlowId, data: bytes, destination: Address) -> None:
        self._outbox.put(SendDatagram(flow, data, destination))

    def _require_open(self, what: str) -> None:
        if self.state is IceState.CLOSED:
            raise LocalProtocolError(f"cannot {what}: the agent is closed; make a new one")


def _as_output(pair: CandidatePair) -> PairSelected:
    local = pair.valid_local or pair.local
    return PairSelected(pair.local.flow, local.candidate.address, pair.remote.address)
