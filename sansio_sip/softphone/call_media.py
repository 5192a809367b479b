"""The media sessions of calls: opened, given descriptions, read and written, exchanged for another, closed.

A call has one at a time. Where a forked call of ours has been heard early from one far end (`Call.early_branch`) and
another one answers, the sockets and keys of the first are worth nothing to the second: the winner gets a session of its
own (`exchange`), which a re-INVITE tells of at once.
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

    def open(self, call: Call, *, after: SessionId | None = None, now: float) -> SessionId:
        """Opens the call's session. `after`: the one whose place it takes."""
        self._serial += 1
        session = call.session = SessionId(f"session{self._serial}")
        self._table.add_session(call, session)
        account = self._table.account(call)
        addresses = media_addresses(account, self._relocation.present)
        self._relocation.opened(session, addresses)
        self._media.open_session(
            session,
            MediaOptions(
                profiles=account.options.profiles,
                codecs=account.options.codecs,
                bind=addresses,
                stun_servers=account.options.stun_servers,
                turn_servers=account.options.turn_servers,
                relay_only=account.options.relay_only,
                in_band_dtmf=account.options.in_band_dtmf,
                ca_file=account.options.ca_file,
                tls_verify=account.options.tls_verify,
            ),
            after=after,
            now=now,
        )
        if call.muted:
            self._media.set_muted(session, True, now=now)
        return session

    def exchange(self, call: Call, *, now: float) -> None:
        """A new session in place of the one that the call has."""
        before = call.session
        assert before is not None
        self._relocation.closed(call)
        self.open(call, after=before, now=now)
        self._table.remove_session(before)
        self._media.close_session(before, now=now)

    def close(self, call: Call, *, now: float) -> None:
        """The call is over."""
        self._relocation.closed(call)
        if call.session is not None:
            self._table.remove_session(call.session)
            self._media.close_session(call.session, now=now)

    def apply(self, call: Call, description: bytes, *, is_offer: bool, now: float) -> tuple[int, str] | None:
        """Gives the peer's SDP to the call's session. Returns status and reason where that is refused at once."""
        assert call.session is not None
        try:
            parsed = parse_description(description)
            if is_offer:
                self._media.apply_offer(call.session, parsed, now=now)
            else:
                self._media.apply_answer(call.session, parsed, now=now)
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
