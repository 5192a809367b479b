"""A session description as a value (RFC 8866).

The lines that every description must have are typed. Attributes stay as they came, in order and byte for byte, known
or not; `sansio_sip.sdp.attributes` reads the known ones. `bytes(description)` writes the lines in the order that
RFC 8866 section 5 demands, whatever order they came in. Octets that are not UTF-8 survive the way in and out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sansio_sip.frozen import quick

__all__ = [
    "Attribute",
    "Bandwidth",
    "Connection",
    "MediaDescription",
    "Origin",
    "SessionDescription",
    "Timing",
]

_LINE_BREAKING = frozenset("\r\n\0")


@quick
@dataclass(frozen=True, slots=True)
class Attribute:
    """An `a=` line. `value` is None for a property (`a=rtcp-mux`), "" where nothing follows the colon."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"

    def __repr__(self) -> str:
        # RFC 4568: the value of `crypto` is the key itself.
        value = "***" if self.name == "crypto" else self.value
        return f"Attribute(name={self.name!r}, value={value!r})"


@quick
@dataclass(frozen=True, slots=True)
class Origin:
    """The `o=` line: who made the description, and which version of it this is (RFC 8866 section 5.2)."""

    username: str
    session_id: int
    session_version: int
    address: str
    address_type: str = "IP4"
    network_type: str = "IN"

    def __str__(self) -> str:
        return (
            f"{self.username} {self.session_id} {self.session_version} "
            f"{self.network_type} {self.address_type} {self.address}"
        )


@quick
@dataclass(frozen=True, slots=True)
class Connection:
    """A `c=` line (RFC 8866 section 5.7). `address` may be a host name; `suffix` is what follows it, `/ttl/count`."""

    address: str
    address_type: str = "IP4"
    suffix: str = ""
    network_type: str = "IN"

    def __str__(self) -> str:
        return f"{self.network_type} {self.address_type} {self.address}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """A `b=` line. The value stays text: peers write numbers here that are none."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


@quick
@dataclass(frozen=True, slots=True)
class Timing:
    """A `t=` line, in seconds since 1900, and the `r=` lines that belong to it."""

    start: int = 0
    stop: int = 0
    repeats: tuple[str, ...] = ()


class _Attributed:
    """Look-ups shared by both levels. Names of attributes are case-sensitive (RFC 8866 section 5.13)."""

    __slots__ = ()
    attributes: tuple[Attribute, ...]

    def has(self, name: str) -> bool:
        return any(attribute.name == name for attribute in self.attributes)

    def get(self, name: str) -> str | None:
        """The value of the first attribute of that name, "" for a property attribute, None where there is none."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute.value or ""
        return None

    def get_all(self, name: str) -> tuple[str, ...]:
        return tuple(attribute.value or "" for attribute in self.attributes if attribute.name == name)


@quick
@dataclass(frozen=True, slots=True)
class MediaDescription(_Attributed):
    """An `m=` line and what belongs to it (RFC 8866 section 5.14). `port` 0: rejected or switched off."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connections: tuple[Connection, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    port_count: int = 1
    title: str | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    key: str | None = None

    @property
    def connection(self) -> Connection | None:
        """The first `c=` line of this section alone; see `SessionDescription.connection_of`."""
        return self.connections[0] if self.connections else None

    def lines(self) -> Iterator[str]:
        count = f"/{self.port_count}" if self.port_count != 1 else ""
        yield f"m={self.kind} {self.port}{count} {' '.join((self.protocol, *self.formats))}"
        if self.title is not None:
            yield f"i={self.title}"
        yield from (f"c={connection}" for connection in self.connections)
        yield from (f"b={bandwidth}" for bandwidth in self.bandwidths)
        if self.key is not None:
            yield f"k={self.key}"
        yield from (f"a={attribute}" for attribute in self.attributes)


@quick
@dataclass(frozen=True, slots=True)
class SessionDescription(_Attributed):
    """A whole description. `bytes()` writes it; raises ValueError if a text would break its line."""

    origin: Origin
    media: tuple[MediaDescription, ...] = ()
    name: str = "-"
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    timings: tuple[Timing, ...] = (Timing(),)
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    bandwidths: tuple[Bandwidth, ...] = ()
    time_zones: str | None = None
    key: str | None = None

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """The `c=` line in force for one of the sections: its own, else that of the session."""
        return media.connection or self.connection

    def lines(self) -> Iterator[str]:
        yield "v=0"
        yield f"o={self.origin}"
        yield f"s={self.name}"
        if self.information is not None:
            yield f"i={self.information}"
        if self.uri is not None:
            yield f"u={self.uri}"
        yield from (f"e={email}" for email in self.emails)
        yield from (f"p={phone}" for phone in self.phones)
        if self.connection is not None:
            yield f"c={self.connection}"
        yield from (f"b={bandwidth}" for bandwidth in self.bandwidths)
        for timing in self.timings:
            yield f"t={timing.start} {timing.stop}"
            yield from (f"r={repeat}" for repeat in timing.repeats)
        if self.time_zones is not None:
            yield f"z={self.time_zones}"
        if self.key is not None:
            yield f"k={self.key}"
        yield from (f"a={attribute}" for attribute in self.attributes)
        for media in self.media:
            yield from media.lines()

    def __bytes__(self) -> bytes:
        lines = list(self.lines())
        for line in lines:
            if not _LINE_BREAKING.isdisjoint(line):
                raise ValueError(f"an SDP line may not hold CR, LF or NUL: {line[:40]!r}")
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")

    def __str__(self) -> str:
        return bytes(self).decode("utf-8", "replace")
