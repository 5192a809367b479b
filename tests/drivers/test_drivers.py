"""What both drivers must do, run on both: one body a test.

Sockets are real and on loopback; where a test is about time alone, time is virtual.
"""

import gc
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from drivers.echo import Echo, Found, Heard, Lost, Opened, Rang
from drivers.observer import PATIENCE, Observer
from drivers.runtimes import RUNTIMES

from sansio_sip.effects import Address, FlowId, OpenDatagram, SendDatagram, SendStream
from sansio_sip_sockets import WRITE_LIMIT

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)


@asynccontextmanager
async def running(runtime: Any) -> AsyncIterator[tuple[Echo, Any, Observer]]:
    machine, observer = Echo(), Observer(runtime)
    async with runtime.driver.open_driver(machine, observer) as driver:
        yield machine, driver, observer


def of(kind: type, **fields: object) -> Callable[[Any], bool]:
    return lambda event: isinstance(event, kind) and all(getattr(event, key) == value for key, value in fields.items())


def test_the_machine_is_told_the_addresses_of_this_host_at_the_start(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, _, _observer):
            assert "127.0.0.1" in machine.addresses

    runtime.run(main)


def test_a_datagram_goes_there_and_back(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.open_datagram, "echo")
            driver.feed(machine.open_datagram, "mine")
            there = (await observer.until(of(Opened, flow="echo"))).local
            await observer.until(of(Opened, flow="mine"))
            for _ in range(100):
                driver.feed(machine.do, SendDatagram(FlowId("mine"), b"hello", there))
            await observer.until(of(Heard, flow="mine", data=b"hello"))
            driver.feed(machine.do, SendDatagram(FlowId("mine"), b"last", there))
            await observer.until(of(Heard, flow="mine", data=b"last"))
            assert observer.seen.count(Heard(FlowId("mine"), b"hello")) == 100

    runtime.run(main)


def test_a_stream_goes_there_and_back_and_its_end_is_told(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.listen, "echo")
            there = (await observer.until(of(Opened, flow="echo"))).local
            driver.feed(machine.connect, "mine", there)
            await observer.until(of(Opened, flow="mine", remote=there))
            await observer.until(of(Opened, flow="echo#1"))
            payload = bytes(range(256)) * 1000
            driver.feed(machine.do, SendStream(FlowId("mine"), payload))

            def all_back(_: Any) -> bool:
                return b"".join(e.data for e in observer.seen if of(Heard, flow="mine")(e)) == payload

            await observer.until(all_back)
            driver.feed(machine.close, FlowId("mine"))
            await observer.until(of(Lost, flow="echo#1"))
            assert Heard(FlowId("echo#1"), b"") in observer.seen
            assert not any(of(Lost, flow="mine")(event) for event in observer.seen)

    runtime.run(main)


def test_peers_that_reset_at_once_end_nothing(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.listen, "echo")
            there = (await observer.until(of(Opened, flow="echo"))).local
            for _ in range(20):
                # The loop has no turn between: each is reset before it is accepted, and then has no peer's address.
                with socket.create_connection((there.host, there.port)) as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            driver.feed(machine.connect, "mine", there)
            await observer.until(of(Opened, flow="mine"))
            driver.feed(machine.do, SendStream(FlowId("mine"), b"hello"))
            await observer.until(of(Heard, flow="mine", data=b"hello"))
            driver.finish()
            await driver.finished()  # raises what went wrong

    runtime.run(main)


def test_a_server_that_resets_at_once_is_a_lost_flow(runtime: Any) -> None:
    """It is reset before the loop has asked for the addresses, or after: both are ends of a flow."""

    def reset(listener: socket.socket) -> None:
        for _ in range(20):
            sock, _address = listener.accept()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=reset, args=(listener,), daemon=True)
            thread.start()
            async with running(runtime) as (machine, driver, observer):
                for number in range(20):
                    driver.feed(machine.connect, f"flow{number}", Address("127.0.0.1", listener.getsockname()[1]))
                for number in range(20):
                    await observer.until(of(Lost, flow=f"flow{number}"))
                driver.finish()
                await driver.finished()
            thread.join(PATIENCE)

    runtime.run(main)


def test_what_was_written_leaves_before_the_flow_closes(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.listen, "server")
            there = (await observer.until(of(Opened, flow="server"))).local
            async with running(runtime) as (client, client_driver, client_observer):
                client_driver.feed(client.connect, "mine", there)
                await client_observer.until(of(Opened, flow="mine"))
                client_driver.feed(client.do, SendStream(FlowId("mine"), b"BYE"))
            await observer.until(of(Heard, flow="server#1", data=b"BYE"))

    runtime.run(main)


