"""SRTP: the RFCs' vectors, and what is refused and why. libsrtp and its stand-in go through the same tests."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dtls.pair import context
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shared import require_shared

from sansio_sip.context import Opaque, Private, Secret
from sansio_sip_media.crypto import CryptoProvider, SrtpFailure, SrtpKeys, SrtpProfile
from sansio_sip_media.openssl_crypto import OpenSslCrypto
from sansio_sip_media.seeded_crypto import SeededCrypto
from sansio_sip_media.srtp import MAX_PACKET, MAX_SOURCES, SrtpTransport

GCM, CM = SrtpProfile.AEAD_AES_128_GCM, SrtpProfile.AES128_CM_SHA1_80
KEYS = {GCM: Secret(bytes(range(28)).hex()), CM: Secret(bytes(range(30)).hex())}

PROVIDERS = pytest.mark.parametrize("provider", [OpenSslCrypto(), SeededCrypto("srtp")], ids=["libsrtp", "seeded"])
PROFILES = pytest.mark.parametrize("profile", list(SrtpProfile), ids=["gcm", "cm"])


def _ends(provider: CryptoProvider, profile: SrtpProfile) -> tuple[SrtpTransport, SrtpTransport]:
    """A sender and a receiver; only the sender sends."""

    def end(inbound: Secret, outbound: Secret) -> SrtpTransport:
        return SrtpTransport(
            context(),
            profile,
            inbound=provider.srtp_session(inbound, profile, "inbound"),
            outbound=provider.srtp_session(outbound, profile, "outbound"),
        )

    key, other = KEYS[profile], Secret("77" * (profile.key_length + profile.salt_length))
    return end(other, key), end(key, other)


def _rtp(sequence: int, payload: bytes = b"voice" * 32, source: int = 0xCAFEBABE, first: int = 0x80) -> bytes:
    return bytes((first, 0)) + (sequence & 0xFFFF).to_bytes(2, "big") + bytes(4) + source.to_bytes(4, "big") + payload


def _rtcp(number: int = 0, source: int = 0xCAFEBABE) -> bytes:
    return b"\x80\xc9\0\2" + source.to_bytes(4, "big") + number.to_bytes(4, "big")


def _some(packet: bytes | None) -> bytes:
    assert packet is not None
    return packet


@PROVIDERS
@PROFILES
def test_round_trip(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, receiver = _ends(provider, profile)
    packets = [
        _rtp(1),
        _rtp(2, b""),
        _rtp(3, first=0x81)[:12] + bytes(4) + b"x",
        _rtp(4, b"\xbe\xde\0\1\1\2\3\4y", first=0x90),
    ]
    for packet in packets:
        protected = _some(sender.protect(packet))
        assert isinstance(protected, Opaque)
        assert len(protected) == len(packet) + profile.tag_length
        assert protected[:12] == packet[:12]
        plain = receiver.unprotect(bytes(protected))
        assert isinstance(plain, Private)
        assert plain == packet
    report = _some(sender.protect_rtcp(_rtcp()))
    assert len(report) == len(_rtcp()) + profile.tag_length + 4
    assert receiver.unprotect_rtcp(report) == _rtcp()
    assert (sender.rejected, receiver.rejected) == ({}, {})


@PROVIDERS
@PROFILES
def test_payload_cannot_be_read(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, _ = _ends(provider, profile)
    protected = _some(sender.protect(_rtp(1)))
    assert b"voice" not in protected
    assert protected[12:] != _some(sender.protect(_rtp(2)))[12:]


@PROVIDERS
@PROFILES
def test_replay_is_refused(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, receiver = _ends(provider, profile)
    protected = _some(sender.protect(_rtp(1)))
    report = _some(sender.protect_rtcp(_rtcp()))
    assert [receiver.unprotect(protected), receiver.unprotect(protected)] == [_rtp(1), None]
    assert [receiver.unprotect_rtcp(report), receiver.unprotect_rtcp(report)] == [_rtcp(), None]
    assert receiver.rejected == {"replay": 2}


@PROVIDERS
@PROFILES
def test_window_is_of_128(provider: CryptoProvider, profile: SrtpProfile) -> None:
    """A packet that comes late by 127 is taken, by 128 it is not."""
    sender, receiver = _ends(provider, profile)
    protected = [_some(sender.protect(_rtp(sequence))) for sequence in range(1000, 1201)]
    assert receiver.unprotect(protected[200]) is not None
    assert receiver.unprotect(protected[200 - 127]) is not None
    assert receiver.unprotect(protected[200 - 128]) is None
    assert receiver.unprotect(protected[200 - 127]) is None
    assert receiver.rejected == {"replay": 2}


@PROVIDERS
@PROFILES
def test_reordered_within_the_window(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, receiver = _ends(provider, profile)
    protected = [_some(sender.protect(_rtp(sequence))) for sequence in range(65480, 65600)]
    for packet in protected[::2] + protected[1::2][::-1]:
        assert receiver.unprotect(packet) is not None
    assert receiver.rejected == {}


@PROVIDERS
@PROFILES
@pytest.mark.parametrize("lost", [(), range(65530, 65536), range(65536, 65540), range(65500, 65600)])
def test_rollover(provider: CryptoProvider, profile: SrtpProfile, lost: range) -> None:
    """The sequence number wraps, with the packets around the wrap lost or not, and three times in a row."""
    sender, receiver = _ends(provider, profile)
    for number in [*range(65400, 65700), *range(65700, 200_000, 997)]:
        protected = _some(sender.protect(_rtp(number)))
        if number not in lost:
            assert receiver.unprotect(protected) == _rtp(number)
    assert receiver.rejected == {}


@PROVIDERS
@PROFILES
def test_old_packet_is_refused_after_the_wrap(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, receiver = _ends(provider, profile)
    old = _some(sender.protect(_rtp(65500)))
    for number in (65530, 65536, 65540, 65800, 98000, 120000, 131030):
        assert receiver.unprotect(_some(sender.protect(_rtp(number)))) is not None
    assert receiver.unprotect(old) is None
    assert receiver.rejected in ({"auth": 1}, {"replay": 1})


@PROVIDERS
@PROFILES
@settings(max_examples=60, deadline=None)
@given(bit=st.integers(0, 8 * 190 - 1), rtcp=st.booleans())
def test_one_changed_bit_is_refused(provider: CryptoProvider, profile: SrtpProfile, bit: int, rtcp: bool) -> None:
    sender, receiver = _ends(provider, profile)
    protected = _some(sender.protect_rtcp(_rtcp()) if rtcp else sender.protect(_rtp(20000)))
    bit %= 8 * len(protected)
    forged = (int.from_bytes(protected, "big") ^ 1 << bit).to_bytes(len(protected), "big")
    take = receiver.unprotect_rtcp if rtcp else receiver.unprotect
    assert take(forged) is None
    assert sum(receiver.rejected.values()) == 1
    # It has changed nothing: the true one is taken still.
    assert take(protected) is not None


@PROVIDERS
@PROFILES
def test_forged_is_refused_by_cause(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, receiver = _ends(provider, profile)
    protected = _some(sender.protect(_rtp(1)))
    assert receiver.unprotect(protected[:-1] + bytes((protected[-1] ^ 1,))) is None
    assert receiver.rejected == {"auth": 1}
    assert receiver.unprotect(protected[: 11 + profile.tag_length]) is None
    assert receiver.unprotect(b"\x40" + protected[1:]) is None
    assert receiver.unprotect(protected + bytes(MAX_PACKET)) is None
    assert receiver.unprotect_rtcp(protected[:8]) is None
    assert receiver.rejected == {"auth": 1, "malformed": 4}
    with pytest.raises(TypeError):
        receiver.rejected["auth"] = 0  # type: ignore[index] # it is for reading


@PROVIDERS
@PROFILES
def test_what_cannot_be_protected_is_none(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, _ = _ends(provider, profile)
    assert sender.protect(b"short") is None
    assert sender.protect(_rtp(1, bytes(MAX_PACKET))) is None
    assert sender.protect(_rtp(1, b"", first=0x8F)) is None  # fifteen CSRCs that are not there
    assert sender.protect_rtcp(b"") is None
    assert sender.rejected == {"malformed": 4}
    assert sender.protect(_rtp(1, bytes(MAX_PACKET - 12))) is not None
    # One number, two packets: the keystream would be used twice (RFC 3711 section 9.1).
    assert sender.protect(_rtp(1, b"other")) is None
    assert sender.rejected == {"malformed": 4, "replay": 1}


@PROVIDERS
@PROFILES
def test_sources_are_bounded(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, receiver = _ends(provider, profile)
    protected = [_some(sender.protect(_rtp(1, source=source))) for source in range(MAX_SOURCES + 2)]
    assert [receiver.unprotect(packet) is not None for packet in protected] == [True] * MAX_SOURCES + [False] * 2
    assert receiver.rejected == {"sources": 2}
    # Those known go on; a stranger without the keys has taken no place.
    assert receiver.unprotect(_some(sender.protect(_rtp(2, source=0)))) is not None
    assert receiver.unprotect_rtcp(_some(sender.protect_rtcp(_rtcp(source=1)))) is not None


@PROVIDERS
@PROFILES
def test_forged_sources_take_no_place(provider: CryptoProvider, profile: SrtpProfile) -> None:
    sender, receiver = _ends(provider, profile)
    for source in range(2 * MAX_SOURCES):
        assert receiver.unprotect(_rtp(1, source=source) + bytes(16)) is None
    assert receiver.rejected == {"auth": 2 * MAX_SOURCES}
    assert receiver.unprotect(_some(sender.protect(_rtp(1)))) is not None


@PROVIDERS
@PROFILES
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=80), head=st.sampled_from([b"", b"\x80\0", b"\x90\0", b"\x80\xc9", b"\x8f\x6f"]))
@example(data=b"", head=b"")
def test_nothing_raises(provider: CryptoProvider, profile: SrtpProfile, data: bytes, head: bytes) -> None:
    sender, receiver = _ends(provider, profile)
    assert receiver.unprotect(head + data) is None
    assert receiver.unprotect_rtcp(head + data) is None
    sender.protect(head + data)
    sender.protect_rtcp(head + data)


# What the RFCs say, computed in the open.


def _stream(key: bytes, counter: int, length: int) -> bytes:
    """AES in counter mode (RFC 3711 section 4.1.1); `counter` is the first block's."""
    return Cipher(algorithms.AES(key), modes.CTR(counter.to_bytes(16, "big"))).encryptor().update(bytes(length))


