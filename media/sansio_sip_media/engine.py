"""The media engine: one machine for the audio of all calls, with one clock.

Theory of operation
-------------------
Sessions are rows (`session.MediaSession`). The engine knows which flow belongs to which row, keeps the earliest
deadline of each, and beats the one tick: every 20 ms all sessions that have audio hear one frame, conferences are mixed
from what was heard, all speak one frame, and all is sent.
Datagrams are taken as they arrive, so that jitter is measured on arrival; decoding and sending wait for the tick.

The tick keeps to its grid. When it comes late by up to three frames, the frames that were missed are made up for; when
it comes later than that the grid starts anew: a burst would help nobody.
"""

from collections.abc import Iterator

import numpy as np

from sansio_sip.context import Context
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenDatagram, OpenStream, Record, Resolve, TlsPeer
from sansio_sip.errors import LocalProtocolError
from sansio_sip.machine import Outbox
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.softphone.media_plane import (
    AudioAvailable,
    AudioLevels,
    MediaOptions,
    MediaOutput,
    MediaStatistics,
    Samples,
    SessionId,
)
from sansio_sip.timers import Deadlines, earlier

from .audio_stream import FRAME
from .capabilities import webrtc_fault
from .codecs.opus_parameters import HIGHEST_BITRATE, LOWEST_BITRATE
from .conference import RATE as CONFERENCE_RATE
from .conference import Conference
from .crypto import CryptoProvider
from .resample import MAX_RATE, MIN_RATE
from .session import MediaSession
from .session_state import State
from .sound_desk import SoundDesk

__all__ = ["MediaEngine"]

FORGOTTEN_RATE = 8000  # Hz: the least that there is, for audio that nobody hears

# Frames that are made up for when a tick is late; beyond them the clock starts anew.
CATCH_UP = 3


