"""One ICE session: connectivity checks, nomination and consent with one set of credentials (RFC 8445).

Theory of operation
-------------------
`start` takes the peer's credentials. Pairs of local and remote candidates are checked, one new transaction each `TA`,
triggered checks first. A request of the peer is authenticated, answered, and triggers a check of ours; one that comes
before `start` is answered and kept. When the controlling side has a valid pair and no better one is open, or has waited
`NOMINATION_WAIT` for a better one, it repeats that pair's check with USE-CANDIDATE; both sides then select the pair.
Consent checks go on for the selected pair, before that for the best valid one. A selected pair counts as disconnected
too, until the next answer, when its checks begin to come from another address. A failed session is silent: it neither
sends nor answers.

                start              valid pair              selected               silence
        NEW ----------> CHECKING --------------> CONNECTED ----------> COMPLETED <-------> DISCONNECTED
                          |   ^                      |                     |                    |
                          |   +-- its consent lost --+                     |                    |
                          +--- all failed, patience over ---> FAILED <-----+---- consent lost --+
"""

from collections import Counter
from collections.abc import Iterator

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.machine import Outbox
from sansio_sip.softphone.media_plane import IceState
from sansio_sip.timers import TimerSet

from . import binding, stun
from .candidate import LocalCandidate
from .check_list import CheckList
from .checks import Check, Checks, Purpose
from .consent import CONSENT_EXPIRY, Consent, ConsentEvent
from .early_checks import EarlyCheck, EarlyChecks
from .local_candidates import LocalCandidates
from .outputs import ConsentLost, IceOutput, PairReport, PairSelected, StateChanged
from .pair import CandidatePair, PairInput, PairState
from .remote_candidates import RemoteCandidates
from .stun import Attribute, StunClass, StunMessage
from .timing import CHECKING_LIMIT, KEEPALIVE, NOMINATION_TA, NOMINATION_WAIT, PATIENCE, TA, Timer
from .transaction import RETRANSMISSIONS, RTO, StunTransaction

__all__ = ["IceSession"]


