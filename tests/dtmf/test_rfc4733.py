"""Telephone events: the packets sent, and that a lossy road between sender and receiver changes nothing."""

import copy
import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sansio_sip.dtmf.rfc4733 import (
    DIGITS,
    END_TIMEOUT,
    DigitReceived,
    DtmfReceiver,
    DtmfSender,
    EventPacket,
    TelephoneEvent,
)
from sansio_sip.errors import LocalProtocolError, ParseError

PACKET = 0.02
KEYS = st.text(DIGITS, min_size=1, max_size=6)


def sent_packets(
    digits: str, *, clock_rate: int = 8000, start: int = 1000, duration_ms: int = 100, gap_ms: int = 70
) -> list[tuple[int, EventPacket]]:
    """Each packet with the packet time at which it leaves."""
    sender = DtmfSender(clock_rate)
    sender.queue(digits, duration_ms=duration_ms, gap_ms=gap_ms)
    packets = []
    tick = 0
    while not sender.is_idle:
        packet = sender.next_packet((start + tick * clock_rate // 50) & 0xFFFFFFFF)
        if packet is not None:
            packets.append((tick, packet))
        tick += 1
    return packets


def received(arrivals: list[tuple[float, EventPacket]], *, clock_rate: int = 8000) -> list[DigitReceived]:
    """What a receiver reports for (time, packet) pairs, its timer fired on time, until it waits for nothing."""
    receiver = DtmfReceiver(clock_rate)
    for time, packet in sorted(arrivals, key=lambda row: row[0]):
        while (deadline := receiver.next_timeout()) is not None and deadline <= time:
            receiver.handle_timeout(now=deadline)
        receiver.receive(bytes(packet.event), packet.timestamp, now=time)
    while (deadline := receiver.next_timeout()) is not None:
        receiver.handle_timeout(now=deadline)
    return list(receiver.outputs())


def keys(reports: list[DigitReceived]) -> str:
    return "".join(report.digit for report in reports)


def test_packets_of_two_digits() -> None:
    """RFC 4733 section 2.5.1: one timestamp, growing durations, the marker first, the end three times, then a gap."""
    rows = [
        (tick, packet.event.event, packet.timestamp, packet.event.duration, packet.event.end, packet.marker)
        for tick, packet in sent_packets("5#", duration_ms=60, gap_ms=80)
    ]
    assert rows == [
        (0, 5, 1000, 160, False, True),
        (1, 5, 1000, 320, False, False),
        (2, 5, 1000, 480, True, False),
        (3, 5, 1000, 480, True, False),
        (4, 5, 1000, 480, True, False),
        (7, 11, 2120, 160, False, True),
        (8, 11, 2120, 320, False, False),
        (9, 11, 2120, 480, True, False),
        (10, 11, 2120, 480, True, False),
        (11, 11, 2120, 480, True, False),
    ]


def test_a_short_gap_leaves_room_for_the_end_copies() -> None:
    packets = sent_packets("11", duration_ms=20, gap_ms=0)
    assert [tick for tick, _ in packets] == [0, 1, 2, 4, 5, 6]
    assert [packet.event.end for _, packet in packets] == [True] * 6


def test_comma_pauses_for_two_seconds() -> None:
    ticks = [tick for tick, packet in sent_packets("1,2") if packet.marker]
    assert ticks == [0, 5 + 4 + 100]


def test_long_press_is_sent_in_segments_and_is_one_digit() -> None:
    """Section 2.5.1.3: at 48 kHz, 16 bits hold 1.36 s."""
    packets = sent_packets("7", clock_rate=48000, duration_ms=4000)
    starts = sorted({packet.timestamp for _, packet in packets})
    assert [later - earlier for earlier, later in itertools.pairwise(starts)] == [65280, 65280]
    assert sum(packet.marker for _, packet in packets) == 1
    assert max(packet.event.duration for _, packet in packets) <= 0xFFFF
    assert sum(packet.event.end for _, packet in packets) == 3
    arrivals = [(tick * PACKET, packet) for tick, packet in packets]
    assert received(arrivals, clock_rate=48000) == [DigitReceived("7", 4000)]


def test_long_press_that_is_given_up_in_one_segment_is_not_reported_again_in_the_next() -> None:
    packets = sent_packets("7", clock_rate=48000, duration_ms=4000)
    arrivals = [(tick * PACKET, packet) for tick, packet in packets if not 40 < tick < 70]
    assert keys(received(arrivals, clock_rate=48000)) == "7"


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (b"\x01\x0a\x03\x20", TelephoneEvent(1, False, 10, 800)),
        (b"\x0b\x8a\x03\x20", TelephoneEvent(11, True, 10, 800)),
        (b"\xff\xff\xff\xff", TelephoneEvent(255, True, 63, 65535)),
        (b"\x00\x00\x00\x00", TelephoneEvent(0, False, 0, 0)),
    ],
)
def test_payload(payload: bytes, event: TelephoneEvent) -> None:
    assert TelephoneEvent.parse(payload) == event
    # The reserved bit is sent as 0 and passed over when received (section 2.3.3).
    assert bytes(event) == bytes((payload[0], payload[1] & 0xBF)) + payload[2:]


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x8a\x03"])
def test_short_payload_is_refused_and_never_raises_out_of_the_receiver(payload: bytes) -> None:
    with pytest.raises(ParseError):
        TelephoneEvent.parse(payload)
    receiver = DtmfReceiver()
    receiver.receive(payload, 1, now=0.0)
    assert list(receiver.outputs()) == []
    assert receiver.next_timeout() is None


