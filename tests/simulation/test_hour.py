"""Two media engines whose clocks drift apart, for an hour of virtual time: delay, buffers and memory do not grow."""

import gc
import random
import sys
import tracemalloc
from heapq import heappop, heappush

import numpy as np
import pytest

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, OpenDatagram, SendDatagram
from sansio_sip.softphone.media_plane import LocalDescription, MediaOptions, MediaProfile, SessionId
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

RATE, PERIOD = 8_000, 0.02
FRAME = RATE // 50
SESSION = SessionId("s")

# On the way: so much, and up to so much more.
DELAY, JITTER = 0.030, 0.030

# A packet may wait until the next tick at either end, beside what the buffer has it wait.
MOST_DELAY = DELAY + JITTER + 0.060 + 4 * PERIOD


class Hour:
    """What was seen in each second: mouth to ear in seconds (not a number: nothing was heard) and the buffer's depth in
    packets; in each minute memory in octets. Room for all is taken at once: memory is measured."""

    def __init__(self, seconds: float) -> None:
        self.delays = np.full(int(seconds) + 1, np.nan)
        self.depths = np.zeros(int(seconds) + 1, np.int64)
        self.memory = np.zeros(int(seconds / 60) + 1, np.int64)


class End:
    """An engine on a host whose clock runs `skew` faster than the world's."""

    def __init__(self, seed: int, skew: float) -> None:
        self.skew = skew
        context = Context(Entropy(random.Random(seed)))
        self.engine = MediaEngine(context, SeededCrypto(f"{seed}"))
        self.addresses: dict[str, Address] = {}
        self.description: LocalDescription | None = None

    def now(self, time: float) -> float:
        return time * (1 + self.skew)

    def wakes(self) -> float:
        deadline = self.engine.next_timeout()
        return float("inf") if deadline is None else deadline / (1 + self.skew)


class Line:
    """Two ends and the way between them."""

    def __init__(self, ppm: float, profile: MediaProfile) -> None:
        self.time = 0.0
        self.ends = (End(1, 0.0), End(2, ppm * 1e-6))
        self._options = MediaOptions(profiles=(profile,), codecs=("pcmu",))
        self._where: dict[Address, tuple[End, str]] = {}
        self._under_way: list[tuple[float, int, Address, Address, bytes]] = []
        self._serial = 0
        self._fate = random.Random(7)
        one, other = self.ends
        self._do(one, one.engine.open_session, SESSION, self._options)
        self._do(one, one.engine.create_offer, SESSION)
        assert one.description is not None
        self._do(other, other.engine.open_session, SESSION, self._options)
        self._do(other, other.engine.apply_offer, SESSION, one.description.description)
        assert other.description is not None
        self._do(one, one.engine.apply_answer, SESSION, other.description.description)

    def _do(self, end: End, method, *args) -> None:  # type: ignore[no-untyped-def]
        method(*args, now=end.now(self.time))
        for output in end.engine.outputs():
            if isinstance(output, OpenDatagram):  # by `match`, names of fields stay in the cache that `settled` empties
                address = Address("127.0.0.1", 10_000 + len(self._where))
                self._where[address] = (end, output.flow)
                end.addresses[output.flow] = address
                self._do(end, end.engine.flow_opened, output.flow, address)
            elif isinstance(output, SendDatagram):
                self._serial += 1
                when = self.time + DELAY + JITTER * self._fate.random()
                source, data = end.addresses[output.flow], bytes(output.data)
                heappush(self._under_way, (when, self._serial, source, output.destination, data))
            elif isinstance(output, LocalDescription):
                end.description = output

    def run(self, until: float) -> None:
        while True:
            arrival = self._under_way[0][0] if self._under_way else float("inf")
            end = min(self.ends, key=End.wakes)
            moment = min(arrival, end.wakes())
            if moment > until:
                self.time = until
                return
            self.time = max(self.time, moment)
            if arrival <= end.wakes():
                _, _, source, destination, data = heappop(self._under_way)
                target, flow = self._where[destination]
                self._do(target, target.engine.receive_datagram, flow, data, source)
            else:
                # Never a hair before its time, whatever the division has made of it.
                self.time = max(self.time, moment + 1e-9)
                self._do(end, end.engine.handle_timeout)


def settled() -> int:
    """Octets that are held for good. CPython's cache of types keeps the names of attributes that were looked up, and
    with them `__match_args__` of class patterns, 63 octets at a time: no leak of ours."""
    getattr(sys, "_clear_type_cache", int)()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def talk(line: Line, seconds: float) -> Hour:
    """One end speaks all the time, and knocks each second; the other listens for the knocks."""
    seen = Hour(seconds)
    speaker, listener = line.ends
    line.run(1.0)
    began = line.time
    hum = (500 * np.sin(2 * np.pi * 200 * np.arange(FRAME) / RATE)).astype(np.int16)
    knock = np.concatenate((np.full(FRAME // 2, 12_000, np.int16), np.full(FRAME // 2, -12_000, np.int16)))
    knocked, heard_one = 0.0, True
    for index in range(int(seconds / PERIOD)):
        line.run(began + index * PERIOD)
        knocks = index % 50 == 25
        if knocks:
            knocked, heard_one = line.time, False
        speaker.engine.write_audio(SESSION, knock if knocks else hum, RATE, now=line.time)
        heard = listener.engine.read_audio(SESSION, RATE)
        if not heard_one and len(heard) and np.abs(heard.astype(np.int32)).max() > 6_000:
            seen.delays[index // 50] = line.time - knocked
            heard_one = True
        if index % 50 == 0:
            incoming = listener.engine._sessions[SESSION].audio.incoming
            assert incoming._jitter is not None
            seen.depths[index // 50] = len(incoming._jitter)
        if index % 3000 == 2999 and tracemalloc.is_tracing():
            seen.memory[index // 3000] = settled()
    return seen


def check(seen: Hour, seconds: float) -> None:
    late = seen.delays[5:][~np.isnan(seen.delays[5:])]
    assert len(late) > 0.97 * (seconds - 5)
    assert late.max() <= MOST_DELAY
    # No creeping: the last tenth is as the first one was.
    tenth = len(late) // 10
    assert np.mean(late[-tenth:]) == pytest.approx(np.mean(late[:tenth]), abs=1.5 * PERIOD)
    assert seen.depths.max() <= MOST_DELAY / PERIOD


@pytest.mark.parametrize("ppm", [-3000, 3000])
def test_two_minutes_of_a_bad_clock(ppm: int) -> None:
    """As far apart as an hour of 100 ppm takes them."""
    check(talk(Line(ppm, MediaProfile.RTP), 120.0), 120.0)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ppm", [-200, 200])
def test_an_hour_of_a_clock_that_is_off_by_200_ppm(ppm: int, capsys: pytest.CaptureFixture[str]) -> None:
    tracemalloc.start()
    try:
        seen = talk(Line(ppm, MediaProfile.WEBRTC), 3600.0)
    finally:
        tracemalloc.stop()
    first, last = int(seen.memory[9]), int(seen.memory[59])
    with capsys.disabled():
        print(
            f"\n{ppm} ppm: mouth to ear {np.nanmin(seen.delays) * 1000:.0f} to {np.nanmax(seen.delays) * 1000:.0f} ms,"
            f" {seen.depths.max()} packets at most, memory {last - first:+d} octets in 50 minutes"
        )
    check(seen, 3600.0)
    assert last - first < 50_000
