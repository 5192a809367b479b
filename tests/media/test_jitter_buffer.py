"""Play-out in virtual time: spread, bursts, loss, drift, pauses, jumps. A packet's payload is its number."""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip_media.jitter_buffer import (
    EXCESS_DELAY,
    FOLD_EVERY,
    FOLD_PATIENCE,
    LATE_RUN,
    MAX_DELAY,
    MAX_MADE_UP,
    MAX_PACKETS,
    START_DELAY,
    Frame,
    JitterBuffer,
)
from sansio_sip_media.rtp.packet import RtpPacket

RATE, FRAME = 8_000, 160
PERIOD = FRAME / RATE

# The delay that no input may push the buffer beyond, in ms (see its theory of operation).
BOUND_MS = 1000 * (MAX_DELAY + EXCESS_DELAY + 2 * PERIOD)

Arrival = tuple[float, RtpPacket]


def packet(index: int, *, timestamp: int | None = None, ssrc: int = 1, sequence: int | None = None) -> RtpPacket:
    stamp = FRAME * index if timestamp is None else timestamp
    number = index if sequence is None else sequence
    return RtpPacket(0, number % 65536, stamp % 2**32, ssrc, index.to_bytes(4, "big"))


@dataclass
class Heard:
    """What a reader got: a tick each 20 ms."""

    frames: list[tuple[float, Frame]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        """The packets that were decoded, in order."""
        found = []
        for _, frame in self.frames:
            found += [int.from_bytes(each, "big") for each in (frame.payload, frame.folded) if each is not None]
        return found

    @property
    def made_up(self) -> int:
        return sum(frame.payload is None and not frame.pause for _, frame in self.frames)

    @property
    def paused(self) -> int:
        return sum(frame.pause for _, frame in self.frames)


def play(
    buffer: JitterBuffer,
    arrivals: list[Arrival],
    until: float,
    *,
    start: float = 0.0,
    tick: Callable[[int], float] | None = None,
) -> Heard:
    """Puts packets when they arrive and pops at each tick, as the engine does."""
    heard = Heard()
    queue = iter(sorted(arrivals, key=lambda arrival: arrival[0]))
    waiting = next(queue, None)
    for index in range(int((until - start) / PERIOD)):
        now = start + (index * PERIOD if tick is None else tick(index))
        while waiting is not None and waiting[0] <= now:
            buffer.put(waiting[1], now=waiting[0])
            waiting = next(queue, None)
        while (frame := buffer.pop(now=now)) is not None:
            heard.frames.append((now, frame))
        if (delay := buffer.delay_ms) is not None:
            heard.delays.append(delay)
            assert delay <= BOUND_MS
        assert len(buffer) <= MAX_PACKETS
    return heard


def stream(count: int, *, delay: Callable[[int], float | None] = lambda _: 0.0, first: int = 0) -> Iterator[Arrival]:
    """Packets sent each 20 ms; `delay` in seconds, None: lost."""
    for index in range(first, first + count):
        held = delay(index)
        if held is not None:
            yield index * PERIOD + held, packet(index)


# The plain road


def test_steady_packets_play_in_order_after_the_first_delay() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(500)), 10.0)
    first = heard.frames[0][0]
    assert START_DELAY <= first <= START_DELAY + PERIOD
    # Twenty milliseconds are enough here: what the first delay had in excess is folded away.
    assert heard.numbers == list(range(len(heard.numbers)))
    assert buffer.target_ms == pytest.approx(20.0)
    assert heard.delays[-1] <= 40.1
    assert (heard.made_up, buffer.late, buffer.concealed) == (0, 0, 0)
    assert buffer.skipped == sum(frame.folded is not None for _, frame in heard.frames) == 2


def test_speech_is_folded_only_after_two_seconds_without_a_pause() -> None:
    """Twice there is a pause, of one frame; what it was too short for waits another two seconds."""
    pauses = (2.4, 4.0)
    buffer = JitterBuffer(RATE, FRAME)
    arrivals = iter(list(stream(600, delay=lambda index: max(0.0, 0.18 - index * PERIOD))))
    waiting = next(arrivals)
    folds: list[float] = []
    for index in range(400):
        now = index * PERIOD
        while waiting[0] <= now:
            buffer.put(waiting[1], now=waiting[0])
            waiting = next(arrivals)
        pause = any(abs(now - each) < PERIOD / 2 for each in pauses)
        frame = buffer.pop(now=now, quiet=partial(bool, pause))
        folds += [now] if frame is not None and frame.folded is not None else []
    assert folds[:2] == pytest.approx(pauses)
    patience = folds[2] - pauses[1]
    assert FOLD_PATIENCE <= patience <= FOLD_PATIENCE + FOLD_EVERY * PERIOD
    # Whoever does not pause at all is folded until the delay is right.
    assert len(folds) > 4
    assert {round((after - before) / PERIOD) for before, after in pairwise(folds[2:])} == {FOLD_EVERY}


