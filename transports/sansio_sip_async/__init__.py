"""What the asyncio and the trio front end have in common: phones, calls and clients that can be waited for.

Nothing here knows which event loop it runs on; `sansio_sip_asyncio.client` and `sansio_sip_trio.client` bring theirs.
"""

from .call import Call, CallError
from .client import ClientHandle, FeedbackError
from .phone import Account, LoginError, Phone

__all__ = ["Account", "Call", "CallError", "ClientHandle", "FeedbackError", "LoginError", "Phone"]
