"""What is wrong with a command line, and with the files it names, is said before anything is sent."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.phones import SPEECH, complaint, python
from interop.peers import command, free_port

from sansio_sip import __version__
from sansio_sip_cli.main import COMMANDS, main
from sansio_sip_media.wav import wav_header

ALICE = ["sip:alice@127.0.0.1", "--server", "udp://127.0.0.1:9"]
PEER = ["sip:alice@127.0.0.1", "sip:bob@127.0.0.1:9", "--no-register"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["frob"], ["frob", "--help"], id="unknown-command"),
        pytest.param(["call", "--frob"], ["--frob", "call --help"], id="unknown-option"),
        pytest.param(["call"], ["ACCOUNT", "call --help"], id="no-account"),
        pytest.param(["call", *ALICE], ["TARGET"], id="no-target"),
        pytest.param(["register", "alice"], ["ACCOUNT", "sip:user@host"], id="account-without-host"),
        pytest.param(["register", "sip:@example.com"], ["ACCOUNT", "sip:user@host"], id="account-without-user"),
        pytest.param(["register", "sip:a@b", "--server", "http://b"], ["--server", "wss"], id="scheme"),
        pytest.param(["register", "sip:a@b", "--server", "ws://b:99999"], ["--server", "65535"], id="port"),
        pytest.param(["register", "sip:a@b", "--server", "ws://a..b"], ["--server", "host name"], id="host"),
        pytest.param(["register", *ALICE, "--flows", "0"], ["--flows", "1 to 4"], id="no-flows"),
        pytest.param(["call", *PEER, "--flows", "2"], ["--flows", "without a server"], id="flows-without-server"),
        pytest.param(["preflight", *ALICE, "--server", "udp://b"], ["--server once"], id="preflight-two-servers"),
        pytest.param(["register", *ALICE, "--expires", "0"], ["--expires", "5 to 86400"], id="expires"),
        pytest.param(["register", *ALICE, "--expires", "soon"], ["--expires", "integer"], id="expires-word"),
        pytest.param(["register", *ALICE, "--for", "-1"], ["--for"], id="for-negative"),
        pytest.param(["register", *ALICE, "--for", "nan"], ["--for", "number of seconds"], id="for-nan"),
        pytest.param(["register", *ALICE, "--no-register"], ["--no-register", "leave it out"], id="register-not"),
        pytest.param(["register", *ALICE, "--listen", "127.0.0.1:0"], ["--listen", "--no-register"], id="listen"),
        pytest.param(["call", *PEER, "--listen", "5060"], ["--listen", "HOST:PORT"], id="listen-port-alone"),
        pytest.param(["call", *PEER, "--listen", "192.0.2.1:0"], ["--listen", "of this host"], id="listen-elsewhere"),
        pytest.param(["call", *PEER, "--bind", "192.0.2.1"], ["--bind", "IP address of this host"], id="bind"),
        pytest.param(["call", *PEER, "--bind", "not an address"], ["--bind", "IP address"], id="bind-word"),
        pytest.param(["call", *PEER, "--codec", "opus,mp3"], ["--codec", "'mp3'", "pcmu"], id="codec"),
        pytest.param(["call", *PEER, "--codec", ""], ["--codec", "pcmu"], id="no-codec"),
        pytest.param(["call", *PEER, "--codec", "opus,opus"], ["--codec", "once"], id="codec-twice"),
        pytest.param(["call", *PEER, "--media", "none"], ["--media", "webrtc"], id="media"),
        pytest.param(["call", *PEER, "--dtmf", "12x"], ["--dtmf", "'X'", "0123456789"], id="dtmf"),
        pytest.param(["call", *PEER, "--header", "Subject: a"], ["--header", "X-PH-Name"], id="header-name"),
        pytest.param(["call", *PEER, "--header", "X-PH-A: 1\r\nVia: x"], ["--header"], id="header-injection"),
        pytest.param(["call", *PEER, "--ring-timeout", "-2"], ["--ring-timeout"], id="ring-timeout"),
        pytest.param(["call", *PEER, "--trace-audio"], ["--trace-audio", "--trace FILE"], id="trace-audio-alone"),
        pytest.param(["call", *PEER, "--trace", "/no/such/folder/t"], ["/no/such/folder/t", "writable"], id="trace"),
        pytest.param(["call", *ALICE, "tel:+44"], ["TARGET", "tel:+44", "SIP URI"], id="target-scheme"),
        pytest.param(["call", *PEER[:1], "bob", "--no-register", "--ca", "/none"], ["--ca", "PEM"], id="ca"),
        pytest.param(["register", *ALICE, "--ca", __file__], ["--ca", "no certificate"], id="ca-without-certificate"),
        pytest.param(["answer", *ALICE, "--echo", "--silence"], ["--echo", "give one"], id="echo-and-silence"),
        pytest.param(["answer", *ALICE, "--reject", "--ignore"], ["--reject", "give one"], id="reject-and-ignore"),
        pytest.param(["answer", *ALICE, "--calls", "0"], ["--calls"], id="no-calls"),
        pytest.param(["answer", *ALICE, "--record", "/no/such/x.wav"], ["/no/such/x.wav", "record"], id="record"),
        pytest.param(["serve", "--ws", "5080"], ["--ws", "HOST:PORT"], id="serve-port-alone"),
        pytest.param(["serve", "--user", "alice"], ["--user", "NAME:PASSWORD"], id="user-without-password"),
        pytest.param(["serve", "--domain", "a b"], ["domain", "host name"], id="domain"),
        pytest.param(["replay", "/no/such/trace"], ["/no/such/trace", "--trace"], id="replay-nothing"),
        pytest.param(["replay", __file__], ["not a trace"], id="replay-something-else"),
        pytest.param(["parse", "/no/such/message"], ["/no/such/message", "exists"], id="parse-nothing"),
        pytest.param(["demo", "--dir", __file__], ["--dir", "give a folder"], id="demo-dir"),
        pytest.param(["demo", "--seed", "x"], ["--seed"], id="demo-seed"),
    ],
)
def test_bad_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]) -> None:
    said = complaint(capsys, *arguments)
    for word in words:
        assert word in said, said


def test_a_password_in_an_option_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "serve", "--user", ":geheim")
    assert "geheim" not in said


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server that listens and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest.mark.parametrize(
    "content",
    [None, b"", b"RIFF", b"no sound at all" * 100, wav_header(0, 8000), wav_header(2, 0) + b"\0\0"],
    ids=["absent", "empty", "cut-off", "text", "without-audio", "rate-0"],
)
@pytest.mark.parametrize("name", ["call", "answer"])
def test_an_unreadable_wav_is_said_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, server: socket.socket, name: str, content: bytes | None
) -> None:
    wav = tmp_path / "speech.wav"
    if content is not None:
        wav.write_bytes(content)
    arguments = ["sip:alice@127.0.0.1", "--server", f"udp://127.0.0.1:{server.getsockname()[1]}"]
    target = ["bob"] if name == "call" else []
    said = complaint(capsys, name, *arguments, *target, "--play", str(wav))
    assert str(wav) in said
    assert "give a WAV file" in said
    with pytest.raises(BlockingIOError):
        server.recv(1)


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as leaving:
        main([*([] if name is None else [name]), "--help"])
    assert not leaving.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Usage: sansio-sip")
    assert max(map(len, lines)) <= 80
    if name is None:
        assert all(any(line.split()[:1] == [each] for line in lines) for each in COMMANDS)


def test_the_version_is_the_librarys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


def test_output_that_nobody_reads_is_no_traceback() -> None:
    """`sansio-sip parse many files | head -1`."""
    files = " ".join([str(SPEECH / "alice.wav")] * 2000)
    ours = f"{sys.executable} -m sansio_sip_cli parse {files}"
    with command(["bash", "-c", f"{ours} | head -1; echo ${{PIPESTATUS[0]}} >&2"]) as lines:
        lines.wait()
    assert len(lines.lines) == 1
    assert lines.errors == ["1"]


@pytest.mark.parametrize("name", ["call", "load", "conform", "preflight"])
def test_insecure_warns(name: str) -> None:
    where = f"127.0.0.1:{free_port()}"
    who = ["sip:alice@127.0.0.1", *(["bob"] if name in ("call", "load") else []), "--server", f"tcp://{where}"]
    words = ["--target", f"tcp:{where}", "--only", "OPTIONS"] if name == "conform" else who
    source = "import sys\nfrom sansio_sip_cli.main import main\nmain(sys.argv[1:])\n"
    result = python(source, name, *words, "--insecure")
    assert result.returncode == 4, result
    assert result.stderr.splitlines()[0] == "sansio-sip: --insecure: anybody can pretend to be this server"


@pytest.mark.parametrize(
    ("name", "missing", "extra"), [("demo", "rich", "cli"), ("load", "rich", "load"), ("phone", "rich", "phone")]
)
def test_what_is_not_installed_is_said_with_its_remedy(name: str, missing: str, extra: str) -> None:
    words = [] if name == "demo" else ["sip:alice@127.0.0.1", *(["bob"] if name == "load" else [])]
    source = "import sys\nsys.modules[sys.argv[1]] = None\nfrom sansio_sip_cli.main import main\nmain(sys.argv[2:])\n"
    result = python(source, missing, name, *words)
    assert result.returncode == 2, result
    assert result.stderr == f"sansio-sip: {missing} is not installed; pip install 'sansio-sip[{extra}]'\n"


def test_judging_loads_no_crypto_and_no_codec() -> None:
    result = python(
        "import sys\nfrom sansio_sip_cli.main import main\n"
        "try:\n    main(['parse', sys.argv[1]])\nfinally:\n"
        "    print([name for name in ('numpy', 'OpenSSL', 'av', 'asyncio', 'rich') if name in sys.modules])",
        __file__,
    )
    assert result.stdout.splitlines()[-1] == "[]", result
