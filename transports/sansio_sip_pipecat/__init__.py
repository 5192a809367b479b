"""A pipecat pipeline on a telephone call (extra `pipecat`; asyncio)."""

from .transport import SipInputTransport, SipOutputTransport, SipTransport, SipTransportParams

__all__ = ["SipInputTransport", "SipOutputTransport", "SipTransport", "SipTransportParams"]
