"""Later offers in a call: hold and resume, ours and the peer's, by direction attributes (RFC 3264 section 8.4).

Theory of operation
-------------------
What a call *wishes* (`Call.held`) and what offer and answer have made of it (`Call.on_hold`) are two things. `hold` and
`resume` change the wish; whenever no offer is under way and the two differ, an offer of ours is made:

    hold() -> create offer -> re-INVITE -> 200 -> apply answer -> CallHeld
                                        -> refused -> roll back; the wish is what it was -> HoldFailed

The answer to an offer of the peer has our wish as well, so an offer of hers that overtakes ours (491) brings about what
ours was for. Her own direction, in offer or answer, says whether she holds us: RemoteHold, RemoteResumed.
"""

from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.sdp.attributes import direction_of
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.parser import parse_description
from sansio_sip.sip.call_events import ReofferAnswered, ReofferReceived, ReofferRejected

from . import events
from .call import Call
from .call_info import CallState
from .call_table import CallTable, unless_over
from .media_plane import MediaPlane

__all__ = ["Renegotiation", "holds"]


class Renegotiation:
    """The machine. Whoever calls it drains the media engine afterwards."""

    def __init__(self, table: CallTable, media: MediaPlane) -> None:
        self._table = table
        self._media = media

    # Commands

    def wish(self, call: Call, held: bool, *, now: float) -> None:
        """Puts a call on hold, or takes it back. Raises LocalProtocolError unless it was answered."""
        what = "hold" if held else "resume"
        if call.state is not CallState.ANSWERED or call.session is None:
            raise LocalProtocolError(f"cannot {what} call {call.uuid}: it is {call.state.value}; it must be answered")
        if call.held == held:
            state = "on hold, or about to be; resume" if held else "not on hold, or about to be taken back; hold"
            raise LocalProtocolError(f"cannot {what} call {call.uuid}: it is {state} it first")
        call.held = held
        self.proceed(call, now=now)

    def renew(self, call: Call, *, now: float) -> None:
        """Makes an offer although nothing is wished for: what the peer has said may have changed."""
        call.renewal_due = True
        self.proceed(call, now=now)

    def proceed(self, call: Call, *, now: float) -> None:
        """Makes an offer where one is due and may be made."""
        if call.state is not CallState.ANSWERED or call.session is None or call.ended:
            return
        if call.offering or call.answering_offer or (call.held == call.on_hold and not call.renewal_due):
            return
        call.renewal_due = False
        call.offered_hold = call.held
        try:
            self._media.create_offer(call.session, direction=self.direction(call), now=now)
        except LocalProtocolError as error:  # media has failed
            self._take_back(call, 500, str(error), now)
            return
        call.offering = True

    @staticmethod
    def direction(call: Call) -> str:
        """What our offers and answers ask for."""
        # RFC 3264 section 8.4: "If the stream to be placed on hold was previously a sendrecv media stream, it is placed
        # on hold by marking it as sendonly."
        return "sendonly" if call.held else "sendrecv"

    # What the user agent says

    def received(self, call: Call, output: ReofferReceived, *, now: float) -> None:
        """An offer of the peer, or her wish for one of ours."""
        assert call.sip is not None
        if call.session is None:
            self._refuse(call, 488, now)
            return
        call.answering_offer = True
        call.offered_hold = call.held
        if output.description is None:
            # RFC 3261 section 14.2: a re-INVITE without an offer asks for ours; the answer comes in the ACK.
            call.answer_due = True
            try:
                self._media.create_offer(call.session, direction=self.direction(call), now=now)
            except LocalProtocolError:  # media has failed
                self._refuse(call, 500, now)
            return
        try:
            offer = parse_description(output.description)
        except ParseError:
            self._refuse(call, 488, now)
            return
        call.offered = offer
        try:
            self._media.apply_offer(call.session, offer, direction=self.direction(call), now=now)
        except LocalProtocolError:
            self._refuse(call, 500, now)

    def answered(self, call: Call, output: ReofferAnswered, *, now: float) -> None:
        """The answer to our offer."""
        call.offering = call.answer_due = False
        if call.session is None:
            return
        try:
            answer = parse_description(output.description or b"")
            self._media.apply_answer(call.session, answer, now=now)
        except (ParseError, LocalProtocolError):
            self._take_back(call, 488, "Incompatible SDP", now)
            return
        call.offered = answer
        call.settling = True  # unless media says that the answer does not suit it

    def settle(self, call: Call, *, now: float) -> bool:
        """To be called when media has been drained: what it has not refused is so now. Whether it is."""
        if not call.settling:
            return False
        self._settled(call, now)
        return True

    def rejected(self, call: Call, output: ReofferRejected, *, now: float) -> None:
        """Our offer was refused, or an offer of the peer has overtaken it."""
        call.offering = call.answer_due = False
        if call.session is not None:
            self._media.rollback_offer(call.session, now=now)
        if output.overtaken:
            return  # `received` follows, and brings about what ours was for
        self._take_back(call, output.status, output.cause, now)

    # What media says

    def described(self, call: Call, body: bytes, *, now: float) -> bool:
        """Our offer or answer is ready. False where it is none of these."""
        if call.sip is None or call.session is None:
            return False
        user_agent = self._table.user_agent(call)
        if call.answering_offer:
            call.answering_offer = False
            with unless_over:
                user_agent.answer_reoffer(call.sip, body, now=now)
            self._table.touched(call)
            if not call.answer_due:
                self._settled(call, now)
            return True
        if not call.offering:
            return False
        try:
            user_agent.reoffer(call.sip, body, now=now)
        except LocalProtocolError:
            # The peer's offer came while ours was being made, or the call is over.
            call.offering = False
            self._media.rollback_offer(call.session, now=now)
        self._table.touched(call)
        return True

    def media_failed(self, call: Call, status: int, *, now: float) -> bool:
        """An offer or answer did not suit media. False where it was none of a later offer."""
        if call.answering_offer:
            self._refuse(call, status, now)
            return True
        if call.settling or call.offering:
            self._take_back(call, status, "Incompatible SDP", now)
            return True
        return False

    # Small helpers

    def _refuse(self, call: Call, status: int, now: float) -> None:
        """The session stays as it was (RFC 3261 section 14.2)."""
        assert call.sip is not None
        call.answering_offer = call.answer_due = False
        call.offered = None
        with unless_over:
            self._table.user_agent(call).reject_reoffer(call.sip, status, now=now)
        self._table.touched(call)

    def _heard(self, call: Call) -> None:
        """The peer's offer or answer was taken: whether she holds us follows from its direction."""
        said, call.offered = call.offered, None
        if said is None:
            return
        holding = holds(said)
        if holding != call.held_by_peer:
            call.held_by_peer = holding
            event = events.RemoteHold if holding else events.RemoteResumed
            self._table.put(event(call.account, call.info))

    def _settled(self, call: Call, now: float) -> None:
        """Offer and answer have met: what was wished for when they were made is so now."""
        call.settling = False
        self._heard(call)
        if call.on_hold != call.offered_hold and call.session is not None:
            call.on_hold = call.offered_hold
            # The peer should not overhear what is said beside the phone while she is held.
            self._media.set_muted(call.session, call.muted or call.on_hold, now=now)
            event = events.CallHeld if call.on_hold else events.CallResumed
            self._table.put(event(call.account, call.info))
        self.proceed(call, now=now)

    def _take_back(self, call: Call, status: int, cause: str, now: float) -> None:
        """Our wish has come to nothing."""
        call.offering = call.settling = False
        call.offered = None
        if call.session is not None:
            self._media.rollback_offer(call.session, now=now)
        wished, call.offered_hold = call.offered_hold, call.on_hold
        if wished != call.on_hold:
            # What was wished for meanwhile is another matter.
            if call.held == wished:
                call.held = call.on_hold
            self._table.put(events.HoldFailed(call.account, call.info, "hold" if wished else "resume", status, cause))
        self.proceed(call, now=now)


def holds(said: SessionDescription) -> bool:
    """Whether an offer or answer says that we shall not be heard: `sendonly`, `inactive`, or no address to send to."""
    for section in said.media:
        if section.kind != "audio" or section.port == 0:
            continue
        connection = said.connection_of(section)
        # RFC 3264 section 8.4: the old way of hold is an address of all zeros. With ICE that is a placeholder.
        nowhere = connection is not None and connection.address in ("0.0.0.0", "::")
        if nowhere and not section.has("candidate") and not section.has("ice-ufrag") and not said.has("ice-ufrag"):
            return True
        return not direction_of(said, section).receives
    return False
