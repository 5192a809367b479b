"""The figures of one media session, drawn from the parts that have them."""

from collections import Counter
from collections.abc import Mapping

from sansio_sip.effects import Address, FlowId
from sansio_sip.softphone.media_plane import MediaStatistics

from .audio_stream import AudioStream
from .rtcp.session import RtcpSession
from .transport import MediaTransport
from .voip_quality import remote_quality

__all__ = ["statistics_of"]


def statistics_of(
    audio: AudioStream,
    rtcp: RtcpSession | None,
    transport: MediaTransport | None,
    *,
    sockets: Mapping[FlowId, Address],
    opened_at: float,
    flowing_at: float | None,
    octets_received: int,
    rejected: Mapping[str, int],
) -> MediaStatistics:
    """The snapshot. `octets_received` and `rejected` are what the session itself has counted."""
    receiver, sender = audio.receiver, audio.sender
    rtt = rtcp.rtt if rtcp is not None else None
    if rtt is None and transport is not None:
        rtt = transport.rtt
    path = transport.path if transport is not None else None
    stages = transport.stages if transport is not None else {}
    refused = Counter(rejected)
    if transport is not None:
        refused.update(transport.rejected)
    return MediaStatistics(
        codec="" if audio.codec is None else _spelling(audio.codec.name),
        protection=transport.protection if transport is not None and flowing_at is not None else "none",
        local=(path.local or sockets.get(path.flow)) if path is not None else None,
        remote=path.remote if path is not None else None,
        packets_sent=sender.packets,
        packets_received=receiver.packets_received if receiver is not None else 0,
        octets_sent=sender.octets,
        octets_received=octets_received,
        packets_lost=receiver.packets_lost if receiver is not None else 0,
        jitter_ms=receiver.jitter_ms if receiver is not None else 0.0,
        rtt_ms=None if rtt is None else rtt * 1000,
        remote_lost=rtcp.remote_lost if rtcp is not None else None,
        remote_jitter_ms=rtcp.remote_jitter_ms if rtcp is not None else None,
        remote_quality=remote_quality(rtcp.remote_metrics) if rtcp is not None else None,
        ice_ms=_between(opened_at, stages.get("ice")),
        dtls_ms=_between(stages.get("ice"), stages.get("dtls")),
        setup_ms=_between(opened_at, flowing_at),
        concealed=audio.concealed,
        discarded=audio.discarded,
        local_level_dbfs=audio.said_level.mean,
        remote_level_dbfs=audio.heard_level.mean,
        rejected=tuple(sorted(refused.items())),
    )


def _between(start: float | None, end: float | None) -> float | None:
    """Milliseconds."""
    return None if start is None or end is None else (end - start) * 1000


def _spelling(codec: str) -> str:
    """The codec's name as the reference writes it."""
    return codec if codec == "opus" else codec.upper()
