"""Traces: a run of root machines written down, and run again.

Theory of operation
-------------------
A machine's outputs follow from its inputs, its random draws and what its oracles said. A trace is a text of JSON rows
that holds all four, in the order in which they happened:

    {"trace": 1, ...}                                       first row: version of the format, and what it keeps
    {"m": name, "kind": ..., "options": ..., "unix": ...}   a machine begins
    {"m": name, "i": method, "a": {...}, "t": now, "c": …}  an input, with a check sum of the row
    {"m": name, "d": name of the draw, "n": bits, "v": hex} a random draw
    {"m": name, "q": question, "in": digest, "r": result}   what an oracle said
    {"m": name, "o": output}                                an output

`replay` builds the machines again with a source of draws and an oracle that read from the rows, gives them the inputs
and compares every output. OpenSSL, libsrtp and libopus are not needed for that, nor a socket or a clock.

Secrets never enter a trace (see `codec`). A trace of signalling alone (`full=False`) has no audio and no digits either.
"""

import inspect
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from hashlib import sha256
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from .context import Context, Disclosure, Entropy, EntropySource, TraceSink
from .errors import ParseError, ProtocolError
from .machine import Outbox, RootMachine
from .trace_codec import ArrayBuilder, TraceCodec, is_opaque

__all__ = ["MachineTrace", "RecordedOutbox", "ReplayReport", "TraceWriter", "recorded", "replay"]

T = TypeVar("T")
P = ParamSpec("P")
OutputT = TypeVar("OutputT")

FORMAT = 1


class _Recordable(Protocol):
    _context: Context


MachineT = TypeVar("MachineT", bound=_Recordable)


def recorded(method: Callable[Concatenate[MachineT, P], T]) -> Callable[Concatenate[MachineT, P], T]:
    """Marks an input or a command of a root machine: calls from outside are written to `context.trace`."""
    name = method.__name__
    names = list(inspect.signature(method).parameters)[1:]

    @wraps(method)
    def call(self: MachineT, /, *args: P.args, **kwargs: P.kwargs) -> T:
        trace = self._context.trace
        if trace is None:
            return method(self, *args, **kwargs)
        arguments: dict[str, Any] = {**dict(zip(names, args, strict=False)), **kwargs}
        now = arguments.pop("now")
        if not trace.input(name, arguments, now):
            return method(self, *args, **kwargs)
        try:
            return method(self, *args, **kwargs)
        finally:
            trace.done()

    return call


class RecordedOutbox(Outbox[OutputT], Generic[OutputT]):
    """The outbox of a root machine: what is put in goes to the trace as well."""

    __slots__ = ("_trace",)

    def __init__(self, trace: TraceSink | None) -> None:
        super().__init__()
        self._trace = trace

    def put(self, output: OutputT) -> None:
        super().put(output)
        if self._trace is not None:
            self._trace.output(output)


