"""Handshakes with DTLS that is not ours: pyOpenSSL used bare, and aiortc."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from dtls.bare_openssl import BareOpenSsl
from dtls.pair import context

from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip_media.crypto import SrtpKeys, SrtpProfile
from sansio_sip_media.dtls import DtlsOutput, DtlsState, DtlsTransport, HandshakeDone, HandshakeFailed, PeerClosed
from sansio_sip_media.dtls import SendRecords as Send
from sansio_sip_media.dtls_record import pack_records, split_records
from sansio_sip_media.openssl_crypto import OpenSslCrypto

Role = Literal["client", "server"]
GCM, CM = SrtpProfile.AEAD_AES_128_GCM, SrtpProfile.AES128_CM_SHA1_80
DONE = HandshakeDone(GCM)
ROLES = pytest.mark.parametrize("role", ["client", "server"])

RTP = bytes.fromhex("80000001000000a0deadbeef") + bytes(160)


@dataclass
class Meeting:
    """One of ours in `role` and a stranger in the other, with a relay between that loses chosen flights once."""

    role: Role
    stranger: BareOpenSsl
    lost: frozenset[tuple[str, int]] = frozenset()
    fingerprint: Fingerprint | None = None
    events: list[DtlsOutput] = field(default_factory=list)
    flights: dict[str, int] = field(default_factory=lambda: {"ours": 0, "theirs": 0})

    def __post_init__(self) -> None:
        self.crypto = OpenSslCrypto()
        wanted = self.fingerprint or self.stranger.fingerprint
        self.ours = DtlsTransport(context(), self.crypto, role=self.role, fingerprints=(wanted,))

    def start(self, now: float) -> None:
        self.ours.start(now=now)
        if self.role == "server":
            self.stranger.receive()
        self.relay(now)

    def relay(self, now: float) -> None:
        """Carries flights to and fro until nobody has anything to say."""
        while True:
            flight = [bytes(output.data) for output in self._ours()]
            if flight and self._passes("ours"):
                for data in flight:
                    self.stranger.receive(data)
            stream = self.stranger.records()
            if stream and self._passes("theirs"):
                for data in pack_records(stream):
                    self.ours.receive(data, now=now)
            if not flight and not stream:
                return

    def _ours(self) -> list[Send]:
        outputs = list(self.ours.outputs())
        self.events += [output for output in outputs if not isinstance(output, Send)]
        return [output for output in outputs if isinstance(output, Send)]

    def _passes(self, whose: str) -> bool:
        number = self.flights[whose]
        self.flights[whose] += 1
        return (whose, number) not in self.lost


@ROLES
@pytest.mark.parametrize("with_rsa", [False, True], ids=["P-256", "RSA"])
def test_handshake_and_keys(role: Role, with_rsa: bool) -> None:
    meeting = Meeting(role, BareOpenSsl("server" if role == "client" else "client", with_rsa=with_rsa))
    meeting.start(now=0.0)
    assert meeting.stranger.done
    assert meeting.events == [DONE]
    theirs = SrtpKeys.from_exported(meeting.stranger.keys(), GCM, "server" if role == "client" else "client")
    session = meeting.crypto.srtp_session(theirs.local, GCM, "outbound")
    protected = session.protect(RTP)
    assert isinstance(protected, bytes)
    assert meeting.ours.srtp().unprotect(protected) == RTP


@ROLES
def test_stranger_with_the_mandatory_profile_only(role: Role) -> None:
    other: Role = "server" if role == "client" else "client"
    meeting = Meeting(role, BareOpenSsl(other, profiles=CM.value.encode()))
    meeting.start(now=0.0)
    assert meeting.events == [HandshakeDone(CM)]


@ROLES
def test_stranger_without_srtp(role: Role) -> None:
    meeting = Meeting(role, BareOpenSsl("server" if role == "client" else "client", profiles=b""))
    meeting.start(now=0.0)
    assert meeting.events == [HandshakeFailed("no profile of SRTP was agreed")]
    meeting.stranger.receive()
    assert meeting.stranger.closed


@ROLES
def test_stranger_with_another_certificate(role: Role) -> None:
    wrong = Fingerprint("sha-256", ":".join(["AB"] * 32))
    meeting = Meeting(role, BareOpenSsl("server" if role == "client" else "client"), fingerprint=wrong)
    meeting.start(now=0.0)
    assert meeting.events == [HandshakeFailed("the peer's certificate is not the one that its fingerprint announced")]
    assert meeting.stranger.closed


def test_client_without_a_certificate_is_refused() -> None:
    meeting = Meeting("server", BareOpenSsl("client", certificate=False))
    meeting.start(now=0.0)
    (failed,) = meeting.events
    assert isinstance(failed, HandshakeFailed)
    assert "certificate" in failed.reason
    assert "alert" in meeting.stranger.error


@ROLES
def test_close_notify_each_way(role: Role) -> None:
    other: Role = "server" if role == "client" else "client"
    first = Meeting(role, BareOpenSsl(other))
    first.start(now=0.0)
    first.ours.close(now=1.0)
    first.relay(now=1.0)
    assert first.stranger.closed
    second = Meeting(role, BareOpenSsl(other))
    second.start(now=0.0)
    second.stranger.close()
    second.relay(now=1.0)
    assert second.events == [DONE, PeerClosed("close_notify")]


@ROLES
def test_data_of_applications_is_let_be(role: Role) -> None:
    meeting = Meeting(role, BareOpenSsl("server" if role == "client" else "client"))
    meeting.start(now=0.0)
    meeting.stranger.say(b"a data channel, perhaps")
    meeting.relay(now=1.0)
    assert meeting.events == [DONE]
    assert meeting.ours.state is DtlsState.CONNECTED


def test_hello_too_large_for_a_datagram() -> None:
    """OpenSSL itself cuts a hello of 1.5 kB in two, as browsers do whose hello has post-quantum keys."""
    stranger = BareOpenSsl("client", alpn=[b"%03d-a-protocol-with-a-long-name" % number for number in range(40)])
    stranger.receive()
    stream = stranger.records()
    datagrams = pack_records(stream)
    assert [len(data) > 200 for data in datagrams] == [True, True]
    assert {record.fragment[0] for data in datagrams for record in split_records(data)} == {1}
    for order in (1, -1):
        stranger = BareOpenSsl("client", alpn=[b"%03d-a-protocol-with-a-long-name" % number for number in range(40)])
        meeting = Meeting("server", stranger)
        stranger.receive()
        meeting.ours.start(now=0.0)
        for data in pack_records(stranger.records())[::order]:
            meeting.ours.receive(data, now=0.0)
        meeting.relay(now=0.0)
        assert stranger.done
        assert meeting.events == [DONE]


LOST = [(whose, number) for whose in ("ours", "theirs") for number in (0, 1)]


@pytest.mark.interop
def test_each_flight_lost_once_each_role() -> None:
    """By the real clock, for a stranger's DTLS answers new record numbers alone, and OpenSSL's timer makes them.

    All meetings wait for the same second. `now` is the clock, as a driver gives it.
    """
    pairs: tuple[tuple[Role, Role], ...] = (("client", "server"), ("server", "client"))
    meetings = {
        (role, lost): Meeting(role, BareOpenSsl(other), frozenset({lost})) for role, other in pairs for lost in LOST
    }
    for meeting in meetings.values():
        meeting.start(now=time.monotonic())
    assert not any(meeting.events and meeting.stranger.done for meeting in meetings.values())
    asked: set[int] = set()
    end = time.monotonic() + 4
    while time.monotonic() < end and not all(m.events and m.stranger.done for m in meetings.values()):
        now = time.monotonic()
        for number, meeting in enumerate(meetings.values()):
            due = meeting.ours.next_timeout()
            if due is not None and due <= now:
                meeting.ours.handle_timeout(now=now)
                asked.add(number)
            if not meeting.stranger.done:
                meeting.stranger.handle_timeout()
            meeting.relay(now=time.monotonic())
        time.sleep(0.02)
    assert {key: (meeting.events, meeting.stranger.done) for key, meeting in meetings.items()} == {
        key: ([DONE], True) for key in meetings
    }


@pytest.mark.interop
def test_only_our_timer_heals_a_lost_last_flight() -> None:
    """The stranger is done and has no timer any more; it has seen our records, and answers to new numbers alone."""
    meeting = Meeting("client", BareOpenSsl("server"), frozenset({("theirs", 1)}))
    meeting.start(now=time.monotonic())
    assert meeting.stranger.done
    assert meeting.events == []
    due = meeting.ours.next_timeout()
    assert due is not None
    time.sleep(max(0.0, due - time.monotonic()))
    meeting.ours.handle_timeout(now=time.monotonic())
    meeting.relay(now=time.monotonic())
    assert meeting.events == [DONE]
    assert meeting.ours.retransmissions == 1


@pytest.mark.interop
@ROLES
def test_aiortc(role: Role) -> None:
    """aiortc's RTCDtlsTransport over a queue in place of ICE, then SRTP each way."""
    rtcdtlstransport = pytest.importorskip("aiortc.rtcdtlstransport")
    asyncio.run(_meet_aiortc(rtcdtlstransport, role))


