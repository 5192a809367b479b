"""What the asyncio and the trio front end have in common: phones, calls and clients that can be waited for.

Nothing here knows which event loop it runs on; `sansio_sip_asyncio.client` and `sansio_sip_trio.client` bring theirs.
"""

from sansio_sip_media.answering_machine import AnsweredBy, Beep
from sansio_sip_media.turns import TurnBegan, TurnEnded, VoiceFrame

from .call import Call, CallError, Flushed
from .client import ClientHandle, FeedbackError
from .phone import Account, LoginError, Phone
from .subscription import AudioStream, Subscription
from .voice import Turns, VoiceFrames

__all__ = [
    "Account",
    "AnsweredBy",
    "AudioStream",
    "Beep",
    "Call",
    "CallError",
    "ClientHandle",
    "FeedbackError",
    "Flushed",
    "LoginError",
    "Phone",
    "Subscription",
    "TurnBegan",
    "TurnEnded",
    "Turns",
    "VoiceFrame",
    "VoiceFrames",
]