class IceSession:
    """A session of an `IceAgent`, which shares its local candidates and counters. Outputs as those of the agent."""

    def __init__(
        self,
        context: Context,
        locals_: LocalCandidates,
        counters: Counter[str],
        *,
        controlling: bool,
        lite: bool,
        credentials: tuple[str, str] | None = None,
        early: EarlyChecks | None = None,
    ) -> None:
        self._context = context
        self._locals = locals_
        self._counters = counters
        self.lite = lite
        self.controlling = controlling and not lite
        self._tie_breaker = context.entropy.ice_tie_breaker()
        self.local_ufrag, self.local_pwd = credentials or (context.entropy.ice_ufrag(), context.entropy.ice_pwd())
        self.remote_ufrag = ""
        self.remote_pwd = ""
        self._remote_lite = False
        self._remotes = RemoteCandidates(counters)
        self._awaiting_more = False
        self.early = early or EarlyChecks(counters)
        self._pairs = CheckList(self.controlling)
        self._checks = Checks()
        self._timers: TimerSet[Timer] = TimerSet()
        self._started_at = 0.0
        self._first_valid_at: float | None = None
        self._last_check_at: float | None = None
        self._selected: CandidatePair | None = None
        self._consent: Consent | None = None
        self._moved = False
        self._outbox: Outbox[IceOutput] = Outbox()
        self.rtt: float | None = None
        self.state = IceState.NEW

    # What others ask

    @property
    def is_started(self) -> bool:
        return self.state is not IceState.NEW

    @property
    def is_failed(self) -> bool:
        return self.state is IceState.FAILED

    @property
    def selected(self) -> PairSelected | None:
        return None if self._selected is None else _as_output(self._selected)

    @property
    def pairs_dropped(self) -> int:
        return self._pairs.dropped

    def pairs(self) -> tuple[PairReport, ...]:
        """The check list, best first."""
        return tuple(PairReport.of(pair, selected=pair is self._selected) for pair in self._pairs)

    def accepts(self, username: str) -> bool:
        """Whether a USERNAME is meant for this session: `ours:theirs`; theirs counts once it is known."""
        theirs = username.partition(":")[2]
        return self.is_named(username) and (not self.is_started or theirs == self.remote_ufrag)

    def is_named(self, username: str) -> bool:
        """Whether it names us, by whomever: somebody else may have our description too (a call that forks)."""
        ours, colon, _ = username.partition(":")
        return colon == ":" and ours == self.local_ufrag

    def awaits(self, transaction_id: bytes) -> bool:
        return transaction_id in self._checks

    def is_validated(self, flow: FlowId, remote: Address) -> bool:
        pair = self._pairs.find(flow, remote)
        return pair is not None and (pair.state is PairState.SUCCEEDED or pair.heard_at is not None)

    # Commands

    def start(self, ufrag: str, pwd: str, *, lite: bool, now: float) -> None:
        """Takes the peer's credentials; without them there can be no checks and the session fails."""
        if not ufrag or not pwd:
            self._counters["bad credentials"] += 1
            self._fail()
            return
        self.remote_ufrag, self.remote_pwd, self._remote_lite = ufrag, pwd, lite
        self._started_at = now
        if lite and not self.lite:
            # RFC 8445 section 6.1.1: of a full and a lite agent, the full one is controlling.
            self._set_role(True)
        self._timers.arm(Timer.PATIENCE, now + PATIENCE)
        self._timers.arm(Timer.LIMIT, now + CHECKING_LIMIT)
        self._set_state(IceState.CHECKING)

    def add_remote(self, candidates: tuple[str, ...], *, more: bool, now: float) -> None:
        """Takes candidates of the peer. `more`: failure waits until it has told them all."""
        self._awaiting_more = more
        for text in candidates:
            candidate = self._remotes.admit(text)
            if candidate is None:
                continue
            for local in self._locals.bases():
                pair = self._pairs.add(local, candidate)
                if pair is not None and pair.remote is not candidate:
                    pair.remote = candidate  # was peer-reflexive: RFC 8838 section 11 keeps the pair
                    pair.set_role(self.controlling)
        if self.is_started:
            if self._last_check_at is None:
                self._pairs.settle()
            for check in self.early.take(self.remote_ufrag):
                base = self._locals.base_of(check.flow)
                if base is not None:
                    self._checked_by_peer(base, check.source, check.priority, check.use_candidate, now)
            self._run(now)
            self._fail_if_hopeless(now)

    def add_local(self, local: LocalCandidate, *, now: float) -> None:
        """A flow of ours has opened."""
        for remote in self._remotes.all():
            self._pairs.add(local, remote)
        if self.is_started:
            if self._last_check_at is None:
                self._pairs.settle()
            self._run(now)

    def set_controlling(self, controlling: bool, *, now: float) -> None:
        if controlling != self.controlling and not self.lite:
            self._set_role(controlling)
            self._consider_nomination(now)
            self._run(now)

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        for pair in self._pairs.remove_flow(flow):
            pair.apply(PairInput.FAILED)
            self._checks.drop(pair)
            if self._consent is not None and self._consent.pair is pair:
                self._consent_lost(now)
        self._run(now)
        self._fail_if_hopeless(now)

    def close(self) -> None:
        self._quieten()  # without a word
        self.state = IceState.CLOSED

    # Time and outputs

    def handle_timeout(self, *, now: float) -> None:
        while (deadline := self.next_timeout()) is not None and deadline <= now:
            if self._checks.next_timeout() == deadline:
                for check, data in self._checks.due(now=now):
                    if data is not None:
                        self._send(check.transaction.flow, data, check.transaction.destination)
                    elif not self._is_superseded(check):
                        self._check_failed(check, now)
            elif self._timers.next() == deadline:
                for timer in self._timers.due(now):
                    self._timer_due(timer, now)
            else:
                self._consent_due(now)

    def next_timeout(self) -> float | None:
        consent = None if self._consent is None else self._consent.next_timeout()
        deadlines = (self._checks.next_timeout(), self._timers.next(), consent)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def outputs(self) -> Iterator[IceOutput]:
        return self._outbox.drain()

    # Requests of the peer (RFC 8445 section 7.3)

    def receive_request(self, flow: FlowId, message: StunMessage, source: Address, *, now: float) -> None:
        """A request whose USERNAME names us. It is answered, and kept where the peer's description is to come yet."""
        local = self._locals.base_of(flow)
        key = self.local_pwd.encode()
        remote_ufrag = (message.text(Attribute.USERNAME) or "").partition(":")[2]
        is_known = self.is_started and remote_ufrag == self.remote_ufrag
        if local is None:
            self._counters["unknown flow"] += 1
            return
        status = binding.fault(message, key)
        if not status and (is_known or not self.is_started) and not self._settle_roles(message, now):
            status = 487
        if status:
            self._counters[f"refused {status}"] += 1
            refusal = binding.refusal(message, status, None if status == 401 else key)
            self._send(flow, refusal, source)
            return
        self._send(flow, binding.answer(message, source, key), source)
        use_candidate = message.has(Attribute.USE_CANDIDATE)
        priority = message.number(Attribute.PRIORITY) or 0
        if is_known:
            self._checked_by_peer(local, source, priority, use_candidate, now)
            self._run(now)
        else:
            self.early.keep(EarlyCheck(flow, source, remote_ufrag, priority, use_candidate))

    def _settle_roles(self, message: StunMessage, now: float) -> bool:
        """Repairs a role conflict (RFC 8445 section 7.3.1.1). False: the peer must switch (487)."""
        claim = message.number(Attribute.ICE_CONTROLLING if self.controlling else Attribute.ICE_CONTROLLED)
        if claim is None or self.lite:
            return True
        ours_is_larger = self._tie_breaker >= claim
        if ours_is_larger == self.controlling:
            return False
        self._set_role(not self.controlling)
        self._consider_nomination(now)
        return True

    def _checked_by_peer(
        self, local: LocalCandidate, source: Address, priority: int, use_candidate: bool, now: float
    ) -> None:
        remote = self._remotes.learn(source, priority)
        pair = None if remote is None else self._pairs.add(local, remote)
        if pair is None:
            return
        pair.heard_at = now
        if self._consent is not None and self._consent.pair is pair:
            self._consent.heard(now=now)
            self._heard()
        if self.lite:
            pair.state = PairState.SUCCEEDED
            if use_candidate:
                self._select(pair, now)
            return
        if use_candidate and not self.controlling:
            pair.remote_nominated = True
        if pair.state is PairState.SUCCEEDED and pair.nominating and self._checks.is_worn(pair):
            # The peer is there, and waits, or has selected and makes consent checks: no need to sit out the back-off.
            self._checks.stop_retransmitting(pair, now=now)
            self._pairs.trigger(pair)
        elif pair.state is PairState.SUCCEEDED:
            self._select_if_nominated(pair, now)
        elif not (self.controlling and self._selected is not None):
            # RFC 8445 section 7.3.1.4: a check in progress is cancelled, which only ends its retransmissions, and a
            # new one is queued. Once the controlling side has selected, other pairs are of no use to it.
            self._checks.stop_retransmitting(pair, now=now)
            self._pairs.trigger(pair)

    # Our checks (RFC 8445 sections 6.1.4 and 7.2)

    def _run(self, now: float) -> None:
        """Starts the next check if Ta has passed, and arms the timer for the one after it."""
        if self.lite or not self.is_started or self.is_failed or not self._pairs.has_next():
            self._timers.cancel(Timer.PACE)
            return
        due = (
            now
            if self._last_check_at is None
            else self._last_check_at + (NOMINATION_TA if self._pairs.nominates_next() else TA)
        )
        if due <= now:
            pair = self._pairs.next_pair()
            assert pair is not None, "has_next"
            self._last_check_at = now
            due = now + (NOMINATION_TA if self._pairs.nominates_next() else TA)
            rto = max(RTO, TA * self._pairs.count(PairState.WAITING, PairState.IN_PROGRESS))
            pair.apply(PairInput.UNFROZEN)
            pair.apply(PairInput.STARTED)
            self._send_request(pair, Purpose.NOMINATION if pair.nominating else Purpose.CHECK, now, rto=rto)
        if self._pairs.has_next():
            self._timers.arm(Timer.PACE, due)
        else:
            self._timers.cancel(Timer.PACE)

    def _send_request(
        self,
        pair: CandidatePair,
        purpose: Purpose,
        now: float,
        *,
        rto: float = RTO,
        limit: int = RETRANSMISSIONS,
        final_wait: float | None = None,
    ) -> None:
        transaction_id = self._context.entropy.stun_transaction_id()
        priority = pair.local.check_priority
        request = binding.request(
            transaction_id,
            username=f"{self.remote_ufrag}:{self.local_ufrag}",
            priority=priority,
            controlling=self.controlling,
            tie_breaker=self._tie_breaker,
            nominate=purpose is Purpose.NOMINATION,
            key=self.remote_pwd.encode(),
        )
        flow, destination = pair.local.flow, pair.remote.address
        transaction = StunTransaction(transaction_id, request, flow, destination, rto, limit, final_wait)
        check = Check(transaction, pair, purpose, self.controlling, priority)
        self._send(flow, self._checks.send(check, now=now), destination)

    def receive_response(self, flow: FlowId, message: StunMessage, source: Address, *, now: float) -> None:
        """An answer to a request that this session awaits."""
        check = self._checks.get(message.transaction_id)
        if check is None:
            return
        if not stun.check_integrity(message, self.remote_pwd.encode()):
            # RFC 8489 section 9.1.4: discarded as if it had never come. So nobody on the way can end a check.
            self._counters["unauthenticated response"] += 1
            return
        self._checks.take(message.transaction_id)
        if message.kind is StunClass.ERROR:
            self._refused(check, 0 if message.error is None else message.error[0], now)
        elif (source, flow) != (check.transaction.destination, check.transaction.flow):
            # RFC 8445 section 7.2.5.2.1: addresses that are not symmetric fail the check.
            self._counters["asymmetric response"] += 1
            self._check_failed(check, now)
        elif message.unknown:
            # RFC 8489 section 6.3.3: an unknown comprehension-required attribute fails the transaction.
            self._check_failed(check, now)
        else:
            self.rtt = check.transaction.round_trip(now) or self.rtt
            self._check_succeeded(check, message.address(Attribute.XOR_MAPPED_ADDRESS), now)
        self._run(now)

    def _check_succeeded(self, check: Check, mapped: Address | None, now: float) -> None:
        pair = check.pair
        if self._pairs.find(pair.local.flow, pair.remote.address) is not pair:
            return  # removed when checks were concluded
        if pair.state is not PairState.SUCCEEDED:
            pair.apply(PairInput.ANSWERED)
            pair.valid_local = self._locals.reflexive(pair.local, mapped)
            pair.set_role(self.controlling)
            self._pairs.unfreeze(pair.foundation)
            if self._first_valid_at is None:
                self._first_valid_at = now
        if self._consent is None:
            self._consent = Consent(pair, self._fraction(), now=now)
        elif self._consent.pair is pair:
            self._consent.answered(now=now)
            self._moved = self._has_moved(pair, mapped)
            self._heard()
        if self.state is IceState.CHECKING:
            self._set_state(IceState.CONNECTED)
        if check.purpose is Purpose.NOMINATION and check.controlling and self.controlling:
            pair.nominating = False
            if self._selected is None:
                self._select(pair, now)
        else:
            self._select_if_nominated(pair, now)
            self._consider_nomination(now)

    def _has_moved(self, pair: CandidatePair, mapped: Address | None) -> bool:
        """Whether a translator gives the selected pair another address than before: what the peer sends to the one
        that she knows reaches nobody, although she answers us. Said once for each address."""
        before, seen = pair.valid_local, self._locals.reflexive(pair.local, mapped)
        if pair is not self._selected or mapped is None or before in (None, seen):
            return False
        pair.valid_local = seen
        return True

    def _refused(self, check: Check, code: int, now: float) -> None:
        """An authenticated error response."""
        if code == 487:
            self._role_conflict(check, now)
        elif check.purpose is not Purpose.CONSENT:
            self._check_failed(check, now)
        elif code == 403 and self._consent is not None and self._consent.pair is check.pair:
            # RFC 7675 section 5.2: an authenticated 403 takes consent away.
            self._consent_lost(now)

    def _check_failed(self, check: Check, now: float) -> None:
        pair = check.pair
        if check.purpose is Purpose.CONSENT:
            return
        if check.purpose is Purpose.NOMINATION:
            pair.nominating = False
            if pair.heard_at is not None and pair.heard_at > now - PATIENCE and self._selected is None:
                # Section 8.1.1 gives the pair up. Yet the peer still sends on it, as after heavy loss: ask once more.
                pair.nominating = True
                self._pairs.trigger(pair)
                self._run(now)
                return
        pair.apply(PairInput.FAILED)
        self._consider_nomination(now)
        self._run(now)
        self._fail_if_hopeless(now)

    def _is_superseded(self, check: Check) -> bool:
        """Whether the end of this check says nothing: a triggered one took its place, or the pair has its answer."""
        waits = (
            check.pair.nominating if check.purpose is Purpose.NOMINATION else check.pair.state is PairState.IN_PROGRESS
        )
        return not waits or self._checks.is_under_way(check.pair, check.purpose)

    def _role_conflict(self, check: Check, now: float) -> None:
        """A 487: take the role opposite to that of the request, and check again (RFC 8445 section 7.2.5.1)."""
        if check.purpose is Purpose.NOMINATION:
            check.pair.nominating = False
        if check.controlling == self.controlling and not self._remote_lite:
            self._set_role(not check.controlling)
            self._tie_breaker = self._context.entropy.ice_tie_breaker()
        self._pairs.trigger(check.pair)
        self._consider_nomination(now)

    # Nomination and selection (RFC 8445 section 8)

    def _consider_nomination(self, now: float) -> None:
        if not self.controlling or self._selected is not None or self._first_valid_at is None:
            self._timers.cancel(Timer.NOMINATE)
            return
        valid = self._pairs.valid()
        if not valid or any(pair.nominating for pair in valid):
            return
        best = valid[0]
        deadline = self._first_valid_at + NOMINATION_WAIT
        if now < deadline and any(pair.is_open and pair.priority > best.priority for pair in self._pairs):
            self._timers.arm(Timer.NOMINATE, deadline)
            return
        self._timers.cancel(Timer.NOMINATE)
        best.nominating = True
        self._pairs.trigger(best)

    def _select_if_nominated(self, pair: CandidatePair, now: float) -> None:
        """The controlled side: takes a valid pair that the peer has nominated.

        A peer with aggressive nomination (RFC 5245 section 8.1.1.2) nominates several: the highest one counts; one
        that moves away from a dead pair is followed.
        """
        if self.controlling or not pair.remote_nominated or pair.state is not PairState.SUCCEEDED:
            return
        silent = self._consent is not None and self._consent.silent
        if self._selected is None or silent or pair.priority > self._selected.priority:
            self._select(pair, now)

    def _select(self, pair: CandidatePair, now: float) -> None:
        if self._selected is pair:
            return
        self._selected = pair
        if self.lite:
            self._timers.arm(Timer.KEEPALIVE, now + KEEPALIVE)
        elif self._consent is None or self._consent.pair is not pair:
            self._consent = Consent(pair, self._fraction(), now=now)
        self._timers.cancel(Timer.NOMINATE, Timer.PATIENCE, Timer.LIMIT)
        # Section 8.1.2: pairs not checked yet are removed, checks under way are not retransmitted.
        self._pairs.conclude()
        self._checks.stop_retransmitting(now=now)
        self._outbox.put(_as_output(pair))
        self._set_state(IceState.COMPLETED)

    # Consent (RFC 7675)

    def _consent_due(self, now: float) -> None:
        consent = self._consent
        event = None if consent is None else consent.due(now=now)
        if consent is None or event is None:
            return
        if event is ConsentEvent.EXPIRED:
            self._consent_lost(now)
        elif event is ConsentEvent.CHECK:
            sends = consent.start_check(self._fraction(), now=now)
            self._send_request(consent.pair, Purpose.CONSENT, now, limit=sends, final_wait=CONSENT_EXPIRY)
        elif self._selected is not None:
            self._set_state(IceState.DISCONNECTED)

    def _heard(self) -> None:
        if self._moved:
            self._set_state(IceState.DISCONNECTED)
        elif self.state is IceState.DISCONNECTED:
            self._set_state(IceState.COMPLETED)

    def _consent_lost(self, now: float) -> None:
        assert self._consent is not None, "only a pair under watch loses its consent"
        pair = self._consent.pair
        self._consent = None
        pair.apply(PairInput.FAILED)
        pair.nominating = False
        if self._selected is not None:
            self._outbox.put(ConsentLost(pair.local.flow, pair.remote.address))
            self._fail()
            return
        valid = self._pairs.valid()
        if valid:
            self._consent = Consent(valid[0], self._fraction(), now=now)
            self._consider_nomination(now)
            self._run(now)
        else:
            self._first_valid_at = None
            self._set_state(IceState.CHECKING)
            self._fail_if_hopeless(now)

    # Failure, timers, helpers

    def _fail_if_hopeless(self, now: float) -> None:
        if self.state is not IceState.CHECKING or self._awaiting_more:
            return
        waited = now - self._started_at
        hopeless = not any(pair.is_open for pair in self._pairs)
        if waited >= CHECKING_LIMIT or (hopeless and waited >= PATIENCE):
            self._fail()

    def _fail(self) -> None:
        self._quieten()
        self._set_state(IceState.FAILED)

    def _quieten(self) -> None:
        self._consent = None
        self._selected = None
        self._checks.clear()
        self._timers.clear()

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
        if self._selected is not None:
            indication = binding.indication(self._context.entropy.stun_transaction_id())
            self._send(self._selected.local.flow, indication, self._selected.remote.address)
            self._timers.arm(Timer.KEEPALIVE, now + KEEPALIVE)

    def _set_role(self, controlling: bool) -> None:
        self.controlling = controlling
        self._pairs.set_role(controlling)
        for pair in self._pairs:
            pair.nominating = False

    def _set_state(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._outbox.put(StateChanged(state))

    def _fraction(self) -> float:
        return self._context.entropy.fraction("consent")

    def _send(self, flow: FlowId, data: bytes, destination: Address) -> None:
        self._outbox.put(SendDatagram(flow, data, destination))


def _as_output(pair: CandidatePair) -> PairSelected:
    local = pair.valid_local or pair.local
    return PairSelected(pair.local.flow, local.candidate.address, pair.remote.address)
