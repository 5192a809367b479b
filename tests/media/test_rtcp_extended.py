"""RTCP XR (RFC 3611): its layout, how losses come, what we tell, and what is made of the peer's."""

import random
from itertools import groupby

import pytest
from engines.wire import S, Wire, options
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.context import Context, Entropy
from sansio_sip.errors import ParseError
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip_media.rtcp.bursts import GMIN, BurstGap, BurstReport
from sansio_sip_media.rtcp.extended import (
    DelaySinceLast,
    DelaySinceLastBlock,
    OtherBlock,
    ReceiverReferenceTime,
    VoipMetrics,
)
from sansio_sip_media.rtcp.packets import ExtendedReport, parse_compound, serialize_compound
from sansio_sip_media.rtcp.session import RtcpSession, middle, ntp_time

# As section 4.7 draws it, word by word.
VOIP = bytes.fromhex(
    "80cf000a"  # V=2, PT=207, ten words follow
    "11223344"  # SSRC
    "07000008"  # BT=7, reserved, block length 8
    "55667788"  # SSRC of source
    "0a141e28"  # loss rate, discard rate, burst density, gap density
    "01f40fa0"  # burst duration, gap duration
    "00780050"  # round trip delay, end system delay
    "ecc47f10"  # signal level, noise level, RERL, Gmin
    "5d7f2a29"  # R factor, external R factor, MOS-LQ, MOS-CQ
    "b000003c"  # RX config, reserved, JB nominal
    "01040258"  # JB maximum, JB absolute maximum
)
METRICS = VoipMetrics(
    0x55667788, 10, 20, 30, 40, 500, 4000, 120, 80, -20, -60, 127, 16, 93, 127, 42, 41, 0xB0, 60, 260, 600
)

# Sections 4.4 and 4.5.
TIMES = bytes.fromhex(
    "80cf0008 11223344"  # V=2, PT=207, eight words follow; SSRC
    "04000002 0123456789abcdef"  # BT=4: NTP timestamp
    "05000003 55667788 456789ab 00010000"  # BT=5: SSRC of receiver, its last RR, delay since that
)


def test_voip_metrics_are_laid_out_as_the_rfc_draws_them() -> None:
    assert parse_compound(VOIP) == (ExtendedReport(0x11223344, (METRICS,)),)
    assert serialize_compound(parse_compound(VOIP)) == VOIP


def test_times_are_laid_out_as_the_rfc_draws_them() -> None:
    reference = ReceiverReferenceTime(0x0123456789ABCDEF)
    delay = DelaySinceLastBlock((DelaySinceLast(0x55667788, 0x456789AB, 0x10000),))
    assert parse_compound(TIMES) == (ExtendedReport(0x11223344, (reference, delay)),)
    assert serialize_compound(parse_compound(TIMES)) == TIMES


def test_blocks_that_are_not_known_are_passed_over() -> None:
    """Section 3, of unknown types; and a known type of another length."""
    unknown, short = OtherBlock(200, 9, b"four" * 3), OtherBlock(7, 0, b"four")
    (packet,) = parse_compound(serialize_compound((ExtendedReport(1, (unknown, METRICS, short)),)))
    assert packet == ExtendedReport(1, (unknown, METRICS, short))


@pytest.mark.parametrize("data", ["80cf0000", "80cf000211223344 07000008", "80cf0002 11223344 c8000001"])
def test_what_ends_too_soon_is_malformed(data: str) -> None:
    with pytest.raises(ParseError):
        parse_compound(bytes.fromhex(data))


# Bursts and gaps (section 4.7.2)


def told(lost: list[bool]) -> BurstReport | None:
    counts = BurstGap()
    for each in lost:
        (counts.missed if each else counts.played)()
    return counts.report()


def test_losses_that_stand_alone_are_of_the_gap() -> None:
    found = told(([True] + [False] * 19) * 10)
    assert found is not None
    assert (found.burst_density, found.burst_length) == (0.0, 0.0)
    assert found.gap_density == pytest.approx(10 / 200)


def test_losses_near_each_other_are_a_burst() -> None:
    """The example of section 4.7.2, in which 1 is received, 0 lost and X discarded: a burst of 12 between two gaps."""
    seen = "11110111111111111111111X111X1011110111111111111111111X111111111"
    found = told([each != "1" for each in seen])
    assert found is not None
    # "The burst has a density of 33%" (4 of 12); gaps: 2 lost of 51.
    assert found.burst_density == pytest.approx(4 / 12, abs=0.08)
    assert found.gap_density == pytest.approx(2 / 51, abs=0.01)
    assert found.burst_length == pytest.approx(12, abs=1.5)


