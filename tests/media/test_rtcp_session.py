"""When reports go out, what they say, and what comes of the peer's: RFC 3550 section 6 and appendix A.7."""

import random
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.context import Context, Entropy
from sansio_sip_media.rtcp.packets import (
    Bye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)
from sansio_sip_media.rtcp.session import (
    COMPENSATION,
    MAX_MEMBERS,
    RtcpSession,
    SendRtcp,
    State,
    interval,
    middle,
    ntp_time,
)
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.rtp.receiver import RtpReceiver
from sansio_sip_media.rtp.sender import RtpSender

RATE = 8_000
UNIX = 1_700_000_000.0


def session(ssrc: int = 1, seed: int = 1, *, sender: RtpSender | None = None) -> RtcpSession:
    context = Context(Entropy(random.Random(seed)), unix_offset=UNIX)
    return RtcpSession(context, ssrc, f"end{ssrc}", RATE, sender)


def run(machine: RtcpSession, until: float) -> list[tuple[float, bytes]]:
    """Fires the timer up to a time: the compounds, and when they left."""
    sent = []
    while (deadline := machine.next_timeout()) is not None and deadline <= until:
        machine.handle_timeout(now=deadline)
        sent += [(deadline, output.data) for output in machine.outputs()]
    return sent


# Time


def test_ntp_time_counts_from_1900() -> None:
    """RFC 3550 section 4; 2 208 988 800 s lie between 1900 and 1970."""
    assert ntp_time(0.0) == 2_208_988_800 << 32
    assert ntp_time(0.5) & 0xFFFFFFFF == 1 << 31
    assert middle(0x0123_4567_89AB_CDEF) == 0x4567_89AB


def test_ntp_time_wraps_in_2036() -> None:
    assert ntp_time(2**32 - 2_208_988_800) == 0


# The interval (appendix A.7)


@given(
    st.integers(2, 40), st.integers(0, 40), st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True),
)  # fmt: skip
def test_the_interval_lies_within_half_and_one_and_a_half_of_its_mean(
    members: int, senders: int, we_sent: bool, initial: bool, fraction: float
) -> None:
    seconds = interval(members, senders, 500.0, 120.0, we_sent=we_sent, initial=initial, fraction=fraction)
    least = 2.5 if initial else 5.0
    assert seconds >= 0.5 * least / COMPENSATION
    assert seconds <= 1.5 * max(least, 120.0 * members / (0.25 * 500.0)) / COMPENSATION


@pytest.mark.parametrize(
    ("members", "senders", "we_sent", "mean"),
    [
        pytest.param(2, 2, True, 5.0, id="a call: the minimum"),
        pytest.param(100, 10, True, 10 * 120 / 125, id="senders share a quarter"),
        pytest.param(100, 10, False, 90 * 120 / 375, id="receivers share the rest"),
        pytest.param(100, 60, True, 100 * 120 / 500, id="many senders: all share alike"),
    ],
)
def test_the_mean_follows_from_the_bandwidth(members: int, senders: int, we_sent: bool, mean: float) -> None:
    seconds = interval(members, senders, 500.0, 120.0, we_sent=we_sent, initial=False, fraction=0.5)
    assert seconds == pytest.approx(max(mean, 5.0) / COMPENSATION)


def test_nothing_is_sent_before_the_start() -> None:
    assert session().next_timeout() is None


def test_the_first_report_comes_after_about_half_of_the_minimum() -> None:
    firsts = []
    for seed in range(300):
        machine = session(seed=seed)
        machine.start(now=100.0)
        firsts.append(run(machine, 200.0)[0][0] - 100.0)
    assert min(firsts) >= 1.25 / COMPENSATION
    assert max(firsts) <= 3.75 / COMPENSATION
    # Reconsideration shifts the mean back up from 2.5 / 1.218 to about 2.5.
    assert statistics.mean(firsts) == pytest.approx(2.5, abs=0.2)


