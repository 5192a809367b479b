"""SRTP and SRTCP of one session (RFC 3711, RFC 7714): packets in, packets out, refusals by cause.

Theory of operation
-------------------
The work is that of an `SrtpSession` for each direction; here it is guarded and counted. Every packet passes the oracle,
so that a replay, which has no sessions, protects and unprotects by the trace. What is protected is `Opaque` (nobody can
make it again without the keys); what was unprotected is `Private` (it is what people say).

A peer that has the keys can still be a nuisance: each new SSRC costs state, so there is a bound on them. A peer that
has not cannot make us keep anything.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

from sansio_sip.context import Context, Disclosure, Opaque, Private

from .crypto import SrtpFailure, SrtpProfile, SrtpSession

__all__ = ["MAX_SOURCES", "SrtpTransport"]

T = TypeVar("T", bound=bytes)

# Synchronisation sources that one peer may use in one session. One voice needs one; each re-INVITE, transfer or
# collision (RFC 3550 section 8.2) may take another.
MAX_SOURCES = 64

# Octets of the smallest packet: the fixed header (RFC 3550 sections 5.1, 6.4.2), and for SRTCP its index.
RTP_HEADER = 12
RTCP_HEADER = 8
SRTCP_INDEX = 4

# libsrtp works in place, in a buffer of 1500 octets with room for its longest trailer. No network we send on carries
# larger ones whole.
MAX_PACKET = 1500 - 16 - 128 - 4

TOO_MANY_SOURCES = "sources"


class SrtpTransport:
    """Protects what leaves and unprotects what arrives. Made by `DtlsTransport.srtp()`.

    No method raises for what is in a packet; None says that it was refused, and `rejected` says why.
    """

    def __init__(
        self,
        context: Context,
        profile: SrtpProfile,
        *,
        inbound: SrtpSession | None,
        outbound: SrtpSession | None,
    ) -> None:
        """`inbound` and `outbound` are None in a replay only."""
        self.profile = profile
        self._context = context
        self._inbound = inbound
        self._outbound = outbound
        self._rejected: Counter[str] = Counter()
        self._sources: set[bytes] = set()

    @property
    def rejected(self) -> Mapping[str, int]:
        """Packets refused, by cause: `auth`, `replay`, `malformed`, `sources`; those we could not protect count too."""
        return MappingProxyType(self._rejected)

    def protect(self, packet: bytes) -> Opaque | None:
        """An RTP packet, ready to send."""
        if not _whole(packet, RTP_HEADER):
            self._refuse(SrtpFailure.MALFORMED.value)
            return None

        def compute() -> Opaque | SrtpFailure:
            assert self._outbound is not None
            return _as(Opaque, self._outbound.protect(packet))

        return self._ask("srtp.protect", compute, Private(packet), Disclosure.OPAQUE)

    def protect_rtcp(self, packet: bytes) -> Opaque | None:
        """A compound RTCP packet, ready to send."""
        if not _whole(packet, RTCP_HEADER):
            self._refuse(SrtpFailure.MALFORMED.value)
            return None

        def compute() -> Opaque | SrtpFailure:
            assert self._outbound is not None
            return _as(Opaque, self._outbound.protect_rtcp(packet))

        return self._ask("srtcp.protect", compute, packet, Disclosure.OPAQUE)

    def unprotect(self, packet: bytes) -> Private | None:
        """The RTP packet in an SRTP packet."""
        if not self._acceptable(packet, RTP_HEADER + self.profile.tag_length, packet[8:12]):
            return None

        def compute() -> Private | SrtpFailure:
            assert self._inbound is not None
            return _as(Private, self._inbound.unprotect(packet))

        return self._admit(packet[8:12], self._ask("srtp.unprotect", compute, packet, Disclosure.PRIVATE))

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The compound RTCP packet in an SRTCP packet."""
        if not self._acceptable(packet, RTCP_HEADER + SRTCP_INDEX + self.profile.tag_length, packet[4:8]):
            return None

        def compute() -> bytes | SrtpFailure:
            assert self._inbound is not None
            return self._inbound.unprotect_rtcp(packet)

        return self._admit(packet[4:8], self._ask("srtcp.unprotect", compute, packet, Disclosure.PLAIN))

    def _acceptable(self, packet: bytes, smallest: int, source: bytes) -> bool:
        if not _whole(packet, smallest):
            self._refuse(SrtpFailure.MALFORMED.value)
        elif source not in self._sources and len(self._sources) >= MAX_SOURCES:
            self._refuse(TOO_MANY_SOURCES)
        else:
            return True
        return False

    def _admit(self, source: bytes, plain: T | None) -> T | None:
        """A source counts once it has proved that it has the keys."""
        if plain is not None:
            self._sources.add(source)
        return plain

    def _ask(
        self, name: str, compute: Callable[[], T | SrtpFailure], packet: bytes, disclosure: Disclosure
    ) -> T | None:
        result = self._context.oracle.consult(name, compute, packet, disclosure=disclosure)
        if isinstance(result, SrtpFailure):
            self._refuse(result.value)
            return None
        return result

    def _refuse(self, cause: str) -> None:
        self._rejected[cause] += 1


def _whole(packet: bytes, smallest: int) -> bool:
    """Version 2 (RFC 3550 section 5.1) and a possible size."""
    return smallest <= len(packet) <= MAX_PACKET and packet[0] >> 6 == 2


def _as(kind: type[T], result: bytes | SrtpFailure) -> T | SrtpFailure:
    return result if isinstance(result, SrtpFailure) else kind(result)
