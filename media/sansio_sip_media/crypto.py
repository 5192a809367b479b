"""What media asks of cryptography: two protocols that know no time, and the values that cross them.

A `CryptoProvider` is OpenSSL with libsrtp (`openssl_crypto`), or a deterministic stand-in for simulation
(`seeded_crypto`). The machines `dtls.DtlsTransport` and `srtp.SrtpTransport` call it through `context.oracle` alone, so
a replay needs no provider: it is given None and imports neither OpenSSL nor libsrtp.

Nothing that a provider says raises for what the peer has sent: failures are values.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, TypeAlias

from sansio_sip.context import Context, Disclosure, Opaque, Secret
from sansio_sip.sdp.attributes import Fingerprint

__all__ = [
    "HASHES",
    "CryptoProvider",
    "Direction",
    "DtlsEndpoint",
    "DtlsRole",
    "DtlsStatus",
    "DtlsStep",
    "SrtpFailure",
    "SrtpKeys",
    "SrtpProfile",
    "SrtpSession",
    "certificate_digests",
    "fingerprint_of",
    "fingerprints_match",
    "local_fingerprint",
    "local_sdes_key",
    "usable_fingerprints",
]

DtlsRole: TypeAlias = Literal["client", "server"]

Direction: TypeAlias = Literal["inbound", "outbound"]

# The hash functions of `a=fingerprint` that we take, best first. RFC 8122 section 5 rules MD2 and MD5 out; SHA-1, which
# it still lists, is left out with them: each peer of WebRTC must know SHA-256 (RFC 8827 section 6.5).
HASHES = ("sha-512", "sha-384", "sha-256")


class SrtpProfile(Enum):
    """A protection profile of SRTP, by its name in DTLS (RFC 5764 section 4.1.2, RFC 7714 section 14.2)."""

    AEAD_AES_128_GCM = "SRTP_AEAD_AES_128_GCM"
    AES128_CM_SHA1_80 = "SRTP_AES128_CM_SHA1_80"

    @property
    def key_length(self) -> int:
        """Octets of the master key."""
        return 16

    @property
    def salt_length(self) -> int:
        """Octets of the master salt."""
        return 12 if self is SrtpProfile.AEAD_AES_128_GCM else 14

    @property
    def tag_length(self) -> int:
        """Octets that protection adds to an RTP packet; an RTCP packet gets 4 more, its index."""
        return 16 if self is SrtpProfile.AEAD_AES_128_GCM else 10


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """Master key and salt, one after the other, in hexadecimal: what we send with, what the peer sends with."""

    local: Secret
    remote: Secret

    @classmethod
    def from_exported(cls, material: bytes, profile: SrtpProfile, role: DtlsRole) -> "SrtpKeys":
        """Cuts the exported keying material (RFC 5764 section 4.2).

        Its order: client_write_SRTP_master_key, server_write_SRTP_master_key, client_write_SRTP_master_salt,
        server_write_SRTP_master_salt.
        """
        key, salt = profile.key_length, profile.salt_length
        salts = material[2 * key :]
        client = Secret((material[:key] + salts[:salt]).hex())
        server = Secret((material[key : 2 * key] + salts[salt : 2 * salt]).hex())
        return cls(client, server) if role == "client" else cls(server, client)

    @staticmethod
    def exported_length(profile: SrtpProfile) -> int:
        """Octets to export."""
        return 2 * (profile.key_length + profile.salt_length)


class DtlsStatus(Enum):
    """How far an association has come."""

    HANDSHAKING = "handshaking"
    CONNECTED = "connected"
    CLOSED = "closed"  # the peer has said close_notify
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DtlsStep:
    """What came of one call of a `DtlsEndpoint`.

    Attributes:
        datagrams: to send, in order; each has at most `dtls_record.MTU` octets.
        status: after this call.
        reason: why it FAILED, in words.
        profile: the SRTP profile agreed, once CONNECTED; None if there is none.
        peer: once CONNECTED, the digests of the peer's certificate by each hash of `HASHES`, in hexadecimal.
    """

    datagrams: tuple[Opaque, ...] = ()
    status: DtlsStatus = DtlsStatus.HANDSHAKING
    reason: str = ""
    profile: SrtpProfile | None = None
    peer: tuple[tuple[str, str], ...] = ()


class DtlsEndpoint(Protocol):
    """One end of one DTLS 1.2 association. Retransmits only when told to."""

    def start(self) -> DtlsStep:
        """The client's first flight; a server has none."""

    def receive(self, datagram: bytes) -> DtlsStep:
        """Takes one datagram."""

    def handle_timeout(self) -> DtlsStep:
        """Makes the last flight again, with new record numbers, if the endpoint's own timer agrees; else nothing."""

    def close(self) -> DtlsStep:
        """Says close_notify, if there is anybody to say it to."""

    def srtp_keys(self) -> SrtpKeys:
        """The keys of SRTP, once CONNECTED with a profile."""