def test_nothing_is_due_before_the_first_packet_had_its_delay() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    assert buffer.pop(now=0.0) is None
    buffer.put(packet(0), now=0.0)
    assert buffer.pop(now=START_DELAY - 0.001) is None
    assert not buffer.started
    assert buffer.pop(now=START_DELAY + 0.001) == Frame(packet(0).payload, FRAME)
    assert buffer.started
    assert buffer.pop(now=START_DELAY + 0.002) is None


def test_reordered_packets_are_put_in_order() -> None:
    arrivals = [((index ^ 1) * PERIOD, packet(index)) for index in range(200)]
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 3.9)
    assert heard.numbers == list(range(len(heard.numbers)))
    assert buffer.concealed == 0


def test_doubled_packets_play_once() -> None:
    arrivals = [*stream(200), *stream(200, delay=lambda _: 0.005), *stream(200, delay=lambda _: 0.100)]
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 4.2)
    assert heard.numbers == list(range(200))
    # The copies 100 ms late are told from stragglers, and do not count as such.
    assert (buffer.duplicates, buffer.late) == (400, 0)


def test_numbers_that_wrap_play_on() -> None:
    arrivals = [
        (index * PERIOD, packet(index, timestamp=2**32 - 50 * FRAME + index * FRAME, sequence=65500 + index))
        for index in range(200)
    ]
    heard = play(JitterBuffer(RATE, FRAME), arrivals, 5.0)
    assert heard.numbers == list(range(200))


# Loss


def test_a_lost_packet_costs_one_frame_and_no_delay() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(1000, delay=lambda index: None if index % 20 == 7 else 0.0)), 20.0)
    assert buffer.concealed == heard.made_up == 50
    assert heard.delays[-1] <= 40.1
    assert buffer.stretched == 0


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_random_loss_makes_up_what_was_lost_and_no_more(share: float) -> None:
    draw = random.Random(1)
    kept = [draw.random() >= share for _ in range(3000)]
    kept[-1] = True
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(3000, delay=lambda index: 0.0 if kept[index] else None)), 60.0)
    assert heard.numbers == [index for index, here in enumerate(kept) if here][: len(heard.numbers)]
    assert buffer.concealed == pytest.approx(kept.count(False), abs=2)
    assert max(heard.delays[100:]) <= 60


def test_the_payload_after_a_gap_is_at_hand_for_error_correction() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(100, delay=lambda index: None if index == 50 else 0.0)), 2.0)
    (gap,) = [frame for _, frame in heard.frames if frame.payload is None]
    assert gap == Frame(None, FRAME, following=packet(51).payload)
    assert 51 in heard.numbers


def test_a_burst_of_loss_keeps_its_length() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(200, delay=lambda index: None if 100 <= index < 107 else 0.0)), 4.0)
    assert heard.numbers == [*range(100), *range(107, heard.numbers[-1] + 1)]
    assert (buffer.concealed, heard.made_up, heard.paused) == (7, 7, 0)


# Spread


@pytest.mark.parametrize("spread_ms", [10, 40, 80, 150])
def test_the_delay_follows_the_spread(spread_ms: int) -> None:
    draw = random.Random(spread_ms)
    buffer = JitterBuffer(RATE, FRAME)
    arrivals = list(stream(3000, delay=lambda _: draw.uniform(0, spread_ms / 1000)))
    heard = play(buffer, arrivals, 60.0)
    assert buffer.target_ms == pytest.approx(max(20.0, 0.98 * spread_ms + 10), abs=5)
    assert heard.delays[-1] <= buffer.target_ms + 45
    # After the first second, hardly a frame is made up.
    late = sum(frame.payload is None for when, frame in heard.frames if when > 2.0)
    assert late <= 30


