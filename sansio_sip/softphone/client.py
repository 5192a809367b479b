"""The client: the reference's API over a phone with one account.

Theory of operation
-------------------
`Client` wraps a `Softphone` and adds what the reference has and a phone has not: somebody who logs in by name and
password, *the* call, and *the* call that rings. Its commands return what the reference's return, at once. They never
raise: what cannot be done is told by the value, and by a `LogLine` that names state and remedy.

- The active call is the one placed, or the one answered last; it is active from the command to its end event.
- A call that rings may be named by its UUID; without one, the call that began to ring last is meant.

As a root machine it is driven like a softphone; the events are the softphone's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import sansio_sip
from sansio_sip.context import Context, Secret
from sansio_sip.effects import Address, Effect, FlowId, Record, TlsPeer
from sansio_sip.errors import LocalProtocolError
from sansio_sip.trace import RecordedOutbox, recorded

from . import events
from .call_info import AccountId, CallUuid
from .events import Event
from .media_plane import MediaPlane, Samples
from .options import Options, SoftphoneOptions
from .softphone import Softphone, SoftphoneOutput

__all__ = ["Client", "ClientOutput"]

ClientOutput: TypeAlias = Effect | Event

# Levels of `logging`, which the core does not import.
INFO, WARNING, ERROR = 20, 30, 40

# What the reference sends as an extra header; anything else is reported and left out. At most 24 characters in the
# name and 120 in the value, none of which can end a line.
HEADER_NAME = re.compile(r"[Xx]-[Pp][Hh]-[A-Za-z0-9-]{1,19}")
HEADER_VALUE = re.compile(r"[A-Za-z0-9_+()%.-]{1,120}")

# A number as people write it; the separators are left out of the URI.
NUMBER = re.compile(r"\+?[0-9().-]*[0-9][0-9().-]*")
SEPARATORS = re.compile(r"[().-]")

DIGITS = "0123456789*#"

REJECT, IGNORE, LET_RING = "reject", "ignore", "letring"
# The reference's manual says `ignored` where its code says `ignore`: both are taken.
ACTIONS: Mapping[str, str] = {"reject": REJECT, "ignore": IGNORE, "ignored": IGNORE, "letring": LET_RING}


class Client:
    """One user's phone, with the reference's methods in snake_case.

    Args:
        media: the engine, as for `Softphone`.
        options: the server and what is asked of it.
    """

    def __init__(
        self, context: Context, media: MediaPlane, options: Options, phone: SoftphoneOptions | None = None
    ) -> None:
        self._context = context
        self._options = options
        self._outbox: RecordedOutbox[ClientOutput] = RecordedOutbox(context.trace)
        # A trace holds the inputs and outputs of the root machine alone.
        self._phone = Softphone(replace(context, trace=None), media, phone)
        self._account: AccountId | None = None
        self._username = ""
        self._logged_in = False
        self._logging_in = False
        self._leaving = False
        self._active: CallUuid | None = None
        self._last: CallUuid | None = None
        self._ringing: dict[CallUuid, None] = {}  # in the order in which they began to ring
        self._mute_next = False

    # Variables

    @property
    def version(self) -> str:
        """Of this package (reference: version)."""
        return sansio_sip.__version__

    @property
    def is_logged_in(self) -> bool:
        """From onLogin to onLogout (reference: isLoggedIn)."""
        return self._logged_in

    # Login

    def login(self, username: str | None, password: str | Secret | None, *, now: float) -> bool:
        """Registers a user (reference: login). Gives Login or LoginFailed.

        Args:
            username: a name at `Options.domain`, or a whole address; `sip:` may stand before it.

        Returns:
            False where nothing was begun; a LoginFailed event says why.
        """
        # A password in an argument would be written into a trace.
        secret = password if isinstance(password, Secret) else Secret(password or "")
        return self.login_with_secret(username or "", secret, now=now)

    @recorded
    def login_with_secret(self, username: str, password: Secret, *, now: float) -> bool:
        """`login`, with the password as a `Secret`."""
        username = re.sub(r"(?i)^sips?:", "", username.strip())
        if self._logging_in:
            self._log(WARNING, f"login: {self._username} is being logged in already; wait for onLogin")
            return True
        if self._logged_in and username == self._username and self.is_connected():
            self._log(WARNING, f"login: {username} is logged in already")
            return True
        if not username or not password.reveal():
            return self._refuse_login("Username and password must be filled out")
        if self._active is not None:
            return self._refuse_login("Cannot login when there is an ongoing call")
        try:
            options = self._options.account(username, password)
        except ValueError as error:
            self._log(ERROR, f"login: {error}")
            return self._refuse_login("Failed to create user agent")
        self._leave(now)
        try:
            account = self._phone.add_account(options, now=now)
        except LocalProtocolError as error:
            self._log(ERROR, f"login: {error}")
            return False
        self._account, self._username = account, username
        self._logging_in, self._logged_in, self._leaving = True, False, False
        self._phone.login(account, now=now)
        self._drain(now)
        return True

    @recorded
    def logout(self, *, now: float) -> bool:
        """Ends the call, un-registers and disconnects (reference: logout). Gives Logout.

        Returns:
            False where nobody is logged in.
        """
        if self._account is None or not self._logged_in:
            self._log(ERROR, "logout: nobody is logged in; log in first")
            return False
        self._leave(now)
        return True

    def is_connected(self) -> bool:
        """Whether the signalling flow is up (reference: isConnected)."""
        return self._account is not None and self._phone.is_connected(self._account)

    def is_registered(self) -> bool:
        """Whether a binding is granted (reference: isRegistered)."""
        return self._account is not None and self._logged_in and self._phone.is_registered(self._account)

    # Calls

    @recorded
    def call(self, number: str, extra_headers: Mapping[str, str] | None = None, *, now: float) -> bool:
        """Calls a number or SIP address (reference: call). Gives Calling, then what becomes of it.

        Args:
            extra_headers: `X-PH-...`; one that breaks the reference's rules is reported and left out.

        Returns:
            False where nothing was begun.
        """
        if self._account is None or not self.is_connected():
            return self._cannot("call", "there is no connection to the server; log in first")
        if self._active is not None:
            return self._cannot("call", f"call {self._active} is active; hang up first")
        if self._ringing:
            return self._cannot("call", "a call rings; answer, reject or ignore it first")
        target = _dialled(str(number))
        if not target:
            return self._cannot("call", "there is nobody to call; give a number or SIP address")
        rows = {str(name): str(value) for name, value in (extra_headers or {}).items()}
        headers = {name: value for name, value in rows.items() if self._is_sendable(name, value)}
        try:
            self._active = self._phone.call(self._account, target, extra_headers=headers, now=now)
        except LocalProtocolError as error:
            return self._cannot("call", str(error))
        if self._mute_next:
            self._mute_next = False
            self._phone.mute(self._active, now=now)
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
            return self._cannot("answer", f"{action_on_other_incoming_calls!r} is none of {', '.join(ACTIONS)}")
        if call_uuid is not None and call_uuid not in self._ringing:
            return self._cannot("answer", f"{call_uuid!r} is no call that rings; see onIncomingCall")
        call = self._chosen(call_uuid)
        if call is None:
            return self._cannot("answer", "no call rings; wait for onIncomingCall")
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
            return self._cannot("answer", str(error))
        self._ringing.pop(call, None)
        self._active = call
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
            return self._cannot("reject", "no call rings; wait for onIncomingCall")
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
            return self._cannot("ignore", "no call rings; wait for onIncomingCall")
        self._phone.ignore(call, now=now)
        self._drain(now)
        return True

    @recorded
    def hangup(self, *, now: float) -> bool:
        """Ends the active call (reference: hangup). Gives CallTerminated, or CallFailed before it was answered."""
        if self._active is None:
            return self._cannot("hangup", "no call is active; a call that rings is rejected or ignored")
        self._phone.hangup(self._active, now=now)
        self._drain(now)
        return True

    @recorded
    def send_dtmf(self, digit: str | int, *, now: float) -> None:
        """Sends one key, `0` to `9`, `*` or `#`, in the active call (reference: sendDtmf). Gives DtmfSent."""
        key = str(digit)
        if len(key) != 1 or key not in DIGITS:
            self._cannot("send_dtmf", f"{digit!r} is no key; give one of {DIGITS}")
        elif self._active is None:
            self._cannot("send_dtmf", "no call is active; call or answer first")
        else:
            try:
                self._phone.send_dtmf(self._active, key, now=now)
            except LocalProtocolError as error:
                self._cannot("send_dtmf", str(error))
            self._drain(now)

    @recorded
    def mute(self, *, now: float) -> bool:
        """The far end hears silence (reference: mute).

        Returns:
            False where no call is active: the next one placed then begins muted.
        """
        if self._active is None:
            self._mute_next = True
            self._log(INFO, "mute: no call is active; the next one placed begins muted")
            return False
        self._phone.mute(self._active, now=now)
        self._drain(now)
        return True

    @recorded
    def unmute(self, *, now: float) -> bool:
        """The far end hears us again (reference: unmute). False where no call is active."""
        if self._active is None:
            self._mute_next = False
            return self._cannot("unmute", "no call is active; call or answer first")
        self._phone.unmute(self._active, now=now)
        self._drain(now)
        return True

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

    @recorded
    def close(self, *, now: float) -> None:
        """Hangs up, un-registers, closes all flows. Gives Closed, within `SoftphoneOptions.close_timeout`."""
        self._phone.close(now=now)
        self._drain(now)

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

    def next_timeout(self) -> float | None:
        return self._phone.next_timeout()

    def poll_output(self) -> ClientOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[ClientOutput]:
        return self._outbox.drain()

    # The phone

    def _drain(self, now: float) -> None:
        for output in self._phone.outputs():
            self._outbox.put(output)
            self._note(output, now)

    def _note(self, output: SoftphoneOutput, now: float) -> None:
        """Keeps up what the reference calls login, the call, and the call that rings."""
        match output:
            case events.Login():
                if output.account == self._account:
                    self._logged_in, self._logging_in = True, False
            case events.LoginFailed() | events.Logout():
                if output.account == self._account:
                    self._account = None
                    self._logging_in = self._logged_in = self._leaving = False
                # Whoever logs in next gets an account of his own; this one has nothing left to say.
                self._phone.remove_account(output.account, now=now)
            case events.IncomingCall():
                self._ringing[output.call] = None
            case events.CallAnswered():
                self._last = output.call
            case events.IncomingCallIgnored():
                self._ringing.pop(output.call, None)
            case events.CallTerminated() | events.CallFailed() | events.IncomingCallCanceled():
                self._ringing.pop(output.call, None)
                if output.call == self._active:
                    self._active = None
            case _:
                pass  # the others change nothing here

    def _leave(self, now: float) -> None:
        """Logs out whoever is logged in. The account goes when `Logout` comes."""
        if self._account is not None and not self._leaving:
            self._leaving = True
            self._phone.logout(self._account, now=now)
            self._drain(now)

    # Small helpers

    def _chosen(self, call_uuid: str | None) -> CallUuid | None:
        """The call that rings by that UUID, or else the one that began to ring last."""
        if call_uuid is not None and call_uuid in self._ringing:
            return CallUuid(call_uuid)
        return next(reversed(self._ringing), None)

    def _is_sendable(self, name: str, value: str) -> bool:
        good = HEADER_NAME.fullmatch(name) is not None and HEADER_VALUE.fullmatch(value) is not None
        if not good:
            self._log(
                ERROR,
                f"call: extra header {name!r} is left out; names are X-PH- and up to 19 of A-Z a-z 0-9 -,"
                " values up to 120 of A-Z a-z 0-9 _ - + ( ) % .",
            )
        return good

    def _refuse_login(self, cause: str) -> bool:
        self._outbox.put(events.LoginFailed(self._account or AccountId(""), cause))
        return False

    def _cannot(self, command: str, why: str) -> bool:
        self._log(ERROR, f"{command}: {why}")
        return False

    def _log(self, level: int, text: str) -> None:
        self._outbox.put(events.LogLine(level, text))


def _dialled(number: str) -> str:
    """The target as the phone takes it: no white space, no visual separators in a telephone number."""
    target = re.sub(r"(?i)^tel:", "", re.sub(r"\s", "", number))
    found = re.match(r"(?i)sips?:", target)
    scheme = found[0] if found is not None else ""
    user, at, host = target[len(scheme) :].partition("@")
    user = SEPARATORS.sub("", user) if NUMBER.fullmatch(user) else user
    return f"{scheme}{user}@{host}" if at else user
