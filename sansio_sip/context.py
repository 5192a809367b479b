"""What a machine may ask of the world without acting on it: randomness, the offset to Unix time, and oracles.

Oracles
-------
A machine's outputs follow from its inputs, but for what is not ours to determine: random draws, secrets that must
not be written down, and the work of OpenSSL, libsrtp and libopus. All of it passes through two narrow gates, so that
a recorded run can be run again without any of them:

- `Entropy`: every random value has a name and comes from one source of bits.
- `Oracle.consult(name, compute, *inputs)`: calls `compute` in production. A recorder also writes down what came of it;
  a replay does not call it at all, and answers with what was written, after checking that it was asked the same.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

__all__ = [
    "Audio",
    "Context",
    "DirectOracle",
    "Disclosure",
    "Entropy",
    "EntropySource",
    "Opaque",
    "Oracle",
    "Private",
    "Secret",
    "TraceSink",
]

T = TypeVar("T")

_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_ICE_CHARACTERS = _ALPHANUMERIC + "+/"


class Secret:
    """A password, token or key. Shows itself nowhere; only a computation behind an oracle may `reveal` it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(Secret)


class Opaque(bytes):
    """Octets that no replay can make again (DTLS records, SRTP). A trace compares their length alone."""

    __slots__ = ()


class Private(bytes):
    """Octets that carry what people say. A trace of signalling alone takes note of their length only."""

    __slots__ = ()


class Audio(Private):
    """Samples, or what a codec made of them, without any header: a trace of signalling keeps none of its octets."""

    __slots__ = ()


class Disclosure(Enum):
    """What a trace may keep of an oracle's result."""

    PLAIN = "plain"  # the result itself
    PRIVATE = "private"  # audio or digits: only the shape, unless a full trace was asked for
    OPAQUE = "opaque"  # only the shape, always; the result may change from run to run


class EntropySource(Protocol):
    """A source of random bits: `random.Random(seed)`, `random.SystemRandom()`, or a recording of either."""

    def getrandbits(self, k: int, /) -> int: ...


class Entropy:
    """Named random draws. Each name says what the value is for, so that a trace can be read.

    A source that has a method `draw(name, bits)` is told the name as well (the recorder's has).
    """

    __slots__ = ("_named", "_source")

    def __init__(self, source: EntropySource) -> None:
        # Kept as they are, not in a closure: a machine that is copied must take its own source along.
        self._source = source
        self._named: Callable[[str, int], int] | None = getattr(source, "draw", None)

    def _draw(self, name: str, bits: int) -> int:
        return self._source.getrandbits(bits) if self._named is None else self._named(name, bits)

    def _text(self, name: str, length: int, characters: str = _ALPHANUMERIC) -> str:
        value = self._draw(name, 8 * length)
        base = len(characters)
        letters = []
        for _ in range(length):
            value, index = divmod(value, base)
            letters.append(characters[index])
        return "".join(letters)

    def _octets(self, name: str, length: int) -> bytes:
        return self._draw(name, 8 * length).to_bytes(length, "big")

    def branch(self) -> str:
        """Via branch, with the magic cookie (RFC 3261 section 8.1.1.7)."""
        return "z9hG4bK" + self._text("branch", 16)

    def tag(self) -> str:
        """From or To tag; at least 32 bits of randomness (RFC 3261 section 19.3)."""
        return self._text("tag", 10)

    def call_id(self) -> str:
        return self._text("call_id", 22)

    def cnonce(self) -> str:
        return self._text("cnonce", 16)

    def nonce(self) -> str:
        """A server's digest nonce."""
        return self._text("nonce", 24)

    def flow_key(self) -> bytes:
        """What a proxy signs its flow tokens with (RFC 5626 section 5.2)."""
        return self._octets("flow_key", 20)

    def gruu(self) -> str:
        """The user part of a temporary GRUU (RFC 5627 section 3.2)."""
        return self._text("gruu", 24)

    def contact_user(self) -> str:
        return self._text("contact_user", 8)

    def via_host(self) -> str:
        """A host name under `.invalid` for a client that cannot be reached by name (RFC 7118 section 5)."""
        return self._text("via_host", 12).lower() + ".invalid"

    def uuid(self, name: str = "uuid") -> str:
        """A version 4 UUID (RFC 9562)."""
        value = self._draw(name, 128)
        value = (value & ~(0xF << 76)) | (4 << 76)
        value = (value & ~(0x3 << 62)) | (2 << 62)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def session_id(self) -> int:
        """The number in an SDP `o=` line (RFC 8866 section 5.2); 62 bits, as JSEP asks."""
        return self._draw("session_id", 62)

    def ssrc(self) -> int:
        return self._draw("ssrc", 32)

    def rtp_sequence(self) -> int:
        """The first sequence number; below 2**15, so that the first roll-over is not near (RFC 3711 section 3.3.1)."""
        return self._draw("rtp_sequence", 15)

    def rtp_timestamp(self) -> int:
        return self._draw("rtp_timestamp", 32)

    def ice_ufrag(self) -> str:
        return self._text("ice_ufrag", 8, _ICE_CHARACTERS)

    def ice_pwd(self) -> str:
        return self._text("ice_pwd", 24, _ICE_CHARACTERS)

    def ice_tie_breaker(self) -> int:
        return self._draw("ice_tie_breaker", 64)

    def stun_transaction_id(self) -> bytes:
        return self._octets("stun_transaction_id", 12)

    def web_socket_key(self) -> bytes:
        return self._octets("web_socket_key", 16)

    def web_socket_mask(self) -> bytes:
        return self._octets("web_socket_mask", 4)

    def fraction(self, name: str) -> float:
        """A number in [0, 1): back-off, RTCP intervals, keepalive spread."""
        return self._draw(name, 53) / (1 << 53)


