"""The media of a call, for whoever wants to look at it while it lasts."""

from sansio_sip.effects import Address
from sansio_sip.errors import LocalProtocolError

from .call_info import CallUuid
from .media_plane import MediaStatistics
from .softphone import Softphone

__all__ = ["PeerConnection"]


class PeerConnection:
    """Each question is answered as things are now; after the end of the call, as for media that is closed.

    Attributes:
        call: whose media it is.
    """

    def __init__(self, phone: Softphone, call: CallUuid) -> None:
        self._phone = phone
        self.call = call

    @property
    def statistics(self) -> MediaStatistics | None:
        """All figures; None before there is any media, and after its end."""
        try:
            return self._phone.statistics(self.call)
        except LocalProtocolError:
            return None

    @property
    def connection_state(self) -> str:
        """`new`, `connecting`, `connected` or `closed`: whether packets can flow."""
        try:
            statistics = self._phone.statistics(self.call)
        except LocalProtocolError:
            return "closed"
        if statistics is None:
            return "new"
        return "connected" if statistics.setup_ms is not None else "connecting"

    @property
    def selected_pair(self) -> tuple[Address, Address] | None:
        """Our transport address and the peer's."""
        statistics = self.statistics
        if statistics is None or statistics.local is None or statistics.remote is None:
            return None
        return statistics.local, statistics.remote

    @property
    def protection(self) -> str:
        """`DTLS-SRTP`, `SDES-SRTP` or `none`."""
        statistics = self.statistics
        return statistics.protection if statistics is not None else "none"