class SrtpFailure(Enum):
    """Why a packet was refused."""

    AUTHENTICATION = "auth"
    REPLAY = "replay"  # seen before, or older than the window of 128
    MALFORMED = "malformed"


class SrtpSession(Protocol):
    """All streams of one direction, under one master key. An inbound session only unprotects, an outbound protects."""

    def protect(self, packet: bytes) -> bytes | SrtpFailure: ...

    def unprotect(self, packet: bytes) -> bytes | SrtpFailure: ...

    def protect_rtcp(self, packet: bytes) -> bytes | SrtpFailure: ...

    def unprotect_rtcp(self, packet: bytes) -> bytes | SrtpFailure: ...


class CryptoProvider(Protocol):
    """A certificate, and everything done with it."""

    @property
    def certificate_fingerprint(self) -> Fingerprint:
        """SHA-256 of our certificate, for `a=fingerprint`."""

    def dtls_endpoint(self, role: DtlsRole) -> DtlsEndpoint: ...

    def srtp_session(self, key: Secret, profile: SrtpProfile, direction: Direction) -> SrtpSession:
        """`key`: master key and salt in hexadecimal, as in `SrtpKeys`."""

    def sdes_key(self, profile: SrtpProfile) -> Secret:
        """A new master key and salt, in hexadecimal, to be sent to the peer in a description (RFC 4568)."""


def local_fingerprint(context: Context, crypto: CryptoProvider | None) -> Fingerprint:
    """The fingerprint of our certificate, through the oracle: `crypto` is None in a replay."""

    def compute() -> Fingerprint:
        assert crypto is not None, "only a replay has no provider, and it does not compute"
        return crypto.certificate_fingerprint

    return context.oracle.consult("dtls.fingerprint", compute)


def local_sdes_key(context: Context, crypto: CryptoProvider | None, profile: SrtpProfile) -> str:
    """A new master key and salt in base64, as `a=crypto` has it. A trace keeps its length alone."""

    def compute() -> str:
        assert crypto is not None, "only a replay has no provider, and it does not compute"
        key = bytes.fromhex(crypto.sdes_key(profile).reveal())
        return base64.b64encode(key).decode("ascii").rstrip("=")

    # Without the padding, for what a replay has in place of the key is to be padded alike.
    text = context.oracle.consult("sdes.key", compute, profile, disclosure=Disclosure.OPAQUE)
    return text + "=" * (-len(text) % 4)


def certificate_digests(certificate: bytes) -> tuple[tuple[str, str], ...]:
    """The digests of a certificate in DER, in hexadecimal, by each hash of `HASHES`."""
    return tuple((name, hashlib.new(name.replace("-", ""), certificate).hexdigest()) for name in HASHES)


def fingerprint_of(certificate: bytes) -> Fingerprint:
    """SHA-256 of a certificate in DER, as RFC 8122 section 5 writes it: pairs of upper-case digits between colons."""
    return Fingerprint("sha-256", hashlib.sha256(certificate).digest().hex(":").upper())


def usable_fingerprints(fingerprints: Iterable[Fingerprint]) -> tuple[tuple[str, str], ...]:
    """Those of the best hash function among them, in hexadecimal. Others are left out.

    RFC 8122 section 5: "an endpoint MUST select the set of fingerprints that use its most preferred hash function
    (out of those offered by the peer)".
    """
    decoded: dict[str, list[str]] = {}
    for fingerprint in fingerprints:
        name = fingerprint.algorithm.lower()
        try:
            digest = bytes.fromhex(fingerprint.value.replace(":", ""))
        except ValueError:
            continue
        if name in HASHES and len(digest) == hashlib.new(name.replace("-", "")).digest_size:
            decoded.setdefault(name, []).append(digest.hex())
    best = next((name for name in HASHES if name in decoded), None)
    return tuple((best, digest) for digest in decoded[best]) if best is not None else ()


def fingerprints_match(wanted: tuple[tuple[str, str], ...], peer: tuple[tuple[str, str], ...]) -> bool:
    """Whether the peer's certificate is one that was announced. Takes as long for a near miss as for a match."""
    digests = dict(peer)
    matches = [hmac.compare_digest(digest, digests.get(name, "")) for name, digest in wanted]
    return any(matches)
