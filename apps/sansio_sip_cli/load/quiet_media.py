"""Media for runs of signalling alone: descriptions are exchanged, no socket is opened and no packet sent."""

from sansio_sip.context import Context
from sansio_sip.sdp.model import SessionDescription
from sansio_sip.sdp.parser import parse_description
from sansio_sip.softphone.media_plane import LocalDescription, MediaConnected, MediaOptions, MediaStatistics, SessionId
from sansio_sip_media.engine import MediaEngine

__all__ = ["QuietMedia"]

# RFC 3264 section 5.1: `inactive`, so that nobody sends to the port, which is that of discard.
DESCRIPTION = (
    "v=0\r\no=- {number} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=inactive\r\n"
)


class QuietMedia(MediaEngine):
    """A media engine whose sessions are a name."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, None)
        self._number = context.entropy.session_id()
        self._descriptions: dict[str, SessionDescription] = {}
        self._open: dict[SessionId, SessionDescription] = {}

    def open_session(self, session: SessionId, options: MediaOptions, *, now: float) -> None:
        host = options.bind[0]
        if host not in self._descriptions:
            text = DESCRIPTION.format(number=self._number, host=host).replace("IP4", "IP6" if ":" in host else "IP4")
            self._descriptions[host] = parse_description(text.encode())
        self._open[session] = self._descriptions[host]

    def fork_session(self, session: SessionId, fork: SessionId, *, now: float) -> None:
        self._open[fork] = self._open[session]

    def hand_over(self, session: SessionId, to: SessionId, *, now: float) -> None:
        pass  # nobody speaks

    def create_offer(self, session: SessionId, *, direction: str = "sendrecv", now: float) -> None:
        self._outbox.put(LocalDescription(session, self._open[session]))

    def apply_offer(
        self, session: SessionId, offer: SessionDescription, *, direction: str = "sendrecv", now: float
    ) -> None:
        self._outbox.put(LocalDescription(session, self._open[session]))
        self._outbox.put(MediaConnected(session))

    def apply_answer(self, session: SessionId, answer: SessionDescription, *, now: float) -> None:
        self._outbox.put(MediaConnected(session))

    def rollback_offer(self, session: SessionId, *, now: float) -> None:
        pass  # the next description is the same as this one

    def rebind(self, session: SessionId, bind: tuple[str, ...], *, now: float) -> None:
        pass  # it is bound to nothing

    def close_session(self, session: SessionId, *, now: float) -> None:
        self._open.pop(session, None)

    def statistics(self, session: SessionId) -> MediaStatistics:
        return MediaStatistics()
