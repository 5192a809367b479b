"""A stranger: `aioice.Connection` on loopback sockets connects to our agent, in both roles, and exchanges data."""

import asyncio
from typing import Any

import aioice
import pytest
from ice.network import context

from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.softphone.media_plane import IceState
from sansio_sip_media.ice.agent import IceAgent, PairSelected, is_stun

pytestmark = pytest.mark.interop

WITHIN = 20.0
"""Seconds for a whole test; it takes a few hundred milliseconds."""


class Socket(asyncio.DatagramProtocol):
    """One UDP socket that hands STUN to the agent and keeps the rest."""

    def __init__(self, driver: "Driver", flow: FlowId) -> None:
        self.driver, self.flow = driver, flow

    def datagram_received(self, data: bytes, addr: Any) -> None:
        source = Address(addr[0], addr[1])
        if is_stun(data):
            self.driver.agent.receive_datagram(self.flow, data, source, now=self.driver.now())
            self.driver.flush()
        else:
            self.driver.data.put_nowait((data, source))


class Driver:
    """Runs an agent on the running loop."""

    def __init__(self, *, controlling: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self.agent = IceAgent(context(1), controlling=controlling)
        self.transports: dict[FlowId, asyncio.DatagramTransport] = {}
        self.data: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.completed = asyncio.Event()
        self.selected: PairSelected | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, host: str) -> None:
        flow = FlowId(f"flow{len(self.transports)}")
        transport, _ = await self.loop.create_datagram_endpoint(lambda: Socket(self, flow), local_addr=(host, 0))
        self.transports[flow] = transport
        port = transport.get_extra_info("sockname")[1]
        self.agent.add_local_candidate(flow, Address(host, port), now=self.now())

    def flush(self) -> None:
        for output in self.agent.outputs():
            if isinstance(output, SendDatagram):
                self.transports[output.flow].sendto(output.data, output.destination)
            elif isinstance(output, PairSelected):
                self.selected = output
        if self.agent.state is IceState.COMPLETED:
            self.completed.set()
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.agent.next_timeout()
        self._timer = None if deadline is None else self.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self.agent.handle_timeout(now=self.now())
        self.flush()

    def send(self, data: bytes) -> None:
        assert self.selected is not None
        self.transports[self.selected.flow].sendto(data, self.selected.remote)

    def start(self, peer: aioice.Connection, *, lite: bool = False) -> None:
        self.agent.set_remote(
            peer.local_username,
            peer.local_password,
            tuple(candidate.to_sdp() for candidate in peer.local_candidates),
            lite=lite,
            now=self.now(),
        )
        self.flush()

    async def close(self) -> None:
        self.agent.close(now=self.now())
        self.flush()
        for transport in self.transports.values():
            transport.close()
        await asyncio.sleep(0)


async def tell(peer: aioice.Connection, agent: IceAgent) -> None:
    peer.remote_username, peer.remote_password = agent.local_ufrag, agent.local_pwd
    for line in agent.local_candidates:
        await peer.add_remote_candidate(aioice.Candidate.from_sdp(line))
    await peer.add_remote_candidate(None)


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves loopback out when it gathers; here it is all there is."""
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


async def connect(*, ours: bool, theirs: bool, we_are_late: bool, hosts: tuple[str, ...]) -> Driver:
    peer = aioice.Connection(ice_controlling=theirs)
    driver = Driver(controlling=ours)
    try:
        for host in hosts:
            await driver.open(host)
        await peer.gather_candidates()
        await tell(peer, driver.agent)
        connecting = asyncio.create_task(peer.connect())
        if we_are_late:
            await asyncio.sleep(0.2)
        driver.start(peer)
        await connecting
        await driver.completed.wait()
        for number in range(20):
            await peer.send(b"\x80 from the stranger %d" % number)
            driver.send(b"\x80 from us %d" % number)
            data, source = await driver.data.get()
            assert data == b"\x80 from the stranger %d" % number
            assert driver.agent.is_validated(FlowId("flow0"), source)
            assert await peer.recv() == b"\x80 from us %d" % number
        assert peer.ice_controlling is not driver.agent.controlling
    finally:
        await driver.close()
        await peer.close()
    return driver


@pytest.mark.parametrize("we_are_late", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True), (True, True), (False, False)])
def test_aioice_connects_in_every_role_and_data_flows(ours: bool, theirs: bool, we_are_late: bool) -> None:
    coroutine = connect(ours=ours, theirs=theirs, we_are_late=we_are_late, hosts=("127.0.0.1",))
    driver = asyncio.run(asyncio.wait_for(coroutine, WITHIN))
    assert driver.agent.counters == {} or set(driver.agent.counters) == {"refused 487"}


@pytest.mark.parametrize("ours", [True, False])
def test_aioice_connects_when_we_have_several_sockets(ours: bool) -> None:
    coroutine = connect(ours=ours, theirs=not ours, we_are_late=False, hosts=("127.0.0.1", "127.0.0.1", "127.0.0.1"))
    driver = asyncio.run(asyncio.wait_for(coroutine, WITHIN))
    assert driver.selected is not None


def test_aioice_keeps_its_consent_and_ours() -> None:
    """With aioice's interval cut short: its checks are answered by us, or it would close."""

    async def run() -> None:
        peer = aioice.Connection(ice_controlling=True)
        driver = Driver(controlling=False)
        try:
            await driver.open("127.0.0.1")
            await peer.gather_candidates()
            await tell(peer, driver.agent)
            driver.start(peer)
            await peer.connect()
            await driver.completed.wait()
            await asyncio.sleep(1.0)
            await peer.send(b"\x80 still here")
            assert (await driver.data.get())[0] == b"\x80 still here"
        finally:
            await driver.close()
            await peer.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aioice.ice.CONSENT_INTERVAL", 0.1)
        patch.setattr("aioice.ice.CONSENT_FAILURES", 2)
        asyncio.run(asyncio.wait_for(run(), WITHIN))
