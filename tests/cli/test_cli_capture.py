"""A capture is played to a phone: the same calls come, and are answered as the phone that was captured did."""

import json
import subprocess
import sys
from pathlib import Path

import dpkt
import pytest
from cli.phones import complaint
from interop.peers import ROOT, SPEECH, capture, namespace, sansio_sip
from simulation.phones import Network

from sansio_sip.effects import Address
from sansio_sip.pcapng import packets_of, pcapng
from sansio_sip.sip.parser import parse_message
from sansio_sip.trace import TraceWriter
from sansio_sip_cli.capture import MAX_WAITING, sip_in
from sansio_sip_cli.capture_replay import play_capture
from sansio_sip_cli.main import main

BOB = Address("10.0.0.2", 5060)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call that Bob answers and Alice ends, as packets."""
    lines: list[str] = []
    network = Network(1, trace=TraceWriter(lines.append, full=False))
    alice, bob = network.phone("alice"), network.phone("bob")
    assert alice.login()
    assert bob.login()
    alice.call("bob")
    network.pass_time(1.0)
    bob.answer()
    network.pass_time(1.0)
    alice.hang_up()
    network.pass_time(1.0)
    path = tmp_path_factory.mktemp("capture") / "call.pcapng"
    of_bob = (packet for packet in packets_of(lines) if packet.machine == "bob")
    path.write_bytes(b"".join(pcapng(of_bob)))
    return path


def test_a_phone_hears_the_call_and_answers_it_as_bob_did(recorded: Path) -> None:
    report = play_capture(recorded, BOB, answer=True)
    steps = [what.strip() for _, what in report.rows]
    assert report.malformed == 0
    heard = [step.split()[2] for step in steps if step.startswith("#")]
    assert [word for word in heard if word in ("INVITE", "ACK", "BYE")] == ["INVITE", "ACK", "BYE"]
    told = [step.split()[1] for step in steps if step.startswith("told")]
    assert told == ["onIncomingCall", "onCallAnswered", "onCallTerminated"]
    # Ours answered at once, so its 200 went out again until the ACK of the capture came.
    assert [step for step in dict.fromkeys(steps) if step.startswith("said 200")] == ["said 200 INVITE", "said 200 BYE"]
    assert report.different() == []


def test_a_phone_that_does_not_answer_is_seen_to_do_otherwise(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["replay", str(recorded), "--to", str(BOB)])
    assert leaving.value.code == 1
    said = capsys.readouterr().out
    assert "told onIncomingCall" in said
    assert "200 in the capture" in said


def test_the_one_that_is_called_is_found(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["replay", str(recorded), "--answer", "--json"])
    assert leaving.value.code == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["phone"], row["different"]) == (str(BOB), [])


def test_packets_have_their_times_and_ends(recorded: Path) -> None:
    packets = list(sip_in(recorded))
    assert [packet.number for packet in packets] == sorted(packet.number for packet in packets)
    assert {packet.destination for packet in packets} == {BOB, Address("10.0.0.9", 5060)}
    assert 2.0 < packets[-1].time - packets[0].time < 40.0


def test_what_is_wrong_is_said(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--to HOST:PORT" in complaint(capsys, "replay", str(recorded), "--to", "192.0.2.1:5060")
    assert "leave them out" in complaint(capsys, "replay", str(tmp_path / "trace.jsonl"), "--answer")
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(b"nothing of the kind")
    assert "no capture" in complaint(capsys, "replay", str(empty))


@pytest.mark.interop
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_what_tshark_has_captured(transport: str, tmp_path: Path) -> None:
    """A call between two phones of ours in a namespace of its own."""
    path = tmp_path / "call.pcapng"
    with namespace() as inside, capture(path, inside=inside):
        served = (
            "serve",
            f"--{transport}",
            "127.0.0.1:5070",
            "--domain",
            "sip.test",
            "--user",
            "alice:a",
            "--user",
            "bob:b",
        )
        with sansio_sip(*served, inside=inside) as server:
            server.until(lambda row: "url" in row, "a listener")
            place = ("--server", f"{transport}://127.0.0.1:5070", "--media", "rtp", "--codec", "pcmu")
            with sansio_sip("answer", "sip:bob@sip.test", "--password", "b", *place, inside=inside) as bob:
                bob.event("onLogin")
                caller = (
                    "call",
                    "sip:alice@sip.test",
                    "bob",
                    "--password",
                    "a",
                    *place,
                    "--play",
                    str(SPEECH / "alice.wav"),
                )
                with sansio_sip(*caller, "--duration", "1", inside=inside) as alice:
                    assert alice.wait() == 0, str(alice)
                assert bob.wait() == 0, str(bob)
    # The server is called first; whom it calls is the phone.
    phone = [packet.destination for packet in sip_in(path) if b"INVITE" in bytes(packet.data)[:6]][-1]  # type: ignore[arg-type]
    report = play_capture(path, phone, answer=True)
    assert report.heard >= 3
    told = [what.split()[1] for _, what in report.rows if what.strip().startswith("told")]
    assert told == ["onIncomingCall", "onCallAnswered", "onCallTerminated"]
    assert report.different() == []
    own = [sys.executable, "-m", "sansio_sip_cli", "parse", str(path)]
    parsed = subprocess.run(own, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert parsed.returncode == 0, parsed.stdout
    assert parsed.stdout.count("valid request INVITE") >= 2


def message(number: int, body: int = 0) -> bytes:
    lines = (
        "OPTIONS sip:bob@10.0.0.2 SIP/2.0",
        f"Via: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bK{number}",
        "From: <sip:alice@10.0.0.9>;tag=a",
        "To: <sip:bob@10.0.0.2>",
        f"Call-ID: {number}",
        f"CSeq: {number} OPTIONS",
        f"Content-Length: {body}",
        "",
        "",
    )
    return "\r\n".join(lines).encode() + b"x" * body


def found_in(path: Path, *segments: tuple[int, bytes], begins: tuple[int, ...] = ()) -> list[str]:
    """The Call-IDs, or errors, of a stream whose segments were captured like this; `begins` are those with a SYN."""
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=dpkt.pcap.DLT_RAW)
        for index, (sequence, data) in enumerate(segments):
            flags = dpkt.tcp.TH_SYN if index in begins else dpkt.tcp.TH_ACK
            segment = dpkt.tcp.TCP(sport=4000, dport=5060, seq=sequence % (1 << 32), flags=flags, data=data)
            ends = {"src": bytes((10, 0, 0, 9)), "dst": bytes((10, 0, 0, 2))}
            writer.writepkt(bytes(dpkt.ip.IP(**ends, p=dpkt.ip.IP_PROTO_TCP, data=segment)), ts=float(index))
    rows = list(sip_in(path))
    assert [row.number for row in rows] == sorted(row.number for row in rows)
    return [
        str(parse_message(row.data).call_id) if isinstance(row.data, bytes) else row.data.reason.partition(" in the")[0]
        for row in rows
    ]


def laid_out(*messages: bytes, start: int = (1 << 32) - 700) -> list[tuple[int, bytes]]:
    """One segment for each, on numbers that wrap."""
    return [(start + sum(map(len, messages[:index])), data) for index, data in enumerate(messages)]


def test_segments_out_of_order_and_sent_again_are_one_stream(tmp_path: Path) -> None:
    parts = laid_out(*(message(number, body=100) for number in range(6)))
    joined = (parts[3][0], parts[3][1] + parts[4][1])  # sent again as one, with what has come and what has not
    order = [parts[0], parts[2], parts[1], parts[1], parts[3], joined, parts[5]]
    assert found_in(tmp_path / "a.pcap", *order) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("after", [3, MAX_WAITING + 20])
def test_a_lost_segment_is_told_and_the_rest_is_read(after: int, tmp_path: Path) -> None:
    parts = laid_out(*(message(number) for number in range(after)))
    gap = len(parts[1][1])
    rest = [str(number) for number in range(2, after)]
    assert found_in(tmp_path / "a.pcap", parts[0], *parts[2:]) == ["0", f"{gap} octets are missing", *rest]


def test_after_a_gap_the_rest_of_a_message_is_passed_over(tmp_path: Path) -> None:
    first, long, last = message(0), message(1, body=900), message(2)
    parts = laid_out(first, long[:600], long[600:900], long[900:], last)
    assert found_in(tmp_path / "a.pcap", parts[0], parts[1], *parts[3:]) == ["0", "300 octets are missing", "2"]


def test_a_connection_from_the_same_port_is_another_stream(tmp_path: Path) -> None:
    parts = laid_out(message(0), message(1), message(2))
    again = laid_out(message(7), message(8), start=77)
    order = [parts[0], parts[2], (76, b""), *again]
    assert found_in(tmp_path / "a.pcap", *order, begins=(2,)) == [
        "0",
        f"{len(parts[1][1])} octets are missing",
        "2",
        "7",
        "8",
    ]
