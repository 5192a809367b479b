"""SIP in a capture (pcap or pcapng): datagrams, and messages on TCP streams. Needs the extra `pcap`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.sip.message import Message
from sansio_sip.sip.parser import StreamParser

__all__ = ["SUFFIXES", "Captured", "sip_in"]

SUFFIXES = (".pcap", ".pcapng", ".cap")

# Segments that wait for an earlier one, which is then taken for lost: the capture has missed it.
MAX_WAITING = 64

# Octets of a WebSocket frame may stand before a status line: that is no SIP over TCP.
_FIRST_LINE = re.compile(rb"[\r\n]*(SIP/|[!-~]+ [^\n]* SIP/)")


class _Stream:
    """One direction of a TCP connection, put in order. After a gap it goes on where a segment begins a message."""

    def __init__(self) -> None:
        self._parser = StreamParser()
        self._next: int | None = None
        self._lost = False  # in the middle of a message
        self._waiting: dict[int, bytes] = {}

    def receive(self, sequence: int, data: bytes) -> Iterator[Message | ParseError]:
        self._next = sequence if self._next is None else self._next
        if self._ahead(sequence) + len(data) > 0 and len(data) > len(self._waiting.get(sequence, b"")):
            self._waiting[sequence] = data
        yield from self._in_order()
        if len(self._waiting) > MAX_WAITING:
            yield from self._over_the_gap()

    def rest(self) -> Iterator[Message | ParseError]:
        """What waits at the end."""
        while self._waiting:
            yield from self._over_the_gap()

    def _ahead(self, sequence: int) -> int:
        """Octets from what is due to there, negative where it was due already."""
        assert self._next is not None
        return (sequence - self._next + (1 << 31)) % (1 << 32) - (1 << 31)

    def _over_the_gap(self) -> Iterator[Message | ParseError]:
        lowest = min(self._waiting, key=self._ahead)
        yield ParseError(f"{self._ahead(lowest)} octets are missing in the capture")
        self._next = lowest
        self._begin_anew()
        yield from self._in_order()

    def _begin_anew(self) -> None:
        self._parser = StreamParser()
        self._lost = True

    def _in_order(self) -> Iterator[Message | ParseError]:
        while self._waiting and self._ahead(lowest := min(self._waiting, key=self._ahead)) <= 0:
            piece = self._waiting.pop(lowest)[-self._ahead(lowest) :]  # sent again, perhaps with more
            self._next = ((self._next or 0) + len(piece)) % (1 << 32)
            self._lost = self._lost and not _is_sip(piece)
            if self._lost:
                continue
            self._parser.receive(piece)
            for item in self._parser.messages():
                if isinstance(item, Message | ParseError):
                    yield item
            if self._parser.broken:
                self._begin_anew()


@dataclass(frozen=True, slots=True)
class Captured:
    """What a frame holds or completes. `number` counts frames from 1, `time` is Unix time; `data` is a message, or of a
    stream the error of its framing."""

    number: int
    time: float
    stream: bool
    source: Address
    destination: Address
    data: bytes | ParseError


def sip_in(path: Path) -> Iterator[Captured]:
    """All SIP in a capture, in its order; what follows a gap that was never filled has the number of the frame at which
    that was seen, the last one at the latest. Raises click.UsageError where it cannot be read."""
    try:
        import dpkt
    except ImportError:
        raise click.UsageError(f"cannot read {path} without dpkt; pip install 'sansio-sip[pcap]'") from None
    streams: dict[tuple[bytes, int, bytes, int], _Stream] = {}
    try:
        with path.open("rb") as file:
            reader: Any = dpkt.pcap.UniversalReader(file)
            for number, (stamp, frame) in enumerate(reader, 1):
                packet = _ip(dpkt, reader.datalink(), frame)
                segment = packet.data if packet is not None else None
                data = bytes(getattr(segment, "data", b""))
                if not isinstance(segment, dpkt.udp.UDP | dpkt.tcp.TCP):
                    continue
                ends = _address(packet.src, segment.sport), _address(packet.dst, segment.dport)
                if isinstance(segment, dpkt.udp.UDP):
                    if _is_sip(data):
                        yield Captured(number, float(stamp), False, *ends, data)
                    continue
                key = (packet.src, segment.sport, packet.dst, segment.dport)
                begins = bool(segment.flags & dpkt.tcp.TH_SYN)
                if begins and (stream := streams.pop(key, None)) is not None:
                    yield from _captured(number, float(stamp), ends, stream.rest())
                if data and (key in streams or _is_sip(data)):
                    found = streams.setdefault(key, _Stream()).receive(segment.seq + begins, data)
                    yield from _captured(number, float(stamp), ends, found)
            for key, stream in streams.items():
                ends = _address(key[0], key[1]), _address(key[2], key[3])
                yield from _captured(number, float(stamp), ends, stream.rest())
    except (ValueError, dpkt.Error) as error:
        raise click.UsageError(f"{path} is no capture that can be read ({error}); give a pcap or pcapng file") from None


def _captured(
    number: int, time: float, ends: tuple[Address, Address], found: Iterator[Message | ParseError]
) -> Iterator[Captured]:
    for item in found:
        yield Captured(number, time, True, *ends, item if isinstance(item, ParseError) else bytes(item))


def _address(host: bytes, port: int) -> Address:
    return Address(str(ip_address(host)), port)


def _ip(dpkt: Any, link: int, frame: bytes) -> Any:
    """The IP packet in a frame, or None."""
    try:
        if link in (dpkt.pcap.DLT_RAW, 101):
            return dpkt.ip6.IP6(frame) if frame[0] >> 4 == 6 else dpkt.ip.IP(frame)
        layer = dpkt.sll.SLL if link == dpkt.pcap.DLT_LINUX_SLL else dpkt.ethernet.Ethernet
        packet = layer(frame).data
    except (dpkt.UnpackError, IndexError):
        return None
    return packet if isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6) else None


def _is_sip(data: bytes) -> bool:
    return _FIRST_LINE.match(data) is not None
