"""The pairs of addresses that ICE has tried, from the STUN packets of a trace (RFC 8445, RFC 8489)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.pcapng import UDP, Packet
from sansio_sip.sip.message import Request, Response
from sansio_sip_media.ice.stun import Attribute, StunClass, StunMessage, StunMethod, is_stun, parse

__all__ = ["Pair", "candidate_kinds", "pairs_of"]

# RFC 8839 section 5.1: foundation, component, transport, priority, address, port, type.
CANDIDATE = re.compile(rb"^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) typ (\w+)", re.MULTILINE)


@dataclass(slots=True)
class Pair:
    """One pair, as one machine saw it. Times are Unix time; `rtt_ms` is that of the first answered check.

    Attributes:
        local, remote: addresses; `relay` where the peer was reached by way of it.
        sent, answered, refused: our requests, and the answers to them. received: the peer's requests.
        nominated: by `us`, `the peer`, or nobody: "".
        server: this is no pair: a STUN or TURN server was asked.
    """

    machine: str
    local: Address
    remote: Address
    relay: Address | None = None
    first: float = 0.0
    sent: int = 0
    answered: int = 0
    refused: int = 0
    received: int = 0
    nominated: str = ""
    rtt_ms: float | None = None
    server: bool = False

    @property
    def outcome(self) -> str:
        """What became of it, for people."""
        if self.server:
            return "answered" if self.answered else "refused" if self.refused else "no answer"
        if self.answered:
            return f"works, nominated by {self.nominated}" if self.nominated else "works"
        return "refused" if self.refused else "no answer" if self.sent else "only the peer has asked"


def candidate_kinds(messages: Iterable[Request | Response]) -> Mapping[Address, str]:
    """`host`, `srflx`, `prflx` or `relay` of each address that a description names."""
    return {
        Address(found[1].decode(), int(found[2])): found[3].decode()
        for message in messages
        for found in CANDIDATE.finditer(message.body)
    }


def pairs_of(packets: Iterable[Packet]) -> list[Pair]:
    """All pairs, in the order in which they were first tried; servers that were asked among them."""
    pairs: dict[tuple[str, Address, Address, Address | None], Pair] = {}
    asked: dict[tuple[str, bytes], tuple[Pair, float]] = {}
    for packet in packets:
        if packet.protocol != UDP or not is_stun(packet.data):
            continue
        local, remote = (packet.source, packet.destination) if packet.sent else (packet.destination, packet.source)
        message, relay = _read(packet.data), None
        if message is not None and message.method in (StunMethod.SEND, StunMethod.DATA):
            # RFC 8656 section 11: the relay's envelope; what is tried is in it.
            peer = message.attributes.get(Attribute.XOR_PEER_ADDRESS)
            inner = message.octets(Attribute.DATA) or b""
            relay, message = remote, _read(inner) if is_stun(inner) else None
            if isinstance(peer, Address):
                remote = peer
        if message is None or message.kind is StunClass.INDICATION:
            continue
        key = (packet.machine, local, remote, relay)
        pair = pairs.get(key)
        if pair is None:
            if message.kind is not StunClass.REQUEST:
                continue
            pair = pairs[key] = Pair(packet.machine, local, remote, relay, first=packet.time)
            pair.server = not message.has(Attribute.PRIORITY)
        _count(pair, packet, message, asked)
    return list(pairs.values())


def _read(data: bytes) -> StunMessage | None:
    try:
        return parse(data)
    except ParseError:
        return None


def _count(
    pair: Pair, packet: Packet, message: StunMessage, asked: dict[tuple[str, bytes], tuple[Pair, float]]
) -> None:
    who = (packet.machine, message.transaction_id)
    if message.kind is StunClass.REQUEST:
        if packet.sent:
            pair.sent += 1
            asked.setdefault(who, (pair, packet.time))
        else:
            pair.received += 1
        if message.has(Attribute.USE_CANDIDATE):
            pair.nominated = "us" if packet.sent else "the peer"
    elif not packet.sent and who in asked:
        mine, began = asked.pop(who)
        if message.kind is StunClass.SUCCESS:
            mine.answered += 1
            if mine.rtt_ms is None:
                mine.rtt_ms = (packet.time - began) * 1000
        else:
            mine.refused += 1
