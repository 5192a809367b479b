"""`ladder`: the SIP messages of a trace as arrows. `export`: a trace as pcapng. Both read what `--trace` wrote."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.pcapng import TCP, Packet, packets_of, pcapng
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import parse_message

from .exit_status import DONE

__all__ = ["Arrow", "arrows_of", "export", "ladder", "messages_in"]

WIDTH = 80
TIME = 9  # columns for the time


@dataclass(frozen=True, slots=True)
class Arrow:
    """A message on its way. `source` and `destination` are names of machines, or addresses; `time` is Unix time."""

    time: float
    source: str
    destination: str
    message: Request | Response

    @property
    def label(self) -> str:
        """The method; of a response the status and the method that it answers."""
        if isinstance(self.message, Request):
            return self.message.method
        return f"{self.message.status} {self.message.cseq.method}"


@click.command()
@click.argument("trace", type=Path)
def ladder(trace: Path) -> int:
    """Draw who sent which SIP message to whom, in 80 columns."""
    for line in draw(list(_read(trace))):
        print(line)
    return DONE


@click.command()
@click.argument("trace", type=Path)
@click.option("-o", "--output", type=Path, required=True, help="The pcapng file to write.")
def export(trace: Path, output: Path) -> int:
    """Write the packets of TRACE as pcapng, for Wireshark, tshark and sngrep."""
    count = 0

    def counted() -> Iterator[Packet]:
        nonlocal count
        for packet in _read(trace):
            count += 1
            yield packet

    blocks = list(pcapng(counted()))
    try:
        output.write_bytes(b"".join(blocks))
    except OSError as error:
        raise click.UsageError(f"cannot write {output}: {error.strerror}; give a writable path") from None
    print(f"{output}: {count} packets")
    return DONE


def _read(trace: Path) -> Iterator[Packet]:
    try:
        with trace.open(encoding="utf-8") as lines:
            yield from packets_of(lines)
    except OSError as error:
        raise click.UsageError(f"cannot read {trace}: {error.strerror}; give a file that `--trace` wrote") from None
    except (ParseError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{trace} is not a trace: {error}") from None


def arrows_of(packets: list[Packet]) -> Iterator[Arrow]:
    """The messages in packets. One that both ends have recorded is there once: where it was sent."""
    names = {packet.source if packet.sent else packet.destination: packet.machine for packet in packets}
    for packet in packets:
        if packet.sent or packet.source not in names:
            for message in messages_in(packet.data, is_stream=packet.protocol == TCP):
                yield Arrow(packet.time, _name(packet.source, names), _name(packet.destination, names), message)


def draw(packets: list[Packet]) -> Iterator[str]:
    """The lines of a ladder."""
    rows = list(arrows_of(packets))
    ends = list(dict.fromkeys(end for row in rows for end in (row.source, row.destination)))
    if not rows:
        yield "no SIP in this trace"
        return
    step = (WIDTH - TIME) // len(ends)
    middles = {end: TIME + number * step + step // 2 for number, end in enumerate(ends)}
    yield (" " * TIME + "".join(end[: step - 1].center(step) for end in ends)).rstrip()
    for row in rows:
        source, destination = row.source, row.destination
        line = [" "] * WIDTH
        for middle in middles.values():
            line[middle] = "|"
        line[:TIME] = f"{row.time - rows[0].time:8.3f} "
        left, right = sorted((middles[source], middles[destination]))
        room = max(0, right - left - 3)
        text = f" {row.label} "[:room].center(room, "-")
        if source != destination:
            line[left + 1 : right] = f"-{text}>" if middles[source] == left else f"<{text}-"
        yield "".join(line).rstrip()


def _name(address: Address, names: dict[Address, str]) -> str:
    return names.get(address, str(address))


def messages_in(data: bytes, *, is_stream: bool) -> Iterator[Request | Response]:
    """What of a datagram, or of a part of a stream, is SIP."""
    for payload in _payloads(data, is_stream):
        try:
            yield parse_message(payload)
        except ParseError:
            continue


def _payloads(data: bytes, is_stream: bool) -> Iterable[bytes]:
    """A datagram, a message on a stream, or what is in whole WebSocket frames (RFC 6455 section 5.2)."""
    if not is_stream or data[:1] not in (b"\x81", b"\x82"):
        return [data]
    found = []
    while len(data) >= 2:
        length, start = data[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        mask = data[start : start + 4] if data[1] & 0x80 else bytes(4)
        start += 4 if data[1] & 0x80 else 0
        payload = data[start : start + length]
        found.append(bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload)))
        data = data[start + length :]
    return found