def by_definition(lost: list[bool]) -> tuple[list[int], int]:
    """Lengths of bursts, from loss to loss without `GMIN` played in a row, of two losses at least; losses in them."""
    bursts, inside = [], 0
    start = last = None
    count = 0
    for place, each in enumerate([*lost, *[False] * GMIN, True]):
        if not each:
            continue
        if last is None or place - last > GMIN:
            if count > 1:
                assert start is not None
                assert last is not None
                bursts.append(last - start + 1)
                inside += count
            start, count = place, 0
        last, count = place, count + 1
    return bursts, inside


@given(st.lists(st.integers(0, 24), min_size=1, max_size=40))
def test_bursts_are_those_of_the_definition(runs: list[int]) -> None:
    lost = [each for run in runs for each in (*[False] * run, True)]
    bursts, inside = by_definition(lost)
    found = told(lost)
    assert found is not None
    assert (found.burst_density > 0) == bool(bursts)
    alone = sum(lost) - inside
    played_outside = len(lost) - sum(bursts) - alone
    assert found.gap_density == pytest.approx(alone / (alone + played_outside) if alone else 0.0)
    if bursts:
        # The chain of the appendix counts a burst's first step twice, in and out of it.
        assert found.burst_length == pytest.approx(sum(bursts) / len(bursts), abs=1.0)
        assert found.gap_length == pytest.approx((alone + played_outside) / len(bursts), abs=1.0)


def test_random_losses_have_a_burst_ratio_of_one() -> None:
    draw = random.Random(1)
    lost = [draw.random() < 0.1 for _ in range(20_000)]
    found = told(lost)
    assert found is not None
    assert found.ratio == pytest.approx(1.0, abs=0.05)
    bunched = [each for each in lost for _ in range(4)]
    found = told(bunched)
    assert found is not None
    lengths = [len(list(run)) for value, run in groupby(bunched) if value]
    assert found.ratio == pytest.approx(sum(lengths) / len(lengths) * 0.9, rel=0.05)


# Two sessions


def machine(ssrc: int) -> RtcpSession:
    return RtcpSession(Context(Entropy(random.Random(ssrc)), unix_offset=1_700_000_000.0), ssrc, f"end{ssrc}", 8000)


def test_the_round_trip_of_a_receiver_is_measured_by_reference_time() -> None:
    ours, theirs = machine(1), machine(2)
    ours.metrics = lambda rtt: None
    ours.start(now=10.0)
    theirs.start(now=10.0)
    deadline = 10.0
    while not (sent := list(ours.outputs())):
        deadline = ours.next_timeout() or deadline
        ours.handle_timeout(now=deadline)
    theirs.receive(sent[0].data, now=deadline + 0.1)
    ours.receive(theirs.bye(now=deadline + 0.6), now=deadline + 0.7)
    assert ours.rtt == pytest.approx(0.2, abs=0.001)


def test_the_time_of_a_peer_is_told_back_in_its_middle() -> None:
    ours = machine(1)
    reference = ntp_time(1_700_000_010.0)
    ours.receive(serialize_compound((ExtendedReport(2, (ReceiverReferenceTime(reference),)),)), now=10.0)
    report = next(packet for packet in parse_compound(ours.bye(now=10.5)) if isinstance(packet, ExtendedReport))
    assert report.blocks == (DelaySinceLastBlock((DelaySinceLast(2, middle(reference), 0x8000),)),)


def in_a_call(profile: MediaProfile) -> Wire:
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    wire.negotiate()
    return wire


@pytest.mark.parametrize("profile", [MediaProfile.WEBRTC, MediaProfile.RTP])
def test_each_end_knows_how_the_other_hears_it(profile: MediaProfile) -> None:
    wire = in_a_call(profile)
    draw = random.Random(4)
    wire.keep = lambda end, data: end is wire.ends[1] or not 0x80 <= data[0] < 0xC0 or draw.random() >= 0.1
    wire.run(30.0)
    said, heard = (end.engine.statistics(S) for end in wire.ends)
    assert said.remote_quality is not None
    assert heard.remote_quality is not None
    assert said.remote_quality.loss == pytest.approx(0.1, abs=0.04)
    assert said.remote_quality.gap_density > 0
    assert said.remote_quality.r_factor is not None
    assert heard.remote_quality.r_factor is not None
    assert said.remote_quality.r_factor < heard.remote_quality.r_factor - 10
    assert heard.remote_quality.loss == 0
    assert heard.remote_quality.mos_conversational is not None
    assert heard.remote_quality.mos_conversational > 4.0
    assert 20 <= heard.remote_quality.jitter_buffer_ms <= heard.remote_quality.jitter_buffer_max_ms