def _derived(key: bytes, salt: bytes, label: int, length: int) -> bytes:
    """RFC 3711 section 4.3.1, key derivation rate 0."""
    x = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48
    return _stream(key, x << 16, length)


def _cm(master: bytes, packet: bytes, index: int) -> bytes:
    """RFC 3711 sections 4.1.1 and 4.2.1."""
    key, salt = master[:16], master[16:]
    cipher, tag_key, session_salt = (_derived(key, salt, *what) for what in ((0, 16), (1, 20), (2, 14)))
    counter = int.from_bytes(session_salt, "big") << 16 ^ int.from_bytes(packet[8:12], "big") << 64 ^ index << 16
    stream = _stream(cipher, counter, len(packet) - 12)
    sealed = packet[:12] + bytes(a ^ b for a, b in zip(packet[12:], stream, strict=True))
    tag = hmac.HMAC(tag_key, hashes.SHA1())
    tag.update(sealed + (index >> 16).to_bytes(4, "big"))
    return sealed + tag.finalize()[:10]


def _gcm_sealed(key: bytes, salt: bytes, packet: bytes, index: int) -> bytes:
    """RFC 7714 section 8.1."""
    nonce = bytes(2) + packet[8:12] + index.to_bytes(6, "big")
    nonce = bytes(a ^ b for a, b in zip(nonce, salt, strict=True))
    return packet[:12] + AESGCM(key).encrypt(nonce, packet[12:], packet[:12])