@pytest.mark.parametrize("digits", ["1x", "é", "1 2", "¹"])
def test_what_is_no_key_is_not_queued(digits: str) -> None:
    sender = DtmfSender()
    with pytest.raises(LocalProtocolError, match="as a key"):
        sender.queue(digits)
    assert sender.is_idle


@pytest.mark.parametrize(("duration_ms", "gap_ms", "volume"), [(0, 70, 10), (100, -1, 10), (100, 70, 64)])
def test_numbers_out_of_range_are_not_queued(duration_ms: int, gap_ms: int, volume: int) -> None:
    with pytest.raises(LocalProtocolError):
        DtmfSender().queue("1", duration_ms=duration_ms, gap_ms=gap_ms, volume=volume)


def test_clear_drops_what_has_not_begun() -> None:
    sender = DtmfSender()
    sender.queue("12")
    sender.next_packet(0)
    sender.clear()
    ends = [packet for tick in range(1, 20) if (packet := sender.next_packet(160 * tick)) is not None]
    assert {packet.event.event for packet in ends} == {1}
    assert sum(packet.event.end for packet in ends) == 3
    assert sender.is_idle


def test_events_that_are_no_keys_are_passed_over() -> None:
    receiver = DtmfReceiver()
    receiver.receive(bytes(TelephoneEvent(16, True, 10, 800)), 1, now=0.0)
    assert list(receiver.outputs()) == []


def test_loss_of_all_ends_is_ended_by_the_timer_once() -> None:
    packets = sent_packets("4")
    arrivals = [(tick * PACKET, packet) for tick, packet in packets if not packet.event.end]
    assert received(arrivals) == [DigitReceived("4", 80)]
    late = [(tick * PACKET + 1.0, packet) for tick, packet in packets if packet.event.end]
    assert keys(received(arrivals + late)) == "4"


def test_next_press_ends_one_whose_ends_were_lost() -> None:
    arrivals = [(tick * PACKET, packet) for tick, packet in sent_packets("44") if tick > 7 or not packet.event.end]
    assert keys(received(arrivals)) == "44"


def test_press_overtaken_by_the_next_one_is_reported_before_it() -> None:
    one, two = TelephoneEvent(1, True, 10, 800), TelephoneEvent(2, False, 10, 160)
    receiver = DtmfReceiver()
    receiver.receive(bytes(two), 3000, now=0.0)
    receiver.receive(bytes(one), 1000, now=0.01)
    receiver.receive(bytes(one), 1000, now=0.02)
    receiver.receive(bytes(replace(two, end=True, duration=800)), 3000, now=0.03)
    assert list(receiver.outputs()) == [DigitReceived("1", 100), DigitReceived("2", 100)]


def test_duration_is_the_longest_that_came() -> None:
    receiver = DtmfReceiver()
    for duration in (640, 480):
        receiver.receive(bytes(TelephoneEvent(1, False, 10, duration)), 1, now=0.0)
    receiver.handle_timeout(now=1.0)
    assert list(receiver.outputs()) == [DigitReceived("1", 80)]


def test_timer_is_a_pure_query_and_early_calls_do_nothing() -> None:
    receiver = DtmfReceiver()
    receiver.receive(bytes(TelephoneEvent(4, False, 10, 160)), 1, now=10.0)
    assert receiver.next_timeout() == receiver.next_timeout() == 10.0 + END_TIMEOUT
    receiver.handle_timeout(now=10.0)
    assert receiver.poll_output() is None
    receiver.handle_timeout(now=11.0)
    receiver.handle_timeout(now=11.0)
    assert list(receiver.outputs()) == [DigitReceived("4", 20)]
    assert receiver.next_timeout() is None


