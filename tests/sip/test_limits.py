"""Each bound of `sip.limits`: what is at it passes, what is over it is refused and counted."""

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.sip import limits as module
from sansio_sip.sip.limits import Gate, Limits
from sansio_sip.sip.message import Request, Response

ROWS = (
    "Via: SIP/2.0/UDP a;branch=z9hG4bK1",
    "From: <sip:a@b>;tag=1",
    "To: <sip:b@c>",
    "Call-ID: 1",
    "CSeq: 1 {method}",
)


def message(*rows: str, method: str = "OPTIONS", body: bytes = b"", response: bool = False, pad: int = 0) -> bytes:
    start = "SIP/2.0 200 OK" if response else f"{method} sip:b@c SIP/2.0"
    lines = [start, *(row.format(method=method) for row in ROWS), *rows]
    if pad:
        lines.append("X: " + "x" * pad)
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


CASES = [
    # limit, value, a message at the limit, one over it, counter, status
    ("message", 400, 400, 401, "message_too_large", 513),
    ("header_rows", 10, 10, 11, "too_many_headers", 513),
    ("header_value", 50, 50, 51, "header_too_long", 513),
    ("vias", 5, 5, 6, "too_many_vias", 483),
    ("body", 100, 100, 101, "body_too_large", 513),
]


def sized(limit: str, size: int, **more: bool | str) -> bytes:
    """A message that measures `size` in that way."""
    match limit:
        case "message":
            bare = len(message(pad=1, **more))  # type: ignore[arg-type]
            return message(pad=size - bare + 1, **more)  # type: ignore[arg-type]
        case "header_rows":
            return message(*(f"X: {number}" for number in range(size - len(ROWS) - 1)), **more)  # type: ignore[arg-type]
        case "header_value":
            return message(pad=size, **more)  # type: ignore[arg-type]
        case "vias":
            return message("Via: " + ", ".join(["SIP/2.0/UDP h;branch=x"] * (size - 1)), **more)  # type: ignore[arg-type]
        case _:
            return message(body=b"x" * size, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("limit", "value", "good", "bad", "counter", "status"), CASES, ids=[row[0] for row in CASES])
def test_each_limit_has_its_counter(limit: str, value: int, good: int, bad: int, counter: str, status: int) -> None:
    gate = Gate(Limits(**{limit: value}))  # type: ignore[arg-type]
    assert isinstance(gate.read(sized(limit, good)), Request)
    assert not any(asdict(gate.counters).values())
    with pytest.raises(ParseError, match=str(value)) as error:
        gate.read(sized(limit, bad))
    assert error.value.status == status
    assert asdict(gate.counters) == {**dict.fromkeys(asdict(gate.counters), 0), counter: 1}
    # Nobody answers a response or an ACK.
    if limit != "message":
        for quiet in (sized(limit, bad, response=True), sized(limit, bad, method="ACK")):
            with pytest.raises(ParseError) as error:
                gate.read(quiet)
            assert error.value.status == 0


def test_what_is_malformed_is_counted_too() -> None:
    gate = Gate(Limits())
    with pytest.raises(ParseError):
        gate.read(b"rubbish\r\n\r\n")
    assert gate.counters.malformed == 1
    assert isinstance(gate.read(message(response=True)), Response)


def test_a_stranger_has_his_rate_and_others_theirs() -> None:
    gate = Gate(Limits(rate=10.0, burst=5))
    stranger, other = Address("192.0.2.1", 1), Address("192.0.2.2", 1)
    assert [gate.admits(stranger._replace(port=port), now=0.0) for port in range(1, 8)] == [True] * 5 + [False] * 2
    assert gate.admits(other, now=0.0)
    assert gate.counters.over_rate == 2
    assert [gate.admits(stranger, now=0.2) for _ in range(3)] == [True, True, False]
    assert [gate.admits(stranger, now=100.0) for _ in range(6)] == [True] * 5 + [False]


def test_no_rate_is_no_bound() -> None:
    gate = Gate(Limits(rate=0.0, burst=1))
    assert all(gate.admits(Address("192.0.2.1", 1), now=0.0) for _ in range(100))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 5000)), max_size=200))
def test_however_they_come_no_more_than_burst_and_rate_and_nothing_piles_up(steps: list[tuple[float, int]]) -> None:
    gate = Gate(Limits(rate=3.0, burst=4))
    now, admitted = 0.0, 0
    for pause, number in steps:
        now += pause
        admitted += gate.admits(Address("192.0.2.1", 1), now=now)
        gate.admits(Address(f"10.0.{number // 250}.{number % 250}", 1), now=now)
    assert admitted <= 4 + 3.0 * now + 1e-6


def test_sources_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", 8)
    gate = Gate(Limits())
    for number in range(100):
        gate.admits(Address(f"10.0.0.{number}", 1), now=0.0)
    assert len(gate._buckets) == 8


@pytest.mark.parametrize(
    "change", [{"message": 0}, {"header_rows": 0}, {"vias": -1}, {"rate": -1.0}, {"rate": float("nan")}, {"burst": 0}]
)
def test_a_limit_that_is_none_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"is .*: allowed"):
        Limits(**change)  # type: ignore[arg-type]
