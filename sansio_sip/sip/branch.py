"""One way of a forked call: its dialog, its later offers, and which of its provisional responses have arrived."""

from collections.abc import Iterator
from dataclasses import dataclass

from sansio_sip.context import Context
from sansio_sip.errors import ParseError

from .answer_retransmission import Answers
from .body import description_headers
from .call_events import HeaderRows
from .dialog import Dialog
from .headers import RAck
from .message import Request, Response
from .renegotiation import Renegotiation
from .sent_requests import Purpose
from .session_timer import SessionTimer
from .wire import Wire

__all__ = ["Branch", "Branches"]


@dataclass(slots=True)
class Branch:
    """A dialog of a call, early or not.

    Attributes:
        last_reliable: RSeq of the last reliable response that was taken (RFC 3262 section 4).
        prack_due: what is to be acknowledged once our answer is there.
        answered: an offer that came in a provisional response has been answered in a PRACK.
    """

    dialog: Dialog
    renegotiation: Renegotiation
    last_reliable: int | None = None
    prack_due: RAck | None = None
    answered: bool = False

    @classmethod
    def of_invite(
        cls, context: Context, wire: Wire, request: Request, answers: Answers, timer: SessionTimer
    ) -> "Branch":
        """The one that a peer's INVITE begins."""
        dialog = Dialog.as_callee(request, wire.local_tag)
        renegotiation = Renegotiation(context, wire, dialog, "callee", answers, timer)
        renegotiation.learn(request)
        return cls(dialog, renegotiation)

    @staticmethod
    def is_reliable(response: Response) -> bool:
        """Whether a provisional response wants a PRACK."""
        try:
            return response.rseq is not None and any(option.lower() == "100rel" for option in response.require)
        except ParseError:
            return False

    def acknowledge(self, wire: Wire, invite: Request, response: Response, *, waits: bool) -> bool:
        """Sends the PRACK of a reliable response, or notes that it `waits`. False: it is not to be taken at all."""
        number = response.rseq
        assert number is not None
        # RFC 3262 section 4: "If the UAC receives another reliable provisional response to the same request, and its
        # RSeq value is not one higher than the value of the sequence number, that response MUST NOT be acknowledged
        # with a PRACK, and MUST NOT be processed further by the UAC."
        if self.last_reliable is not None and number != self.last_reliable + 1:
            return False
        self.last_reliable = number
        rack = RAck(number, invite.cseq.number, "INVITE")
        if waits:
            self.prack_due = rack
        else:
            self._send(wire, rack, b"")
        return True

    def answer(self, wire: Wire, body: bytes) -> bool:
        """Our answer to the offer in a provisional response. False where none waits for it."""
        if self.prack_due is None:
            return False
        rack, self.prack_due = self.prack_due, None
        self.answered = True
        self._send(wire, rack, body)
        return True

    def _send(self, wire: Wire, rack: RAck, body: bytes) -> None:
        headers: HeaderRows = (("RAck", str(rack)), *description_headers(body))
        wire.request(Purpose.PRACK, self.dialog, "PRACK", headers, body)


class Branches:
    """The early dialogs of a call of ours, by the tag of the far end."""

    def __init__(self) -> None:
        self._rows: dict[str, Branch] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Branch]:
        return iter(self._rows.values())

    def get(self, tag: str) -> Branch | None:
        return self._rows.get(tag)

    def add(self, branch: Branch) -> None:
        self._rows[branch.dialog.id.remote_tag] = branch

    def take(self, tag: str) -> Branch | None:
        return self._rows.pop(tag, None)

    def clear(self) -> None:
        self._rows.clear()
