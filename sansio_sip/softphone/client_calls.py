"""A client's commands about calls."""

import re
from collections.abc import Mapping

from sansio_sip.errors import LocalProtocolError
from sansio_sip.trace import recorded

from . import client_events
from .call_info import CallInfo
from .call_keys import KeyWay
from .client_login import LoginCommands
from .log_book import ERROR, INFO
from .media_plane import Samples

__all__ = ["CallCommands"]

# What the reference sends as an extra header; anything else is reported and left out. At most 24 characters in the
# name and 120 in the value, none of which can end a line.
HEADER_NAME = re.compile(r"[Xx]-[Pp][Hh]-[A-Za-z0-9-]{1,19}")
HEADER_VALUE = re.compile(r"[A-Za-z0-9_+()%.-]{1,120}")

# A number as people write it; the separators are left out of the URI.
NUMBER = re.compile(r"\+?[0-9().-]*[0-9][0-9().-]*")
SEPARATORS = re.compile(r"[().-]")

NO_GRANT = "INVALID_ACCESS_TOKEN_GRANTS"

DIGITS = "0123456789*#"

REJECT, IGNORE, LET_RING = "reject", "ignore", "letring"
# The reference's manual says `ignored` where its code says `ignore`: both are taken.
ACTIONS: Mapping[str, str] = {"reject": REJECT, "ignore": IGNORE, "ignored": IGNORE, "letring": LET_RING}


