"""The phone as a pure machine: `Softphone` with many accounts and calls, its options, events and values."""

from . import events
from .call_info import AccountId, CallDirection, CallInfo, CallState, CallUuid, HangupInfo
from .events import Event
from .media_plane import MediaPlane, MediaProfile, MediaStatistics
from .options import AccountOptions, SoftphoneOptions
from .softphone import Softphone, SoftphoneOutput

__all__ = [
    "AccountId",
    "AccountOptions",
    "CallDirection",
    "CallInfo",
    "CallState",
    "CallUuid",
    "Event",
    "HangupInfo",
    "MediaPlane",
    "MediaProfile",
    "MediaStatistics",
    "Softphone",
    "SoftphoneOptions",
    "SoftphoneOutput",
    "events",
]
