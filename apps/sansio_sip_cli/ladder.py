"""`ladder`: the SIP messages of a trace as arrows. `export`: a trace as pcapng. Both read what `--trace` wrote."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.pcapng import TCP, Packet, packets_of, pcapng
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import parse_message

from .exit_status import DONE

__all__ = ["export", "ladder"]

WIDTH = 80
TIME = 9  # columns for the time


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


def draw(packets: list[Packet]) -> Iterator[str]:
    """The lines of a ladder. A message that both ends have recorded is drawn where it was sent."""
    names = {packet.source if packet.sent else packet.destination: packet.machine for packet in packets}
    rows = []
    for packet in packets:
        if packet.sent or packet.source not in names:
            for message in _messages(packet):
                rows.append((packet.time, _name(packet.source, names), _name(packet.destination, names), message))
    ends = list(dict.fromkeys(end for row in rows for end in row[1:3]))
    if not rows:
        yield "no SIP in this trace"
        return
    step = (WIDTH - TIME) // len(ends)
    middles = {end: TIME + number * step + step // 2 for number, end in enumerate(ends)}
    yield (" " * TIME + "".join(end[: step - 1].center(step) for end in ends)).rstrip()
    for time, source, destination, message in rows:
        line = [" "] * WIDTH
        for middle in middles.values():
            line[middle] = "|"
        line[:TIME] = f"{time - rows[0][0]:8.3f} "
        left, right = sorted((middles[source], middles[destination]))
        room = max(0, right - left - 3)
        text = f" {message} "[:room].center(room, "-")
        if source != destination:
            line[left + 1 : right] = f"-{text}>" if middles[source] == left else f"<{text}-"
        yield "".join(line).rstrip()


def _name(address: Address, names: dict[Address, str]) -> str:
    return names.get(address, str(address))


def _messages(packet: Packet) -> Iterator[str]:
    for data in _payloads(packet):
        try:
            message = parse_message(data)
        except ParseError:
            continue
        if isinstance(message, Request):
            yield message.method
        elif isinstance(message, Response):
            yield f"{message.status} {message.cseq.method}"


def _payloads(packet: Packet) -> Iterable[bytes]:
    """A datagram, a message on a stream, or what is in whole WebSocket frames (RFC 6455 section 5.2)."""
    data = packet.data
    if packet.protocol != TCP or data[:1] not in (b"\x81", b"\x82"):
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