def _gcm(master: bytes, packet: bytes, index: int) -> bytes:
    key, salt = master[:16], master[16:]
    return _gcm_sealed(_derived(key, salt, 0, 16), _derived(key, salt, 2, 12), packet, index)


def _vectors() -> dict[str, Any]:
    path = require_shared("corpus/07-rtp-srtp/srtp-vectors.json")
    return {row["id"]: row for row in json.loads(path.read_text())}


def test_rfc_3711_appendix_b() -> None:
    """The reference above is the RFC's; the next tests hold libsrtp to it."""
    vectors = _vectors()
    row = vectors["rfc3711-B.2-aescm"]
    key, salt = bytes.fromhex(row["key"]), int(row["salt"], 16)
    for block, keystream in row["blocks"].items():
        assert _stream(key, (salt << 16) + int(block, 16), 16).hex().upper() == keystream
    row = vectors["rfc3711-B.3-kdf"]
    key, salt_octets = bytes.fromhex(row["master_key"]), bytes.fromhex(row["master_salt"])
    for label, name in ((0, "cipher_key"), (1, "auth_key_94"), (2, "cipher_salt")):
        assert _derived(key, salt_octets, label, len(row[name]) // 2).hex().upper() == row[name]


def test_rfc_7714_section_16_1_1() -> None:
    row = _vectors()["rfc7714-16.1.1"]
    packet = bytes.fromhex(row["plain_packet"])
    sealed = _gcm_sealed(bytes.fromhex(row["key"]), bytes.fromhex(row["salt"]), packet, 0xF17B)
    assert sealed.hex() == row["srtp_packet"]


REFERENCE: dict[SrtpProfile, Callable[[bytes, bytes, int], bytes]] = {CM: _cm, GCM: _gcm}


@PROFILES
def test_packets_are_those_of_the_rfcs_across_the_wrap(profile: SrtpProfile) -> None:
    master = bytes.fromhex(KEYS[profile].reveal())
    sender, receiver = _ends(OpenSslCrypto(), profile)
    for index in (65533, 65534, 65535, 65536, 65537, 98000, 130000, 131072):
        packet = _rtp(index)
        expected = REFERENCE[profile](master, packet, index)
        assert sender.protect(packet) == expected
        assert receiver.unprotect(expected) == packet


def test_libsrtp_own_packet() -> None:
    """The packet that libsrtp's `srtp_driver` validates itself with."""
    key = Secret("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6")
    plain = bytes.fromhex("800f1234decafbadcafebabe" + "ab" * 16)
    sealed = bytes.fromhex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb")
    crypto = OpenSslCrypto()
    assert crypto.srtp_session(key, CM, "outbound").protect(plain) == sealed
    assert crypto.srtp_session(key, CM, "inbound").unprotect(sealed) == plain


def test_noise_of_the_corpus_is_refused() -> None:
    folder = require_shared("corpus/07-rtp-srtp")
    for provider in (OpenSslCrypto(), SeededCrypto("corpus")):
        for profile in SrtpProfile:
            _, receiver = _ends(provider, profile)
            files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size < 4096]
            assert len(files) > 50
            for path in files:
                assert receiver.unprotect(path.read_bytes()) is None
                assert receiver.unprotect_rtcp(path.read_bytes()) is None


@PROFILES
def test_exported_keys_are_cut_as_rfc_5764_says(profile: SrtpProfile) -> None:
    material = bytes(range(SrtpKeys.exported_length(profile)))
    salt = profile.salt_length
    client, server = (
        SrtpKeys.from_exported(material, profile, "client"),
        SrtpKeys.from_exported(material, profile, "server"),
    )
    assert (client.local, client.remote) == (server.remote, server.local)
    assert bytes.fromhex(client.local.reveal()) == material[:16] + material[32 : 32 + salt]
    assert bytes.fromhex(client.remote.reveal()) == material[16:32] + material[32 + salt :]
    assert client.local.reveal() not in repr(client)


def test_failures_have_names() -> None:
    assert [failure.value for failure in SrtpFailure] == ["auth", "replay", "malformed"]
