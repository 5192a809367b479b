"""What all commands of a client stand on: the phone, who is logged in, which call is *the* call, and the log.

Theory of operation
-------------------
The client is split by what its commands are about: `client_login`, `client_calls`, and `client`, which joins them. This
class is what they share: the phone inside, the inputs of a root machine, and the notes that are kept up from the
phone's events (`_note`).

- The active call is the one placed, or the one answered last; it is active from the command to its end event.
- A call that rings may be named by its UUID; without one, the call that began to ring last is meant.
"""

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import TypeAlias, assert_never

from sansio_sip.context import Context, Secret, TraceSink
from sansio_sip.effects import Address, Effect, FlowId, Record, TlsPeer
from sansio_sip.timers import TimerSet
from sansio_sip.trace import RecordedOutbox, recorded

from . import client_events, events
from .audio_effects import AudioEffect
from .call_info import AccountId, CallUuid
from .client_events import ClientEvent
from .events import Event
from .log_book import ALL, DEBUG, ERROR, LEVELS, WARNING, LogBook
from .media_plane import MediaPlane
from .options import Options, SoftphoneOptions
from .softphone import Softphone, SoftphoneOutput

__all__ = ["ClientCore", "ClientOutput", "Leaving", "Timer"]

ClientOutput: TypeAlias = Effect | Event | ClientEvent | AudioEffect

# Told at each tick: no line in the log is worth it.
SILENT = (events.AudioReady, events.LogLine)


class Timer(Enum):
    TOKEN = "the access token is about to expire"
    SAMPLE = "the quality of the active call is measured"
    ICE = "candidates should have been gathered by now"
    VOLUME = "the volume is measured"
    SPEECH = "whether somebody speaks who is muted"
    MICROPHONE = "something should have come from the microphone by now"
    SOUND = "the next piece of what is played here"
    BUSY = "the tone of a call that has failed ends"


class Leaving(Enum):
    """Why the binding of the account is being taken away."""

    NOT = "not at all"
    LOGOUT = "logout"
    UNREGISTER = "unregister"  # the connection stays
    DISCONNECT = "disconnect"


class _Outbox(RecordedOutbox[ClientOutput]):
    """Has each event say which client tells it."""

    __slots__ = ("_book",)

    def __init__(self, trace: TraceSink | None, book: LogBook) -> None:
        super().__init__(trace)
        self._book = book

    def put(self, output: ClientOutput) -> None:
        super().put(replace(output, identifier=self._book.identifier) if isinstance(output, events.Said) else output)


