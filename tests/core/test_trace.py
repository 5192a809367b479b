"""Traces: what they hold, what they leave out, and that a run comes again from them."""

import contextlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.context import Audio, Context, Disclosure, Opaque, Private, Secret
from sansio_sip.effects import Address, FlowId, SendDatagram, SendStream
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.softphone.media_plane import DtmfReceived, SessionId
from sansio_sip.trace import RecordedOutbox, TraceWriter, recorded, replay
from sansio_sip.trace_codec import TraceCodec, redact


class Dice:
    """A root machine that draws, asks its oracle, and says what came of it."""

    def __init__(self, context: Context, sides: int) -> None:
        self._context = context
        self._sides = sides
        self._outbox: RecordedOutbox[object] = RecordedOutbox(context.trace)

    @recorded
    def roll(self, times: int, *, now: float) -> None:
        if times < 0:
            raise LocalProtocolError("cannot roll less than never")
        for _ in range(times):
            self.once(now=now)

    @recorded
    def once(self, *, now: float) -> None:
        number = self._context.entropy.ssrc() % self._sides
        sealed = self._context.oracle.consult(
            "seal", lambda: Opaque(random.randbytes(8)), number, disclosure=Disclosure.OPAQUE
        )
        self._outbox.put(SendDatagram(FlowId("f"), bytes([number]), Address("10.0.0.1", 9)))
        self._outbox.put(SendDatagram(FlowId("f"), sealed, Address("10.0.0.1", 9)))

    def handle_timeout(self, *, now: float) -> None: ...

    def next_timeout(self) -> float | None:
        return None

    def poll_output(self) -> object | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[object]:
        return self._outbox.drain()


def record(seed: int = 1) -> list[str]:
    lines: list[str] = []
    context = TraceWriter(lines.append, full=True).machine("d", "dice", {"sides": 6}).context(random.Random(seed), 0.0)
    dice = Dice(context, 6)
    dice.roll(3, now=1.0)
    with pytest.raises(LocalProtocolError):
        dice.roll(-1, now=2.0)
    dice.once(now=3.0)
    return lines


def build(kind: str, options: Mapping[str, Any], context: Context) -> Any:
    return Dice(context, options["sides"])


def test_a_run_comes_again() -> None:
    report = replay(record(), build)
    assert (report.inputs, report.identical, report.opaque, report.different) == (3, 4, 4, 0)


def test_an_input_inside_another_is_part_of_it() -> None:
    inputs = [json.loads(line)["i"] for line in record() if '"i"' in line]
    assert inputs == ["roll", "roll", "once"]


@pytest.mark.parametrize("key", ["i", "d", "o", "q"])
def test_a_changed_row_of_any_kind_is_a_difference(key: str) -> None:
    lines = record()
    index = next(number for number, line in enumerate(lines) if key in json.loads(line))
    row = json.loads(lines[index])
    match key:
        case "i":
            row["a"]["times"] = 2
        case "d":
            row["v"] = f"{int(row['v'], 16) ^ 1:x}"
        case "o":
            row["o"]["f"]["data"] = {"b": "/w=="}
        case "q":
            row["in"] = "0" * 16
    lines[index] = json.dumps(row)
    assert replay(lines, build).different > 0


def test_a_missing_and_a_surplus_output_are_differences() -> None:
    lines = record()
    outputs = [number for number, line in enumerate(lines) if '"o":' in line]
    assert replay(lines[: outputs[-1]] + lines[outputs[-1] + 1 :], build).different == 1
    assert replay([*lines, lines[outputs[0]]], build).different == 1


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["{"],
        ["[]"],
        ['{"trace": 2}'],
        ['{"trace": 1}', '{"m": "x", "i": "roll", "a": {}, "t": 0}'],
        [
            '{"trace": 1}',
            '{"m": "d", "kind": "dice", "options": {"d": [["sides", 6]]}, "unix": 0}',
            '{"m":"d","i":"_outbox","a":{},"t":0}',
        ],
        ['{"trace": 1}', '{"m": "d", "kind": "dice", "options": {"c": "os:system", "f": {}}, "unix": 0}'],
        ['{"trace": 1}', '{"m": "d", "kind": "dice", "options": {"e": "sansio_sip.trace:os", "v": "x"}, "unix": 0}'],
    ],
)
def test_what_is_no_trace_is_refused(lines: list[str]) -> None:
    with pytest.raises(ParseError):
        replay(lines, build)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("i", {"i": 0}),
        ("i", {"t": "x"}),
        ("i", {"a": ""}),
        ("i", {"a": {"e": "sansio_sip.effects:RecordType"}}),
        ("i", {"a": {"times": "x"}}),
        ("d", {"v": ""}),
        ("d", {"v": True}),
        ("o", {"o": None, "x": 1}),
    ],
)
def test_a_damaged_row_is_a_difference_or_refused(key: str, change: dict[str, object]) -> None:
    lines = record()
    index = next(number for number, line in enumerate(lines) if key in json.loads(line))
    lines[index] = json.dumps({**json.loads(lines[index]), **change})
    with contextlib.suppress(ParseError):
        assert replay(lines, build).different > 0
    with pytest.raises(ParseError):
        replay([*lines[:index], '{"m": "d"}'], build)


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Odd:
    value: object


def test_secrets_leave_nothing_behind() -> None:
    encoded = json.dumps(TraceCodec(full=True).encode({"password": Secret("hunter2"), "nested": (Secret("hunter2"),)}))
    assert "hunter2" not in encoded


def test_the_digest_response_is_blanked_wherever_it_stands() -> None:
    answer = b'Authorization: Digest username="a", response="' + b"f" * 32 + b'", qop=auth\r\n'
    assert b"ffff" not in redact(answer)
    assert len(redact(answer)) == len(answer)
    mask = b"\x01\x02\x03\x04"
    payload = bytes(octet ^ mask[index % 4] for index, octet in enumerate(answer))
    frame = b"\x81" + bytes([0x80 | len(answer)]) + mask + payload
    blanked = redact(frame + frame)
    unmasked = bytes(octet ^ mask[index % 4] for index, octet in enumerate(blanked[6 : len(frame)]))
    assert unmasked == redact(answer)
    assert blanked[len(frame) :] == blanked[: len(frame)]


def test_a_trace_of_signalling_has_no_audio_and_no_digits() -> None:
    codec = TraceCodec(full=False)
    packet = bytes([0x80, 0, 0, 1]) + bytes(8) + b"speech" * 10
    assert b"speech" not in json.dumps(codec.encode(packet)).encode()
    assert codec.decode(codec.encode(packet))[:12] == packet[:12]
    assert codec.encode(Private(b"speech")) == {"p": 6}
    assert codec.encode(Audio(packet)) == {"p": len(packet)}
    assert codec.encode(np.full(4, 7, dtype=np.int16)) == {"array": "int16", "shape": [4]}
    pressed = codec.encode(DtmfReceived(SessionId("s"), "7", 100))
    assert codec.decode(pressed) == DtmfReceived(SessionId("s"), "0", 100)
    assert codec.encode_fields({"digits": "12,3#"}) == {"digits": "00,00"}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
        | st.builds(Address, st.text(), st.integers(0, 65535))
        | st.builds(SendStream, st.builds(FlowId, st.text()), st.binary()),
        lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_values_come_back(value: object) -> None:
    codec = TraceCodec(full=True)
    assert codec.decode(json.loads(json.dumps(codec.encode(value)))) == value


def test_what_has_no_place_in_a_trace_is_refused() -> None:
    with pytest.raises(TypeError, match="no place"):
        TraceCodec(full=True).encode(Odd(object()))
