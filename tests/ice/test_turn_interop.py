"""A stranger: coturn gives our endpoints mapped and relayed addresses, and carries their checks and data."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ice.endpoint import Endpoint
from ice.loop_network import LoopNetwork
from interop.peers import free_port, require

from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip_media.ice.candidate import CandidateType
from sansio_sip_media.ice.gathering import TurnServer

pytestmark = pytest.mark.interop

WITHIN = 30.0


@asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[Address]:
    require("turnserver")
    port = free_port(socket.SOCK_DGRAM)
    options = [
        "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}", "--lt-cred-mech",
        "--realm=sip.test", "--user=turn:pw-turn", "--fingerprint", "--allow-loopback-peers", "--no-tls", "--no-dtls",
        "--no-cli", f"--pidfile={folder / 'turn.pid'}", f"--userdb={folder / 'turn.db'}", "--verbose",
        "--log-file=stdout",
    ]  # fmt: skip
    with (folder / "coturn.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec("turnserver", *options, cwd=folder, stdout=log, stderr=log)
    try:
        yield Address("127.0.0.1", port)
    finally:
        process.terminate()
        await process.wait()


async def call(folder: Path, alice_kinds: tuple[CandidateType, ...], bob_kinds: tuple[CandidateType, ...]) -> str:
    network = LoopNetwork()
    async with coturn(folder) as server:
        turn = TurnServer(server, "turn", Secret("pw-turn"))
        ends = []
        try:
            for name, controlling, kinds in (("a", True, alice_kinds), ("b", False, bob_kinds)):
                end = Endpoint(
                    network,  # type: ignore[arg-type]
                    name,
                    await network.bind(),
                    controlling=controlling,
                    stun_servers=(server,),
                    turn_servers=(turn,),
                    kinds=kinds,
                )
                ends.append(end)
            alice, bob = ends
            await network.until(lambda: all(end.agent.local_candidates for end in ends), WITHIN)
            bob.start(alice)
            alice.start(bob)
            await network.until(lambda: all(end.selected is not None for end in ends), WITHIN)
            # The channel is bound within a round trip; the first datagrams may still be indications.
            for number in range(10):
                alice.send(b"\x80 to bob %d" % number)
                bob.send(b"\x80 to alice %d" % number)

                def heard(more_than: int = number) -> bool:
                    return min(len(end.received) for end in ends) > more_than

                await network.until(heard, WITHIN)
            assert bob.received == [b"\x80 to bob %d" % number for number in range(10)]
            assert alice.received == [b"\x80 to alice %d" % number for number in range(10)]
            for end in ends:
                end.gatherer.release(now=network.now)
            network.settle()
            await network.until(
                lambda: not any(end.selected is None or end.gatherer.owns(end.selected.flow) for end in ends), WITHIN
            )
            assert not any(end.gatherer.counters or end.lost for end in ends)
        finally:
            await network.close()
    return (folder / "coturn.log").read_text()


RELAYED = (CandidateType.RELAYED,)
ALL = tuple(CandidateType)


@pytest.mark.parametrize(("alice", "bob"), [(RELAYED, ALL), (ALL, RELAYED), (RELAYED, RELAYED)])
def test_ice_13_coturn_relays_checks_and_data(
    tmp_path: Path, alice: tuple[CandidateType, ...], bob: tuple[CandidateType, ...]
) -> None:
    log = asyncio.run(asyncio.wait_for(call(tmp_path, alice, bob), 3 * WITHIN))
    assert "ALLOCATE processed, success" in log
    assert "CHANNEL_BIND processed, success" in log
    assert "REFRESH processed, success" in log
