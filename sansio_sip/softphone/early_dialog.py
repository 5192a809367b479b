"""One early dialog of a call of ours: a phone that rings and has said what it would do with sound."""

from dataclasses import dataclass

from sansio_sip.sip.call_events import HeaderRows

from .media_plane import SessionId

__all__ = ["EarlyDialog", "early_media_allowed"]


@dataclass(slots=True)
class EarlyDialog:
    """A way of a call that forks, and its media.

    Attributes:
        branch: the To tag of the far end.
        is_offer: the far end has made the offer, since our INVITE had none; ours is the answer.
        allowed: its early media may be heard.
        has_audio: something of it has arrived.
        connected: packets can flow.
        fault: status and reason for which its media came to nothing.
    """

    branch: str
    session: SessionId
    is_offer: bool = False
    allowed: bool = True
    has_audio: bool = False
    connected: bool = False
    fault: tuple[int, str] | None = None


def early_media_allowed(headers: HeaderRows) -> bool | None:
    """What P-Early-Media says of what its sender sends (RFC 5009 section 8); None: it says nothing.

    The directions are those of SDP, one for each stream; ours is the first.
    """
    values = [value for name, value in headers if name.lower() == "p-early-media"]
    directions = [word.strip().lower() for value in values for word in value.split(",")]
    first = next((word for word in directions if word in ("sendrecv", "sendonly", "recvonly", "inactive")), None)
    return None if first is None else first in ("sendrecv", "sendonly")
