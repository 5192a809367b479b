"""What a receiver counts: RFC 3550 appendices A.1, A.3 and A.8."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.rtp.receiver import ReceptionReport, RtpReceiver

RATE = 8_000


def packet(sequence: int, ssrc: int = 1, timestamp: int | None = None) -> RtpPacket:
    stamp = 160 * sequence if timestamp is None else timestamp
    return RtpPacket(0, sequence % 65536, stamp % 2**32, ssrc, b"x" * 160)


def feed(receiver: RtpReceiver, sequences: Iterable[int], ssrc: int = 1) -> list[bool]:
    return [receiver.receive(packet(each, ssrc), now=0.02 * each) for each in sequences]


# A.1


def test_a_source_on_probation_counts_from_its_second_packet_in_sequence() -> None:
    receiver = RtpReceiver(RATE, min_sequential=2)
    assert feed(receiver, [5, 9, 10, 11]) == [False, False, True, True]
    assert (receiver.packets_received, receiver.extended_highest_sequence, receiver.packets_lost) == (2, 11, 0)
    assert receiver.refused == 2


def test_a_source_without_probation_counts_at_once() -> None:
    receiver = RtpReceiver(RATE)
    assert receiver.take_report() is None
    assert feed(receiver, [5, 6]) == [True, True]
    assert (receiver.packets_received, receiver.packets_lost, receiver.octets) == (2, 0, 320)


def test_wrapping_sequence_numbers_count_cycles() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, range(65530, 65545))
    assert receiver.extended_highest_sequence == (1 << 16) + 8
    assert (receiver.packets_received, receiver.packets_lost) == (15, 0)


def test_reordered_and_doubled_packets_count_as_received() -> None:
    receiver = RtpReceiver(RATE)
    assert all(feed(receiver, [10, 12, 11, 11, 13]))
    assert (receiver.packets_received, receiver.cumulative_lost, receiver.packets_lost) == (5, -1, 0)


def test_a_reordered_packet_across_the_wrap_counts_no_cycle() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, [65535, 65537, 65536])
    assert receiver.extended_highest_sequence == (1 << 16) + 1


def test_a_gap_below_the_dropout_is_loss() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, [0, 2999])
    assert receiver.packets_lost == 2998


def test_a_restart_needs_two_packets_in_sequence() -> None:
    receiver = RtpReceiver(RATE)
    assert feed(receiver, [0, 1, 30_000, 2, 30_001, 30_003, 40_000, 40_001]) == [
        True, True, False, True, True, True, False, True,
    ]  # fmt: skip
    assert receiver.extended_highest_sequence == 40_001
    assert receiver.packets_received == 1


# SSRC


def test_another_source_takes_over_after_two_packets_in_sequence_and_starts_anew() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, range(100))
    assert feed(receiver, [500, 501, 502], ssrc=2) == [False, True, True]
    assert (receiver.ssrc, receiver.source_changes) == (2, 1)
    assert (receiver.packets_received, receiver.packets_lost) == (2, 0)
    assert receiver.jitter == pytest.approx(0.0, abs=1e-6)


def test_a_straggler_of_the_source_before_changes_nothing() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, range(10), ssrc=1)
    feed(receiver, range(10), ssrc=2)
    assert feed(receiver, [10], ssrc=1) == [False]
    assert feed(receiver, [10], ssrc=2) == [True]
    assert feed(receiver, [11], ssrc=1) == [False]
    assert (receiver.ssrc, receiver.source_changes) == (2, 1)


# A.3


def test_a_report_tells_the_loss_of_its_interval() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, [sequence for sequence in range(100) if sequence % 4 != 1])
    assert receiver.take_report() == ReceptionReport(1, 64, 25, 99, 0)
    feed(receiver, range(100, 200))
    assert receiver.take_report() == ReceptionReport(1, 0, 25, 199, 0)
    # Nothing arrived: nothing is expected, so nothing is lost.
    assert receiver.take_report() == ReceptionReport(1, 0, 25, 199, 0)


def test_doubled_packets_make_no_negative_fraction() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, [0, 0, 1, 1])
    assert receiver.take_report() == ReceptionReport(1, 0, -2, 1, 0)


def test_the_fraction_fits_eight_bits() -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, [0])
    receiver.take_report()
    feed(receiver, [2900])
    report = receiver.take_report()
    assert report is not None
    assert report.fraction_lost == 255


@given(
    st.lists(st.booleans(), min_size=1, max_size=300).filter(lambda kept: kept[0] and kept[-1]),
    st.integers(0, 65535),
)
def test_loss_is_what_was_left_out(kept: list[bool], start: int) -> None:
    receiver = RtpReceiver(RATE)
    feed(receiver, [start + index for index, here in enumerate(kept) if here])
    assert receiver.packets_lost == kept.count(False)
    assert receiver.packets_received == kept.count(True)


# A.8


def test_jitter_follows_the_formula() -> None:
    """Transit times in ms 0, 10, 0, 20: |D| in units 80, 80, 160."""
    receiver = RtpReceiver(RATE)
    jitter = 0.0
    for index, (late, step) in enumerate(((0.0, 0), (0.010, 80), (0.0, 80), (0.020, 160))):
        receiver.receive(packet(index), now=100 + 0.02 * index + late)
        jitter += (step - jitter) / 16 if index else 0
        assert receiver.jitter == pytest.approx(jitter, abs=1e-6)
    assert receiver.jitter_ms == pytest.approx(jitter / 8, abs=1e-6)


def test_alternating_delay_settles_at_its_difference() -> None:
    receiver = RtpReceiver(RATE)
    for index in range(500):
        receiver.receive(packet(index), now=0.02 * index + 0.004 * (index % 2))
    assert receiver.jitter_ms == pytest.approx(4.0, rel=0.01)


def test_steady_packets_have_no_jitter_whatever_the_drift() -> None:
    receiver = RtpReceiver(RATE)
    for index in range(2000):
        receiver.receive(packet(index), now=0.02 * index * (1 + 200e-6))
    assert receiver.jitter_ms < 0.01


def test_repeated_timestamps_of_a_key_press_are_no_jitter() -> None:
    receiver = RtpReceiver(RATE)
    for index in range(20):
        receiver.receive(packet(index), now=0.02 * index)
    for index in range(20, 30):
        receiver.receive(packet(index, timestamp=20 * 160), now=0.02 * index)
    for index in range(30, 40):
        receiver.receive(packet(index), now=0.02 * index)
    assert receiver.jitter == pytest.approx(0.0, abs=1e-6)


def test_a_jump_of_the_timestamps_is_no_jitter() -> None:
    receiver = RtpReceiver(RATE)
    for index in range(10):
        receiver.receive(packet(index, timestamp=160 * index + (0 if index < 5 else 2**31)), now=0.02 * index)
    assert receiver.jitter == pytest.approx(0.0, abs=1e-6)


def test_wrapping_timestamps_are_no_jitter() -> None:
    receiver = RtpReceiver(RATE)
    for index in range(10):
        receiver.receive(packet(index, timestamp=2**32 - 800 + 160 * index), now=0.02 * index)
    assert receiver.jitter == pytest.approx(0.0, abs=1e-6)


def test_jitter_keeps_its_time_when_the_clock_rate_changes() -> None:
    receiver = RtpReceiver(RATE)
    for index in range(100):
        receiver.receive(packet(index), now=0.02 * index + 0.004 * (index % 2))
    before = receiver.jitter_ms
    receiver.clock_rate = 48_000
    assert receiver.jitter_ms == pytest.approx(before)
