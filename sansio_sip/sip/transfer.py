"""REFER within a call, and the NOTIFYs that tell how it goes (RFC 3515), both ways.

Theory of operation
-------------------
    refer() -> REFER -> 202 -> ReferProgress(100) -> NOTIFY: ReferProgress(180) -> NOTIFY: ReferProgress(200, final)
                        4xx -> ReferProgress(final)

    REFER: ReferReceived -> accept() -> 202, NOTIFY 100 -> progress(180) -> NOTIFY -> progress(200) -> NOTIFY
                            reject() -> 603

A REFER and its NOTIFYs belong together by the REFER's CSeq number, the `id` of its Event. The implicit subscription is
a usage of the dialog by itself (RFC 5057 section 4.1): when the call has ended by BYE it goes on, either way, until its
last NOTIFY, or `LIFETIME` after the one before.
"""

from dataclasses import replace
from enum import Enum

from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.timers import Deadlines, earlier

from .call_events import ReferProgress, ReferReceived
from .dialog import Dialog
from .headers import NameAddress
from .message import Request, Response
from .policy import CallPolicy, Consent
from .sent_requests import Purpose
from .session_headers import Replaces, SubscriptionState, read_fragment, write_fragment
from .transactions.outputs import TransactionId
from .uri import SipUri
from .wire import Wire

__all__ = ["MAX_REFERRALS", "Referral", "Referrals", "refer_target"]

MAX_REFERRALS = 8
"""REFERs of one call that are under way, each way. A person transfers a call once, and once again if that fails."""

LIFETIME = 180
"""Seconds for the whole of it: how long a phone may ring. After that nobody waits for a final NOTIFY."""


class Referral(Enum):
    """Of the peer's REFER."""

    ASKED = "asked"  # 202 or 603 is to be sent
    ACCEPTED = "accepted"