def test_the_delay_shrinks_again_when_the_network_calms() -> None:
    draw = random.Random(3)
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(3000, delay=lambda index: draw.uniform(0, 0.15) if index < 1000 else 0.0)), 60.0)
    assert max(heard.delays[:1000]) > 120
    assert heard.delays[-1] <= 40.1
    assert heard.numbers == sorted(heard.numbers)
    # What was folded is heard all the same; nothing was left out.
    assert len(set(range(1000, 3000)) - set(heard.numbers)) <= 3


def test_packets_held_up_together_all_play_and_the_delay_comes_back() -> None:
    """A radio that sleeps for 200 ms, then delivers everything at once."""

    def held(index: int) -> float:
        sent = index * PERIOD
        return 10.2 - sent if 10.0 <= sent < 10.2 else 0.0

    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(1500, delay=held)), 30.0)
    assert set(range(1400)) <= set(heard.numbers)
    assert buffer.late == 0
    assert buffer.concealed <= 10
    assert max(heard.delays[500:]) <= 240
    assert heard.delays[-1] <= 40.1


def test_a_long_stall_is_cut_not_played_for_ever() -> None:
    """Two seconds of packets in one burst: what is older than the bound is left out at once."""

    def held(index: int) -> float:
        sent = index * PERIOD
        return 12.0 - sent if 10.0 <= sent < 12.0 else 0.0

    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(1500, delay=held)), 30.0)
    assert max(heard.delays[600:]) <= 1000 * (MAX_DELAY + PERIOD)
    assert heard.delays[-1] <= 40.1
    back = next(when for when, frame in heard.frames if when >= 11.0 and frame.payload is not None)
    assert back <= 12.1
    assert set(range(620, 1400)) <= set(heard.numbers)


def test_a_path_that_becomes_longer_for_good_is_learnt() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, list(stream(3000, delay=lambda index: 0.25 if index >= 1000 else 0.0)), 60.0)
    last = [frame for when, frame in heard.frames if when > 50.0]
    assert all(frame.payload is not None for frame in last)
    assert heard.delays[-1] <= 40.1
    assert buffer.concealed <= 15


# Drift


@pytest.mark.parametrize(("ppm", "spread_ms"), [(-200, 20), (200, 0)])
def test_an_hour_of_drift_keeps_the_delay(ppm: int, spread_ms: int) -> None:
    """Packets of 60 ms; 720 ms of drift in an hour are 12 of them, folded or made up one by one."""
    drift_for_an_hour(ppm, spread_ms, milliseconds=60)


@pytest.mark.soak
@pytest.mark.parametrize("ppm", [-200, 200])
@pytest.mark.parametrize("spread_ms", [0, 15])
def test_an_hour_of_drift_keeps_the_delay_of_short_packets(ppm: int, spread_ms: int) -> None:
    drift_for_an_hour(ppm, spread_ms, milliseconds=20)


def drift_for_an_hour(ppm: int, spread_ms: int, milliseconds: int) -> None:
    """The sender's clock is fast by `ppm`; the reader's tick is the packets' nominal time."""
    draw = random.Random(ppm)
    tick, units = milliseconds / 1000, 8 * milliseconds
    count, steps = 3600_000 // milliseconds, 720 / milliseconds
    buffer = JitterBuffer(RATE, units)
    worst, sent = 0.0, 0
    arrival = draw.uniform(0, spread_ms / 1000)
    for index in range(count):
        now = index * tick
        # The spread is below the packets' distance, so they keep their order.
        while arrival <= now:
            buffer.put(packet(sent, timestamp=sent * units), now=arrival)
            sent += 1
            arrival = sent * tick * (1 - ppm * 1e-6) + draw.uniform(0, spread_ms / 1000)
        while buffer.pop(now=now) is not None:
            pass
        if index > 250:
            worst = max(worst, buffer.delay_ms or 0.0)
    assert worst <= 3 * milliseconds + spread_ms
    assert buffer.late <= 60
    assert buffer.overflow == buffer.stray == buffer.resynchronised == 0
    if ppm > 0:
        assert buffer.skipped == pytest.approx(steps, abs=4)
        assert buffer.concealed <= 20
    else:
        assert buffer.stretched == pytest.approx(steps, abs=20)
        assert buffer.concealed <= 80


# Pauses, jumps, other sources


