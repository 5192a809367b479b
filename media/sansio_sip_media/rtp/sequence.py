"""Wrap-around arithmetic of RTP sequence numbers (16 bits) and timestamps (32 bits). It lives nowhere else."""

__all__ = [
    "SEQUENCE_MODULUS",
    "TIMESTAMP_MODULUS",
    "Unwrapper",
    "add_sequence",
    "add_timestamp",
    "sequence_distance",
    "timestamp_distance",
]

SEQUENCE_MODULUS = 1 << 16
TIMESTAMP_MODULUS = 1 << 32


def add_sequence(sequence: int, steps: int) -> int:
    """The sequence number `steps` after `sequence`."""
    return (sequence + steps) % SEQUENCE_MODULUS


def add_timestamp(timestamp: int, units: int) -> int:
    """The timestamp `units` of the RTP clock after `timestamp`."""
    return (timestamp + units) % TIMESTAMP_MODULUS


def _distance(later: int, earlier: int, modulus: int) -> int:
    half = modulus >> 1
    return (later - earlier + half) % modulus - half


def sequence_distance(later: int, earlier: int) -> int:
    """Steps from `earlier` to `later`, from -32768 to 32767; negative where `later` is really the older."""
    return _distance(later, earlier, SEQUENCE_MODULUS)


def timestamp_distance(later: int, earlier: int) -> int:
    """RTP clock units from `earlier` to `later`, from -2**31 to 2**31 - 1."""
    return _distance(later, earlier, TIMESTAMP_MODULUS)


class Unwrapper:
    """Turns numbers that wrap into numbers that do not: each is taken as near to the one before as it can be."""

    __slots__ = ("_last", "_modulus")

    def __init__(self, modulus: int) -> None:
        self._modulus = modulus
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """`value` (below the modulus) as an integer without wrap; the first one stands for itself."""
        last = self._last
        unwrapped = value if last is None else last + _distance(value, last, self._modulus)
        self._last = unwrapped
        return unwrapped
