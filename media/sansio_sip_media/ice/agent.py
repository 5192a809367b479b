"""The ICE agent of one stream with one component: candidates, credentials and restarts around `IceSession`s.

Theory of operation
-------------------
Local candidates are added as their flows open, the peer's by `set_remote` and `add_remote_candidate`. The agent draws
the credentials, takes datagrams to the session they are meant for (requests by USERNAME, responses by transaction id)
and passes on what the session says. `restart` (RFC 8445 section 9) opens a new session with new credentials; the one
before it goes on, with its pair and consent, until the new one has selected a pair.

`state` is that of the newest session that has started; see there for the diagram. `close` leads to CLOSED.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from sansio_sip.context import Context
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.machine import Outbox
from sansio_sip.softphone.media_plane import IceState

from . import binding, stun
from .candidate import CandidateType
from .early_checks import EarlyChecks
from .local_candidates import MAX_LOCAL_CANDIDATES, LocalCandidates
from .outputs import ConsentLost, IceOutput, PairReport, PairSelected, StateChanged
from .session import IceSession
from .stun import Attribute, StunClass, StunMessage, StunMethod, is_stun

__all__ = ["ConsentLost", "IceAgent", "IceOutput", "PairReport", "PairSelected", "StateChanged", "is_stun"]


class IceAgent:
    """An ICE agent. Outputs: `SendDatagram`, `StateChanged`, `PairSelected`, `ConsentLost`.

    `lite`: we are an ICE-lite agent: always controlled, never check, only answer.
    """

    def __init__(self, context: Context, *, controlling: bool, lite: bool = False) -> None:
        self._context = context
        self._counters: Counter[str] = Counter()
        self._locals = LocalCandidates()
        self._lite = lite
        self._current = self._new_session(controlling)
        self._previous: IceSession | None = None
        self._outbox: Outbox[IceOutput] = Outbox()
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
        """Values of `a=candidate:` lines, best first."""
        return self._locals.lines()

    @property
    def controlling(self) -> bool:
        return self._current.controlling

    @property
    def lite(self) -> bool:
        return self._lite

    @property
    def rtt(self) -> float | None:
        """Round trip of the last check that was sent once and answered, in seconds."""
        return next((session.rtt for session in self._sessions() if session.rtt is not None), None)

    @property
    def counters(self) -> Mapping[str, int]:
        """What was refused or passed over, by cause."""
        counters = dict(self._counters)
        dropped = sum(session.pairs_dropped for session in self._sessions())
        return counters | ({"pair limit": dropped} if dropped else {})

    @property
    def selected(self) -> PairSelected | None:
        """The pair in use: after a restart the new one, once there is one."""
        return next((session.selected for session in self._sessions() if session.selected is not None), None)

    def pairs(self) -> tuple[PairReport, ...]:
        """The check list of the newest session, best first."""
        return self._current.pairs()

    def needs_restart(self, ufrag: str, pwd: str) -> bool:
        """Whether these credentials of the peer's description are new, so that `restart` must come first."""
        current = self._current
        return current.is_started and (current.remote_ufrag, current.remote_pwd) != (ufrag, pwd)

    def is_validated(self, flow: FlowId, remote: Address) -> bool:
        """Whether a check on this pair has succeeded, ours or the peer's: what comes from there is the peer's."""
        address = stun.canonical_address(remote)
        return address is not None and any(session.is_validated(flow, address) for session in self._sessions())

    def claims(self, flow: FlowId, data: bytes, source: Address) -> bool:
        """Whether a datagram is of our peer, and of nobody else who has our description."""
        address = stun.canonical_address(source)
        if not is_stun(data) or address is None:
            return self.is_validated(flow, source)
        try:
            message = stun.parse(data)
        except ParseError:
            return False
        if message.kind is StunClass.REQUEST:
            username = message.text(Attribute.USERNAME) or ""
            return any(session.accepts(username) for session in self._sessions())
        return any(session.awaits(message.transaction_id) for session in self._sessions())

    # Commands

    def fork(self) -> "IceAgent":
        """An agent for another peer who has the same description of us: our candidates and credentials are the same.

        Early checks are shared: the first agent that learns of a peer takes hers.
        """
        other = IceAgent(self._context, controlling=self.controlling, lite=self._lite)
        other._locals = self._locals.copy()
        first = self._current
        other._current = other._new_session(self.controlling, (first.local_ufrag, first.local_pwd), first.early)
        return other

    def add_local_candidate(
        self,
        flow: FlowId,
        address: Address,
        *,
        kind: CandidateType = CandidateType.HOST,
        base: Address | None = None,
        streamed: bool = False,
        now: float,
    ) -> None:
        """Adds a candidate of ours. The first one added is preferred among those of its kind, and all others to one
        whose relay is reached by a stream (`streamed`).

        A server-reflexive one is of its host candidate's flow and names that one's address as `base`. A relayed one is
        of a flow of its own, whose owner wraps what is sent by it, and names the address that the server saw.
        Raises `LocalProtocolError` when closed, for an address that is no IP address, or when there are too many.
        """
        self._require_open("add a candidate")
        canonical = stun.canonical_address(address)
        if canonical is None:
            raise LocalProtocolError(f"cannot add candidate {address}: not an IP address; resolve it first")
        if self._locals.is_full:
            raise LocalProtocolError(f"cannot add candidate {address}: there are {MAX_LOCAL_CANDIDATES}; lose a flow")
        if self._locals.find(flow, canonical) is not None:
            return
        local = self._locals.add(kind, flow, canonical, base, streamed=streamed)
        if local.is_base:
            for session in self._sessions():
                session.add_local(local, now=now)
            self._drain()

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

        Given again with the same credentials, adds candidates that are new; after failure, does nothing. With
        `trickle`, failure is not declared before `end_of_remote_candidates`. Raises `LocalProtocolError` when closed,
        or for other credentials than before without `restart`.
        """
        self._require_open("take a description")
        if self.needs_restart(ufrag, pwd):
            raise LocalProtocolError("cannot take new credentials: checks have begun with others; call restart first")
        if not self._current.is_started:
            self._current.start(ufrag, pwd, lite=lite, now=now)
        if not self._current.is_failed:
            self._current.add_remote(candidates, more=trickle, now=now)
        self._drain()

    def add_remote_candidate(self, candidate: str, *, now: float) -> None:
        """Takes one more candidate of the peer (trickle). A bad one is counted; after failure all are ignored."""
        self._require_open("add a remote candidate")
        if not self._current.is_failed:
            self._current.add_remote((candidate,), more=True, now=now)
            self._drain()

    def end_of_remote_candidates(self, *, now: float) -> None:
        """The peer has told all its candidates (RFC 8838 section 8.2)."""
        self._require_open("end the candidates")
        if not self._current.is_failed:
            self._current.add_remote((), more=False, now=now)
            self._drain()

    def set_controlling(self, controlling: bool, *, now: float) -> None:
        """Sets the role, before or while checking."""
        self._require_open("set the role")
        self._current.set_controlling(controlling, now=now)
        self._drain()

    def restart(self, *, keep_credentials: bool = False, now: float) -> None:
        """Draws new credentials. The pair in use stays until the new session has selected one.

        `keep_credentials`: ours stay; for a peer that changed its own where no restart was offered, and so has no
        other ones of ours (RFC 8839 section 4.4.1.1.1 forbids it, yet gateways do it on any re-INVITE).
        """
        self._require_open("restart")
        self._drain()
        current = self._current
        if not current.is_started:
            current.close()
        elif self._previous is not None and current.selected is None:
            current.close()
            self._set_state(self._previous.state)
        else:
            self._replace_previous(None if current.is_failed else current)
        kept = (current.local_ufrag, current.local_pwd) if keep_credentials else None
        self._current = self._new_session(current.controlling, kept)

    def abandon_restart(self, *, now: float) -> None:
        """Goes back to the session before `restart`: its offer was refused."""
        if self._previous is None or self._current.is_started:
            raise LocalProtocolError("cannot abandon a restart: there is none, or the peer has taken it up")
        self._current.close()
        self._current, self._previous = self._previous, None

    def retire_candidates(self) -> None:
        """Before `restart` and others in their place: those of now serve the session that is under way, and no more.
        A way that was tried first because it was good once would hold up the others of its foundation."""
        self._locals.retire()

    def flow_lost(self, flow: FlowId, *, now: float) -> None:
        """A flow is gone, and the candidates on it."""
        self._locals.remove_flow(flow)
        for session in self._sessions():
            session.flow_lost(flow, now=now)
        self._drain()

    def close(self, *, now: float) -> None:
        """Ends it; nothing is sent or answered any more."""
        self._replace_previous(None)
        self._current.close()
        self._set_state(IceState.CLOSED)

    # Inputs

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        """Takes a datagram that `is_stun`. Whatever is not right is counted, and dropped or refused."""
        if self.state is IceState.CLOSED:
            return
        try:
            message = stun.parse(data)
        except ParseError:
            self._counters["malformed"] += 1
            return
        address = stun.canonical_address(source)
        if address is None or message.method != StunMethod.BINDING:
            self._counters["not for ICE"] += 1
        elif message.kind is StunClass.REQUEST:
            self._receive_request(flow, message, address, now)
        elif message.kind is not StunClass.INDICATION:
            self._receive_response(flow, message, address, now)
        self._drain()

    def handle_timeout(self, *, now: float) -> None:
        for session in self._sessions():
            session.handle_timeout(now=now)
        self._drain()

    def next_timeout(self) -> float | None:
        deadlines = (session.next_timeout() for session in self._sessions())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> IceOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[IceOutput]:
        return self._outbox.drain()

    # Within

    def _receive_request(self, flow: FlowId, message: StunMessage, source: Address, now: float) -> None:
        username = message.text(Attribute.USERNAME)
        status = 401
        if username is None or message.integrity is None:
            # RFC 8489 section 9.1.3: 400 where USERNAME or MESSAGE-INTEGRITY is missing, 401 where one is wrong.
            status = 400
        elif session := next((session for session in self._sessions() if session.accepts(username)), None):
            if not session.is_failed:
                session.receive_request(flow, message, source, now=now)
            return
        elif self._current.is_named(username):
            self._current.receive_request(flow, message, source, now=now)
            return
        if self._locals.base_of(flow) is None:
            self._counters["unknown flow"] += 1
            return
        self._counters[f"refused {status}"] += 1
        self._outbox.put(SendDatagram(flow, binding.refusal(message, status), source))

    def _receive_response(self, flow: FlowId, message: StunMessage, source: Address, now: float) -> None:
        for session in self._sessions():
            if session.awaits(message.transaction_id):
                session.receive_response(flow, message, source, now=now)
                return
        self._counters["unknown transaction"] += 1

    def _sessions(self) -> tuple[IceSession, ...]:
        """The current one first."""
        return (self._current,) if self._previous is None else (self._current, self._previous)

    def _drain(self) -> None:
        for session in self._sessions():
            for output in session.outputs():
                if isinstance(output, StateChanged):
                    self._session_changed(session, output.state)
                elif not isinstance(output, PairSelected) or session is self._current or self.selected == output:
                    self._outbox.put(output)

    def _session_changed(self, session: IceSession, state: IceState) -> None:
        if session is self._current or not self._current.is_started:
            self._set_state(state)
        concluded = session is self._current and state is IceState.COMPLETED
        if concluded or (session is self._previous and state is IceState.FAILED):
            self._replace_previous(None)

    def _replace_previous(self, session: IceSession | None) -> None:
        if self._previous is not None:
            self._previous.close()
        self._previous = session

    def _set_state(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._outbox.put(StateChanged(state))

    def _new_session(
        self, controlling: bool, credentials: tuple[str, str] | None = None, early: EarlyChecks | None = None
    ) -> IceSession:
        return IceSession(
            self._context,
            self._locals,
            self._counters,
            controlling=controlling,
            lite=self._lite,
            credentials=credentials,
            early=early,
        )

    def _require_open(self, what: str) -> None:
        if self.state is IceState.CLOSED:
            raise LocalProtocolError(f"cannot {what}: the agent is closed; make a new one")
