"""A stranger: OpenSSL through pyOpenSSL, with its own timer and nothing of ours."""

from contextlib import suppress
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from sansio_sip.sdp.attributes import Fingerprint

__all__ = ["BareOpenSsl"]

PROFILES = b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80"


class BareOpenSsl:
    """One end. `send` holds datagrams to deliver; `done` says whether its handshake is."""

    def __init__(
        self,
        role: Literal["client", "server"],
        *,
        profiles: bytes = PROFILES,
        with_rsa: bool = False,
        alpn: list[bytes] | None = None,
        certificate: bool = True,
    ) -> None:
        key = rsa.generate_private_key(65537, 2048) if with_rsa else ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger")])
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1))  # noqa: DTZ001
            .not_valid_after(datetime(2021, 1, 1))  # noqa: DTZ001 (long past: nobody may mind)
            .sign(key, hashes.SHA256())
        )
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        if certificate:
            context.use_certificate(self._certificate)
            context.use_privatekey(key)
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        if alpn:
            context.set_alpn_protos(alpn)
        self._connection = SSL.Connection(context, None)
        self._connection.set_ciphertext_mtu(1200)
        if role == "client":
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self.done = False
        self.closed = False
        self.error = ""

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("sha-256", self._certificate.fingerprint(hashes.SHA256()).hex(":").upper())

    def receive(self, data: bytes = b"") -> None:
        if data:
            self._connection.bio_write(data)
        try:
            if not self.done:
                self._connection.do_handshake()
                self.done = True
            self._connection.recv(2000)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as error:
            self.error = str(error)

    def handle_timeout(self) -> bool:
        """Whether its own timer, by its own clock, had run out."""
        return bool(self._connection.DTLSv1_handle_timeout())

    def say(self, data: bytes) -> None:
        self._connection.send(data)

    def close(self) -> None:
        with suppress(SSL.Error):
            self._connection.shutdown()

    def records(self) -> bytes:
        """What it has written, as the stream that it is."""
        out = b""
        while True:
            try:
                out += self._connection.bio_read(65536)
            except SSL.Error:
                return out

    def keys(self) -> bytes:
        return self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 56)
