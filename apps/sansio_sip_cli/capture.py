"""SIP in a capture (pcap or pcapng): datagrams, and messages on TCP streams. Needs the extra `pcap`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sansio_sip.errors import ParseError
from sansio_sip.sip.message import Message
from sansio_sip.sip.parser import StreamParser

__all__ = ["SUFFIXES", "sip_in"]

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


def sip_in(path: Path) -> Iterator[tuple[int, bytes | ParseError]]:
    """The number of a frame, from 1, and a message that it holds or completes; of a stream the error of its framing."""
    try:
        import dpkt
    except ImportError:
        raise click.UsageError(f"cannot read {path} without dpkt; pip install 'sansio-sip[pcap]'") from None
    streams: dict[tuple[bytes, int, bytes, int], _Stream] = {}
    try:
        with path.open("rb") as file:
            reader: Any = dpkt.pcap.UniversalReader(file)
            for number, (_, frame) in enumerate(reader, 1):
                packet = _ip(dpkt, reader.datalink(), frame)
                segment = packet.data if packet is not None else None
                data = bytes(getattr(segment, "data", b""))
                if isinstance(segment, dpkt.udp.UDP) and _is_sip(data):
                    yield number, data
                elif isinstance(segment, dpkt.tcp.TCP) and data:
                    key = (packet.src, segment.sport, packet.dst, segment.dport)
                    if key not in streams and not _is_sip(data):
                        continue
                    for item in streams.setdefault(key, _Stream()).receive(segment.seq, data):
                        yield number, item if isinstance(item, ParseError) else bytes(item)
    except (ValueError, dpkt.Error) as error:
        raise click.UsageError(f"{path} is no capture that can be read ({error}); give a pcap or pcapng file") from None


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