def test_reports_then_come_each_five_seconds_on_average() -> None:
    machine = session()
    machine.start(now=0.0)
    times = [when for when, _ in run(machine, 3600.0)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(5.0, rel=0.05)
    assert min(gaps) >= 2.5 / COMPENSATION


def test_handling_timeouts_early_or_twice_sends_nothing_more() -> None:
    machine = session()
    machine.start(now=0.0)
    machine.start(now=0.5)
    machine.handle_timeout(now=0.5)
    assert machine.poll_output() is None
    (when, _), *_ = run(machine, 10.0)
    machine.handle_timeout(now=when)
    assert list(machine.outputs()) == []


# What is said


def test_a_silent_end_sends_a_receiver_report_and_its_name() -> None:
    machine = session()
    machine.start(now=0.0)
    (_, data), *_ = run(machine, 5.0)
    assert parse_compound(data) == (ReceiverReport(1), SourceDescription.of_cname(1, "end1"))


def test_a_sender_report_ties_the_clocks_together() -> None:
    sender = RtpSender(1, 10, 1000)
    machine = session(sender=sender)
    machine.start(now=50.0)
    for index in range(40):
        machine.sent(sender.packet(0, b"x" * 160, samples=160), now=50.0 + 0.02 * index)
    (when, data), *_ = run(machine, 60.0)
    last = 1000 + 39 * 160
    since = round((when - (50.0 + 0.02 * 39)) * RATE)
    assert parse_compound(data) == (
        SenderReport(1, ntp_time(when + UNIX), last + since, 40, 6400),
        SourceDescription.of_cname(1, "end1"),
    )


def test_one_that_fell_silent_goes_back_to_receiver_reports() -> None:
    sender = RtpSender(1, 10, 1000)
    machine = session(sender=sender)
    machine.start(now=0.0)
    machine.sent(sender.packet(0, b"x", samples=160), now=0.0)
    kinds = [type(parse_compound(data)[0]) for _, data in run(machine, 60.0)]
    assert kinds[0] is SenderReport
    assert kinds[-1] is ReceiverReport


def test_a_report_block_echoes_the_last_sender_report() -> None:
    machine = session()
    machine.receiver = receiver = RtpReceiver(RATE)
    machine.start(now=0.0)
    for index in (0, 1, 3):
        receiver.receive(RtpPacket(0, index, 160 * index, 9, b""), now=0.02 * index)
    machine.receive(bytes(SenderReport(9, 0x1111_2222_3333_4444, 0, 0, 0)), now=0.25)
    (when, data), *_ = run(machine, 5.0)
    report = parse_compound(data)[0]
    assert isinstance(report, ReceiverReport)
    assert report.reports == (ReportBlock(9, 64, 1, 3, 0, 0x2222_3333, int((when - 0.25) * 65536)),)


# What is heard


def test_the_round_trip_is_measured_with_the_figures_of_the_rfc() -> None:
    """RFC 3550 figure 2: LSR b705:2000, DLSR 5.250 s, arrival b710:8000; 6.125 s."""
    machine = session()
    lsr, dlsr = 0xB705_2000, 0x0005_4000
    arrival = 0xB44D_B710_8000_0000 / 2**32 - 2_208_988_800 - UNIX
    machine.receive(
        bytes(ReceiverReport(9, (ReportBlock(1, last_sender_report=lsr, delay_since_last=dlsr),))), now=arrival
    )
    assert machine.rtt == pytest.approx(6.125, abs=1e-4)


def test_two_ends_measure_the_path_between_them() -> None:
    delay = 0.040
    ends = {}
    for ssrc in (1, 2):
        sender = RtpSender(ssrc, 0, 0)
        ends[ssrc] = session(ssrc, seed=ssrc, sender=sender), sender, RtpReceiver(RATE)
        ends[ssrc][0].receiver = ends[ssrc][2]
        ends[ssrc][0].start(now=0.0)
    in_flight: list[tuple[float, int, bytes]] = []
    for tick in range(1500):
        now = 0.02 * tick
        for ssrc, (machine, sender, _) in ends.items():
            machine.handle_timeout(now=now)
            in_flight += [(now + delay, 3 - ssrc, output.data) for output in machine.outputs()]
            packet = sender.packet(0, b"x" * 160, samples=160)
            machine.sent(packet, now=now)
            # One of ten packets to the second end is lost.
            if ssrc == 2 or tick % 10:
                ends[3 - ssrc][2].receive(packet, now=now + delay + 0.005 * (tick % 2))
        for _, to, data in [each for each in in_flight if each[0] <= now]:
            ends[to][0].receive(data, now=now)
        in_flight = [each for each in in_flight if each[0] > now]
    first, second = ends[1][0], ends[2][0]
    assert first.rtt == pytest.approx(2 * delay, abs=0.045)  # compounds are taken on the tick
    assert second.rtt == pytest.approx(2 * delay, abs=0.045)
    assert first.remote_lost == pytest.approx(150, abs=40)
    assert first.remote_fraction_lost == pytest.approx(0.1, abs=0.02)
    assert second.remote_lost == 0
    assert second.remote_jitter_ms == pytest.approx(5.0, rel=0.1)
    assert (first.remote_cname, second.remote_cname) == ("end2", "end1")


def test_a_clock_that_runs_fast_makes_no_negative_round_trip() -> None:
    machine = session()
    now = 10.0
    lsr = middle(ntp_time(now + UNIX))
    machine.receive(bytes(ReceiverReport(9, (ReportBlock(1, last_sender_report=lsr, delay_since_last=10),))), now=now)
    assert machine.rtt == 0.0


def test_blocks_about_others_say_nothing() -> None:
    machine = session()
    machine.receive(bytes(ReceiverReport(9, (ReportBlock(2, cumulative_lost=5, last_sender_report=1),))), now=1.0)
    assert (machine.rtt, machine.remote_lost, machine.remote_jitter_ms) == (None, None, None)


# Leaving


def test_goodbye_ends_the_reports() -> None:
    machine = session()
    machine.start(now=0.0)
    assert parse_compound(machine.bye(now=1.0)) == (
        ReceiverReport(1),
        SourceDescription.of_cname(1, "end1"),
        Bye((1,)),
    )
    assert (machine.state, machine.next_timeout()) == (State.ENDED, None)
    machine.start(now=2.0)
    assert machine.next_timeout() is None


def test_the_peers_goodbye_is_noticed_and_brings_the_next_report_nearer() -> None:
    machine = session()
    machine.start(now=0.0)
    machine.receive(bytes(ReceiverReport(9)), now=0.1)
    run(machine, 30.0)
    machine.receive(bytes(ReceiverReport(9)), now=30.0)
    run(machine, 31.0)
    before = machine.next_timeout()
    machine.receive(serialize_compound((ReceiverReport(9), Bye((9,)))), now=31.0)
    after = machine.next_timeout()
    assert machine.remote_left
    assert before is not None
    assert after is not None
    # Section 6.3.4: the wait shrinks as the members do, from two to one.
    assert after - 31.0 == pytest.approx((before - 31.0) / 2)


def test_members_unheard_for_five_intervals_are_forgotten() -> None:
    machine = session()
    machine.start(now=0.0)
    machine.receive(bytes(SenderReport(9, 1 << 32, 0, 0, 0)), now=0.0)
    run(machine, 120.0)
    assert machine._members == {}
    assert machine._last_sender_reports == {}


def test_a_flood_of_sources_is_bounded() -> None:
    machine = session()
    machine.start(now=0.0)
    for ssrc in range(2, 1000):
        machine.receive(bytes(SenderReport(ssrc, 1 << 32, 0, 0, 0)), now=0.0)
    assert len(machine._members) == MAX_MEMBERS
    assert len(machine._last_sender_reports) == MAX_MEMBERS


@given(st.lists(st.binary(max_size=60) | st.just(bytes(SenderReport(9, 1, 2, 3, 4))), max_size=5))
def test_no_octets_raise(datagrams: list[bytes]) -> None:
    machine = session()
    machine.start(now=0.0)
    for data in datagrams:
        machine.receive(data, now=0.1)
    assert machine.malformed <= len(datagrams)
    assert all(isinstance(output, SendRtcp) for output in machine.outputs())


def test_an_oversized_compound_is_counted_and_dropped() -> None:
    machine = session()
    machine.receive(bytes(ReceiverReport(9)) * 400, now=0.0)
    assert machine.malformed == 1