class ClientCore:
    """See `sansio_sip.softphone.Client`."""

    def __init__(
        self, context: Context, media: MediaPlane, options: Options, phone: SoftphoneOptions | None = None
    ) -> None:
        self._context = context
        self._media = media
        self._options = options
        self._timers: TimerSet[Timer] = TimerSet()
        # A trace holds the inputs and outputs of the root machine alone.
        self._phone = Softphone(replace(context, trace=None), media, phone)
        self._log_book = LogBook(LEVELS[options.debug.upper()], context.entropy.uuid("identifier"))
        self._outbox = _Outbox(context.trace, self._log_book)
        self._phone.trace_sip(self._log_book.level <= ALL)
        self._account: AccountId | None = None
        self._username = ""
        self._logged_in = False
        self._logging_in = False
        self._leaving = Leaving.NOT
        self._token: Secret | None = None
        self._active: CallUuid | None = None
        self._last: CallUuid | None = None
        self._ringing: dict[CallUuid, None] = {}  # in the order in which they began to ring
        self._muted: set[CallUuid] = set()
        self._mute_next = False
        self._closing = False

    # Inputs

    @recorded
    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        self._phone.flow_opened(flow, local, remote, peer, now=now)
        self._drain(now)

    @recorded
    def flow_accepted(
        self,
        listener: FlowId,
        flow: FlowId,
        local: Address,
        remote: Address,
        peer: TlsPeer | None = None,
        *,
        now: float,
    ) -> None:
        self._phone.flow_accepted(listener, flow, local, remote, peer, now=now)
        self._drain(now)

    @recorded
    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._phone.flow_lost(flow, reason, now=now)
        self._drain(now)

    @recorded
    def receive_stream(self, flow: FlowId, data: bytes, *, now: float) -> None:
        self._phone.receive_stream(flow, data, now=now)
        self._drain(now)

    @recorded
    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        self._phone.receive_datagram(flow, data, source, now=now)
        self._drain(now)

    @recorded
    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self._phone.resolved(query, records, now=now)
        self._drain(now)

    @recorded
    def interfaces_changed(self, addresses: tuple[str, ...], *, now: float) -> None:
        self._phone.interfaces_changed(addresses, now=now)
        self._drain(now)

    @recorded
    def handle_timeout(self, *, now: float) -> None:
        self._phone.handle_timeout(now=now)
        self._drain(now)
        for timer in self._timers.due(now):
            self._on_timer(timer, now)
        self._drain(now)

    def next_timeout(self) -> float | None:
        deadlines = (self._phone.next_timeout(), self._timers.next())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll_output(self) -> ClientOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[ClientOutput]:
        return self._outbox.drain()

    # The phone

    def _drain(self, now: float) -> None:
        for output in self._phone.outputs():
            if isinstance(output, events.LogLine):
                self._log(output.level, output.text, now)
            elif self._note(output, now):
                self._outbox.put(output)
                if isinstance(output, Event):
                    self._log_event(output, now)
                self._noted(output, now)

    def _note(self, output: SoftphoneOutput, now: float) -> bool:
        """Keeps up what the reference calls login, the call, and the call that rings. False: not to be told."""
        match output:
            case events.Login():
                if output.account == self._account:
                    self._logged_in, self._logging_in = True, False
            case events.LoginFailed():
                self._gone(output.account, now)
            case events.Logout():
                return self._on_logout(output, now)
            case events.IncomingCall():
                self._ringing[output.call] = None
            case events.CallAnswered():
                self._last = output.call
            case events.IncomingCallIgnored():
                self._ringing.pop(output.call, None)
            case events.CallTerminated() | events.CallFailed() | events.IncomingCallCanceled():
                self._ringing.pop(output.call, None)
                self._muted.discard(output.call)
                if output.call == self._active:
                    self._active = None
            case _:
                pass  # the others change nothing here
        return True

    def _noted(self, output: SoftphoneOutput, now: float) -> None:
        """What else follows from an event that was told; the classes above add to it."""

    def _on_timer(self, timer: Timer, now: float) -> None:
        """What a timer is for is known by the class that arms it."""

    def _on_logout(self, output: events.Logout, now: float) -> bool:
        if output.account != self._account:
            self._phone.remove_account(output.account, now=now)
            return True
        leaving, self._leaving = self._leaving, Leaving.NOT
        match leaving:
            case Leaving.UNREGISTER:
                self._logged_in = False
                self._outbox.put(client_events.Unregistered())
                self._log(DEBUG, "onUnregistered", now)
                return False
            case Leaving.NOT | Leaving.LOGOUT | Leaving.DISCONNECT:
                self._gone(output.account, now)
                return leaving is not Leaving.DISCONNECT
            case _:
                assert_never(leaving)

    def _gone(self, account: AccountId, now: float) -> None:
        """Whoever logs in next gets an account of his own; this one has nothing left to say."""
        if account == self._account:
            self._account = None
            self._logging_in = self._logged_in = False
            self._leaving = Leaving.NOT
        self._phone.remove_account(account, now=now)

    # Small helpers

    def _connected(self) -> bool:
        return self._account is not None and self._phone.is_connected(self._account)

    def _chosen(self, call_uuid: str | None) -> CallUuid | None:
        """The call that rings by that UUID, or else the one that began to ring last."""
        if call_uuid is not None and call_uuid in self._ringing:
            return CallUuid(call_uuid)
        return next(reversed(self._ringing), None)

    def _cannot(self, command: str, why: str, now: float) -> bool:
        self._log(ERROR, f"{command}: {why}", now)
        return False

    def _warn(self, text: str, now: float) -> None:
        self._log(WARNING, text, now)

    def _log_event(self, event: Event | ClientEvent, now: float) -> None:
        if not isinstance(event, SILENT):
            self._log(DEBUG, event.name, now, call=getattr(event, "call", None))

    def _log(self, level: int, text: str, now: float, *, call: CallUuid | None = None) -> None:
        """`call`: what the line is about, where that may be another than the active one."""
        unix = now + self._context.unix_offset
        line = self._log_book.write(level, text, user=self._username, call=call or self._active or "", unix_time=unix)
        if line is not None:
            self._outbox.put(line)
