"""The attributes that a call of audio needs, typed, and how to find them in a description.

Each type has `parse(text)` for the text after the colon, which raises ParseError, and writes itself by `str()`.
The finders pass over lines that do not parse: an unreadable `rtpmap` leaves its payload type unknown, and nothing else
in the description suffers from it.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Self

from sansio_sip.errors import ParseError

from .model import MediaDescription, SessionDescription

__all__ = [
    "STATIC_FORMATS",
    "Direction",
    "Fingerprint",
    "Fmtp",
    "Group",
    "Rtcp",
    "RtpMap",
    "direction_of",
    "fingerprints_of",
    "format_parameters",
    "inherited",
    "is_ip_address",
    "packet_time",
    "rtp_maps",
]

_HEX = frozenset("0123456789abcdefABCDEF")


def _fail(reason: str) -> ParseError:
    return ParseError(reason, status=488)


def _number(text: str, what: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > highest:
        raise _fail(f"{what} is not a number up to {highest}: {text[:12]!r}")
    return int(text)


class Direction(Enum):
    """Which ways media flows, seen from the end that says it (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> "Direction":
        return _DIRECTIONS[sends, receives]

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    def answered_by(self, wish: "Direction") -> "Direction":
        """The direction of an answer: what we wish, so far as the offer has it (RFC 3264 section 6.1)."""
        return Direction.of(sends=wish.sends and self.receives, receives=wish.receives and self.sends)


_DIRECTIONS = {
    (True, True): Direction.SENDRECV,
    (True, False): Direction.SENDONLY,
    (False, True): Direction.RECVONLY,
    (False, False): Direction.INACTIVE,
}
_DIRECTION_NAMES = frozenset(direction.value for direction in Direction)


@dataclass(frozen=True, slots=True)
class RtpMap:
    """`a=rtpmap` (RFC 8866 section 6.6). The name is kept as written; names compare without regard to case."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        payload_type, space, encoding = text.partition(" ")
        name, *rest = encoding.strip(" ").split("/")
        if not space or not name or not 1 <= len(rest) <= 2:
            raise _fail(f"rtpmap is not TYPE NAME/RATE[/CHANNELS]: {text[:40]!r}")
        rate = _number(rest[0], "clock rate", 10_000_000)
        channels = _number(rest[1], "channels", 255) if len(rest) == 2 else 1
        if rate == 0 or channels == 0:
            raise _fail("rtpmap with a rate or channel count of 0")
        return cls(_number(payload_type, "payload type", 127), name, rate, channels)

    def __str__(self) -> str:
        channels = f"/{self.channels}" if self.channels != 1 else ""
        return f"{self.payload_type} {self.name}/{self.clock_rate}{channels}"

    @property
    def key(self) -> tuple[str, int, int]:
        """What makes two formats the same codec."""
        return self.name.lower(), self.clock_rate, self.channels


STATIC_FORMATS = {
    0: RtpMap(0, "PCMU", 8000),
    8: RtpMap(8, "PCMA", 8000),
    9: RtpMap(9, "G722", 8000),
    13: RtpMap(13, "CN", 8000),
}
"""RFC 3551 section 6: payload types that mean this without an `rtpmap`. The rest of its table is no codec of ours."""


@dataclass(frozen=True, slots=True)
class Fmtp:
    """`a=fmtp` (RFC 8866 section 6.15)."""

    payload_type: int
    parameters: str

    @classmethod
    def parse(cls, text: str) -> Self:
        payload_type, _, parameters = text.partition(" ")
        return cls(_number(payload_type, "payload type", 127), parameters.strip(" "))

    def __str__(self) -> str:
        return f"{self.payload_type} {self.parameters}"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`a=fingerprint` (RFC 8122 section 5). `algorithm` in lower case, `value` as colon-separated upper-case hex."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        algorithm, _, value = text.strip(" ").partition(" ")
        value = value.strip(" ")
        octets = value.split(":")
        if not algorithm or any(len(octet) != 2 or not _HEX.issuperset(octet) for octet in octets):
            raise _fail(f"fingerprint is not ALGORITHM XX:XX...: {text[:40]!r}")
        return cls(algorithm.lower(), value.upper())

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True, slots=True)
class Rtcp:
    """`a=rtcp` (RFC 3605 section 2.1): where RTCP goes if not to the next port. Without an address: that of `c=`."""

    port: int
    address: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        fields = text.split()
        if len(fields) not in (1, 4) or (len(fields) == 4 and (fields[1] != "IN" or fields[2] not in ("IP4", "IP6"))):
            raise _fail(f"rtcp is not PORT [IN IP4|IP6 ADDRESS]: {text[:40]!r}")
        return cls(_number(fields[0], "port", 65_535), fields[3] if len(fields) == 4 else None)

    def __str__(self) -> str:
        if self.address is None:
            return str(self.port)
        return f"{self.port} IN {'IP6' if ':' in self.address else 'IP4'} {self.address}"


@dataclass(frozen=True, slots=True)
class Group:
    """`a=group` (RFC 5888 section 5): the media sections of a bundle (RFC 9143), or of another semantics."""

    semantics: str
    mids: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        semantics, *mids = text.split() or [""]
        if not semantics:
            raise _fail("group without semantics")
        return cls(semantics, tuple(mids))

    def __str__(self) -> str:
        return " ".join((self.semantics, *self.mids))


def is_ip_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 literal, not a host name. Zone names (`fe80::1%eth0`) mean nothing to a peer."""
    try:
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def inherited(description: SessionDescription, media: MediaDescription, name: str) -> str | None:
    """An attribute of the section, else of the session: ice-ufrag, ice-pwd, setup and their like."""
    own = media.get(name)
    return own if own is not None else description.get(name)


def direction_of(description: SessionDescription, media: MediaDescription) -> Direction:
    """RFC 8866 section 6.7: the section's direction, else the session's, else sendrecv."""
    for level in (media, description):
        for attribute in level.attributes:
            if attribute.value is None and attribute.name in _DIRECTION_NAMES:
                return Direction(attribute.name)
    return Direction.SENDRECV


def fingerprints_of(description: SessionDescription, media: MediaDescription) -> tuple[Fingerprint, ...]:
    """Those of the section, else those of the session; unreadable ones are left out."""
    found = []
    for text in media.get_all("fingerprint") or description.get_all("fingerprint"):
        try:
            found.append(Fingerprint.parse(text))
        except ParseError:
            continue
    return tuple(found)


def rtp_maps(media: MediaDescription) -> dict[int, RtpMap]:
    """What each format means, in the order of the m= line. Formats that nothing explains are left out."""
    mapped: dict[int, RtpMap] = {}
    for text in media.get_all("rtpmap"):
        try:
            row = RtpMap.parse(text)
        except ParseError:
            continue
        mapped.setdefault(row.payload_type, row)
    ordered: dict[int, RtpMap] = {}
    for token in media.formats:
        if not (token.isascii() and token.isdigit()) or len(token) > 3:
            continue
        number = int(token)
        if str(number) != token:
            continue
        meaning = mapped.get(number) or STATIC_FORMATS.get(number)
        if meaning is not None:
            ordered.setdefault(number, meaning)
    return ordered


def format_parameters(media: MediaDescription) -> dict[int, str]:
    """The `fmtp` of each payload type; several lines for one are joined."""
    found: dict[int, str] = {}
    for text in media.get_all("fmtp"):
        try:
            row = Fmtp.parse(text)
        except ParseError:
            continue
        before = found.get(row.payload_type)
        found[row.payload_type] = f"{before};{row.parameters}" if before else row.parameters
    return found


def packet_time(media: MediaDescription, name: str = "ptime") -> int | None:
    """`a=ptime` or `a=maxptime` in whole milliseconds; None where it is missing or no number."""
    text = (media.get(name) or "").partition(".")[0].strip()
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) <= 5 else None
