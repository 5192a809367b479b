"""Octets to `SessionDescription` (RFC 8866 section 9).

What decides meaning is held to the grammar: `v=`, `o=` and `s=` must be there, their fields and those of every `m=`
line must fit. What does not is let through: the text of attributes and bandwidths, an empty `s=`, no `t=` (calls have
no schedule; gateways leave it out). Lines out of their order are taken, since nothing is lost by that and RFC 3264's
and RFC 5763's own examples do it. A letter that RFC 8866 does not know is not: "an SDP parser MUST completely ignore or
reject any session description that contains a type letter that it does not understand" (section 5).
"""

from typing import NoReturn

from sansio_sip.errors import ParseError

from .model import Attribute, Bandwidth, Connection, MediaDescription, Origin, SessionDescription, Timing

__all__ = ["MAX_LINES", "MAX_MEDIA", "MAX_OCTETS", "parse_description"]

MAX_OCTETS = 65_536
"""As much as the largest UDP datagram. A browser's offer with every codec and extension it has is about 10 kB."""

MAX_LINES = 4_096
"""A conference bridge sends some hundred lines; each one costs an object here."""

MAX_MEDIA = 64
"""Each section costs us one in the answer."""

_MAX_DIGITS = 24
"""RFC 3264 section 5 asks for 63 bits in `o=`: 19 digits. A few more are seen and do no harm."""

_SESSION_LETTERS = frozenset("vosiuepcbtrzka")
_MEDIA_LETTERS = frozenset("icbka")


def parse_description(data: bytes) -> SessionDescription:
    """Reads one description; CRLF or LF end its lines. Raises ParseError (status 488) with the octet offset."""
    return _Parser(data).parse()


