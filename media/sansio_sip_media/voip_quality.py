"""What a session tells its peer of how it hears her, and what the peer tells of us (RFC 3611 section 4.7)."""

from sansio_sip.softphone.media_plane import RemoteQuality

from .incoming_audio import IncomingAudio
from .jitter_buffer import EXCESS_DELAY, MAX_DELAY
from .levels import MeanLevel
from .metrics import mos_of, rating
from .rtcp.bursts import GMIN, BurstReport
from .rtcp.extended import UNAVAILABLE, VoipMetrics

__all__ = ["remote_quality", "voip_metrics"]

FRAME_MS = 20

# Section 4.7.6: what is lost is made up from what was heard, and the jitter buffer adapts.
ENHANCED_CONCEALMENT, ADAPTIVE = 0b10 << 6, 0b11 << 4

# dBm0 of a sine at full scale (ITU-T G.711: 3.14 with the A law, 3.17 with mu); ours are dB below that.
FULL_SCALE_DBM0 = 3

NO_BURSTS = BurstReport(0.0, 0.0, 0.0, 0.0, 1.0)


def voip_metrics(heard: IncomingAudio, level: MeanLevel, rtt: float | None) -> VoipMetrics | None:
    """Our own, or None before there is a source. `rtt` in seconds.

    The level is the mean of what was played of late, pauses included. There is no measure of noise and echo here.
    """
    receiver, jitter = heard.receiver, heard.jitter_buffer
    if receiver is None or receiver.ssrc is None or jitter is None or heard.codec is None:
        return None
    expected = max(receiver.packets_received + receiver.packets_lost, 1)
    lost, discarded = receiver.packets_lost / expected, heard.late / expected
    bursts = heard.bursts.report() or NO_BURSTS
    waiting = jitter.delay_ms if jitter.delay_ms is not None else jitter.target_ms
    # A frame is heard when it is whole, and said when the far end has it whole.
    end_system = waiting + FRAME_MS
    round_trip = 0.0 if rtt is None else 1000 * rtt
    unplayed = min(lost + discarded, 1.0)
    listening = rating(heard.codec.name, 0.0, unplayed, bursts.ratio)
    conversational = rating(heard.codec.name, round_trip / 2 + end_system + FRAME_MS, unplayed, bursts.ratio)
    return VoipMetrics(
        ssrc=receiver.ssrc,
        loss_rate=_share(lost),
        discard_rate=_share(discarded),
        burst_density=_share(bursts.burst_density),
        gap_density=_share(bursts.gap_density),
        burst_duration=_word(bursts.burst_length * FRAME_MS),
        gap_duration=_word(bursts.gap_length * FRAME_MS),
        round_trip_delay=_word(round_trip),
        end_system_delay=_word(end_system),
        signal_level=UNAVAILABLE if level.mean is None else max(round(level.mean) + FULL_SCALE_DBM0, -128),
        gmin=GMIN,
        r_factor=round(conversational),
        mos_listening=round(10 * mos_of(listening)),
        mos_conversational=round(10 * mos_of(conversational)),
        receiver_configuration=ENHANCED_CONCEALMENT | ADAPTIVE,
        jitter_buffer_nominal=_word(jitter.target_ms),
        jitter_buffer_maximum=_word(jitter.target_ms + 1000 * EXCESS_DELAY),
        jitter_buffer_absolute_maximum=_word(1000 * (MAX_DELAY + EXCESS_DELAY)),
    )


def remote_quality(said: VoipMetrics | None) -> RemoteQuality | None:
    """The peer's, in our units."""
    if said is None:
        return None
    return RemoteQuality(
        loss=said.loss_rate / 256,
        discarded=said.discard_rate / 256,
        burst_density=said.burst_density / 256,
        gap_density=said.gap_density / 256,
        burst_ms=said.burst_duration,
        gap_ms=said.gap_duration,
        round_trip_ms=said.round_trip_delay or None,
        end_system_delay_ms=said.end_system_delay,
        signal_dbm0=_measured(said.signal_level),
        noise_dbm0=_measured(said.noise_level),
        echo_return_loss_db=_measured(said.residual_echo_return_loss),
        r_factor=_measured(said.r_factor),
        mos_listening=_score(said.mos_listening),
        mos_conversational=_score(said.mos_conversational),
        jitter_buffer_ms=said.jitter_buffer_nominal,
        jitter_buffer_max_ms=said.jitter_buffer_maximum,
    )


def _share(part: float) -> int:
    """In 1/256, of which 8 bits do not hold the whole."""
    return min(int(256 * part), 255)


def _word(value: float) -> int:
    return min(max(round(value), 0), 0xFFFF)


def _measured(value: int) -> int | None:
    return None if value == UNAVAILABLE else value


def _score(tenths: int) -> float | None:
    return None if tenths == UNAVAILABLE else tenths / 10