def test_peer_that_starts_its_timestamps_anew_is_heard_after_a_while() -> None:
    receiver = DtmfReceiver()
    receiver.receive(bytes(TelephoneEvent(1, True, 10, 800)), 5_000_000, now=0.0)
    receiver.receive(bytes(TelephoneEvent(2, True, 10, 800)), 400, now=10.0)
    assert keys(list(receiver.outputs())) == "12"


def test_receiver_can_be_copied() -> None:
    receiver = DtmfReceiver()
    receiver.receive(bytes(TelephoneEvent(1, False, 10, 800)), 1, now=0.0)
    other = copy.deepcopy(receiver)
    for each in (receiver, other):
        each.receive(bytes(TelephoneEvent(1, True, 10, 960)), 1, now=0.1)
    assert list(receiver.outputs()) == list(other.outputs()) == [DigitReceived("1", 120)]


@settings(max_examples=200, deadline=None)
@given(
    digits=KEYS,
    clock_rate=st.sampled_from([8000, 48000]),
    start=st.integers(0, 2**32 - 1),
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 1),
    window=st.floats(0, 0.06),
)
@example(digits="11", clock_rate=8000, start=2**32 - 500, seed=0, loss=1.0, window=0.06)
@example(digits="00", clock_rate=48000, start=0, seed=0, loss=0.0, window=0.06)
def test_med_07_any_loss_that_leaves_one_end_reordering_and_duplication_give_the_digits_sent(
    digits: str, clock_rate: int, start: int, seed: int, loss: float, window: float
) -> None:
    """Packets are late by up to `window`: three packet times, so that the order within a digit and its gap is lost."""
    road = random.Random(seed)
    packets = sent_packets(digits, clock_rate=clock_rate, start=start)
    arrivals = []
    for timestamp in dict.fromkeys(packet.timestamp for _, packet in packets):
        press = [(tick, packet) for tick, packet in packets if packet.timestamp == timestamp]
        survivor = road.choice([row for row in press if row[1].event.end])
        for tick, packet in press:
            if (tick, packet) == survivor or road.random() >= loss:
                copies = road.choice([1, 1, 2, 3])
                arrivals += [(tick * PACKET + road.random() * window, packet) for _ in range(copies)]
    reports = received(arrivals, clock_rate=clock_rate)
    assert keys(reports) == digits
    assert all(0 < report.duration_ms <= 100 for report in reports)


@settings(max_examples=200, deadline=None)
@given(digits=KEYS, order=st.randoms(use_true_random=False), loss=st.floats(0, 1))
def test_on_any_road_at_all_what_is_reported_is_part_of_what_was_sent_in_its_order(
    digits: str, order: random.Random, loss: float
) -> None:
    packets = [packet for _, packet in sent_packets(digits) if order.random() >= loss]
    packets += [packet for packet in packets if order.random() < 0.3]
    order.shuffle(packets)
    reported = keys(received([(position * 0.05, packet) for position, packet in enumerate(packets)]))
    remaining = iter(digits)
    assert all(key in remaining for key in reported)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=6), st.integers(0, 2**32 - 1), st.floats(0, 2)), max_size=20))
def test_any_octets_give_at_most_a_report_a_packet(rows: list[tuple[bytes, int, float]]) -> None:
    receiver = DtmfReceiver()
    now = 0.0
    for payload, timestamp, wait in rows:
        now += wait
        receiver.receive(payload, timestamp, now=now)
    receiver.handle_timeout(now=now + END_TIMEOUT)
    assert len(list(receiver.outputs())) <= len(rows)
    assert receiver.next_timeout() is None


@settings(max_examples=100, deadline=None)
@given(
    digits=KEYS, duration_ms=st.integers(1, 9000), gap_ms=st.integers(0, 400), clock_rate=st.sampled_from([8000, 48000])
)
def test_sender_and_receiver_agree_on_any_lengths(digits: str, duration_ms: int, gap_ms: int, clock_rate: int) -> None:
    packets = sent_packets(digits[:2], clock_rate=clock_rate, duration_ms=duration_ms, gap_ms=gap_ms)
    reports = received([(tick * PACKET, packet) for tick, packet in packets], clock_rate=clock_rate)
    rounded = -(-duration_ms // 20) * 20
    assert reports == [DigitReceived(key, rounded) for key in digits[:2]]


def test_an_event_of_another_key_under_the_same_timestamp_is_passed_over() -> None:
    packets = sent_packets("1")
    wrong = replace(packets[0][1], event=TelephoneEvent(9, True, 10, 160))
    arrivals = [(0.0, packets[0][1]), (0.01, wrong), *[(tick * PACKET, packet) for tick, packet in packets[1:]]]
    assert received(arrivals) == [DigitReceived("1", 100)]