class _Parser:
    """One pass over the lines. `_index` is that of the line being read, for errors."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._index = 0

    def parse(self) -> SessionDescription:
        if len(self._data) > MAX_OCTETS:
            self._fail(f"SDP of {len(self._data)} octets; the limit is {MAX_OCTETS}")
        lines = self._lines()
        starts = self._starts(lines)
        if lines[0][:2] != "v=":
            self._fail("SDP does not begin with v=")
        if lines[0][2:] != "0":
            self._fail(f"SDP version {lines[0][2:22]!r} is not known")
        ends = [*starts, len(lines)][1:]
        media = tuple(self._media(lines, start, end) for start, end in zip(starts, ends, strict=True))
        return self._session(lines, starts[0] if starts else len(lines), media)

    def _fail(self, reason: str, index: int | None = None) -> NoReturn:
        # Looked for only now: nobody asks where the lines of a good description begin.
        before = self._data.split(b"\n")[: self._index if index is None else index]
        raise ParseError(reason, offset=min(sum(len(line) + 1 for line in before), len(self._data)), status=488)

    def _lines(self) -> list[str]:
        text = self._data.decode("utf-8", "surrogateescape").rstrip("\r\n").replace("\r\n", "\n")
        lines = text.split("\n")
        if len(lines) > MAX_LINES:
            self._fail(f"SDP of more than {MAX_LINES} lines")
        if "\r" in text or "\0" in text:
            index = next(index for index, line in enumerate(lines) if "\r" in line or "\0" in line)
            self._fail("CR or NUL inside an SDP line", index)
        return lines

    def _starts(self, lines: list[str]) -> list[int]:
        """Where the m= lines are; each line's letter is looked at on the way."""
        starts: list[int] = []
        allowed, where = _SESSION_LETTERS, "at the session level"
        for index, line in enumerate(lines):
            if line[1:2] != "=":
                self._fail(f"not a line of SDP: {line[:20]!r}", index)
            letter = line[0]
            if letter == "m":
                if len(starts) >= MAX_MEDIA:
                    self._fail(f"more than {MAX_MEDIA} m= lines", index)
                starts.append(index)
                allowed, where = _MEDIA_LETTERS, "in a media section"
            elif letter not in allowed:
                self._fail(f"{letter}= is not allowed {where}", index)
        return starts

    def _session(self, lines: list[str], end: int, media: tuple[MediaDescription, ...]) -> SessionDescription:
        once: dict[str, str] = {}
        origin: Origin | None = None
        connection: Connection | None = None
        emails: list[str] = []
        phones: list[str] = []
        bandwidths: list[Bandwidth] = []
        timings: list[Timing] = []
        attributes: list[Attribute] = []
        for self._index in range(1, end):
            line = lines[self._index]
            letter, value = line[0], line[2:]
            match letter:
                case "a":
                    attributes.append(self._attribute(value))
                case "o" if origin is None:
                    origin = self._origin(value)
                case "c" if connection is None:
                    connection = self._connection(value)
                case "e":
                    emails.append(value)
                case "p":
                    phones.append(value)
                case "b":
                    bandwidths.append(self._bandwidth(value))
                case "t":
                    timings.append(self._timing(value))
                case "r":
                    if not timings:
                        self._fail("r= before any t=")
                    last = timings[-1]
                    timings[-1] = Timing(last.start, last.stop, (*last.repeats, value))
                case "s" | "i" | "u" | "z" | "k" if letter not in once:
                    once[letter] = value
                case _:
                    self._fail(f"a second {letter}= line")
        if origin is None:
            self._fail("no o= line", len(lines))
        if "s" not in once:
            self._fail("no s= line", len(lines))
        return SessionDescription(
            origin=origin,
            media=media,
            name=once["s"],
            connection=connection,
            attributes=tuple(attributes),
            timings=tuple(timings),
            information=once.get("i"),
            uri=once.get("u"),
            emails=tuple(emails),
            phones=tuple(phones),
            bandwidths=tuple(bandwidths),
            time_zones=once.get("z"),
            key=once.get("k"),
        )

    def _media(self, lines: list[str], start: int, end: int) -> MediaDescription:
        self._index = start
        kind, port, count, protocol, formats = self._media_line(lines[start][2:])
        once: dict[str, str] = {}
        connections: list[Connection] = []
        bandwidths: list[Bandwidth] = []
        attributes: list[Attribute] = []
        for index, line in enumerate(lines[start + 1 : end], start + 1):
            if line[0] == "a":  # nearly every line
                name, colon, value = line[2:].partition(":")
                if not name:
                    self._fail("a= without a name", index)
                attributes.append(Attribute(name, value if colon else None))
                continue
            self._index = index
            letter, value = line[0], line[2:]
            match letter:
                case "c":
                    connections.append(self._connection(value))
                case "b":
                    bandwidths.append(self._bandwidth(value))
                case _:
                    if letter in once:
                        self._fail(f"a second {letter}= line in a media section")
                    once[letter] = value
        return MediaDescription(
            kind=kind,
            port=port,
            protocol=protocol,
            formats=formats,
            connections=tuple(connections),
            attributes=tuple(attributes),
            port_count=count,
            title=once.get("i"),
            bandwidths=tuple(bandwidths),
            key=once.get("k"),
        )

    def _media_line(self, value: str) -> tuple[str, int, int, str, tuple[str, ...]]:
        fields = _fields(value)
        if len(fields) < 3:
            self._fail("m= needs a kind, a port, a protocol and a format")
        kind, ports, protocol, *formats = fields
        port_text, slash, count_text = ports.partition("/")
        port = self._number(port_text, "port")
        if port > 65_535:
            self._fail(f"port {port} is above 65535")
        # A section that is switched off may come without formats: they say nothing there, and gateways drop them.
        if port != 0 and not formats:
            self._fail("m= names no format")
        count = self._number(count_text, "number of ports") if slash else 1
        if count == 0:
            self._fail("the number of ports is 0")
        return kind, port, count, protocol, tuple(formats)

    def _number(self, text: str, what: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
            self._fail(f"{what} is not a number: {text[:_MAX_DIGITS]!r}")
        return int(text)

    def _origin(self, value: str) -> Origin:
        fields = _fields(value)
        if len(fields) != 6:
            self._fail(f"o= has {len(fields)} fields, not 6")
        username, session_id, version, network_type, address_type, address = fields
        self._check_address_type(network_type, address_type)
        return Origin(
            username,
            self._number(session_id, "session id"),
            self._number(version, "session version"),
            address,
            address_type,
            network_type,
        )

    def _connection(self, value: str) -> Connection:
        fields = _fields(value)
        if len(fields) != 3:
            self._fail(f"c= has {len(fields)} fields, not 3")
        network_type, address_type, rest = fields
        self._check_address_type(network_type, address_type)
        address, slash, suffix = rest.partition("/")
        if not address:
            self._fail("c= without an address")
        return Connection(address, address_type, slash + suffix, network_type)

    def _check_address_type(self, network_type: str, address_type: str) -> None:
        """Only what a SIP phone can reach; RFC 3108 knows ATM addresses, which none can."""
        if network_type != "IN":
            self._fail(f"network type {network_type[:20]!r} is not IN")
        if address_type not in ("IP4", "IP6"):
            self._fail(f"address type {address_type[:20]!r} is neither IP4 nor IP6")

    def _bandwidth(self, value: str) -> Bandwidth:
        kind, colon, amount = value.partition(":")
        if not colon or not kind:
            self._fail("b= is not TYPE:VALUE")
        return Bandwidth(kind, amount)

    def _timing(self, value: str) -> Timing:
        fields = _fields(value)
        if len(fields) != 2:
            self._fail(f"t= has {len(fields)} fields, not 2")
        return Timing(self._number(fields[0], "start time"), self._number(fields[1], "stop time"))

    def _attribute(self, value: str) -> Attribute:
        name, colon, text = value.partition(":")
        if not name:
            self._fail("a= without a name")
        return Attribute(name, text if colon else None)


def _fields(value: str) -> list[str]:
    """Fields stand apart by one space; more of them are seen."""
    return [field for field in value.split(" ") if field]
