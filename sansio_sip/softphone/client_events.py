"""Events that a client alone has: what the reference tells of tokens, devices, audio and quality.

As those of the phone: each has the reference's name without its `on`, and is a value.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from .call_info import CallUuid
from .events import Said
from .media_plane import Samples

__all__ = [
    "AudioDeviceChange",
    "CallStatistics",
    "ClientEvent",
    "FeedbackFailed",
    "FeedbackSent",
    "MediaMetrics",
    "MediaPermission",
    "MicrophoneAudio",
    "NoiseReductionReady",
    "PermissionDenied",
    "TokenRequested",
    "Unregistered",
    "Volume",
    "WebrtcNotSupported",
]


@dataclass(frozen=True, slots=True)
class TokenRequested(Said):
    """A token is wanted: give it by `token_provided(request, token)`, or say `token_failed(request, reason)`."""

    request: int

    name: ClassVar[str] = "onTokenRequested"

    def as_dict(self) -> dict[str, Any]:
        return {"request": self.request}


@dataclass(frozen=True, slots=True)
class PermissionDenied(Said):
    """onPermissionDenied: the access token does not allow that; `cause` is `INVALID_ACCESS_TOKEN_GRANTS`."""

    cause: str

    name: ClassVar[str] = "onPermissionDenied"

    def as_dict(self) -> dict[str, Any]:
        return {"cause": self.cause}


@dataclass(frozen=True, slots=True)
class Unregistered(Said):
    """The binding was taken away by `unregister`; the connection stays."""

    name: ClassVar[str] = "onUnregistered"

    def as_dict(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class MediaMetrics(Said):
    """mediaMetrics: something is wrong with a call's audio (`active`), or is well again.

    Attributes:
        group: `network` or `audio`.
        type: `high_jitter`, `high_rtt`, `high_packetloss`, `low_mos`, `no_audio_received`, `ice_timeout`,
            `no_microphone_access`, `ice_connection` or `speaking_on_mute`.
        value: what was measured: ms, a share of packets from 0.0 to 1.0, a score, dBFS, or the state of ICE.
        stream: `local` for what we send, `remote` for what we receive, `None` for both.
    """

    call: CallUuid
    group: str
    type: str
    value: float | str
    active: bool
    desc: str
    stream: str
    level: str = "warning"

    name: ClassVar[str] = "mediaMetrics"

    def as_dict(self) -> dict[str, Any]:
        return {
            "group": self.group,
            "level": self.level,
            "type": self.type,
            "value": self.value,
            "active": self.active,
            "desc": self.desc,
            "stream": self.stream,
        }


@dataclass(frozen=True, slots=True)
class Volume(Said):
    """volume: how loud both sides are, 0.0 (-100 dB) to 1.0 (-30 dB); about 60 times a second while subscribed to."""

    input_volume: float
    output_volume: float

    name: ClassVar[str] = "volume"

    def as_dict(self) -> dict[str, Any]:
        return {"inputVolume": f"{self.input_volume:.3f}", "outputVolume": f"{self.output_volume:.3f}"}


@dataclass(frozen=True, slots=True)
class MediaPermission(Said):
    """onMediaPermission: whether there is a microphone to be had. `error` names what is wrong; empty: nothing."""

    stream: bool
    error: str = ""

    name: ClassVar[str] = "onMediaPermission"

    def as_dict(self) -> dict[str, Any]:
        if self.error:
            return {"status": "failure", "error": self.error}
        return {"status": "success", "stream": self.stream}


@dataclass(frozen=True, slots=True)
class WebrtcNotSupported(Said):
    """onWebrtcNotSupported: a library that DTLS, SRTP or Opus needs does not work here; `reason` says which."""

    reason: str

    name: ClassVar[str] = "onWebrtcNotSupported"

    def as_dict(self) -> dict[str, Any]:
        return {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class AudioDeviceChange(Said):
    """audioDeviceChange: a device was `added` or `removed`."""

    change: str
    device: dict[str, str]

    name: ClassVar[str] = "audioDeviceChange"

    def as_dict(self) -> dict[str, Any]:
        return {"change": self.change, "device": dict(self.device)}


@dataclass(frozen=True, slots=True)
class MicrophoneAudio(Said):
    """What the microphone has given, int16 of shape (n,) at `rate` Hz; told while a program wants its stream."""

    samples: Samples
    rate: int

    name: ClassVar[str] = "onMicrophoneAudio"

    def as_dict(self) -> dict[str, Any]:
        return {"samples": len(self.samples), "rate": self.rate}


@dataclass(frozen=True, slots=True)
class NoiseReductionReady(Said):
    """onNoiseReductionReady: `start_noise_reduction` may be called."""

    name: ClassVar[str] = "onNoiseReductionReady"

    def as_dict(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class CallStatistics(Said):
    """One message about a call for whoever collects them (`CALL_RINGING`, `CALL_STATS`, `CALL_SUMMARY`...).

    `message` has JSON types only.
    """

    call: CallUuid
    message: dict[str, Any]

    name: ClassVar[str] = "callStatistics"

    def as_dict(self) -> dict[str, Any]:
        return dict(self.message)


@dataclass(frozen=True, slots=True)
class FeedbackSent(Said):
    """`submit_call_quality_feedback` has reached its server. `request` is its number."""

    request: int

    name: ClassVar[str] = "onFeedbackSent"

    def as_dict(self) -> dict[str, Any]:
        return {"request": self.request}


@dataclass(frozen=True, slots=True)
class FeedbackFailed(Said):
    """Feedback was refused for good, or could not be delivered yet.

    `retry_in`: seconds until the next try; None where there is none.
    """

    request: int
    reason: str
    retry_in: float | None = None

    name: ClassVar[str] = "onFeedbackFailed"

    def as_dict(self) -> dict[str, Any]:
        return {"request": self.request, "reason": self.reason}


ClientEvent: TypeAlias = (
    TokenRequested
    | PermissionDenied
    | Unregistered
    | MediaMetrics
    | Volume
    | MediaPermission
    | WebrtcNotSupported
    | AudioDeviceChange
    | MicrophoneAudio
    | NoiseReductionReady
    | CallStatistics
    | FeedbackSent
    | FeedbackFailed
)
