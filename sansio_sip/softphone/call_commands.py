"""What a program may have a phone do with its calls: place, answer, hold, transfer, end them, and their sound."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from sansio_sip.context import Context
from sansio_sip.trace import recorded

from .account import Account
from .call_control import CallControl
from .call_info import AccountId, CallInfo, CallUuid
from .call_keys import KeyWay
from .media_plane import AudioLevels, MediaStatistics, Samples

__all__ = ["CallCommands"]


class CallCommands(ABC):
    """See `sansio_sip.softphone.Softphone`, which owns what is used here."""

    _context: Context
    _calls: CallControl

    @abstractmethod
    def _account(self, account: AccountId) -> Account: ...

    @abstractmethod
    def _drain_calls(self, now: float) -> None: ...

    @abstractmethod
    def _refuse_when_closing(self, what: str) -> None: ...

    # Calls

    @recorded
    def call(
        self, account: AccountId, target: str, *, extra_headers: Mapping[str, str] | None = None, now: float
    ) -> CallUuid:
        """Places a call (reference: call). Gives Calling at once, then what becomes of it.

        Args:
            target: a SIP URI, `user@host`, or a number or name at the account's own domain.
            extra_headers: `X-PH-...` headers for the far end.

        Raises LocalProtocolError: no signalling flow, a bad target or header, too many calls, or the phone is closing.
        """
        self._refuse_when_closing("call")
        uuid = self._calls.place(self._account(account), target, extra_headers or {}, now=now)
        self._drain_calls(now)
        return uuid

    @recorded
    def answer(self, call: CallUuid, *, now: float) -> None:
        """Answers a ringing call (reference: answer). Gives CallAnswered when the caller has confirmed.

        Raises LocalProtocolError: the call is not an incoming one that rings.
        """
        self._calls.incoming.answer(call, now=now)
        self._drain_calls(now)

    @recorded
    def progress(self, call: CallUuid, *, now: float) -> None:
        """Lets the caller of a ringing call hear us before it is answered (183 with our description).

        Raises LocalProtocolError: the call is not an incoming one that rings, or came without an offer.
        """
        self._calls.incoming.progress(call, now=now)
        self._drain_calls(now)

    @recorded
    def reject(self, call: CallUuid, status: int = 486, *, now: float) -> None:
        """Refuses a ringing call (reference: reject). Gives CallFailed with cause `Rejected`.

        Raises LocalProtocolError: the call is not an incoming one that rings, or `status` refuses nothing.
        """
        self._calls.incoming.reject(call, status, now=now)
        self._drain_calls(now)

    @recorded
    def ignore(self, call: CallUuid, *, now: float) -> None:
        """Stops ringing here and tells the caller nothing (reference: ignore). Gives IncomingCallIgnored.

        Raises LocalProtocolError: the call is not an incoming one that rings.
        """
        self._calls.incoming.ignore(call, now=now)
        self._drain_calls(now)

    @recorded
    def hangup(self, call: CallUuid, *, now: float) -> None:
        """Ends a call by CANCEL, 480 or BYE, whichever its state asks for (reference: hangup).

        Raises LocalProtocolError: there is no such call; it may have ended.
        """
        self._calls.hang_up(call, now=now)
        self._drain_calls(now)

    @recorded
    def send_dtmf(self, call: CallUuid, digits: str, *, by: KeyWay = "event", now: float) -> None:
        """Queues digits `0-9 * # A-D`, `,` for a pause of 2 s (reference: sendDtmf). Gives DtmfSent.

        Args:
            by: "event" (telephone-event, RFC 4733), "sound" (the tones themselves), or "info" (a SIP INFO for each key,
                at once, which knows no pause).

        Raises LocalProtocolError: a bad digit, the call has no audio yet, or no telephone-event was negotiated.
        """
        self._calls.send_dtmf(call, digits, by=by, now=now)
        self._drain_calls(now)

    @recorded
    def hold(self, call: CallUuid, *, now: float) -> None:
        """Puts an answered call on hold. Gives CallHeld when the far end has agreed, or HoldFailed.

        Raises LocalProtocolError: the call was not answered, or hold was asked for already.
        """
        self._calls.set_held(call, True, now=now)
        self._drain_calls(now)

    @recorded
    def resume(self, call: CallUuid, *, now: float) -> None:
        """Takes a call back from hold. Gives CallResumed when the far end has agreed, or HoldFailed.

        Raises LocalProtocolError: the call is not on hold, or that was asked for already.
        """
        self._calls.set_held(call, False, now=now)
        self._drain_calls(now)

    @recorded
    def transfer(self, call: CallUuid, target: str, *, now: float) -> None:
        """Asks the far end to call `target` instead of us (blind transfer, REFER).

        Gives TransferProgress, then TransferCompleted, upon which the call is hung up, or TransferFailed.

        Raises LocalProtocolError: the call was not answered, or a bad target.
        """
        self._calls.transfer(call, target, now=now)
        self._drain_calls(now)

    @recorded
    def attended_transfer(self, call: CallUuid, other_call: CallUuid, *, now: float) -> None:
        """Joins the far ends of two calls of ours (REFER with Replaces). Gives what `transfer` gives.

        Raises LocalProtocolError: one of them was not answered.
        """
        self._calls.attended_transfer(call, other_call, now=now)
        self._drain_calls(now)

    @recorded
    def accept_transfer(self, call: CallUuid, *, now: float) -> CallUuid:
        """Calls whom the far end has asked for by TransferRequested; it is told how that goes. Returns the new call.

        Raises LocalProtocolError: no transfer waits for an answer, or the new call cannot be placed.
        """
        new_call = self._calls.accept_transfer(call, now=now)
        self._drain_calls(now)
        return new_call

    @recorded
    def reject_transfer(self, call: CallUuid, status: int = 603, *, now: float) -> None:
        """Refuses what the far end has asked for by TransferRequested.

        Raises LocalProtocolError: no transfer waits for an answer, or `status` refuses nothing.
        """
        self._calls.reject_transfer(call, status, now=now)
        self._drain_calls(now)

    @recorded
    def redirect(self, call: CallUuid, target: str, *, now: float) -> None:
        """Sends the caller of a ringing call elsewhere (302). Gives CallFailed with cause `Redirected`.

        Raises LocalProtocolError: the call is not an incoming one that rings, or a bad target.
        """
        self._calls.incoming.redirect(call, target, now=now)
        self._drain_calls(now)

    @recorded
    def mute(self, call: CallUuid, *, now: float) -> None:
        """The far end hears silence from now on (reference: mute). It may be asked for before there is audio.

        Raises LocalProtocolError: there is no such call; it may have ended.
        """
        self._calls.set_muted(call, True, now=now)
        self._drain_calls(now)

    @recorded
    def unmute(self, call: CallUuid, *, now: float) -> None:
        """The far end hears us again (reference: unmute).

        Raises LocalProtocolError: there is no such call; it may have ended.
        """
        self._calls.set_muted(call, False, now=now)
        self._drain_calls(now)

    # Audio

    @recorded
    def write_audio(self, call: CallUuid, samples: Samples, rate: int, *, now: float) -> int:
        """Queues audio for the far end. See `MediaPlane.write_audio`; returns the samples taken.

        Raises LocalProtocolError: the call has no audio yet, or has ended; `samples` or `rate` is none.
        """
        taken = self._calls.write_audio(call, samples, rate, now=now)
        self._drain_calls(now)
        return taken

    @recorded
    def flush_audio(self, call: CallUuid, *, now: float) -> float:
        """Drops queued audio that has not left; returns the seconds dropped.

        Raises LocalProtocolError: the call has no audio yet, or has ended.
        """
        return self._calls.media.flush_audio(call, now=now)

    @recorded
    def read_audio(self, call: CallUuid, rate: int, *, now: float) -> Samples:
        """Takes the audio heard since the last read, int16 at `rate` Hz, shape (samples,).

        Raises LocalProtocolError: the call has no audio yet, or has ended; `rate` is none.
        """
        return self._calls.media.read_audio(call, rate)

    @recorded
    def set_noise_reduction(self, call: CallUuid, on: bool, *, now: float) -> None:
        """Takes noise out of what is sent. Raises LocalProtocolError where the call has no audio yet."""
        self._calls.media.set_noise_reduction(call, on, now=now)

    @recorded
    def set_automatic_gain(self, call: CallUuid, on: bool, *, now: float) -> None:
        """Brings what is sent to the level of speech. Raises LocalProtocolError where the call has no audio yet."""
        self._calls.media.set_automatic_gain(call, on, now=now)

    @recorded
    def join(self, calls: tuple[CallUuid, ...], *, now: float) -> None:
        """A conference: the far end of each of these calls hears those of all others, besides what is written to it.

        Each leaves the conference that it was in; one call alone is in none. A call that ends leaves by itself.

        Raises LocalProtocolError where a call has no audio yet.
        """
        self._calls.media.set_conference(tuple(dict.fromkeys(calls)), now=now)

    @recorded
    def watch_levels(self, call: CallUuid, on: bool, *, now: float) -> None:
        """Has `audio_levels` measured. Raises LocalProtocolError where the call has no audio yet."""
        self._calls.media.watch_levels(call, on, now=now)

    def audio_levels(self, call: CallUuid) -> AudioLevels:
        """How loud both directions are now, and who speaks; watch them first.

        Raises LocalProtocolError: the call has no audio yet, or has ended.
        """
        return self._calls.media.audio_levels(call)

    def audio_queued(self, call: CallUuid) -> float:
        """Seconds of written audio that have not left yet.

        Raises LocalProtocolError: the call has no audio yet, or has ended.
        """
        return self._calls.media.audio_queued(call)

    def statistics(self, call: CallUuid) -> MediaStatistics | None:
        """A snapshot of the call's media; None before there is any.

        Raises LocalProtocolError: there is no such call; CallTerminated has the last snapshot of one that has ended.
        """
        return self._calls.media.statistics(call)

    def is_gathering(self, call: CallUuid) -> bool:
        """Whether our first description of a call is still being made: candidates are being gathered.

        Raises LocalProtocolError: there is no such call; it may have ended.
        """
        return self._calls.is_gathering(call)

    def call_info(self, call: CallUuid) -> CallInfo:
        """The latest snapshot of a call. Raises LocalProtocolError: there is no such call; it may have ended."""
        return self._calls.info(call)

    def calls(self) -> tuple[CallInfo, ...]:
        """All calls that have not ended, oldest first."""
        return self._calls.all()