@pytest.mark.parametrize("resets", [False, True], ids=["is silent", "resets"])
def test_a_peer_that_does_not_read_keeps_neither_driver_nor_socket(runtime: Any, resets: bool) -> None:
    """A socket that is left is closed by the collector with a ResourceWarning, which is an error here."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with running(runtime) as (machine, driver, observer):
                driver.feed(machine.connect, "mine", Address(*listener.getsockname()))
                await observer.until(of(Opened, flow="mine"))
                peer, _ = listener.accept()
                for number in range(100):
                    driver.feed(machine.do, SendStream(FlowId("mine"), bytes(WRITE_LIMIT // 2)))
                    driver.feed(machine.open_datagram, f"{number}")
                    await observer.until(of(Opened, flow=f"{number}"))  # the writer has had its turn
                    if any(of(Lost, flow="mine")(event) for event in observer.seen):
                        break
                else:
                    pytest.fail("somebody has read it all")
                if resets:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    peer.close()
            peer.close()

    async def bounded() -> None:
        await runtime.within(PATIENCE, main)

    runtime.run(bounded)
    gc.collect()


def test_a_refused_connection_is_a_lost_flow_with_a_reason(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.listen, "gone")
            there = (await observer.until(of(Opened, flow="gone"))).local
            driver.feed(machine.close, FlowId("gone"))
            driver.feed(machine.connect, "mine", there)
            lost = await observer.until(of(Lost, flow="mine"))
            assert "refused" in lost.reason.lower()

    runtime.run(main)


def test_an_address_in_use_is_a_lost_flow_with_a_reason(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.open_datagram, "first")
            there = (await observer.until(of(Opened, flow="first"))).local
            driver.feed(machine.do, OpenDatagram(FlowId("second"), there))
            lost = await observer.until(of(Lost, flow="second"))
            assert "in use" in lost.reason

    runtime.run(main)


def test_a_name_is_resolved(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.resolve, "localhost")
            found = await observer.until(of(Found))
            assert {address.host for address in found.records} & {"127.0.0.1", "::1"}
            assert all(address.port == 0 for address in found.records)

    runtime.run(main)


def test_timers_fire_when_due_in_virtual_time(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            for delay in (3600.0, 0.5, 0.0):
                observer.seen.clear()
                begin = driver.now()
                driver.feed(machine.alarm, delay)
                await runtime.sleep(delay + 1.0)  # virtual
                assert [type(event) for event in observer.seen] == [Rang]
                assert 0 <= observer.seen[0].late < 0.001
                assert driver.now() - begin == pytest.approx(delay + 1.0, abs=0.001)

    runtime.run(main, virtual=True)


def test_an_earlier_deadline_replaces_a_later_one(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            begin = driver.now()
            driver.feed(machine.alarm, 1000.0)
            driver.feed(machine.alarm, 1.0)
            await runtime.sleep(2.0)  # virtual
            assert [type(event) for event in observer.seen] == [Rang]
            assert driver.now() - begin == pytest.approx(2.0, abs=0.001)

    runtime.run(main, virtual=True)


def test_a_fault_of_the_machine_is_raised_from_finished(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.open_datagram, "mine")
            here = (await observer.until(of(Opened, flow="mine"))).local
            driver.feed(machine.do, SendDatagram(FlowId("mine"), b"explode", here))
            with pytest.raises(RuntimeError, match="a fault of the machine"):
                await runtime.within(PATIENCE, driver.finished)

    runtime.run(main)


def test_another_thread_may_give_a_command_through_call_soon(runtime: Any) -> None:
    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            thread = threading.Thread(target=driver.call_soon, args=(machine.open_datagram, "mine"))
            thread.start()
            await observer.until(of(Opened, flow="mine"))
            thread.join()

    runtime.run(main)


def test_leaving_the_block_closes_every_socket(runtime: Any) -> None:
    addresses: list[Address] = []

    async def main() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.open_datagram, "mine")
            addresses.append((await observer.until(of(Opened, flow="mine"))).local)
            driver.feed(machine.listen, "server")
            await observer.until(of(Opened, flow="server"))

    runtime.run(main)

    async def again() -> None:
        async with running(runtime) as (machine, driver, observer):
            driver.feed(machine.do, OpenDatagram(FlowId("mine"), addresses[0]))
            await observer.until(of(Opened, flow="mine", local=addresses[0]))

    runtime.run(again)