class _Ice:
    """As much of RTCIceTransport as RTCDtlsTransport asks for."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.to_aiortc: asyncio.Queue[bytes] = asyncio.Queue()
        self.from_aiortc: asyncio.Queue[bytes] = asyncio.Queue()

    async def _recv(self) -> bytes:
        return await self.to_aiortc.get()

    async def _send(self, data: bytes) -> None:
        for datagram in pack_records(data) if data[0] < 64 else (data,):
            self.from_aiortc.put_nowait(datagram)


async def _meet_aiortc(module: Any, role: Role) -> None:
    certificate = module.RTCCertificate.generateCertificate()
    ice = _Ice("controlling" if role == "client" else "controlled")  # ORTC: the controlling side is the server
    theirs = module.RTCDtlsTransport(ice, [certificate])
    crypto = OpenSslCrypto()
    fingerprints = tuple(Fingerprint(each.algorithm, each.value) for each in certificate.getFingerprints())
    ours = DtlsTransport(context(), crypto, role=role, fingerprints=fingerprints)
    own = crypto.certificate_fingerprint
    parameters = module.RTCDtlsParameters([module.RTCDtlsFingerprint(own.algorithm, own.value)])
    starting = asyncio.create_task(theirs.start(parameters))
    events: list[DtlsOutput] = []
    ours.start(now=0.0)
    async with asyncio.timeout(10):
        while not (events and theirs.state == "connected"):
            for output in ours.outputs():
                if isinstance(output, Send):
                    ice.to_aiortc.put_nowait(bytes(output.data))
                else:
                    events.append(output)
            await asyncio.sleep(0)
            while not ice.from_aiortc.empty():
                ours.receive(ice.from_aiortc.get_nowait(), now=0.0)
        await starting
    assert events == [DONE]
    srtp = ours.srtp()
    await theirs._send_rtp(RTP)
    assert srtp.unprotect(await ice.from_aiortc.get()) == RTP
    packet = RTP[:8] + b"\1\2\3\4" + RTP[12:]
    protected = srtp.protect(packet)
    assert protected is not None
    assert theirs._rx_srtp.unprotect(bytes(protected)) == packet
    ours.close(now=1.0)
    (closing,) = (output for output in ours.outputs() if isinstance(output, Send))
    ice.to_aiortc.put_nowait(bytes(closing.data))
    await asyncio.wait_for(theirs._task, 10)
    assert theirs.state == "closed"