class TraceWriter:
    """Writes the rows of any number of machines.

    Args:
        write: takes a line of text with its line feed.
        full: keep audio and digits; without it a trace holds signalling and timing only.
        about: facts for whoever reads the trace (versions, platform), written into the first row.
    """

    def __init__(self, write: Callable[[str], object], *, full: bool, about: Mapping[str, str] | None = None) -> None:
        self._write = write
        self.codec = TraceCodec(full=full)
        self.row({"trace": FORMAT, "full": full, **(about or {})})

    def row(self, row: Mapping[str, object]) -> None:
        self._write(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n")

    def machine(self, name: str, kind: str, options: Mapping[str, object]) -> "MachineTrace":
        """Begins the rows of a machine; `kind` and `options` are what `replay` builds it from."""
        return MachineTrace(self, name, kind, options)


class MachineTrace:
    """The rows of one machine: its sink, its source of draws and its oracle."""

    def __init__(self, writer: TraceWriter, name: str, kind: str, options: Mapping[str, object]) -> None:
        self._writer = writer
        self._name = name
        self._kind = kind
        self._options = options
        self._source: EntropySource | None = None
        self._busy = False

    def context(self, source: EntropySource, unix_offset: float) -> Context:
        """The context to build the machine with."""
        self._source = source
        options = self._writer.codec.encode(dict(self._options))
        self._writer.row({"m": self._name, "kind": self._kind, "options": options, "unix": unix_offset})
        return Context(Entropy(self), oracle=self, unix_offset=unix_offset, trace=self)

    # TraceSink

    def input(self, method: str, arguments: Mapping[str, object], now: float) -> bool:
        """False: this call comes from inside another input and is part of it."""
        if self._busy:
            return False
        self._busy = True
        row = {"m": self._name, "i": method, "a": self._writer.codec.encode_fields(arguments), "t": now}
        self._writer.row({**row, "c": _check_sum(row)})
        return True

    def done(self) -> None:
        self._busy = False

    def output(self, output: object) -> None:
        self._writer.row({"m": self._name, "o": self._writer.codec.encode(output)})

    # EntropySource

    def getrandbits(self, k: int, /) -> int:
        return self.draw("bits", k)

    def draw(self, name: str, bits: int) -> int:
        assert self._source is not None
        value = self._source.getrandbits(bits)
        self._writer.row({"m": self._name, "d": name, "n": bits, "v": f"{value:x}"})
        return value

    # Oracle

    def consult(
        self, name: str, compute: Callable[[], T], *inputs: object, disclosure: Disclosure = Disclosure.PLAIN
    ) -> T:
        result = compute()
        codec = self._writer.codec
        answer = codec.encode_answer(result, disclosure)
        row = {"m": self._name, "q": name, "in": _digest(codec.encode(inputs)), "r": answer}
        self._writer.row(row)
        return result


@dataclass(slots=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        inputs: inputs given.
        identical: outputs that came again exactly.
        opaque: outputs that came again, whose octets nobody can make twice (DTLS records, SRTP): kind, destination,
            size and time were compared.
        different: outputs, draws, questions and input rows that are not as recorded.
        differences: the first of these, in words.
    """

    inputs: int = 0
    identical: int = 0
    opaque: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)

    # Enough to see a pattern; a trace that has gone astray differs in every row after.
    SHOWN = 10

    def differs(self, what: str) -> None:
        self.different += 1
        if len(self.differences) < self.SHOWN:
            self.differences.append(what)


class _DivergedError(Exception):
    """The machine asked for something that it had not asked for: nothing after it can be compared."""


class _Replayed:
    """The sink, source of draws and oracle of a machine that is run again."""

    def __init__(self, name: str, codec: TraceCodec, report: ReplayReport) -> None:
        self.name = name
        self._codec = codec
        self._report = report
        self._busy = False
        self._where = "its beginning"
        self.draws: deque[dict[str, Any]] = deque()
        self.answers: deque[dict[str, Any]] = deque()
        self.outputs: deque[dict[str, Any]] = deque()

    def input(self, method: str, arguments: Mapping[str, object], now: float) -> bool:
        if self._busy:
            return False
        self._busy = True
        self._where = f"{method} at {now:.6f}"
        return True

    def done(self) -> None:
        self._busy = False

    def output(self, output: object) -> None:
        if not self.outputs:
            self.differs(f"an output more: {_short(self._codec.encode(output))}")
            return
        expected, made = self.outputs.popleft()["o"], self._codec.encode(output)
        if made != expected:
            self.differs(f"{_short(made)} instead of {_short(expected)}")
        elif is_opaque(expected):
            self._report.opaque += 1
        else:
            self._report.identical += 1

    def getrandbits(self, k: int, /) -> int:
        return self.draw("bits", k)

    def draw(self, name: str, bits: int) -> int:
        row = self.draws.popleft() if self.draws else None
        if row is None or (row["d"], row["n"]) != (name, bits):
            was = "none" if row is None else row["d"]
            raise _DivergedError(f"it draws {name} where the trace has {was}")
        return int(row["v"], 16)

    def consult(
        self, name: str, compute: Callable[[], T], *inputs: object, disclosure: Disclosure = Disclosure.PLAIN
    ) -> T:
        row = self.answers.popleft() if self.answers else None
        if row is None or row["q"] != name:
            was = "nothing" if row is None else row["q"]
            raise _DivergedError(f"it asks {name} where the trace has {was}")
        if row["in"] != _digest(self._codec.encode(inputs)):
            self.differs(f"{name} is asked about something else")
        answer: T = self._codec.decode(row["r"])
        return answer

    def differs(self, what: str) -> None:
        self._report.differs(f"{self.name}, {self._where}: {what}")


Builder = Callable[[str, Mapping[str, Any], Context], RootMachine[Any]]


def replay(lines: Iterable[str], build: Builder, *, array: ArrayBuilder | None = None) -> ReplayReport:
    """Runs a trace again.

    Args:
        lines: the rows, as text.
        build: makes a machine of a kind from its options and the context given.
        array: makes an array from its row (`sansio_sip_media.arrays.rebuild_array`); a trace without audio needs none.

    Raises:
        ParseError: this is no trace, or one of a later format.
    """
    rows = _rows(lines)
    report = ReplayReport()
    head = next(rows, None)
    if head is None or head.get("trace") != FORMAT:
        version = None if head is None else head.get("trace")
        raise ParseError(f"not a trace of format {FORMAT} (it says {version!r}); record it again")
    codec = TraceCodec(full=bool(head.get("full")), array=array)
    script: list[tuple[_Replayed, dict[str, Any]]] = []
    known: dict[str, _Replayed] = {}
    for row in rows:
        name = row.get("m")
        if "kind" in row and isinstance(name, str):
            known[name] = _Replayed(name, codec, report)
        replayed = known.get(name) if isinstance(name, str) else None
        if replayed is None:
            raise ParseError(f"a row of a machine that never began: {_short(row)}")
        if "i" in row or "kind" in row:
            script.append((replayed, row))
        elif not row.keys() & {"d", "q", "o"}:
            raise ParseError(f"a row that says nothing: {_short(row)}")
        else:
            queue = replayed.draws if "d" in row else replayed.answers if "q" in row else replayed.outputs
            queue.append(row)
    _run(script, codec, build, report)
    for replayed in known.values():
        for missing in replayed.outputs:
            replayed.differs(f"an output is missing: {_short(missing['o'])}")
        if replayed.draws or replayed.answers:
            replayed.differs(f"{len(replayed.draws)} draws and {len(replayed.answers)} questions never came")
    return report


def _run(
    script: list[tuple[_Replayed, dict[str, Any]]], codec: TraceCodec, build: Builder, report: ReplayReport
) -> None:
    machines: dict[str, RootMachine[Any]] = {}
    astray: set[str] = set()
    for replayed, row in script:
        if replayed.name in astray:
            continue
        try:
            if "kind" in row:
                context = Context(Entropy(replayed), oracle=replayed, unix_offset=row["unix"], trace=replayed)
                machines[replayed.name] = build(row["kind"], codec.decode(row["options"]), context)
                continue
            if row.get("c") != _check_sum({key: row[key] for key in ("m", "i", "a", "t")}):
                replayed.differs(f"the input {row['i']} at {row['t']:.6f} is not as it was recorded")
            report.inputs += 1
            machine = machines[replayed.name]
            _give(machine, row["i"], codec.decode_fields(row["a"]), row["t"])
            for _ in machine.outputs():
                pass  # compared as they were put
        except _DivergedError as error:
            replayed.differs(f"{error}; nothing of this machine is compared after that")
            replayed.outputs.clear()
            replayed.draws.clear()
            replayed.answers.clear()
            astray.add(replayed.name)
        except ParseError:
            raise
        except Exception as error:
            # What was recorded did not raise, so a row is not as it was written, or this is another version's trace.
            what = str(row.get("i", "its beginning"))[:40]
            raise ParseError(f"{replayed.name} cannot do {what} as the trace has it ({error!r:.200})") from error


def _give(machine: RootMachine[Any], name: str, arguments: Mapping[str, Any], now: float) -> None:
    method = getattr(machine, name, None) if not name.startswith("_") else None
    if method is None or not hasattr(method, "__wrapped__"):
        raise ParseError(f"the trace has an input {name!r} that {type(machine).__name__} does not record")
    # A command that could not be done when it was recorded cannot be done now; its outputs are compared.
    with suppress(ProtocolError):
        method(**arguments, now=now)


def _rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            raise ParseError(f"line {number} of the trace is not JSON; was it cut off?") from None
        if not isinstance(row, dict):
            raise ParseError(f"line {number} of the trace is not a row")
        yield row


def _canonical(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _digest(value: object) -> str:
    return sha256(_canonical(value).encode()).hexdigest()[:16]


def _check_sum(row: Mapping[str, object]) -> str:
    return _digest(row)


def _short(value: object) -> str:
    text = _canonical(value)
    return text if len(text) <= 240 else f"{text[:200]}...{text[-36:]}"
