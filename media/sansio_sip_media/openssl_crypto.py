"""Cryptography of production: OpenSSL for DTLS 1.2, libsrtp for SRTP.

Theory of operation
-------------------
OpenSSL works on two memory BIOs. One datagram goes in at a time and all of it is read before the next, so that OpenSSL
sees the boundaries; what comes out is a stream of records, which `pack_records` puts into datagrams again. OpenSSL
reads a clock of its own for its retransmission timer; see `dtls` for how that is lived with.

The certificate is checked by its fingerprint alone (RFC 8122), by `dtls`; its chain and dates say nothing.
"""

from contextlib import suppress
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from pylibsrtp import Error as LibSrtpError
from pylibsrtp import Policy, Session

from sansio_sip.context import Opaque, Secret
from sansio_sip.sdp.attributes import Fingerprint

from .crypto import (
    Direction,
    DtlsRole,
    DtlsStatus,
    DtlsStep,
    SrtpFailure,
    SrtpKeys,
    SrtpProfile,
    certificate_digests,
    fingerprint_of,
)
from .dtls_record import MTU, pack_records

__all__ = ["OpenSslCrypto"]

# pyOpenSSL has no name for it.
DTLS1_2_VERSION = 0xFEFD

# RFC 8827 section 6.5 requires the first; RSA is for gateways with an older certificate. All are AEAD with forward
# secrecy.
CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE+AESGCM:ECDHE+CHACHA20:!PSK:!aNULL"

EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"

# Packets back from the newest that a replay is told from a late arrival in: 2.5 s of 20 ms frames.
REPLAY_WINDOW = 128

# The largest record's plaintext.
LARGEST_READ = 1 << 14

LIBSRTP_PROFILES = {
    SrtpProfile.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    SrtpProfile.AES128_CM_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}

# What libsrtp says, by cause; all else is a packet that it could not read.
LIBSRTP_FAILURES = {
    "authentication failure": SrtpFailure.AUTHENTICATION,
    "replay check failed (bad index)": SrtpFailure.REPLAY,
    "replay check failed (index too old)": SrtpFailure.REPLAY,
    "packet index is too old to consider": SrtpFailure.REPLAY,
}


class OpenSslCrypto:
    """One self-signed P-256 certificate, and the DTLS and SRTP done with it.

    Args:
        profiles: of SRTP, best first.
    """

    def __init__(self, profiles: tuple[SrtpProfile, ...] = tuple(SrtpProfile)) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key)
        self._certificate = certificate.public_bytes(Encoding.DER)
        self._context = _context(key, certificate, profiles)

    @property
    def certificate_fingerprint(self) -> Fingerprint:
        return fingerprint_of(self._certificate)

    def dtls_endpoint(self, role: DtlsRole) -> "OpenSslEndpoint":
        return OpenSslEndpoint(self._context, role)

    def srtp_session(self, key: Secret, profile: SrtpProfile, direction: Direction) -> "LibSrtpSession":
        return LibSrtpSession(key, profile, direction)

    def sdes_key(self, profile: SrtpProfile) -> Secret:
        # AESGCM's own generator is OpenSSL's, and gives whole keys of 32 octets: more than any profile needs.
        return Secret(AESGCM.generate_key(256)[: profile.key_length + profile.salt_length].hex())


