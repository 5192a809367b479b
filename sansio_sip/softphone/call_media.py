"""The media sessions of calls: opened, given descriptions, read and written, closed.

A call has one that is heard (`Call.session`), and while it rings at several phones one more for each of those (see
`early_media`).
"""

from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sdp.parser import parse_description

from .call import Call
from .call_info import CallUuid
from .call_table import CallTable
from .media_plane import AudioLevels, MediaOptions, MediaPlane, MediaStatistics, Samples, SessionId
from .relocation import Relocation, media_addresses

__all__ = ["CallMedia"]


class CallMedia:
    """Rows of the engine, by call. Whoever changes anything drains the engine afterwards."""

    def __init__(self, table: CallTable, media: MediaPlane, relocation: Relocation) -> None:
        self._table = table
        self._media = media
        self._relocation = relocation
        self._serial = 0

    # Sessions

    def open(self, call: Call, *, now: float) -> SessionId:
        """Opens a session for a call; the first one is the one that is heard."""
        account = self._table.account(call)
        addresses = media_addresses(account, self._relocation.present)
        session = self._name()
        self._keep(call, session)
        self._relocation.opened(session, addresses)
        self._media.open_session(
            session,
            MediaOptions(
                profiles=account.options.profiles,
                codecs=tuple(codec.lower() for codec in account.options.codecs),
                bind=addresses,
                stun_servers=account.options.stun_servers,
                turn_servers=account.options.turn_servers,
                relay_only=account.options.relay_only,
                in_band_dtmf=account.options.in_band_dtmf,
                ca_file=account.options.ca_file,
                tls_verify=account.options.tls_verify,
            ),
            now=now,
        )
        if call.session is None:
            call.session = session
            if call.muted:
                self._media.set_muted(session, True, now=now)
        return session

    def fork(self, call: Call, *, now: float) -> SessionId | None:
        """Opens a session for another answer to the call's first offer. None where too many share that."""
        if call.trunk is None:
            return None
        session = self._name()
        try:
            self._media.fork_session(call.trunk, session, now=now)
        except LocalProtocolError:
            return None
        self._keep(call, session)
        self._relocation.forked(call.trunk, session)
        return session

    def _name(self) -> SessionId:
        self._serial += 1
        return SessionId(f"session{self._serial}")

    def _keep(self, call: Call, session: SessionId) -> None:
        call.sessions.append(session)
        self._table.add_session(call, session)

    def hear(self, call: Call, session: SessionId, *, now: float) -> bool:
        """From now on this session is the one that is heard. False: it is so already."""
        if call.session == session:
            return False
        if call.session is not None:
            self._media.hand_over(call.session, session, now=now)
        call.session = session
        return True

    def keep_only(self, call: Call, session: SessionId, *, now: float) -> None:
        """Closes all sessions of a call but this one."""
        for other in tuple(call.sessions):
            if other != session:
                self.close_session(call, other, now=now)

    def close_session(self, call: Call, session: SessionId, *, now: float) -> None:
        self._relocation.session_closed(session)
        call.sessions.remove(session)
        self._table.remove_session(session)
        self._media.close_session(session, now=now)

    def close(self, call: Call, *, now: float) -> None:
        """The call is over."""
        self._relocation.closed(call)
        for session in tuple(call.sessions):
            self.close_session(call, session, now=now)

    def apply(self, session: SessionId, description: bytes, *, is_offer: bool, now: float) -> tuple[int, str] | None:
        """Gives the peer's SDP to a session. Returns status and reason where that is refused at once."""
        try:
            parsed = parse_description(description)
            if is_offer:
                self._media.apply_offer(session, parsed, now=now)
            else:
                self._media.apply_answer(session, parsed, now=now)
        except ParseError as error:
            return 488, f"SDP: {error}"
        except LocalProtocolError as error:  # an offer or answer at a time when none is due
            return 500, str(error)
        return None

    # Audio

    def write_audio(self, call: CallUuid, samples: Samples, rate: int, *, now: float) -> int:
        return self._media.write_audio(self.session(call, "write audio"), samples, rate, now=now)

    def set_noise_reduction(self, call: CallUuid, on: bool, *, now: float) -> None:
        self._media.set_noise_reduction(self.session(call, "reduce noise"), on, now=now)

    def set_automatic_gain(self, call: CallUuid, on: bool, *, now: float) -> None:
        self._media.set_automatic_gain(self.session(call, "level audio"), on, now=now)

    def set_conference(self, calls: tuple[CallUuid, ...], *, now: float) -> None:
        self._media.set_conference(tuple(self.session(call, "join calls") for call in calls), now=now)

    def watch_levels(self, call: CallUuid, on: bool, *, now: float) -> None:
        self._media.watch_levels(self.session(call, "watch levels"), on, now=now)

    def audio_levels(self, call: CallUuid) -> AudioLevels:
        return self._media.audio_levels(self.session(call, "ask for levels"))

    def flush_audio(self, call: CallUuid, *, now: float) -> float:
        return self._media.flush_audio(self.session(call, "flush audio"), now=now)

    def read_audio(self, call: CallUuid, rate: int) -> Samples:
        return self._media.read_audio(self.session(call, "read audio"), rate)

    def audio_queued(self, call: CallUuid) -> float:
        return self._media.audio_queued(self.session(call, "ask for queued audio"))

    def statistics(self, call: CallUuid) -> MediaStatistics | None:
        row = self._table.get(call)
        return self._media.statistics(row.session) if row.session is not None else None

    def session(self, call: CallUuid, what: str) -> SessionId:
        """Raises LocalProtocolError where there is none yet, with what was to be done."""
        row = self._table.get(call)
        if row.session is None:
            raise LocalProtocolError(f"cannot {what}: call {call} is {row.state.value}; answer it first")
        return row.session