class Referrals:
    """The machine of all REFERs of one session."""

    def __init__(self, wire: Wire, policy: CallPolicy) -> None:
        self._wire = wire
        self._policy = policy
        self._serial = 0
        self._ours: dict[int, int] = {}  # by our name: the CSeq number, which a challenge changes
        self._theirs: dict[int, tuple[Referral, TransactionId, Request, Dialog]] = {}
        self._deadlines: Deadlines[int] = Deadlines()
        self._reported: dict[int, int] = {}  # of the peer's: the status that she was told last
        self._expiries: Deadlines[int] = Deadlines()

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._ours or self._theirs)

    # Ours

    def refer(self, dialog: Dialog, target: NameAddress, *, now: float) -> int:
        """Asks the peer to call `target`. Gives ReferProgress with the number that is returned.

        Raises:
            LocalProtocolError: too many are under way.
        """
        if len(self._ours) >= MAX_REFERRALS:
            raise LocalProtocolError(f"cannot transfer call {self._wire.call}: {MAX_REFERRALS} transfers are under way")
        headers = (
            ("Contact", str(self._wire.identity.contact)),
            ("Refer-To", str(target)),
            ("Referred-By", str(NameAddress(self._wire.identity.config.address))),
        )
        self._serial += 1
        self._ours[self._serial] = self._wire.request(Purpose.REFER, dialog, "REFER", headers)
        self._deadlines.update(self._serial, now + LIFETIME)
        return self._serial

    def repeated(self, before: int, after: int) -> None:
        """A REFER was challenged, and has gone again under another CSeq number."""
        number = self._by_sequence(before)
        if number is not None:
            self._ours[number] = after

    def response(self, sequence: int, response: Response, *, now: float) -> None:
        """The final response to a REFER of ours."""
        number = self._by_sequence(sequence)
        if number is None:
            return  # its last NOTIFY has overtaken it
        if response.status >= 300:
            self._finish(number, response.status)
        elif (response.headers.get("Refer-Sub") or "").strip().lower() == "false":
            self._finish(number, response.status)  # RFC 4488: no NOTIFY will come
        else:
            self._deadlines.update(number, now + LIFETIME)

    def failed(self, sequence: int, status: int) -> None:
        """The REFER gets no response."""
        number = self._by_sequence(sequence)
        if number is not None:
            self._finish(number, status)

    def notify(self, transaction: TransactionId, request: Request, *, now: float) -> None:
        """A NOTIFY of the peer."""
        try:
            event = request.event
            state = SubscriptionState.of(request)
        except ParseError:
            self._wire.respond(transaction, request, 400)
            return
        number = self._number_of(event.parameter("id")) if event is not None and event.package == "refer" else None
        if number is None:
            # RFC 6665 section 4.1.3: no such subscription.
            self._wire.respond(transaction, request, 481)
            return
        self._wire.respond(transaction, request, 200)
        status = read_fragment(request.body) or 0
        if state.state == "terminated" or status >= 200:
            self._finish(number, status or 487)
            return
        seconds = state.seconds("expires")
        self._deadlines.update(number, now + min(seconds if seconds is not None else LIFETIME, LIFETIME))
        if status:
            self._wire.put(ReferProgress(self._wire.call, number, status))

    # The peer's

    def request(self, transaction: TransactionId, request: Request, dialog: Dialog) -> None:
        """A REFER has come. Gives ReferReceived, unless it is refused at once."""
        try:
            target, replaces = refer_target(request)
            by = request.headers.get("Referred-By")
            referred_by = NameAddress.parse(by.strip()) if by is not None else None
        except ParseError as error:
            self._wire.respond(transaction, request, error.status or 400)
            return
        number = request.cseq.number
        if len(self._theirs) >= MAX_REFERRALS:
            self._wire.respond(transaction, request, 486)
        elif self._policy.refer is Consent.REFUSE or not self._policy.permits(target):
            self._wire.respond(transaction, request, 603)
        else:
            self._theirs[number] = (Referral.ASKED, transaction, request, dialog)
            self._wire.put(ReferReceived(self._wire.call, number, target, replaces, referred_by))

    def accept(self, number: int, *, now: float) -> None:
        """Says that we will call. Raises LocalProtocolError where it does not wait for that."""
        transaction, request, dialog = self._asked(number)
        self._theirs[number] = (Referral.ACCEPTED, transaction, request, dialog)
        self._wire.respond(transaction, request, 202, (("Contact", str(self._wire.identity.contact)),))
        # RFC 3515 section 2.4.4: "The agent MUST [...] immediately send a NOTIFY".
        self.progress(number, 100, now=now)

    def reject(self, number: int, status: int = 603) -> None:
        """Raises LocalProtocolError where it does not wait for an answer, or `status` refuses nothing."""
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"cannot refuse a transfer with {status}: give a status from 300 to 699")
        transaction, request, _ = self._asked(number)
        del self._theirs[number]
        self._wire.respond(transaction, request, status)

    def progress(self, number: int, status: int, *, now: float) -> None:
        """Tells the peer how the call goes that she has asked for. Nothing is sent where nobody listens any more."""
        row = self._theirs.get(number)
        if row is not None and row[0] is Referral.ACCEPTED:
            self._notify(number, row[3], status, "noresource" if status >= 200 else "")
            if status >= 200:
                self._forget(number)
            else:
                self._reported[number] = status
                self._expiries.update(number, now + LIFETIME)

    def unheard(self, notify: Request) -> None:
        """A NOTIFY of ours has met nobody: RFC 6665 section 4.2.2 has the subscription end there."""
        text = notify.event.parameter("id") if notify.event is not None else None
        if text is not None:
            self._forget(int(text))

    # Ends and time

    def end(self) -> None:
        """The call is over. What was asked for and not accepted is refused; subscriptions go on."""
        for number, (state, transaction, request, _) in list(self._theirs.items()):
            if state is Referral.ASKED:
                del self._theirs[number]
                self._wire.respond(transaction, request, 487)

    def handle_timeout(self, *, now: float) -> None:
        for number in self._deadlines.due(now):
            self._finish(number, 408)
        for number in self._expiries.due(now):
            self._notify(number, self._theirs[number][3], self._reported[number], "timeout")
            self._forget(number)

    def next_timeout(self) -> float | None:
        return earlier(self._deadlines.next(), self._expiries.next())

    # Small helpers

    def _notify(self, number: int, dialog: Dialog, status: int, over: str) -> None:
        """`over`: why it is the last; empty where it is not."""
        state = f"terminated;reason={over}" if over else f"active;expires={LIFETIME}"
        headers = (
            ("Contact", str(self._wire.identity.contact)),
            ("Event", f"refer;id={number}"),
            ("Subscription-State", state),
            ("Content-Type", "message/sipfrag;version=2.0"),
        )
        self._wire.request(Purpose.NOTIFY, dialog, "NOTIFY", headers, write_fragment(status))

    def _number_of(self, text: str | None) -> int | None:
        """The REFER that a NOTIFY is about."""
        if text is None:
            # RFC 3515 section 2.4.6: "A NOTIFY for the first REFER in a dialog may leave the id out."
            return next(iter(self._ours), None)
        return self._by_sequence(int(text)) if text.isascii() and text.isdigit() and len(text) < 11 else None

    def _by_sequence(self, sequence: int) -> int | None:
        return next((number for number, sent in self._ours.items() if sent == sequence), None)

    def _finish(self, number: int, status: int) -> None:
        if self._ours.pop(number, None) is not None:
            self._deadlines.remove(number)
            self._wire.put(ReferProgress(self._wire.call, number, status, final=True))

    def _forget(self, number: int) -> None:
        self._theirs.pop(number, None)
        self._reported.pop(number, None)
        self._expiries.remove(number)

    def _asked(self, number: int) -> tuple[TransactionId, Request, Dialog]:
        row = self._theirs.get(number)
        if row is None or row[0] is not Referral.ASKED:
            raise LocalProtocolError(f"call {self._wire.call} has no transfer {number} that waits for an answer")
        return row[1], row[2], row[3]


def refer_target(request: Request) -> tuple[SipUri, Replaces | None]:
    """Whom a REFER names, and which dialog the call there shall take the place of.

    Raises:
        ParseError: no Refer-To or several, or none that can be called.
    """
    rows = request.headers.get_all("Refer-To")
    # RFC 3515 section 2.4.2: "An agent responding to a REFER method MUST return a 400 (Bad Request) if the request
    # contained zero or more than one Refer-To header field values."
    if len(rows) != 1:
        raise ParseError(f"{len(rows)} Refer-To rows", status=400)
    address = NameAddress.parse(rows[0].strip())
    uri = address.uri
    if not isinstance(uri, SipUri):
        raise ParseError("Refer-To is no SIP URI", status=416)
    method = (uri.parameter("method") or "INVITE").upper()
    if method != "INVITE":
        raise ParseError(f"Refer-To asks for {method[:20]}", status=603)
    found = [value for name, value in uri.headers if name.lower() == "replaces"]
    if len(found) > 1:
        raise ParseError("Refer-To holds several Replaces", status=400)
    replaces = Replaces.parse(found[0]) if found else None
    parameters = tuple((name, value) for name, value in uri.parameters if name.lower() != "method")
    return replace(uri, headers=(), parameters=parameters), replaces
