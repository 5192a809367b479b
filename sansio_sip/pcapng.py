"""What passed through the machines of a trace, as packets; and packets as a pcapng file, for Wireshark and sngrep.

A trace knows what machines were told and said, not what was on the wire. So headers of IP, UDP and TCP are made here
from the addresses that the trace tells, each machine is an interface of its own, and what the trace has left out is
left out again: SRTP and DTLS that were sent are not there, and of RTP recorded without audio the samples are zero. SRTP
that came is RTP again, as the trace has what was in it: no key is needed to look at it, and none is kept. TCP comes
without handshakes; TLS, which machines never see, comes in the clear.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from .effects import Address
from .errors import ParseError
from .trace_codec import TraceCodec, is_opaque

__all__ = ["Packet", "packets_of", "pcapng"]

UDP, TCP = 17, 6
SECTION, INTERFACE, ENHANCED = 0x0A0D0D0A, 1, 6
BYTE_ORDER = 0x1A2B3C4D
LINK_RAW = 101  # packets begin with the header of IPv4 or IPv6
IF_NAME = 2
UNPROTECTED = ("srtp.unprotect", "srtcp.unprotect")  # what a trace calls the contents of SRTP and SRTCP
MAX_SEGMENT = 1400  # octets of a TCP segment, as on a common path
ACK_PUSH = 0x5018  # a header of five words; flags PSH and ACK


@dataclass(frozen=True, slots=True)
class Packet:
    """What one machine sent or got at once. `time` is Unix time in seconds; of a stream, `data` is any part of it."""

    time: float
    machine: str
    sent: bool
    protocol: int
    source: Address
    destination: Address
    data: bytes


def packets_of(lines: Iterable[str]) -> Iterator[Packet]:
    """The packets of a trace, in its order. Raises ParseError where it is none."""
    codec = TraceCodec(full=True)
    offsets: dict[str, float] = {}
    times: dict[str, float] = {}
    flows: dict[tuple[str, str], tuple[Address, Address | None]] = {}
    arrived: Packet | None = None  # what the rows after it may still say the contents of
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            name = str(row.get("m", ""))
            if number == 1 and "trace" not in row:
                raise KeyError("trace")
            if "kind" in row:
                offsets[name] = float(row["unix"])
            elif "i" in row:
                times[name] = offsets[name] + float(row["t"])
                if arrived is not None:
                    yield arrived
                    arrived = None
                if row["i"] in ("flow_opened", "flow_accepted"):
                    fields = codec.decode_fields(row["a"])
                    flows[name, fields["flow"]] = (fields["local"], fields.get("remote"))
                elif row["i"] in ("receive_datagram", "receive_stream"):
                    arrived = _packet(name, times[name], False, row["a"], codec, flows)
            elif row.get("q") in UNPROTECTED and arrived is not None and name == arrived.machine:
                if isinstance(contents := codec.decode(row["r"]), bytes):
                    arrived = replace(arrived, data=contents)
            elif "o" in row and str(row["o"].get("c", "")).partition(":")[2] in ("SendDatagram", "SendStream"):
                if arrived is not None:
                    yield arrived
                    arrived = None
                sent = _packet(name, times.get(name, offsets[name]), True, row["o"]["f"], codec, flows)
                if sent is not None:
                    yield sent
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ParseError(f"line {number} is no row of a trace ({type(error).__name__}: {error})") from None
    if arrived is not None:
        yield arrived


def _packet(
    name: str,
    time: float,
    sent: bool,
    row: Mapping[str, Any],
    codec: TraceCodec,
    flows: Mapping[tuple[str, str], tuple[Address, Address | None]],
) -> Packet | None:
    local, remote = flows.get((name, row["flow"]), (None, None))
    far = codec.decode(row["destination" if sent else "source"]) if "source" in row or "destination" in row else remote
    if local is None or far is None or is_opaque(row["data"]):
        return None
    data = bytes(codec.decode(row["data"]))
    protocol = TCP if "source" not in row and "destination" not in row else UDP
    if not data:
        return None
    source, destination = (local, far) if sent else (far, local)
    return Packet(time, name, sent, protocol, source, destination, data)


def pcapng(packets: Iterable[Packet]) -> Iterator[bytes]:
    """The file, block by block (draft-ietf-opsawg-pcapng). Microseconds; one interface for each machine."""
    yield _block(SECTION, struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1))
    interfaces: dict[str, int] = {}
    sequences: dict[tuple[str, Address, Address], int] = {}
    for packet in packets:
        if packet.machine not in interfaces:
            interfaces[packet.machine] = len(interfaces)
            label = packet.machine.encode()
            option = struct.pack("<HH", IF_NAME, len(label)) + _padded(label) + bytes(4)
            yield _block(INTERFACE, struct.pack("<HHI", LINK_RAW, 0, 0) + option)
        for octets in _on_wire(packet, sequences):
            stamp = max(0, round(packet.time * 1e6))
            head = struct.pack(
                "<IIIII", interfaces[packet.machine], stamp >> 32, stamp & 0xFFFFFFFF, len(octets), len(octets)
            )
            yield _block(ENHANCED, head + _padded(octets))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _on_wire(packet: Packet, sequences: dict[tuple[str, Address, Address], int]) -> Iterator[bytes]:
    ports = struct.pack("!HH", packet.source.port, packet.destination.port)
    if packet.protocol == UDP:
        yield _ip(packet, ports + struct.pack("!HH", 8 + len(packet.data), 0) + packet.data)
        return
    there = (packet.machine, packet.source, packet.destination)
    back = (packet.machine, packet.destination, packet.source)
    for start in range(0, len(packet.data), MAX_SEGMENT):
        piece = packet.data[start : start + MAX_SEGMENT]
        sequence = sequences.get(there, 1)
        words = struct.pack("!IIHHHH", sequence, sequences.get(back, 1), ACK_PUSH, 0xFFFF, 0, 0)
        yield _ip(packet, ports + words + piece)
        sequences[there] = (sequence + len(piece)) & 0xFFFFFFFF


def _ip(packet: Packet, payload: bytes) -> bytes:
    """Check sums of UDP and TCP are left 0, as where the network card makes them."""
    source, destination = ip_address(packet.source.host), ip_address(packet.destination.host)
    addresses = source.packed + destination.packed
    if source.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), packet.protocol, 64) + addresses + payload
    length = min(0xFFFF, 20 + len(payload))
    head = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, packet.protocol, 0) + addresses
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", check) + head[12:] + payload