class OpenSslEndpoint:
    """See `crypto.DtlsEndpoint`."""

    def __init__(self, context: SSL.Context, role: DtlsRole) -> None:
        self._role = role
        self._status = DtlsStatus.HANDSHAKING
        self._reason = ""
        self._profile: SrtpProfile | None = None
        self._peer: tuple[tuple[str, str], ...] = ()
        self._connection = SSL.Connection(context, None)
        self._connection.set_ciphertext_mtu(MTU)
        if role == "client":
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    def start(self) -> DtlsStep:
        return self._advance()

    def receive(self, datagram: bytes) -> DtlsStep:
        if datagram and self._alive:
            self._connection.bio_write(datagram)
        return self._advance()

    def handle_timeout(self) -> DtlsStep:
        if self._alive:
            try:
                self._connection.DTLSv1_handle_timeout()
            except SSL.Error as error:
                self._fail(error)
        return self._step()

    def close(self) -> DtlsStep:
        if self._status is DtlsStatus.CONNECTED:
            self._say_close_notify()
            self._status = DtlsStatus.CLOSED
        return self._step()

    def srtp_keys(self) -> SrtpKeys:
        assert self._profile is not None
        length = SrtpKeys.exported_length(self._profile)
        material = self._connection.export_keying_material(EXPORTER_LABEL, length)
        return SrtpKeys.from_exported(material, self._profile, self._role)

    @property
    def _alive(self) -> bool:
        return self._status in (DtlsStatus.HANDSHAKING, DtlsStatus.CONNECTED)

    def _advance(self) -> DtlsStep:
        """Lets OpenSSL read what is there."""
        try:
            if self._status is DtlsStatus.HANDSHAKING:
                self._connection.do_handshake()
                self._finish()
            while self._status is DtlsStatus.CONNECTED:
                # Data of applications has no use here. To ask for it is to have alerts and repeated flights read.
                self._connection.recv(LARGEST_READ)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            # RFC 5246 section 7.2.1: "The other party MUST respond with a close_notify alert of its own".
            self._say_close_notify()
            self._status = DtlsStatus.CLOSED
        except SSL.Error as error:
            self._fail(error)
        return self._step()

    def _finish(self) -> None:
        self._status = DtlsStatus.CONNECTED
        agreed = self._connection.get_selected_srtp_profile().decode("ascii")
        self._profile = next((each for each in SrtpProfile if each.value == agreed), None)
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is not None:
            self._peer = certificate_digests(certificate.public_bytes(Encoding.DER))

    def _say_close_notify(self) -> None:
        with suppress(SSL.Error):  # there may be nobody to say it to
            self._connection.shutdown()

    def _fail(self, error: SSL.Error) -> None:
        self._status = DtlsStatus.FAILED
        self._reason = _words(error)

    def _step(self) -> DtlsStep:
        datagrams = tuple(Opaque(data) for data in pack_records(self._written()))
        return DtlsStep(datagrams, self._status, self._reason, self._profile, self._peer)

    def _written(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            try:
                pieces.append(self._connection.bio_read(LARGEST_READ))
            except SSL.Error:
                return b"".join(pieces)


class LibSrtpSession:
    """See `crypto.SrtpSession`."""

    def __init__(self, key: Secret, profile: SrtpProfile, direction: Direction) -> None:
        policy = Policy(
            key=bytes.fromhex(key.reveal()),
            ssrc_type=Policy.SSRC_ANY_INBOUND if direction == "inbound" else Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=LIBSRTP_PROFILES[profile],
        )
        policy.window_size = REPLAY_WINDOW
        self._session = Session(policy)

    def protect(self, packet: bytes) -> bytes | SrtpFailure:
        try:
            return self._session.protect(packet)
        except (LibSrtpError, ValueError) as error:
            return _cause(error)

    def unprotect(self, packet: bytes) -> bytes | SrtpFailure:
        try:
            return self._session.unprotect(packet)
        except (LibSrtpError, ValueError) as error:
            return _cause(error)

    def protect_rtcp(self, packet: bytes) -> bytes | SrtpFailure:
        try:
            return self._session.protect_rtcp(packet)
        except (LibSrtpError, ValueError) as error:
            return _cause(error)

    def unprotect_rtcp(self, packet: bytes) -> bytes | SrtpFailure:
        try:
            return self._session.unprotect_rtcp(packet)
        except (LibSrtpError, ValueError) as error:
            return _cause(error)


def _cause(error: Exception) -> SrtpFailure:
    return LIBSRTP_FAILURES.get(str(error), SrtpFailure.MALFORMED)


def _words(error: SSL.Error) -> str:
    """The last of OpenSSL's own words: `tlsv1 alert decrypt error`. It does not always have some."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = [str(reason[-1]) for reason in reasons if reason and reason[-1]]
    return words[-1] if words else "OpenSSL gives no reason"


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # A name that says nothing (RFC 8827 section 9.3), and dates that say nothing: "To indicate that a certificate has
    # no well-defined expiration date, the notAfter SHOULD be assigned the GeneralizedTime value of 99991231235959Z"
    # (RFC 5280 section 4.1.2.5).
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1))  # noqa: DTZ001 (read as UTC)
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001 (read as UTC)
        .sign(key, hashes.SHA256())
    )


def _context(
    key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, profiles: tuple[SrtpProfile, ...]
) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(DTLS1_2_VERSION)
    context.set_max_proto_version(DTLS1_2_VERSION)
    # Without OP_NO_QUERY_MTU OpenSSL asks the BIO, which has no answer, and shrinks its flights after a few losses.
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(CIPHERS)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_tlsext_use_srtp(b":".join(profile.value.encode("ascii") for profile in profiles))
    return context
