"""Real sockets on loopback with the face of `network.Network`, so that the same endpoints run on either."""

import asyncio
from collections.abc import Callable
from typing import Any

from ice.network import Machine, Node

from sansio_sip.effects import Address, FlowId, SendDatagram

__all__ = ["LoopNetwork"]


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, network: "LoopNetwork") -> None:
        self.network = network
        self.node: Node | None = None
        self.flow = FlowId("")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.node is not None:
            source = Address(addr[0], addr[1])
            self.node.machine.receive_datagram(self.flow, data, source, now=self.network.now)
            self.network.settle()


class LoopNetwork:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.nodes: list[Node] = []
        self._transports: dict[Address, asyncio.DatagramTransport] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def now(self) -> float:
        return self.loop.time()

    async def bind(self, host: str = "127.0.0.1") -> Address:
        transport, _ = await self.loop.create_datagram_endpoint(lambda: _Socket(self), local_addr=(host, 0))
        address = Address(*transport.get_extra_info("sockname")[:2])
        self._transports[address] = transport
        return address

    def node(self, name: str, machine: Machine) -> Node:
        node = Node(name, machine)
        self.nodes.append(node)
        return node

    def socket(self, node: Node, flow: str, address: Address) -> FlowId:
        protocol: Any = self._transports[address].get_protocol()
        protocol.node, protocol.flow = node, FlowId(flow)
        node.flows[FlowId(flow)] = address
        return FlowId(flow)

    def settle(self) -> None:
        for node in self.nodes:
            for output in node.machine.outputs():
                if isinstance(output, SendDatagram):
                    self._transports[node.flows[output.flow]].sendto(output.data, output.destination)
        deadlines = [node.machine.next_timeout() for node in self.nodes]
        due = min((deadline for deadline in deadlines if deadline is not None), default=None)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self.loop.call_at(due, self._tick)
        self._check()

    def _tick(self) -> None:
        for node in self.nodes:
            node.machine.handle_timeout(now=self.now)
        self.settle()

    async def until(self, condition: Callable[[], bool], within: float) -> None:
        waiting = (condition, self.loop.create_future())
        self._waiting.append(waiting)
        try:
            self._check()
            await asyncio.wait_for(waiting[1], within)
        finally:
            self._waiting.remove(waiting)

    def _check(self) -> None:
        for condition, future in self._waiting:
            if not future.done() and condition():
                future.set_result(None)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for transport in self._transports.values():
            transport.close()
        await asyncio.sleep(0)
