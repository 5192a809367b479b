"""Which protocol a datagram on a media socket belongs to (RFC 7983, RFC 5761)."""

from enum import Enum

__all__ = ["Kind", "classify"]


class Kind(Enum):
    """What shares a media socket."""

    STUN = "stun"
    ZRTP = "zrtp"
    DTLS = "dtls"
    TURN_CHANNEL = "turn-channel"
    RTP = "rtp"
    RTCP = "rtcp"
    UNKNOWN = "unknown"


def _first_octets() -> tuple[Kind, ...]:
    """The table of RFC 7983 section 7."""
    kinds = [Kind.UNKNOWN] * 256
    for first, last, kind in (
        (0, 3, Kind.STUN),
        (16, 19, Kind.ZRTP),
        (20, 63, Kind.DTLS),
        (64, 79, Kind.TURN_CHANNEL),
        (128, 191, Kind.RTP),
    ):
        kinds[first : last + 1] = [kind] * (last + 1 - first)
    return tuple(kinds)


_KINDS = _first_octets()


def classify(data: bytes) -> Kind:
    """The protocol by the first octet alone (for RTP and RTCP, the first two); the rest is not looked at."""
    if not data:
        return Kind.UNKNOWN
    kind = _KINDS[data[0]]
    if kind is not Kind.RTP:
        return kind
    if len(data) < 2:
        return Kind.UNKNOWN
    # "payload type values in the range 64-95 MUST NOT be used" for RTP beside RTCP (RFC 5761 section 4): with the
    # marker bit these are RTCP's packet types 192 to 223.
    return Kind.RTCP if 192 <= data[1] <= 223 else Kind.RTP
