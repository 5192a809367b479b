"""What a client asks of whoever has audio devices: outputs that a back end performs, and reports on by inputs.

A client that nobody has told of devices (`Client.devices_changed`) gives none of these.
"""

from dataclasses import dataclass
from typing import TypeAlias

from .devices import Role
from .media_plane import Samples

__all__ = ["AUDIO_EFFECTS", "AudioEffect", "CloseDevice", "LoadSound", "OpenDevice", "PlayAudio"]


@dataclass(frozen=True, slots=True)
class OpenDevice:
    """Open a device for a role: `default` or the id of one that was reported. Reported by `device_opened`, or
    `device_lost` where it cannot be opened; a microphone then gives `microphone_captured`, 20 ms or so at a time."""

    role: Role
    device_id: str


@dataclass(frozen=True, slots=True)
class CloseDevice:
    """Close the device that plays a role. Nothing is reported for it any more."""

    role: Role


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Play this after what was given before: int16 of shape (n,) at `rate` Hz. A device that is behind drops audio
    rather than lag."""

    role: Role
    samples: Samples
    rate: int


@dataclass(frozen=True, slots=True)
class LoadSound:
    """Read a medium: a path, or a http:// or https:// URL. Reported by `sound_loaded` or `sound_failed`."""

    request: int
    source: str


AudioEffect: TypeAlias = OpenDevice | CloseDevice | PlayAudio | LoadSound

AUDIO_EFFECTS = (OpenDevice, CloseDevice, PlayAudio, LoadSound)