def test_silence_suppression_is_a_pause_and_no_loss() -> None:
    """The sender is silent from packet 100 to 300; its clock runs on, its numbers do not."""
    arrivals = list(stream(100)) + [(index * PERIOD, packet(index, sequence=index - 200)) for index in range(300, 400)]
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 8.2)
    assert heard.numbers == [*range(100), *range(300, 400)]
    assert buffer.concealed <= MAX_MADE_UP  # those at the very end, when the stream stopped
    # Time went on: a frame for each tick from the first to the last.
    times = [when for when, _ in heard.frames]
    assert len(times) == round((times[-1] - times[0]) / PERIOD) + 1


def test_comfort_noise_updates_now_and_then_play_at_their_time() -> None:
    """RFC 7587 section 3.1.3: in DTX Opus sends one packet each 400 ms."""
    arrivals = [(index * 0.4, packet(index, timestamp=index * 20 * FRAME)) for index in range(50)]
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 20.4)
    assert heard.numbers == list(range(50))
    assert buffer.concealed <= MAX_MADE_UP
    played = [when for when, frame in heard.frames if frame.payload is not None]
    gaps = [later - earlier for earlier, later in pairwise(played)]
    assert min(gaps) == pytest.approx(0.4, abs=0.021)


@pytest.mark.parametrize("pause", [0.3, 1.0, 30.0])
def test_a_sender_whose_clock_stopped_in_a_pause_is_heard_again(pause: float) -> None:
    arrivals = [(index * PERIOD + (pause if index >= 200 else 0.0), packet(index)) for index in range(1000)]
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 20.0 + pause)
    assert len(set(range(990)) - set(heard.numbers)) <= 5
    assert heard.delays[-1] <= 60


@pytest.mark.parametrize("jump", [-(2**31), -80_000, 80_000, 2**31 - 1])
def test_a_jump_of_the_timestamps_is_followed(jump: int) -> None:
    arrivals = [
        (index * PERIOD, packet(index, timestamp=FRAME * index + (jump if index >= 200 else 0))) for index in range(400)
    ]
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 8.0)
    assert len(set(range(390)) - set(heard.numbers)) <= 5
    assert buffer.resynchronised == 1
    assert heard.delays[-1] <= 80


def test_a_single_stray_timestamp_changes_nothing() -> None:
    arrivals = list(stream(400))
    arrivals[200] = (arrivals[200][0], packet(200, timestamp=2**31))
    arrivals[300] = (arrivals[300][0], packet(300, timestamp=5))
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 7.9)
    assert set(range(390)) - set(heard.numbers) == {200, 300}
    assert (buffer.resynchronised, buffer.concealed) == (0, 2)


def test_another_source_is_played_at_once() -> None:
    arrivals = list(stream(200)) + [
        (index * PERIOD, packet(index, timestamp=12345 + FRAME * index, ssrc=2)) for index in range(200, 400)
    ]
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, 7.9)
    assert len(set(range(385)) - set(heard.numbers)) <= 5
    assert buffer.resynchronised == 1


def test_a_run_of_late_packets_is_a_longer_path() -> None:
    """Each behind what was played: after ten the buffer gives in."""
    buffer = JitterBuffer(RATE, FRAME)
    play(buffer, list(stream(200)), 4.0)
    for index in range(182, 182 + LATE_RUN):
        buffer.put(packet(index, timestamp=FRAME * index + 1), now=4.0)
    assert (buffer.late, buffer.resynchronised, len(buffer)) == (LATE_RUN - 1, 1, 1)


# The reader


def test_a_reader_that_jitters_hears_the_same() -> None:
    draw = random.Random(5)
    steady, shaky = JitterBuffer(RATE, FRAME), JitterBuffer(RATE, FRAME)
    first = play(steady, list(stream(500)), 10.0)
    second = play(shaky, list(stream(500)), 10.0, tick=lambda index: index * PERIOD + draw.uniform(0, 0.009))
    assert second.numbers[:450] == first.numbers[:450]
    assert shaky.concealed == steady.concealed == 0


def test_a_reader_that_is_late_by_two_frames_catches_up() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(
        buffer, list(stream(500)), 10.0, tick=lambda index: (index + 2 if 200 <= index < 202 else index) * PERIOD
    )
    assert heard.numbers == list(range(len(heard.numbers)))
    assert buffer.resynchronised == 0


