"""`sansio-sip ladder` and `export`: the calls of a recorded simulation, drawn, and read by tshark."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from simulation.calls import ALICE_HZ, Plan, run_call
from simulation.phones import SIP_UDP, SIP_WS, Network, pitch

from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.pcapng import TCP, UDP, Packet, packets_of, pcapng
from sansio_sip.trace import TraceWriter
from sansio_sip_cli.main import main
from sansio_sip_media.codecs.g711 import decode_table
from sansio_sip_media.rtp.packet import RtpPacket


@pytest.fixture(params=[SIP_UDP, SIP_WS], ids=["udp", "ws"])
def trace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "call.trace"
    lines: list[str] = []
    network = Network(1, sip=request.param, trace=TraceWriter(lines.append, full=True))
    alice, bob = network.phone("alice"), network.phone("bob")
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    network.pass_time(0.3)
    bob.answer()
    network.pass_time(0.5)
    alice.hang_up()
    network.pass_time(0.3)
    path.write_text("".join(lines))
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(each) for each in arguments])
    return int(left.value.code or 0)


def test_a_ladder_fits_the_terminal(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ladder", trace) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(name in lines[0] for name in ("alice", "bob", "server"))
    for message in ("REGISTER", "401 REGISTER", "INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"):
        assert f" {message} " in text
    assert sum(" BYE " in line and "200" not in line for line in lines) == 2  # to the server, and on to bob


def test_what_is_no_trace_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x"
    assert run("ladder", path) == 2
    path.write_text("{}\n")
    assert run("export", path, "-o", tmp_path / "y") == 2
    assert "is not a trace" in capsys.readouterr().err
    with pytest.raises(ParseError):
        list(packets_of(['{"trace":1}', '{"m":"a","i":"receive_datagram","a":{},"t":0}']))


def test_blocks_are_whole_and_headers_true() -> None:
    six = (Address("2001:db8::1", 5060), Address("2001:db8::2", 5060))
    four = (Address("192.0.2.1", 5060), Address("192.0.2.2", 40000))
    packets = [
        Packet(1.5, "a", True, UDP, *four, b"hello"),
        Packet(2.0, "b", True, TCP, *six, b"x" * 3000),
        Packet(2.0, "b", False, TCP, six[1], six[0], b"y"),
    ]
    blocks = list(pcapng(packets))
    for block in blocks:
        length = struct.unpack("<I", block[4:8])[0]
        assert (length, length % 4) == (len(block), 0)
        assert block[-4:] == block[4:8]
    assert [struct.unpack("<I", block[:4])[0] for block in blocks] == [0x0A0D0D0A, 1, 6, 1, 6, 6, 6, 6]
    ip = blocks[2][28:48]
    total = sum(struct.unpack("!10H", ip))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of a call with SRTP, in which a tone is played to bob."""
    path = tmp_path_factory.mktemp("srtp") / "call.trace"
    lines: list[str] = []
    run_call(Plan(1, seconds=3.0), trace=TraceWriter(lines.append, full=True))
    path.write_text("".join(lines))
    return path


def test_srtp_that_came_is_exported_as_what_was_in_it(protected: Path) -> None:
    lines = protected.read_text().splitlines()
    media = [packet for packet in packets_of(lines) if packet.machine == "bob" and packet.data[0] >> 6 == 2]
    speech = [RtpPacket.parse(packet.data) for packet in media if packet.data[1] & 0x7F == 0]
    assert len(speech) >= 30
    assert {len(packet.payload) for packet in speech} == {160}
    heard = b"".join(packet.payload for packet in speech)
    assert pitch(decode_table("pcmu")[np.frombuffer(heard, np.uint8)]) == pytest.approx(ALICE_HZ, abs=5.0)
    # Where the trace does not have the contents, the packet stays as it came.
    without = list(packets_of(line for line in lines if "srtp.unprotect" not in line))
    as_it_came = [len(packet.data) for packet in without if packet.machine == "bob" and packet.data[0] >> 6 == 2]
    tag = 16  # octets that AES-GCM adds
    assert as_it_came == [len(packet.data) + (tag if packet.data[1] != 200 else 0) for packet in media]


@pytest.mark.interop
def test_tshark_reads_the_media_of_a_call_with_srtp(protected: Path, tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    out = tmp_path / "call.pcapng"
    assert run("export", protected, "-o", out) == 0
    # The description says SRTP; what the trace has is RTP.
    options = ["--disable-protocol", "sdp", "-d", "udp.port==40000,rtp", "-q", "-z", "rtp,streams"]
    streams = subprocess.run(
        ["tshark", "-r", str(out), *options], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert streams.count("g711U") == 2
    assert "telephone-event" in streams


@pytest.mark.interop
def test_tshark_reads_the_calls(trace: Path, tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    out = tmp_path / "call.pcapng"
    assert run("export", trace, "-o", out) == 0
    shown = subprocess.run(
        [
            "tshark",
            "-r",
            str(out),
            "-d",
            "tcp.port==8080,http",
            "-Y",
            "sip",
            "-T",
            "fields",
            "-e",
            "sip.Method",
            "-e",
            "sip.Status-Code",
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    assert {"REGISTER", "INVITE", "ACK", "BYE", "401", "200", "180"} <= set(shown)


def test_a_capture_is_parsed_message_by_message(
    trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("dpkt")
    request = (
        b"OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:b@x>;tag=1\r\n"
        b"To: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    ends = (Address("192.0.2.1", 5060), Address("192.0.2.2", 5060))
    halves = [Packet(1.0, "a", True, TCP, ends[0], ends[1], piece) for piece in (request[:90], request[90:] + request)]
    (tmp_path / "x.pcapng").write_bytes(
        b"".join(pcapng([*halves, Packet(2.0, "a", True, UDP, ends[0], ends[1], b"INVITE x SIP/2.0\r\n\r\n")]))
    )
    assert run("parse", tmp_path / "x.pcapng") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("#")[2].split(" ")[0] for line in lines] == ["2:", "2:", "3:"]
    assert ["invalid" in line for line in lines] == [False, False, True]
    assert run("export", trace, "-o", tmp_path / "call.pcapng") == 0
    assert run("parse", tmp_path / "call.pcapng") == 0
    (tmp_path / "bad.pcap").write_bytes(b"no capture at all")
    assert run("parse", tmp_path / "bad.pcap") == 2
