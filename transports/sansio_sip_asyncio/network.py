"""Sockets for the asyncio driver. See `sansio_sip_trio.network`: the same names in the same order."""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

from sansio_sip.effects import (
    Address,
    CloseFlow,
    Effect,
    FlowId,
    Listen,
    OpenDatagram,
    OpenStream,
    RecordType,
    Resolve,
    SendDatagram,
    SendStream,
)
from sansio_sip_sockets import (
    DRAIN,
    HANDSHAKE_TIMEOUT,
    PARTING,
    WRITE_LIMIT,
    bind_datagram,
    client_tls,
    describe,
    local_address,
    server_tls,
    tls_peer,
)
from sansio_sip_sockets.names import look_up

if TYPE_CHECKING:
    from .driver import Driver

__all__ = ["SocketNetwork"]


class SocketNetwork:
    """Real sockets. Datagram sockets are read until empty on each readiness; a stream has a task that reads it."""

    def __init__(self, driver: "Driver[Any]") -> None:
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._datagram: dict[FlowId, socket.socket] = {}
        self._streams: dict[FlowId, asyncio.StreamWriter] = {}
        self._listeners: dict[FlowId, asyncio.Server] = {}
        self._tasks: dict[FlowId, asyncio.Task[None]] = {}
        self._parting: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._lookups: set[asyncio.Task[None]] = set()

    def perform(self, effect: Effect) -> None:
        match effect:
            case SendDatagram():
                self._send_datagram(effect)
            case SendStream():
                self._send_stream(effect)
            case OpenDatagram():
                self._open_datagram(effect)
            case OpenStream():
                self._start(effect.flow, self._run_stream(effect))
            case Listen():
                self._start(effect.listener, self._run_listener(effect))
            case CloseFlow():
                self._close(effect.flow)
            case Resolve():
                task = self._loop.create_task(self._resolve(effect))
                self._lookups.add(task)
                task.add_done_callback(self._lookups.discard)
            case _:
                assert_never(effect)

    async def aclose(self) -> None:
        for flow in [*self._datagram, *self._listeners]:
            self._close(flow)
        tasks = [*self._tasks.values(), *self._lookups]
        for writer in self._streams.values():
            self._part(writer)
        if self._parting:
            await asyncio.wait(self._parting, timeout=PARTING)
        for writer in self._parting.values():
            writer.transport.abort()
        tasks += self._parting
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Datagrams

    def _open_datagram(self, effect: OpenDatagram) -> None:
        try:
            sock = bind_datagram(effect)
            local = local_address(sock, effect.towards)
        except OSError as error:
            self._later(self._driver.machine.flow_lost, effect.flow, describe(error))
            return
        self._datagram[effect.flow] = sock
        self._loop.add_reader(sock, self._read_datagrams, effect.flow, sock)
        self._later(self._driver.machine.flow_opened, effect.flow, local)

    def _read_datagrams(self, flow: FlowId, sock: socket.socket) -> None:
        now = self._driver.now()
        receive = self._driver.machine.receive_datagram
        try:
            for _ in range(DRAIN):
                try:
                    data, source = sock.recvfrom(65_535)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError:
                    continue  # an ICMP error of an earlier datagram: retransmission is the machines' business
                receive(flow, data, Address(source[0], source[1]), now=now)
            self._driver.flush()
        except BaseException as error:
            self._driver.fail(error)

    def _send_datagram(self, effect: SendDatagram) -> None:
        sock = self._datagram.get(effect.flow)
        if sock is None:
            return
        with suppress(OSError):  # full buffer or no route: lost, as any datagram may be
            sock.sendto(effect.data, effect.destination)

    # Streams

    async def _run_stream(self, effect: OpenStream) -> None:
        machine, flow = self._driver.machine, effect.flow
        try:
            context = client_tls(effect.tls) if effect.tls is not None else None
            name = effect.tls.server_name if effect.tls is not None else None
            reader, writer = await asyncio.open_connection(effect.host, effect.port, ssl=context, server_hostname=name)
        except (OSError, ssl.SSLError) as error:
            self._driver.feed(machine.flow_lost, flow, describe(error))
            return
        try:
            local, remote = stream_addresses(writer)
        except OSError as error:  # it was reset at once
            writer.close()
            self._driver.feed(machine.flow_lost, flow, describe(error))
            return
        self._streams[flow] = writer
        peer = tls_peer(writer.get_extra_info("peercert"), effect.tls) if effect.tls is not None else None
        self._driver.feed(machine.flow_opened, flow, local, remote, peer)
        await self._read_stream(flow, reader, writer)

    async def _run_listener(self, effect: Listen) -> None:
        machine, listener = self._driver.machine, effect.listener
        count = 0

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            flow = FlowId(f"{listener}#{count}")
            task = asyncio.current_task()
            assert task is not None
            self._tasks[flow] = task
            self._streams[flow] = writer
            local, remote = stream_addresses(writer)
            self._driver.feed(machine.flow_accepted, listener, flow, local, remote, None)
            await self._read_stream(flow, reader, writer)
            self._tasks.pop(flow, None)

        try:
            tls = server_tls(effect.tls) if effect.tls is not None else None
            handshake = HANDSHAKE_TIMEOUT if tls is not None else None
            server = await asyncio.start_server(
                accepted, effect.bind.host, effect.bind.port, ssl=tls, ssl_handshake_timeout=handshake
            )
        except (OSError, ssl.SSLError) as error:
            self._driver.feed(machine.flow_lost, listener, describe(error))
            return
        self._listeners[listener] = server
        host, port = server.sockets[0].getsockname()[:2]
        self._driver.feed(machine.flow_opened, listener, Address(host, port))

    async def _read_stream(self, flow: FlowId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        machine = self._driver.machine
        reason = "the peer closed the connection"
        try:
            while flow in self._streams and (data := await reader.read(65_536)):
                self._driver.feed(machine.receive_stream, flow, data)
            if flow in self._streams:
                self._driver.feed(machine.receive_stream, flow, b"")
        except (OSError, ssl.SSLError) as error:
            reason = describe(error)
        if self._streams.pop(flow, None) is not None:
            self._part(writer)
            self._driver.feed(machine.flow_lost, flow, reason)

    def _send_stream(self, effect: SendStream) -> None:
        writer = self._streams.get(effect.flow)
        if writer is None:
            return
        writer.write(effect.data)
        if writer.transport.get_write_buffer_size() > WRITE_LIMIT:
            self._streams.pop(effect.flow)
            writer.transport.abort()
            self._later(self._driver.machine.flow_lost, effect.flow, "the peer reads too slowly")

    # All

    def _close(self, flow: FlowId) -> None:
        if (sock := self._datagram.pop(flow, None)) is not None:
            self._loop.remove_reader(sock)
            sock.close()
        elif (writer := self._streams.pop(flow, None)) is not None:
            self._part(writer)
        elif (server := self._listeners.pop(flow, None)) is not None:
            server.close()
        elif (task := self._tasks.pop(flow, None)) is not None:
            task.cancel()  # still connecting

    def _part(self, writer: asyncio.StreamWriter) -> None:
        """Closes a stream once what was written has left."""

        async def parted() -> None:
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

        writer.close()
        task = self._loop.create_task(parted())
        self._parting[task] = writer
        task.add_done_callback(self._parting.pop)

    async def _resolve(self, effect: Resolve) -> None:
        if effect.kind is not RecordType.ADDRESS:
            records = await self._loop.run_in_executor(None, look_up, effect.name, effect.kind)
            self._driver.feed(self._driver.machine.resolved, effect.query, records)
            return
        try:
            found = await self._loop.getaddrinfo(effect.name, None, type=socket.SOCK_DGRAM)
        except OSError:
            found = []
        addresses = tuple(dict.fromkeys(Address(str(entry[4][0]), 0) for entry in found))
        self._driver.feed(self._driver.machine.resolved, effect.query, addresses)

    def _start(self, flow: FlowId, coroutine: Any) -> None:
        task = self._tasks[flow] = self._loop.create_task(coroutine)
        task.add_done_callback(lambda done: self._ended(flow, done))

    def _ended(self, flow: FlowId, task: "asyncio.Task[None]") -> None:
        if self._tasks.get(flow) is task:
            del self._tasks[flow]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._driver.fail(error)

    def _later(self, method: Any, *args: Any) -> None:
        self._loop.call_soon(self._driver.feed, method, *args)


def stream_addresses(writer: asyncio.StreamWriter) -> tuple[Address, Address]:
    """Ours and the peer's. Raises OSError where the peer has reset the connection."""
    local, remote = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
    if local is None or remote is None:
        raise ConnectionResetError("connection reset by the peer")
    return Address(local[0], local[1]), Address(remote[0], remote[1])
