"""The early dialogs of calls of ours: each has a media session of its own, and one of them is heard.

Theory of operation
-------------------
Each phone that an INVITE reaches may answer its offer, in a provisional response and so in an early dialog. The first
answer goes to the session that has made the offer (`Call.trunk`), each further one to a session that is forked from it:
our sockets, candidates and keys are those that the offer names, and all else is apart. Where our INVITE had no offer,
each phone makes one, and gets a session that has nothing to do with the others.

    18x with SDP -> EarlyDialog -> its media flows -> the 2xx: `adopt`, and all others are closed

Which one is heard (RFC 3960 section 3.1 leaves it to us): of the dialogs that have sent any sound, the one that
answered last; where none has, the one that answered last. A dialog whose P-Early-Media forbids it is not heard before
the call is answered (RFC 5009). What is said here goes to the one that is heard; the others get silence.
"""

from sansio_sip.sip.call_events import CallAccepted, CallProgress

from . import events
from .call import Call
from .call_media import CallMedia
from .call_table import CallTable
from .early_dialog import EarlyDialog, early_media_allowed
from .media_plane import SessionId

__all__ = ["EARLY_DIALOG_TERMINATED", "MAX_EARLY_SESSIONS", "EarlyMedia"]

EARLY_DIALOG_TERMINATED = 199
"""RFC 6228: this phone has refused or was given up; the call itself goes on."""

MAX_EARLY_SESSIONS = 8
"""Of one call: a person's phones. More are not heard before they answer, for each is encoded and decoded."""

NO_DESCRIPTION = (0, "Bad Media Description")
NO_SESSION = (500, "Internal Error")


class EarlyMedia:
    """The machine. Whoever calls it drains the engine afterwards."""

    def __init__(self, table: CallTable, media: CallMedia) -> None:
        self._table = table
        self._media = media

    def progressed(self, call: Call, output: CallProgress, *, now: float) -> tuple[int, str] | None:
        """A provisional response. Returns status and reason where what it describes ends the call."""
        allowed = early_media_allowed(output.headers)
        dialog = call.early.get(output.branch)
        if output.status == EARLY_DIALOG_TERMINATED:
            # RFC 6228: this phone is out of it. Others may ring, and a final response follows in any case.
            call.ringing.discard(output.branch)
            if dialog is not None:
                dialog.fault = dialog.fault or (480, "the far end has ended an early dialog")
                self._listen(call, now)
            return None
        if dialog is not None:
            # RFC 3261 section 13.2.1: "The UAC MUST treat the first session description it receives as the answer, and
            # MUST ignore any session descriptions in subsequent responses to the initial INVITE."
            dialog.allowed = dialog.allowed if allowed is None else allowed
            self._listen(call, now)
            return None
        if output.description is not None and len(call.early) < MAX_EARLY_SESSIONS:
            dialog = self._open(call, output.branch, is_offer=output.is_offer, allowed=allowed is not False, now=now)
        if output.description is None or dialog is None:
            call.ringing.add(output.branch)
            return None
        call.ringing.discard(output.branch)
        self._listen(call, now)
        refused = self._media.apply(dialog.session, output.description, is_offer=output.is_offer, now=now)
        return self.failed(call, dialog.session, refused, now=now) if refused is not None else None

    def adopt(self, call: Call, output: CallAccepted, *, now: float) -> tuple[int, str] | None:
        """The call is answered: this way counts, the others are over. Returns status and reason where it cannot be."""
        dialog = call.early.get(output.branch)
        description = output.description if dialog is None else None
        if dialog is None and description is not None:
            dialog = self._open(call, output.branch, is_offer=output.is_offer, allowed=True, now=now)
            if dialog is None:
                return NO_SESSION
        elif dialog is None:
            # Gateways change the tag between 183 and 200: what they have said before is the answer still.
            dialog = next((each for each in reversed(call.early.values()) if each.fault is None), None)
        if dialog is None:
            return NO_DESCRIPTION
        if dialog.fault is not None:
            return dialog.fault
        call.early = {output.branch: dialog}
        call.ringing.clear()
        self._hear(call, dialog, now)
        self._media.keep_only(call, dialog.session, now=now)
        if description is None:
            return None
        return self._media.apply(dialog.session, description, is_offer=output.is_offer, now=now)

    def redirected(self, call: Call, *, now: float) -> None:
        """The INVITE goes to others: its early dialogs are over (RFC 3261 section 8.1.3.4)."""
        kept = call.trunk or call.session
        if kept is not None:
            self._media.hear(call, kept, now=now)
            self._media.keep_only(call, kept, now=now)
        call.early.clear()
        call.ringing.clear()

    # What media says

    def connected(self, call: Call, session: SessionId) -> bool:
        """Packets can flow. Whether it is to be told."""
        for dialog in call.early.values():
            if dialog.session == session:
                dialog.connected = True
        return session == call.session

    def disconnected(self, call: Call, session: SessionId) -> bool:
        """Packets flow no longer. Whether it is to be told."""
        for dialog in call.early.values():
            if dialog.session == session:
                dialog.connected = False
        return session == call.session

    def sounded(self, call: Call, session: SessionId, *, now: float) -> bool:
        """Sound has arrived. Whether it is to be heard."""
        for dialog in call.early.values():
            if dialog.session == session and not dialog.has_audio:
                dialog.has_audio = True
                self._listen(call, now)
        return session == call.session

    def failed(self, call: Call, session: SessionId, fault: tuple[int, str], *, now: float) -> tuple[int, str] | None:
        """A session has come to nothing. Returns `fault` where that ends the call: no other dialog can go on."""
        for dialog in call.early.values():
            if dialog.session == session:
                if dialog.fault is not None:
                    return None  # it was out of it before
                dialog.fault = fault
        if not call.ringing and all(dialog.fault is not None for dialog in call.early.values()):
            return fault
        self._listen(call, now)
        return None

    def offered_by(self, call: Call, session: SessionId) -> str | None:
        """The branch that has made the offer which this session answers; None where the offer was ours."""
        return next((each.branch for each in call.early.values() if each.session == session and each.is_offer), None)

    # Small helpers

    def _open(self, call: Call, branch: str, *, is_offer: bool, allowed: bool, now: float) -> EarlyDialog | None:
        """None where the engine has no room for another."""
        if is_offer:
            session = self._media.open(call, now=now)
        elif call.trunk is not None and not call.trunk_taken and allowed:
            session, call.trunk_taken = call.trunk, True
        else:
            forked = self._media.fork(call, now=now)
            if forked is None:
                return None
            session = forked
        dialog = call.early[branch] = EarlyDialog(branch, session, is_offer, allowed)
        return dialog

    def _listen(self, call: Call, now: float) -> None:
        usable = [dialog for dialog in call.early.values() if dialog.allowed and dialog.fault is None]
        sounding = [dialog for dialog in usable if dialog.has_audio]
        if usable:
            self._hear(call, (sounding or usable)[-1], now)

    def _hear(self, call: Call, dialog: EarlyDialog, now: float) -> None:
        if self._media.hear(call, dialog.session, now=now) and dialog.connected:
            self._table.put(events.MediaConnected(call.account, call.info))
