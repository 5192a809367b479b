"""A deterministic stand-in for OpenSSL in simulation: the flights, sizes, states and failures of DTLS 1.2, from a seed.

Theory of operation
-------------------
Real DTLS cannot be run twice alike: OpenSSL draws its own random numbers, and signatures differ in length. Here the
records, handshake messages, fragments, retransmissions and alerts are those of RFC 6347 on the wire, and the bodies of
messages have the sizes that OpenSSL's have with P-256. What is in the bodies follows from the seed.

    client                                         server
    ClientHello                     ---------->
                                    <----------    ServerHello, Certificate, ServerKeyExchange,
                                                   CertificateRequest, ServerHelloDone
    Certificate, ClientKeyExchange,
    CertificateVerify, [CCS], Finished  ------>
                                    <----------    [CCS], Finished

A "signature" is a tag by a key that follows from the certificate, so it finds changed octets and proves nothing about
who made it; "key exchange" hides nothing. What can be told apart is what a simulation needs: another certificate, a
changed, repeated, lost or invented record. The endpoint has no clock: each `handle_timeout` makes the flight again,
with new record numbers, as OpenSSL does when its timer has run out. All its state is plain values, so that
`copy.deepcopy` forks it; OpenSSL's cannot be copied.
"""

import hashlib
import hmac
from collections.abc import Mapping
from enum import IntEnum

from sansio_sip.context import Opaque, Secret
from sansio_sip.sdp.attributes import Fingerprint

from .crypto import (
    Direction,
    DtlsRole,
    DtlsStatus,
    DtlsStep,
    SrtpKeys,
    SrtpProfile,
    certificate_digests,
    fingerprint_of,
)
from .dtls_record import HEADER, MTU, ContentType, Record, pack_records, split_records
from .seeded_handshake import BadFragmentError, Inbox, Message, MessageType, Repeated, fragments
from .seeded_srtp import SeededSrtpSession, derive, seal, unseal

__all__ = ["SeededCrypto", "SeededEndpoint"]

# What each side waits for, in order. A message out of turn is fatal.
EXPECTED: Mapping[DtlsRole, tuple[MessageType, ...]] = {
    "client": (
        MessageType.SERVER_HELLO,
        MessageType.CERTIFICATE,
        MessageType.SERVER_KEY_EXCHANGE,
        MessageType.CERTIFICATE_REQUEST,
        MessageType.SERVER_HELLO_DONE,
        MessageType.FINISHED,
    ),
    "server": (
        MessageType.CLIENT_HELLO,
        MessageType.CERTIFICATE,
        MessageType.CLIENT_KEY_EXCHANGE,
        MessageType.CERTIFICATE_VERIFY,
        MessageType.FINISHED,
    ),
}

# Octets of the bodies: the commonest of `openssl_crypto`'s. DER makes some of them an octet or two longer or shorter.
SIZES: Mapping[MessageType, int] = {
    MessageType.CLIENT_HELLO: 146,
    MessageType.SERVER_HELLO: 64,
    MessageType.CERTIFICATE: 301,
    MessageType.SERVER_KEY_EXCHANGE: 111,
    MessageType.CERTIFICATE_REQUEST: 48,
    MessageType.SERVER_HELLO_DONE: 0,
    MessageType.CLIENT_KEY_EXCHANGE: 33,
    MessageType.CERTIFICATE_VERIFY: 75,
    MessageType.FINISHED: 12,
}

CERTIFICATE_PREFIX = 6  # two lengths before the only certificate of the list
EXCHANGE = 36  # octets of a ServerKeyExchange before its signature
SIGNATURE = 75
RANDOM = slice(2, 34)  # of a hello, after its version
PROFILES = 34  # of a hello: the octet that stands for the extension use_srtp

# AES-GCM in TLS 1.2 (RFC 5288): eight octets of nonce before, sixteen of tag after.
NONCE = 8
TAG = 16

# Records of the next epoch kept until there are keys: one Finished, perhaps repeated.
MAX_EARLY = 4

# Record numbers back from the newest that a repetition is told in (RFC 6347 section 4.1.2.6).
RECORD_WINDOW = 64


