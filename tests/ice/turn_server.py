"""A STUN and TURN server for a virtual network: enough of RFC 8656 to hold a client to it, and faults on demand."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import md5

from ice.network import Network

from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip_media.ice import stun
from sansio_sip_media.ice.stun import Attribute, AttributeValue, StunClass, StunMessage, StunMethod

__all__ = ["REALM", "FakeServer"]

REALM = "sip.test"


def key_of(username: str, password: str) -> bytes:
    return md5(f"{username}:{REALM}:{password}".encode()).digest()


@dataclass
class Allocation:
    client: Address
    relayed: Address
    expires: float
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[int, tuple[Address, float]] = field(default_factory=dict)


class FakeServer:
    """Listens at `address`. `silent`: answers nothing. `stale_every`: each n-th signed request meets a 438.
    `log` has (method, status) of all that was answered, `relayed` (how, octets) of what went to peers."""

    def __init__(self, network: Network, address: Address, *, username: str = "turn", password: str = "pw") -> None:
        self.network, self.address = network, address
        self.username, self.key = username, key_of(username, password)
        self.silent = False
        self.stale_every = 0
        self.lifetime = 600
        self.allocations: dict[Address, Allocation] = {}
        self.log: list[tuple[str, int]] = []
        self.relayed: list[tuple[str, int]] = []
        self.nonce = 1
        self.streams: dict[Address, Callable[[bytes], None]] = {}
        self._pieces: dict[Address, bytes] = {}
        self._signed = 0
        self._ports = 20000
        self.node = network.node(f"server {address}", self)
        network.socket(self.node, "listen", address)

    def receive_datagram(self, flow: FlowId, data: bytes, source: Address, *, now: float) -> None:
        if self.silent:
            return
        if flow != "listen":
            self._from_peer(flow, data, source, now)
        elif data[0] & 0xC0 == 0x40:
            self._from_channel(data, source, now)
        else:
            message = stun.parse(data)
            if message.kind is StunClass.INDICATION:
                self._from_indication(message, source, now)
            else:
                self._request(message, source, now)

    # Streams: whoever carries them tells of them here

    def stream_accepted(self, client: Address, send: Callable[[bytes], None]) -> None:
        self.streams[client] = send
        self._pieces[client] = b""

    def receive_stream(self, client: Address, data: bytes, *, now: float) -> None:
        data = self._pieces[client] + data
        while len(data) >= 4:
            length = struct.unpack_from("!H", data, 2)[0]
            # RFC 8656 section 12.5: ChannelData is padded to a multiple of four, which its length does not count.
            size = 4 + (length + 3) // 4 * 4 if data[0] & 0xC0 else 20 + length
            if len(data) < size:
                break
            message, data = data[:size], data[size:]
            if message[0] & 0xC0:
                assert message[4 + length :] == bytes(size - 4 - length)
                message = message[: 4 + length]
            self.receive_datagram(FlowId("listen"), message, client, now=now)
        self._pieces[client] = data

    def stream_closed(self, client: Address) -> None:
        """The allocation of a client ends with its stream."""
        self.streams.pop(client, None)
        self.allocations.pop(client, None)

    def _reply(self, packet: bytes, client: Address) -> None:
        if (send := self.streams.get(client)) is not None:
            send(packet + bytes(-len(packet) % 4))
        else:
            self.network.send(self.address, packet, client)

    def handle_timeout(self, *, now: float) -> None: ...

    def next_timeout(self) -> None: ...

    def outputs(self) -> Iterator[SendDatagram]:
        return iter(())

    def forget(self) -> None:
        """As after a restart of the server."""
        self.allocations.clear()

    def _request(self, message: StunMessage, source: Address, now: float) -> None:
        if message.method == StunMethod.BINDING:
            self._answer(message, source, {Attribute.XOR_MAPPED_ADDRESS: source}, signed=False)
            return
        if message.integrity is None:
            self._refuse(message, source, 401, challenge=True)
            return
        if message.text(Attribute.USERNAME) != self.username or not stun.check_integrity(message, self.key):
            self._refuse(message, source, 401, challenge=True)
            return
        self._signed += 1
        if self.stale_every and self._signed % self.stale_every == 0:
            self.nonce += 1
        if message.octets(Attribute.NONCE) != self._nonce_octets():
            self._refuse(message, source, 438, challenge=True)
            return
        allocation = self.allocations.get(source)
        if allocation is not None and allocation.expires <= now:
            allocation = None
        if message.method == StunMethod.ALLOCATE:
            self._allocate(message, source, allocation, now)
        elif allocation is None:
            self._refuse(message, source, 437)
        elif message.method == StunMethod.REFRESH:
            lifetime = min(message.number(Attribute.LIFETIME) or 0, self.lifetime)
            allocation.expires = now + lifetime
            if not lifetime:
                del self.allocations[source]
            self._answer(message, source, {Attribute.LIFETIME: lifetime})
        else:
            self._admit(message, source, allocation, now)

    def _allocate(self, message: StunMessage, source: Address, known: Allocation | None, now: float) -> None:
        if known is not None:
            self._refuse(message, source, 437)
            return
        self._ports += 1
        relayed = Address(self.address.host, self._ports)
        self.network.socket(self.node, f"{self._ports}", relayed)
        self.allocations[source] = Allocation(source, relayed, now + self.lifetime)
        self._answer(
            message,
            source,
            {
                Attribute.XOR_RELAYED_ADDRESS: relayed,
                Attribute.XOR_MAPPED_ADDRESS: source,
                Attribute.LIFETIME: self.lifetime,
            },
        )

    def _admit(self, message: StunMessage, source: Address, allocation: Allocation, now: float) -> None:
        peer = message.address(Attribute.XOR_PEER_ADDRESS)
        if peer is None:
            self._refuse(message, source, 400)
        elif peer.host.startswith("127."):
            self._refuse(message, source, 403)
        else:
            allocation.permissions[peer.host] = now + 300
            if message.method == StunMethod.CHANNEL_BIND:
                number = message.number(Attribute.CHANNEL_NUMBER) or 0
                assert 0x4000 <= number < 0x5000
                assert allocation.channels.get(number, (peer, 0))[0] == peer
                allocation.channels[number] = (peer, now + 600)
            self._answer(message, source, {})

    def _from_peer(self, flow: FlowId, data: bytes, source: Address, now: float) -> None:
        for allocation in self.allocations.values():
            if str(allocation.relayed.port) == flow and allocation.permissions.get(source.host, -1.0) > now:
                for number, (peer, expires) in allocation.channels.items():
                    if peer == source and expires > now:
                        packet = struct.pack("!HH", number, len(data)) + data
                        self._reply(packet, allocation.client)
                        return
                attributes: dict[Attribute, AttributeValue] = {
                    Attribute.XOR_PEER_ADDRESS: source,
                    Attribute.DATA: data,
                }
                indication = StunMessage(StunMethod.DATA, StunClass.INDICATION, bytes(12), attributes)
                self._reply(stun.encode(indication), allocation.client)

    def _from_channel(self, data: bytes, source: Address, now: float) -> None:
        number, length = struct.unpack_from("!HH", data)
        allocation = self.allocations.get(source)
        if allocation is not None and allocation.channels.get(number, (None, -1.0))[1] > now:
            self._relay(allocation, "channel", data[4 : 4 + length], allocation.channels[number][0], now)

    def _from_indication(self, message: StunMessage, source: Address, now: float) -> None:
        allocation = self.allocations.get(source)
        peer, data = message.address(Attribute.XOR_PEER_ADDRESS), message.octets(Attribute.DATA)
        if allocation is not None and peer is not None and data is not None:
            self._relay(allocation, "indication", data, peer, now)

    def _relay(self, allocation: Allocation, how: str, data: bytes, peer: Address, now: float) -> None:
        if allocation.expires > now and allocation.permissions.get(peer.host, -1.0) > now:
            self.relayed.append((how, len(data)))
            self.network.send(allocation.relayed, data, peer)

    def _nonce_octets(self) -> bytes:
        return b"nonce %d" % self.nonce

    def _refuse(self, message: StunMessage, source: Address, status: int, *, challenge: bool = False) -> None:
        attributes: dict[Attribute, AttributeValue] = {Attribute.ERROR_CODE: (status, "")}
        if challenge:
            attributes[Attribute.REALM] = REALM
            attributes[Attribute.NONCE] = self._nonce_octets()
        self.log.append((StunMethod(message.method).name, status))
        error = StunMessage(message.method, StunClass.ERROR, message.transaction_id, attributes)
        self._reply(stun.encode(error, key=None if challenge else self.key), source)

    def _answer(
        self,
        message: StunMessage,
        source: Address,
        attributes: dict[Attribute, AttributeValue],
        *,
        signed: bool = True,
    ) -> None:
        self.log.append((StunMethod(message.method).name, 0))
        success = StunMessage(message.method, StunClass.SUCCESS, message.transaction_id, attributes)
        self._reply(stun.encode(success, key=self.key if signed else None), source)
