"""A recorded handshake and its packets come again without OpenSSL, libsrtp or a socket."""

import base64
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from dtls.recorded_end import FLOW, PEER, RTP, End, Received, Refused, replay_trace

from sansio_sip.effects import SendDatagram
from sansio_sip.sdp.attributes import Fingerprint
from sansio_sip.trace import TraceWriter
from sansio_sip_media.crypto import CryptoProvider
from sansio_sip_media.dtls import HandshakeDone, HandshakeFailed, PeerClosed
from sansio_sip_media.openssl_crypto import OpenSslCrypto
from sansio_sip_media.seeded_crypto import SeededCrypto

FOLDERS = [str(Path(__file__).parents[2] / name) for name in (".", "tests", "media")]

# Run in a process of its own: nothing that this one has imported helps.
FRESH = """
import json, sys
sys.path[:0] = json.loads(sys.argv[2])
from dtls.recorded_end import replay_trace
with open(sys.argv[1]) as lines:
    report = replay_trace(lines)
loaded = [name for name in ("OpenSSL", "cryptography", "pylibsrtp", "ssl", "socket", "asyncio") if name in sys.modules]
print(json.dumps([report.inputs, report.identical, report.opaque, report.different, report.differences, loaded]))
"""


def _record(
    client: CryptoProvider, server: CryptoProvider, *, full: bool = True, right: bool = True
) -> tuple[list[str], list[object]]:
    """A call's DTLS-SRTP with losses on the way; the trace, and all that both ends have said other than datagrams."""
    lines: list[str] = []
    writer = TraceWriter(lines.append, full=full)
    ends = {}
    for number, (role, crypto) in enumerate((("client", client), ("server", server))):
        context = writer.machine(role, "end", {"role": role}).context(random.Random(number), 0.0)
        ends[role] = End(context, crypto, role)  # type: ignore[arg-type] # the two roles
        ends[role].announce(now=0.0)
    prints = {role: next(end.outputs()) for role, end in ends.items()}
    said: list[object] = []
    now, sent = 0.0, 0
    for role, other in (("server", "client"), ("client", "server")):
        fingerprint = prints[other if right else role]
        assert isinstance(fingerprint, Fingerprint)
        ends[role].start(fingerprint.algorithm, fingerprint.value, now=now)
    for round_number in range(60):
        quiet = True
        for role, other in (("client", "server"), ("server", "client")):
            for output in ends[role].outputs():
                quiet = False
                if not isinstance(output, SendDatagram):
                    said.append(output)
                    continue
                sent += 1
                if sent in (2, 4):
                    continue  # lost
                ends[other].receive_datagram(FLOW, bytes(output.data), PEER, now=now)
                if output.data[0] >= 128 and output.data[1] == 0:
                    ends[other].receive_datagram(FLOW, bytes(output.data), PEER, now=now)  # twice: a replay
        due = [when for end in ends.values() if (when := end.next_timeout()) is not None]
        if quiet and not due:
            break
        now = min(due) if quiet else now + 0.02
        for end in ends.values():
            end.handle_timeout(now=now)
        if round_number == 40:
            ends["client"].close(now=now)
    ends["client"].close(now=now)
    for output in ends["client"].outputs():
        assert isinstance(output, SendDatagram)
        ends["server"].receive_datagram(FLOW, bytes(output.data), PEER, now=now)
    said += [output for output in ends["server"].outputs() if not isinstance(output, SendDatagram)]
    return lines, said


PROVIDERS = pytest.mark.parametrize(
    "providers",
    [(OpenSslCrypto(), OpenSslCrypto()), (SeededCrypto(1), SeededCrypto(2))],
    ids=["openssl", "seeded"],
)


@PROVIDERS
@pytest.mark.parametrize("full", [True, False], ids=["full", "signalling"])
def test_a_recorded_call_comes_again(providers: tuple[CryptoProvider, CryptoProvider], full: bool) -> None:
    lines, said = _record(*providers, full=full)
    # What is replayed is worth it.
    assert [type(output) for output in said].count(HandshakeDone) == 2
    assert [type(output) for output in said].count(Received) >= 2
    assert any(isinstance(output, Refused) and dict(output.causes) == {"replay": 1} for output in said)
    assert PeerClosed("close_notify") in said
    report = replay_trace(lines)
    assert report.differences == []
    assert report.different == 0
    assert report.opaque > 8
    assert report.identical >= len(said)


@PROVIDERS
def test_a_failed_handshake_comes_again(providers: tuple[CryptoProvider, CryptoProvider]) -> None:
    lines, said = _record(*providers, right=False)
    assert HandshakeFailed in [type(output) for output in said]
    assert replay_trace(lines).differences == []


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_in_a_fresh_process_without_openssl(tmp_path: Path, hash_seed: str) -> None:
    lines, said = _record(OpenSslCrypto(), OpenSslCrypto())
    trace = tmp_path / "call.trace"
    trace.write_text("".join(lines))
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(trace), json.dumps(FOLDERS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PYTHONHASHSEED": hash_seed},
    )
    inputs, identical, opaque, different, differences, loaded = json.loads(done.stdout)
    assert loaded == []
    assert (different, differences) == (0, [])
    assert inputs > 10
    assert identical >= len(said)
    assert opaque > 8


def test_a_changed_input_is_found() -> None:
    lines, _ = _record(OpenSslCrypto(), OpenSslCrypto())
    place = next(n for n, line in enumerate(lines) if '"i":"receive_datagram"' in line)
    row = json.loads(lines[place])
    data = bytearray(base64.b64decode(row["a"]["data"]["b"]))
    data[40] ^= 1
    row["a"]["data"]["b"] = base64.b64encode(data).decode()
    lines[place] = json.dumps(row, separators=(",", ":")) + "\n"
    assert replay_trace(lines).different >= 1


def test_no_key_and_no_voice_in_a_trace_of_signalling() -> None:
    class Tattling(OpenSslCrypto):
        """Remembers the keys that it gives out."""

        keys: list[str]

        def srtp_session(self, key, profile, direction):  # type: ignore[no-untyped-def] # as its base
            self.__dict__.setdefault("keys", []).append(key.reveal())
            return super().srtp_session(key, profile, direction)

    client = Tattling()
    lines, said = _record(client, OpenSslCrypto(), full=False)
    assert Received(RTP) in said
    text = "".join(lines)
    assert len(client.keys) == 2
    for key in client.keys:
        assert key not in text
        assert base64.b64encode(bytes.fromhex(key)[:15]).decode() not in text
    octets = [base64.b64decode(piece.split('"')[0]) for piece in text.split('{"b":"')[1:]]
    assert not any(b"secret word" in each for each in octets)