class Oracle(Protocol):
    """The gate to whatever is not determined by a machine's inputs."""

    def consult(
        self, name: str, compute: Callable[[], T], *inputs: object, disclosure: Disclosure = Disclosure.PLAIN
    ) -> T:
        """What `compute` gives. `inputs` are what it depends on; a replay checks that they are the same.

        Both are limited to None, bool, int, float, str, bytes, `Enum`s, tuples, frozen dataclasses of these, and
        numpy arrays. `Private` octets among the inputs count by their length unless the trace is a full one. A
        `Secret` is never an input. A result with disclosure OPAQUE may be octets, a dataclass or a tuple that holds
        `Opaque` octets: only those are left out.
        """


class DirectOracle:
    """The oracle of an unrecorded run."""

    __slots__ = ()

    def consult(
        self, name: str, compute: Callable[[], T], *inputs: object, disclosure: Disclosure = Disclosure.PLAIN
    ) -> T:
        return compute()


class TraceSink(Protocol):
    """Where a root machine writes its inputs and outputs, a row each (see `trace`)."""

    def input(self, method: str, arguments: Mapping[str, object], now: float) -> bool:
        """An input begins. False: it comes from inside another one, of which it is a part; `done` is not due."""

    def done(self) -> None:
        """The input has been worked off."""

    def output(self, output: object) -> None: ...


@dataclass(slots=True)
class Context:
    """Handed to every machine by its parent, and to the root machine by whoever runs it.

    Attributes:
        entropy: named random draws.
        oracle: the gate to crypto and codecs.
        unix_offset: Unix time is `now + unix_offset`; the root machine moves it on `clock_adjusted`.
        trace: where the root machine records; None in an unrecorded run.
        map: runs a pure function over disjoint rows and returns the results in order; a driver may give a pool's.
    """

    entropy: Entropy
    oracle: Oracle = field(default_factory=DirectOracle)
    unix_offset: float = 0.0
    trace: TraceSink | None = None
    map: Callable[[Callable[[object], object], Iterable[object]], Iterable[object]] = map