def test_a_reader_that_slept_goes_on_with_what_is_new() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    arrivals = list(stream(1000))
    heard = play(buffer, arrivals, 20.0, tick=lambda index: index * PERIOD + (1.0 if index >= 300 else 0.0))
    assert buffer.resynchronised == 1
    assert buffer.skipped >= 40
    assert heard.delays[-1] <= 60


def test_without_a_reader_the_oldest_packets_go() -> None:
    buffer = JitterBuffer(RATE, FRAME)
    for when, each in stream(MAX_PACKETS + 50):
        buffer.put(each, now=when)
    assert (len(buffer), buffer.overflow) == (MAX_PACKETS, 50)


# Other packet times


@pytest.mark.parametrize("milliseconds", [10, 30, 40, 60])
def test_packets_of_another_length_play_without_gap(milliseconds: int) -> None:
    units = 8 * milliseconds
    arrivals = [
        (index * milliseconds / 1000, packet(index, timestamp=index * units)) for index in range(10_000 // milliseconds)
    ]
    buffer = JitterBuffer(RATE, FRAME, duration=lambda _: units)
    heard = play(buffer, arrivals, 9.5)
    assert heard.numbers == list(range(len(heard.numbers)))
    assert heard.made_up == 0
    assert sum(frame.units for _, frame in heard.frames) / RATE == pytest.approx(9.4, abs=0.1)


# All inputs


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Arrival], float]:
    """Any mixture of delay, loss, doubling, pauses, jumps and sources."""
    arrivals: list[Arrival] = []
    now, timestamp, sequence, ssrc = 0.0, draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 65535)), 1
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["run", "run", "run", "pause", "jump", "source"]))
        if kind == "pause":
            length = draw(st.floats(0, 3))
            now += length
            timestamp += round(length * RATE) if draw(st.booleans()) else 0
        elif kind == "jump":
            timestamp += draw(st.integers(-(2**31), 2**31 - 1))
        elif kind == "source":
            ssrc += 1
        else:
            spread, loss = draw(st.floats(0, 0.6)), draw(st.floats(0, 0.6))
            seeded = random.Random(draw(st.integers(0, 2**32)))
            for _ in range(draw(st.integers(1, 100))):
                if seeded.random() >= loss:
                    made = RtpPacket(0, sequence % 65536, timestamp % 2**32, ssrc, sequence.to_bytes(4, "big"))
                    arrivals += [(now + seeded.uniform(0, spread), made)] * seeded.choice([1, 1, 1, 2])
                now += PERIOD
                timestamp += FRAME
                sequence += 1
    return arrivals, now


def test_a_packet_set_aside_before_a_pause_is_not_of_the_timeline_after_it() -> None:
    arrivals = [(0.0, packet(0)), (0.02, packet(1)), (0.37, packet(5)), (0.49, packet(3)), (2.12, packet(6))]
    buffer = JitterBuffer(RATE, FRAME)
    assert play(buffer, arrivals, 3.0).numbers == [0, 1, 5, 6]
    assert buffer.stray == 1


@given(networks())
@settings(max_examples=40, deadline=None)
def test_whatever_arrives_delay_and_memory_are_bounded_and_time_goes_on(network: tuple[list[Arrival], float]) -> None:
    arrivals, end = network
    buffer = JitterBuffer(RATE, FRAME)
    heard = play(buffer, arrivals, end + 2.0)
    # A frame for each tick once it has begun, whatever came.
    times = [when for when, _ in heard.frames]
    if times:
        assert len(times) == round((times[-1] - times[0]) / PERIOD) + 1
    # Every packet is accounted for once.
    assert buffer.received == len(arrivals)
    dropped = buffer.late + buffer.duplicates + buffer.overflow + buffer.stray
    assert buffer.played == len(heard.numbers)
    assert buffer.played + dropped <= buffer.received
    assert 20.0 <= buffer.target_ms <= 400.0


@given(networks(), st.integers(0, 200))
@settings(max_examples=10, deadline=None)
def test_a_copy_goes_on_alike(network: tuple[list[Arrival], float], cut: int) -> None:
    arrivals, _ = network
    buffer = JitterBuffer(RATE, FRAME)
    moment = cut * PERIOD
    play(buffer, [each for each in arrivals if each[0] <= moment], moment)
    rest = [each for each in arrivals if each[0] > moment]
    twin = copy.deepcopy(buffer)
    assert play(buffer, rest, moment + 3, start=moment) == play(twin, rest, moment + 3, start=moment)
