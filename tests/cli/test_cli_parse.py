"""`parse`: every message of RFC 4475 and RFC 5118, SDP files, and standard input."""

import json
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from shared import require_shared

from sansio_sip_cli.main import main

GOOD = (
    b"OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
    b"From: <sip:a@a>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)
SDP = b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"


def parse(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """Exit status and lines of output."""
    with pytest.raises(SystemExit) as leaving:
        main(["parse", *arguments])
    said = capsys.readouterr()
    assert said.err == ""
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, said.out.splitlines()


@pytest.mark.parametrize(
    ("folder", "files", "number"),
    [("01-rfc4475", "", 32), ("02-rfc5118", "derived-crlf", 10)],
    ids=["rfc4475", "rfc5118"],
)
def test_the_torture_messages(capsys: pytest.CaptureFixture[str], folder: str, files: str, number: int) -> None:
    root = require_shared(f"corpus/{folder}")
    cases = json.loads((root / "cases.json").read_text("utf-8"))
    assert len(cases) == number
    paths = [str(root / files / case["file"]) for case in cases]
    status, lines = parse(capsys, "--json", *paths)
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert [row["file"] for row in rows] == paths
    for case, row in zip(cases, rows, strict=True):
        valid = case["grammar_valid"] != "no"
        assert row["verdict"] == ("valid" if valid else "invalid"), row
        assert set(row) >= {"file", "verdict", "kind", "status", "reason", "offset", "ua_status", "ua_reason"}
        if valid:
            assert row["status"] == 0
        else:
            assert row["status"] in (0, 400, 513, 505)
            assert row["reason"]
    assert status == (0 if all(row["verdict"] == "valid" for row in rows) else 1)
    status, lines = parse(capsys, *paths)
    for path, row, line in zip(paths, rows, lines, strict=True):
        if row["verdict"] == "valid":
            assert line == f"{path}: valid {row['kind']}"
        else:
            answer = row["status"] or "drop"
            assert line == f"{path}: invalid {answer} {row['reason']} (offset {row['offset']})"


def test_what_a_user_agent_would_answer(capsys: pytest.CaptureFixture[str]) -> None:
    root = require_shared("corpus/01-rfc4475")
    answers = {"unkscm.dat": 416, "bext01.dat": 420, "intmeth.dat": 501, "regaut01.dat": 405, "wsinv.dat": 0}
    status, lines = parse(capsys, "--json", *(str(root / name) for name in answers))
    assert status == 0
    assert [json.loads(line)["ua_status"] for line in lines] == list(answers.values())


@pytest.mark.parametrize("arguments", [[], ["-"]], ids=["nothing", "dash"])
def test_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(GOOD)))
    assert parse(capsys, *arguments) == (0, ["-: valid request OPTIONS"])


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [(SDP, 0, "valid sdp"), (SDP.replace(b"v=0", b"v=1"), 1, "invalid 488"), (b"", 1, "invalid 488")],
    ids=["valid", "version", "empty"],
)
def test_sdp_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, status: int, words: str) -> None:
    file = tmp_path / "offer.sdp"
    file.write_bytes(content)
    got, (line,) = parse(capsys, str(file))
    assert got == status
    assert line.startswith(f"{file}: {words}")
    got, (line,) = parse(capsys, "--json", str(file))
    assert json.loads(line)["verdict"] == words.split()[0]


def test_the_corpus_of_sdp(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(str(path) for path in require_shared("corpus/04-sdp").rglob("*.sdp"))
    _, lines = parse(capsys, "--json", *files)
    verdicts = [json.loads(line)["verdict"] for line in lines]
    assert len(verdicts) == len(files) > 200
    assert verdicts.count("invalid") < 20


def test_one_invalid_file_among_many_is_seen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(GOOD)
    bad.write_bytes(GOOD.replace(b"CSeq", b"Sqec"))
    status, lines = parse(capsys, str(good), str(bad), str(good))
    assert status == 1
    assert [line.partition(": ")[2].split()[0] for line in lines] == ["valid", "invalid", "valid"]
