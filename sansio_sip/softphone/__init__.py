"""The phone as a pure machine: `Softphone` with many accounts and calls, its options, events and values; and
`Client`, the reference's API over one of its accounts."""

from . import events
from .call_info import AccountId, CallDirection, CallInfo, CallState, CallUuid, HangupInfo
from .client import Client, ClientOutput
from .devices import AudioDevice
from .events import Event
from .media_plane import MediaPlane, MediaProfile, MediaStatistics, RemoteQuality
from .options import AccountOptions, Options, SoftphoneOptions
from .softphone import Softphone, SoftphoneOutput

__all__ = [
    "AccountId",
    "AccountOptions",
    "AudioDevice",
    "CallDirection",
    "CallInfo",
    "CallState",
    "CallUuid",
    "Client",
    "ClientOutput",
    "Event",
    "HangupInfo",
    "MediaPlane",
    "MediaProfile",
    "MediaStatistics",
    "Options",
    "RemoteQuality",
    "Softphone",
    "SoftphoneOptions",
    "SoftphoneOutput",
    "events",
]
