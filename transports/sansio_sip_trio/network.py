"""Sockets for the trio driver. See `sansio_sip_asyncio.network`: the same names in the same order."""

import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

import trio

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

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Outgoing:
    """What a stream still has to write, and the bell of the task that writes it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.bell = trio.Event()
        self.closing = False
        self.scope = trio.CancelScope(shield=True)  # what waits to leave is not lost with the driver

    def close(self) -> None:
        """What is there has `PARTING` seconds to leave, whether the peer reads or not."""
        self.closing = True
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + PARTING)
        self.ring()

    def ring(self) -> None:
        self.bell.set()
        self.bell = trio.Event()


class SocketNetwork:
    """Real sockets. Datagram sockets are read until empty on each readiness; a stream has a task a direction."""

    def __init__(self, driver: "Driver[Any]") -> None:
        self._driver = driver
        self._nursery = driver.nursery
        self._datagram: dict[FlowId, socket.socket] = {}
        self._streams: dict[FlowId, Outgoing] = {}
        self._scopes: dict[FlowId, trio.CancelScope] = {}
        self._writers = 0
        self._written = trio.Event()
        self._over = False

    def perform(self, effect: Effect) -> None:
        match effect:
            case SendDatagram():
                self._send_datagram(effect)
            case SendStream():
                self._send_stream(effect)
            case OpenDatagram():
                self._open_datagram(effect)
            case OpenStream():
                self._nursery.start_soon(self._run_stream, effect, self._scope(effect.flow))
            case Listen():
                self._nursery.start_soon(self._run_listener, effect, self._scope(effect.listener))
            case CloseFlow():
                self._close(effect.flow)
            case Resolve():
                self._nursery.start_soon(self._resolve, effect)
            case _:
                assert_never(effect)

    async def aclose(self) -> None:
        self._over = True
        for flow in [*self._datagram, *self._streams, *self._scopes]:
            self._close(flow)
        # What was written leaves before the sockets go: an un-REGISTER or BYE may be among it.
        while self._writers:
            await self._written.wait()

    # Datagrams

    def _open_datagram(self, effect: OpenDatagram) -> None:
        try:
            sock = bind_datagram(effect)
            local = local_address(sock, effect.towards)
        except OSError as error:
            self._later(self._driver.machine.flow_lost, effect.flow, describe(error))
            return
        self._datagram[effect.flow] = sock
        self._nursery.start_soon(self._read_datagrams, effect.flow, sock)
        self._later(self._driver.machine.flow_opened, effect.flow, local)

    async def _read_datagrams(self, flow: FlowId, sock: socket.socket) -> None:
        receive = self._driver.machine.receive_datagram
        while self._datagram.get(flow) is sock:
            try:
                await trio.lowlevel.wait_readable(sock)
            except trio.ClosedResourceError:
                return
            now = self._driver.now()
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
                return

    def _send_datagram(self, effect: SendDatagram) -> None:
        sock = self._datagram.get(effect.flow)
        if sock is None:
            return
        with suppress(OSError):  # full buffer or no route: lost, as any datagram may be
            sock.sendto(effect.data, effect.destination)

    # Streams

    async def _run_stream(self, effect: OpenStream, scope: trio.CancelScope) -> None:
        machine, flow = self._driver.machine, effect.flow
        with scope:
            try:
                try:
                    stream = await connect(effect)
                finally:
                    self._scopes.pop(flow, None)
            except (OSError, ssl.SSLError, trio.BrokenResourceError) as error:
                self._driver.feed(machine.flow_lost, flow, describe(error))
                return
            if scope.cancel_called:  # closed in the moment in which it came up
                await trio.aclose_forcefully(stream)
                return
            try:
                local, remote = stream_addresses(stream)
            except OSError as error:  # it was reset at once
                await trio.aclose_forcefully(stream)
                self._driver.feed(machine.flow_lost, flow, describe(error))
                return
            outgoing = self._streams[flow] = Outgoing()
            peer = None
            if effect.tls is not None and isinstance(stream, trio.SSLStream):
                peer = tls_peer(stream.getpeercert(), effect.tls)
            self._driver.feed(machine.flow_opened, flow, local, remote, peer)
            await self._carry(flow, outgoing, stream)

    async def _run_listener(self, effect: Listen, scope: trio.CancelScope) -> None:
        machine, listener = self._driver.machine, effect.listener
        count = 0

        async def accepted(stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
            nonlocal count
            if isinstance(stream, trio.SSLStream):
                try:
                    with trio.fail_after(HANDSHAKE_TIMEOUT):
                        await stream.do_handshake()
                except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.TooSlowError):
                    await trio.aclose_forcefully(stream)
                    return
            try:
                local, remote = stream_addresses(stream)
            except OSError:  # it was reset at once
                await trio.aclose_forcefully(stream)
                return
            count += 1
            flow = FlowId(f"{listener}#{count}")
            outgoing = self._streams[flow] = Outgoing()
            self._driver.feed(machine.flow_accepted, listener, flow, local, remote, None)
            await self._carry(flow, outgoing, stream)

        with scope:
            try:
                tls = server_tls(effect.tls) if effect.tls is not None else None  # first: no socket is left if it fails
                listeners: list[Any] = list(await trio.open_tcp_listeners(effect.bind.port, host=effect.bind.host))
                if tls is not None:
                    listeners = [trio.SSLListener(each, tls) for each in listeners]
            except (OSError, ssl.SSLError) as error:
                self._driver.feed(machine.flow_lost, listener, describe(error))
                return
            first = listeners[0].transport_listener if effect.tls is not None else listeners[0]
            host, port = first.socket.getsockname()[:2]
            self._driver.feed(machine.flow_opened, listener, Address(host, port))
            await trio.serve_listeners(accepted, listeners, handler_nursery=self._nursery)

    async def _carry(self, flow: FlowId, outgoing: Outgoing, stream: Stream) -> None:
        """Both directions of an open stream, until either ends."""
        if self._over:
            outgoing.close()
        # The writer ends last: an accepted stream is closed by trio once this returns, whatever waits to be sent.
        self._nursery.start_soon(self._read_stream, flow, stream)
        await self._write_stream(flow, stream, outgoing)

    async def _read_stream(self, flow: FlowId, stream: Stream) -> None:
        machine = self._driver.machine
        reason = "the peer closed the connection"
        try:
            while flow in self._streams and (data := await stream.receive_some(65_536)):
                self._driver.feed(machine.receive_stream, flow, bytes(data))
            if flow in self._streams:
                self._driver.feed(machine.receive_stream, flow, b"")
        except trio.ClosedResourceError:
            return
        except (OSError, ssl.SSLError, trio.BrokenResourceError) as error:
            reason = describe(error)
        if (outgoing := self._streams.pop(flow, None)) is not None:
            outgoing.close()
            self._driver.feed(machine.flow_lost, flow, reason)

    async def _write_stream(self, flow: FlowId, stream: Stream, outgoing: Outgoing) -> None:
        self._writers += 1
        try:
            with outgoing.scope:
                try:
                    while outgoing.data or not outgoing.closing:
                        if not outgoing.data:
                            await outgoing.bell.wait()
                            continue
                        data, outgoing.data = bytes(outgoing.data), bytearray()
                        await stream.send_all(data)
                finally:
                    await trio.aclose_forcefully(stream)
        except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            if self._streams.pop(flow, None) is not None:
                self._driver.feed(self._driver.machine.flow_lost, flow, describe(error))
        finally:
            self._writers -= 1
            self._written.set()
            self._written = trio.Event()

    def _send_stream(self, effect: SendStream) -> None:
        outgoing = self._streams.get(effect.flow)
        if outgoing is None:
            return
        outgoing.data += effect.data
        outgoing.ring()
        if len(outgoing.data) > WRITE_LIMIT:
            self._streams.pop(effect.flow)
            outgoing.data.clear()
            outgoing.close()
            self._later(self._driver.machine.flow_lost, effect.flow, "the peer reads too slowly")

    # All

    def _close(self, flow: FlowId) -> None:
        if (sock := self._datagram.pop(flow, None)) is not None:
            trio.lowlevel.notify_closing(sock)
            sock.close()
        elif (outgoing := self._streams.pop(flow, None)) is not None:
            outgoing.close()
        elif (scope := self._scopes.pop(flow, None)) is not None:
            scope.cancel()  # still connecting, or a listener

    def _scope(self, flow: FlowId) -> trio.CancelScope:
        scope = self._scopes[flow] = trio.CancelScope()
        return scope

    async def _resolve(self, effect: Resolve) -> None:
        if effect.kind is not RecordType.ADDRESS:
            records = await trio.to_thread.run_sync(look_up, effect.name, effect.kind, abandon_on_cancel=True)
            self._driver.feed(self._driver.machine.resolved, effect.query, records)
            return
        try:
            found = await trio.socket.getaddrinfo(effect.name, None, type=socket.SOCK_DGRAM)
        except OSError:
            found = []
        addresses = tuple(dict.fromkeys(Address(str(entry[4][0]), 0) for entry in found))
        self._driver.feed(self._driver.machine.resolved, effect.query, addresses)

    def _later(self, method: Any, *args: Any) -> None:
        async def feed() -> None:
            self._driver.feed(method, *args)

        self._nursery.start_soon(feed)


async def connect(effect: OpenStream) -> Stream:
    """A connected stream. Leaves no socket behind when TLS fails or it is cancelled."""
    plain = await trio.open_tcp_stream(effect.host, effect.port)
    if effect.tls is None:
        return plain
    try:
        stream = trio.SSLStream(plain, client_tls(effect.tls), server_hostname=effect.tls.server_name)
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(plain)
        raise
    return stream


def stream_addresses(stream: Stream) -> tuple[Address, Address]:
    """Ours and the peer's. Raises OSError where the peer has reset the connection."""
    plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    local, remote = plain.socket.getsockname(), plain.socket.getpeername()
    return Address(local[0], local[1]), Address(remote[0], remote[1])