class MediaEngine:
    """Implements `sansio_sip.softphone.media_plane.MediaPlane`.

    Args:
        context: randomness, oracles, Unix time.
        crypto: DTLS and SRTP; None in a replay, where the oracle answers for it.
    """

    def __init__(self, context: Context, crypto: CryptoProvider | None) -> None:
        self._context = context
        self._crypto = crypto
        self._outbox: Outbox[MediaOutput] = Outbox()
        self._sessions: dict[SessionId, MediaSession] = {}
        self._left: dict[SessionId, MediaSession] = {}  # closed, but for sockets that forks use
        self._flows: dict[FlowId, MediaSession] = {}
        self._queries: dict[int, tuple[MediaSession, int]] = {}
        self._query = 0
        self._deadlines: Deadlines[SessionId] = Deadlines()
        self._next_tick: float | None = None
        self._announced: set[SessionId] = set()
        self._conferences: list[Conference] = []
        self.sounds = SoundDesk()
        self.late_ticks = 0
        """Times the tick came so late that the clock had to start anew."""

    # Commands

    def open_session(self, session: SessionId, options: MediaOptions, *, now: float) -> None:
        self._demand_new(session)
        row = self._sessions[session] = MediaSession(self._context, self._crypto, session, options, now=now)
        self._drain(row, now)

    def fork_session(self, session: SessionId, fork: SessionId, *, now: float) -> None:
        self._demand_new(fork)
        row = self._left[session] if session in self._left else self._session(session)
        self._sessions[fork] = row.fork(fork, now=now)

    def hand_over(self, session: SessionId, to: SessionId, *, now: float) -> None:
        before, after = self._session(session), self._session(to)
        self.read_audio(to, FORGOTTEN_RATE)
        after.audio.take_after(before.audio)
        for conference in self._conferences:
            conference.sessions = tuple(to if name == session else name for name in conference.sessions)

    def create_offer(self, session: SessionId, *, direction: str = "sendrecv", now: float) -> None:
        row = self._session(session)
        row.create_offer(direction, now=now)
        self._drain(row, now)

    def apply_offer(
        self, session: SessionId, offer: SessionDescription, *, direction: str = "sendrecv", now: float
    ) -> None:
        row = self._session(session)
        row.apply_offer(offer, direction, now=now)
        self._drain(row, now)

    def apply_answer(self, session: SessionId, answer: SessionDescription, *, now: float) -> None:
        row = self._session(session)
        row.apply_answer(answer, now=now)
        self._drain(row, now)

    def rollback_offer(self, session: SessionId, *, now: float) -> None:
        self._session(session).rollback_offer()

    def rebind(self, session: SessionId, bind: tuple[str, ...], *, now: float) -> None:
        row = self._session(session)
        row.rebind(bind, now=now)
        self._drain(row, now)

    def close_session(self, session: SessionId, *, now: float) -> None:
        row = self._session(session)
        row.close(now=now)
        del self._sessions[session]
        if row.state is State.LEFT:
            self._left[session] = row
        else:
            self._deadlines.remove(session)
        self._drain_one(row, now)  # a fork is none of its family any more
        self._drain(row, now)
        self._leave_conferences((session,))
        self._announced.discard(session)

    def webrtc_fault(self) -> str:
        return self._context.oracle.consult("webrtc_fault", lambda: webrtc_fault(self._context, self._crypto))

    def set_muted(self, session: SessionId, muted: bool, *, now: float) -> None:
        self._session(session).audio.muted = muted

    def set_bitrate(self, session: SessionId, bitrate: int, *, now: float) -> None:
        row = self._session(session)
        if not LOWEST_BITRATE <= bitrate <= HIGHEST_BITRATE:
            raise LocalProtocolError(
                f"cannot send {bitrate} bits a second: Opus takes {LOWEST_BITRATE} to {HIGHEST_BITRATE}"
            )
        row.audio.outgoing.set_bitrate(bitrate)

    def set_noise_reduction(self, session: SessionId, on: bool, *, now: float) -> None:
        self._session(session).audio.outgoing.set_noise_reduction(on)

    def set_automatic_gain(self, session: SessionId, on: bool, *, now: float) -> None:
        self._session(session).audio.outgoing.set_automatic_gain(on)

    def watch_levels(self, session: SessionId, on: bool, *, now: float) -> None:
        self._session(session).audio.watch_levels(on)

    def audio_levels(self, session: SessionId) -> AudioLevels:
        return self._session(session).audio.levels

    def write_audio(self, session: SessionId, samples: Samples, rate: int, *, now: float) -> int:
        audio = self._session(session).audio
        _check_rate("write audio", rate)
        if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.ndim != 1:
            raise LocalProtocolError(f"cannot write audio: {_kind(samples)} is none; give int16 of shape (n,)")
        return audio.write(samples, rate)

    def audio_queued(self, session: SessionId) -> float:
        return self._session(session).audio.queued

    def flush_audio(self, session: SessionId, *, now: float) -> float:
        return self._session(session).audio.flush()

    def read_audio(self, session: SessionId, rate: int) -> Samples:
        audio = self._session(session).audio
        _check_rate("read audio", rate)
        self._announced.discard(session)
        return audio.read(rate)

    def send_dtmf(
        self,
        session: SessionId,
        digits: str,
        *,
        duration_ms: int = 100,
        gap_ms: int = 70,
        in_band: bool = False,
        now: float,
    ) -> None:
        self._session(session).send_dtmf(digits, duration_ms, gap_ms, in_band=in_band)

    def set_conference(self, sessions: tuple[SessionId, ...], *, now: float) -> None:
        for session in sessions:
            self._session(session)
        self._leave_conferences(sessions)
        if len(sessions) > 1:
            self._conferences.append(Conference(sessions))

    def statistics(self, session: SessionId) -> MediaStatistics:
        return self._session(session).statistics()

    # Inputs

    def flow_opened(self, flow: FlowId, local: Address, peer: TlsPeer | None = None, *, now: float) -> None:
        if (row := self._flows.get(flow)) is not None:
            row.flow_opened(flow, local, peer, now=now)
            self._drain(row, now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        if (row := self._flows.pop(flow, None)) is not None:
            for member in row.forks.family if row.forks is not None else (row,):
                member.flow_lost(flow, reason, now=now)
            self._drain(row, now)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        row = self._flows.get(flow)
        if row is not None and row.forks is not None and row.forks.trunk is row:  # a fork's own sockets are its own
            row = row.forks.addressee(flow, data, source)
        if row is not None:
            row.receive_datagram(flow, data, source, now=now)
            self._drain(row, now)

    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        if (row := self._flows.get(flow)) is not None:
            row.receive_stream(flow, data, now=now)
            self._drain(row, now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        row, asked = self._queries.pop(query, (None, 0))
        if row is not None and row.id in self._sessions:
            row.resolved(asked, records, now=now)
            self._drain(row, now)

    def handle_timeout(self, *, now: float) -> None:
        for session in self._deadlines.due(now):
            row = self._left[session] if session in self._left else self._sessions[session]
            row.handle_timeout(now=now)
            self._drain(row, now)
        if self._next_tick is not None and now >= self._next_tick:
            self._tick(now)

    def next_timeout(self) -> float | None:
        return earlier(self._deadlines.next(), self._next_tick)

    def poll_output(self) -> MediaOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[MediaOutput]:
        return self._outbox.drain()

    # The tick

    def _tick(self, now: float) -> None:
        assert self._next_tick is not None
        if now - self._next_tick > CATCH_UP * FRAME:
            self.late_ticks += 1
            self._next_tick = now
        while self._next_tick is not None and self._next_tick <= now:
            active = [row for row in self._sessions.values() if row.flowing]
            # A stage for all calls and then the next one: its code and tables stay in the processor's caches.
            for row in active:
                row.audio.hear(now=now)
            self._confer(frozenset(row.id for row in active))
            said = [row.audio.say() for row in active]
            for row, packets in zip(active, said, strict=True):
                row.send(packets, now=now)
                self._drain(row, now)
            self._next_tick = self._next_tick + FRAME if active else None
        heard = tuple(
            name for name, row in self._sessions.items() if row.audio.has_heard and name not in self._announced
        )
        if heard:
            self._announced.update(heard)
            self._outbox.put(AudioAvailable(heard))

    def _confer(self, active: frozenset[SessionId]) -> None:
        for conference in self._conferences:
            rows = {name: self._sessions[name].audio for name in conference.sessions}
            heard = {name: (row.heard, row.incoming.sample_rate) for name, row in rows.items() if name in active}
            for name, samples in conference.tick(heard).items():
                rows[name].outgoing.mix(samples, CONFERENCE_RATE)

    def _leave_conferences(self, sessions: tuple[SessionId, ...]) -> None:
        for conference in self._conferences:
            conference.sessions = tuple(name for name in conference.sessions if name not in sessions)
        self._conferences = [conference for conference in self._conferences if len(conference.sessions) > 1]

    # Rows

    def _drain(self, row: MediaSession, now: float) -> None:
        for member in row.forks.family if row.forks is not None else (row,):
            self._drain_one(member, now)

    def _drain_one(self, row: MediaSession, now: float) -> None:
        for output in row.outputs():
            if isinstance(output, (OpenDatagram, OpenStream)):
                self._flows[output.flow] = row
            elif isinstance(output, CloseFlow):
                self._flows.pop(output.flow, None)
            elif isinstance(output, Resolve):
                self._query += 1
                self._queries[self._query] = (row, output.query)
                output = Resolve(self._query, output.name, output.kind)
            self._outbox.put(output)
        if row.state is State.CLOSED:
            self._left.pop(row.id, None)
            self._deadlines.remove(row.id)
            return
        self._deadlines.update(row.id, row.next_timeout())
        if self._next_tick is None and row.flowing:
            self._next_tick = now

    def _demand_new(self, session: SessionId) -> None:
        if session in self._sessions:
            raise LocalProtocolError(f"cannot open session {session}: it is open; close it first")

    def _session(self, session: SessionId) -> MediaSession:
        try:
            return self._sessions[session]
        except KeyError:
            raise LocalProtocolError(f"there is no media session {session!r}: it was closed or never opened") from None


def _check_rate(what: str, rate: object) -> None:
    if not isinstance(rate, int | np.integer) or not MIN_RATE <= rate <= MAX_RATE:
        raise LocalProtocolError(f"cannot {what} at {rate!r} Hz: give a whole number from {MIN_RATE} to {MAX_RATE}")


def _kind(samples: object) -> str:
    """What somebody has given in place of audio."""
    if isinstance(samples, np.ndarray):
        return f"{samples.dtype} of shape {samples.shape}"
    return type(samples).__name__
