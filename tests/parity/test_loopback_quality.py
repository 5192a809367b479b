"""mediaMetrics over real sockets, on asyncio and on trio: the network between two clients is made bad, and good again.

What takes minutes in a call is made quick: a sample each fifth of a second, reports each half.
"""

import random
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from drivers.runtimes import Asyncio, Trio
from parity.bench import USERS, bench, call_between
from softphone.test_client_audio import speech

import sansio_sip_asyncio.network
import sansio_sip_trio.network
from sansio_sip.effects import Effect, SendDatagram
from sansio_sip.softphone import MediaProfile, call_media, client_events, events
from sansio_sip.softphone.media_plane import MediaOptions
from sansio_sip.softphone.quality import QualityOptions
from sansio_sip_media.rtcp import session as rtcp_session

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.parametrize("runtime", [Asyncio, Trio], ids=lambda runtime: runtime.name),
]

SOCKETS: dict[str, Any] = {
    "asyncio": sansio_sip_asyncio.network.SocketNetwork,
    "trio": sansio_sip_trio.network.SocketNetwork,
}
PATIENCE = 30.0
QUICK = QualityOptions(interval=0.2)


class Wire:
    """The way out of one client: its datagrams are lost or late, as long as that is asked for.

    Attributes:
        loss: share of datagrams. delay, jitter: seconds, at least and on top of it.
    """

    def __init__(self, runtime: Any) -> None:
        self.loss = self.delay = self.jitter = 0.0
        self._runtime = runtime
        self._random = random.Random(1)
        self._sockets: Any = None
        self._driver: Any = None

    def network(self, driver: Any) -> "Wire":
        self._driver = driver
        self._sockets = SOCKETS[self._runtime.name](driver)
        return self

    def perform(self, effect: Effect) -> None:
        if not isinstance(effect, SendDatagram) or not (self.loss or self.delay or self.jitter):
            self._sockets.perform(effect)
        elif self._random.random() >= self.loss:
            self._driver.spawn(partial(self._late, effect, self.delay + self._random.uniform(0, self.jitter)))

    async def _late(self, effect: SendDatagram, delay: float) -> None:
        await self._runtime.sleep(delay)
        self._sockets.perform(effect)

    async def aclose(self) -> None:
        await self._sockets.aclose()


class Metrics:
    """What a client has told, by type and stream: whether it is raised, in order."""

    def __init__(self, client: Any) -> None:
        self.rows: list[tuple[str, str, bool]] = []
        client.on("mediaMetrics", self._take)

    def _take(self, event: client_events.MediaMetrics) -> None:
        assert event.as_dict()["active"] is event.active
        self.rows.append((event.type, event.stream, event.active))

    def told(self, kind: str, stream: str) -> list[bool]:
        return [active for type_, stream_, active in self.rows if (type_, stream_) == (kind, stream)]

    def is_raised(self, kind: str, stream: str) -> bool:
        return True in self.told(kind, stream)

    def is_cleared(self, kind: str, stream: str) -> bool:
        return self.told(kind, stream)[-1] is False


async def until(runtime: Any, condition: Callable[[], bool]) -> None:
    for _ in range(int(PATIENCE / 0.1)):
        if condition():
            return
        await runtime.sleep(0.1)
    raise AssertionError("it did not come")


def run(runtime: Any, main: Callable[[], Awaitable[None]]) -> None:
    runtime.run(main)


async def user(pbx: Any, name: str, **options: Any) -> Any:
    client = await pbx.client(**options)
    assert client.login(name, USERS[name])
    await client.wait_for(events.Login, timeout=PATIENCE)
    return client


def test_E17_Q1_Q2_Q3_Q4_by_loss_jitter_and_delay(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtcp_session, "MINIMUM_INTERVAL", 0.5)

    async def main() -> None:
        async with bench(runtime) as pbx:
            wire = Wire(runtime)
            alice = await user(pbx, "alice", network=wire.network, quality=QUICK)
            bob = await user(pbx, "bob", quality=QUICK)
            ours, theirs = Metrics(alice), Metrics(bob)
            await call_between(alice, bob)
            await runtime.sleep(1.0)
            wire.loss, wire.delay, wire.jitter = 0.3, 0.45, 0.15
            kinds = (
                ("high_jitter", "remote"),
                ("high_packetloss", "remote"),
                ("high_rtt", "None"),
                ("low_mos", "None"),
            )
            for kind in kinds:
                await until(runtime, partial(theirs.is_raised, *kind))
            for stream in (("high_jitter", "local"), ("high_packetloss", "local")):
                await until(runtime, partial(ours.is_raised, *stream))
            wire.loss = wire.delay = wire.jitter = 0.0
            for kind in kinds:
                await until(runtime, partial(theirs.is_cleared, *kind))

    run(runtime, main)


def test_Q5_nobody_is_heard(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await user(pbx, "alice", quality=QUICK), await user(pbx, "bob", quality=QUICK)
            ours, theirs = Metrics(alice), Metrics(bob)
            await call_between(alice, bob)
            await until(runtime, lambda: ours.told("no_audio_received", "local") == [True])
            await until(runtime, lambda: theirs.told("no_audio_received", "remote") == [True])
            alice.write_audio(np.random.default_rng(1).normal(0, 600, 160_000).astype(np.int16), 8_000)
            await until(runtime, lambda: ours.told("no_audio_received", "local") == [True, False])
            await until(runtime, lambda: theirs.told("no_audio_received", "remote") == [True, False])

    run(runtime, main)


def test_Q6_candidates_that_do_not_come(runtime: Any) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            async with bench(runtime) as pbx:
                alice = await user(
                    pbx,
                    "alice",
                    quality=QualityOptions(ice_timeout=0.2),
                    profiles=(MediaProfile.WEBRTC,),
                    codecs=("opus",),
                    stun_servers=(f"stun:127.0.0.1:{silent.getsockname()[1]}",),
                )
                metrics = Metrics(alice)
                assert alice.call("bob")
                await until(runtime, lambda: metrics.told("ice_timeout", "None") == [True])

    run(runtime, main)


def test_Q8_a_network_that_is_cut_and_comes_back(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_media, "MediaOptions", partial(MediaOptions, disconnect_timeout=1.0))

    async def main() -> None:
        async with bench(runtime) as pbx:
            wire = Wire(runtime)
            alice, bob = await user(pbx, "alice", network=wire.network), await user(pbx, "bob")
            metrics = Metrics(bob)
            await call_between(alice, bob)
            await runtime.sleep(0.5)
            wire.loss = 1.0
            await until(runtime, lambda: metrics.told("ice_connection", "None") == [True])
            wire.loss = 0.0
            await until(runtime, lambda: metrics.told("ice_connection", "None") == [True, False])

    run(runtime, main)


def test_Q9_somebody_speaks_who_is_muted(runtime: Any) -> None:
    async def main() -> None:
        async with bench(runtime) as pbx:
            alice, bob = await pbx.users("alice", "bob")
            metrics = Metrics(alice)
            await call_between(alice, bob)
            await runtime.sleep(0.3)
            assert alice.mute()
            alice.write_audio(speech(5.0), 8_000)
            await until(runtime, lambda: metrics.told("speaking_on_mute", "None") == [True])
            assert alice.unmute()
            await until(runtime, lambda: metrics.told("speaking_on_mute", "None") == [True, False])

    run(runtime, main)