class CallCommands(LoginCommands):
    """See `sansio_sip.softphone.Client`."""

    # Calls

    @recorded
    def call(self, number: str, extra_headers: Mapping[str, str] | None = None, *, now: float) -> bool:
        """Calls a number or SIP address (reference: call). Gives Calling, then what becomes of it.

        Args:
            extra_headers: `X-PH-...`; one that breaks the reference's rules is reported and left out.

        Returns:
            False where nothing was begun.
        """
        if self._token_claims is not None and self._token_claims.outgoing_allow is False:
            self._outbox.put(client_events.PermissionDenied(NO_GRANT))
            return self._cannot(
                "call", "the access token does not allow outgoing calls; log in with one that does", now
            )
        if self._account is None or not self.is_connected():
            return self._cannot("call", "there is no connection to the server; log in first", now)
        if self._active is not None:
            return self._cannot("call", f"call {self._active} is active; hang up first", now)
        if self._ringing:
            return self._cannot("call", "a call rings; answer, reject or ignore it first", now)
        target = _dialled(str(number))
        if not target:
            return self._cannot("call", "there is nobody to call; give a number or SIP address", now)
        rows = {str(name): str(value) for name, value in (extra_headers or {}).items()}
        headers = {name: value for name, value in rows.items() if self._is_sendable(name, value, now)}
        try:
            self._active = self._phone.call(self._account, target, extra_headers=headers, now=now)
        except LocalProtocolError as error:
            return self._cannot("call", str(error), now)
        if self._mute_next:
            self._mute_next = False
            self._muted.add(self._active)
            self._phone.mute(self._active, now=now)
        self._mute_changed(now)
        self._drain(now)
        return True

    @recorded
    def answer(self, call_uuid: str | None = None, action_on_other_incoming_calls: str = REJECT, *, now: float) -> bool:
        """Answers a call that rings (reference: answer). Gives CallAnswered. An active call is hung up first.

        Args:
            call_uuid: None: the one that began to ring last.
            action_on_other_incoming_calls: `reject`, `ignored` (or `ignore`), `letring`.

        Returns:
            False for a UUID of no ringing call, for an unknown action, and where nothing rings.
        """
        action = ACTIONS.get(str(action_on_other_incoming_calls).lower())
        if action is None:
            return self._cannot(
                "answer", f"{action_on_other_incoming_calls!r} is no action; give one of {', '.join(ACTIONS)}", now
            )
        if call_uuid is not None and call_uuid not in self._ringing:
            return self._cannot("answer", f"{call_uuid!r} is no call that rings; see onIncomingCall", now)
        call = self._chosen(call_uuid)
        if call is None:
            return self._cannot("answer", "no call rings; wait for onIncomingCall", now)
        if self._active is not None:
            self._phone.hangup(self._active, now=now)
        for other in [each for each in self._ringing if each != call]:
            if action == REJECT:
                self._phone.reject(other, now=now)
            elif action == IGNORE:
                self._phone.ignore(other, now=now)
        self._drain(now)
        try:
            self._phone.answer(call, now=now)
        except LocalProtocolError as error:
            return self._cannot("answer", str(error), now)
        self._ringing.pop(call, None)
        self._active = call
        self._answering(now)
        self._drain(now)
        return True

    @recorded
    def reject(self, call_uuid: str | None = None, *, now: float) -> bool:
        """Refuses a call that rings with 486 (reference: reject). Gives CallFailed with cause `Rejected`.

        Args:
            call_uuid: None, or of no ringing call: the one that began to ring last.

        Returns:
            False where nothing rings.
        """
        call = self._chosen(call_uuid)
        if call is None:
            return self._cannot("reject", "no call rings; wait for onIncomingCall", now)
        self._phone.reject(call, now=now)
        self._drain(now)
        return True

    @recorded
    def ignore(self, call_uuid: str | None = None, *, now: float) -> bool:
        """Stops ringing here; the caller is told nothing (reference: ignore). Gives IncomingCallIgnored.

        Arguments and result are as for `reject`.
        """
        call = self._chosen(call_uuid)
        if call is None:
            return self._cannot("ignore", "no call rings; wait for onIncomingCall", now)
        self._phone.ignore(call, now=now)
        self._drain(now)
        return True

    @recorded
    def redirect(self, uri: str | None, *, now: float) -> bool:
        """Sends the call that began to ring last to another device (reference: redirect), by 302. Gives CallFailed.

        Args:
            uri: what `get_contact_uri` says there.

        Returns:
            False where nothing rings, or `uri` is none.
        """
        call = self._chosen(None)
        if call is None or not uri:
            return self._cannot("redirect", "no call rings, or there is no URI; wait for onIncomingCall", now)
        try:
            self._phone.redirect(call, uri, now=now)
        except LocalProtocolError as error:
            return self._cannot("redirect", str(error), now)
        self._drain(now)
        return True

    @recorded
    def hangup(self, *, now: float) -> bool:
        """Ends the active call (reference: hangup). Gives CallTerminated, or CallFailed before it was answered."""
        if self._active is None:
            return self._cannot("hangup", "no call is active; a call that rings is rejected or ignored", now)
        self._phone.hangup(self._active, now=now)
        self._drain(now)
        return True

    def _send_key(self, digit: str | int, now: float) -> bool:
        """Sends one key in the first way of `Options.dtmf_options` that the call has."""
        key = str(digit)
        if len(key) != 1 or key not in DIGITS:
            return self._cannot("send_dtmf", f"{digit!r} is no key; give one of {DIGITS}", now)
        if self._active is None:
            return self._cannot("send_dtmf", "no call is active; call or answer first", now)
        fault = ""
        for way in _key_ways(tuple(each.upper() for each in self._options.dtmf_options)):
            try:
                self._phone.send_dtmf(self._active, key, by=way, now=now)
            except LocalProtocolError as error:
                fault = str(error)
            else:
                self._drain(now)
                return True
        return self._cannot("send_dtmf", fault, now)

    @recorded
    def mute(self, *, now: float) -> bool:
        """The far end hears silence (reference: mute).

        Returns:
            False where no call is active: the next one placed then begins muted.
        """
        if self._active is None:
            self._mute_next = True
            self._log(INFO, "mute: no call is active; the next one placed begins muted", now)
            return False
        self._muted.add(self._active)
        self._phone.mute(self._active, now=now)
        self._mute_changed(now)
        self._drain(now)
        return True

    @recorded
    def unmute(self, *, now: float) -> bool:
        """The far end hears us again (reference: unmute). False where no call is active."""
        if self._active is None:
            self._mute_next = False
            return self._cannot("unmute", "no call is active; call or answer first", now)
        self._muted.discard(self._active)
        self._phone.unmute(self._active, now=now)
        self._mute_changed(now)
        self._drain(now)
        return True

    @property
    def is_call_muted(self) -> bool:
        """Whether the active call is muted (reference: isCallMuted)."""
        return self._active in self._muted

    def get_incoming_calls(self) -> list[CallInfo]:
        """Every call that rings here, in the order in which they came (reference: getIncomingCalls)."""
        return [self._phone.call_info(call) for call in self._ringing]

    def get_current_session(self) -> CallInfo | None:
        """The active call, or else the one that began to ring last (reference: getCurrentSession)."""
        call = self._active or self._chosen(None)
        return self._phone.call_info(call) if call is not None else None

    @property
    def call_session(self) -> CallInfo | None:
        """The active call (reference: callSession)."""
        return self._phone.call_info(self._active) if self._active is not None else None

    @property
    def call_direction(self) -> str | None:
        """`incoming` or `outgoing`, of the active call (reference: callDirection)."""
        session = self.call_session
        return session.direction.value.lower() if session is not None else None

    @property
    def incoming_invites(self) -> dict[str, CallInfo]:
        """Every call that rings here, by its UUID (reference: incomingInvites)."""
        return {info.call_uuid: info for info in self.get_incoming_calls()}

    def get_call_uuid(self) -> str | None:
        """Of the active call (reference: getCallUUID)."""
        return self._active

    def get_last_call_uuid(self) -> str | None:
        """Of the call that was answered last, ended or not (reference: getLastCallUUID)."""
        return self._last

    # Audio of the active call

    @recorded
    def write_audio(self, samples: Samples, rate: int, *, now: float) -> int:
        """Queues audio for the far end, as `Softphone.write_audio`; 0 are taken where no call has audio."""
        if self._active is None:
            return 0
        try:
            taken = self._phone.write_audio(self._active, samples, rate, now=now)
        except LocalProtocolError:
            return 0
        self._drain(now)
        return taken

    @recorded
    def read_audio(self, rate: int, *, now: float) -> Samples | None:
        """Takes the audio heard since the last read, as `Softphone.read_audio`; None where no call has audio."""
        if self._active is None:
            return None
        try:
            return self._phone.read_audio(self._active, rate, now=now)
        except LocalProtocolError:
            return None

    # Small helpers

    def _answering(self, now: float) -> None:
        """What else follows from an answer of ours; the classes above add to it."""

    def _mute_changed(self, now: float) -> None:
        """What else follows from it; the classes above add to it."""

    def _is_sendable(self, name: str, value: str, now: float) -> bool:
        good = HEADER_NAME.fullmatch(name) is not None and HEADER_VALUE.fullmatch(value) is not None
        if not good:
            self._log(
                ERROR,
                f"call: extra header {name!r} is left out; names are X-PH- and up to 19 of A-Z a-z 0-9 -,"
                " values up to 120 of A-Z a-z 0-9 _ - + ( ) % .",
                now,
            )
        return good


def _key_ways(options: tuple[str, ...]) -> tuple[KeyWay, ...]:
    """See `Options.dtmf_options`. Never two at once: the far end would count the key twice."""
    if "INFO" in options:
        return ("info",)
    if "OUTBAND" not in options:
        return ("sound",)
    return ("event", "sound" if "INBAND" in options else "info")


def _dialled(number: str) -> str:
    """The target as the phone takes it: no white space, no visual separators in a telephone number."""
    target = re.sub(r"(?i)^tel:", "", re.sub(r"\s", "", number))
    found = re.match(r"(?i)sips?:", target)
    scheme = found[0] if found is not None else ""
    user, at, host = target[len(scheme) :].partition("@")
    user = SEPARATORS.sub("", user) if NUMBER.fullmatch(user) else user
    return f"{scheme}{user}@{host}" if at else user
