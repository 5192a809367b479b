"""SRTP with keys from the descriptions: both suites, the real cipher, strangers, changes of keys, a whole call."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engines.wire import RATE, S, Wire, noise, options, talk

from sansio_sip.context import Context, Entropy, Private, Secret
from sansio_sip.effects import Address, FlowId, SendDatagram
from sansio_sip.sdp.negotiation import Codec, LocalMedia, Negotiated
from sansio_sip.sdp.parser import parse_description
from sansio_sip.sdp.security_descriptions import CryptoAttribute, choose_crypto
from sansio_sip.softphone.media_plane import LocalDescription, MediaDisconnected, MediaProfile
from sansio_sip_media.crypto import CryptoProvider
from sansio_sip_media.demux import Kind
from sansio_sip_media.openssl_crypto import OpenSslCrypto
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.sdes_transport import PROFILES, SdesTransport
from sansio_sip_media.seeded_crypto import SeededCrypto
from sansio_sip_media.transport import Arrived

HERE, THERE = Address("192.0.2.1", 4000), Address("192.0.2.2", 5000)
CODEC = Codec("pcmu", 0, 8000)


class End:
    def __init__(self, name: str, provider: CryptoProvider, remote: Address) -> None:
        self.machine = SdesTransport(Context(Entropy(random.Random(name))), provider, 30.0)
        self.flow, self.remote = FlowId(name), remote
        self.machine.add_flow(self.flow, HERE, now=0.0)
        self.own = self.machine.describe(LocalMedia("srtp", HERE)).crypto

    def settle(self, local: CryptoAttribute, remote: CryptoAttribute) -> None:
        settled = Negotiated(
            "srtp",
            (CODEC,),
            {0: CODEC},
            None,
            "sendrecv",
            self.remote,
            self.remote,
            True,
            local_crypto=local,
            remote_crypto=remote,
        )
        self.machine.settle(settled, now=0.0)
        self.drain()

    def drain(self) -> list[Any]:
        return list(self.machine.outputs())

    def send(self, packet: RtpPacket) -> bytes:
        assert self.machine.send(Private(bytes(packet)), Kind.RTP, now=0.0)
        (sent,) = self.drain()
        assert isinstance(sent, SendDatagram)
        assert sent.destination == self.remote
        return sent.data

    def take(self, data: bytes, source: Address) -> list[Any]:
        self.machine.receive_datagram(self.flow, data, source, Kind.RTP, now=0.0)
        return self.drain()


def pair(kind: str, suite: str) -> tuple[End, End]:
    providers: list[CryptoProvider] = [
        SeededCrypto(name) if kind == "seeded" else OpenSslCrypto() for name in ("one", "other")
    ]
    one, other = End("one", providers[0], THERE), End("other", providers[1], HERE)
    (offered,) = [line for line in one.own if line.suite == suite]
    chosen = choose_crypto((offered,), other.own)
    assert chosen is not None
    one.settle(offered, chosen[1])
    other.settle(chosen[1], offered)
    return one, other


def packet(sequence: int) -> RtpPacket:
    return RtpPacket(0, sequence % 65536, sequence * 160, 77, b"voice" * 20)


@pytest.mark.parametrize("kind", ["seeded", "openssl"])
@pytest.mark.parametrize("suite", PROFILES)
def test_packets_go_through_protected(kind: str, suite: str) -> None:
    one, other = pair(kind, suite)
    sealed = one.send(packet(1))
    assert len(sealed) == len(bytes(packet(1))) + PROFILES[suite].tag_length
    if kind == "openssl":
        assert b"voice" not in sealed
    assert other.take(sealed, HERE) == [Arrived(Kind.RTP, Private(bytes(packet(1))), len(sealed))]
    assert other.take(sealed, HERE) == []
    assert other.take(bytes(packet(2)), HERE) == []
    assert dict(other.machine.rejected) == {"SRTP replay": 1, "SRTP auth": 1}


def test_a_stranger_cannot_draw_the_stream_to_himself() -> None:
    one, other = pair("seeded", "AES_CM_128_HMAC_SHA1_80")
    assert other.take(bytes(packet(1)), Address("203.0.113.9", 9)) == []
    assert other.machine.path is not None
    assert other.machine.path.remote == HERE
    behind_nat = Address("198.51.100.7", 1024)
    assert len(other.take(one.send(packet(1)), behind_nat)) == 1
    assert other.machine.path.remote == behind_nat


def test_a_reoffer_with_the_same_keys_goes_on_and_with_other_keys_begins_anew() -> None:
    one, other = pair("openssl", "AES_CM_128_HMAC_SHA1_80")
    assert one.machine.describe(LocalMedia("srtp", HERE)).crypto == one.own
    for sequence in range(65_530, 65_545):  # across the roll-over
        assert len(other.take(one.send(packet(sequence)), HERE)) == 1
    ours, theirs = one.own[0], replace(other.own[0], tag=1)
    one.settle(ours, theirs)
    other.settle(theirs, ours)
    assert len(other.take(one.send(packet(65_545)), HERE)) == 1
    renewed = CryptoAttribute(1, ours.suite, Secret(End("third", OpenSslCrypto(), THERE).own[0].key.reveal()))
    one.settle(renewed, theirs)
    assert other.take(one.send(packet(65_546)), HERE) == []
    other.settle(theirs, renewed)
    assert len(other.take(one.send(packet(65_547)), HERE)) == 1
    assert len(one.take(other.send(packet(5)), THERE)) == 1


def test_keys_differ_between_suites_sessions_and_ends() -> None:
    keys = [line.key.reveal() for name in "abc" for line in End(name, OpenSslCrypto(), THERE).own]
    assert len(set(keys)) == len(keys) == 6


def test_what_comes_before_the_keys_is_counted() -> None:
    end = End("one", SeededCrypto(1), THERE)
    assert end.take(bytes(packet(1)), THERE) == []
    assert not end.machine.send(Private(bytes(packet(1))), Kind.RTP, now=0.0)
    assert dict(end.machine.rejected) == {"unexpected rtp": 1}


def test_a_call_of_srtp_has_the_keys_in_the_offer_and_none_in_the_clear() -> None:
    wire = Wire(options(MediaProfile.SRTP, "pcmu"), options(MediaProfile.SRTP, "pcmu"))
    wire.negotiate()
    offer = parse_description(bytes(wire.ends[0].heard(LocalDescription)[0].description))
    assert [text.split()[1] for text in offer.media[0].get_all("crypto")] == list(PROFILES)
    heard = talk(wire)
    assert np.abs(heard[0]).max() > 1000
    wire.negotiate()
    wire.do(wire.ends[0], wire.ends[0].engine.write_audio, S, noise(3), RATE)
    wire.run(3.0)
    assert np.abs(wire.ends[1].engine.read_audio(S, RATE)[RATE:]).max() > 1000
    assert not wire.ends[0].heard(MediaDisconnected)
    assert wire.ends[1].engine.statistics(S).rejected == ()
