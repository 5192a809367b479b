"""RTCP on a socket of its own where the peer declines to share one; and a peer that sends with our SSRC."""

from dataclasses import replace

import pytest
from engines.wire import End, S, Wire, options

from sansio_sip.effects import Address
from sansio_sip.sdp.parser import parse_description
from sansio_sip.softphone.media_plane import LocalDescription, MediaProfile
from sansio_sip_media.demux import Kind, classify
from sansio_sip_media.rtcp.packets import Bye, parse_compound
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.rtp.sender import RtpSender


def without_mux(data: bytes) -> bytes:
    return data.replace(b"a=rtcp-mux\r\n", b"")


def negotiate_without_mux(wire: Wire, side: str) -> None:
    """The peer's description says nothing of rtcp-mux: an old gateway's."""
    a, b = wire.ends
    wire.do(a, a.engine.create_offer, S)
    offer = bytes(a.heard(LocalDescription)[-1].description)
    assert b"a=rtcp:" in offer
    wire.do(b, b.engine.apply_offer, S, parse_description(without_mux(offer) if side == "offer" else offer))
    answer = bytes(b.heard(LocalDescription)[-1].description)
    wire.do(a, a.engine.apply_answer, S, parse_description(without_mux(answer)))


def rtcp_of(end: End) -> float | None:
    return end.engine.statistics(S).remote_jitter_ms


@pytest.mark.parametrize("profile", [MediaProfile.RTP, MediaProfile.SRTP], ids=lambda profile: profile.value)
def test_reports_flow_on_sockets_of_their_own(profile: MediaProfile) -> None:
    wire = Wire(options(profile, "pcmu"), options(profile, "pcmu"))
    negotiate_without_mux(wire, "offer")
    a, b = wire.ends
    assert [len(end.flows) for end in wire.ends] == [2, 2]
    wire.run(15.0)
    assert rtcp_of(a) is not None
    assert rtcp_of(b) is not None
    assert a.engine.statistics(S).rejected == ()
    assert a.engine.statistics(S).rtt_ms == pytest.approx(40, abs=1)
    wire.do(a, a.engine.close_session, S)
    assert a.flows == {}


def test_a_peer_that_shares_leaves_us_one_socket() -> None:
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    wire.negotiate()
    assert [len(end.flows) for end in wire.ends] == [1, 1]
    wire.run(15.0)
    assert rtcp_of(wire.ends[0]) is not None


def test_webrtc_never_opens_a_second_socket() -> None:
    wire = Wire(options(MediaProfile.WEBRTC), options(MediaProfile.WEBRTC))
    wire.negotiate()
    assert [len(end.flows) for end in wire.ends] == [1, 1]


def test_a_call_goes_on_where_there_is_no_second_socket() -> None:
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    a, b = wire.ends
    negotiate_without_mux(wire, "offer")
    (spare,) = [flow for flow in a.flows if str(flow).endswith("/2")]
    del a.flows[spare]
    wire.do(a, a.engine.flow_lost, spare, "gone")
    wire.run(3.0)
    assert b.engine.statistics(S).packets_received > 100


def test_reports_are_taken_from_one_place_only() -> None:
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    negotiate_without_mux(wire, "offer")
    a = wire.ends[0]
    wire.run(15.0)
    (spare,) = [flow for flow in a.flows if str(flow).endswith("/2")]
    report = bytes.fromhex("80c9000100000001")
    wire.do(a, a.engine.receive_datagram, spare, report, Address("203.0.113.1", 1))
    wire.do(a, a.engine.receive_datagram, spare, bytes(RtpPacket(0, 1, 1, 1, b"")), Address("10.0.0.2", 1))
    assert dict(a.engine.statistics(S).rejected) == {"from elsewhere": 1, "unexpected rtp": 1}


# RFC 3550 section 8.2


def test_a_peer_with_our_ssrc_makes_us_say_goodbye_and_take_another() -> None:
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    wire.negotiate()
    sources: list[int] = []
    byes: list[int] = []

    def look(end: End, data: bytes) -> bool:
        if end is wire.ends[0]:
            if classify(data) is Kind.RTP:
                sources.append(RtpPacket.parse(data).ssrc)
            else:
                byes.extend(ssrc for part in parse_compound(data) if isinstance(part, Bye) for ssrc in part.sources)
        return True

    wire.keep = look
    wire.run(0.5)
    a = wire.ends[0]
    (flow,) = a.flows
    ours, peer = sources[0], next(iter(wire.ends[1].flows.values()))
    for sequence in range(3):
        packet = RtpPacket(0, sequence, 160 * sequence, ours, bytes(160))
        wire.do(a, a.engine.receive_datagram, flow, bytes(packet), peer)
    wire.run(1.0)
    assert byes == [ours]
    assert len(set(sources)) == 2
    assert sources[-1] != ours
    received = wire.ends[1].engine.statistics(S).packets_received
    wire.run(1.0)
    assert wire.ends[1].engine.statistics(S).packets_received == pytest.approx(received + 50, abs=2)


def test_an_echo_is_no_collision_and_is_heard() -> None:
    """SIPp's `-rtp_echo` sends back what it gets."""
    wire = Wire(options(MediaProfile.RTP, "pcmu"), options(MediaProfile.RTP, "pcmu"))
    wire.negotiate()
    a = wire.ends[0]
    (flow,) = a.flows
    peer = next(iter(wire.ends[1].flows.values()))
    sources: set[int] = set()
    echoes: list[bytes] = []

    def echo(end: End, data: bytes) -> bool:
        if end is a and classify(data) is Kind.RTP:
            sources.add(RtpPacket.parse(data).ssrc)
            echoes.append(data)
        return False

    wire.keep = echo
    for _ in range(100):
        wire.run(0.02)
        for data in echoes:
            wire.do(a, a.engine.receive_datagram, flow, data, peer)
        echoes.clear()
    assert len(sources) == 1
    statistics = a.engine.statistics(S)
    assert statistics.packets_received > 90
    assert dict(statistics.rejected)["our own, sent back"] > 80
    assert replace(statistics, rejected=()).packets_lost == 0


@pytest.mark.parametrize(
    ("sequence", "timestamp", "ours"),
    [
        pytest.param(65_535, 2**32 - 160, True, id="the-last"),
        pytest.param(65_100, 2**32 - 70_000, True, id="before-the-wrap"),
        pytest.param(2, 320, False, id="not-sent-yet"),
        pytest.param(40_000, 2**32 - 160, False, id="another-sequence"),
        pytest.param(65_535, 2**31, False, id="another-time"),
    ],
)
def test_our_own_packets_are_told_by_both_their_numbers(sequence: int, timestamp: int, ours: bool) -> None:
    sender = RtpSender(7, 65_534, 2**32 - 320)
    for _ in range(3):
        sender.packet(0, b"", samples=160)
    assert sender.has_sent(RtpPacket(0, sequence, timestamp, 7, b"")) is ours
    assert not sender.has_sent(RtpPacket(0, sequence, timestamp, 8, b""))
