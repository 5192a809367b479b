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

# Segments that wait for an earlier one: a capture that begins in mid-stream has none, one that lost packets few.
MAX_WAITING = 64

# Octets of a WebSocket frame may stand before a status line: that is no SIP over TCP.
_FIRST_LINE = re.compile(rb"[\r\n]*(SIP/|[!-~]+ [^\n]* SIP/)")


class _Stream:
    """One direction of a TCP connection, put in order."""

    def __init__(self) -> None:
        self._parser = StreamParser()
        self._next: int | None = None
        self._waiting: dict[int, bytes] = {}

    def receive(self, sequence: int, data: bytes) -> Iterator[Message | ParseError]:
        self._next = sequence if self._next is None else self._next
        if (sequence - self._next) % (1 << 32) < 1 << 31 and len(self._waiting) < MAX_WAITING:
            self._waiting[sequence] = data
        while (piece := self._waiting.pop(self._next, None)) is not None:
            self._next = (self._next + len(piece)) % (1 << 32)
            self._parser.receive(piece)
        for item in self._parser.messages():
            if isinstance(item, Message | ParseError):
                yield item


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
    """All SIP in a capture, in its order. Raises click.UsageError where it cannot be read."""
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
                elif data:
                    key = (packet.src, segment.sport, packet.dst, segment.dport)
                    if key not in streams and not _is_sip(data):
                        continue
                    for item in streams.setdefault(key, _Stream()).receive(segment.seq, data):
                        found = item if isinstance(item, ParseError) else bytes(item)
                        yield Captured(number, float(stamp), True, *ends, found)
    except (ValueError, dpkt.Error) as error:
        raise click.UsageError(f"{path} is no capture that can be read ({error}); give a pcap or pcapng file") from None


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
