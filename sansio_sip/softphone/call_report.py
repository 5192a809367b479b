"""What is written down of a call for whoever collects statistics: the reference's messages, in JSON types alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import sansio_sip

from .call_info import CallInfo, CallUuid
from .media_plane import MediaStatistics
from .quality import QualitySample

__all__ = ["CallReport", "failure_message"]

SOURCE, VERSION = "sansio_sip", "v1"


# Causes by which a call ends, by how they begin, and the message that tells of it besides.
FAILURES: Mapping[str, str] = MappingProxyType(
    {
        "ICE": "ICE_FAILURE",
        "RTP Timeout": "ICE_FAILURE",
        "DTLS": "MEDIA_FAILURE",
        "no socket": "MEDIA_FAILURE",
        "its sockets": "MEDIA_FAILURE",
        "SDP": "SDP_FAILURE",
        "Incompatible SDP": "SDP_FAILURE",
        "Bad Media Description": "SDP_FAILURE",
        "Missing SDP": "SDP_FAILURE",
    }
)


def failure_message(cause: str) -> str:
    """ICE_FAILURE, MEDIA_FAILURE or SDP_FAILURE; empty where a call did not end by its media."""
    return next((kind for begin, kind in FAILURES.items() if cause.startswith(begin)), "")


def _milliseconds(unix_time: float | None) -> int | None:
    return round(unix_time * 1000) if unix_time is not None else None


@dataclass(slots=True)
class CallReport:
    """The story of one call. Times are Unix times in seconds; in messages, in ms.

    Attributes:
        initiated: the call was placed here, or came in. ringing, answered, connected, ended: None until then.
    """

    call: CallUuid
    user: str
    domain: str
    initiated: float
    ringing: float | None = None
    answered: float | None = None
    connected: float | None = None
    ended: float | None = None
    hangup_party: str = ""
    hangup_reason: str = ""
    toggles: int = 0
    network_changed: bool = False
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def post_dial_delay(self) -> int | None:
        """ms from the call to the first ringing."""
        return None if self.ringing is None else round((self.ringing - self.initiated) * 1000)

    def message(self, kind: str, unix_time: float, **fields: Any) -> dict[str, Any]:
        """One message."""
        return {
            "msg": kind,
            "callUUID": self.call,
            "corelationId": self.call,
            "xcallUUID": self.call,
            "timeStamp": _milliseconds(unix_time),
            "userName": self.user,
            "domain": self.domain,
            "source": SOURCE,
            "version": VERSION,
            **fields,
        }

    def milestone(self, kind: str, info: CallInfo, unix_time: float) -> dict[str, Any]:
        """CALL_RINGING or CALL_ANSWERED."""
        direction = info.direction.value.lower()
        return self.message(
            kind, unix_time, info=f"{direction.capitalize()} call", **self._client(), signalling=self._signalling()
        )

    def statistics(self, sample: QualitySample, snapshot: MediaStatistics, unix_time: float) -> dict[str, Any]:
        """CALL_STATS: what happened since the one before, and the counters so far."""
        return self.message(
            "CALL_STATS",
            unix_time,
            codec=sample.codec,
            pdd=self.post_dial_delay,
            mediaSetupTime=snapshot.setup_ms,
            local={
                "packetsSent": snapshot.packets_sent,
                "bytesSent": snapshot.octets_sent,
                "packetsLost": snapshot.remote_lost,
                "fractionLoss": sample.local_loss,
                "jitter": sample.local_jitter_ms,
                "rtt": sample.rtt_ms,
                "mos": sample.mos,
                "audioLevel": sample.local_level,
            },
            remote={
                "packetsReceived": snapshot.packets_received,
                "bytesReceived": snapshot.octets_received,
                "packetsLost": snapshot.packets_lost,
                "packetsDiscarded": snapshot.discarded,
                "fractionLoss": sample.remote_loss,
                "jitter": sample.remote_jitter_ms,
                "audioLevel": sample.remote_level,
            },
        )

    def dump(self, snapshot: MediaStatistics, unix_time: float) -> dict[str, Any]:
        """CALL_STATS_DUMP: the last state of the media, by the names of the standard's objects."""
        local, remote = (str(each) if each is not None else None for each in (snapshot.local, snapshot.remote))
        return self.message(
            "CALL_STATS_DUMP",
            unix_time,
            localCandidate={"address": local},
            remoteCandidate={"address": remote},
            candidatePair={"local": local, "remote": remote, "roundTripTime": snapshot.rtt_ms},
            transport={"protection": snapshot.protection, "iceTime": snapshot.ice_ms, "dtlsTime": snapshot.dtls_ms},
            outboundRTP={"packetsSent": snapshot.packets_sent, "bytesSent": snapshot.octets_sent},
            inboundRTP={
                "packetsReceived": snapshot.packets_received,
                "bytesReceived": snapshot.octets_received,
                "packetsLost": snapshot.packets_lost,
                "packetsDiscarded": snapshot.discarded,
                "jitter": snapshot.jitter_ms,
            },
            remoteInboundRTP={"packetsLost": snapshot.remote_lost, "jitter": snapshot.remote_jitter_ms},
        )

    def summary(self, info: CallInfo, snapshot: MediaStatistics | None, unix_time: float) -> dict[str, Any]:
        """CALL_SUMMARY: the whole story."""
        media = None
        if snapshot is not None:
            media = {
                "codec": snapshot.codec,
                "protection": snapshot.protection,
                "localAddress": str(snapshot.local) if snapshot.local is not None else None,
                "remoteAddress": str(snapshot.remote) if snapshot.remote is not None else None,
                "iceTime": snapshot.ice_ms,
                "dtlsTime": snapshot.dtls_ms,
            }
        return self.message(
            "CALL_SUMMARY",
            unix_time,
            **self._client(),
            callInfo=info.as_dict(),
            signalling=self._signalling(),
            mediaConnection=media,
            isAudioDeviceToggled=self.toggles > 0,
            isNetworkChanged=self.network_changed,
        )

    def _client(self) -> dict[str, Any]:
        major, minor, patch = (*sansio_sip.__version__.split("."), "0", "0")[:3]
        return {
            "sdkName": SOURCE,
            "sdkVersionMajor": major,
            "sdkVersionMinor": minor,
            "sdkVersionPatch": patch,
        }

    def _signalling(self) -> dict[str, Any]:
        return {
            "call_initiation_time": _milliseconds(self.initiated),
            "ring_start_time": _milliseconds(self.ringing),
            "answer_time": _milliseconds(self.answered),
            "media_connected_time": _milliseconds(self.connected),
            "post_dial_delay": self.post_dial_delay,
            "hangup_time": _milliseconds(self.ended),
            "hangup_party": self.hangup_party,
            "hangup_reason": self.hangup_reason,
            "signalling_errors": list(self.errors),
        }