class Alert(IntEnum):
    """RFC 5246 section 7.2."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51


WARNING, FATAL = 1, 2


class SeededCrypto:
    """See the module. Two providers of different seeds are two parties; the n-th endpoint of a seed is always the same.

    Args:
        seed: anything that tells this party from the others.
        profiles: of SRTP, best first.
    """

    def __init__(self, seed: int | str, profiles: tuple[SrtpProfile, ...] = tuple(SrtpProfile)) -> None:
        self._key = derive(b"seed", str(seed), 32)
        self._certificate = derive(self._key, "certificate", SIZES[MessageType.CERTIFICATE] - CERTIFICATE_PREFIX)
        self._profiles = profiles
        self._endpoints = 0
        self._sdes_keys = 0

    @property
    def certificate_fingerprint(self) -> Fingerprint:
        return fingerprint_of(self._certificate)

    def dtls_endpoint(self, role: DtlsRole) -> "SeededEndpoint":
        self._endpoints += 1
        key = derive(self._key, f"endpoint {self._endpoints}", 32)
        return SeededEndpoint(key, self._certificate, self._profiles, role)

    def srtp_session(self, key: Secret, profile: SrtpProfile, direction: Direction) -> SeededSrtpSession:
        return SeededSrtpSession(key, profile)

    def sdes_key(self, profile: SrtpProfile) -> Secret:
        self._sdes_keys += 1
        return Secret(derive(self._key, f"sdes {self._sdes_keys}", profile.key_length + profile.salt_length).hex())


class _HandshakeError(Exception):
    def __init__(self, alert: Alert, reason: str) -> None:
        super().__init__(reason)
        self.alert = alert


class SeededEndpoint:
    """See `crypto.DtlsEndpoint`."""

    def __init__(self, key: bytes, certificate: bytes, profiles: tuple[SrtpProfile, ...], role: DtlsRole) -> None:
        self._key = key
        self._certificate = certificate
        self._profiles = profiles
        self._role: DtlsRole = role
        self._status = DtlsStatus.HANDSHAKING
        self._reason = ""
        self._profile: SrtpProfile | None = None
        self._peer_certificate = b""
        # The handshake.
        self._inbox = Inbox()
        self._expected = list(EXPECTED[role])
        self._transcript = b""
        self._messages_sent = 0
        self._flight: list[tuple[ContentType, int, bytes]] = []
        self._randoms = b""
        self._exchange = b""
        self._master = b""
        # Records: numbers used and seen by epoch, and what is to leave.
        self._numbers = [0, 0]
        self._seen: list[tuple[int, int]] = [(-1, 0), (-1, 0)]
        self._early: list[Record] = []
        self._out = b""

    def start(self) -> DtlsStep:
        if self._role == "client":
            self._begin_flight()
            offered = sum(1 << list(SrtpProfile).index(profile) for profile in self._profiles)
            self._say(MessageType.CLIENT_HELLO, self._hello(MessageType.CLIENT_HELLO, offered))
            self._send_flight()
        return self._step()

    def receive(self, datagram: bytes) -> DtlsStep:
        for record in split_records(datagram):
            if self._status in (DtlsStatus.HANDSHAKING, DtlsStatus.CONNECTED):
                self._take(record)
        return self._step()

    def handle_timeout(self) -> DtlsStep:
        if self._status is DtlsStatus.HANDSHAKING:
            self._send_flight()
        return self._step()

    def close(self) -> DtlsStep:
        if self._status is DtlsStatus.CONNECTED:
            self._send_alert(WARNING, Alert.CLOSE_NOTIFY)
            self._status = DtlsStatus.CLOSED
        return self._step()

    def srtp_keys(self) -> SrtpKeys:
        assert self._profile is not None
        length = SrtpKeys.exported_length(self._profile)
        material = derive(self._master, "EXTRACTOR-dtls_srtp", length)
        return SrtpKeys.from_exported(material, self._profile, self._role)

    # Records

    def _take(self, record: Record) -> None:
        if record.epoch > 1:
            return
        if record.epoch == 1 and not self._master:
            # RFC 6347 section 4.1: "implementations MAY buffer or discard" records of an epoch to come.
            if len(self._early) < MAX_EARLY:
                self._early.append(record)
            return
        if record.epoch == 0 and self._status is DtlsStatus.CONNECTED:
            return
        if not self._fresh(record):
            return
        fragment = record.fragment if record.epoch == 0 else self._decrypt(record)
        # RFC 6347 section 4.1.2.7: "invalid records SHOULD be silently discarded".
        if fragment is None:
            return
        self._mark(record)
        try:
            if record.type == ContentType.HANDSHAKE:
                self._take_handshake(fragment, record.epoch)
            elif record.type == ContentType.ALERT:
                self._take_alert(fragment)
        except BadFragmentError:
            self._fail(Alert.DECODE_ERROR, "a fragment contradicts itself")
        except _HandshakeError as error:
            self._fail(error.alert, str(error))

    def _fresh(self, record: Record) -> bool:
        newest, seen = self._seen[record.epoch]
        age = newest - record.sequence
        return age < 0 or (age < RECORD_WINDOW and not seen >> age & 1)

    def _mark(self, record: Record) -> None:
        newest, seen = self._seen[record.epoch]
        if record.sequence > newest:
            # Shifting by more than the window clears it; a number from far away must not cost memory.
            shift = min(record.sequence - newest, RECORD_WINDOW)
            newest, seen = record.sequence, seen << shift & (1 << RECORD_WINDOW) - 1
        self._seen[record.epoch] = (newest, seen | 1 << newest - record.sequence)

    def _write_key(self, role: DtlsRole) -> bytes:
        return derive(self._master, f"{role} write", 32)

    def _decrypt(self, record: Record) -> bytes | None:
        peer: DtlsRole = "server" if self._role == "client" else "client"
        nonce, sealed = record.fragment[:NONCE], record.fragment[NONCE:]
        if len(sealed) < TAG:
            return None
        header = bytes(record)[: HEADER - 2]
        return unseal(self._write_key(peer), nonce, header, sealed, TAG)

    def _put_record(self, kind: ContentType, epoch: int, fragment: bytes) -> None:
        record = Record(kind, epoch, self._numbers[epoch], fragment)
        self._numbers[epoch] += 1
        if epoch:
            nonce = epoch.to_bytes(2, "big") + record.sequence.to_bytes(6, "big")
            sealed = seal(self._write_key(self._role), nonce, bytes(record)[: HEADER - 2], fragment, TAG)
            record = Record(kind, epoch, record.sequence, nonce + sealed)
        self._out += bytes(record)

    def _send_alert(self, level: int, alert: Alert) -> None:
        self._put_record(ContentType.ALERT, 1 if self._status is DtlsStatus.CONNECTED else 0, bytes((level, alert)))

    def _step(self) -> DtlsStep:
        datagrams = tuple(Opaque(data) for data in pack_records(self._out))
        self._out = b""
        peer = certificate_digests(self._peer_certificate) if self._status is DtlsStatus.CONNECTED else ()
        return DtlsStep(datagrams, self._status, self._reason, self._profile, peer)

    def _take_alert(self, fragment: bytes) -> None:
        if len(fragment) != 2:
            raise _HandshakeError(Alert.DECODE_ERROR, "an alert of another size")
        level, description = fragment
        if description == Alert.CLOSE_NOTIFY:
            if self._status is DtlsStatus.CONNECTED:
                # RFC 5246 section 7.2.1: "The other party MUST respond with a close_notify alert of its own".
                self._send_alert(WARNING, Alert.CLOSE_NOTIFY)
            self._status = DtlsStatus.CLOSED
        elif level == FATAL:
            self._status = DtlsStatus.FAILED
            self._reason = f"alert {description}"

    def _fail(self, alert: Alert, reason: str) -> None:
        self._send_alert(FATAL, alert)
        self._status = DtlsStatus.FAILED
        self._reason = reason

    # Flights

    def _begin_flight(self) -> None:
        self._flight = []

    def _say(self, kind: MessageType, body: bytes, epoch: int = 0) -> None:
        message = Message(kind, self._messages_sent, body)
        self._messages_sent += 1
        self._transcript += bytes(message)
        room = MTU - HEADER - (NONCE + TAG if epoch else 0)
        self._flight += [(ContentType.HANDSHAKE, epoch, piece) for piece in fragments(message, room)]

    def _say_finished(self) -> None:
        self._flight.append((ContentType.CHANGE_CIPHER_SPEC, 0, b"\1"))
        self._say(MessageType.FINISHED, self._verify_data(self._role), epoch=1)

    def _send_flight(self) -> None:
        for kind, epoch, fragment in self._flight:
            self._put_record(kind, epoch, fragment)

    # Messages

    def _take_handshake(self, fragment: bytes, epoch: int) -> None:
        for message in self._inbox.add(fragment, epoch):
            if isinstance(message, Repeated):
                # RFC 6347 section 4.2.4: "in addition, for at least twice the default MSL [...], when in the FINISHED
                # state, the node that transmits the last flight [...] MUST respond to a retransmit of the peer's last
                # flight with a retransmit of the last flight".
                finished = self._status is DtlsStatus.CONNECTED and self._role == "server"
                if finished and message.type == MessageType.FINISHED:
                    self._send_flight()
            elif self._status is DtlsStatus.HANDSHAKING:
                self._take_message(message)

    def _take_message(self, message: Message) -> None:
        if not self._expected or message.type != self._expected[0]:
            raise _HandshakeError(Alert.UNEXPECTED_MESSAGE, f"message {message.type} out of turn")
        kind = self._expected.pop(0)
        if len(message.body) != SIZES[kind]:
            raise _HandshakeError(Alert.DECODE_ERROR, f"message {kind} of another size")
        if message.epoch != (1 if kind is MessageType.FINISHED else 0):
            raise _HandshakeError(Alert.UNEXPECTED_MESSAGE, f"message {kind} in the wrong epoch")
        self._act(kind, message.body)
        self._transcript += bytes(message)
        self._answer(kind)

    def _act(self, kind: MessageType, body: bytes) -> None:
        """Checks a message and keeps what it says; the transcript does not hold it yet."""
        match kind:
            case MessageType.CLIENT_HELLO:
                self._randoms = body[RANDOM]
                known = tuple(SrtpProfile)
                offered = [each for n, each in enumerate(known) if body[PROFILES] >> n & 1]
                self._profile = next((each for each in self._profiles if each in offered), None)
            case MessageType.SERVER_HELLO:
                self._randoms = self._random + body[RANDOM]
                chosen = [each for n, each in enumerate(SrtpProfile, 1) if n == body[PROFILES]]
                self._profile = chosen[0] if chosen else None
            case MessageType.CERTIFICATE:
                self._peer_certificate = body[CERTIFICATE_PREFIX:]
            case MessageType.SERVER_KEY_EXCHANGE:
                self._exchange = body[:EXCHANGE]
                self._check(body[EXCHANGE:], _signature(self._peer_certificate, self._randoms + self._exchange))
            case MessageType.CLIENT_KEY_EXCHANGE:
                self._agree(body)
            case MessageType.CERTIFICATE_VERIFY:
                self._check(body, _signature(self._peer_certificate, self._transcript))
            case MessageType.FINISHED:
                self._check(body, self._verify_data("server" if self._role == "client" else "client"))
            case MessageType.CERTIFICATE_REQUEST | MessageType.SERVER_HELLO_DONE:
                pass

    def _answer(self, kind: MessageType) -> None:
        """Sends the flight that is due once a message is in the transcript."""
        match kind:
            case MessageType.CLIENT_HELLO:
                self._send_server_hello()
            case MessageType.SERVER_HELLO_DONE:
                self._send_client_keys()
            case MessageType.CLIENT_KEY_EXCHANGE | MessageType.CERTIFICATE_VERIFY:
                self._take_early()
            case MessageType.FINISHED:
                if self._role == "server":
                    self._begin_flight()
                    self._say_finished()
                    self._send_flight()
                self._status = DtlsStatus.CONNECTED

    def _send_server_hello(self) -> None:
        self._begin_flight()
        self._randoms += self._random
        self._exchange = derive(self._key, "exchange", EXCHANGE)
        chosen = list(SrtpProfile).index(self._profile) + 1 if self._profile is not None else 0
        self._say(MessageType.SERVER_HELLO, self._hello(MessageType.SERVER_HELLO, chosen))
        self._say_certificate()
        signature = _signature(self._certificate, self._randoms + self._exchange)
        self._say(MessageType.SERVER_KEY_EXCHANGE, self._exchange + signature)
        request = derive(b"", "certificate request", SIZES[MessageType.CERTIFICATE_REQUEST])
        self._say(MessageType.CERTIFICATE_REQUEST, request)
        self._say(MessageType.SERVER_HELLO_DONE, b"")
        self._send_flight()

    def _send_client_keys(self) -> None:
        self._begin_flight()
        self._say_certificate()
        exchange = derive(self._key, "exchange", SIZES[MessageType.CLIENT_KEY_EXCHANGE])
        self._say(MessageType.CLIENT_KEY_EXCHANGE, exchange)
        self._say(MessageType.CERTIFICATE_VERIFY, _signature(self._certificate, self._transcript))
        self._agree(exchange)
        self._say_finished()
        self._send_flight()
        self._take_early()

    def _say_certificate(self) -> None:
        length = len(self._certificate)
        prefix = (length + 3).to_bytes(3, "big") + length.to_bytes(3, "big")
        self._say(MessageType.CERTIFICATE, prefix + self._certificate)

    @property
    def _random(self) -> bytes:
        return derive(self._key, "random", 32)

    def _hello(self, kind: MessageType, profiles: int) -> bytes:
        rest = derive(b"", "extensions", SIZES[kind] - PROFILES - 1)
        return b"\xfe\xfd" + self._random + bytes((profiles,)) + rest

    def _agree(self, exchange: bytes) -> None:
        self._master = derive(self._randoms + self._exchange + exchange, "master secret", 48)

    def _verify_data(self, role: DtlsRole) -> bytes:
        digest = hashlib.sha256(self._transcript).hexdigest()
        return derive(self._master, f"{role} finished {digest}", SIZES[MessageType.FINISHED])

    def _check(self, given: bytes, right: bytes) -> None:
        if not hmac.compare_digest(given, right):
            raise _HandshakeError(Alert.DECRYPT_ERROR, "a signature or Finished is wrong")

    def _take_early(self) -> None:
        """Takes the records that came before their keys."""
        early, self._early = self._early, []
        for record in early:
            self._take(record)


def _signature(certificate: bytes, signed: bytes) -> bytes:
    return derive(certificate, f"signature {hashlib.sha256(signed).hexdigest()}", SIGNATURE)
